//! Appending: what a producer asks and is told.

use crate::epoch::ProducerEpoch;
use crate::id::{ProducerId, TopicPartition};
use crate::offset::Offset;
use crate::record::Batch;
use crate::time::Timestamp;

/// Appends one batch to each of some partitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Produce<B = Batch> {
    /// Whose having it is waited for.
    pub acks: Acks,
    /// What "having it" means.
    pub durability: Durability,
    /// How long to wait for [`Acks::All`]. When the time is over the batch may be written yet.
    pub timeout_ms: u32,
    /// The batches, at most one for each partition.
    pub partitions: Vec<ProducePartition<B>>,
}

/// A batch for a partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProducePartition<B = Batch> {
    /// Where to.
    pub partition: TopicPartition,
    /// What.
    pub batch: B,
    /// Compare and append: refuse the batch unless it would begin here. Not in Kafka.
    pub expected_offset: Option<Offset>,
}

/// Who must have a batch before it is acknowledged: Kafka's `acks`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Acks {
    /// Nobody: there is no response (0).
    None,
    /// The leader (1).
    Leader,
    /// Every replica that is in sync (−1, or `all`).
    #[default]
    All,
}

impl Acks {
    /// The acknowledgement of this number; `None` if it is none of Kafka's.
    pub const fn from_i16(acks: i16) -> Option<Self> {
        match acks {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::All),
            _ => None,
        }
    }

    /// Kafka's number for it.
    pub const fn as_i16(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// When a replica has a batch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Durability {
    /// When it is in the page cache: the end of the process does not take it away. Kafka's own way.
    Written,
    /// When it is flushed: neither does the end of the power.
    #[default]
    Flushed,
}

/// Where a batch was put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Produced {
    /// The offset of its first record. For a duplicate, where the original is.
    pub base_offset: Offset,
    /// The date that the leader gave to its records, if the topic wants that.
    pub log_append_time: Option<Timestamp>,
    /// The first readable offset.
    pub log_start_offset: Offset,
}

/// Asks for a producer id that nobody has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct InitProducerId {}

/// Who an idempotent producer is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct ProducerIdentity {
    /// Its id.
    pub id: ProducerId,
    /// Its reign over the id.
    pub epoch: ProducerEpoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rep_17_an_acknowledgement_is_0_or_1_or_all() {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            assert_eq!(Acks::from_i16(acks.as_i16()), Some(acks));
        }
        assert_eq!([-2, 2, 3, i16::MAX].map(Acks::from_i16), [None; 4]);
    }
}
