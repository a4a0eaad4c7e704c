//! `Queue` on directories that real Kafka brokers wrote: with their metadata, and without it.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; the golden directories are files of the project"
)]

#[path = "support/golden.rs"]
mod golden;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use ottla::Queue;
use ottla::consumer::{OffsetReset, Start};
use ottla::controller::Snapshot;
use ottla::disk::{MemDisk, Shutdown};
use ottla::id::TopicPartition;
use ottla::message::{ConfigSource, IsolationLevel, OffsetSpec, TopicConfig};
use ottla::queue::{ConsumedRecord, ConsumerConfig, OpeningReport, ProducerConfig, Record};
use serde_json::{Value, json};

use golden::golden;

/// What belongs to the metadata, or to whoever has it.
const METADATA: [&str; 3] = ["__cluster_metadata-0", "bootstrap.checkpoint", "meta.properties"];

/// The records of these directories are years old: whatever a topic says of retention is not heeded while a test lasts.
fn open(disk: &MemDisk) -> Queue {
    Queue::builder().upkeep_interval(Duration::from_secs(1 << 30)).open_on(vec![disk.clone()]).unwrap()
}

/// The partitions that Kafka's readers were asked about, without the metadata, and what they said: a line for each batch.
fn expected(name: &str) -> BTreeMap<TopicPartition, Vec<Value>> {
    let dir = format!("{}/tests/golden/{name}.expected", env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "jsonl") || path.to_str().unwrap().contains("__cluster_metadata") {
            continue;
        }
        let lines = std::fs::read_to_string(&path).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        all.insert(TopicPartition::parse(path.file_stem().unwrap().to_str().unwrap()).unwrap(), lines);
    }
    all
}

/// What a consumer is to get of these batches from `start` on. One that reads what is committed gets nothing that was
/// aborted, and nothing behind the first record of a transaction that is open.
fn due(batches: &[Value], isolation: IsolationLevel, start: u64) -> Vec<Value> {
    let mut open: BTreeMap<u64, (u64, Vec<Value>)> = BTreeMap::new();
    let mut due = BTreeMap::new();
    for batch in batches {
        let producer = batch["producer_id"].as_u64();
        let records = batch["records"].as_array().unwrap().iter().cloned();
        match (batch["transactional"] == true, batch["control"] == true) {
            (true, true) => {
                let is_commit = batch["records"][0]["key"] == "\0\0\0\u{1}";
                let (_, ended) = open.remove(&producer.unwrap()).unwrap_or_default();
                due.extend(ended.into_iter().filter(|_| is_commit).map(|record| (offset(&record), record)));
            }
            (true, false) if isolation == IsolationLevel::ReadCommitted => {
                let begun = (batch["base_offset"].as_u64().unwrap(), Vec::new());
                open.entry(producer.unwrap()).or_insert(begun).1.extend(records);
            }
            (_, false) => due.extend(records.map(|record| (offset(&record), record))),
            (false, true) => {}
        }
    }
    let stable = open.values().map(|(first, _)| *first).min().unwrap_or(u64::MAX);
    due.range(start..stable.max(start)).map(|(_, record)| told(record)).collect()
}

fn offset(record: &Value) -> u64 {
    record["offset"].as_u64().unwrap()
}

/// What there is to compare of a record.
fn told(record: &Value) -> Value {
    json!([record["offset"], record["timestamp"], record["key"], record["value"], record["headers"]])
}

fn seen(record: &ConsumedRecord<'_>) -> Value {
    let headers: Vec<Value> = record.headers().iter().map(|(name, value)| json!([name, text(value)])).collect();
    json!([record.offset().get(), record.timestamp().as_millis(), text(record.key()), text(record.value()), headers])
}

/// As the golden directories write bytes: those that are no text in base 64.
fn text(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    std::str::from_utf8(bytes).map_or_else(|_| json!({ "base64": base64(bytes) }), |text| json!(text))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut written = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        for letter in 0..4 {
            let is_there = letter <= three.len();
            written.push(if is_there { char::from(LETTERS[bits >> (18 - 6 * letter) & 63]) } else { '=' });
        }
    }
    written
}

