//! The test disk: a log directory in memory that can lose, tear, reorder, fail and fill up.
//!
//! A [`MemDisk`] is one log directory, shared by its clones. It keeps what was synced apart from what only the page
//! cache knows, so that a test can ask, at any moment, what a disk may hold after a power loss: one image by
//! [`MemDisk::image`], all that are worth a look by [`MemDisk::images`]. Every call of [`Disk`] and [`DiskFile`] has a
//! number, and each is a place where the process may stop ([`MemDisk::stop_at`]) or the call may fail
//! ([`MemDisk::fail_at`]). Nothing is left to chance: seeds decide.
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

mod crash;
mod faults;
mod images;
mod random;
mod rot;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub use crash::{Choice, Keep, Length, Rest, Torn};
pub use faults::{Access, Allocation, Applied, FailedSync, Fails, Transfers};
pub use images::{ImageRules, Images, NameModel};

use self::faults::{Faults, Verdict};
use self::tree::{NodeId, Tree};
use crate::disk::{Disk, DiskCall, DiskError, DiskErrorKind, DiskFile, DiskPath, Entry, OpenHow};
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

    fn call<T>(
        &self,
        call: DiskCall,
        path: &DiskPath,
        act: impl FnOnce(&mut State) -> Result<T, DiskErrorKind>,
    ) -> Result<T, DiskError> {
        let mut state = self.state();
        state.turn(call, |state, _| act(state)).map_err(|kind| DiskError { call, path: path.clone(), span: None, kind })
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

impl Disk for MemDisk {
    type File = MemFile;
    type Lock = MemLock;

    fn open(&self, path: &DiskPath, how: OpenHow) -> Result<MemFile, DiskError> {
        let (node, life) = self.call(DiskCall::Open, path, |state| {
            let node = state.open(path, how)?;
            state.tree.file_mut(node)?.handles += 1;
            Ok((node, state.life))
        })?;
        Ok(MemFile { disk: self.clone(), path: path.clone(), node, life, how })
    }

    fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        self.call(DiskCall::Rename, from, |state| state.tree.rename(from, to))
    }

    fn remove(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.call(DiskCall::Remove, path, |state| state.tree.remove(path))
    }

    fn make_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.call(DiskCall::MakeDir, path, |state| match state.tree.find(path) {
            Ok(found) => state.tree.dir(found).map(|_| ()),
            Err(DiskErrorKind::NotFound) => {
                state.check_room_for_name()?;
                state.tree.make_dir(path)
            }
            Err(kind) => Err(kind),
        })
    }

    fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.call(DiskCall::SyncDir, path, |state| {
            let dir = state.tree.find(path)?;
            state.tree.sync_dir(dir)
        })
    }

    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError> {
        self.call(DiskCall::List, path, |state| state.tree.list(path))
    }

    fn lock(&self, path: &DiskPath) -> Result<MemLock, DiskError> {
        let (node, lock) = self.call(DiskCall::Lock, path, |state| {
            let node = state.open(path, OpenHow::Create)?;
            if state.locks.contains_key(&node) {
                return Err(DiskErrorKind::AlreadyLocked);
            }
            state.next_lock += 1;
            state.locks.insert(node, state.next_lock);
            Ok((node, state.next_lock))
        })?;
        Ok(MemLock { disk: self.clone(), node, lock })
    }

    fn free_space(&self) -> Result<u64, DiskError> {
        self.call(DiskCall::FreeSpace, &DiskPath::root(), |state| Ok(state.free()))
    }
}

impl MemFile {
    fn call<T>(
        &self,
        call: DiskCall,
        span: Option<(u64, u64)>,
        act: impl FnOnce(&mut State, usize) -> Result<T, DiskErrorKind>,
    ) -> Result<T, DiskError> {
        let mut state = self.disk.state();
        let done = if state.life == self.life { state.turn(call, act) } else { Err(DiskErrorKind::Stopped) };
        done.map_err(|kind| DiskError { call, path: self.path.clone(), span, kind })
    }

    /// As of a descriptor that was opened for reading.
    fn check_writable(&self) -> Result<(), DiskErrorKind> {
        match self.how {
            OpenHow::Read => Err(DiskErrorKind::Io { code: Some(9), message: "Bad file descriptor".to_owned() }),
            OpenHow::Write | OpenHow::Create | OpenHow::Replace => Ok(()),
        }
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let span = Some((position, into.len() as u64));
        self.call(DiskCall::Read, span, |state, _| {
            let file = state.tree.file(self.node)?;
            let there = file.len().saturating_sub(position).min(into.len() as u64) as usize;
            let len = state.faults.transfer(there);
            let file = state.tree.file(self.node)?;
            file.check_pages(position, len as u64)?;
            if len > 0 {
                into[..len].copy_from_slice(&file.cached[position as usize..position as usize + len]);
            }
            Ok(len)
        })
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<usize, DiskError> {
        let mut bytes = parts.concat();
        self.call(DiskCall::Write, Some((position, bytes.len() as u64)), |state, limit| {
            self.check_writable()?;
            let room = state.room_for(self.node, position, bytes.len())?;
            let len = state.faults.transfer(room).min(limit);
            bytes.truncate(len);
            if len > 0 {
                state.tree.write(self.node, position, &bytes, state.now)?;
            }
            Ok(len)
        })
    }

    fn reserve(&self, len: u64) -> Result<(), DiskError> {
        self.call(DiskCall::Reserve, Some((0, len)), |state, _| {
            self.check_writable()?;
            let more = len.saturating_sub(state.tree.file(self.node)?.held());
            if more > state.free() {
                return Err(DiskErrorKind::NoSpace);
            }
            let file = state.tree.file_mut(self.node)?;
            file.allocated = file.allocated.max(len);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.call(DiskCall::SetLen, Some((0, len)), |state, _| {
            self.check_writable()?;
            state.tree.set_len(self.node, len, state.now)
        })
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.call(DiskCall::Len, None, |state, _| Ok(state.tree.file(self.node)?.len()))
    }

    fn sync(&self) -> Result<(), DiskError> {
        let mut reached = false;
        let done = self.call(DiskCall::Sync, None, |state, _| {
            reached = true;
            state.sync(self.node)
        });
        let planned = matches!(&done, Err(error) if error.kind != DiskErrorKind::Stopped);
        if !reached && planned {
            self.disk.state().fail_sync(self.node);
        }
        done
    }

    fn set_modified(&self, to: Timestamp) -> Result<(), DiskError> {
        self.call(DiskCall::SetModified, None, |state, _| {
            state.tree.file_mut(self.node)?.modified = Some(to);
            Ok(())
        })
    }

    fn map(&self, _len: u64) -> Result<Option<Bytes>, DiskError> {
        self.call(DiskCall::Map, None, |_, _| Ok(None))
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life
            && let Ok(file) = state.tree.file_mut(self.node)
        {
            file.handles = file.handles.saturating_sub(1);
        }
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locks.get(&self.node) == Some(&self.lock) {
            state.locks.remove(&self.node);
        }
    }
}
