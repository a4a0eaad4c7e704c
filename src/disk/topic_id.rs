//! `partition.metadata`: whose files these are. The id must be durable before any data is (semantics 1.1, step 3).

use crate::disk::open::OpenError;
use crate::disk::small::{read_if_there, replace};
use crate::disk::{Disk, DiskError, DiskPath};
use crate::id::{TopicId, TopicPartition};
use crate::log::{FileName, PartitionMetadata};

/// Compares the id on file with the one that is wanted, before anything of the log is touched. Answers what is to be
/// written: the id that is wanted, if there is none yet.
pub(crate) fn compare<D: Disk>(
    disk: &D,
    dir: &DiskPath,
    partition: &TopicPartition,
    wanted: Option<TopicId>,
) -> Result<Option<TopicId>, OpenError> {
    let Some(wanted) = wanted else { return Ok(None) };
    let Some(found) = read(disk, dir, partition)? else { return Ok(Some(wanted)) };
    if found == wanted {
        Ok(None)
    } else {
        Err(OpenError::TopicIdMismatch { partition: partition.clone(), found, wanted })
    }
}

/// The id on file, if there is one.
pub(crate) fn read<D: Disk>(
    disk: &D,
    dir: &DiskPath,
    partition: &TopicPartition,
) -> Result<Option<TopicId>, OpenError> {
    let name = FileName::PartitionMetadata;
    let failed = |error| OpenError::Disk { partition: partition.clone(), error };
    let Some(bytes) = read_if_there(disk, &dir.entry(name)).map_err(failed)? else { return Ok(None) };
    let file = format!("{dir}/{name}");
    let parsed = PartitionMetadata::parse(&bytes);
    Ok(Some(parsed.map_err(|error| OpenError::Unreadable { file, why: error.to_string() })?.topic_id))
}

/// Writes the id, durably.
pub(crate) fn write<D: Disk>(disk: &D, dir: &DiskPath, id: TopicId) -> Result<(), DiskError> {
    replace(disk, dir, &FileName::PartitionMetadata.to_string(), &PartitionMetadata { topic_id: id }.encode())
}
