//! A record to be sent: where to, and what.
//!
//! - May use: the newtypes.
//! - Must not know: producers.
//! - Always true: it borrows or owns what it was given, and copies nothing.

use std::borrow::Cow;

use crate::offset::Offset;
use crate::time::Timestamp;

/// A record to be sent. What is not said stays out: the key, the value, the headers; the date is that of
/// [`Producer::send`](crate::queue::Producer::send), and the partition is picked.
///
/// ```
/// use ottla::queue::Record;
///
/// let order = Record::to("orders").key("k").value(vec![1, 2, 3]).header("trace", b"4f");
/// assert_eq!(order, Record::to("orders").key(b"k").value(&[1, 2, 3]).header("trace", "4f"));
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record<'a> {
    pub(super) topic: Option<&'a str>,
    pub(super) partition: Option<u32>,
    pub(super) expected_offset: Option<Offset>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) key: Option<Cow<'a, [u8]>>,
    pub(super) value: Option<Cow<'a, [u8]>>,
    pub(super) headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> Record<'a> {
    /// A record for the topic of this name.
    #[must_use]
    pub fn to(topic: &'a str) -> Self {
        Self { topic: Some(topic), ..Self::default() }
    }

    /// A record that names no topic: for [`TopicProducer::send`](crate::queue::TopicProducer::send), which knows it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it a key; an empty one is not none.
    #[must_use]
    pub fn key(self, key: impl Payload<'a>) -> Self {
        Self { key: Some(key.into_bytes()), ..self }
    }

    /// Gives it a value. A record without one is a tombstone where the topic is compacted.
    #[must_use]
    pub fn value(self, value: impl Payload<'a>) -> Self {
        Self { value: Some(value.into_bytes()), ..self }
    }

    /// Adds a header. They keep their order, and keys may repeat.
    #[must_use]
    pub fn header(mut self, key: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.headers.push((key, Some(value.as_ref())));
        self
    }

    /// Adds a header that has a key and no value, which is not an empty one.
    #[must_use]
    pub fn header_without_value(mut self, key: &'a str) -> Self {
        self.headers.push((key, None));
        self
    }

    /// Dates it.
    #[must_use]
    pub fn timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }

    /// Sends it to this partition, whatever the producer's partitioner says.
    #[must_use]
    pub fn partition(self, partition: u32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// Compare and append: has it refused unless it gets this very offset. It travels in a batch of its own, in order with
    /// the others of its partition. Not in Kafka.
    ///
    /// Name the [partition](Self::partition) too, or have a key pick it: offsets are those of a partition. Refused, it fails
    /// with [`SendError::Refused`](crate::producer::SendError::Refused), whose
    /// [`Detail::LogEnd`](crate::message::Detail::LogEnd) says where the log ends.
    #[must_use]
    pub fn expected_offset(self, offset: Offset) -> Self {
        Self { expected_offset: Some(offset), ..self }
    }
}

/// What a key or a value may be given as: bytes or text, borrowed or owned.
pub trait Payload<'a> {
    /// The bytes, not copied.
    fn into_bytes(self) -> Cow<'a, [u8]>;
}

macro_rules! borrowed {
    ($([$($generic:tt)*] $from:ty),+ $(,)?) => {$(
        impl<'a, $($generic)*> Payload<'a> for &'a $from {
            fn into_bytes(self) -> Cow<'a, [u8]> {
                Cow::Borrowed(self.as_ref())
            }
        }
    )+};
}

borrowed!([] [u8], [const N: usize] [u8; N], [] str, [] String, [] Vec<u8>, [] bytes::Bytes);

impl<'a> Payload<'a> for Vec<u8> {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        Cow::Owned(self)
    }
}

impl<'a> Payload<'a> for String {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        Cow::Owned(self.into_bytes())
    }
}

impl<'a> Payload<'a> for Cow<'a, [u8]> {
    fn into_bytes(self) -> Self {
        self
    }
}

impl<'a> Payload<'a> for Cow<'a, str> {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }
}
