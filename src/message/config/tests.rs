//! Settings as text and by hand.

use super::*;
use crate::record::{Codec, TimestampType, TopicCodec};

fn one(key: &str, value: &str) -> Result<TopicConfig, ConfigError> {
    TopicConfig::from_pairs([(key, value)])
}

fn refused(key: &str, value: &str) -> String {
    one(key, value).unwrap_err().to_string()
}

#[test]
fn the_keys_are_kafkas_in_order_and_each_default_is_allowed() {
    let names: Vec<&str> = ConfigKey::ALL.iter().map(|key| key.name()).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    for key in ConfigKey::ALL {
        let default = one(key.name(), &key.default_text()).unwrap();
        assert_eq!(default.text_of(*key), Some(key.default_text()));
        assert_eq!(ConfigKey::named(key.name()), Ok(*key));
    }
}

#[test]
fn the_defaults_are_those_of_kafka_4_3() {
    let shown: Vec<(&str, String)> =
        TopicConfig::default().describe().into_iter().map(|entry| (entry.key.name(), entry.value)).collect();
    let expected = [
        ("cleanup.policy", "delete"),
        ("compression.gzip.level", "-1"),
        ("compression.lz4.level", "9"),
        ("compression.type", "producer"),
        ("compression.zstd.level", "3"),
        ("delete.retention.ms", "86400000"),
        ("file.delete.delay.ms", "60000"),
        ("flush.messages", "9223372036854775807"),
        ("flush.ms", "9223372036854775807"),
        ("index.interval.bytes", "4096"),
        ("max.compaction.lag.ms", "9223372036854775807"),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.after.max.ms", "3600000"),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.type", "CreateTime"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("min.compaction.lag.ms", "0"),
        ("min.insync.replicas", "1"),
        ("preallocate", "false"),
        ("retention.bytes", "-1"),
        ("retention.ms", "604800000"),
        ("segment.bytes", "1073741824"),
        ("segment.index.bytes", "10485760"),
        ("segment.jitter.ms", "0"),
        ("segment.ms", "604800000"),
        ("unclean.leader.election.enable", "false"),
    ];
    assert_eq!(shown, expected.map(|(key, value)| (key, value.to_owned())));
    assert!(TopicConfig::default().is_empty());
}

#[test]
fn what_is_set_by_text_is_read_as_its_type_and_gives_the_text_back() {
    let config = TopicConfig::from_pairs([
        ("cleanup.policy", " compact , delete "),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "-7"),
        ("flush.messages", "1"),
        ("message.timestamp.type", "LogAppendTime"),
        ("min.cleanable.dirty.ratio", "0.25"),
        ("preallocate", "TRUE"),
        ("retention.bytes", "1000"),
        ("retention.ms", "-1"),
    ])
    .unwrap();
    assert_eq!(config.cleanup_policy(), CleanupPolicy::CompactAndDelete);
    assert_eq!(config.compression_type(), TopicCodec::Fixed(Codec::Zstd));
    assert_eq!(config.compression_level(), Some(-7));
    assert_eq!((config.flush_messages(), config.flush_ms()), (Some(1), None));
    assert_eq!(config.message_timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((config.retention_bytes(), config.retention_ms()), (Some(1000), None));
    assert!(config.preallocate());
    let again = TopicConfig::from_pairs(config.pairs().map(|(key, value)| (key.name(), value))).unwrap();
    assert_eq!(again, config);
    assert_eq!(config.text_of(ConfigKey::CleanupPolicy).as_deref(), Some("compact,delete"));
    assert_eq!(config.text_of(ConfigKey::RetentionMs).as_deref(), Some("-1"));
    assert_eq!(config.text_of(ConfigKey::SegmentMs), None, "it was not set");
}

