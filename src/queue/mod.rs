//! The durable queue: one node with threads, files and a clock.
//!
//! - May use: everything but `sim`, `wire` and `cli`.
//! - Must not know: rules. Whatever is decided is decided by a machine.

mod admin;
mod alarm;
mod builder;
mod client;
mod completion;
mod consumer;
mod facade;
mod latch;
mod node;
mod op_queue;
mod opening;
mod permits;
mod pool;
mod producer;
mod sync;

pub use admin::AdminError;
pub use builder::QueueBuilder;
pub use consumer::{
    Acknowledger, CommitError, ConsumeError, ConsumedRecord, Consumer, ConsumerConfig, ConsumerConfigError,
    LentRecords, OwnedRecord, OwnedRecords, Receipt, Records, SeekError, SubscribeError, Tail, Wakeup,
};
#[cfg(feature = "async")]
pub use consumer::{PollAsync, RecordStream};
pub use facade::{CloseReport, Queue};
pub use node::Closed;
pub use opening::{OpeningReport, QueueOpenError};
pub use producer::{
    NewPartitioner, Partitioning, Payload, Placed, Producer, ProducerConfig, Record, SendAndWaitError, SendFault,
    SendTicket, TopicProducer,
};
