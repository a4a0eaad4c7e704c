//! The durable queue: one node with threads, files and a clock.
//!
//! [`Queue::open`] opens a directory, whatever happened to it before, and locks it. A [`Producer`] sends from many threads, in
//! batches; a [`Consumer`] reads what was sent, waits for more, and commits how far it has come.
//!
//! ```
//! use std::time::Duration;
//!
//! use ottla::Queue;
//! use ottla::consumer::OffsetReset;
//! use ottla::message::TopicConfig;
//! use ottla::queue::{ConsumerConfig, ProducerConfig, Record};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let queue = Queue::open(dir.path())?;
//! queue.create_topic("orders", 1, TopicConfig::default())?;
//! let producer = queue.producer(ProducerConfig::default())?;
//! let ticket = producer.send(Record::to("orders").key("k").value("first"))?;
//! ticket.wait()?;
//!
//! // The surprising case: every handle is dropped, with nothing closed. What was acknowledged is there.
//! drop((queue, producer, ticket));
//! let queue = Queue::open(dir.path())?;
//! let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest))?;
//! consumer.subscribe(["orders"])?;
//! let records = consumer.poll(Duration::from_secs(10))?;
//! assert_eq!(records.iter().next().and_then(|record| record.value()), Some(&b"first"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! # Other directories
//!
//! A log directory of Kafka's, with its metadata or without, is opened like one's own: see [`OpeningReport`]. And a queue's
//! directory is one that Kafka starts on: see [`when_one_machine_is_not_enough`].
//!
//! # What goes by itself
//!
//! Once in [an interval](QueueBuilder::upkeep_interval) a queue looks after each partition: segments go that their topic does
//! not keep any longer (`retention.ms`, `retention.bytes`), and a partition of a topic whose `cleanup.policy` has `compact` is
//! compacted once enough of it was not yet (`min.cleanable.dirty.ratio`) or some of it waits for too long
//! (`max.compaction.lag.ms`). Then the latest record of each key is left, at its offset; one without a value, which says that
//! the key is gone, goes itself after `delete.retention.ms`. The segment that grows is never compacted. One partition is
//! compacted at a time, beside those who write and read; a close, a drop or a deletion does not wait for the rest of it.
//! [`CloseReport::notes`] has what could not be compacted.
//!
//! # Threads
//!
//! A node has a thread that keeps the time, one that compacts, and a few that flush, search and open files; whoever sends does the writing that
//! it causes, and whoever waits does some of the rest meanwhile. `sync` is the one door to locks and threads; `completion`,
//! `permits`, `op_queue`, `pool` and `alarm` are small and generic, each with a model that runs it through every
//! interleaving; `node` puts them around a [`Broker`](crate::broker::Broker); `opening` finds what there is.
//!
//! - May use: everything but `sim`, `wire` and `cli`.
//! - Must not know: rules. Whatever is decided is decided by a machine.
//! - Always true: every wait ends: with what was waited for, at its deadline, or with the end of the queue.

mod admin;
mod alarm;
mod builder;
mod client;
mod completion;
mod consumer;
mod facade;
mod node;
mod op_queue;
mod opening;
mod permits;
mod pool;
mod producer;
mod sync;
mod telemetry;
mod usage;

pub use crate::broker::Dropped;
pub use admin::AdminError;
pub use builder::{FlushScope, QueueBuilder};
pub use consumer::{
    Acknowledger, CommitError, ConsumeError, ConsumedRecord, Consumer, ConsumerConfig, ConsumerConfigError,
    LentRecords, OwnedRecord, OwnedRecords, Receipt, Records, SeekError, SubscribeError, Tail, Wakeup,
};
#[cfg(feature = "async")]
pub use consumer::{PollAsync, RecordStream};
pub use facade::{CloseReport, Queue};
pub use node::{Closed, NotOpened, Notes};
pub use opening::{MissingMetadata, OpeningReport, QueueOpenError};
pub use producer::{
    NewPartitioner, Partitioning, Payload, Placed, Producer, ProducerConfig, Record, SendAndWaitError, SendFault,
    SendTicket, TopicProducer,
};

pub use usage::{DiskUse, MemoryUse, TopicDiskUse};

#[doc = include_str!("comparison.md")]
pub mod comparison {}

#[doc = include_str!("telemetry.md")]
pub mod what_it_tells {}

#[doc = include_str!("kafka_page.md")]
pub mod when_one_machine_is_not_enough {}
