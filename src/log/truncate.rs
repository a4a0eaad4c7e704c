//! Truncation: cutting off the end of a log.
//!
//! What lies at or above the high watermark is cut from memory: the log keeps a descriptor of each batch there. Below
//! it, or where a descriptor is missing (after an opening), a fed leaf finds the place first, and its result comes in
//! as [`CutFacts`].

use crate::log::indexes::MaxTimestamp;
use crate::log::op::{DiskOp, Effect, FileId, FileName, OpSeq, Remove};
use crate::log::producers::ProducerState;
use crate::log::segment::{Segment, SegmentFiles, SegmentInfo};
use crate::log::{Indexes, Log};
use crate::offset::Offset;
use crate::time::Timestamp;

/// What a truncation needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// Nothing: it is known from memory.
    Known,
    /// The place in this segment where the first batch begins that ends above the target, and the producers' state there.
    Find(SegmentInfo),
}

/// Where a segment is to be cut, and what is true of what stays. Found by reading; valid for one log end only.
#[derive(Clone, Debug)]
pub struct CutFacts {
    /// The base of the segment.
    pub(crate) segment: Offset,
    /// The file that was read.
    pub(crate) file: FileId,
    /// Where the log ended when the reading began.
    pub(crate) log_end_offset: Offset,
    /// Where the first batch that goes begins, or the size of the segment.
    pub(crate) position: u32,
    /// The offset behind the last batch that stays.
    pub(crate) next: Offset,
    pub(crate) max: MaxTimestamp,
    pub(crate) first_timestamp: Option<Timestamp>,
    pub(crate) indexes: Indexes,
    pub(crate) producers: ProducerState,
}

/// Why a truncation was refused. The log is untouched.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// The place must be found by reading first.
    #[error("truncation to {to} needs to read the segment at {segment}")]
    MustRead {
        /// The target.
        to: Offset,
        /// The segment.
        segment: Offset,
    },
    /// What was read is no longer so.
    #[error("what was read for the truncation to {to} is out of date")]
    Stale {
        /// The target.
        to: Offset,
    },
    /// A write or a flush has failed earlier. Open the log again to go on.
    #[error("the log is poisoned: {why}")]
    Poisoned {
        /// What failed.
        why: String,
    },
}

impl Log {
    /// What a truncation to `to` needs. A target below the first segment, or at or past the end, needs nothing.
    pub fn plan_truncate(&self, to: Offset) -> Cut {
        match self.segments.range(..=to).next_back() {
            Some((_, segment)) if to < self.log_end_offset && !self.is_known(segment, to) => {
                Cut::Find(SegmentInfo::from(segment))
            }
            _ => Cut::Known,
        }
    }

    fn is_known(&self, segment: &Segment, to: Offset) -> bool {
        segment.indexes.is_some() && self.tail.covers(to)
    }

