//! The small files of the golden directories: what Kafka's own reader says is in them is what the library reads, and
//! what is written again is, byte for byte, what Kafka wrote.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the golden directories are files")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use ottla::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicPartition};
use ottla::log::{
    AbortedTxn, CleanShutdown, CompletedTxn, Content, EpochCache, FileName, Marker, MarkerRules, MetaProperties,
    MetaVersion, OffsetCheckpoint, OffsetIndex, Outcome, PartitionMetadata, ProducerBatch, ProducerEntry,
    ProducerSnapshot, ProducerState, TimeIndex, TxnIndex, UnknownProducer, Verdict,
};
use ottla::offset::Offset;
use ottla::record::{Origin, ProducerStamp};
use ottla::time::Timestamp;
use serde_json::Value;

const INDEX_BYTES_MAX: u32 = 16384;

#[test]
fn indexes_and_snapshots_read_to_what_kafka_prints() {
    let mut lines = 0;
    for partition in partitions() {
        let Ok(expected) = fs::read_to_string(partition.expected("indexes.txt")) else { continue };
        let mut read = String::new();
        for file in expected.lines().filter_map(|line| line.strip_prefix("Dumping ")) {
            writeln!(read, "Dumping {file}").unwrap();
            print(&mut read, file, &partition.dir.parent().unwrap().join(file));
        }
        // What Kafka's reader remarks on entries that name a whole append, or an empty file, is no content.
        let is_content = |line: &&str| {
            ["Dumping ", "offset: ", "timestamp: ", "version: ", "producerId: "].iter().any(|it| line.starts_with(it))
        };
        let expected: Vec<&str> = expected.lines().filter(is_content).filter(|line| !is_space(line)).collect();
        assert_eq!(read.lines().collect::<Vec<_>>(), expected, "{}", partition.dir.display());
        lines += expected.len();
    }
    assert!(lines > 700, "{lines}");
}

/// Of a preallocated index without entries Kafka's reader prints the first slot.
fn is_space(line: &str) -> bool {
    line.starts_with("timestamp: 0 ") || line.ends_with("position: 0")
}

/// Prints a file as Kafka's reader does, and asserts that it would be written again as it is.
fn print(out: &mut String, name: &str, path: &Path) {
    let bytes = fs::read(path).unwrap();
    let base = base_of(path);
    if name.ends_with(".index") {
        let index = OffsetIndex::load_preallocated(base, INDEX_BYTES_MAX, &bytes).unwrap();
        assert!(bytes.starts_with(index.as_bytes()));
        for entry in index.entries() {
            writeln!(out, "offset: {} position: {}", entry.offset, entry.position).unwrap();
        }
    } else if name.ends_with(".timeindex") {
        let index = TimeIndex::load_preallocated(base, INDEX_BYTES_MAX, &bytes).unwrap();
        assert!(bytes.starts_with(index.as_bytes()));
        for entry in index.entries() {
            writeln!(out, "timestamp: {} offset: {}", entry.timestamp, entry.offset).unwrap();
        }
    } else if name.ends_with(".txnindex") {
        let index = TxnIndex::load(base, &bytes).unwrap();
        assert_eq!(index.as_bytes(), bytes);
        for AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset } in index.entries() {
            let offsets = format!("firstOffset: {first_offset} lastOffset: {last_offset}");
            writeln!(out, "version: 0 producerId: {producer_id} {offsets} lastStableOffset: {last_stable_offset}")
                .unwrap();
        }
    } else {
        assert!(name.ends_with(".snapshot"));
        let snapshot = ProducerSnapshot::parse(&bytes).unwrap();
        assert_eq!(ProducerSnapshot::parse(&snapshot.to_bytes()).as_ref(), Ok(&snapshot));
        assert_eq!(snapshot.to_bytes().len(), bytes.len());
        let ids = bytes[10..].chunks(46).map(|entry| i64::from_be_bytes(*entry.first_chunk().unwrap()));
        for id in ids.map(|id| ProducerId::new(id).unwrap()) {
            let (_, entry) = snapshot.entries().find(|(known, _)| *known == id).unwrap();
            print_producer(out, id, entry);
        }
    }
}

fn print_producer(out: &mut String, id: ProducerId, entry: &ProducerEntry) {
    let epoch = entry.epoch().map_or(-1, ProducerEpoch::get);
    let coordinator = entry.coordinator_epoch().map_or(-1, LeaderEpoch::as_i32);
    write!(out, "producerId: {id} producerEpoch: {epoch} coordinatorEpoch: {coordinator} ").unwrap();
    let open = entry.open_transaction().map_or("OptionalLong.empty".to_owned(), |at| format!("OptionalLong[{at}]"));
    write!(out, "currentTxnFirstOffset: {open} lastTimestamp: {}", entry.last_timestamp()).unwrap();
    if let Some(batch) = entry.batches().last() {
        let number = |sequence: Option<Sequence>| sequence.map_or(-1, Sequence::get);
        write!(out, " firstSequence: {} ", number(batch.base_sequence())).unwrap();
        write!(out, "lastSequence: {} lastOffset: {} ", number(batch.last_sequence), batch.last_offset).unwrap();
        write!(out, "offsetDelta: {} timestamp: {}", batch.offset_delta, batch.timestamp).unwrap();
    }
    out.push('\n');
}

