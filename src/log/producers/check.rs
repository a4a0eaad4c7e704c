//! Deciding whether batches may be appended, without changing anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::epoch::{ProducerEpoch, Sequence};
use crate::id::ProducerId;
use crate::log::producers::entry::ProducerEntry;
use crate::log::producers::facts::{CompletedTxn, Content, Marker, MarkerRules, ProducerBatch, ProducerError};
use crate::log::producers::{ProducerChange, ProducerState, UnknownProducer};
use crate::offset::Offset;
use crate::record::{Origin, ProducerStamp};

/// The state as it would be behind the batches looked at so far: what differs, laid over what is.
pub(super) struct Pending<'a> {
    state: &'a ProducerState,
    origin: Origin,
    unknown_producer: UnknownProducer,
    entries: ChangedEntries,
    /// Transactions begun by these batches and still open.
    opened: BTreeMap<Offset, ProducerId>,
    /// Transactions of `state` that these batches end.
    closed: BTreeSet<Offset>,
    completed: Vec<CompletedTxn>,
    end: Option<Offset>,
    /// Every transaction of `state` before this offset is in `closed`.
    closed_before: Offset,
}

impl<'a> Pending<'a> {
    pub(super) fn new(state: &'a ProducerState, origin: Origin, unknown_producer: UnknownProducer) -> Self {
        Self {
            state,
            origin,
            unknown_producer,
            entries: ChangedEntries::default(),
            opened: BTreeMap::new(),
            closed: BTreeSet::new(),
            completed: Vec::new(),
            end: None,
            closed_before: Offset::ZERO,
        }
    }

    /// Whether one more batch, of this origin, may be appended; then it counts as appended.
    pub(super) fn allows(&mut self, batch: &ProducerBatch, origin: Origin) -> bool {
        self.origin = origin;
        self.add(batch).is_ok()
    }

    pub(super) fn into_change(self) -> ProducerChange {
        let Self { entries, opened, completed, end, .. } = self;
        ProducerChange { entries, opened, completed, end }
    }

    /// Looks at one more batch.
    pub(super) fn add(&mut self, batch: &ProducerBatch) -> Result<(), ProducerError> {
        self.end = Some(batch.last_offset.advance(1));
        let Some(producer) = batch.producer else { return Ok(()) };
        match batch.content {
            Content::Plain | Content::Transactional => self.add_data(&producer, batch),
            Content::Marker(marker) => self.add_marker(&producer, batch.base_offset, &marker),
            Content::OtherControl => Ok(()),
        }
    }

    fn add_data(&mut self, producer: &ProducerStamp, batch: &ProducerBatch) -> Result<(), ProducerError> {
        let entry = self.entry(producer.id);
        if self.origin != Origin::Replication {
            check_epoch(producer, entry)?;
        }
        if self.origin == Origin::Client {
            check_sequence(producer, entry, self.unknown_producer)?;
        }
        let begun = match (entry.and_then(ProducerEntry::open_transaction), batch.content) {
            (Some(first_offset), Content::Plain) if self.origin != Origin::Replication => {
                return Err(ProducerError::OutsideTransaction { producer_id: producer.id, first_offset });
            }
            (None, Content::Transactional) => Some(batch.base_offset),
            _ => None,
        };
        let entry = self.entry_mut(producer.id);
        entry.add_batch(producer.epoch, batch);
        if let Some(first_offset) = begun {
            entry.open(first_offset);
            self.opened.insert(first_offset, producer.id);
        }
        Ok(())
    }

    fn add_marker(&mut self, producer: &ProducerStamp, offset: Offset, marker: &Marker) -> Result<(), ProducerError> {
        if self.origin != Origin::Replication {
            let entry = self.entry(producer.id);
            check_marker_epoch(producer, entry, marker.rules)?;
            check_coordinator(producer.id, entry, marker)?;
        }
        let entry = self.entry_mut(producer.id);
        let ended = entry.end_transaction(producer.epoch, marker.coordinator_epoch, marker.timestamp);
        if let Some(first_offset) = ended {
            self.close(first_offset);
            let last_stable_offset = self.first_open().unwrap_or(offset.advance(1));
            self.completed.push(CompletedTxn {
                producer_id: producer.id,
                first_offset,
                last_offset: offset,
                outcome: marker.outcome,
                last_stable_offset,
            });
        }
        Ok(())
    }

    fn close(&mut self, first_offset: Offset) {
        if self.opened.remove(&first_offset).is_none() {
            self.closed.insert(first_offset);
        }
    }

