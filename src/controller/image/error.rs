//! Why a log of metadata cannot be replayed.

use crate::controller::records::MetadataError;
use crate::id::{InvalidTopicName, TopicId, TopicName};
use crate::offset::Offset;
use crate::record::RecordError;

/// Why a log of metadata cannot be replayed further.
///
/// Nothing has changed: the image is that of the batch before. Whoever opens a directory should stop here, touch
/// nothing, and say where: going on past a record that was not understood would show topics that are not, or hide some
/// that are, and Kafka does not start on such a log either.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A batch of a format that no metadata log has.
    #[error("the entry at offset {at} has magic {magic}, metadata has 2")]
    Magic {
        /// Where the entry ends.
        at: Offset,
        /// Its magic.
        magic: i8,
    },
    /// Batches are missing: the log begins behind what the snapshot holds, or has a hole.
    #[error("metadata goes on at offset {found}, but {expected} comes next")]
    Gap {
        /// The offset that comes next.
        expected: Offset,
        /// The one that was found.
        found: Offset,
    },
    /// The snapshot ends inside a batch. Kafka replays such a batch whole and dies of it.
    #[error("the snapshot ends at offset {end}, inside the batch from {base_offset} to {last_offset}")]
    InsideBatch {
        /// Where the snapshot ends.
        end: Offset,
        /// The first offset of the batch.
        base_offset: Offset,
        /// Its last one.
        last_offset: Offset,
    },
    /// The records of a batch cannot be read.
    #[error("the batch at offset {at}: {source}")]
    Records {
        /// The first offset of the batch.
        at: Offset,
        /// What is wrong.
        source: RecordError,
    },
    /// A record without a value.
    #[error("the record at offset {at} has no value")]
    NoValue {
        /// Its offset.
        at: Offset,
    },
    /// A record that is none.
    #[error("offset {at}: {source}")]
    Decode {
        /// Its offset.
        at: Offset,
        /// What is wrong.
        source: MetadataError,
    },
    /// A record that does not fit those in front of it.
    #[error("{record} at offset {at}: {fault}")]
    Record {
        /// Its offset.
        at: Offset,
        /// What kind of record.
        record: &'static str,
        /// What does not fit.
        fault: ReplayFault,
    },
    /// There are records, but none that says which version of metadata they have.
    #[error("no record says which metadata.version this is")]
    NoMetadataVersion,
}

/// What does not fit about a record.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayFault {
    /// No topic has this id.
    #[error("there is no topic {id}")]
    UnknownTopic {
        /// The id in its text form, zero included.
        id: String,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The number.
        partition: i32,
    },
    /// The name is taken.
    #[error("topic {name} is there already, its id is {id}")]
    DuplicateTopic {
        /// The name.
        name: TopicName,
        /// The id of the topic that has it.
        id: TopicId,
    },
    /// The id is taken.
    #[error("topic id {id} is that of {name} already")]
    DuplicateTopicId {
        /// The id.
        id: TopicId,
        /// The topic that has it.
        name: TopicName,
    },
    /// The id is zero, which names no topic.
    #[error("topic {name} has the id zero")]
    ZeroTopicId {
        /// The topic.
        name: TopicName,
    },
    /// The name would be no directory.
    #[error(transparent)]
    TopicName(#[from] InvalidTopicName),
    /// The number is negative.
    #[error("a partition has number {number}")]
    InvalidPartition {
        /// The number.
        number: i32,
    },
    /// The number is negative.
    #[error("a broker has number {id}")]
    InvalidBroker {
        /// The number.
        id: i32,
    },
    /// Not one directory for each replica.
    #[error("{found} directories for {replicas} replicas")]
    Directories {
        /// How many replicas.
        replicas: usize,
        /// How many directories.
        found: usize,
    },
    /// Neither 0 nor 1.
    #[error("leader recovery state {state}")]
    LeaderRecovery {
        /// The state.
        state: i8,
    },
    /// No reign comes after the last one.
    #[error("the leader epochs of the partition are used up")]
    LeaderEpochEnds,
    /// No change comes after the last one.
    #[error("the partition epochs of the partition are used up")]
    PartitionEpochEnds,
    /// A feature that is not known here, or a level of it. A newer Kafka has had the directory.
    #[error("feature {name} has level {level}, {min} to {max} are known")]
    UnsupportedFeature {
        /// The feature.
        name: String,
        /// The level.
        level: i16,
        /// The smallest that is known; 0 for a feature that is not.
        min: i16,
        /// The largest.
        max: i16,
    },
    /// No such broker is registered.
    #[error("broker {id} is not registered")]
    UnknownBroker {
        /// The broker.
        id: i32,
    },
    /// It is registered under another epoch.
    #[error("broker {id} is registered with epoch {registered}, not {found}")]
    BrokerEpoch {
        /// The broker.
        id: i32,
        /// The epoch of its registration.
        registered: i64,
        /// The one in the record.
        found: i64,
    },
    /// Neither −1 nor 0 nor 1.
    #[error("a broker's {field} changes to {value}")]
    RegistrationChange {
        /// Which field.
        field: &'static str,
        /// The value.
        value: i8,
    },
    /// The next producer id is negative.
    #[error("the next producer id is {next}")]
    InvalidProducerId {
        /// The id.
        next: i64,
    },
    /// A transaction begins inside another, which began at `begun`.
    #[error("a transaction has been open since offset {begun}")]
    OpenTransaction {
        /// Where.
        begun: Offset,
    },
    /// A transaction ends that did not begin. An [`Image`](crate::controller::Image) alone has no transactions: a
    /// [`Replayer`](crate::controller::Replayer) has.
    #[error("no transaction is open")]
    NoTransaction,
}
