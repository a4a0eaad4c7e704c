//! Reading what a fetch was answered with.

use crate::broker::{Body, FileRead};
use crate::disk::{Disk, ReadFault};
use crate::id::TopicPartition;
use crate::message::{ErrorCode, Fetched, RequestError};
use crate::queue::node::Node;
use crate::record::Entry;

impl<D: Disk> Node<D> {
    /// Reads what a fetch was answered with, also from files. A read that finds nothing in its place, for compaction has
    /// been there, goes on behind it.
    pub(super) fn read_body(&self, fetched: Fetched<Body>) -> Result<Fetched<Vec<Entry>>, RequestError> {
        let mut fetched = fetched;
        loop {
            match &fetched.body {
                Body::Nothing => return Ok(fetched.map(|_| Vec::new())),
                Body::Batches(batches) => {
                    let entries = batches.iter().cloned().map(Entry::Batch).collect();
                    return Ok(fetched.map(|_| entries));
                }
                Body::File(read) => {
                    let entries = self.read_file(read)?;
                    let behind = if entries.is_empty() { self.core.lock().broker.fetch_behind(read) } else { None };
                    match behind {
                        Some(behind) => fetched = behind,
                        None => return Ok(fetched.map(|_| entries)),
                    }
                }
            }
        }
    }

    fn read_file(&self, read: &FileRead) -> Result<Vec<Entry>, RequestError> {
        let slot = self.core.lock().slots.get(&read.partition).cloned();
        let found = slot.and_then(|slot| slot.read(&read.span, &read.facts));
        let found = found.ok_or_else(|| gone(&read.partition))?;
        found.map_err(|fault| unreadable(&fault))
    }
}

pub(super) fn gone(partition: &TopicPartition) -> RequestError {
    RequestError::because(ErrorCode::UnknownTopicOrPartition, format!("{partition} is not here any more"))
}

/// What is corrupt stays so; a disk that fails may not fail the next time.
pub(super) fn unreadable(fault: &ReadFault) -> RequestError {
    let code = match fault {
        ReadFault::Disk(_) => ErrorCode::KafkaStorageError,
        ReadFault::Corrupt { .. } => ErrorCode::CorruptMessage,
    };
    RequestError::because(code, fault)
}
