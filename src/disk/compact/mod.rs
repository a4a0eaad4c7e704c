//! Compacting a [`LogFile`]: feeding [`clean`](crate::log::clean) with what is in the files, and putting what it leaves
//! in their place.
//!
//! Each group of segments is written anew under names with `.cleaned`, synced, renamed to `.swap`, and then takes the
//! place of what it was made of (see `swap`). A crash, at any moment, leaves each group as it was before or as it is
//! after. Only sealed segments below the last stable offset are touched. Memory is bounded by the map of keys, a few
//! chunks, and the largest batch.

mod batches;
mod output;
mod site;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use crate::disk::compact::batches::{Batches, Witnesses};
use crate::disk::compact::output::{Output, undo};
use crate::disk::log_file::LogFile;
use crate::disk::segment_file::first_timestamp;
use crate::disk::swap::Replaces;
use crate::disk::{Disk, DiskError, DiskFile, DiskPath, Handle, LogDir, LogDriver, OpenOptions, ReadFault};
use crate::id::TopicPartition;
use crate::log::clean::{
    CleanError, CleanRules, CleanedSegment, Dirt, DirtyLog, DirtySegment, Filter, Filtered, GroupLimits, GroupMember,
    LastBatch, Mapping, Room, SegmentTooLarge, group,
};
use crate::log::{
    AbortedTxn, Closing, EpochCache, FileId, Health, Log, LogConfig, RecoveredSegment, ReplaceError, Replacement,
    SegmentInfo,
};
use crate::offset::Offset;
use crate::record::Entry;
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

/// One compaction of the log at a site.
struct Compaction<'a, S> {
    site: &'a mut S,
    now: Timestamp,
}

impl<'a, S: Site> Compaction<'a, S> {
    fn of(site: &'a mut S, now: Timestamp) -> Self {
        Self { site, now }
    }

    /// What there is to compact.
    ///
    /// # Errors
    ///
    /// The disk's.
    fn dirt(&mut self) -> Result<Dirt, DiskError> {
        let partition = self.site.partition().clone();
        let cleaned = self.site.with_dir(|dir| dir.cleaned(&partition));
        let (start, stable, end, infos) = self.site.with_log(|log| {
            let infos: Vec<SegmentInfo> = log.segments().collect();
            (log.log_start_offset(), log.last_stable_offset(), log.log_end_offset(), infos)
        })?;
        // Only who must not wait longer than that is asked how old it is.
        let has_lag_max = self.config().max_compaction_lag_ms < i64::MAX as u64;
        let mut segments = Vec::with_capacity(infos.len());
        for info in &infos {
            let wanted = has_lag_max && info.size > 0;
            let first_timestamp = if wanted { first_timestamp(&self.handle(info.files.log)?.file)? } else { None };
            let dated = info.max_timestamp.as_millis() >= 0;
            let largest_timestamp = if dated { info.max_timestamp } else { info.modified };
            segments.push(DirtySegment { base: info.base_offset, size: info.size, largest_timestamp, first_timestamp });
        }
        let log = DirtyLog {
            cleaned,
            log_start_offset: start,
            last_stable_offset: stable,
            log_end_offset: end,
            segments: &segments,
        };
        Ok(Dirt::of(&log, self.config(), self.now))
    }

    fn compact_when(&mut self, when: When) -> Result<CompactionReport, CompactFault> {
        let dirt = self.dirt()?;
        let wanted = match when {
            When::Due => self.config().cleanup.compacts() && dirt.is_due(self.config()),
            When::Anyway => dirt.cleanable_bytes > 0,
        };
        if !wanted {
            if dirt.reset {
                self.note_cleaned(dirt.first_dirty)?;
            }
            return Ok(CompactionReport::default());
        }
        self.site.settle(dirt.first_uncleanable)?;
        self.clean(&dirt)
    }

    fn go_on(&self) -> Result<(), CompactFault> {
        if self.site.is_stopped() { Err(CompactFault::Stopped) } else { Ok(()) }
    }

    fn note_cleaned(&mut self, to: Offset) -> Result<(), DiskError> {
        let partition = self.site.partition().clone();
        self.site.with_dir(|dir| dir.note_cleaned(&partition, to))
    }

    fn config(&self) -> &LogConfig {
        &self.site.options().config
    }

    fn handle(&mut self, file: FileId) -> Result<Arc<Handle<<S::Disk as Disk>::File>>, DiskError> {
        self.site.with_driver(|driver| driver.handle(file))
    }

    fn segments(&mut self) -> Result<Vec<SegmentInfo>, DiskError> {
        self.site.with_log(|log| log.segments().collect())
    }

    fn aborted(&mut self, from: Offset, upper: Offset) -> Result<Vec<AbortedTxn>, DiskError> {
        self.site.with_log(|log| log.aborted(from, upper))
    }

