//! What a partition takes of its disk, and letting go of its oldest segment for somebody who needs the space.

use crate::log::{AppendDecision, Health, TrimError};
use crate::offset::Offset;
use crate::partition::{Effect, Partition, Produce};
use crate::time::Timestamp;

/// What the index files of a segment may grow by with one batch: an entry of each, and the last one of a segment that ends.
pub const INDEX_GROWTH_MAX: u64 = 8 + 12 + 34 + LAST_ENTRY;
/// The last entry of a segment that ends.
const LAST_ENTRY: u64 = 12;

/// What a partition takes of its disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PartitionSpace {
    /// How many bytes segments and their index files have, or will have once all is written, those of batches that wait for
    /// the disk included, with the most that their places in the indexes may take.
    pub bytes: u64,
    /// The oldest segment, if it may go.
    pub oldest: Option<Oldest>,
}

/// The oldest segment of a partition. The smallest of several goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Oldest {
    /// Whether it grows.
    pub growth: Growth,
    /// The date of its latest record.
    pub date: Timestamp,
}

/// Whether a segment grows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Growth {
    /// Not any more.
    Sealed,
    /// It is the active one. It goes last, for it has what came last.
    Active,
}

/// A segment that went for its space.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DroppedSegment {
    /// The offset in its files' names.
    pub base_offset: Offset,
    /// The offset behind its last batch.
    pub next_offset: Offset,
    /// How many bytes it had, with those of its index files.
    pub bytes: u64,
}

/// How many batches are looked at that are held in front of one.
const HELD_FORESEEN_MAX: usize = 256;

/// What would become of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Foreseen {
    /// It would be appended.
    Append,
    /// Nothing: it is refused, or it is there already.
    Nothing,
    /// That depends on those that are held in front of it; most likely it is refused.
    Open,
}

impl Partition {
    /// What the partition takes of its disk.
    pub fn space(&self) -> PartitionSpace {
        let is_good = !matches!(self.log.health(), Health::Poisoned { .. }) && self.leader().is_ok();
        let oldest = self.log.oldest_removable().filter(|_| is_good).map(|oldest| {
            let is_active = oldest.files == self.log.active_segment().files;
            let growth = if is_active { Growth::Active } else { Growth::Sealed };
            let has_date = oldest.max_timestamp.as_millis() >= 0;
            Oldest { growth, date: if has_date { oldest.max_timestamp } else { oldest.modified } }
        });
        PartitionSpace { bytes: self.log.disk_bytes() + self.held_bytes_max(), oldest }
    }

    /// What is held will take at most. The first of it ends no segment if the last one that ended did so for it.
    fn held_bytes_max(&self) -> u64 {
        let grows = self.held.len() as u64 * INDEX_GROWTH_MAX;
        let has_begun_segment = !self.held.is_empty() && self.log.active_segment().size == 0;
        self.held.bytes() + grows - if has_begun_segment { LAST_ENTRY } else { 0 }
    }

    /// Lets go of the oldest segment, whoever has not read it; if it is the only one, a new one is begun. `None` if it must
    /// not go: it is not all committed, it has nothing, the topic keeps or compacts what it has, or the log is poisoned.
    pub fn drop_oldest(&mut self, date: Timestamp, out: &mut Vec<Effect>) -> Option<DroppedSegment> {
        self.space().oldest?;
        let dropped = self.removing(out, |log, out| {
            let removed = log.remove_oldest(date, out);
            Ok::<_, TrimError>((removed.is_some(), removed))
        });
        self.proceed(out);
        let (segment, bytes) = dropped.ok()??;
        Some(DroppedSegment { base_offset: segment.base_offset, next_offset: segment.next_offset, bytes })
    }

    /// What would become of a batch if it came now. Changes nothing.
    pub fn foresee(&self, produce: &Produce) -> Foreseen {
        let decision = self.decide_produce(produce);
        if self.held.is_empty() {
            return if matches!(decision, Ok(AppendDecision::Append(_))) {
                Foreseen::Append
            } else {
                Foreseen::Nothing
            };
        }
        if matches!(decision, Ok(AppendDecision::Duplicate(_))) {
            return Foreseen::Nothing;
        }
        if self.held.len() <= HELD_FORESEEN_MAX && self.appends_behind_held(produce) {
            Foreseen::Append
        } else {
            Foreseen::Open
        }
    }

    /// Whether the batch would be appended behind what is held, if the disk does what that waits for.
    fn appends_behind_held(&self, produce: &Produce) -> bool {
        let Ok(leader) = self.leader() else { return false };
        let mut preview = self.log.preview(leader.epoch(), self.config.markers);
        let mut appends = |produce: &Produce| {
            self.check_leader(produce).is_ok() && preview.appends(&produce.batch, produce.expected_offset)
        };
        for held in self.held.iter() {
            appends(held);
        }
        appends(produce)
    }
}
