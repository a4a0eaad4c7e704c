//! Building a batch: records go in, a sealed [`Batch`] comes out.
//!
//! - May use: the newtypes and its siblings `attributes`, `batch`, `compress`, `fields`, `header`, `varint`.
//! - Must not know: the log, files, clocks.
//! - Always true: the bytes start with room for the header, so an uncompressed batch is sealed where it was encoded;
//!   offset deltas rise; no size or count ever leaves its signed field.

use crate::epoch::{ProducerEpoch, Sequence};
use crate::record::attributes::{Attributes, Codec, TimestampType};
use crate::record::batch::{Batch, ProducerStamp};
use crate::record::compress::CodecError;
use crate::record::fields::{Headers, Record};
use crate::record::header::Header;
use crate::record::records::RecordError;
use crate::record::varint;
use crate::time::Timestamp;

/// A record to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NewRecord<'a> {
    /// The producer's date; [`Timestamp::NONE`] for none.
    pub timestamp: Timestamp,
    /// The key; an empty one is not none.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone where the topic is compacted.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; keys may repeat.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl<'a> NewRecord<'a> {
    /// A record of a key and a value, without headers.
    pub const fn new(timestamp: Timestamp, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { timestamp, key, value, headers: &[] }
    }
}

/// Why a record does not go into a batch, or a batch cannot be built.
///
/// A record that was refused has left the builder as it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The batch would be larger than its length field can say.
    #[error("batch would have {size} bytes, at most {max} are possible", max = BatchBuilder::BYTES_MAX)]
    TooLarge {
        /// How large, uncompressed.
        size: u64,
    },
    /// The offset delta is not above that of the record before, or exceeds its signed field.
    #[error("offset delta {found} is not within {min} and 2147483647")]
    OffsetDelta {
        /// The delta.
        found: u32,
        /// The smallest it could be.
        min: u32,
    },
    /// The last offset delta that was asked for is below that of the last record, or exceeds its signed field.
    #[error("last offset delta {asked} is not within {last} and 2147483647")]
    LastOffsetDelta {
        /// What was asked for.
        asked: u32,
        /// The delta of the last record.
        last: u32,
    },
    /// A batch without records was not asked for.
    #[error("the batch has no records, and no last offset delta says how many it had")]
    Empty,
    /// The delete horizon was set after records had been encoded against another base timestamp.
    #[error("the delete horizon was set after the first record")]
    LateDeleteHorizon,
    /// The records cannot be compressed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The records cannot be read that the batch is to be made of.
    #[error(transparent)]
    Source(#[from] RecordError),
}

/// The producer's fields as the header holds them. Coordinators write sequences without a producer, and rewriting
/// such a batch must keep them.
#[derive(Clone, Copy, Debug)]
struct RawProducer {
    id: i64,
    epoch: i16,
    base_sequence: i32,
}

impl RawProducer {
    const NONE: Self = Self { id: -1, epoch: -1, base_sequence: -1 };
}

/// Encodes records into one batch v2.
///
/// The batch begins at offset 0 and has no leader epoch: [`Batch::stamped`] gives it a place without a copy.
///
/// ```
/// use ottla::record::{BatchBuilder, Codec, NewRecord};
/// use ottla::time::Timestamp;
///
/// let mut builder = BatchBuilder::new(Codec::None);
/// builder.push(&NewRecord::new(Timestamp::from_millis(1000), Some(b"k"), Some(b"v")))?;
/// let batch = builder.build()?;
/// assert_eq!(batch.size(), 70);
/// # Ok::<(), ottla::record::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    level: Option<i32>,
    attributes: Attributes,
    producer: RawProducer,
    append_time: Option<Timestamp>,
    delete_horizon: Option<Timestamp>,
    /// Overrides what the records say.
    max_timestamp: Option<Timestamp>,
    last_offset_delta: Option<u32>,
    /// What deltas count from; known from the first record on.
    base_timestamp: Option<Timestamp>,
    /// The largest timestamp of the records so far.
    largest: Timestamp,
    /// The smallest offset delta that the next record can have.
    next_delta: u32,
    count: u32,
    /// Room for the header, then the records.
    bytes: Vec<u8>,
}

