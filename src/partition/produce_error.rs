//! Why a produce failed, and what is known of its records then.

use crate::log::AppendError;
use crate::offset::Offset;
use crate::partition::{EpochError, StopReason};

/// How far records have come that nobody can vouch for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reached {
    /// In memory only, as far as is known.
    Appended,
    /// In the page cache of this node.
    Written,
    /// On the disk of this node.
    Flushed,
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Appended => "appended",
            Self::Written => "written",
            Self::Flushed => "flushed",
        })
    }
}

/// Records that were appended and not answered for: they stay, and may or may not survive.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("offsets {base_offset} to {last_offset} are {reached} and what becomes of them is not known")]
pub struct Unfinished {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// How far they have come for sure.
    pub reached: Reached,
}

/// Why a produce failed. Only where [`ProduceError::unfinished`] says so was anything appended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// This node does not lead the partition.
    #[error(transparent)]
    Stopped(#[from] StopReason),
    /// The asker believes in another reign.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// All in-sync replicas should have it, and there are too few of them.
    #[error("{in_sync} replicas are in sync, {needed} must be")]
    NotEnoughReplicas {
        /// How many there are.
        in_sync: u32,
        /// How many there must be.
        needed: u32,
    },
    /// The log does not end where the asker expects.
    #[error("the log ends at {log_end_offset}, not at {expected}")]
    UnexpectedOffset {
        /// What the asker expects.
        expected: Offset,
        /// Where the log ends.
        log_end_offset: Offset,
    },
    /// The log refused it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// There is no space.
    #[error("no space for {bytes} bytes")]
    Full {
        /// How many bytes the batch has.
        bytes: u32,
    },
    /// No space could be reserved, for another reason than that there is none.
    #[error("cannot reserve {bytes} bytes: {why}")]
    NotReserved {
        /// How many bytes the batch has.
        bytes: u32,
        /// What failed.
        why: String,
    },
    /// The deadline has passed before the disk was ready for it.
    #[error("the deadline has passed before it was appended")]
    NotAppendedInTime,
    /// The deadline has passed.
    #[error("the deadline has passed: {unfinished}")]
    TimedOut {
        /// What was appended.
        unfinished: Unfinished,
    },
    /// The deadline has passed, and the disk has no space for what was appended.
    #[error("no space, and the deadline has passed: {unfinished}")]
    FullMeanwhile {
        /// What was appended. It is written once there is space.
        unfinished: Unfinished,
    },
    /// The partition was stopped meanwhile.
    #[error("{reason}: {unfinished}")]
    StoppedMeanwhile {
        /// Why.
        reason: StopReason,
        /// What was appended.
        unfinished: Unfinished,
    },
    /// A write or a flush has failed meanwhile.
    #[error("the log is poisoned ({why}): {unfinished}")]
    Poisoned {
        /// What failed.
        why: String,
        /// What was appended.
        unfinished: Unfinished,
    },
    /// All in-sync replicas have it, and meanwhile there are too few of them.
    #[error("{in_sync} replicas are in sync, {needed} must be: {unfinished}")]
    NotEnoughReplicasMeanwhile {
        /// How many there are.
        in_sync: u32,
        /// How many there must be.
        needed: u32,
        /// What was appended.
        unfinished: Unfinished,
    },
}

impl ProduceError {
    /// What was appended even so; `None` if nothing was.
    pub fn unfinished(&self) -> Option<Unfinished> {
        match self {
            Self::TimedOut { unfinished }
            | Self::FullMeanwhile { unfinished }
            | Self::StoppedMeanwhile { unfinished, .. }
            | Self::Poisoned { unfinished, .. }
            | Self::NotEnoughReplicasMeanwhile { unfinished, .. } => Some(*unfinished),
            Self::Stopped(_)
            | Self::Epoch(_)
            | Self::NotEnoughReplicas { .. }
            | Self::UnexpectedOffset { .. }
            | Self::Append(_)
            | Self::Full { .. }
            | Self::NotReserved { .. }
            | Self::NotAppendedInTime => None,
        }
    }
}
