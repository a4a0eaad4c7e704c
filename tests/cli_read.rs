//! `ottla dump` and `ottla read`, as a user runs them.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "log directories are files")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn ottla() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ottla"))
}

fn run(args: &[&str]) -> Output {
    ottla().args(args).output().unwrap()
}

fn text(done: &Output) -> (i32, String, String) {
    let [out, err] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (done.status.code().unwrap(), out, err)
}

/// The records of a partition, as `read --json` prints them.
fn read(dir: &str, partition: &str, more: &[&str]) -> Vec<Value> {
    let (code, out, err) = text(&run(&[&["read", golden(dir).to_str().unwrap(), partition, "--json"], more].concat()));
    assert_eq!((code, err.as_str()), (0, ""), "{dir} {partition}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn offsets(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["offset"].as_u64().unwrap()).collect()
}

/// The batches of a partition, as Kafka's reader sees them.
fn expected(dir: &str, partition: &str) -> Vec<Value> {
    let lines = fs::read_to_string(golden(&format!("{dir}.expected/{partition}.jsonl"))).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn read_prints_every_record_that_is_not_a_control_record() {
    for dir in ["kafka-4.3/clean", "kafka-4.3/killed", "kafka-2.8/clean"] {
        for partition in ["codec-zstd-0", "compacted-0", "txn-1", "upgraded-0", "magic0-gzip-0"] {
            if !golden(dir).join(partition).exists() {
                continue;
            }
            let theirs: Vec<Value> = expected(dir, partition)
                .iter()
                .filter(|batch| batch["control"] == false)
                .flat_map(|batch| batch["records"].as_array().unwrap().clone())
                .collect();
            assert_eq!(read(dir, partition, &[]), theirs, "{dir} {partition}");
        }
    }
}

#[test]
fn read_begins_at_the_log_start_at_any_offset_and_at_a_date() {
    let all = read("kafka-4.3/clean", "segments-1", &[]);
    assert_eq!(offsets(&all), (77..230).collect::<Vec<_>>(), "the log start is 77, inside the second segment");
    for from in [77_u64, 80, 81, 124, 125, 163, 164, 229, 230] {
        let some = read("kafka-4.3/clean", "segments-1", &["--from", &from.to_string()]);
        assert_eq!(offsets(&some), (from..230).collect::<Vec<_>>());
    }
    let date = all[60]["timestamp"].as_i64().unwrap();
    let first = all.iter().position(|record| record["timestamp"].as_i64().unwrap() >= date).unwrap();
    assert_eq!(read("kafka-4.3/clean", "segments-1", &["--from", &format!("@{date}")]), all[first..]);
    assert_eq!(read("kafka-4.3/clean", "segments-1", &["--from", "latest"]), [] as [Value; 0]);
    assert_eq!(offsets(&read("kafka-4.3/clean", "segments-1", &["--from", "100", "--max", "3"])), [100, 101, 102]);
    let (code, _, err) =
        text(&run(&["read", golden("kafka-4.3/clean").to_str().unwrap(), "segments-1", "--from", "3"]));
    assert_eq!((code, err.as_str()), (3, "ottla: offset 3 lies below the log start 77\n"));
}

#[test]
fn read_committed_leaves_out_what_was_aborted_and_what_is_still_open() {
    for dir in ["kafka-4.3/clean", "kafka-4.3/killed"] {
        for partition in ["txn-0", "txn-1"] {
            let batches = expected(dir, partition);
            // Kafka's own list of aborted transactions, and the transaction that is open at the end.
            let indexes = fs::read_to_string(golden(&format!("{dir}.expected/{partition}.indexes.txt"))).unwrap();
            let aborted: Vec<Vec<u64>> = indexes
                .lines()
                .filter(|line| line.starts_with("version: 0 producerId"))
                .map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).skip(1).collect())
                .collect();
            assert!(aborted.len() > 2);
            let mut open = std::collections::BTreeMap::new();
            for batch in batches.iter().filter(|batch| batch["transactional"] == true) {
                let producer = batch["producer_id"].as_u64().unwrap();
                if batch["control"] == true {
                    open.remove(&producer);
                } else {
                    open.entry(producer).or_insert(batch["base_offset"].as_u64().unwrap());
                }
            }
            let stable = open.into_values().min().unwrap_or(u64::MAX);
            let theirs: Vec<u64> = batches
                .iter()
                .filter(|batch| batch["control"] == false && batch["base_offset"].as_u64().unwrap() < stable)
                .filter(|batch| {
                    let (producer, base) = (batch["producer_id"].as_u64(), batch["base_offset"].as_u64().unwrap());
                    !aborted.iter().any(|txn| Some(txn[0]) == producer && txn[1] <= base && base <= txn[2])
                })
                .flat_map(|batch| offsets(batch["records"].as_array().unwrap()))
                .collect();
            let ours = offsets(&read(dir, partition, &["--isolation", "read_committed"]));
            assert_eq!(ours, theirs, "{dir} {partition}");
            assert!(ours.len() < read(dir, partition, &[]).len());
        }
    }
}

