//! The second pass: what stays of each batch.

use std::collections::BTreeMap;

use crate::epoch::ProducerEpoch;
use crate::id::ProducerId;
use crate::log::clean::CleanError;
use crate::log::clean::map::OffsetMap;
use crate::log::clean::rewrite::{rewritten, rewritten_legacy};
use crate::log::clean::txns::{MarkerUse, PassedTxns};
use crate::log::producers::{ProducerEntry, ProducerState};
use crate::log::txn_index::AbortedTxn;
use crate::offset::Offset;
use crate::record::{Batch, BuildError, DecompressLimit, Entry, Record, RecordError};
use crate::time::Timestamp;

/// By which rules batches are filtered.
#[derive(Clone, Copy, Debug)]
pub struct CleanRules {
    /// When the compaction began.
    pub now: Timestamp,
    /// `delete_retention_ms`.
    pub delete_retention_ms: u64,
    /// The first offset that cannot be compacted. A batch that ends right before it stays, be it without records, so that
    /// the log tells where it ended.
    pub first_uncleanable: Offset,
    /// The most bytes that the records of one batch may decompress to.
    pub decompress_limit: DecompressLimit,
}

/// What a live producer has written last: its last sequence, or, if it has no batch of records, its epoch, must not go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LastBatch {
    /// The batch of records that ends at this offset.
    Records(Offset),
    /// A marker of this epoch.
    Marker(Option<ProducerEpoch>),
}

impl LastBatch {
    /// The last batches of all producers that are known.
    pub fn of(producers: &ProducerState) -> BTreeMap<ProducerId, Self> {
        let last = |entry: &ProducerEntry| match entry.batches().last() {
            Some(batch) => Self::Records(batch.last_offset),
            None => Self::Marker(entry.epoch()),
        };
        producers.entries().map(|(id, entry)| (id, last(entry))).collect()
    }

    fn is(self, batch: &Batch) -> bool {
        match self {
            Self::Records(offset) => batch.last_offset() == offset,
            Self::Marker(epoch) => batch.is_control() && batch.producer().is_some_and(|it| it.epoch == epoch),
        }
    }
}

/// What stays of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Filtered {
    /// Nothing.
    Nothing,
    /// All of it, to the byte.
    Whole,
    /// This.
    Part(Entry),
}

/// Decides about every batch from the front of the log to the end of the dirty part, in order.
#[derive(Debug)]
pub struct Filter {
    rules: CleanRules,
    map: OffsetMap,
    txns: PassedTxns,
    last_batches: BTreeMap<ProducerId, LastBatch>,
    /// Whether tombstones of old formats, which carry no horizon, stay in the segment at hand.
    keeps_old_tombstones: bool,
}

/// What a batch is, apart from its records.
struct Standing {
    /// None of its records stays.
    discards_all: bool,
    /// It stays also without records.
    stays_empty: bool,
    /// It is a marker whose transaction is gone, and goes itself once its horizon has passed.
    is_spent_marker: bool,
}

impl Filter {
    /// A filter for what `map` has noted.
    pub fn new(rules: CleanRules, map: OffsetMap, last_batches: BTreeMap<ProducerId, LastBatch>) -> Self {
        Self { rules, map, txns: PassedTxns::default(), last_batches, keeps_old_tombstones: false }
    }

    /// The next segment begins. `aborted` are the transactions that were aborted and have offsets in it; `modified` is
    /// when it was last written to, and `clean_modified` when the last segment below the first dirty offset was.
    pub fn begin_segment(
        &mut self,
        aborted: impl IntoIterator<Item = AbortedTxn>,
        modified: Timestamp,
        clean_modified: Option<Timestamp>,
    ) {
        self.txns.expect(aborted);
        let retention = i128::from(self.rules.delete_retention_ms);
        let horizon = clean_modified.map_or(0, |clean| i128::from(clean.as_millis()) - retention);
        self.keeps_old_tombstones = i128::from(modified.as_millis()) > horizon;
    }

