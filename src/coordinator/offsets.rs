//! Committed offsets as Kafka keeps them in `__consumer_offsets` (format.md, section 9).
//!
//! A commit is a record: its key names the group and the partition, its value says how far. The last record of a key
//! counts; a null value takes it back. [`GroupOffsets`] is what replaying them gives.
//!
//! - May use: the newtypes, `message`.
//! - Must not know: logs; who appends the records and who reads them.
//! - Always true: a key or value that was read gives the same bytes back, if it has the version that is written here;
//!   what another version adds is passed over, and what is not about offsets is left to others.

mod bytes;
mod image;
#[cfg(test)]
mod tests;

use crate::epoch::LeaderEpoch;
use crate::id::{GroupId, InvalidPartition, InvalidTopicName, TopicId, TopicName, TopicPartition};
use crate::message::{Committed, ErrorCode, RequestError};
use crate::offset::Offset;
use crate::time::Timestamp;

pub(super) use bytes::Fields;
use bytes::{put_compact, put_string, put_tags};
pub use image::GroupOffsets;

/// The topic.
pub const TOPIC: &str = "__consumer_offsets";

/// How many partitions it has by default: Kafka's `offsets.topic.num.partitions`.
pub const PARTITIONS: u32 = 50;

/// The topic as a name.
///
/// # Panics
///
/// Never: it is a name.
pub fn topic() -> TopicName {
    TopicName::new(TOPIC).expect("it is the name of a topic")
}

/// Which of `partitions` of the topic has the offsets of a group: the hash that Java gives its name, without its sign.
pub fn partition_of_group(group: &GroupId, partitions: std::num::NonZeroU32) -> u32 {
    let hash = group.as_str().encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    // The one number that has no positive counterpart counts as 0.
    hash.checked_abs().unwrap_or(0).unsigned_abs() % partitions
}

/// What a record's key is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OffsetKey {
    /// How far a group has come in a partition: versions 0 and 1.
    Offset(GroupPartition),
    /// The members of a group: version 2. Its value is left to whoever coordinates groups.
    Group(GroupId),
    /// Something else, of this version.
    Other(i16),
}

/// A group, and a partition that it reads.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GroupPartition {
    /// The group.
    pub group: GroupId,
    /// The partition.
    pub partition: TopicPartition,
}

/// How far a group has come, and when it said so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OffsetValue {
    /// How far.
    pub committed: Committed,
    /// When.
    pub commit_timestamp: Timestamp,
    /// When it is to be forgotten, if that was said: version 1 only.
    pub expire_timestamp: Option<Timestamp>,
    /// Of which topic, among all that have had the name: a tagged field of version 4, which Kafka 4.3 writes.
    pub topic_id: Option<TopicId>,
}

/// Why a key or a value cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OffsetsError {
    /// It ends inside a field.
    #[error("it ends inside {field}")]
    CutShort {
        /// Which field.
        field: &'static str,
    },
    /// A field holds what it cannot.
    #[error("{field} is {found}, which it cannot be")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What it holds.
        found: i64,
    },
    /// A text is not UTF-8.
    #[error("{field} is not UTF-8")]
    Text {
        /// Which field.
        field: &'static str,
    },
    /// The version of a value is not known.
    #[error("an offset of version {version} is not known")]
    Version {
        /// The version.
        version: i16,
    },
    /// The group has no name.
    #[error("the group is empty")]
    EmptyGroup,
    /// The topic's name is none.
    #[error(transparent)]
    Topic(#[from] InvalidTopicName),
    /// The partition's number is none.
    #[error(transparent)]
    Partition(#[from] InvalidPartition),
    /// A text is too long to be written.
    #[error("{field} of {bytes} bytes is longer than 32767")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// How long it is.
        bytes: usize,
    },
}

impl OffsetKey {
    /// Reads the key of a record.
    ///
    /// # Errors
    ///
    /// [`OffsetsError`]; a version that is not about offsets is none.
    pub fn parse(key: &[u8]) -> Result<Self, OffsetsError> {
        let mut fields = Fields::new(key);
        match fields.i16("version")? {
            0 | 1 => {
                let group = fields.group()?;
                let topic = TopicName::new(fields.string("topic")?)?;
                let found = fields.i32("partition")?;
                let number = u32::try_from(found);
                let number = number.map_err(|_| OffsetsError::Invalid { field: "partition", found: found.into() })?;
                fields.end()?;
                Ok(Self::Offset(GroupPartition { group, partition: TopicPartition::new(topic, number)? }))
            }
            2 => {
                let group = fields.group()?;
                fields.end()?;
                Ok(Self::Group(group))
            }
            version => Ok(Self::Other(version)),
        }
    }
}

