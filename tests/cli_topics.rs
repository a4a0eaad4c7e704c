//! `ottla topics` and `ottla stat`, as a user runs them: on what Kafka left, and beside a live queue.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "log directories are files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ottla::Queue;
use ottla::message::TopicConfig;
use ottla::queue::{ProducerConfig, Record};
use serde_json::Value;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// The exit code, standard output and standard error of a command on a directory.
fn run(command: &str, dir: &Path, more: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_ottla")).arg(command).arg(dir).args(more).output().unwrap();
    let [out, err] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (done.status.code().unwrap(), out, err)
}

fn json(command: &str, dir: &Path, more: &[&str]) -> Vec<Value> {
    let (code, out, err) = run(command, dir, &[more, &["--json"]].concat());
    assert_eq!(code, 0, "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where each partition of a golden directory ends, by the last of the batches that Kafka's reader has seen.
fn ends(dir: &str) -> BTreeMap<String, u64> {
    let expected = fs::read_dir(golden(&format!("{dir}.expected"))).unwrap();
    let named = expected.map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("jsonl".as_ref()));
    named
        .map(|path| {
            let lines = fs::read_to_string(&path).unwrap();
            let last = lines.lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let end = last.map_or(0, |batch| batch["last_offset"].as_u64().unwrap() + 1);
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), end)
        })
        .collect()
}

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(from.join(".")).arg(to.path()).status().unwrap();
    assert!(copied.success());
    to
}

/// A queue with a topic of two partitions, and `count` records that are on disk.
fn queue(dir: &Path, count: u32) -> Queue {
    let queue = Queue::open(dir).unwrap();
    let config = TopicConfig::default().with_segment_bytes(20_000);
    queue.create_topic("orders", 2, config).unwrap();
    send(&queue, count);
    queue
}

fn send(queue: &Queue, count: u32) {
    let producer = queue.producer(ProducerConfig::default().batch_bytes(2000)).unwrap();
    let tickets: Vec<_> = (0..count)
        .map(|number| producer.send(Record::to("orders").partition(number % 2).value(vec![b'v'; 100])).unwrap())
        .collect();
    tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
}

#[test]
fn topics_are_those_of_the_metadata_and_their_ends_those_that_kafka_sees() {
    let dir = golden("kafka-4.3/clean");
    let ends = ends("kafka-4.3/clean");
    let listed = json("topics", &dir, &[]);
    let mut seen = 0;
    for topic in &listed {
        let name = topic["topic"].as_str().unwrap();
        assert_eq!(topic["id"].is_string(), name != "__cluster_metadata", "{name}");
        let described = json("topics", &dir, &[name]);
        assert_eq!(described[0], *topic, "described and listed alike");
        assert_eq!(described.len() as u64, 1 + topic["partitions"].as_u64().unwrap());
        for partition in &described[1..] {
            let at = format!("{name}-{}", partition["partition"]);
            assert_eq!(partition["log_end_offset"].as_u64(), ends.get(&at).copied(), "{at}");
            seen += 1;
        }
    }
    assert_eq!(seen, ends.len(), "each partition is listed once");
    let described = json("topics", &dir, &["segments"]);
    assert_eq!(described[2]["log_start_offset"], 77, "it lies inside the second segment");
    assert_eq!(described[0]["configuration"]["index.interval.bytes"], "512", "{}", described[0]);
}

#[test]
fn a_directory_without_metadata_is_listed_by_its_partitions_and_says_so() {
    let dir = golden("kafka-4.3/killed");
    let ends = ends("kafka-4.3/killed");
    let (code, out, err) = run("topics", &dir, &[]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("no metadata"), "{err}");
    assert!(out.lines().any(|line| line.starts_with("codec-gzip ")), "{out}");
    let listed = json("topics", &dir, &[]);
    let partitions: u64 = listed.iter().map(|topic| topic["partitions"].as_u64().unwrap()).sum();
    assert_eq!(partitions, ends.len() as u64);
    assert!(listed.iter().all(|topic| topic["id"].is_null()));
    let grouped = json("topics", &dir, &["grouped"]);
    for partition in &grouped[1..] {
        assert_eq!(partition["log_end_offset"].as_u64().unwrap(), ends[&format!("grouped-{}", partition["partition"])]);
    }
}

#[test]
fn a_snapshot_counts_and_partitions_that_are_elsewhere_are_listed_without_their_logs() {
    let listed = json("topics", &golden("kafka-4.3/snapshots"), &[]);
    let here: Vec<&str> = listed
        .iter()
        .filter(|topic| topic["segments"].as_u64().unwrap() > 0)
        .map(|topic| topic["topic"].as_str().unwrap())
        .collect();
    assert_eq!(here, ["__cluster_metadata"]);
    assert!(listed.len() > 1, "the topics of the metadata are listed too");
    let name = listed[1]["topic"].as_str().unwrap();
    assert!(json("topics", &golden("kafka-4.3/snapshots"), &[name])[1]["log_end_offset"].is_null());
}

