//! Reading the metadata: the newest snapshot, and the log behind it. Where that snapshot is broken, the one before it, if the log
//! reaches back to there.
//!
//! - Always true: what is damaged below what was known to be on disk is no metadata: with topics missing, their records
//!   would be too.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::controller::records::MetadataRecord;
use crate::controller::{Begun, Ending, LogEnds, METADATA_TOPIC, Reading, Replayer, SnapshotError, SnapshotId};
use crate::disk::small::read_if_there;
use crate::disk::{
    Disk, DiskErrorKind, DiskPath, LogDir, LogFile, OpenError, OpenOptions, OpenedLog, ReadFault, RecoveryReport,
    Shutdown,
};
use crate::epoch::LeaderEpoch;
use crate::id::{TopicId, TopicPartition};
use crate::log::{Isolation, LogConfig, ReadPlan};
use crate::offset::Offset;
use crate::queue::opening::QueueOpenError;
use crate::record::{DecompressLimit, Entry};
use crate::time::Timestamp;

/// How many bytes of the log are read at a time.
const READ_BYTES: u32 = 1 << 20;

/// The metadata as it was found.
#[derive(Debug)]
pub(super) struct Metadata<D: Disk> {
    pub(super) opened: OpenedLog<D>,
    pub(super) replayer: Replayer,
    /// The latest reign that log and snapshots know of. What is appended in an earlier one would not count beside the snapshot.
    pub(super) last_epoch: Option<LeaderEpoch>,
    /// Whether there never was a topic: then what partitions there are may be taken over.
    pub(super) is_blank: bool,
    /// The topics that were deleted, as far back as the log tells.
    pub(super) removed: BTreeSet<TopicId>,
    /// The snapshot that it was read from, if it was.
    pub(super) snapshot: Option<SnapshotId>,
    /// Whether that may have lost its end.
    pub(super) is_cut_short: bool,
    /// Later ones, which could not be read and were moved aside.
    pub(super) broken: Vec<(SnapshotId, SnapshotError)>,
}

/// The partition of the metadata.
///
/// # Panics
///
/// Never: its name is a name.
pub(crate) fn metadata_partition() -> TopicPartition {
    TopicPartition::parse(&format!("{METADATA_TOPIC}-0")).expect("it is the name of a partition")
}

/// Opens and reads the metadata that is in this directory, or makes an empty log of it.
pub(super) fn open<D: Disk>(mut dir: LogDir<D>, now: Timestamp) -> Result<(LogDir<D>, Metadata<D>), QueueOpenError> {
    let partition = metadata_partition();
    let options = OpenOptions { config: config(), ..OpenOptions::default() };
    let snapshots = snapshots(&dir)?;
    let mut opened = open_log(&mut dir, &options, now)?;
    refuse_damage(&opened.report)?;
    let read = |id| snapshot_bytes(&dir, id);
    let Begun { reading, mut replayer, broken, ending } = Begun::with(snapshots, ends(&opened), read)?;
    if let Reading::Instead(id) = reading {
        // The log ends in front of the snapshot, which stands for all of it: it goes on behind that.
        drop(opened);
        let (mut log, _) = LogFile::open_in(dir, &partition, options.clone(), now)?;
        log.truncate_fully_and_start_at(id.end, now)
            .map_err(|error| QueueOpenError::MetadataDamaged(error.to_string()))?;
        dir = log.close()?;
        opened = dir.open_log(&partition, &options, now)?;
    }
    let mut removed = BTreeSet::new();
    let from = replayer.end();
    let batches = replay(&mut opened, &mut replayer, from, &mut removed)?;
    // What was begun to be deleted and given up is still there.
    let image = replayer.clone().finish()?.image;
    removed.retain(|id| image.topic_by_id(*id).is_none());
    let is_blank = reading == Reading::WholeLog && broken.is_empty() && batches <= 1;
    let snapshot = match reading {
        Reading::WholeLog => None,
        Reading::Behind(id) | Reading::Instead(id) => Some(id),
    };
    let epochs = broken.iter().map(|(id, _)| id.epoch).chain(snapshot.map(|id| id.epoch));
    let last_epoch = opened.log.epochs().latest().max(epochs.max());
    move_aside(&dir, &broken)?;
    let is_cut_short = ending == Ending::Missing;
    Ok((dir, Metadata { opened, replayer, last_epoch, is_blank, removed, snapshot, is_cut_short, broken }))
}

/// Gives broken snapshots names that nobody reads, once there is something in their place.
fn move_aside<D: Disk>(dir: &LogDir<D>, broken: &[(SnapshotId, SnapshotError)]) -> Result<(), QueueOpenError> {
    let path = DiskPath::root().entry(metadata_partition());
    for (id, _) in broken {
        dir.disk().rename(&path.entry(id), &path.entry(format!("{id}.unreadable")))?;
    }
    if !broken.is_empty() {
        dir.disk().sync_dir(&path)?;
    }
    Ok(())
}