impl GroupPartition {
    /// The key of a record, version 1.
    ///
    /// # Errors
    ///
    /// [`OffsetsError::TooLong`] for a group whose name has more than 32767 bytes.
    pub fn to_key(&self) -> Result<Vec<u8>, OffsetsError> {
        let mut out = 1_i16.to_be_bytes().to_vec();
        put_string(&mut out, "group", self.group.as_str())?;
        put_string(&mut out, "topic", self.partition.topic().as_str())?;
        // `TopicPartition` holds no number that the signed field could not.
        out.extend_from_slice(&self.partition.partition().to_be_bytes());
        Ok(out)
    }
}

/// The key of the record that tells of a group itself, version 2.
pub(super) fn group_key(group: &GroupId) -> Result<Vec<u8>, OffsetsError> {
    let mut out = 2_i16.to_be_bytes().to_vec();
    put_string(&mut out, "group", group.as_str())?;
    Ok(out)
}

impl OffsetValue {
    /// Reads the value of a record, versions 0 to 4. Tagged fields that are not known are passed over.
    ///
    /// # Errors
    ///
    /// [`OffsetsError`].
    pub fn parse(value: &[u8]) -> Result<Self, OffsetsError> {
        let mut fields = Fields::new(value);
        let version = fields.i16("version")?;
        if !(0..=4).contains(&version) {
            return Err(OffsetsError::Version { version });
        }
        let found = fields.i64("offset")?;
        let offset = Offset::from_i64(found).ok_or(OffsetsError::Invalid { field: "offset", found })?;
        let leader_epoch = if version >= 3 { LeaderEpoch::from_i32(fields.i32("leader epoch")?) } else { None };
        let metadata = if version >= 4 { fields.compact("metadata")? } else { fields.string("metadata")? }.to_owned();
        let commit_timestamp = Timestamp::from_millis(fields.i64("commit timestamp")?);
        let expire_timestamp = if version == 1 { fields.i64("expire timestamp")? } else { -1 };
        let topic_id = if version >= 4 { fields.topic_id_among_tags()? } else { None };
        fields.end()?;
        let expire_timestamp = Some(Timestamp::from_millis(expire_timestamp)).filter(|date| date.is_some());
        Ok(Self {
            committed: Committed { offset, leader_epoch, metadata },
            commit_timestamp,
            expire_timestamp,
            topic_id,
        })
    }

    /// The value of a record: version 4, or version 1 if it says when it expires, as Kafka does.
    ///
    /// # Errors
    ///
    /// [`OffsetsError::TooLong`] for metadata of more than 32767 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OffsetsError> {
        let Committed { offset, leader_epoch, metadata } = &self.committed;
        let version = if self.expire_timestamp.is_some() { 1_i16 } else { 4 };
        let mut out = version.to_be_bytes().to_vec();
        out.extend_from_slice(&offset.as_i64().to_be_bytes());
        if let Some(expire_timestamp) = self.expire_timestamp {
            put_string(&mut out, "metadata", metadata)?;
            out.extend_from_slice(&self.commit_timestamp.as_millis().to_be_bytes());
            out.extend_from_slice(&expire_timestamp.as_millis().to_be_bytes());
        } else {
            out.extend_from_slice(&leader_epoch.map_or(-1, LeaderEpoch::as_i32).to_be_bytes());
            put_compact(&mut out, "metadata", metadata)?;
            out.extend_from_slice(&self.commit_timestamp.as_millis().to_be_bytes());
            put_tags(&mut out, self.topic_id);
        }
        Ok(out)
    }
}

/// Checks what a commit wants to keep beside its offset, at most `characters_max` of Java's characters.
///
/// # Errors
///
/// `OFFSET_METADATA_TOO_LARGE`.
pub fn check_metadata(committed: &Committed, characters_max: usize) -> Result<(), RequestError> {
    let characters = committed.metadata.encode_utf16().count();
    if characters <= characters_max {
        return Ok(());
    }
    let why = format!("metadata of {characters} characters is longer than {characters_max}");
    Err(RequestError::because(ErrorCode::OffsetMetadataTooLarge, why))
}
