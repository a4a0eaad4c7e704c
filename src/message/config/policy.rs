//! What happens to old records.

use std::fmt;

/// What happens to old records: Kafka's `cleanup.policy`, a list in any order.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum CleanupPolicy {
    /// Old segments are deleted.
    #[default]
    Delete,
    /// Only the latest record of each key is kept.
    Compact,
    /// Both.
    CompactAndDelete,
    /// Neither: the empty list, which Kafka has since 4.2.
    Keep,
}

impl CleanupPolicy {
    /// Whether retention by size and time applies.
    pub const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::CompactAndDelete)
    }

    /// Whether records are compacted by key.
    pub const fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::CompactAndDelete)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut deletes, mut compacts) = (false, false);
        for element in elements(text) {
            match element.as_str() {
                "delete" => deletes = true,
                "compact" => compacts = true,
                _ => return None,
            }
        }
        Some(match (compacts, deletes) {
            (false, true) => Self::Delete,
            (true, false) => Self::Compact,
            (true, true) => Self::CompactAndDelete,
            (false, false) => Self::Keep,
        })
    }
}

impl fmt::Display for CleanupPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactAndDelete => "compact,delete",
            Self::Keep => "",
        })
    }
}

/// The elements of a list in a setting. No text is no elements; an empty element is one.
pub(super) fn elements(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|element| element.trim().to_owned()).collect()
}
