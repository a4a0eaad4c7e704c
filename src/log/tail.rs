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
/// Both count bytes on one scale, so that how many lie between two offsets is a subtraction.
///
/// Always true: both are in the order of offsets; what is not yet written is never evicted; where one of the two knows
/// an offset, it knows all behind it up to the end of the log.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Each with the bytes pushed before it.
    uncommitted: VecDeque<(u64, Descriptor)>,
    /// Each with the bytes pushed before it.
    cached: VecDeque<(u64, Batch)>,
    cached_bytes: u64,
    pushed_bytes: u64,
}

impl Tail {
    pub(crate) fn push(&mut self, descriptor: Descriptor, batch: Batch) {
        let (at, size) = (self.pushed_bytes, u64::from(batch.size()));
        self.cached_bytes += size;
        self.pushed_bytes += size;
        self.cached.push_back((at, batch));
        self.uncommitted.push_back((at, descriptor));
    }

    /// Forgets descriptors of batches that end at or below the high watermark: those are never cut.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        while self.uncommitted.front().is_some_and(|(_, first)| first.next <= high_watermark) {
            self.uncommitted.pop_front();
        }
    }

    /// Evicts the oldest bytes until at most `bytes_max` are left, but nothing that ends above `written`.
    pub(crate) fn evict(&mut self, written: Offset, bytes_max: u32) {
        while self.cached_bytes > u64::from(bytes_max)
            && let Some((_, oldest)) = self.cached.front()
            && oldest.next_offset() <= written
        {
            self.cached_bytes -= u64::from(oldest.size());
            self.cached.pop_front();
        }
    }

    /// The batches from the one that holds `from` on, if the bytes from there to the end of the log are all here.
    pub(crate) fn cached_from(&self, from: Offset) -> Option<impl Iterator<Item = &Batch>> {
        let (_, first) = self.cached.front()?;
        if from < first.base_offset() {
            return None;
        }
        let at = self.cached.partition_point(|(_, batch)| batch.next_offset() <= from);
        Some(self.cached.range(at..).map(|(_, batch)| batch))
    }

    /// How many bytes were pushed before the first batch that ends above `from`; `None` if that is not known any more.
    pub(crate) fn bytes_before(&self, from: Offset) -> Option<u64> {
        if self.covers(from) {
            let behind = self.uncommitted.partition_point(|(_, descriptor)| descriptor.next <= from);
            return Some(self.uncommitted.get(behind).map_or(self.pushed_bytes, |(at, _)| *at));
        }
        self.cached.front().filter(|(_, first)| first.base_offset() <= from)?;
        let behind = self.cached.partition_point(|(_, batch)| batch.next_offset() <= from);
        Some(self.cached.get(behind).map_or(self.pushed_bytes, |(at, _)| *at))
    }

    /// The end of the batch with which `bytes` bytes were pushed, or of the last one before that; `None` if it is not known
    /// any more.
    pub(crate) fn end_at(&self, bytes: u64) -> Option<Offset> {
        let uncommitted = self.uncommitted.partition_point(|(at, _)| *at < bytes);
        if let Some(last) = uncommitted.checked_sub(1) {
            return self.uncommitted.get(last).map(|(_, descriptor)| descriptor.next);
        }
        let cached = self.cached.partition_point(|(at, _)| *at < bytes);
        cached.checked_sub(1).and_then(|last| self.cached.get(last)).map(|(_, batch)| batch.next_offset())
    }

    /// How many bytes were pushed, less those that were cut off again.
    pub(crate) fn pushed_bytes(&self) -> u64 {
        self.pushed_bytes
    }

    /// Whether every batch that ends above `to` has its descriptor here, so that the log can be cut from memory.
    pub(crate) fn covers(&self, to: Offset) -> bool {
        self.uncommitted.front().is_some_and(|(_, first)| first.base <= to)
    }

    /// Where the first batch begins of those at or above the high watermark that end above `offset`.
    pub(crate) fn base_above(&self, offset: Offset) -> Option<Offset> {
        let behind = self.uncommitted.partition_point(|(_, descriptor)| descriptor.next <= offset);
        self.uncommitted.get(behind).map(|(_, descriptor)| descriptor.base)
    }

    /// Takes off the last descriptor, if its batch ends above `to`.
    pub(crate) fn pop_above(&mut self, to: Offset) -> Option<Descriptor> {
        if self.uncommitted.back().is_none_or(|(_, last)| last.next <= to) {
            return None;
        }
        let (at, last) = self.uncommitted.pop_back()?;
        self.pushed_bytes = at;
        Some(last)
    }

    /// Forgets the bytes of batches that end above `to`.
    pub(crate) fn uncache_above(&mut self, to: Offset) {
        while let Some((_, last)) = self.cached.back()
            && last.next_offset() > to
        {
            self.cached_bytes -= u64::from(last.size());
            self.cached.pop_back();
        }
    }

    /// Forgets the bytes of batches that begin below `to`: the log has others there now.
    pub(crate) fn uncache_below(&mut self, to: Offset) {
        while let Some((_, first)) = self.cached.front()
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
