//! What a topic's configuration means for the log and the partition of each of its partitions.

use crate::log::{Cleanup, LogConfig, UnknownProducer};
use crate::message::{CleanupPolicy, TopicConfig};
use crate::partition::PartitionConfig;

/// The smallest index that a log works with: two entries of each kind.
const INDEX_BYTES_MIN: u32 = 24;

/// The settings of a partition's log.
pub(crate) fn log_config(topic: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: topic.segment_bytes(),
        segment_ms: topic.segment_ms(),
        segment_jitter_ms: topic.segment_jitter_ms(),
        // Kafka takes smaller ones, which have no room for the entries that a log wants.
        segment_index_bytes: topic.segment_index_bytes().max(INDEX_BYTES_MIN),
        index_interval_bytes: topic.index_interval_bytes(),
        max_message_bytes: topic.max_message_bytes(),
        retention_bytes: topic.retention_bytes(),
        retention_ms: topic.retention_ms(),
        cleanup: match topic.cleanup_policy() {
            CleanupPolicy::Delete => Cleanup::Delete,
            CleanupPolicy::Compact => Cleanup::Compact,
            CleanupPolicy::CompactAndDelete => Cleanup::CompactAndDelete,
            CleanupPolicy::Keep => Cleanup::Keep,
        },
        delete_retention_ms: topic.delete_retention_ms(),
        min_compaction_lag_ms: topic.min_compaction_lag_ms(),
        max_compaction_lag_ms: topic.max_compaction_lag_ms(),
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio(),
        flush_messages: topic.flush_messages(),
        codec: topic.compression_type(),
        timestamp_type: topic.message_timestamp_type(),
        timestamp_before_max_ms: topic.message_timestamp_before_max_ms(),
        timestamp_after_max_ms: topic.message_timestamp_after_max_ms(),
        // A batch of a producer that lies in front of what comes here first may have been refused, and come again.
        unknown_producer: UnknownProducer::Refuse,
        ..LogConfig::default()
    }
}

/// The settings of a partition that are not its log's.
pub(crate) fn partition_config(topic: &TopicConfig) -> PartitionConfig {
    PartitionConfig {
        min_insync_replicas: topic.min_insync_replicas(),
        flush_interval_ms: topic.flush_ms(),
        ..PartitionConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_that_begins_behind_a_gap_is_refused_in_every_topic() {
        assert_eq!(log_config(&TopicConfig::default()).unknown_producer, UnknownProducer::Refuse);
    }
}
