//! Kafka's cleaner beside ours: the same random logs, compacted in rounds, byte for byte.
//!
//! Batches of plain, idempotent and transactional producers, tombstones, records without a key, markers, several
//! segments; between the rounds more is appended and time goes on, so that horizons pass. `OTTLA_ORACLE_SEED` is the
//! first seed, `OTTLA_ORACLE_SEEDS` how many.
//!
//! Meant to differ, and so left out: a compaction that goes on in the middle of a segment (its map was full before) shows
//! Kafka's first pass the aborted transactions in front of where it begins too, but not their markers. It takes the next
//! committed ones of those producers for aborted, does not map their keys, and so keeps what they replace; once a
//! tombstone among them goes, what it deleted is back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use ottla::disk::{FileDisk, LogFile, OpenOptions};
use ottla::id::TopicPartition;
use ottla::log::{Cleanup, LogConfig, MarkerRules};
use ottla::record::{self, Batch};
use ottla::time::Timestamp;
use serde_json::{Value, json};

use crate::java::Java;
use crate::kafka_log::{decode_base64, encode_base64};
use crate::oracle::Oracle;
use crate::rng::Rng;

const START: i64 = 1_600_000_000_000;
/// `delete.retention.ms` of every log here.
const RETENTION_MS: i64 = 10_000;

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn compacted_logs_are_kafkas_to_the_byte() {
    let java = Java::ready();
    let mut oracle = Oracle::start(&java);
    let from = number("OTTLA_ORACLE_SEED", 1);
    let mut changed = 0;
    for seed in from..from + number("OTTLA_ORACLE_SEEDS", 60) {
        let folder = tempfile::tempdir().unwrap();
        changed += Pair::new(&mut oracle, seed, folder.path()).run();
    }
    assert!(changed > 0, "no compaction changed anything");
    eprintln!("{changed} compactions left less than they found");
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// One log of Kafka's and one of ours.
struct Pair<'a> {
    oracle: &'a mut Oracle,
    name: String,
    seed: u64,
    rng: Rng,
    now: i64,
    folder: &'a Path,
    ours: LogFile<FileDisk>,
    producers: BTreeMap<i64, Writer>,
    codec: &'static str,
    map_bytes: usize,
}

/// What a producer has done.
#[derive(Clone, Copy, Debug, Default)]
struct Writer {
    epoch: i64,
    sequence: i64,
    is_open: bool,
}

impl<'a> Pair<'a> {
    fn new(oracle: &'a mut Oracle, seed: u64, folder: &'a Path) -> Self {
        let mut rng = Rng::new(seed);
        let interval = rng.pick(&[0, 100, 4096]);
        let segment_bytes = rng.pick(&[500, 1500, 4000]);
        let append_time = rng.chance(20);
        let config = json!({
            "segment.bytes": segment_bytes, "index.interval.bytes": interval, "cleanup.policy": "compact",
            "delete.retention.ms": RETENTION_MS, "min.cleanable.dirty.ratio": 0.0, "file.delete.delay.ms": 0,
            "message.timestamp.type": if append_time { "LogAppendTime" } else { "CreateTime" },
        });
        let name = format!("compacted {seed}");
        let theirs = folder.join("kafka");
        oracle.told(
            "open",
            json!({ "log": name, "now": START, "dir": theirs.display().to_string(), "config": config, "scheduler": "at_once" }),
        );
        fs::create_dir(folder.join("ottla")).unwrap();
        // One in a few maps is too small for all the keys there are.
        let map_bytes = rng.pick(&[24 * 6, 24 * 12, 1 << 20, 1 << 20]);
        let options = OpenOptions {
            config: LogConfig {
                segment_bytes,
                index_interval_bytes: interval,
                cleanup: Cleanup::Compact,
                delete_retention_ms: RETENTION_MS as u64,
                min_cleanable_dirty_ratio: 0.0,
                timestamp_type: if append_time {
                    record::TimestampType::LogAppendTime
                } else {
                    record::TimestampType::CreateTime
                },
                ..LogConfig::default()
            },
            compaction_map_bytes: map_bytes,
            ..OpenOptions::default()
        };
        let disk = FileDisk::open(folder.join("ottla")).unwrap();
        let partition = TopicPartition::parse("t-0").unwrap();
        let (ours, _) = LogFile::open(disk, &partition, options, Timestamp::from_millis(START)).unwrap();
        let codec = rng.pick(&["none", "none", "none", "gzip"]);
        Self { oracle, name, seed, rng, now: START, folder, ours, producers: BTreeMap::new(), codec, map_bytes }
    }

