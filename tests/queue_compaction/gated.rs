//! A disk in memory that halts whoever compacts, at a place of one's choice, until he is let go on.

use std::ffi::OsString;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ottla::disk::{Disk, DiskError, DiskPath, Entry, MemDisk, OpenHow};

/// How long anybody is halted at most.
const LONG: Duration = Duration::from_secs(30);

/// Where a compaction can be halted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum At {
    /// Nothing is written yet.
    Begin,
    /// What is left of some segments stands complete beside them, and the log does not know.
    Complete,
    /// The log has taken it, and it is about to get its name.
    Place,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: Option<At>,
    is_halted: bool,
    /// How often what is left of some segments was complete, and how often it got its name.
    completed: usize,
    places: usize,
}

/// The disk. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    pub(crate) inner: MemDisk,
    gate: Arc<Gate>,
}

impl Gated {
    pub(crate) fn new() -> Self {
        Self { inner: MemDisk::new(), gate: Arc::default() }
    }

    /// Halts whoever comes there next.
    pub(crate) fn close(&self, at: At) {
        self.gate.state.lock().unwrap().closed = Some(at);
    }

    /// Lets him go on, and halts nobody any more.
    pub(crate) fn open_gate(&self) {
        self.gate.state.lock().unwrap().closed = None;
        self.gate.changed.notify_all();
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.gate.state.lock().unwrap().is_halted
    }

    pub(crate) fn completed(&self) -> usize {
        self.gate.state.lock().unwrap().completed
    }

    pub(crate) fn places(&self) -> usize {
        self.gate.state.lock().unwrap().places
    }

    /// Whether there is anything of a compaction that is not over.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.inner.contents().keys().any(|name| name.ends_with(".cleaned") || name.ends_with(".swap"))
    }

    fn pass(&self, at: At) {
        let mut state = self.gate.state.lock().unwrap();
        state.is_halted = state.closed == Some(at);
        while state.closed == Some(at) {
            let (again, timeout) = self.gate.changed.wait_timeout(state, LONG).unwrap();
            state = again;
            assert!(!timeout.timed_out(), "nobody has opened the gate");
        }
        state.is_halted = false;
    }
}

impl Disk for Gated {
    type File = <MemDisk as Disk>::File;
    type Lock = <MemDisk as Disk>::Lock;

    fn open(&self, path: &DiskPath, how: OpenHow) -> Result<Self::File, DiskError> {
        if path.to_string().ends_with(".log.cleaned") {
            self.pass(At::Begin);
        }
        self.inner.open(path, how)
    }

    fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        let name = from.to_string();
        if name.ends_with(".log.swap") {
            self.pass(At::Place);
            self.gate.state.lock().unwrap().places += 1;
        }
        let renamed = self.inner.rename(from, to);
        if name.ends_with(".log.cleaned") {
            self.gate.state.lock().unwrap().completed += 1;
            self.pass(At::Complete);
        }
        renamed
    }

    fn remove(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.inner.remove(path)
    }

    fn make_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.inner.make_dir(path)
    }

    fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.inner.sync_dir(path)
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.inner.sync_all()
    }

    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError> {
        self.inner.list(path)
    }

    fn lock(&self, path: &DiskPath) -> Result<Self::Lock, DiskError> {
        self.inner.lock(path)
    }

    fn free_space(&self) -> Result<u64, DiskError> {
        self.inner.free_space()
    }
}

/// The names of what is in a directory of a disk.
pub(crate) fn names(disk: &MemDisk, dir: &str) -> Vec<String> {
    let entries = disk.list(&DiskPath::parse(dir).unwrap()).unwrap_or_default();
    let text = |name: OsString| name.into_string().unwrap();
    entries.into_iter().map(|entry| text(entry.name)).collect()
}
