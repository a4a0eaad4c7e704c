//! Reading: what a consumer asks and is told.

use crate::epoch::LeaderEpoch;
use crate::id::{ProducerId, TopicPartition};
use crate::offset::Offset;

/// Reads from some partitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetch {
    /// How far to see.
    pub isolation: IsolationLevel,
    /// How many bytes there must be before there is an answer.
    pub bytes_min: u32,
    /// The most bytes of all partitions together. The first batch of all comes whole, however large.
    pub bytes_max: u32,
    /// How long to wait for `bytes_min`.
    pub wait_max_ms: u32,
    /// From where, in the order in which they are served.
    pub partitions: Vec<FetchPartition>,
}

/// From where to read in a partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FetchPartition {
    /// Which one.
    pub partition: TopicPartition,
    /// The first offset wanted. The first batch may begin in front of it.
    pub fetch_offset: Offset,
    /// The most bytes of this partition.
    pub bytes_max: u32,
    /// The reign that the reader knows of; another one refuses it.
    pub current_leader_epoch: Option<LeaderEpoch>,
}

impl FetchPartition {
    /// At most a mebibyte from an offset on, in whatever reign: Kafka's `max.partition.fetch.bytes`.
    pub const fn new(partition: TopicPartition, fetch_offset: Offset) -> Self {
        Self { partition, fetch_offset, bytes_max: 1 << 20, current_leader_epoch: None }
    }
}

/// How far a client sees.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum IsolationLevel {
    /// Up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Up to the last stable offset, and without what was aborted.
    ReadCommitted,
}

/// What was read from a partition. `F` is the batches, or what it takes to read them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetched<F> {
    /// End of what all in-sync replicas had, before the read.
    pub high_watermark: Offset,
    /// End of what no open transaction precedes, before the read.
    pub last_stable_offset: Offset,
    /// The first readable offset, before the read.
    pub log_start_offset: Offset,
    /// Under [`IsolationLevel::ReadCommitted`], whose records to leave out, by their first offsets. It may name more
    /// than what the body holds.
    pub aborted: Vec<AbortedTransaction>,
    /// What was read.
    pub body: F,
}

impl<F> Fetched<F> {
    /// The same, with another body.
    pub fn map<G>(self, body: impl FnOnce(F) -> G) -> Fetched<G> {
        Fetched {
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset,
            log_start_offset: self.log_start_offset,
            aborted: self.aborted,
            body: body(self.body),
        }
    }
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AbortedTransaction {
    /// Its first offset in the partition.
    pub first_offset: Offset,
    /// Who wrote it.
    pub producer_id: ProducerId,
}
