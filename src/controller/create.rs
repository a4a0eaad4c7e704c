//! Topics begin, grow and end.

use std::collections::BTreeMap;

use crate::controller::Controller;
use crate::controller::assign::{AssignmentError, Beginning, check_by_hand};
use crate::controller::change::Change;
use crate::controller::draw::Draw;
use crate::controller::image::{Resource, Topic};
use crate::controller::place::{Candidate, PlacementError, place};
use crate::controller::records::{ConfigRecord, MetadataRecord, RemoveTopicRecord, TopicRecord};
use crate::id::{BrokerId, TopicId, TopicName};
use crate::message::{ConfigError, ErrorCode, MorePartitions, NewTopic, TopicConfig, TopicRef};

/// The partition that metadata itself is in; no topic of that name can be created.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Why a topic was not created.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateTopicError {
    /// There is one of this name.
    #[error("topic {name} is there already, its id is {id}")]
    Exists {
        /// The name.
        name: TopicName,
        /// The id of the one that is there.
        id: TopicId,
    },
    /// There is one whose name differs in `.` and `_` only.
    #[error("topic {name} collides with {other}: they differ in '.' and '_' only")]
    Collides {
        /// The name.
        name: TopicName,
        /// The one that is there.
        other: TopicName,
    },
    /// The name is that of the metadata partition.
    #[error("{name} is the partition of metadata, not a topic")]
    Reserved {
        /// The name.
        name: TopicName,
    },
    /// A topic without partitions could not be used.
    #[error("a topic of 0 partitions")]
    NoPartitions,
    /// More records than one change may have. Create the topic smaller and let it grow.
    #[error("{asked} partitions at once, at most {max} are possible")]
    TooManyPartitions {
        /// How many were asked for.
        asked: u64,
        /// How many are possible, given the topic's configuration.
        max: u32,
    },
    /// The brokers that are there cannot hold it.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// What was assigned by hand cannot be.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The settings contradict each other, or one is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl CreateTopicError {
    /// Kafka's code for it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Exists { .. } => ErrorCode::TopicAlreadyExists,
            Self::Collides { .. } => ErrorCode::InvalidTopicException,
            Self::Reserved { .. } => ErrorCode::InvalidRequest,
            Self::NoPartitions | Self::TooManyPartitions { .. } => ErrorCode::InvalidPartitions,
            Self::Placement(_) => ErrorCode::InvalidReplicationFactor,
            Self::Assignment(_) => ErrorCode::InvalidReplicaAssignment,
            Self::Config(_) => ErrorCode::InvalidConfig,
        }
    }
}

/// Why a topic was not deleted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteTopicError {
    /// There is none of this name.
    #[error("there is no topic {name}")]
    UnknownName {
        /// The name.
        name: TopicName,
    },
    /// There is none of this id; there may be a later one of the same name.
    #[error("there is no topic of id {id}")]
    UnknownId {
        /// The id.
        id: TopicId,
    },
}

impl DeleteTopicError {
    /// Kafka's code for it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownName { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownId { .. } => ErrorCode::UnknownTopicId,
        }
    }
}

/// Why a topic did not get more partitions.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddPartitionsError {
    /// There is no such topic.
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name.
        name: TopicName,
    },
    /// It has as many already, or more: partitions are never taken away.
    #[error("topic {name} has {current} partitions already, {asked} were asked for")]
    NotMore {
        /// The topic.
        name: TopicName,
        /// How many it has.
        current: u32,
        /// How many were asked for, all told.
        asked: u32,
    },
    /// More than one change may have. Add them in several steps.
    #[error("{asked} more partitions at once, at most {max} are possible")]
    TooMany {
        /// How many more were asked for.
        asked: u32,
        /// How many are possible.
        max: u32,
    },
    /// The brokers that are there cannot hold them.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// What was assigned by hand cannot be.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
}

