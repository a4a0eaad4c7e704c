//! One log on one disk, for a single caller: the easy way in.
//!
//! [`LogFile`] performs what its [`Log`] asks for at once, in the caller's thread: when a call returns, its bytes are in
//! the page cache, and after [`LogFile::flush`] on disk. It decides nothing: whatever is a rule is the log's.

use crate::disk::deleted::Deleted;
use crate::disk::handles::Handle;
use crate::disk::lanes::Lanes;
use crate::disk::log_dir::LogDir;
use crate::disk::open::{self, OpenError, next_epoch};
use crate::disk::pool::Pool;
use crate::disk::report::{RecoveryReport, Shutdown};
use crate::disk::topic_id;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskFile, DiskPath};
use crate::epoch::LeaderEpoch;
use crate::id::{TopicId, TopicPartition};
use crate::log::{
    AppendDecision, AppendError, Appended, Breach, Closing, ConfigError, Effect, FlushedMark, Log, LogConfig,
    MarkerRules, TrimError,
};
use crate::offset::Offset;
use crate::record::{Batch, CheckError, Checked, DecompressLimit, Origin, Rules};
use crate::time::Timestamp;

/// How to open a log.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The settings of the log.
    pub config: LogConfig,
    /// The topic's id; written if there is none yet, and compared if there is.
    pub topic_id: Option<TopicId>,
    /// Who moves the high watermark.
    pub high_watermark: HighWatermarkRule,
    /// The most files held open at a time.
    pub open_files_max: usize,
    /// How sealed segments are read.
    pub read_mode: ReadMode,
    /// The most bytes that the records of one batch may decompress to.
    pub decompress_limit: DecompressLimit,
    /// The most bytes that compaction takes for its map of keys, 24 for each: Kafka's `log.cleaner.dedupe.buffer.size`. A
    /// smaller one makes a log that is larger take several compactions.
    pub compaction_map_bytes: usize,
    /// How long a deleted file stays, as `.deleted`, for those who look at the directory from outside: Kafka's
    /// `file.delete.delay.ms`, which is 60000 there. 0, the default, deletes at once and gives its space back at once.
    pub file_delete_delay_ms: u64,
}

/// How the bytes of sealed segments are read. What may still be cut is never mapped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReadMode {
    /// Into memory of the reader's.
    #[default]
    Read,
    /// From a map of the file, a bounded number at a time. An I/O error then ends the process (SIGBUS) instead of being
    /// returned, and so does anybody who shortens the files meanwhile.
    Map,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            config: LogConfig::default(),
            topic_id: None,
            high_watermark: HighWatermarkRule::default(),
            open_files_max: 64,
            read_mode: ReadMode::default(),
            decompress_limit: DecompressLimit::default(),
            compaction_map_bytes: 128 << 20,
            file_delete_delay_ms: 0,
        }
    }
}

/// Who moves the high watermark.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HighWatermarkRule {
    /// It follows what is written: there is no other replica.
    #[default]
    FollowWritten,
    /// It follows what is flushed: readers see only what survives a power loss.
    FollowFlushed,
    /// The caller does, by [`LogFile::advance_high_watermark`].
    ByHand,
}

/// Why an append failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendFault {
    /// The batch breaks a rule of the topic. Nothing was appended.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The log refused it. Nothing was appended.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// There is no space. Nothing was appended; appends go on by themselves once there is space again.
    #[error("no space for {bytes} bytes: {error}")]
    Full {
        /// How many bytes the append takes.
        bytes: u32,
        /// What the disk said.
        error: DiskError,
    },
    /// The disk had space for the append and then had none. It is accepted and waits: it is written with the next call
    /// that finds space, and nobody reads it before.
    #[error("offsets {} to {} wait for space: {error}", appended.base_offset, appended.last_offset)]
    Waiting {
        /// What it will be.
        appended: Box<Appended>,
        /// What the disk said.
        error: DiskError,
    },
    /// The disk failed. Whether the append survives is not known; the log takes no more until it is opened again.
    #[error(transparent)]
    Disk(DiskError),
}

