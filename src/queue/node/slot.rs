//! One partition's files, and what is to be done to them.
//!
//! - Must not know: the broker. What is reported is given back to whoever has the turn.
//! - Always true: ops of lane 1 are performed in the order in which they came out, one at a time; after one that failed,
//!   none. A mark is durable before anything that came out behind it is performed.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::broker::DiskReport;
use crate::disk::{Disk, DiskError, DiskErrorKind, LogDir, LogDriver, ReadFault, SyncJob};
use crate::id::TopicPartition;
use crate::log::{DiskOp, FileId, FlushedMark, OpFailure, OpSeq, Remove, SegmentInfo, Span, SpanFacts, Sync};
use crate::offset::Offset;
use crate::queue::op_queue::{Batch, OpQueue};
use crate::queue::sync::Mutex;
use crate::queue::sync::atomic::Ordering::SeqCst;
use crate::queue::sync::atomic::{AtomicBool, AtomicU64};
use crate::queue::telemetry::OpenPartition;
use crate::record::Entry;
use crate::time::Timestamp;

/// Something to be done to the files. The first two have their places in lane 1, the others wait for nothing there.
#[derive(Debug)]
pub(super) enum Job {
    Op(OpSeq, DiskOp),
    /// An op that was performed ahead of its turn.
    Performed(OpSeq),
    Reserve {
        file: FileId,
        needed: u32,
        wanted: u32,
    },
    Mark(Box<FlushedMark>),
    Remove(Remove),
}

/// One partition's files.
#[derive(Debug)]
pub(super) struct Slot<D: Disk> {
    pub(super) partition: TopicPartition,
    pub(super) dir: Arc<Mutex<LogDir<D>>>,
    /// What its directory is called, for people.
    pub(super) directory: String,
    pub(super) lanes: OpQueue<Job>,
    files: Mutex<Files<D>>,
    /// Somebody is about to note what is flushed.
    pub(super) is_mark_due: AtomicBool,
    /// It is about to be closed or deleted: nothing is done beside its log any more.
    pub(super) ends_compaction: AtomicBool,
    /// It has a batch that cannot be compacted.
    pub(super) is_uncleanable: AtomicBool,
    /// The last op that gave a compacted segment its place.
    swapped: AtomicU64,
}

#[derive(Debug)]
struct Files<D: Disk> {
    /// Gone once the partition is closed or deleted.
    driver: Option<LogDriver<D>>,
    /// Counted as open as long as there is a driver.
    counted: Option<OpenPartition>,
    /// The last op of lane 1 that was performed.
    done: OpSeq,
    /// Removals that wait for an op.
    removals: Vec<Remove>,
}

/// What came of a mark that did not fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Settled {
    /// It is on disk.
    Noted,
    /// The partition's lanes are broken off: it is not.
    BrokenOff,
}

/// What came of a turn.
#[derive(Debug, Default)]
pub(super) struct Performed {
    /// To be reported, in this order.
    pub(super) reports: Vec<DiskReport>,
    /// What was not performed, from the op on that found no space.
    pub(super) left: VecDeque<Job>,
    /// Nothing may be performed any more.
    pub(super) broken: bool,
    /// The last op among them that gave a compacted segment its place.
    pub(super) swapped: Option<OpSeq>,
    /// Space was given back.
    pub(super) freed: bool,
}

impl<D: Disk> Slot<D> {
    /// `lost` is set if a turn is lost: that happens only in a panic, and then who waits would wait for ever.
    pub(super) fn new(
        partition: TopicPartition,
        (dir, directory): (Arc<Mutex<LogDir<D>>>, String),
        driver: LogDriver<D>,
        lost: Arc<AtomicBool>,
    ) -> Self {
        let files = Files {
            driver: Some(driver),
            counted: Some(OpenPartition::begin()),
            done: OpSeq::default(),
            removals: Vec::new(),
        };
        // The lanes are broken off: nothing is performed out of order behind it. Whoever comes next sees the rest.
        let lanes = OpQueue::new(move || lost.store(true, SeqCst));
        Self {
            partition,
            dir,
            directory,
            lanes,
            files: Mutex::new(files),
            is_mark_due: AtomicBool::new(false),
            ends_compaction: AtomicBool::new(false),
            is_uncleanable: AtomicBool::new(false),
            swapped: AtomicU64::new(0),
        }
    }

