//! Rolling: when a log goes on in a new segment, and what is done to the old one.

use crate::log::append::Change;
use crate::log::op::{DiskOp, Effect, FileName, OpSeq};
use crate::log::segment::{Segment, SegmentFacts, SegmentFiles};
use crate::log::{AppendDecision, Indexes, Log, ProducerSnapshot};
use crate::offset::Offset;
use crate::time::Timestamp;

/// After how many bytes a flush writes what is known of producers.
const SNAPSHOT_BYTES: u64 = 32 << 20;

impl Log {
    /// Whether applying `decision` will roll first (semantics 1.5).
    pub fn rolls_for(&self, now: Timestamp, decision: &AppendDecision) -> bool {
        match decision {
            AppendDecision::Append(change) => self.must_roll(now, change),
            AppendDecision::Nothing | AppendDecision::Duplicate(_) => false,
        }
    }

    /// Rolls for `decision` if applying it would, so that the new files can be made before anything is appended.
    pub fn roll_for(&mut self, now: Timestamp, decision: &AppendDecision, out: &mut Vec<Effect>) {
        if let AppendDecision::Append(change) = decision {
            self.maybe_roll(now, change, out);
        }
    }

    /// Goes on in a new segment at the log end. Answers its base offset. An empty active segment is begun anew.
    pub fn roll(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> Offset {
        self.roll_at(self.log_end_offset, now, out);
        self.check();
        self.active().base
    }

    pub(crate) fn maybe_roll(&mut self, now: Timestamp, change: &Change, out: &mut Vec<Effect>) {
        if self.must_roll(now, change) {
            // What is replicated behind a gap begins its segment behind the gap too: the log goes on there even if the
            // append that rolled then finds no space, or the active segment would begin past the end.
            self.log_end_offset = change.base_offset().max(self.log_end_offset);
            self.roll_at(self.log_end_offset, now, out);
        }
    }

    fn must_roll(&self, now: Timestamp, change: &Change) -> bool {
        let active = self.active();
        let too_large = u64::from(active.size) + u64::from(change.bytes()) > u64::from(self.config.segment_bytes);
        let waited = active.size > 0 && self.waited(active, now, change) > self.roll_after(active);
        let full = active.indexes.as_ref().is_some_and(|indexes| indexes.is_full());
        let too_far = change.last_offset().relative_to(active.base).is_none();
        too_large || waited || full || too_far
    }

    /// How long, by the dates of the records, the active segment has been growing: by the clock only where its first
    /// batch has no date.
    fn waited(&self, active: &Segment, now: Timestamp, change: &Change) -> i128 {
        let (from, to) = match active.first_timestamp {
            Some(first) if first.as_millis() >= 0 => (first, change.max_timestamp()),
            _ => (active.created, now),
        };
        i128::from(to.as_millis()) - i128::from(from.as_millis())
    }

    fn roll_after(&self, active: &Segment) -> i128 {
        i128::from(self.config.segment_ms_effective().saturating_sub(active.jitter_ms))
    }

    pub(super) fn roll_at(&mut self, base: Offset, now: Timestamp, out: &mut Vec<Effect>) {
        if self.active().base == base {
            self.begin_anew(now, out);
        } else {
            self.seal(base, out);
            // A follower rolls where the leader's next batch begins, which may lie behind a gap: whatever becomes of that
            // batch, the log goes on there.
            self.log_end_offset = self.log_end_offset.max(base);
            self.add_segment(base, now, out);
        }
        self.producers.advance_end(base);
        self.take_snapshot(out);
    }

    /// The active segment has no batches: only its indexes and its age begin anew (an index may be full with none).
    fn begin_anew(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let bytes_max = self.config.segment_index_bytes;
        let jitter_ms = self.jitter_at(self.active().base);
        let index_interval_bytes = self.config.index_interval_bytes;
        let active = self.active_mut();
        let (files, reserved) = (active.files, active.reserved);
        let new = Segment::new(active.base, files, bytes_max, now);
        *active = Segment { jitter_ms, reserved, index_interval_bytes, ..new };
        self.emit(DiskOp::Truncate { file: files.index, len: 0 }, out);
        self.emit(DiskOp::Truncate { file: files.time_index, len: 0 }, out);
    }

    /// The active segment is complete; the next one begins at `next`, and its seal says so: whether what is missing in
    /// between is the leader's gap or was lost is not to be seen otherwise.
    fn seal(&mut self, next: Offset, out: &mut Vec<Effect>) {
        let active = self.active_mut();
        let (base, max) = (active.base, active.max);
        if let Some(indexes) = active.indexes.as_mut() {
            indexes.seal(max);
        }
        self.write_indexes_of(base, out);
        let op = self.seal_op(self.active(), next);
        let sealed = self.emit(op, out);
        // Nobody reads a sealed segment again to see whether its side files reached the disk: the next flush sees to it.
        let files = self.active().files;
        for file in [files.index, files.time_index].into_iter().chain(files.txn_index) {
            self.unsynced.wrote(file, sealed);
        }
        self.active_mut().last_op = Some(sealed);
    }

    pub(super) fn seal_op(&self, segment: &Segment, next_offset: Offset) -> DiskOp {
        let nothing = (0, crc32fast::hash(&[]));
        let (index, time_index) = segment.indexes.as_ref().map_or((nothing, nothing), Indexes::sums);
        DiskOp::Seal {
            base: segment.base,
            file: segment.files.log,
            len: segment.size,
            facts: SegmentFacts { next_offset, ..segment.facts() },
            indexes: [index, time_index, segment.aborted_written.sum()],
        }
    }

    /// Makes the files of a new active segment.
    pub(super) fn add_segment(&mut self, base: Offset, now: Timestamp, out: &mut Vec<Effect>) {
        let files =
            SegmentFiles { log: self.new_file(), index: self.new_file(), time_index: self.new_file(), txn_index: None };
        let jitter_ms = self.jitter_at(base);
        let index_interval_bytes = self.config.index_interval_bytes;
        let new = Segment::new(base, files, self.config.segment_index_bytes, now);
        let segment = Segment { jitter_ms, index_interval_bytes, ..new };
        self.segments.insert(base, segment);
        self.emit(DiskOp::Create { file: files.log, name: FileName::Log(base) }, out);
        self.emit(DiskOp::Create { file: files.index, name: FileName::OffsetIndex(base) }, out);
        self.emit(DiskOp::Create { file: files.time_index, name: FileName::TimeIndex(base) }, out);
        self.unsynced.named(OpSeq(self.next_op));
        self.recount();
        let high_watermark = self.high_watermark;
        self.set_high_watermark(high_watermark);
    }

    /// Writes what is known of producers, unless nothing has come since it was written last.
    pub(super) fn take_snapshot(&mut self, out: &mut Vec<Effect>) {
        let end = self.producers.end();
        if end == Offset::ZERO {
            return;
        }
        let last = self.snapshots.last().copied();
        let Some(bytes) = ProducerSnapshot::encode_after(&self.producers, last) else { return };
        self.emit(DiskOp::Put { name: FileName::Snapshot(end), bytes: bytes.into() }, out);
        self.snapshots.insert(end);
        self.since_snapshot = 0;
    }

    /// Writes what is known of producers once enough has come since, so that an opening after a kill reads little to
    /// know them again. One between two segments' bases takes the place of the one before it.
    pub(super) fn maybe_snapshot(&mut self, out: &mut Vec<Effect>) {
        if self.producers.is_empty() || self.since_snapshot < SNAPSHOT_BYTES {
            return;
        }
        let (active, last) = (self.active().base, self.snapshots.last().copied());
        self.take_snapshot(out);
        if let Some(last) = last.filter(|last| *last > active) {
            self.remove_snapshots(|offset| offset == last, out);
        }
    }

    /// A number below `segment_jitter_ms`, the same for the same seed and segment.
    fn jitter_at(&self, base: Offset) -> u64 {
        let most = self.config.segment_jitter_ms.min(self.config.segment_ms_effective());
        if most == 0 {
            return 0;
        }
        let mut bits = self.jitter_seed.wrapping_add(base.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % most
    }
}