    fn run(mut self) -> u64 {
        let mut changed = 0;
        // What is rewritten compressed has another size in Kafka, so only the first round begins alike.
        let rounds = if self.codec == "none" { self.rng.within(2, 5) } else { 1 };
        for round in 0..rounds {
            for _ in 0..self.rng.within(5, 40) {
                self.step();
            }
            let at = format!("seed {} round {round}", self.seed);
            self.now += self.rng.pick(&[1, RETENTION_MS / 2, RETENTION_MS, RETENTION_MS + 1]);
            changed += u64::from(self.compact(&at));
            self.compare(&at);
        }
        self.ask("close", json!({}));
        changed
    }

    fn step(&mut self) {
        self.now += self.rng.within(0, 500);
        match self.rng.weighted(&[60, 20, 12]) {
            0 => self.append_records(),
            1 => self.end_transaction(),
            _ => {
                self.ask("roll", json!({}));
                self.ours.roll(Timestamp::from_millis(self.now)).unwrap();
            }
        }
    }

    fn append_records(&mut self) {
        let records: Vec<Value> = (0..self.rng.within(1, 4)).map(|_| self.record()).collect();
        let count = records.len() as i64;
        let mut description = json!({ "records": records, "codec": self.codec });
        if self.rng.chance(70) {
            let id = self.rng.within(1, 4);
            let transactional = id <= 2 && !self.has_small_map();
            let writer = self.producers.entry(id).or_default();
            if self.rng.chance(10) && !writer.is_open {
                *writer = Writer { epoch: writer.epoch + 1, ..Writer::default() };
            }
            description["producer_id"] = json!(id);
            description["producer_epoch"] = json!(writer.epoch);
            description["base_sequence"] = json!(writer.sequence);
            description["transactional"] = json!(transactional);
            writer.sequence += count;
            writer.is_open |= transactional;
        }
        let made = self.ask("make_batch", description);
        self.append(&made, "client");
    }

    fn has_small_map(&self) -> bool {
        self.map_bytes < 1 << 20
    }

    fn record(&mut self) -> Value {
        // The policy refuses records without a key, so none is made here.
        let key = format!("key {}", self.rng.below(12));
        let long = "x".repeat(self.rng.below(60) as usize);
        let value = if self.rng.chance(25) { Value::Null } else { json!(format!("{} {long}", self.rng.below(1000))) };
        let headers = if self.rng.chance(20) { json!([["h", "v"], ["n", null]]) } else { json!([]) };
        json!({ "key": key, "value": value, "headers": headers, "timestamp": self.now - self.rng.within(0, 50) })
    }

    fn end_transaction(&mut self) {
        let id = if self.has_small_map() { 0 } else { self.rng.within(1, 2) };
        let Some(writer) = self.producers.get_mut(&id) else { return };
        if !writer.is_open && self.rng.chance(80) {
            return;
        }
        writer.is_open = false;
        let epoch = writer.epoch;
        let kind = if self.rng.chance(50) { "commit" } else { "abort" };
        let marker = json!({
            "type": kind, "producer_id": id, "producer_epoch": epoch, "coordinator_epoch": 0, "timestamp": self.now,
        });
        let made = self.ask("make_marker", marker);
        self.append(&made, "coordinator");
    }

