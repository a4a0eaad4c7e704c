//! Kafka's compact types: what the fields of a record are made of (format.md, section 1).
//!
//! - May use: nothing but [`Uuid`].
//! - Must not know: which record a field belongs to; the caller adds that to an error.
//! - Always true: no count or length is believed before it has been compared with the bytes that are left, and nothing
//!   is reserved ahead of what was read; a number has one encoding.

use bytes::Bytes;

use crate::controller::uuid::Uuid;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldFault {
    /// The bytes end inside the field.
    #[error("the bytes end inside a field")]
    CutShort,
    /// A number of too many bytes, too large, or longer than it need be.
    #[error("a varint is invalid")]
    InvalidVarint,
    /// A text or an array says that it has more than there is.
    #[error("a length of {length} does not fit the {left} bytes that are left")]
    Length {
        /// How long it says it is.
        length: u32,
        /// How many bytes follow.
        left: usize,
    },
    /// A text is longer than Kafka reads.
    #[error("a text has {length} bytes, at most {max} are read", max = TEXT_BYTES_MAX)]
    TextTooLong {
        /// How long it is.
        length: u32,
    },
    /// Null, where there is no such value.
    #[error("a field is null that may not be")]
    Null,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// The tagged fields do not rise.
    #[error("tag {tag} does not come after tag {before}")]
    TagOrder {
        /// The tag.
        tag: u32,
        /// The one in front of it.
        before: u32,
    },
    /// A tag that the version of the record does not have.
    #[error("tag {tag} is not valid in version {version}")]
    TagVersion {
        /// The tag.
        tag: u32,
        /// The version.
        version: i16,
    },
    /// Bytes that belong to no field.
    #[error("{bytes} bytes follow the last field")]
    Leftover {
        /// How many.
        bytes: usize,
    },
}

/// The longest text that Kafka reads, in bytes.
pub const TEXT_BYTES_MAX: usize = 0x7fff;

/// Bytes to take fields off the front of, which know where in the record they stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, counted from the front of the record.
    end: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len() }
    }

    /// How many bytes lie in front of the next one.
    pub(super) fn position(&self) -> usize {
        self.end - self.rest.len()
    }

    pub(super) fn finish(&self) -> Result<(), FieldFault> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(FieldFault::Leftover { bytes }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FieldFault> {
        let (front, rest) = self.rest.split_first_chunk().ok_or(FieldFault::CutShort)?;
        self.rest = rest;
        Ok(*front)
    }

    fn slice(&mut self, length: u32) -> Result<&'a [u8], FieldFault> {
        let fault = FieldFault::Length { length, left: self.rest.len() };
        let (front, rest) = self.rest.split_at_checked(length as usize).ok_or(fault)?;
        self.rest = rest;
        Ok(front)
    }

    /// The next `length` bytes as an input of their own.
    pub(super) fn part(&mut self, length: u32) -> Result<Self, FieldFault> {
        let rest = self.slice(length)?;
        Ok(Self { rest, end: self.position() })
    }

    pub(super) fn to_vec(self) -> Vec<u8> {
        self.rest.to_vec()
    }

    /// An unsigned number of at most 5 bytes.
    pub(super) fn uvarint(&mut self) -> Result<u32, FieldFault> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(5).enumerate() {
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                let overflows = index == 4 && byte > 0x0f;
                let adds_nothing = byte == 0 && index > 0;
                if overflows || adds_nothing {
                    return Err(FieldFault::InvalidVarint);
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 5 { FieldFault::CutShort } else { FieldFault::InvalidVarint })
    }

    /// A length in its compact form, one more than it is, and `None` for null.
    fn length(&mut self) -> Result<Option<u32>, FieldFault> {
        self.uvarint().map(|coded| coded.checked_sub(1))
    }

    /// A count of things, each of which takes a byte at least.
    pub(super) fn count(&self, count: u32) -> Result<u32, FieldFault> {
        let left = self.rest.len();
        if count as usize > left { Err(FieldFault::Length { length: count, left }) } else { Ok(count) }
    }
}

/// Appends an unsigned number.
pub(super) fn put_uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length in its compact form. What would not fit was never read, and is not decided.
fn put_length(out: &mut Vec<u8>, length: usize) {
    put_uvarint(out, u32::try_from(length).unwrap_or(u32::MAX - 1).saturating_add(1));
}

/// What a field can be. `version` is that of the whole record.
pub(super) trait Wire: Sized {
    fn take(input: &mut Input<'_>, version: i16) -> Result<Self, FieldFault>;
    fn put(&self, out: &mut Vec<u8>, version: i16);
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            fn take(input: &mut Input<'_>, _version: i16) -> Result<Self, FieldFault> {
                input.array().map(Self::from_be_bytes)
            }

            fn put(&self, out: &mut Vec<u8>, _version: i16) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}
numbers!(i8, i16, u16, i32, i64);

/// Any byte but 0 is true, as Kafka reads it.
impl Wire for bool {
    fn take(input: &mut Input<'_>, version: i16) -> Result<Self, FieldFault> {
        i8::take(input, version).map(|byte| byte != 0)
    }

