//! What happens to a partition beside appending and reading: trimming, retention, flushing, settings.

use crate::log::{
    self, Breach, Cleanup, Closing, ConfigError, Health, Log, LogConfig, ReplaceError, Replacement, TrimError,
};
use crate::offset::Offset;
use crate::partition::flush_timer::Rung;
use crate::partition::waits::Level;
use crate::partition::{Durability, Effect, Partition, PartitionConfig, StopReason};
use crate::time::{Instant, Timestamp};

/// Up to where records are deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeleteTo {
    /// All in front of this offset.
    Offset(Offset),
    /// All that are committed.
    HighWatermark,
}

/// Why no records were deleted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteRecordsError {
    /// This node does not lead the partition.
    #[error(transparent)]
    Stopped(#[from] StopReason),
    /// The topic's clean-up policy does not delete.
    #[error("records are deleted only where the clean-up policy says so, and it is {cleanup:?}")]
    Policy {
        /// The policy.
        cleanup: Cleanup,
    },
    /// What is not committed is not deleted.
    #[error("offset {requested} is outside {log_start_offset} to {high_watermark}")]
    OutOfRange {
        /// What was asked for.
        requested: Offset,
        /// The first readable offset.
        log_start_offset: Offset,
        /// The furthest it may go.
        high_watermark: Offset,
    },
    /// A write or a flush has failed earlier. Open the log again to go on.
    #[error("the log is poisoned: {why}")]
    Poisoned {
        /// What failed.
        why: String,
    },
}

/// Why a compacted segment was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The log refused it.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    /// The log waits for space: it would have to wait behind that for its place, and readers with it.
    #[error("the log waits for space")]
    Stalled,
    /// A write or a flush has failed earlier. Open the log again to go on.
    #[error("the log is poisoned: {why}")]
    Poisoned {
        /// What failed.
        why: String,
    },
}

impl Partition {
    /// Lets the log begin at a later offset (semantics 5.7), and answers where it begins. An offset in front of that changes
    /// nothing. Segments that lie in front of it go with the next [`retain`](Self::retain). It is so after a crash too once
    /// the [`DiskWish::Mark`](crate::partition::DiskWish::Mark) that this leaves is performed.
    ///
    /// # Errors
    ///
    /// [`DeleteRecordsError`]; then nothing has changed.
    pub fn delete_records(&mut self, to: DeleteTo, out: &mut Vec<Effect>) -> Result<Offset, DeleteRecordsError> {
        self.leader()?;
        let cleanup = self.log.config().cleanup;
        if !cleanup.deletes() {
            return Err(DeleteRecordsError::Policy { cleanup });
        }
        if let Health::Poisoned { why } = self.log.health() {
            return Err(DeleteRecordsError::Poisoned { why: why.clone() });
        }
        let requested = match to {
            DeleteTo::Offset(offset) => offset,
            DeleteTo::HighWatermark => self.log.high_watermark(),
        };
        let moved = self.removing(out, |log, out| log.trim_to(requested, out).map(|moved| (moved, ())));
        let log_start_offset = self.log.log_start_offset();
        match moved {
            Ok(()) => {
                self.proceed(out);
                Ok(log_start_offset)
            }
            Err(TrimError { high_watermark, .. }) => {
                Err(DeleteRecordsError::OutOfRange { requested, log_start_offset, high_watermark })
            }
        }
    }

    /// Removes the segments that retention lets go. Answers their bases, and why. Of a poisoned log nothing goes, nor of one
    /// that is being closed: whoever closes it has seen that there is nothing left to flush.
    pub fn retain(&mut self, date: Timestamp, out: &mut Vec<Effect>) -> Vec<(Offset, Breach)> {
        let is_closing = self.leader().is_err_and(|why| why == StopReason::Closed);
        if is_closing || matches!(self.log.health(), Health::Poisoned { .. }) {
            return Vec::new();
        }
        let gone = self.removing(out, |log, out| {
            let gone = log.retain(date, out);
            Ok::<_, TrimError>((!gone.is_empty(), gone))
        });
        self.proceed(out);
        gone.unwrap_or_default()
    }

    /// Puts a compacted segment, complete and synced, in the place of those it was made of. Readers of those keep their bytes.
    /// What they held must have been flushed before it was read.
    ///
    /// # Errors
    ///
    /// [`CompactError`]; then nothing has changed, and the output is to be thrown away.
    pub fn replace(&mut self, replacement: Replacement, out: &mut Vec<Effect>) -> Result<(), CompactError> {
        match self.log.health() {
            Health::Good => {}
            Health::Stalled => return Err(CompactError::Stalled),
            Health::Poisoned { why } => return Err(CompactError::Poisoned { why: why.clone() }),
        }
        self.removing(out, |log, out| log.replace(replacement, out).map(|()| (true, ())))?;
        self.proceed(out);
        Ok(())
    }

