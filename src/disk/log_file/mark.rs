//! The flushed mark of a [`LogFile`]: what it says, when it is written, when it is made durable.
//!
//! Each flush writes the mark, and the mark trails: it becomes durable once in a while only, because what lies behind it is
//! merely read again at the next opening. An operation that relies on it (a trim, a cut, a compaction) writes and syncs it
//! first.

use crate::disk::log_file::LogFile;
use crate::disk::{Disk, DiskError, DiskErrorKind};
use crate::log::{Closing, FlushedMark};
use crate::offset::Offset;

/// After how many flushed bytes the flushed mark is made durable.
const MARK_SYNC_BYTES: u64 = 64 << 20;

impl<D: Disk> LogFile<D> {
    /// Makes the mark durable once much was flushed since: after a power loss all behind it is read again.
    pub(super) fn maybe_sync_mark(&mut self) -> Result<(), DiskError> {
        // What has come since a truncation may have gaps where there were none.
        self.marked_segment = self.marked_segment.min(self.log.active_segment().base_offset);
        let is_far = self.log.size().abs_diff(self.marked_size) >= MARK_SYNC_BYTES;
        // A gap in front of a segment is the leader's if it was flushed, and a hole that a power loss has left if not.
        let has_gap = self.log.has_gap_above(self.marked_segment);
        // Only the mark has a checksum of the reigns, and batches of an earlier one count for nothing.
        let has_reign = self.log.epochs().last().is_some_and(|last| last.start_offset >= self.marked_end);
        if is_far || has_gap || has_reign && self.is_ahead_of_mark() { self.sync_mark() } else { Ok(()) }
    }

    /// Makes the mark durable before a reign is noted. Should its entry rot before the mark knows it, it may seem to begin
    /// anywhere behind the mark: what is flushed by then must not lie there.
    pub(super) fn mark_before_reign(&mut self) -> Result<(), DiskError> {
        if self.is_ahead_of_mark() { self.sync_mark() } else { Ok(()) }
    }

    /// Whether the mark, as it was last written, tells of more than the durable one.
    fn is_ahead_of_mark(&self) -> bool {
        self.dir.mark_of(&self.partition).is_some_and(|mark| mark.offset > self.marked_end)
    }

    /// Makes the mark durable as it was last written.
    pub(super) fn sync_mark(&mut self) -> Result<(), DiskError> {
        let outcome = self.dir.sync_marks();
        self.marked(outcome)
    }

    /// The mark is durable as it was last written.
    pub(super) fn mark_is_durable(&mut self) {
        let noted = self.dir.mark_of(&self.partition);
        self.marked_size = self.log.size();
        self.marked_segment = noted.map_or(Offset::ZERO, |mark| mark.segment);
        self.marked_end = noted.map_or(Offset::ZERO, |mark| mark.offset);
    }

    /// Writes the mark; it may trail.
    pub(super) fn note_mark(&mut self) -> Result<(), DiskError> {
        let mark = self.log.mark(Closing::Open);
        self.dir.note_mark(&self.partition, &mark)
    }

    /// Writes the mark, which must not trail now.
    pub(in crate::disk) fn write_mark(&mut self) -> Result<(), DiskError> {
        let mark = self.log.mark(Closing::Open);
        self.dir.write_mark(&self.partition, &mark)
    }

    /// Writes the mark and makes it durable, for what comes next relies on it. A failed sync poisons the log: what it says
    /// and what its files say must not part.
    pub(in crate::disk) fn settle_mark(&mut self) -> Result<(), DiskError> {
        let mark = self.log.mark(Closing::Open);
        self.settle_as(&mark)
    }

    /// Makes this the mark, durably.
    pub(in crate::disk) fn settle_as(&mut self, mark: &FlushedMark) -> Result<(), DiskError> {
        let outcome = self.dir.settle_mark(&self.partition, mark);
        self.marked(outcome)
    }

    /// What came of making the mark durable. After a failure nobody knows which one is, and trying again would not tell.
    fn marked(&mut self, outcome: Result<(), DiskError>) -> Result<(), DiskError> {
        match outcome {
            Err(error) if error.kind != DiskErrorKind::NoSpace => {
                self.log.give_up(format!("the flushed mark could not be written: {error}"));
                Err(self.lanes.break_off(error))
            }
            Err(full) => Err(full),
            Ok(()) => {
                self.mark_is_durable();
                Ok(())
            }
        }
    }
}
