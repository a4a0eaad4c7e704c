//! Why a record was not taken.

use std::time::Duration;

use crate::id::{InvalidTopicName, TopicName};
use crate::producer::PushError;

/// Why a record was not taken. It will not be written; what was taken before stays.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendFault {
    /// There is no topic of this name. Create it first.
    #[error("there is no topic {topic}")]
    UnknownTopic {
        /// The name.
        topic: TopicName,
    },
    /// The record names a topic that cannot be.
    #[error(transparent)]
    Name(#[from] InvalidTopicName),
    /// The record names no topic, or another than that of the handle it was given to.
    #[error("the record is to go to {found:?}")]
    WrongTopic {
        /// What it names.
        found: Option<String>,
    },
    /// The topic has fewer partitions than the record or the partitioner asks for.
    #[error("topic {topic} has {partitions} partitions, and no number {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: TopicName,
        /// What was asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// The record is larger than the producer takes, or than all of its memory.
    #[error("a record of {bytes} bytes in its batch is larger than {max}")]
    TooLarge {
        /// How large it is, in a batch of its own.
        bytes: u64,
        /// How large it may be.
        max: u64,
    },
    /// There is no memory left for it, as the producer is configured.
    #[error("{used} of {max} bytes are in use")]
    Full {
        /// How many bytes are in use.
        used: u64,
        /// How many there are.
        max: u64,
    },
    /// There was no memory for it in time.
    #[error("no room within {waited:?}: {used} of {max} bytes are in use")]
    TimedOut {
        /// For how long the sender waited.
        waited: Duration,
        /// How many bytes are in use.
        used: u64,
        /// How many there are.
        max: u64,
    },
    /// The producer or the queue was closed.
    #[error("the producer or its queue was closed")]
    Closed,
}

impl From<PushError> for SendFault {
    fn from(error: PushError) -> Self {
        match error {
            PushError::TooLarge { bytes, max } => Self::TooLarge { bytes, max },
            PushError::MustWait { used, max, .. } | PushError::Full { used, max } => Self::Full { used, max },
            PushError::Closed => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn what_a_batch_does_not_take_is_told_as_what_it_is() {
        let deadline = Instant::ZERO;
        for (error, fault) in [
            (PushError::TooLarge { bytes: 2, max: 1 }, SendFault::TooLarge { bytes: 2, max: 1 }),
            (PushError::MustWait { used: 3, max: 4, deadline }, SendFault::Full { used: 3, max: 4 }),
            (PushError::Full { used: 3, max: 4 }, SendFault::Full { used: 3, max: 4 }),
            (PushError::Closed, SendFault::Closed),
        ] {
            assert_eq!(SendFault::from(error), fault);
        }
    }
}
