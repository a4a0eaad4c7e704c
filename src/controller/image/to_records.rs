//! The image as records: the shortest log that gives it, in the order of Kafka's snapshots (metadata.md, section 7).

use crate::controller::records::{
    ConfigRecord, FeatureLevelRecord, MetadataRecord, PartitionRecord, ProducerIdsRecord, TopicRecord,
};
use crate::id::{BrokerId, ProducerId, TopicId};

use super::features::{METADATA_VERSION, METADATA_VERSION_DIRECTORIES};
use super::topics::PartitionState;
use super::{Image, Topic};

impl Image {
    /// Records that give this image when they are replayed into an empty one.
    pub fn to_records(&self) -> impl Iterator<Item = MetadataRecord> {
        let features = self.metadata_version().map(|level| (METADATA_VERSION, level)).into_iter();
        let features = features.chain(self.features().filter(|(name, _)| *name != METADATA_VERSION));
        let brokers = self.brokers().cloned().map(MetadataRecord::from);
        let controllers = self.controllers().cloned().map(MetadataRecord::from);
        features
            .map(|(name, level)| feature_record(name, level))
            .chain(brokers)
            .chain(controllers)
            .chain(self.topics.values().flat_map(|topic| self.topic_records(topic)))
            .chain(self.config_records())
            .chain(self.kept.quotas())
            .chain(self.producer_id_record())
            .chain(self.kept.others())
    }

    fn topic_records(&self, topic: &Topic) -> impl Iterator<Item = MetadataRecord> {
        let id = topic.id();
        let has_directories = self.has_directories();
        let record = TopicRecord { name: topic.name().as_str().to_owned(), topic_id: id.into(), ..Default::default() };
        let partitions = topic.partitions().map(move |(number, partition)| {
            let mut record = partition.to_record(id, number);
            if !has_directories {
                record.directories.clear();
            }
            record.into()
        });
        std::iter::once(record.into()).chain(partitions)
    }

    /// Whether a partition's record may name directories; below that metadata version Kafka does not start on them.
    pub(in crate::controller) fn has_directories(&self) -> bool {
        self.metadata_version().is_some_and(|version| version >= METADATA_VERSION_DIRECTORIES)
    }

    fn config_records(&self) -> impl Iterator<Item = MetadataRecord> {
        self.configs.iter().flat_map(|(resource, config)| {
            config.iter().map(|(key, value)| {
                ConfigRecord {
                    resource_type: resource.resource_type.as_i8(),
                    resource_name: resource.name.clone(),
                    name: key.clone(),
                    value: Some(value.clone()),
                    ..Default::default()
                }
                .into()
            })
        })
    }

    fn producer_id_record(&self) -> Option<MetadataRecord> {
        let next_producer_id = self.next_producer_id.get();
        let handed_out = self.next_producer_id > ProducerId::default();
        handed_out.then(|| {
            ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id, ..Default::default() }.into()
        })
    }
}

pub(in crate::controller) fn feature_record(name: &str, feature_level: i16) -> MetadataRecord {
    FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() }.into()
}

impl PartitionState {
    /// The record that gives this partition, whole.
    pub fn to_record(&self, topic_id: TopicId, number: u32) -> PartitionRecord {
        let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.get() as i32).collect::<Vec<_>>();
        let unless_empty = |brokers: &[BrokerId]| (!brokers.is_empty()).then(|| ids(brokers));
        PartitionRecord {
            partition_id: number as i32,
            topic_id: topic_id.into(),
            replicas: ids(&self.replicas),
            isr: ids(&self.isr),
            removing_replicas: ids(&self.removing_replicas),
            adding_replicas: ids(&self.adding_replicas),
            leader: self.leader.map_or(-1, |id| id.get() as i32),
            leader_epoch: self.leader_epoch.as_i32(),
            partition_epoch: self.partition_epoch as i32,
            directories: self.directories.clone(),
            leader_recovery_state: self.leader_recovery.as_i8(),
            eligible_leader_replicas: unless_empty(&self.eligible_leader_replicas),
            last_known_elr: unless_empty(&self.last_known_elr),
            ..Default::default()
        }
    }
}
