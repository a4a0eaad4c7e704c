//! How a consumer reads, and where it begins.

use crate::message::{IsolationLevel, OffsetSpec};
use crate::offset::Offset;
use crate::record::DecompressLimit;

/// How a consumer reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PositionsConfig {
    /// `isolation.level`: how far to see, and whether to leave out what was aborted.
    pub isolation: IsolationLevel,
    /// `auto.offset.reset`: where to go on when there is no offset, or it is gone.
    pub reset: OffsetReset,
    /// `retry.backoff.ms`: how long to wait before a question is asked again that could not be answered now.
    pub retry_backoff_ms: u64,
    /// The most bytes that the records of one batch may decompress to.
    pub decompress_limit: DecompressLimit,
}

impl Default for PositionsConfig {
    fn default() -> Self {
        Self {
            isolation: IsolationLevel::ReadUncommitted,
            reset: OffsetReset::Latest,
            retry_backoff_ms: 100,
            decompress_limit: DecompressLimit::default(),
        }
    }
}

/// Where to go on when there is no offset, or it is gone.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum OffsetReset {
    /// At the first record there is.
    Earliest,
    /// At the next record that comes.
    #[default]
    Latest,
    /// Nowhere: tell the application.
    Refuse,
}

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Start {
    /// At this offset.
    At(Offset),
    /// Where this is found.
    Find(OffsetSpec),
    /// At what the group has committed; where it has committed nothing, as [`PositionsConfig::reset`] says.
    Committed(Option<Offset>),
    /// At what the group has committed, which is asked for; where it has committed nothing, as this says.
    Group(OffsetReset),
}

/// Whether records of a partition are handed out.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Pause {
    /// They are.
    #[default]
    Running,
    /// They are not; what was fetched is kept.
    Paused,
}
