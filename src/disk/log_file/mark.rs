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
        let size = self.log.size();
        // What has come since a truncation may have gaps where there were none.
        self.marked_segment = self.marked_segment.min(self.log.active_segment().base_offset);
        // A gap in front of a segment is the leader's if it was flushed, and a hole that a power loss has left if not.
        if size.abs_diff(self.marked_size) >= MARK_SYNC_BYTES || self.log.has_gap_above(self.marked_segment) {
            self.dir.sync_marks()?;
            self.marked_size = size;
            let noted = self.dir.mark_of(&self.partition).map(|mark| mark.segment);
            self.marked_segment = noted.unwrap_or(Offset::ZERO);
        }
        Ok(())
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
        match self.dir.settle_mark(&self.partition, mark) {
            Err(error) if error.kind != DiskErrorKind::NoSpace => {
                self.log.give_up(format!("the flushed mark could not be written: {error}"));
                Err(self.lanes.break_off(error))
            }
            outcome => outcome,
        }
    }
}
