//! The image: what the records of metadata, replayed in order, amount to.
//!
//! Readers hold an image and see it unchanged, while the next one is made from it. Its parts are shared, so a clone costs
//! a few counters, and a change copies only the part that it is in.
//!
//! - May use: the newtypes, `records`.
//! - Must not know: why a record was written; batches and snapshots, which `replayer` and `snapshot` know.
//! - Always true: after an error nothing has changed; names and ids of topics lead to each other; the same records give
//!   the same image.

mod error;
mod features;
mod kept;
mod replay;
mod resource;
#[cfg(test)]
mod tests;
mod to_records;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::controller::records::{RegisterBrokerRecord, RegisterControllerRecord};
use crate::id::{ProducerId, TopicId, TopicName, TopicPartition};

pub use error::{ReplayError, ReplayFault};
pub(in crate::controller) use features::of_new_cluster;
pub use features::{ELIGIBLE_LEADER_REPLICAS, METADATA_VERSION, METADATA_VERSION_NEWEST};
pub use resource::{Resource, ResourceType};
pub(in crate::controller) use to_records::feature_record;
pub use topics::{LeaderRecovery, PartitionState, Topic};

use kept::Kept;

/// The configuration of one thing: keys and values, only those that were set.
pub type ConfigMap = BTreeMap<String, String>;

/// Topics, partitions, configurations and all else that the log of metadata says.
///
/// ```
/// use ottla::controller::Image;
/// use ottla::controller::records::{MetadataRecord, TopicRecord};
/// use ottla::offset::Offset;
///
/// let mut image = Image::default();
/// let before = image.clone();
/// let id = ottla::controller::Uuid::from_bytes(*b"ottla-topic-alph");
/// let topic = TopicRecord { name: "alpha".to_owned(), topic_id: id, ..TopicRecord::default() };
/// image.replay(&MetadataRecord::from(topic), Offset::ZERO)?;
///
/// // The surprising case: who held the image before still sees it as it was.
/// assert_eq!((image.topics().count(), before.topics().count()), (1, 0));
/// # Ok::<(), ottla::controller::ReplayError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Image {
    features: Arc<BTreeMap<String, i16>>,
    topics: Arc<BTreeMap<TopicId, Arc<Topic>>>,
    names: Arc<BTreeMap<Arc<TopicName>, TopicId>>,
    configs: Arc<BTreeMap<Resource, ConfigMap>>,
    brokers: Arc<BTreeMap<i32, RegisterBrokerRecord>>,
    controllers: Arc<BTreeMap<i32, RegisterControllerRecord>>,
    kept: Arc<Kept>,
    next_producer_id: ProducerId,
}

impl Image {
    /// The level of a feature; 0 if it is off or not known.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The features that are on, by name.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// Which records there may be. Without it Kafka does not start.
    pub fn metadata_version(&self) -> Option<i16> {
        self.features.get(METADATA_VERSION).copied()
    }

    /// The topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.names.values().filter_map(|id| self.topic_by_id(*id))
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.names.len()
    }

    /// The topic of this name.
    pub fn topic(&self, name: &TopicName) -> Option<&Topic> {
        self.names.get(name).and_then(|id| self.topic_by_id(*id))
    }

    /// The topic of this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id).map(Arc::as_ref)
    }

    /// One partition.
    pub fn partition(&self, partition: &TopicPartition) -> Option<&PartitionState> {
        self.topic(partition.topic())?.partition(partition.partition())
    }

    /// What was set of a configuration; `None` if nothing was.
    pub fn config(&self, resource: &Resource) -> Option<&ConfigMap> {
        self.configs.get(resource)
    }

    /// What was set of a topic's configuration.
    pub fn topic_config(&self, name: &TopicName) -> Option<&ConfigMap> {
        self.config(&Resource::topic(name))
    }

    /// All that is configured.
    pub fn configs(&self) -> impl Iterator<Item = (&Resource, &ConfigMap)> {
        self.configs.iter()
    }

    /// The brokers, as they registered and with what has changed since.
    pub fn brokers(&self) -> impl Iterator<Item = &RegisterBrokerRecord> {
        self.brokers.values()
    }

    /// The controllers, as they registered.
    pub fn controllers(&self) -> impl Iterator<Item = &RegisterControllerRecord> {
        self.controllers.values()
    }

    /// The first producer id that has not been handed out.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// Whether nothing has been replayed that left a trace.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
