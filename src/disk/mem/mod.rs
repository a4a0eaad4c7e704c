//! The test disk: a log directory in memory that can lose, tear, reorder, fail and fill up.
//!
//! A [`MemDisk`] is one log directory, shared by its clones. It keeps what was synced apart from what only the page
//! cache knows, so that a test can ask, at any moment, what a disk may hold after a power loss: one image by
//! [`MemDisk::image`], all that are worth a look by [`MemDisk::images`]. Every call of [`Disk`](crate::disk::Disk) and
//! [`DiskFile`](crate::disk::DiskFile) has a number, and each is a place where the process may stop
//! ([`MemDisk::stop_at`]) or the call may fail ([`MemDisk::fail_at`]). Nothing is left to chance: seeds decide.
//!
//! - May use: `time` and the seam itself.
//! - Must not know: logs, batches, clocks (the date of a write is set by [`MemDisk::set_now`]).
//! - Always true: what was synced is in every image; one seed gives one history.
//!
//! ```
//! use ottla::disk::{Disk, DiskFile, DiskPath, MemDisk, OpenHow};
//!
//! let disk = MemDisk::new();
//! let path = DiskPath::parse("t-0").unwrap();
//! let file = disk.open(&path, OpenHow::Create)?;
//! file.write_full(0, b"kept")?;
//! file.sync()?;
//! disk.sync_dir(&DiskPath::root())?;
//! file.write_full(4, b"lost?")?;
//! for image in disk.images() {
//!     assert!(image.contents()["t-0"].starts_with(b"kept"));
//! }
//! # Ok::<(), ottla::disk::DiskError>(())
//! ```

mod calls;
mod crash;
mod faults;
mod images;
mod node;
mod random;
mod rot;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crash::{Choice, Keep, Length, Rest, Torn};
pub use faults::{Access, Allocation, Applied, FailedSync, Fails, Transfers};
pub use images::{ImageRules, Images, NameModel};

use self::faults::{Faults, Verdict};
use self::tree::{NodeId, Tree};
use crate::disk::{DiskCall, DiskErrorKind, DiskPath, OpenHow};
use crate::time::Timestamp;

/// A log directory in memory, for tests. Clones share it.
#[derive(Clone, Debug)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    faults: Faults,
    now: Timestamp,
    /// Which process this is; handles and locks of earlier ones are dead.
    life: u64,
    calls: u64,
    writes: u64,
    locks: BTreeMap<NodeId, u64>,
    next_lock: u64,
}

/// An open file of a [`MemDisk`].
#[derive(Debug)]
pub struct MemFile {
    disk: MemDisk,
    path: DiskPath,
    node: NodeId,
    life: u64,
    how: OpenHow,
}

/// A held lock of a [`MemDisk`].
#[derive(Debug)]
pub struct MemLock {
    disk: MemDisk,
    node: NodeId,
    lock: u64,
}

impl Default for MemDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemDisk {
    /// An empty directory without limits or faults.
    pub fn new() -> Self {
        Self::of(Tree::new(), Faults::none(), Timestamp::from_millis(0))
    }

    fn of(tree: Tree, faults: Faults, now: Timestamp) -> Self {
        let state = State { tree, faults, now, life: 0, calls: 0, writes: 0, locks: BTreeMap::new(), next_lock: 0 };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// An independent disk in the same state, cache and pending operations included, as a new process would find it.
    /// Nothing is planned for it, and its calls count from 0.
    pub fn copy(&self) -> Self {
        let state = self.state();
        let mut tree = state.tree.clone();
        tree.close_all();
        Self::of(tree, state.faults.unplanned(), state.now)
    }

    /// The process dies, the machine goes on: locks go, handles die, the cache survives, and nothing is planned any
    /// more. The same disk serves the next process.
    pub fn kill(&self) {
        let mut state = self.state();
        state.faults = state.faults.unplanned();
        state.next_life();
    }

    /// How many calls there were; the number of the next one.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many calls have changed anything: creates, writes, renames, removes, lengths, reservations.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// Call number `call` is the last thing that the process does; it and all after it fail with
    /// [`DiskErrorKind::Stopped`] until [`kill`](Self::kill) or [`crash`](Self::crash).
    pub fn stop_at(&self, call: u64, applied: Applied) {
        self.state().faults.plan_stop(call, applied);
    }

    /// Whether the call of [`stop_at`](Self::stop_at) has come.
    pub fn is_stopped(&self) -> bool {
        self.state().faults.is_stopped()
    }

    /// Call number `call` fails with `kind` and does nothing.
    pub fn fail_at(&self, call: u64, kind: DiskErrorKind, fails: Fails) {
        self.state().faults.plan_failure(call, kind, fails);
    }

    /// Calls off what [`stop_at`](Self::stop_at) and [`fail_at`](Self::fail_at) have planned.
    pub fn plan_nothing(&self) {
        let mut state = self.state();
        state.faults = state.faults.unplanned();
    }

    /// What a failed sync does to the bytes it was to make durable.
    pub fn set_failed_sync(&self, failed_sync: FailedSync) {
        self.state().faults.failed_sync = failed_sync;
    }

    /// How many bytes the disk has; `None` for as many as one likes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().faults.capacity = bytes;
    }

    /// When a full disk says so.
    pub fn set_allocation(&self, allocation: Allocation) {
        self.state().faults.allocation = allocation;
    }