    /// Does what a turn has taken; `settle` writes a mark into both of its copies.
    pub(super) fn perform(
        &self,
        batch: Batch<Job>,
        settle: impl Fn(&FlushedMark) -> Result<Settled, DiskError>,
    ) -> Performed {
        let mut performed = Performed::default();
        let mut removals = Vec::new();
        for job in batch.free {
            match job {
                Job::Mark(mark) => match settle(&mark) {
                    Ok(Settled::Noted) => performed.reports.push(DiskReport::Marked),
                    // Nobody may take it for noted: whoever broke the lanes off tells those who wait.
                    Ok(Settled::BrokenOff) => {
                        performed.broken = true;
                        return performed;
                    }
                    // Without space, one goes on without.
                    Err(error) if error.kind == DiskErrorKind::NoSpace => {
                        performed.reports.push(DiskReport::NotMarked);
                    }
                    Err(error) => {
                        performed.reports.push(DiskReport::MarkFailed(error.to_string()));
                        performed.broken = true;
                        return performed;
                    }
                },
                Job::Remove(remove) => removals.push(remove),
                Job::Op(..) | Job::Performed(_) | Job::Reserve { .. } => {}
            }
        }
        let mut files = self.files.lock();
        files.removals.append(&mut removals);
        files.perform_ordered(batch.ordered, &mut performed);
        if let Some(OpSeq(swapped)) = performed.swapped {
            self.swapped.fetch_max(swapped, SeqCst);
        }
        if !performed.broken {
            files.remove_what_may_go(&mut performed);
        }
        performed
    }

    /// Performs a flush; writes may go on beside it.
    pub(super) fn flush(&self, sync: &Sync) -> Option<DiskReport> {
        Some(match self.begin_flush(sync)? {
            Ok(job) => {
                let result = job.perform();
                self.end_flush(sync, job, result)
            }
            Err(failed) => failed,
        })
    }

    /// Makes the job of a flush, or the report of its failure.
    pub(super) fn begin_flush(&self, sync: &Sync) -> Option<Result<SyncJob<D>, DiskReport>> {
        let begun = self.files.lock().driver.as_mut()?.begin_sync(sync);
        Some(begun.map_err(|error| DiskReport::SyncFailed(sync.id, error.to_string())))
    }

    /// The job was performed: reports it.
    pub(super) fn end_flush(&self, sync: &Sync, job: SyncJob<D>, result: Result<(), DiskError>) -> DiskReport {
        if let Err(error) = result {
            return DiskReport::SyncFailed(sync.id, error.to_string());
        }
        if let Some(driver) = self.files.lock().driver.as_mut() {
            driver.end_sync(job);
        }
        DiskReport::Synced(sync.id)
    }

    /// Reads what was planned. `None`: the partition is not here any more.
    pub(super) fn read(&self, span: &Span, facts: &SpanFacts) -> Option<Result<Vec<Entry>, ReadFault>> {
        Some(self.files.lock().driver.as_mut()?.read(span, facts))
    }

    /// What the time index of a sealed segment says. `None`: the partition is not here any more.
    pub(super) fn time_lookup(
        &self,
        segment: &SegmentInfo,
        wanted: Timestamp,
    ) -> Option<Result<(Timestamp, Offset), DiskError>> {
        Some(self.files.lock().driver.as_mut()?.time_lookup(segment, wanted))
    }

    /// How many bytes of buffers are in use that its files were read into.
    pub(super) fn read_bytes(&self) -> u64 {
        self.files.lock().driver.as_ref().map_or(0, |driver| driver.live_bytes() as u64)
    }

    /// Whether a compacted segment has the place that `op` gives it, also if that is not reported yet.
    pub(super) fn has_swapped(&self, op: OpSeq) -> bool {
        self.swapped.load(SeqCst) >= op.0
    }