    /// Where the oldest transaction begins that is open now.
    fn first_open(&mut self) -> Option<Offset> {
        let still_open = |first: &&Offset| !self.closed.contains(first);
        let stored = self.state.open.range(self.closed_before..).map(|(first, _)| first).find(still_open).copied();
        // What is closed stays closed, so the next search need not step over it again.
        self.closed_before = stored.unwrap_or(Offset::MAX);
        let opened = self.opened.first_key_value().map(|(first, _)| *first);
        [stored, opened].into_iter().flatten().min()
    }

    fn entry(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.entries.entry(id).or_else(|| self.state.producers.get(&id))
    }

    fn entry_mut(&mut self, id: ProducerId) -> &mut ProducerEntry {
        let stored = || self.state.producers.get(&id).cloned().unwrap_or_else(ProducerEntry::unknown);
        self.entries.entry_or(id, stored)
    }
}

/// Entries as they are to be. Nearly every append has one producer, for whom a map would be a large allocation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ChangedEntries {
    first: Option<(ProducerId, ProducerEntry)>,
    /// All others.
    rest: BTreeMap<ProducerId, ProducerEntry>,
}

impl ChangedEntries {
    fn entry(&self, id: ProducerId) -> Option<&ProducerEntry> {
        match &self.first {
            Some((first, entry)) if *first == id => Some(entry),
            _ => self.rest.get(&id),
        }
    }

    fn entry_or(&mut self, id: ProducerId, stored: impl FnOnce() -> ProducerEntry) -> &mut ProducerEntry {
        let is_another = self.first.as_ref().is_some_and(|(first, _)| *first != id);
        if is_another {
            return self.rest.entry(id).or_insert_with(stored);
        }
        &mut self.first.get_or_insert_with(|| (id, stored())).1
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (ProducerId, ProducerEntry)> {
        self.first.into_iter().chain(self.rest)
    }
}

/// An earlier reign of the producer may not write any more.
fn check_epoch(producer: &ProducerStamp, entry: Option<&ProducerEntry>) -> Result<(), ProducerError> {
    let stored = entry.and_then(ProducerEntry::epoch);
    if producer.epoch < stored { Err(fenced(producer, stored)) } else { Ok(()) }
}

/// The batch must go on where the last one ended; a new epoch begins at 0.
fn check_sequence(
    producer: &ProducerStamp,
    entry: Option<&ProducerEntry>,
    unknown: UnknownProducer,
) -> Result<(), ProducerError> {
    let producer_id = producer.id;
    let found = producer.base_sequence.ok_or(ProducerError::MissingSequence { producer_id })?;
    let expected = match entry {
        Some(entry) if entry.epoch().is_some() && entry.epoch() == producer.epoch => entry.next_sequence(),
        Some(entry) if entry.epoch().is_some() => Sequence::ZERO,
        _ => {
            return match unknown {
                UnknownProducer::Refuse if found != Sequence::ZERO => {
                    Err(ProducerError::UnknownProducer { producer_id, found })
                }
                UnknownProducer::Accept | UnknownProducer::Refuse => Ok(()),
            };
        }
    };
    if found == expected {
        return Ok(());
    }
    Err(ProducerError::OutOfOrderSequence { producer_id, epoch: producer.epoch, expected, found })
}

/// A marker of an earlier reign may not end what a later one has begun.
fn check_marker_epoch(
    producer: &ProducerStamp,
    entry: Option<&ProducerEntry>,
    rules: MarkerRules,
) -> Result<(), ProducerError> {
    let stored = entry.and_then(ProducerEntry::epoch);
    let has_open = entry.is_some_and(|entry| entry.open_transaction().is_some());
    let allowed = match rules {
        MarkerRules::SameEpoch => producer.epoch >= stored,
        MarkerRules::NextEpoch => producer.epoch > stored || (producer.epoch == stored && !has_open),
    };
    if allowed { Ok(()) } else { Err(fenced(producer, stored)) }
}

/// A marker of an earlier reign of the coordinator comes too late.
fn check_coordinator(
    producer_id: ProducerId,
    entry: Option<&ProducerEntry>,
    marker: &Marker,
) -> Result<(), ProducerError> {
    let stored = entry.and_then(ProducerEntry::coordinator_epoch);
    if marker.coordinator_epoch < stored {
        return Err(ProducerError::CoordinatorFenced { producer_id, stored, found: marker.coordinator_epoch });
    }
    Ok(())
}

fn fenced(producer: &ProducerStamp, stored: Option<ProducerEpoch>) -> ProducerError {
    ProducerError::ProducerFenced { producer_id: producer.id, stored, found: producer.epoch }
}
