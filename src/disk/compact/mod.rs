//! Compacting a [`LogFile`]: feeding [`clean`](crate::log::clean) with what is in the files, and putting what it leaves
//! in their place.
//!
//! Each group of segments is written anew under names with `.cleaned`, synced, renamed to `.swap`, and then takes the
//! place of what it was made of (see `swap`). A crash, at any moment, leaves each group as it was before or as it is
//! after. Only sealed segments below the last stable offset are touched. Memory is bounded by the map of keys, a few
//! chunks, and the largest batch.

mod batches;
mod output;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::disk::compact::batches::{Batches, Witnesses};
use crate::disk::compact::output::{Output, undo};
use crate::disk::log_file::LogFile;
use crate::disk::segment_file::first_timestamp;
use crate::disk::swap::Replaces;
use crate::disk::{Disk, DiskError, DiskFile, DiskPath, ReadFault};
use crate::log::clean::{
    CleanError, CleanRules, CleanedSegment, Dirt, DirtyLog, DirtySegment, Filter, Filtered, GroupLimits, GroupMember,
    LastBatch, Mapping, Room, SegmentTooLarge, group,
};
use crate::log::{Closing, Health, RecoveredSegment, ReplaceError, Replacement, SegmentInfo};
use crate::offset::Offset;
use crate::record::Entry;
use crate::time::Timestamp;

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
}

impl From<ReadFault> for CompactFault {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Disk(error) => Self::Disk(error),
            corrupt @ ReadFault::Corrupt { .. } => Self::Read(corrupt),
        }
    }
}

