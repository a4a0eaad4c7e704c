//! A refusal: a code, and the facts that go with it.

use std::fmt;

use crate::epoch::LeaderEpoch;
use crate::id::{BrokerId, TopicPartition};
use crate::message::code::ErrorCode;
use crate::message::space::BoundReached;
use crate::offset::Offset;
use crate::record::{CheckError, Refused};

/// Why a request, or its part for one topic or partition, was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestError {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What the one who asked can go on with.
    pub detail: Detail,
    /// What exactly was wrong, for people.
    pub message: Option<String>,
}

/// Facts that belong to a code.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Detail {
    /// None but the code.
    #[default]
    None,
    /// `OFFSET_OUT_OF_RANGE`: the ends that the log has. Go on from the nearer one.
    Range {
        /// The first readable offset.
        log_start_offset: Offset,
        /// The end of what the reader may see.
        end: Offset,
    },
    /// A compare and append: the log ends here, and not where it was expected to.
    LogEnd(Offset),
    /// `INVALID_RECORD`, `INVALID_TIMESTAMP`: which records of the batch. The whole batch was refused.
    Records(Vec<RecordFault>),
    /// `NOT_LEADER_OR_FOLLOWER`, `FENCED_LEADER_EPOCH`: who leads, as far as is known here.
    Leader {
        /// The leader.
        leader: BrokerId,
        /// Its reign.
        leader_epoch: LeaderEpoch,
    },
    /// `KAFKA_STORAGE_ERROR`: a write or a flush has failed, and this node takes no more for the partition until it opens it
    /// again. To ask it again does not help.
    Poisoned,
    /// `KAFKA_STORAGE_ERROR`: the disk is full, and nothing was appended; `REQUEST_TIMED_OUT`: what was appended waits for
    /// space. To ask again helps once there is some.
    DiskFull(Box<FullDisk>),
    /// `KAFKA_STORAGE_ERROR`, of a request for partitions: they are made, but this one could not be opened. Whoever asks for it
    /// is told so until it is.
    NotOpened(Box<TopicPartition>),
    /// `THROTTLING_QUOTA_EXCEEDED`, `POLICY_VIOLATION`: a bound on space would be exceeded. Nothing was appended.
    SpaceBound(Box<BoundReached>),
}

/// Which disk has no space.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FullDisk {
    /// Whose files lack it.
    pub partition: TopicPartition,
    /// The log directory of that partition, as far as whoever answers knows directories.
    pub directory: Option<String>,
}

impl fmt::Display for FullDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.directory {
            Some(directory) => write!(f, "the disk of {} in {directory} is full", self.partition),
            None => write!(f, "the disk of {} is full", self.partition),
        }
    }
}

/// What is wrong with one record of a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordFault {
    /// Which record of the batch, counted from 0.
    pub index: u32,
    /// What is wrong with it.
    pub message: String,
}

impl RequestError {
    /// The code alone.
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, detail: Detail::None, message: None }
    }

    /// The code, and what exactly was wrong.
    pub fn because(code: ErrorCode, why: impl fmt::Display) -> Self {
        Self { message: Some(why.to_string()), ..Self::new(code) }
    }

    /// The same with facts to go on with.
    #[must_use]
    pub fn with(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// Whether the same request may succeed if it is sent again.
    pub const fn is_retriable(&self) -> bool {
        !matches!(self.detail, Detail::Poisoned) && self.code.is_retriable()
    }

    /// Whether there was no space: on the disk, or at a bound.
    pub const fn is_for_space(&self) -> bool {
        matches!(self.detail, Detail::DiskFull(_) | Detail::SpaceBound(_))
    }
}

/// A batch that breaks a rule of its topic (semantics 1.1).
impl From<&CheckError> for RequestError {
    fn from(error: &CheckError) -> Self {
        let (code, refused) = match error {
            CheckError::InvalidTimestamp { refused, .. } => (ErrorCode::InvalidTimestamp, &refused[..]),
            CheckError::InvalidRecords { refused, .. } => (ErrorCode::InvalidRecord, &refused[..]),
            CheckError::MessageTooLarge { .. } => (ErrorCode::MessageTooLarge, &[][..]),
            CheckError::Records(_) | CheckError::Rebuild(_) => (ErrorCode::CorruptMessage, &[][..]),
            CheckError::OnlyOneBatch { .. }
            | CheckError::BaseOffset { .. }
            | CheckError::NoRecords
            | CheckError::CountMismatch { .. }
            | CheckError::ControlFromClient
            | CheckError::DeleteHorizonFromClient
            | CheckError::UnknownAttributes { .. }
            | CheckError::NoSequence
            | CheckError::SequenceWithoutProducer
            | CheckError::TransactionalWithoutProducer => (ErrorCode::InvalidRecord, &[][..]),
        };
        if refused.is_empty() {
            return Self::because(code, error);
        }
        let fault = |one: &Refused| RecordFault { index: one.index, message: one.reason.to_string() };
        Self::because(code, error).with(Detail::Records(refused.iter().map(fault).collect()))
    }
}

impl From<ErrorCode> for RequestError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code),
            None => write!(f, "{}: {}", self.code, self.code.meaning()),
        }
    }
}

impl std::error::Error for RequestError {}
