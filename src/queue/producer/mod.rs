//! The producer of a queue: records in, from any thread; a ticket for each.
//!
//! It starts no thread. Who sends encodes the record into the batch of its partition, under one short lock; the one whose
//! record fills a batch builds it and hands it over, with no lock held. What lingers, and what is to be sent again, is sent by
//! the node's clock.
//!
//! ```text
//!   Producer ──▶ Shared ──▶ TopicLanes ──▶ PartitionLane ──▶ Client (the node)
//!   SendTicket ◀── BatchTickets ◀─────────────┘ ◀── Flight ◀──┘
//! ```
//!
//! Every record is numbered for the node, so that one that is sent again, because nobody knows what became of it, is not
//! written twice.
//!
//! - May use: the newtypes, `record`, `message`, `producer`, and `client`, `completion`, `permits` and `sync` of its room.
//! - Must not know: the node, but as a `Client`; files, threads.
//! - Always true: each record that was taken has one outcome; records of one partition keep the order in which they were
//!   taken; the memory for records stays below its limit; every way to stop ends every wait.

mod config;
mod due;
mod fault;
mod flight;
mod identity;
mod lane;
mod memory;
mod record;
mod send;
mod shared;
mod slots;
#[cfg(test)]
mod tests;
mod ticket;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use crate::producer::{ConfigError, SendError};
use crate::queue::client::Client;
use crate::queue::producer::send::Pace;
use crate::queue::producer::shared::Shared;
use crate::queue::producer::ticket::{BatchTickets, deadline_in};
use crate::queue::producer::topics::TopicLanes;

pub use config::{NewPartitioner, Partitioning, ProducerConfig};
pub use fault::SendFault;
pub use record::{Payload, Record};
pub use ticket::{Placed, SendTicket};

/// Sends records. Cheap to clone; clones share batches and memory, and may be used from many threads.
///
/// When the last clone is dropped, what was taken is still sent, and its tickets still tell; nobody waits for that. Who wants
/// to know calls [`Producer::flush`] or [`Producer::close`] before.
#[derive(Clone, Debug)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// Dropped with the last clone.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

/// A producer with a topic, for those who send to it a lot. Otherwise as [`Producer`], of which it is a clone.
#[derive(Clone, Debug)]
pub struct TopicProducer {
    producer: Producer,
    topic: Arc<TopicLanes>,
}

