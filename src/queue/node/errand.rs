//! A panic on an errand of the node: whoever is on one may be a thread that nobody watches.
//!
//! A thread of the pool that panics is seen by the pool. A user's thread takes the panic with it, and a turn may be lost
//! with it, or the broker be left in the middle of a step: then who waits would wait for ever. So whoever goes for the node
//! has an [`Errand`] with him, and the clock's thread, which is woken, ends the node.

use std::sync::Arc;
use std::thread::panicking;

use crate::disk::Disk;
use crate::queue::alarm::Alarm;
use crate::queue::node::Node;
use crate::queue::sync::atomic::AtomicBool;
use crate::queue::sync::atomic::Ordering::SeqCst;
use crate::time::Instant;

/// What is done for a node by one thread, until this is dropped: last, with no lock held.
#[derive(Debug)]
pub(super) struct Errand {
    lost: Arc<AtomicBool>,
    alarm: Arc<Alarm>,
    /// It began in a destructor, during a panic that is not its own.
    began_in_panic: bool,
}

impl Drop for Errand {
    fn drop(&mut self) {
        if panicking() && !self.began_in_panic {
            self.lost.store(true, SeqCst);
            self.alarm.hurry(Instant::ZERO);
        }
    }
}

impl<D: Disk> Node<D> {
    /// To be made before any lock is taken.
    pub(super) fn errand(&self) -> Errand {
        Errand { lost: Arc::clone(&self.lost), alarm: Arc::clone(&self.alarm), began_in_panic: panicking() }
    }

    /// Ends the node if a thread was lost on an errand. Answers whether it was.
    pub(super) fn end_if_lost(&self) -> bool {
        let is_lost = self.lost.load(SeqCst);
        if is_lost {
            self.break_down("a thread has panicked in the middle of a step");
        }
        is_lost
    }
}
