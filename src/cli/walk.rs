//! A walk over the batches of a file that may be damaged, torn, zero-filled or still growing.
//!
//! What is no batch is reported by its exact range, and the walk goes on behind it: at the length the damaged header
//! gives if a batch or the end follows there, else at the next position where a whole batch with a right checksum
//! begins.
//!
//! - May use: `record`, `offset`. Must not know: how anything is shown.
//! - Always true: the ranges found lie one behind the other and leave no gap; at most [`BATCH_BYTES_MAX`] bytes are held;
//!   the work is linear in the bytes there are, whatever they say.

use std::io;

use bytes::Bytes;

use crate::cli::source::{Source, Windowed};
use crate::offset::Offset;
use crate::record::{BatchError, Entry, Header};

/// The largest batch that is looked into. Kafka's own limit for one is a file of 2 GiB, its default 1 MiB.
pub(crate) const BATCH_BYTES_MAX: u64 = 128 << 20;

/// Base offset, length, and the rest up to the magic byte: what a batch of any format begins with.
const PREFIX_BYTES: usize = 17;

/// The smallest length field of any format: an empty message of format 0.
const LENGTH_MIN: u64 = 14;

/// How many bytes of would-be batches a search for the next one checks beyond those it passes.
const SEARCH_BYTES_MAX: u64 = 256 << 20;

/// How many bytes a search looks through at a time.
const SEARCH_STRETCH_BYTES: usize = 64 << 10;

/// What a stretch of nothing is compared with.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// How often the last bytes of a file are given time to become a batch.
const SETTLE_TIMES: u32 = 3;

/// A stretch of the file.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A whole batch with a right checksum.
    Batch {
        /// Where it begins, in bytes.
        position: u64,
        /// Its bytes.
        bytes: Bytes,
        /// The batch.
        entry: Entry,
    },
    /// Bytes that are none.
    Damaged {
        /// Where they begin.
        position: u64,
        /// How many there are.
        size: u64,
        /// What they would say as the header of a batch of the newest format, if they are enough for one and its magic
        /// and length could be right.
        header: Option<Header>,
        /// What is wrong with them.
        damage: Damage,
    },
}

/// What is wrong with a stretch of a file of batches.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Damage {
    /// It is no batch.
    #[error("{0}")]
    Batch(BatchError),
    /// Nothing but zeros up to the end: space that was taken in advance, or never reached the disk.
    #[error("zeros to the end of the file")]
    Zeros,
    /// It may be a batch, but a larger one than we look into.
    #[error("a batch of {size} bytes, more than the {BATCH_BYTES_MAX} that are looked into")]
    TooLarge {
        /// How large it says it is.
        size: u64,
    },
}

/// The walk. [`Walk::next`] gives one stretch at a time.
pub(crate) struct Walk<'a, S> {
    bytes: Windowed<'a, S>,
    position: u64,
    /// How long the file was when last asked.
    end: u64,
    /// No batch of the file begins below this offset.
    floor: i64,
    /// No batch of the file begins at or above this one.
    ceiling: i64,
}

impl<'a, S: Source> Walk<'a, S> {
    /// A walk from the first byte of a file whose name says that its first offset is at least `base_offset`.
    pub(crate) fn new(source: &'a S, base_offset: Option<Offset>) -> io::Result<Self> {
        let floor = base_offset.map_or(0, Offset::as_i64);
        let ceiling = if base_offset.is_some() { floor.saturating_add(1 << 31) } else { i64::MAX };
        Ok(Self { bytes: Windowed::new(source), position: 0, end: source.len()?, floor, ceiling })
    }

    /// Goes on from `position`, if a batch that `is_wanted` begins there; stays where it is if not.
    pub(crate) fn start_at(&mut self, position: u64, is_wanted: impl FnOnce(&Entry) -> bool) -> io::Result<()> {
        let before = self.position;
        if position < self.end {
            self.position = position;
            let is_there = self.parse()?.is_ok_and(|(_, entry)| is_wanted(&entry));
            if !is_there {
                self.position = before;
            }
        }
        Ok(())
    }

