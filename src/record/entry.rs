//! One entry of a `.log` file, of whatever format.
//!
//! - May use: the newtypes, `attributes`, `batch`, `compress`, `legacy`, `records`.
//! - Must not know: files; it is fed their bytes.
//! - Always true: the magic byte, which all formats from 0 on keep at the same place, decides who reads the rest.

use bytes::Bytes;

use crate::epoch::LeaderEpoch;
use crate::offset::Offset;
use crate::record::attributes::{Codec, TimestampType};
use crate::record::batch::{Batch, BatchError, ProducerStamp};
use crate::record::compress::DecompressLimit;
use crate::record::legacy::LegacyBatch;
use crate::record::records::{RecordError, Records};
use crate::time::Timestamp;

/// One entry of a log: a batch v2, or a message of a format before it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// Magic 2.
    Batch(Batch),
    /// Magic 0 or 1.
    Legacy(LegacyBatch),
}

impl Entry {
    /// How many bytes it takes to see which format an entry has.
    pub const MAGIC_END: usize = 17;
    /// The smallest length field of any format.
    const LENGTH_MIN: u32 = 14;

    /// Checks the entry at the front of `bytes` and shares it. What follows it is left alone.
    ///
    /// # Errors
    ///
    /// [`BatchError::Incomplete`] if `bytes` ends too early, with how many are needed as far as can be told; else what
    /// is wrong with the entry.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        if let Some(field) = bytes.get(8..12).and_then(|field| field.first_chunk()) {
            let length = i32::from_be_bytes(*field);
            if length < Self::LENGTH_MIN as i32 {
                return Err(BatchError::InvalidLength { length, min: Self::LENGTH_MIN });
            }
        }
        match bytes.get(Self::MAGIC_END - 1).map(|byte| *byte as i8) {
            None => Err(BatchError::Incomplete { needed: Self::MAGIC_END as u64, found: bytes.len() as u64 }),
            Some(0 | 1) => LegacyBatch::parse(bytes).map(Self::Legacy),
            Some(2) => Batch::parse(bytes).map(Self::Batch),
            Some(magic) => Err(BatchError::UnsupportedMagic { magic }),
        }
    }

    /// The batch, if it is one of magic 2.
    pub fn as_batch(&self) -> Option<&Batch> {
        match self {
            Self::Batch(batch) => Some(batch),
            Self::Legacy(_) => None,
        }
    }

    /// The same entry, whose bytes somebody else owns: `keep` gives back what it is given.
    pub(crate) fn kept(self, keep: impl FnOnce(Bytes) -> Bytes) -> Self {
        match self {
            Self::Batch(batch) => Self::Batch(batch.kept(keep)),
            Self::Legacy(legacy) => Self::Legacy(legacy.kept(keep)),
        }
    }

    /// How many bytes the entry takes in a file.
    pub fn size(&self) -> u32 {
        match self {
            Self::Batch(batch) => batch.size(),
            Self::Legacy(legacy) => legacy.size(),
        }
    }

    /// The format: 0, 1 or 2.
    pub fn magic(&self) -> i8 {
        match self {
            Self::Batch(_) => 2,
            Self::Legacy(legacy) => legacy.magic(),
        }
    }

    /// The bytes as they stand in a file: a copy for a batch, shared for a legacy entry.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Batch(batch) => batch.to_bytes(),
            Self::Legacy(legacy) => legacy.as_bytes().clone(),
        }
    }

    /// The offset of the first record. A compressed legacy entry is decompressed to at most `limit` bytes to know it.
    ///
    /// # Errors
    ///
    /// As [`Entry::records`], and only for a compressed legacy entry.
    pub fn base_offset(&self, limit: DecompressLimit) -> Result<Offset, RecordError> {
        match self {
            Self::Batch(batch) => Ok(batch.base_offset()),
            Self::Legacy(legacy) => legacy.base_offset(limit),
        }
    }

    /// The offset of the last record, or of where it was before compaction.
    pub fn last_offset(&self) -> Offset {
        match self {
            Self::Batch(batch) => batch.last_offset(),
            Self::Legacy(legacy) => legacy.last_offset(),
        }
    }

    /// The offset behind the entry.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().advance(1)
    }

    /// The largest timestamp; none in format 0.
    pub fn max_timestamp(&self) -> Timestamp {
        match self {
            Self::Batch(batch) => batch.max_timestamp(),
            Self::Legacy(legacy) => legacy.max_timestamp(),
        }
    }

    /// Whose clock the timestamps are from; `None` in format 0, which has none.
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        match self {
            Self::Batch(batch) => Some(batch.timestamp_type()),
            Self::Legacy(legacy) => legacy.timestamp_type(),
        }
    }

    /// In which reign the leader appended it; not known before magic 2.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.as_batch().and_then(Batch::leader_epoch)
    }

    /// Who wrote it, if it was an idempotent producer.
    pub fn producer(&self) -> Option<ProducerStamp> {
        self.as_batch().and_then(Batch::producer)
    }

    /// How the records are compressed.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Batch(batch) => batch.codec(),
            Self::Legacy(legacy) => legacy.codec(),
        }
    }

    /// Whether the records are compressed.
    pub fn is_compressed(&self) -> bool {
        self.codec() != Codec::None
    }

    /// Whether it holds a control record, which no application sees.
    pub fn is_control(&self) -> bool {
        self.as_batch().is_some_and(Batch::is_control)
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.as_batch().is_some_and(Batch::is_transactional)
    }

    /// The records, decompressed to at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`RecordError::Codec`] if they cannot be decompressed within the limit; for a legacy entry also what is wrong
    /// with a message inside.
    pub fn records(&self, limit: DecompressLimit) -> Result<Records, RecordError> {
        match self {
            Self::Batch(batch) => batch.records(limit),
            Self::Legacy(legacy) => legacy.records(limit),
        }
    }
}

impl From<Batch> for Entry {
    fn from(batch: Batch) -> Self {
        Self::Batch(batch)
    }
}
