//! Who waits, and for what.
//!
//! Each list is ordered by the number that has to be reached, then by arrival: answering k of n takes k steps of log n, and
//! whoever is not due is not looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::{Appended, Isolation};
use crate::offset::Offset;
use crate::partition::Waiter;
use crate::partition::fetch::Fetch;
use crate::partition::produce::Produce;
use crate::partition::{Acks, Durability};
use crate::time::{Instant, Timestamp};

/// What a produce waits for next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Level {
    Written,
    Flushed,
    Committed,
}

impl Level {
    pub(super) const ALL: [Self; 3] = [Self::Written, Self::Flushed, Self::Committed];
}

/// A produce that is appended and not answered yet.
#[derive(Clone, Debug)]
pub(super) struct ProduceWait {
    pub(super) waiter: Waiter,
    pub(super) appended: Appended,
    pub(super) acks: Acks,
    pub(super) durability: Durability,
    pub(super) deadline: Option<Instant>,
}

impl ProduceWait {
    /// The offset behind its last record: what has to be reached.
    pub(super) fn end(&self) -> Offset {
        self.appended.last_offset.advance(1)
    }
}

/// Produces that are appended and wait for their records to be safe.
#[derive(Clone, Debug, Default)]
pub(super) struct ProduceWaits {
    by_end: [BTreeMap<(Offset, u64), ProduceWait>; 3],
    places: BTreeMap<Waiter, (Level, Offset, u64)>,
    arrivals: u64,
}

impl ProduceWaits {
    pub(super) fn insert(&mut self, level: Level, wait: ProduceWait) {
        self.arrivals += 1;
        let key = (wait.end(), self.arrivals);
        self.places.insert(wait.waiter, (level, key.0, key.1));
        self.by_end[level as usize].insert(key, wait);
    }

    /// Takes out the first that waits for an end of this level that is at most `reached`.
    pub(super) fn pop_reached(&mut self, level: Level, reached: Offset) -> Option<ProduceWait> {
        let first = self.by_end[level as usize].first_entry().filter(|first| first.key().0 <= reached)?;
        let wait = first.remove();
        self.places.remove(&wait.waiter);
        Some(wait)
    }

    /// Takes out any, those of one level in the order of their offsets.
    pub(super) fn pop_any(&mut self) -> Option<ProduceWait> {
        Level::ALL.into_iter().find_map(|level| self.pop_reached(level, Offset::MAX))
    }

    pub(super) fn get(&self, waiter: Waiter) -> Option<&ProduceWait> {
        let (level, end, arrival) = self.places.get(&waiter)?;
        self.by_end[*level as usize].get(&(*end, *arrival))
    }

    pub(super) fn remove(&mut self, waiter: Waiter) -> Option<ProduceWait> {
        let (level, end, arrival) = self.places.remove(&waiter)?;
        self.by_end[level as usize].remove(&(end, arrival))
    }

    /// The first end that is waited for at this level.
    pub(super) fn first(&self, level: Level) -> Option<Offset> {
        self.by_end[level as usize].first_key_value().map(|((end, _), _)| *end)
    }

    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.by_end.iter().map(BTreeMap::len).sum::<usize>(), self.places.len());
        self.places.len()
    }
}

/// Produces that are not appended yet: in front of them, or of one in front of them, the disk must do something.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    queue: BTreeMap<u64, (Timestamp, Produce)>,
    numbers: BTreeMap<Waiter, u64>,
    arrivals: u64,
    /// How many bytes their batches have.
    bytes: u64,
}

impl Held {
    pub(super) fn push(&mut self, date: Timestamp, produce: Produce) {
        self.arrivals += 1;
        self.insert(self.arrivals, date, produce);
    }

    pub(super) fn pop(&mut self) -> Option<(u64, Timestamp, Produce)> {
        let (number, (date, produce)) = self.queue.pop_first()?;
        self.bytes -= u64::from(produce.batch.batch().size());
        self.numbers.remove(&produce.waiter);
        Some((number, date, produce))
    }

    /// Puts one back to its place.
    pub(super) fn insert(&mut self, number: u64, date: Timestamp, produce: Produce) {
        // Nobody waits for one without an answer.
        if produce.acks != Acks::None {
            self.numbers.insert(produce.waiter, number);
        }
        self.bytes += u64::from(produce.batch.batch().size());
        self.queue.insert(number, (date, produce));
    }

