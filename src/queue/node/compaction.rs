//! Compaction of the partitions whose topics want it: one at a time, by a thread of its own.
//!
//! What takes long, reading what is there and writing what is left of it, goes on without a lock of the node, while others
//! append and read; the log is only asked for what it knows, and then given the segment that takes the place of others.
//!
//! - Must not know: what is kept, and when it is worth it.
//! - Always true: whoever closes or deletes a partition goes on once its compaction has ended, which it does at its next
//!   batch; the compactor itself tells nobody an answer and performs nothing that came out of the lanes, so it never waits for
//!   itself.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::broker::{DiskReport, Input};
use crate::disk::compact::{self, CompactFault, Site, Unplaced};
use crate::disk::{Disk, DiskCall, DiskError, DiskErrorKind, DiskPath, LogDir, LogDriver, OpenOptions};
use crate::id::TopicPartition;
use crate::log::{Health, Log, ReplaceError, Replacement};
use crate::offset::Offset;
use crate::partition::{CompactError, Partition};
use crate::queue::node::Node;
use crate::queue::node::outputs::{Core, Task, Todo};
use crate::queue::node::slot::{Settled, Slot};
use crate::queue::pool::Pool;
use crate::queue::sync::atomic::AtomicBool;
use crate::queue::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use crate::queue::sync::{MutexGuard, WaitUntil};
use crate::queue::telemetry::{self, Stopwatch};

/// How many flushes are waited for until what is to be compacted is on disk.
const FLUSHES_MAX: usize = 4;

/// Who compacts.
#[derive(Debug)]
pub(super) struct Compactor {
    thread: Pool<Round>,
    /// A round waits to be begun.
    is_asked: AtomicBool,
    /// The node ends: so does what is under way.
    is_over: AtomicBool,
}

/// A look at all partitions, of which those that are due are compacted.
#[derive(Debug)]
pub(super) struct Round;

impl Compactor {
    pub(super) fn new(thread: Pool<Round>) -> Self {
        Self { thread, is_asked: AtomicBool::new(false), is_over: AtomicBool::new(false) }
    }

    /// Has another look taken, unless one is about to be.
    pub(super) fn ask(&self) {
        if !self.is_asked.swap(true, AcqRel) {
            // After the end nothing is compacted.
            drop(self.thread.give(Round));
        }
    }

    /// Has what is under way end at its next batch, and nothing begin any more.
    pub(super) fn end(&self) {
        self.is_over.store(true, Release);
    }

    /// Returns when it has ended.
    pub(super) fn close(&self) {
        self.end();
        self.thread.close();
    }

    /// Has it end, and waits for nothing.
    pub(super) fn abandon(&self) {
        self.end();
        self.thread.abandon();
    }
}

impl<D: Disk> Node<D> {
    /// Compacts what is due, the dirtiest first (CLN-07).
    pub(super) fn compact_round(&self) {
        self.compactor.is_asked.store(false, Release);
        let mut due: Vec<(f64, Arc<Slot<D>>)> = Vec::new();
        for slot in self.compacting_slots() {
            let Some(mut work) = self.work(&slot) else { continue };
            let Ok(dirt) = compact::dirt(&mut work, self.clock.date()) else { continue };
            if dirt.is_due(&work.options.config) || dirt.reset {
                due.push((dirt.ratio(), slot));
            }
        }
        due.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (_, slot) in due {
            self.compact(&slot);
        }
    }

    /// The partitions whose topics are compacted.
    fn compacting_slots(&self) -> Vec<Arc<Slot<D>>> {
        let core = self.core.lock();
        let of_those = |slot: &&Arc<Slot<D>>| core.broker.partition(&slot.partition).is_some_and(is_compacted);
        core.slots.values().filter(of_those).cloned().collect()
    }

    /// Compacts a partition. What fails is tried again in the next round, unless a batch itself cannot be compacted.
    fn compact(&self, slot: &Arc<Slot<D>>) {
        let Some(mut work) = self.work(slot) else { return };
        let Some(_underway) = self.begin_compaction(slot) else { return };
        let (_span, begun) = (telemetry::compacting(&slot.partition), Stopwatch::start());
        let outcome = compact::compact_if_due(&mut work, self.clock.date());
        match outcome {
            Ok(report) => {
                if report.range.is_some() {
                    telemetry::compacted(&begun, Some(report.bytes_before.saturating_sub(report.bytes_after)));
                }
                self.core.lock().notes.compacted(&slot.partition);
            }
            // It may be worth it the next time.
            Err(CompactFault::NotFlushed | CompactFault::Stalled | CompactFault::Stopped) => {}
            // Retention has been there meanwhile.
            Err(CompactFault::Replace(ReplaceError::Stale { .. })) => {}
            Err(_) if work.is_stopped() || self.core.lock().has_gone(slot) => {}
            Err(fault) => {
                if let CompactFault::Read(_) | CompactFault::Clean(_) | CompactFault::TooLarge(_) = fault {
                    slot.is_uncleanable.store(true, Release);
                }
                telemetry::compacted(&begun, None);
                self.core.lock().notes.compaction_failed(slot.partition.clone(), fault.to_string());
            }
        }
    }

