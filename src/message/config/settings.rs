//! The table of settings: Kafka's key, the type, the default, and what is allowed. It stands here once.

use std::fmt;

use crate::message::config::error::ConfigError;
use crate::message::config::policy::CleanupPolicy;
use crate::message::config::rule::{
    CODECS, GzipLevel, Limit, OrNever, Policies, Ratio, Rule, Switch, TIMESTAMP_TYPES, Whole,
};
use crate::record::{TimestampType, TopicCodec};

const DAY_MS: u64 = 86_400_000;

/// Each row: doc, variant, Kafka's key, field and getter, type, default, rule, and the setter if there is a plain one.
macro_rules! settings {
    ($(#[doc = $doc:literal] $variant:ident = $name:literal, $field:ident: $type:ty = $default:expr, $rule:expr
        $(, $with:ident)?;)+) => {
        /// One of the settings that a topic has.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum ConfigKey {
            $(#[doc = $doc] $variant,)+
        }

        impl ConfigKey {
            /// Every setting, in order of the keys.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Kafka's name for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The value, as text, of who has not set it.
            pub fn default_text(self) -> String {
                match self {
                    $(Self::$variant => Rule::<$type>::text(&$rule, $default),)+
                }
            }
        }

        /// What was set for one topic. What was not has its default.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct TopicConfig {
            $(pub(super) $field: Option<$type>,)+
        }

        impl TopicConfig {
            $($(
                #[doc = $doc]
                pub fn $field(&self) -> $type {
                    self.$field.unwrap_or($default)
                }

                #[doc = concat!("The same with another `", $name, "`.")]
                #[must_use]
                pub fn $with(self, value: $type) -> Self {
                    Self { $field: Some(value), ..self }
                }
            )?)+

            /// Sets what text says.
            pub(super) fn set(&mut self, key: ConfigKey, text: &str) -> Result<(), ConfigError> {
                match key {
                    $(ConfigKey::$variant => self.$field = Some(parsed::<$type>(key, &$rule, text)?),)+
                }
                Ok(())
            }

            /// Sets a value back to its default.
            pub(super) fn unset(&mut self, key: ConfigKey) {
                match key {
                    $(ConfigKey::$variant => self.$field = None,)+
                }
            }

            /// The value as text, if it was set.
            pub fn text_of(&self, key: ConfigKey) -> Option<String> {
                match key {
                    $(ConfigKey::$variant => self.$field.map(|value| Rule::<$type>::text(&$rule, value)),)+
                }
            }

            /// Whether each value that was set is one that its text could have set.
            pub(super) fn check_values(&self) -> Result<(), ConfigError> {
                $(if let Some(text) = self.text_of(ConfigKey::$variant) {
                    parsed::<$type>(ConfigKey::$variant, &$rule, &text)?;
                })+
                Ok(())
            }
        }
    };
}

fn parsed<T>(key: ConfigKey, rule: &impl Rule<T>, text: &str) -> Result<T, ConfigError> {
    rule.parse(text).ok_or_else(|| {
        let hint =
            if key == ConfigKey::SegmentBytes { "; smaller segments are set by internal.segment.bytes" } else { "" };
        ConfigError::value(key, text, rule.allowed() + hint)
    })
}

