//! What is known of one producer.

use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::log::producers::facts::{BatchMeta, ProducerBatch};
use crate::offset::Offset;
use crate::time::Timestamp;

/// What a log knows of one producer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProducerEntry {
    epoch: Option<ProducerEpoch>,
    coordinator_epoch: Option<LeaderEpoch>,
    last_timestamp: Timestamp,
    open_transaction: Option<Offset>,
    recent: RecentBatches,
}

impl ProducerEntry {
    /// How many batches are remembered.
    pub const BATCHES_MAX: usize = 5;

    /// A producer of which nothing is known yet.
    pub(super) fn unknown() -> Self {
        Self {
            epoch: None,
            coordinator_epoch: None,
            last_timestamp: Timestamp::NONE,
            open_transaction: None,
            recent: RecentBatches::NONE,
        }
    }

    /// A producer as a snapshot tells of it, with its last batch at most.
    pub fn new(
        epoch: Option<ProducerEpoch>,
        coordinator_epoch: Option<LeaderEpoch>,
        last_timestamp: Timestamp,
        last_batch: Option<BatchMeta>,
    ) -> Self {
        let mut entry = Self { epoch, coordinator_epoch, last_timestamp, ..Self::unknown() };
        if let Some(batch) = last_batch {
            entry.recent.push(batch);
        }
        entry
    }

    /// The same producer with a transaction that has been open since `first_offset`.
    #[must_use]
    pub fn with_open_transaction(self, first_offset: Offset) -> Self {
        Self { open_transaction: Some(first_offset), ..self }
    }

    /// Its reign, `None` if it is not known.
    pub fn epoch(&self) -> Option<ProducerEpoch> {
        self.epoch
    }

    /// The reign of the coordinator that wrote its last marker, `None` before the first.
    pub fn coordinator_epoch(&self) -> Option<LeaderEpoch> {
        self.coordinator_epoch
    }

    /// The largest timestamp of its last batch, or the timestamp of its last marker if that came later.
    pub fn last_timestamp(&self) -> Timestamp {
        self.last_timestamp
    }

    /// Where its open transaction begins.
    pub fn open_transaction(&self) -> Option<Offset> {
        self.open_transaction
    }

    /// The remembered batches of its epoch, oldest first.
    pub fn batches(&self) -> &[BatchMeta] {
        self.recent.as_slice()
    }

    /// The last sequence of its epoch, `None` before the first.
    pub fn last_sequence(&self) -> Option<Sequence> {
        self.batches().last().and_then(|batch| batch.last_sequence)
    }

    /// Whether it was idle for `idle_ms_max`, and has nothing open.
    pub(super) fn is_expired(&self, now: Timestamp, idle_ms_max: u64) -> bool {
        let idle_ms = i128::from(now.as_millis()) - i128::from(self.last_timestamp.as_millis());
        self.open_transaction.is_none() && idle_ms >= i128::from(idle_ms_max)
    }

    /// The sequence that its next batch must begin with, if it is of the same epoch.
    pub(super) fn next_sequence(&self) -> Sequence {
        self.last_sequence().map_or(Sequence::ZERO, |last| last.advance(1))
    }

    /// The remembered batch with these sequences.
    pub(super) fn batch_of(&self, base_sequence: Sequence, last_sequence: Sequence) -> Option<&BatchMeta> {
        let is_it = |batch: &&BatchMeta| {
            batch.last_sequence == Some(last_sequence) && batch.base_sequence() == Some(base_sequence)
        };
        self.batches().iter().find(is_it)
    }

    /// Notes a batch of data written in `epoch`.
    pub(super) fn add_batch(&mut self, epoch: Option<ProducerEpoch>, batch: &ProducerBatch) {
        self.enter(epoch);
        let base_sequence = batch.producer.and_then(|producer| producer.base_sequence);
        self.recent.push(BatchMeta {
            last_sequence: base_sequence.map(|base| base.advance(batch.offset_delta())),
            last_offset: batch.last_offset,
            offset_delta: batch.offset_delta(),
            timestamp: batch.max_timestamp,
        });
        self.last_timestamp = batch.max_timestamp;
    }

    /// Notes that a transaction begins at `first_offset`.
    pub(super) fn open(&mut self, first_offset: Offset) {
        self.open_transaction = Some(first_offset);
    }

    /// Notes a marker written in `epoch`; gives back where the transaction began that it ends, if one was open.
    pub(super) fn end_transaction(
        &mut self,
        epoch: Option<ProducerEpoch>,
        coordinator_epoch: Option<LeaderEpoch>,
        timestamp: Timestamp,
    ) -> Option<Offset> {
        self.enter(epoch);
        self.coordinator_epoch = coordinator_epoch;
        self.last_timestamp = timestamp;
        self.open_transaction.take()
    }

    /// Another epoch begins its sequences anew, so what is remembered of the last one could only mislead.
    fn enter(&mut self, epoch: Option<ProducerEpoch>) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.recent = RecentBatches::NONE;
        }
    }
}

/// The last few batches, oldest first, in place: an entry is copied with every append.
#[derive(Clone, Debug, Eq, PartialEq)]
struct RecentBatches {
    len: u8,
    /// The slots past `len` hold [`Self::EMPTY`], so that equality can be derived.
    slots: [BatchMeta; ProducerEntry::BATCHES_MAX],
}

impl RecentBatches {
    const EMPTY: BatchMeta =
        BatchMeta { last_sequence: None, last_offset: Offset::ZERO, offset_delta: 0, timestamp: Timestamp::NONE };
    const NONE: Self = Self { len: 0, slots: [Self::EMPTY; ProducerEntry::BATCHES_MAX] };

    fn push(&mut self, batch: BatchMeta) {
        if usize::from(self.len) == self.slots.len() {
            self.slots.rotate_left(1);
            self.len -= 1;
        }
        self.slots[usize::from(self.len)] = batch;
        self.len += 1;
    }

    fn as_slice(&self) -> &[BatchMeta] {
        &self.slots[..usize::from(self.len)]
    }
}