    /// Asks for handles and what is known of files. `None`: the partition is not here any more.
    pub(super) fn with_driver<T>(&self, ask: impl FnOnce(&mut LogDriver<D>) -> T) -> Option<T> {
        self.files.lock().driver.as_mut().map(ask)
    }

    /// Lets go of the files; nothing is performed any more.
    pub(super) fn take_driver(&self) -> Option<LogDriver<D>> {
        self.lanes.break_off();
        let (driver, _counted) = {
            let mut files = self.files.lock();
            (files.driver.take(), files.counted.take())
        };
        driver
    }
}

impl Performed {
    fn has_swapped(&mut self, op: OpSeq) {
        self.swapped = Some(op);
        self.freed = true;
    }
}

impl<D: Disk> Files<D> {
    fn perform_ordered(&mut self, ordered: VecDeque<Job>, performed: &mut Performed) {
        let mut done = None;
        let mut rest = ordered.into_iter();
        while let Some(next) = rest.next() {
            let Some(driver) = self.driver.as_mut() else { return };
            match next {
                Job::Op(seq, op) => match driver.perform(&op) {
                    Ok(()) => {
                        self.done = seq;
                        done = Some(seq);
                        if let DiskOp::Swap { .. } = op {
                            performed.has_swapped(seq);
                        }
                    }
                    Err(error) => {
                        performed.reports.extend(done.take().map(DiskReport::Done));
                        performed.reports.push(DiskReport::Failed(seq, failure(&error)));
                        if error.kind == DiskErrorKind::NoSpace {
                            performed.left = std::iter::once(Job::Op(seq, op)).chain(rest).collect();
                            self.swap_ahead(performed);
                        } else {
                            performed.broken = true;
                        }
                        return;
                    }
                },
                Job::Performed(seq) => {
                    self.done = seq;
                    done = Some(seq);
                }
                Job::Reserve { file, needed, wanted } => {
                    performed.reports.extend(done.take().map(DiskReport::Done));
                    performed.reports.push(match driver.reserve(file, needed, wanted) {
                        Ok(len) => DiskReport::Reserved(file, len),
                        Err(error) => DiskReport::ReserveFailed(needed, failure(&error)),
                    });
                }
                Job::Mark(_) | Job::Remove(_) => {}
            }
        }
        performed.reports.extend(done.map(DiskReport::Done));
    }

    /// Gives compacted segments their place, ahead of what waits for space: they need none, they give some back, and readers
    /// find them nowhere else.
    fn swap_ahead(&mut self, performed: &mut Performed) {
        let Some(driver) = self.driver.as_mut() else { return };
        let mut swapped = None;
        for job in &mut performed.left {
            let Job::Op(seq, op @ DiskOp::Swap { .. }) = job else { continue };
            let seq = *seq;
            match driver.perform(op) {
                Ok(()) => {
                    swapped = Some(seq);
                    *job = Job::Performed(seq);
                }
                Err(error) => {
                    // Without space it is tried again in its order.
                    if error.kind != DiskErrorKind::NoSpace {
                        performed.reports.push(DiskReport::Failed(seq, failure(&error)));
                        performed.broken = true;
                    }
                    break;
                }
            }
        }
        if let Some(seq) = swapped {
            performed.has_swapped(seq);
        }
    }

    /// Removes what no op that is still to come names. A file that cannot be removed stays: the next opening finds it.
    fn remove_what_may_go(&mut self, performed: &mut Performed) {
        let Some(driver) = self.driver.as_mut() else { return };
        let done = self.done;
        let may_go = |remove: &mut Remove| remove.after <= done;
        for remove in self.removals.extract_if(.., may_go) {
            performed.freed |= driver.remove(&remove).is_ok();
        }
    }
}

pub(super) fn failure(error: &DiskError) -> OpFailure {
    if error.kind == DiskErrorKind::NoSpace { OpFailure::NoSpace } else { OpFailure::Failed(error.to_string()) }
}