/// A copy of one partition that a test may damage.
fn copied(partition: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join(partition);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(golden("kafka-4.3/clean").join(partition)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    root
}

#[test]
fn damage_is_named_by_its_range_all_else_is_shown_and_the_code_is_1() {
    let root = copied("codec-none-0");
    let log = root.path().join("codec-none-0/00000000000000000000.log");
    let second = &expected("kafka-4.3/clean", "codec-none-0")[1];
    let (position, size) = (second["position"].as_u64().unwrap(), second["size"].as_u64().unwrap());
    let mut bytes = fs::read(&log).unwrap();
    bytes[position as usize + 100] ^= 4;
    fs::write(&log, &bytes).unwrap();

    let (code, out, _) = text(&run(&["dump", "--json", log.to_str().unwrap()]));
    assert_eq!(code, 1);
    let damaged: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|batch: &Value| batch["valid"] == false)
        .collect();
    assert_eq!(damaged.len(), 1);
    assert_eq!((damaged[0]["position"].as_u64(), damaged[0]["size"].as_u64()), (Some(position), Some(size)));
    let of_file = |batch: &&Value| batch["file"] == "00000000000000000000.log";
    assert_eq!(out.lines().count(), expected("kafka-4.3/clean", "codec-none-0").iter().filter(of_file).count());

    let (code, out, err) = text(&run(&["read", root.path().to_str().unwrap(), "codec-none-0", "--json"]));
    assert_eq!(code, 1);
    assert!(err.contains(&format!("damaged: bytes {position} to {}", position + size)), "{err}");
    let lost = second["records"].as_array().unwrap().len();
    assert_eq!(out.lines().count(), read("kafka-4.3/clean", "codec-none-0", &[]).len() - lost);
}

#[test]
fn a_torn_tail_is_no_damage_to_a_reader() {
    let root = copied("codec-none-0");
    let last = expected("kafka-4.3/clean", "codec-none-0").pop().unwrap();
    let log = root.path().join("codec-none-0").join(last["file"].as_str().unwrap());
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
    let (code, out, err) = text(&run(&["read", root.path().to_str().unwrap(), "codec-none-0", "--json"]));
    assert_eq!(code, 0);
    assert!(err.contains("torn tail: bytes"), "{err}");
    assert!(out.lines().count() > 50);
}

#[test]
fn wrong_use_is_2_and_what_cannot_be_read_is_3() {
    assert_eq!(run(&["dump"]).status.code(), Some(2));
    assert_eq!(run(&["read", ".", "no-partition-x"]).status.code(), Some(2));
    assert_eq!(run(&["read", ".", "t-0", "--from", "yesterday"]).status.code(), Some(2));
    assert_eq!(run(&["read", ".", "missing-0"]).status.code(), Some(3));
    assert_eq!(run(&["dump", "missing.log"]).status.code(), Some(3));
    assert_eq!(run(&["dump", "/dev/null"]).status.code(), Some(3));
}

#[test]
fn a_reader_that_stops_reading_ends_the_command_quietly() {
    let mut child = ottla()
        .args(["dump", "--records", golden("kafka-4.3").to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(text(&done), (0, String::new(), String::new()));
}

#[test]
fn a_file_much_larger_than_memory_is_read_in_pieces() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("00000000000000000000.log");
    fs::copy(golden("kafka-4.3/clean/codec-none-0/00000000000000000000.log"), &log).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len(1 << 29).unwrap();
    // The shell's limit, in KiB, is on all memory the command may ask for.
    let script = format!("ulimit -v 262144; exec {} dump {}", env!("CARGO_BIN_EXE_ottla"), log.display());
    let done = Command::new("sh").args(["-c", &script]).output().unwrap();
    let (code, out, err) = text(&done);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(out.ends_with("DAMAGED: zeros to the end of the file\n"), "{}", &out[out.len() - 200..]);
}