#[test]
fn metadata_that_is_damaged_is_told_and_the_partitions_are_listed_all_the_same() {
    let dir = copied(&golden("kafka-4.3/clean"));
    let log = dir.path().join("__cluster_metadata-0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    bytes[300] ^= 1;
    fs::write(&log, &bytes).unwrap();
    for entry in fs::read_dir(log.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() == Some("checkpoint".as_ref()) {
            fs::remove_file(path).unwrap();
        }
    }
    let (code, out, err) = run("topics", dir.path(), &[]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("the metadata cannot be read"), "{err}");
    assert!(out.lines().any(|line| line.starts_with("codec-gzip ")), "{out}");
}

#[test]
fn a_broken_snapshot_is_passed_over_and_told_where_the_log_has_what_it_had() {
    let sound = run("topics", &golden("kafka-4.3/clean"), &[]).1;
    let dir = copied(&golden("kafka-4.3/clean"));
    let broken = dir.path().join("__cluster_metadata-0/00000000000000000004-0000000001.checkpoint");
    fs::write(&broken, b"no snapshot").unwrap();
    let (code, out, err) = run("topics", dir.path(), &[]);
    assert_eq!((code, out), (1, sound), "{err}");
    assert!(err.contains(&broken.display().to_string()), "{err}");
}

#[test]
fn topics_of_a_live_queue_are_as_the_queue_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(dir.path(), 1000);
    let described = json("topics", dir.path(), &["orders"]);
    assert_eq!(described[0]["offsets"], 1000);
    assert_eq!(described[0]["id"], queue.topics().unwrap()[0].id.to_string());
    for partition in &described[1..] {
        assert_eq!((&partition["log_start_offset"], &partition["log_end_offset"]), (&0.into(), &500.into()));
        assert!(partition["segments"].as_u64().unwrap() > 1);
        assert_eq!(partition["leader"], 1);
    }
    let files = fs::read_dir(dir.path().join("orders-0")).unwrap().map(|entry| entry.unwrap());
    let logs = files.filter(|entry| entry.path().extension() == Some("log".as_ref()));
    let bytes: u64 = logs.map(|entry| entry.metadata().unwrap().len()).sum();
    assert_eq!(described[1]["bytes"], bytes);
    let (code, out, err) = run("topics", dir.path(), &["orders"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("segment.bytes = 20000"), "{out}");
    queue.delete_topic("orders").unwrap();
    // It is out of the metadata; its directories go soon after.
    let gone = (0..1000).any(|_| run("topics", dir.path(), &["orders"]).0 == 3);
    assert!(gone, "{}", run("topics", dir.path(), &["orders"]).1);
    // Whoever looked has left the queue alone.
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    send(&queue, 10);
    assert!(queue.close().is_clean());
}

#[test]
fn a_look_has_a_line_and_a_bar_for_each_partition_and_rates_come_with_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(dir.path(), 1000);
    let (code, out, err) = run("stat", dir.path(), &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    let orders = |out: &str| out.lines().filter(|line| line.starts_with("orders-") && line.contains('█')).count();
    assert_eq!(orders(&out), 2, "{out}");
    assert!(out.contains("\n3 partitions, "), "{out}");
    // The interval is nothing, so that nobody sleeps.
    let looks = json("stat", dir.path(), &["--watch", "--count", "2", "--interval-ms", "0"]);
    assert_eq!(looks.len(), 6, "three partitions, twice");
    let first: Vec<_> = looks.iter().filter(|line| line["partition"] == "orders-0").collect();
    for look in &first {
        assert_eq!((&look["log_end_offset"], look["bytes"].as_u64().unwrap() > 50_000), (&500.into(), true));
        assert!(look["disk_bytes"].as_u64().unwrap() > 0);
    }
    assert!(first[0]["records_per_second"].is_null(), "nothing to compare with yet");
    assert_eq!(run("stat", dir.path(), &["--watch", "--count", "1"]).0, 0, "one look needs no waiting");
    drop(queue);
    assert_eq!(run("stat", &dir.path().join("missing"), &[]).0, 3);
    assert_eq!(run("stat", dir.path(), &["--count", "1"]).0, 2, "a count is for watching");
}

#[test]
fn wrong_use_and_missing_things_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run("topics", &dir.path().join("missing"), &[]).0, 3);
    assert_eq!(run("topics", dir.path(), &["no/name"]).0, 2);
    let (code, out, err) = run("topics", dir.path(), &["orders"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.ends_with("there is no topic orders\n"), "{err}");
    assert_eq!(run("topics", dir.path(), &[]).0, 0, "an empty directory has no topics");
}
