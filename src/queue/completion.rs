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
    #[cfg_attr(not(any(feature = "async", test, loom)), expect(dead_code, reason = "futures alone poll"))]
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;
    use std::task::{Wake, Waker};

    use super::*;
    use crate::queue::sync::testing::{far, past};
    use crate::queue::sync::{Arc, atomic, thread};

    #[test]
    fn what_is_set_is_there_at_once_for_everybody() {
        let completion = Completion::new();
        assert!(completion.set(7));
        assert_eq!((completion.get(), completion.wait(), completion.wait_until(past())), (Some(7), 7, Some(7)));
        assert_eq!(completion.poll(Waker::noop()), Poll::Ready(7));
    }

    #[test]
    fn the_first_value_stays() {
        let completion = Completion::new();
        assert!(completion.set(1));
        assert!(!completion.set(2));
        assert_eq!(completion.get(), Some(1));
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let completion = Completion::<u8>::new();
        assert_eq!(completion.wait_until(past()), None);
        assert_eq!(completion.get(), None);
    }

    #[test]
    fn a_thread_that_waits_is_woken() {
        let completion = Arc::new(Completion::new());
        let waiter = Arc::clone(&completion);
        let (send, receive) = mpsc::channel();
        let thread = thread::spawn("waiter".into(), move || send.send(waiter.wait_until(far())).unwrap()).unwrap();
        completion.set(7);
        assert_eq!(receive.recv(), Ok(Some(7)));
        thread.join().unwrap();
    }

    #[derive(Default)]
    struct Woken(atomic::AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, atomic::Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_that_polls_twice_is_woken_once() {
        let (completion, woken) = (Completion::new(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        assert_eq!(completion.poll(&waker), Poll::Pending);
        assert_eq!(completion.poll(&waker), Poll::Pending);
        completion.set(7);
        assert_eq!(woken.0.load(atomic::Ordering::SeqCst), 1);
        assert_eq!(completion.poll(&waker), Poll::Ready(7));
    }

    #[test]
    fn functions_are_called_once_in_the_order_given_also_those_given_meanwhile() {
        let (completion, called) = (Arc::new(Completion::new()), Arc::new(Mutex::new(Vec::new())));
        let note = |number: u8| {
            let called = Arc::clone(&called);
            move |value: &u8| called.lock().push((number, *value))
        };
        let (within, third) = (Arc::clone(&completion), note(3));
        completion.on_set(note(1));
        // With a lock held this would never end.
        completion.on_set(move |_| within.on_set(third));
        completion.on_set(note(2));
        completion.set(7);
        completion.on_set(note(4));
        assert_eq!(*called.lock(), [(1, 7), (2, 7), (3, 7), (4, 7)]);
    }

    #[test]
    fn a_function_that_panics_keeps_no_other_from_being_called() {
        let (completion, called) = (Completion::new(), Arc::new(Mutex::new(0)));
        let note = Arc::clone(&called);
        completion.on_set(|_| panic!("first"));
        completion.on_set(move |value| *note.lock() = *value);
        let panic = catch_unwind(AssertUnwindSafe(|| completion.set(7))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"first"));
        assert_eq!(*called.lock(), 7);
        completion.on_set(|_| {});
        assert!(!completion.state.lock().calling, "calling has ended");
    }
}

#[cfg(all(test, loom))]
mod model {
    use std::task::Wake;

    use loom::thread::spawn;

    use super::*;
    use crate::queue::sync::Arc;
    use crate::queue::sync::testing::{every_interleaving, past};

    #[test]
    fn no_thread_misses_the_value() {
        every_interleaving(|| {
            let completion = Arc::new(Completion::new());
            let waiters = [(); 2].map(|()| {
                let completion = Arc::clone(&completion);
                spawn(move || assert_eq!(completion.wait(), 7))
            });
            let third = Arc::clone(&completion);
            let third = spawn(move || assert!(third.wait_until(past()).is_none_or(|value| value == 7)));
            assert!(completion.set(7));
            waiters.into_iter().chain([third]).for_each(|waiter| waiter.join().unwrap());
        });
    }

    #[test]
    fn one_of_two_values_wins() {
        every_interleaving(|| {
            let completion = Arc::new(Completion::new());
            let other = Arc::clone(&completion);
            let other = spawn(move || other.set(1));
            let won = completion.set(2);
            assert_eq!(completion.wait(), if won { 2 } else { 1 });
            assert_eq!(other.join().unwrap(), !won);
        });
    }

    /// A task's executor, reduced to one task.
    struct Bell(Mutex<bool>, Condvar);

    impl Wake for Bell {
        fn wake(self: std::sync::Arc<Self>) {
            *self.0.lock() = true;
            self.1.notify_one();
        }
    }

    #[test]
    fn no_task_misses_the_value() {
        every_interleaving(|| {
            let completion = Arc::new(Completion::new());
            let task = Arc::clone(&completion);
            let task = spawn(move || {
                let bell = std::sync::Arc::new(Bell(Mutex::new(false), Condvar::new()));
                let waker = Waker::from(std::sync::Arc::clone(&bell));
                while task.poll(&waker).is_pending() {
                    let mut rung = bell.0.lock();
                    while !mem::take(&mut *rung) {
                        bell.1.wait(&mut rung);
                    }
                }
            });
            completion.set(7);
            task.join().unwrap();
        });
    }

    #[test]
    fn functions_are_called_once_in_order_and_one_at_a_time() {
        every_interleaving(|| {
            let completion = Arc::new(Completion::new());
            let called = Arc::new((Mutex::new(Vec::new()), Mutex::new(false)));
            let note = |number: u8| {
                let called = Arc::clone(&called);
                move |_: &u8| {
                    assert!(!mem::replace(&mut *called.1.lock(), true), "two are called at the same time");
                    called.0.lock().push(number);
                    *called.1.lock() = false;
                }
            };
            let (setter, giver) = (Arc::clone(&completion), Arc::clone(&completion));
            let (second, third) = (note(2), note(3));
            completion.on_set(note(1));
            let setter = spawn(move || assert!(setter.set(7)));
            let giver = spawn(move || {
                giver.on_set(second);
                giver.on_set(third);
            });
            setter.join().unwrap();
            giver.join().unwrap();
            assert_eq!(*called.0.lock(), [1, 2, 3]);
        });
    }
}
