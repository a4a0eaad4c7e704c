//! The segments of a log at its opening, from its front to its end.
//!
//! What lies in front of where reading begins is believed (`trusted`); from there on each segment is read (`scanned`). The
//! first torn tail ends the log, and so does a hole: what stands behind it goes, the last segment first.
//!
//! - May use: the opening's own files, and `log`.
//! - Always true: a segment that was flushed is not removed; no offset that was flushed is given twice.

use std::collections::BTreeSet;

use crate::disk::open::files::{Files, LogEntry};
use crate::disk::open::{Failure, Opening};
use crate::disk::report::{CorruptRange, RecoveryReport, Shutdown};
use crate::disk::{Disk, DiskError};
use crate::epoch::LeaderEpoch;
use crate::log::{
    EpochCache, EpochsFrom, FileName, IndexFiles, Indexes, MaxTimestamp, ProducerState, RecoveredSegment, TxnIndex,
    UnknownProducer,
};
use crate::offset::Offset;
use crate::time::Timestamp;

/// What has been found so far, from the front of the log on.
#[derive(Debug)]
pub(crate) struct Found {
    /// The segments, oldest first.
    pub(super) segments: Vec<RecoveredSegment>,
    /// Where each leader epoch begins: as it was noted, and as the batches that were read add to it.
    pub(super) epochs: EpochCache,
    /// Who noted them.
    pub(super) epochs_from: EpochsFrom,
    /// The epoch of the last batch that was read and counts; `None` as long as there was none.
    pub(super) seen_epoch: Option<LeaderEpoch>,
    /// The producers behind what was read.
    pub(super) producers: ProducerState,
    /// From where on batches are new to `producers`.
    pub(super) replay_from: Offset,
    /// Up to where all was flushed: below, nothing is cut.
    pub(super) flushed: Offset,
    /// Where the log ended, if that was behind its last batch.
    pub(super) reached: Offset,
    /// The producer snapshots that are garbage.
    pub(super) bad_snapshots: BTreeSet<Offset>,
    /// The bases of the segments that were there when the opening began; none where nobody asks.
    pub(super) bases: BTreeSet<Offset>,
}

impl Found {
    /// Nothing yet, and nothing known.
    pub(crate) fn nothing() -> Self {
        Self {
            segments: Vec::new(),
            epochs: EpochCache::default(),
            epochs_from: EpochsFrom::Batches,
            seen_epoch: None,
            producers: ProducerState::new(Offset::ZERO, UnknownProducer::default()),
            replay_from: Offset::ZERO,
            flushed: Offset::ZERO,
            reached: Offset::ZERO,
            bad_snapshots: BTreeSet::new(),
            bases: BTreeSet::new(),
        }
    }

    /// Where the log ends; `None` if it has no segment.
    pub(super) fn end(&self) -> Option<Offset> {
        self.segments.last().map(|last| last.next.max(self.reached))
    }

    /// Where the segment begins that was behind the one at `base`.
    pub(super) fn base_behind(&self, base: Offset) -> Option<Offset> {
        self.bases.range(base.advance(1)..).next().copied()
    }
}

