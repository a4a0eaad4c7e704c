//! A bounded amount of bytes: taken before any lock, given back when what they stood for is gone.
//!
//! One atomic number holds what is in use and two marks, so that taking what is free costs one compare-exchange. Whoever
//! finds too little left stands in a line and is served in order: while somebody stands there, nobody takes past him, so
//! that a large request is not starved by small ones.
//!
//! - May use: `sync`.
//! - Must not know: whose bytes they are.
//! - Always true: at most `max` is in use; the mark `LINE` stands exactly while somebody is in the line; a closed one gives
//!   nothing any more, but takes back.

use std::collections::VecDeque;

use crate::queue::sync::atomic::AtomicUsize;
use crate::queue::sync::atomic::Ordering::{AcqRel, Acquire};
use crate::queue::sync::{Arc, Condvar, Deadline, Mutex, MutexGuard, WaitUntil};

/// Somebody stands in the line.
const LINE: usize = 1;
/// Nothing is given any more.
const CLOSED: usize = 2;
/// What one byte in use counts, above the marks.
const BYTE: usize = 4;

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TakeError {
    /// It is more than there will ever be.
    #[error("{wanted} bytes are more than the {max} there are")]
    TooLarge { wanted: usize, max: usize },
    /// The deadline has come first.
    #[error("timed out waiting for {wanted} bytes")]
    TimedOut { wanted: usize },
    /// Nothing is given any more.
    #[error("closed")]
    Closed,
}

/// A bounded amount of bytes.
#[derive(Debug)]
pub(crate) struct Permits {
    max: usize,
    /// What is in use, in units of [`BYTE`], and the marks.
    state: AtomicUsize,
    line: Mutex<VecDeque<Arc<Place>>>,
}

/// Where one thread stands in the line.
#[derive(Debug)]
struct Place {
    wanted: usize,
    /// Rung when the one who stands here should look again.
    bell: Condvar,
}

type Line<'a> = MutexGuard<'a, VecDeque<Arc<Place>>>;

impl Permits {
    /// `max` bytes, none of them in use. More than a quarter of the address space is none the better for it.
    pub(crate) fn new(max: usize) -> Self {
        let max = max.min(usize::MAX / BYTE);
        Self { max, state: AtomicUsize::new(0), line: Mutex::new(VecDeque::new()) }
    }

    /// Takes `wanted` bytes, unless there are too few, somebody else stands in the line, or it is closed.
    pub(crate) fn try_take(&self, wanted: usize) -> bool {
        self.take_unless(wanted, LINE | CLOSED)
    }

    /// Takes `wanted` bytes, and waits for them if it must.
    ///
    /// # Errors
    ///
    /// [`TakeError::TooLarge`] and [`TakeError::Closed`]. Nothing was taken.
    pub(crate) fn take(&self, wanted: usize) -> Result<(), TakeError> {
        self.take_maybe_until(wanted, None)
    }

    /// Takes `wanted` bytes, and waits for them at most until `deadline`.
    ///
    /// # Errors
    ///
    /// [`TakeError`]. Nothing was taken.
    pub(crate) fn take_until(&self, wanted: usize, deadline: Deadline) -> Result<(), TakeError> {
        self.take_maybe_until(wanted, Some(deadline))
    }

    /// Gives back what was taken.
    ///
    /// # Panics
    ///
    /// If it is more than is in use.
    pub(crate) fn give(&self, bytes: usize) {
        let before = self.state.fetch_sub(bytes * BYTE, AcqRel);
        assert!(before / BYTE >= bytes, "{bytes} bytes given back of {} in use", before / BYTE);
        if before & LINE != 0 {
            self.ring_first(&self.line.lock());
        }
    }

