//! Messages: what clients, brokers and controllers say to each other, typed.
//!
//! A [`Request`] is answered by the [`Response`] of the same name. Where a request names several topics or partitions,
//! each has an [`Answer`] of its own, in the order of the request: one may be refused while the others are served. A
//! refusal is a [`RequestError`], whose [`ErrorCode`] has Kafka's number.
//!
//! The bodies are a parameter: a producer sends [`Batch`]es and a broker may want checked ones;
//! a fetch is answered with batches, or with a plan for a driver that reads them ([`Fetched`]).
//!
//! - May use: the newtypes and `record`.
//! - Must not know: logs, partitions, files, threads, and how a message looks on a wire.
//! - Always true: no number means "none", that is `Option`; what names a topic has been checked; a [`TopicConfig`]
//!   comes back equal from its text.

mod code;
pub mod config;
mod error;
mod fetch;
mod group;
mod offsets;
mod produce;
mod space;
mod topic;

pub use code::{ErrorCode, UnknownCode};
pub use config::{CleanupPolicy, ConfigError, ConfigKey, TopicConfig};
pub use error::{Detail, FullDisk, RecordFault, RequestError};
pub use fetch::{AbortedTransaction, Fetch, FetchPartition, Fetched, IsolationLevel};
pub use group::{CommitPartition, Committed, Membership, OffsetCommit, OffsetFetch, Pending};
pub use offsets::{DeleteBefore, DeleteRecords, ListOffsets, ListPartition, ListedOffset, OffsetSpec};
pub use produce::{Acks, Durability, InitProducerId, Produce, ProducePartition, Produced, ProducerIdentity};
pub use space::{AtSpaceBound, BoundReached, SpaceBound};
pub use topic::{
    AlterConfigs, ConfigChange, ConfigEntry, ConfigOperation, ConfigSource, CreatePartitions, CreateTopics,
    CreatedTopic, DeleteTopics, DescribeConfigs, DescribeTopics, Described, MorePartitions, NewTopic,
    PartitionDescription, TopicDescription, TopicRef, Trial,
};

use crate::id::{TopicName, TopicPartition};
use crate::offset::Offset;
use crate::record::Batch;

/// What was asked for one topic or partition, and what came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer<K, T> {
    /// For which one.
    pub of: K,
    /// What came of it.
    pub result: Result<T, RequestError>,
}

impl<K, T> Answer<K, T> {
    /// What was asked for has been done.
    pub const fn done(of: K, what: T) -> Self {
        Self { of, result: Ok(what) }
    }

    /// What was asked for was refused.
    pub const fn refused(of: K, why: RequestError) -> Self {
        Self { of, result: Err(why) }
    }
}

/// What a partition was asked, and what came of it.
pub type PartitionAnswer<T> = Answer<TopicPartition, T>;
/// What was asked about a topic, and what came of it.
pub type TopicAnswer<T> = Answer<TopicName, T>;

/// What a client asks of a broker. `B` is what it appends: a batch as it comes, or one that has been checked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Request<B = Batch> {
    /// Append batches.
    Produce(Produce<B>),
    /// Read batches.
    Fetch(Fetch),
    /// Find offsets.
    ListOffsets(ListOffsets),
    /// Move log starts.
    DeleteRecords(DeleteRecords),
    /// Create topics.
    CreateTopics(CreateTopics),
    /// Delete topics.
    DeleteTopics(DeleteTopics),
    /// Add partitions to topics.
    CreatePartitions(CreatePartitions),
    /// Change settings of topics.
    AlterConfigs(AlterConfigs),
    /// Ask for the settings of topics.
    DescribeConfigs(DescribeConfigs),
    /// Ask which topics there are, and who leads their partitions.
    DescribeTopics(DescribeTopics),
    /// Ask for a producer id.
    InitProducerId(InitProducerId),
    /// Note how far a group has come.
    OffsetCommit(OffsetCommit),
    /// Ask how far a group has come.
    OffsetFetch(OffsetFetch),
}

/// What a broker answers to the [`Request`] of the same name. `F` is what a fetch is answered with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Response<F> {
    /// Where the batches were put. A request with [`Acks::None`] has no response.
    Produce(Vec<PartitionAnswer<Produced>>),
    /// The batches.
    Fetch(Vec<PartitionAnswer<Fetched<F>>>),
    /// The offsets; `None` where no record is as late as was asked for.
    ListOffsets(Vec<PartitionAnswer<Option<ListedOffset>>>),
    /// The log starts.
    DeleteRecords(Vec<PartitionAnswer<Offset>>),
    /// The topics as they were created.
    CreateTopics(Vec<TopicAnswer<CreatedTopic>>),
    /// The topics are gone.
    DeleteTopics(Vec<Answer<TopicRef, ()>>),
    /// The partitions were added.
    CreatePartitions(Vec<TopicAnswer<()>>),
    /// The settings were changed.
    AlterConfigs(Vec<TopicAnswer<()>>),
    /// The settings.
    DescribeConfigs(Vec<TopicAnswer<Vec<ConfigEntry>>>),
    /// The topics.
    DescribeTopics(Described),
    /// The producer id.
    InitProducerId(Result<ProducerIdentity, RequestError>),
    /// How far the group has come was noted.
    OffsetCommit(Vec<PartitionAnswer<()>>),
    /// How far the group has come; `None` where it has committed nothing. Or why that is not known here.
    OffsetFetch(Result<Vec<PartitionAnswer<Option<Committed>>>, RequestError>),
}
