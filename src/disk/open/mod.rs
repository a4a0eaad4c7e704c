//! Opening a log, whatever happened to it.
//!
//! What was flushed is told by the flushed mark, or, in a directory that Kafka wrote, by its recovery point and its
//! clean-shutdown file. Only what lies above is read. Below it nothing is ever cut: what is bad there is reported by
//! exact range. Indexes, epochs and snapshots are caches, and made again when they are missing, stale or garbage.
//!
//! - May use: `log`, `record`, and the seam to the disk.
//! - Always true: opening twice is opening once; what removes data removes the end first, so that a crash in between
//!   leaves a log that opens to the same.

mod files;
mod leftovers;
mod missing;
mod segments;

use std::collections::BTreeSet;

use crate::disk::report::{Leftover, LeftoverAction, RecoveryReport, Shutdown};
use crate::disk::small::read_small;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath};
use crate::epoch::LeaderEpoch;
use crate::id::{TopicId, TopicPartition};
use crate::log::{
    ConfigError, EpochCache, FileName, FlushedMark, LogConfig, ProducerState, Recovered, UnknownProducer,
};
use crate::offset::Offset;
use crate::time::Timestamp;

pub(crate) use files::Files;

/// Why a log could not be opened. Nothing was lost by trying.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk failed.
    #[error("{partition}: {error}")]
    Disk {
        /// Which log.
        partition: TopicPartition,
        /// How.
        error: DiskError,
    },
    /// The disk failed at the root of the log directory.
    #[error("log directory: {0}")]
    Dir(DiskError),
    /// The partition's files belong to another topic of the same name.
    #[error("{partition}: its files belong to topic {found}, not {wanted}")]
    TopicIdMismatch {
        /// Which log.
        partition: TopicPartition,
        /// The id in its `partition.metadata`.
        found: TopicId,
        /// The id asked for.
        wanted: TopicId,
    },
    /// Someone has the log directory open.
    #[error("the log directory is already open, in this process or another")]
    AlreadyOpen,
    /// A segment that had been flushed is gone.
    #[error("{partition}: segment {segment} had been flushed up to offset {flushed} and is missing")]
    SegmentMissing {
        /// Which log.
        partition: TopicPartition,
        /// The base of the segment.
        segment: Offset,
        /// Up to where the log had been flushed.
        flushed: Offset,
    },
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the log directory says something that cannot be understood, and that cannot be made again.
    #[error("{file}: {why}")]
    Unreadable {
        /// Its name.
        file: String,
        /// What is wrong.
        why: String,
    },
}

/// What is known of a log before it is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// What was flushed when the mark was last written.
    pub(crate) mark: Option<FlushedMark>,
    /// Whether whoever had the directory last says that all was closed.
    pub(crate) clean: bool,
    /// Whether that was us, and not Kafka.
    pub(crate) closed_by_us: bool,
    /// Kafka's recovery point.
    pub(crate) recovery_point: Option<Offset>,
    /// Kafka's log start.
    pub(crate) log_start_offset: Option<Offset>,
    /// Kafka's high watermark.
    pub(crate) high_watermark: Option<Offset>,
}

impl Known {
    /// The first readable offset, as far as anyone wrote it down. Our mark has a checksum, Kafka's text has none.
    fn start(&self) -> Offset {
        let marked = self.mark.map(|mark| mark.log_start_offset);
        marked.or(self.log_start_offset).unwrap_or(Offset::ZERO)
    }

    fn high_watermark(&self) -> Offset {
        let marked = self.mark.map(|mark| mark.high_watermark);
        marked.max(self.high_watermark).unwrap_or(Offset::ZERO)
    }
}

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

