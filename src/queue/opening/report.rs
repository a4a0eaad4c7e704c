//! What an opening has found.

use crate::controller::{AdoptRefusal, SnapshotError, SnapshotId};
use crate::disk::RecoveryReport;
use crate::id::{BrokerId, TopicPartition};
use crate::queue::node::NotOpened;
use std::fmt;

/// What the opening of a queue has found, and what it did about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpeningReport {
    /// The name of the cluster that the directories belong to.
    pub cluster_id: String,
    /// The node that they belong to.
    pub node: BrokerId,
    /// The log of the metadata.
    pub metadata: RecoveryReport,
    /// Snapshots of the metadata that could not be read, and why. An older one and the log behind it had all of it; these were
    /// given names that end in `.unreadable`.
    pub snapshots_unreadable: Vec<(SnapshotId, SnapshotError)>,
    /// The snapshot of the metadata that was read, if it does not end as a snapshot does, and nothing else was there to begin
    /// with: topics may be missing. No other is written in its place, and nothing in front of it is removed, as long as this
    /// queue is open.
    pub snapshot_cut_short: Option<SnapshotId>,
    /// The log of each partition that was opened, in order.
    pub partitions: Vec<RecoveryReport>,
    /// Partitions that the metadata did not know and has taken over: there was no metadata. How their topics were configured
    /// nobody knows, so their records are kept until [`Queue::alter_config`](crate::queue::Queue::alter_config) says for how long.
    pub adopted: Vec<TopicPartition>,
    /// Partitions that it did not take over, and why. Their files were left alone.
    pub not_adopted: Vec<(TopicPartition, AdoptRefusal)>,
    /// Partitions that could not be opened or led, and why. All others work; whoever asks for one of these is told why too.
    pub failed: Vec<(TopicPartition, NotOpened)>,
    /// Partitions that the metadata does not know. Their files were left alone.
    pub unknown: Vec<TopicPartition>,
    /// How many deletions were finished that an earlier process had begun.
    pub deletions_finished: usize,
    /// Why deletions could not be finished; they are tried again at the next opening.
    pub deletions_left: Vec<String>,
}

impl OpeningReport {
    /// Whether all was as it was left: nothing lost, nothing corrupt, nothing refused.
    pub fn is_clean(&self) -> bool {
        let logs = self.metadata.is_clean() && self.partitions.iter().all(RecoveryReport::is_clean);
        logs && self.snapshots_unreadable.is_empty()
            && self.snapshot_cut_short.is_none()
            && self.failed.is_empty()
            && self.not_adopted.is_empty()
            && self.unknown.is_empty()
    }
}

impl fmt::Display for OpeningReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of cluster {}, {} partitions", self.node.get(), self.cluster_id, self.partitions.len())?;
        for report in std::iter::once(&self.metadata).chain(&self.partitions).filter(|report| !report.is_clean()) {
            write!(f, "\n{report}")?;
        }
        for (id, why) in &self.snapshots_unreadable {
            write!(f, "\n{id}: not read, and moved aside: {why}")?;
        }
        if let Some(id) = self.snapshot_cut_short {
            write!(f, "\n{id}: read, and without its end: topics may be missing")?;
        }
        for partition in &self.adopted {
            write!(f, "\n{partition}: taken over, for there was no metadata")?;
        }
        for (partition, why) in &self.not_adopted {
            write!(f, "\n{partition}: not taken over: {why}")?;
        }
        for (partition, why) in &self.failed {
            write!(f, "\n{partition}: not opened: {why}")?;
        }
        for partition in &self.unknown {
            write!(f, "\n{partition}: unknown to the metadata, left alone")?;
        }
        Ok(())
    }
}
