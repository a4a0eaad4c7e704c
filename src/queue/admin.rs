//! Topics of a queue: made, changed, looked at and deleted.

use std::sync::Arc;

use crate::broker::Body;
use crate::id::{InvalidTopicName, TopicName, TopicPartition};
use crate::message::{
    AlterConfigs, Answer, ConfigChange, ConfigEntry, CreatePartitions, CreateTopics, CreatedTopic, DeleteBefore,
    DeleteRecords, DeleteTopics, DescribeConfigs, DescribeTopics, Detail, IsolationLevel, ListOffsets, ListPartition,
    ListedOffset, MorePartitions, NewTopic, OffsetSpec, Request, RequestError, Response, TopicConfig, TopicDescription,
    TopicRef, Trial,
};
use crate::offset::Offset;
use crate::queue::Queue;
use crate::queue::client::Stopped;
use crate::queue::completion::Completion;
use crate::queue::facade::PATIENCE;

/// Why something about a topic was not done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// It is no name of a topic.
    #[error(transparent)]
    Name(#[from] InvalidTopicName),
    /// It was refused, and nothing has changed.
    #[error(transparent)]
    Refused(RequestError),
    /// The partitions are made, but this one could not be opened, and perhaps others neither. Whoever asks for it is told
    /// why; if its disk is full, it is opened once there is space.
    #[error("{partition} is made, but {why}")]
    NotOpened {
        /// Which one.
        partition: TopicPartition,
        /// Why.
        why: RequestError,
    },
    /// The queue was closed; whether it was done is not known.
    #[error("the queue was closed")]
    Closed,
}

impl Queue {
    /// Creates a topic. When this returns it may be used.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: the name is none or taken, the settings make no sense, the disk has no space. The topic is there all the
    /// same if it was [`AdminError::NotOpened`].
    pub fn create_topic(&self, name: &str, partitions: u32, config: TopicConfig) -> Result<CreatedTopic, AdminError> {
        let topic = NewTopic::new(TopicName::new(name)?).partitions(partitions).config(config);
        let request = CreateTopics { topics: vec![topic], timeout_ms: patience_ms(), trial: Trial::Do };
        let Response::CreateTopics(answers) = self.ask(Request::CreateTopics(request))? else {
            return Err(AdminError::Closed);
        };
        only(answers)
    }

    /// Deletes a topic with all its records. Nothing can be sent to it or read of it from then on, and the deletion outlives a
    /// crash. Its files, and what is cached of them, are removed soon after this returns.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: there is none of this name, or it is one of the queue's own.
    pub fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        let topics = vec![TopicRef::Name(TopicName::new(name)?)];
        let Response::DeleteTopics(answers) =
            self.ask(Request::DeleteTopics(DeleteTopics { topics, timeout_ms: patience_ms() }))?
        else {
            return Err(AdminError::Closed);
        };
        only(answers)
    }

    /// Adds partitions to a topic, so that it has `total`. Records stay where they are, but a key may go to another partition
    /// from now on.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: there is no such topic, or it has as many already.
    pub fn add_partitions(&self, name: &str, total: u32) -> Result<(), AdminError> {
        let topics = vec![MorePartitions { name: TopicName::new(name)?, total, assignment: None }];
        let request = CreatePartitions { topics, timeout_ms: patience_ms(), trial: Trial::Do };
        let Response::CreatePartitions(answers) = self.ask(Request::CreatePartitions(request))? else {
            return Err(AdminError::Closed);
        };
        only(answers)
    }

    /// Changes settings of a topic, all or none.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: there is no such topic, no such setting, or no such value of it.
    pub fn alter_config(&self, name: &str, changes: Vec<ConfigChange>) -> Result<(), AdminError> {
        let topics = vec![(TopicName::new(name)?, changes)];
        let Response::AlterConfigs(answers) =
            self.ask(Request::AlterConfigs(AlterConfigs { topics, trial: Trial::Do }))?
        else {
            return Err(AdminError::Closed);
        };
        only(answers)
    }

    /// The settings of a topic, with where each comes from.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: there is no such topic.
    pub fn describe_config(&self, name: &str) -> Result<Vec<ConfigEntry>, AdminError> {
        let topics = vec![(TopicName::new(name)?, None)];
        let Response::DescribeConfigs(answers) = self.ask(Request::DescribeConfigs(DescribeConfigs { topics }))? else {
            return Err(AdminError::Closed);
        };
        only(answers)
    }

    /// The topics there are, in the order of their names; the queue's own too.
    ///
    /// # Errors
    ///
    /// [`AdminError::Closed`].
    pub fn topics(&self) -> Result<Vec<TopicDescription>, AdminError> {
        let request = Request::DescribeTopics(DescribeTopics { topics: None });
        let Response::DescribeTopics(described) = self.ask(request)? else { return Err(AdminError::Closed) };
        Ok(described.topics.into_iter().filter_map(|answer| answer.result.ok()).collect())
    }

    /// An offset of a partition: its first one, its end, or that of a record by its date. `None`: no record is as late.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: there is no such partition, or what has to be read is corrupt.
    pub fn offset(&self, partition: &TopicPartition, at: OffsetSpec) -> Result<Option<ListedOffset>, AdminError> {
        let partitions = vec![ListPartition { partition: partition.clone(), at, current_leader_epoch: None }];
        let request = ListOffsets { isolation: IsolationLevel::ReadUncommitted, partitions };
        let Response::ListOffsets(answers) = self.ask(Request::ListOffsets(request))? else {
            return Err(AdminError::Closed);
        };
        only(answers)
    }

    /// Deletes the records of a partition below an offset. Answers where it begins now. That is on disk then: no crash and no
    /// power loss brings anything of it back.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: there is no such partition, or the offset lies behind what is acknowledged. If the disk fails or has no
    /// space (`KafkaStorageError`) the records are not served any more, but may be back at the next opening.
    pub fn delete_records(&self, partition: &TopicPartition, before: DeleteBefore) -> Result<Offset, AdminError> {
        let request = DeleteRecords { timeout_ms: patience_ms(), partitions: vec![(partition.clone(), before)] };
        let Response::DeleteRecords(answers) = self.ask(Request::DeleteRecords(request))? else {
            return Err(AdminError::Closed);
        };
        only(answers)
    }

    /// Asks the node and waits for the answer, doing some of its work meanwhile.
    fn ask(&self, request: Request) -> Result<Response<Body>, AdminError> {
        let answer: Arc<Completion<Result<Response<Body>, Stopped>>> = Arc::new(Completion::new());
        let set = Arc::clone(&answer);
        self.client.ask(
            request,
            Box::new(move |response| {
                set.set(response);
            }),
        );
        while answer.get().is_none() && self.client.help() {}
        answer.wait().map_err(|Stopped| AdminError::Closed)
    }
}

/// The answer to a question about one thing.
fn only<K, T>(answers: Vec<Answer<K, T>>) -> Result<T, AdminError> {
    match answers.into_iter().next() {
        Some(answer) => answer.result.map_err(AdminError::from),
        None => Err(AdminError::Closed),
    }
}

impl From<RequestError> for AdminError {
    fn from(error: RequestError) -> Self {
        match &error.detail {
            Detail::NotOpened(partition) => Self::NotOpened { partition: partition.as_ref().clone(), why: error },
            Detail::None
            | Detail::Range { .. }
            | Detail::LogEnd(_)
            | Detail::Records(_)
            | Detail::Leader { .. }
            | Detail::Poisoned
            | Detail::DiskFull(_)
            | Detail::SpaceBound(_) => Self::Refused(error),
        }
    }
}

fn patience_ms() -> u32 {
    u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX)
}