/// Every record of a partition from `Start` to the end of what this consumer may see.
fn consume(queue: &Queue, partition: &TopicPartition, isolation: IsolationLevel) -> Vec<Value> {
    let config = ConsumerConfig::default().reset(OffsetReset::Earliest).isolation(isolation);
    let mut consumer = queue.consumer(&config).unwrap();
    consumer.assign([(partition.clone(), Start::Find(OffsetSpec::Earliest))]).unwrap();
    let (mut found, mut empty) = (Vec::new(), 0);
    while consumer.lag(partition) != Some(0) {
        let records = consumer.poll(Duration::from_millis(100)).unwrap_or_else(|error| panic!("{partition}: {error}"));
        empty = if records.is_empty() { empty + 1 } else { 0 };
        assert!(
            empty < 300,
            "{partition}: stuck at {:?}, {:?} to go",
            consumer.position(partition),
            consumer.lag(partition)
        );
        found.extend(records.iter().map(|record| seen(&record)));
    }
    found
}

/// Whether the partition belongs to Kafka, which writes its own records there.
fn is_internal(partition: &TopicPartition) -> bool {
    partition.topic().as_str().starts_with("__")
}

fn start(queue: &Queue, partition: &TopicPartition) -> u64 {
    queue.offset(partition, OffsetSpec::Earliest).unwrap().unwrap().offset.get()
}

fn end(queue: &Queue, partition: &TopicPartition) -> u64 {
    queue.offset(partition, OffsetSpec::Latest).unwrap().unwrap().offset.get()
}

/// Every record that Kafka's reader sees is consumed, at both isolation levels. Answers how many there are.
fn has_everything(queue: &Queue, expected: &BTreeMap<TopicPartition, Vec<Value>>) -> usize {
    let mut total = 0;
    for (partition, batches) in expected {
        let start = start(queue, partition);
        for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
            let (found, due) = (consume(queue, partition, isolation), due(batches, isolation, start));
            let parting = found.iter().zip(&due).find(|(found, due)| found != due);
            assert!(parting.is_none(), "{partition}, {isolation:?}: {parting:?}");
            assert_eq!(found.len(), due.len(), "{partition}, {isolation:?}");
            total += found.len();
        }
    }
    total
}

/// Each partition was closed in order and nothing is amiss. Index files may have been made again: what Kafka leaves in them
/// after a kill and a recovery is not always what the log says.
fn is_whole(report: &OpeningReport) -> bool {
    let logs = std::iter::once(&report.metadata).chain(&report.partitions);
    let is_closed = |shutdown| matches!(shutdown, Shutdown::Clean | Shutdown::New);
    logs.into_iter().all(|log| is_closed(log.shutdown) && log.torn.is_none() && log.corrupt.is_empty())
        && report.failed.is_empty()
        && report.unknown.is_empty()
        && report.not_adopted.is_empty()
}

/// Each topic with its partitions.
fn listed(queue: &Queue) -> BTreeSet<TopicPartition> {
    let mut listed = BTreeSet::new();
    for topic in queue.topics().unwrap() {
        for described in &topic.partitions {
            assert!(described.leader.is_some(), "{}-{} has no leader", topic.name, described.partition);
            listed.insert(TopicPartition::new(topic.name.clone(), described.partition).unwrap());
        }
    }
    listed
}

/// What was set for a topic, and not left to the defaults.
fn settings(queue: &Queue, topic: &str) -> BTreeMap<String, String> {
    let entries = queue.describe_config(topic).unwrap().into_iter();
    let set = entries.filter(|entry| entry.source == ConfigSource::Topic);
    set.map(|entry| (entry.key.to_string(), entry.value)).collect()
}

