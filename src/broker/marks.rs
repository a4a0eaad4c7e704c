//! Marks that are on their way to the disk, and who waits for one: what is deleted is answered when it stays deleted.
//!
//! - Always true: marks of one partition are performed, and reported, in the order in which they came out; whoever waits is
//!   answered at the mark that was the last one when he asked, or when there will be none.

use std::collections::{BTreeMap, VecDeque};

use crate::broker::asked::Pending;
use crate::broker::refuse::unknown_partition;
use crate::broker::{Broker, DiskReport};
use crate::id::TopicPartition;
use crate::log::Health;
use crate::message::{ErrorCode, RequestError};
use crate::offset::Offset;
use crate::partition::{Partition, Waiter};

/// The marks of all partitions.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<TopicPartition, OfOne>);

#[derive(Debug, Default)]
struct OfOne {
    /// How many came out.
    asked: u64,
    /// How many of them are performed, or given up.
    ended: u64,
    /// The last one that ended found no space, so what it says is in memory alone.
    is_lost: bool,
    /// Which one each waits for, in order, and where the log begins for him.
    waiting: VecDeque<(u64, Waiter, Offset)>,
}

/// How a mark has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    OnDisk,
    WithoutSpace,
}

impl Marks {
    /// One more came out.
    pub(super) fn ask(&mut self, partition: &TopicPartition) {
        self.0.entry(partition.clone()).or_default().asked += 1;
    }

    /// Has somebody wait for all that came out so far; `false` if all of them have ended.
    fn wait(&mut self, partition: &TopicPartition, waiter: Waiter, log_start_offset: Offset) -> bool {
        let Some(one) = self.0.get_mut(partition) else { return false };
        let is_due = one.ended < one.asked;
        if is_due {
            one.waiting.push_back((one.asked, waiter, log_start_offset));
        }
        is_due
    }

    /// Whether what came out last is on no disk, nor on its way there.
    fn is_lost(&self, partition: &TopicPartition) -> bool {
        self.0.get(partition).is_some_and(|one| one.is_lost && one.ended == one.asked)
    }

    /// The next one has ended. Answers who has waited for it.
    fn end(&mut self, partition: &TopicPartition, ended: Ended) -> Vec<(Waiter, Offset)> {
        let Some(one) = self.0.get_mut(partition) else { return Vec::new() };
        one.is_lost = ended == Ended::WithoutSpace;
        one.ended = one.asked.min(one.ended.saturating_add(1));
        let due = one.waiting.iter().take_while(|(number, ..)| *number <= one.ended).count();
        one.waiting.drain(..due).map(|(_, waiter, offset)| (waiter, offset)).collect()
    }

    /// No more will be performed. Answers who waits.
    fn give_up(&mut self, partition: &TopicPartition) -> Vec<Waiter> {
        let waiting = self.0.get_mut(partition).map(|one| std::mem::take(&mut one.waiting)).unwrap_or_default();
        waiting.into_iter().map(|(_, waiter, _)| waiter).collect()
    }

    fn forget(&mut self, partition: &TopicPartition) {
        self.0.remove(partition);
    }
}

impl Broker {
    /// Records are deleted in memory: whoever has asked for it is answered when they are on disk too.
    pub(super) fn answer_when_marked(&mut self, waiter: Waiter, partition: &TopicPartition, log_start_offset: Offset) {
        if self.marks.is_lost(partition) {
            self.with_host(partition, Partition::mark_again);
        }
        if !self.marks.wait(partition, waiter, log_start_offset) {
            self.on_deleted_records(waiter, Ok(log_start_offset));
        }
    }

    /// What the disk reports may end somebody's wait.
    pub(super) fn marks_reported(&mut self, partition: &TopicPartition, report: &DiskReport) {
        let ended = match report {
            DiskReport::Marked => Ended::OnDisk,
            DiskReport::NotMarked => Ended::WithoutSpace,
            DiskReport::Done(_)
            | DiskReport::Failed(..)
            | DiskReport::Synced(_)
            | DiskReport::SyncFailed(..)
            | DiskReport::Reserved(..)
            | DiskReport::ReserveFailed(..)
            | DiskReport::GaveUp(_)
            | DiskReport::MarkFailed(_) => return self.give_up_if_poisoned(partition),
        };
        for (waiter, log_start_offset) in self.marks.end(partition, ended) {
            let result = match ended {
                Ended::OnDisk => Ok(log_start_offset),
                Ended::WithoutSpace => {
                    let why =
                        "no space is left to note where the log begins: what was deleted may be back after a crash";
                    Err(RequestError::because(ErrorCode::KafkaStorageError, why))
                }
            };
            self.on_deleted_records(waiter, result);
        }
    }

    /// Nothing more is written to a log that has failed, so no mark either.
    fn give_up_if_poisoned(&mut self, partition: &TopicPartition) {
        let Some(Health::Poisoned { why }) = self.hosts.get(partition).map(|host| host.log().health()) else { return };
        let error = RequestError::because(ErrorCode::KafkaStorageError, why);
        for waiter in self.marks.give_up(partition) {
            self.on_deleted_records(waiter, Err(error.clone()));
        }
    }

    /// The partition is not here any more.
    pub(super) fn drop_marks(&mut self, partition: &TopicPartition) {
        for waiter in self.marks.give_up(partition) {
            self.on_deleted_records(waiter, Err(unknown_partition(partition)));
        }
        self.marks.forget(partition);
    }

    pub(super) fn on_deleted_records(&mut self, waiter: Waiter, result: Result<Offset, RequestError>) {
        let Some(wait) = self.forget(waiter) else { return };
        if let Some(Pending::DeleteRecords(gather)) = self.asked.pending_mut(wait.request) {
            gather.answer(wait.index, result);
        }
        self.maybe_respond(wait.request);
    }
}