settings! {
    /// What happens to old records.
    CleanupPolicy = "cleanup.policy", cleanup_policy: CleanupPolicy = CleanupPolicy::Delete, Policies,
        with_cleanup_policy;
    /// The level of gzip, if that is the topic's codec; -1 for its own default.
    GzipLevel = "compression.gzip.level", gzip_level: i32 = -1, GzipLevel, with_gzip_level;
    /// The level of lz4, if that is the topic's codec.
    Lz4Level = "compression.lz4.level", lz4_level: i32 = 9, Whole { min: 1, max: 17 }, with_lz4_level;
    /// How batches are stored: as they come, or with one codec.
    CompressionType = "compression.type", compression_type: TopicCodec = TopicCodec::Producer, CODECS,
        with_compression_type;
    /// The level of zstd, if that is the topic's codec.
    ZstdLevel = "compression.zstd.level", zstd_level: i32 = 3, Whole { min: -131_072, max: 22 }, with_zstd_level;
    /// How long compaction keeps tombstones and transaction markers, in milliseconds.
    DeleteRetentionMs = "delete.retention.ms", delete_retention_ms: u64 = DAY_MS, Whole::long(0),
        with_delete_retention_ms;
    /// How long a deleted file stays on disk under another name, in milliseconds.
    FileDeleteDelayMs = "file.delete.delay.ms", file_delete_delay_ms: u64 = 60_000, Whole::long(0),
        with_file_delete_delay_ms;
    /// Flush once this many records are unflushed; `None` never does for that reason.
    FlushMessages = "flush.messages", flush_messages: Option<u64> = None, OrNever, with_flush_messages;
    /// Flush what is unflushed for this long, in milliseconds; `None` never does for that reason.
    FlushMs = "flush.ms", flush_ms: Option<u64> = None, OrNever, with_flush_ms;
    /// How many bytes lie at least between two entries of an index.
    IndexIntervalBytes = "index.interval.bytes", index_interval_bytes: u32 = 4096, Whole::int(0),
        with_index_interval_bytes;
    /// How many bytes a segment may have, where that is less than `segment.bytes` can say.
    InternalSegmentBytes = "internal.segment.bytes", internal_segment_bytes: u32 = 1 << 30, Whole::int(14);
    /// A record is compacted at the latest after this long, in milliseconds.
    MaxCompactionLagMs = "max.compaction.lag.ms", max_compaction_lag_ms: u64 = i64::MAX as u64, Whole::long(1),
        with_max_compaction_lag_ms;
    /// The largest batch, in bytes.
    MaxMessageBytes = "max.message.bytes", max_message_bytes: u32 = 1_048_588, Whole::int(0), with_max_message_bytes;
    /// How far in the future a producer may date a record, in milliseconds.
    TimestampAfterMaxMs = "message.timestamp.after.max.ms", message_timestamp_after_max_ms: i64 = 3_600_000,
        Whole::long(0), with_message_timestamp_after_max_ms;
    /// How far in the past a producer may date a record, in milliseconds.
    TimestampBeforeMaxMs = "message.timestamp.before.max.ms", message_timestamp_before_max_ms: i64 = i64::MAX,
        Whole::long(0), with_message_timestamp_before_max_ms;
    /// Whose clock records are dated by.
    TimestampType = "message.timestamp.type", message_timestamp_type: TimestampType = TimestampType::CreateTime,
        TIMESTAMP_TYPES, with_message_timestamp_type;
    /// The share of bytes that are not compacted from which on compaction is worth it.
    MinCleanableDirtyRatio = "min.cleanable.dirty.ratio", min_cleanable_dirty_ratio: f64 = 0.5, Ratio,
        with_min_cleanable_dirty_ratio;
    /// A record is not compacted before this long, in milliseconds.
    MinCompactionLagMs = "min.compaction.lag.ms", min_compaction_lag_ms: u64 = 0, Whole::long(0),
        with_min_compaction_lag_ms;
    /// How many replicas must be in sync for a batch that all of them have to acknowledge.
    MinInsyncReplicas = "min.insync.replicas", min_insync_replicas: u32 = 1, Whole::int(1), with_min_insync_replicas;
    /// Whether a segment's space is taken when it is created. ottla always reserves space, a little at a time.
    Preallocate = "preallocate", preallocate: bool = false, Switch, with_preallocate;
    /// How many bytes a partition keeps at least before old segments go; `None` keeps all.
    RetentionBytes = "retention.bytes", retention_bytes: Option<u64> = None, Limit { min: i64::MIN },
        with_retention_bytes;
    /// How long records are kept, in milliseconds; `None` keeps all.
    RetentionMs = "retention.ms", retention_ms: Option<u64> = Some(7 * DAY_MS), Limit { min: -1 }, with_retention_ms;
    /// How many bytes a segment may have.
    SegmentBytes = "segment.bytes", segment_bytes: u32 = 1 << 30, Whole::int(1 << 20);
    /// How many bytes an index may have.
    SegmentIndexBytes = "segment.index.bytes", segment_index_bytes: u32 = 10 << 20, Whole::int(4),
        with_segment_index_bytes;
    /// How much earlier than `segment.ms` a segment may end, so that not all do at once, in milliseconds.
    SegmentJitterMs = "segment.jitter.ms", segment_jitter_ms: u64 = 0, Whole::long(0), with_segment_jitter_ms;
    /// After how long a segment ends, in milliseconds.
    SegmentMs = "segment.ms", segment_ms: u64 = 7 * DAY_MS, Whole::long(1), with_segment_ms;
    /// Whether a replica that lacks acknowledged records may lead when no other can.
    UncleanLeaderElection = "unclean.leader.election.enable", unclean_leader_election_enable: bool = false, Switch,
        with_unclean_leader_election_enable;
}

impl ConfigKey {
    /// The setting of this name.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownKey`] with the name that is the most like it.
    pub fn named(name: &str) -> Result<Self, ConfigError> {
        let found = Self::ALL.iter().find(|key| key.name() == name);
        found.copied().ok_or_else(|| ConfigError::unknown(name))
    }
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
