//! Reading what the coordinator has to know of its groups.

use crate::broker::{Body, FileRead, Input};
use crate::disk::{Disk, ReadFault};
use crate::id::TopicPartition;
use crate::partition::Waiter;
use crate::queue::node::Node;
use crate::queue::node::missing::is_missing;
use crate::queue::node::outputs::Core;
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
        let slot = self.core.lock().slot_of(partition, read.topic_id);
        match slot.and_then(|slot| slot.read(&read.span, &read.facts)) {
            Some(Ok(entries)) => Input::Loaded { waiter, entries, next: None },
            Some(Err(ReadFault::Corrupt { offset, .. })) => {
                Input::Loaded { waiter, entries: Vec::new(), next: Some(read.behind_corrupt(offset)) }
            }
            Some(Err(fault)) if is_missing(&fault) => self.load_again(waiter, partition, read, &fault),
            Some(Err(fault @ ReadFault::Disk(_))) => Input::NotLoaded { waiter, why: fault.to_string() },
            None => Input::NotLoaded { waiter, why: format!("{partition} is not here any more") },
        }
    }

    /// The file was not there: it is planned again, unless the log still has it and it is lost.
    fn load_again(&self, waiter: Waiter, partition: &TopicPartition, read: &FileRead, fault: &ReadFault) -> Input {
        self.wait_for_place(partition, &read.span);
        let has_still = |core: &Core<D>| Some(core.broker.partition(partition)?.log().has_still(&read.span));
        if has_still(&self.core.lock()) != Some(true) {
            return Input::LoadAgain { waiter };
        }
        // It may have taken its place just now.
        let slot = self.core.lock().slot_of(partition, read.topic_id);
        match slot.and_then(|slot| slot.read(&read.span, &read.facts)) {
            Some(Err(again)) if is_missing(&again) && has_still(&self.core.lock()) == Some(true) => {
                Input::NotLoaded { waiter, why: fault.to_string() }
            }
            _ => Input::LoadAgain { waiter },
        }
    }
}