impl BatchBuilder {
    /// The largest batch that its signed length field can tell of, in bytes.
    pub const BYTES_MAX: u32 = i32::MAX as u32;

    /// A builder of a batch whose records will be compressed with `codec` when it is built.
    pub fn new(codec: Codec) -> Self {
        Self::with_capacity(codec, 0)
    }

    /// Like [`BatchBuilder::new`], with room for `bytes` bytes of records.
    pub fn with_capacity(codec: Codec, bytes: usize) -> Self {
        let mut room = Vec::with_capacity(Header::BYTES.saturating_add(bytes));
        room.resize(Header::BYTES, 0);
        Self {
            codec,
            level: None,
            attributes: Attributes::default(),
            producer: RawProducer::NONE,
            append_time: None,
            delete_horizon: None,
            max_timestamp: None,
            last_offset_delta: None,
            base_timestamp: None,
            largest: Timestamp::NONE,
            next_delta: 0,
            count: 0,
            bytes: room,
        }
    }

    /// A builder of what takes the place of `batch`: with its producer and sequence, its transaction and control bits,
    /// but with another codec perhaps, and without its dates and its place.
    pub fn rewriting(batch: &Batch, codec: Codec) -> Self {
        let (header, attributes) = (batch.header(), batch.attributes());
        let mut builder = Self::with_capacity(codec, batch.payload().len());
        builder.producer =
            RawProducer { id: header.producer_id, epoch: header.producer_epoch, base_sequence: header.base_sequence };
        let builder = if attributes.is_transactional() { builder.transactional() } else { builder };
        if attributes.is_control() { builder.control() } else { builder }
    }

    /// Compresses at this level instead of the codec's own default. Snappy and lz4 know only one.
    #[must_use]
    pub fn level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// Names the producer, its epoch and the sequence of the first record.
    #[must_use]
    pub fn producer(mut self, producer: ProducerStamp) -> Self {
        self.producer = RawProducer {
            id: producer.id.get(),
            epoch: producer.epoch.map_or(-1, ProducerEpoch::get),
            base_sequence: producer.base_sequence.map_or(-1, Sequence::get),
        };
        self
    }

