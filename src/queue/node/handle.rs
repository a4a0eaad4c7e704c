//! What users of a node hold: when the last of them lets go, the node ends.
//!
//! The threads of a node keep it too, but only while they do something for it.

use std::sync::{Arc, Weak};

use crate::broker::{Body, RequestId};
use crate::disk::Disk;
use crate::id::{TopicName, TopicPartition};
use crate::message::{Fetched, Request, RequestError};
use crate::queue::budget::Budget;
use crate::queue::client::{Client, Clocked, OnAnswer, TopicFacts};
use crate::queue::node::ending::Alive;
use crate::queue::node::{Closed, Node, Notes};
use crate::record::Entry;
use crate::time::{Instant, Timestamp};

/// All that users of a node share.
#[derive(Debug)]
pub(crate) struct Handle<D: Disk>(Arc<Node<D>>);

impl<D: Disk> Handle<D> {
    pub(crate) fn new(node: Arc<Node<D>>) -> Arc<Self> {
        *node.alive.lock() = Some(Alive::begin());
        Arc::new(Self(node))
    }

    pub(crate) fn node(&self) -> &Node<D> {
        &self.0
    }

    /// Ends the node in order; see [`Node::close`].
    pub(crate) fn close(&self, last: &TopicPartition) -> (Vec<Closed>, Notes) {
        let closed = self.0.close(last);
        (closed, self.0.take_notes())
    }
}

impl<D: Disk> Drop for Handle<D> {
    fn drop(&mut self) {
        if let Some(alive) = &mut *self.0.alive.lock() {
            alive.is_ending();
        }
        self.0.stop();
    }
}

impl<D: Disk> Client for Handle<D> {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn date(&self) -> Timestamp {
        self.0.date()
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        self.0.budget()
    }

    fn ask(&self, request: Request, on_answer: OnAnswer) -> RequestId {
        self.0.ask(request, on_answer)
    }

    fn cancel(&self, id: RequestId) {
        self.0.cancel(id);
    }

    fn read(&self, fetched: Fetched<Body>) -> Result<Fetched<Vec<Entry>>, RequestError> {
        self.0.read(fetched)
    }

    fn topic(&self, name: &TopicName) -> Option<Arc<TopicFacts>> {
        self.0.topic(name)
    }

    fn clock(&self, clocked: Weak<dyn Clocked>) {
        Client::clock(&*self.0, clocked);
    }

    fn hurry(&self, at: Instant) {
        self.0.hurry(at);
    }

    fn ask_and_help(&self, ask: &mut dyn FnMut()) {
        self.0.ask_and_help(ask);
    }

    fn help(&self) -> bool {
        self.0.help()
    }
}
