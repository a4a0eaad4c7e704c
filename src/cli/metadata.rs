//! The metadata of a log directory as a reader sees it: what an opening would begin with and the log behind that, without a
//! lock.
//!
//! - May use: `log_view`, `survey`, and the replaying of `controller`.
//! - Must not know: how anything is shown.
//! - Always true: an image is whole up to the end of the log as it was, or there is none, and why is said.

use std::path::{Path, PathBuf};

use crate::cli::finding::CliError;
use crate::cli::log_view::{LogView, Noted, Seen, Wants, small};
use crate::cli::survey::{Survey, names};
use crate::cli::walk::Damage;
use crate::controller::{
    BeginError, Begun, ChooseError, Image, LogEnds, METADATA_TOPIC, ReplayError, Replayer, SnapshotError, SnapshotId,
};
use crate::id::TopicPartition;

/// What a log directory knows of its topics.
#[derive(Debug)]
pub(crate) enum Metadata {
    /// All there is to know; and the snapshots that were passed over, because they are broken.
    Image { image: Box<Image>, broken: Vec<MetadataFault> },
    /// Nothing: it has none, or none that has begun.
    Missing,
    /// It has some, and it cannot be understood.
    Unreadable(MetadataFault),
}

/// Why metadata cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataFault {
    /// A snapshot.
    #[error("{}: {error}", path.display())]
    Snapshot { path: PathBuf, error: SnapshotError },
    /// Snapshots and log do not fit together.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// A batch of the log.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Bytes of the log, so that what comes behind them cannot be replayed.
    #[error("{}: bytes {position} to {}: {damage}", path.display(), position + size)]
    Damaged { path: PathBuf, position: u64, size: u64, damage: Damage },
}

impl Metadata {
    /// Reads the metadata of the log directory `root`.
    pub(crate) fn read(root: &Path, partitions: &[TopicPartition], noted: &Noted) -> Result<Self, CliError> {
        let is_metadata = |one: &&TopicPartition| one.topic().as_str() == METADATA_TOPIC && one.partition() == 0;
        let Some(partition) = partitions.iter().find(is_metadata) else { return Ok(Self::Missing) };
        let view = LogView::open_noted(root, partition, noted)?;
        let Begun { replayer, broken, .. } = match begin(&view)? {
            Ok(begun) => begun,
            Err(fault) => return Ok(Self::Unreadable(fault)),
        };
        let replayed = replay(&view, replayer)?.and_then(|replayer| Ok(replayer.finish()?.image));
        let broken = broken.into_iter().map(|(id, error)| MetadataFault::Snapshot { path: path(&view, id), error });
        Ok(match replayed {
            Ok(image) if image.is_empty() => Self::Missing,
            Ok(image) => Self::Image { image: Box::new(image), broken: broken.collect() },
            Err(fault) => Self::Unreadable(fault),
        })
    }
}

fn path(view: &LogView, id: SnapshotId) -> PathBuf {
    view.dir().join(id.to_string())
}

/// What to begin with.
fn begin(view: &LogView) -> Result<Result<Begun, MetadataFault>, CliError> {
    let survey = Survey::of(view)?;
    let ends = LogEnds {
        log_start_offset: survey.log_start_offset,
        log_end_offset: survey.log_end_offset,
        last_epoch: survey.last_epoch,
    };
    let snapshots = names(view.dir())?.into_iter().filter_map(|name| SnapshotId::parse(&name));
    match Begun::with(snapshots, ends, |id| small(&path(view, id))) {
        Ok(begun) => Ok(Ok(begun)),
        Err(BeginError::Choose(error)) => Ok(Err(error.into())),
        Err(BeginError::Snapshot { id, error }) => Ok(Err(MetadataFault::Snapshot { path: path(view, id), error })),
        Err(BeginError::Read(error)) => Err(error),
    }
}

/// Replays the log from there on.
fn replay(view: &LogView, mut replayer: Replayer) -> Result<Result<Replayer, MetadataFault>, CliError> {
    let from = replayer.end();
    let mut fault = None;
    let visit = |seen| {
        match seen {
            Seen::Batch { entry, .. } => match (replayer.push(&entry), &fault) {
                // Nothing is missing between this batch and the one before it: the damage was of no account.
                (Ok(()), _) => fault = None,
                (Err(_), Some(_)) => return Ok(Wants::Enough),
                (Err(error), None) => {
                    fault = Some(error.into());
                    return Ok(Wants::Enough);
                }
            },
            Seen::Damaged { is_torn_tail: true, .. } => {}
            Seen::Damaged { path, position, size, damage, .. } => {
                fault = Some(MetadataFault::Damaged { path, position, size, damage });
            }
        }
        Ok(Wants::More)
    };
    view.visit(from, visit, |_, _| {})?;
    Ok(fault.map_or(Ok(replayer), Err))
}
