//! Appending to a [`LogFile`]: check, make room, decide, write.
//!
//! - Always true: what finds no space is found before the log has changed; the one exception is a disk that promised the
//!   space and then had none, and [`AppendFault::Waiting`] says so.

use crate::disk::log_file::LogFile;
use crate::disk::log_file::faults::{AppendFault, full_or_failed};
use crate::disk::{Disk, DiskError, DiskErrorKind};
use crate::epoch::LeaderEpoch;
use crate::log::{AppendDecision, AppendError, Appended, MarkerRules};
use crate::record::{Batch, Checked, Origin, Rules};
use crate::time::Timestamp;

/// How much space is reserved at least, and at most, ahead of what is needed.
const RESERVE_BYTES_MIN: u32 = 64 << 10;
const RESERVE_BYTES_MAX: u32 = 16 << 20;

impl<D: Disk> LogFile<D> {
    /// Appends a client's batch: checks it by the topic's rules, gives it the next offsets, writes it. It is in the page
    /// cache when this returns, and on disk after [`LogFile::flush`]. The first append after an opening that was not clean
    /// flushes what that has found: what was cut off must not come back behind what takes its place.
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
        if self.unsettled {
            // What the last process or the opening has cut off is gone for good before anything takes its place.
            self.flush().map_err(|error| match self.lanes.check() {
                Ok(()) => full_or_failed(error, bytes),
                Err(error) => AppendFault::Disk(error),
            })?;
        }
        if change.leader_epoch() > self.log.epochs().latest() {
            self.mark_before_reign().map_err(|error| full_or_failed(error, bytes))?;
        }
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
        // As much again as there is: a log that has little takes little of the disk.
        let ahead = needed.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
        let generous = needed.saturating_add(ahead).min(self.options.config.segment_bytes.max(needed));
        let len = self.driver.reserve(file, needed, generous).map_err(|error| full_or_failed(error, bytes))?;
        self.log.reserved(file, len);
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
}
