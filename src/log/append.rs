//! Appending: what a leader gives offsets to, and what a follower is told.
//!
//! Both decide first and apply then: whatever refuses a batch leaves the log untouched. (Kafka rolls and notes the
//! leader epoch before its last checks, so there a refused batch may leave a trace; here it does not.)

use crate::epoch::LeaderEpoch;
use crate::log::indexes::MaxTimestamp;
use crate::log::marker::facts_of;
use crate::log::op::{DiskOp, Effect, Part};
use crate::log::producers::{
    BatchMeta, CompletedTxn, MarkerRules, ProducerChange, ProducerError, ProducerUndo, Verdict,
};
use crate::log::tail::Descriptor;
use crate::log::{Health, Log};
use crate::offset::Offset;
use crate::record::{Batch, BatchError, Checked, Origin, TimestampType};
use crate::time::Timestamp;

/// What has become of an append. The record is in memory; it is not yet written, let alone flushed: see
/// [`Log::written`] and [`Log::flushed`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The leader's date on the records; of a duplicate, the largest timestamp of the first append.
    pub append_time: Option<Timestamp>,
    /// The first readable offset.
    pub log_start_offset: Offset,
    /// Whether this batch was appended earlier and is not stored again.
    pub duplicate: bool,
}

/// What an append will do. Made by [`Log::decide_append`] and [`Log::decide_replicate`].
#[derive(Clone, Debug)]
pub enum AppendDecision {
    /// Nothing: there is no whole batch to append, or only such as a later leader sent.
    Nothing,
    /// Nothing: the batch is there already.
    Duplicate(Appended),
    /// It will be appended.
    Append(Box<Change>),
}

/// An append that has been decided and cannot fail any more.
#[derive(Clone, Debug)]
pub struct Change {
    batches: Vec<Batch>,
    bytes: u32,
    max_timestamp: Timestamp,
    /// What a leader's producers said of it. A follower asks batch by batch: it refuses nothing.
    producers: Option<ProducerChange>,
    append_time: Option<Timestamp>,
}

impl Change {
    /// How many bytes it appends.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(crate) fn max_timestamp(&self) -> Timestamp {
        self.max_timestamp
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.batches.first().map_or(Offset::ZERO, Batch::base_offset)
    }

    /// The leader epoch of the last batch.
    pub(crate) fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.batches.last().and_then(Batch::leader_epoch)
    }

    pub(crate) fn last_offset(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, Batch::last_offset)
    }
}

/// Why an append was refused. A refused batch leaves the log untouched.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The batches together are larger than a segment may be.
    #[error("{size} bytes of batches do not fit a segment of at most {limit}")]
    TooLargeForSegment {
        /// How large they are.
        size: u64,
        /// `segment_bytes`.
        limit: u32,
    },
    /// The offsets of the log are used up.
    #[error("no {count} offsets are left after {log_end_offset}")]
    OffsetsExhausted {
        /// Where the log ends.
        log_end_offset: Offset,
        /// How many the batch needs.
        count: u64,
    },
    /// A replicated batch begins below the end of this log.
    #[error("replicated batch begins at {first_offset}, below the log end {log_end_offset}")]
    UnexpectedOffset {
        /// The first offset of the first batch.
        first_offset: Offset,
        /// The last offset of the first batch.
        last_offset: Offset,
        /// Where this log ends.
        log_end_offset: Offset,
    },
    /// Replicated batches whose offsets do not rise, or that share some.
    #[error("replicated batch has offsets {first_offset} to {last_offset}, the one in front of it ends at {previous}")]
    OutOfOrderOffsets {
        /// The last offset of the batch in front.
        previous: Offset,
        /// The first offset of the batch.
        first_offset: Offset,
        /// The last offset of the batch.
        last_offset: Offset,
    },
    /// Replicated batches that no segment can hold together: an offset in a segment is at most 2147483647 past its base.
    #[error("replicated batches reach from offset {first_offset} to {last_offset}, too far for one segment")]
    OffsetsTooFarApart {
        /// The first offset of the first batch.
        first_offset: Offset,
        /// The last offset of the last batch.
        last_offset: Offset,
    },
    /// The leader epoch is older than what the log has seen.
    #[error("leader epoch {found} is fenced by {current}")]
    FencedLeaderEpoch {
        /// The epoch of the append.
        found: LeaderEpoch,
        /// The latest epoch of the log.
        current: LeaderEpoch,
    },
    /// The batch's place in its producer's sequence, or its epoch, is wrong.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The batch cannot be given its offset.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// An earlier write still waits for space.
    #[error("no space: an earlier append still waits to be written")]
    Stalled,
    /// A write or a flush has failed earlier. Open the log again to go on.
    #[error("the log is poisoned: {why}")]
    Poisoned {
        /// What failed.
        why: String,
    },
}

