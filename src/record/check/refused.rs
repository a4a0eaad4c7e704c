//! Why a topic does not take a batch, for the one who sent it.

use crate::offset::Offset;
use crate::record::build::BuildError;
use crate::record::records::RecordError;
use crate::time::Timestamp;

/// Why a topic refuses a batch. Nothing of it has been stored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A leader takes one batch at a time.
    #[error("{found} batches were given, exactly one is taken")]
    OnlyOneBatch {
        /// How many.
        found: usize,
    },
    /// A client's batch must begin at offset 0: the leader gives offsets.
    #[error("a client's batch begins at offset {found} instead of 0")]
    BaseOffset {
        /// Where it begins.
        found: Offset,
    },
    /// The batch is larger than the topic takes, as sent or as it would be stored.
    #[error("batch of {size} bytes is larger than {limit}")]
    MessageTooLarge {
        /// How large.
        size: u32,
        /// The limit.
        limit: u32,
    },
    /// A client's batch has no records.
    #[error("the batch has no records")]
    NoRecords,
    /// A client's batch has a gap in its offsets.
    #[error("batch of {offsets} offsets has {count} records")]
    CountMismatch {
        /// How many records it says it has.
        count: u32,
        /// How many offsets it takes.
        offsets: u64,
    },
    /// Clients do not write control batches.
    #[error("a client's batch is a control batch")]
    ControlFromClient,
    /// Only compaction sets a delete horizon.
    #[error("a client's batch has a delete horizon")]
    DeleteHorizonFromClient,
    /// Bits are set that mean nothing.
    #[error("attributes {bits:#06x} have unknown bits")]
    UnknownAttributes {
        /// All of them.
        bits: u16,
    },
    /// A producer id without a sequence.
    #[error("the batch names a producer but no sequence")]
    NoSequence,
    /// A sequence without a producer id.
    #[error("the batch has a sequence but names no producer")]
    SequenceWithoutProducer,
    /// A transactional batch without a producer id.
    #[error("the batch is transactional but names no producer")]
    TransactionalWithoutProducer,
    /// Records are dated as the topic does not take them; perhaps others are refused for something else.
    #[error("{count} records are refused, at least one for its timestamp; the first is {}", Refused::first(refused))]
    InvalidTimestamp {
        /// The first of them, at most [`CheckError::REFUSED_MAX`].
        refused: Vec<Refused>,
        /// How many there are.
        count: u32,
    },
    /// Records are not what the topic takes.
    #[error("{count} records are refused; the first is {}", Refused::first(refused))]
    InvalidRecords {
        /// The first of them, at most [`CheckError::REFUSED_MAX`].
        refused: Vec<Refused>,
        /// How many there are.
        count: u32,
    },
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The records cannot be written as the topic stores them.
    #[error("the batch cannot be stored with the topic's codec: {0}")]
    Rebuild(#[from] BuildError),
}

impl CheckError {
    /// How many refused records an error lists. A batch may hold millions.
    pub const REFUSED_MAX: usize = 1000;
}

/// One record that is not what the topic takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("record {index}: {reason}")]
pub struct Refused {
    /// Which record, counted from 0.
    pub index: u32,
    /// Why.
    pub reason: Refusal,
}

impl Refused {
    fn first(refused: &[Self]) -> String {
        refused.first().map_or_else(String::new, Self::to_string)
    }
}

/// Why a record is not what the topic takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A record without a key in a compacted topic.
    #[error("it has no key, and the topic is compacted")]
    NullKey,
    /// Too far in the past.
    #[error("its timestamp {timestamp} is more than {limit_ms} ms before {now}")]
    TooOld {
        /// Its date.
        timestamp: Timestamp,
        /// The leader's.
        now: Timestamp,
        /// How far it may lie back.
        limit_ms: i64,
    },
    /// Too far in the future.
    #[error("its timestamp {timestamp} is more than {limit_ms} ms after {now}")]
    TooNew {
        /// Its date.
        timestamp: Timestamp,
        /// The leader's.
        now: Timestamp,
        /// How far it may lie ahead.
        limit_ms: i64,
    },
    /// The batch says that the leader dated it, before the leader has seen it.
    #[error("only a leader sets LogAppendTime")]
    AppendTimeFromClient,
}

impl Refusal {
    pub(super) const fn is_about_time(self) -> bool {
        match self {
            Self::NullKey => false,
            Self::TooOld { .. } | Self::TooNew { .. } | Self::AppendTimeFromClient => true,
        }
    }
}
