//! What a consumer is told instead of records.

use crate::id::TopicPartition;
use crate::message::RequestError;
use crate::offset::Offset;
use crate::record::RecordError;

/// The partition is not read by this consumer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{partition} is not assigned")]
pub struct NotAssigned {
    /// Which one.
    pub partition: TopicPartition,
}

/// Why there are no records of a partition. The position has not moved.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PollError {
    /// The group has committed nothing, and the consumer is configured not to begin anywhere by itself. Seek.
    #[error("{partition} has no committed offset, and no reset is configured")]
    NoOffset {
        /// Which one.
        partition: TopicPartition,
    },
    /// The offset is gone, or not there yet, and the consumer is configured not to go elsewhere by itself. Seek.
    #[error("offset {position} of {partition} is out of range{}", range.map(|(start, end)| format!(": there are {start} to {end}")).unwrap_or_default())]
    OutOfRange {
        /// Which one.
        partition: TopicPartition,
        /// The position.
        position: Offset,
        /// The first readable offset and the end of what can be seen, if the answer said so.
        range: Option<(Offset, Offset)>,
    },
    /// A batch cannot be read. It is told again until the position is moved.
    #[error("cannot read {partition} at offset {position}: {error}")]
    Corrupt {
        /// Which one.
        partition: TopicPartition,
        /// The position.
        position: Offset,
        /// What is wrong.
        error: RecordError,
    },
    /// The question was refused, and asking again may not help. It is asked again all the same.
    #[error("cannot read {partition}: {error}")]
    Refused {
        /// Which one.
        partition: TopicPartition,
        /// Why.
        error: RequestError,
    },
}
