//! A value that is set once and awaited by many.
//!
//! Whoever waits does so as a thread, as a task with a [`Waker`], or as a function to be called. All are told outside of
//! the lock, by the thread that sets the value.
//!
//! - May use: `sync`.
//! - Must not know: what the value means, and why it may take a while.
//! - Always true: the first value stays; once it is there nobody waits any more; a function is called exactly once, and
//!   functions are called one after the other, in the order in which they were given.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Poll, Waker};

use crate::queue::sync::{Condvar, Deadline, Mutex, WaitUntil};

type OnSet<T> = Box<dyn FnOnce(&T) + Send>;

/// A value that is set once and awaited by many.
pub(crate) struct Completion<T> {
    state: Mutex<State<T>>,
    set: Condvar,
}

struct State<T> {
    value: Option<T>,
    /// How many threads wait for `set`.
    threads: usize,
    wakers: Vec<Waker>,
    /// To be called with the value, by one thread at a time: the one that `calling` tells of.
    calls: VecDeque<OnSet<T>>,
    calling: bool,
}

impl<T: Clone> Completion<T> {
    /// Not set yet.
    pub(crate) fn new() -> Self {
        let state = State { value: None, threads: 0, wakers: Vec::new(), calls: VecDeque::new(), calling: false };
        Self { state: Mutex::new(state), set: Condvar::new() }
    }

    /// Sets the value, and tells all who wait. Answers whether it was the first; the others change nothing.
    ///
    /// # Panics
    ///
    /// With what a function of [`Self::on_set`] panicked with, once all the others were called.
    pub(crate) fn set(&self, value: T) -> bool {
        let mut state = self.state.lock();
        if state.value.is_some() {
            return false;
        }
        state.value = Some(value);
        for waker in mem::take(&mut state.wakers) {
            state.calls.push_back(Box::new(|_| waker.wake()));
        }
        let threads = state.threads;
        let calls = state.begin_calls();
        drop(state);
        if threads > 0 {
            self.set.notify_all();
        }
        if let Some(value) = calls {
            self.call_all(&value);
        }
        true
    }

    /// The value, if it is there.
    pub(crate) fn get(&self) -> Option<T> {
        self.state.lock().value.clone()
    }

    /// Waits for the value.
    pub(crate) fn wait(&self) -> T {
        loop {
            if let Some(value) = self.wait_maybe_until(None) {
                return value;
            }
        }
    }

    /// Waits for the value, at most until `deadline`.
    pub(crate) fn wait_until(&self, deadline: Deadline) -> Option<T> {
        self.wait_maybe_until(Some(deadline))
    }

    fn wait_maybe_until(&self, deadline: Option<Deadline>) -> Option<T> {
        let mut state = self.state.lock();
        let mut timed_out = false;
        state.threads += 1;
        while state.value.is_none() && !timed_out {
            timed_out = self.set.wait_maybe_until(&mut state, deadline);
        }
        state.threads -= 1;
        state.value.clone()
    }

    /// The value, or a wake-up when it comes. A waker that would wake the same task is not kept twice.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<T> {
        let mut state = self.state.lock();
        if let Some(value) = &state.value {
            return Poll::Ready(value.clone());
        }
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    /// Has `call` called with the value, with no lock held: by the thread that sets it, or, if it is set already, by this one
    /// before this returns. Only while others given before are still being called is it left to the thread that calls them.
    ///
    /// # Panics
    ///
    /// With what `call` panicked with, if this calls it.
    pub(crate) fn on_set(&self, call: impl FnOnce(&T) + Send + 'static) {
        let mut state = self.state.lock();
        state.calls.push_back(Box::new(call));
        let calls = state.begin_calls();
        drop(state);
        if let Some(value) = calls {
            self.call_all(&value);
        }
    }

    /// Calls whatever is there, and what comes meanwhile. A panic keeps none from being called.
    fn call_all(&self, value: &T) {
        let mut panicked = None;
        while let Some(call) = self.next_call() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(value))) {
                panicked.get_or_insert(panic);
            }
        }
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }

    /// The next to be called; with none left, calling has ended.
    fn next_call(&self) -> Option<OnSet<T>> {
        let mut state = self.state.lock();
        let call = state.calls.pop_front();
        state.calling = call.is_some();
        call
    }
}

impl<T: Clone> State<T> {
    /// The value to call with, if there is something to call and nobody does.
    fn begin_calls(&mut self) -> Option<T> {
        if self.calling || self.calls.is_empty() {
            return None;
        }
        let value = self.value.clone()?;
        self.calling = true;
        Some(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("value", &self.state.lock().value).finish_non_exhaustive()
    }
}
