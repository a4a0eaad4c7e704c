//! The coordinator of consumer groups: how far each group has come.
//!
//! What groups commit are records of `__consumer_offsets`. A group has one of its partitions, by its name, and a
//! [`Coordinator`] has the state of those that its node leads. It decides: what is asked becomes a [`Commit`], the records of
//! one batch, or an error, and nothing has happened yet. The batch is appended; when it is committed, replaying it is what
//! changes the state, just as the records that are found in the log when the partition is opened do.
//!
//! - [`offsets`]: the keys and values, and what replaying them gives.
//!
//! - May use: the newtypes, `record`, `message`.
//! - Must not know: brokers, partitions, logs, threads, clocks.
//! - Always true: the same records give the same state, read from the log or appended here; what is in flight is seen by
//!   nobody, and is not forgotten when something is decided about its keys.

mod commit;
mod expire;
mod fetch;
mod group;
pub mod offsets;
mod shard;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

pub use commit::{Commit, Decided, write_error};
pub use shard::{Skipped, Ticket};

use crate::id::{GroupId, TopicName};
use crate::message::{CleanupPolicy, Committed, ErrorCode, NewTopic, RequestError, TopicConfig};
use crate::offset::Offset;
use crate::record::{Entry, TopicCodec};
use crate::time::Timestamp;
use shard::{Shard, Stage};

/// What committed offsets may be like, and how long they are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CoordinatorConfig {
    /// Into how many partitions `__consumer_offsets` is made. One that is there already keeps those it has.
    pub partitions: NonZeroU32,
    /// The longest text beside an offset, in Java's characters: Kafka's `offset.metadata.max.bytes`.
    pub metadata_max: usize,
    /// How long offsets are kept after their commit, or after their group's last member has left; `None` for ever. Kafka's
    /// `offsets.retention.minutes`.
    pub retention_ms: Option<u64>,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        let partitions = NonZeroU32::MIN.saturating_add(Self::PARTITIONS_OF_ONE_NODE - 1);
        Self { partitions, metadata_max: Committed::METADATA_MAX, retention_ms: Some(7 * 24 * 60 * 60 * 1000) }
    }
}

impl CoordinatorConfig {
    /// Enough for a node of its own, whose groups are few: each partition is a directory with its own files.
    const PARTITIONS_OF_ONE_NODE: u32 = 4;
    /// How large a segment is: small, so that it is soon compacted. Kafka's `offsets.topic.segment.bytes`.
    const SEGMENT_BYTES: u32 = 100 << 20;

    /// The topic, with the settings that Kafka gives it.
    pub fn new_topic(&self) -> NewTopic {
        let config = TopicConfig::default()
            .with_cleanup_policy(CleanupPolicy::Compact)
            .with_compression_type(TopicCodec::Producer)
            .with_segment_bytes(Self::SEGMENT_BYTES);
        NewTopic::new(offsets::topic()).partitions(self.partitions.get()).config(config)
    }
}

/// How far the groups have come whose partitions this node leads (see the [room](self)).
///
/// The walk of a commit: [`decide_commit`](Self::decide_commit) gives a batch; [`begin_append`](Self::begin_append) before
/// it is appended, [`end_append`](Self::end_append) when it is known whether and where it is in the log, and
/// [`on_committed`](Self::on_committed) whenever the high watermark may have moved.
#[derive(Clone, Debug, Default)]
pub struct Coordinator {
    config: CoordinatorConfig,
    /// By the number of the partition.
    shards: BTreeMap<u32, Shard>,
}

