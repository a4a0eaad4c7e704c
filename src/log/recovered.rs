//! A log made from what an opening has found.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::log::Log;
use crate::log::acknowledged::Acknowledged;
use crate::log::config::{ConfigError, LogConfig};
use crate::log::epochs::EpochCache;
use crate::log::indexes::{Indexes, MaxTimestamp, Written};
use crate::log::mark::FlushedMark;
use crate::log::op::{DiskOp, Effect, FileName, OpSeq};
use crate::log::producers::ProducerState;
use crate::log::segment::{Segment, SegmentFiles};
use crate::log::txn_index::TxnIndex;
use crate::offset::Offset;
use crate::time::Timestamp;

/// What an opening has found, checked and put right in memory; the files of a log follow from it.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The settings.
    pub config: LogConfig,
    /// The segments, oldest first. May be empty: then the log begins at `log_start_offset`.
    pub segments: Vec<RecoveredSegment>,
    /// Where each leader epoch begins.
    pub epochs: EpochCache,
    /// Whether the file of the epochs says something else.
    pub epochs_changed: bool,
    /// What is known of producers at the log end.
    pub producers: ProducerState,
    /// The offsets of the producer snapshots there are.
    pub snapshots: BTreeSet<Offset>,
    /// The first readable offset; raised to the first segment's base if it lies below.
    pub log_start_offset: Offset,
    /// The offset that the next record gets: behind the last batch, or further.
    pub log_end_offset: Offset,
    /// The high watermark, as it was last known; brought into the log's range.
    pub high_watermark: Offset,
    /// Up to where all is surely on disk.
    pub flushed: Offset,
    /// The mark that the opening has believed: it is true until a better one is known.
    pub mark: Option<FlushedMark>,
    /// Seed of the jitter of rolls.
    pub jitter_seed: u64,
}

/// One segment that an opening has found.
#[derive(Clone, Debug)]
pub struct RecoveredSegment {
    /// The offset in its files' names.
    pub base: Offset,
    /// The offset behind its last batch.
    pub next: Offset,
    /// How many bytes of batches stay.
    pub size: u32,
    /// Its largest timestamp.
    pub max: MaxTimestamp,
    /// The largest timestamp of its first batch.
    pub first_timestamp: Option<Timestamp>,
    /// When it was made, as far as that is known.
    pub created: Timestamp,
    /// When it was last written to.
    pub modified: Timestamp,
    /// Its indexes, where the opening has needed them: the active segment's, and those that were rebuilt.
    pub indexes: Option<Indexes>,
    /// How long the files of its offset index and its time index are, where `indexes` does not say.
    pub index_len: u32,
    /// What the index files say.
    pub index_files: IndexFiles,
    /// The transactions aborted in it.
    pub aborted: TxnIndex,
    /// Whether there is a file of them.
    pub has_txn_index: bool,
    /// Whether the file is longer than what stays, and must be cut.
    pub cut: bool,
    /// Whether there is no file of it yet.
    pub missing: bool,
}

/// What the index files of a segment say, compared with what an opening has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IndexFiles {
    /// The same.
    Same,
    /// The same up to what was written when the log was last flushed; what they lack is to be written behind that.
    Behind {
        /// How much of the transaction index stands in its file, in bytes.
        aborted_len: u32,
    },
    /// Something else: they must be written again.
    Wrong,
}

impl RecoveredSegment {
    /// How long the files of its offset index and its time index are.
    pub(crate) fn index_bytes(&self) -> u32 {
        self.indexes.as_ref().map_or(self.index_len, |indexes| u32::try_from(indexes.bytes()).unwrap_or(u32::MAX))
    }
}

impl Log {
    /// The log that an opening has found. What its files lack is emitted.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the settings make no sense.
    pub fn recovered(found: Recovered, now: Timestamp, out: &mut Vec<Effect>) -> Result<Self, ConfigError> {
        found.config.check()?;
        let mut log = Self::without_segments(found.config, found.log_start_offset);
        (log.epochs, log.producers, log.snapshots) = (found.epochs, found.producers, found.snapshots);
        (log.jitter_seed, log.last_mark) = (found.jitter_seed, found.mark);
        let end = found.segments.last().map_or(found.log_start_offset, |last| last.next.max(found.log_end_offset));
        let start = found.segments.first().map_or(end, |first| first.base);
        log.log_start_offset = found.log_start_offset.max(start).min(end);
        log.log_end_offset = end;
        log.high_watermark = found.high_watermark.clamp(log.log_start_offset, end);
        log.acknowledged = Acknowledged::new(end, found.flushed.min(end));
        let active = found.segments.last().map(|last| last.base);
        for mut segment in found.segments {
            if segment.index_files == IndexFiles::Wrong && Some(segment.base) != active {
                log.replace_index_files(&mut segment, out);
            }
            log.adopt(segment, out);
        }
        if log.segments.is_empty() {
            log.add_segment(end, now, out);
        }
        log.active_mut().last_op = None;
        log.recount();
        if found.epochs_changed {
            log.write_epochs(out);
        }
        let high_watermark = log.high_watermark;
        log.set_high_watermark(high_watermark);
        log.forget_settled_indexes(Offset::ZERO);
        log.check();
        Ok(log)
    }

