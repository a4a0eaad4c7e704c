//! A Kafka node on the directory of a closed queue serves every record of it; and what the node leaves, the queue opens.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::{OffsetReset, Start};
use ottla::id::TopicPartition;
use ottla::message::{CleanupPolicy, Committed, DeleteBefore, OffsetSpec, TopicConfig};
use ottla::offset::Offset;
use ottla::queue::{ConsumedRecord, ConsumerConfig, ProducerConfig, Record};
use ottla::record::Codec;
use serde_json::{Value, json};

use crate::java::Java;
use crate::node::Node;

const CODECS: [(&str, Codec); 5] = [
    ("none", Codec::None),
    ("gzip", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("zstd", Codec::Zstd),
];

/// Every record of a queue, by partition.
pub type Everything = BTreeMap<TopicPartition, Vec<Value>>;

fn part(text: &str) -> TopicPartition {
    TopicPartition::parse(text).unwrap()
}

/// Topics of every kind, with records in them, and a group that has read some.
pub fn filled(path: &Path) -> Queue {
    let queue = Queue::open(path).unwrap();
    fill(&queue);
    queue
}

fn fill(queue: &Queue) {
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    queue.add_partitions("orders", 3).unwrap();
    send(queue, "orders", Codec::None, 0..300);
    for (name, codec) in CODECS {
        let topic = format!("packed-{name}");
        queue.create_topic(&topic, 2, TopicConfig::default().with_segment_bytes(1 << 20)).unwrap();
        send(queue, &topic, codec, 0..200);
    }
    let latest = TopicConfig::default().with_cleanup_policy(CleanupPolicy::Compact);
    queue.create_topic("latest", 1, latest).unwrap();
    send(queue, "latest", Codec::Zstd, 0..100);
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    producer.send_and_wait(Record::to("latest").key("key 3")).unwrap();
    queue.create_topic("gone", 2, TopicConfig::default()).unwrap();
    send(queue, "gone", Codec::None, 0..10);
    queue.delete_topic("gone").unwrap();
    queue.create_topic("empty", 1, TopicConfig::default()).unwrap();
    queue.delete_records(&part("packed-none-0"), DeleteBefore::Offset(Offset::new(5))).unwrap();
    let mut consumer = queue.consumer(&ConsumerConfig::group("billing")).unwrap();
    let offsets = [("orders-0", 7), ("orders-2", 11)];
    consumer.commit_offsets(offsets.map(|(name, at)| (part(name), Committed::at(Offset::new(at))))).unwrap();
}

/// Sends records with keys, headers and a value each; a tenth has neither key nor header.
fn send(queue: &Queue, topic: &str, codec: Codec, numbers: std::ops::Range<u32>) {
    let producer = queue.producer(ProducerConfig::default().codec(codec)).unwrap();
    for number in numbers {
        let (key, value) =
            (format!("key {}", number % 37), format!("{topic} {number} ").repeat(number as usize % 7 + 1));
        let record = Record::to(topic).value(&value);
        let trace = format!("id-{number}");
        let sent = match number % 10 {
            9 if topic != "latest" => producer.send(record),
            _ => producer
                .send(record.key(&key).header("trace", &trace).header_without_value("nothing").header("trace", "")),
        };
        drop(sent.unwrap());
    }
    producer.flush().unwrap();
}

/// All that consumers get of the application's topics.
pub fn everything(queue: &Queue) -> Everything {
    let mut all = Everything::new();
    for topic in queue.topics().unwrap().iter().filter(|topic| !topic.name.as_str().starts_with("__")) {
        for described in &topic.partitions {
            let partition = TopicPartition::new(topic.name.clone(), described.partition).unwrap();
            all.insert(partition.clone(), records(queue, &partition));
        }
    }
    all
}

fn records(queue: &Queue, partition: &TopicPartition) -> Vec<Value> {
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.assign([(partition.clone(), Start::Find(OffsetSpec::Earliest))]).unwrap();
    let (mut found, mut empty) = (Vec::new(), 0);
    while consumer.lag(partition) != Some(0) {
        let polled = consumer.poll(Duration::from_millis(100)).unwrap();
        empty = if polled.is_empty() { empty + 1 } else { 0 };
        assert!(empty < 300, "{partition}: stuck at {:?}", consumer.position(partition));
        found.extend(polled.iter().map(|record| told(&record)));
    }
    found
}

/// A record as the node tells of one.
fn told(record: &ConsumedRecord<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<Value> = record.headers().iter().map(|(name, value)| json!([name, value.map(text)])).collect();
    json!({
        "offset": record.offset().get(), "timestamp": record.timestamp().as_millis(),
        "key": record.key().map(text), "value": record.value().map(text), "headers": headers,
    })
}

/// The node serves all that the queue had.
fn serves(node: &mut Node, expected: &Everything) {
    let topics = node.topics();
    for (partition, expected) in expected {
        let (topic, number) = (partition.topic().as_str(), partition.partition());
        assert!(topics[topic].as_u64() > Some(number.into()), "{partition} in {topics}");
        for isolation in ["read_uncommitted", "read_committed"] {
            let found = node.consume_of(topic, number, isolation);
            let parting = found.iter().zip(expected).find(|(found, expected)| found != expected);
            assert!(parting.is_none(), "{partition}: {parting:?}");
            assert_eq!(found.len(), expected.len(), "{partition}");
        }
    }
}

fn committed(queue: &Queue, group: &str) -> BTreeMap<String, u64> {
    let mut consumer = queue.consumer(&ConsumerConfig::group(group)).unwrap();
    let asked = ["orders-0", "orders-1", "orders-2"].map(part);
    let found = consumer.committed(asked).unwrap();
    found.into_iter().map(|(partition, committed)| (partition.to_string(), committed.offset.get())).collect()
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

pub fn strays(root: &Path) -> Vec<String> {
    let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with("-stray") || name.ends_with("-delete")).collect()
}

/// There and back: what a node does to a queue's directory, and what the queue makes of that.
fn there_and_back(directory: &Path, expected: &Everything) {
    let java = Java::ready();
    let mut node = Node::start(&java, directory);
    serves(&mut node, expected);
    assert!(node.topics().get("gone").is_none());
    assert_eq!(node.settings("latest"), json!({ "cleanup.policy": "compact" }));
    assert_eq!(node.settings("packed-zstd"), json!({ "segment.bytes": "1048576" }));
    assert_eq!(node.committed("billing"), json!({ "orders-0": 7, "orders-2": 11 }));
    let before = expected[&part("orders-0")].len() as i64;
    assert_eq!(node.produce("orders", &["theirs", "too"]), [before, before + 1]);
    node.commit("billing", "orders", 9);
    node.create_topic("theirs", json!({ "retention.ms": "-1" }));
    node.produce("theirs", &["first"]);
    let all = node.consume("orders", "read_committed");
    node.stop();
    assert_eq!(strays(directory), [""; 0]);

    let queue = Queue::open(directory).unwrap();
    let report = queue.report();
    let is_lost = report.partitions.iter().any(|log| log.torn.is_some() || !log.corrupt.is_empty());
    assert!(report.failed.is_empty() && report.unknown.is_empty() && !is_lost, "{report}");
    let mut after = everything(&queue);
    assert_eq!(after.remove(&part("theirs-0")).unwrap()[0]["value"], "first");
    assert_eq!(after[&part("orders-0")], all);
    after.get_mut(&part("orders-0")).unwrap().truncate(expected[&part("orders-0")].len());
    // Kafka's cleaner may have been at work where only the latest of each key counts.
    let compacted = after.remove(&part("latest-0")).unwrap();
    assert!(compacted.iter().all(|record| expected[&part("latest-0")].contains(record)));
    after.retain(|partition, _| expected.contains_key(partition));
    let untouched = |(partition, _): &(&TopicPartition, &Vec<Value>)| **partition != part("latest-0");
    let expected: BTreeMap<_, _> = expected.iter().filter(untouched).collect();
    assert_eq!(after.iter().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(committed(&queue, "billing"), [("orders-0".to_owned(), 9), ("orders-2".to_owned(), 11)].into());
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    let placed = producer.send_and_wait(Record::to("orders").partition(0).value("ours again")).unwrap();
    assert_eq!(placed.offset, Some(Offset::new(before as u64 + 2)));
    assert!(queue.close().is_clean());
    let queue = Queue::open(directory).unwrap();
    assert!(queue.report().is_clean(), "{}", queue.report());
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn a_node_serves_every_record_of_a_closed_queue_and_the_queue_opens_what_it_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let queue = filled(&ours);
    let expected = everything(&queue);
    assert_eq!(expected.values().map(Vec::len).sum::<usize>(), 300 + 5 * 200 - 5 + 101);
    assert!(queue.close().is_clean());
    copy(&ours, &theirs);
    there_and_back(&theirs, &expected);
    // The queue itself is as it was.
    assert_eq!(everything(&Queue::open(&ours).unwrap()), expected);
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn a_node_serves_every_record_of_a_queue_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let queue = filled(&ours);
    let mut expected = everything(&queue);
    // Kafka notes where a log begins once a minute, and so loses sight of deletions in a kill: of ours too.
    expected.remove(&part("packed-none-0"));
    // As a kill leaves it: nothing is closed yet.
    copy(&ours, &theirs);
    there_and_back(&theirs, &expected);
}

/// One that writes its metadata as a snapshot after every few changes.
fn snapshotting(path: &Path) -> Queue {
    let builder = Queue::builder().directory(path).upkeep_interval(Duration::from_millis(1));
    builder.metadata_snapshot_bytes(const { NonZeroU64::new(2_000).unwrap() }).open().unwrap()
}

/// The names in the directory of the metadata that end so, in order.
fn metadata_files(root: &Path, end: &str) -> Vec<String> {
    let names = fs::read_dir(root.join("__cluster_metadata-0")).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(end));
    names.sort();
    names
}

/// Changes the metadata until the log in front of the newest but one snapshot, a new one, has gone.
fn until_trimmed(queue: &Queue, root: &Path) {
    let before = metadata_files(root, ".checkpoint").pop();
    let first = metadata_files(root, ".log").remove(0);
    let is_over = || {
        let is_new = |name: &&String| Some(*name) > before.as_ref();
        let new = metadata_files(root, ".checkpoint").iter().filter(is_new).count();
        new >= 2 && metadata_files(root, ".log")[0] > first
    };
    for _ in 0..1_000 {
        if is_over() {
            return;
        }
        queue.create_topic("passing", 1, TopicConfig::default()).unwrap();
        queue.delete_topic("passing").unwrap();
    }
    panic!("never trimmed: {:?}", metadata_files(root, ""));
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn a_node_serves_every_record_of_a_queue_whose_metadata_is_a_snapshot_and_the_end_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let queue = snapshotting(&ours);
    fill(&queue);
    until_trimmed(&queue, &ours);
    let expected = everything(&queue);
    assert!(queue.close().is_clean());
    let newest = metadata_files(&ours, ".checkpoint").pop().unwrap();
    assert!(metadata_files(&ours, ".log")[0] > format!("{:020}.log", 0));
    tool_reads(&ours.join("__cluster_metadata-0").join(newest));
    copy(&ours, &theirs);
    there_and_back(&theirs, &expected);

    // The queue goes on writing its own behind what the node has left, and a node goes on from these.
    let queue = snapshotting(&theirs);
    until_trimmed(&queue, &theirs);
    let records = everything(&queue);
    let topics: Vec<String> = queue.topics().unwrap().iter().map(|topic| topic.name.to_string()).collect();
    assert!(queue.close().is_clean());
    let java = Java::ready();
    let mut node = Node::start(&java, &theirs);
    let served = node.topics();
    assert!(topics.iter().all(|topic| served.get(topic).is_some()), "{served} of {topics:?}");
    for (partition, records) in &records {
        let found = node.consume_of(partition.topic().as_str(), partition.partition(), "read_committed");
        // Kafka's cleaner may have been at work where only the latest of each key counts.
        let is_compacted = partition.topic().as_str() == "latest";
        assert!(found == *records || (is_compacted && found.iter().all(|one| records.contains(one))), "{partition}");
    }
    node.stop();
    assert_eq!(strays(&theirs), [""; 0]);
}

/// Kafka's own tool finds the header, what is there, and the footer; and nothing that was deleted.
fn tool_reads(snapshot: &Path) {
    let java = Java::ready();
    let file = snapshot.display().to_string();
    let said = java.output("org.apache.kafka.tools.DumpLogSegments", &["--cluster-metadata-decoder", "--files", &file]);
    for expected in
        ["SnapshotHeader", "SnapshotFooter", "FEATURE_LEVEL_RECORD", "\"name\":\"orders\"", "PARTITION_RECORD"]
    {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
    assert!(!said.contains("\"name\":\"gone\"") && !said.contains("isvalid: false"), "{said}");
}
