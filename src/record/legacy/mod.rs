//! Formats older than the batch v2, where they can still be on disk.
//!
//! - May use: the newtypes, `attributes`, `compress`, `fields`, and the errors of `batch` and `records`.
//! - Must not know: the log, files.
//! - Always true: a compressed message holds uncompressed ones, never deeper; what it holds has been checked to the
//!   last byte before the first record is given out.
//!
//! A [`LegacyBatch`] is one entry of a log in format 0 or 1: a message, or a compressed message around others.
//! [`MessageV07`] is an entry of a log of Kafka 0.7, which nothing in the bytes tells from format 0.

mod message;
mod v07;
mod write;

use bytes::Bytes;

use crate::epoch::Sequence;
use crate::offset::Offset;
use crate::record::attributes::{Codec, TimestampType};
use crate::record::batch::BatchError;
use crate::record::compress::{self, DecompressLimit, Lz4Header};
use crate::record::fields::{Headers, Record, RecordFault};
use crate::record::kept::kept;
use crate::record::records::{RecordError, Records};
use crate::time::Timestamp;

use message::{Framed, Message};
pub use v07::{MessageV07, PayloadsV07};
pub use write::{LegacyMagic, NewMessage};

/// One entry of a log in format 0 or 1, checked: its length, magic, checksum and fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LegacyBatch {
    offset: Offset,
    magic: i8,
    crc: u32,
    codec: Codec,
    timestamp_type: Option<TimestampType>,
    timestamp: Timestamp,
    /// The entry, its offset and size included.
    bytes: Bytes,
}

impl LegacyBatch {
    /// The same entry, whose bytes somebody else owns: `keep` gives back what it is given.
    pub(crate) fn kept(self, keep: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self { bytes: kept(self.bytes, keep), ..self }
    }

    /// Checks the entry at the front of `bytes` and shares it. What follows it is left alone.
    ///
    /// # Errors
    ///
    /// [`BatchError::Incomplete`] if `bytes` ends too early, else what is wrong with the entry.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let framed = Framed::parse(bytes)?;
        let message = Message::parse(framed.message).ok_or(BatchError::InvalidFields)?;
        let computed = Message::checksum_of(framed.message);
        if computed != message.crc {
            return Err(BatchError::Corrupt { stored: message.crc, computed });
        }
        let out_of_range = BatchError::InvalidOffset { base_offset: framed.offset, last_offset_delta: 0 };
        let offset = Offset::from_i64(framed.offset).ok_or(out_of_range)?;
        offset.checked_advance(1).ok_or(out_of_range)?;
        Ok(Self {
            offset,
            magic: message.magic,
            crc: message.crc,
            codec: message.legal_codec()?,
            timestamp_type: message.timestamp_type(),
            timestamp: message.timestamp,
            bytes: bytes.slice(..framed.size()),
        })
    }

    /// The entry as it stands in a file.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many bytes the entry takes in a file.
    pub fn size(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Its format: 0 or 1.
    pub fn magic(&self) -> i8 {
        self.magic
    }

    /// The checksum, which was right.
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// The offset of the message, or of the last one in it.
    pub fn last_offset(&self) -> Offset {
        self.offset
    }

    /// How what it holds is compressed.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Whose clock the timestamps are from; `None` in format 0, which has none.
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        self.timestamp_type
    }

    /// The largest timestamp; none in format 0.
    pub fn max_timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The offset of the first message. Inside a compressed one it takes decompression to know it.
    ///
    /// # Errors
    ///
    /// As [`LegacyBatch::records`].
    pub fn base_offset(&self, limit: DecompressLimit) -> Result<Offset, RecordError> {
        if self.codec == Codec::None {
            return Ok(self.offset);
        }
        let records = self.inner(limit)?;
        let first = records.iter().next().ok_or(RecordError::EmptyWrapper)?;
        first.map(|record| record.offset)
    }

    /// The records, decompressed to at most `limit` bytes.
    ///
    /// None has an offset past [`LegacyBatch::last_offset`], unless that is 0: an old librdkafka left it so, and the
    /// first leader that appended the entry gave it another.
    ///
    /// # Errors
    ///
    /// [`RecordError::Codec`] if they cannot be decompressed within the limit, else what is wrong with a message inside.
    pub fn records(&self, limit: DecompressLimit) -> Result<Records, RecordError> {
        self.inner(limit).map(Records::legacy)
    }

    fn inner(&self, limit: DecompressLimit) -> Result<LegacyRecords, RecordError> {
        if self.codec == Codec::None {
            return Ok(LegacyRecords { bytes: self.bytes.clone(), base: 0, append_time: None });
        }
        // `parse` has read these fields before.
        let value = self.bytes.get(Framed::OVERHEAD..).and_then(Message::parse).and_then(|message| message.value);
        let value = value.ok_or(RecordError::EmptyWrapper)?;
        let lz4_header = if self.magic == 0 { Lz4Header::Magic0 } else { Lz4Header::Standard };
        let bytes = Bytes::from(compress::decompress(self.codec, value, limit, lz4_header)?);
        let base = self.check_inner(&bytes)?;
        let append_time = match self.timestamp_type {
            Some(TimestampType::LogAppendTime) => Some(self.timestamp),
            Some(TimestampType::CreateTime) | None => None,
        };
        Ok(LegacyRecords { bytes, base, append_time })
    }

    /// Checks every message inside and returns what their offsets count from.
    fn check_inner(&self, bytes: &[u8]) -> Result<i64, RecordError> {
        let wrapper = self.offset.as_i64();
        // An old librdkafka left the offset at 0, whatever it wrapped.
        let offset_max = if self.magic == 0 && wrapper != 0 { wrapper } else { i64::MAX - 1 };
        let mut rest = bytes;
        let mut index = 0;
        let mut offset_min = 0;
        while !rest.is_empty() {
            let (message, found) = Message::take_inner(&mut rest).map_err(|fault| RecordError::of(index, fault))?;
            if message.magic != self.magic {
                let fault = RecordFault::Magic { found: message.magic, wrapper: self.magic };
                return Err(RecordError::of(index, fault));
            }
            if found < offset_min || found > offset_max {
                let fault = RecordFault::Offset { found, min: offset_min, max: offset_max };
                return Err(RecordError::of(index, fault));
            }
            offset_min = found + 1;
            index += 1;
        }
        let inner = offset_min - 1;
        match self.magic {
            _ if index == 0 => Err(RecordError::EmptyWrapper),
            0 => Ok(0),
            _ if wrapper == 0 => Ok(0),
            _ if wrapper < inner => Err(RecordError::WrapperOffset { wrapper, inner }),
            _ => Ok(wrapper - inner),
        }
    }
}