/// Produces to every partition that is the application's, behind what is there.
fn goes_on(queue: &Queue, expected: &BTreeMap<TopicPartition, Vec<Value>>) {
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    for partition in expected.keys().filter(|partition| !is_internal(partition)) {
        let before = end(queue, partition);
        let record = Record::to(partition.topic().as_str()).partition(partition.partition()).key("new").value("new");
        let placed = producer.send_and_wait(record).unwrap_or_else(|error| panic!("{partition}: {error}"));
        assert_eq!(placed.offset.map(|offset| offset.get()), Some(before), "{partition}");
        assert_eq!(end(queue, partition), before + 1, "{partition}");
    }
}

/// Reads all, goes on, closes, and finds all again.
fn whole_life(name: &str, disk: &MemDisk, queue: Queue) {
    let expected = expected(name);
    assert_eq!(listed(&queue), expected.keys().cloned().collect());
    assert!(has_everything(&queue, &expected) > 500);
    goes_on(&queue, &expected);
    let closed = queue.close();
    assert!(closed.is_clean(), "{closed}");
    let queue = open(disk);
    let report = queue.report();
    assert!(report.is_clean() && report.adopted.is_empty(), "{report}");
    for (partition, batches) in &expected {
        let mut found = consume(&queue, partition, IsolationLevel::ReadUncommitted);
        if !is_internal(partition) {
            let new = found.pop().unwrap();
            assert_eq!((&new[2], &new[3]), (&json!("new"), &json!("new")), "{partition}");
        }
        assert_eq!(found, due(batches, IsolationLevel::ReadUncommitted, start(&queue, partition)), "{partition}");
    }
    assert!(queue.close().is_clean());
}

#[test]
fn a_directory_that_kafka_closed_is_a_queue_with_its_topics_settings_and_records() {
    let disk = golden("kafka-4.3/clean", &[]);
    let queue = open(&disk);
    let report = queue.report();
    assert!(is_whole(report) && report.adopted.is_empty(), "{report}");
    assert_eq!((report.cluster_id.as_str(), report.node.get()), ("AAAAAAAAQACAAAAAAAAAAQ", 1));
    let set = [
        ("segments", "retention.ms", "-1"),
        ("segments", "index.interval.bytes", "512"),
        ("append-time", "message.timestamp.type", "LogAppendTime"),
        ("recompressed", "compression.type", "gzip"),
        ("compacted", "cleanup.policy", "compact"),
        ("compacted", "max.compaction.lag.ms", "1000"),
        ("__consumer_offsets", "segment.bytes", "104857600"),
    ];
    for (topic, key, value) in set {
        assert_eq!(settings(&queue, topic).get(key).map(String::as_str), Some(value), "{key} of {topic}");
    }
    assert_eq!(settings(&queue, "grouped"), BTreeMap::new());
    assert_eq!(start(&queue, &TopicPartition::parse("segments-1").unwrap()), 77);
    whole_life("kafka-4.3/clean", &disk, queue);
}

#[test]
fn a_directory_without_metadata_is_adopted_by_its_partitions_and_the_report_says_so() {
    let disk = golden("kafka-4.3/clean", &METADATA);
    let queue = open(&disk);
    let report = queue.report();
    let adopted: BTreeSet<TopicPartition> = report.adopted.iter().cloned().collect();
    assert_eq!(adopted, expected("kafka-4.3/clean").into_keys().collect(), "{report}");
    assert!(is_whole(report) && report.to_string().contains("segments-1: taken over"), "{report}");
    assert_eq!(start(&queue, &TopicPartition::parse("segments-1").unwrap()), 77);
    whole_life("kafka-4.3/clean", &disk, queue);
}

#[test]
fn a_directory_that_kafka_did_not_close_is_adopted_with_all_that_kafka_would_read_of_it() {
    let disk = golden("kafka-4.3/killed", &[]);
    let queue = open(&disk);
    let report = queue.report();
    assert_eq!(report.adopted.len(), expected("kafka-4.3/killed").len(), "{report}");
    assert!(report.failed.is_empty() && report.unknown.is_empty() && report.not_adopted.is_empty(), "{report}");
    whole_life("kafka-4.3/killed", &disk, queue);
}