pub(crate) enum Failure {
    Disk(DiskError),
    Missing { segment: Offset, flushed: Offset },
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
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
        report.shutdown = if is_new || files.logs.is_empty() { Shutdown::New } else { self.judge(&files) };
        if !is_new && report.shutdown != Shutdown::Clean {
            // Whoever made the directory may have been killed before its name was durable.
            self.disk.sync_dir(&DiskPath::root())?;
        }
        if let Some(mark) = self.known.mark.filter(|mark| mark.offset > mark.log_start_offset)
            && report.shutdown == Shutdown::New
        {
            return Err(Failure::Missing { segment: mark.segment, flushed: mark.offset });
        }
        self.drop_foreign_sums(&mut files)?;
        let (epochs, garbage) = self.epochs(&files)?;
        // A log that has no epochs needs no file of them.
        let on_file = if garbage { None } else { Some(epochs.clone().unwrap_or_default()) };
        let scan_all = epochs.is_none() && !files.logs.is_empty();
        let mut found = self.segments(&mut files, epochs.unwrap_or_default(), scan_all, &mut report)?;
        self.remove_orphans(&mut files, &mut report)?;
        if scan_all && on_file.as_ref() != Some(&found.epochs) {
            report.rebuilt.push(FileName::LeaderEpochs);
        }
        self.drop_below_start(&mut found, &mut files, &mut report)?;
        let recovered = self.recovered(found, &files, on_file.as_ref(), &mut report)?;
        Ok((recovered, report))
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

    /// Makes the partition's directory if it is not there; its name is durable before anything is put in it.
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

    /// How the log was left, and so whom to believe.
    ///
    /// Whoever closes a directory leaves the clean-shutdown file, and it is deleted at every opening. If it is there and
    /// our mark does not fit what is there, Kafka has had the directory since, or something was changed: the mark counts
    /// for nothing then, and what the file vouches for is looked at. If it is not there, whoever had the directory last
    /// has died; a recovery point above our mark shows that it was Kafka.
    fn judge(&mut self, files: &Files) -> Shutdown {
        let Some(mark) = self.known.mark else {
            return if self.known.clean { Shutdown::Clean } else { Shutdown::Unclean };
        };
        let last = files.logs.last_key_value();
        let fits = last.is_some_and(|(base, log)| *base == mark.segment && log.len == u64::from(mark.position));
        let place = last.map(|(base, log)| (*base, log.len));
        match (self.known.clean, mark.clean && fits && self.known.closed_by_us) {
            (true, true) => Shutdown::Clean,
            (true, false) => {
                self.known.mark = None;
                Shutdown::CleanButChanged
            }
            (false, _) => {
                // A recovery point has no checksum: what it says of more records counts if there are more bytes.
                let longer = place > Some((mark.segment, u64::from(mark.position)));
                if self.known.recovery_point > Some(mark.offset) && longer {
                    self.known.mark = None;
                }
                Shutdown::Unclean
            }
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

    /// The leader epochs in the file, and whether they must be made again from the batches instead.
    fn epochs(&self, files: &Files) -> Result<(Option<EpochCache>, bool), DiskError> {
        if !files.others.contains_key(&FileName::LeaderEpochs) {
            return Ok((None, false));
        }
        let bytes = read_small(self.disk, &self.dir.entry(FileName::LeaderEpochs))?;
        match EpochCache::parse(&bytes) {
            Ok(epochs) if self.are_as_marked(&epochs) => Ok((Some(epochs), false)),
            Ok(_) | Err(_) => Ok((None, !files.logs.is_empty())),
        }
    }

    /// Whether the epochs are those that the mark knows; of those that begin behind what was flushed it knows nothing. One
    /// that was written in front of a move of the log start knows them as they were to be.
    fn are_as_marked(&self, epochs: &EpochCache) -> bool {
        let Some(mark) = self.known.mark else { return true };
        let mut trimmed = epochs.clone();
        trimmed.truncate_from_start(mark.log_start_offset);
        [epochs, &trimmed].into_iter().any(|epochs| mark.knows(epochs))
    }

    /// Kafka's rule for files that were lost: if the log ends below its noted start, nothing of it counts.
    fn drop_below_start(
        &self,
        found: &mut segments::Found,
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
        mut found: segments::Found,
        files: &Files,
        epochs_on_file: Option<&EpochCache>,
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
            epochs_changed: epochs_on_file != Some(&found.epochs),
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
    fn snapshots(&self, files: &Files, found: &segments::Found, end: Offset) -> Result<BTreeSet<Offset>, DiskError> {
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

/// The epoch with which a log goes on after an opening that was not clean: one that nobody has had.
pub(crate) fn next_epoch(epochs: &EpochCache) -> Option<LeaderEpoch> {
    epochs.latest().map_or(Some(LeaderEpoch::ZERO), LeaderEpoch::next)
}
