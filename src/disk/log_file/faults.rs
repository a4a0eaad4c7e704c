//! Why a call of a [`LogFile`](crate::disk::LogFile) failed, where the disk's error alone does not say it.

use crate::disk::{DiskError, DiskErrorKind};
use crate::log::{AppendError, Appended, TrimError};
use crate::record::CheckError;

/// Why an append failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendFault {
    /// The batch breaks a rule of the topic. Nothing was appended.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The log refused it. Nothing was appended.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// There is no space. Nothing was appended; appends go on by themselves once there is space again.
    #[error("no space for {bytes} bytes: {error}")]
    Full {
        /// How many bytes the append takes.
        bytes: u32,
        /// What the disk said.
        error: DiskError,
    },
    /// The disk had space for the append and then had none. It is accepted and waits: it is written with the next call
    /// that finds space, and nobody reads it before.
    #[error("offsets {} to {} wait for space: {error}", appended.base_offset, appended.last_offset)]
    Waiting {
        /// What it will be.
        appended: Box<Appended>,
        /// What the disk said.
        error: DiskError,
    },
    /// The disk failed. Whether the append survives is not known; the log takes no more until it is opened again.
    #[error(transparent)]
    Disk(DiskError),
}

/// Why the log start was not moved.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrimFault {
    /// The log refused it.
    #[error(transparent)]
    Trim(#[from] TrimError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

pub(super) fn full_or_failed(error: DiskError, bytes: u32) -> AppendFault {
    let is_full = error.kind == DiskErrorKind::NoSpace;
    if is_full { AppendFault::Full { bytes, error } } else { AppendFault::Disk(error) }
}