    /// What stays of a batch, and the transaction that it ends if readers must be told of its abort.
    ///
    /// # Errors
    ///
    /// [`CleanError`]: the log cannot be compacted.
    pub fn filter(&mut self, entry: &Entry) -> Result<(Filtered, Option<AbortedTxn>), CleanError> {
        let Entry::Batch(batch) = entry else { return Ok((self.filter_legacy(entry)?, None)) };
        let (is_spent, aborted) = self.pass(batch);
        let standing = self.standing(batch, is_spent);
        if standing.discards_all {
            return Ok((empty_or_nothing(batch, &standing), aborted));
        }
        let unreadable = |error: RecordError| CleanError::Records { last_offset: batch.last_offset(), error };
        let records = batch.records(self.rules.decompress_limit).map_err(unreadable)?;
        let mut kept = Vec::new();
        for record in records.iter() {
            let record = record.map_err(unreadable)?;
            if batch.is_control() || self.keeps(&record, Some(batch)) {
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok((empty_or_nothing(batch, &standing), aborted));
        }
        let has_tombstone = kept.iter().any(|record| record.value.is_none());
        let new_horizon = (has_tombstone || standing.is_spent_marker) && batch.delete_horizon().is_none();
        if kept.len() == batch.record_count() as usize && !new_horizon {
            return Ok((Filtered::Whole, aborted));
        }
        let horizon = if new_horizon { Some(self.horizon()) } else { batch.delete_horizon() };
        let part = rewritten(batch, &kept, horizon)
            .map_err(|error| CleanError::Rewrite { last_offset: batch.last_offset(), error })?;
        Ok((Filtered::Part(part.into()), aborted))
    }

    /// Passes the batch by the transactions: whether what it says is of no use any more, and what it aborts.
    fn pass(&mut self, batch: &Batch) -> (bool, Option<AbortedTxn>) {
        if !batch.is_control() {
            return (self.txns.pass_batch(batch), None);
        }
        match self.txns.pass_control(batch) {
            MarkerUse::Needed => (false, None),
            MarkerUse::Aborts(txn) => (false, Some(txn)),
            MarkerUse::Spent => (true, None),
        }
    }

    fn standing(&self, batch: &Batch, is_spent: bool) -> Standing {
        let past_horizon = batch.delete_horizon().is_some_and(|horizon| horizon <= self.rules.now);
        let last_of_producer = batch
            .producer()
            .and_then(|producer| self.last_batches.get(&producer.id))
            .is_some_and(|last| last.is(batch));
        Standing {
            discards_all: is_spent && (!batch.is_control() || past_horizon),
            stays_empty: last_of_producer || batch.next_offset() == self.rules.first_uncleanable,
            is_spent_marker: is_spent && batch.is_control(),
        }
    }

    /// Whether a record stays. `batch` is `None` in the old formats.
    fn keeps(&self, record: &Record<'_>, batch: Option<&Batch>) -> bool {
        if self.map.latest().is_none_or(|latest| record.offset > latest) {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_last = self.map.offset_of(key).is_none_or(|last| record.offset >= last);
        is_last && (record.value.is_some() || self.keeps_tombstones(batch))
    }

    fn keeps_tombstones(&self, batch: Option<&Batch>) -> bool {
        match batch {
            Some(batch) => batch.delete_horizon().is_none_or(|horizon| self.rules.now < horizon),
            None => self.keeps_old_tombstones,
        }
    }

    fn horizon(&self) -> Timestamp {
        let retention = i64::try_from(self.rules.delete_retention_ms).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.rules.now.as_millis().saturating_add(retention))
    }

    /// An entry of an old format goes when none of its records stays: there is no way to write it without any.
    fn filter_legacy(&self, entry: &Entry) -> Result<Filtered, CleanError> {
        let last_offset = entry.last_offset();
        let unreadable = |error: RecordError| CleanError::Records { last_offset, error };
        let records = entry.records(self.rules.decompress_limit).map_err(unreadable)?;
        let (mut kept, mut count) = (Vec::new(), 0);
        for record in records.iter() {
            let record = record.map_err(unreadable)?;
            count += 1;
            if self.keeps(&record, None) {
                kept.push(record);
            }
        }
        match entry {
            _ if kept.is_empty() => Ok(Filtered::Nothing),
            _ if kept.len() == count => Ok(Filtered::Whole),
            Entry::Legacy(legacy) => rewritten_legacy(legacy, &kept)
                .map(Filtered::Part)
                .map_err(|error: BuildError| CleanError::Rewrite { last_offset, error }),
            Entry::Batch(_) => Ok(Filtered::Whole),
        }
    }
}

fn empty_or_nothing(batch: &Batch, standing: &Standing) -> Filtered {
    if standing.stays_empty { Filtered::Part(batch.emptied().into()) } else { Filtered::Nothing }
}
