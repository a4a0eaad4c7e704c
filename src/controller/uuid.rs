//! Ids of 16 bytes, as metadata holds them: topics, directories, incarnations.

use std::fmt;

use crate::id::TopicId;

/// An id of 16 bytes as it stands in a record, whatever it names. Zero and the reserved ones are possible.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// A directory that is not known because the log is older than directories; also "none".
    pub const MIGRATING: Self = Self::reserved(0);
    /// A directory that the broker is still to choose.
    pub const UNASSIGNED: Self = Self::reserved(1);
    /// A directory that is no longer there.
    pub const LOST: Self = Self::reserved(2);
    /// Ids below this one mean something to Kafka and name nothing.
    const RESERVED_END: u128 = 100;

    const fn reserved(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    /// The id of these bytes, most significant half first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, most significant half first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether Kafka reserves it.
    pub const fn is_reserved(self) -> bool {
        u128::from_be_bytes(self.0) < Self::RESERVED_END
    }

    /// The topic of this id; `None` for zero.
    pub const fn topic_id(self) -> Option<TopicId> {
        TopicId::from_bytes(self.0)
    }
}

impl From<TopicId> for Uuid {
    fn from(id: TopicId) -> Self {
        Self(*id.as_bytes())
    }
}

/// URL-safe base64 without padding, as Kafka prints it.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.topic_id() {
            Some(id) => id.fmt(f),
            None => f.write_str("AAAAAAAAAAAAAAAAAAAAAA"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_ids_are_those_below_a_hundred() {
        for reserved in [Uuid::MIGRATING, Uuid::UNASSIGNED, Uuid::LOST, Uuid::reserved(99)] {
            assert!(reserved.is_reserved());
        }
        assert!(!Uuid::reserved(100).is_reserved());
        assert_eq!(Uuid::default().to_string(), "A".repeat(22));
        assert_eq!(Uuid::MIGRATING.topic_id(), None);
    }
}
