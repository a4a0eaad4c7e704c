//! Who is inside, and the end of it: users are counted until somebody closes, and the closer waits for the last of them.
//!
//! - May use: `sync`.
//! - Must not know: what is used, and what the closer does then.
//! - Always true: there is one closer; nobody comes in after him; once he has waited nobody is inside.

use crate::queue::sync::atomic::AtomicUsize;
use crate::queue::sync::atomic::Ordering::{AcqRel, Acquire};
use crate::queue::sync::{Arc, Condvar, Deadline, Mutex, WaitUntil};

/// Nobody comes in any more.
const CLOSED: usize = 1;
/// What one user counts, above the mark.
const USER: usize = 2;

/// Counts users until it is closed. Its clones are the same latch.
#[derive(Clone, Debug)]
pub(crate) struct Latch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many are inside, in units of [`USER`], and the mark.
    state: AtomicUsize,
    waiting: Mutex<()>,
    /// The last user has left.
    empty: Condvar,
}

/// Somebody who is inside until this is dropped.
#[derive(Debug)]
pub(crate) struct Inside(Arc<Shared>);

impl Latch {
    /// Open, with nobody inside.
    pub(crate) fn new() -> Self {
        let shared = Shared { state: AtomicUsize::new(0), waiting: Mutex::new(()), empty: Condvar::new() };
        Self(Arc::new(shared))
    }

    /// Comes in; `None` once it is closed.
    pub(crate) fn enter(&self) -> Option<Inside> {
        let entered = |state: usize| (state & CLOSED == 0).then(|| state + USER);
        self.0.state.fetch_update(AcqRel, Acquire, entered).ok()?;
        Some(Inside(Arc::clone(&self.0)))
    }

    /// Lets nobody in any more. Answers whether this is the closer: it is one call alone.
    pub(crate) fn close(&self) -> bool {
        self.0.state.fetch_or(CLOSED, AcqRel) & CLOSED == 0
    }

    /// Closes, and waits until nobody is inside. Answers whether this was the closer; the others wait for nothing. Whoever is
    /// inside himself waits for ever.
    pub(crate) fn close_and_wait(&self) -> bool {
        let is_closer = self.close();
        if is_closer {
            self.wait_maybe_until(None);
        }
        is_closer
    }

    /// Waits until nobody is inside of what is closed, at most until `deadline`. Answers whether that is so.
    pub(crate) fn wait_until(&self, deadline: Deadline) -> bool {
        self.wait_maybe_until(Some(deadline))
    }

    /// Whether nobody comes in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.state.load(Acquire) & CLOSED != 0
    }

    fn wait_maybe_until(&self, deadline: Option<Deadline>) -> bool {
        let mut waiting = self.0.waiting.lock();
        let mut timed_out = false;
        while !self.0.is_empty() && !timed_out {
            timed_out = self.0.empty.wait_maybe_until(&mut waiting, deadline);
        }
        self.0.is_empty()
    }
}

impl Shared {
    fn is_empty(&self) -> bool {
        self.state.load(Acquire) / USER == 0
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(USER, AcqRel) == USER | CLOSED {
            // With the lock: whoever has just seen somebody inside waits by now.
            drop(self.0.waiting.lock());
            self.0.empty.notify_all();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::queue::sync::testing::past;

    #[test]
    fn nobody_comes_in_after_the_close_and_there_is_one_closer() {
        let latch = Latch::new();
        drop(latch.enter().unwrap());
        assert!(latch.close_and_wait());
        assert!(!latch.close_and_wait() && !latch.close());
        assert!(latch.is_closed() && latch.enter().is_none());
    }

    #[test]
    fn a_wait_for_one_who_does_not_leave_ends_at_its_deadline() {
        let latch = Latch::new();
        let inside = latch.enter().unwrap();
        assert!(latch.close() && !latch.wait_until(past()));
        drop(inside);
        assert!(latch.wait_until(past()));
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::thread::spawn;

    use super::*;
    use crate::queue::sync::testing::every_interleaving;

    #[test]
    fn the_closer_waits_until_nobody_is_inside_and_nobody_comes_in_then() {
        every_interleaving(|| {
            let (latch, used) = (Latch::new(), Arc::new(AtomicUsize::new(0)));
            let users = [(); 2].map(|()| {
                let (latch, used) = (latch.clone(), Arc::clone(&used));
                spawn(move || {
                    if let Some(_inside) = latch.enter() {
                        used.fetch_add(1, AcqRel);
                        used.fetch_sub(1, AcqRel);
                    }
                })
            });
            assert!(latch.close_and_wait());
            assert_eq!((used.load(Acquire), latch.enter().is_none()), (0, true));
            users.into_iter().for_each(|user| user.join().unwrap());
        });
    }

    #[test]
    fn there_is_one_closer_and_he_is_woken() {
        every_interleaving(|| {
            let latch = Latch::new();
            let inside = latch.enter().unwrap();
            let closers = [(); 2].map(|()| {
                let latch = latch.clone();
                spawn(move || latch.close_and_wait())
            });
            drop(inside);
            let won = closers.into_iter().filter_map(|closer| closer.join().unwrap().then_some(())).count();
            assert_eq!(won, 1);
        });
    }
}