impl<D: Disk> Opening<'_, D> {
    /// Goes through the segments. `noted` is where the leader epochs begin; `None` if only the batches can tell, all of
    /// which are read then.
    pub(super) fn segments(
        &self,
        noted: Option<EpochCache>,
        files: &mut Files,
        report: &mut RecoveryReport,
    ) -> Result<Found, Failure> {
        let epochs_from = match (&noted, self.known.mark) {
            (None, _) => EpochsFrom::Batches,
            (Some(_), Some(_)) => EpochsFrom::Ottla,
            (Some(_), None) => EpochsFrom::Kafka,
        };
        let bases: BTreeSet<Offset> = files.logs.keys().copied().collect();
        let mut found = Found {
            epochs: noted.unwrap_or_default(),
            epochs_from,
            flushed: self.flushed(files)?,
            bases: bases.clone(),
            ..Found::nothing()
        };
        let Some(begin) = self.begin(files, epochs_from)? else { return Ok(found) };
        // A later snapshot does not tell which transactions were aborted in what is read from its front.
        let is_short = report.shutdown == Shutdown::Clean && begin.prefix.is_some();
        let newest = if is_short { Offset::MAX } else { begin.reached };
        self.load_producers(files, begin.next, newest, &mut found)?;
        self.look_at_snapshots_behind(newest, files, &mut found)?;
        for base in bases {
            let following = found.base_behind(base);
            if base < begin.segment {
                let segment = self.segment_in_front(base, following, &found, files, report)?;
                found.segments.push(segment);
                continue;
            }
            if self.follows_a_hole(base, &found)? {
                self.remove_from(base, &found, files, report)?;
                break;
            }
            let start = self.start(base, &begin, &found)?;
            // Below the log start nobody misses the end of a segment, and it does not end the log.
            let is_missed = following.is_none_or(|following| following > self.known.start());
            report.torn = self.read_segment(start, files, &mut found, report)?.filter(|_| is_missed);
            if report.torn.is_some() {
                if let Some(following) = following {
                    self.remove_from(following, &found, files, report)?;
                }
                break;
            }
        }
        self.seal_damage(&mut found, files, report)?;
        Ok(found)
    }

    /// Whether what was not flushed is missing in front of this segment: then it does not count, or a hole would.
    /// Only where there is a mark of ours: Kafka's logs may have gaps that nobody noted.
    fn follows_a_hole(&self, base: Offset, found: &Found) -> Result<bool, DiskError> {
        let front = found.segments.last().map_or(self.known.start(), |last| last.next);
        if self.known.mark.is_none_or(|mark| base <= mark.offset) || front >= base {
            return Ok(false);
        }
        let Some(last) = found.segments.last() else { return Ok(true) };
        // A follower's log may have gaps; then the segment in front was sealed for this one to follow.
        let entry = LogEntry { len: u64::from(last.size), modified: last.modified };
        Ok(self.sealed_facts(last.base, entry)?.is_none_or(|facts| facts.next_offset != base))
    }

    /// Removes the segments from `base` on, the last one first, so that no crash leaves a hole.
    fn remove_from(
        &self,
        base: Offset,
        found: &Found,
        files: &mut Files,
        report: &mut RecoveryReport,
    ) -> Result<(), DiskError> {
        for gone in found.bases.range(base..).rev() {
            files.remove_segment(self.disk, &self.dir, *gone)?;
            report.removed_segments.push(*gone);
        }
        self.disk.sync_dir(&self.dir)
    }

    /// A log whose end is corrupt goes on in a new segment behind all offsets that were flushed: none is given twice.
    fn seal_damage(&self, found: &mut Found, files: &mut Files, report: &mut RecoveryReport) -> Result<(), DiskError> {
        let Some(last) = found.segments.last() else { return Ok(()) };
        let start = self.known.start();
        if last.next < start && found.flushed <= start {
            // Nothing of it counts any more.
            return Ok(());
        }
        let at_end = report.corrupt.iter().any(|bad| bad.segment == last.base && bad.range.next_offset.is_none());
        // A recovery point of Kafka's has no checksum: one that is too far for the segment says nothing.
        if found.flushed.relative_to(last.base).is_none() {
            found.flushed = found.flushed.min(last.next);
        }
        if !at_end && last.next >= found.flushed {
            return Ok(());
        }
        let end = last.next.max(found.flushed);
        if end == last.base {
            return Ok(());
        }
        let lost = if at_end { None } else { self.lost_end(last, end) };
        if !at_end && lost.is_none() {
            // A truncation into a batch has left the log to end behind its last one.
            found.reached = end;
            found.producers.advance_end(end);
            return Ok(());
        }
        // What was noted of it when it was last sealed says that the log went on elsewhere.
        if files.others.remove(&FileName::Sums(last.base)).is_some() {
            self.disk.remove(&self.dir.entry(FileName::Sums(last.base)))?;
        }
        report.corrupt.extend(lost.map(|range| CorruptRange { segment: last.base, range }));
        if let Some(last) = found.segments.last_mut() {
            last.next = end;
        }
        let modified = found.segments.last().map_or(Timestamp::NONE, |last| last.modified);
        found.segments.push(empty_segment(end, self.config.segment_index_bytes, modified));
        found.producers.advance_end(end);
        Ok(())
    }
}

fn empty_segment(base: Offset, index_bytes_max: u32, now: Timestamp) -> RecoveredSegment {
    RecoveredSegment {
        base,
        next: base,
        size: 0,
        max: MaxTimestamp::none(base),
        first_timestamp: None,
        created: now,
        modified: now,
        indexes: Some(Indexes::new(base, index_bytes_max)),
        index_len: 0,
        index_files: IndexFiles::Wrong,
        aborted: TxnIndex::new(base),
        has_txn_index: false,
        cut: false,
        missing: true,
    }
}
