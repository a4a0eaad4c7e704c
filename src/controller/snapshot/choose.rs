//! Which snapshot counts, and which part of the log behind it (metadata.md, section 7).

use crate::controller::snapshot::SnapshotId;
use crate::epoch::LeaderEpoch;
use crate::offset::Offset;

/// What there is of a metadata log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogEnds {
    /// The first offset that is there.
    pub log_start_offset: Offset,
    /// The offset behind the last one.
    pub log_end_offset: Offset,
    /// The reign of the last one; `None` if there is none.
    pub last_epoch: Option<LeaderEpoch>,
}

/// How to read snapshot and log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// There is no snapshot: the whole log.
    WholeLog,
    /// The snapshot, then the batches of the log from its end on.
    Behind(SnapshotId),
    /// The snapshot alone. The log ends before it and must be truncated fully and go on at its end.
    Instead(SnapshotId),
}

/// Why snapshot and log do not fit together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChooseError {
    /// The front of the log is gone, and no snapshot stands for it. Kafka says `Inconsistent snapshot state`. If there
    /// is a backup of a later snapshot, putting it there helps; else what the log says is not all there was.
    #[error("metadata begins at offset {log_start_offset}, and no snapshot reaches up to there")]
    FrontMissing {
        /// Where the log begins.
        log_start_offset: Offset,
    },
    /// The log ends before the snapshot, in a later reign than the snapshot's: one of them is from another directory.
    #[error("the snapshot {} ends behind the log, which ends at {log_end_offset} in a later reign", snapshot)]
    Diverged {
        /// The newest snapshot.
        snapshot: SnapshotId,
        /// Where the log ends.
        log_end_offset: Offset,
    },
}

/// Chooses among the snapshots that are there: the newest counts.
///
/// # Errors
///
/// [`ChooseError`].
pub fn choose(snapshots: impl IntoIterator<Item = SnapshotId>, log: LogEnds) -> Result<Reading, ChooseError> {
    let newest = snapshots.into_iter().filter(|id| id.is_state()).max();
    let Some(id) = newest else {
        let log_start_offset = log.log_start_offset;
        let begins = log_start_offset == Offset::ZERO;
        return if begins { Ok(Reading::WholeLog) } else { Err(ChooseError::FrontMissing { log_start_offset }) };
    };
    let begins_there = log.last_epoch.is_none() && log.log_end_offset == id.end;
    let last_epoch = log.last_epoch.unwrap_or_default();
    let is_ahead = id.epoch > last_epoch || (id.epoch == last_epoch && id.end > log.log_end_offset);
    if is_ahead && !begins_there {
        return Ok(Reading::Instead(id));
    }
    if id.end > log.log_end_offset {
        return Err(ChooseError::Diverged { snapshot: id, log_end_offset: log.log_end_offset });
    }
    if log.log_start_offset > id.end {
        return Err(ChooseError::FrontMissing { log_start_offset: log.log_start_offset });
    }
    Ok(Reading::Behind(id))
}