#[test]
fn an_unknown_key_is_refused_with_the_name_it_may_have_meant() {
    let nearest = |key: &str| match ConfigKey::named(key) {
        Err(ConfigError::UnknownKey { nearest, .. }) => nearest.map(ConfigKey::name),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(nearest("retention.m"), Some("retention.ms"));
    assert_eq!(nearest("log.retention.ms"), Some("retention.ms"));
    assert_eq!(nearest("segment_bytes"), Some("segment.bytes"));
    assert_eq!(nearest("Cleanup.Policy"), Some("cleanup.policy"));
    assert_eq!(nearest("colour"), None);
    assert_eq!(nearest(""), None);
    assert_eq!(nearest(&"x".repeat(1 << 20)), None);
    assert_eq!(refused("colour", "red"), "no topic setting is called \"colour\"");
}

#[test]
fn a_bad_value_is_refused_with_the_key_the_value_and_what_is_allowed() {
    assert_eq!(
        refused("retention.ms", "abc"),
        "retention.ms cannot be \"abc\": a whole number from 0 to 9223372036854775807, or -1 for no limit"
    );
    assert_eq!(
        refused("compression.type", "none"),
        "compression.type cannot be \"none\": one of producer, uncompressed, gzip, snappy, lz4, zstd"
    );
    for (key, value) in [
        ("cleanup.policy", "delete,purge"),
        ("cleanup.policy", "delete,"),
        ("compression.gzip.level", "0"),
        ("compression.gzip.level", "10"),
        ("compression.lz4.level", "0"),
        ("compression.zstd.level", "23"),
        ("flush.messages", "0"),
        ("internal.segment.bytes", "13"),
        ("max.compaction.lag.ms", "0"),
        ("max.message.bytes", "2147483648"),
        ("message.timestamp.type", "createtime"),
        ("min.cleanable.dirty.ratio", "1.1"),
        ("min.cleanable.dirty.ratio", "NaN"),
        ("min.insync.replicas", "0"),
        ("preallocate", "yes"),
        ("retention.ms", "-2"),
        ("retention.ms", ""),
        ("segment.bytes", "2147483648"),
        ("segment.index.bytes", "3"),
        ("segment.ms", "0"),
        ("segment.ms", "9223372036854775808"),
    ] {
        assert!(matches!(one(key, value), Err(ConfigError::Value { .. })), "{key}={value}");
    }
}

#[test]
fn a_small_segment_has_its_own_key_for_kafka_would_not_start() {
    assert_eq!(
        refused("segment.bytes", "1048575"),
        "segment.bytes cannot be \"1048575\": a whole number from 1048576 to 2147483647; smaller segments are set by \
         internal.segment.bytes"
    );
    let pairs = |config: &TopicConfig| config.pairs().collect::<Vec<_>>();
    let small = TopicConfig::default().with_segment_bytes(4096);
    assert_eq!(small.segment_bytes(), 4096);
    assert_eq!(pairs(&small), [(ConfigKey::InternalSegmentBytes, "4096".to_owned())]);
    let large = small.with_segment_bytes(1 << 20);
    assert_eq!(large.segment_bytes(), 1 << 20);
    assert_eq!(pairs(&large), [(ConfigKey::SegmentBytes, "1048576".to_owned())]);
    assert_eq!(
        TopicConfig::default().with_segment_bytes(13).check().unwrap_err().to_string(),
        "internal.segment.bytes cannot be \"13\": a whole number from 14 to 2147483647"
    );
}

#[test]
fn what_is_set_by_hand_is_checked_like_text() {
    assert_eq!(TopicConfig::default().with_retention_ms(None).with_segment_ms(1).check(), Ok(()));
    let bad = [
        TopicConfig::default().with_segment_ms(0),
        TopicConfig::default().with_segment_ms(u64::MAX),
        TopicConfig::default().with_retention_ms(Some(u64::MAX)),
        TopicConfig::default().with_min_cleanable_dirty_ratio(f64::NAN),
        TopicConfig::default().with_message_timestamp_after_max_ms(-1),
        TopicConfig::default().with_gzip_level(0),
        TopicConfig::default().with_segment_bytes(u32::MAX),
    ];
    for config in bad {
        assert!(matches!(config.check(), Err(ConfigError::Value { .. })), "{config:?}");
    }
}

#[test]
fn settings_that_contradict_each_other_or_come_twice_are_refused() {
    let lags = [("min.compaction.lag.ms", "11"), ("max.compaction.lag.ms", "10")];
    assert_eq!(TopicConfig::from_pairs(lags), Err(ConfigError::CompactionLag { min: 11, max: 10 }));
    let twice = [("segment.ms", "1"), ("segment.ms", "1")];
    assert_eq!(TopicConfig::from_pairs(twice), Err(ConfigError::Repeated { key: ConfigKey::SegmentMs }));
}

#[test]
fn what_another_program_left_is_read_as_far_as_possible() {
    let (config, refused) = TopicConfig::read_pairs([
        ("segment.ms", "1"),
        ("remote.storage.enable", "false"),
        ("retention.ms", "abc"),
        ("segment.ms", "2"),
    ]);
    assert_eq!(config, TopicConfig::default().with_segment_ms(2));
    assert_eq!(refused.len(), 2, "{refused:?}");
}

fn change(key: &str, operation: ConfigOperation) -> ConfigChange {
    ConfigChange { key: key.to_owned(), operation }
}

#[test]
fn changes_are_made_one_after_the_other_or_not_at_all() {
    let text = |text: &str| text.to_owned();
    let before = TopicConfig::default().with_segment_ms(5);
    let after = before.changed(&[
        change("segment.ms", ConfigOperation::Delete),
        change("cleanup.policy", ConfigOperation::Append(text("compact"))),
        change("retention.ms", ConfigOperation::Set(text("7"))),
    ]);
    let expected =
        TopicConfig::default().with_cleanup_policy(CleanupPolicy::CompactAndDelete).with_retention_ms(Some(7));
    assert_eq!(after, Ok(expected.clone()));
    let less = expected.changed(&[change("cleanup.policy", ConfigOperation::Subtract(text("delete, compact")))]);
    assert_eq!(less.unwrap().cleanup_policy(), CleanupPolicy::Keep);
    let not_a_list = before.changed(&[change("segment.ms", ConfigOperation::Append(text("1")))]);
    assert_eq!(not_a_list, Err(ConfigError::NotAList { key: ConfigKey::SegmentMs }));
    let unknown = before.changed(&[change("segment.sm", ConfigOperation::Delete)]);
    assert!(matches!(unknown, Err(ConfigError::UnknownKey { .. })));
}
