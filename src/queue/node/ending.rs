//! Nodes of this process that nobody has a handle of any more, and that a thread is still busy with.
//!
//! To drop a handle never waits, so whoever opens the same directory next may find its lock held for a moment longer: he
//! waits here instead.
//!
//! - Always true: a node that is counted here gives its locks back before it is no longer counted.

use std::time::Duration;

use crate::queue::sync::{Condvar, Deadline, Mutex, WaitUntil};

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

/// If a node of this process is ending, waits until one has ended. Answers whether there was one.
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a wait has an end on the machine's clock")]
pub(crate) fn wait_for_an_end() -> bool {
    let deadline: Deadline = std::time::Instant::now() + PATIENCE;
    let mut nodes = COUNT.nodes.lock();
    let before = nodes.ended;
    while nodes.ending > 0 && nodes.ended == before {
        if COUNT.ended.wait_maybe_until(&mut nodes, Some(deadline)) {
            return false;
        }
    }
    nodes.ended != before
}
