//! One message of format 0 or 1, and the frame of offset and size around it (format.md, section 3).

use crate::record::attributes::{Codec, TimestampType};
use crate::record::batch::BatchError;
use crate::record::fields::RecordFault;
use crate::time::Timestamp;

/// A message in its frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framed<'a> {
    pub(super) offset: i64,
    pub(super) message: &'a [u8],
}

impl<'a> Framed<'a> {
    /// The bytes of offset and size.
    pub(super) const OVERHEAD: usize = 12;
    /// The smallest message: one of format 0 without key and value.
    pub(super) const SIZE_MIN: u32 = 14;

    /// The frame at the front of `bytes`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let found = bytes.len() as u64;
        let incomplete = |needed| BatchError::Incomplete { needed, found };
        let mut rest = bytes;
        let smallest = Self::OVERHEAD as u64 + u64::from(Self::SIZE_MIN);
        let offset = take(&mut rest).map(i64::from_be_bytes).ok_or_else(|| incomplete(smallest))?;
        let size = take(&mut rest).map(i32::from_be_bytes).ok_or_else(|| incomplete(smallest))?;
        let most = i32::MAX - Self::OVERHEAD as i32;
        let valid = u32::try_from(size).ok().filter(|valid| *valid >= Self::SIZE_MIN && size <= most);
        let valid = valid.ok_or(BatchError::InvalidLength { length: size, min: Self::SIZE_MIN })?;
        let message = rest.get(..valid as usize);
        let message = message.ok_or_else(|| incomplete(u64::from(valid) + Self::OVERHEAD as u64))?;
        Ok(Self { offset, message })
    }

    pub(super) const fn size(&self) -> usize {
        Self::OVERHEAD + self.message.len()
    }
}

/// The fields of one message. Nothing but their lengths has been checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) crc: u32,
    pub(super) magic: i8,
    attributes: u8,
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Where the bytes begin that the checksum covers.
    const CHECKED_FROM: usize = 4;
    const LOG_APPEND_TIME: u8 = 0x08;

    /// The message that fills `bytes`; `None` if its fields do not, or it is of another format.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let crc = take(&mut rest).map(u32::from_be_bytes)?;
        let [magic, attributes] = take(&mut rest)?;
        let timestamp = match magic {
            0 => Timestamp::NONE,
            1 => Timestamp::from_millis(take(&mut rest).map(i64::from_be_bytes)?),
            _ => return None,
        };
        let key = take_nullable(&mut rest)?;
        let value = take_nullable(&mut rest)?;
        let message = Self { crc, magic: magic as i8, attributes, timestamp, key, value };
        rest.is_empty().then_some(message)
    }

    /// Takes a message and its offset off the front of messages that have been checked.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Option<(i64, Self)> {
        let framed = Framed::parse(bytes).ok()?;
        let message = Self::parse(framed.message)?;
        *bytes = &bytes[framed.size()..];
        Some((framed.offset, message))
    }

    /// Takes a message and its offset out of a compressed one, and checks it.
    pub(super) fn take_inner(bytes: &mut &'a [u8]) -> Result<(Self, i64), RecordFault> {
        let framed = Framed::parse(bytes).map_err(|error| fault_of(error, bytes.len()))?;
        let message = Self::parse(framed.message).ok_or(RecordFault::CutShort)?;
        let computed = Self::checksum_of(framed.message);
        if message.crc != computed {
            return Err(RecordFault::Checksum { stored: message.crc, computed });
        }
        if message.codec() != Some(Codec::None) {
            return Err(RecordFault::Nested);
        }
        *bytes = &bytes[framed.size()..];
        Ok((message, framed.offset))
    }

    /// CRC-32 of everything behind the checksum.
    pub(super) fn checksum_of(message: &[u8]) -> u32 {
        crc32fast::hash(message.get(Self::CHECKED_FROM..).unwrap_or_default())
    }

    pub(super) const fn codec_bits(&self) -> u8 {
        self.attributes & 0x07
    }

    pub(super) const fn codec(&self) -> Option<Codec> {
        Codec::from_bits(self.codec_bits())
    }

    pub(super) const fn timestamp_type(&self) -> Option<TimestampType> {
        match self.magic {
            0 => None,
            _ if self.attributes & Self::LOG_APPEND_TIME == 0 => Some(TimestampType::CreateTime),
            _ => Some(TimestampType::LogAppendTime),
        }
    }
}

/// What is wrong with a message inside a compressed one, which has `found` bytes left.
pub(super) const fn fault_of(error: BatchError, found: usize) -> RecordFault {
    match error {
        BatchError::InvalidLength { length, .. } => RecordFault::Length { length, found },
        BatchError::Corrupt { stored, computed } => RecordFault::Checksum { stored, computed },
        BatchError::UnsupportedMagic { magic } => RecordFault::Magic { found: magic, wrapper: 1 },
        BatchError::UnsupportedCodec { .. } => RecordFault::Nested,
        BatchError::Incomplete { .. }
        | BatchError::InvalidFields
        | BatchError::InvalidOffset { .. }
        | BatchError::InvalidRecordCount { .. } => RecordFault::CutShort,
    }
}

fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match i32::from_be_bytes(take(bytes)?) {
        -1 => Some(None),
        length => {
            let (slice, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
            *bytes = rest;
            Some(Some(slice))
        }
    }
}

pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*field)
}
