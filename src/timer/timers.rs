//! The timers by their ids: a slab whose slots are used again, each time under another generation.

use std::num::NonZeroU32;

use super::chunks::{CHUNK, ChunkId, Place};
use super::tick::Tick;

/// The asker's handle on one timer. It is good until the timer is cancelled or handed out; from then on it is *stale*,
/// and never names a timer again.
///
/// An id belongs to the wheel that gave it. Another wheel may know the same id for a timer of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TimerId {
    slot: u32,
    generation: NonZeroU32,
}

impl TimerId {
    pub(super) const fn slot(self) -> u32 {
        self.slot
    }
}

/// One timer, or, with no key, a slot that waits for its next.
#[derive(Debug)]
struct Timer<K> {
    generation: NonZeroU32,
    /// Where its entry stands. An entry anywhere else that names this slot is left over from an earlier timer.
    place: Place,
    tick: Tick,
    key: Option<K>,
}

/// All timers. The next ids of the free slots are listed beside them, so that arming one only writes to it: a processor
/// waits for memory that it reads, and goes on while it writes.
#[derive(Debug)]
pub(super) struct Timers<K> {
    slots: Vec<Timer<K>>,
    free: Vec<TimerId>,
    armed: usize,
}

impl<K> Timers<K> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), armed: 0 }
    }

    pub(super) const fn armed(&self) -> usize {
        self.armed
    }

    /// The id for the next timer, which [`Timers::arm`] has to make good.
    pub(super) fn reserve(&mut self) -> TimerId {
        if let Some(id) = self.free.pop() {
            return id;
        }
        let slot = u32::try_from(self.slots.len()).expect("there are fewer slots than places for entries");
        let generation = NonZeroU32::MIN;
        self.slots.push(Timer { generation, place: Place::NOWHERE, tick: Tick::ZERO, key: None });
        // Any of them may become free, and cancelling is no time to look for memory.
        self.free.reserve(self.slots.len());
        TimerId { slot, generation }
    }

    pub(super) fn arm(&mut self, id: TimerId, tick: Tick, place: Place, key: K) {
        self.slots[id.slot as usize] = Timer { generation: id.generation, place, tick, key: Some(key) };
        self.armed += 1;
    }

    /// Where the entry of the timer is and when it is due; `None` if the id is stale.
    pub(super) fn find(&self, id: TimerId) -> Option<(Place, Tick)> {
        let timer = self.slots.get(id.slot as usize)?;
        let is_armed = timer.generation == id.generation && timer.place != Place::NOWHERE;
        is_armed.then_some((timer.place, timer.tick))
    }

    pub(super) fn key(&self, slot: u32) -> Option<&K> {
        self.slots[slot as usize].key.as_ref()
    }

    /// The slot of each of the entries of a chunk, and when it is due; `None` for those left over.
    ///
    /// All at once, so that one need not wait for the memory of another.
    #[inline]
    pub(super) fn armed_in(&self, chunk: ChunkId, entries: &[u32]) -> [Option<(u32, Tick)>; CHUNK] {
        let mut armed = [None; CHUNK];
        for (index, (slot, armed)) in entries.iter().zip(&mut armed).enumerate() {
            let timer = &self.slots[*slot as usize];
            *armed = (timer.place == chunk.place(index)).then_some((*slot, timer.tick));
        }
        armed
    }

    /// The timer's entry has another place, or its deadline another tick.
    pub(super) fn moved(&mut self, slot: u32, tick: Tick, place: Place) {
        let timer = &mut self.slots[slot as usize];
        timer.tick = tick;
        timer.place = place;
    }

    /// Ends the timer: its id is stale from now on. Answers with where its entry is, and its key.
    pub(super) fn disarm(&mut self, slot: u32) -> (Place, Option<K>) {
        let timer = &mut self.slots[slot as usize];
        let place = std::mem::replace(&mut timer.place, Place::NOWHERE);
        // After four thousand million timers a slot is worn out: one more generation, and an old id would fit again.
        if let Some(generation) = timer.generation.checked_add(1) {
            self.free.push(TimerId { slot, generation });
        }
        self.armed -= 1;
        (place, timer.key.take())
    }
}

#[cfg(test)]
impl<K> Timers<K> {
    pub(super) const SLOT_BYTES: usize = size_of::<Timer<K>>();

    /// Makes each slot that is free look as used as one can be.
    pub(super) fn wear_out(&mut self) {
        self.free.iter_mut().for_each(|id| id.generation = NonZeroU32::MAX);
    }

    pub(super) fn capacities(&self) -> [usize; 2] {
        [self.slots.capacity(), self.free.capacity()]
    }
}
