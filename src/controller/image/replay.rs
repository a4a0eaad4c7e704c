//! What each record does to the image (metadata.md, section 7).
//!
//! Each kind has one function, which finds out all that can be wrong before it changes anything.

use std::sync::Arc;

use crate::controller::records::{
    BrokerRegistrationChangeRecord, ConfigRecord, EndPoint, FeatureLevelRecord, MetadataRecord, PartitionChangeRecord,
    PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord, SupportedFeature, TopicRecord,
};
use crate::controller::uuid::Uuid;
use crate::id::{ProducerId, TopicName};
use crate::offset::Offset;

use super::error::{ReplayError, ReplayFault};
use super::features::{self, KRAFT_VERSION};
use super::resource::{Resource, ResourceType};
use super::topics::{PartitionState, Topic, broker};
use super::{Image, Kept};

impl Image {
    /// Applies one record, which stands at offset `at`.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Record`] if the record does not fit those in front of it; nothing has changed then. The records
    /// that begin and end transactions do not fit: a [`Replayer`](crate::controller::Replayer) takes care of them.
    pub fn replay(&mut self, record: &MetadataRecord, at: Offset) -> Result<(), ReplayError> {
        self.apply(record).map_err(|fault| ReplayError::Record { at, record: record.name(), fault })
    }

