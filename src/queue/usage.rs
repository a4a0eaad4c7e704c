//! What a queue takes of its disks, and of memory.

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

/// How many bytes of records a queue has in memory, by where they are. Each number falls back to where it was when whoever has
/// the records lets go of them.
///
/// Not in it: indexes, which are small; what a consumer has decompressed; buffers of a deleted partition that a consumer still
/// has; maps of files, which are no memory of the process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MemoryUse {
    /// Records that producers gather or have on their way, uncompressed. For each producer at most its
    /// [`memory_bytes`](crate::queue::ProducerConfig::memory_bytes).
    pub producers: u64,
    /// Batches that were sent, as long as anybody has any of them: the caches of the logs, the writes that stand before the
    /// disk, records that a consumer has. What is not written yet is bounded by what producers may have on their way; the caches
    /// by what `cached` says; and what consumers have by their fetches, and by what the program keeps of their records.
    pub batches: u64,
    /// Of these, what the caches of the logs have, with what the queue writes for itself: of each partition at most 4 MiB, and
    /// what is not written yet.
    pub cached: u64,
    /// Buffers that files were read into, as long as a consumer or the program has any record of them: for each partition of a
    /// consumer what one fetch brings, and what the program keeps.
    pub read: u64,
    /// What counts by [`consumer_memory_bytes_max`](crate::queue::QueueBuilder::consumer_memory_bytes_max): what consumers and the
    /// program have, decompressed records included. Nothing where there is no bound.
    pub held: u64,
    /// That bound, if there is one.
    pub held_max: Option<u64>,
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
