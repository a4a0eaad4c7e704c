//! What went wrong beside what somebody waits for: kept, within limits, for whoever closes the node.

use crate::controller::SnapshotId;
use crate::coordinator::Skipped;
use crate::id::TopicPartition;

/// How many of each kind are kept.
const NOTES_MAX: usize = 100;

/// What a node noticed and had nobody to tell: the first of each kind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Notes {
    /// Partitions of deleted topics whose files could not be removed, and why. The next opening tries again.
    pub deletions_failed: Vec<(TopicPartition, String)>,
    /// Partitions that could not be compacted when that was tried last, and why. Nothing of them is lost.
    pub compactions_failed: Vec<(TopicPartition, String)>,
    /// What groups have committed and could not be read. There they begin again from what was committed before.
    pub skipped: Vec<(TopicPartition, Skipped)>,
    /// How many batches were refused whose senders wanted no answer.
    pub refused: u64,
    /// Snapshots of the metadata that could not be written, and why. The metadata's log stays as it is meanwhile, and a later
    /// one is tried at the next upkeep.
    pub snapshots_failed: Vec<(SnapshotId, String)>,
    /// How many more deletions, compactions or snapshots have failed, or records were skipped, than are named.
    pub unnamed: u64,
}

impl Notes {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn deletion_failed(&mut self, partition: TopicPartition, why: String) {
        if self.deletions_failed.len() < NOTES_MAX {
            self.deletions_failed.push((partition, why));
        } else {
            self.unnamed = self.unnamed.saturating_add(1);
        }
    }

    /// A partition was compacted, or needs it no more.
    pub(super) fn compacted(&mut self, partition: &TopicPartition) {
        self.compactions_failed.retain(|(failed, _)| failed != partition);
    }

    pub(super) fn compaction_failed(&mut self, partition: TopicPartition, why: String) {
        self.compacted(&partition);
        if self.compactions_failed.len() < NOTES_MAX {
            self.compactions_failed.push((partition, why));
        } else {
            self.unnamed = self.unnamed.saturating_add(1);
        }
    }

    pub(super) fn skip(&mut self, partition: TopicPartition, skipped: Skipped) {
        if self.skipped.len() < NOTES_MAX {
            self.skipped.push((partition, skipped));
        } else {
            self.unnamed = self.unnamed.saturating_add(1);
        }
    }

    pub(super) fn snapshot_failed(&mut self, id: SnapshotId, why: String) {
        if self.snapshots_failed.len() < NOTES_MAX {
            self.snapshots_failed.push((id, why));
        } else {
            self.unnamed = self.unnamed.saturating_add(1);
        }
    }

    pub(super) fn refuse(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_again_and_again_is_counted_and_not_kept() {
        let mut notes = Notes::default();
        assert!(notes.is_empty());
        for number in 0..NOTES_MAX as u32 + 7 {
            notes.deletion_failed(TopicPartition::parse(&format!("orders-{number}")).unwrap(), "EIO".to_owned());
        }
        notes.refuse();
        assert_eq!((notes.deletions_failed.len(), notes.unnamed, notes.refused), (NOTES_MAX, 7, 1));
    }
}
