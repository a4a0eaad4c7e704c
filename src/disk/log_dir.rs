//! A log directory: the lock on it, and the files at its root that tell of all its logs.
//!
//! Kafka's own files are kept as Kafka keeps them, so that a directory moves both ways: recovery points, high
//! watermarks, log starts, and the file that says that all was closed. Our flushed marks stand beside them.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use crate::disk::deleted::Deleted;
use crate::disk::files::Files;
use crate::disk::log_driver::{LogDriver, OpenedLog};
use crate::disk::log_file::OpenOptions;
use crate::disk::marks::{MARKS_FILE, MarkFile, MarksError};
use crate::disk::open::{self, Known, OpenError};
use crate::disk::report::Shutdown;
use crate::disk::small::{read_if_there, replace};
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath, EntryKind, topic_id};
use crate::id::{TopicId, TopicPartition};
use crate::log::{CheckpointError, CleanShutdown, Closing, FlushedMark, Log, OffsetCheckpoint};
use crate::offset::Offset;
use crate::time::Timestamp;

/// Kafka's name of the lock.
const LOCK: &str = ".lock";
const CLEAN: &str = ".kafka_cleanshutdown";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
const CLEANED: &str = "cleaner-offset-checkpoint";
const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// An open log directory. Nobody else opens it until this is dropped.
#[derive(Debug)]
pub struct LogDir<D: Disk> {
    disk: D,
    /// `None` once the directory was let go.
    lock: Option<D::Lock>,
    marks: MarkFile<D>,
    /// What the file said that says so: Kafka names its broker epoch in it.
    clean_file: Option<Vec<u8>>,
    /// Whether the file that says that all is closed stands there again.
    noted_clean: bool,
    recovery_points: OffsetCheckpoint,
    high_watermarks: OffsetCheckpoint,
    log_starts: OffsetCheckpoint,
    cleaned: OffsetCheckpoint,
    unreadable: Vec<String>,
    /// Logs that were opened here and not closed yet.
    open: BTreeSet<TopicPartition>,
    /// Logs that were opened here and closed.
    closed: BTreeSet<TopicPartition>,
}

impl<D: Disk> LogDir<D> {
    /// Takes the lock of the directory and reads what its files tell. Whether all was closed is remembered, and the
    /// file that says so removed, as Kafka does.
    ///
    /// # Errors
    ///
    /// [`OpenError::AlreadyOpen`] if anyone has it open; nothing was written then.
    pub fn open(disk: D) -> Result<Self, OpenError> {
        let root = DiskPath::root();
        let lock = disk.lock(&root.entry(LOCK)).map_err(|error| {
            let is_open = error.kind == DiskErrorKind::AlreadyLocked;
            if is_open { OpenError::AlreadyOpen } else { OpenError::Dir(error) }
        })?;
        let marks = MarkFile::open(disk.clone()).map_err(|error| {
            if let MarksError::Disk(error) = error {
                return OpenError::Dir(error);
            }
            OpenError::Unreadable { file: MARKS_FILE.to_owned(), why: error.to_string() }
        })?;
        let mut unreadable = Vec::new();
        let mut read = |name| read_checkpoint(&disk, name, &mut unreadable);
        let recovery_points = read(RECOVERY_POINTS)?;
        let high_watermarks = read(HIGH_WATERMARKS)?;
        let log_starts = read(LOG_STARTS)?;
        let cleaned = read(CLEANED)?;
        for (name, _) in &unreadable {
            // What is noted anew must not take the place of what somebody may still be able to read.
            disk.rename(&root.entry(name), &root.entry(format!("{name}.unreadable"))).map_err(OpenError::Dir)?;
        }
        let clean = read_at_root(&disk, CLEAN)?;
        if clean.is_some() {
            disk.remove(&root.entry(CLEAN)).map_err(OpenError::Dir)?;
            disk.sync_dir(&root).map_err(OpenError::Dir)?;
        }
        Ok(Self {
            disk,
            lock: Some(lock),
            marks,
            clean_file: clean,
            noted_clean: false,
            recovery_points,
            high_watermarks,
            log_starts,
            cleaned,
            unreadable: unreadable.iter().map(|(name, error)| format!("{name}: {error}")).collect(),
            open: BTreeSet::new(),
            closed: BTreeSet::new(),
        })
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Whether it has flushed marks: an ottla has had it before.
    pub(crate) fn has_marks(&self) -> bool {
        self.marks.is_there()
    }

    /// Files at the root that could not be understood, with the reason; each counts as missing.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Lets the directory go, so that others may open it: every log is closed, and nothing will be done here any more.
    pub(crate) fn unlock(&mut self) {
        self.lock = None;
    }

    /// The partitions that have a directory here.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, DiskError> {
        partitions(&self.disk)
    }

