//! Compacting a [`LogFile`]: feeding [`clean`](crate::log::clean) with what is in the files, and putting what it leaves
//! in their place.
//!
//! Each group of segments is written anew under names with `.cleaned`, synced, renamed to `.swap`, and then takes the
//! place of what it was made of (see `swap`). A crash, at any moment, leaves each group as it was before or as it is
//! after. Only sealed segments below the last stable offset are touched. Memory is bounded by the map of keys, a few
//! chunks, and the largest batch.

mod batches;
mod compaction;
mod output;
mod site;

use std::ops::Range;

use crate::disk::compact::compaction::{Compaction, When};
use crate::disk::log_file::LogFile;
use crate::disk::{Disk, DiskError, LogDir, LogDriver, OpenOptions, ReadFault};
use crate::id::TopicPartition;
use crate::log::clean::{CleanError, Dirt, SegmentTooLarge};
use crate::log::{Closing, Health, Log, ReplaceError, Replacement};
use crate::offset::Offset;
use crate::time::Timestamp;

pub(crate) use site::{Site, Unplaced};

/// What a compaction has done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CompactionReport {
    /// The offsets that were dirty and are clean now; `None` if there was nothing worth it.
    pub range: Option<Range<Offset>>,
    /// Whether the map of keys was full before the end of what is dirty: another compaction has more to do.
    pub map_full: bool,
    /// Bytes of batches in the segments that were read, clean ones included.
    pub bytes_before: u64,
    /// What is left of them.
    pub bytes_after: u64,
    /// Records in those segments.
    pub records_before: u64,
    /// What is left of them.
    pub records_after: u64,
    /// How many segments these were.
    pub segments_before: usize,
    /// How many they are now.
    pub segments_after: usize,
}

/// Why a compaction failed. Each group of segments is as it was, or compacted; no record that counts is lost.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactFault {
    /// The disk failed, or is full.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A batch in a file is not what was written. Nothing is compacted over it.
    #[error(transparent)]
    Read(ReadFault),
    /// A batch cannot be compacted.
    #[error(transparent)]
    Clean(#[from] CleanError),
    /// What is left of a group of segments is larger than a segment can be.
    #[error(transparent)]
    TooLarge(#[from] SegmentTooLarge),
    /// The log has changed meanwhile.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    /// The log takes no more until it is opened again.
    #[error("the log is poisoned: {why}")]
    Poisoned {
        /// What failed.
        why: String,
    },
    /// The log waits for space. Later it may be compacted.
    #[error("the log waits for space")]
    Stalled,
    /// What is to be compacted is not on disk yet, and did not come there soon.
    #[error("what is to be compacted is not flushed")]
    NotFlushed,
    /// Whoever has the log wants it to end: the log is about to be closed or deleted.
    #[error("the compaction was stopped")]
    Stopped,
}

impl From<ReadFault> for CompactFault {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Disk(error) => Self::Disk(error),
            corrupt @ ReadFault::Corrupt { .. } => Self::Read(corrupt),
        }
    }
}

impl<D: Disk> LogFile<D> {
    /// Compacts the log if its cleanup policy says so and it is due: if more than `min_cleanable_dirty_ratio` of it is
    /// dirty, or something dirty is older than `max_compaction_lag_ms`. What is not flushed of it is flushed first.
    ///
    /// # Errors
    ///
    /// [`CompactFault`].
    pub fn compact(&mut self, now: Timestamp) -> Result<CompactionReport, CompactFault> {
        self.compact_when(When::Due, now)
    }

    /// Compacts whatever can be, whatever the cleanup policy and the ratio. Records without a key are lost.
    ///
    /// # Errors
    ///
    /// [`CompactFault`].
    pub fn compact_anyway(&mut self, now: Timestamp) -> Result<CompactionReport, CompactFault> {
        self.compact_when(When::Anyway, now)
    }

    /// What there is to compact.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub fn dirt(&mut self, now: Timestamp) -> Result<Dirt, DiskError> {
        Compaction::of(self, now).dirt()
    }

    fn compact_when(&mut self, when: When, now: Timestamp) -> Result<CompactionReport, CompactFault> {
        Compaction::of(self, now).compact_when(when)
    }
}

impl<D: Disk> Site for LogFile<D> {
    type Disk = D;

    fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    fn options(&self) -> &OpenOptions {
        &self.options
    }

    fn disk(&self) -> D {
        self.dir.disk().clone()
    }

    fn with_log<T>(&mut self, look: impl FnOnce(&Log) -> T) -> Result<T, DiskError> {
        Ok(look(&self.log))
    }

    fn with_driver<T>(&mut self, ask: impl FnOnce(&mut LogDriver<D>) -> Result<T, DiskError>) -> Result<T, DiskError> {
        ask(&mut self.driver)
    }

    fn with_dir<T>(&mut self, ask: impl FnOnce(&mut LogDir<D>) -> T) -> T {
        ask(&mut self.dir)
    }

    /// All that will be replaced must be on disk, and the flushed mark must not name a segment that goes. What an opening
    /// has cut off must be gone for good, or it could come back behind what is compacted.
    fn settle(&mut self, _to: Offset) -> Result<(), CompactFault> {
        self.run(Vec::new())?;
        if let Health::Poisoned { why } = self.log.health() {
            return Err(CompactFault::Poisoned { why: why.clone() });
        }
        let active = self.log.active_segment().base_offset;
        if self.unsettled || self.log.mark(Closing::Open).segment != active {
            self.flush()?;
        }
        self.settle_mark()?;
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn replace(&mut self, replacement: Replacement) -> Result<(), Unplaced> {
        let mut effects = Vec::new();
        self.log.replace(replacement, &mut effects).map_err(|refused| Unplaced::Refused(refused.into()))?;
        self.run(effects).map_err(|error| Unplaced::Later(error.into()))
    }

    fn give_up(&mut self, why: String) {
        self.log.give_up(why);
    }
}

/// What there is to compact at a site.
///
/// # Errors
///
/// The disk's.
pub(crate) fn dirt<S: Site>(site: &mut S, now: Timestamp) -> Result<Dirt, DiskError> {
    Compaction::of(site, now).dirt()
}

/// Compacts the log at a site if its cleanup policy says so and it is due.
///
/// # Errors
///
/// [`CompactFault`].
pub(crate) fn compact_if_due<S: Site>(site: &mut S, now: Timestamp) -> Result<CompactionReport, CompactFault> {
    Compaction::of(site, now).compact_when(When::Due)
}