    /// Nobody knows whether what was found from the end of the flushed part on is on disk or only in the cache, names,
    /// lengths and side files included: the next flush makes it durable. Answers the segment in which that part begins.
    pub(crate) fn distrust(&mut self) -> Offset {
        self.unsynced.named(OpSeq(self.next_op));
        let flushed = self.last_mark.map_or(self.flushed(), |mark| mark.segment);
        let from = self.segments.range(..=flushed).next_back().map_or(flushed, |(base, _)| *base);
        for segment in self.segments.range(from..).map(|(_, segment)| segment) {
            let files = segment.files;
            for file in [files.log, files.index, files.time_index].into_iter().chain(files.txn_index) {
                self.unsynced.wrote(file, OpSeq(self.next_op));
            }
        }
        from
    }

    fn adopt(&mut self, found: RecoveredSegment, out: &mut Vec<Effect>) {
        let files =
            SegmentFiles { log: self.new_file(), index: self.new_file(), time_index: self.new_file(), txn_index: None };
        let base = found.base;
        // A rebuilt one is made anew with its first entry, so it must not stay if it has none.
        let is_wrong = found.index_files == IndexFiles::Wrong;
        let txn_index = (found.has_txn_index && !is_wrong).then(|| self.new_file());
        if found.has_txn_index && is_wrong {
            self.remove(FileName::TxnIndex(base), None, out);
        }
        let aborted = found.aborted.as_bytes();
        let aborted_written = match found.index_files {
            IndexFiles::Same => Written::all_of(aborted),
            IndexFiles::Behind { aborted_len } => Written::all_of(&aborted[..aborted.len().min(aborted_len as usize)]),
            IndexFiles::Wrong => Written::default(),
        };
        let segment = Segment {
            base,
            next: found.next,
            size: found.size,
            files: SegmentFiles { txn_index, ..files },
            max: found.max,
            first_timestamp: found.first_timestamp,
            created: found.created,
            modified: found.modified,
            jitter_ms: 0,
            index_interval_bytes: self.config.index_interval_bytes,
            reserved: found.size,
            index_bytes: found.index_bytes(),
            indexes: found.indexes,
            aborted_written,
            aborted: found.aborted,
            last_op: None,
        };
        self.segments.insert(base, segment);
        if found.missing {
            self.emit(DiskOp::Create { file: files.log, name: FileName::Log(base) }, out);
            self.unsynced.named(OpSeq(self.next_op));
        }
        if found.cut {
            self.emit(DiskOp::Truncate { file: files.log, len: found.size }, out);
        }
        self.mend_index_files(base, found.index_files, out);
        let last_op = OpSeq(self.next_op);
        if let Some(segment) = self.segments.get_mut(&base) {
            segment.last_op = Some(last_op);
        }
    }

    /// Makes the index files of a sealed segment anew, whole and durably: nobody reads it again to see whether they are
    /// there.
    fn replace_index_files(&mut self, segment: &mut RecoveredSegment, out: &mut Vec<Effect>) {
        let (base, txn_index) = (segment.base, segment.aborted.as_bytes());
        let Some(indexes) = segment.indexes.as_mut() else { return };
        indexes.count_as_written();
        for (name, bytes) in [
            (FileName::OffsetIndex(base), indexes.offset.as_bytes()),
            (FileName::TimeIndex(base), indexes.time.as_bytes()),
            (FileName::TxnIndex(base), txn_index),
        ] {
            match (name, bytes.is_empty()) {
                (FileName::TxnIndex(_), true) if segment.has_txn_index => self.remove(name, None, out),
                (FileName::TxnIndex(_), true) => {}
                _ => drop(self.emit(DiskOp::Replace { name, bytes: Bytes::copy_from_slice(bytes) }, out)),
            }
        }
        (segment.has_txn_index, segment.index_files) = (!txn_index.is_empty(), IndexFiles::Same);
    }

    /// Brings the index files of a segment to what is known of it.
    fn mend_index_files(&mut self, base: Offset, index_files: IndexFiles, out: &mut Vec<Effect>) {
        let Some(segment) = self.segments.get(&base) else { return };
        let (files, txn_len) = (segment.files, segment.aborted_written.sum().0);
        let lens = segment.indexes.as_ref().map(Indexes::sums);
        match index_files {
            IndexFiles::Same => return,
            IndexFiles::Behind { .. } => {
                if let Some(((index_len, _), (time_len, _))) = lens {
                    self.emit(DiskOp::Truncate { file: files.index, len: index_len }, out);
                    self.emit(DiskOp::Truncate { file: files.time_index, len: time_len }, out);
                }
                if let Some(file) = files.txn_index {
                    self.emit(DiskOp::Truncate { file, len: txn_len }, out);
                }
            }
            IndexFiles::Wrong => {
                self.emit(DiskOp::Create { file: files.index, name: FileName::OffsetIndex(base) }, out);
                self.emit(DiskOp::Create { file: files.time_index, name: FileName::TimeIndex(base) }, out);
                self.unsynced.named(OpSeq(self.next_op));
            }
        }
        self.write_indexes_of(base, out);
        // As with a seal: once the log is flushed nobody reads a segment again to see whether they reached the disk.
        let txn_index = self.segments.get(&base).and_then(|segment| segment.files.txn_index);
        for file in [files.index, files.time_index].into_iter().chain(txn_index) {
            self.unsynced.wrote(file, OpSeq(self.next_op));
        }
    }
}
