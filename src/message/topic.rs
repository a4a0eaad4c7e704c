//! Topics: creating, deleting, changing and describing them.

use std::collections::BTreeMap;

use crate::epoch::LeaderEpoch;
use crate::id::{BrokerId, TopicId, TopicName};
use crate::message::Answer;
use crate::message::config::{ConfigKey, TopicConfig};

/// Creates topics.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopics {
    /// What they shall be like.
    pub topics: Vec<NewTopic>,
    /// How long to wait for it.
    pub timeout_ms: u32,
    /// Whether to do it.
    pub trial: Trial,
}

/// Whether what is asked for is done, or only looked at.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Trial {
    /// It is done.
    #[default]
    Do,
    /// It is checked and answered as if it had been done.
    ValidateOnly,
}

/// A topic to be created.
///
/// ```
/// use ottla::id::TopicName;
/// use ottla::message::{NewTopic, TopicConfig};
///
/// let config = TopicConfig::default().with_retention_ms(Some(60_000));
/// let orders = NewTopic::new(TopicName::new("orders")?).partitions(4).config(config);
/// assert_eq!(orders.replication_factor, None, "the broker's default");
/// # Ok::<(), ottla::id::InvalidTopicName>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; `None` for the broker's default, or for as many as are assigned.
    pub partitions: Option<u32>,
    /// How many replicas each partition has; `None` for the broker's default, or for as many as are assigned.
    pub replication_factor: Option<u16>,
    /// Which brokers hold which partition, the preferred leader first; `None` leaves it to the controller.
    pub assignment: Option<BTreeMap<u32, Vec<BrokerId>>>,
    /// Its settings, where they are not the broker's defaults.
    pub config: TopicConfig,
}

impl NewTopic {
    /// A topic of this name with the broker's defaults.
    pub fn new(name: TopicName) -> Self {
        Self { name, partitions: None, replication_factor: None, assignment: None, config: TopicConfig::default() }
    }

    /// The same with this many partitions.
    #[must_use]
    pub fn partitions(self, count: u32) -> Self {
        Self { partitions: Some(count), ..self }
    }

    /// The same with this many replicas of each partition.
    #[must_use]
    pub fn replication_factor(self, count: u16) -> Self {
        Self { replication_factor: Some(count), ..self }
    }

    /// The same with partitions on brokers of one's own choice.
    #[must_use]
    pub fn assignment(self, assignment: BTreeMap<u32, Vec<BrokerId>>) -> Self {
        Self { assignment: Some(assignment), ..self }
    }

    /// The same with these settings.
    #[must_use]
    pub fn config(self, config: TopicConfig) -> Self {
        Self { config, ..self }
    }
}

/// A topic as it was created.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatedTopic {
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
    /// How many replicas each of them has.
    pub replication_factor: u16,
    /// Its settings, where they are not the broker's defaults.
    pub config: TopicConfig,
}

/// Deletes topics with all their records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeleteTopics {
    /// Which ones.
    pub topics: Vec<TopicRef>,
    /// How long to wait for it.
    pub timeout_ms: u32,
}

/// A topic by its name or by its identity.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TopicRef {
    /// The one that has this name now.
    Name(TopicName),
    /// This one, and none of the same name that came later.
    Id(TopicId),
}

/// Adds partitions to topics. Records stay where they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CreatePartitions {
    /// To which ones.
    pub topics: Vec<MorePartitions>,
    /// How long to wait for it.
    pub timeout_ms: u32,
    /// Whether to do it.
    pub trial: Trial,
}

/// How many partitions a topic shall have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MorePartitions {
    /// Which topic.
    pub name: TopicName,
    /// How many it has then, all told.
    pub total: u32,
    /// Which brokers hold the new ones, in order; `None` leaves it to the controller.
    pub assignment: Option<Vec<Vec<BrokerId>>>,
}

/// Changes single settings of topics: Kafka's `IncrementalAlterConfigs`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AlterConfigs {
    /// The changes of each topic, made all or not at all.
    pub topics: Vec<(TopicName, Vec<ConfigChange>)>,
    /// Whether to do it.
    pub trial: Trial,
}

/// A change of one setting, as text that nobody has checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigChange {
    /// Kafka's name of the setting.
    pub key: String,
    /// What becomes of it.
    pub operation: ConfigOperation,
}

/// What becomes of a setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConfigOperation {
    /// It gets this value.
    Set(String),
    /// It goes back to its default.
    Delete,
    /// A list gets these elements too.
    Append(String),
    /// A list loses these elements.
    Subtract(String),
}

/// Asks for settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DescribeConfigs {
    /// Of which topics; and which settings, by Kafka's names, `None` for all.
    pub topics: Vec<(TopicName, Option<Vec<String>>)>,
}

/// A setting and its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigEntry {
    /// Which one.
    pub key: ConfigKey,
    /// Its value as text.
    pub value: String,
    /// Where the value comes from.
    pub source: ConfigSource,
}

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConfigSource {
    /// It was set for the topic.
    Topic,
    /// Nobody has set it.
    Default,
}

/// Asks which topics there are, and who leads their partitions: Kafka's `Metadata`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DescribeTopics {
    /// Which ones; `None` for all.
    pub topics: Option<Vec<TopicRef>>,
}

/// A cluster as one of its brokers sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Described {
    /// The cluster's name.
    pub cluster_id: String,
    /// The brokers that are there.
    pub brokers: Vec<BrokerId>,
    /// The controller, if there is one at the moment.
    pub controller: Option<BrokerId>,
    /// The topics that were asked for.
    pub topics: Vec<Answer<TopicRef, TopicDescription>>,
}

/// A topic and its partitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
    /// Its partitions, in order of their numbers.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition, and who leads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: u32,
    /// Who leads it, if anybody does.
    pub leader: Option<BrokerId>,
    /// The latest reign.
    pub leader_epoch: LeaderEpoch,
    /// Who holds it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Who of them is in sync.
    pub isr: Vec<BrokerId>,
}
