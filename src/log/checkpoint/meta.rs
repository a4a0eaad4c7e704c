//! `meta.properties`: whose directory of logs this is.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::{BrokerId, TopicId};
use crate::log::checkpoint::properties::{parse, push};
use crate::log::checkpoint::{CheckpointError, cut};

/// The content of `meta.properties`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MetaProperties {
    /// The layout.
    pub version: MetaVersion,
    /// The cluster that the directory belongs to; never missing in version 1.
    pub cluster_id: Option<String>,
    /// The node that it belongs to: `node.id`, or `broker.id` in version 0; never missing in version 1.
    pub node_id: Option<BrokerId>,
    /// The directory's own id, given by Kafka since 3.7.
    pub directory_id: Option<DirectoryId>,
    /// All other properties, kept as they are.
    pub other: BTreeMap<String, String>,
}

/// The layout of `meta.properties`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum MetaVersion {
    /// Written under ZooKeeper.
    V0,
    /// Written under KRaft.
    #[default]
    V1,
}

/// The id of a directory of logs. Its text form is that of a topic id.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DirectoryId(TopicId);

impl DirectoryId {
    /// The id of these bytes; `None` for those that Kafka reserves: all below 100, which mean "unassigned", "lost",
    /// "migrating" or nothing yet.
    pub const fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        match TopicId::from_bytes(bytes) {
            Some(id) if u128::from_be_bytes(bytes) >= 100 => Some(Self(id)),
            _ => None,
        }
    }

    /// The 16 bytes, most significant half first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::DirectoryId`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let id = TopicId::parse(text).ok().and_then(|id| Self::from_bytes(*id.as_bytes()));
        id.ok_or_else(|| CheckpointError::DirectoryId { found: cut(text) })
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const VERSION: &str = "version";
const CLUSTER_ID: &str = "cluster.id";
const NODE_ID: &str = "node.id";
const BROKER_ID: &str = "broker.id";
const DIRECTORY_ID: &str = "directory.id";

impl MetaProperties {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// A malformed escape; a version that is not known; a property that is missing or wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut other = parse(bytes)?;
        let version = MetaVersion::read(other.remove(VERSION))?;
        let node_id = other.remove(version.node_key()).map(|text| node_id(version.node_key(), &text)).transpose()?;
        let cluster_id = other.remove(CLUSTER_ID);
        let directory_id = other.remove(DIRECTORY_ID).map(|text| DirectoryId::parse(&text)).transpose()?;
        if version == MetaVersion::V1 {
            for (is_there, expected) in [(node_id.is_some(), NODE_ID), (cluster_id.is_some(), CLUSTER_ID)] {
                if !is_there {
                    return Err(CheckpointError::MissingProperty { expected });
                }
            }
        }
        Ok(Self { version, cluster_id, node_id, directory_id, other })
    }

    /// The content of the file, without the date that Kafka writes in its second line: that line is a comment.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::from("#\n");
        if let Some(id) = self.node_id {
            push(&mut text, self.version.node_key(), &id.get().to_string());
        }
        if let Some(id) = self.directory_id {
            push(&mut text, DIRECTORY_ID, &id.to_string());
        }
        push(&mut text, VERSION, self.version.number());
        if let Some(id) = &self.cluster_id {
            push(&mut text, CLUSTER_ID, id);
        }
        for (key, value) in &self.other {
            push(&mut text, key, value);
        }
        text.into_bytes()
    }
}

impl MetaVersion {
    /// The version of this text; a file without one is of the first version.
    fn read(text: Option<String>) -> Result<Self, CheckpointError> {
        match text.as_deref() {
            None | Some("0") => Ok(Self::V0),
            Some("1") => Ok(Self::V1),
            Some(found) => Err(CheckpointError::Property { key: VERSION, found: cut(found) }),
        }
    }

    fn number(self) -> &'static str {
        match self {
            Self::V0 => "0",
            Self::V1 => "1",
        }
    }

    fn node_key(self) -> &'static str {
        match self {
            Self::V0 => BROKER_ID,
            Self::V1 => NODE_ID,
        }
    }
}

fn node_id(key: &'static str, text: &str) -> Result<BrokerId, CheckpointError> {
    let id = text.parse::<i32>().ok().and_then(|id| u32::try_from(id).ok());
    id.map(BrokerId::new).ok_or_else(|| CheckpointError::Property { key, found: cut(text) })
}
