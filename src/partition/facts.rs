//! What a partition is told: who it is, who leads it, and how its topic wants it.

use std::collections::BTreeSet;

use crate::epoch::LeaderEpoch;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::log::MarkerRules;

/// The asker's number for what it waits for. One that waits is not to be used again before it was answered.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Waiter(pub u64);

/// When a produce is answered.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Acks {
    /// Never: Kafka's 0. What is refused shows as [`Effect::Refused`](crate::partition::Effect::Refused).
    None,
    /// Once this node has it: Kafka's 1.
    Leader,
    /// Once all in-sync replicas have it: Kafka's -1.
    #[default]
    All,
}

/// What "has it" means.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Durability {
    /// In the page cache: it survives the end of the process.
    #[default]
    Written,
    /// On disk: it survives the end of the power too.
    Flushed,
}

/// Which partition this is, on which node. Does not change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartitionFacts {
    /// Its name.
    pub partition: TopicPartition,
    /// The id of its topic.
    pub topic_id: Option<TopicId>,
    /// This node.
    pub broker: BrokerId,
    /// How its log was found.
    pub found: Found,
}

/// How the log of a partition was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Found {
    /// New, or closed in order.
    #[default]
    Whole,
    /// Not closed: what the opening has found, and what it has cut off, may not be on disk yet. Nothing is appended before
    /// it is, or a power loss could bring back what was cut off behind what takes its place.
    Unsettled,
}

/// A leader's reign, as the controller has decided it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reign {
    /// Its number.
    pub leader_epoch: LeaderEpoch,
    /// The number of the controller's decision about this partition; smaller ones are out of date.
    pub partition_epoch: u32,
    /// All replicas.
    pub replicas: BTreeSet<BrokerId>,
    /// Those that are in sync.
    pub isr: BTreeSet<BrokerId>,
}

impl Reign {
    /// The reign of a node that is the only replica.
    pub fn alone(broker: BrokerId, leader_epoch: LeaderEpoch) -> Self {
        let only = BTreeSet::from([broker]);
        Self { leader_epoch, partition_epoch: 0, replicas: only.clone(), isr: only }
    }
}

/// Why a node does not begin a reign. Nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeadError {
    /// The log knows a later one.
    #[error("leader epoch {found} is fenced by {current}")]
    Fenced {
        /// The number of the reign.
        found: LeaderEpoch,
        /// The latest one that is known.
        current: LeaderEpoch,
    },
    /// The decision is older than the last one.
    #[error("partition epoch {found} is older than {current}")]
    Stale {
        /// The number of the decision.
        found: u32,
        /// That of the last one.
        current: u32,
    },
    /// A leader is an in-sync replica, and each of those is a replica.
    #[error("broker {} cannot lead: it or another in-sync replica is not a replica", broker.get())]
    NotInSync {
        /// This node.
        broker: BrokerId,
    },
    /// The partition was stopped for good.
    #[error(transparent)]
    Stopped(#[from] StopReason),
}

/// What a request says of the leader's reign is not so.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EpochError {
    /// The asker knows an earlier reign only: it has to learn of this one first.
    #[error("leader epoch {found} is fenced by {current}")]
    Fenced {
        /// What the request says.
        found: LeaderEpoch,
        /// Which reign it is.
        current: LeaderEpoch,
    },
    /// The asker knows a later reign, of which this node does not: it may ask again.
    #[error("leader epoch {found} is not known here yet, only {current}")]
    Unknown {
        /// What the request says.
        found: LeaderEpoch,
        /// Which reign it is, as far as this node knows.
        current: LeaderEpoch,
    },
}

/// Why a partition leads no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StopReason {
    /// Another node may lead it now, or this one again in a later reign.
    #[error("this node does not lead the partition")]
    Resigned,
    /// The node is being closed.
    #[error("the partition is closed")]
    Closed,
    /// The partition is deleted.
    #[error("the partition is deleted")]
    Deleted,
}

/// The settings of a partition that are not its log's, with Kafka's defaults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionConfig {
    /// `min.insync.replicas`: with fewer in sync, appends that want all of them are refused and the high watermark stays.
    /// At most the number of replicas counts.
    pub min_insync_replicas: u32,
    /// What a replica must have done with a record for it to be committed, and so readable. `Flushed` lets nobody read
    /// what a power loss could take away, and flushes after every append.
    pub durability: Durability,
    /// `flush.ms`: a flush is asked for at the latest so many milliseconds after an append; `None` for never.
    pub flush_interval_ms: Option<u64>,
    /// By which rules the producer epochs of transaction markers are judged.
    pub markers: MarkerRules,
}

impl Default for PartitionConfig {
    fn default() -> Self {
        Self {
            min_insync_replicas: 1,
            durability: Durability::Written,
            flush_interval_ms: None,
            markers: MarkerRules::default(),
        }
    }
}
