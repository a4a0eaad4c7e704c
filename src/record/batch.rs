//! A batch that has been checked once, and whose bytes are shared from then on.

use bytes::Bytes;

use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::id::ProducerId;
use crate::offset::Offset;
use crate::record::attributes::{Attributes, Codec, TimestampType};
use crate::record::compress::{CodecError, DecompressLimit};
use crate::record::header::Header;
use crate::record::kept::kept;
use crate::record::stamp::Stamp;
use crate::time::Timestamp;

/// A record batch v2 whose length, magic, checksum and header have been checked.
///
/// The records stay bytes. Cloning shares them; giving the batch another place ([`Batch::stamped`]) copies nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Batch {
    stamp: Stamp,
    header: Header,
    /// Everything behind the stamp, from the magic byte on.
    body: Bytes,
}

/// Who wrote a batch: the idempotent or transactional producer, and where in its sequence the batch begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProducerStamp {
    /// The producer's id.
    pub id: ProducerId,
    /// Its reign; `None` where the field is −1.
    pub epoch: Option<ProducerEpoch>,
    /// The sequence of the first record; `None` for a control batch and for what a coordinator writes.
    pub base_sequence: Option<Sequence>,
}

/// Why bytes are no batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end inside the batch. At the end of a file this is a torn tail.
    #[error("batch of {needed} bytes is cut off after {found}")]
    Incomplete {
        /// How many bytes the batch has, or the header if even that is cut off.
        needed: u64,
        /// How many there are.
        found: u64,
    },
    /// The length field cannot be one.
    #[error("batch length {length} is not within {min} and 2147483635")]
    InvalidLength {
        /// The field.
        length: i32,
        /// The smallest it could be.
        min: u32,
    },
    /// The magic byte names a format that is not this one.
    #[error("magic {magic} is not supported here")]
    UnsupportedMagic {
        /// The byte.
        magic: i8,
    },
    /// The bytes do not match their checksum.
    #[error("batch checksum is {computed:#010x}, its header says {stored:#010x}")]
    Corrupt {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A negative base offset or offset delta, or one that leaves the range of offsets.
    #[error("offsets {base_offset} + {last_offset_delta} are out of range")]
    InvalidOffset {
        /// The base offset field.
        base_offset: i64,
        /// The last offset delta field.
        last_offset_delta: i32,
    },
    /// A negative count of records, or more records than offsets.
    #[error("batch of {offsets} offsets says it has {count} records")]
    InvalidRecordCount {
        /// The count field.
        count: i32,
        /// How many offsets the batch takes.
        offsets: i64,
    },
    /// Legacy: the key and the value do not fill the message.
    #[error("the fields do not fill the message")]
    InvalidFields,
    /// The codec bits name none, or one that the format does not know.
    #[error("codec {codec} is not known")]
    UnsupportedCodec {
        /// The bits.
        codec: u8,
    },
}