#[test]
fn checkpoints_read_and_are_written_again_as_kafka_wrote_them() {
    let mut partitions_seen = 0;
    for root in roots() {
        for name in ["recovery-point", "replication", "log-start", "cleaner"] {
            let bytes = fs::read(root.join(format!("{name}-offset-checkpoint"))).unwrap();
            let read = OffsetCheckpoint::parse(&bytes).unwrap();
            // Kafka's lines are in the order of a hash map.
            let written = if bytes.is_empty() { Vec::new() } else { read.encode() };
            assert_eq!(sorted(&written), sorted(&bytes), "{}, {name}", root.display());
            partitions_seen += read.offsets.len();
        }
        let bytes = fs::read(root.join("meta.properties")).unwrap();
        let meta = MetaProperties::parse(&bytes).unwrap();
        let without_date: Vec<&str> =
            std::str::from_utf8(&bytes).unwrap().lines().filter(|line| !line.starts_with("#Sun")).collect();
        assert_eq!(String::from_utf8(meta.encode()).unwrap().lines().collect::<Vec<_>>(), without_date);
        assert_eq!(meta.version == MetaVersion::V1, meta.directory_id.is_some());
        assert!(meta.other.is_empty());
    }
    assert!(partitions_seen > 50, "{partitions_seen}");
    let clean = |root: &str| {
        let file = fs::read(Path::new("tests/golden").join(root).join("clean/.kafka_cleanshutdown")).ok();
        file.map(|bytes| CleanShutdown::parse(&bytes).broker_epoch)
    };
    assert_eq!(clean("kafka-4.3").flatten(), Some(194));
    assert_eq!(clean("kafka-2.8").flatten(), None);
}

#[test]
fn the_checkpoints_of_a_partition_read_and_are_written_again_as_kafka_wrote_them() {
    let (mut epochs, mut ids) = (0, BTreeSet::new());
    for partition in partitions() {
        if let Ok(bytes) = fs::read(partition.dir.join("leader-epoch-checkpoint")) {
            assert_eq!(EpochCache::parse(&bytes).unwrap().encode(), bytes);
            epochs += 1;
        }
        if let Ok(bytes) = fs::read(partition.dir.join("partition.metadata")) {
            let metadata = PartitionMetadata::parse(&bytes).unwrap();
            assert_eq!(metadata.encode(), bytes);
            ids.insert(metadata.topic_id);
        }
    }
    assert!(epochs > 40, "{epochs}");
    assert!(ids.len() > 10, "{}", ids.len());
}

/// I-S7, I-S8 and the epoch cache: what the batches alone say is what the files beside them say.
#[test]
fn reading_a_log_from_its_start_gives_what_kafka_kept_of_it() {
    let (mut producers, mut aborted) = (0, 0);
    for partition in partitions() {
        let Ok(batches) = fs::read_to_string(partition.expected("jsonl")) else { continue };
        let mut state = ProducerState::new(Offset::ZERO, UnknownProducer::Accept);
        let mut found: Vec<(String, AbortedTxn)> = Vec::new();
        let epochs = partition.epochs();
        for batch in batches.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            producers += partition.compare_snapshot(&state, offset(&batch["base_offset"]));
            if batch["magic"] != 2 {
                state.advance_end(offset(&batch["last_offset"]).advance(1));
                continue;
            }
            if epochs.first().is_some_and(|first| first.start_offset <= offset(&batch["base_offset"])) {
                let epoch = epochs.epoch_for(offset(&batch["base_offset"])).map(LeaderEpoch::as_i32);
                assert_eq!(batch["leader_epoch"], epoch.unwrap(), "{}: {batch}", partition.dir.display());
            }
            let Ok(Verdict::Append(change)) = state.check([facts(&batch)], Origin::Replication) else {
                panic!("{}: {batch}", partition.dir.display());
            };
            let file = batch["file"].as_str().unwrap().replace(".log", ".txnindex");
            found.extend(change.completed().iter().filter_map(CompletedTxn::aborted).map(|txn| (file.clone(), txn)));
            state.apply(change);
        }
        producers += partition.compare_snapshot(&state, state.end());
        let mut kept = partition.kept_aborted();
        aborted += kept.len();
        // Compaction keeps the entry and the marker of a transaction whose records it has taken out.
        let is_compacted = partition.dir.ends_with("compacted-0");
        kept.retain(|entry| !is_compacted || found.contains(entry));
        assert_eq!(found, kept, "{}", partition.dir.display());
    }
    assert!(producers > 20, "{producers}");
    assert!(aborted > 15, "{aborted}");
}

