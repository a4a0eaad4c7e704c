//! What our log says, in the words of `subject`: Kafka's error codes, its numbers for "none", its order of fields.

use ottla::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use ottla::id::ProducerId;
use ottla::log::Cleanup;
use ottla::log::{AppendError, BatchMeta, Log, LogConfig, ProducerEntry, ProducerError};
use ottla::offset::Offset;
use ottla::record::{BatchError, CheckError, Codec, TimestampType, TopicCodec};

use crate::kafka_log::PRODUCER_EXPIRATION_MS;
use crate::oracle::Refusal;
use crate::script::{self, Clock, Compression, Settings};
use crate::subject::{Producer, State};

/// The settings as ours.
pub fn config(settings: &Settings) -> LogConfig {
    let limit = |value: i64| u64::try_from(value).ok();
    LogConfig {
        segment_bytes: settings.segment_bytes as u32,
        segment_ms: settings.segment_ms as u64,
        segment_index_bytes: settings.index_bytes as u32,
        index_interval_bytes: settings.index_interval as u32,
        max_message_bytes: settings.batch_max as u32,
        retention_bytes: limit(settings.retention_bytes),
        retention_ms: limit(settings.retention_ms),
        cleanup: match settings.cleanup {
            script::Cleanup::Delete => Cleanup::Delete,
            script::Cleanup::Compact => Cleanup::Compact,
            script::Cleanup::Both => Cleanup::CompactAndDelete,
        },
        delete_retention_ms: settings.delete_retention_ms as u64,
        min_compaction_lag_ms: settings.lag_min_ms as u64,
        max_compaction_lag_ms: settings.lag_max_ms as u64,
        min_cleanable_dirty_ratio: settings.dirty_percent as f64 / 100.0,
        codec: match settings.compression {
            Compression::Producer => TopicCodec::Producer,
            Compression::Uncompressed => TopicCodec::Fixed(Codec::None),
        },
        timestamp_type: match settings.clock {
            Clock::Create => TimestampType::CreateTime,
            Clock::Append => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: settings.before_max_ms,
        producer_id_expiration_ms: PRODUCER_EXPIRATION_MS as u64,
        ..LogConfig::default()
    }
}

/// What the log says of itself.
pub fn state(log: &Log) -> State {
    // Kafka counts what lies below the log start as stable.
    let unstable = log.producers().first_unstable().map(|first| first.max(log.log_start_offset()));
    State {
        log_start: log.log_start_offset().as_i64(),
        log_end: log.log_end_offset().as_i64(),
        high_watermark: log.high_watermark().as_i64(),
        last_stable_offset: log.last_stable_offset().as_i64(),
        recovery_point: log.flushed().as_i64(),
        first_unstable: unstable.map(Offset::as_i64),
        segments: log.segments().map(|segment| (segment.base_offset.as_i64(), i64::from(segment.size))).collect(),
        epochs: log
            .epochs()
            .entries()
            .iter()
            .map(|entry| (i64::from(entry.epoch.as_i32()), entry.start_offset.as_i64()))
            .collect(),
        producers: log.producers().entries().map(producer).collect(),
    }
}

fn producer((id, entry): (ProducerId, &ProducerEntry)) -> Producer {
    Producer {
        id: id.get(),
        epoch: entry.epoch().map_or(-1, |epoch| i64::from(ProducerEpoch::get(epoch))),
        coordinator_epoch: entry.coordinator_epoch().map_or(-1, |epoch| i64::from(LeaderEpoch::as_i32(epoch))),
        last_timestamp: entry.last_timestamp().as_millis(),
        transaction_from: entry.open_transaction().map(Offset::as_i64),
        batches: entry.batches().iter().map(batch).collect(),
    }
}

fn batch(meta: &BatchMeta) -> [i64; 5] {
    let sequence = |sequence: Option<Sequence>| sequence.map_or(-1, |sequence| i64::from(sequence.get()));
    let last = sequence(meta.last_sequence);
    // Kafka counts back from "none" too, around the end of the sequences.
    let first = match meta.last_sequence {
        Some(_) => sequence(meta.base_sequence()),
        None if meta.offset_delta == 0 => -1,
        None => i64::from(i32::MAX) - i64::from(meta.offset_delta),
    };
    [first, last, meta.base_offset().as_i64(), meta.last_offset.as_i64(), meta.timestamp.as_millis()]
}

/// Why a topic refuses a batch.
pub fn check_refusal(error: &CheckError) -> Refusal {
    let code = match error {
        CheckError::MessageTooLarge { .. } => 10,
        CheckError::InvalidTimestamp { .. } => 32,
        _ => 87,
    };
    refusal(code, error)
}

/// Why bytes are no batch.
pub fn batch_refusal(error: &BatchError) -> Refusal {
    let code = match error {
        BatchError::InvalidRecordCount { .. } | BatchError::InvalidOffset { .. } => 87,
        _ => 2,
    };
    refusal(code, error)
}

/// Why a log refuses an append.
pub fn append_refusal(error: &AppendError) -> Refusal {
    let code = match error {
        AppendError::TooLargeForSegment { .. } => 18,
        AppendError::Producer(ProducerError::ProducerFenced { .. }) => 47,
        AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => 45,
        AppendError::Producer(ProducerError::OutsideTransaction { .. }) => 48,
        AppendError::Producer(ProducerError::CoordinatorFenced { .. }) => 52,
        AppendError::Producer(ProducerError::UnknownProducer { .. }) => 59,
        AppendError::Batch(error) => return batch_refusal(error),
        AppendError::UnexpectedOffset { .. } => return nameless("UnexpectedAppendOffsetException", error),
        AppendError::OutOfOrderOffsets { .. } => return nameless("OffsetsOutOfOrderException", error),
        _ => return nameless("unexpected", error),
    };
    refusal(code, error)
}

/// A refusal that Kafka's protocol has this code for.
pub fn refusal(code: i64, why: &dyn std::fmt::Display) -> Refusal {
    Refusal { code: Some(code), name: String::new(), message: why.to_string() }
}

/// A refusal that Kafka's protocol has no code for, by the exception's name.
pub fn nameless(name: &str, why: &dyn std::fmt::Display) -> Refusal {
    Refusal { code: None, name: name.to_owned(), message: why.to_string() }
}
