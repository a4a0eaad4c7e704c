//! Control records of the metadata log and of its snapshots: who leads, who votes, where a snapshot begins and ends.
//!
//! Their framing is not that of the others: the type stands in the record's key, and the value begins with its version.

use super::schema::message;
use super::wire::{FieldFault, Input, Wire};
use crate::controller::uuid::Uuid;
use crate::record::ControlType;

message! {
    /// One who votes.
    pub struct Voter {
        /// The voter's node.
        voter_id: i32, 0..;
        /// Its log directory.
        directory_id: Uuid, 1..;
    }
    tagged {}
}

message! {
    /// A leader begins: the first record of each epoch.
    pub struct LeaderChangeRecord {
        /// The version, which stands in front of the fields.
        version: i16, 0..;
        /// The leader.
        leader_id: i32, 0..;
        /// All who vote.
        voters: Vec<Voter>, 0..;
        /// Those who voted for it.
        granting_voters: Vec<Voter>, 0..;
    }
    tagged {}
}

message! {
    /// The first record of a snapshot.
    pub struct SnapshotHeaderRecord {
        /// The version.
        version: i16, 0..;
        /// The date of the last batch that the snapshot stands for, in milliseconds since the Unix epoch.
        last_contained_log_timestamp: i64, 0..;
    }
    tagged {}
}

message! {
    /// The last record of a snapshot.
    pub struct SnapshotFooterRecord {
        /// The version.
        version: i16, 0..;
    }
    tagged {}
}

message! {
    /// How the voters speak to each other.
    pub struct KraftVersionRecord {
        /// The version of the record.
        version: i16, 0..;
        /// 0 static voters, 1 dynamic ones.
        kraft_version: i16, 0..;
    }
    tagged {}
}

message! {
    /// Where a voter listens.
    pub struct VoterEndPoint {
        /// The listener's name.
        name: String, 0..;
        /// The host.
        host: String, 0..;
        /// The port.
        port: u16, 0..;
    }
    tagged {}
}

message! {
    /// Which versions of the voters' protocol one can speak.
    pub struct KraftVersionRange {
        /// The smallest.
        min: i16, 0..;
        /// The largest.
        max: i16, 0..;
    }
    tagged {}
}

message! {
    /// One of the voters, whole.
    pub struct VoterDescription {
        /// The voter's node.
        voter_id: i32, 0..;
        /// Its log directory.
        directory_id: Uuid, 0..;
        /// Where it listens.
        endpoints: Vec<VoterEndPoint>, 0..;
        /// What it can speak.
        kraft_version_feature: KraftVersionRange, 0..;
    }
    tagged {}
}

message! {
    /// Who votes from here on.
    pub struct KraftVotersRecord {
        /// The version.
        version: i16, 0..;
        /// All of them.
        voters: Vec<VoterDescription>, 0..;
    }
    tagged {}
}

/// A control record of the metadata log or of a snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum QuorumRecord {
    /// A leader begins.
    LeaderChange(LeaderChangeRecord),
    /// A snapshot begins.
    SnapshotHeader(SnapshotHeaderRecord),
    /// A snapshot ends.
    SnapshotFooter(SnapshotFooterRecord),
    /// How the voters speak.
    KraftVersion(KraftVersionRecord),
    /// Who votes.
    KraftVoters(KraftVotersRecord),
}

/// Why a control record cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumRecordError {
    /// The key is shorter than it must be, or its version is negative.
    #[error("the key of a control record is invalid")]
    Key,
    /// A type that has no place in this log.
    #[error("a control record of type {control_type:?} does not belong into metadata")]
    Type {
        /// The type.
        control_type: ControlType,
    },
    /// The value's version is negative.
    #[error("a control record of type {control_type:?} has version {version}")]
    Version {
        /// The type.
        control_type: ControlType,
        /// The version.
        version: i16,
    },
    /// The value does not parse.
    #[error("a control record of type {control_type:?}, at byte {position}: {fault}")]
    Value {
        /// The type.
        control_type: ControlType,
        /// Where in the value.
        position: usize,
        /// What is wrong.
        fault: FieldFault,
    },
}

impl QuorumRecord {
    /// Reads the key and the value of a control record. A newer version is read as the newest that is known.
    ///
    /// # Errors
    ///
    /// [`QuorumRecordError`], for a type of another log too.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, QuorumRecordError> {
        let key: &[u8; 4] = key.first_chunk().ok_or(QuorumRecordError::Key)?;
        if i16::from_be_bytes([key[0], key[1]]) < 0 {
            return Err(QuorumRecordError::Key);
        }
        let control_type = ControlType::from_i16(i16::from_be_bytes([key[2], key[3]]));
        let mut input = Input::new(value);
        let version = version_of(control_type, value)?;
        let record = match control_type {
            ControlType::LeaderChange => Wire::take(&mut input, version).map(Self::LeaderChange),
            ControlType::SnapshotHeader => Wire::take(&mut input, version).map(Self::SnapshotHeader),
            ControlType::SnapshotFooter => Wire::take(&mut input, version).map(Self::SnapshotFooter),
            ControlType::KraftVersion => Wire::take(&mut input, version).map(Self::KraftVersion),
            ControlType::KraftVoters => Wire::take(&mut input, version).map(Self::KraftVoters),
            ControlType::Abort | ControlType::Commit | ControlType::Unknown(_) => {
                return Err(QuorumRecordError::Type { control_type });
            }
        };
        let record = record.and_then(|record| input.finish().map(|()| record));
        record.map_err(|fault| QuorumRecordError::Value { control_type, position: input.position(), fault })
    }

    /// What it is about.
    pub const fn control_type(&self) -> ControlType {
        match self {
            Self::LeaderChange(_) => ControlType::LeaderChange,
            Self::SnapshotHeader(_) => ControlType::SnapshotHeader,
            Self::SnapshotFooter(_) => ControlType::SnapshotFooter,
            Self::KraftVersion(_) => ControlType::KraftVersion,
            Self::KraftVoters(_) => ControlType::KraftVoters,
        }
    }

    /// The key as it stands in the log.
    pub fn key(&self) -> [u8; 4] {
        let [high, low] = self.control_type().as_i16().to_be_bytes();
        [0, 0, high, low]
    }

    /// The value as it stands in the log.
    pub fn value(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::LeaderChange(record) => record.put(&mut out, record.version),
            Self::SnapshotHeader(record) => record.put(&mut out, record.version),
            Self::SnapshotFooter(record) => record.put(&mut out, record.version),
            Self::KraftVersion(record) => record.put(&mut out, record.version),
            Self::KraftVoters(record) => record.put(&mut out, record.version),
        }
        out
    }
}

/// The version in front of a value.
fn version_of(control_type: ControlType, value: &[u8]) -> Result<i16, QuorumRecordError> {
    let cut = QuorumRecordError::Value { control_type, position: 0, fault: FieldFault::CutShort };
    let field: &[u8; 2] = value.first_chunk().ok_or(cut)?;
    match i16::from_be_bytes(*field) {
        version if version < 0 => Err(QuorumRecordError::Version { control_type, version }),
        version => Ok(version),
    }
}
