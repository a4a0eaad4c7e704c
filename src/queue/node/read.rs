//! Reading what a fetch was answered with.

use crate::broker::{Body, FileRead};
use crate::disk::{Disk, ReadFault};
use crate::id::TopicPartition;
use crate::message::{ErrorCode, Fetched, RequestError};
use crate::queue::node::Node;
use crate::queue::node::missing::{Missing, is_missing};
use crate::record::Entry;

impl<D: Disk> Node<D> {
    /// Reads what a fetch was answered with, also from files. A read that finds nothing in its place, for compaction has
    /// been there, goes on behind it. One whose file is gone is planned again; then its offset may have gone too.
    pub(super) fn read_body(&self, fetched: Fetched<Body>) -> Result<Fetched<Vec<Entry>>, RequestError> {
        let (mut fetched, mut missing) = (fetched, Missing::default());
        loop {
            let next = match &fetched.body {
                Body::Nothing => None,
                Body::Batches(batches) => {
                    let entries = batches.iter().cloned().map(Entry::Batch).collect();
                    return Ok(fetched.map(|_| entries));
                }
                Body::File(read) => match self.read_file(read)? {
                    Ok(entries) if entries.is_empty() => self.core.lock().broker.fetch_behind(read)?,
                    Ok(entries) => return Ok(fetched.map(|_| entries)),
                    Err(fault) if is_missing(&fault) => self.fetch_again(read, &fault, &mut missing)?,
                    Err(fault) => return Err(unreadable(&fault)),
                },
            };
            match next {
                Some(next) => fetched = next,
                None => return Ok(fetched.map(|_| Vec::new())),
            }
        }
    }

    /// Plans a read again whose file was not there; `None` if that was done too often, and the asker is to ask again.
    fn fetch_again(
        &self,
        read: &FileRead,
        fault: &ReadFault,
        missing: &mut Missing,
    ) -> Result<Option<Fetched<Body>>, RequestError> {
        if !missing.may_plan() {
            return Ok(None);
        }
        self.wait_for_place(&read.partition, &read.span);
        let again = {
            let core = self.core.lock();
            // Whoever asks again is told of the end, and of nothing else.
            if core.is_stopped {
                return Ok(None);
            }
            core.broker.fetch_again(read)?
        };
        let file = read.span.file;
        let is_same = matches!(&again.body, Body::File(new) if new.span.file == file);
        if is_same && missing.is_lost(file) { Err(unreadable(fault)) } else { Ok(Some(again)) }
    }

    fn read_file(&self, read: &FileRead) -> Result<Result<Vec<Entry>, ReadFault>, RequestError> {
        let slot = self.core.lock().slot_of(&read.partition, read.topic_id);
        let found = slot.and_then(|slot| slot.read(&read.span, &read.facts));
        found.ok_or_else(|| gone(&read.partition))
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
