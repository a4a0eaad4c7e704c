//! The coordinator of consumer groups: how far each group has come.
//!
//! - [`offsets`]: committed offsets as Kafka keeps them in `__consumer_offsets`, and what replaying them gives.
//!
//! - May use: the newtypes, `record`, `message`.
//! - Must not know: brokers, partitions, logs, threads, clocks.
//! - Always true: what the records say is all that counts; the same records give the same offsets.

pub mod offsets;
