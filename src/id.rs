//! Names and numbers of things: producers, brokers, topics, groups.

use std::fmt;
use std::sync::Arc;

/// Who writes: the number that Kafka's controller gives to a producer. Never negative.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProducerId(i64);

impl ProducerId {
    /// The id `value`; `None`, "no producer", if it is negative.
    pub const fn new(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The plain number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a broker. Never negative.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BrokerId(u32);

impl BrokerId {
    /// The id `value`.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The identity of a topic over its life; a topic of the same name created later has another.
///
/// Its text form, as in `partition.metadata`, is URL-safe base64 without padding, 22 characters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// The id of these bytes, most significant half first; `None` if all are zero, which Kafka reserves.
    pub const fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        if u128::from_be_bytes(bytes) == 0 { None } else { Some(Self(bytes)) }
    }

    /// The 16 bytes, most significant half first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// [`InvalidTopicId`] unless `text` is 22 characters of URL-safe base64 for something other than zero.
    pub fn parse(text: &str) -> Result<Self, InvalidTopicId> {
        let refused = || InvalidTopicId { text: text.chars().take(64).collect() };
        if text.len() != 22 {
            return Err(refused());
        }
        let mut bits: u128 = 0;
        for (index, letter) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|known| *known == letter).ok_or_else(refused)? as u128;
            // 21 letters carry six bits each and the last one two, with four bits of padding below them.
            bits = if index < 21 { (bits << 6) | digit } else { (bits << 2) | (digit >> 4) };
        }
        Self::from_bytes(bits.to_be_bytes()).ok_or_else(refused)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for index in 0..21 {
            let digit = (bits >> (122 - 6 * index)) & 63;
            write!(f, "{}", ALPHABET[digit as usize] as char)?;
        }
        write!(f, "{}", ALPHABET[((bits & 3) << 4) as usize] as char)
    }
}

/// Why a topic id was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not a topic id: 22 characters of URL-safe base64, not all zero")]
pub struct InvalidTopicId {
    /// What was given, cut to 64 characters.
    pub text: String,
}

/// A topic's name, checked: 1 to 249 of `a-z A-Z 0-9 . _ -`, neither `.` nor `..`.
///
/// Only a name that has passed here ever becomes part of a path. Clones share it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 249;

    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// [`InvalidTopicName`] with the reason.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        let reason = if name.is_empty() {
            NameReason::Empty
        } else if name.len() > Self::BYTES_MAX {
            NameReason::TooLong { bytes: name.len() }
        } else if name == "." || name == ".." {
            NameReason::Dots
        } else if let Some(found) = name.chars().find(|letter| !is_legal(*letter)) {
            NameReason::Character { found }
        } else {
            return Ok(Self(name.into()));
        };
        Err(InvalidTopicName { name: name.chars().take(64).collect(), reason })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the two names collide, as in Kafka, where metrics cannot tell `.` from `_`.
    pub fn collides_with(&self, other: &Self) -> bool {
        self.0.replace('.', "_") == other.0.replace('.', "_")
    }
}

fn is_legal(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a topic name was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{name:?} is not a topic name: {reason}")]
pub struct InvalidTopicName {
    /// What was given, cut to 64 characters.
    pub name: String,
    /// What is wrong with it.
    pub reason: NameReason,
}

/// What is wrong with a topic name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameReason {
    /// It has no characters.
    #[error("it is empty")]
    Empty,
    /// It is longer than a file name may be.
    #[error("it has {bytes} bytes, at most {max} are allowed", max = TopicName::BYTES_MAX)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It is `.` or `..`, which mean something to a file system.
    #[error("it names a directory of the file system")]
    Dots,
    /// A character that is not allowed.
    #[error("only a-z, A-Z, 0-9, '.', '_' and '-' are allowed, not {found:?}")]
    Character {
        /// The first of them.
        found: char,
    },
}

/// One partition of a topic. Its directory is `<topic>-<partition>`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicPartition {
    topic: TopicName,
    partition: u32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    ///
    /// # Errors
    ///
    /// [`InvalidPartition`] above 2147483647, which Kafka's signed field cannot hold.
    pub fn new(topic: TopicName, partition: u32) -> Result<Self, InvalidPartition> {
        if partition > i32::MAX as u32 {
            return Err(InvalidPartition { text: partition.to_string() });
        }
        Ok(Self { topic, partition })
    }

    /// Reads a directory name, split at its last `-`.
    ///
    /// # Errors
    ///
    /// [`ParsePartitionError`] if either half is not what it should be. A number is accepted only as it would be
    /// written: `t-01` is not partition 1 of `t`, or two directories would be one partition.
    pub fn parse(text: &str) -> Result<Self, ParsePartitionError> {
        let invalid = || InvalidPartition { text: text.chars().take(64).collect() };
        let (topic, number) = text.rsplit_once('-').ok_or_else(invalid)?;
        let partition: u32 = number.parse().map_err(|_| invalid())?;
        if partition.to_string() != number {
            return Err(invalid().into());
        }
        Ok(Self::new(TopicName::new(topic)?, partition)?)
    }

    /// The topic.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The number of the partition within its topic.
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A number that is no partition.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} does not end in '-' and a partition from 0 to 2147483647")]
pub struct InvalidPartition {
    /// What was given, cut to 64 characters.
    pub text: String,
}

/// Why a directory name is no partition.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParsePartitionError {
    /// The part in front of the last `-`.
    #[error(transparent)]
    Topic(#[from] InvalidTopicName),
    /// The part behind it, or no `-` at all.
    #[error(transparent)]
    Partition(#[from] InvalidPartition),
}

/// The name of a consumer group: any text that is not empty.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GroupId(String);

impl GroupId {
    /// The group `name`; `None` if it is empty.
    pub fn new(name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name that a coordinator, or the client itself, gives to one member of a group.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberId(String);

impl MemberId {
    /// The member `name`; `None` if it is empty.
    pub fn new(name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_checked_name_becomes_a_path() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a\0", "a b", "\u{1}", "é", &"x".repeat(250)] {
            assert!(TopicName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a.b", "...", "A_-9", "COM1", "dot.", &"x".repeat(249)] {
            assert_eq!(TopicName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn names_that_differ_in_dot_and_underscore_collide() {
        let name = |text| TopicName::new(text).unwrap();
        assert!(name("a.b").collides_with(&name("a_b")));
        assert!(!name("a.b").collides_with(&name("a-b")));
    }

    #[test]
    fn log_32_a_directory_name_is_split_at_its_last_dash() {
        let parsed = TopicPartition::parse("a-b-3").unwrap();
        assert_eq!((parsed.topic().as_str(), parsed.partition()), ("a-b", 3));
        for bad in ["noDash", "-1", "t-", "t-x", "t-01", "t-+1", "t-2147483648", "t--1x", ".-1"] {
            assert!(TopicPartition::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_topic_id_reads_back_from_its_text() {
        let text = "GJqqK7cSSLaRwpsTaENk3w";
        assert_eq!(TopicId::parse(text).unwrap().to_string(), text);
        assert!(TopicId::parse("AAAAAAAAAAAAAAAAAAAAAA").is_err(), "zero is reserved");
        assert!(TopicId::parse("GJqqK7cSSLaRwpsTaENk3").is_err(), "too short");
        assert!(TopicId::parse("GJqqK7cSSLaRwpsTaENk3+").is_err(), "not URL-safe");
    }
}