impl AddPartitionsError {
    /// Kafka's code for it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::NotMore { .. } | Self::TooMany { .. } => ErrorCode::InvalidPartitions,
            Self::Placement(_) => ErrorCode::InvalidReplicationFactor,
            Self::Assignment(_) => ErrorCode::InvalidReplicaAssignment,
        }
    }
}

impl Controller {
    /// Decides to create a topic: its record, its configuration, its partitions.
    ///
    /// # Errors
    ///
    /// [`CreateTopicError`].
    pub fn decide_create_topic(&self, topic: &NewTopic, draw: &mut Draw) -> Result<Change, CreateTopicError> {
        self.check_name(&topic.name)?;
        let config = checked_config(&topic.config)?;
        let replicas = self.replicas_of_new(topic, config.len(), draw)?;
        let id = draw.topic_id(|id| self.latest().topic_by_id(id).is_none());
        let resource = Resource::topic(&topic.name);
        let record =
            TopicRecord { name: topic.name.as_str().to_owned(), topic_id: id.into(), ..TopicRecord::default() };
        let mut records = vec![MetadataRecord::from(record)];
        records.extend(config.into_iter().map(|(key, value)| config_record(&resource, key, Some(value))));
        records.extend(self.partition_records(id, 0, replicas));
        Ok(Change::new(records))
    }

    fn check_name(&self, name: &TopicName) -> Result<(), CreateTopicError> {
        if name.as_str() == METADATA_TOPIC {
            return Err(CreateTopicError::Reserved { name: name.clone() });
        }
        if let Some(there) = self.latest().topic(name) {
            return Err(CreateTopicError::Exists { name: name.clone(), id: there.id() });
        }
        // Without either character a name collides with itself alone, and most names are spared the search.
        let may_collide = name.as_str().contains(['.', '_']);
        let mut others = self.latest().topics().filter(|_| may_collide);
        match others.find(|there| there.name().collides_with(name)) {
            Some(other) => Err(CreateTopicError::Collides { name: name.clone(), other: other.name().clone() }),
            None => Ok(()),
        }
    }

    /// Who holds which partition. `configs` counts the records that go in front of those of the partitions.
    fn replicas_of_new(
        &self,
        topic: &NewTopic,
        configs: usize,
        draw: &mut Draw,
    ) -> Result<Vec<Vec<BrokerId>>, CreateTopicError> {
        let assigned = topic.assignment.as_ref();
        let default = assigned.map_or(self.defaults().partitions, |assigned| assigned.len() as u32);
        let partitions = topic.partitions.unwrap_or(default);
        let max = (Change::RECORDS_MAX - 1).saturating_sub(configs) as u32;
        if partitions == 0 {
            return Err(CreateTopicError::NoPartitions);
        }
        if partitions > max {
            return Err(CreateTopicError::TooManyPartitions { asked: partitions.into(), max });
        }
        let Some(assigned) = assigned else {
            let factor = topic.replication_factor.unwrap_or(self.defaults().replication_factor);
            return Ok(place(&self.candidate_list(), partitions, factor, draw)?);
        };
        let replicas = in_order(assigned, partitions)?;
        check_by_hand(&replicas, 0, topic.replication_factor.map(usize::from), self.candidates())?;
        Ok(replicas)
    }

    fn partition_records(
        &self,
        topic: TopicId,
        first: u32,
        replicas: Vec<Vec<BrokerId>>,
    ) -> impl Iterator<Item = MetadataRecord> {
        let mut beginning = Beginning::new(self.latest(), self.candidates());
        replicas.into_iter().zip(first..).map(move |(replicas, number)| {
            let partition = beginning.partition(replicas);
            partition.to_record(topic, number).into()
        })
    }