    /// Gives nothing any more, and ends every wait.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, AcqRel);
        self.line.lock().iter().for_each(|place| {
            place.bell.notify_one();
        });
    }

    /// Whether somebody stands in the line.
    pub(crate) fn is_awaited(&self) -> bool {
        self.state.load(Acquire) & LINE != 0
    }

    /// How many bytes are in use.
    pub(crate) fn used(&self) -> usize {
        self.state.load(Acquire) / BYTE
    }

    fn take_maybe_until(&self, wanted: usize, deadline: Option<Deadline>) -> Result<(), TakeError> {
        if wanted > self.max {
            return Err(TakeError::TooLarge { wanted, max: self.max });
        }
        if self.try_take(wanted) {
            return Ok(());
        }
        let mut line = self.line.lock();
        let place = self.stand_in(&mut line, wanted);
        let result = self.wait_in(&mut line, &place, deadline);
        self.leave(&mut line, &place);
        result
    }

    fn stand_in(&self, line: &mut Line<'_>, wanted: usize) -> Arc<Place> {
        let place = Arc::new(Place { wanted, bell: Condvar::new() });
        line.push_back(Arc::clone(&place));
        self.state.fetch_or(LINE, AcqRel);
        place
    }

    /// Waits until this place is the first and has got what it wants. A last look comes after the deadline.
    fn wait_in(&self, line: &mut Line<'_>, place: &Arc<Place>, deadline: Option<Deadline>) -> Result<(), TakeError> {
        let mut timed_out = false;
        loop {
            if self.state.load(Acquire) & CLOSED != 0 {
                return Err(TakeError::Closed);
            }
            let is_first = line.front().is_some_and(|first| Arc::ptr_eq(first, place));
            if is_first && self.take_unless(place.wanted, CLOSED) {
                return Ok(());
            }
            if timed_out {
                return Err(TakeError::TimedOut { wanted: place.wanted });
            }
            timed_out = place.bell.wait_maybe_until(line, deadline);
        }
    }

    fn leave(&self, line: &mut Line<'_>, place: &Arc<Place>) {
        line.retain(|other| !Arc::ptr_eq(other, place));
        match line.is_empty() {
            true => drop(self.state.fetch_and(!LINE, AcqRel)),
            false => self.ring_first(line),
        }
    }

    /// Has the first in the line look again, if there is enough for him.
    fn ring_first(&self, line: &VecDeque<Arc<Place>>) {
        if let Some(first) = line.front().filter(|first| first.wanted <= self.max - self.used()) {
            first.bell.notify_one();
        }
    }

    /// Takes `wanted` bytes unless one of these marks stands, or there are too few.
    fn take_unless(&self, wanted: usize, marks: usize) -> bool {
        let taken = |state: usize| {
            let fits = wanted <= self.max - state / BYTE;
            (state & marks == 0 && fits).then(|| state + wanted * BYTE)
        };
        self.state.fetch_update(AcqRel, Acquire, taken).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::queue::sync::testing::{far, past};
    use crate::queue::sync::thread;

    #[test]
    fn what_is_taken_is_in_use_until_it_is_given_back() {
        let permits = Permits::new(10);
        assert!(permits.try_take(4) && permits.try_take(6));
        assert!(!permits.try_take(1) && permits.try_take(0));
        assert_eq!(permits.used(), 10);
        permits.give(4);
        assert_eq!((permits.used(), permits.try_take(5), permits.try_take(4)), (6, false, true));
    }

    #[test]
    fn more_than_there_will_ever_be_is_refused_at_once() {
        let permits = Permits::new(10);
        assert_eq!(permits.take(11), Err(TakeError::TooLarge { wanted: 11, max: 10 }));
        assert_eq!(permits.take(usize::MAX), Err(TakeError::TooLarge { wanted: usize::MAX, max: 10 }));
        assert!(!permits.try_take(usize::MAX));
        assert_eq!(permits.used(), 0);
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_leaves_no_mark() {
        let permits = Permits::new(10);
        assert_eq!(permits.take_until(8, past()), Ok(()));
        assert_eq!(permits.take_until(3, past()), Err(TakeError::TimedOut { wanted: 3 }));
        assert!(permits.try_take(2), "nobody stands in the line any more");
    }

    #[test]
    fn a_closed_one_gives_nothing_and_takes_back() {
        let permits = Permits::new(10);
        permits.take(10).unwrap();
        permits.close();
        permits.give(10);
        assert_eq!((permits.try_take(1), permits.take(1)), (false, Err(TakeError::Closed)));
        assert_eq!(permits.used(), 0);
    }

    #[test]
    #[should_panic(expected = "3 bytes given back of 2 in use")]
    fn more_than_was_taken_cannot_be_given_back() {
        let permits = Permits::new(10);
        permits.take(2).unwrap();
        permits.give(3);
    }

    #[test]
    fn a_small_request_does_not_pass_a_large_one_that_waits() {
        let permits = Arc::new(Permits::new(10));
        permits.take(9).unwrap();
        let large = Arc::clone(&permits);
        let (send, receive) = mpsc::channel();
        let thread = thread::spawn("large".into(), move || send.send(large.take_until(10, far())).unwrap()).unwrap();
        while permits.line.lock().is_empty() {
            std::thread::yield_now();
        }
        assert!(!permits.try_take(1), "there is one, but it is not for us");
        permits.give(9);
        assert_eq!(receive.recv(), Ok(Ok(())));
        thread.join().unwrap();
        assert_eq!(permits.used(), 10);
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::thread::spawn;

    use super::*;
    use crate::queue::sync::atomic::Ordering::Release;
    use crate::queue::sync::testing::{every_interleaving, past};

    #[test]
    fn never_more_than_max_is_in_use_and_nobody_is_left_waiting() {
        every_interleaving(|| {
            let permits = Arc::new(Permits::new(3));
            // Not one of loom's, so that it adds no interleavings of its own.
            let in_use = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let takers = [2, 1, 3].map(|wanted| {
                let (permits, in_use) = (Arc::clone(&permits), Arc::clone(&in_use));
                move || {
                    permits.take(wanted).unwrap();
                    assert!(in_use.fetch_add(wanted, AcqRel) + wanted <= 3);
                    in_use.fetch_sub(wanted, AcqRel);
                    permits.give(wanted);
                }
            });
            let [first, second, third] = takers;
            let (first, second) = (spawn(first), spawn(second));
            third();
            first.join().unwrap();
            second.join().unwrap();
            assert_eq!((permits.used(), permits.try_take(3)), (0, true));
        });
    }

    #[test]
    fn nobody_takes_past_one_who_stands_in_the_line() {
        every_interleaving(|| {
            let permits = Arc::new(Permits::new(2));
            permits.take(1).unwrap();
            let (large, served) = (Arc::clone(&permits), Arc::new(AtomicUsize::new(0)));
            let seen = Arc::clone(&served);
            let large = spawn(move || {
                large.take(2).unwrap();
                seen.store(1, Release);
                large.give(2);
            });
            let stood = !permits.line.lock().is_empty();
            permits.give(1);
            if stood && permits.try_take(1) {
                assert_eq!(served.load(Acquire), 1, "a small one took past a large one");
                permits.give(1);
            }
            large.join().unwrap();
        });
    }

    #[test]
    fn one_who_gives_up_lets_the_next_one_through() {
        every_interleaving(|| {
            let permits = Arc::new(Permits::new(2));
            permits.take(2).unwrap();
            let (large, small) = (Arc::clone(&permits), Arc::clone(&permits));
            let large = spawn(move || large.take_until(2, past()).is_ok());
            let small = spawn(move || small.take(1).unwrap());
            permits.give(1);
            small.join().unwrap();
            assert!(!large.join().unwrap(), "there was never room for it");
            assert_eq!(permits.used(), 2);
        });
    }

    #[test]
    fn a_close_ends_every_wait() {
        every_interleaving(|| {
            let permits = Arc::new(Permits::new(1));
            permits.take(1).unwrap();
            let waiters = [(); 2].map(|()| {
                let permits = Arc::clone(&permits);
                spawn(move || assert_eq!(permits.take(1), Err(TakeError::Closed)))
            });
            permits.close();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }
}
