//! What the producers' state is told about a batch, and what it answers.

use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::id::ProducerId;
use crate::log::txn_index::AbortedTxn;
use crate::offset::Offset;
use crate::record::{Batch, ProducerStamp};
use crate::time::Timestamp;

/// What the producers' state has to know of one batch that has its offsets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProducerBatch {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// The largest timestamp of its records.
    pub max_timestamp: Timestamp,
    /// Who wrote it; a batch of nobody's changes nothing but the end.
    pub producer: Option<ProducerStamp>,
    /// What it holds.
    pub content: Content,
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// Records that belong to no transaction.
    Plain,
    /// Records of a transaction.
    Transactional,
    /// The marker that ends a transaction.
    Marker(Marker),
    /// A control record of another kind, or a marker that compaction has taken out: changes nothing.
    OtherControl,
}

/// The marker that ends a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Marker {
    /// How the transaction ends.
    pub outcome: Outcome,
    /// The reign of the coordinator that wrote it; `None` where the field is negative.
    pub coordinator_epoch: Option<LeaderEpoch>,
    /// The timestamp of the control record.
    pub timestamp: Timestamp,
    /// By which rules its producer epoch is judged. The stored marker does not tell; the request to write it does.
    pub rules: MarkerRules,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// Its records count.
    Commit,
    /// Its records do not count.
    Abort,
}

/// Which epochs a marker may have.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum MarkerRules {
    /// Transaction versions 0 and 1: the producer's epoch, or a later one.
    #[default]
    SameEpoch,
    /// Transaction version 2 (KIP-890, KIP-1228): a later epoch; the same one only if no transaction is open, which is
    /// a marker that comes again.
    NextEpoch,
}

impl ProducerBatch {
    /// The facts of `batch`, which has its offsets; `marker` is what its control record says, if it is one.
    pub fn new(batch: &Batch, marker: Option<Marker>) -> Self {
        let content = match (batch.is_control(), marker) {
            (true, Some(marker)) => Content::Marker(marker),
            (true, None) => Content::OtherControl,
            (false, _) if batch.is_transactional() => Content::Transactional,
            (false, _) => Content::Plain,
        };
        Self {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            max_timestamp: batch.max_timestamp(),
            producer: batch.producer(),
            content,
        }
    }

    /// How many offsets lie between the first and the last.
    pub(super) fn offset_delta(&self) -> u32 {
        self.last_offset.relative_to(self.base_offset).unwrap_or(0)
    }
}

/// A batch that a producer's state remembers, to know it when it comes again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BatchMeta {
    /// The sequence of its last record, `None` for what a coordinator writes.
    pub last_sequence: Option<Sequence>,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// How many offsets lie between its first and its last record.
    pub offset_delta: u32,
    /// Its largest timestamp.
    pub timestamp: Timestamp,
}

impl BatchMeta {
    /// The offset of its first record.
    pub fn base_offset(&self) -> Offset {
        self.last_offset.retreat(u64::from(self.offset_delta))
    }

    /// The sequence of its first record.
    pub fn base_sequence(&self) -> Option<Sequence> {
        self.last_sequence.map(|last| last.retreat(self.offset_delta))
    }
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CompletedTxn {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// The offset of its first record.
    pub first_offset: Offset,
    /// The offset of its marker.
    pub last_offset: Offset,
    /// How it ended.
    pub outcome: Outcome,
    /// The first offset of the oldest transaction still open behind the marker, else the offset behind the marker.
    pub last_stable_offset: Offset,
}

impl CompletedTxn {
    /// What the transaction index has to say of it: nothing if it was committed.
    pub fn aborted(&self) -> Option<AbortedTxn> {
        let Self { producer_id, first_offset, last_offset, outcome, last_stable_offset } = *self;
        match outcome {
            Outcome::Commit => None,
            Outcome::Abort => Some(AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset }),
        }
    }
}

/// Why a batch of a producer was refused. The state is as it was before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerError {
    /// A later reign of the producer has written here: this one is fenced. Kafka: INVALID_PRODUCER_EPOCH.
    #[error("producer {producer_id}: epoch {} is fenced by {}", number(*found), number(*stored))]
    ProducerFenced {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// The epoch that the log knows.
        stored: Option<ProducerEpoch>,
        /// The epoch of the batch.
        found: Option<ProducerEpoch>,
    },
    /// The sequence does not follow: a batch before it was lost, or this one came long ago.
    /// Kafka: OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error("producer {producer_id}, epoch {}: sequence {found}, expected {expected}", number(*epoch))]
    OutOfOrderSequence {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: Option<ProducerEpoch>,
        /// What the first sequence of the batch must be.
        expected: Sequence,
        /// What it is.
        found: Sequence,
    },
    /// Nothing is known of this producer, so it cannot be told whether what came before is here. Only under
    /// [`UnknownProducer::Refuse`](super::UnknownProducer::Refuse). Kafka: UNKNOWN_PRODUCER_ID.
    #[error("producer {producer_id} is not known here and does not begin with sequence 0, but {found}")]
    UnknownProducer {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// Its first sequence.
        found: Sequence,
    },
    /// A client's batch has a producer id but no sequence. Kafka: INVALID_RECORD.
    #[error("producer {producer_id}: a batch without a sequence")]
    MissingSequence {
        /// Whose batch it is.
        producer_id: ProducerId,
    },
    /// The producer has a transaction open, and this batch is not of it. Kafka: INVALID_TXN_STATE.
    #[error("producer {producer_id} has a transaction open since offset {first_offset}, this batch is not part of it")]
    OutsideTransaction {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// Where the open transaction begins.
        first_offset: Offset,
    },
    /// A later reign of the transaction coordinator has written here. Kafka: TRANSACTION_COORDINATOR_FENCED.
    #[error("producer {producer_id}: coordinator epoch {} is fenced by {}", reign(*found), reign(*stored))]
    CoordinatorFenced {
        /// Whose transaction it is.
        producer_id: ProducerId,
        /// The coordinator epoch that the log knows.
        stored: Option<LeaderEpoch>,
        /// The one of the marker.
        found: Option<LeaderEpoch>,
    },
}

/// The epoch as Kafka's files hold it.
fn number(epoch: Option<ProducerEpoch>) -> i16 {
    epoch.map_or(-1, ProducerEpoch::get)
}

/// The epoch as Kafka's files hold it.
fn reign(epoch: Option<LeaderEpoch>) -> i32 {
    epoch.map_or(-1, LeaderEpoch::as_i32)
}