impl Batch {
    /// Checks the batch at the front of `bytes` and shares it. What follows it is left alone.
    ///
    /// The records themselves are not looked at: see [`Batch::records`].
    ///
    /// # Errors
    ///
    /// [`BatchError::Incomplete`] if `bytes` ends too early, else what is wrong with the batch.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let (stamp, header) = check_header(bytes)?;
        let size = stamp.batch_length as usize + Header::LOG_OVERHEAD;
        let computed = crc32c(&bytes[Header::CHECKED_FROM..size]);
        if computed != header.crc {
            return Err(BatchError::Corrupt { stored: header.crc, computed });
        }
        Ok(Self { stamp, header, body: bytes.slice(Stamp::BYTES..size) })
    }

    /// Seals the records in `bytes`, which begin with room for a header: writes `header` there, its length and its
    /// checksum counted anew. Nothing is copied.
    pub(crate) fn sealed(header: Header, mut bytes: Vec<u8>) -> Result<Self, BatchError> {
        let invalid = BatchError::InvalidLength { length: i32::MAX, min: Header::LENGTH_MIN };
        let room = bytes.first_chunk_mut::<{ Header::BYTES }>().ok_or(invalid)?;
        *room = header.encode();
        let batch_length = i32::try_from(bytes.len() - Header::LOG_OVERHEAD).map_err(|_| invalid)?;
        bytes[8..12].copy_from_slice(&batch_length.to_be_bytes());
        let crc = crc32c(&bytes[Header::CHECKED_FROM..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let (stamp, header) = check_header(&bytes)?;
        Ok(Self { stamp, header, body: Bytes::from(bytes).slice(Stamp::BYTES..) })
    }

    /// The same records under other attributes and another largest timestamp: one copy, checksum counted anew.
    pub(crate) fn with_timestamps(&self, attributes: Attributes, max_timestamp: Timestamp) -> Result<Self, BatchError> {
        let header = Header { attributes, max_timestamp: max_timestamp.as_millis(), ..self.header };
        let mut bytes = Vec::with_capacity(self.size() as usize);
        bytes.resize(Stamp::BYTES, 0);
        bytes.extend_from_slice(&self.body);
        Self::sealed(header, bytes)
    }

    /// The same records under another producer or sequence: one copy, checksum counted anew.
    pub(crate) fn with_producer(&self, producer: ProducerStamp) -> Result<Self, BatchError> {
        let header = Header {
            producer_id: producer.id.get(),
            producer_epoch: producer.epoch.map_or(-1, ProducerEpoch::get),
            base_sequence: producer.base_sequence.map_or(-1, Sequence::get),
            ..self.header
        };
        let mut bytes = Vec::with_capacity(self.size() as usize);
        bytes.resize(Stamp::BYTES, 0);
        bytes.extend_from_slice(&self.body);
        Self::sealed(header, bytes)
    }

    /// What compaction leaves of the batch when all of its records go, but its place must be kept: its header, with no
    /// records, no codec, no base timestamp and no delete horizon.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let header = Header {
            attributes: self.header.attributes.with_codec(Codec::None).without_delete_horizon(),
            base_timestamp: Timestamp::NONE.as_millis(),
            record_count: 0,
            batch_length: Header::LENGTH_MIN as i32,
            ..self.header
        };
        let crc = crc32c(&header.encode()[Header::CHECKED_FROM..]);
        let header = Header { crc, ..header };
        let body = Bytes::copy_from_slice(&header.encode()[Stamp::BYTES..]);
        Self { stamp: Stamp { batch_length: Header::LENGTH_MIN, ..self.stamp }, header, body }
    }

    /// The same batch at another place: only the stamp differs, the bytes are shared.
    ///
    /// # Errors
    ///
    /// [`BatchError::InvalidOffset`] if the last offset would leave the range of offsets.
    pub fn stamped(&self, base_offset: Offset, leader_epoch: Option<LeaderEpoch>) -> Result<Self, BatchError> {
        let stamp = Stamp { base_offset, leader_epoch, ..self.stamp };
        let header = Header {
            base_offset: base_offset.as_i64(),
            leader_epoch: leader_epoch.map_or(-1, LeaderEpoch::as_i32),
            ..self.header
        };
        check_offsets(&header)?;
        Ok(Self { stamp, header, body: self.body.clone() })
    }

    /// The 16 bytes in front.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The same batch, whose bytes somebody else owns: `keep` gives back what it is given.
    pub(crate) fn kept(self, keep: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self { body: kept(self.body, keep), ..self }
    }

    /// The bytes behind the stamp, shared.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The header's fields as they stand in a file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The records' bytes, compressed if the batch is.
    pub fn payload(&self) -> Bytes {
        self.body.slice(Header::BYTES - Stamp::BYTES..)
    }

    /// The records' bytes, decompressed; shared if they are not compressed.
    pub(crate) fn payload_decompressed(&self, limit: DecompressLimit) -> Result<Bytes, CodecError> {
        // Nothing is not compressed: without records there is not even an empty stream to be read.
        if self.codec() == Codec::None || (self.record_count() == 0 && self.body.len() == Header::BYTES - Stamp::BYTES)
        {
            return Ok(self.payload());
        }
        self.codec().decompress(&self.payload(), limit).map(Bytes::from)
    }

    /// A copy of the whole batch, stamp and body in one.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.size() as usize);
        bytes.extend_from_slice(&self.stamp.to_bytes());
        bytes.extend_from_slice(&self.body);
        bytes.into()
    }

    /// How many bytes the batch takes in a file.
    pub fn size(&self) -> u32 {
        self.stamp.batch_length + Header::LOG_OVERHEAD as u32
    }

    /// The offset of the first record, or of where it was before compaction.
    pub fn base_offset(&self) -> Offset {
        self.stamp.base_offset
    }

    /// The offset of the last record, or of where it was before compaction.
    pub fn last_offset(&self) -> Offset {
        self.stamp.base_offset.advance(u64::from(self.last_offset_delta()))
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().advance(1)
    }

    /// The last offset less the base offset.
    pub fn last_offset_delta(&self) -> u32 {
        self.header.last_offset_delta as u32
    }

    /// In which reign the leader appended the batch.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.stamp.leader_epoch
    }

    /// The attribute bits.
    pub fn attributes(&self) -> Attributes {
        self.header.attributes
    }

    /// How the records are compressed.
    pub fn codec(&self) -> Codec {
        // `check_header` has refused bits that mean no codec.
        self.header.attributes.codec().unwrap_or_default()
    }

    /// Whose clock the timestamps are from.
    pub fn timestamp_type(&self) -> TimestampType {
        self.header.attributes.timestamp_type()
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.header.attributes.is_transactional()
    }

    /// Whether the batch holds a control record.
    pub fn is_control(&self) -> bool {
        self.header.attributes.is_control()
    }

    /// The timestamp that record deltas count from; with a delete horizon, that horizon.
    pub fn base_timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.header.base_timestamp)
    }

    /// The largest timestamp of the records.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.header.max_timestamp)
    }

    /// The date from which compaction may drop the tombstones, if compaction has set one.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.header.attributes.has_delete_horizon().then(|| self.base_timestamp())
    }

    /// Who wrote the batch, if it was an idempotent producer.
    pub fn producer(&self) -> Option<ProducerStamp> {
        ProducerId::new(self.header.producer_id).map(|id| ProducerStamp {
            id,
            epoch: ProducerEpoch::new(self.header.producer_epoch),
            base_sequence: Sequence::new(self.header.base_sequence),
        })
    }

    /// The sequence of the last record, `None` if the batch has no sequence.
    pub fn last_sequence(&self) -> Option<Sequence> {
        Sequence::new(self.header.base_sequence).map(|base| base.advance(self.last_offset_delta()))
    }

    /// How many records there are now. Compaction may have taken some, or all.
    pub fn record_count(&self) -> u32 {
        self.header.record_count as u32
    }
}