impl Producer {
    /// A producer that sends to this node.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration makes no sense, or this build does not have the codec.
    pub(crate) fn new(client: Arc<dyn Client>, config: ProducerConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { handle: Arc::new(Handle { shared: Shared::new(client, config) }) })
    }

    /// Takes a record. It is sent when its batch is full, or its linger is over.
    ///
    /// The record is in no log yet when this returns: the ticket tells when it is. Threads that send to different partitions
    /// do not wait for each other. If there is no memory for the record, this waits, fails or drops the oldest records, as
    /// the producer is configured.
    ///
    /// # Errors
    ///
    /// [`SendFault`]. The record was not taken then.
    pub fn send(&self, record: Record<'_>) -> Result<SendTicket, SendFault> {
        self.send_at(record, Pace::Linger)
    }

    /// The same, with a function that is called when it is known what has become of the record: see
    /// [`SendTicket::on_done`].
    ///
    /// # Errors
    ///
    /// As [`Producer::send`]; `callback` is not called then.
    pub fn send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Placed, SendError>) + Send + 'static,
    ) -> Result<(), SendFault> {
        self.send(record)?.on_done(callback);
        Ok(())
    }

    /// Sends a record at once, with whatever is in its batch already, and waits until it is known what has become of it.
    ///
    /// While as many batches as are allowed are on their way, the records of all who call this share the next one.
    ///
    /// # Errors
    ///
    /// As [`Producer::send`], within [`SendAndWaitError::NotTaken`]; as [`SendTicket::wait`], within
    /// [`SendAndWaitError::NotDelivered`].
    pub fn send_and_wait(&self, record: Record<'_>) -> Result<Placed, SendAndWaitError> {
        Ok(self.send_at(record, Pace::AtOnce)?.wait()?)
    }

    /// A handle for one topic, which need not look it up for each record.
    ///
    /// # Errors
    ///
    /// [`SendFault::UnknownTopic`] or [`SendFault::Name`].
    pub fn topic(&self, name: &str) -> Result<TopicProducer, SendFault> {
        let topic = Arc::clone(self.shared().topic(name)?);
        Ok(TopicProducer { producer: self.clone(), topic })
    }

    /// Sends all that was taken, without linger, and waits until it is known what has become of it: by whichever thread.
    /// What is taken meanwhile is not waited for. Not from within a callback, which would wait for itself.
    ///
    /// # Errors
    ///
    /// [`SendError`] of the first record waited for that was not delivered. It waits for the others all the same. What had
    /// failed before is not told again.
    pub fn flush(&self) -> Result<(), SendError> {
        wait_for(&self.shared().flush())
    }

    /// Takes no more records, waits for at most `timeout` until it is known what has become of those that were taken, and gives
    /// up the others: their tickets tell [`SendError::Closed`]. Who waits for memory gets [`SendFault::Closed`].
    ///
    /// It closes the producer for all clones. Closing it again does nothing. Not from within a callback, which would wait for
    /// itself.
    ///
    /// # Errors
    ///
    /// [`SendError`] of the first record waited for that was not delivered.
    pub fn close(&self, timeout: Duration) -> Result<(), SendError> {
        let (shared, deadline) = (self.shared(), deadline_in(timeout));
        shared.close();
        let untold = shared.flush();
        for batch in &untold {
            if batch.wait_until(deadline).is_none() {
                break;
            }
        }
        shared.stop();
        wait_for(&untold)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    fn send_at(&self, record: Record<'_>, pace: Pace) -> Result<SendTicket, SendFault> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(SendFault::Closed);
        }
        let Some(name) = record.topic else { return Err(SendFault::WrongTopic { found: None }) };
        shared.send(shared.topic(name)?, &record, pace)
    }
}

impl TopicProducer {
    /// Takes a record; it may leave out its topic. See [`Producer::send`].
    ///
    /// # Errors
    ///
    /// [`SendFault`]; [`SendFault::WrongTopic`] if the record names another topic. It was not taken then.
    pub fn send(&self, record: Record<'_>) -> Result<SendTicket, SendFault> {
        self.send_at(&record, Pace::Linger)
    }

    /// As [`Producer::send_with`].
    ///
    /// # Errors
    ///
    /// As [`TopicProducer::send`]; `callback` is not called then.
    pub fn send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Placed, SendError>) + Send + 'static,
    ) -> Result<(), SendFault> {
        self.send(record)?.on_done(callback);
        Ok(())
    }

    /// As [`Producer::send_and_wait`].
    ///
    /// # Errors
    ///
    /// As [`Producer::send_and_wait`].
    pub fn send_and_wait(&self, record: Record<'_>) -> Result<Placed, SendAndWaitError> {
        Ok(self.send_at(&record, Pace::AtOnce)?.wait()?)
    }

    /// The producer that this is a clone of.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    fn send_at(&self, record: &Record<'_>, pace: Pace) -> Result<SendTicket, SendFault> {
        let shared = self.producer.shared();
        if shared.is_closed() {
            return Err(SendFault::Closed);
        }
        if let Some(other) = record.topic.filter(|name| *name != self.topic.name.as_str()) {
            return Err(SendFault::WrongTopic { found: Some(other.to_owned()) });
        }
        shared.send(&self.topic, record, pace)
    }
}

/// Why a record that was to be sent and waited for was not delivered, or is not known to be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendAndWaitError {
    /// It was not taken.
    #[error(transparent)]
    NotTaken(#[from] SendFault),
    /// It was taken, and not delivered.
    #[error(transparent)]
    NotDelivered(#[from] SendError),
}

/// Waits for all of these batches. Answers with the first error among them.
fn wait_for(batches: &[Arc<BatchTickets>]) -> Result<(), SendError> {
    let mut result = Ok(());
    for batch in batches {
        let settled = batch.wait();
        result = result.and_then(|()| settled.error().cloned().map_or(Ok(()), Err));
    }
    result
}