    fn work<'a>(&'a self, slot: &'a Arc<Slot<D>>) -> Option<Work<'a, D>> {
        if slot.is_uncleanable.load(Acquire) {
            return None;
        }
        let config = self.current(slot, |host| host.log().config().clone())?;
        Some(Work { node: self, slot, options: OpenOptions { config, ..OpenOptions::default() } })
    }

    /// Begins, unless this is not the time: the log waits for space, what groups have committed is still read from it, or it
    /// is about to be closed or deleted.
    fn begin_compaction<'a>(&'a self, slot: &Slot<D>) -> Option<Underway<'a, D>> {
        let mut core = self.core.lock();
        let is_good = *core.current(slot)?.log().health() == Health::Good;
        if !is_good || core.broker.is_loading(&slot.partition) || core.has_gone(slot) {
            return None;
        }
        core.compacting = Some(slot.partition.clone());
        Some(Underway { node: self })
    }

    /// Has the compaction of a partition end, and waits until it has: nothing is written beside its log any more.
    pub(super) fn end_compaction(&self, slot: &Slot<D>) {
        slot.ends_compaction.store(true, Release);
        let mut core = self.core.lock();
        // The compactor may wait itself.
        self.changed.notify_all();
        while core.compacting.as_ref() == Some(&slot.partition) {
            self.wait_for_change(&mut core);
        }
    }

    /// Waits until it is so. Does no tasks meanwhile, unlike `wait_for`: one of them may have to wait for the compactor.
    fn wait_apart<T>(&self, mut find: impl FnMut(&Core<D>) -> Option<T>) -> T {
        let mut core = self.core.lock();
        loop {
            if let Some(found) = find(&core) {
                return found;
            }
            self.wait_for_change(&mut core);
        }
    }

    fn wait_for_change(&self, core: &mut MutexGuard<'_, Core<D>>) {
        core.watchers += 1;
        self.changed.wait_maybe_until(core, None);
        core.watchers -= 1;
    }

    /// Looks at the partition of a slot; `None` if it is not led here any more, or has another slot by now.
    fn current<T>(&self, slot: &Slot<D>, look: impl FnOnce(&Partition) -> T) -> Option<T> {
        self.core.lock().current(slot).map(look)
    }

    /// Gives the node something, and leaves what follows to the pool.
    fn give_apart<T>(&self, give: impl FnOnce(&mut Core<D>, &mut Todo<D>) -> T) -> T {
        let mut todo = Todo::default();
        let answer = {
            let mut core = self.core.lock();
            let answer = give(&mut core, &mut todo);
            self.was_given(&mut core);
            answer
        };
        self.pass_on(Task::Finish(Box::new(todo)));
        answer
    }
}

impl<D: Disk> Core<D> {
    fn current(&self, slot: &Slot<D>) -> Option<&Partition> {
        let is_current =
            self.slots.get(&slot.partition).is_some_and(|current| std::ptr::eq(&raw const **current, slot));
        self.broker.partition(&slot.partition).filter(|host| is_current && host.reign().is_some())
    }

    /// Whether nothing more is to be done beside the log of a partition.
    fn has_gone(&self, slot: &Slot<D>) -> bool {
        let is_over = self.is_stopped || self.broken.is_some() || slot.ends_compaction.load(Acquire);
        is_over || self.current(slot).is_none()
    }
}

/// A compaction is under way, until this is dropped: last, with no lock held.
struct Underway<'a, D: Disk> {
    node: &'a Node<D>,
}

impl<D: Disk> Drop for Underway<'_, D> {
    fn drop(&mut self) {
        self.node.core.lock().compacting = None;
        self.node.changed.notify_all();
    }
}

/// Where a compaction works.
struct Work<'a, D: Disk> {
    node: &'a Node<D>,
    slot: &'a Arc<Slot<D>>,
    options: OpenOptions,
}

