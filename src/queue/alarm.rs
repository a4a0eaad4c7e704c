//! One thread's sleep until a deadline, which others may move earlier.
//!
//! The sleeper looks for the deadline of whatever it serves and sleeps until then. Whoever brings an earlier one says so
//! with [`Alarm::hurry`], after having put it where the sleeper looks. What is said while the sleeper is awake is
//! remembered for its next sleep, so it may come between the look and the sleep.
//!
//! - May use: `sync`, `time`.
//! - Must not know: whose deadlines they are, and what time it is.
//! - Always true: the sleeper sleeps no longer than until the earliest instant that was asked for since it woke up.

use crate::queue::sync::atomic::AtomicU64;
use crate::queue::sync::atomic::Ordering::SeqCst;
use crate::queue::sync::{Condvar, Deadline, Mutex, WaitUntil};
use crate::time::Instant;

/// One thread's sleep.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// In milliseconds, the earliest instant asked for since the sleeper woke up. Written with the lock held.
    earliest: AtomicU64,
    sleep: Mutex<Sleep>,
    earlier: Condvar,
}

#[derive(Debug)]
struct Sleep {
    asleep: bool,
    closed: bool,
}

/// What ended a sleep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Woken {
    /// The sleeper's own deadline has come.
    Deadline,
    /// An earlier instant has come, to which somebody else has hurried it.
    Hurried,
    /// There is nothing more to wake for.
    Closed,
}

impl Alarm {
    /// Nobody sleeps, and nobody has hurried.
    pub(crate) fn new() -> Self {
        let sleep = Mutex::new(Sleep { asleep: false, closed: false });
        Self { earliest: AtomicU64::new(Instant::MAX.as_millis()), sleep, earlier: Condvar::new() }
    }

    /// Has the sleeper wake up at `at` at the latest. Costs a read if it does so anyway.
    ///
    /// The reason for it must be where the sleeper looks before this is called.
    pub(crate) fn hurry(&self, at: Instant) {
        if self.earliest.load(SeqCst) <= at.as_millis() {
            return;
        }
        let sleep = self.sleep.lock();
        let hurried = self.bring_forward(at);
        if hurried && sleep.asleep {
            self.earlier.notify_one();
        }
    }

    /// Sleeps until `deadline`, or an earlier instant that was asked for since the last sleep. `on_clock` says when an instant
    /// is on the clock of the machine; `None` is never. For one thread.
    pub(crate) fn wait(&self, deadline: Instant, on_clock: impl Fn(Instant) -> Option<Deadline>) -> Woken {
        let mut sleep = self.sleep.lock();
        self.bring_forward(deadline);
        sleep.asleep = true;
        let mut until = self.earliest();
        let mut come = false;
        while !sleep.closed && !come {
            let timed_out = self.earlier.wait_maybe_until(&mut sleep, on_clock(until));
            // What was moved earlier has not come because of what it was before.
            come = timed_out && until == self.earliest();
            until = self.earliest();
        }
        sleep.asleep = false;
        // Before the sleeper looks again: what is asked for from here on may be past its look.
        self.earliest.store(Instant::MAX.as_millis(), SeqCst);
        match (sleep.closed, until < deadline) {
            (true, _) => Woken::Closed,
            (false, true) => Woken::Hurried,
            (false, false) => Woken::Deadline,
        }
    }

    /// Ends the sleep, and every later one at once.
    pub(crate) fn close(&self) {
        self.sleep.lock().closed = true;
        self.earlier.notify_all();
    }

    fn earliest(&self) -> Instant {
        Instant::from_millis(self.earliest.load(SeqCst))
    }

    /// With the lock held. Answers whether `at` is earlier than what was asked for before.
    fn bring_forward(&self, at: Instant) -> bool {
        let is_earlier = at < self.earliest();
        if is_earlier {
            self.earliest.store(at.as_millis(), SeqCst);
        }
        is_earlier
    }
}

