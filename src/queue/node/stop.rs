//! The ends of a node: closed in order, or stopped as it is.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::broker::Input;
use crate::disk::Disk;
use crate::id::TopicPartition;
use crate::log::{Closing, Health};
use crate::offset::Offset;
use crate::partition::StopReason;
use crate::queue::client::Stopped;
use crate::queue::node::Node;
use crate::queue::node::outputs::Core;

/// What became of one partition at the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closed {
    /// Which one.
    pub partition: TopicPartition,
    /// Where its log ends.
    pub log_end_offset: Offset,
    /// Up to where all of it is on disk.
    pub flushed: Offset,
    /// Why the rest is not known to be, if there is any.
    pub why: Option<String>,
}

impl<D: Disk> Node<D> {
    /// Takes no more questions, has all that was appended written and flushed, and closes each log. What fails is told for
    /// each partition; the others are closed all the same. The partition `last` is closed behind all others, and then the
    /// directories are let go. Whoever closes meanwhile waits, and finds nothing to close.
    pub(crate) fn close(&self, last: &TopicPartition) -> Vec<Closed> {
        let _closer = self.closing.lock();
        self.refuse_all();
        self.compactor.close();
        // What is being made is closed too, and what is being removed is not.
        let _ = self.wait_for(|core| core.changing == 0);
        let names: Vec<TopicPartition> = self.core.lock().slots.keys().filter(|name| *name != last).cloned().collect();
        let mut closed = self.close_all(&names);
        closed.extend(self.close_all(std::slice::from_ref(last)));
        self.alarm.close();
        self.pool.close();
        // Nobody does anything here any more, though handles may be left: whoever opens the directories next need not wait
        // for these.
        for dir in &self.dirs {
            dir.lock().unlock();
        }
        closed
    }

    /// Takes no more questions, and answers those that wait: whether what they asked for was done is not known.
    pub(crate) fn stop(&self) {
        self.refuse_all();
        self.alarm.close();
        self.compactor.abandon();
        self.pool.abandon();
    }

    /// A fault of ours: nothing is done any more.
    pub(super) fn break_down(&self, why: &str) {
        self.core.lock().broken.get_or_insert_with(|| why.to_owned());
        self.stop();
        self.changed.notify_all();
    }

    fn refuse_all(&self) {
        self.compactor.end();
        let waiting = {
            let mut core = self.core.lock();
            core.is_stopped = true;
            self.changed.notify_all();
            core.askers.take_all()
        };
        // Each of them is told, also if the one in front of it panics.
        for on_answer in waiting {
            let _ = catch_unwind(AssertUnwindSafe(|| on_answer(Err(Stopped))));
        }
        for one in self.clocked() {
            let _ = catch_unwind(AssertUnwindSafe(|| one.stopped()));
        }
    }

    fn close_all(&self, names: &[TopicPartition]) -> Vec<Closed> {
        for partition in names {
            self.give(Input::Stop { partition: partition.clone(), reason: StopReason::Closed });
        }
        // It ends by itself: what is written, flushed or has failed is over.
        let _ = self.wait_for(|core| names.iter().all(|partition| core.has_ended(partition)));
        names.iter().filter_map(|partition| self.close_one(partition)).collect()
    }

    /// Closes the log of a partition that has nothing more to do. Nobody else uses the node any more, so its lock may be held
    /// during this.
    fn close_one(&self, partition: &TopicPartition) -> Option<Closed> {
        let slot = self.core.lock().slots.remove(partition)?;
        // One that the end of the node has left to itself.
        self.end_compaction(&slot);
        let driver = slot.take_driver();
        let mut dir = slot.dir.lock();
        let core = self.core.lock();
        let log = core.broker.partition(partition)?.log();
        let mut why = match log.health() {
            Health::Poisoned { why } => Some(why.clone()),
            Health::Stalled => Some("no space was left".to_owned()),
            Health::Good => core.broken.clone(),
        };
        if why.is_none() {
            why = match driver {
                None => Some("its files were let go before".to_owned()),
                Some(driver) if log.mark(Closing::Closed).clean => {
                    dir.close_log(log, driver, partition).err().map(|error| error.to_string())
                }
                Some(_) => Some("not all of it is on disk".to_owned()),
            };
        }
        let (log_end_offset, flushed) = (log.log_end_offset(), log.flushed());
        Some(Closed { partition: partition.clone(), log_end_offset, flushed, why })
    }
}

impl<D: Disk> Core<D> {
    /// Whether nothing more will be done for a partition: all is on disk, or nothing can be.
    fn has_ended(&self, partition: &TopicPartition) -> bool {
        let (Some(slot), Some(host)) = (self.slots.get(partition), self.broker.partition(partition)) else {
            return true;
        };
        let log = host.log();
        let is_over = match log.health() {
            Health::Good => log.is_settled() && slot.lanes.is_idle(),
            Health::Poisoned { .. } | Health::Stalled => true,
        };
        is_over || self.broken.is_some() || slot.lanes.is_broken()
    }
}
