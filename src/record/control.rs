//! Control records: what the log says to its readers and not to applications.
//!
//! - May use: the newtypes, `attributes`, `batch`, `build`, `fields`.
//! - Must not know: transactions; it reads and writes their markers.
//! - Always true: a type or a version of the future is recognised as such and stepped over.

use crate::epoch::ProducerEpoch;
use crate::id::ProducerId;
use crate::record::attributes::Codec;
use crate::record::batch::{Batch, ProducerStamp};
use crate::record::build::{BatchBuilder, BuildError, NewRecord};
use crate::record::fields::Record;
use crate::time::Timestamp;

/// What a control record is about (format.md, section 2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ControlType {
    /// A transaction was aborted.
    Abort,
    /// A transaction was committed.
    Commit,
    /// Metadata log: a leader begins.
    LeaderChange,
    /// Metadata snapshot: its first record.
    SnapshotHeader,
    /// Metadata snapshot: its last record.
    SnapshotFooter,
    /// Metadata log: the version of its protocol.
    KraftVersion,
    /// Metadata log: who votes.
    KraftVoters,
    /// One that is not known here and must be stepped over.
    Unknown(i16),
}

impl ControlType {
    /// The type of this number.
    pub const fn from_i16(number: i16) -> Self {
        match number {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KraftVersion,
            6 => Self::KraftVoters,
            number => Self::Unknown(number),
        }
    }

    /// The number in a record's key.
    pub const fn as_i16(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KraftVersion => 5,
            Self::KraftVoters => 6,
            Self::Unknown(number) => number,
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TransactionResult {
    /// Its records count.
    Commit,
    /// Its records are to be skipped by readers of what is committed.
    Abort,
}

/// The end of a transaction, as it stands in each partition that the transaction wrote to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TransactionMarker {
    /// How it ended.
    pub result: TransactionResult,
    /// The reign of the coordinator that decided; −1 is possible in old logs.
    pub coordinator_epoch: i32,
}

impl TransactionMarker {
    const VERSION: i16 = 0;
    const VALUE_BYTES: usize = 6;

    /// The batch of 78 bytes that holds this marker and nothing else.
    ///
    /// # Errors
    ///
    /// None in practice: a marker fits every limit of a batch.
    pub fn to_batch(
        self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        timestamp: Timestamp,
    ) -> Result<Batch, BuildError> {
        let key = control_key(match self.result {
            TransactionResult::Commit => ControlType::Commit,
            TransactionResult::Abort => ControlType::Abort,
        });
        let mut value = [0; Self::VALUE_BYTES];
        value[..2].copy_from_slice(&Self::VERSION.to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let stamp = ProducerStamp { id: producer_id, epoch: Some(producer_epoch), base_sequence: None };
        let mut builder = BatchBuilder::new(Codec::None).producer(stamp).transactional().control();
        builder.push(&NewRecord::new(timestamp, Some(&key), Some(&value)))?;
        builder.build()
    }

    fn parse(result: TransactionResult, value: Option<&[u8]>) -> Result<Self, ControlError> {
        let value = value.unwrap_or_default();
        let too_short = ControlError::ValueTooShort { bytes: value.len() };
        // A newer version is read as version 0: what it adds comes behind.
        let fields: &[u8; Self::VALUE_BYTES] = value.first_chunk().ok_or(too_short)?;
        let version = i16::from_be_bytes([fields[0], fields[1]]);
        if version < 0 {
            return Err(ControlError::ValueVersion { version });
        }
        let coordinator_epoch = i32::from_be_bytes([fields[2], fields[3], fields[4], fields[5]]);
        Ok(Self { result, coordinator_epoch })
    }
}

/// A control record, read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ControlRecord {
    /// The end of a transaction.
    Marker(TransactionMarker),
    /// Something that is not about transactions; its value is not read here.
    Other(ControlType),
}

/// Why a control record cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The key does not hold a version and a type.
    #[error("control key has {bytes} bytes, at least 4 are needed")]
    KeyTooShort {
        /// How long it is.
        bytes: usize,
    },
    /// The key's version is negative.
    #[error("control key has version {version}")]
    KeyVersion {
        /// The version.
        version: i16,
    },
    /// The value of a marker does not hold a version and an epoch.
    #[error("transaction marker has {bytes} bytes, at least 6 are needed")]
    ValueTooShort {
        /// How long it is.
        bytes: usize,
    },
    /// The version of a marker's value is negative.
    #[error("transaction marker has version {version}")]
    ValueVersion {
        /// The version.
        version: i16,
    },
}

impl ControlRecord {
    /// Reads a record of a control batch.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if the key, or a marker's value, is too short or has a negative version.
    pub fn parse(record: &Record<'_>) -> Result<Self, ControlError> {
        let control_type = parse_key(record.key.unwrap_or_default())?;
        let result = match control_type {
            ControlType::Commit => TransactionResult::Commit,
            ControlType::Abort => TransactionResult::Abort,
            ControlType::LeaderChange
            | ControlType::SnapshotHeader
            | ControlType::SnapshotFooter
            | ControlType::KraftVersion
            | ControlType::KraftVoters
            | ControlType::Unknown(_) => return Ok(Self::Other(control_type)),
        };
        TransactionMarker::parse(result, record.value).map(Self::Marker)
    }

