//! The durable queue: one node with threads, files and a clock.
//!
//! - May use: everything but `sim`, `wire` and `cli`.
//! - Must not know: rules. Whatever is decided is decided by a machine.

mod alarm;
mod client;
mod completion;
mod consumer;
mod latch;
mod node;
mod op_queue;
mod opening;
mod permits;
mod pool;
mod producer;
mod sync;

pub use consumer::{
    Acknowledger, CommitError, ConsumeError, ConsumedRecord, Consumer, ConsumerConfig, ConsumerConfigError,
    LentRecords, OwnedRecord, OwnedRecords, Receipt, Records, SeekError, SubscribeError, Tail, Wakeup,
};
pub use producer::{
    NewPartitioner, Partitioning, Payload, Placed, Producer, ProducerConfig, Record, SendAndWaitError, SendFault,
    SendTicket, TopicProducer,
};