    fn clean(&mut self, dirt: &Dirt) -> Result<CompactionReport, CompactFault> {
        let (filter, end, map_full) = self.map_keys(dirt)?;
        // What lies below the log start waits for retention; nobody has looked whether it is whole.
        let start = self.site.with_log(Log::log_start_offset)?;
        let all = self.segments()?;
        // An empty segment reaches to its follower too: only a compaction makes it go.
        let below = all.iter().skip(1).take_while(|follower| follower.base_offset <= start).count();
        let segments: Vec<SegmentInfo> =
            all.into_iter().skip(below).filter(|segment| segment.base_offset < end).collect();
        let clean = segments.iter().rev().find(|segment| segment.base_offset < dirt.first_dirty);
        let clean_modified = clean.map(|segment| segment.modified);
        let limits = GroupLimits {
            segment_bytes: self.config().segment_bytes,
            index_bytes: self.config().segment_index_bytes,
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
        self.note_cleaned(end)?;
        Ok(report)
    }

    /// The first pass. Answers the second, where the log will be clean up to, and whether the map was full before.
    fn map_keys(&mut self, dirt: &Dirt) -> Result<(Filter, Offset, bool), CompactFault> {
        let (from, to) = (dirt.first_dirty, dirt.first_uncleanable);
        let limit = self.site.options().decompress_limit;
        let aborted = self.aborted(from, to)?;
        let mut mapping = Mapping::new(self.site.options().compaction_map_bytes, from, aborted, limit);
        let below: Vec<SegmentInfo> = self.segments()?.into_iter().filter(|segment| segment.base_offset < to).collect();
        let first = below.partition_point(|segment| segment.base_offset <= from).saturating_sub(1);
        let mut map_full = false;
        let dirty = &below[first..];
        for (at, segment) in dirty.iter().enumerate() {
            let next = dirty.get(at + 1).map_or(to, |next| next.base_offset);
            let mapped = self.map_segment(segment, next, &mut mapping);
            map_full = mapped.map_err(|fault| self.or_stale(&[*segment], fault))? == Room::Full;
            if map_full {
                break;
            }
        }
        let (map, end) = mapping.finish();
        let rules = CleanRules {
            now: self.now,
            delete_retention_ms: self.config().delete_retention_ms,
            first_uncleanable: to,
            decompress_limit: limit,
        };
        let last = self.site.with_log(|log| LastBatch::of(log.producers()))?;
        Ok((Filter::new(rules, map, last), end, map_full))
    }

    fn map_segment(
        &mut self,
        segment: &SegmentInfo,
        next: Offset,
        mapping: &mut Mapping,
    ) -> Result<Room, CompactFault> {
        let handle = self.handle(segment.files.log)?;
        let epochs = self.epochs()?;
        let mut batches = Batches::new(&handle.file, segment, self.witnesses(segment.base_offset, &epochs)?);
        while let Some((entry, _)) = batches.next()? {
            self.go_on()?;
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
        let end = self.segments()?.into_iter().map(|segment| segment.base_offset).find(|base| *base > last.base_offset);
        let dir = DiskPath::root().entry(self.site.partition());
        let disk = self.site.disk();
        let outcome = self.write_group(&disk, &dir, inputs, end.unwrap_or(last.next_offset), cleaning);
        let output = outcome.map_err(|fault| {
            let fault = self.or_stale(inputs, fault);
            self.abandon(first.base_offset, fault)
        })?;
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
        match self.site.replace(Replacement { inputs, output }) {
            Ok(()) => Ok(()),
            Err(Unplaced::Refused(fault)) => Err(self.abandon(base, fault)),
            Err(Unplaced::Later(fault)) => Err(fault),
        }
    }

    /// What has come of a compaction of these: nobody is to blame if one of them has gone meanwhile.
    fn or_stale(&mut self, inputs: &[SegmentInfo], fault: CompactFault) -> CompactFault {
        let Ok(current) = self.segments() else { return fault };
        let is_there = |input: &SegmentInfo| current.iter().any(|segment| segment.files.log == input.files.log);
        match inputs.iter().find(|input| !is_there(input)) {
            Some(gone) => ReplaceError::Stale { segment: gone.base_offset }.into(),
            None => fault,
        }
    }

    /// Removes what was written of the segment at `base`, which has not taken its place.
    fn abandon(&mut self, base: Offset, fault: CompactFault) -> CompactFault {
        let dir = DiskPath::root().entry(self.site.partition());
        if let Err(error) = undo(&self.site.disk(), &dir, base) {
            // What is left there would be taken for good by the next opening; until then nothing may change.
            self.site.give_up(format!("a compaction could not be undone: {error}"));
        }
        fault
    }

    /// Writes what is left of a group, complete and durable, under names with `.swap`.
    fn write_group(
        &mut self,
        disk: &S::Disk,
        dir: &DiskPath,
        inputs: &[SegmentInfo],
        end: Offset,
        cleaning: &mut Cleaning<'_>,
    ) -> Result<RecoveredSegment, CompactFault> {
        let base = inputs.first().map_or(end, |first| first.base_offset);
        let mut output = Output::create(disk, dir, base)?;
        let mut cleaned = CleanedSegment::new(base, self.config().index_interval_bytes);
        let limit = self.site.options().decompress_limit;
        for (at, segment) in inputs.iter().enumerate() {
            let upper = inputs.get(at + 1).map_or(segment.next_offset, |next| next.base_offset);
            let aborted = self.aborted(segment.base_offset, upper)?;
            cleaning.filter.begin_segment(aborted, segment.modified, cleaning.clean_modified);
            let handle = self.handle(segment.files.log)?;
            let epochs = self.epochs()?;
            let mut batches = Batches::new(&handle.file, segment, self.witnesses(segment.base_offset, &epochs)?);
            while let Some((entry, bytes)) = batches.next()? {
                self.go_on()?;
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

    fn epochs(&mut self) -> Result<EpochCache, DiskError> {
        self.site.with_log(|log| log.epochs().clone())
    }

    /// What a segment's bytes are compared with.
    fn witnesses<'e>(&mut self, base: Offset, epochs: &'e EpochCache) -> Result<Witnesses<'e>, DiskError> {
        let sums =
            self.site.with_driver(|driver| Ok(driver.files.known_sums(base)?.map(|known| known.sums().clone())))?;
        Ok(Witnesses { sums, epochs })
    }

    fn member(&mut self, segment: &SegmentInfo) -> Result<GroupMember, DiskError> {
        let mut len = |file| -> Result<u32, DiskError> {
            // Indexes can be made again, so one that is not there is an empty one.
            let Ok(handle) = self.handle(file) else { return Ok(0) };
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
