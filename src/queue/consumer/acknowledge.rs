//! Acknowledgements in any order: a ledger for each partition, shared with the threads that do the work.
//!
//! - May use: `consumer`, `sync`, and its siblings `inbox` and `record`.
//! - Must not know: the node, and what is done with a record.
//! - Always true: no more records are outstanding, in all partitions together, than the limit says; a receipt from before a
//!   seek acknowledges nothing behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::consumer::{Acknowledged, Ledger, Polled};
use crate::id::TopicPartition;
use crate::offset::Offset;
use crate::queue::consumer::inbox::Inbox;
use crate::queue::consumer::record::Receipt;
use crate::queue::sync::Mutex;

/// Acknowledges records of one consumer, from any thread. It may be cloned, and does nothing once the consumer is gone.
#[derive(Clone, Debug)]
pub struct Acknowledger {
    shared: Arc<Shared>,
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

/// The ledger of a partition, since it was assigned or its position was moved by hand.
#[derive(Debug)]
struct Kept {
    round: u64,
    ledger: Ledger,
}

impl Acknowledger {
    pub(super) fn new(inbox: Arc<Inbox>, outstanding_max: u64) -> Self {
        Self { shared: Arc::new(Shared { ledgers: Mutex::default(), inbox, outstanding_max }) }
    }

    /// Notes that a record is done. [`Consumer::commit_acknowledged`](super::Consumer::commit_acknowledged) commits it, once
    /// all in front of it are done too.
    pub fn ack(&self, receipt: &Receipt) -> Acknowledged {
        let mut ledgers = self.shared.ledgers.lock();
        let was_full = ledgers.outstanding >= self.shared.outstanding_max;
        let done = ledgers.acknowledge(receipt);
        drop(ledgers);
        if was_full && done == Acknowledged::Now {
            self.shared.inbox.nudge();
        }
        done
    }

    /// How many records were handed out and are not acknowledged.
    pub fn outstanding(&self) -> u64 {
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
        let mut ledgers = self.shared.ledgers.lock();
        if let Some(gone) = ledgers.by_partition.remove(partition) {
            ledgers.outstanding -= gone.ledger.outstanding();
        }
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

impl Ledgers {
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
        let kept = match self.by_partition.entry(polled.partition().clone()) {
            std::collections::btree_map::Entry::Occupied(kept) => kept.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                self.rounds += 1;
                // The limit is that of all partitions together.
                free.insert(Kept { round: self.rounds, ledger: Ledger::new(start, u64::MAX) })
            }
        };
        for record in polled.iter() {
            let noted = kept.ledger.hand_out(record.offset);
            debug_assert!(noted.is_ok(), "a position goes forward: {noted:?}");
            self.outstanding += u64::from(noted.is_ok());
        }
        kept.ledger.pass_over(next);
        kept.round
    }
}
