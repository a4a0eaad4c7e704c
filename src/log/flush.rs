//! Flushing: when a flush begins, what it covers, and the mark that tells the next opening what is on disk.
//!
//! - May use: its siblings.
//! - Always true: one flush is under way at a time; a mark tells of nothing that is not flushed.

use crate::log::indexes::{Indexes, MaxTimestamp};
use crate::log::mark::FlushedMark;
use crate::log::op::{Effect, OpSeq, Sync, SyncId};
use crate::log::segment::SegmentFiles;
use crate::log::{Closing, Health, Log};
use crate::offset::Offset;

impl Log {
    /// Asks for all that is appended so far to be brought to disk.
    pub fn flush(&mut self, out: &mut Vec<Effect>) {
        self.write_index_entries(out);
        self.maybe_snapshot(out);
        if !self.unsynced.is_empty() {
            self.flush_wanted = Some(OpSeq(self.next_op));
        }
        self.maybe_sync(out);
    }

    /// Whether a flush was asked for and has not ended.
    pub fn is_flushing(&self) -> bool {
        self.flush_wanted.is_some() || self.acknowledged.is_syncing()
    }

    /// Whether there is nothing to flush: all that was appended or found is on disk, names and side files too.
    pub fn is_settled(&self) -> bool {
        self.unsynced.is_empty() && !self.is_flushing()
    }

    /// The flush `id` has succeeded. Of a poisoned log this is not believed any more.
    pub fn synced(&mut self, id: SyncId, out: &mut Vec<Effect>) {
        if matches!(self.health, Health::Poisoned { .. }) {
            return;
        }
        if self.acknowledged.synced(id) {
            self.renew_mark();
        }
        self.maybe_sync(out);
        self.check();
    }

    /// The flush `id` has failed. What it should have covered may be lost, and trying again would not tell.
    pub fn sync_failed(&mut self, id: SyncId, why: &str) {
        self.poison(format!("flush {}: {why}", id.0));
    }

    /// What is flushed, for the next opening. Between two flushes, what was flushed by the last one, if that still
    /// stands; the log start and the high watermark are always those of now.
    pub fn mark(&self, shutdown: Closing) -> FlushedMark {
        let last = self.last_mark.filter(|last| self.segments.contains_key(&last.segment));
        match last.filter(|_| !self.is_flushed()) {
            Some(last) => FlushedMark {
                log_start_offset: self.log_start_offset,
                high_watermark: self.high_watermark,
                epochs_crc: self.epochs.checksum_below(last.offset),
                clean: false,
                ..last
            },
            None => self.mark_now(shutdown),
        }
    }

    /// `mark`, of a log that reached as far as `end` with no batch more.
    pub(crate) fn mark_reaching(&self, mark: FlushedMark, end: Offset) -> FlushedMark {
        let offset = mark.offset.max(end);
        FlushedMark { offset, epochs_crc: self.epochs.checksum_below(offset), ..mark }
    }

    /// Begins the flush that was asked for, once all that it was asked for is done and no other is under way. It covers
    /// whatever is done by then; what is appended meanwhile is left to the next, or a flush would never begin.
    pub(super) fn maybe_sync(&mut self, out: &mut Vec<Effect>) {
        let done = self.acknowledged.last_done();
        let is_due = self.flush_wanted.is_some_and(|wanted| wanted <= done);
        if !is_due || matches!(self.health, Health::Poisoned { .. }) {
            return;
        }
        if let Some(id) = self.acknowledged.begin_sync() {
            self.flush_wanted = None;
            let (files, directory) = self.unsynced.take(done);
            out.push(Effect::Sync(Sync { id, files, directory }));
        }
    }

    /// A flush has succeeded: the mark tells of the whole log if nothing has come meanwhile, and else of the segments that
    /// are flushed to their ends, if that is more than it told.
    fn renew_mark(&mut self) {
        let mark = self.mark_now(Closing::Open);
        if self.is_flushed() || self.last_mark.is_none_or(|last| last.offset < mark.offset) {
            self.last_mark = Some(mark);
        }
    }

    fn mark_now(&self, shutdown: Closing) -> FlushedMark {
        let active = self.active();
        let nothing = (0, crc32fast::hash(&[]));
        // Only what is flushed may be told; it is the whole log whenever a flush has just succeeded.
        let whole = self.is_flushed();
        let indexes = active.indexes.as_ref().filter(|_| whole);
        let (index, time_index) = indexes.map_or((nothing, nothing), Indexes::sums);
        let txn_index = if whole { active.aborted_written.sum() } else { nothing };
        // Else only the front of the segment in which the flushed part ends: what comes behind must be read.
        let first = self.segments.keys().next().copied().unwrap_or(self.log_start_offset);
        let reached = self.segments.range(..=self.flushed()).next_back().map_or(first, |(base, _)| *base);
        let reached = self.unsynced_seal().map_or(reached, |base| base.min(reached));
        let segment = if whole { active.base } else { reached };
        let max = if whole { active.max } else { MaxTimestamp::none(segment) };
        let mark = FlushedMark {
            segment,
            position: if whole { active.size } else { 0 },
            offset: if whole { self.log_end_offset } else { reached },
            next_offset: if whole { active.next } else { reached },
            log_start_offset: self.log_start_offset,
            high_watermark: self.high_watermark,
            max_timestamp: max.timestamp,
            offset_of_max_timestamp: max.offset,
            index_len: index.0,
            index_crc: index.1,
            time_index_len: time_index.0,
            time_index_crc: time_index.1,
            txn_index_len: txn_index.0,
            txn_index_crc: txn_index.1,
            snapshot_offset: match self.snapshots.last() {
                _ if self.producers.is_empty() => None,
                // Never written: all that there is must be read.
                None => Some(Offset::ZERO),
                last => last.copied(),
            },
            epochs_crc: 0,
            clean: whole && shutdown == Closing::Closed,
        };
        FlushedMark { epochs_crc: mark.checksum_of(&self.epochs), ..mark }
    }

    /// Whether all batches are on disk, and the side files of all sealed segments.
    fn is_flushed(&self) -> bool {
        let batches = self.flushed() == self.log_end_offset;
        batches && !self.acknowledged.is_syncing() && self.unsynced_seal().is_none()
    }

    /// The first segment that was sealed since the last flush. Nobody would look at its side files again if a mark told of
    /// a segment behind it.
    fn unsynced_seal(&self) -> Option<Offset> {
        let is_unsynced = |files: &SegmentFiles| {
            let mut all = [files.log, files.index, files.time_index].into_iter().chain(files.txn_index);
            all.any(|file| self.unsynced.contains(file))
        };
        let mut sealed = self.segments.range(..self.active().base);
        sealed.find(|(_, segment)| is_unsynced(&segment.files)).map(|(base, _)| *base)
    }
}
