//! Nodes of this process that nobody has a handle of any more, and that a thread is still busy with.
//!
//! To drop a handle never waits, so whoever opens the same directory next may find its lock held for a moment longer: he
//! waits here instead.
//!
//! - Always true: a node that is counted here gives its locks back before it is no longer counted.

use std::time::Duration;

// Not through `sync`: a model has no static locks.
use parking_lot::{Condvar, Mutex};

use crate::queue::sync::Deadline;

/// How long to wait for the end of a node that nobody has a handle of: a disk may keep it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for a node that has a handle: a thread of its own may be about to let go of the last one.
const GRACE: Duration = Duration::from_secs(1);

struct Count {
    nodes: Mutex<Nodes>,
    changed: Condvar,
}

struct Nodes {
    alive: usize,
    /// Of those, how many nobody has a handle of.
    ending: usize,
    ended: u64,
}

static COUNT: Count =
    Count { nodes: parking_lot::const_mutex(Nodes { alive: 0, ending: 0, ended: 0 }), changed: Condvar::new() };

/// A node that has not ended, until this is dropped.
#[derive(Debug)]
pub(super) struct Alive {
    is_ending: bool,
}

impl Alive {
    pub(super) fn begin() -> Self {
        COUNT.nodes.lock().alive += 1;
        Self { is_ending: false }
    }

    /// Nobody has a handle of it any more.
    pub(super) fn is_ending(&mut self) {
        if !std::mem::replace(&mut self.is_ending, true) {
            COUNT.nodes.lock().ending += 1;
            COUNT.changed.notify_all();
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut nodes = COUNT.nodes.lock();
        nodes.alive -= 1;
        nodes.ending -= usize::from(self.is_ending);
        nodes.ended += 1;
        COUNT.changed.notify_all();
    }
}

/// How many nodes have ended so far. To be asked before a lock is tried.
pub(crate) fn ends() -> u64 {
    COUNT.nodes.lock().ended
}

/// Waits until a node of this process has ended since `before`, if one is about to. Answers whether one has.
#[expect(clippy::disallowed_methods, reason = "a wait has an end on the machine's clock")]
pub(crate) fn wait_for_an_end(before: u64) -> bool {
    let begun = Deadline::now();
    let mut nodes = COUNT.nodes.lock();
    while nodes.ended == before && nodes.alive > 0 {
        let deadline = begun + if nodes.ending > 0 { PATIENCE } else { GRACE };
        if COUNT.changed.wait_until(&mut nodes, deadline).timed_out() && Deadline::now() >= deadline {
            break;
        }
    }
    nodes.ended != before
}
