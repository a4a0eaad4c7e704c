//! Keys and values by their bytes.

use std::num::NonZeroU32;

use super::*;

fn group(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

fn at(name: &str, partition: &str) -> GroupPartition {
    GroupPartition { group: group(name), partition: TopicPartition::parse(partition).unwrap() }
}

fn value(offset: u64, metadata: &str) -> OffsetValue {
    let committed = Committed {
        offset: Offset::new(offset),
        leader_epoch: Some(LeaderEpoch::new(7)),
        metadata: metadata.to_owned(),
    };
    OffsetValue { committed, commit_timestamp: Timestamp::from_millis(1000), expire_timestamp: None, topic_id: None }
}

#[test]
fn a_group_has_the_partition_that_kafka_gives_it() {
    let fifty = NonZeroU32::new(PARTITIONS).unwrap();
    let known = [("group", 47), ("my-group", 12), ("test-group", 12), ("polygenelubricants", 0)];
    for (name, partition) in known {
        assert_eq!(partition_of_group(&group(name), fifty), partition, "{name}");
    }
}

#[test]
fn a_key_has_these_bytes_and_reads_back() {
    let key = at("g", "t-3").to_key().unwrap();
    assert_eq!(key, b"\0\x01\0\x01g\0\x01t\0\0\0\x03");
    assert_eq!(OffsetKey::parse(&key), Ok(OffsetKey::Offset(at("g", "t-3"))));
    assert_eq!(OffsetKey::parse(b"\0\0\0\x01g\0\x01t\0\0\0\x03"), Ok(OffsetKey::Offset(at("g", "t-3"))));
    assert_eq!(OffsetKey::parse(b"\0\x02\0\x01g"), Ok(OffsetKey::Group(group("g"))));
    assert_eq!(OffsetKey::parse(b"\0\x0a whatever"), Ok(OffsetKey::Other(10)));
}

#[test]
fn a_value_has_these_bytes_and_reads_back() {
    let bytes = value(258, "m").to_bytes().unwrap();
    assert_eq!(bytes, b"\0\x04\0\0\0\0\0\0\x01\x02\0\0\0\x07\x02m\0\0\0\0\0\0\x03\xe8\0");
    assert_eq!(OffsetValue::parse(&bytes), Ok(value(258, "m")));
    let expiring = OffsetValue {
        committed: Committed { leader_epoch: None, ..value(258, "m").committed },
        expire_timestamp: Some(Timestamp::from_millis(2000)),
        ..value(258, "m")
    };
    let bytes = expiring.to_bytes().unwrap();
    assert_eq!(bytes, b"\0\x01\0\0\0\0\0\0\x01\x02\0\x01m\0\0\0\0\0\0\x03\xe8\0\0\0\0\0\0\x07\xd0");
    assert_eq!(OffsetValue::parse(&bytes), Ok(expiring));
}

#[test]
fn values_of_every_version_are_read() {
    let without_epoch =
        OffsetValue { committed: Committed { leader_epoch: None, ..value(258, "m").committed }, ..value(258, "m") };
    for old in [
        &b"\0\0\0\0\0\0\0\0\x01\x02\0\x01m\0\0\0\0\0\0\x03\xe8"[..],
        b"\0\x02\0\0\0\0\0\0\x01\x02\0\x01m\0\0\0\0\0\0\x03\xe8",
    ] {
        assert_eq!(OffsetValue::parse(old), Ok(without_epoch.clone()));
    }
    let third = b"\0\x03\0\0\0\0\0\0\x01\x02\0\0\0\x07\0\x01m\0\0\0\0\0\0\x03\xe8";
    assert_eq!(OffsetValue::parse(third), Ok(value(258, "m")));
    let tagged = b"\0\x04\0\0\0\0\0\0\x01\x02\0\0\0\x07\x02m\0\0\0\0\0\0\x03\xe8\x01\x05\x02\xaa\xbb";
    assert_eq!(OffsetValue::parse(tagged), Ok(value(258, "m")), "a tagged field that is not known is passed over");
}

#[test]
fn the_topic_s_id_is_the_tagged_field_0() {
    let named = OffsetValue { topic_id: TopicId::from_bytes(*b"ottla-topic-alph"), ..value(258, "m") };
    let bytes = named.to_bytes().unwrap();
    assert_eq!(bytes, b"\0\x04\0\0\0\0\0\0\x01\x02\0\0\0\x07\x02m\0\0\0\0\0\0\x03\xe8\x01\0\x10ottla-topic-alph");
    assert_eq!(OffsetValue::parse(&bytes), Ok(named));
}

#[test]
fn what_is_cut_short_or_goes_on_is_refused() {
    let (key, value) = (at("g", "t-3").to_key().unwrap(), value(258, "m").to_bytes().unwrap());
    for end in 0..key.len() {
        assert!(OffsetKey::parse(&key[..end]).is_err(), "{end}");
    }
    for end in 0..value.len() {
        assert!(OffsetValue::parse(&value[..end]).is_err(), "{end}");
    }
    assert!(OffsetKey::parse(&[&key[..], b"x"].concat()).is_err());
    assert!(OffsetValue::parse(&[&value[..], b"x"].concat()).is_err());
    assert_eq!(OffsetValue::parse(b"\0\x05"), Err(OffsetsError::Version { version: 5 }));
    assert_eq!(OffsetKey::parse(b"\0\x01\0\0"), Err(OffsetsError::EmptyGroup));
    assert!(OffsetValue::parse(b"\0\x00\xff\xff\xff\xff\xff\xff\xff\xff").is_err(), "a negative offset");
    assert!(OffsetValue::parse(b"\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff").is_err(), "no such varint");
    assert!(at(&"g".repeat(32768), "t-0").to_key().is_err());
}

#[test]
fn the_last_record_of_a_key_counts_and_a_null_takes_it_back() {
    let mut offsets = GroupOffsets::default();
    let (first, second) = (at("g", "t-0"), at("g", "t-1"));
    let mut replay = |of: &GroupPartition, value: Option<OffsetValue>| {
        let value = value.map(|value| value.to_bytes().unwrap());
        offsets.replay(Some(&of.to_key().unwrap()), value.as_deref()).unwrap();
        offsets.clone()
    };
    replay(&first, Some(value(5, "")));
    replay(&second, Some(value(9, "")));
    let now = replay(&first, Some(value(3, "back")));
    assert_eq!(now.committed(&first.group, &first.partition), Some(&value(3, "back")));
    assert_eq!(now.of_group(&first.group).count(), 2);
    assert_eq!(now.of_topic(first.partition.topic()), [first.clone(), second.clone()]);
    replay(&first, None);
    let now = replay(&second, None);
    assert_eq!(now, GroupOffsets::default());
}
