//! One record of a batch v2: its fields, borrowed from the batch's bytes.
//!
//! - May use: the newtypes and `varint`.
//! - Must not know: batches, compression.
//! - Always true: what has been parsed was checked to its last byte, headers included, so that iterating over them
//!   cannot fail.

use std::str;

use crate::epoch::Sequence;
use crate::offset::Offset;
use crate::record::varint::{self, VarintError};
use crate::time::Timestamp;

/// A record as a reader sees it. Key, value and headers are borrowed from the batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// Where it stands in its partition.
    pub offset: Offset,
    /// Its date: the producer's, or under `LogAppendTime` the leader's; [`Timestamp::NONE`] in the oldest format.
    pub timestamp: Timestamp,
    /// Its number in the producer's count, if an idempotent producer wrote it.
    pub sequence: Option<Sequence>,
    /// The key; an empty one is not none.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone where the topic is compacted.
    pub value: Option<&'a [u8]>,
    /// The headers, in the order they were written.
    pub headers: Headers<'a>,
}

/// The headers of one record: pairs in the order they were written, keys may repeat.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Headers<'a> {
    count: u32,
    /// The pairs as they stand in the record, checked.
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const NONE: Self = Self { count: 0, bytes: &[] };

    /// `count` pairs as [`Headers::as_bytes`] has given them.
    pub(crate) const fn from_bytes(count: u32, bytes: &'a [u8]) -> Self {
        Self { count, bytes }
    }

    /// How many pairs there are.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The pairs in order. A value of `None` is not an empty one.
    pub const fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { rest: self.bytes }
    }

    /// The value of the last pair with this key, as Kafka's clients look one up.
    pub fn last(&self, key: &str) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(found, _)| *found == key).last().map(|(_, value)| value)
    }

    /// The pairs as they stand in the record.
    pub(crate) const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// The pairs of [`Headers`], in order.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        // `Headers` is only made of pairs that have passed here once, so an error means the end.
        take_header(&mut self.rest).ok()
    }
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// A field reaches past the end of the record.
    #[error("it ends inside a field")]
    CutShort,
    /// A number of too many bytes, too large for its field, or longer than it need be.
    #[error("it has an invalid varint")]
    InvalidVarint,
    /// The length is negative or reaches past the end of the batch.
    #[error("its length {length} does not fit the {found} bytes that are left")]
    Length {
        /// The field.
        length: i32,
        /// How many bytes follow it.
        found: usize,
    },
    /// The record's length counts bytes that belong to no field.
    #[error("{bytes} bytes follow its last field")]
    Leftover {
        /// How many.
        bytes: usize,
    },
    /// The key's length is below −1.
    #[error("its key has length {length}")]
    KeyLength {
        /// The field.
        length: i32,
    },
    /// The value's length is below −1.
    #[error("its value has length {length}")]
    ValueLength {
        /// The field.
        length: i32,
    },
    /// The count of headers is negative, or more than there are bytes left.
    #[error("it says it has {count} headers in {found} bytes")]
    HeaderCount {
        /// The field.
        count: i32,
        /// How many bytes follow it.
        found: usize,
    },
    /// The length of a header's key is negative.
    #[error("a header key has length {length}")]
    HeaderKeyLength {
        /// The field.
        length: i32,
    },
    /// A header's key is not UTF-8.
    #[error("a header key is not UTF-8")]
    HeaderKeyText,
    /// The length of a header's value is below −1.
    #[error("a header value has length {length}")]
    HeaderValueLength {
        /// The field.
        length: i32,
    },
    /// Not above the record before, or past the batch's last offset.
    #[error("its offset {found} is not within {min} and {max}")]
    Offset {
        /// Where it would stand; relative to the batch.
        found: i64,
        /// The smallest it could be.
        min: i64,
        /// The largest it could be.
        max: i64,
    },
    /// Legacy: a message inside a compressed one has another magic.
    #[error("it has magic {found} inside a message of magic {wrapper}")]
    Magic {
        /// Its magic.
        found: i8,
        /// The one of the compressed message around it.
        wrapper: i8,
    },
    /// Legacy: a message inside a compressed one is compressed again.
    #[error("it is compressed inside a compressed message")]
    Nested,
    /// Legacy: a message inside a compressed one does not match its checksum.
    #[error("its checksum is {computed:#010x}, it says {stored:#010x}")]
    Checksum {
        /// What it says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
}

