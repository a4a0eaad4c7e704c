//! What one log asks of its files, in order, and who performs it.
//!
//! Two kinds of items: the *ordered* ones are performed one behind the other, the *free* ones wait for nothing. They are
//! queued while the lock is held under which they arose, which keeps their order, and performed without it, by whoever has
//! the [`Turn`]. There is one turn at a time. What is queued while somebody has it comes back to him as a new turn, which
//! he passes on to a helper: nobody works for the others without end.
//!
//! ```text
//!            enqueue            finish, nothing more
//!   idle ─────────────► taken ─────────────────────► idle
//!                        │ ▲│
//!          put_back, then│ ││ dropped: a panic, or nobody left to perform it
//!   finish: ordered items│ │▼
//!   stall, free ones     │ │broken: nothing is performed any more
//!   do not               ▼ │
//!                   stalled┘ retry
//! ```
//!
//! - May use: `sync`.
//! - Must not know: logs, files, and how many bytes wait.
//! - Always true: an ordered item is performed after all that were queued before it and before all that were queued behind
//!   it; whoever leaves items behind has left a turn with somebody, or they are stalled, or the queue is broken.

use std::collections::VecDeque;
use std::fmt;
use std::mem;

use crate::queue::sync::{Arc, Mutex};

/// Something to perform.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Item<T> {
    /// After all that were queued before it.
    Ordered(T),
    /// At any time.
    Free(T),
}

/// What waits to be performed for one log. Its clones are the same queue.
pub(crate) struct OpQueue<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    on_lost: Box<dyn Fn() + Send + Sync>,
}

struct State<T> {
    queued: Batch<T>,
    /// Somebody has the turn.
    taken: bool,
    /// The ordered items wait for another try.
    stalled: bool,
    /// Nothing is performed any more, and nothing is queued.
    broken: bool,
}

/// What one turn performs: first all that is free, since it may make room for the rest, then what is ordered, in order.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Batch<T> {
    /// Wait for nothing, and are in the order in which they were queued.
    pub(crate) free: VecDeque<T>,
    /// To be performed in this order.
    pub(crate) ordered: VecDeque<T>,
}

/// The right and the duty to perform what is queued. One that is dropped breaks the queue off, and says so.
#[must_use = "whoever drops it breaks the queue off"]
pub(crate) struct Turn<T> {
    /// `None` only once it is finished.
    queue: Option<OpQueue<T>>,
}

impl<T> OpQueue<T> {
    /// An empty one. `on_lost` is called when a turn is dropped that was not finished, by the thread that drops it, maybe in
    /// a panic and under locks of its own: it must neither wait nor panic.
    pub(crate) fn new(on_lost: impl Fn() + Send + Sync + 'static) -> Self {
        let state = State { queued: Batch::default(), taken: false, stalled: false, broken: false };
        Self(Arc::new(Shared { state: Mutex::new(state), on_lost: Box::new(on_lost) }))
    }

    /// Queues `items` behind those that are there. To be called while the lock is held under which they arose, which keeps
    /// their order; the turn is for when it is released. A queue that was broken off forgets them.
    pub(crate) fn enqueue(&self, items: impl IntoIterator<Item = Item<T>>) -> Option<Turn<T>> {
        let mut state = self.0.state.lock();
        if state.broken {
            return None;
        }
        for item in items {
            match item {
                Item::Ordered(item) => state.queued.ordered.push_back(item),
                Item::Free(item) => state.queued.free.push_back(item),
            }
        }
        self.turn(&mut state)
    }

    /// Gives ordered items that were put back another try. No turn comes of it if nothing waits; or if somebody has the turn:
    /// to him it comes back.
    pub(crate) fn retry(&self) -> Option<Turn<T>> {
        let mut state = self.0.state.lock();
        state.stalled = false;
        self.turn(&mut state)
    }

    /// Performs nothing any more, and forgets what is queued. What somebody has taken already is with him.
    pub(crate) fn break_off(&self) {
        let mut state = self.0.state.lock();
        state.broken = true;
        let queued = mem::take(&mut state.queued);
        drop(state);
        drop(queued);
    }

    /// Whether ordered items wait for another try.
    pub(crate) fn is_stalled(&self) -> bool {
        self.0.state.lock().stalled
    }