impl Log {
    /// Decides what appending `batch` as the leader of `epoch` will do: gives it the next offset, and asks what is
    /// known of its producer. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`AppendError`], in the order of semantics 1.1 from step 6 on.
    pub fn decide_append(
        &self,
        batch: &Checked,
        epoch: LeaderEpoch,
        rules: MarkerRules,
    ) -> Result<AppendDecision, AppendError> {
        self.check_health()?;
        if let Some(current) = self.epochs.latest().filter(|current| epoch < *current) {
            return Err(AppendError::FencedLeaderEpoch { found: epoch, current });
        }
        let stamped = self.stamped(batch.batch(), epoch)?;
        let size = self.check_size(std::slice::from_ref(&stamped))?;
        match self.producers.check_with([facts_of(&stamped, rules)], batch.origin(), self.config.unknown_producer)? {
            Verdict::Duplicate(known) => Ok(AppendDecision::Duplicate(self.duplicate(&known))),
            Verdict::Append(producers) => {
                let (max_timestamp, append_time) = (stamped.max_timestamp(), append_time_of(&stamped));
                let (batches, producers) = (vec![stamped], Some(producers));
                let change = Change { batches, bytes: size, max_timestamp, producers, append_time };
                Ok(AppendDecision::Append(Box::new(change)))
            }
        }
    }

    /// Decides what appending `batches` as a follower in the reign of `epoch` will do: they keep their offsets.
    /// Batches from the first one of a later reign on are left out (KAFKA-18723). Changes nothing.
    ///
    /// # Errors
    ///
    /// [`AppendError`], in the order of semantics 1.1.
    pub fn decide_replicate(&self, batches: &[Batch], epoch: LeaderEpoch) -> Result<AppendDecision, AppendError> {
        self.check_health()?;
        let later = batches.iter().position(|batch| batch.leader_epoch().is_some_and(|theirs| theirs > epoch));
        let batches = batches[..later.unwrap_or(batches.len())].to_vec();
        let Some(first) = batches.first() else { return Ok(AppendDecision::Nothing) };
        if let Some(pair) = batches.windows(2).find(|pair| pair[1].base_offset() < pair[0].next_offset()) {
            let (previous, first_offset) = (pair[0].last_offset(), pair[1].base_offset());
            return Err(AppendError::OutOfOrderOffsets { previous, first_offset, last_offset: pair[1].last_offset() });
        }
        if first.base_offset() < self.log_end_offset {
            return Err(AppendError::UnexpectedOffset {
                first_offset: first.base_offset(),
                last_offset: first.last_offset(),
                log_end_offset: self.log_end_offset,
            });
        }
        let (first_offset, last_offset) =
            (first.base_offset(), batches.last().map_or(Offset::ZERO, Batch::last_offset));
        if last_offset.relative_to(first_offset).is_none() {
            return Err(AppendError::OffsetsTooFarApart { first_offset, last_offset });
        }
        self.check_epochs(&batches)?;
        let bytes = self.check_size(&batches)?;
        let max_timestamp = batches.iter().map(Batch::max_timestamp).max().unwrap_or(Timestamp::NONE);
        let change = Change { batches, bytes, max_timestamp, producers: None, append_time: None };
        Ok(AppendDecision::Append(Box::new(change)))
    }

    /// Applies a decision: rolls if need be, writes, and moves the log end. The decision must be the log's latest, with
    /// nothing but a roll and ops in between.
    pub fn apply(&mut self, now: Timestamp, decision: AppendDecision, out: &mut Vec<Effect>) -> Option<Appended> {
        match decision {
            AppendDecision::Nothing => None,
            AppendDecision::Duplicate(appended) => Some(appended),
            AppendDecision::Append(change) => Some(self.apply_change(now, *change, out)),
        }
    }

    fn apply_change(&mut self, now: Timestamp, change: Change, out: &mut Vec<Effect>) -> Appended {
        self.maybe_roll(now, &change, out);
        let appended = Appended {
            base_offset: change.base_offset(),
            last_offset: change.last_offset(),
            append_time: change.append_time,
            log_start_offset: self.log_start_offset,
            duplicate: false,
        };
        for batch in &change.batches {
            match batch.leader_epoch() {
                Some(epoch) => self.assign_epoch(epoch, batch.base_offset(), out),
                None => self.forget_epochs(out),
            }
        }
        let Change { batches, producers, .. } = change;
        let undos = match producers {
            Some(decided) => vec![self.apply_producers(decided)],
            None => batches.iter().map(|batch| self.replicate_producers(batch)).collect(),
        };
        self.write(now, batches, undos, out);
        self.check();
        appended
    }

