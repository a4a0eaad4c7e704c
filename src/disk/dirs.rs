//! Several log directories: what their entries are called, where a partition lives, where a new one goes.
//!
//! - May use: `id`, the seam itself.
//! - Must not know: what is in a partition.

use std::fmt;

use crate::disk::{Disk, DiskError, DiskPath, Entry, EntryKind};
use crate::id::{ParsePartitionError, TopicName, TopicPartition};

/// The longest name of a directory, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// How many hex digits tell apart the directories of one partition.
const ID_DIGITS: usize = 32;

/// The name of a partition's directory, in one of its forms.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DirName {
    /// `orders-3`: the partition itself.
    Partition(TopicPartition),
    /// `orders-3.<id>-delete` and its like.
    Aside {
        /// Whose it was or is to be. The topic may have been cut, see [`DirName::aside`].
        partition: TopicPartition,
        /// Tells it from others of the same partition.
        id: u128,
        /// Why it stands aside.
        why: Aside,
    },
}

/// Why a directory of a partition is not the partition itself.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Aside {
    /// It is to be deleted.
    Delete,
    /// It is being filled, to replace the partition's directory in another log directory.
    Future,
    /// The cluster knows no such partition.
    Stray,
}

/// Why the name of a directory is not that of a partition.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DirNameError {
    /// It does not name a partition.
    #[error(transparent)]
    Partition(#[from] ParsePartitionError),
    /// It ends in `-delete`, `-future` or `-stray`, but what stands before that is no partition and id.
    #[error("{name:?} has no '.' and 32 hex digits in front of its suffix")]
    Id {
        /// The name, cut to 64 characters.
        name: String,
    },
}

impl DirName {
    /// Reads the name of a directory.
    ///
    /// # Errors
    ///
    /// [`DirNameError`] if it belongs to no partition.
    pub fn parse(name: &str) -> Result<Self, DirNameError> {
        let suffix = Aside::ALL.into_iter().find_map(|why| Some((name.strip_suffix(why.suffix())?, why)));
        let Some((front, why)) = suffix else { return Ok(Self::Partition(TopicPartition::parse(name)?)) };
        let refused = || DirNameError::Id { name: name.chars().take(64).collect() };
        let (partition, id) = front.rsplit_once('.').ok_or_else(refused)?;
        let is_id = id.len() == ID_DIGITS && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let id = u128::from_str_radix(id, 16).ok().filter(|_| is_id).ok_or_else(refused)?;
        Ok(Self::Aside { partition: TopicPartition::parse(partition)?, id, why })
    }

    /// The name under which the directory of `partition` stands aside.
    ///
    /// To be deleted or stray, a long topic is cut so that the name has at most 255 bytes. The name of a future
    /// directory is not cut, since the partition has to be known from it; the file system may refuse it.
    pub fn aside(partition: &TopicPartition, id: u128, why: Aside) -> Self {
        let whole = Self::Aside { partition: partition.clone(), id, why };
        let too_many = whole.to_string().len().saturating_sub(NAME_BYTES_MAX);
        if too_many == 0 || why == Aside::Future {
            return whole;
        }
        let topic = partition.topic().as_str();
        let cut = TopicName::new(&topic[..topic.len().saturating_sub(too_many)]);
        match cut.ok().and_then(|topic| TopicPartition::new(topic, partition.partition()).ok()) {
            Some(partition) => Self::Aside { partition, id, why },
            None => whole,
        }
    }

    /// Whose directory it is; the topic of one that is to be deleted or stray may have been cut.
    pub fn partition(&self) -> &TopicPartition {
        match self {
            Self::Partition(partition) | Self::Aside { partition, .. } => partition,
        }
    }

    /// Whether the directory counts against its log directory when a place for a new partition is chosen.
    fn counts(&self) -> bool {
        match self {
            Self::Partition(_) | Self::Aside { why: Aside::Future, .. } => true,
            Self::Aside { why: Aside::Delete | Aside::Stray, .. } => false,
        }
    }
}

impl Aside {
    const ALL: [Self; 3] = [Self::Delete, Self::Future, Self::Stray];

    fn suffix(self) -> &'static str {
        match self {
            Self::Delete => "-delete",
            Self::Future => "-future",
            Self::Stray => "-stray",
        }
    }
}

impl fmt::Display for DirName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(partition) => partition.fmt(f),
            Self::Aside { partition, id, why } => write!(f, "{partition}.{id:032x}{}", why.suffix()),
        }
    }
}