#[test]
fn a_directory_from_before_kafka_had_metadata_of_its_own_is_adopted_in_all_formats() {
    let disk = golden("kafka-2.8/clean", &[]);
    let queue = open(&disk);
    let report = queue.report();
    assert_eq!((report.cluster_id.as_str(), report.node.get()), ("pG_azVctTcivsZaq8BODSQ", 1));
    assert_eq!(report.adopted.len(), expected("kafka-2.8/clean").len(), "{report}");
    whole_life("kafka-2.8/clean", &disk, queue);
}

#[test]
fn what_was_adopted_is_kept_until_somebody_says_how_long_it_is_to_be_kept() {
    let disk = golden("kafka-2.8/clean", &[]);
    let queue = open(&disk);
    for topic in queue.topics().unwrap() {
        let settings = settings(&queue, topic.name.as_str());
        assert_eq!(settings.get("retention.ms").map(String::as_str), Some("-1"), "{}", topic.name);
    }
}

#[test]
fn what_belongs_to_nobody_is_told_and_left_alone() {
    let disk = golden("kafka-4.3/clean", &[]);
    let kept = golden("kafka-4.3/clean", &[]).contents();
    let mut contents = kept.clone();
    // As Kafka moves a partition away, as it marks one for deletion, a partition of no topic, and one of an earlier topic.
    let copied = |from: &str, to: &str| -> Vec<(String, Vec<u8>)> {
        let files = kept.iter().filter(|(path, _)| path.starts_with(&format!("{from}/")));
        files.map(|(path, bytes)| (path.replacen(from, to, 1), bytes.clone())).collect()
    };
    let stray = "txn-0.0123456789abcdef0123456789abcdef-stray";
    contents.extend(copied("txn-0", stray));
    contents.extend(copied("txn-1", "nobodys-1"));
    contents.insert("grouped-0/partition.metadata".to_owned(), contents["txn-0/partition.metadata"].clone());
    contents.retain(|path, _| !path.starts_with("codec-gzip-0/"));
    drop(disk);
    let disk = MemDisk::from_contents(&contents);
    let queue = open(&disk);
    let report = queue.report();
    let told = |text: &str| TopicPartition::parse(text).unwrap();
    assert_eq!(report.unknown, [told("nobodys-1")], "{report}");
    let failed: Vec<String> = report.failed.iter().map(|(partition, why)| format!("{partition}: {why}")).collect();
    let is_told = |all: [&str; 2]| failed.iter().any(|told| all.iter().all(|part| told.contains(part)));
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(is_told(["grouped-0", "belong to topic"]), "{failed:?}");
    assert!(is_told(["codec-gzip-0", "its directory is missing, and had records up to offset 123"]), "{failed:?}");
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    producer.send_and_wait(Record::to("grouped").partition(1).value("goes on")).unwrap();
    let expected = expected("kafka-4.3/clean");
    let others =
        expected.into_iter().filter(|(partition, _)| ![told("grouped-0"), told("codec-gzip-0")].contains(partition));
    let others = others.filter(|(partition, _)| *partition != told("grouped-1"));
    assert!(has_everything(&queue, &others.collect()) > 500);
    assert!(queue.close().is_clean());
    let after = disk.contents();
    for (path, bytes) in contents
        .iter()
        .filter(|(path, _)| ["txn-0.", "nobodys-1/", "grouped-0/"].iter().any(|left| path.starts_with(left)))
    {
        assert_eq!(after.get(path), Some(bytes), "{path}");
    }
}

/// What the metadata says of topics: their ids, partitions and settings.
fn told_of_topics(queue: &Queue) -> Vec<Value> {
    let topics = queue.topics().unwrap();
    let told = topics.iter().map(|topic| {
        let numbers: Vec<u32> = topic.partitions.iter().map(|one| one.partition).collect();
        json!([topic.name.as_str(), topic.id.to_string(), numbers, settings(queue, topic.name.as_str())])
    });
    told.collect()
}

