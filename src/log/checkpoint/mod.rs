//! Checkpoints: the small text files in which a log, and a directory of logs, keep what they know.
//!
//! Each is read from bytes and written to bytes, exactly as Kafka does (format.md, section 8); who replaces the file
//! without a moment in which it is neither the old nor the new one is the driver. What is read may come from anywhere,
//! so that no count in it is believed before it has been counted.
//!
//! - May use: `epoch`, `id`, `offset`, and its sibling `epochs`.
//! - Must not know: files, clocks.
//! - Always true: what is written here reads back equal.

mod clean;
mod epochs;
mod lines;
mod meta;
mod offsets;
mod partition;
mod properties;

use crate::id::{InvalidTopicId, InvalidTopicName};

pub use clean::CleanShutdown;
pub use meta::{DirectoryId, MetaProperties, MetaVersion};
pub use offsets::OffsetCheckpoint;
pub use partition::PartitionMetadata;

/// Why a checkpoint cannot be read. Lines count from one; what was found is cut to 64 characters.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The version is not known.
    #[error("line {line}: version {found}, known is {known}")]
    Version {
        /// The line.
        line: usize,
        /// The version found.
        found: i64,
        /// The versions that are known.
        known: &'static str,
    },
    /// The file has not as many entries as its second line says.
    #[error("the checkpoint says it has {expected} entries, it has {found}")]
    Count {
        /// What it says.
        expected: i64,
        /// What it has.
        found: usize,
    },
    /// A line has not as many columns as it should.
    #[error("line {line} has {found} columns, expected {expected}")]
    Columns {
        /// The line.
        line: usize,
        /// How many it should have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// A number is none, or is out of its range.
    #[error("line {line}: {found:?} is no {expected}")]
    Number {
        /// The line.
        line: usize,
        /// What it should be.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A topic's name is none.
    #[error("line {line}: {source}")]
    Topic {
        /// The line.
        line: usize,
        /// Why not.
        source: InvalidTopicName,
    },
    /// A topic's id is none.
    #[error("line {line}: {source}")]
    TopicId {
        /// The line.
        line: usize,
        /// Why not.
        source: InvalidTopicId,
    },
    /// A directory's id is none, or one that Kafka reserves.
    #[error("{found:?} is not the id of a directory")]
    DirectoryId {
        /// What stands there.
        found: String,
    },
    /// A line is not UTF-8.
    #[error("line {line} is not UTF-8")]
    NotText {
        /// The line.
        line: usize,
    },
    /// A line does not begin with the key that it should.
    #[error("line {line}: {found:?} is not a value of {expected:?}")]
    Key {
        /// The line.
        line: usize,
        /// The key that should stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A property is missing.
    #[error("the property {expected:?} is missing")]
    MissingProperty {
        /// Its key.
        expected: &'static str,
    },
    /// A property that must be a number is none, or is out of its range.
    #[error("the property {key:?} is {found:?}")]
    Property {
        /// Its key.
        key: &'static str,
        /// What stands there.
        found: String,
    },
    /// A `\u` of a property is not followed by a code unit that can stand there.
    #[error("line {line}: a malformed \\u escape")]
    Escape {
        /// The line on which the property begins.
        line: usize,
    },
}

/// `text` for an error: cut, so that a large file does not become a large error.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
