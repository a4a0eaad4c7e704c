//! A directory that Kafka has had since we closed it, and a flushed mark that rots.
//!
//! Kafka is played by what it leaves: files that are gone or shorter, its checkpoints, and its clean-shutdown file, which
//! names a broker epoch.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;

use ottla::disk::{LogFile, MARKS_FILE, MemDisk, OpenError, OpenOptions, RecoveryReport};
use ottla::id::TopicPartition;
use ottla::log::{Cleanup, LogConfig};
use ottla::offset::Offset;
use ottla::record::{Batch, BatchBuilder, Codec, NewRecord};
use ottla::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const CLEAN: &str = ".kafka_cleanshutdown";
const CLOSED_BY_KAFKA: &[u8] = b"{\"version\":0,\"brokerEpoch\":194}";

type Contents = BTreeMap<String, Vec<u8>>;

fn batch(key: &str, value: &str) -> Batch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&NewRecord::new(NOW, Some(key.as_bytes()), Some(value.as_bytes()))).unwrap();
    builder.build().unwrap()
}

fn options() -> OpenOptions {
    let config = LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 100,
        tail_cache_bytes: 0,
        retention_bytes: Some(1500),
        retention_ms: None,
        ..LogConfig::default()
    };
    OpenOptions { config, ..OpenOptions::default() }
}

fn open(disk: &MemDisk, partition: &str) -> Result<(LogFile<MemDisk>, RecoveryReport), OpenError> {
    LogFile::open(disk.clone(), &TopicPartition::parse(partition).unwrap(), options(), NOW)
}

/// `a-0` and `b-0` with 40 records each, closed by us.
fn two_closed() -> Contents {
    let disk = MemDisk::new();
    for partition in ["a-0", "b-0"] {
        let (mut log, _) = open(&disk, partition).unwrap();
        for number in 0..40 {
            log.append(NOW, &batch("k", &format!("value {number}"))).unwrap();
        }
        log.close().unwrap();
    }
    disk.contents()
}

/// The base offsets of the segments of `b-0`.
fn bases(contents: &Contents) -> Vec<u64> {
    contents.keys().filter_map(|name| name.strip_prefix("b-0/")?.strip_suffix(".log")?.parse().ok()).collect()
}

fn closed_by_kafka(mut contents: Contents) -> MemDisk {
    contents.insert(CLEAN.to_owned(), CLOSED_BY_KAFKA.to_vec());
    MemDisk::from_contents(&contents)
}

/// Kafka's retention takes the first three segments; our files of sums stay behind.
fn let_go_by_kafka() -> MemDisk {
    let mut contents = two_closed();
    let bases = bases(&contents);
    for gone in &bases[..3] {
        for kind in ["log", "index", "timeindex", "snapshot"] {
            contents.remove(&format!("b-0/{gone:020}.{kind}"));
        }
    }
    let start = format!("0\n1\nb 0 {}\n", bases[3]);
    contents.insert("log-start-offset-checkpoint".to_owned(), start.into_bytes());
    closed_by_kafka(contents)
}

