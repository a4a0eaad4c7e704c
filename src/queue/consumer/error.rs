//! What a consumer may be told instead.

use crate::consumer::{NotAssigned, PollError};
use crate::id::{InvalidTopicName, TopicName, TopicPartition};
use crate::message::RequestError;

/// Why a topic was not subscribed to, or a partition not assigned. Nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// No topic can have this name.
    #[error(transparent)]
    InvalidTopic(#[from] InvalidTopicName),
    /// There is no topic of this name. Create it first.
    #[error("there is no topic {topic}")]
    UnknownTopic {
        /// Which one.
        topic: TopicName,
    },
    /// The topic has fewer partitions.
    #[error("there is no partition {partition}: the topic has {partitions}")]
    UnknownPartition {
        /// Which one.
        partition: TopicPartition,
        /// How many there are.
        partitions: u32,
    },
    /// It was to begin where the group has committed, and there is no group.
    #[error("a consumer without a group cannot begin at what its group has committed")]
    NoGroup,
}

/// Why a poll has brought no records. No position has moved.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The queue was closed, or has failed. There is nothing more to come.
    #[error("the queue was closed")]
    Closed,
    /// Somebody has called [`Wakeup::wakeup`](super::Wakeup::wakeup).
    #[error("the poll was woken up")]
    WokenUp,
    /// As many records as may be are not acknowledged, and none was acknowledged in time.
    #[error("{outstanding} records are not acknowledged, and no more may be")]
    Unacknowledged {
        /// How many are not.
        outstanding: u64,
    },
    /// There may be more records, but the queue's consumers and the program have as many bytes of them as may be, and too
    /// few were let go of in time: see
    /// [`QueueBuilder::consumer_memory_bytes_max`](crate::queue::QueueBuilder::consumer_memory_bytes_max).
    #[error("consumers and the program have {held} bytes of records, of {bytes_max}: drop some to read on")]
    MemoryBound {
        /// How many bytes they have.
        held: u64,
        /// How many they may.
        bytes_max: u64,
    },
    /// A partition that was assigned by hand is not there any more: its topic was deleted. It is assigned no longer.
    #[error("{partition} was deleted")]
    Deleted {
        /// Which one.
        partition: TopicPartition,
    },
    /// One partition has no records to give. The others go on at the next poll.
    #[error(transparent)]
    Partition(#[from] PollError),
}

/// Why a position was not moved.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(transparent)]
pub struct SeekError(#[from] pub NotAssigned);

/// Why offsets were not committed, or could not be asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The consumer has no group.
    #[error("the consumer has no group to commit for")]
    NoGroup,
    /// The consumer notes no acknowledgements:
    /// [`ConsumerConfig::unacknowledged_max`](super::ConsumerConfig::unacknowledged_max).
    #[error("the consumer is configured to note no acknowledgements")]
    NoLedger,
    /// The queue was closed. Whether anything was committed is not known.
    #[error("the queue was closed")]
    Closed,
    /// There was no answer in time. What was asked for last may be committed yet.
    #[error("no answer within {timeout_ms} ms")]
    TimedOut {
        /// How long was waited.
        timeout_ms: u64,
    },
    /// Some partitions were refused; the others are committed.
    #[error("{} of the partitions refused, the first of them: {}", refused.len(), first(refused))]
    Refused {
        /// Which ones, and why.
        refused: Vec<(TopicPartition, RequestError)>,
    },
}

fn first(refused: &[(TopicPartition, RequestError)]) -> String {
    refused.first().map(|(partition, error)| format!("{partition}: {error}")).unwrap_or_default()
}