#[test]
fn the_metadata_is_the_same_from_the_whole_log_from_a_snapshot_and_the_log_and_from_a_snapshot_alone() {
    let whole = golden("kafka-4.3/snapshots", &[]).contents();
    let only = |keep: &dyn Fn(&str) -> bool| {
        let kept = whole.iter().filter(|(path, _)| keep(path));
        MemDisk::from_contents(&kept.map(|(path, bytes)| (path.clone(), bytes.clone())).collect())
    };
    let is_snapshot = |path: &str| path.ends_with(".checkpoint");
    let expected = told_of_topics(&open(&only(&|path| !is_snapshot(path))));
    assert!(expected.len() > 2 && expected.iter().any(|topic| topic[3] != json!({})), "{expected:?}");
    assert_eq!(told_of_topics(&open(&only(&|_| true))), expected);
    // The newest snapshot may be older than the end of the log: what it stands for is in the one before.
    let newest = whole.keys().filter(|path| is_snapshot(path)).max().unwrap().clone();
    let disk = only(&|path| path == newest);
    let queue = open(&disk);
    let of_snapshot = told_of_topics(&queue);
    assert!(!of_snapshot.is_empty() && of_snapshot.iter().all(|topic| expected.contains(topic)), "{of_snapshot:?}");
    // It goes on behind it, and the snapshot still stands for what is in front.
    queue.create_topic("new", 1, TopicConfig::default()).unwrap();
    let with_new = told_of_topics(&queue);
    assert_eq!(with_new.len(), of_snapshot.len() + 1);
    assert!(queue.close().is_clean());
    assert_eq!(told_of_topics(&open(&disk)), with_new);
}

#[test]
fn a_queue_goes_on_writing_snapshots_behind_those_of_kafka_and_keeps_what_it_does_not_use() {
    let disk = golden("kafka-4.3/snapshots", &[]);
    let checkpoints = |disk: &MemDisk| -> Vec<String> {
        let contents = disk.contents();
        contents.keys().filter(|path| path.ends_with(".checkpoint") && !path.contains("bootstrap")).cloned().collect()
    };
    let theirs = checkpoints(&disk);
    let expected = told_of_topics(&open(&disk));
    let queue = Queue::builder()
        .upkeep_interval(Duration::from_millis(1))
        .metadata_snapshot_bytes(const { NonZeroU64::new(400).unwrap() })
        .open_on(vec![disk.clone()])
        .unwrap();
    let mut count = 0;
    // First theirs are gone, and then the log in front of ours.
    let first = "__cluster_metadata-0/00000000000000000000.log";
    while checkpoints(&disk).iter().any(|path| theirs.contains(path)) || disk.contents().contains_key(first) {
        assert!(count < 1_000, "{:?}", disk.contents().keys());
        queue.create_topic("passing", 1, TopicConfig::default()).unwrap();
        queue.delete_topic("passing").unwrap();
        count += 1;
    }
    assert!(queue.close().is_clean());
    let queue = open(&disk);
    assert!(queue.report().snapshots_unreadable.is_empty(), "{}", queue.report());
    assert_eq!(told_of_topics(&queue), expected);
    drop(queue);
    // Kafka's users, quotas and the like are in what is read back, so that a node that goes on from here has them.
    let newest = checkpoints(&disk).pop().unwrap();
    let read = Snapshot::parse(&Bytes::from(disk.contents()[&newest].clone())).unwrap();
    let before =
        Snapshot::parse(&Bytes::from(golden("kafka-4.3/snapshots", &[]).contents()[theirs.last().unwrap()].clone()));
    let names = |snapshot: &Snapshot| -> BTreeSet<&'static str> {
        snapshot.records.iter().map(|record| record.name()).collect()
    };
    let (read, before) = (names(&read), names(&before.unwrap()));
    assert!(before.is_subset(&read), "{before:?} in {read:?}");
}
