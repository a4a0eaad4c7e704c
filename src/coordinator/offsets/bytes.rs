//! Fields of keys and values, taken off the front and put at the end.

use crate::coordinator::offsets::OffsetsError;
use crate::id::{GroupId, TopicId};

/// Under which tag a value names its topic.
const TOPIC_ID_TAG: u32 = 0;

/// What is left to be read.
pub(in crate::coordinator) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(in crate::coordinator) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], OffsetsError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(OffsetsError::CutShort { field })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(in crate::coordinator) fn i16(&mut self, field: &'static str) -> Result<i16, OffsetsError> {
        self.take(field).map(i16::from_be_bytes)
    }

    pub(in crate::coordinator) fn i32(&mut self, field: &'static str) -> Result<i32, OffsetsError> {
        self.take(field).map(i32::from_be_bytes)
    }

    pub(in crate::coordinator) fn i64(&mut self, field: &'static str) -> Result<i64, OffsetsError> {
        self.take(field).map(i64::from_be_bytes)
    }

    /// A text behind its length of two bytes.
    pub(in crate::coordinator) fn string(&mut self, field: &'static str) -> Result<&'a str, OffsetsError> {
        let length = self.i16(field)?;
        let bytes = usize::try_from(length).map_err(|_| OffsetsError::Invalid { field, found: length.into() })?;
        self.text(field, bytes)
    }

    /// The same, or none of it.
    pub(in crate::coordinator) fn nullable(&mut self, field: &'static str) -> Result<Option<&'a str>, OffsetsError> {
        let length = self.i16(field)?;
        match usize::try_from(length) {
            Ok(bytes) => self.text(field, bytes).map(Some),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(OffsetsError::Invalid { field, found: length.into() }),
        }
    }

    /// A text behind its length and one, as an unsigned varint; 0 would be none.
    pub(super) fn compact(&mut self, field: &'static str) -> Result<&'a str, OffsetsError> {
        let length = self.uvarint(field)?;
        // A text is never longer than a signed field of two bytes could say, here neither.
        let bytes = length.checked_sub(1).filter(|bytes| *bytes <= i16::MAX as u32);
        let bytes = bytes.ok_or(OffsetsError::Invalid { field, found: i64::from(length) - 1 })?;
        self.text(field, bytes as usize)
    }

    pub(super) fn group(&mut self) -> Result<GroupId, OffsetsError> {
        GroupId::new(self.string("group")?).ok_or(OffsetsError::EmptyGroup)
    }

    fn text(&mut self, field: &'static str, bytes: usize) -> Result<&'a str, OffsetsError> {
        let (text, rest) = self.rest.split_at_checked(bytes).ok_or(OffsetsError::CutShort { field })?;
        self.rest = rest;
        str::from_utf8(text).map_err(|_| OffsetsError::Text { field })
    }

    fn uvarint(&mut self, field: &'static str) -> Result<u32, OffsetsError> {
        let mut number = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take(field)?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let found = number as i64;
                return u32::try_from(number).map_err(|_| OffsetsError::Invalid { field, found });
            }
        }
        Err(OffsetsError::Invalid { field, found: number as i64 })
    }

    /// Reads the tagged fields, of which only the topic's id is known.
    pub(super) fn topic_id_among_tags(&mut self) -> Result<Option<TopicId>, OffsetsError> {
        let field = "tagged fields";
        let mut topic_id = None;
        for _ in 0..self.uvarint(field)? {
            let tag = self.uvarint(field)?;
            let size = self.uvarint(field)? as usize;
            let (value, rest) = self.rest.split_at_checked(size).ok_or(OffsetsError::CutShort { field })?;
            self.rest = rest;
            if tag == TOPIC_ID_TAG {
                topic_id = value.try_into().ok().and_then(TopicId::from_bytes);
            }
        }
        Ok(topic_id)
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Result<(), OffsetsError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(OffsetsError::Invalid { field: "what follows the last field", found: left as i64 }),
        }
    }
}

/// A text behind its length of two bytes.
pub(super) fn put_string(out: &mut Vec<u8>, field: &'static str, text: &str) -> Result<(), OffsetsError> {
    out.extend_from_slice(&length(field, text)?.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// A text behind its length and one.
pub(super) fn put_compact(out: &mut Vec<u8>, field: &'static str, text: &str) -> Result<(), OffsetsError> {
    let length = length(field, text)?;
    put_uvarint(out, length as u32 + 1);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn length(field: &'static str, text: &str) -> Result<i16, OffsetsError> {
    i16::try_from(text.len()).map_err(|_| OffsetsError::TooLong { field, bytes: text.len() })
}

/// The tagged fields.
pub(super) fn put_tags(out: &mut Vec<u8>, topic_id: Option<TopicId>) {
    let Some(topic_id) = topic_id else { return put_uvarint(out, 0) };
    put_uvarint(out, 1);
    put_uvarint(out, TOPIC_ID_TAG);
    put_uvarint(out, topic_id.as_bytes().len() as u32);
    out.extend_from_slice(topic_id.as_bytes());
}

fn put_uvarint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
