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

/// The key under which each of several directories says which one has the metadata. Kafka takes no notice of it.
const METADATA_DIRECTORY: &str = "ottla.metadata.directory.id";

/// Which node has these directories.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    pub(super) cluster_id: String,
    pub(super) node: BrokerId,
    /// The id of each directory, in their order.
    pub(super) directories: Vec<Uuid>,
}

/// What each directory says of itself, in their order; `None` if it is new.
#[derive(Debug)]
pub(super) struct Said {
    each: Vec<Option<MetaProperties>>,
    cluster_id: Option<String>,
    node: Option<BrokerId>,
}

impl Said {
    /// The first directory that is new, if another is not.
    pub(super) fn new_beside_old(&self) -> Option<usize> {
        let is_old = self.each.iter().any(Option::is_some);
        self.each.iter().position(Option::is_none).filter(|_| is_old)
    }

    /// The directory that has the metadata, as the others say, if it is none of these.
    pub(super) fn metadata_elsewhere(&self) -> Option<String> {
        let is_here = |id: &&String| {
            let ids = self.each.iter().flatten().filter_map(|said| said.directory_id);
            ids.into_iter().any(|own| Uuid::from_bytes(*own.as_bytes()).to_string() == **id)
        };
        let named = self.each.iter().flatten().filter_map(|said| said.other.get(METADATA_DIRECTORY));
        named.into_iter().find(|id| !is_here(id)).cloned()
    }
}

/// Reads what each directory says.
///
/// # Errors
///
/// A file that cannot be understood; directories that belong to different clusters or nodes; the disk's.
pub(super) fn read<D: Disk>(dirs: &[LogDir<D>]) -> Result<Said, QueueOpenError> {
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
    Ok(Said { each: found, cluster_id, node })
}

/// Whose the directories are, by what they say; it is written where it is missing. Where there are several, each says which
/// of them has the metadata.
///
/// # Errors
///
/// The disk's.
pub(super) fn identify<D: Disk>(
    dirs: &[LogDir<D>],
    Said { each: found, cluster_id, node }: Said,
    metadata_dir: usize,
) -> Result<Identity, QueueOpenError> {
    let cluster_id = cluster_id.unwrap_or_else(|| random_id().to_string());
    let node = node.unwrap_or(BrokerId::new(1));
    let known = |said: &Option<MetaProperties>| said.as_ref().and_then(|said| said.directory_id);
    let ids: Vec<DirectoryId> = found.iter().map(|said| known(said).unwrap_or_else(random_directory_id)).collect();
    let directories: Vec<Uuid> = ids.iter().map(|id| Uuid::from_bytes(*id.as_bytes())).collect();
    let has_metadata = directories.get(metadata_dir).filter(|_| dirs.len() > 1).map(Uuid::to_string);
    for ((opened, said), id) in dirs.iter().zip(found).zip(ids) {
        let is_whole = known(&said).is_some() && said.as_ref().is_some_and(|said| said.version == MetaVersion::V1);
        let mut other = said.map(|said| said.other).unwrap_or_default();
        let is_told = has_metadata.is_none() || other.get(METADATA_DIRECTORY) == has_metadata.as_ref();
        if is_whole && is_told {
            continue;
        }
        other.extend(has_metadata.iter().map(|id| (METADATA_DIRECTORY.to_owned(), id.clone())));
        write(opened, &cluster_id, node, id, other)?;
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
        identify(&dirs, read(&dirs)?, 0)
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
