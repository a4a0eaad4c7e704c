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
//! # Measured
//!
//! `cargo bench --bench queue --all-features` prints this table, in one run: each line beside its raw baseline, the two taking
//! turns, on two virtual cores of a shared machine with ext4. Only the ratios say anything about another. Batches are of 256
//! KiB; with the 64 KiB that a producer has by default, the first and the fourth line come to about 4.3 and 1.9.
//!
//! | what | ottla | raw, in the same run | ottla / raw |
//! |---|---|---|---|
//! | send 100 B records, one thread, until written | 3.54 M /s | one `write` a record: 730.2 k /s | 4.85 |
//! | send 100 B records, two threads on two partitions | 6.07 M /s | one thread: 3.54 M /s | 1.71 |
//! | `write` 100 B, two threads to two files | 1.40 M /s | one thread: 730.2 k /s | 1.91 |
//! | send 1 KiB records, one thread, until written | 1.16 M /s | one `write` a record: 436.8 k /s | 2.66 |
//! | send 1 KiB records, two threads on two partitions | 1.84 M /s | one thread: 1.16 M /s | 1.58 |
//! | `write` 1 KiB, two threads to two files | 850.8 k /s | one thread: 436.8 k /s | 1.95 |
//! | flushed acknowledgement, one caller, p50 | 474.9 µs | `pwrite` + `fdatasync`, growing file: 344.8 µs | 1.38 |
//! | flushed acknowledgements, 64 callers | 31.1 k /s | one caller: 1.9 k /s | 16.65 |
//! | producer to parked consumer, p50 | 97.7 µs | a channel to a parked thread: 49.3 µs | 1.98 |
//! | producer to polling consumer, p50 | 31.3 µs | a channel to a polling thread: 0.7 µs | 46.37 |
//! | consume 100 B records from sealed segments | 8.14 M /s | `pread` of their files, 1 MiB at a time: 90.65 M /s | 0.09 |
//! | flushed records over 1,000 partitions | 3.6 k /s | `pwrite` + `fdatasync`, one file: 2.7 k /s | 1.35 |
//! | flushed records over 1,000 partitions, by `syncfs` | 5.1 k /s | by `fdatasync`: 3.6 k /s | 1.40 |
//!
//! Of the goals that were set, the flushed acknowledgement of one caller misses its own (1.1), and so do both ways to a consumer
//! that waits (25 µs parked, 3 µs polling): a record is handed on only once it is written, and a `write` alone takes 4 µs
//! here, the waking of a thread 50. Two threads with 1 KiB records are bound by what the kernel copies. From run to run the
//! ratio of 64 callers to one lay between 11 and 18 around its goal of 15, that of one caller between 1.2 and 1.4; most others
//! within a fifth. The goals for 100 B (4 times the raw writes, two threads 1.6 times one) and 1 KiB (2) are those of batches
//! as large as here.
//!
//! For comparison, Apache Kafka 4.3 with its own performance tools on such a machine: 292 k records of 100 B a second in, 1.1 M
//! out, 72 k of 1 KiB in; 900 flushed records a second one at a time; 0.5 ms from producer to consumer.
//!
//! # Threads
//!
//! A node has a thread that keeps the time, one that compacts, and a few that flush, search and open files; whoever sends does
//! the writing that it causes, and whoever waits does some of the rest meanwhile. `sync` is the one door to locks and threads;
//! `completion`, `permits`, `op_queue`, `pool`, `alarm` and `budget` are small and generic, each with a model, as the consumers'
//! inbox has one, that runs it through all interleavings of up to three preemptions; `node` puts them around a [`Broker`](crate::broker::Broker); `opening` finds what there is.
//!
//! - May use: everything but `sim`, `wire` and `cli`.
//! - Must not know: rules. Whatever is decided is decided by a machine.
//! - Always true: every wait ends: with what was waited for, at its deadline, or with the end of the queue.

mod admin;
mod alarm;
mod budget;
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