    /// Where the walk stands, and how many bytes there are to walk.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.position, self.end)
    }

    /// The next stretch, `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        if self.position >= self.end {
            self.end = self.bytes.len()?;
        }
        if self.position >= self.end {
            return Ok(None);
        }
        let mut found = self.parse()?;
        for _ in 0..SETTLE_TIMES {
            if found.is_ok() || !self.may_be_under_way()? {
                break;
            }
            self.bytes.settle();
            self.end = self.bytes.len()?;
            if self.position >= self.end {
                return Ok(None);
            }
            found = self.parse()?;
        }
        let found = match found {
            Ok((bytes, entry)) => Found::Batch { position: self.position, bytes, entry },
            Err(damage) => self.damaged(damage)?,
        };
        self.position += match &found {
            Found::Batch { bytes, .. } => bytes.len() as u64,
            Found::Damaged { size, .. } => *size,
        };
        Ok(Some(found))
    }

    /// The batch at the position.
    fn parse(&mut self) -> io::Result<Result<(Bytes, Entry), Damage>> {
        let found = self.end - self.position;
        let prefix = self.bytes.bytes(self.position, PREFIX_BYTES)?;
        let prefix = Prefix::decode(&prefix).filter(Prefix::is_plausible);
        let size = match prefix.map(|prefix| prefix.size()) {
            Some(needed) if needed > found => return Ok(Err(Damage::Batch(BatchError::Incomplete { needed, found }))),
            Some(size) if size > BATCH_BYTES_MAX => return Ok(Err(Damage::TooLarge { size })),
            Some(size) => size,
            // Not even the beginning of one: enough of it for the parser to say why.
            None => found.min(Header::BYTES as u64),
        };
        let bytes = self.bytes.bytes(self.position, size as usize)?;
        Ok(Entry::parse(&bytes).map_err(Damage::Batch).map(|entry| {
            let size = (entry.size() as usize).min(bytes.len());
            (bytes.slice(..size), entry)
        }))
    }

    /// Whether what is at the position reaches the end of the file, where someone may be writing just now.
    fn may_be_under_way(&mut self) -> io::Result<bool> {
        let prefix = self.bytes.bytes(self.position, PREFIX_BYTES)?;
        Ok(match Prefix::decode(&prefix) {
            Some(prefix) => prefix.is_plausible() && self.position + prefix.size() >= self.end,
            None => true,
        })
    }

    /// How far the damage at the position goes.
    fn damaged(&mut self, damage: Damage) -> io::Result<Found> {
        let position = self.position;
        let head = self.bytes.bytes(position, Header::BYTES)?;
        let prefix = Prefix::decode(&head).filter(Prefix::is_plausible);
        let header = match (&prefix, head.as_ref().try_into()) {
            (Some(prefix), Ok(head)) if prefix.magic == 2 => Some(Header::decode(head)),
            _ => None,
        };
        if let Some(prefix) = prefix.filter(|prefix| self.fits(position, prefix)) {
            let behind = position + prefix.size();
            if behind == self.end || self.begins_plausibly(behind)? {
                // A wrong length may span whole batches; those end where it says. What ends elsewhere is a batch
                // within a record.
                let next = self.search(position + 1, behind, Until::Exactly(behind))?.unwrap_or(behind);
                return Ok(Found::Damaged { position, size: next - position, header, damage });
            }
        }
        if self.is_zero_to_the_end(position)? {
            let size = self.end - position;
            return Ok(Found::Damaged { position, size, header: None, damage: Damage::Zeros });
        }
        let next = self.search(position + 1, self.end, Until::Anywhere)?.unwrap_or(self.end);
        Ok(Found::Damaged { position, size: next - position, header, damage })
    }

    fn fits(&self, position: u64, prefix: &Prefix) -> bool {
        prefix.size() <= self.end - position
    }

    /// Whether the bytes at `position` look like the beginning of a batch, which need not be whole.
    fn begins_plausibly(&mut self, position: u64) -> io::Result<bool> {
        let prefix = self.bytes.bytes(position, PREFIX_BYTES)?;
        Ok(Prefix::decode(&prefix).is_some_and(|prefix| self.may_follow(&prefix)))
    }

    /// Whether this could be the beginning of a batch behind those seen.
    fn may_follow(&self, prefix: &Prefix) -> bool {
        prefix.is_plausible() && (self.floor..self.ceiling).contains(&prefix.base_offset)
    }

    fn is_zero_to_the_end(&mut self, from: u64) -> io::Result<bool> {
        let mut position = from;
        while position < self.end {
            let bytes = self.bytes.bytes(position, ZEROS.len())?;
            if bytes.is_empty() {
                break;
            }
            if bytes != ZEROS[..bytes.len()] {
                return Ok(false);
            }
            position += bytes.len() as u64;
        }
        Ok(true)
    }

    /// The first position from which a whole batch with a right checksum begins. Gives up where the bytes keep looking
    /// like large batches that are none, so that no file can make this take for ever.
    fn search(&mut self, from: u64, to: u64, until: Until) -> io::Result<Option<u64>> {
        let mut checked = 0_u64;
        let mut position = from;
        while position + PREFIX_BYTES as u64 <= to {
            let count =
                usize::try_from(to - position).map_or(SEARCH_STRETCH_BYTES, |left| left.min(SEARCH_STRETCH_BYTES));
            let stretch = self.bytes.bytes(position, count)?;
            let starts = stretch.len().saturating_sub(PREFIX_BYTES - 1);
            if starts == 0 {
                break;
            }
            for at in 0..starts {
                let Some(prefix) = Prefix::decode(&stretch[at..]).filter(|prefix| self.may_follow(prefix)) else {
                    continue;
                };
                let candidate = position + at as u64;
                if prefix.size() > BATCH_BYTES_MAX || !self.fits(candidate, &prefix) {
                    continue;
                }
                checked += prefix.size();
                if checked > SEARCH_BYTES_MAX + 4 * (candidate - from) {
                    return Ok(None);
                }
                let is_batch = Entry::parse(&self.bytes.bytes(candidate, prefix.size() as usize)?).is_ok();
                if is_batch && self.leads_to(candidate + prefix.size(), until)? {
                    return Ok(Some(candidate));
                }
            }
            position += starts as u64;
        }
        Ok(None)
    }

    /// Whether what looks like batch behind batch from here, behind a good one, ends where it should.
    fn leads_to(&mut self, from: u64, until: Until) -> io::Result<bool> {
        let Until::Exactly(end) = until else { return Ok(true) };
        let mut position = from;
        while position < end {
            let prefix = self.bytes.bytes(position, PREFIX_BYTES)?;
            let Some(prefix) = Prefix::decode(&prefix).filter(|prefix| self.may_follow(prefix)) else {
                return Ok(false);
            };
            if position + prefix.size() > end {
                let is_small = prefix.size() <= BATCH_BYTES_MAX && self.fits(position, &prefix);
                return Ok(is_small && Entry::parse(&self.bytes.bytes(position, prefix.size() as usize)?).is_ok());
            }
            position += prefix.size();
        }
        // A good batch may reach over the end: what lies within a record would not, so it is the length that is wrong.
        Ok(true)
    }
}