/// A directory that is not there is no damage, whatever was noted of it: there is no metadata, and what is there is adopted.
fn open_log<D: Disk>(
    dir: &mut LogDir<D>,
    options: &OpenOptions,
    now: Timestamp,
) -> Result<OpenedLog<D>, QueueOpenError> {
    let partition = metadata_partition();
    if !dir.partitions()?.contains(&partition) {
        dir.forget(&partition)?;
    }
    dir.open_log(&partition, options, now).map_err(|error| match error {
        OpenError::SegmentMissing { .. } => QueueOpenError::MetadataDamaged(error.to_string()),
        OpenError::Disk { .. }
        | OpenError::Dir(_)
        | OpenError::TopicIdMismatch { .. }
        | OpenError::AlreadyOpen
        | OpenError::Config(_)
        | OpenError::Unreadable { .. } => error.into(),
    })
}

/// All that is ever appended stays until a snapshot stands for it: retention is not for the log to decide.
fn config() -> LogConfig {
    LogConfig { retention_ms: None, retention_bytes: None, max_message_bytes: u32::MAX >> 1, ..LogConfig::default() }
}

/// What a torn tail has lost was not known to be on disk; what is corrupt or missing in front of it was.
fn refuse_damage(report: &RecoveryReport) -> Result<(), QueueOpenError> {
    match report.corrupt.first() {
        Some(_) => Err(QueueOpenError::MetadataDamaged(report.to_string())),
        None => Ok(()),
    }
}

fn ends<D: Disk>(opened: &OpenedLog<D>) -> LogEnds {
    LogEnds {
        log_start_offset: opened.log.log_start_offset(),
        log_end_offset: opened.log.log_end_offset(),
        last_epoch: opened.log.epochs().latest().filter(|_| opened.report.shutdown != Shutdown::New),
    }
}

fn snapshots<D: Disk>(dir: &LogDir<D>) -> Result<BTreeSet<SnapshotId>, QueueOpenError> {
    let entries = match dir.disk().list(&DiskPath::root().entry(metadata_partition())) {
        Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(BTreeSet::new()),
        listed => listed?,
    };
    Ok(entries.iter().filter_map(|entry| SnapshotId::parse(entry.name.to_str()?)).collect())
}

/// Those of one that is gone are none, and no snapshot.
fn snapshot_bytes<D: Disk>(dir: &LogDir<D>, id: SnapshotId) -> Result<Bytes, QueueOpenError> {
    let bytes = read_if_there(dir.disk(), &DiskPath::root().entry(metadata_partition()).entry(id))?;
    Ok(bytes.unwrap_or_default().into())
}

/// Replays the log from `from` on. Answers how many batches there are.
fn replay<D: Disk>(
    opened: &mut OpenedLog<D>,
    replayer: &mut Replayer,
    from: Offset,
    removed: &mut BTreeSet<TopicId>,
) -> Result<usize, QueueOpenError> {
    let (mut next, end) = (from, opened.log.log_end_offset());
    let mut batches = 0;
    while next < end {
        let entries = read(opened, next)?;
        let Some(last) = entries.last() else {
            return Err(QueueOpenError::MetadataDamaged(format!("nothing can be read from offset {next} to {end}")));
        };
        let behind = last.next_offset();
        for entry in &entries {
            replayer.push(entry)?;
            note_removed(entry, removed);
        }
        batches += entries.len();
        next = behind;
    }
    Ok(batches)
}

/// Notes the topics that a batch removes. It was replayed, so it can be read.
fn note_removed(entry: &Entry, removed: &mut BTreeSet<TopicId>) {
    let Some(batch) = entry.as_batch().filter(|batch| !batch.is_control()) else { return };
    let Ok(records) = batch.records(DecompressLimit::default()) else { return };
    let values = records.iter().filter_map(|record| record.ok()?.value);
    removed.extend(values.filter_map(|value| match MetadataRecord::decode(value) {
        Ok(MetadataRecord::RemoveTopic(record)) => TopicId::from_bytes(*record.topic_id.as_bytes()),
        Ok(_) | Err(_) => None,
    }));
}

fn read<D: Disk>(opened: &mut OpenedLog<D>, from: Offset) -> Result<Vec<Entry>, QueueOpenError> {
    let damaged = |error: &dyn std::fmt::Display| QueueOpenError::MetadataDamaged(error.to_string());
    let mut plan = opened.log.plan_read(from, READ_BYTES, Isolation::LogEnd).map_err(|error| damaged(&error))?;
    loop {
        match plan {
            ReadPlan::Nothing => return Ok(Vec::new()),
            ReadPlan::Cached(batches) => return Ok(batches.into_iter().map(Entry::Batch).collect()),
            ReadPlan::File(span) => {
                let facts = opened.log.span_facts(&span);
                let entries = opened.driver.read(&span, &facts).map_err(|fault| match fault {
                    ReadFault::Disk(error) => QueueOpenError::Disk(error),
                    ReadFault::Corrupt { .. } => damaged(&fault),
                })?;
                if !entries.is_empty() {
                    return Ok(entries);
                }
                plan = opened.log.plan_behind(&span);
            }
        }
    }
}
