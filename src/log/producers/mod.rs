//! Producers: who writes into a log, how far each has come, and which transactions are open.
//!
//! What makes a retried batch an answer instead of a second copy (semantics.md, section 1.3). A batch is judged by
//! [`ProducerState::check`], which changes nothing; what it allows is taken over by [`ProducerState::apply`], which
//! cannot fail and can be taken back. What a log keeps of it over a restart is its sibling `snapshot`.
//!
//! The verification of transactions with their coordinator (KIP-890, part 1) happens before an append reaches a log;
//! there is nothing of it here.
//!
//! - May use: `epoch`, `id`, `offset`, `time`, `record`, and its sibling `txn_index`.
//! - Must not know: files, segments, clocks, the bytes of a control record.
//! - Always true: at most one open transaction for each producer, and `open` has exactly those of the entries; of one
//!   epoch at most the last five batches are remembered.

mod check;
mod entry;
mod facts;

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ProducerId;
use crate::log::producers::check::{ChangedEntries, Pending};
use crate::offset::Offset;
use crate::record::Origin;
use crate::time::Timestamp;

pub use entry::ProducerEntry;
pub use facts::{BatchMeta, CompletedTxn, Content, Marker, MarkerRules, Outcome, ProducerBatch, ProducerError};

/// What to do with a client's batch of a producer of which nothing is known, if it does not begin with sequence 0.
///
/// A producer is forgotten when it was idle for too long. If it then sends on, the log cannot tell whether a batch in
/// between was lost, nor whether this one is here already.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum UnknownProducer {
    /// Take any first sequence, as Kafka does.
    #[default]
    Accept,
    /// Refuse it with [`ProducerError::UnknownProducer`]: never a silent gap, never a silent copy.
    Refuse,
}

/// What a log knows of its producers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProducerState {
    producers: BTreeMap<ProducerId, ProducerEntry>,
    /// The open transactions, by first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// The transactions whose marker is not yet below the high watermark.
    unreplicated: Unreplicated,
    /// The end of what has been applied.
    end: Offset,
    unknown_producer: UnknownProducer,
}

/// What [`ProducerState::check`] says of an append that is allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and lives for one append")]
pub enum Verdict {
    /// A client sent again what is here already: answer with the offsets and the timestamp of the first time.
    Duplicate(BatchMeta),
    /// Append, then apply this.
    Append(ProducerChange),
}

/// What an append changes. It holds for the state that it was computed from, and for no other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProducerChange {
    entries: ChangedEntries,
    opened: BTreeMap<Offset, ProducerId>,
    completed: Vec<CompletedTxn>,
    end: Option<Offset>,
}

impl ProducerChange {
    /// The transactions that the batches end, in the order of their markers.
    pub fn completed(&self) -> &[CompletedTxn] {
        &self.completed
    }
}

/// What takes back one [`ProducerState::apply`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProducerUndo {
    entries: Vec<(ProducerId, Option<ProducerEntry>)>,
    opened: Vec<Offset>,
    /// The completed transactions, and whose they were if they had been open before.
    completed: Vec<(CompletedTxn, Option<ProducerId>)>,
    end: Offset,
}

/// The state as it would be behind the batches that were allowed so far.
pub(crate) struct ProducerPreview<'a> {
    state: &'a ProducerState,
    pending: Pending<'a>,
}

impl ProducerPreview<'_> {
    /// Whether the batch would be appended: one that is refused is not, nor is one that is there already.
    pub(crate) fn appends(&mut self, batch: &ProducerBatch, origin: Origin) -> bool {
        self.state.duplicate_of(batch, origin).is_none() && self.pending.allows(batch, origin)
    }
}

impl ProducerState {
    /// A state that knows no producer, of a log that ends at `end`.
    pub fn new(end: Offset, unknown_producer: UnknownProducer) -> Self {
        Self { end, unknown_producer, ..Self::default() }
    }

    /// Judges batches that have their offsets, and that are to be appended together. Changes nothing.
    ///
    /// Each is judged as if those before it had been applied, but only what has been applied makes a duplicate. From
    /// [`Origin::Replication`] nothing is refused: what the leader has accepted is in its log.
    ///
    /// # Errors
    ///
    /// The first reason to refuse one of them; then none may be appended.
    pub fn check(
        &self,
        batches: impl IntoIterator<Item = ProducerBatch>,
        origin: Origin,
    ) -> Result<Verdict, ProducerError> {
        self.check_with(batches, origin, self.unknown_producer)
    }

    /// The same, with another rule for unknown producers.
    pub(crate) fn check_with(
        &self,
        batches: impl IntoIterator<Item = ProducerBatch>,
        origin: Origin,
        unknown_producer: UnknownProducer,
    ) -> Result<Verdict, ProducerError> {
        let mut pending = Pending::new(self, origin, unknown_producer);
        for batch in batches {
            if let Some(known) = self.duplicate_of(&batch, origin) {
                return Ok(Verdict::Duplicate(*known));
            }
            pending.add(&batch)?;
        }
        Ok(Verdict::Append(pending.into_change()))
    }

