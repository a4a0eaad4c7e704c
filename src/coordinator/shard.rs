//! What is known of the groups of one partition of `__consumer_offsets`.

use std::collections::BTreeMap;

use crate::coordinator::commit::Commit;
use crate::coordinator::group::GroupSummary;
use crate::coordinator::offsets::{GroupOffsets, GroupPartition, OffsetKey, OffsetValue, OffsetsError};
use crate::id::{GroupId, ProducerId, TopicName};
use crate::offset::Offset;
use crate::record::{ControlRecord, DecompressLimit, Entry, Record, TransactionMarker, TransactionResult};
use crate::time::Timestamp;

/// The asker's number for an append. One that is not ended is not to be used again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// Records that could not be read. What they would have said is not known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skipped {
    /// The first of them.
    pub offset: Offset,
    /// What is wrong.
    pub why: String,
}

/// How much of a partition is known.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Loading,
    /// All up to there, which counts once it is committed.
    Loaded {
        end: Offset,
    },
    Failed {
        why: String,
    },
}

/// The groups of one partition.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) stage: Stage,
    pub(super) offsets: GroupOffsets,
    /// What Kafka has noted of the groups themselves.
    pub(super) groups: BTreeMap<GroupId, GroupSummary>,
    /// What transactions that are not finished would commit.
    pending: BTreeMap<ProducerId, BTreeMap<GroupPartition, Pending>>,
    /// Given to the log; whether they are in it is not known yet.
    pub(super) appending: BTreeMap<Ticket, Commit>,
    /// In the log and not committed, by the offset behind each.
    appended: BTreeMap<Offset, Commit>,
    /// Topics that were deleted during the load, and when.
    pub(super) deleted: BTreeMap<TopicName, Timestamp>,
}

/// What a transaction would commit.
#[derive(Clone, Debug)]
enum Pending {
    /// This, and where it stands in the log.
    Value(Offset, OffsetValue),
    /// Nothing: something behind it in the log counts.
    Superseded,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Loading,
            offsets: GroupOffsets::default(),
            groups: BTreeMap::new(),
            pending: BTreeMap::new(),
            appending: BTreeMap::new(),
            appended: BTreeMap::new(),
            deleted: BTreeMap::new(),
        }
    }

    /// Whether anything is known of a group.
    pub(super) fn knows(&self, group: &GroupId) -> bool {
        self.groups.contains_key(group) || self.offsets.of_group(group).next().is_some()
    }

    /// Whether a transaction that is not finished would commit something here.
    pub(super) fn is_unstable(&self, at: &GroupPartition) -> bool {
        self.pending.values().any(|of_producer| of_producer.contains_key(at))
    }

    /// Where transactions that are not finished would commit something for a group.
    pub(super) fn unstable_of<'a>(&'a self, group: &'a GroupId) -> impl Iterator<Item = &'a GroupPartition> {
        self.pending.values().flat_map(|of_producer| of_producer.keys()).filter(move |at| at.group == *group)
    }

    /// The keys of what is appended, or about to be, and not replayed.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &GroupPartition> {
        self.appending.values().chain(self.appended.values()).flat_map(Commit::keys)
    }

    pub(super) fn end_append(&mut self, ticket: Ticket, base_offset: Option<Offset>) {
        let Some(commit) = self.appending.remove(&ticket) else { return };
        let Some(base_offset) = base_offset else { return };
        match commit.stamped(base_offset) {
            Ok(commit) => drop(self.appended.insert(commit.batch().next_offset(), commit)),
            Err(error) => self.stage = Stage::Failed { why: error.to_string() },
        }
    }

    pub(super) fn on_committed(&mut self, high_watermark: Offset, skipped: &mut Vec<Skipped>) {
        while let Some(first) = self.appended.first_entry().filter(|first| *first.key() <= high_watermark) {
            let commit = first.remove();
            self.replay(&commit.batch().clone().into(), Offset::ZERO, skipped);
        }
    }

    /// Replays the records of a batch from `from` on.
    pub(super) fn replay(&mut self, entry: &Entry, from: Offset, skipped: &mut Vec<Skipped>) {
        let first = entry.base_offset(DecompressLimit::default()).unwrap_or_else(|_| entry.last_offset());
        let records = match entry.records(DecompressLimit::default()) {
            Ok(records) => records,
            Err(error) => return skipped.push(Skipped { offset: first.max(from), why: error.to_string() }),
        };
        let mut next = first;
        for record in records.iter() {
            let record = match record {
                Ok(record) => record,
                // What is behind it in the batch is not known either.
                Err(error) => return skipped.push(Skipped { offset: next.max(from), why: error.to_string() }),
            };
            next = record.offset.advance(1);
            if record.offset < from {
                continue;
            }
            let replayed = if entry.is_control() {
                self.replay_marker(entry, &record).map_err(|error| error.to_string())
            } else {
                self.replay_record(entry, &record).map_err(|error| error.to_string())
            };
            if let Err(why) = replayed {
                skipped.push(Skipped { offset: record.offset, why });
            }
        }
    }

    fn replay_record(&mut self, entry: &Entry, record: &Record<'_>) -> Result<(), OffsetsError> {
        // Compaction keeps no record without a key, and Kafka writes none.
        let Some(key) = record.key else { return Ok(()) };
        match OffsetKey::parse(key)? {
            OffsetKey::Offset(at) => {
                let value = record.value.map(OffsetValue::parse).transpose()?;
                match entry.producer().filter(|_| entry.is_transactional()) {
                    Some(producer) => self.note_pending(producer.id, at, record.offset, value),
                    None => self.write(at, record.offset, value),
                }
            }
            OffsetKey::Group(group) => match record.value {
                Some(value) => drop(self.groups.insert(group, GroupSummary::of(value))),
                None => drop(self.groups.remove(&group)),
            },
            OffsetKey::Other(_) => {}
        }
        Ok(())
    }

    fn replay_marker(&mut self, entry: &Entry, record: &Record<'_>) -> Result<(), crate::record::ControlError> {
        let ControlRecord::Marker(TransactionMarker { result, .. }) = ControlRecord::parse(record)? else {
            return Ok(());
        };
        let ended = entry.producer().and_then(|producer| self.pending.remove(&producer.id));
        if result == TransactionResult::Commit {
            for (at, pending) in ended.into_iter().flatten() {
                if let Pending::Value(offset, value) = pending {
                    self.write(at, offset, Some(value));
                }
            }
        }
        Ok(())
    }

    fn note_pending(&mut self, producer: ProducerId, at: GroupPartition, offset: Offset, value: Option<OffsetValue>) {
        let pending = value.map_or(Pending::Superseded, |value| Pending::Value(offset, value));
        self.pending.entry(producer).or_default().insert(at, pending);
    }

    /// The last in the order of the log counts, whenever its transaction has ended.
    fn write(&mut self, at: GroupPartition, offset: Offset, value: Option<OffsetValue>) {
        for of_producer in self.pending.values_mut() {
            if let Some(pending) = of_producer.get_mut(&at)
                && matches!(pending, Pending::Value(other, _) if *other < offset)
            {
                *pending = Pending::Superseded;
            }
        }
        match value {
            Some(value) => self.offsets.set(at, value),
            None => self.offsets.forget(&at.group, &at.partition),
        }
    }
}