    /// Makes the batch part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes = self.attributes.transactional();
        self
    }

    /// Makes the batch a control batch, which no application sees.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes = self.attributes.control();
        self
    }

    /// Gives every record the timestamp `now` of the leader. The records' own stay in their deltas.
    #[must_use]
    pub fn log_append_time(mut self, now: Timestamp) -> Self {
        self.attributes = self.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self.append_time = Some(now);
        self
    }

    /// Lets compaction drop the batch's tombstones from `horizon` on. Takes the place of the base timestamp, so it
    /// must be set before the first record.
    #[must_use]
    pub fn delete_horizon(mut self, horizon: Timestamp) -> Self {
        self.delete_horizon = Some(horizon);
        self
    }

    /// Says where the batch ended before records were taken out of it. With it, a batch may be built without records.
    #[must_use]
    pub fn last_offset_delta(mut self, delta: u32) -> Self {
        self.last_offset_delta = Some(delta);
        self
    }

    /// Sets the largest timestamp, for a batch whose records no longer tell it.
    #[must_use]
    pub fn max_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.max_timestamp = Some(timestamp);
        self
    }

    /// Adds a record at the next offset.
    ///
    /// # Errors
    ///
    /// [`BuildError::TooLarge`] or [`BuildError::OffsetDelta`] if the batch can hold no more.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), BuildError> {
        self.push_at(self.next_delta, record)
    }

    /// Adds a record `offset_delta` after the batch's first offset. Gaps are allowed, as compaction leaves them.
    ///
    /// # Errors
    ///
    /// [`BuildError::OffsetDelta`] unless the deltas rise; [`BuildError::TooLarge`] if the batch can hold no more.
    pub fn push_at(&mut self, offset_delta: u32, record: &NewRecord<'_>) -> Result<(), BuildError> {
        self.encode(offset_delta, &Fields::of_new(record))
    }

    /// Adds a record that was read from another batch, `offset_delta` after this batch's first offset.
    ///
    /// Its effective timestamp is taken; its offset and its sequence are not looked at.
    ///
    /// # Errors
    ///
    /// As [`BatchBuilder::push_at`].
    pub fn push_record_at(&mut self, offset_delta: u32, record: &Record<'_>) -> Result<(), BuildError> {
        self.encode(offset_delta, &Fields::of_read(record))
    }

    /// How many bytes the batch has so far, header included and not compressed.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes `record` would add, not compressed.
    pub fn size_of(&self, record: &NewRecord<'_>) -> u64 {
        let fields = Fields::of_new(record);
        let delta = self.timestamp_delta(record.timestamp);
        let body = fields.body_size(delta, self.next_delta as i32);
        body + varint::size_i32(i32::try_from(body).unwrap_or(i32::MAX)) as u64
    }

    /// How many records there are.
    pub fn record_count(&self) -> u32 {
        self.count
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Compresses the records and seals the batch.
    ///
    /// A batch without records is what compaction leaves to keep a place: 61 bytes, never compressed, without a base
    /// timestamp or a delete horizon.
    ///
    /// # Errors
    ///
    /// [`BuildError::Empty`] without records, unless [`BatchBuilder::last_offset_delta`] was given;
    /// [`BuildError::Codec`] if the codec's feature is off; [`BuildError::TooLarge`] if compression made it so.
    pub fn build(self) -> Result<Batch, BuildError> {
        let last_offset_delta = self.closed_last_offset_delta()?;
        if self.delete_horizon.is_some() && self.count > 0 && self.delete_horizon != self.base_timestamp {
            return Err(BuildError::LateDeleteHorizon);
        }
        let header = self.header(last_offset_delta);
        let is_compressed = self.codec != Codec::None && self.count > 0;
        let bytes = if is_compressed { compressed(self.codec, self.level, &self.bytes)? } else { self.bytes };
        let size = bytes.len() as u64;
        // Counts and deltas have been checked one by one: there is nothing but the length to be wrong about.
        Batch::sealed(header, bytes).map_err(|_| BuildError::TooLarge { size })
    }

    fn closed_last_offset_delta(&self) -> Result<u32, BuildError> {
        let last = self.next_delta.saturating_sub(1);
        match self.last_offset_delta {
            None if self.count == 0 => Err(BuildError::Empty),
            None => Ok(last),
            Some(asked) if asked < last || asked > i32::MAX as u32 => Err(BuildError::LastOffsetDelta { asked, last }),
            Some(asked) => Ok(asked),
        }
    }

    fn header(&self, last_offset_delta: u32) -> Header {
        let (attributes, base_timestamp) = if self.count == 0 {
            (self.attributes, Timestamp::NONE)
        } else {
            let attributes = self.attributes.with_codec(self.codec);
            let marked = if self.delete_horizon.is_some() { attributes.with_delete_horizon() } else { attributes };
            (marked, self.base_timestamp.unwrap_or(Timestamp::NONE))
        };
        let max_timestamp = self.append_time.or(self.max_timestamp).unwrap_or(self.largest);
        Header {
            base_offset: 0,
            batch_length: 0,
            leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes,
            last_offset_delta: last_offset_delta as i32,
            base_timestamp: base_timestamp.as_millis(),
            max_timestamp: max_timestamp.as_millis(),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.producer.base_sequence,
            record_count: self.count as i32,
        }
    }

    /// What a record of this date would store. Counted modulo 2^64, as readers add it.
    fn timestamp_delta(&self, timestamp: Timestamp) -> i64 {
        let base = self.base_timestamp.or(self.delete_horizon).unwrap_or(timestamp);
        timestamp.as_millis().wrapping_sub(base.as_millis())
    }

    fn encode(&mut self, offset_delta: u32, fields: &Fields<'_>) -> Result<(), BuildError> {
        let invalid = BuildError::OffsetDelta { found: offset_delta, min: self.next_delta };
        if offset_delta < self.next_delta {
            return Err(invalid);
        }
        let delta = i32::try_from(offset_delta).map_err(|_| invalid)?;
        let timestamp_delta = self.timestamp_delta(fields.timestamp);
        let body = fields.body_size(timestamp_delta, delta);
        let size = self.bytes.len() as u64 + 5 + body;
        let length = match i32::try_from(body) {
            Ok(length) if size <= u64::from(Self::BYTES_MAX) => length,
            _ => return Err(BuildError::TooLarge { size }),
        };
        self.base_timestamp = self.base_timestamp.or(self.delete_horizon).or(Some(fields.timestamp));
        self.largest = self.largest.max(fields.timestamp);
        self.next_delta = offset_delta + 1;
        self.count += 1;
        self.bytes.reserve(body as usize + 5);
        varint::put_i32(&mut self.bytes, length);
        self.bytes.push(0);
        varint::put_i64(&mut self.bytes, timestamp_delta);
        varint::put_i32(&mut self.bytes, delta);
        fields.put(&mut self.bytes);
        Ok(())
    }
}

