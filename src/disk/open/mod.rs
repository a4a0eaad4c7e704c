//! Opening a log, whatever happened to it.
//!
//! **The mark.** What was flushed is told by the flushed mark: the segment and the position up to which its bytes are on
//! disk, the offset that the log had reached, where the last batch in front of it ends, and by a checksum the leader
//! epochs that begin below that offset. In a directory that Kafka wrote, its recovery point and its clean-shutdown file
//! tell. `known` judges which of them counts.
//!
//! **In front of it** nothing is ever cut. What is bad there is reported by exact range and stays; what is missing is named
//! in the report, or the log is not opened. Only what lies below the log start is not missed.
//!
//! **Behind it** all is read, and whatever is behind the first torn batch or the first hole goes. What stays may be in the
//! cache and not on disk, so it is distrusted: the next flush syncs it, names and side files too, and the first append after
//! an opening that was not clean flushes first. So nothing that was cut comes back behind something new.
//!
//! **Caches.** Indexes, epochs and snapshots are made again when they are missing, stale or garbage. The index files of a
//! sealed segment are then replaced whole and durably, for no flush comes by there any more.
//!
//! The walk: `files` lists what is there, `leftovers` finishes what was under way, `epochs` reads who reigned when,
//! `segments` goes from the front to the end. There `begin` says where reading begins, `producers` who was writing;
//! `trusted` takes what lies in front and `scanned` reads the rest, both with `index_files`; `missing` names what is not
//! there.
//!
//! - May use: `log`, `record`, and the seam to the disk.
//! - Always true: opening twice is opening once; what removes data removes the end first, so that a crash in between
//!   leaves a log that opens to the same.

mod begin;
mod epochs;
mod error;
mod files;
mod index_files;
mod known;
mod leftovers;
mod missing;
mod producers;
mod scanned;
mod segments;
mod trusted;

use std::collections::BTreeSet;

use crate::disk::open::epochs::EpochFile;
use crate::disk::open::error::Failure;
use crate::disk::report::{Leftover, LeftoverAction, RecoveryReport, Shutdown};
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath};
use crate::id::TopicPartition;
use crate::log::{EpochCache, FileName, LogConfig, ProducerState, Recovered, UnknownProducer};
use crate::offset::Offset;
use crate::time::Timestamp;

pub(crate) use epochs::next_epoch;
pub use error::OpenError;
pub(crate) use files::Files;
pub(crate) use known::Known;
pub(crate) use segments::Found;

/// Looks at the partition's directory and puts right what was cut short. What the files of the log itself need is left
/// to the effects of [`crate::log::Log::recovered`].
pub(crate) fn open<D: Disk>(
    disk: &D,
    partition: &TopicPartition,
    config: &LogConfig,
    known: &Known,
    now: Timestamp,
) -> Result<(Recovered, RecoveryReport), OpenError> {
    config.check()?;
    let dir = DiskPath::root().entry(partition);
    let opening = Opening { disk, dir, partition, config, known: *known, now };
    opening.run().map_err(|failure| match failure {
        Failure::Disk(error) => OpenError::Disk { partition: partition.clone(), error },
        Failure::Missing { segment, flushed } => {
            OpenError::SegmentMissing { partition: partition.clone(), segment, flushed }
        }
    })
}

/// One opening. Also whoever truncates asks it for what must be read.
pub(crate) struct Opening<'a, D> {
    pub(crate) disk: &'a D,
    pub(crate) dir: DiskPath,
    pub(crate) partition: &'a TopicPartition,
    pub(crate) config: &'a LogConfig,
    pub(crate) known: Known,
    pub(crate) now: Timestamp,
}