#[cfg(test)]
impl Alarm {
    /// A sleep on a clock whose hand stands at `now`: what lies behind it has come, and nothing else ever does.
    fn sleep_at(&self, now: Instant, deadline: Instant) -> Woken {
        self.wait(deadline, |at| (at <= now).then(crate::queue::sync::testing::past))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::queue::sync::{Arc, thread};

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_sleep_ends_at_its_deadline() {
        assert_eq!(Alarm::new().sleep_at(at(5), at(5)), Woken::Deadline);
    }

    #[test]
    fn what_is_hurried_before_the_sleep_ends_it_and_not_the_next_one() {
        let alarm = Alarm::new();
        alarm.hurry(at(7));
        alarm.hurry(at(3));
        alarm.hurry(at(9));
        assert_eq!(alarm.sleep_at(at(5), at(100)), Woken::Hurried);
        assert_eq!(alarm.sleep_at(at(8), at(8)), Woken::Deadline);
    }

    #[test]
    fn a_hurry_that_is_later_than_the_deadline_changes_nothing() {
        let alarm = Alarm::new();
        alarm.hurry(at(7));
        assert_eq!(alarm.sleep_at(at(5), at(5)), Woken::Deadline);
    }

    #[test]
    fn a_sleeper_is_woken_by_a_hurry_and_by_a_close() {
        let alarm = Arc::new(Alarm::new());
        let sleeper = Arc::clone(&alarm);
        let (send, receive) = mpsc::channel();
        let sleep = move || [(); 2].iter().for_each(|()| send.send(sleeper.sleep_at(at(5), Instant::MAX)).unwrap());
        let thread = thread::spawn("sleeper".into(), sleep).unwrap();
        alarm.hurry(at(5));
        assert_eq!(receive.recv(), Ok(Woken::Hurried));
        alarm.close();
        assert_eq!(receive.recv(), Ok(Woken::Closed));
        thread.join().unwrap();
        assert_eq!(alarm.sleep_at(at(5), at(5)), Woken::Closed);
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::thread::spawn;

    use super::*;
    use crate::queue::sync::Arc;
    use crate::queue::sync::testing::every_interleaving;

    const NOW: Instant = Instant::from_millis(10);

    #[test]
    fn no_deadline_is_slept_through_however_late_it_is_brought() {
        every_interleaving(|| {
            let served = Arc::new((Alarm::new(), Mutex::new(Vec::new())));
            let bringers = [5, 7].map(|millis| {
                let served = Arc::clone(&served);
                spawn(move || {
                    served.1.lock().push(Instant::from_millis(millis));
                    served.0.hurry(Instant::from_millis(millis));
                })
            });
            let mut done = 0;
            while done < 2 {
                done += served.1.lock().drain(..).count();
                if done < 2 {
                    served.0.sleep_at(NOW, Instant::MAX);
                }
            }
            bringers.into_iter().for_each(|bringer| bringer.join().unwrap());
        });
    }

    #[test]
    fn a_hurry_to_what_has_not_come_does_not_hide_one_to_what_has() {
        every_interleaving(|| {
            let alarm = Arc::new(Alarm::new());
            let hurriers = [20, 5].map(|millis| {
                let alarm = Arc::clone(&alarm);
                spawn(move || alarm.hurry(Instant::from_millis(millis)))
            });
            assert_eq!(alarm.sleep_at(NOW, Instant::MAX), Woken::Hurried);
            hurriers.into_iter().for_each(|hurrier| hurrier.join().unwrap());
        });
    }

    #[test]
    fn a_close_ends_the_sleep() {
        every_interleaving(|| {
            let alarm = Arc::new(Alarm::new());
            let closer = Arc::clone(&alarm);
            let closer = spawn(move || closer.close());
            let hurrier = Arc::clone(&alarm);
            let hurrier = spawn(move || hurrier.hurry(Instant::from_millis(20)));
            assert_eq!(alarm.sleep_at(NOW, Instant::MAX), Woken::Closed);
            closer.join().unwrap();
            hurrier.join().unwrap();
        });
    }
}