    fn put(&self, out: &mut Vec<u8>, _version: i16) {
        out.push(u8::from(*self));
    }
}

/// A floating-point number, kept as its bits, so that all of them are equal to themselves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Double(u64);

impl Double {
    /// The number `value`.
    pub const fn new(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// The number.
    pub const fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Wire for Double {
    fn take(input: &mut Input<'_>, _version: i16) -> Result<Self, FieldFault> {
        input.array().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }

    fn put(&self, out: &mut Vec<u8>, _version: i16) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

impl Wire for Uuid {
    fn take(input: &mut Input<'_>, _version: i16) -> Result<Self, FieldFault> {
        input.array().map(Self::from_bytes)
    }

    fn put(&self, out: &mut Vec<u8>, _version: i16) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Wire for String {
    fn take(input: &mut Input<'_>, version: i16) -> Result<Self, FieldFault> {
        <Option<Self> as Wire>::take(input, version)?.ok_or(FieldFault::Null)
    }

    fn put(&self, out: &mut Vec<u8>, _version: i16) {
        put_length(out, self.len());
        out.extend_from_slice(self.as_bytes());
    }
}

impl Wire for Option<String> {
    fn take(input: &mut Input<'_>, _version: i16) -> Result<Self, FieldFault> {
        let Some(length) = input.length()? else { return Ok(None) };
        if length as usize > TEXT_BYTES_MAX {
            return Err(FieldFault::TextTooLong { length });
        }
        let text = std::str::from_utf8(input.slice(length)?).map_err(|_| FieldFault::Text)?;
        Ok(Some(text.to_owned()))
    }

    fn put(&self, out: &mut Vec<u8>, version: i16) {
        match self {
            Some(text) => text.put(out, version),
            None => put_uvarint(out, 0),
        }
    }
}

impl Wire for Bytes {
    fn take(input: &mut Input<'_>, _version: i16) -> Result<Self, FieldFault> {
        let length = input.length()?.ok_or(FieldFault::Null)?;
        input.slice(length).map(Self::copy_from_slice)
    }

    fn put(&self, out: &mut Vec<u8>, _version: i16) {
        put_length(out, self.len());
        out.extend_from_slice(self);
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn take(input: &mut Input<'_>, version: i16) -> Result<Self, FieldFault> {
        <Option<Self> as Wire>::take(input, version)?.ok_or(FieldFault::Null)
    }

    fn put(&self, out: &mut Vec<u8>, version: i16) {
        put_length(out, self.len());
        self.iter().for_each(|element| element.put(out, version));
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    fn take(input: &mut Input<'_>, version: i16) -> Result<Self, FieldFault> {
        let Some(length) = input.length()? else { return Ok(None) };
        let count = input.count(length)?;
        (0..count).map(|_| T::take(input, version)).collect::<Result<_, _>>().map(Some)
    }

    fn put(&self, out: &mut Vec<u8>, version: i16) {
        match self {
            Some(elements) => elements.put(out, version),
            None => put_uvarint(out, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsigned_number_has_one_encoding() {
        for value in [0, 1, 127, 128, 300, u32::MAX] {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            assert_eq!(Input::new(&out).uvarint(), Ok(value));
        }
        for invalid in [&[0x80, 0x00][..], &[0xff; 5], &[0xff, 0xff, 0xff, 0xff, 0x10]] {
            assert_eq!(Input::new(invalid).uvarint(), Err(FieldFault::InvalidVarint));
        }
        assert_eq!(Input::new(&[0x80]).uvarint(), Err(FieldFault::CutShort));
    }

    #[test]
    fn a_length_is_compared_with_what_is_there() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2];
        let fault = FieldFault::Length { length: u32::MAX - 1, left: 2 };
        assert_eq!(Vec::<i32>::take(&mut Input::new(&huge), 0), Err(fault));
        assert_eq!(Bytes::take(&mut Input::new(&huge), 0), Err(fault));
        let fault = FieldFault::TextTooLong { length: u32::MAX - 1 };
        assert_eq!(String::take(&mut Input::new(&huge), 0), Err(fault));
    }

    #[test]
    fn null_is_refused_where_it_means_nothing() {
        assert_eq!(String::take(&mut Input::new(&[0]), 0), Err(FieldFault::Null));
        assert_eq!(Vec::<i8>::take(&mut Input::new(&[0]), 0), Err(FieldFault::Null));
        assert_eq!(<Option<String> as Wire>::take(&mut Input::new(&[0]), 0), Ok(None));
    }
}
