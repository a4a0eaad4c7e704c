//! A change: what was decided, as the records of one batch.

use crate::controller::image::PartitionState;
use crate::controller::records::{MetadataRecord, PartitionChangeRecord, PartitionRecord};
use crate::epoch::LeaderEpoch;
use crate::id::TopicId;
use crate::record::{Batch, BatchBuilder, BuildError, Codec, NewRecord};
use crate::time::Timestamp;

/// Records that were decided together. Appended as one batch, they count all or not at all.
///
/// A change was decided against an image, so it is to be appended before anything else is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "a change counts when it was appended and committed"]
pub struct Change {
    pub(super) records: Vec<MetadataRecord>,
}

impl Change {
    /// The most records of one change, as in Kafka.
    pub const RECORDS_MAX: usize = 10_000;

    pub(super) fn new(records: Vec<MetadataRecord>) -> Self {
        Self { records }
    }

    /// The records in order.
    pub fn records(&self) -> &[MetadataRecord] {
        &self.records
    }

    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The batch to be appended to the metadata partition; its place is given when it is.
    ///
    /// # Errors
    ///
    /// [`BuildError::Empty`] for a change that is empty; none else in practice: [`Change::RECORDS_MAX`] records are far
    /// from the limits of a batch.
    pub fn to_batch(&self, now: Timestamp) -> Result<Batch, BuildError> {
        let mut builder = BatchBuilder::new(Codec::None);
        for record in &self.records {
            builder.push(&NewRecord::new(now, None, Some(&record.to_bytes())))?;
        }
        builder.build()
    }
}

/// Cuts what may be more than one change can hold. What belongs together must not be given to it.
pub(super) fn in_changes(records: Vec<MetadataRecord>) -> Vec<Change> {
    records.chunks(Change::RECORDS_MAX).map(|part| Change::new(part.to_vec())).collect()
}

impl PartitionState {
    /// The record that makes this partition `new`, in a reign of at least `epoch_min`; `None` if it is so already.
    ///
    /// A reign that is more than one later takes a whole record, since a change counts up by one.
    pub(super) fn change_to(
        &self,
        new: &Self,
        epoch_min: LeaderEpoch,
        topic: TopicId,
        number: u32,
    ) -> Option<MetadataRecord> {
        let new_reign = new.leader != self.leader || epoch_min > self.leader_epoch;
        let next = self.leader_epoch.next().unwrap_or(LeaderEpoch::MAX);
        if epoch_min > next {
            let partition_epoch = self.partition_epoch.saturating_add(1).min(i32::MAX as u32);
            let whole = Self { leader_epoch: epoch_min, partition_epoch, ..new.clone() };
            return Some(whole.to_record(topic, number).into());
        }
        let (old, whole) = (self.to_record(topic, number), new.to_record(topic, number));
        let change = change_between(&old, whole, new_reign);
        let nothing = PartitionChangeRecord {
            partition_id: change.partition_id,
            topic_id: change.topic_id,
            ..PartitionChangeRecord::default()
        };
        (change != nothing).then(|| change.into())
    }
}

/// What differs, and the leader in any case if a new reign begins.
fn change_between(old: &PartitionRecord, new: PartitionRecord, new_reign: bool) -> PartitionChangeRecord {
    let list = |old: &Option<Vec<i32>>, new: Option<Vec<i32>>| (*old != new).then(|| new.unwrap_or_default());
    PartitionChangeRecord {
        partition_id: new.partition_id,
        topic_id: new.topic_id,
        isr: (old.isr != new.isr).then_some(new.isr),
        leader: if new_reign { new.leader } else { PartitionChangeRecord::LEADER_KEPT },
        replicas: (old.replicas != new.replicas).then_some(new.replicas),
        removing_replicas: (old.removing_replicas != new.removing_replicas).then_some(new.removing_replicas),
        adding_replicas: (old.adding_replicas != new.adding_replicas).then_some(new.adding_replicas),
        leader_recovery_state: if old.leader_recovery_state == new.leader_recovery_state {
            -1
        } else {
            new.leader_recovery_state
        },
        eligible_leader_replicas: list(&old.eligible_leader_replicas, new.eligible_leader_replicas),
        last_known_elr: list(&old.last_known_elr, new.last_known_elr),
        directories: (old.directories != new.directories).then_some(new.directories),
        ..PartitionChangeRecord::default()
    }
}