/// Where the batches that a search finds must end.
#[derive(Clone, Copy)]
enum Until {
    Exactly(u64),
    Anywhere,
}

/// What batches of every format begin with.
#[derive(Clone, Copy)]
struct Prefix {
    base_offset: i64,
    length: i32,
    magic: i8,
}

impl Prefix {
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            base_offset: i64::from_be_bytes(*bytes.first_chunk()?),
            length: i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?),
            magic: i8::from_be_bytes(*bytes.get(16..)?.first_chunk()?),
        })
    }

    /// How many bytes the batch has, if it is one; 12 where the length is negative.
    fn size(&self) -> u64 {
        Header::LOG_OVERHEAD as u64 + u64::try_from(self.length).unwrap_or(0)
    }

    /// Whether this could be the beginning of a batch.
    fn is_plausible(&self) -> bool {
        let length_min = if self.magic == 2 { u64::from(Header::LENGTH_MIN) } else { LENGTH_MIN };
        (0..=2).contains(&self.magic)
            && self.base_offset >= 0
            && self.size() >= Header::LOG_OVERHEAD as u64 + length_min
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::record::{BatchBuilder, Codec, NewRecord};
    use crate::time::Timestamp;

    /// Batches of one record each, offsets from 0, and where each begins.
    fn log(count: u64) -> (Vec<u8>, Vec<u64>) {
        let mut bytes = Vec::new();
        let mut positions = Vec::new();
        for offset in 0..count {
            let mut builder = BatchBuilder::new(Codec::None);
            let value = vec![b'v'; 10 + offset as usize];
            builder.push(&NewRecord::new(Timestamp::from_millis(1000), None, Some(&value))).unwrap();
            let batch = builder.build().unwrap().stamped(Offset::new(offset), None).unwrap();
            positions.push(bytes.len() as u64);
            bytes.extend_from_slice(&batch.to_bytes());
        }
        (bytes, positions)
    }

    type Stretch = (u64, u64);

    /// `(position, size)` of the batches and of the damage.
    fn walked(bytes: &[u8]) -> (Vec<Stretch>, Vec<(u64, u64, Damage)>) {
        let mut walk = Walk::new(&bytes, Some(Offset::ZERO)).unwrap();
        let (mut batches, mut damaged) = (Vec::new(), Vec::new());
        let mut behind = 0;
        while let Some(found) = walk.next().unwrap() {
            let (position, size) = match found {
                Found::Batch { position, bytes, .. } => {
                    batches.push((position, bytes.len() as u64));
                    (position, bytes.len() as u64)
                }
                Found::Damaged { position, size, damage, .. } => {
                    damaged.push((position, size, damage));
                    (position, size)
                }
            };
            assert_eq!(position, behind, "a gap");
            assert!(size > 0);
            behind = position + size;
        }
        assert_eq!(behind, bytes.len() as u64);
        (batches, damaged)
    }

    #[test]
    fn a_flipped_bit_in_a_record_costs_its_batch_and_no_other() {
        let (mut bytes, positions) = log(5);
        bytes[positions[2] as usize + 70] ^= 1;
        let (batches, damaged) = walked(&bytes);
        assert_eq!(batches.len(), 4);
        assert!(matches!(damaged[..], [(at, size, Damage::Batch(BatchError::Corrupt { .. }))]
            if at == positions[2] && size == positions[3] - positions[2]));
    }

    #[test]
    fn a_wrong_length_costs_its_batch_and_the_walk_finds_the_next() {
        for length in [0_i32, -1, 7, 60, 80, 1 << 20, i32::MAX] {
            let (mut bytes, positions) = log(5);
            let at = positions[2] as usize + 8;
            bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
            let (batches, damaged) = walked(&bytes);
            assert_eq!(batches.len(), 4, "length {length}: {damaged:?}");
            assert_eq!((damaged[0].0, damaged[0].1), (positions[2], positions[3] - positions[2]), "length {length}");
        }
    }

    #[test]
    fn a_wrong_length_that_ends_where_a_batch_seems_to_begin_hides_none() {
        // In front of a batch's records stand so many zeros that the beginning of one can be seen in them.
        for length in 49..400_i32 {
            let (mut bytes, positions) = log(6);
            let at = positions[2] as usize + 8;
            if bytes[at..at + 4] == length.to_be_bytes() {
                continue;
            }
            bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
            let (batches, damaged) = walked(&bytes);
            assert_eq!(batches.len(), 5, "length {length}: {damaged:?}");
        }
    }

    #[test]
    fn a_cut_off_tail_and_a_tail_of_zeros_are_told_apart() {
        let (bytes, positions) = log(3);
        let torn = &bytes[..bytes.len() - 1];
        let needed = bytes.len() as u64 - positions[2];
        let damage = Damage::Batch(BatchError::Incomplete { needed, found: needed - 1 });
        assert_eq!(walked(torn).1, [(positions[2], needed - 1, damage)]);
        let mut zeros = bytes.clone();
        zeros.resize(bytes.len() + 5000, 0);
        assert_eq!(walked(&zeros).1, [(bytes.len() as u64, 5000, Damage::Zeros)]);
    }

    #[test]
    fn a_batch_that_is_still_being_written_is_waited_for() {
        struct Growing<'a>(&'a [u8], Cell<usize>);
        impl Source for Growing<'_> {
            fn len(&self) -> io::Result<u64> {
                let now = self.1.get();
                self.1.set((now + 40).min(self.0.len()));
                Ok(now as u64)
            }
            fn read_at(&self, position: u64, into: &mut [u8]) -> io::Result<usize> {
                (&self.0[..self.1.get()]).read_at(position, into)
            }
        }
        let (bytes, _) = log(3);
        let source = Growing(&bytes, Cell::new(30));
        let mut walk = Walk::new(&source, None).unwrap();
        let mut batches = 0;
        while let Some(found) = walk.next().unwrap() {
            assert!(matches!(found, Found::Batch { .. }), "{found:?}");
            batches += 1;
        }
        assert_eq!(batches, 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn whatever_the_bytes_the_stretches_cover_them_and_untouched_batches_are_found(
            cuts in prop::collection::vec((0_usize..600, any::<u8>()), 0..6),
            tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let (mut bytes, positions) = log(6);
            let whole = bytes.len();
            let mut touched = [false; 6];
            for (at, byte) in cuts {
                if at < whole && bytes[at] != byte {
                    bytes[at] = byte;
                    touched[positions.partition_point(|position| *position <= at as u64) - 1] = true;
                }
            }
            bytes.extend(tail);
            let (batches, _) = walked(&bytes);
            for (position, _) in positions.iter().zip(touched).filter(|(_, touched)| !touched) {
                prop_assert!(batches.iter().any(|(at, _)| at == position), "lost the batch at {}", position);
            }
        }
    }
}
