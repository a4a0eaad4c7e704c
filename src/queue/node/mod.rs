//! The node: one [`Broker`] behind one lock, its files, and the threads that do what it wants.
//!
//! Whoever gives the node something (a request, a report of the disk) drains it in the same critical section and then, with
//! no lock held, does one turn of what came out: most often the very write that it asked for. Flushes, searches and what was
//! left over go to a pool of threads; somebody who is about to wait does such a task in the meantime, so that one caller
//! alone never waits for another thread to wake up.
//!
//! - May use: `broker`, `disk`, `message`, and its siblings in `queue`.
//! - Must not know: rules. What is to be done is decided by the broker.
//! - Always true: lock order is directory, then node, then lanes; the lock of the node is not held during a call of the disk,
//!   but at the close, nor while somebody is told an answer.

mod absent;
mod ask;
mod check_cache;
mod checks;
mod clock;
mod compaction;
mod ending;
mod errand;
mod flush;
mod handle;
mod live;
mod load;
mod missing;
mod not_opened;
mod notes;
mod outputs;
mod read;
mod search;
mod slot;
mod snapshots;
mod stop;
mod tasks;
#[cfg(test)]
mod tests;
mod ticks;
mod watch;

use std::io;
use std::sync::{Arc, OnceLock, Weak};

use crate::broker::{Broker, DiskReport, Input};
use crate::controller::Uuid;
use crate::disk::{Disk, DiskError, LogDir};
use crate::id::BrokerId;
use crate::log::{Closing, FlushedMark};
use crate::queue::alarm::Alarm;
use crate::queue::budget::Budget;
use crate::queue::builder::FlushScope;
use crate::queue::client::Clocked;
use crate::queue::pool::{Panic, Pool};
use crate::queue::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use crate::queue::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use crate::queue::sync::{Condvar, Mutex};
use crate::queue::telemetry;

pub(crate) use absent::found;
use check_cache::CheckCache;
pub(crate) use clock::Clock;
use compaction::Compactor;
use ending::Alive;
pub(crate) use ending::{ends, wait_for_an_end};
use flush::Flushes;
pub(crate) use handle::Handle;
use live::Live;
pub use not_opened::NotOpened;
pub use notes::Notes;
use outputs::{Core, SlotTurn, Task, Todo};
use slot::{Settled, Slot};
pub use stop::Closed;

/// One node with its threads.
#[derive(Debug)]
pub(crate) struct Node<D: Disk> {
    core: Mutex<Core<D>>,
    dirs: Vec<Arc<Mutex<LogDir<D>>>>,
    clock: Clock,
    pool: Pool<Task<D>>,
    compactor: Compactor,
    alarm: Arc<Alarm>,
    clocked: Mutex<Vec<Weak<dyn Clocked>>>,
    /// Whose lanes wait for space.
    stalled: Mutex<Vec<Arc<Slot<D>>>>,
    flushes: Flushes<D>,
    checks: CheckCache,
    /// The bytes of batches that clients have sent, wherever they are now.
    live: Live,
    /// What bounds the memory of those who read, if anything does.
    budget: Option<Arc<Budget>>,
    /// Held by whoever closes the node.
    closing: Mutex<()>,
    /// Notified whenever the node was given something, if anybody watches.
    changed: Condvar,
    /// How many threads look whether something has come to be so, or wait for it.
    watching: AtomicUsize,
    chances: AtomicU64,
    /// Somebody's thread has panicked on our errand: it lost a turn, or left the broker in the middle of a step.
    lost: Arc<AtomicBool>,
    options: NodeOptions,
    /// Set once there are handles. The last field: it is dropped behind the locks of the directories.
    alive: Mutex<Option<Alive>>,
}

/// How a node works.
#[derive(Clone, Debug)]
pub(crate) struct NodeOptions {
    /// This node.
    pub(crate) broker: BrokerId,
    /// The ids of the directories, in their order.
    pub(crate) directories: Vec<Uuid>,
    /// What the directories are called, for people, in their order.
    pub(crate) names: Vec<String>,
    /// Where chance comes from.
    pub(crate) seed: u128,
    /// How many threads flush, search and open.
    pub(crate) threads: usize,
    /// How many files of a partition are open at a time.
    pub(crate) open_files_max: usize,
    /// How often retention and the like are looked after, in milliseconds.
    pub(crate) upkeep_interval_ms: u64,
    /// What a flush makes durable.
    pub(crate) flush_scope: FlushScope,
    /// How many bytes of records consumers and the program may have, if that is bounded.
    pub(crate) consumer_memory_bytes_max: Option<u64>,
}

