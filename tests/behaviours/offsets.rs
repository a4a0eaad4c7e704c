//! `OFF`: committed offsets, as far as one node without rebalances has them; and what Kafka's own reader says is in the
//! golden directory.
#![expect(clippy::disallowed_methods, reason = "the golden directories are files")]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla::coordinator::offsets::{GroupOffsets, OffsetKey, OffsetValue, check_metadata};
use ottla::id::GroupId;
use ottla::message::{Committed, ErrorCode};
use ottla::offset::Offset;
use ottla::record::{DecompressLimit, Entry};
use serde_json::Value;

#[test]
fn off_01_metadata_of_more_than_4096_characters_is_refused() {
    let with = |metadata: String| Committed { metadata, ..Committed::at(Offset::new(5)) };
    let check = |metadata| check_metadata(&with(metadata), Committed::METADATA_MAX);
    assert_eq!(check("x".repeat(4096)), Ok(()));
    assert_eq!(check("ö".repeat(4096)), Ok(()), "characters, not bytes");
    let refused = check("x".repeat(4097)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::OffsetMetadataTooLarge);
    assert!(check("\u{10000}".repeat(2049)).is_err(), "Java counts such a character as two");
}

#[test]
fn off_01_the_offsets_that_kafka_has_committed_are_read_and_written_as_it_wrote_them() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka-4.3");
    let mut compared = 0;
    for (directory, partition) in [("clean", 0), ("clean", 1)] {
        let name = format!("__consumer_offsets-{partition}");
        let expected = decoded(&root.join(format!("{directory}.expected/{name}.decoded.txt")));
        let mut offsets = GroupOffsets::default();
        for record in records(&root.join(directory).join(&name)) {
            let Some(expected) = expected.iter().find(|line| line.offset == record.offset) else { continue };
            offsets.replay(record.key.as_deref(), record.value.as_deref()).unwrap();
            compared += u32::from(compare(&record, expected));
        }
        assert!(offsets.groups().all(|group| offsets.of_group(group).count() > 0));
    }
    assert!(compared >= 5, "only {compared} commits were compared");
}

#[test]
fn off_01_the_last_commit_of_a_group_counts_after_all_of_them() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka-4.3/clean");
    let mut offsets = GroupOffsets::default();
    for partition in [0, 1] {
        for record in records(&root.join(format!("__consumer_offsets-{partition}"))) {
            offsets.replay(record.key.as_deref(), record.value.as_deref()).unwrap();
        }
    }
    let pipeline = GroupId::new("pipeline").unwrap();
    assert!(offsets.of_group(&pipeline).count() > 0, "{offsets:?}");
}

/// Compares a commit with what Kafka's reader says of it. Answers whether it was one.
fn compare(record: &Raw, expected: &Line) -> bool {
    let key = record.key.as_deref().unwrap();
    let OffsetKey::Offset(at) = OffsetKey::parse(key).unwrap() else {
        assert_ne!(expected.key["type"], "1");
        return false;
    };
    assert_eq!(expected.key["type"], "1");
    assert_eq!(at.to_key().unwrap(), key);
    let data = &expected.key["data"];
    assert_eq!(data["group"], at.group.as_str());
    assert_eq!(data["topic"], at.partition.topic().as_str());
    assert_eq!(data["partition"], at.partition.partition());
    let Some(bytes) = record.value.as_deref() else { return false };
    let value = OffsetValue::parse(bytes).unwrap();
    assert_eq!(value.to_bytes().unwrap(), bytes);
    let data = &expected.value["data"];
    assert_eq!(data["offset"], value.committed.offset.get());
    assert_eq!(data["leaderEpoch"], value.committed.leader_epoch.map_or(-1, |epoch| epoch.as_i32()));
    assert_eq!(data["metadata"], value.committed.metadata.as_str());
    assert_eq!(data["commitTimestamp"], value.commit_timestamp.as_millis());
    true
}

struct Raw {
    offset: u64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// The records of a partition's segments that are not control records.
fn records(partition: &Path) -> Vec<Raw> {
    let mut logs: Vec<PathBuf> = fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    let mut records = Vec::new();
    for log in logs {
        let mut bytes = Bytes::from(fs::read(log).unwrap());
        while !bytes.is_empty() {
            let entry = Entry::parse(&bytes).unwrap();
            bytes = bytes.slice(entry.size() as usize..);
            if !entry.is_control() {
                let batch = entry.records(DecompressLimit::default()).unwrap();
                records.extend(batch.iter().map(|record| record.unwrap()).map(|record| Raw {
                    offset: record.offset.get(),
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                }));
            }
        }
    }
    records
}

/// A record as Kafka's reader prints it.
struct Line {
    offset: u64,
    key: Value,
    value: Value,
}

fn decoded(file: &Path) -> Vec<Line> {
    let text = fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let (front, rest) = line.strip_prefix("| offset: ")?.split_once(" key: ")?;
        let offset = front.split(' ').next()?.parse().ok()?;
        let (key, value) = rest.split_once(" payload: ")?;
        let json = |text: &str| serde_json::from_str(text.trim()).unwrap_or(Value::Null);
        Some(Line { offset, key: json(key), value: json(value) })
    };
    text.lines().filter_map(line).collect()
}
