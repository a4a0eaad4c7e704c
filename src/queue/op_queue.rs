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

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;

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
    #[cfg(test)]
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