    /// What the record is about.
    pub const fn control_type(self) -> ControlType {
        match self {
            Self::Marker(TransactionMarker { result: TransactionResult::Commit, .. }) => ControlType::Commit,
            Self::Marker(TransactionMarker { result: TransactionResult::Abort, .. }) => ControlType::Abort,
            Self::Other(control_type) => control_type,
        }
    }
}

fn parse_key(key: &[u8]) -> Result<ControlType, ControlError> {
    let fields: &[u8; 4] = key.first_chunk().ok_or(ControlError::KeyTooShort { bytes: key.len() })?;
    let version = i16::from_be_bytes([fields[0], fields[1]]);
    if version < 0 {
        return Err(ControlError::KeyVersion { version });
    }
    Ok(ControlType::from_i16(i16::from_be_bytes([fields[2], fields[3]])))
}

/// Version 0, then the type.
const fn control_key(control_type: ControlType) -> [u8; 4] {
    let number = control_type.as_i16().to_be_bytes();
    [0, 0, number[0], number[1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::LeaderEpoch;
    use crate::offset::Offset;
    use crate::record::DecompressLimit;
    use crate::record::tests::{bytes_of, parse_hex};

    const COMMIT: &str = "00000000000000640000004200000007022f182b2700300000000000000000000003e800000000000003e8\
                          000000000000002a0003ffffffff000000012000000008000000010c00000000000900";
    const ABORT: &str = "0000000000000064000000420000000702db26fd6f00300000000000000000000003e800000000000003e8\
                         000000000000002a0003ffffffff000000012000000008000000000c00000000000900";

    fn marker(result: TransactionResult) -> Batch {
        let marker = TransactionMarker { result, coordinator_epoch: 9 };
        let epoch = ProducerEpoch::new(3).unwrap();
        let batch = marker.to_batch(ProducerId::new(42).unwrap(), epoch, Timestamp::from_millis(1000)).unwrap();
        batch.stamped(Offset::new(100), Some(LeaderEpoch::new(7))).unwrap()
    }

    fn parse(key: &[u8], value: &[u8]) -> Result<ControlRecord, ControlError> {
        let mut builder = BatchBuilder::new(Codec::None).control();
        builder.push(&NewRecord::new(Timestamp::NONE, Some(key), Some(value))).unwrap();
        let records = builder.build().unwrap().records(DecompressLimit::default()).unwrap();
        ControlRecord::parse(&records.iter().next().unwrap().unwrap())
    }

    #[test]
    fn markers_have_the_listed_bytes() {
        assert_eq!(marker(TransactionResult::Commit).to_bytes(), bytes_of(COMMIT));
        assert_eq!(marker(TransactionResult::Abort).to_bytes(), bytes_of(ABORT));
    }

    #[test]
    fn fmt_21_a_marker_reads_back_and_an_unknown_type_is_recognised() {
        let records = parse_hex(COMMIT).records(DecompressLimit::default()).unwrap();
        let record = ControlRecord::parse(&records.iter().next().unwrap().unwrap()).unwrap();
        let expected = TransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 9 };
        assert_eq!(record, ControlRecord::Marker(expected));
        assert_eq!(record.control_type().as_i16(), 1);
        assert_eq!(parse(&[0, 0, 0, 99], b""), Ok(ControlRecord::Other(ControlType::Unknown(99))));
        assert_eq!(parse(&[0, 7, 0, 2], b""), Ok(ControlRecord::Other(ControlType::LeaderChange)));
    }

    #[test]
    fn fmt_22_a_marker_value_of_five_bytes_is_refused() {
        assert_eq!(parse(&[0, 0, 0, 1], &[0; 5]), Err(ControlError::ValueTooShort { bytes: 5 }));
    }

    #[test]
    fn fmt_23_a_negative_version_is_refused_and_a_newer_one_read_as_version_0() {
        assert_eq!(parse(&[0, 0, 0, 0], &[0xff, 0xff, 0, 0, 0, 9]), Err(ControlError::ValueVersion { version: -1 }));
        assert_eq!(parse(&[0xff, 0xff, 0, 0], &[0; 6]), Err(ControlError::KeyVersion { version: -1 }));
        assert_eq!(parse(&[0, 0, 0], &[0; 6]), Err(ControlError::KeyTooShort { bytes: 3 }));
        let newer = parse(&[0, 0, 0, 0], &[0, 1, 0, 0, 0, 9, 1, 2, 3, 4]).unwrap();
        let expected = TransactionMarker { result: TransactionResult::Abort, coordinator_epoch: 9 };
        assert_eq!(newer, ControlRecord::Marker(expected));
    }

    #[test]
    fn every_type_has_its_own_number() {
        for number in -1..=8 {
            assert_eq!(ControlType::from_i16(number).as_i16(), number);
        }
    }
}