/// Why several log directories do not make sense together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DirsError {
    /// Two directories hold the same partition. Nobody can say which one is right.
    #[error("{partition} is in log directory {first} and in log directory {second}")]
    Duplicate {
        /// Which partition.
        partition: TopicPartition,
        /// The number of the first directory that holds it.
        first: usize,
        /// The number of the next.
        second: usize,
    },
    /// A directory cannot be listed, and the partition might be in it.
    #[error("log directory {dir}: {error}")]
    Disk {
        /// The number of the directory.
        dir: usize,
        /// What went wrong.
        error: DiskError,
    },
    /// There is no directory to choose from.
    #[error("there is no log directory")]
    None,
}

/// What the partitions' directories among these entries are called. Files and foreign directories are left out.
pub fn partition_dirs(entries: &[Entry]) -> Vec<DirName> {
    let dirs = entries.iter().filter(|entry| entry.kind == EntryKind::Dir);
    dirs.filter_map(|entry| DirName::parse(entry.name.to_str()?).ok()).collect()
}

/// The directory that a new partition goes to: the one with the fewest of them, not the fewest bytes; of several the
/// first. `counts` has the number of partitions of each, `None` for one that is out of order.
pub fn choose(counts: impl IntoIterator<Item = Option<usize>>) -> Option<usize> {
    let usable = counts.into_iter().enumerate().filter_map(|(dir, count)| Some((count?, dir)));
    usable.min().map(|(_, dir)| dir)
}

/// The directory that holds `partition`, or the one that it should be made in.
///
/// A directory that cannot be listed is out of order. The partitions in the others are found all the same, but one that
/// is nowhere else might be in it, and is not made a second time; who knows that it is new asks [`choose`].
///
/// # Errors
///
/// [`DirsError::Duplicate`] if two hold it; [`DirsError::Disk`] if it was not found, but not every directory could be
/// listed; [`DirsError::None`] if there are none.
pub fn place<D: Disk>(dirs: &[D], partition: &TopicPartition) -> Result<Place, DirsError> {
    let root = DiskPath::root();
    let names: Vec<Result<Vec<DirName>, DiskError>> =
        dirs.iter().map(|dir| dir.list(&root).map(|entries| partition_dirs(&entries))).collect();
    if let Some(found) = find(&names, partition)? {
        return Ok(Place::Found(found));
    }
    for (dir, listed) in names.iter().enumerate() {
        if let Err(error) = listed {
            return Err(DirsError::Disk { dir, error: error.clone() });
        }
    }
    let count = |names: &Vec<DirName>| names.iter().filter(|name| name.counts()).count();
    choose(names.iter().map(|names| names.as_ref().ok().map(count))).map(Place::New).ok_or(DirsError::None)
}

/// Where a partition is, or is to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// It is in the directory of this number.
    Found(usize),
    /// It is nowhere yet; make it in the directory of this number.
    New(usize),
}

