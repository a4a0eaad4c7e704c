//! Why a log could not be opened.
//!
//! - Always true: nothing was lost by trying; what cannot be made again is refused, and not replaced.

use crate::disk::DiskError;
use crate::id::{TopicId, TopicPartition};
use crate::log::ConfigError;
use crate::offset::Offset;

/// Why a log could not be opened. Nothing was lost by trying.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk failed.
    #[error("{partition}: {error}")]
    Disk {
        /// Which log.
        partition: TopicPartition,
        /// How.
        error: DiskError,
    },
    /// The disk failed at the root of the log directory.
    #[error("log directory: {0}")]
    Dir(DiskError),
    /// The partition's files belong to another topic of the same name.
    #[error("{partition}: its files belong to topic {found}, not {wanted}")]
    TopicIdMismatch {
        /// Which log.
        partition: TopicPartition,
        /// The id in its `partition.metadata`.
        found: TopicId,
        /// The id asked for.
        wanted: TopicId,
    },
    /// Someone has the log directory open.
    #[error("the log directory is already open, in this process or another")]
    AlreadyOpen,
    /// A segment that had been flushed is gone.
    #[error("{partition}: segment {segment} had been flushed up to offset {flushed} and is missing")]
    SegmentMissing {
        /// Which log.
        partition: TopicPartition,
        /// The base of the segment.
        segment: Offset,
        /// Up to where the log had been flushed.
        flushed: Offset,
    },
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the log directory says something that cannot be understood, and that cannot be made again.
    #[error("{file}: {why}")]
    Unreadable {
        /// Its name.
        file: String,
        /// What is wrong.
        why: String,
    },
}

/// As [`OpenError`], before anyone has said which log.
pub(crate) enum Failure {
    /// The disk failed.
    Disk(DiskError),
    /// A segment that had been flushed is gone.
    Missing { segment: Offset, flushed: Offset },
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}
