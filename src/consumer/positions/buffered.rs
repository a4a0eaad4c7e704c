//! Batches that were fetched, and which of their records are for applications (semantics.md, section 5.2).
//!
//! Control batches never are. Under read-committed neither is a batch of a transaction that was aborted: the answer names
//! such transactions by their first offsets, and each ends at its abort marker.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use crate::epoch::LeaderEpoch;
use crate::id::{ProducerId, TopicPartition};
use crate::message::{AbortedTransaction, IsolationLevel};
use crate::offset::Offset;
use crate::record::{
    ControlRecord, ControlType, DecompressLimit, Entry, Record, RecordError, RecordIter, RecordMark, Records,
    TimestampType,
};

/// What one answer brought.
#[derive(Debug)]
pub(super) struct Buffered {
    entries: VecDeque<Entry>,
    isolation: IsolationLevel,
    /// Transactions that have not begun yet, the next one first.
    aborted: VecDeque<AbortedTransaction>,
    /// Whose transaction is one that was aborted.
    aborting: BTreeSet<ProducerId>,
    /// The batch in front, of which some records were handed out.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    records: Records,
    mark: RecordMark,
    origin: Origin,
    /// Where the position goes at its end.
    next: Offset,
}

/// What a batch says about all of its records.
#[derive(Clone, Copy, Debug)]
struct Origin {
    timestamp_type: Option<TimestampType>,
    leader_epoch: Option<LeaderEpoch>,
}

/// Some records of one batch.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    records: Records,
    mark: RecordMark,
    count: u32,
    origin: Origin,
}

/// Who counts what is decompressed, as long as anybody has any of it.
pub(crate) trait Meter: Debug + Send + Sync {
    /// The same bytes, counted from now on.
    fn count(self: Arc<Self>, bytes: Bytes) -> Bytes;
}

/// How a batch is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    pub(super) limit: DecompressLimit,
    pub(super) meter: Option<&'a Arc<dyn Meter>>,
}

impl Opening<'_> {
    fn records(self, entry: &Entry) -> Result<Records, RecordError> {
        let records = entry.records(self.limit)?;
        Ok(match self.meter {
            Some(meter) if entry.is_compressed() => records.kept(|bytes| Arc::clone(meter).count(bytes)),
            Some(_) | None => records,
        })
    }
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// Records, from a mark on.
    Records { piece: Piece, next: Offset },
    /// Nothing more; the position goes behind what was passed over.
    End { next: Offset },
}

impl Buffered {
    pub(super) fn new(entries: Vec<Entry>, mut aborted: Vec<AbortedTransaction>, isolation: IsolationLevel) -> Self {
        aborted.sort_unstable();
        Self { entries: entries.into(), isolation, aborted: aborted.into(), aborting: BTreeSet::new(), open: None }
    }

    /// Whether nothing is left, not even a batch to be passed over.
    pub(super) fn is_drained(&self) -> bool {
        self.open.is_none() && self.entries.is_empty()
    }

    /// At most `count_max` records of one batch, from `position` on.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the batch cannot be read. It is met again by the next step.
    pub(super) fn step(
        &mut self,
        mut position: Offset,
        count_max: u32,
        opening: Opening<'_>,
    ) -> Result<Step, RecordError> {
        loop {
            if self.open.is_none() && !self.open_next(&mut position, opening)? {
                return Ok(Step::End { next: position });
            }
            let Some(open) = &mut self.open else { return Ok(Step::End { next: position }) };
            let taken = open.take(position, count_max)?;
            if taken.is_end {
                position = open.next;
                self.open = None;
            }
            if taken.piece.count > 0 {
                let next = if taken.is_end { position } else { taken.next };
                return Ok(Step::Records { piece: taken.piece, next });
            }
        }
    }

    /// Opens the next batch with records for applications. What is passed over moves `position`.
    fn open_next(&mut self, position: &mut Offset, opening: Opening<'_>) -> Result<bool, RecordError> {
        while let Some(entry) = self.entries.front() {
            let next = entry.next_offset();
            let is_wanted = self.is_wanted(opening.limit)?;
            if is_wanted && next > *position {
                // An error leaves the batch in front, to be met again.
                let Some(entry) = self.entries.front() else { return Ok(false) };
                let records = opening.records(entry)?;
                let mark = records.iter().mark();
                let origin = Origin { timestamp_type: entry.timestamp_type(), leader_epoch: entry.leader_epoch() };
                self.open = Some(Open { records, mark, origin, next });
                self.entries.pop_front();
                return Ok(true);
            }
            self.entries.pop_front();
            *position = (*position).max(next);
        }
        Ok(false)
    }

