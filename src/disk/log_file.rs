//! One log on one disk, for a single caller: the easy way in.
//!
//! [`LogFile`] performs what its [`Log`] asks for at once, in the caller's thread: when a call returns, its bytes are in
//! the page cache, and after [`LogFile::flush`] on disk. It decides nothing: whatever is a rule is the log's.
//!
//! Here it is opened, driven and closed. Appending, trimming and the flushed mark have files of their own beside this one;
//! reading, truncating and compacting are in [`log_read`](crate::disk::log_read), [`cut`](crate::disk::cut) and
//! [`compact`](crate::disk::compact).

mod append;
mod faults;
mod mark;
mod options;
mod trim;

use crate::disk::lanes::Lanes;
use crate::disk::log_dir::LogDir;
use crate::disk::log_driver::{LogDriver, OpenedLog};
use crate::disk::open::{OpenError, next_epoch};
use crate::disk::report::{RecoveryReport, Shutdown};
use crate::disk::{Disk, DiskError, DiskErrorKind};
use crate::epoch::LeaderEpoch;
use crate::id::TopicPartition;
use crate::log::{ConfigError, Effect, Log, LogConfig};
use crate::offset::Offset;
use crate::time::Timestamp;

pub use faults::{AppendFault, TrimFault};
pub use options::{HighWatermarkRule, OpenOptions, ReadMode};

/// One log on one disk, for a single caller.
#[derive(Debug)]
pub struct LogFile<D: Disk> {
    pub(super) log: Log,
    pub(super) driver: LogDriver<D>,
    pub(super) lanes: Lanes,
    pub(super) dir: LogDir<D>,
    pub(super) partition: TopicPartition,
    pub(super) options: OpenOptions,
    epoch: LeaderEpoch,
    unflushed: u64,
    /// Whether what an opening after a kill has found, and what it has cut off, may not be on disk yet. Then the next append
    /// and the next compaction flush first.
    pub(super) unsettled: bool,
    /// How large the log was when its mark was last made durable.
    marked_size: u64,
    /// The segment in the mark when it was last made durable: gaps in front of it are known to be the leader's.
    marked_segment: Offset,
    /// Up to where the mark said that all is flushed when it was last made durable.
    marked_end: Offset,
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
        let OpenedLog { log, effects, driver, report } = dir.open_log(partition, &options, now)?;
        let epoch = log.epochs().latest().unwrap_or(LeaderEpoch::ZERO);
        let mut this = Self {
            log,
            driver,
            lanes: Lanes::default(),
            dir,
            partition: partition.clone(),
            options,
            epoch,
            unflushed: 0,
            unsettled: false,
            marked_size: 0,
            marked_segment: Offset::ZERO,
            marked_end: Offset::ZERO,
        };
        this.start(effects, &report).map_err(|error| OpenError::Disk { partition: partition.clone(), error })?;
        Ok((this, report))
    }

    /// Does what the opening asks for. A full disk is no reason not to open: what needs space waits.
    fn start(&mut self, effects: Vec<Effect>, report: &RecoveryReport) -> Result<(), DiskError> {
        let unclean = !matches!(report.shutdown, Shutdown::New | Shutdown::Clean);
        self.unsettled = unclean;
        match self.run(effects) {
            Err(error) if error.kind != DiskErrorKind::NoSpace => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Whoever has read what was lost must be able to tell it from what takes its place.
        if unclean && let Some(epoch) = next_epoch(self.log.epochs()) {
            self.epoch = epoch;
        }
        self.follow();
        let is_adopted = report.shutdown == Shutdown::Clean && self.dir.mark_of(&self.partition).is_none();
        if report.shutdown == Shutdown::New || is_adopted {
            // From the beginning, what is missing in front of a segment shows as a hole; and what Kafka has closed is not
            // doubted again after a kill.
            self.note_mark()?;
            match self.sync_mark() {
                Err(error) if error.kind != DiskErrorKind::NoSpace => return Err(error),
                Ok(()) | Err(_) => {}
            }
        } else if report.shutdown == Shutdown::Clean {
            self.mark_is_durable();
        }
        Ok(())
    }

    /// The log: its ends, segments, epochs and producers.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How many files of the log are open now. What was written to and not flushed stays open.
    pub fn open_files(&self) -> usize {
        self.driver.open_files()
    }

    /// How many bytes of buffers readers hold: what they were served from files and have not dropped yet.
    pub fn live_bytes(&self) -> usize {
        self.driver.live_bytes()
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
        self.mark_before_reign()?;
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
        self.unsettled = false;
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
        self.dir.close_log(&self.log, self.driver, &self.partition)?;
        Ok(self.dir)
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
        let performed = self.lanes.run(&mut self.driver.files, &mut self.log, effects)?;
        if performed.flushed {
            self.note_mark()?;
            self.maybe_sync_mark()?;
        }
        Ok(())
    }
}
