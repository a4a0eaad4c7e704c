//! What Kafka's tools say about a partition's files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::java::Java;

/// Lets DumpLogSegments read every segment and index of the partition in `directory`; how many batches it found whole.
///
/// # Panics
///
/// If it finds an index entry that does not fit its log, a batch that is not valid, or a record out of its place.
pub fn dump_log_segments(java: &Java, directory: &Path) -> usize {
    let files = files(directory, &["log", "index", "timeindex", "txnindex", "snapshot"]);
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let said =
        java.output("org.apache.kafka.tools.DumpLogSegments", &["--deep-iteration", "--files", &names.join(",")]);
    const COMPLAINTS: [&str; 9] = [
        "Mismatches in",
        "indexed offsets are not found",
        "timestamp mismatch",
        "out of order timestamp",
        "isvalid: false",
        "Found invalid message",
        "sanity check failed",
        "trailing garbage",
        "Exception",
    ];
    for line in said.lines() {
        let complaint = COMPLAINTS.iter().find(|complaint| line.contains(**complaint));
        assert!(complaint.is_none(), "{line}\nin\n{said}");
    }
    for name in &names {
        assert!(said.contains(name.as_str()), "{name} was not read:\n{said}");
    }
    said.matches("isvalid: true").count()
}

/// The batches of the partition in `directory` as Kafka's own reader sees them, a JSON object each.
pub fn batches(java: &Java, directory: &Path) -> Vec<Value> {
    let names: Vec<String> = files(directory, &["log"]).iter().map(|path| path.display().to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    java.output("Dump", &names).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The files of these kinds, in the order of their names.
fn files(directory: &Path, kinds: &[&str]) -> Vec<PathBuf> {
    let all = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.extension().is_some_and(|kind| kinds.iter().any(|known| kind == *known));
    let mut files: Vec<PathBuf> = all.filter(is_one).collect();
    files.sort();
    files
}