impl<D: Disk> Work<'_, D> {
    /// Has what is below `to` flushed, unless it is.
    fn flush_up_to(&self, to: Offset) -> Result<(), CompactFault> {
        for _ in 0..FLUSHES_MAX {
            let is_settled = self.node.current(self.slot, |host| host.may_be_compacted(to));
            if is_settled.ok_or(CompactFault::Stopped)? {
                return Ok(());
            }
            let flush = Input::Flush(self.slot.partition.clone());
            self.node.give_apart(|core, todo| core.give(self.node.clock.now(), flush, todo));
            self.node.wait_apart(|core| {
                let waits = |host: &Partition| {
                    let is_under_way = *host.log().health() == Health::Good && host.log().is_flushing();
                    is_under_way && !host.may_be_compacted(to)
                };
                let goes_on = !core.has_gone(self.slot) && core.current(self.slot).is_some_and(waits);
                (!goes_on).then_some(())
            });
        }
        Err(CompactFault::NotFlushed)
    }

    /// Waits until a segment that the log has taken has its files, or will not have them soon.
    fn wait_for_place(&self, segment: Offset) -> Result<(), Unplaced> {
        self.node.wait_apart(|core| {
            let Some(log) = core.current(self.slot).map(Partition::log) else {
                return Some(Err(Unplaced::Later(CompactFault::Stopped)));
            };
            match (log.takes_place_with(segment), log.health()) {
                (None, _) => Some(Ok(())),
                (Some(op), _) if self.slot.has_swapped(op) => Some(Ok(())),
                (Some(_), Health::Poisoned { why }) => {
                    Some(Err(Unplaced::Later(CompactFault::Poisoned { why: why.clone() })))
                }
                (Some(_), _) if core.has_gone(self.slot) => Some(Err(Unplaced::Later(CompactFault::Stopped))),
                // It gets it once there is space; nobody else waits for that.
                (Some(_), Health::Stalled) => Some(Err(Unplaced::Later(CompactFault::Stalled))),
                (Some(_), Health::Good) => None,
            }
        })
    }
}

impl<D: Disk> Site for Work<'_, D> {
    type Disk = D;

    fn partition(&self) -> &TopicPartition {
        &self.slot.partition
    }

    fn options(&self) -> &OpenOptions {
        &self.options
    }

    fn disk(&self) -> D {
        self.slot.dir.lock().disk().clone()
    }

    fn with_log<T>(&mut self, look: impl FnOnce(&Log) -> T) -> Result<T, DiskError> {
        self.node.current(self.slot, |host| look(host.log())).ok_or_else(|| gone(self.slot))
    }

    fn with_driver<T>(&mut self, ask: impl FnOnce(&mut LogDriver<D>) -> Result<T, DiskError>) -> Result<T, DiskError> {
        self.slot.with_driver(ask).ok_or_else(|| gone(self.slot))?
    }

    fn with_dir<T>(&mut self, ask: impl FnOnce(&mut LogDir<D>) -> T) -> T {
        ask(&mut self.slot.dir.lock())
    }

    /// What stands complete beside the segments takes their place at the next opening, whether the log was given it or not:
    /// so the durable mark must not name one of them by then, or the opening would miss it.
    fn settle(&mut self, to: Offset) -> Result<(), CompactFault> {
        self.flush_up_to(to)?;
        let mark = self.node.current_mark(self.slot).ok_or(CompactFault::Stopped)?;
        match self.node.settle_mark(self.slot, &mark) {
            Ok(Settled::Noted) => Ok(()),
            Ok(Settled::BrokenOff) => Err(CompactFault::Stopped),
            Err(error) => {
                // Which mark is durable nobody knows then, and trying again would not tell.
                if error.kind != DiskErrorKind::NoSpace {
                    self.give_up(format!("the flushed mark could not be written: {error}"));
                }
                Err(error.into())
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.node.compactor.is_over.load(Acquire) || self.slot.ends_compaction.load(Acquire)
    }

    fn replace(&mut self, replacement: Replacement) -> Result<(), Unplaced> {
        let segment = replacement.output.base;
        let partition = self.slot.partition.clone();
        let input = Input::Replace { partition, replacement: Box::new(replacement) };
        let replaced = self.node.give_apart(|core, todo| {
            // Whoever takes the policy back keeps what is there (Kafka ends the compaction too).
            if !core.has_gone(self.slot) && core.current(self.slot).is_some_and(is_compacted) {
                core.give(self.node.clock.now(), input, todo);
            }
            core.replaced.take()
        });
        match replaced {
            Some(Ok(())) => self.wait_for_place(segment),
            Some(Err(CompactError::Replace(error))) => Err(Unplaced::Refused(error.into())),
            Some(Err(CompactError::Stalled)) => Err(Unplaced::Refused(CompactFault::Stalled)),
            Some(Err(CompactError::Poisoned { why })) => Err(Unplaced::Refused(CompactFault::Poisoned { why })),
            None => Err(Unplaced::Refused(CompactFault::Stopped)),
        }
    }

    fn give_up(&mut self, why: String) {
        self.slot.lanes.break_off();
        let report = DiskReport::GaveUp(why);
        self.node.give_apart(|core, todo| core.report(self.node.clock.now(), self.slot, report, todo));
    }
}

/// Whether the topic of a partition is compacted.
fn is_compacted(host: &Partition) -> bool {
    host.log().config().cleanup.compacts()
}

fn gone<D: Disk>(slot: &Slot<D>) -> DiskError {
    let path = DiskPath::root().entry(&slot.partition);
    DiskError { call: DiskCall::Open, path, span: None, kind: DiskErrorKind::NotFound }
}