    /// Whether reads and writes move all they are asked to.
    pub fn set_transfers(&self, transfers: Transfers) {
        self.state().faults.set_transfers(transfers);
    }

    /// Whether the disk takes changes.
    pub fn set_access(&self, access: Access) {
        self.state().faults.access = access;
    }

    /// The date that files get when they are written to from now on.
    pub fn set_now(&self, now: Timestamp) {
        self.state().now = now;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics elsewhere may still want to look.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One call: counts it, and does it unless something else was planned. `act` gets the limit in bytes of a write.
    fn turn<T>(
        &mut self,
        call: DiskCall,
        act: impl FnOnce(&mut Self, usize) -> Result<T, DiskErrorKind>,
    ) -> Result<T, DiskErrorKind> {
        if self.faults.is_stopped() {
            return Err(DiskErrorKind::Stopped);
        }
        let verdict = self.faults.verdict(self.calls);
        self.calls += 1;
        if faults::is_change(call) {
            self.check_writable()?;
        }
        match verdict {
            Verdict::Fail(kind) => Err(kind),
            Verdict::Do => self.act(call, act, usize::MAX),
            Verdict::DoAndStop(limit) => {
                if verdict.does() || call == DiskCall::Write {
                    // Whether it worked or not, nobody hears of it.
                    let _ = self.act(call, act, limit);
                }
                Err(DiskErrorKind::Stopped)
            }
        }
    }

    fn act<T>(
        &mut self,
        call: DiskCall,
        act: impl FnOnce(&mut Self, usize) -> Result<T, DiskErrorKind>,
        limit: usize,
    ) -> Result<T, DiskErrorKind> {
        let done = act(self, limit)?;
        if faults::is_change(call) {
            self.writes += 1;
        }
        Ok(done)
    }

    fn check_writable(&self) -> Result<(), DiskErrorKind> {
        match self.faults.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(DiskErrorKind::ReadOnly),
        }
    }

    fn next_life(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.tree.close_all();
    }

    fn free(&self) -> u64 {
        self.faults.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.tree.held()))
    }

    /// A new name takes room, if only a little: a full disk has none.
    fn check_room_for_name(&self) -> Result<(), DiskErrorKind> {
        self.check_writable()?;
        if self.free() == 0 { Err(DiskErrorKind::NoSpace) } else { Ok(()) }
    }

    /// The file at `path` as `how` asks for it.
    fn open(&mut self, path: &DiskPath, how: OpenHow) -> Result<NodeId, DiskErrorKind> {
        let found = self.tree.find_file(path)?;
        let node = match (how, found) {
            (OpenHow::Read, found) => found.ok_or(DiskErrorKind::NotFound)?,
            (OpenHow::Write, found) => {
                let found = found.ok_or(DiskErrorKind::NotFound)?;
                self.check_writable()?;
                found
            }
            (OpenHow::Create, Some(found)) => {
                self.check_writable()?;
                found
            }
            (OpenHow::Create, None) => self.create(path)?,
            (OpenHow::Replace, Some(_)) => {
                self.check_writable()?;
                self.tree.remove(path)?;
                self.create_at_any_rate(path)?
            }
            (OpenHow::Replace, None) => self.create(path)?,
        };
        Ok(node)
    }

    fn create(&mut self, path: &DiskPath) -> Result<NodeId, DiskErrorKind> {
        self.check_room_for_name()?;
        self.create_at_any_rate(path)
    }

    fn create_at_any_rate(&mut self, path: &DiskPath) -> Result<NodeId, DiskErrorKind> {
        self.writes += 1;
        self.tree.create_file(path, self.now)
    }

    /// How much of a write of `len` bytes at `position` still has room.
    fn room_for(&self, node: NodeId, position: u64, len: usize) -> Result<usize, DiskErrorKind> {
        let Some(capacity) = self.faults.capacity else { return Ok(len) };
        if self.faults.allocation == Allocation::AtSync || len == 0 {
            return Ok(len);
        }
        let file_max = self.tree.file(node)?.held().saturating_add(capacity.saturating_sub(self.tree.held()));
        match file_max.saturating_sub(position).min(len as u64) {
            0 => Err(DiskErrorKind::NoSpace),
            room => Ok(room as usize),
        }
    }

    fn sync(&mut self, node: NodeId) -> Result<(), DiskErrorKind> {
        if self.faults.capacity.is_some_and(|capacity| self.tree.held() > capacity) {
            self.fail_sync(node);
            return Err(DiskErrorKind::NoSpace);
        }
        self.tree.sync(node)
    }

    /// If it fails, the sync of each file says so too: nothing is dropped here.
    fn sync_all(&mut self) -> Result<(), DiskErrorKind> {
        if self.faults.capacity.is_some_and(|capacity| self.tree.held() > capacity) {
            return Err(DiskErrorKind::NoSpace);
        }
        self.tree.sync_all()
    }

    fn fail_sync(&mut self, node: NodeId) {
        let Ok(file) = self.tree.file_mut(node) else { return };
        match self.faults.failed_sync {
            FailedSync::Keeps => {}
            FailedSync::Drops => file.pending.clear(),
            FailedSync::DropsAndEvicts => {
                file.pending.clear();
                file.evict();
            }
        }
    }
}
