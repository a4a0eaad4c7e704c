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