    /// Whether the segments below `to` may be read to be compacted: they are on disk, with all that an opening has found or
    /// cut off, and the flushed mark names none of them. If not, it is so after a flush.
    pub fn may_be_compacted(&self, to: Offset) -> bool {
        let is_settled = !self.unsettled || self.log.is_settled();
        let is_good = *self.log.health() == Health::Good && is_settled;
        is_good && self.log.flushed() >= to && self.log.mark(Closing::Open).segment >= to
    }

    /// Forgets producers that have been idle for too long.
    pub fn expire_producers(&mut self, date: Timestamp) {
        self.log.expire_producers(date);
    }

    /// Goes on in a new segment, and answers its base offset; `None` if the log is poisoned or waits for space.
    pub fn roll(&mut self, date: Timestamp, out: &mut Vec<Effect>) -> Option<Offset> {
        if *self.log.health() != Health::Good {
            return None;
        }
        let base = self.with_log(out, |log, out| log.roll(date, out));
        self.proceed(out);
        Some(base)
    }

    /// Asks for all that is appended so far to be brought to disk: it is, once [`Log::flushed`](crate::log::Log::flushed)
    /// says so. Asking while a flush is under way leads to one more.
    pub fn flush(&mut self, out: &mut Vec<Effect>) {
        self.flush_asked = true;
        self.proceed(out);
    }

    /// Asks for a flush if what is appended has waited for one as long as it may: for when an [`Effect::FlushBy`] has
    /// come. Too early, nothing happens.
    pub fn flush_if_due(&mut self, now: Instant, out: &mut Vec<Effect>) {
        match self.flush_timer.ring(now) {
            Rung::Nothing => {}
            Rung::RingAt(deadline) => out.push(Effect::FlushBy { deadline }),
            Rung::Flush => self.flush(out),
        }
    }

    /// Changes the settings, from the next append, roll, retention or compaction on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the log's make no sense; then the old ones stay, of both.
    pub fn configure(
        &mut self,
        config: PartitionConfig,
        log: LogConfig,
        out: &mut Vec<Effect>,
    ) -> Result<(), ConfigError> {
        self.log.configure(log)?;
        self.config = config;
        self.proceed(out);
        Ok(())
    }

    /// Changes the log so that something of it goes: the mark that says so comes before what removes it.
    pub(super) fn removing<T, E>(
        &mut self,
        out: &mut Vec<Effect>,
        change: impl FnOnce(&mut Log, &mut Vec<log::Effect>) -> Result<(bool, T), E>,
    ) -> Result<T, E> {
        let mut effects = Vec::new();
        let (is_changed, answer) = change(&mut self.log, &mut effects)?;
        if is_changed {
            self.mark(self.log.mark(Closing::Open), out);
        }
        out.extend(effects.into_iter().map(Effect::from));
        Ok(answer)
    }

    /// Asks the log for a flush where somebody wants one and none is under way. While one is, the wishes gather for the
    /// next: that is the group commit.
    pub(super) fn maybe_flush(&mut self, out: &mut Vec<Effect>) {
        if self.log.is_flushing() || !self.wants_flush() {
            return;
        }
        self.flush_asked = false;
        self.unflushed_records = 0;
        self.flush_timer.flushes();
        self.with_log(out, |log, out| log.flush(out));
    }

    /// Whether somebody waits for what only a flush brings.
    fn is_flush_waited_for(&self) -> bool {
        let by_topic = self.config.durability == Durability::Flushed && self.leader().is_ok();
        let is_behind = by_topic && self.log.flushed() < self.log.log_end_offset();
        // Whoever closes it waits until nothing is left to flush, also of what retention does meanwhile.
        let is_closing = self.leader().is_err_and(|why| why == StopReason::Closed) && !self.log.is_settled();
        let is_held = self.unsettled && !self.held.is_empty();
        is_behind || is_closing || is_held || self.produces.first(Level::Flushed).is_some()
    }

    fn wants_flush(&self) -> bool {
        if matches!(self.log.health(), Health::Poisoned { .. }) {
            return false;
        }
        let is_much = self.log.config().flush_messages.is_some_and(|most| self.unflushed_records >= most);
        self.flush_asked || is_much || self.is_flush_waited_for()
    }
}
