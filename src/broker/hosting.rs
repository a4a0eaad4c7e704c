//! The partitions that this node holds: taken, told what has come of their wishes, and let go.
//!
//! - Always true: what a partition wants is carried to where it belongs before the next one is looked at.

use crate::broker::io::{DiskReport, Host, NotHosted, Output};
use crate::broker::refuse::unknown_partition;
use crate::broker::{Broker, Due, errors};
use crate::id::TopicPartition;
use crate::log::Replacement;
use crate::message::{ErrorCode, RequestError};
use crate::partition::{DiskWish, Effect, Partition, StopReason};
use crate::time::Instant;

impl Broker {
    pub(super) fn on_host(&mut self, now: Instant, host: Host) {
        let partition = host.facts.partition.clone();
        if self.hosts.contains_key(&partition) {
            return self.outputs.push_back(Output::NotHosted { partition, error: NotHosted::Twice });
        }
        match Partition::lead(host.log, host.facts, host.reign, host.config, &mut self.effects) {
            Ok(led) => {
                self.hosts.insert(partition.clone(), led);
                self.absent.remove(&partition);
                self.configure_as_decided(&partition);
                self.carry(&partition);
                self.load_offsets(now, &partition);
                self.on_opened(&partition, None);
            }
            Err(error) => {
                self.effects.clear();
                let why = RequestError::because(ErrorCode::KafkaStorageError, &error);
                self.on_not_opened(partition.clone(), why);
                self.outputs.push_back(Output::NotHosted { partition, error: error.into() });
            }
        }
    }

    pub(super) fn on_stop(&mut self, partition: &TopicPartition, reason: StopReason) {
        self.with_host(partition, |host, effects| match reason {
            StopReason::Closed => host.close(effects),
            StopReason::Resigned | StopReason::Deleted => host.stop(reason, effects),
        });
    }

    pub(super) fn on_release(&mut self, now: Instant, partition: &TopicPartition) {
        if self.hosts.get(partition).is_some_and(|host| host.reign().is_some()) {
            self.on_stop(partition, StopReason::Resigned);
        }
        while self.behind.remove(partition) {
            self.with_host(partition, Partition::proceed);
        }
        while !self.woken.is_empty() {
            self.retry_woken(now);
        }
        self.hosts.remove(partition);
        self.note_space(partition);
        self.absent.remove(partition);
        self.drop_offsets(partition);
        // What was looked for in its files is not found any more.
        for waiter in self.asked.waiters_at(partition) {
            self.on_found(waiter, Err(unknown_partition(partition)));
        }
        self.drop_marks(partition);
        self.on_released(partition);
    }

    pub(super) fn on_replace(&mut self, partition: TopicPartition, replacement: Replacement) {
        let mut result = None;
        self.with_host(&partition, |host, effects| result = Some(host.replace(replacement, effects)));
        self.outputs.extend(result.map(|result| Output::Replaced { partition, result }));
    }

    pub(super) fn on_report(&mut self, partition: &TopicPartition, report: DiskReport) {
        self.with_host(partition, |host, effects| match &report {
            DiskReport::Done(last) => host.done(*last, effects),
            DiskReport::Failed(op, why) => host.failed(*op, why.clone(), effects),
            DiskReport::Synced(id) => host.synced(*id, effects),
            DiskReport::SyncFailed(id, why) => host.sync_failed(*id, why, effects),
            DiskReport::Reserved(file, len) => host.reserved(*file, *len, effects),
            DiskReport::ReserveFailed(needed, why) => host.reserve_failed(*needed, why.clone(), effects),
            DiskReport::MarkFailed(why) => host.mark_failed(why, effects),
            DiskReport::GaveUp(why) => host.give_up(why.clone(), effects),
            // The partition relies on no mark by itself: those who wait do.
            DiskReport::Marked | DiskReport::NotMarked => {}
        });
        self.marks_reported(partition, &report);
        self.offsets_committed(partition);
    }

    /// Why there is no such partition here.
    pub(super) fn not_here(&self, partition: &TopicPartition) -> RequestError {
        self.absent.get(partition).cloned().unwrap_or_else(|| unknown_partition(partition))
    }

    pub(super) fn with_host(
        &mut self,
        partition: &TopicPartition,
        change: impl FnOnce(&mut Partition, &mut Vec<Effect>),
    ) {
        if let Some(host) = self.hosts.get_mut(partition) {
            debug_assert!(self.effects.is_empty(), "effects of another partition");
            change(host, &mut self.effects);
            self.carry(partition);
        }
    }

    /// Carries what a partition wants to where it belongs.
    pub(super) fn carry(&mut self, partition: &TopicPartition) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Disk(wish) => {
                    if matches!(wish, DiskWish::Mark(_)) {
                        self.marks.ask(partition);
                    }
                    self.outputs.push_back(Output::Disk { partition: partition.clone(), wish });
                }
                Effect::Produced { waiter, result } => self.on_produced(waiter, result),
                Effect::Fetched { waiter, .. } => self.on_fetched(waiter),
                Effect::Refused { error, .. } => {
                    let (partition, error) = (partition.clone(), errors::produce(partition, &error));
                    self.outputs.push_back(Output::Refused { partition, error });
                }
                Effect::Wait { waiter, deadline } => self.on_wait(waiter, deadline),
                Effect::Settled { waiter } => self.settle(waiter),
                Effect::FlushBy { deadline } => {
                    // Never taken off again: one that is not needed any more changes nothing.
                    self.wheel.insert(deadline, Due::Flush(partition.clone()));
                }
                Effect::Again => {
                    self.behind.insert(partition.clone());
                    self.outputs.push_back(Output::Again);
                }
            }
        }
        self.effects = effects;
        self.note_space(partition);
    }
}