/// The last handle has gone: whoever still waits is told.
impl<D: Disk> Drop for Node<D> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<D: Disk> Node<D> {
    /// Starts the threads of a node that holds nothing yet.
    ///
    /// # Errors
    ///
    /// The operating system's, if it has no threads to give.
    pub(crate) fn start(broker: Broker, dirs: Vec<LogDir<D>>, options: NodeOptions) -> io::Result<Arc<Self>> {
        let of_pool: Arc<OnceLock<Weak<Self>>> = Arc::default();
        let pool = pool_of(&of_pool, options.threads, "ottla-worker", Self::run)?;
        let compactor = pool_of(&of_pool, 1, "ottla-compactor", |node: &Self, _round| node.compact_round())?;
        let node = Arc::new(Self {
            core: Mutex::new(Core::new(broker)),
            dirs: dirs.into_iter().map(|dir| Arc::new(Mutex::new(dir))).collect(),
            clock: Clock::start(),
            pool,
            compactor: Compactor::new(compactor),
            alarm: Arc::new(Alarm::new()),
            clocked: Mutex::new(Vec::new()),
            stalled: Mutex::new(Vec::new()),
            flushes: Flushes::new(options.flush_scope),
            checks: CheckCache::default(),
            live: Live::default(),
            budget: options.consumer_memory_bytes_max.map(Budget::new),
            closing: Mutex::new(()),
            changed: Condvar::new(),
            watching: AtomicUsize::new(0),
            chances: AtomicU64::new(options.seed as u64),
            lost: Arc::default(),
            options,
            alive: Mutex::new(None),
        });
        // Nobody has given the pool anything yet, so it is set before it is looked for.
        of_pool.set(Arc::downgrade(&node)).unwrap_or_default();
        ticks::start(&node)?;
        Ok(node)
    }

    /// Gives the node what has happened, and does what follows from it.
    pub(crate) fn give(&self, input: Input) {
        let _errand = self.errand();
        let mut todo = Todo::default();
        let now = self.clock.now();
        {
            let mut core = self.core.lock();
            core.give(now, input, &mut todo);
            self.was_given(&mut core);
        }
        self.finish(todo);
    }

    /// Does what the node wants, with no lock held: tells the answers, does one turn for each partition that this caller has
    /// brought something to, and leaves the rest to the pool.
    fn finish(&self, todo: Todo<D>) {
        let _errand = self.errand();
        // Dropped before the errand is over, if it ends in a panic.
        let mut todo = todo;
        let mut own = std::mem::take(&mut todo.turns);
        loop {
            for answer in todo.answers.drain(..) {
                (answer.on_answer)(answer.response);
            }
            for (partition, bytes) in todo.dropped.drain(..) {
                telemetry::dropped(&partition, bytes);
            }
            for task in todo.tasks.drain(..) {
                self.pass_on(task);
            }
            if std::mem::take(&mut todo.again) {
                self.pass_on(Task::Wake);
            }
            for turn in todo.turns.drain(..) {
                self.pass_on(Task::Turn(turn));
            }
            let Some(turn) = own.pop() else { return };
            self.take_turn(turn, &mut todo);
        }
    }

    /// Does what stands in a partition's lanes now, and reports it. What has come meanwhile is left for another turn.
    fn take_turn(&self, SlotTurn { slot, mut turn }: SlotTurn<D>, todo: &mut Todo<D>) {
        let performed = slot.perform(turn.take(), |mark| self.settle_mark(&slot, mark));
        if !performed.reports.is_empty() {
            let now = self.clock.now();
            let mut core = self.core.lock();
            for report in performed.reports {
                core.report(now, &slot, report, todo);
            }
            self.was_given(&mut core);
        }
        if performed.broken {
            slot.lanes.break_off();
        } else if !performed.left.is_empty() {
            telemetry::stalled();
            turn.put_back(performed.left);
            self.stalled.lock().push(Arc::clone(&slot));
            self.alarm.hurry(self.clock.now().after(ticks::RETRY_MS));
        }
        match turn.finish() {
            Some(turn) => self.pass_on(Task::Turn(SlotTurn { slot, turn })),
            None => self.has_become_idle(),
        }
        if performed.freed {
            self.retry_stalled();
        }
    }