/// Messages that have been checked, one behind the other.
#[derive(Clone, Debug)]
pub(crate) struct LegacyRecords {
    bytes: Bytes,
    /// What the messages' offsets count from.
    base: i64,
    /// The timestamp of them all, if their wrapper says so.
    append_time: Option<Timestamp>,
}

impl LegacyRecords {
    pub(crate) fn kept(self, keep: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self { bytes: kept(self.bytes, keep), ..self }
    }

    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn iter(&self) -> LegacyIter<'_> {
        LegacyIter { rest: &self.bytes, base: self.base, append_time: self.append_time }
    }
}

/// Iterates over [`LegacyRecords`].
#[derive(Clone, Debug)]
pub(crate) struct LegacyIter<'a> {
    rest: &'a [u8],
    base: i64,
    append_time: Option<Timestamp>,
}

impl<'a> LegacyIter<'a> {
    /// How many bytes follow.
    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The same, going on where so many bytes follow.
    pub(crate) fn with_left(self, left: usize) -> Self {
        Self { rest: &self.rest[self.rest.len().saturating_sub(left)..], ..self }
    }

    pub(crate) fn next(&mut self) -> Option<Result<Record<'a>, RecordError>> {
        // Every message has been parsed once, so there is no other end than that of the bytes.
        let (offset, message) = Message::take(&mut self.rest)?;
        Some(Ok(Record {
            offset: Offset::from_i64(self.base.checked_add(offset)?)?,
            timestamp: self.append_time.unwrap_or(message.timestamp),
            sequence: None::<Sequence>,
            key: message.key,
            value: message.value,
            headers: Headers::NONE,
        }))
    }
}

impl Message<'_> {
    /// The codec, of those that were legal at the time.
    fn legal_codec(&self) -> Result<Codec, BatchError> {
        match self.codec() {
            Some(codec) if codec != Codec::Zstd => Ok(codec),
            _ => Err(BatchError::UnsupportedCodec { codec: self.codec_bits() }),
        }
    }
}

#[cfg(test)]
mod tests;
