//! The records of one batch, iterated without an allocation per record.
//!
//! - May use: the newtypes, `attributes`, `batch`, `compress`, `fields`, `legacy`.
//! - Must not know: files, the log.
//! - Always true: an iterator ends after its first error; without one it has seen exactly the records that the batch
//!   counts and every byte of them, and their offsets rise within the batch's own.

use bytes::Bytes;

use crate::epoch::Sequence;
use crate::offset::Offset;
use crate::record::attributes::TimestampType;
use crate::record::batch::Batch;
use crate::record::compress::{CodecError, DecompressLimit};
use crate::record::fields::{RawRecord, Record, RecordFault};
use crate::record::kept::kept;
use crate::record::legacy::{LegacyIter, LegacyRecords};
use crate::time::Timestamp;

/// Why the records of a batch cannot be read. The batch's checksum was right, so its writer was wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A number inside a record is none.
    #[error("record {index} has an invalid varint")]
    InvalidVarint {
        /// Which record, counted from 0.
        index: u32,
    },
    /// A record is not what it should be.
    #[error("record {index} is invalid: {fault}")]
    InvalidRecord {
        /// Which record, counted from 0.
        index: u32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// The batch ends before the last record that it counts.
    #[error("batch of {expected} records ends after {found}")]
    TooFewRecords {
        /// The batch's count.
        expected: u32,
        /// How many there are.
        found: u32,
    },
    /// Bytes follow the last record.
    #[error("{bytes} bytes follow the last record of the batch")]
    Leftover {
        /// How many.
        bytes: usize,
    },
    /// Legacy: a compressed message has no value, or no messages in it.
    #[error("a compressed message holds no messages")]
    EmptyWrapper,
    /// Legacy: the offset of a compressed message is smaller than that of the last message in it.
    #[error("compressed message at offset {wrapper} holds a message at {inner}")]
    WrapperOffset {
        /// Where the compressed message says it ends.
        wrapper: i64,
        /// The offset of the last message in it.
        inner: i64,
    },
    /// The records cannot be decompressed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl RecordError {
    pub(crate) const fn of(index: u32, fault: RecordFault) -> Self {
        if matches!(fault, RecordFault::InvalidVarint) {
            return Self::InvalidVarint { index };
        }
        Self::InvalidRecord { index, fault }
    }
}

/// The records of a batch, decompressed. Those of an uncompressed batch share its bytes.
#[derive(Clone, Debug)]
pub struct Records(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Batch { bytes: Bytes, frame: Frame },
    Legacy(LegacyRecords),
}

/// What a batch says about all of its records.
#[derive(Clone, Copy, Debug)]
struct Frame {
    base_offset: Offset,
    last_offset_delta: u32,
    base_timestamp: Timestamp,
    /// Under `LogAppendTime`, the timestamp of every record.
    append_time: Option<Timestamp>,
    base_sequence: Option<Sequence>,
    count: u32,
}

impl Batch {
    /// The records, decompressed to at most `limit` bytes. Uncompressed records are shared and the limit is not asked.
    ///
    /// No record has been looked at yet: what is wrong with one is found while iterating.
    ///
    /// # Errors
    ///
    /// [`RecordError::Codec`] if the records cannot be decompressed within the limit.
    pub fn records(&self, limit: DecompressLimit) -> Result<Records, RecordError> {
        let bytes = self.payload_decompressed(limit)?;
        let append_time = match self.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.max_timestamp()),
        };
        let frame = Frame {
            base_offset: self.base_offset(),
            last_offset_delta: self.last_offset_delta(),
            base_timestamp: self.base_timestamp(),
            append_time,
            // Kafka's coordinators write a sequence without a producer id, and its readers show it.
            base_sequence: Sequence::new(self.header().base_sequence),
            count: self.record_count(),
        };
        Ok(Records(Inner::Batch { bytes, frame }))
    }
}

impl Records {
    pub(crate) const fn legacy(records: LegacyRecords) -> Self {
        Self(Inner::Legacy(records))
    }

    /// The same records, whose bytes somebody else owns: `keep` gives back what it is given.
    pub(crate) fn kept(self, keep: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self(match self.0 {
            Inner::Batch { bytes, frame } => Inner::Batch { bytes: kept(bytes, keep), frame },
            Inner::Legacy(records) => Inner::Legacy(records.kept(keep)),
        })
    }

