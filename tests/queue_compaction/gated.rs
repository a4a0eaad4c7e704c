//! A disk in memory that halts whoever compacts, at a place of one's choice, until he is let go on.

use std::ffi::OsString;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use ottla::disk::{Disk, DiskCall, DiskErrorKind, DiskPath, MemDisk};

use crate::watched_disk::{Watch, Watched};

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

/// Who halts.
#[derive(Debug, Default)]
pub(crate) struct Gate {
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
    /// Whose segments find no space to get their names, and how often they did not.
    full: Option<&'static str>,
    refused: usize,
}

/// The disk. Clones are the same.
pub(crate) type Gated = Watched<Gate>;

impl Gate {
    /// Halts whoever comes there next.
    pub(crate) fn close(&self, at: At) {
        self.state.lock().unwrap().closed = Some(at);
    }

    /// Lets him go on, and halts nobody any more.
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().closed = None;
        self.changed.notify_all();
    }

    /// Lets him go on, and halts whoever comes there next.
    pub(crate) fn go_on_to(&self, at: At) {
        let mut state = self.state.lock().unwrap();
        (state.closed, state.is_halted) = (Some(at), false);
        self.changed.notify_all();
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.state.lock().unwrap().is_halted
    }

    pub(crate) fn completed(&self) -> usize {
        self.state.lock().unwrap().completed
    }

    pub(crate) fn places(&self) -> usize {
        self.state.lock().unwrap().places
    }

    /// Has no space for the names of this partition's segments.
    pub(crate) fn fill(&self, partition: &'static str) {
        self.state.lock().unwrap().full = Some(partition);
    }

    /// Has space again.
    pub(crate) fn make_room(&self) {
        self.state.lock().unwrap().full = None;
    }

    pub(crate) fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    fn check_space(&self, path: &str) -> Result<(), DiskErrorKind> {
        let mut state = self.state.lock().unwrap();
        let is_full = state.full.is_some_and(|partition| path.starts_with(partition));
        state.refused += usize::from(is_full);
        if is_full { Err(DiskErrorKind::NoSpace) } else { Ok(()) }
    }

    fn pass(&self, at: At) {
        let mut state = self.state.lock().unwrap();
        state.is_halted = state.closed == Some(at);
        while state.closed == Some(at) {
            let (again, timeout) = self.changed.wait_timeout(state, LONG).unwrap();
            state = again;
            assert!(!timeout.timed_out(), "nobody has opened the gate");
        }
        state.is_halted = false;
    }
}

impl Watch for Gate {
    fn before(&self, call: DiskCall, path: &DiskPath) -> Result<(), DiskErrorKind> {
        let name = path.to_string();
        if call == DiskCall::Open && name.ends_with(".log.cleaned") {
            self.pass(At::Begin);
        }
        if call == DiskCall::Rename && name.ends_with(".log.swap") {
            self.check_space(&name)?;
            self.pass(At::Place);
            self.state.lock().unwrap().places += 1;
        }
        Ok(())
    }

    fn after(&self, call: DiskCall, path: &DiskPath) {
        if call == DiskCall::Rename && path.to_string().ends_with(".log.cleaned") {
            self.state.lock().unwrap().completed += 1;
            self.pass(At::Complete);
        }
    }
}

/// The names of what is in a directory of a disk.
pub(crate) fn names(disk: &MemDisk, dir: &str) -> Vec<String> {
    let entries = disk.list(&DiskPath::parse(dir).unwrap()).unwrap_or_default();
    let text = |name: OsString| name.into_string().unwrap();
    entries.into_iter().map(|entry| text(entry.name)).collect()
}

/// Whether there is anything of a compaction that is not over.
pub(crate) fn has_leftovers(disk: &MemDisk) -> bool {
    disk.contents().keys().any(|name| name.ends_with(".cleaned") || name.ends_with(".swap"))
}
