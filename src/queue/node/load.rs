//! Reading what the coordinator has to know of its groups.

use crate::broker::{Body, FileRead, Input};
use crate::disk::{Disk, ReadFault};
use crate::id::TopicPartition;
use crate::partition::Waiter;
use crate::queue::node::Node;
use crate::record::Entry;

impl<D: Disk> Node<D> {
    /// Reads a piece and gives it to the node, which says where to go on.
    pub(super) fn load(&self, waiter: Waiter, partition: &TopicPartition, body: Body) {
        self.give(match body {
            Body::Nothing => Input::Loaded { waiter, entries: Vec::new(), next: None },
            Body::Batches(batches) => {
                let entries = batches.into_iter().map(Entry::Batch).collect();
                Input::Loaded { waiter, entries, next: None }
            }
            Body::File(read) => self.load_file(waiter, partition, &read),
        });
    }

    fn load_file(&self, waiter: Waiter, partition: &TopicPartition, read: &FileRead) -> Input {
        let slot = self.core.lock().slots.get(partition).cloned();
        match slot.and_then(|slot| slot.read(&read.span, &read.facts)) {
            Some(Ok(entries)) => Input::Loaded { waiter, entries, next: None },
            Some(Err(ReadFault::Corrupt { offset, .. })) => {
                Input::Loaded { waiter, entries: Vec::new(), next: Some(read.behind_corrupt(offset)) }
            }
            Some(Err(fault @ ReadFault::Disk(_))) => Input::NotLoaded { waiter, why: fault.to_string() },
            None => Input::NotLoaded { waiter, why: format!("{partition} is not here any more") },
        }
    }
}
