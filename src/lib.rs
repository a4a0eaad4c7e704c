//! Apache Kafka's storage engine as a Rust library: a durable queue in your own process, in Kafka's own bytes.
//!
//! A program links `ottla` and keeps durable, ordered, replayable records in a directory of its own. There is no broker to
//! run. The directory is Kafka's, byte for byte.
//!
//! # Where to begin
//!
//! [`Queue`] is the durable queue: topics, producers from many threads, consumers that wait for what comes.
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
//! let queue = Queue::open(dir.path())?; // recovers, reports, locks the directory
//! queue.create_topic("orders", 4, TopicConfig::default())?;
//! let producer = queue.producer(ProducerConfig::default())?;
//! let placed = producer.send(Record::to("orders").key("k").value("v"))?.wait()?; // on disk now
//! assert_eq!(placed.offset.map(|offset| offset.get()), Some(0));
//!
//! let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest))?;
//! consumer.subscribe(["orders"])?;
//! for record in consumer.poll(Duration::from_secs(10))?.iter() {
//!     assert_eq!(record.value(), Some(&b"v"[..]));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Who needs less takes less: [`disk::LogFile`] is one log on one disk for a single caller, with no thread;
//! [`broker::Broker`] is one node with partitions and topics as a state machine, driven by hand
//! (`examples/drive_by_hand.rs`); [`TimingWheel`] holds timers, by the million if need be. [`disk::MemDisk`] is a disk for
//! tests that can lose, tear, fail and fill up, under any of them.
//!
//! [`queue::comparison`] compares it with other embedded queues.
//!
//! # How it is made
//!
//! [`log::Log`] is a state machine: it takes what happened and says what is to be done, and opens no file, starts no
//! thread, asks no clock. Who wants threads of their own drives it by hand; [`disk`] is how we do it. `ARCHITECTURE.md`
//! has the map.
//!
//! [`queue`] is the one room with threads: it puts them around a [`broker::Broker`], performs what that wants, and decides
//! nothing.
//!
//! # What is promised
//!
//! | level | reached when | survives |
//! |---|---|---|
//! | *written* | `append` has returned; a ticket of a producer that asks for no more | the end of the process, at any moment |
//! | *flushed* | `flush` has returned; a ticket of any other producer | also the end of the power, if the disk keeps what it says is flushed |
//!
//! What was not flushed survives a power loss as a prefix: never with a hole. No byte is served whose checksum is wrong.
//! What was flushed and is corrupt is reported by exact range, never cut off, never served. One window is outside the
//! promise: what was flushed after the flushed mark was last synced *and* is then damaged by the disk looks like a torn
//! tail, and is cut. The mark is synced at every close, log-start move and truncation, before a leader epoch is
//! noted, and with the first flush behind one; a kill alone does not lose it. And where a sync of the marks
//! themselves has failed, a power loss behind the next opening may be told as a missing segment or as corruption: a
//! stop, never silence.
//!
//! # Measured
//!
//! What a queue does is measured in [`queue`], one input of a node in [`broker`], timers in [`timer`]; here is one log.
//! `cargo bench --bench log` prints this table: each line beside its raw baseline of the same run, on two virtual cores of an
//! otherwise idle machine. Only the ratios say anything about another. Of the goals that were set, appends of 10 KiB records
//! miss theirs (1.0); all else reaches its own.
//!
//! | what | ottla | raw, in the same run | ottla / raw |
//! |---|---|---|---|
//! | append, 64 KiB batches of 1 KiB records, page cache | 1.82 GB/s | `pwrite` of the same bytes: 2.00 GB/s | 0.91 |
//! | append, 64 KiB batches of 10 KiB records, page cache | 1.65 GB/s | `pwrite` of the same bytes: 1.74 GB/s | 0.95 |
//! | append and flush one 4 KiB batch, p50 | 439.1 µs | `pwrite` + `fdatasync`, growing file: 402.9 µs | 1.09 |
//! | sequential read, 1 KiB records, decoded and checked, plain | 2.80 GB/s | `pread` loop that sums the bytes: 0.74 GB/s | 3.76 |
//! | sequential read, 1 KiB records, decoded and checked, mapped | 5.79 GB/s | `pread` loop that sums the bytes: 0.74 GB/s | 7.83 |
//! | one record by its offset, p50 | 5.5 µs | `pread` of 4 KiB: 2.3 µs | 2.38 |
//! | build a 64 KiB batch of 1 KiB records | 187 ns a record, 5.5 GB/s | `memcpy` 38.0 GB/s | 0.15 |
//! | parse, check and decode a 64 KiB batch of 1 KiB records | 157 ns a record, 6.6 GB/s | `memcpy` 38.0 GB/s | 0.17 |
//! | check of every byte at an opening without a mark | 4.93 GB/s | `pread` of the same file: 8.42 GB/s | 0.59 |
//! | open 64 MiB after a kill, 1 MiB behind the last flush | 0.88 ms | – | – |
//! | open 2 GiB after a kill, 1 MiB behind the last flush | 1.43 ms | – | – |
//! | open 2,000 partitions after a kill | 803 ms, 401 µs each | – | – |

pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
pub mod consumer;
pub mod controller;
pub mod coordinator;
pub mod disk;
pub mod epoch;
pub mod id;
pub mod log;
pub mod message;
pub mod offset;
pub mod partition;
pub mod producer;
pub mod queue;
pub mod record;
pub mod time;
pub mod timer;

pub use queue::Queue;
pub use timer::TimingWheel;

/// The examples of the README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
