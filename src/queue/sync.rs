//! Locks, condition variables, atomics and threads: the one door through which this room gets them.
//!
//! They are those of `parking_lot` and `std`. Under `cfg(loom)` they are loom's instead, in the same clothes, so that a
//! model at the foot of a file runs the very code above it through every interleaving.
//!
//! - May use: nothing of ours.
//! - Must not know: what is locked, and what is waited for.
//! - Always true: a panic with a lock held leaves the lock usable; a wait may end without a cause, so whoever waits looks
//!   again.

#[cfg(not(loom))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, atomic};

#[cfg(loom)]
pub(crate) use self::modelled::{Condvar, Mutex, MutexGuard};
#[cfg(loom)]
pub(crate) use loom::sync::{Arc, atomic};

/// When a wait ends at the latest, on the clock of the machine.
#[expect(clippy::disallowed_types, reason = "a condition variable counts by the clock of the machine")]
pub(crate) type Deadline = std::time::Instant;

/// Threads: to start one and to wait for its end.
pub(crate) mod thread {
    #[cfg(loom)]
    pub(crate) use loom::thread::current;
    #[cfg(not(loom))]
    pub(crate) use std::thread::current;

    /// A thread that was started.
    #[cfg(loom)]
    pub(crate) type Handle = loom::thread::JoinHandle<()>;
    /// A thread that was started.
    #[cfg(not(loom))]
    #[expect(clippy::disallowed_types, reason = "threads live in this room")]
    pub(crate) type Handle = std::thread::JoinHandle<()>;

    /// Starts a thread of this name.
    ///
    /// # Errors
    ///
    /// The operating system's, if it has no thread to give.
    pub(crate) fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<Handle> {
        #[cfg(loom)]
        use loom::thread::Builder;
        #[cfg(not(loom))]
        use std::thread::Builder;
        Builder::new().name(name).spawn(run)
    }
}

/// Waits, with or without an end.
pub(crate) trait WaitUntil {
    /// Waits for a notification, at most until `deadline`; without one, for as long as it takes. Answers whether the
    /// deadline ended it.
    fn wait_maybe_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Option<Deadline>) -> bool;
}

impl WaitUntil for Condvar {
    fn wait_maybe_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Option<Deadline>) -> bool {
        let Some(deadline) = deadline else {
            self.wait(guard);
            return false;
        };
        self.wait_until(guard, deadline).timed_out()
    }
}

/// What tests and models share.
#[cfg(test)]
pub(crate) mod testing {
    use std::time::Duration;

    use super::Deadline;

    /// A deadline that has passed.
    #[expect(clippy::disallowed_methods, reason = "a test waits by the clock of the machine")]
    pub(crate) fn past() -> Deadline {
        Deadline::now()
    }

    /// A deadline that comes only if something hangs, and never in a model.
    pub(crate) fn far() -> Deadline {
        past() + Duration::from_secs(30)
    }

    /// Runs a model through every interleaving of its threads in which each is interrupted at most three times.
    #[cfg(loom)]
    pub(crate) fn every_interleaving(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(3));
        builder.check(model);
    }
}

/// loom's locks behind `parking_lot`'s signatures.
#[cfg(loom)]
mod modelled {
    use std::ops::{Deref, DerefMut};

    use super::Deadline;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: &self.0, held: self.0.lock().ok() }
        }
    }

    /// Holds nothing only while its thread waits.
    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T> {
        mutex: &'a loom::sync::Mutex<T>,
        held: Option<loom::sync::MutexGuard<'a, T>>,
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.held.as_ref().expect("no model panics with a lock held")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_mut().expect("no model panics with a lock held")
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            guard.held = guard.held.take().and_then(|held| self.0.wait(held).ok());
        }

        /// A deadline that has passed ends the wait once others could have the lock; one that has not passed never comes,
        /// since a model has no time. A model gives the one or the other.
        #[expect(clippy::disallowed_methods, reason = "only to tell the past from the future")]
        pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Deadline) -> WaitTimeoutResult {
            let passed = deadline <= Deadline::now();
            if passed {
                guard.held = None;
                guard.held = guard.mutex.lock().ok();
            } else {
                self.wait(guard);
            }
            WaitTimeoutResult(passed)
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct WaitTimeoutResult(bool);

    impl WaitTimeoutResult {
        pub(crate) fn timed_out(self) -> bool {
            self.0
        }
    }
}