    /// What keys, values and headers borrow from.
    pub(crate) const fn bytes(&self) -> &Bytes {
        match &self.0 {
            Inner::Batch { bytes, .. } => bytes,
            Inner::Legacy(records) => records.bytes(),
        }
    }

    /// The records in order of their offsets.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter(match &self.0 {
            Inner::Batch { bytes, frame } => {
                Cursor::Batch(BatchIter { rest: bytes, frame, index: 0, delta_min: 0, ended: false })
            }
            Inner::Legacy(records) => Cursor::Legacy(records.iter()),
        })
    }
}

/// A place between two records of a batch, from which to go on without reading those in front of it again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecordMark {
    /// How many bytes follow.
    left: usize,
    index: u32,
    delta_min: i64,
}

impl Records {
    /// The records behind `mark`, which an iterator over these records has given. Another batch's mark leads to errors.
    pub fn iter_from(&self, mark: RecordMark) -> RecordIter<'_> {
        let behind = |bytes: &[u8]| bytes.len().saturating_sub(mark.left);
        RecordIter(match &self.0 {
            Inner::Batch { bytes, frame } => {
                let rest = &bytes[behind(bytes)..];
                Cursor::Batch(BatchIter { rest, frame, index: mark.index, delta_min: mark.delta_min, ended: false })
            }
            Inner::Legacy(records) => Cursor::Legacy(records.iter().with_left(mark.left)),
        })
    }
}

impl RecordIter<'_> {
    /// The place behind the last record that was given out.
    pub fn mark(&self) -> RecordMark {
        match &self.0 {
            Cursor::Batch(iter) => RecordMark { left: iter.rest.len(), index: iter.index, delta_min: iter.delta_min },
            Cursor::Legacy(iter) => RecordMark { left: iter.left(), index: 0, delta_min: 0 },
        }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>, RecordError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Records`]. After an error it ends.
#[derive(Clone, Debug)]
pub struct RecordIter<'a>(Cursor<'a>);

#[derive(Clone, Debug)]
enum Cursor<'a> {
    Batch(BatchIter<'a>),
    Legacy(LegacyIter<'a>),
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Cursor::Batch(iter) => iter.next(),
            Cursor::Legacy(iter) => iter.next(),
        }
    }
}

impl std::iter::FusedIterator for RecordIter<'_> {}

#[derive(Clone, Debug)]
struct BatchIter<'a> {
    rest: &'a [u8],
    frame: &'a Frame,
    /// How many records have been given out.
    index: u32,
    /// The smallest offset delta that the next record can have.
    delta_min: i64,
    ended: bool,
}

impl<'a> BatchIter<'a> {
    #[inline]
    fn next(&mut self) -> Option<Result<Record<'a>, RecordError>> {
        if self.ended {
            return None;
        }
        let item = self.step().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Record<'a>>, RecordError> {
        if self.index == self.frame.count {
            return match self.rest.len() {
                0 => Ok(None),
                bytes => Err(RecordError::Leftover { bytes }),
            };
        }
        if self.rest.is_empty() {
            return Err(RecordError::TooFewRecords { expected: self.frame.count, found: self.index });
        }
        let raw = RawRecord::take(&mut self.rest).map_err(|fault| RecordError::of(self.index, fault))?;
        let record = self.placed(&raw)?;
        self.index += 1;
        Ok(Some(record))
    }

    /// The record with its offset, timestamp and sequence.
    fn placed(&mut self, raw: &RawRecord<'a>) -> Result<Record<'a>, RecordError> {
        let (found, min, max) = (i64::from(raw.offset_delta), self.delta_min, i64::from(self.frame.last_offset_delta));
        if found < min || found > max {
            return Err(RecordError::of(self.index, RecordFault::Offset { found, min, max }));
        }
        self.delta_min = found + 1;
        let delta = raw.offset_delta as u32;
        Ok(Record {
            offset: self.frame.base_offset.advance(u64::from(delta)),
            timestamp: self.frame.append_time.unwrap_or_else(|| raw.create_time(self.frame.base_timestamp)),
            sequence: self.frame.base_sequence.map(|base| base.advance(delta)),
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        })
    }
}
