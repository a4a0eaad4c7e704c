//! Why settings were refused.

use crate::message::config::ConfigKey;

/// Why settings of a topic were refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no setting of this name.
    #[error("no topic setting is called {key:?}{}", hint(*nearest))]
    UnknownKey {
        /// What was given, cut to 64 characters.
        key: String,
        /// The setting whose name is the most like it, if any is.
        nearest: Option<ConfigKey>,
    },
    /// The setting cannot have this value.
    #[error("{key} cannot be {value:?}: {allowed}")]
    Value {
        /// Which setting.
        key: ConfigKey,
        /// What was given, cut to 64 characters.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The setting was given twice.
    #[error("{key} is given twice")]
    Repeated {
        /// Which setting.
        key: ConfigKey,
    },
    /// The setting is no list, so nothing can be added to it or taken out of it.
    #[error("{key} is not a list")]
    NotAList {
        /// Which setting.
        key: ConfigKey,
    },
    /// `min.compaction.lag.ms` is larger than `max.compaction.lag.ms`.
    #[error("min.compaction.lag.ms {min} is larger than max.compaction.lag.ms {max}")]
    CompactionLag {
        /// `min.compaction.lag.ms`.
        min: u64,
        /// `max.compaction.lag.ms`.
        max: u64,
    },
}

fn hint(nearest: Option<ConfigKey>) -> String {
    nearest.map_or_else(String::new, |key| format!("; is it {:?}?", key.name()))
}

impl ConfigError {
    pub(super) fn unknown(key: &str) -> Self {
        Self::UnknownKey { key: cut(key), nearest: nearest(key) }
    }

    pub(super) fn value(key: ConfigKey, value: &str, allowed: String) -> Self {
        Self::Value { key, value: cut(value), allowed }
    }
}

/// What came from outside is not repeated at any length.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The setting whose name takes the fewest changes to become `key`, if those are few.
fn nearest(key: &str) -> Option<ConfigKey> {
    const CHANGES_MAX: usize = 4;
    if key.len() > 64 {
        return None;
    }
    let changes = |candidate: &ConfigKey| distance(key.as_bytes(), candidate.name().as_bytes());
    let (few, found) = ConfigKey::ALL.iter().map(|candidate| (changes(candidate), *candidate)).min()?;
    (few <= CHANGES_MAX && few * 2 < key.len()).then_some(found)
}

/// How many bytes must be put in, taken out or replaced to make `left` of `right`.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (column, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
