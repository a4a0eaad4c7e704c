//! Writing formats 0 and 1: what compaction keeps of an old segment stays in its format.

use crate::offset::Offset;
use crate::record::attributes::{Codec, TimestampType};
use crate::record::build::BuildError;
use crate::record::compress::{self, CodecError, Lz4Header};
use crate::time::Timestamp;

use super::message::Framed;

/// A format older than the batch v2.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LegacyMagic {
    /// Of Kafka 0.8: no timestamps.
    V0,
    /// Of Kafka 0.10.
    V1,
}

/// A message of format 0 or 1 to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NewMessage<'a> {
    /// The format.
    pub magic: LegacyMagic,
    /// Its offset; inside a compressed message of format 1, counted from the first one there.
    pub offset: Offset,
    /// Its date; format 0 drops it.
    pub timestamp: Timestamp,
    /// Whose date that is; format 0 drops it.
    pub timestamp_type: TimestampType,
    /// The key; an empty one is not none.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone where the topic is compacted.
    pub value: Option<&'a [u8]>,
}

impl NewMessage<'_> {
    /// Appends the message, uncompressed, to `out`.
    ///
    /// # Errors
    ///
    /// [`BuildError::TooLarge`] if its signed length field cannot hold its size; `out` is as before.
    pub fn append_to(&self, out: &mut Vec<u8>) -> Result<(), BuildError> {
        self.append(Codec::None, out)
    }

    /// Appends a compressed message around `messages`, written one behind the other, to `out`.
    ///
    /// The offset must be that of the last of them, and the key and value are not used.
    ///
    /// # Errors
    ///
    /// [`BuildError::Codec`] if they cannot be compressed, or with zstd, which these formats do not know;
    /// [`BuildError::TooLarge`] as in [`NewMessage::append_to`]; `out` is as before.
    pub fn append_wrapping(&self, codec: Codec, messages: &[u8], out: &mut Vec<u8>) -> Result<(), BuildError> {
        if matches!(codec, Codec::None | Codec::Zstd) {
            return Err(CodecError::Unsupported { codec }.into());
        }
        let lz4_header = match self.magic {
            LegacyMagic::V0 => Lz4Header::Magic0,
            LegacyMagic::V1 => Lz4Header::Standard,
        };
        let mut value = Vec::new();
        compress::compress(codec, None, messages, &mut value, lz4_header)?;
        NewMessage { key: None, value: Some(&value), ..*self }.append(codec, out)
    }

    fn append(&self, codec: Codec, out: &mut Vec<u8>) -> Result<(), BuildError> {
        let fields = nullable_size(self.key) + nullable_size(self.value);
        let size = match self.magic {
            LegacyMagic::V0 => 6 + fields,
            LegacyMagic::V1 => 14 + fields,
        };
        let field = i32::try_from(size).ok().filter(|size| *size <= i32::MAX - Framed::OVERHEAD as i32);
        let field = field.ok_or(BuildError::TooLarge { size: size + Framed::OVERHEAD as u64 })?;
        out.reserve(size as usize + Framed::OVERHEAD);
        out.extend_from_slice(&self.offset.as_i64().to_be_bytes());
        out.extend_from_slice(&field.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match self.magic {
            LegacyMagic::V0 => out.extend_from_slice(&[0, codec.bits()]),
            LegacyMagic::V1 => {
                let append_time = self.timestamp_type == TimestampType::LogAppendTime;
                out.extend_from_slice(&[1, codec.bits() | u8::from(append_time) << 3]);
                out.extend_from_slice(&self.timestamp.as_millis().to_be_bytes());
            }
        }
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        let crc = crc32fast::hash(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&crc.to_be_bytes());
        Ok(())
    }
}

fn nullable_size(slice: Option<&[u8]>) -> u64 {
    4 + slice.map_or(0, |slice| slice.len() as u64)
}

fn put_nullable(out: &mut Vec<u8>, slice: Option<&[u8]>) {
    let Some(slice) = slice else { return out.extend_from_slice(&(-1_i32).to_be_bytes()) };
    // `append` has checked that the sum of all lengths fits.
    out.extend_from_slice(&(slice.len() as i32).to_be_bytes());
    out.extend_from_slice(slice);
}
