//! The golden directories: what Kafka's own readers say is in them is what we read, through the command and through the
//! library.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the golden directories are files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use ottla::log::{OffsetIndex, TimeIndex, TxnIndex};
use ottla::offset::Offset;
use ottla::record::{DecompressLimit, Entry};
use serde_json::{Value, json};

#[test]
fn dump_prints_every_batch_of_every_partition_exactly_as_kafkas_reader_does() {
    for partition in partitions() {
        let logs = partition.files(".log");
        let printed = dump(&logs);
        let expected = partition.expected("jsonl");
        for (number, (ours, theirs)) in printed.lines().zip(expected.lines()).enumerate() {
            assert_eq!(ours, theirs, "{}, line {}", partition.name, number + 1);
        }
        assert_eq!(printed.lines().count(), expected.lines().count(), "{}", partition.name);
    }
}

#[test]
fn the_library_reads_the_records_kafkas_reader_reads() {
    let mut records = 0;
    for partition in partitions() {
        let expected = partition.expected("jsonl");
        let mut expected = expected.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        for log in partition.files(".log") {
            let mut bytes = Bytes::from(fs::read(&log).unwrap());
            while !bytes.is_empty() {
                let entry = Entry::parse(&bytes).unwrap();
                let line = expected.next().unwrap();
                let limit = DecompressLimit::default();
                assert_eq!(line["base_offset"], entry.base_offset(limit).unwrap().get());
                assert_eq!(line["last_offset"], entry.last_offset().get());
                let read = entry.records(limit).unwrap();
                let read: Vec<Value> = read
                    .iter()
                    .map(Result::unwrap)
                    .map(|record| {
                        json!([record.offset.get(), record.timestamp.as_millis(), record.headers.iter().count()])
                    })
                    .collect();
                let theirs: Vec<Value> = line["records"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|record| {
                        json!([record["offset"], record["timestamp"], record["headers"].as_array().unwrap().len()])
                    })
                    .collect();
                assert_eq!(read, theirs, "{}", log.display());
                records += read.len();
                bytes = bytes.slice(entry.size() as usize..);
            }
        }
        assert_eq!(expected.next(), None, "{}", partition.name);
    }
    assert!(records > 5000, "{records}");
}

#[test]
fn indexes_read_to_the_entries_kafka_prints() {
    let mut entries = 0;
    for partition in partitions() {
        for (file, expected) in partition.expected_indexes() {
            let path = partition.dir.join(&file);
            let dumped: Vec<Value> = dump(std::slice::from_ref(&path)).lines().map(entry).collect();
            let unused = dumped.iter().filter(|entry| entry.get("unused_bytes").is_some()).count();
            let dumped: Vec<Value> = dumped.into_iter().filter(|entry| entry.get("unused_bytes").is_none()).collect();
            // Of a file that is nothing but space taken in advance Kafka prints the first entry.
            let is_nothing_but_space = dumped.is_empty() && unused == 1;
            if is_nothing_but_space {
                assert!(expected.len() <= 1, "{}", path.display());
                continue;
            }
            assert_eq!(dumped, expected, "{}", path.display());
            entries += dumped.len();
        }
    }
    assert!(entries > 500, "{entries}");
}

#[test]
fn the_library_loads_every_index_of_a_clean_directory_to_the_entries_kafka_prints() {
    for partition in partitions().into_iter().filter(|partition| partition.dir.parent().unwrap().ends_with("clean")) {
        for (file, expected) in partition.expected_indexes() {
            let bytes = fs::read(partition.dir.join(&file)).unwrap();
            let (stem, ending) = file.split_once('.').unwrap();
            let base = Offset::new(stem.parse().unwrap());
            let loaded: Vec<Value> = match ending {
                "index" => OffsetIndex::load(base, u32::MAX, &bytes)
                    .unwrap()
                    .entries()
                    .map(|entry| json!({"offset": entry.offset.get(), "position": entry.position}))
                    .collect(),
                "timeindex" => TimeIndex::load(base, u32::MAX, &bytes)
                    .unwrap()
                    .entries()
                    .map(|entry| json!({"timestamp": entry.timestamp.as_millis(), "offset": entry.offset.get()}))
                    .collect(),
                "txnindex" => TxnIndex::load(base, &bytes)
                    .unwrap()
                    .entries()
                    .iter()
                    .map(|aborted| {
                        json!({"version": 0, "producer_id": aborted.producer_id.get(),
                               "first_offset": aborted.first_offset.get(), "last_offset": aborted.last_offset.get(),
                               "last_stable_offset": aborted.last_stable_offset.get()})
                    })
                    .collect(),
                _ => continue,
            };
            assert_eq!(loaded, expected, "{}/{file}", partition.name);
        }
    }
}

/// A partition of a golden directory.
struct Partition {
    name: String,
    dir: PathBuf,
    expected: PathBuf,
}

impl Partition {
    fn expected(&self, ending: &str) -> String {
        fs::read_to_string(self.expected.join(format!("{}.{ending}", self.name))).unwrap()
    }

    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut files = listed(&self.dir);
        files.retain(|path| path.to_str().unwrap().ends_with(ending));
        files
    }

    /// What Kafka prints of each index and snapshot.
    fn expected_indexes(&self) -> Vec<(String, Vec<Value>)> {
        let text = self.expected("indexes.txt");
        let mut files: Vec<(String, Vec<Value>)> = Vec::new();
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("Dumping ") {
                files.push((path.rsplit('/').next().unwrap().to_owned(), Vec::new()));
            } else if line.starts_with("Mismatches") || line.starts_with("The following") || line.starts_with("Found") {
                // What Kafka thinks of the entries comes last.
                break;
            } else if line.contains(": ") {
                files.last_mut().unwrap().1.push(kafkas_entry(line));
            }
        }
        files
    }
}

/// `name: value name: value` as an object, with our names.
fn kafkas_entry(line: &str) -> Value {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut object = serde_json::Map::new();
    for pair in words.chunks(2) {
        let name: String = pair[0]
            .trim_end_matches(':')
            .chars()
            .flat_map(|letter| [letter.is_uppercase().then_some('_'), Some(letter.to_ascii_lowercase())])
            .flatten()
            .collect();
        let value = match pair[1] {
            "OptionalLong.empty" => Value::Null,
            value => {
                let digits = value.trim_start_matches("OptionalLong[").trim_end_matches(']');
                json!(digits.parse::<i64>().unwrap())
            }
        };
        object.insert(name, value);
    }
    // The last batch's timestamp, which is `lastTimestamp` again.
    if object.contains_key("producer_epoch") {
        object.remove("timestamp");
    }
    Value::Object(object)
}

/// A line of ours without the name of the file.
fn entry(line: &str) -> Value {
    let mut entry: Value = serde_json::from_str(line).unwrap();
    entry.as_object_mut().unwrap().remove("file");
    entry
}

fn dump(files: &[PathBuf]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_ottla")).args(["dump", "--json"]).args(files).output().unwrap();
    assert!(done.status.success(), "{files:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn partitions() -> Vec<Partition> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found = Vec::new();
    for dir in ["kafka-4.3/clean", "kafka-4.3/killed", "kafka-2.8/clean"] {
        for path in listed(&golden.join(dir)) {
            if path.is_dir() {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                found.push(Partition { name, dir: path, expected: golden.join(format!("{dir}.expected")) });
            }
        }
    }
    assert_eq!(found.len(), 57, "the golden directories are not whole");
    found
}

fn listed(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