    /// The topic that the files of a partition belong to, if they say so.
    ///
    /// # Errors
    ///
    /// The disk's, and a file that cannot be understood.
    pub fn topic_id_of(&self, partition: &TopicPartition) -> Result<Option<TopicId>, OpenError> {
        topic_id::read(&self.disk, &DiskPath::root().entry(partition), partition)
    }

    /// The farthest offset that the files at the root tell of a partition, whether it has a directory or not.
    pub(crate) fn noted_end(&self, partition: &TopicPartition) -> Option<Offset> {
        let mark = self.marks.marks().find(partition).map(|mark| mark.offset);
        let checkpoints = [&self.recovery_points, &self.high_watermarks, &self.log_starts];
        let noted = checkpoints.into_iter().filter_map(|file| file.offsets.get(partition).copied());
        noted.chain(mark).max()
    }

    /// Opens the log of `partition`, making it if it is not there, for somebody who drives it by hand. Whatever happened
    /// before is put right or reported.
    ///
    /// What the opening asks for is not performed yet. If [`RecoveryReport::shutdown`](crate::disk::RecoveryReport::shutdown) says that the log was not closed, then
    /// nothing is to be appended before all that was found is flushed, and a new leader epoch begins.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_log(
        &mut self,
        partition: &TopicPartition,
        options: &OpenOptions,
        now: Timestamp,
    ) -> Result<OpenedLog<D>, OpenError> {
        let disk = self.disk.clone();
        let path = DiskPath::root().entry(partition);
        let missing_id = topic_id::compare(&disk, &path, partition, options.topic_id)?;
        let failed = |error| OpenError::Disk { partition: partition.clone(), error };
        let known = self.begin(partition).map_err(failed)?;
        let (recovered, report) = open::open(&disk, partition, &options.config, &known, now)?;
        if let Some(id) = missing_id {
            topic_id::write(&disk, &path, id).map_err(failed)?;
        }
        let mut effects = Vec::new();
        let mut log = Log::recovered(recovered, now, &mut effects)?;
        let distrusted = (report.shutdown != Shutdown::Clean).then(|| log.distrust());
        let mut files = Files::new(disk, path, options.open_files_max, Deleted::new(options.file_delete_delay_ms));
        for segment in log.segments() {
            files.adopt(segment.base_offset, &segment.files);
        }
        if let Some(from) = distrusted {
            files.distrust(&log, from);
        }
        let active = log.active_segment();
        files.resume(active.base_offset, active.size).map_err(failed)?;
        Ok(OpenedLog { log, effects, driver: LogDriver::new(files, options.read_mode), report })
    }

    /// A log is about to be opened: what is known of it. From now on nobody says any more that all is closed.
    pub(crate) fn begin(&mut self, partition: &TopicPartition) -> Result<Known, DiskError> {
        if self.noted_clean {
            self.disk.remove(&DiskPath::root().entry(CLEAN))?;
            self.disk.sync_dir(&DiskPath::root())?;
            self.noted_clean = false;
        }
        if self.clean_file.is_none() && self.marks.marks().find(partition).is_some() {
            // Whoever removes anything on the word of a mark must not find an older one after a power loss.
            match self.marks.settle() {
                Err(error) if error.kind != DiskErrorKind::NoSpace => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let again = self.closed.remove(partition);
        // A log that was opened here before and was not closed was left as by a kill.
        let first = self.open.insert(partition.clone()) && !again;
        Ok(Known {
            mark: self.marks.marks().find(partition).copied(),
            clean: again || (self.clean_file.is_some() && first),
            closed_by_us: again
                || self.clean_file.as_ref().is_some_and(|bytes| *bytes == CleanShutdown::default().encode()),
            recovery_point: self.recovery_points.offsets.get(partition).copied(),
            log_start_offset: self.log_starts.offsets.get(partition).copied(),
            high_watermark: self.high_watermarks.offsets.get(partition).copied(),
        })
    }

    /// Notes what of a log is flushed, after a flush: [`Log::mark`](crate::log::Log::mark) says it. The note trails: it
    /// survives a kill at once, and a power loss once [`LogDir::settle_mark`] or the system has written it. What lies behind
    /// it is merely read again at the next opening. Without space for it, there is none.
    ///
    /// # Errors
    ///
    /// The disk's, but for "no space".
    pub fn note_mark(&mut self, partition: &TopicPartition, mark: &FlushedMark) -> Result<(), DiskError> {
        match self.write_mark(partition, mark) {
            // It is written again with the next flush.
            Err(error) if error.kind == DiskErrorKind::NoSpace => Ok(()),
            outcome => outcome,
        }
    }

    /// Writes a log's mark and makes it durable, for what comes next relies on it: something is about to be removed.
    ///
    /// It is written twice, into both copies: should one rot, the other must not tell of segments that are gone.
    ///
    /// # Errors
    ///
    /// The disk's. Without space one goes on without, for only a log that has no mark yet needs space for one; after
    /// anything else nothing more is done to this log, for what it says and what its files say must not part.
    pub fn settle_mark(&mut self, partition: &TopicPartition, mark: &FlushedMark) -> Result<(), DiskError> {
        for _ in 0..2 {
            self.write_mark(partition, mark)?;
            self.sync_marks()?;
        }
        Ok(())
    }

    /// Closes a log that has been flushed and asks for nothing any more, with its last mark: one that is
    /// [`clean`](FlushedMark::clean). The next opening then need not read it.
    ///
    /// # Errors
    ///
    /// The disk's; then the log counts as not closed.
    pub fn close_log(
        &mut self,
        log: &Log,
        mut driver: LogDriver<D>,
        partition: &TopicPartition,
    ) -> Result<(), DiskError> {
        let mark = log.mark(Closing::Closed);
        if mark.clean {
            driver.files.finish(log)?;
            self.closed(partition, &mark)?;
        }
        Ok(())
    }

    /// Writes a log's mark. It survives a kill at once, and a power loss after [`LogDir::sync_marks`].
    pub(crate) fn write_mark(&mut self, partition: &TopicPartition, mark: &FlushedMark) -> Result<(), DiskError> {
        if self.recovery_points.offsets.get(partition) > Some(&mark.offset) {
            self.lower(partition, mark)?;
        }
        match self.marks.write(partition, mark) {
            Ok(()) => Ok(()),
            Err(MarksError::Disk(error)) => Err(error),
            // Without a mark more is read at the next opening, and that is all.
            Err(_) => Ok(()),
        }
    }

    /// What was flushed of a log when its mark was last written.
    pub(crate) fn mark_of(&self, partition: &TopicPartition) -> Option<&FlushedMark> {
        self.marks.marks().find(partition)
    }

    /// Up to where a log was compacted.
    pub(crate) fn cleaned(&self, partition: &TopicPartition) -> Option<Offset> {
        self.cleaned.offsets.get(partition).copied()
    }

    /// Notes, durably, up to where a log was compacted.
    pub(crate) fn note_cleaned(&mut self, partition: &TopicPartition, to: Offset) -> Result<(), DiskError> {
        if self.cleaned(partition) == Some(to) {
            return Ok(());
        }
        let mut cleaned = self.cleaned.clone();
        cleaned.offsets.insert(partition.clone(), to);
        replace(&self.disk, &DiskPath::root(), CLEANED, &cleaned.encode())?;
        self.cleaned = cleaned;
        Ok(())
    }

    /// The mark is about to go back to what `mark` says: what Kafka's files say must not lie behind that, or the next
    /// opening would take them for later news.
    pub(crate) fn lower(&mut self, partition: &TopicPartition, mark: &FlushedMark) -> Result<(), DiskError> {
        let root = DiskPath::root();
        for (checkpoint, name, max) in [
            (&mut self.recovery_points, RECOVERY_POINTS, mark.offset),
            (&mut self.high_watermarks, HIGH_WATERMARKS, mark.high_watermark),
            (&mut self.log_starts, LOG_STARTS, mark.log_start_offset),
        ] {
            if let Some(offset) = checkpoint.offsets.get_mut(partition).filter(|offset| **offset > max) {
                *offset = max;
                replace(&self.disk, &root, name, &checkpoint.encode())?;
            }
        }
        Ok(())
    }

    /// Nothing is known any more of what was flushed of a log.
    pub(crate) fn forget_mark(&mut self, partition: &TopicPartition) -> Result<(), MarksError> {
        self.marks.remove(partition)
    }

    /// Kafka's files say nothing more of a log.
    pub(crate) fn forget_checkpoints(&mut self, partition: &TopicPartition) -> Result<(), DiskError> {
        self.open.remove(partition);
        self.closed.remove(partition);
        for (checkpoint, name) in [
            (&mut self.recovery_points, RECOVERY_POINTS),
            (&mut self.high_watermarks, HIGH_WATERMARKS),
            (&mut self.log_starts, LOG_STARTS),
            (&mut self.cleaned, CLEANED),
        ] {
            let Some(offset) = checkpoint.offsets.remove(partition) else { continue };
            if let Err(error) = replace(&self.disk, &DiskPath::root(), name, &checkpoint.encode()) {
                // The file says it yet.
                checkpoint.offsets.insert(partition.clone(), offset);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes the marks of all logs durable, as they were last written.
    pub(crate) fn sync_marks(&mut self) -> Result<(), DiskError> {
        self.marks.sync()
    }

    /// A log is closed, and all of it is on disk: notes what Kafka notes, and, if it was the last one open and no other
    /// log here needs recovery, that all was closed.
    pub(crate) fn closed(&mut self, partition: &TopicPartition, mark: &FlushedMark) -> Result<(), DiskError> {
        self.write_mark(partition, mark)?;
        self.sync_marks()?;
        self.open.remove(partition);
        self.closed.insert(partition.clone());
        let note = |checkpoint: &mut OffsetCheckpoint, offset: Offset| {
            checkpoint.offsets.insert(partition.clone(), offset);
        };
        note(&mut self.recovery_points, mark.offset);
        note(&mut self.high_watermarks, mark.high_watermark);
        match mark.log_start_offset {
            Offset::ZERO => drop(self.log_starts.offsets.remove(partition)),
            start => note(&mut self.log_starts, start),
        }
        let root = DiskPath::root();
        replace(&self.disk, &root, RECOVERY_POINTS, &self.recovery_points.encode())?;
        replace(&self.disk, &root, HIGH_WATERMARKS, &self.high_watermarks.encode())?;
        replace(&self.disk, &root, LOG_STARTS, &self.log_starts.encode())?;
        if !self.open.is_empty() {
            return Ok(());
        }
        let ours = self.partitions()?.iter().all(|other| self.closed.contains(other));
        // Logs that were not opened here are as whoever closed them has left them.
        let clean = if ours { Some(CleanShutdown::default().encode()) } else { self.clean_file.clone() };
        if let Some(bytes) = clean {
            replace(&self.disk, &root, CLEAN, &bytes)?;
            self.noted_clean = true;
        }
        Ok(())
    }
}

/// The partitions that have a directory at the root of this disk.
pub(crate) fn partitions<D: Disk>(disk: &D) -> Result<Vec<TopicPartition>, DiskError> {
    let entries = disk.list(&DiskPath::root())?;
    let dirs = entries.iter().filter(|entry| entry.kind == EntryKind::Dir);
    let named = |name: &OsStr| TopicPartition::parse(name.to_str()?).ok();
    Ok(dirs.filter_map(|entry| named(&entry.name)).collect())
}

/// A checkpoint that cannot be understood counts as missing: what it tells can be found out by reading more.
fn read_checkpoint<D: Disk>(
    disk: &D,
    name: &'static str,
    unreadable: &mut Vec<(&'static str, CheckpointError)>,
) -> Result<OffsetCheckpoint, OpenError> {
    let Some(bytes) = read_at_root(disk, name)? else { return Ok(OffsetCheckpoint::default()) };
    Ok(OffsetCheckpoint::parse(&bytes).unwrap_or_else(|error| {
        unreadable.push((name, error));
        OffsetCheckpoint::default()
    }))
}

fn read_at_root<D: Disk>(disk: &D, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    read_if_there(disk, &DiskPath::root().entry(name)).map_err(OpenError::Dir)
}
