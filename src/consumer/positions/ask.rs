//! Questions of a consumer.

use crate::id::TopicPartition;
use crate::message::OffsetSpec;
use crate::offset::Offset;

/// The number of a question. No two have the same.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AskId(u64);

impl AskId {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// A question about one partition. Several may travel in one request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ask {
    /// To be named in the answer.
    pub id: AskId,
    /// Which partition.
    pub partition: TopicPartition,
    /// What.
    pub what: AskFor,
}

/// What is asked of a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AskFor {
    /// An offset, by [`ListOffsets`](crate::message::ListOffsets).
    Offset(OffsetSpec),
    /// Batches from this offset on, by [`Fetch`](crate::message::Fetch).
    Batches(Offset),
    /// What the group has committed, by [`OffsetFetch`](crate::message::OffsetFetch).
    Committed,
}
