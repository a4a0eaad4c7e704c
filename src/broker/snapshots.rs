//! Snapshots of the metadata: when one is due it is written by the driver, and then the log in front of it may go.
//!
//! - Must not know: when one is due, which [`Snapshots`](crate::controller::Snapshots) says.
//! - Always true: none is begun while files of a deleted topic may be left, for the log alone tells the next opening that they
//!   are to go; the log goes only up to where two snapshots stand for it.

use crate::broker::{Broker, Output};
use crate::controller::{Image, SnapshotId};
use crate::id::TopicPartition;
use crate::partition::DeleteTo;
use crate::time::{Instant, Timestamp};

/// A snapshot that is to be written. The image does not change, so no lock is needed.
#[derive(Clone, Debug)]
pub struct SnapshotJob {
    /// In the directory of which partition.
    pub partition: TopicPartition,
    /// Its name.
    pub id: SnapshotId,
    /// What is to be in it.
    pub image: Image,
    /// The date of the last batch that it stands for.
    pub last_contained_log_timestamp: Timestamp,
    /// The one before it, if there is: it stays, and when the new one is durable all that are older may go.
    pub before: Option<SnapshotId>,
}

impl Broker {
    /// Has a snapshot written if one is due: at the upkeep of the metadata.
    pub(super) fn maybe_snapshot(&mut self, now: Instant, partition: &TopicPartition) {
        let Some(control) = self.control.as_mut().filter(|control| control.metadata == *partition) else { return };
        let Some(host) = self.hosts.get(partition) else { return };
        let may_be = control.halted.is_none() && control.deleting.is_empty() && !control.files_left;
        let (Some(snapshots), true) = (&mut control.snapshots, may_be && host.reign().is_some()) else { return };
        let Some(source) = control.role.controller.snapshot_source() else { return };
        // What the log does not have for sure is not given a snapshot that would outlive it.
        if host.log().flushed() < source.id.end {
            return;
        }
        let before = snapshots.newest();
        if snapshots.plan(now, &source) {
            let (partition, id, image) = (partition.clone(), source.id, source.image);
            let last_contained_log_timestamp = source.last_contained_log_timestamp;
            let job = SnapshotJob { partition, id, image, last_contained_log_timestamp, before };
            self.outputs.push_back(Output::Snapshot(Box::new(job)));
        }
    }

    /// The snapshot that was due is there: the log in front of the one before it goes.
    pub(super) fn on_snapshotted(&mut self, date: Timestamp) {
        let Some(control) = &mut self.control else { return };
        let (metadata, Some(snapshots)) = (control.metadata.clone(), &mut control.snapshots) else { return };
        let trim_to = snapshots.written();
        if self.hosts.get(&metadata).is_none_or(|host| host.reign().is_none()) {
            return;
        }
        self.with_host(&metadata, |host, effects| {
            if let Some(offset) = trim_to {
                // A log that has failed stays as it is.
                let _ = host.delete_records(DeleteTo::Offset(offset), effects);
                host.retain(date, effects);
            }
            // So that what lies in front of here is segments of its own when the next one trims the log.
            if host.log().active_segment().size > 0 {
                host.roll(date, effects);
            }
        });
    }
}
