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

/// How long to wait for the end of a node that a disk may keep.
const PATIENCE: Duration = Duration::from_secs(10);

struct Count {
    nodes: Mutex<Nodes>,
    ended: Condvar,
}

struct Nodes {
    ending: usize,
    ended: u64,
}

static COUNT: Count = Count { nodes: parking_lot::const_mutex(Nodes { ending: 0, ended: 0 }), ended: Condvar::new() };

/// A node that is ending, until this is dropped.
#[derive(Debug)]
pub(super) struct Ending(());

impl Ending {
    pub(super) fn begin() -> Self {
        COUNT.nodes.lock().ending += 1;
        Self(())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut nodes = COUNT.nodes.lock();
        nodes.ending -= 1;
        nodes.ended += 1;
        COUNT.ended.notify_all();
    }
}

/// How many nodes have ended so far. To be asked before a lock is tried.
pub(crate) fn ends() -> u64 {
    COUNT.nodes.lock().ended
}

/// Waits until a node of this process has ended since `before`, if one is ending. Answers whether one has.
#[expect(clippy::disallowed_methods, reason = "a wait has an end on the machine's clock")]
pub(crate) fn wait_for_an_end(before: u64) -> bool {
    let deadline = Deadline::now() + PATIENCE;
    let mut nodes = COUNT.nodes.lock();
    while nodes.ending > 0 && nodes.ended == before {
        if COUNT.ended.wait_until(&mut nodes, deadline).timed_out() {
            break;
        }
    }
    nodes.ended != before
}
