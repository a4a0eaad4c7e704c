//! The metadata log of the golden directory, and what Kafka prints of it.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use ottla::controller::SnapshotId;
use ottla::record::{Batch, DecompressLimit};

pub(crate) fn limit() -> DecompressLimit {
    DecompressLimit::default()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka-4.3")
}

/// A file of the golden directory.
pub(crate) fn bytes_of(file: &str) -> Bytes {
    fs::read(root().join(file)).unwrap().into()
}

/// Every batch of a file, each checked.
fn batches_of(file: &str) -> Vec<Batch> {
    let mut bytes = bytes_of(file);
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let batch = Batch::parse(&bytes).unwrap();
        bytes = bytes.slice(batch.size() as usize..);
        batches.push(batch);
    }
    batches
}

/// Every batch of the metadata log.
pub(crate) fn batches() -> Vec<Batch> {
    batches_of("clean/__cluster_metadata-0/00000000000000000000.log")
}

/// The metadata log that has snapshots beside it.
pub(crate) fn batches_with_snapshots() -> Vec<Batch> {
    batches_of("snapshots/__cluster_metadata-0/00000000000000000000.log")
}

/// The snapshots beside it, in order.
pub(crate) fn snapshots() -> Vec<(SnapshotId, Bytes)> {
    let names = fs::read_dir(root().join("snapshots/__cluster_metadata-0")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut ids: Vec<SnapshotId> = names.filter_map(|name| SnapshotId::parse(&name)).collect();
    ids.sort();
    ids.into_iter().map(|id| (id, bytes_of(&format!("snapshots/__cluster_metadata-0/{id}")))).collect()
}

/// The lines that Kafka's tool has printed for the records.
pub(crate) fn printed_records() -> std::vec::IntoIter<String> {
    let text = fs::read_to_string(root().join("clean.expected/__cluster_metadata-0.decoded.txt")).unwrap();
    let lines: Vec<String> = text.lines().filter(|line| line.starts_with("| offset")).map(str::to_owned).collect();
    lines.into_iter()
}

/// The directories of partitions, each with the topic id in its `partition.metadata`.
pub(crate) fn partition_directories() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("clean")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(path.join("partition.metadata")) else { continue };
        let id = text.lines().nth(1).unwrap().strip_prefix("topic_id: ").unwrap().to_owned();
        found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), id));
    }
    found.retain(|(name, _)| name != "__cluster_metadata-0");
    found
}
