//! Committed offsets: how far a group of consumers has come.

use crate::epoch::{Generation, LeaderEpoch};
use crate::id::{GroupId, MemberId, TopicPartition};
use crate::offset::Offset;

/// Notes how far a group has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OffsetCommit {
    /// Whose offsets.
    pub group: GroupId,
    /// Who says so; `None` for a consumer that was assigned its partitions by hand.
    pub member: Option<Membership>,
    /// How far.
    pub partitions: Vec<CommitPartition>,
}

/// One member of a group at one generation.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Membership {
    /// Its name.
    pub member: MemberId,
    /// The generation that it knows of.
    pub generation: Generation,
}

/// How far a group has come in a partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommitPartition {
    /// Which one.
    pub partition: TopicPartition,
    /// How far.
    pub committed: Committed,
}

/// How far a group has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Committed {
    /// The offset of the next record to be consumed.
    pub offset: Offset,
    /// The reign in which the last consumed record was appended, if it is known.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Any text that the consumer wants to have back.
    pub metadata: String,
}

impl Committed {
    /// The longest metadata by default, in characters: Kafka's `offset.metadata.max.bytes`.
    pub const METADATA_MAX: usize = 4096;

    /// The offset alone.
    pub const fn at(offset: Offset) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

/// Asks how far a group has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OffsetFetch {
    /// Whose offsets.
    pub group: GroupId,
    /// Where; `None` for wherever it has committed something.
    pub partitions: Option<Vec<TopicPartition>>,
    /// What to do about a transaction that would commit an offset and is not finished.
    pub pending: Pending,
}

/// What to do about what is not finished.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Pending {
    /// Answer with what is committed.
    #[default]
    Ignore,
    /// Refuse, so that the asker comes back later.
    Refuse,
}
