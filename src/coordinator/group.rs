//! What Kafka has noted of a group itself (format.md, section 9): only whether it has members, and since when not.

use crate::coordinator::offsets::{Fields, OffsetsError};
use crate::time::Timestamp;

/// What is known of a group's members.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum GroupSummary {
    /// It has none, since then if that is known.
    Empty {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It has some, or that is not known. They are not members here; but its offsets are not ours to forget.
    HasMembers,
}

impl GroupSummary {
    /// Reads the value of a group's record. One that cannot be read may have members.
    pub(super) fn of(value: &[u8]) -> Self {
        Self::parse(value).unwrap_or(Self::HasMembers)
    }

    fn parse(value: &[u8]) -> Result<Self, OffsetsError> {
        let mut fields = Fields::new(value);
        let version = fields.i16("version")?;
        if !(0..=3).contains(&version) {
            return Err(OffsetsError::Version { version });
        }
        fields.string("protocol type")?;
        fields.i32("generation")?;
        fields.nullable("protocol")?;
        fields.nullable("leader")?;
        let since = if version >= 2 { fields.i64("state timestamp")? } else { Timestamp::NONE.as_millis() };
        let since = Some(Timestamp::from_millis(since)).filter(|since| since.is_some());
        Ok(if fields.i32("members")? == 0 { Self::Empty { since } } else { Self::HasMembers })
    }
}
