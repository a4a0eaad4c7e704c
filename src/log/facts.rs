//! What a log is right now.

use crate::log::{EpochCache, Health, Log, LogConfig, ProducerState, SegmentInfo};
use crate::offset::Offset;

impl Log {
    /// The settings.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// The first readable offset.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// The end of what all in-sync replicas have.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The end of what no open transaction precedes, at most the high watermark.
    pub fn last_stable_offset(&self) -> Offset {
        let first = self.producers.first_unstable().map(|first| first.max(self.log_start_offset));
        first.map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// The end of what is in the page cache. Nobody reads past it.
    pub fn written(&self) -> Offset {
        self.acknowledged.written()
    }

    /// The end of what is on disk: the recovery point.
    pub fn flushed(&self) -> Offset {
        self.acknowledged.flushed()
    }

    /// Where each leader epoch begins.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// What is known of producers.
    pub fn producers(&self) -> &ProducerState {
        &self.producers
    }

    /// Whether the log can go on.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = SegmentInfo> {
        self.segments.values().map(SegmentInfo::from)
    }

    /// The segment that grows.
    pub fn active_segment(&self) -> SegmentInfo {
        SegmentInfo::from(self.active())
    }

    /// How many bytes of batches there are.
    pub fn size(&self) -> u64 {
        self.segments.values().map(|segment| u64::from(segment.size)).sum()
    }

    /// How many bytes the files of all segments have, or will have once all is written: batches and indexes. It takes no look at
    /// each of them.
    pub fn disk_bytes(&self) -> u64 {
        self.sealed_bytes + self.active().disk_bytes()
    }

    /// How many bytes of batches are kept in memory.
    pub fn cached_bytes(&self) -> u64 {
        self.tail.bytes()
    }
}