impl From<VarintError> for RecordFault {
    fn from(error: VarintError) -> Self {
        match error {
            VarintError::CutShort => Self::CutShort,
            VarintError::Invalid => Self::InvalidVarint,
        }
    }
}

/// A record's fields as they stand in a batch, relative to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// The producer's date. Writers count the delta modulo 2^64, so adding it the same way gives back every timestamp.
    #[inline]
    pub(crate) const fn create_time(&self, base: Timestamp) -> Timestamp {
        Timestamp::from_millis(base.as_millis().wrapping_add(self.timestamp_delta))
    }

    /// Takes one record off the front of `bytes` and checks all of it.
    pub(crate) fn take(bytes: &mut &'a [u8]) -> Result<Self, RecordFault> {
        let length = varint::take_i32(bytes)?;
        let fits = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
        let (mut body, rest) = fits.ok_or(RecordFault::Length { length, found: bytes.len() })?;
        // The attributes byte means nothing; any value is accepted.
        let (_attributes, fields) = body.split_first().ok_or(RecordFault::CutShort)?;
        body = fields;
        let record = Self {
            timestamp_delta: varint::take_i64(&mut body)?,
            offset_delta: varint::take_i32(&mut body)?,
            key: take_nullable(&mut body, |length| RecordFault::KeyLength { length })?,
            value: take_nullable(&mut body, |length| RecordFault::ValueLength { length })?,
            headers: take_headers(&mut body)?,
        };
        if !body.is_empty() {
            return Err(RecordFault::Leftover { bytes: body.len() });
        }
        *bytes = rest;
        Ok(record)
    }
}

fn take_headers<'a>(bytes: &mut &'a [u8]) -> Result<Headers<'a>, RecordFault> {
    let count = varint::take_i32(bytes)?;
    let found = bytes.len();
    let count = match u32::try_from(count) {
        Ok(valid) if valid as usize <= found => valid,
        _ => return Err(RecordFault::HeaderCount { count, found }),
    };
    let all = *bytes;
    for _ in 0..count {
        take_header(bytes)?;
    }
    Ok(Headers { count, bytes: &all[..found - bytes.len()] })
}

fn take_header<'a>(bytes: &mut &'a [u8]) -> Result<(&'a str, Option<&'a [u8]>), RecordFault> {
    let length = varint::take_i32(bytes)?;
    let size = usize::try_from(length).map_err(|_| RecordFault::HeaderKeyLength { length })?;
    let key = str::from_utf8(take_slice(bytes, size)?).map_err(|_| RecordFault::HeaderKeyText)?;
    let value = take_nullable(bytes, |length| RecordFault::HeaderValueLength { length })?;
    Ok((key, value))
}

#[inline]
fn take_nullable<'a>(bytes: &mut &'a [u8], invalid: fn(i32) -> RecordFault) -> Result<Option<&'a [u8]>, RecordFault> {
    match varint::take_i32(bytes)? {
        -1 => Ok(None),
        length => {
            let size = usize::try_from(length).map_err(|_| invalid(length))?;
            take_slice(bytes, size).map(Some)
        }
    }
}

#[inline]
fn take_slice<'a>(bytes: &mut &'a [u8], size: usize) -> Result<&'a [u8], RecordFault> {
    let (slice, rest) = bytes.split_at_checked(size).ok_or(RecordFault::CutShort)?;
    *bytes = rest;
    Ok(slice)
}