    fn apply(&mut self, record: &MetadataRecord) -> Result<(), ReplayFault> {
        match record {
            MetadataRecord::FeatureLevel(record) => self.set_feature(record)?,
            MetadataRecord::Topic(record) => self.add_topic(record)?,
            MetadataRecord::Partition(record) => self.set_partition(record)?,
            MetadataRecord::PartitionChange(record) => self.change_partition(record)?,
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record.topic_id)?,
            MetadataRecord::ClearElr(record) => self.clear_elr(&record.topic_name)?,
            MetadataRecord::Config(record) => self.set_config(record),
            MetadataRecord::ProducerIds(record) => self.hand_out_producer_ids(record)?,
            MetadataRecord::RegisterBroker(record) => self.register_broker(record)?,
            MetadataRecord::BrokerRegistrationChange(record) => self.change_registration(record)?,
            MetadataRecord::FenceBroker(record) => self.registered(record.id, record.epoch, |it| it.fenced = true)?,
            MetadataRecord::UnfenceBroker(record) => {
                self.registered(record.id, record.epoch, |it| it.fenced = false)?;
            }
            MetadataRecord::UnregisterBroker(record) => {
                Arc::make_mut(&mut self.brokers).remove(&record.broker_id);
            }
            MetadataRecord::RegisterController(record) => {
                let mut record = record.clone();
                sort(&mut record.end_points, &mut record.features);
                Arc::make_mut(&mut self.controllers).insert(record.controller_id, record);
            }
            MetadataRecord::ClientQuota(record) => self.kept().quota(record),
            MetadataRecord::AccessControlEntry(record) => self.kept().entry(record),
            MetadataRecord::RemoveAccessControlEntry(record) => self.kept().remove_entry(record.id),
            MetadataRecord::UserScramCredential(record) => self.kept().credential(record),
            MetadataRecord::RemoveUserScramCredential(record) => {
                self.kept().remove_credential(&record.name, record.mechanism);
            }
            MetadataRecord::DelegationToken(record) => self.kept().token(record),
            MetadataRecord::RemoveDelegationToken(record) => self.kept().remove_token(&record.token_id),
            MetadataRecord::ZkMigrationState(_) | MetadataRecord::NoOp(_) => {}
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => return Err(ReplayFault::NoTransaction),
        }
        Ok(())
    }

    fn kept(&mut self) -> &mut Kept {
        Arc::make_mut(&mut self.kept)
    }

    fn set_feature(&mut self, record: &FeatureLevelRecord) -> Result<(), ReplayFault> {
        features::check(&record.name, record.feature_level)?;
        // The voters' protocol is told by control records; as a feature it is read and means nothing.
        if record.name == KRAFT_VERSION {
            return Ok(());
        }
        let features = Arc::make_mut(&mut self.features);
        match record.feature_level {
            0 => features.remove(&record.name),
            level => features.insert(record.name.clone(), level),
        };
        Ok(())
    }

    fn add_topic(&mut self, record: &TopicRecord) -> Result<(), ReplayFault> {
        let name = TopicName::new(&record.name)?;
        let Some(id) = record.topic_id.topic_id() else { return Err(ReplayFault::ZeroTopicId { name }) };
        if let Some(id) = self.names.get(&name) {
            return Err(ReplayFault::DuplicateTopic { id: *id, name });
        }
        if let Some(topic) = self.topic_by_id(id) {
            return Err(ReplayFault::DuplicateTopicId { id, name: topic.name().clone() });
        }
        let name = Arc::new(name);
        let topic = Topic { id, name: Arc::clone(&name), partitions: Default::default() };
        Arc::make_mut(&mut self.topics).insert(id, Arc::new(topic));
        Arc::make_mut(&mut self.names).insert(name, id);
        Ok(())
    }

    fn set_partition(&mut self, record: &PartitionRecord) -> Result<(), ReplayFault> {
        let number = partition_number(record.partition_id)?;
        let state = PartitionState::of_record(record)?;
        self.topic_mut(record.topic_id)?.partitions.insert(number, Arc::new(state));
        Ok(())
    }

    fn change_partition(&mut self, record: &PartitionChangeRecord) -> Result<(), ReplayFault> {
        let number = partition_number(record.partition_id)?;
        let topic = self.known_topic(record.topic_id)?;
        let unknown = || ReplayFault::UnknownPartition { topic: topic.name().clone(), partition: record.partition_id };
        let changed = topic.partition(number).ok_or_else(unknown)?.changed(record)?;
        self.topic_mut(record.topic_id)?.partitions.insert(number, Arc::new(changed));
        Ok(())
    }

    fn remove_topic(&mut self, id: Uuid) -> Result<(), ReplayFault> {
        let topic = self.known_topic(id)?;
        let (id, name) = (topic.id, Arc::clone(&topic.name));
        let resource = Resource::topic(&name);
        if self.configs.contains_key(&resource) {
            Arc::make_mut(&mut self.configs).remove(&resource);
        }
        Arc::make_mut(&mut self.names).remove(&name);
        Arc::make_mut(&mut self.topics).remove(&id);
        Ok(())
    }

    /// In one topic, or in all of them if the name is empty. A topic that is not there has nothing to clear.
    fn clear_elr(&mut self, name: &str) -> Result<(), ReplayFault> {
        let mut cleared = Vec::new();
        for topic in self.topics.values().filter(|topic| name.is_empty() || topic.name.as_str() == name) {
            for (number, partition) in topic.partitions() {
                let without = partition.without_elr()?;
                cleared.extend(without.map(|without| (topic.id, number, Arc::new(without))));
            }
        }
        for (id, number, partition) in cleared {
            self.topic_mut(id.into())?.partitions.insert(number, partition);
        }
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord) {
        let resource_type = ResourceType::from_i8(record.resource_type);
        let resource = Resource { resource_type, name: record.resource_name.clone() };
        let configs = Arc::make_mut(&mut self.configs);
        match &record.value {
            Some(value) => {
                configs.entry(resource).or_default().insert(record.name.clone(), value.clone());
            }
            None => {
                if let Some(config) = configs.get_mut(&resource) {
                    config.remove(&record.name);
                    if config.is_empty() {
                        configs.remove(&resource);
                    }
                }
            }
        }
    }

    /// What has been handed out stays so, even if a record says less.
    fn hand_out_producer_ids(&mut self, record: &ProducerIdsRecord) -> Result<(), ReplayFault> {
        let next = record.next_producer_id;
        let next = ProducerId::new(next).ok_or(ReplayFault::InvalidProducerId { next })?;
        self.next_producer_id = self.next_producer_id.max(next);
        Ok(())
    }

    fn register_broker(&mut self, record: &RegisterBrokerRecord) -> Result<(), ReplayFault> {
        broker(record.broker_id)?;
        let mut record = record.clone();
        sort(&mut record.end_points, &mut record.features);
        Arc::make_mut(&mut self.brokers).insert(record.broker_id, record);
        Ok(())
    }

    fn change_registration(&mut self, record: &BrokerRegistrationChangeRecord) -> Result<(), ReplayFault> {
        let invalid = |field, value| ReplayFault::RegistrationChange { field, value };
        let fenced = match record.fenced {
            0 => None,
            1 => Some(true),
            -1 => Some(false),
            value => return Err(invalid("fenced", value)),
        };
        if !matches!(record.in_controlled_shutdown, 0 | 1) {
            return Err(invalid("inControlledShutdown", record.in_controlled_shutdown));
        }
        self.registered(record.broker_id, record.broker_epoch, |broker| {
            broker.fenced = fenced.unwrap_or(broker.fenced);
            broker.in_controlled_shutdown |= record.in_controlled_shutdown == 1;
            if !record.log_dirs.is_empty() {
                broker.log_dirs.clone_from(&record.log_dirs);
            }
            if record.cordoned_log_dirs.is_some() {
                broker.cordoned_log_dirs.clone_from(&record.cordoned_log_dirs);
            }
        })
    }

    /// Changes the registration of a broker, if it is the one that is meant.
    fn registered(
        &mut self,
        id: i32,
        epoch: i64,
        change: impl FnOnce(&mut RegisterBrokerRecord),
    ) -> Result<(), ReplayFault> {
        let registered = self.brokers.get(&id).ok_or(ReplayFault::UnknownBroker { id })?.broker_epoch;
        if registered != epoch {
            return Err(ReplayFault::BrokerEpoch { id, registered, found: epoch });
        }
        if let Some(broker) = Arc::make_mut(&mut self.brokers).get_mut(&id) {
            change(broker);
        }
        Ok(())
    }

    fn known_topic(&self, id: Uuid) -> Result<&Topic, ReplayFault> {
        let topic = id.topic_id().and_then(|id| self.topic_by_id(id));
        topic.ok_or_else(|| ReplayFault::UnknownTopic { id: id.to_string() })
    }

    fn topic_mut(&mut self, id: Uuid) -> Result<&mut Topic, ReplayFault> {
        let id = self.known_topic(id)?.id;
        let topic = Arc::make_mut(&mut self.topics).get_mut(&id).map(Arc::make_mut);
        topic.ok_or_else(|| ReplayFault::UnknownTopic { id: id.to_string() })
    }
}

/// Kafka writes these from maps, so in any order, and another one into a snapshot.
fn sort(end_points: &mut [EndPoint], features: &mut [SupportedFeature]) {
    end_points.sort_by(|a, b| a.name.cmp(&b.name));
    features.sort_by(|a, b| a.name.cmp(&b.name));
}

fn partition_number(number: i32) -> Result<u32, ReplayFault> {
    u32::try_from(number).map_err(|_| ReplayFault::InvalidPartition { number })
}
