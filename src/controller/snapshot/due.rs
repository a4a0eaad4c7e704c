//! When the metadata is to be written as a snapshot, and what may go once it is (semantics 10).
//!
//! - May use: its siblings, and the controller for what is committed.
//! - Must not know: files, threads; whether a partition leads.
//! - Always true: one snapshot is written at a time; what may go is what the newest snapshot *and* the one before it stand
//!   for, so that either of them alone, with the log, gives the image.

use crate::controller::image::Image;
use crate::controller::replayer::Replayer;
use crate::controller::snapshot::SnapshotId;
use crate::epoch::LeaderEpoch;
use crate::offset::Offset;
use crate::time::{Instant, Timestamp};

/// How much there may be that no snapshot stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SnapshotRules {
    /// So many bytes of batches (Kafka's `metadata.log.max.record.bytes.between.snapshots`), also those of earlier processes.
    pub bytes: u64,
    /// Any at all, for so many milliseconds (Kafka's `metadata.log.max.snapshot.interval.ms`), counted from when this process
    /// saw the first of them.
    pub age_ms: u64,
}

/// Kafka's: 20 MiB, and an hour.
impl Default for SnapshotRules {
    fn default() -> Self {
        Self { bytes: 20 << 20, age_ms: 3_600_000 }
    }
}

/// What a snapshot of all that is committed would be.
#[derive(Clone, Debug)]
pub struct SnapshotSource {
    /// Its name.
    pub id: SnapshotId,
    /// What is in it.
    pub image: Image,
    /// The date of the last batch that it stands for.
    pub last_contained_log_timestamp: Timestamp,
    /// How many bytes of batches were replayed behind the snapshot that the replaying began with.
    bytes: u64,
}

impl SnapshotSource {
    /// `None` where there can be none: nothing has come behind the last snapshot, or a transaction is open, which an image says
    /// nothing of.
    pub(in crate::controller) fn of(replayer: &Replayer) -> Option<Self> {
        let last_contained_log_timestamp = replayer.last_timestamp()?;
        let end = replayer.end();
        if replayer.open_transaction().is_some() || end == Offset::ZERO {
            return None;
        }
        Some(Self {
            id: SnapshotId { end, epoch: replayer.last_epoch().unwrap_or(LeaderEpoch::ZERO) },
            image: replayer.image().clone(),
            last_contained_log_timestamp,
            bytes: replayer.bytes(),
        })
    }
}

/// Says when a snapshot is due, and what may go when it is written.
///
/// The walk: [`plan`](Self::plan) says that one is due; it is written somewhere else; [`written`](Self::written) or
/// [`failed`](Self::failed) is told what has come of it. In between none is due.
#[derive(Clone, Debug, Default)]
pub struct Snapshots {
    rules: SnapshotRules,
    newest: Option<SnapshotId>,
    /// How many bytes were replayed when the newest was taken.
    bytes_at_newest: u64,
    /// Since when there is something that the newest does not stand for.
    since: Option<Instant>,
    /// The one that is being written, and the bytes replayed up to there.
    writing: Option<(SnapshotId, u64)>,
}

impl Snapshots {
    /// `newest` is the snapshot that the image was read from, if it was.
    pub fn new(rules: SnapshotRules, newest: Option<SnapshotId>) -> Self {
        Self { rules, newest, ..Self::default() }
    }

    /// The newest that is written. Older ones may go; the one before it goes when the next is written.
    pub fn newest(&self) -> Option<SnapshotId> {
        self.newest
    }

    /// Whether a snapshot of `source` is to be written now: then nothing else is due until it is told what has come of it.
    pub fn plan(&mut self, now: Instant, source: &SnapshotSource) -> bool {
        let SnapshotSource { id, bytes, .. } = *source;
        if self.writing.is_some() || self.newest.is_some_and(|newest| newest.end >= id.end) {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_much = bytes.saturating_sub(self.bytes_at_newest) >= self.rules.bytes;
        let is_old = now >= since.after(self.rules.age_ms);
        if is_much || is_old {
            self.writing = Some((id, bytes));
        }
        self.writing.is_some()
    }

    /// The one that was due is written and durable. Answers up to where the log may go: what the one before it stands for.
    pub fn written(&mut self) -> Option<Offset> {
        let (id, bytes) = self.writing.take()?;
        (self.bytes_at_newest, self.since) = (bytes, None);
        self.newest.replace(id).map(|before| before.end)
    }

    /// The one that was due could not be written. It stays due.
    pub fn failed(&mut self) {
        self.writing = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: SnapshotRules = SnapshotRules { bytes: 1_000, age_ms: 500 };

    fn id(end: u64) -> SnapshotId {
        SnapshotId { end: Offset::new(end), epoch: LeaderEpoch::new(1) }
    }

    fn source(end: u64, bytes: u64) -> SnapshotSource {
        let last_contained_log_timestamp = Timestamp::from_millis(7);
        SnapshotSource { id: id(end), image: Image::default(), last_contained_log_timestamp, bytes }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_snapshot_is_due_after_so_many_bytes_or_so_long_a_time() {
        //        replayed at the newest, then: (now, end, bytes)                        - due
        for (steps, is_due) in [
            (vec![(0, 5, 999)], false),
            (vec![(0, 5, 1_000)], true),
            (vec![(0, 5, 10), (499, 5, 10)], false),
            (vec![(0, 5, 10), (500, 6, 20)], true),
            // The age counts from the first that no snapshot stands for, not from the start.
            (vec![(0, 4, 0), (600, 5, 10)], false),
        ] {
            let mut snapshots = Snapshots::new(RULES, Some(id(4)));
            let planned: Vec<bool> =
                steps.iter().map(|(now, end, bytes)| snapshots.plan(at(*now), &source(*end, *bytes))).collect();
            assert_eq!(planned.last(), Some(&is_due), "{steps:?}");
            assert!(planned[..planned.len() - 1].iter().all(|due| !due), "{steps:?}");
        }
    }

    #[test]
    fn one_is_written_at_a_time_and_the_log_goes_up_to_the_one_before() {
        let mut snapshots = Snapshots::new(RULES, None);
        assert!(snapshots.plan(at(0), &source(5, 1_500)));
        assert!(!snapshots.plan(at(9_000), &source(9, 9_000)), "one is under way");
        assert_eq!(
            (snapshots.written(), snapshots.newest()),
            (None, Some(id(5))),
            "nothing stands for it but this one"
        );
        assert!(!snapshots.plan(at(9_000), &source(5, 1_500)), "there is nothing new");
        assert!(!snapshots.plan(at(9_000), &source(7, 2_499)), "bytes and age are counted anew");
        assert!(snapshots.plan(at(9_001), &source(8, 2_500)));
        assert_eq!((snapshots.written(), snapshots.newest()), (Some(Offset::new(5)), Some(id(8))));
        assert_eq!(snapshots.written(), None, "nothing was under way");
    }

    #[test]
    fn what_failed_stays_due() {
        let mut snapshots = Snapshots::new(RULES, Some(id(3)));
        assert!(snapshots.plan(at(0), &source(5, 1_000)));
        snapshots.failed();
        assert_eq!(snapshots.newest(), Some(id(3)));
        assert!(snapshots.plan(at(1), &source(6, 1_001)));
        assert_eq!(snapshots.written(), Some(Offset::new(3)));
    }
}