    /// Decides to delete a topic. Its configuration goes with it; the records of its partitions are somebody else's to
    /// remove, when the change is committed.
    ///
    /// # Errors
    ///
    /// [`DeleteTopicError`].
    pub fn decide_delete_topic(&self, topic: &TopicRef) -> Result<Change, DeleteTopicError> {
        let found = match topic {
            TopicRef::Name(name) => {
                self.latest().topic(name).ok_or_else(|| DeleteTopicError::UnknownName { name: name.clone() })
            }
            TopicRef::Id(id) => self.latest().topic_by_id(*id).ok_or(DeleteTopicError::UnknownId { id: *id }),
        };
        let record = RemoveTopicRecord { topic_id: found?.id().into(), ..RemoveTopicRecord::default() };
        Ok(Change::new(vec![record.into()]))
    }

    /// Decides to add partitions to a topic. Those that it has stay as they are, and so do their records.
    ///
    /// # Errors
    ///
    /// [`AddPartitionsError`].
    pub fn decide_add_partitions(&self, more: &MorePartitions, draw: &mut Draw) -> Result<Change, AddPartitionsError> {
        let name = &more.name;
        let unknown = || AddPartitionsError::UnknownTopic { name: name.clone() };
        let topic = self.latest().topic(name).ok_or_else(unknown)?;
        let current = topic.next_partition();
        let asked = more.total.saturating_sub(current);
        let max = Change::RECORDS_MAX as u32;
        if asked == 0 {
            return Err(AddPartitionsError::NotMore { name: name.clone(), current, asked: more.total });
        }
        if asked > max {
            return Err(AddPartitionsError::TooMany { asked, max });
        }
        let replicas = self.replicas_of_more(topic, asked, more.assignment.as_deref(), draw)?;
        Ok(Change::new(self.partition_records(topic.id(), current, replicas).collect()))
    }

    fn replicas_of_more(
        &self,
        topic: &Topic,
        asked: u32,
        assignment: Option<&[Vec<BrokerId>]>,
        draw: &mut Draw,
    ) -> Result<Vec<Vec<BrokerId>>, AddPartitionsError> {
        // New partitions have as many replicas as the old ones.
        let old = topic.partitions().next().map(|(_, partition)| partition.replicas.len());
        let factor = old.and_then(|count| u16::try_from(count).ok()).unwrap_or(self.defaults().replication_factor);
        let Some(assignment) = assignment else {
            return Ok(place(&self.candidate_list(), asked, factor, draw)?);
        };
        if assignment.len() != asked as usize {
            return Err(AssignmentError::Count { asked, found: assignment.len() }.into());
        }
        check_by_hand(assignment, topic.next_partition(), Some(factor.into()), self.candidates())?;
        Ok(assignment.to_vec())
    }

    fn candidate_list(&self) -> Vec<Candidate> {
        self.candidates().values().cloned().collect()
    }
}

/// The assigned brokers in order of the partitions, which run from 0 without a gap.
fn in_order(assigned: &BTreeMap<u32, Vec<BrokerId>>, partitions: u32) -> Result<Vec<Vec<BrokerId>>, AssignmentError> {
    if let Some((expected, found)) = (0..).zip(assigned.keys()).find(|(expected, found)| expected != *found) {
        return Err(AssignmentError::NotConsecutive { expected, found: *found });
    }
    if assigned.len() != partitions as usize {
        return Err(AssignmentError::Count { asked: partitions, found: assigned.len() });
    }
    Ok(assigned.values().cloned().collect())
}

/// Keys and values as text. A configuration made by hand may still contradict itself, and is read once more.
fn checked_config(config: &TopicConfig) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let pairs: Vec<_> = config.pairs().map(|(key, value)| (key.name(), value)).collect();
    TopicConfig::from_pairs(pairs.iter().map(|(key, value)| (*key, value)))?;
    Ok(pairs)
}

pub(super) fn config_record(resource: &Resource, key: &str, value: Option<String>) -> MetadataRecord {
    ConfigRecord {
        resource_type: resource.resource_type.as_i8(),
        resource_name: resource.name.clone(),
        name: key.to_owned(),
        value,
        ..ConfigRecord::default()
    }
    .into()
}
