//! Adoption: directories of partitions that no metadata knows become topics.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::Controller;
use crate::controller::change::Change;
use crate::controller::create::{METADATA_TOPIC, config_record};
use crate::controller::draw::Draw;
use crate::controller::image::{PartitionState, Resource};
use crate::controller::records::{MetadataRecord, TopicRecord};
use crate::controller::uuid::Uuid;
use crate::epoch::LeaderEpoch;
use crate::id::{BrokerId, TopicId, TopicName, TopicPartition};

/// A directory of a partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// Which partition its name says it is.
    pub partition: TopicPartition,
    /// The topic id in its `partition.metadata`, if there is such a file.
    pub topic_id: Option<TopicId>,
    /// The log directory that it lies in.
    pub directory: Uuid,
    /// The latest reign in its log.
    pub last_epoch: Option<LeaderEpoch>,
}

/// What was decided about directories.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "the changes are to be appended"]
pub struct Adoption {
    /// To be appended in order. It is one, unless there are more records than a change may have: so a crash leaves all to be
    /// adopted, or nothing.
    pub changes: Vec<Change>,
    /// What is adopted when they are committed.
    pub adopted: Vec<Adopted>,
    /// What is not, and why. It is left as it is.
    pub refused: Vec<(TopicPartition, AdoptRefusal)>,
}

/// A partition that is adopted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Adopted {
    /// The partition.
    pub partition: TopicPartition,
    /// The id of its topic. Where the directory did not have it, it must be written there before Kafka sees it: Kafka
    /// moves a directory without it away.
    pub topic_id: TopicId,
}

/// Why a directory is not adopted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptRefusal {
    /// The metadata knows it: nothing to adopt.
    #[error("the metadata has the partition already")]
    Known,
    /// It is the metadata.
    #[error("it is the partition of metadata")]
    Metadata,
    /// It is there twice, in two log directories.
    #[error("the partition is there twice")]
    Twice,
    /// It belongs to another topic of the same name, one of an earlier life perhaps.
    #[error("it is of topic {found}, others of that name are of {expected}")]
    OtherTopic {
        /// The id of the topic that has the name.
        expected: TopicId,
        /// The id in the directory.
        found: TopicId,
    },
    /// Its topic's id is that of a topic with another name.
    #[error("its topic id {id} is that of {name}")]
    IdTaken {
        /// The id.
        id: TopicId,
        /// The topic that has it.
        name: TopicName,
    },
}

/// The ids that this adoption gives to topics.
type Taken = BTreeMap<TopicId, TopicName>;

impl Controller {
    /// Decides to make topics of directories: each partition on `node`, led by it, its reign the latest in its log.
    ///
    /// Where no directory of a topic has an id, one is drawn. Numbers may be missing; those that are there work. What the
    /// logs say of producers must be counted as well ([`Controller::decide_producer_ids_in_use`]).
    ///
    /// What the topics were configured to be is not known, so each gets settings by which no record goes for its age: whoever
    /// knows better alters them.
    pub fn decide_adopt(&self, node: BrokerId, found: &[Found], draw: &mut Draw) -> Adoption {
        let mut adoption = Adoption::default();
        let mut topics: BTreeMap<&TopicName, Vec<&Found>> = BTreeMap::new();
        for one in found {
            topics.entry(one.partition.topic()).or_default().push(one);
        }
        let (mut taken, mut records) = (Taken::new(), Vec::new());
        for (name, parts) in topics {
            records.extend(self.adopt_topic(node, name, parts, &mut taken, draw, &mut adoption));
        }
        adoption.changes = super::change::in_changes(records);
        adoption
    }

    fn adopt_topic(
        &self,
        node: BrokerId,
        name: &TopicName,
        mut parts: Vec<&Found>,
        taken: &mut Taken,
        draw: &mut Draw,
        out: &mut Adoption,
    ) -> Vec<MetadataRecord> {
        let known = self.latest().topic(name);
        parts.sort_by_key(|part| part.partition.partition());
        let stated = parts.iter().find_map(|part| part.topic_id);
        let id = known.map(|topic| topic.id()).or(stated);
        let id = id.unwrap_or_else(|| draw.topic_id(|id| self.is_free(id) && !taken.contains_key(&id)));
        let mut records = Vec::new();
        if known.is_none() {
            records.push(
                TopicRecord { name: name.as_str().to_owned(), topic_id: id.into(), ..TopicRecord::default() }.into(),
            );
            records.extend(settings(name));
        }
        let mut numbers = BTreeSet::new();
        for part in parts {
            let refusal = self.adopt_refusal(name, id, part, taken);
            let refusal = refusal.or((!numbers.insert(part.partition.partition())).then_some(AdoptRefusal::Twice));
            match refusal {
                Some(refusal) => out.refused.push((part.partition.clone(), refusal)),
                None => {
                    records.push(self.adopted_record(node, id, part));
                    out.adopted.push(Adopted { partition: part.partition.clone(), topic_id: id });
                }
            }
        }
        let is_worth_it = records.iter().any(|record| matches!(record, MetadataRecord::Partition(_)));
        if !is_worth_it {
            return Vec::new();
        }
        taken.insert(id, name.clone());
        records
    }

    fn is_free(&self, id: TopicId) -> bool {
        self.latest().topic_by_id(id).is_none()
    }

    fn adopt_refusal(&self, name: &TopicName, id: TopicId, part: &Found, taken: &Taken) -> Option<AdoptRefusal> {
        if name.as_str() == METADATA_TOPIC {
            return Some(AdoptRefusal::Metadata);
        }
        if let Some(found) = part.topic_id.filter(|found| *found != id) {
            return Some(AdoptRefusal::OtherTopic { expected: id, found });
        }
        if let Some(other) = self.latest().topic_by_id(id).filter(|topic| topic.name() != name) {
            return Some(AdoptRefusal::IdTaken { id, name: other.name().clone() });
        }
        if let Some(other) = taken.get(&id) {
            return Some(AdoptRefusal::IdTaken { id, name: other.clone() });
        }
        self.latest().partition(&part.partition).map(|_| AdoptRefusal::Known)
    }

    fn adopted_record(&self, node: BrokerId, id: TopicId, part: &Found) -> MetadataRecord {
        let has_directories = self.latest().has_directories();
        let partition = PartitionState {
            replicas: vec![node],
            isr: vec![node],
            leader: Some(node),
            leader_epoch: part.last_epoch.unwrap_or_default(),
            directories: has_directories.then_some(part.directory).into_iter().collect(),
            ..PartitionState::default()
        };
        partition.to_record(id, part.partition.partition()).into()
    }
}

/// Kafka's own topics in which the latest record of each key is all that counts.
const COMPACTED: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// The settings of a topic of which nobody knows how it was configured. With the defaults, records of last week would be
/// deleted that its owner may have meant to keep for ever.
fn settings(name: &TopicName) -> Vec<MetadataRecord> {
    let resource = Resource::topic(name);
    let mut records = vec![config_record(&resource, "retention.ms", Some("-1".to_owned()))];
    if COMPACTED.contains(&name.as_str()) {
        records.push(config_record(&resource, "cleanup.policy", Some("compact".to_owned())));
    }
    records
}
