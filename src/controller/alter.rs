//! Configurations change.

use crate::controller::Controller;
use crate::controller::change::Change;
use crate::controller::create::config_record;
use crate::controller::image::{ConfigMap, ELIGIBLE_LEADER_REPLICAS, Resource};
use crate::controller::records::{ClearElrRecord, MetadataRecord};
use crate::id::TopicName;
use crate::message::{ConfigChange, ConfigError, ConfigKey, ErrorCode, TopicConfig};

/// Why a configuration was not changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AlterConfigError {
    /// There is no such topic.
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name.
        name: TopicName,
    },
    /// The same key comes twice, so it is not plain what is meant.
    #[error("{key} is changed twice")]
    Repeated {
        /// The key.
        key: String,
    },
    /// A change that cannot be made, or settings that contradict each other after it.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl AlterConfigError {
    /// Kafka's code for it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::Repeated { .. } => ErrorCode::InvalidRequest,
            Self::Config(_) => ErrorCode::InvalidConfig,
        }
    }
}

impl Controller {
    /// Decides to change settings of a topic. The others stay, those that are not known here too; a setting that is what
    /// it shall be already takes no record, so the change may be empty.
    ///
    /// # Errors
    ///
    /// [`AlterConfigError`].
    pub fn decide_alter_config(&self, name: &TopicName, changes: &[ConfigChange]) -> Result<Change, AlterConfigError> {
        if self.latest().topic(name).is_none() {
            return Err(AlterConfigError::UnknownTopic { name: name.clone() });
        }
        if let Some(key) = repeated(changes) {
            return Err(AlterConfigError::Repeated { key });
        }
        let nothing = ConfigMap::new();
        let old = self.latest().topic_config(name).unwrap_or(&nothing);
        // What Kafka has left and is not understood here is no reason to refuse a change of something else.
        let (config, _) = TopicConfig::read_pairs(old);
        let config = config.changed(changes)?;
        let resource = Resource::topic(name);
        let mut records = Vec::new();
        for key in ConfigKey::ALL.iter().filter(|key| changes.iter().any(|change| change.key == key.name())) {
            let value = config.text_of(*key);
            if old.get(key.name()) != value.as_ref() {
                records.push(config_record(&resource, key.name(), value));
            }
        }
        // With another number to wait for, who was eligible by the old one may be so no more.
        let waits_for_others = records.iter().any(is_about_min_isr);
        if waits_for_others && self.latest().feature(ELIGIBLE_LEADER_REPLICAS) > 0 {
            records.push(ClearElrRecord { topic_name: name.as_str().to_owned(), ..Default::default() }.into());
        }
        Ok(Change::new(records))
    }
}

fn is_about_min_isr(record: &MetadataRecord) -> bool {
    matches!(record, MetadataRecord::Config(config) if config.name == "min.insync.replicas")
}

fn repeated(changes: &[ConfigChange]) -> Option<String> {
    let mut keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned())
}