/// Kafka's compaction leaves of the second segment its last batch alone.
fn compacted_by_kafka() -> MemDisk {
    let mut contents = two_closed();
    let second = bases(&contents)[1];
    let log = contents.get_mut(&format!("b-0/{second:020}.log")).unwrap();
    let (mut at, mut last) = (0, 0);
    while at < log.len() {
        last = at;
        at += 12 + u32::from_be_bytes(log[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    log.drain(..last);
    contents.insert(format!("b-0/{second:020}.index"), Vec::new());
    closed_by_kafka(contents)
}

#[test]
fn what_kafka_let_go_or_compacted_is_not_missed() {
    for disk in [let_go_by_kafka(), compacted_by_kafka()] {
        let (log, report) = open(&disk, "b-0").unwrap();
        assert!(report.corrupt.is_empty(), "{report}");
        assert_eq!(log.log().log_end_offset(), Offset::new(40));
    }
}

#[test]
fn without_our_marks_what_kafka_changed_before_it_was_killed_is_not_missed() {
    for disk in [let_go_by_kafka(), compacted_by_kafka()] {
        let mut contents = disk.contents();
        contents.remove(CLEAN);
        contents.remove(MARKS_FILE);
        let (log, report) = open(&MemDisk::from_contents(&contents), "b-0").unwrap();
        assert!(report.corrupt.is_empty(), "{report}");
        assert_eq!(log.log().log_end_offset(), Offset::new(40));
    }
}

#[test]
fn a_log_that_we_open_and_close_beside_it_does_not_make_kafkas_log_ours() {
    for disk in [let_go_by_kafka(), compacted_by_kafka()] {
        open(&disk, "a-0").unwrap().0.close().unwrap();
        let (log, report) = open(&disk, "b-0").unwrap();
        assert!(report.corrupt.is_empty(), "{report}");
        assert_eq!(log.log().log_end_offset(), Offset::new(40));
    }
}

#[test]
fn a_topic_that_kafka_has_deleted_begins_anew() {
    let mut contents = two_closed();
    contents.retain(|name, _| !name.starts_with("b-0/"));
    contents.insert("recovery-point-offset-checkpoint".to_owned(), b"0\n1\na 0 40\n".to_vec());
    let (log, _) = open(&closed_by_kafka(contents), "b-0").unwrap();
    assert_eq!(log.log().log_end_offset(), Offset::ZERO);
}

/// Opens with each copy of the mark damaged in turn: the log is the same.
fn with_either_copy_rotten(disk: &MemDisk, options: &OpenOptions, end: Offset) {
    let good = disk.contents();
    for copy in 0..2 {
        let mut contents = good.clone();
        contents.get_mut(MARKS_FILE).unwrap()[copy * 4096 + 100] ^= 1;
        let disk = MemDisk::from_contents(&contents);
        let partition = TopicPartition::parse("b-0").unwrap();
        let opened = LogFile::open(disk, &partition, options.clone(), NOW);
        let (log, report) = opened.unwrap_or_else(|error| panic!("copy {copy}: {error}"));
        assert!(report.corrupt.is_empty(), "copy {copy}: {report}");
        assert_eq!(log.log().log_end_offset(), end, "copy {copy}");
    }
}

#[test]
fn a_mark_that_rots_behind_retention_costs_nothing() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk, "b-0").unwrap();
    for number in 0..60 {
        log.append(NOW, &batch("k", &format!("value {number}"))).unwrap();
        log.flush().unwrap();
        if number % 30 == 29 {
            assert!(!log.retain(NOW).unwrap().is_empty());
        }
    }
    drop(log);
    disk.kill();
    with_either_copy_rotten(&disk, &options(), Offset::new(60));
}

#[test]
fn a_mark_that_rots_behind_compactions_costs_nothing() {
    let mut options = options();
    let config = &mut options.config;
    (config.cleanup, config.retention_bytes, config.segment_bytes) = (Cleanup::Compact, None, 4000);
    let (disk, partition) = (MemDisk::new(), TopicPartition::parse("b-0").unwrap());
    let (mut log, _) = LogFile::open(disk.clone(), &partition, options.clone(), NOW).unwrap();
    for round in 0..8 {
        for number in 0..5 {
            log.append(NOW, &batch("k", &format!("value {round} {number}"))).unwrap();
            log.flush().unwrap();
        }
        // Every other segment is only rolled behind the compaction, so that the older copy of the mark names one that the
        // next compaction makes a part of another.
        if round % 2 == 0 {
            log.compact_anyway(NOW).unwrap();
        } else {
            log.roll(NOW).unwrap();
        }
    }
    log.append(NOW, &batch("k", "last")).unwrap();
    log.flush().unwrap();
    log.compact_anyway(NOW).unwrap();
    drop(log);
    disk.kill();
    with_either_copy_rotten(&disk, &options, Offset::new(41));
}