    /// Whether the batch in front is for applications; notes what it says about transactions.
    fn is_wanted(&mut self, limit: DecompressLimit) -> Result<bool, RecordError> {
        let Some(entry) = self.entries.front() else { return Ok(false) };
        if self.isolation == IsolationLevel::ReadUncommitted {
            return Ok(!entry.is_control());
        }
        let last = entry.last_offset();
        while let Some(begun) = self.aborted.front().filter(|aborted| aborted.first_offset <= last) {
            self.aborting.insert(begun.producer_id);
            self.aborted.pop_front();
        }
        let Some(producer) = entry.producer() else { return Ok(!entry.is_control()) };
        if entry.is_control() {
            if is_abort(entry, limit)? {
                self.aborting.remove(&producer.id);
            }
            return Ok(false);
        }
        Ok(!(entry.is_transactional() && self.aborting.contains(&producer.id)))
    }
}

/// Whether the batch is the end of an aborted transaction. What cannot be understood is none.
fn is_abort(entry: &Entry, limit: DecompressLimit) -> Result<bool, RecordError> {
    let records = entry.records(limit)?;
    let Some(first) = records.iter().next().transpose()? else { return Ok(false) };
    Ok(ControlRecord::parse(&first).is_ok_and(|control| control.control_type() == ControlType::Abort))
}

/// A piece of the open batch.
struct Taken {
    piece: Piece,
    /// Behind the last record of the piece.
    next: Offset,
    /// Whether the batch has no more.
    is_end: bool,
}

impl Open {
    /// Walks over the next records, which finds what is wrong with them before they are handed out.
    fn take(&mut self, position: Offset, count_max: u32) -> Result<Taken, RecordError> {
        let mut from = self.mark;
        let (mut count, mut next) = (0, position);
        let mut iter = self.records.iter_from(self.mark);
        let mut is_end = false;
        while count < count_max {
            let Some(record) = iter.next().transpose()? else {
                is_end = true;
                break;
            };
            if record.offset < position {
                // The batch began in front of what was asked for.
                from = iter.mark();
                continue;
            }
            count += 1;
            next = record.offset.advance(1);
        }
        let mark = iter.mark();
        let is_end = is_end || iter.next().transpose()?.is_none();
        self.mark = mark;
        let piece = Piece { records: self.records.clone(), mark: from, count, origin: self.origin };
        Ok(Taken { piece, next, is_end })
    }
}

/// Records that were handed out: they borrow from what was fetched.
#[derive(Clone, Debug)]
pub struct Polled {
    partition: TopicPartition,
    piece: Piece,
    offsets: (Offset, Offset),
}

impl Polled {
    pub(super) fn new(partition: TopicPartition, piece: Piece, offsets: (Offset, Offset)) -> Self {
        Self { partition, piece, offsets }
    }

    /// The partition that they stand in.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// How many there are: at least one.
    pub fn count(&self) -> u32 {
        self.piece.count
    }

    /// The position before they were handed out, and behind them.
    pub fn offsets(&self) -> (Offset, Offset) {
        self.offsets
    }

    /// Whose clock their dates are from; `None` in the oldest format, which has no dates.
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        self.piece.origin.timestamp_type
    }

    /// The reign in which they were appended, if it is known.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.piece.origin.leader_epoch
    }

    /// The records in order of their offsets.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        // They were walked over before they were handed out, so none is wrong.
        self.record_iter().map_while(Result::ok).take(self.piece.count as usize)
    }

    /// The first records of this iterator are those that were handed out.
    pub(crate) fn record_iter(&self) -> RecordIter<'_> {
        self.piece.records.iter_from(self.piece.mark)
    }

    /// The record at `mark`, which is the next to be read, and the mark behind it. `None` at the end of the batch.
    pub(crate) fn record_at(&self, mark: RecordMark) -> Option<(Record<'_>, RecordMark)> {
        let mut records = self.piece.records.iter_from(mark);
        let record = records.next()?.ok()?;
        Some((record, records.mark()))
    }

    /// The mark of the first record.
    pub(crate) fn mark(&self) -> RecordMark {
        self.piece.mark
    }

    /// What the records borrow from.
    pub(crate) fn bytes(&self) -> &Bytes {
        self.piece.records.bytes()
    }
}
