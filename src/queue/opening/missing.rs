//! Whether there is no metadata, or it is only not here.

use std::collections::{BTreeMap, BTreeSet};

use crate::disk::{Disk, LogDir};
use crate::id::{TopicName, TopicPartition};
use crate::queue::opening::QueueOpenError;
use crate::queue::opening::identity::Said;

/// What says that metadata is missing, where no directory has any and there are partitions.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MissingMetadata {
    /// A directory that is known to have it is not among those given.
    #[error("it was in the directory of id {id}, which is not here")]
    Directory {
        /// Its id, as in `meta.properties`.
        id: String,
    },
    /// A directory is new and others are not: it may stand in the place of one that is not mounted.
    #[error("directory {dir} is new, and others are not")]
    NewDirectory {
        /// The number of the directory.
        dir: usize,
    },
    /// A partition of a topic is not there, and a later one is: the directory that has it may have the metadata too. Of one
    /// directory that no ottla has had, this says nothing: a node of a Kafka cluster has some of the partitions only.
    #[error("{missing} is not there, and partitions with greater numbers are")]
    Hole {
        /// The first that is missing.
        missing: TopicPartition,
    },
}

/// What says that there is metadata elsewhere, if no directory has any. Where nothing is to be taken over, only a directory that
/// names it says so.
///
/// # Errors
///
/// The disk's.
pub(super) fn metadata_may_be_missing<D: Disk>(
    dirs: &[LogDir<D>],
    said: &Said,
) -> Result<Option<MissingMetadata>, QueueOpenError> {
    let mut numbers: BTreeMap<TopicName, BTreeSet<u32>> = BTreeMap::new();
    for dir in dirs {
        for partition in dir.partitions()? {
            numbers.entry(partition.topic().clone()).or_default().insert(partition.partition());
        }
    }
    // Who names it is believed also where there is nothing to be taken over: it would be told that it has another.
    if let Some(id) = said.metadata_elsewhere() {
        return Ok(Some(MissingMetadata::Directory { id }));
    }
    if numbers.is_empty() {
        return Ok(None);
    }
    let new = || said.new_beside_old().map(|dir| MissingMetadata::NewDirectory { dir });
    // A queue has all partitions, and so has the one directory that it has.
    let is_of_set = dirs.len() > 1 || dirs.iter().any(LogDir::has_marks);
    let hole = || numbers.iter().find_map(|(topic, numbers)| hole(topic, numbers)).filter(|_| is_of_set);
    Ok(new().or_else(hole))
}

fn hole(topic: &TopicName, numbers: &BTreeSet<u32>) -> Option<MissingMetadata> {
    let missing = (0..).zip(numbers).find(|(expected, found)| expected != *found)?.0;
    let missing = TopicPartition::new(topic.clone(), missing).ok()?;
    Some(MissingMetadata::Hole { missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_that_is_missing_is_the_hole() {
        let topic = TopicName::new("orders").unwrap();
        let of = |numbers: &[u32]| hole(&topic, &numbers.iter().copied().collect()).map(|why| why.to_string());
        assert_eq!(of(&[0, 1, 2]), None);
        let text = "orders-1 is not there, and partitions with greater numbers are";
        assert_eq!(of(&[0, 2, 3]).as_deref(), Some(text));
        assert!(of(&[1]).unwrap().starts_with("orders-0"));
    }
}