    /// Judges batches one by one that are to be appended each for itself. Changes nothing.
    pub(crate) fn preview(&self, unknown_producer: UnknownProducer) -> ProducerPreview<'_> {
        ProducerPreview { state: self, pending: Pending::new(self, Origin::Client, unknown_producer) }
    }

    /// The remembered batch of the same epoch and sequences. Only clients send again.
    fn duplicate_of(&self, batch: &ProducerBatch, origin: Origin) -> Option<&BatchMeta> {
        let may_come_again =
            origin == Origin::Client && matches!(batch.content, Content::Plain | Content::Transactional);
        let producer = batch.producer.filter(|_| may_come_again)?;
        let entry = self.producers.get(&producer.id).filter(|entry| entry.epoch() == producer.epoch)?;
        let base = producer.base_sequence?;
        entry.batch_of(base, base.advance(batch.offset_delta()))
    }

    /// Takes over what `check` has allowed.
    pub fn apply(&mut self, change: ProducerChange) -> ProducerUndo {
        let ProducerChange { entries, opened, completed, end } = change;
        let undo_end = self.end;
        self.end = end.unwrap_or(self.end);
        let entries = entries.into_entries().map(|(id, entry)| (id, self.producers.insert(id, entry))).collect();
        let completed = completed.into_iter().map(|txn| (txn, self.complete(&txn))).collect();
        let opened = opened.into_iter().map(|(first, id)| self.open(first, id)).collect();
        self.check_open();
        ProducerUndo { entries, opened, completed, end: undo_end }
    }

    fn complete(&mut self, txn: &CompletedTxn) -> Option<ProducerId> {
        self.unreplicated.insert(txn.first_offset, txn.last_offset);
        self.open.remove(&txn.first_offset)
    }

    fn open(&mut self, first_offset: Offset, id: ProducerId) -> Offset {
        self.open.insert(first_offset, id);
        first_offset
    }

    /// Takes back an `apply`. What was applied after it must have been taken back before.
    ///
    /// The state is then exactly as it was before that `apply`; what `expire` or `marker_replicated` has forgotten in
    /// between may come back, until they are called again.
    pub fn undo(&mut self, undo: ProducerUndo) {
        let ProducerUndo { entries, opened, completed, end } = undo;
        self.end = end;
        for first in opened {
            self.open.remove(&first);
        }
        for (txn, owner) in completed.into_iter().rev() {
            self.unreplicated.remove(txn.first_offset, txn.last_offset);
            if let Some(id) = owner {
                self.open.insert(txn.first_offset, id);
            }
        }
        for (id, before) in entries {
            match before {
                Some(entry) => self.producers.insert(id, entry),
                None => self.producers.remove(&id),
            };
        }
        self.check_open();
    }

    /// The first offset that a reader of committed records must not see yet, if there is one: of an open transaction,
    /// or of one whose marker is not yet below the high watermark.
    pub fn first_unstable(&self) -> Option<Offset> {
        let open = self.open.first_key_value().map(|(first, _)| *first);
        [open, self.unreplicated.first()].into_iter().flatten().min()
    }

    /// Forgets the transactions whose marker lies below the high watermark: they are stable.
    pub fn marker_replicated(&mut self, high_watermark: Offset) {
        self.unreplicated.forget_below(high_watermark);
    }

    /// The log now starts at `log_start`. Producers are kept, even if all they wrote is gone.
    pub fn trim_to(&mut self, log_start: Offset) {
        self.unreplicated.forget_below(log_start);
        self.end = self.end.max(log_start);
    }

    /// Forgets the producers without an open transaction that were idle for `idle_ms_max`; gives back how many.
    ///
    /// A producer's last timestamp is what its last batch says, which a client may have chosen.
    pub fn expire(&mut self, now: Timestamp, idle_ms_max: u64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, entry| !entry.is_expired(now, idle_ms_max));
        before - self.producers.len()
    }

    /// Forgets everything; the log goes on at `end`.
    pub fn restart(&mut self, end: Offset) {
        *self = Self::new(end, self.unknown_producer);
    }

    /// Puts back what a snapshot has told of a producer.
    pub fn load(&mut self, id: ProducerId, entry: ProducerEntry) {
        if let Some(first) = self.producers.get(&id).and_then(ProducerEntry::open_transaction) {
            self.open.remove(&first);
        }
        if let Some(first) = entry.open_transaction() {
            self.open.insert(first, id);
        }
        self.producers.insert(id, entry);
    }

    /// Notes that the log goes on to `end` with batches that have no producers, as those of old formats.
    pub fn advance_end(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// The end of what has been applied: a snapshot taken now has this in its name.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// What is known of one producer.
    pub fn entry(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&id)
    }

    /// What is known of each producer, by id.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (ProducerId, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, entry))
    }

    /// The open transactions, oldest first: where each begins and whose it is.
    pub fn open_transactions(&self) -> impl ExactSizeIterator<Item = (Offset, ProducerId)> {
        self.open.iter().map(|(first, id)| (*first, *id))
    }

    /// How many producers are known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// What happens to the batches of unknown producers.
    pub fn unknown_producer(&self) -> UnknownProducer {
        self.unknown_producer
    }

    /// `open` has exactly the transactions that the entries say are open.
    fn check_open(&self) {
        debug_assert!(
            self.open.iter().all(|(first, id)| {
                self.producers.get(id).and_then(ProducerEntry::open_transaction) == Some(*first)
            })
        );
    }
}

/// Transactions whose marker is written but not yet below the high watermark, by first offset and by marker.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Unreplicated {
    first_offsets: BTreeSet<Offset>,
    by_marker: BTreeMap<Offset, Offset>,
}

impl Unreplicated {
    fn insert(&mut self, first_offset: Offset, marker: Offset) {
        self.first_offsets.insert(first_offset);
        self.by_marker.insert(marker, first_offset);
    }

    fn remove(&mut self, first_offset: Offset, marker: Offset) {
        self.first_offsets.remove(&first_offset);
        self.by_marker.remove(&marker);
    }

    fn forget_below(&mut self, end: Offset) {
        while let Some(oldest) = self.by_marker.first_entry().filter(|oldest| *oldest.key() < end) {
            self.first_offsets.remove(&oldest.remove());
        }
    }

    fn first(&self) -> Option<Offset> {
        self.first_offsets.first().copied()
    }
}

#[cfg(test)]
mod tests;
