//! The small files of a log directory: producer snapshots, checkpoints, and whose directory it is.

use std::io::{self, Write};

use bytes::Bytes;

use crate::cli::finding::Finding;
use crate::cli::kind::FileKind;
use crate::cli::printer::{Printer, Value};
use crate::cli::source::Source;
use crate::id::ProducerId;
use crate::log::{
    CleanShutdown, EpochCache, MetaProperties, MetaVersion, OffsetCheckpoint, PartitionMetadata, ProducerEntry,
    ProducerSnapshot,
};

/// The largest such file that is looked into: more than a million producers.
const STATE_BYTES_MAX: u64 = 64 << 20;

/// Prints what is in a file of this kind.
pub(crate) fn dump_state<W: Write>(
    kind: FileKind,
    source: &impl Source,
    printer: &mut Printer<'_, W>,
) -> io::Result<Finding> {
    let size = source.len()?;
    let shown_size = ("size", Value::Number(i64::try_from(size).unwrap_or(i64::MAX)));
    if size > STATE_BYTES_MAX && kind != FileKind::Other {
        printer.heading("too large")?;
        printer.damaged(&[shown_size], "larger than such a file can be")?;
        return Ok(Finding::Damage);
    }
    let bytes = if kind == FileKind::Other { Bytes::new() } else { whole(source, size)? };
    let dumped = match kind {
        FileKind::Snapshot => snapshot(&bytes, printer)?,
        FileKind::LeaderEpochs => leader_epochs(&bytes, printer)?,
        FileKind::Offsets => offsets(&bytes, printer)?,
        FileKind::PartitionMetadata => partition_metadata(&bytes, printer)?,
        FileKind::MetaProperties => meta_properties(&bytes, printer)?,
        FileKind::CleanShutdown => clean_shutdown(&bytes, printer)?,
        FileKind::Other | FileKind::Batches { .. } | FileKind::Messages07 { .. } | FileKind::Index { .. } => {
            printer.heading("not a file of a log")?;
            printer.row(&[shown_size])?;
            Ok(())
        }
    };
    match dumped {
        Ok(()) => Ok(Finding::Clean),
        Err(damage) => {
            printer.damaged(&[shown_size], &damage)?;
            Ok(Finding::Damage)
        }
    }
}

/// What is wrong with a file, in its error's words.
type Dumped = io::Result<Result<(), String>>;

fn whole(source: &impl Source, size: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let read = source.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes.into())
}

fn snapshot<W: Write>(bytes: &[u8], printer: &mut Printer<'_, W>) -> Dumped {
    printer.heading("producers")?;
    let snapshot = match ProducerSnapshot::parse(bytes) {
        Ok(snapshot) => snapshot,
        Err(error) => return Ok(Err(error.to_string())),
    };
    for (id, entry) in snapshot.entries() {
        printer.row(&producer(id, entry))?;
    }
    Ok(Ok(()))
}

/// A producer as Kafka prints it: what its last batch was only if it has one.
fn producer(id: ProducerId, entry: &ProducerEntry) -> Vec<(&'static str, Value<'static>)> {
    let number = |number: Option<i64>| Value::Number(number.unwrap_or(-1));
    let mut fields = vec![
        ("producer_id", Value::Number(id.get())),
        ("producer_epoch", number(entry.epoch().map(|epoch| epoch.get().into()))),
        ("coordinator_epoch", number(entry.coordinator_epoch().map(|epoch| epoch.as_i32().into()))),
        ("current_txn_first_offset", entry.open_transaction().map(|offset| offset.as_i64()).into()),
        ("last_timestamp", Value::Number(entry.last_timestamp().as_millis())),
    ];
    if let Some(batch) = entry.batches().last() {
        fields.extend([
            ("first_sequence", number(batch.base_sequence().map(|sequence| sequence.get().into()))),
            ("last_sequence", number(batch.last_sequence.map(|sequence| sequence.get().into()))),
            ("last_offset", Value::Number(batch.last_offset.as_i64())),
            ("offset_delta", Value::Number(batch.offset_delta.into())),
        ]);
    }
    fields
}

