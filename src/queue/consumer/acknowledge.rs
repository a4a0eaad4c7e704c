//! Acknowledgements in any order: a ledger for each partition, shared with the threads that do the work.
//!
//! - May use: `consumer`, `sync`, and its siblings `inbox` and `record`.
//! - Must not know: the node, and what is done with a record.
//! - Always true: no more records are outstanding, in all partitions together, than the limit says; a receipt from before a
//!   seek acknowledges nothing behind it; without its consumer nothing is outstanding.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::consumer::{Acknowledged, Ledger, Polled};
use crate::id::TopicPartition;
use crate::offset::Offset;
use crate::queue::consumer::inbox::Inbox;
use crate::queue::consumer::record::Receipt;
use crate::queue::sync::Mutex;

/// Acknowledges records of one consumer, from any thread. It may be cloned, and does nothing once the consumer is gone.
#[derive(Clone, Debug)]
pub struct Acknowledger {
    lent: Arc<Lent>,
}

/// What all acknowledgers of a consumer are clones of. When the last is dropped, a consumer that waits for room is told.
#[derive(Debug)]
struct Lent {
    shared: Arc<Shared>,
}

/// The consumer's own hold on what was handed out. With it goes all that is noted.
#[derive(Debug)]
pub(super) struct Book {
    shared: Arc<Shared>,
    lent: Mutex<Weak<Lent>>,
}

#[derive(Debug)]
struct Shared {
    ledgers: Mutex<Ledgers>,
    inbox: Arc<Inbox>,
    outstanding_max: u64,
}

#[derive(Debug, Default)]
struct Ledgers {
    by_partition: BTreeMap<TopicPartition, Kept>,
    /// In all partitions together.
    outstanding: u64,
    rounds: u64,
}

/// The ledger of a partition, since it was assigned, or its position was moved by hand or has gone back.
#[derive(Debug)]
struct Kept {
    round: u64,
    ledger: Ledger,
}

impl Acknowledger {
    /// Notes that a record is done. [`Consumer::commit_acknowledged`](super::Consumer::commit_acknowledged) commits it, once
    /// all in front of it are done too.
    pub fn ack(&self, receipt: &Receipt) -> Acknowledged {
        self.lent.shared.ack(receipt)
    }

    /// How many records were handed out and are not acknowledged.
    pub fn outstanding(&self) -> u64 {
        self.lent.shared.ledgers.lock().outstanding
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.shared.inbox.nudge();
    }
}

impl Shared {
    fn ack(&self, receipt: &Receipt) -> Acknowledged {
        let mut ledgers = self.ledgers.lock();
        let was_full = ledgers.outstanding >= self.outstanding_max;
        let done = ledgers.acknowledge(receipt);
        drop(ledgers);
        if was_full && done == Acknowledged::Now {
            self.inbox.nudge();
        }
        done
    }
}

impl Book {
    pub(super) fn new(inbox: Arc<Inbox>, outstanding_max: u64) -> Self {
        let shared = Arc::new(Shared { ledgers: Mutex::default(), inbox, outstanding_max });
        Self { shared, lent: Mutex::default() }
    }

    /// What other threads acknowledge with.
    pub(super) fn lend(&self) -> Acknowledger {
        let mut lent = self.lent.lock();
        let known = lent.upgrade();
        let lent = known.unwrap_or_else(|| {
            let new = Arc::new(Lent { shared: Arc::clone(&self.shared) });
            *lent = Arc::downgrade(&new);
            new
        });
        Acknowledger { lent }
    }

    /// Whether nothing more may be handed out, and nobody but the consumer itself could change that.
    pub(super) fn is_stuck(&self) -> bool {
        self.room() == 0 && self.lent.lock().strong_count() == 0
    }

    pub(super) fn ack(&self, receipt: &Receipt) -> Acknowledged {
        self.shared.ack(receipt)
    }

    /// How many records were handed out and are not acknowledged.
    pub(super) fn outstanding(&self) -> u64 {
        self.shared.ledgers.lock().outstanding
    }

    /// How many more may be handed out.
    pub(super) fn room(&self) -> u64 {
        self.shared.outstanding_max.saturating_sub(self.outstanding())
    }

    /// Notes what was handed out; answers in which round.
    pub(super) fn hand_out(&self, polled: &Polled) -> u64 {
        self.shared.ledgers.lock().hand_out(polled)
    }

    /// Forgets what was handed out of a partition.
    pub(super) fn forget(&self, partition: &TopicPartition) {
        self.shared.ledgers.lock().forget(partition);
    }

    /// What may be committed. Where all is done, that is the position, which lies behind what is not for applications.
    pub(super) fn committable(
        &self,
        position: impl Fn(&TopicPartition) -> Option<Offset>,
    ) -> Vec<(TopicPartition, Offset)> {
        let mut ledgers = self.shared.ledgers.lock();
        let each = ledgers.by_partition.iter_mut().map(|(partition, kept)| {
            if let Some(position) = position(partition) {
                kept.ledger.pass_over(position);
            }
            (partition.clone(), kept.ledger.committable())
        });
        each.collect()
    }

    /// The records that were handed out of a partition and are not acknowledged.
    pub(super) fn pending(&self, partition: &TopicPartition) -> Vec<Offset> {
        let ledgers = self.shared.ledgers.lock();
        ledgers.by_partition.get(partition).map_or_else(Vec::new, |kept| kept.ledger.pending().collect())
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        *self.shared.ledgers.lock() = Ledgers::default();
    }
}

impl Ledgers {
    fn forget(&mut self, partition: &TopicPartition) {
        if let Some(gone) = self.by_partition.remove(partition) {
            self.outstanding -= gone.ledger.outstanding();
        }
    }

    fn acknowledge(&mut self, receipt: &Receipt) -> Acknowledged {
        let kept = self.by_partition.get_mut(&receipt.partition).filter(|kept| kept.round == receipt.round);
        let Some(kept) = kept else { return Acknowledged::NotOutstanding };
        let done = kept.ledger.acknowledge(receipt.offset);
        if done == Acknowledged::Now {
            self.outstanding -= 1;
        }
        done
    }

    fn hand_out(&mut self, polled: &Polled) -> u64 {
        let (start, next) = polled.offsets();
        if self.by_partition.get(polled.partition()).is_some_and(|kept| start < kept.ledger.next_offset()) {
            // What was handed out is gone, and other records stand in its place.
            self.forget(polled.partition());
        }
        let rounds = &mut self.rounds;
        let kept = self.by_partition.entry(polled.partition().clone()).or_insert_with(|| {
            *rounds += 1;
            // The limit is that of all partitions together.
            Kept { round: *rounds, ledger: Ledger::new(start, u64::MAX) }
        });
        for record in polled.iter() {
            let noted = kept.ledger.hand_out(record.offset);
            debug_assert!(noted.is_ok(), "a position goes forward: {noted:?}");
            self.outstanding += u64::from(noted.is_ok());
        }
        kept.ledger.pass_over(next);
        kept.round
    }
}
