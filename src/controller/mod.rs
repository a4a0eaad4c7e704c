//! The controller: which topics there are, as records that are decided, appended and replayed.
//!
//! A cluster's metadata is a log like any other, the partition `__cluster_metadata-0`. [`records`] are what stands in it,
//! in Kafka's own bytes.
//!
//! - May use: the newtypes and `record`.
//! - Must not know: files, threads, clocks; logs and partitions, which are other machines.
//! - Always true: the same records give the same image, on every node.

pub mod records;
mod uuid;

pub use uuid::Uuid;
