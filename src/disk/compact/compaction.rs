//! One compaction of a log: its keys are mapped in a first pass, what counts is written anew in a second, group by group.
//!
//! - Always true: a segment is read below what is flushed and committed only; what was written and has not taken its place is
//!   removed again, or the log takes nothing more.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::disk::compact::batches::{Batches, Witnesses};
use crate::disk::compact::output::{Output, undo};
use crate::disk::compact::{CompactFault, CompactionReport, Site, Unplaced};
use crate::disk::segment_file::first_timestamp;
use crate::disk::swap::Replaces;
use crate::disk::{Disk, DiskError, DiskFile, DiskPath, Handle};
use crate::log::clean::{
    CleanError, CleanRules, CleanedSegment, Dirt, DirtyLog, DirtySegment, Filter, Filtered, GroupLimits, GroupMember,
    LastBatch, Mapping, Room, group,
};
use crate::log::{
    AbortedTxn, EpochCache, FileId, Log, LogConfig, RecoveredSegment, ReplaceError, Replacement, SegmentInfo,
};
use crate::offset::Offset;
use crate::record::Entry;
use crate::time::Timestamp;

/// Whether a compaction must be worth it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum When {
    Due,
    Anyway,
}

/// One compaction of the log at a site.
pub(super) struct Compaction<'a, S> {
    site: &'a mut S,
    now: Timestamp,
}

impl<'a, S: Site> Compaction<'a, S> {
    pub(super) fn of(site: &'a mut S, now: Timestamp) -> Self {
        Self { site, now }
    }

    pub(super) fn dirt(&mut self) -> Result<Dirt, DiskError> {
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

    pub(super) fn compact_when(&mut self, when: When) -> Result<CompactionReport, CompactFault> {
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
