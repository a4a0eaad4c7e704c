//! What producers and consumers ask of a node.
//!
//! - May use: `message`, `broker`, `record`.
//! - Must not know: threads, files, locks: whoever implements it has those.
//! - Always true: each question is answered once, also when the queue is closed, fails or is dropped.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use crate::broker::{Body, RequestId};
use crate::id::{TopicId, TopicName};
use crate::message::{Fetched, Request, RequestError, Response, TopicConfig};
use crate::queue::budget::Budget;
use crate::record::Entry;
use crate::time::{Instant, Timestamp};

/// What becomes of a question. It is called once, by any thread, with no lock of the node held, and must not wait.
pub(crate) type OnAnswer = Box<dyn FnOnce(Result<Response<Body>, Stopped>) + Send>;

/// The queue is not there any more; whether the question was still taken is not known.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("the queue was closed")]
pub(crate) struct Stopped;

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicFacts {
    /// Its identity: a topic of the same name that is made later has another.
    pub(crate) id: TopicId,
    /// How many partitions it has.
    pub(crate) partitions: u32,
    /// Its settings, where they are not the defaults.
    pub(crate) config: TopicConfig,
}

/// A node, seen by those who use it.
pub(crate) trait Client: Debug + Send + Sync {
    /// The time that deadlines count by. It never goes back.
    fn now(&self) -> Instant;

    /// The time of day.
    fn date(&self) -> Timestamp;

    /// Asks for something. Batches are checked by the rules of their topics on the way. The caller may do some of the disk's
    /// work before this returns, but waits for nobody.
    ///
    /// A produce that wants no acknowledgement ([`Acks::None`](crate::message::Acks::None)) is answered with an empty
    /// [`Response::Produce`] once it was handed over.
    fn ask(&self, request: Request, on_answer: OnAnswer) -> RequestId;

    /// Whoever asked this does not want the answer any more: `on_answer` is dropped, unless it was called already.
    fn cancel(&self, id: RequestId);

    /// Reads what a fetch was answered with, also from files. It may take a while, and holds no lock of the node.
    fn read(&self, fetched: Fetched<Body>) -> Result<Fetched<Vec<Entry>>, RequestError>;

    /// What bounds the memory of those who read; `None` if nothing does.
    fn budget(&self) -> Option<Arc<Budget>> {
        None
    }

    /// What is known of a topic; `None` if there is none of this name.
    fn topic(&self, name: &TopicName) -> Option<Arc<TopicFacts>>;

    /// Has [`Clocked::wake`] called whenever its deadline has come, until it is dropped.
    fn clock(&self, clocked: Weak<dyn Clocked>);

    /// A deadline of somebody who is clocked may be earlier than it was.
    fn hurry(&self, at: Instant);

    /// Calls `ask`, which asks and does not wait, and does something of what follows from it, so that no other thread is woken
    /// up for that: for whoever waits for the answer next.
    fn ask_and_help(&self, ask: &mut dyn FnMut()) {
        ask();
        self.help();
    }

    /// Does something that others would do otherwise, so that whoever is about to wait need not wait for another thread to
    /// wake up first. Answers whether there was anything.
    fn help(&self) -> bool;
}

/// Somebody who has deadlines.
pub(crate) trait Clocked: Send + Sync {
    /// When to wake it; `None` if it need not be woken.
    fn next_deadline(&self) -> Option<Instant>;

    /// Its deadline may have come.
    fn wake(&self, now: Instant);

    /// How many bytes of records it has that the node does not.
    fn memory(&self) -> u64 {
        0
    }

    /// The node has stopped: nobody will be woken again, and every question is answered with [`Stopped`]. Who waits for a
    /// deadline waits in vain.
    fn stopped(&self) {}
}