    /// Something is over that somebody may wait for: a partition's lanes have nothing more to do.
    fn has_become_idle(&self) {
        // Who waits says so before he looks at the lanes: either he has seen them idle, or he is seen here.
        if self.watching.load(SeqCst) > 0 {
            let _core = self.core.lock();
            self.changed.notify_all();
        }
    }

    /// Leaves a task to the pool. One that comes after the end is dropped, and what it was for is told by the end itself.
    fn pass_on(&self, task: Task<D>) {
        drop(self.pool.give(self.flushes.gather(task)));
    }

    /// Lets those try again who found no space.
    fn retry_stalled(&self) {
        for slot in std::mem::take(&mut *self.stalled.lock()) {
            if let Some(turn) = slot.lanes.retry() {
                self.pass_on(Task::Turn(SlotTurn { slot, turn }));
            }
        }
    }

    /// What a partition's mark says now; `None` once it is not here any more. Asked under the lock of its directory, so that
    /// no older mark is written behind it.
    fn current_mark(&self, slot: &Arc<Slot<D>>) -> Option<FlushedMark> {
        let core = self.core.lock();
        let is_current = core.slots.get(&slot.partition).is_some_and(|current| Arc::ptr_eq(current, slot));
        let partition = core.broker.partition(&slot.partition).filter(|_| is_current)?;
        Some(partition.log().mark(Closing::Open))
    }

    /// Writes a mark that is relied on into both of its copies: a later one, if there is, for that says all that this one
    /// does. Nothing of a partition that is being deleted: what is noted of it is forgotten under the same lock.
    fn settle_mark(&self, slot: &Arc<Slot<D>>, mark: &FlushedMark) -> Result<Settled, DiskError> {
        let mut dir = slot.dir.lock();
        if slot.lanes.is_broken() {
            return Ok(Settled::BrokenOff);
        }
        dir.settle_mark(&slot.partition, &self.current_mark(slot).unwrap_or(*mark))?;
        Ok(Settled::Noted)
    }

    /// Writes the mark of a partition as it is now; it may trail.
    fn note_mark(&self, slot: &Arc<Slot<D>>) {
        slot.is_mark_due.store(false, Release);
        let noted = {
            let mut dir = slot.dir.lock();
            let mark = self.current_mark(slot).filter(|_| !slot.lanes.is_broken());
            mark.map_or(Ok(()), |mark| dir.note_mark(&slot.partition, &mark))
        };
        if let Err(error) = noted {
            slot.lanes.break_off();
            let mut todo = Todo::default();
            {
                let mut core = self.core.lock();
                core.report(self.clock.now(), slot, DiskReport::MarkFailed(error.to_string()), &mut todo);
                self.was_given(&mut core);
            }
            self.finish(todo);
        }
    }

    /// The node was given something: the clock's thread sleeps until the earliest deadline, and a new one may be earlier;
    /// the metadata may have changed; and somebody may wait for the end.
    fn was_given(&self, core: &mut Core<D>) {
        if let Some(deadline) = core.broker.next_deadline() {
            self.alarm.hurry(deadline);
        }
        self.checks.note(core.broker.metadata_end().get());
        if core.watchers > 0 {
            self.changed.notify_all();
        }
    }

    /// The directory of this id: the first one if there is none, for a node alone may have one that nobody has named.
    fn dir_of(&self, directory: Option<Uuid>) -> usize {
        let named = self.options.directories.iter().position(|id| Some(*id) == directory);
        named.unwrap_or(0)
    }

    /// A number that nobody has drawn before.
    fn chance(&self) -> u64 {
        self.chances.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed)
    }
}

/// Threads that work for a node as long as it is there.
fn pool_of<D: Disk, J: Send + 'static>(
    node: &Arc<OnceLock<Weak<Node<D>>>>,
    threads: usize,
    name: &str,
    run: impl Fn(&Node<D>, J) + Send + Sync + 'static,
) -> io::Result<Pool<J>> {
    let (of_run, of_panic) = (Arc::clone(node), Arc::clone(node));
    let upgrade = |weak: &OnceLock<Weak<Node<D>>>| weak.get().and_then(Weak::upgrade);
    let run = move |job| {
        if let Some(node) = upgrade(&of_run) {
            run(&node, job);
        }
    };
    let on_panic = move |panic: Panic| {
        if let Some(node) = upgrade(&of_panic) {
            node.on_panic(&panic);
        }
    };
    Pool::new(threads, name, run, on_panic)
}
