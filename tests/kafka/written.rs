//! Partitions that ottla has written: Kafka's tools find nothing wrong with them, and a broker goes on with them.

use std::fs;
use std::path::Path;

use ottla::disk::{FileDisk, LogFile, OpenOptions};
use ottla::epoch::{LeaderEpoch, ProducerEpoch};
use ottla::id::{ProducerId, TopicPartition};
use ottla::log::{Cleanup, Isolation, LogConfig, MarkerRules};
use ottla::offset::Offset;
use ottla::record::{DecompressLimit, Origin, TransactionMarker, TransactionResult};
use ottla::time::Timestamp;
use serde_json::{Value, json};

use crate::build;
use crate::java::Java;
use crate::node::Node;
use crate::script::{Codec, Words};
use crate::tools;

const START: i64 = 1_600_000_000_000;

/// A log that ottla writes, and the records that a reader of it must get.
struct Writer {
    log: LogFile<FileDisk>,
    now: i64,
    /// By offset: what a consumer of everything gets.
    all: Vec<Value>,
    /// Those of them that count.
    committed: Vec<Value>,
}

impl Writer {
    fn open(folder: &Path, partition: &str, cleanup: Cleanup) -> Self {
        let disk = FileDisk::open(folder).unwrap();
        let config = LogConfig {
            segment_bytes: 1200,
            index_interval_bytes: 200,
            segment_index_bytes: 16_384,
            cleanup,
            retention_ms: None,
            timestamp_after_max_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.1,
            ..LogConfig::default()
        };
        let options = OpenOptions { config, ..OpenOptions::default() };
        let partition = TopicPartition::parse(partition).unwrap();
        let (log, _) = LogFile::open(disk, &partition, options, Timestamp::from_millis(START)).unwrap();
        Self { log, now: START, all: Vec::new(), committed: Vec::new() }
    }

    /// Appends a batch of records with headers, one of them a repeated key.
    fn append(&mut self, codec: Codec, count: usize, producer: Option<(i64, i64)>, transaction: Option<Fate>) {
        self.now += 10;
        let base = self.log.log().log_end_offset().as_i64();
        let records: Vec<Value> = (0..count).map(|index| self.record(base + index as i64)).collect();
        let mut description = json!({ "records": records, "codec": codec.to_string() });
        if let Some((id, sequence)) = producer {
            description["producer_id"] = json!(id);
            description["producer_epoch"] = json!(0);
            description["base_sequence"] = json!(sequence);
        }
        description["transactional"] = json!(transaction.is_some());
        let batch = build::batch(&description, self.now).unwrap();
        self.log.append(Timestamp::from_millis(self.now), &batch).unwrap();
        for (index, record) in records.into_iter().enumerate() {
            let mut read = json!({ "offset": base + index as i64 });
            for field in ["timestamp", "key", "value", "headers"] {
                read[field] = record[field].clone();
            }
            self.all.push(read.clone());
            if transaction != Some(Fate::Aborted) {
                self.committed.push(read);
            }
        }
    }

    fn record(&self, offset: i64) -> Value {
        let value = if offset % 11 == 3 { Value::Null } else { json!("v".repeat((offset % 90) as usize)) };
        let headers = if offset % 5 == 0 { json!([["h", "1"], ["h", null], ["other", ""]]) } else { json!([]) };
        json!({ "key": format!("k{}", offset % 7), "value": value, "timestamp": self.now, "headers": headers })
    }

    fn end(&mut self, producer: i64, result: TransactionResult) {
        let marker = TransactionMarker { result, coordinator_epoch: 0 };
        let id = ProducerId::new(producer).unwrap();
        let batch = marker.to_batch(id, ProducerEpoch::ZERO, Timestamp::from_millis(self.now)).unwrap();
        let now = Timestamp::from_millis(self.now);
        self.log.append_from(now, &batch, Origin::Coordinator, MarkerRules::SameEpoch).unwrap();
    }
}

/// What becomes of a transaction.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Fate {
    Committed,
    Aborted,
}

/// Every codec, an idempotent producer, transactions of two producers that overlap, one aborted; several segments.
fn fill(writer: &mut Writer) {
    for round in 0..6 {
        for codec in Codec::ALL {
            writer.append(*codec, 5, None, None);
        }
        writer.append(Codec::None, 2, Some((7, round * 2)), None);
        writer.append(Codec::Lz4, 3, Some((8, round * 3)), Some(Fate::Committed));
        writer.append(Codec::None, 2, Some((9, round * 2)), Some(Fate::Aborted));
        writer.end(8, TransactionResult::Commit);
        writer.append(Codec::Zstd, 2, None, None);
        writer.end(9, TransactionResult::Abort);
        if round == 3 {
            // No more than the broker will have when it has been stopped and started: its own must not be smaller.
            writer.log.begin_epoch(LeaderEpoch::new(1)).unwrap();
        }
    }
}