    /// Takes over what was decided, and adds to the active segment's transaction index what it aborts.
    fn apply_producers(&mut self, change: ProducerChange) -> ProducerUndo {
        let aborted: Vec<_> = change.completed().iter().filter_map(CompletedTxn::aborted).collect();
        let active = self.active_mut();
        for transaction in &aborted {
            // A leader that sends a marker twice has told of the same abort twice: the index keeps the first.
            let _ = active.aborted.append(transaction);
        }
        self.producers.apply(change)
    }

    fn replicate_producers(&mut self, batch: &Batch) -> ProducerUndo {
        let verdict = self.producers.check([facts_of(batch, MarkerRules::default())], Origin::Replication);
        match verdict {
            Ok(Verdict::Append(change)) => self.apply_producers(change),
            // Replication refuses nothing, and knows no duplicates.
            Ok(Verdict::Duplicate(_)) | Err(_) => self.producers.apply(ProducerChange::default()),
        }
    }

    /// A batch without a leader epoch makes what is known of epochs worthless (semantics 1.1, step 7).
    fn forget_epochs(&mut self, out: &mut Vec<Effect>) {
        if self.epochs.latest().is_some() {
            self.epochs.clear();
            self.write_epochs(out);
        }
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>, undos: Vec<ProducerUndo>, out: &mut Vec<Effect>) {
        self.since_snapshot += batches.iter().map(|batch| u64::from(batch.size())).sum::<u64>();
        let active = self.active_mut();
        let interval = active.index_interval_bytes;
        let (file, start, segment) = (active.files.log, active.size, active.base);
        let mut undos = undos.into_iter();
        let mut descriptors = Vec::with_capacity(batches.len());
        for batch in &batches {
            let (position, max_before, first_before) = (active.size, active.max, active.first_timestamp);
            active.max.raise(batch.max_timestamp(), batch.last_offset());
            active.first_timestamp.get_or_insert(batch.max_timestamp());
            let (base, next, max): (Offset, Offset, MaxTimestamp) =
                (batch.base_offset(), batch.next_offset(), active.max);
            if let Some(indexes) = active.indexes.as_mut() {
                indexes.batch_appended(batch.last_offset(), position, batch.size(), max, interval);
            }
            active.size += batch.size();
            active.next = next;
            let undo = undos.next();
            descriptors.push(Descriptor { base, next, segment, position, max_before, first_before, undo });
        }
        active.modified = now;
        self.log_end_offset = active.next;
        let parts = batches.iter().map(|batch| Part::Batch(batch.stamp(), batch.body().clone())).collect();
        let written = self.emit(DiskOp::Write { file, position: start, parts }, out);
        self.unsynced.wrote(file, written);
        for (descriptor, batch) in descriptors.into_iter().zip(batches) {
            self.tail.push(descriptor, batch);
        }
    }

    pub(super) fn check_health(&self) -> Result<(), AppendError> {
        match &self.health {
            Health::Good => Ok(()),
            Health::Stalled => Err(AppendError::Stalled),
            Health::Poisoned { why } => Err(AppendError::Poisoned { why: why.clone() }),
        }
    }

    /// Leader epochs never fall with the offset (I-S4).
    fn check_epochs(&self, batches: &[Batch]) -> Result<(), AppendError> {
        let mut latest = self.epochs.latest();
        for found in batches.iter().filter_map(Batch::leader_epoch) {
            if let Some(current) = latest.filter(|current| found < *current) {
                return Err(AppendError::FencedLeaderEpoch { found, current });
            }
            latest = Some(found);
        }
        Ok(())
    }

    fn stamped(&self, batch: &Batch, epoch: LeaderEpoch) -> Result<Batch, AppendError> {
        batch.stamped(self.log_end_offset, Some(epoch)).map_err(|_| AppendError::OffsetsExhausted {
            log_end_offset: self.log_end_offset,
            count: u64::from(batch.last_offset_delta()) + 1,
        })
    }

    fn check_size(&self, batches: &[Batch]) -> Result<u32, AppendError> {
        let limit = self.config.segment_bytes;
        let size: u64 = batches.iter().map(|batch| u64::from(batch.size())).sum();
        match u32::try_from(size) {
            Ok(fits) if fits <= limit => Ok(fits),
            _ => Err(AppendError::TooLargeForSegment { size, limit }),
        }
    }

    fn duplicate(&self, known: &BatchMeta) -> Appended {
        Appended {
            base_offset: known.base_offset(),
            last_offset: known.last_offset,
            append_time: Some(known.timestamp),
            log_start_offset: self.log_start_offset,
            duplicate: true,
        }
    }
}

/// The leader's date, if it is the leader that dates the records.
fn append_time_of(batch: &Batch) -> Option<Timestamp> {
    (batch.timestamp_type() == TimestampType::LogAppendTime).then(|| batch.max_timestamp())
}
