//! What a queue takes of its disks.

use std::collections::BTreeMap;

use crate::broker::{Broker, Dropped};
use crate::id::TopicName;
use crate::message::SpaceBound;

/// What a queue takes of its disks: the bytes of segments and of their index files, as they are or will be once all is
/// written. Blocks that are reserved ahead of what is appended are not in it, nor are small side files (snapshots of producers,
/// checksums, checkpoints).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DiskUse {
    /// How many bytes all partitions take, those of the queue's own topics included.
    pub bytes: u64,
    /// The bound on them, if there is one.
    pub bound: Option<SpaceBound>,
    /// The topics that there are or were.
    pub topics: BTreeMap<TopicName, TopicDiskUse>,
}

/// What a topic takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TopicDiskUse {
    /// How many bytes its partitions take.
    pub bytes: u64,
    /// The bound on them, if there is one.
    pub bound: Option<SpaceBound>,
    /// What was dropped of it to make room, since the queue was opened.
    pub dropped: Dropped,
}

impl DiskUse {
    pub(super) fn of(broker: &Broker) -> Self {
        let mut found = Self { bound: broker.bounds().total, ..Self::default() };
        for (topic, bound) in &broker.bounds().topics {
            found.topics.entry(topic.clone()).or_default().bound = Some(*bound);
        }
        for partition in broker.partitions() {
            let bytes = broker.partition(partition).map_or(0, |host| host.space().bytes);
            found.bytes += bytes;
            found.topics.entry(partition.topic().clone()).or_default().bytes += bytes;
        }
        for (topic, dropped) in broker.dropped() {
            found.topics.entry(topic.clone()).or_default().dropped = dropped;
        }
        found
    }
}
