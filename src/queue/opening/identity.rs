//! Whose directories these are: `meta.properties`, one in each.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::controller::Uuid;
use crate::disk::Disk;
use crate::disk::small::{read_if_there, replace};
use crate::disk::{DiskPath, LogDir};
use crate::id::{BrokerId, TopicId};
use crate::log::{DirectoryId, MetaProperties, MetaVersion};
use crate::queue::opening::QueueOpenError;

const FILE: &str = "meta.properties";

/// Which node has these directories.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    pub(super) cluster_id: String,
    pub(super) node: BrokerId,
    /// The id of each directory, in their order.
    pub(super) directories: Vec<Uuid>,
}

/// Reads what each directory says, and writes it where it is missing.
///
/// # Errors
///
/// A file that cannot be understood; directories that belong to different clusters or nodes; the disk's.
pub(super) fn identify<D: Disk>(dirs: &[LogDir<D>]) -> Result<Identity, QueueOpenError> {
    let mut found = Vec::with_capacity(dirs.len());
    for (dir, opened) in dirs.iter().enumerate() {
        let bytes = read_if_there(opened.disk(), &DiskPath::root().entry(FILE))?;
        let parsed = bytes.map(|bytes| MetaProperties::parse(&bytes)).transpose();
        found.push(parsed.map_err(|error| QueueOpenError::Properties { dir, why: error.to_string() })?);
    }
    let cluster_id = agree(
        &found,
        |properties| properties.cluster_id.clone(),
        |dir, found, expected| QueueOpenError::OtherCluster { dir, found, expected },
    )?;
    let node = agree(
        &found,
        |properties| properties.node_id,
        |dir, found, expected| QueueOpenError::OtherNode { dir, found, expected },
    )?;
    let cluster_id = cluster_id.unwrap_or_else(|| random_id().to_string());
    let node = node.unwrap_or(BrokerId::new(1));
    let mut directories = Vec::with_capacity(dirs.len());
    for (opened, properties) in dirs.iter().zip(found) {
        let id = properties.as_ref().and_then(|properties| properties.directory_id);
        let whole = properties.as_ref().is_some_and(|properties| properties.version == MetaVersion::V1);
        let id = match id {
            Some(id) if whole => id,
            id => {
                let id = id.unwrap_or_else(random_directory_id);
                let other = properties.map(|properties| properties.other).unwrap_or_default();
                write(opened, &cluster_id, node, id, other)?;
                id
            }
        };
        directories.push(Uuid::from_bytes(*id.as_bytes()));
    }
    Ok(Identity { cluster_id, node, directories })
}

/// What the directories that say something say alike.
fn agree<T: PartialEq>(
    found: &[Option<MetaProperties>],
    what: impl Fn(&MetaProperties) -> Option<T>,
    differs: impl Fn(usize, T, T) -> QueueOpenError,
) -> Result<Option<T>, QueueOpenError> {
    let mut agreed: Option<T> = None;
    for (dir, properties) in found.iter().enumerate() {
        let Some(said) = properties.as_ref().and_then(&what) else { continue };
        match agreed {
            Some(expected) if expected != said => return Err(differs(dir, said, expected)),
            Some(_) => {}
            None => agreed = Some(said),
        }
    }
    Ok(agreed)
}

fn write<D: Disk>(
    dir: &LogDir<D>,
    cluster_id: &str,
    node: BrokerId,
    id: DirectoryId,
    other: BTreeMap<String, String>,
) -> Result<(), QueueOpenError> {
    let properties = MetaProperties {
        version: MetaVersion::V1,
        cluster_id: Some(cluster_id.to_owned()),
        node_id: Some(node),
        directory_id: Some(id),
        other,
    };
    Ok(replace(dir.disk(), &DiskPath::root(), FILE, &properties.encode())?)
}

fn random_directory_id() -> DirectoryId {
    loop {
        if let Some(id) = DirectoryId::from_bytes(*random_id().as_bytes()) {
            return id;
        }
    }
}

/// An id that nobody has: of version 4, with a text form that no command line takes for an option.
fn random_id() -> TopicId {
    loop {
        let bits = random() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        if let Some(id) = TopicId::from_bytes(bits.to_be_bytes()).filter(|id| !id.to_string().starts_with('-')) {
            return id;
        }
    }
}

/// Chance, as the operating system gives it to each map of the standard library.
pub(super) fn random() -> u128 {
    let draw = || RandomState::new().build_hasher().finish();
    u128::from(draw()) << 64 | u128::from(draw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn open(disks: &[MemDisk]) -> Result<Identity, QueueOpenError> {
        let dirs: Vec<LogDir<MemDisk>> = disks.iter().map(|disk| LogDir::open(disk.clone()).unwrap()).collect();
        identify(&dirs)
    }

    fn say(disk: &MemDisk, text: &str) {
        replace(disk, &DiskPath::root(), FILE, text.as_bytes()).unwrap();
    }

    #[test]
    fn new_directories_get_an_identity_and_keep_it() {
        let disks = [MemDisk::new(), MemDisk::new()];
        let first = open(&disks).unwrap();
        assert_ne!(first.directories[0], first.directories[1]);
        assert_eq!(open(&disks).unwrap(), first);
        let more = open(&[disks[1].clone(), MemDisk::new()]).unwrap();
        assert_eq!((&more.cluster_id, more.directories[0]), (&first.cluster_id, first.directories[1]));
    }

    #[test]
    fn what_kafka_wrote_is_taken_over_and_what_is_missing_is_added() {
        let disk = MemDisk::new();
        say(&disk, "#\nnode.id=7\nversion=1\ncluster.id=theirs\nsome.thing=else\n");
        let found = open(std::slice::from_ref(&disk)).unwrap();
        assert_eq!((found.cluster_id.as_str(), found.node), ("theirs", BrokerId::new(7)));
        let written = read_if_there(&disk, &DiskPath::root().entry(FILE)).unwrap().unwrap();
        let written = String::from_utf8(written).unwrap();
        assert!(written.contains("some.thing=else") && written.contains("directory.id="), "{written}");
    }

    #[test]
    fn directories_that_do_not_belong_together_are_refused() {
        let disks = [MemDisk::new(), MemDisk::new()];
        say(&disks[0], "version=1\ncluster.id=a\nnode.id=1\n");
        say(&disks[1], "version=1\ncluster.id=b\nnode.id=1\n");
        assert!(matches!(open(&disks), Err(QueueOpenError::OtherCluster { dir: 1, .. })));
        say(&disks[1], "version=1\ncluster.id=a\nnode.id=2\n");
        assert!(matches!(open(&disks), Err(QueueOpenError::OtherNode { dir: 1, .. })));
        say(&disks[1], "version=9\ncluster.id=a\nnode.id=1\n");
        assert!(matches!(open(&disks), Err(QueueOpenError::Properties { dir: 1, .. })));
    }
}