/// One log on one disk, for a single caller.
#[derive(Debug)]
pub struct LogFile<D: Disk> {
    pub(super) log: Log,
    pub(super) lanes: Lanes<D>,
    pub(super) dir: LogDir<D>,
    pub(super) partition: TopicPartition,
    pub(super) options: OpenOptions,
    pub(super) pool: Pool,
    epoch: LeaderEpoch,
    unflushed: u64,
    /// How large the log was when its mark was last made durable.
    marked_size: u64,
    /// The active segment when the mark was last made durable.
    marked_segment: Offset,
}

impl<D: Disk> LogFile<D> {
    /// Opens the log of `partition` in the log directory that is `disk`, making it if it is not there, and locks the
    /// directory. Whatever happened before is put right or reported; see [`RecoveryReport`].
    ///
    /// # Errors
    ///
    /// [`OpenError`]. A second opener gets [`OpenError::AlreadyOpen`] and has written nothing.
    pub fn open(
        disk: D,
        partition: &TopicPartition,
        options: OpenOptions,
        now: Timestamp,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        options.config.check()?;
        let dir = LogDir::open(disk)?;
        Self::open_in(dir, partition, options, now)
    }

    /// As [`LogFile::open`], in a directory that is open already.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_in(
        mut dir: LogDir<D>,
        partition: &TopicPartition,
        options: OpenOptions,
        now: Timestamp,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        let disk = dir.disk().clone();
        let path = DiskPath::root().entry(partition);
        let missing_id = topic_id::compare(&disk, &path, partition, options.topic_id)?;
        let failed = |error| OpenError::Disk { partition: partition.clone(), error };
        let known = dir.begin(partition).map_err(failed)?;
        let (recovered, report) = open::open(&disk, partition, &options.config, &known, now)?;
        if let Some(id) = missing_id {
            topic_id::write(&disk, &path, id).map_err(failed)?;
        }
        let mut effects = Vec::new();
        let mut log = Log::recovered(recovered, now, &mut effects)?;
        if report.shutdown != Shutdown::Clean {
            log.distrust_names();
        }
        let mut lanes = Lanes::new(disk, path, options.open_files_max);
        lanes.deleted = Deleted::new(options.file_delete_delay_ms);
        for segment in log.segments() {
            lanes.adopt(segment.base_offset, &segment.files);
        }
        let active = log.active_segment();
        let resumed = lanes.resume(active.base_offset, active.size);
        resumed.map_err(failed)?;
        let epoch = log.epochs().latest().unwrap_or(LeaderEpoch::ZERO);
        let mut this = Self {
            log,
            lanes,
            dir,
            partition: partition.clone(),
            options,
            pool: Pool::default(),
            epoch,
            unflushed: 0,
            marked_size: 0,
            marked_segment: Offset::ZERO,
        };
        this.start(effects, &report).map_err(|error| OpenError::Disk { partition: partition.clone(), error })?;
        Ok((this, report))
    }

    /// Does what the opening asks for. A full disk is no reason not to open: what needs space waits.
    fn start(&mut self, effects: Vec<Effect>, report: &RecoveryReport) -> Result<(), DiskError> {
        let unclean = !matches!(report.shutdown, Shutdown::New | Shutdown::Clean);
        match self.run(effects) {
            Err(error) if error.kind != DiskErrorKind::NoSpace => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Whoever has read what was lost must be able to tell it from what takes its place.
        if unclean && let Some(epoch) = next_epoch(self.log.epochs()) {
            self.epoch = epoch;
        }
        self.follow();
        if report.shutdown == Shutdown::New {
            // From the beginning, what is missing in front of a segment shows as a hole.
            self.note_mark()?;
            match self.dir.sync_marks() {
                Err(error) if error.kind != DiskErrorKind::NoSpace => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The log: its ends, segments, epochs and producers.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How many files of the log are open now. What was written to and not flushed stays open.
    pub fn open_files(&self) -> usize {
        self.lanes.handles.open_files()
    }

    /// How many bytes of buffers readers hold: what they were served from files and have not dropped yet.
    pub fn live_bytes(&self) -> usize {
        self.pool.live_bytes()
    }

    /// Which log this is.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        self.dir.disk()
    }

    /// In which reign this log appends. A clean opening goes on in the last one, any other begins a new one.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Goes on in the reign of `epoch`, which begins at the log end.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), DiskError> {
        self.lanes.check()?;
        self.epoch = epoch;
        let mut effects = Vec::new();
        self.log.begin_epoch(epoch, &mut effects);
        self.run(effects)
    }

    /// Changes the settings, from the next append, roll, retention or compaction on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if they make no sense; the old ones stay.
    pub fn configure(&mut self, config: LogConfig) -> Result<(), ConfigError> {
        self.log.configure(config.clone())?;
        self.options.config = config;
        Ok(())
    }

    /// Appends a client's batch: checks it by the topic's rules, gives it the next offsets, writes it. It is in the page
    /// cache when this returns, and on disk after [`LogFile::flush`].
    ///
    /// # Errors
    ///
    /// [`AppendFault`]; but for [`AppendFault::Waiting`] and [`AppendFault::Disk`] nothing was appended.
    pub fn append(&mut self, now: Timestamp, batch: &Batch) -> Result<Appended, AppendFault> {
        let rules = self.rules(Origin::Client);
        self.append_as_leader(now, batch, &rules, MarkerRules::default())
    }

    /// Appends as the leader what a transaction coordinator writes: markers, and groups' offsets.
    ///
    /// # Errors
    ///
    /// As [`LogFile::append`].
    pub fn append_from(
        &mut self,
        now: Timestamp,
        batch: &Batch,
        origin: Origin,
        markers: MarkerRules,
    ) -> Result<Appended, AppendFault> {
        let rules = self.rules(origin);
        self.append_as_leader(now, batch, &rules, markers)
    }

    /// Appends, as a follower in the reign of `epoch`, batches that have their offsets. `None`: there was nothing to do.
    ///
    /// # Errors
    ///
    /// As [`LogFile::append`].
    pub fn replicate(
        &mut self,
        now: Timestamp,
        batches: &[Batch],
        epoch: LeaderEpoch,
    ) -> Result<Option<Appended>, AppendFault> {
        self.resume(0)?;
        let decision = self.log.decide_replicate(batches, epoch)?;
        self.perform(now, decision)
    }

    /// Brings all that is appended to disk. Answers up to which offset all is on disk.
    ///
    /// # Errors
    ///
    /// The disk's. After a failed sync the log is poisoned: nothing tells what of it survives.
    pub fn flush(&mut self) -> Result<Offset, DiskError> {
        self.lanes.check()?;
        let mut effects = Vec::new();
        self.log.flush(&mut effects);
        self.run(effects)?;
        self.unflushed = 0;
        self.follow();
        Ok(self.log.flushed())
    }

    /// Goes on in a new segment. Answers its base offset.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub fn roll(&mut self, now: Timestamp) -> Result<Offset, DiskError> {
        self.lanes.check()?;
        let mut effects = Vec::new();
        let base = self.log.roll(now, &mut effects);
        self.run(effects)?;
        Ok(base)
    }

    /// Raises the high watermark to `to`, at most what is written.
    pub fn advance_high_watermark(&mut self, to: Offset) {
        self.log.advance_high_watermark(to);
    }

    /// Moves the log start to `to`: what lies below is not served any more, also after a crash. Answers whether it moved.
    ///
    /// # Errors
    ///
    /// [`TrimFault`].
    pub fn trim_to(&mut self, to: Offset) -> Result<bool, TrimFault> {
        self.lanes.check()?;
        let mut effects = Vec::new();
        let moved = self.log.trim_to(to, &mut effects)?;
        let noted = self.dir.mark_of(&self.partition).map(|mark| mark.log_start_offset);
        if noted.is_none_or(|noted| noted < self.log.log_start_offset()) {
            // The start first: epochs that begin at one that nobody knows of would leave batches in front without.
            self.write_mark()?;
            self.dir.sync_marks()?;
        }
        self.run(effects)?;
        Ok(moved)
    }

    /// Removes the segments that retention lets go. Answers their bases, and why.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub fn retain(&mut self, now: Timestamp) -> Result<Vec<(Offset, Breach)>, DiskError> {
        self.lanes.check()?;
        let mut effects = Vec::new();
        let gone = self.log.retain(now, &mut effects);
        if !gone.is_empty() {
            // The new start first: should the removal be cut short, what is left of it stays below the start.
            self.note_mark()?;
            self.dir.sync_marks()?;
        }
        self.run(effects)?;
        self.remove_deleted(now)?;
        Ok(gone)
    }

    /// Forgets producers that have been idle for too long.
    pub fn expire_producers(&mut self, now: Timestamp) {
        self.log.expire_producers(now);
    }

    /// Gives the directory back without closing the log: to the next opening it is a log that was killed.
    pub fn leave(self) -> LogDir<D> {
        self.dir
    }

    /// Flushes everything and notes that the log was closed, so that the next opening need not read it. Dropping the
    /// log instead is a crash of the process: nothing that was written is lost, but more is read.
    ///
    /// # Errors
    ///
    /// The disk's; then the log counts as not closed.
    pub fn close(mut self) -> Result<LogDir<D>, DiskError> {
        self.lanes.check()?;
        let mut effects = Vec::new();
        self.log.write_out(&mut effects);
        self.log.flush(&mut effects);
        self.run(effects)?;
        let mark = self.log.mark(Closing::Closed);
        if mark.clean {
            self.lanes.finish(&self.log)?;
            self.dir.closed(&self.partition, &mark)?;
        }
        Ok(self.dir)
    }

    fn rules(&self, origin: Origin) -> Rules {
        let config = &self.options.config;
        Rules {
            origin,
            max_batch_bytes: config.max_message_bytes,
            compacted: config.cleanup.compacts(),
            timestamp_type: config.timestamp_type,
            timestamp_before_max_ms: config.timestamp_before_max_ms,
            timestamp_after_max_ms: config.timestamp_after_max_ms,
            codec: config.codec,
            level: None,
            decompress_limit: self.options.decompress_limit,
        }
    }

    fn append_as_leader(
        &mut self,
        now: Timestamp,
        batch: &Batch,
        rules: &Rules,
        markers: MarkerRules,
    ) -> Result<Appended, AppendFault> {
        let checked: Checked = batch.check(rules, now)?;
        self.resume(checked.batch().size())?;
        let decision = self.log.decide_append(&checked, self.epoch, markers)?;
        let appended = self.perform(now, decision)?;
        // A leader's batch is never left out: it is appended, a duplicate, or an error.
        appended.ok_or(AppendFault::Log(AppendError::Stalled))
    }

    /// Tries again what waits for space: before that nothing can be appended.
    fn resume(&mut self, bytes: u32) -> Result<(), AppendFault> {
        if !self.lanes.is_waiting() {
            return Ok(());
        }
        self.run(Vec::new()).map_err(|error| full_or_failed(error, bytes))
    }

    /// Makes room, then applies: whatever finds no space is found before anything is changed.
    fn perform(&mut self, now: Timestamp, decision: AppendDecision) -> Result<Option<Appended>, AppendFault> {
        let AppendDecision::Append(change) = &decision else {
            return Ok(self.log.apply(now, decision, &mut Vec::new()));
        };
        let bytes = change.bytes();
        if self.log.rolls_for(now, &decision) {
            let mut effects = Vec::new();
            self.log.roll_for(now, &decision, &mut effects);
            self.run(effects).map_err(|error| full_or_failed(error, bytes))?;
        }
        self.reserve(bytes)?;
        let mut effects = Vec::new();
        let appended = self.log.apply(now, decision, &mut effects);
        match (self.run(effects), appended) {
            (Ok(()), _) => {}
            (Err(error), Some(appended)) if error.kind == DiskErrorKind::NoSpace => {
                return Err(AppendFault::Waiting { appended: Box::new(appended), error });
            }
            (Err(error), _) => return Err(AppendFault::Disk(error)),
        }
        self.follow();
        self.maybe_flush(appended).map_err(AppendFault::Disk)?;
        Ok(appended)
    }

    /// Reserves space for the next append, generously, or at least just enough.
    fn reserve(&mut self, bytes: u32) -> Result<(), AppendFault> {
        let Some((file, needed)) = self.log.reservation(bytes) else { return Ok(()) };
        let handle = self.lanes.handles.handle(file).map_err(AppendFault::Disk)?;
        // As much again as there is: a log that has little takes little of the disk.
        let ahead = needed.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
        let generous = needed.saturating_add(ahead).min(self.options.config.segment_bytes.max(needed));
        for len in [generous, needed] {
            match handle.file.reserve(u64::from(len)) {
                Ok(()) => {
                    self.log.reserved(file, len);
                    return Ok(());
                }
                Err(error) if error.kind == DiskErrorKind::NoSpace && len > needed => {}
                Err(error) => return Err(full_or_failed(error, bytes)),
            }
        }
        Ok(())
    }

    fn maybe_flush(&mut self, appended: Option<Appended>) -> Result<(), DiskError> {
        let new = appended.filter(|appended| !appended.duplicate);
        self.unflushed += new.map_or(0, |a| a.last_offset.since(a.base_offset).unwrap_or(0) + 1);
        match self.options.config.flush_messages {
            Some(most) if self.unflushed >= most => self.flush().map(drop),
            Some(_) | None => Ok(()),
        }
    }

    /// Lets the high watermark follow, if nobody else moves it.
    fn follow(&mut self) {
        match self.options.high_watermark {
            HighWatermarkRule::FollowWritten => self.log.advance_high_watermark(self.log.written()),
            HighWatermarkRule::FollowFlushed => self.log.advance_high_watermark(self.log.flushed()),
            HighWatermarkRule::ByHand => {}
        }
    }

    pub(super) fn run(&mut self, effects: Vec<Effect>) -> Result<(), DiskError> {
        let performed = self.lanes.run(&mut self.log, effects)?;
        if performed.flushed {
            self.note_mark()?;
            self.maybe_sync_mark()?;
        }
        Ok(())
    }

    /// Makes the mark durable once much was flushed since: after a power loss all behind it is read again.
    fn maybe_sync_mark(&mut self) -> Result<(), DiskError> {
        let size = self.log.size();
        // A gap in front of a segment is the leader's if it was flushed, and a hole that a power loss has left if not.
        if size.abs_diff(self.marked_size) >= MARK_SYNC_BYTES || self.log.has_gap_above(self.marked_segment) {
            self.dir.sync_marks()?;
            self.marked_size = size;
        }

        Ok(())
    }

    pub(super) fn note_mark(&mut self) -> Result<(), DiskError> {
        let mark = self.current_mark();
        match self.dir.write_mark(&self.partition, &mark) {
            // The mark trails; it is written again with the next flush.
            Err(error) if error.kind == DiskErrorKind::NoSpace => Ok(()),
            outcome => outcome,
        }
    }

    /// Writes the mark, which must not trail now.
    pub(super) fn write_mark(&mut self) -> Result<(), DiskError> {
        let mark = self.current_mark();
        self.dir.write_mark(&self.partition, &mark)
    }

    /// What is known to be flushed: between two flushes what the last mark said, with the ends of now.
    fn current_mark(&self) -> FlushedMark {
        let mark = self.log.mark(Closing::Open);
        let has = |base| self.log.segments().any(|segment| segment.base_offset == base);
        match self.dir.mark_of(&self.partition) {
            Some(last) if mark.offset < last.offset && last.offset <= self.log.flushed() && has(last.segment) => {
                let FlushedMark { log_start_offset, high_watermark, epochs_crc, .. } = mark;
                FlushedMark { log_start_offset, high_watermark, epochs_crc, clean: false, ..*last }
            }
            _ => mark,
        }
    }

    pub(super) fn handle(&mut self, file: crate::log::FileId) -> Result<std::sync::Arc<Handle<D::File>>, DiskError> {
        self.lanes.handles.handle(file)
    }
}

/// After how many flushed bytes the flushed mark is made durable.
const MARK_SYNC_BYTES: u64 = 64 << 20;
/// How much space is reserved at least, and at most, ahead of what is needed.
const RESERVE_BYTES_MIN: u32 = 64 << 10;
const RESERVE_BYTES_MAX: u32 = 16 << 20;

/// Why the log start was not moved.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrimFault {
    /// The log refused it.
    #[error(transparent)]
    Trim(#[from] TrimError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn full_or_failed(error: DiskError, bytes: u32) -> AppendFault {
    let is_full = error.kind == DiskErrorKind::NoSpace;
    if is_full { AppendFault::Full { bytes, error } } else { AppendFault::Disk(error) }
}
