//! The producer: records go in, batches with sequences come out, and each record hears once what became of it.
//!
//! A client machine. It starts no thread and sends nothing: who drives it takes a batch, has it appended, and brings back
//! the result.
//!
//! ```
//! use ottla::id::TopicPartition;
//! use ottla::message::{Produced, ProducerIdentity};
//! use ottla::offset::Offset;
//! use ottla::producer::{Accumulator, AccumulatorConfig};
//! use ottla::record::NewRecord;
//! use ottla::time::{Instant, Timestamp};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut accumulator = Accumulator::new(AccumulatorConfig::default())?;
//! accumulator.identify(ProducerIdentity::default());
//! let lane = accumulator.lane(&TopicPartition::parse("orders-0")?);
//!
//! let (now, mut out) = (Instant::from_millis(0), Vec::new());
//! let record = NewRecord::new(Timestamp::from_millis(1000), Some(b"k"), Some(b"v"));
//! let ticket = accumulator.push(now, lane, &record, &mut out)?.ticket;
//! assert!(accumulator.take(now, &mut out).is_none(), "others may join it for five milliseconds");
//!
//! let later = now.after(5);
//! let outgoing = accumulator.take(later, &mut out).expect("the batch has waited long enough").build()?;
//! let placed = Produced { base_offset: Offset::new(7), log_append_time: None, log_start_offset: Offset::ZERO };
//! accumulator.acknowledged(lane, outgoing.id, &placed, &mut out);
//! assert_eq!(out[0].offset_of(ticket), Some(Offset::new(7)));
//! # Ok(())
//! # }
//! ```
//!
//! A [`Partitioner`] says which partition a record goes to. An [`Accumulator`] has a [`Lane`] for each partition and one
//! limit of memory for all; a driver that wants a lock for each partition uses lanes by themselves.
//!
//! - May use: the newtypes, `record`, `message`.
//! - Must not know: brokers, logs, threads, clocks.
//! - Always true: each ticket has exactly one outcome. Records of one partition keep their order: a batch that comes back
//!   holds up all behind it. A batch that may have been written is only ever sent again under the sequence it had, so it is
//!   not written twice.

mod accumulator;
mod config;
mod lane;
mod murmur2;
mod outcome;
mod partitioner;

pub use accumulator::Accumulator;
pub use config::{AccumulatorConfig, ConfigError, WhenFull};
pub(crate) use lane::bytes_alone_max;
pub use lane::{BatchId, Lane, LaneId, Outgoing, Unbuilt};
pub use murmur2::{murmur2, partition_of_key};
pub use outcome::{Delivered, Known, Outcome, PushError, Pushed, Room, SendError, Ticket, Tickets};
pub use partitioner::{ByKey, Explicit, Partitioner, Random, RoundRobin, Sticky, Topic};
