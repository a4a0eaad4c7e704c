//! Segments: the files that one log is cut into.
//!
//! A segment knows its base offset, its size, its largest timestamp and, while it grows, its indexes. It touches no
//! file: [`Log`](crate::log::Log) leaves the ops that would.
//!
//! - May use: `offset`, `time`, and its siblings of `log`.
//! - Must not know: files, threads, clocks, replication.
//! - Always true: `base <= next`; a sealed segment never grows; a segment without bytes has no timestamp.

use crate::log::indexes::{Indexes, MaxTimestamp, Written};
use crate::log::op::{FileId, OpSeq};
use crate::log::txn_index::TxnIndex;
use crate::offset::Offset;
use crate::time::Timestamp;

/// The numbers of a segment's files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SegmentFiles {
    /// The batches.
    pub log: FileId,
    /// The offset index.
    pub index: FileId,
    /// The time index.
    pub time_index: FileId,
    /// The aborted transactions; the file is made with the first of them.
    pub txn_index: Option<FileId>,
}

/// One segment of a log.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    /// The offset behind the last batch.
    pub(crate) next: Offset,
    pub(crate) size: u32,
    pub(crate) files: SegmentFiles,
    pub(crate) max: MaxTimestamp,
    /// The largest timestamp of the first batch, from which `segment_ms` counts.
    pub(crate) first_timestamp: Option<Timestamp>,
    pub(crate) created: Timestamp,
    /// When the file was last written to: the date of records that have none.
    pub(crate) modified: Timestamp,
    /// How much earlier than `segment_ms` this one is rolled.
    pub(crate) jitter_ms: u64,
    /// How many bytes lie at least between two entries of its indexes: what was set when it was begun or opened.
    pub(crate) index_interval_bytes: u32,
    /// Up to where space is reserved in the file.
    pub(crate) reserved: u32,
    /// Kept while the segment grows or a truncation may still make it grow again.
    pub(crate) indexes: Option<Indexes>,
    /// How long the files of its indexes are once those are not kept any more.
    pub(crate) index_bytes: u32,
    pub(crate) aborted: TxnIndex,
    pub(crate) aborted_written: Written,
    /// The last op on its files, once there are no more to come.
    pub(crate) last_op: Option<OpSeq>,
}

impl Segment {
    /// A segment without batches.
    pub(crate) fn new(base: Offset, files: SegmentFiles, index_bytes_max: u32, now: Timestamp) -> Self {
        Self {
            base,
            next: base,
            size: 0,
            files,
            max: MaxTimestamp::none(base),
            first_timestamp: None,
            created: now,
            modified: now,
            jitter_ms: 0,
            index_interval_bytes: 0,
            reserved: 0,
            indexes: Some(Indexes::new(base, index_bytes_max)),
            index_bytes: 0,
            aborted: TxnIndex::new(base),
            aborted_written: Written::default(),
            last_op: None,
        }
    }

    pub(crate) fn facts(&self) -> SegmentFacts {
        let first_timestamp = self.first_timestamp.unwrap_or(Timestamp::NONE);
        SegmentFacts { next_offset: self.next, max: self.max, first_timestamp }
    }

    /// How many bytes its files have, or will have once all is written: batches and indexes.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let indexes = self.indexes.as_ref().map_or(u64::from(self.index_bytes), Indexes::bytes);
        u64::from(self.size) + indexes + self.aborted.as_bytes().len() as u64
    }

    /// Lets go of its indexes, which will not change any more.
    pub(crate) fn forget_indexes(&mut self) {
        if let Some(indexes) = self.indexes.take() {
            // Each holds at most `segment_index_bytes`, an i32.
            self.index_bytes = u32::try_from(indexes.bytes()).unwrap_or(u32::MAX);
        }
    }

    /// The date that retention by time looks at.
    pub(crate) fn largest_timestamp(&self) -> Timestamp {
        if self.max.timestamp.as_millis() >= 0 { self.max.timestamp } else { self.modified }
    }
}

/// What is true of a segment's batches as a whole, for whoever does not want to read them again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SegmentFacts {
    /// The offset behind its last batch.
    pub next_offset: Offset,
    /// Its largest timestamp.
    pub max: MaxTimestamp,
    /// The largest timestamp of its first batch; none if it has no batches.
    pub first_timestamp: Timestamp,
}

/// What anyone may know about a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SegmentInfo {
    /// The offset in its files' names.
    pub base_offset: Offset,
    /// The offset behind its last batch.
    pub next_offset: Offset,
    /// How many bytes of batches it has.
    pub size: u32,
    /// Its largest timestamp, or none.
    pub max_timestamp: Timestamp,
    /// The last offset of the batch that has it.
    pub offset_of_max_timestamp: Offset,
    /// When its file was last written to.
    pub modified: Timestamp,
    /// The numbers of its files.
    pub files: SegmentFiles,
}

impl From<&Segment> for SegmentInfo {
    fn from(segment: &Segment) -> Self {
        Self {
            base_offset: segment.base,
            next_offset: segment.next,
            size: segment.size,
            max_timestamp: segment.max.timestamp,
            offset_of_max_timestamp: segment.max.offset,
            modified: segment.modified,
            files: segment.files,
        }
    }
}