/// The facts of a batch as Kafka's reader prints it.
fn facts(batch: &Value) -> ProducerBatch {
    let number = |field: &str| batch[field].as_i64().unwrap();
    let max_timestamp = Timestamp::from_millis(number("max_timestamp"));
    let marker = batch["records"].get(0).filter(|_| batch["control"] == true).and_then(marker);
    ProducerBatch {
        base_offset: offset(&batch["base_offset"]),
        last_offset: offset(&batch["last_offset"]),
        max_timestamp,
        producer: ProducerId::new(number("producer_id")).map(|id| ProducerStamp {
            id,
            epoch: ProducerEpoch::new(number("producer_epoch") as i16),
            base_sequence: Sequence::new(number("base_sequence") as i32),
        }),
        content: match (marker, batch["control"] == true, batch["transactional"] == true) {
            (Some(marker), ..) => Content::Marker(marker),
            (None, true, _) => Content::OtherControl,
            (None, false, true) => Content::Transactional,
            (None, false, false) => Content::Plain,
        },
    }
}

fn marker(record: &Value) -> Option<Marker> {
    let outcome = match record["key"].as_str()? {
        "\0\0\0\0" => Outcome::Abort,
        "\0\0\0\u{1}" => Outcome::Commit,
        _ => return None,
    };
    let coordinator_epoch = record["value"].as_str()?.as_bytes()[2..].first_chunk().copied()?;
    Some(Marker {
        outcome,
        coordinator_epoch: LeaderEpoch::from_i32(i32::from_be_bytes(coordinator_epoch)),
        timestamp: Timestamp::from_millis(record["timestamp"].as_i64()?),
        rules: MarkerRules::NextEpoch,
    })
}

fn offset(value: &Value) -> Offset {
    Offset::from_i64(value.as_i64().unwrap()).unwrap()
}

/// A partition's directory among the golden ones.
struct Partition {
    dir: PathBuf,
}

impl Partition {
    fn expected(&self, extension: &str) -> PathBuf {
        let root = self.dir.parent().unwrap();
        let name = self.dir.file_name().unwrap().to_str().unwrap();
        root.with_extension("expected").join(format!("{name}.{extension}"))
    }

    /// Compares with the snapshot taken at `end`, if there is one. Kafka's may lack those it has forgotten as idle.
    fn compare_snapshot(&self, state: &ProducerState, end: Offset) -> usize {
        let path = self.dir.join(FileName::Snapshot(end).to_string());
        let Ok(bytes) = fs::read(&path) else { return 0 };
        let theirs = ProducerSnapshot::parse(&bytes).unwrap();
        let ours = ProducerSnapshot::parse(&ProducerSnapshot::encode(state)).unwrap();
        for (id, entry) in theirs.entries() {
            let same = ours.entries().find(|(known, _)| *known == id);
            assert_eq!(same, Some((id, entry)), "{}", path.display());
        }
        let day_of_the_run = Timestamp::from_millis(1_795_328_800_000);
        let mut rest = state.clone();
        rest.expire(day_of_the_run, 86_400_000);
        for (id, _) in rest.entries() {
            assert!(theirs.entries().any(|(known, _)| known == id), "{}: lacks {id}", path.display());
        }
        theirs.entries().len()
    }

    fn kept_aborted(&self) -> Vec<(String, AbortedTxn)> {
        let mut kept = Vec::new();
        for path in files(&self.dir).into_iter().filter(|path| path.extension().is_some_and(|it| it == "txnindex")) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let index = TxnIndex::load(base_of(&path), &fs::read(&path).unwrap()).unwrap();
            kept.extend(index.entries().iter().map(|entry| (name.clone(), *entry)));
        }
        kept
    }

    /// What `leader-epoch-checkpoint` says; a log of old formats has none.
    fn epochs(&self) -> EpochCache {
        fs::read(self.dir.join("leader-epoch-checkpoint"))
            .map_or(EpochCache::new(), |it| EpochCache::parse(&it).unwrap())
    }
}

fn roots() -> Vec<PathBuf> {
    ["kafka-4.3/clean", "kafka-4.3/killed", "kafka-2.8/clean"]
        .map(|root| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(root))
        .to_vec()
}

fn partitions() -> Vec<Partition> {
    let is_partition =
        |path: &PathBuf| path.is_dir() && TopicPartition::parse(path.file_name().unwrap().to_str().unwrap()).is_ok();
    roots().iter().flat_map(|root| files(root)).filter(is_partition).map(|dir| Partition { dir }).collect()
}

/// What lies in a directory, in the order of names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn base_of(path: &Path) -> Offset {
    FileName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap().base_offset().unwrap()
}

fn sorted(bytes: &[u8]) -> Vec<&str> {
    let mut lines: Vec<&str> = std::str::from_utf8(bytes).unwrap().split('\n').collect();
    let head = lines.len().min(2);
    lines[head..].sort_unstable();
    lines
}
