//! Which lane to look at first.
//!
//! A moment is noted for a lane when it is earlier than what is noted already, and taken out when the lane is looked at. So a
//! lane that sends a thousand batches between two looks changes nothing here.
//!
//! - May use: the newtypes.
//! - Must not know: what the moments mean.
//! - Always true: with those who note under the lock of the lane, no lane's true moment is earlier than what is noted for it.

use std::collections::BTreeSet;

use crate::producer::LaneId;
use crate::queue::sync::Mutex;
use crate::time::Instant;

/// A moment for each of some lanes.
#[derive(Debug)]
pub(super) struct Due(Mutex<BTreeSet<(Instant, LaneId)>>);

impl Due {
    pub(super) fn new() -> Self {
        Self(Mutex::new(BTreeSet::new()))
    }

    /// Notes `at` unless something earlier is noted. Answers whether it was.
    pub(super) fn note(&self, lane: LaneId, noted: &mut Option<Instant>, at: Option<Instant>) -> bool {
        let Some(at) = at else { return false };
        if noted.is_some_and(|noted| noted <= at) {
            return false;
        }
        let mut all = self.0.lock();
        if let Some(later) = noted.replace(at) {
            all.remove(&(later, lane));
        }
        all.insert((at, lane))
    }

    /// The earliest moment.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.lock().first().map(|(at, _)| *at)
    }

    /// Takes out the lane whose moment is the earliest.
    pub(super) fn take_first(&self) -> Option<LaneId> {
        self.0.lock().pop_first().map(|(_, lane)| lane)
    }

    /// Takes out all whose moment is not after `now`.
    pub(super) fn take_until(&self, now: Instant) -> Vec<LaneId> {
        let mut all = self.0.lock();
        let mut due = Vec::new();
        while let Some((_, lane)) = all.first().copied().filter(|(at, _)| *at <= now) {
            all.pop_first();
            due.push(lane);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Option<Instant> {
        Some(Instant::from_millis(millis))
    }

    #[test]
    fn only_what_is_earlier_is_noted() {
        let (due, mut noted) = (Due::new(), None);
        let lane = LaneId::new(3);
        assert!(due.note(lane, &mut noted, at(5)));
        assert!(!due.note(lane, &mut noted, at(7)) && !due.note(lane, &mut noted, None));
        assert!(due.note(lane, &mut noted, at(2)));
        assert_eq!((due.first(), noted), (at(2), at(2)));
        assert_eq!(due.take_until(Instant::from_millis(10)), [lane], "it stands there once");
    }

    #[test]
    fn what_is_due_is_taken_out_and_nothing_else() {
        let due = Due::new();
        for (number, millis) in [(0, 4), (1, 2), (2, 3)] {
            due.note(LaneId::new(number), &mut None, at(millis));
        }
        assert_eq!(due.take_until(Instant::from_millis(3)), [1, 2].map(LaneId::new));
        assert_eq!((due.take_first(), due.take_first()), (Some(LaneId::new(0)), None));
    }
}
