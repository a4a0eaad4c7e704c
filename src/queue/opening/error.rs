//! Why a directory was not opened.

use crate::controller::{BeginError, ChooseError, ReplayError, SnapshotError};
use crate::disk::dirs::DirsError;
use crate::disk::{DiskError, OpenError};
use crate::id::BrokerId;
use crate::message::RequestError;
use crate::queue::opening::MissingMetadata;

/// Why a queue was not opened. Nothing was lost by trying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueOpenError {
    /// There is no directory to open.
    #[error("no directory was given")]
    NoDirectory,
    /// The path cannot be made or opened.
    #[error("{path}: {why}")]
    Path {
        /// Which one.
        path: String,
        /// What the operating system says.
        why: String,
    },
    /// The log directory, or the log of the metadata, cannot be opened: somebody else has it, or the disk fails.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// `meta.properties` cannot be understood, or is of a format that is not known here.
    #[error("meta.properties of directory {dir}: {why}")]
    Properties {
        /// The number of the directory.
        dir: usize,
        /// What is wrong.
        why: String,
    },
    /// The directories belong to different clusters.
    #[error("directory {dir} belongs to cluster {found}, the ones in front of it to {expected}")]
    OtherCluster {
        /// The number of the directory.
        dir: usize,
        /// Whose it is.
        found: String,
        /// Whose the others are.
        expected: String,
    },
    /// The directories belong to different nodes.
    #[error("directory {dir} belongs to node {}, the ones in front of it to {}", found.get(), expected.get())]
    OtherNode {
        /// The number of the directory.
        dir: usize,
        /// Whose it is.
        found: BrokerId,
        /// Whose the others are.
        expected: BrokerId,
    },
    /// Two directories hold the same partition, or one cannot be listed.
    #[error(transparent)]
    Dirs(#[from] DirsError),
    /// The metadata is damaged where it was known to be on disk: topics would be missing, and their records with them.
    ///
    /// Put back a copy of `__cluster_metadata-0`. If there is none, move that directory away: all partitions that are there
    /// are taken over then, with every record, but what their topics were configured to be is lost, and a topic that was
    /// being deleted may come back.
    #[error(
        "the metadata is damaged: {0}; put back a copy of __cluster_metadata-0, or move that directory away to have the \
         partitions taken over without their settings"
    )]
    MetadataDamaged(String),
    /// No directory has the metadata, and there may be one that does: it is not mounted, or was not given. Without it all
    /// partitions would be taken over, with topics missing, and settings, and what is deleted. Nothing was changed.
    ///
    /// Give all directories. If the metadata is gone for good, or there never was any, say so:
    /// [`QueueBuilder::take_over`](crate::queue::QueueBuilder::take_over).
    #[error(
        "no directory has the metadata, and it may be missing: {0}; give all directories, or have the partitions taken over"
    )]
    MetadataMissing(MissingMetadata),
    /// A record of the metadata cannot be replayed.
    #[error("the log of the metadata: {0}")]
    Replay(#[from] ReplayError),
    /// A snapshot of the metadata cannot be read.
    #[error("{file}: {error}")]
    Snapshot {
        /// Its name.
        file: String,
        /// What is wrong.
        error: SnapshotError,
    },
    /// The snapshots and the log of the metadata do not fit together.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// What the metadata needs first could not be written.
    #[error("the metadata cannot be begun: {0}")]
    NotStarted(RequestError),
    /// No thread can be started.
    #[error("no thread can be started: {0}")]
    Threads(#[from] std::io::Error),
    /// The node has stopped while it was being opened.
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

impl From<BeginError<Self>> for QueueOpenError {
    fn from(error: BeginError<Self>) -> Self {
        match error {
            BeginError::Choose(error) => error.into(),
            BeginError::Snapshot { id, error } => Self::Snapshot { file: id.to_string(), error },
            BeginError::Read(error) => error,
        }
    }
}
