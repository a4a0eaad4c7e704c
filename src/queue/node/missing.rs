//! Files that are gone when they are to be read.
//!
//! What was planned under the lock is read without it. Retention may have removed the segment meanwhile, or a compaction have
//! put another in its place: then it is planned again, and the disk is not to blame. A plan may also be early: a compacted
//! segment is planned in from the moment on that the log has it, and has its name a little later.
//!
//! - Always true: what is not there and should be is told as the disk's failure, and nothing else is.

use crate::disk::{Disk, DiskErrorKind, ReadFault};
use crate::id::TopicPartition;
use crate::log::{FileId, Health, Span};
use crate::queue::node::Node;

/// How often one question is planned again. Each time the log has changed meanwhile, so whoever asks later gets on.
const PLANS_MAX: u32 = 16;

/// What one question has not found in its place.
#[derive(Debug, Default)]
pub(super) struct Missing {
    plans: u32,
    /// The log had it all the same.
    had: Option<FileId>,
}

impl Missing {
    /// It is about to be planned again. Answers whether it may.
    pub(super) fn may_plan(&mut self) -> bool {
        self.plans += 1;
        self.plans <= PLANS_MAX
    }

    /// Notes that a file was not there although the log has it, and nothing is to be done to it any more. Answers whether
    /// that was so before: then it is lost.
    pub(super) fn is_lost(&mut self, file: FileId) -> bool {
        self.had.replace(file) == Some(file)
    }
}

/// Whether a file was not there, which may have a good reason.
pub(super) fn is_missing(fault: &ReadFault) -> bool {
    matches!(fault, ReadFault::Disk(error) if error.kind == DiskErrorKind::NotFound)
}

impl<D: Disk> Node<D> {
    /// If the file of a plan is about to take its place, waits until it has, or will not.
    pub(super) fn wait_for_place(&self, partition: &TopicPartition, span: &Span) {
        // What has broken the node is told to whoever asks next.
        let _ = self.wait_for(|core| {
            let (Some(slot), Some(host)) = (core.slots.get(partition), core.broker.partition(partition)) else {
                return true;
            };
            let log = host.log();
            // On a full disk too: it takes its place ahead of what waits for space.
            let is_poisoned = matches!(log.health(), Health::Poisoned { .. });
            let gets_on = !is_poisoned && !slot.lanes.is_broken() && !core.is_stopped;
            let waits = log.takes_place_with(span.segment).is_some_and(|op| !slot.has_swapped(op));
            !gets_on || !waits || !log.has_still(span)
        });
    }
}