    /// All, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Produce> {
        self.queue.values().map(|(_, produce)| produce)
    }

    pub(super) fn get(&self, waiter: Waiter) -> Option<&Produce> {
        self.numbers.get(&waiter).and_then(|number| self.queue.get(number)).map(|(_, produce)| produce)
    }

    pub(super) fn remove(&mut self, waiter: Waiter) -> Option<Produce> {
        let number = self.numbers.remove(&waiter)?;
        let (_, produce) = self.queue.remove(&number)?;
        self.bytes -= u64::from(produce.batch.batch().size());
        Some(produce)
    }

    /// How many bytes their batches have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// What a fetch waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Goal {
    /// That so many bytes have been appended: then it is known which offset it waits for.
    Appended(u64),
    /// That readers of this isolation see up to this offset.
    Readable(Isolation, Offset),
}

#[derive(Clone, Copy, Debug)]
struct FetchWait {
    fetch: Fetch,
    goal: Goal,
}

/// Fetches that wait for more to read.
#[derive(Clone, Debug, Default)]
pub(super) struct FetchWaits {
    /// By arrival.
    waits: BTreeMap<u64, FetchWait>,
    numbers: BTreeMap<Waiter, u64>,
    by_appended: BTreeSet<(u64, u64)>,
    by_readable: [BTreeSet<(Offset, u64)>; 3],
    by_from: BTreeSet<(Offset, u64)>,
    arrivals: u64,
    /// Those that arrived up to here are to be answered, whatever there is.
    ended: u64,
}

impl FetchWaits {
    pub(super) fn insert(&mut self, fetch: Fetch, goal: Goal) {
        self.arrivals += 1;
        let number = self.arrivals;
        self.numbers.insert(fetch.waiter, number);
        self.by_from.insert((fetch.from, number));
        self.waits.insert(number, FetchWait { fetch, goal });
        self.list(goal, number);
    }

    /// Takes out one whose goal is reached, whose offset is gone, or that was ended.
    pub(super) fn pop_due(&mut self, log_start: Offset, readable: impl Fn(Isolation) -> Offset) -> Option<Fetch> {
        let ended = self.waits.first_key_value().map(|(number, _)| *number).filter(|number| *number <= self.ended);
        let gone = || self.by_from.first().filter(|(from, _)| *from < log_start).map(|(_, number)| *number);
        let served = || {
            ISOLATIONS.into_iter().find_map(|isolation| {
                let first = self.by_readable[isolation as usize].first();
                first.filter(|(goal, _)| *goal <= readable(isolation)).map(|(_, number)| *number)
            })
        };
        let number = ended.or_else(gone).or_else(served)?;
        self.take(number)
    }

    /// The first that waits for no more than `appended` bytes.
    pub(super) fn first_grown(&self, appended: u64) -> Option<Fetch> {
        let (_, number) = self.by_appended.first().filter(|(goal, _)| *goal <= appended)?;
        self.waits.get(number).map(|wait| wait.fetch)
    }

    /// Lets one wait for something else.
    pub(super) fn set_goal(&mut self, waiter: Waiter, goal: Goal) {
        let Some(number) = self.numbers.get(&waiter).copied() else { return };
        let Some(wait) = self.waits.get_mut(&number) else { return };
        let before = std::mem::replace(&mut wait.goal, goal);
        self.unlist(before, number);
        self.list(goal, number);
    }

    /// All that wait now are due.
    pub(super) fn end_all(&mut self) {
        self.ended = self.arrivals;
    }

    pub(super) fn get(&self, waiter: Waiter) -> Option<&Fetch> {
        self.numbers.get(&waiter).and_then(|number| self.waits.get(number)).map(|wait| &wait.fetch)
    }

    pub(super) fn remove(&mut self, waiter: Waiter) -> Option<Fetch> {
        let number = self.numbers.get(&waiter).copied()?;
        self.take(number)
    }

    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.waits.len(), self.numbers.len());
        self.waits.len()
    }

    fn take(&mut self, number: u64) -> Option<Fetch> {
        let FetchWait { fetch, goal } = self.waits.remove(&number)?;
        self.numbers.remove(&fetch.waiter);
        self.by_from.remove(&(fetch.from, number));
        self.unlist(goal, number);
        Some(fetch)
    }

    fn list(&mut self, goal: Goal, number: u64) {
        match goal {
            Goal::Appended(bytes) => self.by_appended.insert((bytes, number)),
            Goal::Readable(isolation, end) => self.by_readable[isolation as usize].insert((end, number)),
        };
    }

    fn unlist(&mut self, goal: Goal, number: u64) {
        match goal {
            Goal::Appended(bytes) => self.by_appended.remove(&(bytes, number)),
            Goal::Readable(isolation, end) => self.by_readable[isolation as usize].remove(&(end, number)),
        };
    }
}

const ISOLATIONS: [Isolation; 3] = [Isolation::LogEnd, Isolation::HighWatermark, Isolation::ReadCommitted];
