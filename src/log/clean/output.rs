//! What a compacted segment is made of while it is written: its end, its indexes, its dates.

use crate::log::indexes::{Indexes, MaxTimestamp};
use crate::log::recovered::{IndexFiles, RecoveredSegment};
use crate::log::txn_index::{AbortedTxn, TxnIndex};
use crate::offset::Offset;
use crate::record::Entry;
use crate::time::Timestamp;

/// A compacted segment, as far as it has come.
#[derive(Clone, Debug)]
pub struct CleanedSegment {
    base: Offset,
    next: Offset,
    size: u32,
    max: MaxTimestamp,
    first_timestamp: Option<Timestamp>,
    indexes: Indexes,
    aborted: TxnIndex,
    index_interval_bytes: u32,
}

/// What is left of a group of segments would be larger than a segment can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("compacted segment at {base} would be larger than 2147483647 bytes")]
pub struct SegmentTooLarge {
    /// Its base.
    pub base: Offset,
}

impl CleanedSegment {
    /// An empty one.
    pub fn new(base: Offset, index_interval_bytes: u32) -> Self {
        Self {
            base,
            next: base,
            size: 0,
            max: MaxTimestamp::none(base),
            first_timestamp: None,
            // A sealed segment's index may be as long as it comes out; it is bounded by what went in.
            indexes: Indexes::new(base, u32::MAX),
            aborted: TxnIndex::new(base),
            index_interval_bytes,
        }
    }

    /// A batch goes to the end of the file.
    ///
    /// # Errors
    ///
    /// [`SegmentTooLarge`]: batches that had to be written uncompressed may take more than they took.
    pub fn push(&mut self, entry: &Entry) -> Result<(), SegmentTooLarge> {
        let (last, position) = (entry.last_offset(), self.size);
        let size = position.checked_add(entry.size()).filter(|size| *size <= i32::MAX as u32);
        self.size = size.ok_or(SegmentTooLarge { base: self.base })?;
        self.max.raise(entry.max_timestamp(), last);
        self.first_timestamp.get_or_insert(entry.max_timestamp());
        self.indexes.batch_appended(last, position, entry.size(), self.max, self.index_interval_bytes);
        self.next = entry.next_offset();
        Ok(())
    }

    /// A marker was kept whose transaction was aborted.
    pub fn push_aborted(&mut self, aborted: &AbortedTxn) {
        // Markers come in the order of their offsets, each once.
        let added = self.aborted.append(aborted);
        debug_assert!(added.is_ok(), "{added:?}");
    }

    /// How many bytes there are.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Seals it. Its file counts as last written to when the last of what it was made of was.
    pub fn finish(mut self, modified: Timestamp) -> RecoveredSegment {
        self.indexes.seal(self.max);
        RecoveredSegment {
            base: self.base,
            next: self.next,
            size: self.size,
            max: self.max,
            first_timestamp: self.first_timestamp,
            created: modified,
            modified,
            indexes: Some(self.indexes),
            index_len: 0,
            index_files: IndexFiles::Same,
            has_txn_index: !self.aborted.is_empty(),
            aborted: self.aborted,
            cut: false,
            missing: false,
        }
    }
}