/// The records behind the header's room, compressed behind room of their own.
fn compressed(codec: Codec, level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, BuildError> {
    let records = &bytes[Header::BYTES..];
    let mut out = Vec::with_capacity(Header::BYTES + records.len() / 2);
    out.resize(Header::BYTES, 0);
    codec.compress(level, records, &mut out)?;
    Ok(out)
}

/// What a record holds that does not depend on its place.
struct Fields<'a> {
    timestamp: Timestamp,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: HeaderSource<'a>,
}

/// Headers to be written: a caller's pairs, or those of another batch as they stand there.
enum HeaderSource<'a> {
    Pairs(&'a [(&'a str, Option<&'a [u8]>)]),
    Encoded(Headers<'a>),
}

impl<'a> Fields<'a> {
    const fn of_new(record: &NewRecord<'a>) -> Self {
        let headers = HeaderSource::Pairs(record.headers);
        Self { timestamp: record.timestamp, key: record.key, value: record.value, headers }
    }

    const fn of_read(record: &Record<'a>) -> Self {
        let headers = HeaderSource::Encoded(record.headers);
        Self { timestamp: record.timestamp, key: record.key, value: record.value, headers }
    }

    /// The bytes behind the record's length.
    fn body_size(&self, timestamp_delta: i64, offset_delta: i32) -> u64 {
        let deltas = varint::size_i64(timestamp_delta) + varint::size_i32(offset_delta);
        let headers = match &self.headers {
            HeaderSource::Encoded(headers) => headers.as_bytes().len() as u64,
            HeaderSource::Pairs(pairs) => {
                pairs.iter().map(|(key, value)| nullable_size(Some(key.as_bytes())) + nullable_size(*value)).sum()
            }
        };
        let count = varint::size_i32(length_field(self.headers.len()));
        1 + (deltas + count) as u64 + nullable_size(self.key) + nullable_size(self.value) + headers
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        varint::put_i32(out, length_field(self.headers.len()));
        match &self.headers {
            HeaderSource::Encoded(headers) => out.extend_from_slice(headers.as_bytes()),
            HeaderSource::Pairs(pairs) => {
                for (key, value) in *pairs {
                    put_nullable(out, Some(key.as_bytes()));
                    put_nullable(out, *value);
                }
            }
        }
    }
}

impl HeaderSource<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Pairs(pairs) => pairs.len(),
            Self::Encoded(headers) => headers.len(),
        }
    }
}

fn nullable_size(slice: Option<&[u8]>) -> u64 {
    let Some(slice) = slice else { return 1 };
    varint::size_i32(length_field(slice.len())) as u64 + slice.len() as u64
}

fn put_nullable(out: &mut Vec<u8>, slice: Option<&[u8]>) {
    let Some(slice) = slice else { return varint::put_i32(out, -1) };
    varint::put_i32(out, length_field(slice.len()));
    out.extend_from_slice(slice);
}

/// A length as its signed field. What does not fit is part of a record that is refused for its size.
fn length_field(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}
