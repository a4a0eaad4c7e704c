//! The settings of one log.

use crate::log::producers::UnknownProducer;
use crate::record::{TimestampType, TopicCodec};

/// The settings of one log, with Kafka's defaults and, in each doc, Kafka's name (format.md, section 11).
///
/// All may change while the log is open; each applies from the next append, roll, retention or compaction on.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it would grow past this. At most 2147483647.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment is rolled when a record is this much later than its first one.
    pub segment_ms: u64,
    /// `segment.jitter.ms`: each segment is rolled up to this much earlier, so that many logs do not roll at once.
    pub segment_jitter_ms: u64,
    /// `segment.index.bytes`: the most an index file takes; a full one rolls the segment.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: how many bytes lie at least between two index entries.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: the largest batch a leader takes.
    pub max_message_bytes: u32,
    /// `retention.bytes`: the oldest segments go while at least this much would stay. `None` keeps all.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`: segments whose latest record is older go. `None` keeps all.
    pub retention_ms: Option<u64>,
    /// `cleanup.policy`.
    pub cleanup: Cleanup,
    /// `delete.retention.ms`: how long compaction keeps tombstones and transaction markers.
    pub delete_retention_ms: u64,
    /// `min.compaction.lag.ms`: records younger than this are not compacted.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`: a log with an older uncompacted record is compacted whatever the ratio.
    pub max_compaction_lag_ms: u64,
    /// `min.cleanable.dirty.ratio`: the share of uncompacted bytes from which compaction is worth it.
    pub min_cleanable_dirty_ratio: f64,
    /// `flush.messages`: flush once this many records are unflushed. `None` leaves it to the caller.
    pub flush_messages: Option<u64>,
    /// `compression.type`.
    pub codec: TopicCodec,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far in the past a producer's timestamp may lie.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far in the future it may lie.
    pub timestamp_after_max_ms: i64,
    /// `producer.id.expiration.ms`: an idle producer is forgotten after this.
    pub producer_id_expiration_ms: u64,
    /// What happens to a client's first batch here that does not begin with sequence 0.
    pub unknown_producer: UnknownProducer,
    /// How many bytes of the latest batches are kept in memory for readers. What is not yet written is always kept.
    pub tail_cache_bytes: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: (1 << 20) + 12,
            retention_bytes: None,
            retention_ms: Some(7 * DAY_MS),
            cleanup: Cleanup::Delete,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX as u64,
            min_cleanable_dirty_ratio: 0.5,
            flush_messages: None,
            codec: TopicCodec::Producer,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            producer_id_expiration_ms: DAY_MS,
            unknown_producer: UnknownProducer::Accept,
            tail_cache_bytes: 4 << 20,
        }
    }
}

const DAY_MS: u64 = 86_400_000;

/// What happens to old records: Kafka's `cleanup.policy`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Cleanup {
    /// Old segments are deleted.
    #[default]
    Delete,
    /// Only the latest record of each key is kept.
    Compact,
    /// Both.
    CompactAndDelete,
    /// Neither: only what lies below the log start goes.
    Keep,
}

impl Cleanup {
    /// Whether retention by size and time applies.
    pub const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::CompactAndDelete)
    }

    /// Whether the log is compacted, and so refuses records without a key.
    pub const fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::CompactAndDelete)
    }
}

/// Why a set of settings was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `segment.bytes` outside 14 to 2147483647.
    #[error("segment_bytes {found} is not within 14 and 2147483647")]
    SegmentBytes {
        /// What was given.
        found: u32,
    },
    /// `segment.index.bytes` too small for two entries of each index, or past 2147483647.
    #[error("segment_index_bytes {found} is not within 24 and 2147483647")]
    SegmentIndexBytes {
        /// What was given.
        found: u32,
    },
    /// `segment.ms` of 0 would roll before every record.
    #[error("segment_ms must be at least 1")]
    SegmentMs,
    /// `min.cleanable.dirty.ratio` outside 0 to 1, or no number.
    #[error("min_cleanable_dirty_ratio must be within 0 and 1")]
    DirtyRatio,
    /// `min.compaction.lag.ms` larger than `max.compaction.lag.ms`.
    #[error("min_compaction_lag_ms {min} is larger than max_compaction_lag_ms {max}")]
    CompactionLag {
        /// `min.compaction.lag.ms`.
        min: u64,
        /// `max.compaction.lag.ms`.
        max: u64,
    },
}

impl LogConfig {
    /// `segment_ms`, or `max_compaction_lag_ms` if the log is compacted and that is less: only what lies in front of
    /// the active segment is compacted, so a segment that must be compacted soon must end sooner.
    pub fn segment_ms_effective(&self) -> u64 {
        if self.cleanup.compacts() { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// Checks each setting, and those that only make sense together.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the first that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(14..=i32::MAX as u32).contains(&self.segment_bytes) {
            return Err(ConfigError::SegmentBytes { found: self.segment_bytes });
        }
        if !(24..=i32::MAX as u32).contains(&self.segment_index_bytes) {
            return Err(ConfigError::SegmentIndexBytes { found: self.segment_index_bytes });
        }
        if self.segment_ms == 0 {
            return Err(ConfigError::SegmentMs);
        }
        if !(0.0..=1.0).contains(&self.min_cleanable_dirty_ratio) {
            return Err(ConfigError::DirtyRatio);
        }
        if self.min_compaction_lag_ms > self.max_compaction_lag_ms {
            return Err(ConfigError::CompactionLag {
                min: self.min_compaction_lag_ms,
                max: self.max_compaction_lag_ms,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_nonsense_is_refused() {
        assert_eq!(LogConfig::default().check(), Ok(()));
        let with = |change: fn(&mut LogConfig)| {
            let mut config = LogConfig::default();
            change(&mut config);
            config.check()
        };
        assert_eq!(with(|c| c.segment_bytes = 13), Err(ConfigError::SegmentBytes { found: 13 }));
        assert_eq!(with(|c| c.segment_index_bytes = 23), Err(ConfigError::SegmentIndexBytes { found: 23 }));
        assert_eq!(with(|c| c.segment_ms = 0), Err(ConfigError::SegmentMs));
        assert_eq!(with(|c| c.min_cleanable_dirty_ratio = f64::NAN), Err(ConfigError::DirtyRatio));
        let lag = with(|c| (c.min_compaction_lag_ms, c.max_compaction_lag_ms) = (2, 1));
        assert_eq!(lag, Err(ConfigError::CompactionLag { min: 2, max: 1 }));
    }
}
