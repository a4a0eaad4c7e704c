//! Log directories that real Kafka brokers wrote, opened as they are: clean, and as `kill -9` left them.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; the golden directories are files of the project"
)]

#[path = "support/golden.rs"]
mod golden;

use ottla::disk::{LogFile, MemDisk, OpenOptions, OverlayDisk, RecoveryReport, Shutdown};
use ottla::id::TopicPartition;
use ottla::log::{Isolation, LogConfig};
use ottla::offset::Offset;
use ottla::record::DecompressLimit;
use ottla::time::Timestamp;
use serde_json::Value;

use golden::golden;

const NOW: Timestamp = Timestamp::from_millis(1_795_330_000_000);

/// What Kafka's reader says of a partition: a line for each batch.
fn expected(name: &str, partition: &TopicPartition) -> Vec<Value> {
    let path = format!("{}/tests/golden/{name}.expected/{partition}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn partitions(disk: &MemDisk) -> Vec<TopicPartition> {
    let mut names: Vec<TopicPartition> =
        disk.contents().keys().filter_map(|path| TopicPartition::parse(path.split_once('/')?.0).ok()).collect();
    names.dedup();
    names
}

/// Keeps all: the records of these directories are years old.
fn options() -> OpenOptions {
    let config = LogConfig { retention_ms: None, tail_cache_bytes: 0, ..LogConfig::default() };
    OpenOptions { config, ..OpenOptions::default() }
}

/// Every batch and record at or above the log start is served as Kafka's reader sees it. Answers how many records.
fn reads_fully<D: ottla::disk::Disk>(log: &mut LogFile<D>, expected: &[Value], report: &RecoveryReport) -> usize {
    let start = log.log().log_start_offset();
    let mut wanted = expected.iter().filter(|line| line["last_offset"].as_u64().unwrap() >= start.get());
    let (mut from, mut records) = (start, 0);
    loop {
        let fetched = log.read(from, 4096, Isolation::LogEnd).unwrap_or_else(|error| panic!("{report}: {error}"));
        let Some(last) = fetched.batches.last() else { break };
        for entry in &fetched.batches {
            let line = wanted.next().unwrap_or_else(|| panic!("{report}: more than Kafka sees"));
            assert_eq!(entry.last_offset().get(), line["last_offset"].as_u64().unwrap(), "{report}");
            let found: Vec<u64> = entry
                .records(DecompressLimit::default())
                .unwrap()
                .iter()
                .map(|record| record.unwrap().offset.get())
                .collect();
            let due: Vec<u64> =
                line["records"].as_array().unwrap().iter().map(|record| record["offset"].as_u64().unwrap()).collect();
            assert_eq!(found, due, "{report}");
            records += found.len();
        }
        from = last.next_offset();
    }
    assert_eq!(wanted.next(), None, "{report}: less than Kafka sees");
    records
}

fn open_all(name: &str, shutdown: Shutdown) {
    let disk = golden(name, &[]);
    let mut total = 0;
    for partition in partitions(&disk) {
        let expected = expected(name, &partition);
        let before = disk.digest();
        let overlay = OverlayDisk::new(disk.clone());
        let (mut log, report) = LogFile::open(overlay, &partition, options(), NOW).unwrap();
        assert_eq!(disk.digest(), before, "{report}: a look has written something");
        assert_eq!(report.shutdown, shutdown, "{report}");
        assert!(report.corrupt.is_empty() && report.torn.is_none(), "{report}");
        total += reads_fully(&mut log, &expected, &report);
    }
    assert!(total > 500, "{total} records");
    // And once for good: written to, closed, and opened again.
    for partition in partitions(&disk) {
        let (log, _) = LogFile::open(disk.clone(), &partition, options(), NOW).unwrap();
        let end = log.log().log_end_offset();
        drop(log.close().unwrap());
        let (mut log, report) = LogFile::open(disk.clone(), &partition, options(), NOW).unwrap();
        assert_eq!(log.log().log_end_offset(), end, "{report}");
        reads_fully(&mut log, &expected(name, &partition), &report);
    }
}

#[test]
fn every_partition_of_kafka_4_3_that_was_closed_opens_and_reads_fully() {
    open_all("kafka-4.3/clean", Shutdown::Clean);
}

#[test]
fn every_partition_of_kafka_4_3_that_was_killed_opens_and_reads_fully() {
    open_all("kafka-4.3/killed", Shutdown::Unclean);
}

#[test]
fn every_partition_of_kafka_2_8_opens_and_reads_fully() {
    open_all("kafka-2.8/clean", Shutdown::Clean);
}

#[test]
fn the_log_start_that_kafka_noted_is_kept() {
    let disk = golden("kafka-4.3/clean", &[]);
    let partition = TopicPartition::parse("segments-1").unwrap();
    let (log, _) = LogFile::open(disk, &partition, options(), NOW).unwrap();
    assert_eq!(log.log().log_start_offset(), Offset::new(77));
}