    /// Cuts off every batch that ends above `to` and lets the log end there (semantics 3). Answers whether there was
    /// any. At or past the log end only epochs that begin there are forgotten; below the first segment the log begins
    /// anew at `to`. The high watermark falls to `to` if it was above.
    ///
    /// A batch that holds `to` goes whole: the log ends at `to` even so, and the next batch leaves a gap.
    ///
    /// # Errors
    ///
    /// [`TruncateError::MustRead`] if [`Log::plan_truncate`] asked for facts and none are given.
    pub fn truncate_to(
        &mut self,
        to: Offset,
        facts: Option<CutFacts>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<bool, TruncateError> {
        self.check_alive()?;
        if to >= self.log_end_offset {
            if self.epochs.truncate_from_end(to) {
                self.write_epochs(out);
            }
            return Ok(false);
        }
        let Some(base) = self.segments.range(..=to).next_back().map(|(base, _)| *base) else {
            self.truncate_fully_and_start_at(to, now, out)?;
            return Ok(true);
        };
        match (self.plan_truncate(to), facts) {
            (Cut::Known, _) => self.cut_known(base, to, out),
            (Cut::Find(_), Some(facts)) => self.cut_found(base, to, facts, out)?,
            (Cut::Find(segment), None) => {
                return Err(TruncateError::MustRead { to, segment: segment.base_offset });
            }
        }
        let active = self.active_mut();
        if active.size == 0 {
            active.created = now;
        }
        self.end_at(to, out);
        self.check();
        Ok(true)
    }

    /// Drops everything; the log goes on, empty, at `start`.
    ///
    /// # Errors
    ///
    /// [`TruncateError::Poisoned`] if the log is.
    pub fn truncate_fully_and_start_at(
        &mut self,
        start: Offset,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<(), TruncateError> {
        self.check_alive()?;
        self.remove_segments(Offset::ZERO, out);
        self.remove_snapshots(|_| true, out);
        self.tail.clear();
        self.producers.restart(start);
        (self.log_start_offset, self.log_end_offset, self.high_watermark) = (start, start, start);
        self.acknowledged.restart(start);
        self.last_mark = None;
        if self.epochs.latest().is_some() {
            self.epochs.clear();
            self.write_epochs(out);
        }
        self.add_segment(start, now, out);
        self.check();
        Ok(())
    }

    fn check_alive(&self) -> Result<(), TruncateError> {
        match &self.health {
            super::Health::Poisoned { why } => Err(TruncateError::Poisoned { why: why.clone() }),
            super::Health::Good | super::Health::Stalled => Ok(()),
        }
    }

    fn cut_known(&mut self, base: Offset, to: Offset, out: &mut Vec<Effect>) {
        let mut first = None;
        while let Some(mut descriptor) = self.tail.pop_above(to) {
            if let Some(undo) = descriptor.undo.take() {
                self.producers.undo(undo);
            }
            first = Some(descriptor);
        }
        self.remove_segments(Offset::new(base.get() + 1), out);
        let Some(segment) = self.segments.get_mut(&base) else { return };
        if let Some(first) = first.filter(|first| first.segment == base) {
            (segment.size, segment.max, segment.first_timestamp) =
                (first.position, first.max_before, first.first_before);
            segment.next = first.base;
        }
        // Where an earlier cut has left a gap, no batch need go, and the segment ends with the log even so.
        segment.next = segment.next.min(to);
        if let Some(indexes) = segment.indexes.as_mut() {
            indexes.truncate_to(to);
        }
        self.shorten(base, to, out);
    }

    fn cut_found(
        &mut self,
        base: Offset,
        to: Offset,
        facts: CutFacts,
        out: &mut Vec<Effect>,
    ) -> Result<(), TruncateError> {
        let current = self.segments.get(&base).map(|segment| segment.files.log);
        let stale = facts.segment != base
            || current != Some(facts.file)
            || facts.log_end_offset != self.log_end_offset
            || facts.next > to;
        if stale {
            return Err(TruncateError::Stale { to });
        }
        self.tail.clear();
        self.producers = facts.producers;
        // They were read anew, so every transaction that ended below the high watermark seems to have ended just now.
        self.producers.marker_replicated(self.high_watermark.min(to));
        self.remove_segments(Offset::new(base.get() + 1), out);
        if let Some(segment) = self.segments.get_mut(&base) {
            (segment.size, segment.next) = (facts.position, facts.next);
            (segment.max, segment.first_timestamp) = (facts.max, facts.first_timestamp);
            segment.indexes = Some(facts.indexes);
        }
        self.shorten(base, to, out);
        Ok(())
    }

    /// Shortens the files of the segment that is active from now on to what is known of it.
    fn shorten(&mut self, base: Offset, to: Offset, out: &mut Vec<Effect>) {
        self.tail.uncache_above(to);
        let Some(segment) = self.segments.get_mut(&base) else { return };
        segment.aborted.truncate_to(to);
        segment.aborted_written.cut(segment.aborted.as_bytes());
        segment.reserved = segment.reserved.min(segment.size);
        segment.last_op = None;
        // Of the indexes only what their files have: a longer one would end in zeros.
        let (files, size, (aborted, _)) = (segment.files, segment.size, segment.aborted_written.sum());
        let lens = segment.indexes.as_ref().map(|indexes| {
            let ((offset_len, _), (time_len, _)) = indexes.sums();
            (offset_len, time_len)
        });
        self.log_end_offset = to;
        self.acknowledged.cut(to);
        // It stands if nothing goes of what it tells of.
        self.last_mark = self
            .last_mark
            .filter(|last| last.offset <= to && last.segment <= base && (last.segment < base || last.position <= size));
        self.emit(DiskOp::Truncate { file: files.log, len: size }, out);
        if let Some((offset_len, time_len)) = lens {
            self.emit(DiskOp::Truncate { file: files.index, len: offset_len }, out);
            self.emit(DiskOp::Truncate { file: files.time_index, len: time_len }, out);
        }
        if let Some(file) = files.txn_index {
            self.emit(DiskOp::Truncate { file, len: aborted }, out);
        }
        self.unsynced.wrote(files.log, OpSeq(self.next_op));
        self.recount();
    }

    /// Everything else that may not lie past the end.
    fn end_at(&mut self, to: Offset, out: &mut Vec<Effect>) {
        self.log_start_offset = self.log_start_offset.min(to);
        self.remove_snapshots(|offset| offset > to, out);
        if self.epochs.truncate_from_end(to) {
            self.write_epochs(out);
        }
        if self.high_watermark > to {
            self.set_high_watermark(to);
        }
    }

    /// Removes the segments whose base is at least `from`.
    pub(super) fn remove_segments(&mut self, from: Offset, out: &mut Vec<Effect>) {
        // The last one first: a crash in between leaves no hole.
        let gone: Vec<Offset> = self.segments.range(from..).rev().map(|(base, _)| *base).collect();
        for base in gone {
            self.remove_segment(base, out);
        }
    }

    pub(super) fn remove_segment(&mut self, base: Offset, out: &mut Vec<Effect>) {
        let Some(segment) = self.segments.remove(&base) else { return };
        let files = segment.files;
        self.forget_unsynced(files);
        self.unsynced.named(OpSeq(self.next_op));
        // Of a sealed segment as early as can be: it may be for its space that later ops wait.
        let after = segment.last_op.unwrap_or(OpSeq(self.next_op));
        let mut remove = |name, file| out.push(Effect::Remove(Remove { name, file, after }));
        remove(FileName::Log(base), Some(files.log));
        remove(FileName::OffsetIndex(base), Some(files.index));
        remove(FileName::TimeIndex(base), Some(files.time_index));
        if let Some(file) = files.txn_index {
            remove(FileName::TxnIndex(base), Some(file));
        }
        remove(FileName::Sums(base), None);
    }

    /// Files that are gone are not synced any more.
    pub(super) fn forget_unsynced(&mut self, files: SegmentFiles) {
        for file in [files.log, files.index, files.time_index].into_iter().chain(files.txn_index) {
            self.unsynced.forget(file);
        }
    }

    pub(super) fn remove_snapshots(&mut self, which: impl Fn(Offset) -> bool, out: &mut Vec<Effect>) {
        let gone: Vec<Offset> = self.snapshots.iter().copied().filter(|offset| which(*offset)).collect();
        for offset in gone {
            self.snapshots.remove(&offset);
            // A power loss must not bring back what a log says that another has taken the place of.
            self.unsynced.named(OpSeq(self.next_op));
            self.remove(FileName::Snapshot(offset), None, out);
        }
    }

    pub(super) fn remove(&mut self, name: FileName, file: Option<FileId>, out: &mut Vec<Effect>) {
        out.push(Effect::Remove(Remove { name, file, after: OpSeq(self.next_op) }));
    }
}
