//! When what is appended has to be on its way to disk, where nobody waits for that (`flush.ms`).
//!
//! - Always true: the driver has at most one timer of a partition, and it rings no later than the deadline.

use crate::time::Instant;

/// The deadline of what was appended and not flushed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FlushTimer {
    /// The latest time that the partition was told. A batch that was held may be appended a little later than this.
    now: Instant,
    /// Until when a flush has to be asked for; `None` if there is nothing to flush.
    due: Option<Instant>,
    /// When the driver will ring.
    set: Option<Instant>,
}

impl FlushTimer {
    /// It is this late now.
    pub(super) fn at(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Something was appended. Answers when the driver has to ring, if it does not do so early enough.
    pub(super) fn appended(&mut self, interval_ms: u64) -> Option<Instant> {
        let due = *self.due.get_or_insert(self.now.after(interval_ms));
        self.set_to(due)
    }

    /// A flush was asked for, of all that is there.
    pub(super) fn flushes(&mut self) {
        self.due = None;
    }

    /// The driver has rung.
    pub(super) fn ring(&mut self, now: Instant) -> Rung {
        self.at(now);
        if self.set.is_some_and(|set| set <= now) {
            self.set = None;
        }
        match self.due {
            None => Rung::Nothing,
            Some(due) if due <= now => Rung::Flush,
            Some(due) => self.set_to(due).map_or(Rung::Nothing, Rung::RingAt),
        }
    }

    fn set_to(&mut self, due: Instant) -> Option<Instant> {
        if self.set.is_some_and(|set| set <= due) {
            return None;
        }
        self.set = Some(due);
        Some(due)
    }
}

/// What follows from a timer that has rung.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rung {
    /// What was to be flushed is on its way already, or the next timer is set.
    Nothing,
    /// It is time to flush.
    Flush,
    /// There is something younger: ring again then.
    RingAt(Instant),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn the_first_append_sets_the_deadline_and_those_behind_it_share_it() {
        let mut timer = FlushTimer::default();
        timer.at(ms(100));
        assert_eq!(timer.appended(50), Some(ms(150)));
        timer.at(ms(140));
        assert_eq!(timer.appended(50), None);
        assert_eq!(timer.ring(ms(149)), Rung::Nothing, "the timer that is set rings in time");
        assert_eq!(timer.ring(ms(150)), Rung::Flush);
    }

    #[test]
    fn one_timer_serves_all_flushes_that_come_before_it_rings() {
        let mut timer = FlushTimer::default();
        timer.at(ms(100));
        assert_eq!(timer.appended(50), Some(ms(150)));
        timer.flushes();
        timer.at(ms(120));
        assert_eq!(timer.appended(50), None, "the one that is set rings before 170");
        assert_eq!(timer.ring(ms(150)), Rung::RingAt(ms(170)));
        timer.flushes();
        assert_eq!(timer.ring(ms(170)), Rung::Nothing);
    }

    #[test]
    fn a_shorter_interval_rings_earlier_and_an_endless_one_never_overflows() {
        let mut timer = FlushTimer::default();
        timer.at(ms(100));
        assert_eq!(timer.appended(u64::MAX), Some(Instant::MAX));
        timer.flushes();
        assert_eq!(timer.appended(10), Some(ms(110)));
        assert_eq!(timer.ring(ms(110)), Rung::Flush);
    }
}