impl Coordinator {
    /// A coordinator that leads no partition yet.
    pub fn new(config: CoordinatorConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Its settings.
    pub fn config(&self) -> &CoordinatorConfig {
        &self.config
    }

    /// This node leads a partition from now on. What is in its log is to be [loaded](Self::load) before anybody is served.
    pub fn begin_load(&mut self, partition: u32) {
        self.shards.insert(partition, Shard::new());
    }

    /// Replays what was found in the log of a partition, from `from` on. What cannot be read is skipped, and told.
    pub fn load(&mut self, partition: u32, entry: &Entry, from: Offset, skipped: &mut Vec<Skipped>) {
        if let Some(shard) = self.shards.get_mut(&partition) {
            shard.replay(entry, from, skipped);
        }
    }

    /// All of a partition is loaded, up to `end`; it counts once that is committed. Answers with what is to be appended
    /// for topics that were deleted meanwhile.
    pub fn end_load(&mut self, partition: u32, end: Offset) -> Vec<(Timestamp, Commit)> {
        let Some(shard) = self.shards.get_mut(&partition) else { return Vec::new() };
        shard.stage = Stage::Loaded { end };
        let deleted = std::mem::take(&mut shard.deleted);
        let forget =
            |(topic, date)| self.decide_forget(partition, date, &topic).into_iter().map(move |some| (date, some));
        deleted.into_iter().flat_map(forget).collect()
    }

    /// The log of a partition cannot be read: who asks is told so.
    pub fn fail_load(&mut self, partition: u32, why: String) {
        if let Some(shard) = self.shards.get_mut(&partition) {
            shard.stage = Stage::Failed { why };
        }
    }

    /// This node does not lead the partition any more.
    pub fn resign(&mut self, partition: u32) {
        self.shards.remove(&partition);
    }

    /// The partitions that this node leads.
    pub fn partitions(&self) -> impl Iterator<Item = u32> {
        self.shards.keys().copied()
    }

    /// Whether those can be served whose groups are in this partition, of which so much is committed.
    ///
    /// # Errors
    ///
    /// `COORDINATOR_LOAD_IN_PROGRESS`, `COORDINATOR_NOT_AVAILABLE`: asking again may help. `NOT_COORDINATOR`.
    pub fn check_loaded(&self, partition: u32, high_watermark: Offset) -> Result<(), RequestError> {
        let refused = |code, why: &dyn std::fmt::Display| Err(RequestError::because(code, why));
        match self.shards.get(&partition).map(|shard| &shard.stage) {
            Some(Stage::Loaded { end }) if *end <= high_watermark => Ok(()),
            Some(Stage::Loaded { .. } | Stage::Loading) => {
                refused(ErrorCode::CoordinatorLoadInProgress, &"the offsets of the group are being read")
            }
            Some(Stage::Failed { why }) => refused(ErrorCode::CoordinatorNotAvailable, why),
            None => refused(ErrorCode::NotCoordinator, &"the group is coordinated elsewhere"),
        }
    }

    /// A batch is about to be appended to the partition.
    pub fn begin_append(&mut self, partition: u32, ticket: Ticket, commit: Commit) {
        if let Some(shard) = self.shards.get_mut(&partition) {
            shard.appending.insert(ticket, commit);
        }
    }

    /// What has come of an append: the batch begins at `base_offset` in the log, committed or not; or is not in the log.
    pub fn end_append(&mut self, partition: u32, ticket: Ticket, base_offset: Option<Offset>) {
        if let Some(shard) = self.shards.get_mut(&partition) {
            shard.end_append(ticket, base_offset);
        }
    }

    /// Whatever lies below `high_watermark` is committed, and replayed.
    pub fn on_committed(&mut self, partition: u32, high_watermark: Offset, skipped: &mut Vec<Skipped>) {
        if let Some(shard) = self.shards.get_mut(&partition) {
            shard.on_committed(high_watermark, skipped);
        }
    }

    /// The groups that are known in a partition, in order.
    pub fn groups(&self, partition: u32) -> impl Iterator<Item = &GroupId> {
        self.shards.get(&partition).into_iter().flat_map(|shard| shard.offsets.groups())
    }

    fn shard(&self, partition: u32) -> Option<&Shard> {
        self.shards.get(&partition)
    }

    /// Decides to take back all that groups have committed in a topic that is deleted, in several batches if it is much.
    /// While the partition is being loaded that is put off.
    pub fn forget_topic(&mut self, partition: u32, date: Timestamp, topic: &TopicName) -> Vec<Commit> {
        let Some(shard) = self.shards.get_mut(&partition) else { return Vec::new() };
        if matches!(shard.stage, Stage::Loading) {
            shard.deleted.insert(topic.clone(), date);
            return Vec::new();
        }
        self.decide_forget(partition, date, topic)
    }
}
