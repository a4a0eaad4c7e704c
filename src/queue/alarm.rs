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