    /// Whether nothing is performed any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.state.lock().broken
    }

    /// Whether nothing is queued and nobody has a turn.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.0.state.lock();
        !state.taken && state.queued.is_empty()
    }

    /// The turn, if there is something to perform and nobody has it.
    fn turn(&self, state: &mut State<T>) -> Option<Turn<T>> {
        if state.taken || !state.has_work() {
            return None;
        }
        state.taken = true;
        Some(Turn { queue: Some(self.clone()) })
    }
}

impl<T> State<T> {
    fn has_work(&self) -> bool {
        let ordered = !self.stalled && !self.queued.ordered.is_empty();
        ordered || !self.queued.free.is_empty()
    }
}

impl<T> Turn<T> {
    /// What is to be performed now: empty only if the queue was broken off.
    pub(crate) fn take(&mut self) -> Batch<T> {
        let Some(queue) = &self.queue else { return Batch::default() };
        let mut state = queue.0.state.lock();
        let free = mem::take(&mut state.queued.free);
        let ordered = if state.stalled { VecDeque::new() } else { mem::take(&mut state.queued.ordered) };
        Batch { free, ordered }
    }

    /// Puts ordered items, which were taken and not performed, back in front of all others: they wait for
    /// [`OpQueue::retry`].
    pub(crate) fn put_back(&mut self, rest: VecDeque<T>) {
        let Some(queue) = &self.queue else { return };
        let mut state = queue.0.state.lock();
        if rest.is_empty() || state.broken {
            return;
        }
        let behind = mem::replace(&mut state.queued.ordered, rest);
        state.queued.ordered.extend(behind);
        state.stalled = true;
    }

    /// Ends the turn, once what was taken is performed and reported. If more was queued meanwhile it comes back, to be passed
    /// on to somebody whose work this is.
    pub(crate) fn finish(mut self) -> Option<Self> {
        let queue = self.queue.take()?;
        let mut state = queue.0.state.lock();
        state.taken = false;
        queue.turn(&mut state)
    }

    /// The queue this is the turn of.
    pub(crate) fn queue(&self) -> Option<&OpQueue<T>> {
        self.queue.as_ref()
    }
}

impl<T> Drop for Turn<T> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.break_off();
            (queue.0.on_lost)();
        }
    }
}

impl<T> Batch<T> {
    /// Whether there is nothing to perform.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.is_empty() && self.ordered.is_empty()
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { free: VecDeque::new(), ordered: VecDeque::new() }
    }
}

impl<T> Clone for OpQueue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for OpQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("OpQueue")
            .field("ordered", &state.queued.ordered.len())
            .field("free", &state.queued.free.len())
            .field("taken", &state.taken)
            .field("stalled", &state.stalled)
            .field("broken", &state.broken)
            .finish()
    }
}

