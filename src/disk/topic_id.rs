//! `partition.metadata`: whose files these are. The id must be durable before any data is (semantics 1.1, step 3).

use crate::disk::lanes::replace;
use crate::disk::open::{OpenError, read_small};
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath};
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
    let name = FileName::PartitionMetadata;
    let bytes = match read_small(disk, &dir.entry(name)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(Some(wanted)),
        Err(error) => return Err(OpenError::Disk { partition: partition.clone(), error }),
    };
    let file = format!("{dir}/{name}");
    let found = PartitionMetadata::parse(&bytes)
        .map_err(|error| OpenError::Unreadable { file, why: error.to_string() })?
        .topic_id;
    if found == wanted {
        Ok(None)
    } else {
        Err(OpenError::TopicIdMismatch { partition: partition.clone(), found, wanted })
    }
}

/// Writes the id, durably.
pub(crate) fn write<D: Disk>(disk: &D, dir: &DiskPath, id: TopicId) -> Result<(), DiskError> {
    replace(disk, dir, &FileName::PartitionMetadata.to_string(), &PartitionMetadata { topic_id: id }.encode())
}
