//! Apache Kafka's storage engine as a Rust library: a durable log in Kafka's own bytes.

pub mod disk;
pub mod epoch;
pub mod id;
pub mod log;
pub mod offset;
pub mod record;
pub mod time;