impl<T> fmt::Debug for Turn<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.queue).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::Item::{Free, Ordered};
    use super::*;
    use crate::queue::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    fn queue() -> OpQueue<u32> {
        OpQueue::new(|| panic!("a turn was lost"))
    }

    fn batch(free: &[u32], ordered: &[u32]) -> Batch<u32> {
        Batch { free: free.iter().copied().collect(), ordered: ordered.iter().copied().collect() }
    }

    #[test]
    fn a_turn_takes_all_that_is_queued_and_there_is_one() {
        let queue = queue();
        let mut turn = queue.enqueue([Ordered(1), Free(2), Ordered(3)]).unwrap();
        assert!(queue.enqueue([Ordered(4)]).is_none());
        assert_eq!(turn.take(), batch(&[2], &[1, 3, 4]));
        assert!(turn.finish().is_none());
        assert!(queue.is_idle());
    }

    #[test]
    fn nothing_to_perform_is_no_turn() {
        let queue = queue();
        assert!(queue.enqueue([]).is_none() && queue.retry().is_none());
    }

    #[test]
    fn a_turn_comes_back_for_what_was_queued_meanwhile() {
        let queue = queue();
        let mut turn = queue.enqueue([Ordered(1)]).unwrap();
        assert_eq!(turn.take(), batch(&[], &[1]));
        assert!(queue.enqueue([Ordered(2)]).is_none(), "somebody has the turn");
        let mut again = turn.finish().unwrap();
        assert_eq!(again.take(), batch(&[], &[2]));
        assert!(again.finish().is_none());
        assert!(queue.is_idle());
    }

    #[test]
    fn what_found_no_space_waits_in_front_and_what_is_free_does_not_wait() {
        let queue = queue();
        let mut turn = queue.enqueue([Ordered(1), Ordered(2)]).unwrap();
        let mut taken = turn.take();
        assert!(queue.enqueue([Ordered(3)]).is_none());
        taken.ordered.pop_front();
        turn.put_back(taken.ordered);
        assert!(turn.finish().is_none(), "ordered items wait for a retry");
        assert!(queue.is_stalled() && !queue.is_idle());

        assert!(queue.enqueue([Ordered(4)]).is_none());
        let mut turn = queue.enqueue([Free(5), Ordered(6)]).unwrap();
        assert_eq!(turn.take(), batch(&[5], &[]));
        assert!(turn.finish().is_none());

        let mut turn = queue.retry().unwrap();
        assert_eq!(turn.take(), batch(&[], &[2, 3, 4, 6]));
        assert!(turn.finish().is_none() && !queue.is_stalled() && queue.is_idle());
    }

    #[test]
    fn whoever_made_room_in_his_own_turn_gets_it_back_for_a_retry() {
        let queue = queue();
        let mut turn = queue.enqueue([Ordered(1), Free(2)]).unwrap();
        let taken = turn.take();
        turn.put_back(taken.ordered);
        assert!(queue.retry().is_none(), "there is one turn");
        let mut turn = turn.finish().unwrap();
        assert_eq!(turn.take(), batch(&[], &[1]));
        assert!(turn.finish().is_none());
    }

    #[test]
    fn nothing_put_back_is_no_stall() {
        let queue = queue();
        let mut turn = queue.enqueue([Ordered(1)]).unwrap();
        turn.take();
        turn.put_back(VecDeque::new());
        assert!(turn.finish().is_none() && !queue.is_stalled());
    }

    #[test]
    fn a_queue_that_was_broken_off_performs_nothing() {
        let queue = queue();
        let mut turn = queue.enqueue([Ordered(1), Ordered(2)]).unwrap();
        let taken = turn.take();
        assert!(queue.enqueue([Ordered(3), Free(4)]).is_none());
        queue.break_off();
        turn.put_back(taken.ordered);
        assert!(turn.take().is_empty() && turn.finish().is_none());
        assert!(queue.enqueue([Ordered(5), Free(6)]).is_none() && queue.retry().is_none());
        assert!(queue.is_broken() && queue.is_idle());
    }

    #[test]
    fn a_turn_that_is_lost_in_a_panic_breaks_the_queue_off_and_says_so() {
        let lost = Arc::new(AtomicUsize::new(0));
        let note = Arc::clone(&lost);
        let queue = OpQueue::new(move || {
            note.fetch_add(1, SeqCst);
        });
        let turn = queue.enqueue([Ordered(1)]).unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _turn = turn;
            panic!("in the middle of it");
        }));
        assert!(panic.is_err());
        assert_eq!((lost.load(SeqCst), queue.is_broken()), (1, true));
        assert!(queue.enqueue([Ordered(2)]).is_none());
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::thread::spawn;

    use super::Item::{Free, Ordered};
    use super::*;
    use crate::queue::sync::testing::every_interleaving;

    /// A log that numbers its ops under its lock, its queue, and the files on which they are performed.
    struct Log {
        next: Mutex<u32>,
        queue: OpQueue<u32>,
        performed: Mutex<Performed>,
        /// Turns that were passed on to the helper.
        passed_on: Mutex<Vec<Turn<u32>>>,
        /// The queue was broken off.
        over: Mutex<bool>,
    }

    #[derive(Default)]
    struct Performed {
        ordered: Vec<u32>,
        free: u32,
        busy: bool,
        /// How many ops find space until more is made.
        space: usize,
    }

    impl Log {
        fn new(space: usize) -> Arc<Self> {
            Arc::new(Self {
                next: Mutex::new(0),
                queue: OpQueue::new(|| panic!("a turn was lost")),
                performed: Mutex::new(Performed { space, ..Performed::default() }),
                passed_on: Mutex::new(Vec::new()),
                over: Mutex::new(false),
            })
        }

        fn append(&self) {
            let mut next = self.next.lock();
            *next += 1;
            let turn = self.queue.enqueue([Ordered(*next)]);
            drop(next);
            self.perform_and_pass_on(turn);
        }

        fn perform_and_pass_on(&self, turn: Option<Turn<u32>>) {
            if let Some(turn) = turn.and_then(|turn| self.perform(turn)) {
                self.passed_on.lock().push(turn);
            }
        }

        fn perform(&self, mut turn: Turn<u32>) -> Option<Turn<u32>> {
            let over = *self.over.lock();
            let mut batch = turn.take();
            assert!(!over || batch.is_empty(), "something is performed after the break");
            self.begin();
            let mut files = self.performed.lock();
            files.free += batch.free.len() as u32;
            while files.space > 0
                && let Some(op) = batch.ordered.pop_front()
            {
                files.space -= 1;
                files.ordered.push(op);
            }
            files.busy = false;
            drop(files);
            turn.put_back(batch.ordered);
            turn.finish()
        }

        /// Between this and the end of the work another thread would be seen.
        fn begin(&self) {
            let mut files = self.performed.lock();
            assert!(!mem::replace(&mut files.busy, true), "two perform at the same time");
        }

        fn help(&self) {
            loop {
                let Some(turn) = self.passed_on.lock().pop() else { return };
                self.perform_and_pass_on(Some(turn));
            }
        }
    }

    #[test]
    fn ops_are_performed_in_order_by_one_at_a_time_and_none_is_left_behind() {
        every_interleaving(|| {
            let log = Log::new(usize::MAX);
            let appenders = [(); 2].map(|()| {
                let log = Arc::clone(&log);
                spawn(move || log.append())
            });
            log.append();
            log.help();
            appenders.into_iter().for_each(|appender| appender.join().unwrap());
            log.help();
            assert_eq!(log.performed.lock().ordered, [1, 2, 3]);
            assert!(log.queue.is_idle());
        });
    }

    #[test]
    fn a_stalled_queue_keeps_its_order_performs_what_is_free_and_goes_on_after_a_retry() {
        every_interleaving(|| {
            let log = Log::new(0);
            let appenders = [(); 2].map(|()| {
                let log = Arc::clone(&log);
                spawn(move || log.append())
            });
            log.perform_and_pass_on(log.queue.enqueue([Free(0)]));
            log.perform_and_pass_on(log.queue.retry());
            appenders.into_iter().for_each(|appender| appender.join().unwrap());
            log.help();
            assert_eq!((log.performed.lock().free, log.queue.is_stalled()), (1, true));
            log.performed.lock().space = 2;
            log.perform_and_pass_on(log.queue.retry());
            log.help();
            assert_eq!(log.performed.lock().ordered, [1, 2]);
            assert!(log.queue.is_idle());
        });
    }

    #[test]
    fn a_retry_is_not_forgotten_while_somebody_has_the_turn() {
        every_interleaving(|| {
            let log = Log::new(0);
            log.append();
            let remover = Arc::clone(&log);
            let remover = spawn(move || {
                let turn = remover.queue.enqueue([Free(0)]);
                remover.perform_and_pass_on(turn);
            });
            log.performed.lock().space = 1;
            log.perform_and_pass_on(log.queue.retry());
            remover.join().unwrap();
            log.help();
            assert_eq!(log.performed.lock().ordered, [1]);
            assert!(log.queue.is_idle() && !log.queue.is_stalled());
        });
    }

    #[test]
    fn nothing_is_performed_after_a_break_and_its_turn_ends() {
        every_interleaving(|| {
            let log = Log::new(usize::MAX);
            let appenders = [(); 2].map(|()| {
                let log = Arc::clone(&log);
                spawn(move || log.append())
            });
            log.queue.break_off();
            *log.over.lock() = true;
            assert!(log.queue.enqueue([Ordered(9), Free(9)]).is_none());
            appenders.into_iter().for_each(|appender| appender.join().unwrap());
            log.help();
            assert!(log.queue.is_idle());
            assert!([[1, 2].as_slice(), &[1], &[]].contains(&&*log.performed.lock().ordered));
        });
    }
}
