//! The end of a log, in memory: what may still be cut, and what readers ask for most.

use std::collections::VecDeque;

use crate::log::indexes::MaxTimestamp;
use crate::log::producers::ProducerUndo;
use crate::offset::Offset;
use crate::record::Batch;
use crate::time::Timestamp;

/// What is needed to cut one batch off again.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    /// The base of its segment.
    pub(crate) segment: Offset,
    pub(crate) position: u32,
    /// The segment's largest timestamp before this batch.
    pub(crate) max_before: MaxTimestamp,
    /// The timestamp of the segment's first batch before this batch.
    pub(crate) first_before: Option<Timestamp>,
    /// The producers' state before this batch.
    pub(crate) undo: Option<ProducerUndo>,
}

/// The end of a log: a descriptor of each batch at or above the high watermark, and the bytes of the latest batches.
///
/// Always true: both are in the order of offsets; what is not yet written is never evicted.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    uncommitted: VecDeque<Descriptor>,
    cached: VecDeque<Batch>,
    cached_bytes: u64,
}

impl Tail {
    pub(crate) fn push(&mut self, descriptor: Descriptor, batch: Batch) {
        self.cached_bytes += u64::from(batch.size());
        self.cached.push_back(batch);
        self.uncommitted.push_back(descriptor);
    }

    /// Forgets descriptors of batches that end at or below the high watermark: those are never cut.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        while self.uncommitted.front().is_some_and(|first| first.next <= high_watermark) {
            self.uncommitted.pop_front();
        }
    }

    /// Evicts the oldest bytes until at most `bytes_max` are left, but nothing that ends above `written`.
    pub(crate) fn evict(&mut self, written: Offset, bytes_max: u32) {
        while self.cached_bytes > u64::from(bytes_max)
            && let Some(oldest) = self.cached.front()
            && oldest.next_offset() <= written
        {
            self.cached_bytes -= u64::from(oldest.size());
            self.cached.pop_front();
        }
    }

    /// The batches from the one that holds `from` on, if the bytes from there to the end of the log are all here.
    pub(crate) fn cached_from(&self, from: Offset) -> Option<impl Iterator<Item = &Batch>> {
        let first = self.cached.front()?;
        if from < first.base_offset() {
            return None;
        }
        let at = self.cached.partition_point(|batch| batch.next_offset() <= from);
        Some(self.cached.range(at..))
    }

    /// Whether every batch that ends above `to` has its descriptor here, so that the log can be cut from memory.
    pub(crate) fn covers(&self, to: Offset) -> bool {
        self.uncommitted.front().is_some_and(|first| first.base <= to)
    }

    /// Takes off the last descriptor, if its batch ends above `to`.
    pub(crate) fn pop_above(&mut self, to: Offset) -> Option<Descriptor> {
        if self.uncommitted.back().is_some_and(|last| last.next > to) { self.uncommitted.pop_back() } else { None }
    }

    /// Forgets the bytes of batches that end above `to`.
    pub(crate) fn uncache_above(&mut self, to: Offset) {
        while let Some(last) = self.cached.back()
            && last.next_offset() > to
        {
            self.cached_bytes -= u64::from(last.size());
            self.cached.pop_back();
        }
    }

    /// Forgets the bytes of batches that begin below `to`: the log has others there now.
    pub(crate) fn uncache_below(&mut self, to: Offset) {
        while let Some(first) = self.cached.front()
            && first.base_offset() < to
        {
            self.cached_bytes -= u64::from(first.size());
            self.cached.pop_front();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many bytes of batches are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.cached_bytes
    }
}