/// Closes the log without a word, puts half a batch behind it, and opens it again: the tail is cut.
fn tear_and_repair(mut writer: Writer, folder: &Path, partition: &str) -> Writer {
    writer.log.flush().unwrap();
    let (active, end) = (writer.log.log().active_segment().base_offset, writer.log.log().log_end_offset());
    let Writer { log, now, all, committed } = writer;
    drop(log);
    let path = folder.join(partition).join(format!("{:020}.log", active.get()));
    let mut bytes = fs::read(&path).unwrap();
    let batch = build::batch(&json!({ "records": [{ "key": "torn", "timestamp": now, "headers": [] }] }), now).unwrap();
    bytes.extend_from_slice(&batch.stamped(end, None).unwrap().to_bytes()[..50]);
    fs::write(&path, bytes).unwrap();
    let opened = Writer::open(folder, partition, Cleanup::Delete);
    assert_eq!(opened.log.log().log_end_offset(), end, "the torn tail is cut, and nothing else");
    Writer { now, all, committed, ..opened }
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn dump_log_segments_finds_nothing_wrong_with_what_we_write() {
    let java = Java::ready();
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), "t-0", Cleanup::Delete);
    fill(&mut writer);
    let mut writer = tear_and_repair(writer, folder.path(), "t-0");
    writer.append(Codec::Gzip, 4, None, None);
    assert!(writer.log.log().segments().count() > 3);
    writer.log.close().unwrap();
    assert_eq!(tools::dump_log_segments(&java, &folder.path().join("t-0")), 6 * 11 + 1);

    let mut compacted = Writer::open(folder.path(), "c-0", Cleanup::Compact);
    fill(&mut compacted);
    compacted.log.roll(Timestamp::from_millis(compacted.now)).unwrap();
    let report = compacted.log.compact(Timestamp::from_millis(compacted.now)).unwrap();
    assert!(report.records_after < report.records_before, "{report:?}");
    compacted.append(Codec::Snappy, 3, None, None);
    compacted.log.close().unwrap();
    assert!(tools::dump_log_segments(&java, &folder.path().join("c-0")) > 3);
    drop(java);
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn a_broker_serves_what_we_write_and_goes_on_and_we_go_on_behind_it() {
    let java = Java::ready();
    let root = tempfile::tempdir().unwrap();
    let theirs = root.path().join("broker");
    let mut node = Node::start(&java, &theirs);
    let small = json!({ "retention.ms": "-1", "index.interval.bytes": "200" });
    node.create_topic("t", small);
    node.stop();

    let ours = root.path().join("ours");
    fs::create_dir(&ours).unwrap();
    let mut writer = Writer::open(&ours, "t-0", Cleanup::Delete);
    fill(&mut writer);
    let mut writer = tear_and_repair(writer, &ours, "t-0");
    writer.append(Codec::Lz4, 4, None, None);
    let (end, mut all, committed) = (writer.log.log().log_end_offset(), writer.all.clone(), writer.committed.clone());
    writer.log.close().unwrap();
    put_in_place(&ours.join("t-0"), &theirs.join("t-0"));

    let mut node = Node::start(&java, &theirs);
    same(&node.consume("t", "read_uncommitted"), &all);
    same(&node.consume("t", "read_committed"), &committed);
    let new = node.produce("t", &["one", "two", "three"]);
    assert_eq!(new, [0, 1, 2].map(|count| end.as_i64() + count));
    all.extend(node.consume("t", "read_uncommitted").split_off(all.len()));
    node.stop();

    let mut again = Writer::open(&theirs, "t-0", Cleanup::Delete);
    same(&records(&mut again.log), &all);
    again.append(Codec::None, 1, None, None);
    again.log.close().unwrap();
}

fn same(found: &[Value], expected: &[Value]) {
    let parting = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert!(parting.is_none(), "{parting:?}");
    assert_eq!(found.len(), expected.len());
}

/// Puts the files of one partition in the place of another's, which keeps the topic's id.
fn put_in_place(from: &Path, to: &Path) {
    for entry in fs::read_dir(to).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "partition.metadata") {
            fs::remove_file(path).unwrap();
        }
    }
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "partition.metadata") {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Every record of the log, as a consumer would tell of it.
fn records(log: &mut LogFile<FileDisk>) -> Vec<Value> {
    let mut found = Vec::new();
    let mut from = log.log().log_start_offset();
    while from < log.log().log_end_offset() {
        let fetched = log.read(from, 1 << 20, Isolation::LogEnd).unwrap();
        for entry in &fetched.batches {
            for record in entry.records(DecompressLimit::default()).unwrap().iter().filter(|_| !entry.is_control()) {
                let record = record.unwrap();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers: Vec<_> =
                    record.headers.iter().map(|(name, value)| json!([name, value.map(text)])).collect();
                found.push(json!({
                    "offset": record.offset.get(), "timestamp": record.timestamp.as_millis(),
                    "key": record.key.map(text), "value": record.value.map(text), "headers": headers,
                }));
            }
        }
        from = fetched.batches.last().map_or(Offset::MAX, |entry| entry.next_offset());
    }
    found
}
