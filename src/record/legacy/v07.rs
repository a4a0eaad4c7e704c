//! The format of Kafka 0.7: no offsets, no keys; a message is addressed by its position (format.md, section 3).

use bytes::Bytes;

use crate::record::attributes::Codec;
use crate::record::batch::BatchError;
use crate::record::build::BuildError;
use crate::record::compress::DecompressLimit;
use crate::record::fields::RecordFault;
use crate::record::records::RecordError;

use super::message::{fault_of, take};

/// One entry of a log of Kafka 0.7, checked. Its offset is the position of its first byte in the partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageV07 {
    size: u32,
    codec: Codec,
    payload: Bytes,
}

impl MessageV07 {
    /// The bytes of the length field.
    const OVERHEAD: u64 = 4;
    /// What the length counts at least: a magic byte and the checksum.
    const LENGTH_MIN: u32 = 5;

    /// Checks the entry at the front of `bytes` and shares its payload. What follows it is left alone.
    ///
    /// The caller has to know that `bytes` are of Kafka 0.7: they cannot be told from those of format 0.
    ///
    /// # Errors
    ///
    /// [`BatchError::Incomplete`] if `bytes` ends too early, else what is wrong with the entry.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let found = bytes.len() as u64;
        let mut rest = &bytes[..];
        let incomplete = |needed| BatchError::Incomplete { needed, found };
        let length = take(&mut rest).map(i32::from_be_bytes);
        let length = length.ok_or_else(|| incomplete(Self::OVERHEAD + u64::from(Self::LENGTH_MIN)))?;
        let most = i32::MAX - Self::OVERHEAD as i32;
        let valid = u32::try_from(length).ok().filter(|valid| *valid >= Self::LENGTH_MIN && length <= most);
        let valid = valid.ok_or(BatchError::InvalidLength { length, min: Self::LENGTH_MIN })?;
        let mut body = rest.get(..valid as usize).ok_or_else(|| incomplete(u64::from(valid) + Self::OVERHEAD))?;
        let codec = take_codec(&mut body)?;
        let too_short = BatchError::InvalidLength { length, min: Self::LENGTH_MIN + 1 };
        let stored = take(&mut body).map(u32::from_be_bytes).ok_or(too_short)?;
        let computed = crc32fast::hash(body);
        if stored != computed {
            return Err(BatchError::Corrupt { stored, computed });
        }
        Ok(Self { size: valid + Self::OVERHEAD as u32, codec, payload: bytes.slice_ref(body) })
    }

    /// Appends an uncompressed entry, with the attributes byte that magic 1 added, to `out`.
    ///
    /// # Errors
    ///
    /// [`BuildError::TooLarge`] if its signed length field cannot hold its size; `out` is as before.
    pub fn write(payload: &[u8], out: &mut Vec<u8>) -> Result<(), BuildError> {
        Self::append(&[1, Codec::None.bits()], payload, out)
    }

    /// Appends an entry of magic 0, which knows no compression, to `out`.
    ///
    /// # Errors
    ///
    /// As [`MessageV07::write`].
    pub fn write_magic_0(payload: &[u8], out: &mut Vec<u8>) -> Result<(), BuildError> {
        Self::append(&[0], payload, out)
    }

    pub(super) fn append(head: &[u8], payload: &[u8], out: &mut Vec<u8>) -> Result<(), BuildError> {
        let length = head.len() as u64 + 4 + payload.len() as u64;
        let field = i32::try_from(length).ok().filter(|field| *field <= i32::MAX - Self::OVERHEAD as i32);
        let field = field.ok_or(BuildError::TooLarge { size: length + Self::OVERHEAD })?;
        out.extend_from_slice(&field.to_be_bytes());
        out.extend_from_slice(head);
        out.extend_from_slice(&crc32fast::hash(payload).to_be_bytes());
        out.extend_from_slice(payload);
        Ok(())
    }

    /// How many bytes the entry takes in a file: the next one's offset is this much larger.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How the payload is compressed.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The payload as it stands in the file.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload, or those of the entries that are compressed in it, decompressed to at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`RecordError::Codec`] if they cannot be decompressed within the limit.
    pub fn payloads(&self, limit: DecompressLimit) -> Result<PayloadsV07, RecordError> {
        if self.codec == Codec::None {
            return Ok(PayloadsV07 { single: Some(self.payload.clone()), rest: Bytes::new(), index: 0 });
        }
        let bytes = self.codec.decompress(&self.payload, limit)?;
        if bytes.is_empty() {
            return Err(RecordError::EmptyWrapper);
        }
        Ok(PayloadsV07 { single: None, rest: Bytes::from(bytes), index: 0 })
    }
}

/// The magic byte and, with magic 1, the attributes.
fn take_codec(body: &mut &[u8]) -> Result<Codec, BatchError> {
    let [magic] = take(body).unwrap_or_default();
    if magic == 0 {
        return Ok(Codec::None);
    }
    if magic != 1 {
        return Err(BatchError::UnsupportedMagic { magic: magic as i8 });
    }
    let [attributes] = take(body).unwrap_or_default();
    match Codec::from_bits(attributes & 3) {
        Some(codec @ (Codec::None | Codec::Gzip | Codec::Snappy)) => Ok(codec),
        _ => Err(BatchError::UnsupportedCodec { codec: attributes & 3 }),
    }
}

/// The payloads of one [`MessageV07`], in order. After an error it ends.
#[derive(Clone, Debug)]
pub struct PayloadsV07 {
    single: Option<Bytes>,
    rest: Bytes,
    index: u32,
}

impl PayloadsV07 {
    fn step(&mut self) -> Result<Bytes, RecordError> {
        let fault = |fault| RecordError::of(self.index, fault);
        let inner = MessageV07::parse(&self.rest).map_err(|error| fault(fault_of(error, self.rest.len())))?;
        if inner.codec != Codec::None {
            return Err(fault(RecordFault::Nested));
        }
        self.rest = self.rest.slice(inner.size as usize..);
        self.index += 1;
        Ok(inner.payload)
    }
}

impl Iterator for PayloadsV07 {
    type Item = Result<Bytes, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(single) = self.single.take() {
            return Some(Ok(single));
        }
        if self.rest.is_empty() {
            return None;
        }
        let item = self.step();
        if item.is_err() {
            self.rest = Bytes::new();
        }
        Some(item)
    }
}