    fn append(&mut self, made: &Value, origin: &str) {
        let bytes = decode_base64(made["batches"].as_str().unwrap());
        self.ask("append_leader", json!({ "batches": encode_base64(&bytes), "leader_epoch": 0, "origin": origin }));
        let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
        let now = Timestamp::from_millis(self.now);
        match origin {
            "client" => self.ours.append(now, &batch).unwrap(),
            _ => self.ours.append_from(now, &batch, record::Origin::Coordinator, MarkerRules::SameEpoch).unwrap(),
        };
        let end = self.ask("state", json!({ "brief": true }))["log_end"].clone();
        self.ask("maybe_increment_high_watermark", json!({ "to": end }));
    }

    /// Compacts both. Answers whether that left less than there was.
    fn compact(&mut self, at: &str) -> bool {
        let theirs =
            self.ask("clean", json!({ "force": self.rng.clone().chance(50), "dedupe_buffer": self.map_bytes }));
        let force = self.rng.chance(50);
        let now = Timestamp::from_millis(self.now);
        let ours = if force { self.ours.compact_anyway(now) } else { self.ours.compact(now) }.unwrap();
        assert_eq!(theirs["cleaned"], json!(ours.range.is_some()), "{at}: {theirs} {ours:?}");
        let Some(range) = &ours.range else { return false };
        let int = |field: &str| theirs[field].as_u64().unwrap();
        assert_eq!((int("first_dirty"), int("end")), (range.start.get(), range.end.get()), "{at}: {theirs} {ours:?}");
        if self.codec == "none" {
            let bytes = (int("bytes_read"), int("bytes_written"));
            assert_eq!(bytes, (ours.bytes_before, ours.bytes_after), "{at}: {theirs} {ours:?}");
        }
        assert_eq!(int("messages_written"), ours.records_after, "{at}: {theirs} {ours:?}");
        ours.bytes_after < ours.bytes_before
    }

    fn compare(&self, at: &str) {
        let theirs = files(&self.folder.join("kafka"));
        let ours = files(&self.folder.join("ottla"));
        let names: Vec<&String> = theirs.keys().collect();
        assert_eq!(names, ours.keys().collect::<Vec<_>>(), "{at}");
        for (name, theirs) in &theirs {
            let ours = &ours[name];
            if self.codec != "none" && name != "checkpoint" {
                // Another library compresses to other bytes, and so to other places.
                assert_eq!(outline(name, theirs), outline(name, ours), "{at}: {name}");
                continue;
            }
            let differ = theirs.iter().zip(ours).position(|(theirs, ours)| theirs != ours);
            assert_eq!(theirs, ours, "{at}: {name} differs at {differ:?}");
        }
    }

    fn ask(&mut self, op: &str, mut fields: Value) -> Value {
        fields["log"] = json!(self.name);
        fields["now"] = json!(self.now);
        self.oracle.told(op, fields)
    }
}

/// What the batches of a segment say, but for how long they are, compressed.
fn outline(name: &str, bytes: &[u8]) -> Vec<String> {
    let mut rest = Bytes::copy_from_slice(if name.ends_with(".log") { bytes } else { &[] });
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let batch = Batch::parse(&rest).unwrap();
        rest = rest.slice(batch.size() as usize..);
        let header = record::Header { batch_length: 0, crc: 0, ..*batch.header() };
        let records = batch.records(record::DecompressLimit::default()).unwrap();
        let records: Vec<_> = records.iter().map(Result::unwrap).collect();
        batches.push(format!("{header:?} {records:?}"));
    }
    batches
}

/// The checkpoint of the cleaner, and all files of the sealed segments.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let directory = folder.join("t-0");
    let names = || fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let active = names().filter(|name| name.ends_with(".log")).max().unwrap_or_default();
    let sealed = names().filter(|name| {
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        name[..20.min(name.len())] < active[..20] && ["log", "index", "timeindex", "txnindex"].contains(&kind)
    });
    let mut files: BTreeMap<String, Vec<u8>> = sealed
        .map(|name| (name.clone(), fs::read(directory.join(&name)).unwrap()))
        .filter(|(name, bytes)| !name.ends_with(".txnindex") || !bytes.is_empty())
        .collect();
    let checkpoint = folder.join("cleaner-offset-checkpoint");
    files.insert("checkpoint".to_owned(), fs::read(checkpoint).unwrap_or_default());
    files
}