fn find(names: &[Result<Vec<DirName>, DiskError>], partition: &TopicPartition) -> Result<Option<usize>, DirsError> {
    let is_it = |name: &DirName| matches!(name, DirName::Partition(found) if found == partition);
    let holds = |names: &Result<Vec<DirName>, DiskError>| names.as_ref().is_ok_and(|names| names.iter().any(is_it));
    let mut holders = names.iter().enumerate().filter(|(_, names)| holds(names)).map(|(dir, _)| dir);
    match (holders.next(), holders.next()) {
        (Some(first), Some(second)) => Err(DirsError::Duplicate { partition: partition.clone(), first, second }),
        (found, _) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn partition(text: &str) -> TopicPartition {
        TopicPartition::parse(text).unwrap()
    }

    fn dir_of(names: &[&str]) -> MemDisk {
        let disk = MemDisk::new();
        for name in names {
            disk.put_foreign(name, EntryKind::Dir).unwrap();
        }
        disk
    }

    #[test]
    fn log_32_a_directory_is_named_after_its_partition_in_every_form() {
        let id = "7f0123456789abcdef0123456789abcd";
        assert_eq!(DirName::parse("a-b-3").unwrap(), DirName::Partition(partition("a-b-3")));
        for (suffix, why) in [("delete", Aside::Delete), ("future", Aside::Future), ("stray", Aside::Stray)] {
            let name = format!("x.y-12.{id}-{suffix}");
            let parsed = DirName::parse(&name).unwrap();
            assert!(matches!(parsed, DirName::Aside { why: found, .. } if found == why));
            assert_eq!(parsed.partition(), &partition("x.y-12"));
            assert_eq!(parsed.to_string(), name);
        }
        let upper = format!("x-1.{}-delete", id.to_uppercase());
        for bad in
            ["noDash", "-1", "t-", "t-x", "t-1-delete", "t-1.7f-delete", "-delete", &upper, &format!("t.{id}-delete")]
        {
            assert!(DirName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn log_33_the_longest_topic_is_cut_to_be_deleted() {
        let longest = partition(&format!("{}-2147483647", "t".repeat(TopicName::BYTES_MAX)));
        for why in [Aside::Delete, Aside::Stray] {
            let name = DirName::aside(&longest, u128::MAX / 3, why);
            let text = name.to_string();
            assert_eq!(text.len(), 255);
            assert!(text.ends_with(&format!("-2147483647.{}{}", "5".repeat(32), why.suffix())), "{text}");
            assert_eq!(DirName::parse(&text).unwrap(), name);
        }
        let future = DirName::aside(&longest, 1, Aside::Future);
        assert_eq!(future.partition(), &longest, "never cut");
        let short = DirName::aside(&partition("t-0"), 1, Aside::Delete);
        assert_eq!(short.to_string(), "t-0.00000000000000000000000000000001-delete");
    }

    #[test]
    fn a_new_partition_goes_where_the_fewest_are() {
        let table: [(&[Option<usize>], Option<usize>); 6] = [
            (&[], None),
            (&[None], None),
            (&[Some(0)], Some(0)),
            (&[Some(2), Some(1), Some(1)], Some(1)),
            (&[None, Some(9), Some(8)], Some(2)),
            (&[Some(3), Some(3)], Some(0)),
        ];
        for (counts, due) in table {
            assert_eq!(choose(counts.iter().copied()), due, "{counts:?}");
        }
    }

    #[test]
    fn partitions_are_counted_and_bytes_files_and_leavings_are_not() {
        let id = "0".repeat(32);
        let leavings = [format!("b-0.{id}-delete"), format!("c-0.{id}-stray"), "lost+found".to_owned()];
        let one = dir_of(&["a-0"]);
        one.put("a-0/00000000000000000000.log", vec![0; 1000]).unwrap();
        let two = dir_of(&[leavings[0].as_str(), &leavings[1], &leavings[2]]);
        two.put("e-9", *b"a file").unwrap();
        let three = dir_of(&[&format!("d-0.{id}-future")]);
        let dirs = [one, two, three];
        assert_eq!(place(&dirs, &partition("n-0")), Ok(Place::New(1)));
        dirs[1].put_foreign("x-0", EntryKind::Dir).unwrap();
        dirs[1].put_foreign("x-1", EntryKind::Dir).unwrap();
        assert_eq!(place(&dirs, &partition("n-0")), Ok(Place::New(0)), "of equals the first");
        assert_eq!(place(&dirs, &partition("x-1")), Ok(Place::Found(1)));
        assert_eq!(place(&dirs, &partition("b-0")), Ok(Place::New(0)), "one to be deleted is none");
    }

    #[test]
    fn a_partition_in_two_directories_is_refused() {
        let dirs = [dir_of(&["a-0"]), dir_of(&[]), dir_of(&["a-0"])];
        let refused = place(&dirs, &partition("a-0")).unwrap_err();
        assert_eq!(refused, DirsError::Duplicate { partition: partition("a-0"), first: 0, second: 2 });
        assert_eq!(refused.to_string(), "a-0 is in log directory 0 and in log directory 2");
    }

    #[test]
    fn a_directory_out_of_order_takes_only_its_own_partitions_down() {
        let dirs = [dir_of(&["a-0"]), dir_of(&["b-0"])];
        let eio = crate::disk::DiskErrorKind::Io { code: Some(5), message: "EIO".to_owned() };
        dirs[0].fail_at(0, eio, crate::disk::mem::Fails::FromThenOn);
        assert_eq!(place(&dirs, &partition("b-0")), Ok(Place::Found(1)));
        assert!(matches!(place(&dirs, &partition("a-0")), Err(DirsError::Disk { dir: 0, .. })));
        assert_eq!(place(&[] as &[MemDisk], &partition("a-0")), Err(DirsError::None));
    }
}
