//! The metadata of a log directory as a reader sees it: the newest snapshot and the log behind it, without a lock.
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
    ChooseError, Image, LogEnds, METADATA_TOPIC, Reading, ReplayError, Replayer, Snapshot, SnapshotError, SnapshotId,
    choose,
};
use crate::id::TopicPartition;
use crate::offset::Offset;

/// What a log directory knows of its topics.
#[derive(Debug)]
pub(crate) enum Metadata {
    /// All there is to know.
    Image(Box<Image>),
    /// Nothing: it has none, or none that has begun.
    Missing,
    /// It has some, and it cannot be understood.
    Unreadable(MetadataFault),
}

/// Why metadata cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataFault {
    /// The newest snapshot.
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
        let (replayer, from) = match begin(&view)? {
            Ok(begun) => begun,
            Err(fault) => return Ok(Self::Unreadable(fault)),
        };
        let replayed = replay(&view, replayer, from)?.and_then(|replayer| Ok(replayer.finish()?.image));
        Ok(match replayed {
            Ok(image) if image.is_empty() => Self::Missing,
            Ok(image) => Self::Image(Box::new(image)),
            Err(fault) => Self::Unreadable(fault),
        })
    }
}

/// What to begin with, and from which offset on to replay.
fn begin(view: &LogView) -> Result<Result<(Replayer, Offset), MetadataFault>, CliError> {
    let survey = Survey::of(view)?;
    let ends = LogEnds {
        log_start_offset: survey.log_start_offset,
        log_end_offset: survey.log_end_offset,
        last_epoch: survey.last_epoch,
    };
    let snapshots = names(view.dir())?.into_iter().filter_map(|name| SnapshotId::parse(&name));
    let id = match choose(snapshots, ends) {
        Ok(Reading::WholeLog) => return Ok(Ok((Replayer::new(), Offset::ZERO))),
        Ok(Reading::Behind(id) | Reading::Instead(id)) => id,
        Err(error) => return Ok(Err(error.into())),
    };
    let path = view.dir().join(id.to_string());
    let image = Snapshot::parse(&small(&path)?).and_then(|snapshot| snapshot.image());
    let begun = image.map(|image| (Replayer::from_snapshot(image, id.end), id.end));
    Ok(begun.map_err(|error| MetadataFault::Snapshot { path, error }))
}

/// Replays the log from `from` on.
fn replay(view: &LogView, mut replayer: Replayer, from: Offset) -> Result<Result<Replayer, MetadataFault>, CliError> {
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
