//! What a node begins with: the newest snapshot that can be read and that the log reaches back to, or the whole log.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::controller::Replayer;
use crate::controller::snapshot::{ChooseError, Ending, LogEnds, Reading, Snapshot, SnapshotError, SnapshotId, choose};

/// What to replay the log into, and what was passed over.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Where it was read from, hence what is done to the log.
    pub reading: Reading,
    /// At the end of the snapshot, or at the beginning of the log.
    pub replayer: Replayer,
    /// How the snapshot ends.
    pub ending: Ending,
    /// Later snapshots, which cannot be read or, where there is something better, lack their end.
    pub broken: Vec<(SnapshotId, SnapshotError)>,
}

/// Why there is nothing to begin with.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BeginError<E> {
    /// Snapshots and log do not fit together.
    #[error(transparent)]
    Choose(ChooseError),
    /// The newest snapshot is broken, and it alone is a copy of what the log does not have any more.
    #[error("snapshot {id}: {error}")]
    Snapshot {
        /// Which.
        id: SnapshotId,
        /// What is wrong with it.
        error: SnapshotError,
    },
    /// The file of one could not be read.
    #[error(transparent)]
    Read(E),
}

impl Begun {
    /// Chooses among the snapshots that are there, and reads them with `read`, as many as it takes.
    ///
    /// A snapshot without a footer is broken too, but better than none: Kafka takes it.
    ///
    /// # Errors
    ///
    /// [`BeginError`].
    pub fn with<E>(
        snapshots: impl IntoIterator<Item = SnapshotId>,
        log: LogEnds,
        mut read: impl FnMut(SnapshotId) -> Result<Bytes, E>,
    ) -> Result<Self, BeginError<E>> {
        let mut snapshots: BTreeSet<SnapshotId> = snapshots.into_iter().collect();
        let (mut broken, mut cut_short) = (Vec::new(), None);
        loop {
            let (reading, id) = match choose(snapshots.iter().copied(), log) {
                Ok(reading @ Reading::WholeLog) => {
                    return Ok(Self { reading, replayer: Replayer::new(), ending: Ending::Footer, broken });
                }
                Ok(reading @ Reading::Behind(id)) => (reading, id),
                Ok(reading @ Reading::Instead(id)) if broken.is_empty() => (reading, id),
                Err(error) if broken.is_empty() => return Err(BeginError::Choose(error)),
                // The log lacks what the broken ones had.
                Ok(Reading::Instead(_)) | Err(_) => break,
            };
            let bytes = read(id).map_err(BeginError::Read)?;
            let error = match Self::from_bytes(&bytes, id) {
                Ok((replayer, ending @ Ending::Footer)) => return Ok(Self { reading, replayer, ending, broken }),
                Ok((replayer, ending @ Ending::Missing)) => {
                    cut_short.get_or_insert_with(|| Self { reading, replayer, ending, broken: broken.clone() });
                    SnapshotError::NoFooter
                }
                Err(error) => error,
            };
            broken.push((id, error));
            snapshots.remove(&id);
            if matches!(reading, Reading::Instead(_)) {
                break;
            }
        }
        cut_short.ok_or_else(|| broken.swap_remove(0).into())
    }

    fn from_bytes(bytes: &Bytes, id: SnapshotId) -> Result<(Replayer, Ending), SnapshotError> {
        let snapshot = Snapshot::parse(bytes)?;
        Ok((Replayer::from_snapshot(snapshot.image()?, id.end), snapshot.ending))
    }
}

impl<E> From<(SnapshotId, SnapshotError)> for BeginError<E> {
    fn from((id, error): (SnapshotId, SnapshotError)) -> Self {
        Self::Snapshot { id, error }
    }
}
