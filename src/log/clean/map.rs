//! The last offset of each key, in bounded memory.
//!
//! Keys are told apart by a hash of 128 bits, as in Kafka, whose hash is another; nothing of it is ever written down.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher};

use crate::offset::Offset;

/// The last offset of each key: an open-addressed table that doubles until it may not grow any more.
#[derive(Clone, Debug)]
pub struct OffsetMap {
    slots: Vec<Slot>,
    len: usize,
    len_max: usize,
    latest: Option<Offset>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: (u64, u64),
    /// The offset and one, or 0 where the slot is free.
    offset: u64,
}

const FREE: Slot = Slot { hash: (0, 0), offset: 0 };

/// The map has room for no other key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MapFull;

impl OffsetMap {
    /// How many bytes a key takes: Kafka's slot, and ours.
    pub const SLOT_BYTES: usize = size_of::<Slot>();
    const SLOTS_MIN: usize = 64;

    /// An empty map that takes at most about `bytes_max` bytes and is full when nine of ten slots are used, as in Kafka;
    /// at least one key always fits.
    pub fn new(bytes_max: usize) -> Self {
        let slots_max = bytes_max / Self::SLOT_BYTES;
        let len_max = (slots_max as f64 * 0.9) as usize;
        Self { slots: Vec::new(), len: 0, len_max: len_max.max(1), latest: None }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The last offset of a key.
    pub fn offset_of(&self, key: &[u8]) -> Option<Offset> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = self.slots[self.place(hash_of(key))];
        slot.offset.checked_sub(1).map(Offset::new)
    }

    /// The last offset that was seen: all up to it is taken into account, and nothing behind it.
    pub fn latest(&self) -> Option<Offset> {
        self.latest
    }

    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), MapFull> {
        if self.len >= self.len_max {
            // As Kafka: a full map takes no record at all, also none of a key that it has.
            return Err(MapFull);
        }
        if (self.len + 1) * 10 > self.slots.len() * 9 {
            self.grow();
        }
        let hash = hash_of(key);
        let at = self.place(hash);
        self.len += usize::from(self.slots[at].offset == 0);
        self.slots[at] = Slot { hash, offset: offset.get() + 1 };
        self.latest = Some(offset);
        Ok(())
    }

    pub(crate) fn seen_up_to(&mut self, offset: Offset) {
        self.latest = Some(offset);
    }

    fn grow(&mut self) {
        let more = (self.slots.len() * 2).max(Self::SLOTS_MIN);
        // One slot always stays free, or a search for what is not there would not end.
        let most = self.len_max + self.len_max / 9 + 2;
        let old = std::mem::replace(&mut self.slots, vec![FREE; more.min(most).max(self.len + 2)]);
        for slot in old.into_iter().filter(|slot| slot.offset > 0) {
            let at = self.place(slot.hash);
            self.slots[at] = slot;
        }
    }

    /// Where this hash is, or the free slot where it would go.
    fn place(&self, hash: (u64, u64)) -> usize {
        let mut at = (hash.0 % self.slots.len() as u64) as usize;
        while self.slots[at].offset > 0 && self.slots[at].hash != hash {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }
}

fn hash_of(key: &[u8]) -> (u64, u64) {
    let mut hasher = SipHasher::new();
    hasher.write(key);
    hasher.finish128().as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_knows_the_last_offset_of_each_key_and_is_full_at_nine_tenths() {
        let mut map = OffsetMap::new(1000 * OffsetMap::SLOT_BYTES);
        for offset in 0..900 {
            map.put(format!("key {offset}").as_bytes(), Offset::new(offset)).unwrap();
        }
        assert_eq!(map.len(), 900);
        assert_eq!(map.put(b"key 0", Offset::new(1000)), Err(MapFull));
        assert!(map.slots.len() <= 1002);
        for offset in 0..900 {
            assert_eq!(map.offset_of(format!("key {offset}").as_bytes()), Some(Offset::new(offset)));
        }
        assert_eq!(map.offset_of(b"key 900"), None);
        assert_eq!(map.latest(), Some(Offset::new(899)));
    }

    #[test]
    fn the_smallest_map_still_takes_a_key() {
        let mut map = OffsetMap::new(0);
        assert_eq!(map.offset_of(b""), None);
        map.put(b"", Offset::ZERO).unwrap();
        assert_eq!(map.offset_of(b""), Some(Offset::ZERO));
        assert_eq!(map.put(b"a", Offset::new(1)), Err(MapFull));
        assert_eq!(map.offset_of(b"b"), None);
    }
}