impl<D: Disk> Opening<'_, D> {
    fn run(mut self) -> Result<(Recovered, RecoveryReport), Failure> {
        let mut report = RecoveryReport::blank(self.partition);
        let is_new = self.make_dir()?;
        let mut files = Files::list(self.disk, &self.dir, &mut report)?;
        leftovers::finish(self.disk, &self.dir, &mut files, &mut report)?;
        report.shutdown = if is_new || files.logs.is_empty() { Shutdown::New } else { self.known.judge(&files) };
        if !is_new && report.shutdown != Shutdown::Clean {
            // Whoever made the directory may have been killed before its name was durable.
            self.disk.sync_dir(&DiskPath::root())?;
        }
        if report.shutdown == Shutdown::New && self.known.clean && !self.known.closed_by_us {
            // Kafka has deleted it and gone on.
            self.known.mark = None;
        }
        self.drop_foreign_sums(&mut files)?;
        let epoch_file = self.epoch_file(&files)?;
        let mut found = self.segments(epoch_file.noted().cloned(), &mut files, &mut report)?;
        self.remove_orphans(&mut files, &mut report)?;
        if epoch_file.noted().is_none() && !epoch_file.says(&found.epochs) {
            report.rebuilt.push(FileName::LeaderEpochs);
        }
        self.drop_below_start(&mut found, &mut files, &mut report)?;
        let recovered = self.recovered(found, &files, &epoch_file, &mut report)?;
        if !is_new && report.shutdown == Shutdown::New {
            // Nothing asks such a log to flush before it goes on, and what is left of the last one must not come back then.
            self.disk.sync_dir(&self.dir)?;
        }
        Ok((recovered, report))
    }

    /// Makes the partition's directory if it is not there; its name is durable before anything is put in it. Answers
    /// whether it was not.
    fn make_dir(&self) -> Result<bool, DiskError> {
        match self.disk.list(&self.dir) {
            Ok(_) => Ok(false),
            Err(error) if error.kind == DiskErrorKind::NotFound => {
                self.disk.make_dir(&self.dir)?;
                self.disk.sync_dir(&DiskPath::root())?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Checksums of ours say nothing about segments that Kafka may have changed since.
    fn drop_foreign_sums(&self, files: &mut Files) -> Result<(), DiskError> {
        if self.known.mark.is_some() {
            return Ok(());
        }
        let ours: Vec<FileName> =
            files.others.keys().copied().filter(|name| matches!(name, FileName::Sums(_))).collect();
        for name in ours {
            self.disk.remove(&self.dir.entry(name))?;
            files.others.remove(&name);
        }
        Ok(())
    }

    /// Removes what belongs to a segment that is not there: the rest of a removal that was cut short. A removal begins
    /// at the front of the log and moves its start first, or it begins at the end: amid the flushed segments the batches
    /// of one are not removed, but lost.
    fn remove_orphans(&self, files: &mut Files, report: &mut RecoveryReport) -> Result<(), Failure> {
        let orphans = files.orphans();
        if let Some(mark) = self.known.mark {
            let amid = |base: &Offset| (mark.log_start_offset..mark.segment).contains(base);
            if let Some(segment) = orphans.iter().filter_map(|name| name.base_offset()).find(amid) {
                return Err(Failure::Missing { segment, flushed: mark.offset });
            }
        }
        for name in orphans {
            self.disk.remove(&self.dir.entry(name))?;
            files.others.remove(&name);
            report.leftovers.push(Leftover { name: name.to_string(), action: LeftoverAction::Removed });
        }
        Ok(())
    }

    /// Kafka's rule for files that were lost: if the log ends below its noted start, nothing of it counts.
    fn drop_below_start(
        &self,
        found: &mut Found,
        files: &mut Files,
        report: &mut RecoveryReport,
    ) -> Result<(), DiskError> {
        if found.end().is_none_or(|end| end >= self.known.start()) {
            return Ok(());
        }
        for segment in std::mem::take(&mut found.segments).iter().rev() {
            files.remove_segment(self.disk, &self.dir, segment.base)?;
            report.removed_segments.push(segment.base);
        }
        self.disk.sync_dir(&self.dir)?;
        // Nobody misses what lies below the start.
        report.corrupt.clear();
        report.torn = None;
        found.epochs = EpochCache::default();
        found.producers = ProducerState::new(self.known.start(), UnknownProducer::default());
        Ok(())
    }

    fn recovered(
        &self,
        mut found: Found,
        files: &Files,
        epoch_file: &EpochFile,
        report: &mut RecoveryReport,
    ) -> Result<Recovered, DiskError> {
        let end = found.end().unwrap_or(self.known.start());
        let first = found.segments.first().map_or(end, |first| first.base);
        let start = self.known.start().max(first).min(end);
        // A reign that begins at the end stays. The log may have been trimmed to there: batches of it may be left in front,
        // and those of an earlier one behind them would not count.
        found.epochs.truncate_from_end(end.advance(1));
        found.epochs.truncate_from_start(start);
        report.corrupt.retain(|bad| {
            let following = found.segments.iter().map(|segment| segment.base).find(|base| *base > bad.segment);
            // Nobody misses what lies below the start.
            bad.range.next_offset.or(following).is_none_or(|next| next > start)
        });
        let snapshots = self.snapshots(files, &found, end)?;
        let clean = matches!(report.shutdown, Shutdown::Clean | Shutdown::New);
        let flushed = if clean { end } else { found.flushed.max(start).min(end) };
        report.flushed = flushed;
        report.log_start_offset = start;
        report.log_end_offset = end;
        report.segments = found.segments.len().max(1);
        Ok(Recovered {
            config: self.config.clone(),
            segments: found.segments,
            epochs_changed: !epoch_file.says(&found.epochs),
            epochs: found.epochs,
            producers: found.producers,
            snapshots,
            log_start_offset: start,
            log_end_offset: end,
            high_watermark: self.known.high_watermark().max(start),
            flushed,
            mark: self.known.mark.filter(|mark| mark.offset <= flushed),
            jitter_seed: seed_of(self.partition, self.now),
        })
    }

    /// The producer snapshots that stay: those at a segment's base, and the newest. What lies past the log end goes.
    fn snapshots(&self, files: &Files, found: &Found, end: Offset) -> Result<BTreeSet<Offset>, DiskError> {
        let bases: BTreeSet<Offset> = found.segments.iter().map(|segment| segment.base).collect();
        // A log without segments begins anew.
        let max = if found.segments.is_empty() { Offset::ZERO } else { end };
        let good = |offset: &Offset| *offset <= max && !found.bad_snapshots.contains(offset);
        let newest = files.snapshots.iter().copied().rfind(good);
        let mut kept = BTreeSet::new();
        for offset in &files.snapshots {
            if good(offset) && (bases.contains(offset) || Some(*offset) == newest) {
                kept.insert(*offset);
            } else {
                self.disk.remove(&self.dir.entry(FileName::Snapshot(*offset)))?;
            }
        }
        Ok(kept)
    }
}

/// A seed for what Kafka draws at random: the same for the same log opened at the same time.
fn seed_of(partition: &TopicPartition, now: Timestamp) -> u64 {
    let name = crc32fast::hash(partition.to_string().as_bytes());
    u64::from(name) << 32 ^ now.as_millis() as u64
}
