//! The settings of a topic: Kafka's keys and values, typed.
//!
//! A [`TopicConfig`] holds what was set for one topic; whatever was not has its default. It is made by hand
//! (`with_...`), or read from the text that Kafka keeps in its metadata, and gives that text back.
//!
//! ```
//! use ottla::message::{ConfigKey, TopicConfig};
//!
//! let config = TopicConfig::from_pairs([("retention.ms", "-1"), ("cleanup.policy", "delete,compact")])?;
//! assert_eq!(config.retention_ms(), None, "-1 keeps all");
//! assert_eq!(config.segment_ms(), 604_800_000, "not set, so the default");
//! assert_eq!(config.text_of(ConfigKey::CleanupPolicy).as_deref(), Some("compact,delete"));
//!
//! let refused = TopicConfig::from_pairs([("retention.sm", "1")]).unwrap_err();
//! assert_eq!(refused.to_string(), "no topic setting is called \"retention.sm\"; is it \"retention.ms\"?");
//! # Ok::<(), ottla::message::ConfigError>(())
//! ```
//!
//! A small segment has a key of its own: Kafka does not start on a topic whose `segment.bytes` is below 1 MiB, and takes
//! `internal.segment.bytes` instead. [`TopicConfig::with_segment_bytes`] picks the right one.
//!
//! - May use: `record`, for codecs and timestamp types.
//! - Must not know: logs; who has a log gives it what is set here.
//! - Always true: what was read from text gives text that reads back equal.

mod error;
mod policy;
mod rule;
mod settings;
#[cfg(test)]
mod tests;

use crate::message::topic::{ConfigChange, ConfigEntry, ConfigOperation, ConfigSource};

pub use error::ConfigError;
pub use policy::CleanupPolicy;
pub use settings::{ConfigKey, TopicConfig};

impl TopicConfig {
    /// The smallest `segment.bytes`. Smaller segments are set by `internal.segment.bytes`.
    pub const SEGMENT_BYTES_MIN: u32 = 1 << 20;

    /// Reads settings from their text.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], the first that is found: an unknown key, a value that is not allowed, a key that comes twice,
    /// or settings that contradict each other.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (name, value) in pairs {
            let key = ConfigKey::named(name.as_ref())?;
            if config.text_of(key).is_some() {
                return Err(ConfigError::Repeated { key });
            }
            config.set(key, value.as_ref())?;
        }
        config.check()?;
        Ok(config)
    }

    /// Reads what can be read of the settings that another program has left, and says what cannot. Of a key that comes
    /// twice the last value counts, as in a log of changes.
    pub fn read_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> (Self, Vec<ConfigError>) {
        let mut config = Self::default();
        let mut refused = Vec::new();
        for (name, value) in pairs {
            let set = ConfigKey::named(name.as_ref()).and_then(|key| config.set(key, value.as_ref()));
            refused.extend(set.err());
        }
        refused.extend(config.check().err());
        (config, refused)
    }

    /// What was set, as text, in order of the keys.
    pub fn pairs(&self) -> impl Iterator<Item = (ConfigKey, String)> + '_ {
        ConfigKey::ALL.iter().filter_map(|key| Some((*key, self.text_of(*key)?)))
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.pairs().next().is_none()
    }

    /// Every setting with its value and where that comes from. Kafka's own internal one is shown if it was set.
    pub fn describe(&self) -> Vec<ConfigEntry> {
        let entry = |key: &ConfigKey| match self.text_of(*key) {
            Some(value) => Some(ConfigEntry { key: *key, value, source: ConfigSource::Topic }),
            None if *key == ConfigKey::InternalSegmentBytes => None,
            None => Some(ConfigEntry { key: *key, value: key.default_text(), source: ConfigSource::Default }),
        };
        ConfigKey::ALL.iter().filter_map(entry).collect()
    }

    /// These settings after `changes`, one after the other.
    ///
    /// # Errors
    ///
    /// As [`TopicConfig::from_pairs`]; and [`ConfigError::NotAList`] for an element of what has no elements. Nothing has
    /// changed then.
    pub fn changed(&self, changes: &[ConfigChange]) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        for change in changes {
            let key = ConfigKey::named(&change.key)?;
            match &change.operation {
                ConfigOperation::Set(value) => config.set(key, value)?,
                ConfigOperation::Delete => config.unset(key),
                ConfigOperation::Append(elements) => {
                    let list = [config.elements(key)?, policy::elements(elements)].concat();
                    config.set(key, &list.join(","))?;
                }
                ConfigOperation::Subtract(elements) => {
                    let gone = policy::elements(elements);
                    let mut list = config.elements(key)?;
                    list.retain(|element| !gone.contains(element));
                    config.set(key, &list.join(","))?;
                }
            }
        }
        config.check()?;
        Ok(config)
    }

    /// The elements of a list: `cleanup.policy` is the only one.
    fn elements(&self, key: ConfigKey) -> Result<Vec<String>, ConfigError> {
        if key != ConfigKey::CleanupPolicy {
            return Err(ConfigError::NotAList { key });
        }
        Ok(policy::elements(&self.cleanup_policy().to_string()))
    }

    /// How many bytes a segment may have.
    pub fn segment_bytes(&self) -> u32 {
        self.internal_segment_bytes.or(self.segment_bytes).unwrap_or(1 << 30)
    }

    /// The same with segments of at most this many bytes, under the key that Kafka takes for that size.
    #[must_use]
    pub fn with_segment_bytes(mut self, bytes: u32) -> Self {
        let is_small = bytes < Self::SEGMENT_BYTES_MIN;
        self.segment_bytes = (!is_small).then_some(bytes);
        self.internal_segment_bytes = is_small.then_some(bytes);
        self
    }

    /// The level that was set for the codec in use; `None` leaves it to the codec.
    pub fn compression_level(&self) -> Option<i32> {
        use crate::record::{Codec, TopicCodec};
        match self.compression_type() {
            TopicCodec::Fixed(Codec::Gzip) => self.gzip_level,
            TopicCodec::Fixed(Codec::Lz4) => self.lz4_level,
            TopicCodec::Fixed(Codec::Zstd) => self.zstd_level,
            TopicCodec::Producer | TopicCodec::Fixed(Codec::None | Codec::Snappy) => None,
        }
    }

    /// Checks each value, and those that only make sense together. What is set by hand is checked here only.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] or [`ConfigError::CompactionLag`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_values()?;
        let (min, max) = (self.min_compaction_lag_ms(), self.max_compaction_lag_ms());
        if min > max { Err(ConfigError::CompactionLag { min, max }) } else { Ok(()) }
    }
}
