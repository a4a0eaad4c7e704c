//! The controller: which topics there are, as records that are decided, appended and replayed.
//!
//! A cluster's metadata is a log like any other, the partition `__cluster_metadata-0`. [`records`] are what stands in it,
//! in Kafka's own bytes. A [`Replayer`] is fed its batches and has the [`Image`] that they amount to.
//!
//! - May use: the newtypes and `record`.
//! - Must not know: files, threads, clocks; logs and partitions, which are other machines.
//! - Always true: the same records give the same image, on every node.

mod image;
pub mod records;
mod replayer;
mod uuid;

pub use image::{
    ConfigMap, ELIGIBLE_LEADER_REPLICAS, Image, LeaderRecovery, METADATA_VERSION, METADATA_VERSION_NEWEST,
    PartitionState, ReplayError, ReplayFault, Resource, ResourceType, Topic,
};
pub use replayer::{Replayed, Replayer};
pub use uuid::Uuid;