/// CRC-32C, the checksum of batches v2 and of producer snapshots.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Checks all that the header alone can say, and that `bytes` holds the whole batch.
fn check_header(bytes: &[u8]) -> Result<(Stamp, Header), BatchError> {
    let found = bytes.len() as u64;
    let Some(front) = bytes.first_chunk::<{ Header::BYTES }>() else {
        return Err(short_header(bytes));
    };
    let header = Header::decode(front);
    if header.magic != 2 {
        return Err(BatchError::UnsupportedMagic { magic: header.magic });
    }
    let batch_length = check_length(header.batch_length)?;
    let needed = u64::from(batch_length) + Header::LOG_OVERHEAD as u64;
    if found < needed {
        return Err(BatchError::Incomplete { needed, found });
    }
    if header.attributes.codec().is_none() {
        return Err(BatchError::UnsupportedCodec { codec: (header.attributes.bits() & 7) as u8 });
    }
    let base_offset = check_offsets(&header)?;
    let offsets = i64::from(header.last_offset_delta) + 1;
    if header.record_count < 0 || i64::from(header.record_count) > offsets {
        return Err(BatchError::InvalidRecordCount { count: header.record_count, offsets });
    }
    let leader_epoch = LeaderEpoch::from_i32(header.leader_epoch);
    Ok((Stamp { base_offset, batch_length, leader_epoch }, header))
}

/// Fewer bytes than a header: the fields that are there may already be wrong.
fn short_header(bytes: &[u8]) -> BatchError {
    if let Some(magic) = bytes.get(16).map(|byte| *byte as i8)
        && magic != 2
    {
        return BatchError::UnsupportedMagic { magic };
    }
    if let Some(field) = bytes.get(8..12).and_then(|slice| slice.first_chunk())
        && let Err(error) = check_length(i32::from_be_bytes(*field))
    {
        return error;
    }
    BatchError::Incomplete { needed: Header::BYTES as u64, found: bytes.len() as u64 }
}

fn check_length(length: i32) -> Result<u32, BatchError> {
    let most = i32::MAX - Header::LOG_OVERHEAD as i32;
    match u32::try_from(length) {
        Ok(valid) if valid >= Header::LENGTH_MIN && length <= most => Ok(valid),
        _ => Err(BatchError::InvalidLength { length, min: Header::LENGTH_MIN }),
    }
}

fn check_offsets(header: &Header) -> Result<Offset, BatchError> {
    let invalid =
        BatchError::InvalidOffset { base_offset: header.base_offset, last_offset_delta: header.last_offset_delta };
    let base = Offset::from_i64(header.base_offset).ok_or(invalid)?;
    let delta = u64::try_from(header.last_offset_delta).map_err(|_| invalid)?;
    // The offset behind the batch must exist too: it is the log end offset after the append.
    base.checked_advance(delta + 1).ok_or(invalid)?;
    Ok(base)
}