/// Whether a compaction must be worth it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum When {
    Due,
    Anyway,
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
        let cleaned = self.dir.cleaned(&self.partition);
        let start = self.log.log_start_offset();
        // Only who must not wait longer than that is asked how old it is.
        let has_lag_max = self.options.config.max_compaction_lag_ms < i64::MAX as u64;
        let infos: Vec<SegmentInfo> = self.log.segments().collect();
        let mut segments = Vec::with_capacity(infos.len());
        for info in &infos {
            let wanted = has_lag_max && info.size > 0;
            let first_timestamp =
                if wanted { first_timestamp(&self.driver.handle(info.files.log)?.file)? } else { None };
            let dated = info.max_timestamp.as_millis() >= 0;
            let largest_timestamp = if dated { info.max_timestamp } else { info.modified };
            segments.push(DirtySegment { base: info.base_offset, size: info.size, largest_timestamp, first_timestamp });
        }
        let log = DirtyLog {
            cleaned,
            log_start_offset: start,
            last_stable_offset: self.log.last_stable_offset(),
            log_end_offset: self.log.log_end_offset(),
            segments: &segments,
        };
        Ok(Dirt::of(&log, &self.options.config, now))
    }

    fn compact_when(&mut self, when: When, now: Timestamp) -> Result<CompactionReport, CompactFault> {
        let dirt = self.dirt(now)?;
        let config = &self.options.config;
        let wanted = match when {
            When::Due => config.cleanup.compacts() && dirt.is_due(config),
            When::Anyway => dirt.cleanable_bytes > 0,
        };
        if !wanted {
            if dirt.reset {
                self.dir.note_cleaned(&self.partition, dirt.first_dirty)?;
            }
            return Ok(CompactionReport::default());
        }
        self.settle()?;
        self.clean(&dirt, now)
    }

    /// All that will be replaced must be on disk, and the flushed mark must not name a segment that goes. What an opening
    /// has cut off must be gone for good, or it could come back behind what is compacted.
    fn settle(&mut self) -> Result<(), CompactFault> {
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

    fn clean(&mut self, dirt: &Dirt, now: Timestamp) -> Result<CompactionReport, CompactFault> {
        let (filter, end, map_full) = self.map_keys(dirt, now)?;
        // What lies below the log start waits for retention; nobody has looked whether it is whole.
        let start = self.log.log_start_offset();
        let bases: Vec<Offset> = self.log.segments().map(|segment| segment.base_offset).collect();
        // An empty segment reaches to its follower too: only a compaction makes it go.
        let below = bases.iter().skip(1).take_while(|follower| **follower <= start).count();
        let segments = self.log.segments().skip(below).filter(|segment| segment.base_offset < end);
        let segments: Vec<SegmentInfo> = segments.collect();
        let clean = segments.iter().rev().find(|segment| segment.base_offset < dirt.first_dirty);
        let clean_modified = clean.map(|segment| segment.modified);
        let limits = GroupLimits {
            segment_bytes: self.options.config.segment_bytes,
            index_bytes: self.options.config.segment_index_bytes,
            first_uncleanable: dirt.first_uncleanable,
        };
        let members = segments.iter().map(|segment| self.member(segment)).collect::<Result<Vec<_>, _>>()?;
        let mut report =
            CompactionReport { range: Some(dirt.first_dirty..end), map_full, ..CompactionReport::default() };
        let mut cleaning = Cleaning { filter, clean_modified, report: &mut report };
        let mut rest = &segments[..];
        for count in group(&members, &limits) {
            let (inputs, behind) = rest.split_at(count);
            self.clean_group(inputs, &mut cleaning)?;
            rest = behind;
        }
        self.dir.note_cleaned(&self.partition, end)?;
        Ok(report)
    }

    /// The first pass. Answers the second, where the log will be clean up to, and whether the map was full before.
    fn map_keys(&mut self, dirt: &Dirt, now: Timestamp) -> Result<(Filter, Offset, bool), CompactFault> {
        let (from, to) = (dirt.first_dirty, dirt.first_uncleanable);
        let limit = self.options.decompress_limit;
        let mut mapping = Mapping::new(self.options.compaction_map_bytes, from, self.log.aborted(from, to), limit);
        let below: Vec<SegmentInfo> = self.log.segments().filter(|segment| segment.base_offset < to).collect();
        let first = below.partition_point(|segment| segment.base_offset <= from).saturating_sub(1);
        let mut map_full = false;
        let dirty = &below[first..];
        for (at, segment) in dirty.iter().enumerate() {
            let next = dirty.get(at + 1).map_or(to, |next| next.base_offset);
            map_full = self.map_segment(segment, next, &mut mapping)? == Room::Full;
            if map_full {
                break;
            }
        }
        let (map, end) = mapping.finish();
        let rules = CleanRules {
            now,
            delete_retention_ms: self.options.config.delete_retention_ms,
            first_uncleanable: to,
            decompress_limit: limit,
        };
        Ok((Filter::new(rules, map, LastBatch::of(self.log.producers())), end, map_full))
    }

    fn map_segment(
        &mut self,
        segment: &SegmentInfo,
        next: Offset,
        mapping: &mut Mapping,
    ) -> Result<Room, CompactFault> {
        let handle = self.driver.handle(segment.files.log)?;
        let mut batches = Batches::new(&handle.file, segment, self.witnesses(segment.base_offset)?);
        while let Some((entry, _)) = batches.next()? {
            if mapping.see(&entry)? == Room::Full {
                // Other segments go by what is mapped, so it must be right.
                batches.settle()?;
                return Ok(Room::Full);
            }
        }
        mapping.end_segment(next);
        Ok(Room::Left)
    }

    /// The second pass over the segments that become one, which then takes their place.
    fn clean_group(&mut self, inputs: &[SegmentInfo], cleaning: &mut Cleaning<'_>) -> Result<(), CompactFault> {
        let (Some(first), Some(last)) = (inputs.first(), inputs.last()) else { return Ok(()) };
        let end = self.log.segments().map(|segment| segment.base_offset).find(|base| *base > last.base_offset);
        let dir = DiskPath::root().entry(&self.partition);
        let disk = self.disk().clone();
        let outcome = self.write_group(&disk, &dir, inputs, end.unwrap_or(last.next_offset), cleaning);
        let output = outcome.map_err(|fault| self.abandon(first.base_offset, fault))?;
        let size = output.size;
        self.put_in_place(inputs, output)?;
        cleaning.report.bytes_after += u64::from(size);
        cleaning.report.segments_before += inputs.len();
        cleaning.report.segments_after += 1;
        Ok(())
    }

    /// Puts what was written in the place of what it was made of.
    fn put_in_place(&mut self, inputs: &[SegmentInfo], output: RecoveredSegment) -> Result<(), CompactFault> {
        let base = output.base;
        let inputs = inputs.iter().map(|segment| (segment.base_offset, segment.files.log)).collect();
        let mut effects = Vec::new();
        let replaced = self.log.replace(Replacement { inputs, output }, &mut effects);
        replaced.map_err(|refused| self.abandon(base, refused.into()))?;
        Ok(self.run(effects)?)
    }

    /// Removes what was written of the segment at `base`, which has not taken its place.
    fn abandon(&mut self, base: Offset, fault: CompactFault) -> CompactFault {
        let dir = DiskPath::root().entry(&self.partition);
        if let Err(error) = undo(self.disk(), &dir, base) {
            // What is left there would be taken for good by the next opening; until then nothing may change.
            self.log.give_up(format!("a compaction could not be undone: {error}"));
        }
        fault
    }

    /// Writes what is left of a group, complete and durable, under names with `.swap`.
    fn write_group(
        &mut self,
        disk: &D,
        dir: &DiskPath,
        inputs: &[SegmentInfo],
        end: Offset,
        cleaning: &mut Cleaning<'_>,
    ) -> Result<RecoveredSegment, CompactFault> {
        let base = inputs.first().map_or(end, |first| first.base_offset);
        let mut output = Output::create(disk, dir, base)?;
        let mut cleaned = CleanedSegment::new(base, self.options.config.index_interval_bytes);
        let limit = self.options.decompress_limit;
        for (at, segment) in inputs.iter().enumerate() {
            let upper = inputs.get(at + 1).map_or(segment.next_offset, |next| next.base_offset);
            let aborted = self.log.aborted(segment.base_offset, upper);
            cleaning.filter.begin_segment(aborted, segment.modified, cleaning.clean_modified);
            let handle = self.driver.handle(segment.files.log)?;
            let mut batches = Batches::new(&handle.file, segment, self.witnesses(segment.base_offset)?);
            while let Some((entry, bytes)) = batches.next()? {
                let (filtered, aborted) = cleaning.filter.filter(&entry)?;
                cleaning.report.bytes_before += bytes.len() as u64;
                cleaning.report.records_before += count(&entry, limit)?;
                let kept = match filtered {
                    Filtered::Nothing => continue,
                    Filtered::Whole => (entry, bytes),
                    Filtered::Part(part) => {
                        let bytes = part.to_bytes();
                        (part, bytes)
                    }
                };
                cleaned.push(&kept.0)?;
                output.write(&kept.1)?;
                cleaning.report.records_after += count(&kept.0, limit)?;
                if let Some(aborted) = aborted {
                    cleaned.push_aborted(&aborted);
                }
            }
        }
        let modified = inputs.last().map_or(Timestamp::NONE, |last| last.modified);
        let cleaned = cleaned.finish(modified);
        let note = Replaces { end, has_txn_index: cleaned.has_txn_index };
        output.finish(&cleaned, note)?;
        Ok(cleaned)
    }

    /// What a segment's bytes are compared with.
    fn witnesses(&mut self, base: Offset) -> Result<Witnesses<'_>, DiskError> {
        let sums = self.driver.files.known_sums(base)?.map(|known| known.sums().clone());
        Ok(Witnesses { sums, epochs: self.log.epochs() })
    }

    fn member(&mut self, segment: &SegmentInfo) -> Result<GroupMember, DiskError> {
        let mut len = |file| -> Result<u32, DiskError> {
            // Indexes can be made again, so one that is not there is an empty one.
            let Ok(handle) = self.driver.handle(file) else { return Ok(0) };
            Ok(u32::try_from(handle.file.len()?).unwrap_or(u32::MAX))
        };
        Ok(GroupMember {
            base: segment.base_offset,
            size: segment.size,
            index_bytes: len(segment.files.index)?,
            time_index_bytes: len(segment.files.time_index)?,
        })
    }
}

/// A second pass under way.
struct Cleaning<'a> {
    filter: Filter,
    clean_modified: Option<Timestamp>,
    report: &'a mut CompactionReport,
}

/// How many records there are in an entry.
fn count(entry: &Entry, limit: crate::record::DecompressLimit) -> Result<u64, CleanError> {
    match entry {
        Entry::Batch(batch) => Ok(u64::from(batch.record_count())),
        Entry::Legacy(legacy) => {
            let failed = |error| CleanError::Records { last_offset: entry.last_offset(), error };
            Ok(legacy.records(limit).map_err(failed)?.iter().count() as u64)
        }
    }
}
