//! Why a partition that the metadata places here is not open.

use crate::disk::{DiskErrorKind, OpenError};
use crate::id::TopicPartition;
use crate::message::{Detail, ErrorCode, FullDisk, RequestError};
use crate::offset::Offset;

/// Why a partition could not be opened or led. Its files were left alone.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotOpened {
    /// There is no space for what has to be written first: in its own directory, or for the metadata that says who leads it.
    /// Make some: it is tried again whenever retention is looked after
    /// ([`QueueBuilder::upkeep_interval`](crate::queue::QueueBuilder::upkeep_interval)), and served from then on. Until then
    /// whoever asks for it is told that the disk is full.
    #[error("{0}")]
    DiskFull(FullDisk),
    /// Its directory is none of those that were given.
    #[error("its log directory is not among those given")]
    DirectoryNotGiven,
    /// Its directory is gone, and it had records.
    #[error("its directory is missing, and had records up to offset {end}: put it back, or delete the topic")]
    DirectoryMissing {
        /// Up to where.
        end: Offset,
    },
    /// Its log cannot be opened.
    #[error("{0}")]
    Log(String),
    /// The metadata does not say that it is led here.
    #[error("{0}")]
    NotLed(RequestError),
}

impl NotOpened {
    pub(crate) fn log(error: &OpenError, partition: &TopicPartition, directory: &str) -> Self {
        let is_full = match error {
            OpenError::Disk { error, .. } | OpenError::Dir(error) => error.kind == DiskErrorKind::NoSpace,
            OpenError::TopicIdMismatch { .. }
            | OpenError::AlreadyOpen
            | OpenError::SegmentMissing { .. }
            | OpenError::Config(_)
            | OpenError::Unreadable { .. } => false,
        };
        if is_full {
            let directory = Some(directory.to_owned());
            return Self::DiskFull(FullDisk { partition: partition.clone(), directory });
        }
        Self::Log(error.to_string())
    }

    pub(crate) fn not_led(error: RequestError) -> Self {
        if let Detail::DiskFull(disk) = error.detail { Self::DiskFull(*disk) } else { Self::NotLed(error) }
    }

    /// What whoever asks for the partition is told.
    pub(crate) fn to_request_error(&self) -> RequestError {
        let error = RequestError::because(ErrorCode::KafkaStorageError, format_args!("it could not be opened: {self}"));
        match self {
            Self::DiskFull(disk) => error.with(Detail::DiskFull(Box::new(disk.clone()))),
            Self::DirectoryNotGiven | Self::DirectoryMissing { .. } | Self::Log(_) | Self::NotLed(_) => error,
        }
    }
}
