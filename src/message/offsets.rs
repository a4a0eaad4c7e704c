//! Offsets: finding them by date or by end, and moving the log start.

use crate::epoch::LeaderEpoch;
use crate::id::TopicPartition;
use crate::message::fetch::IsolationLevel;
use crate::offset::Offset;
use crate::time::Timestamp;

/// Finds an offset in each of some partitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListOffsets {
    /// How far to see: what "latest" means.
    pub isolation: IsolationLevel,
    /// What to find where.
    pub partitions: Vec<ListPartition>,
}

/// What to find in a partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListPartition {
    /// Which one.
    pub partition: TopicPartition,
    /// What.
    pub at: OffsetSpec,
    /// The reign that the asker knows of; another one refuses it.
    pub current_leader_epoch: Option<LeaderEpoch>,
}

/// Which offset is meant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum OffsetSpec {
    /// The first readable one.
    Earliest,
    /// The end of what the asker may see.
    Latest,
    /// That of a record with the largest timestamp.
    MaxTimestamp,
    /// That of the first record which is not dated before this.
    At(Timestamp),
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: Offset,
    /// The date of the record there, where a record was looked for.
    pub timestamp: Option<Timestamp>,
    /// The reign in which that record was appended, if it is known.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// Moves the log start of some partitions: what is below is gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeleteRecords {
    /// How long to wait until all replicas have done so.
    pub timeout_ms: u32,
    /// Where to.
    pub partitions: Vec<(TopicPartition, DeleteBefore)>,
}

/// Up to where records are deleted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DeleteBefore {
    /// All that is acknowledged.
    HighWatermark,
    /// What lies below this offset.
    Offset(Offset),
}