fn leader_epochs<W: Write>(bytes: &[u8], printer: &mut Printer<'_, W>) -> Dumped {
    printer.heading("leader epochs")?;
    let epochs = match EpochCache::parse(bytes) {
        Ok(epochs) => epochs,
        Err(error) => return Ok(Err(error.to_string())),
    };
    for entry in epochs.entries() {
        let epoch = Value::Number(entry.epoch.as_i32().into());
        printer.row(&[("epoch", epoch), ("start_offset", Value::Number(entry.start_offset.as_i64()))])?;
    }
    Ok(Ok(()))
}

fn offsets<W: Write>(bytes: &[u8], printer: &mut Printer<'_, W>) -> Dumped {
    printer.heading("offsets")?;
    let checkpoint = match OffsetCheckpoint::parse(bytes) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Ok(Err(error.to_string())),
    };
    for (partition, offset) in &checkpoint.offsets {
        printer.row(&[
            ("topic", Value::Text(partition.topic().as_str())),
            ("partition", Value::Number(partition.partition().into())),
            ("offset", Value::Number(offset.as_i64())),
        ])?;
    }
    Ok(Ok(()))
}

fn partition_metadata<W: Write>(bytes: &[u8], printer: &mut Printer<'_, W>) -> Dumped {
    printer.heading("topic")?;
    match PartitionMetadata::parse(bytes) {
        Ok(metadata) => printer.row(&[("topic_id", Value::Text(&metadata.topic_id.to_string()))]).map(Ok),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn meta_properties<W: Write>(bytes: &[u8], printer: &mut Printer<'_, W>) -> Dumped {
    printer.heading("directory")?;
    let meta = match MetaProperties::parse(bytes) {
        Ok(meta) => meta,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let version = match meta.version {
        MetaVersion::V0 => 0,
        MetaVersion::V1 => 1,
    };
    let directory_id = meta.directory_id.map(|id| id.to_string());
    let fields = [
        ("version", Value::Number(version)),
        ("cluster_id", meta.cluster_id.as_deref().map_or(Value::None, Value::Text)),
        ("node_id", meta.node_id.map(|id| i64::from(id.get())).into()),
        ("directory_id", directory_id.as_deref().map_or(Value::None, Value::Text)),
    ];
    printer.row(&fields).map(Ok)
}

fn clean_shutdown<W: Write>(bytes: &[u8], printer: &mut Printer<'_, W>) -> Dumped {
    printer.heading("closed cleanly")?;
    let epoch = CleanShutdown::parse(bytes).broker_epoch;
    printer.row(&[("broker_epoch", epoch.and_then(|epoch| i64::try_from(epoch).ok()).into())]).map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::Form;

    fn dumped(name: &str, bytes: &[u8]) -> (Finding, String) {
        let mut out = Vec::new();
        let mut printer = Printer { out: &mut out, form: Form::Json, file: name };
        let finding = dump_state(FileKind::of(name), &bytes, &mut printer).unwrap();
        (finding, String::from_utf8(out).unwrap())
    }

    #[test]
    fn checkpoints_are_shown_entry_by_entry() {
        let (finding, text) = dumped("leader-epoch-checkpoint", b"0\n2\n0 0\n3 17\n");
        assert_eq!(finding, Finding::Clean);
        assert!(text.ends_with("{\"file\":\"leader-epoch-checkpoint\",\"epoch\":3,\"start_offset\":17}\n"), "{text}");
        let (_, text) = dumped("cleaner-offset-checkpoint", b"0\n1\nt.a 3 208\n");
        assert_eq!(text, "{\"file\":\"cleaner-offset-checkpoint\",\"topic\":\"t.a\",\"partition\":3,\"offset\":208}\n");
    }

    #[test]
    fn a_damaged_file_is_shown_as_one_and_a_foreign_one_is_none() {
        for name in ["leader-epoch-checkpoint", "00000000000000000001.snapshot", "partition.metadata"] {
            let (finding, text) = dumped(name, b"\xff\x00 garbage\n\n");
            assert_eq!(finding, Finding::Damage, "{name}");
            assert!(text.contains("\"size\":12,\"valid\":false,\"damage\":"), "{text}");
        }
        let (finding, text) = dumped("notes.txt", b"\xff\x00");
        assert_eq!((finding, text.as_str()), (Finding::Clean, "{\"file\":\"notes.txt\",\"size\":2}\n"));
    }
}
