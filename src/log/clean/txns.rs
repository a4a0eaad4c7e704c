//! Transactions as compaction passes over them: which batches were aborted, and which markers are needed no more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::id::ProducerId;
use crate::log::txn_index::AbortedTxn;
use crate::offset::Offset;
use crate::record::{Batch, ControlRecord, ControlType, DecompressLimit};

/// The transactions that are open where a pass stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct PassedTxns {
    /// Producers with batches of a transaction that was not aborted.
    committing: BTreeSet<ProducerId>,
    /// Those whose transaction was aborted.
    aborting: BTreeMap<ProducerId, Aborting>,
    /// Aborted transactions that begin further on, by first offset.
    ahead: BinaryHeap<Reverse<(Offset, Offset, ProducerId, Offset)>>,
}

#[derive(Clone, Debug)]
struct Aborting {
    txn: AbortedTxn,
    /// Whether a batch of it was passed.
    has_batches: bool,
}

/// What a marker is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MarkerUse {
    /// It ends a transaction of which there are batches, or it is no marker.
    Needed,
    /// As above, and the transaction was aborted: readers must be told.
    Aborts(AbortedTxn),
    /// Of its transaction nothing is left.
    Spent,
}

impl PassedTxns {
    /// Makes known what was aborted in the part that comes next. A transaction may be named again.
    pub(crate) fn expect(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        let key =
            |txn: AbortedTxn| Reverse((txn.first_offset, txn.last_offset, txn.producer_id, txn.last_stable_offset));
        self.ahead.extend(aborted.into_iter().map(key));
    }

    /// Passes a batch of records. Answers whether it was aborted.
    pub(crate) fn pass_batch(&mut self, batch: &Batch) -> bool {
        self.begin_up_to(batch.last_offset());
        if !batch.is_transactional() {
            return false;
        }
        let Some(id) = batch.producer().map(|producer| producer.id) else { return false };
        match self.aborting.get_mut(&id) {
            Some(aborting) => {
                aborting.has_batches = true;
                true
            }
            None => {
                self.committing.insert(id);
                false
            }
        }
    }

    /// Passes a control batch.
    pub(crate) fn pass_control(&mut self, batch: &Batch) -> MarkerUse {
        self.begin_up_to(batch.last_offset());
        if batch.record_count() == 0 {
            // Compaction has emptied it before.
            return MarkerUse::Spent;
        }
        let (Some(id), Some(marker)) = (batch.producer().map(|producer| producer.id), control_type(batch)) else {
            return MarkerUse::Needed;
        };
        match marker {
            ControlType::Abort => match self.aborting.remove(&id) {
                Some(Aborting { txn, has_batches: true }) => MarkerUse::Aborts(txn),
                _ => MarkerUse::Spent,
            },
            ControlType::Commit if self.committing.remove(&id) => MarkerUse::Needed,
            ControlType::Commit => MarkerUse::Spent,
            ControlType::LeaderChange
            | ControlType::SnapshotHeader
            | ControlType::SnapshotFooter
            | ControlType::KraftVersion
            | ControlType::KraftVoters
            | ControlType::Unknown(_) => MarkerUse::Needed,
        }
    }

    fn begin_up_to(&mut self, last: Offset) {
        while let Some(Reverse((first, ..))) = self.ahead.peek()
            && *first <= last
        {
            let Some(Reverse((first_offset, last_offset, producer_id, last_stable_offset))) = self.ahead.pop() else {
                return;
            };
            let txn = AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset };
            self.aborting.entry(producer_id).or_insert(Aborting { txn, has_batches: false });
        }
    }
}

/// `None`: it cannot be read, and so is left alone.
fn control_type(batch: &Batch) -> Option<ControlType> {
    let records = batch.records(DecompressLimit::default()).ok()?;
    let record = records.iter().next()?.ok()?;
    Some(ControlRecord::parse(&record).ok()?.control_type())
}
