//! Records as an application sees them: borrowed from what was fetched, or sharing it.
//!
//! - May use: the newtypes, `record`, `consumer`.
//! - Must not know: how they got here.
//! - Always true: no byte of a key, a value or a header is copied. What was fetched lives as long as anything of it is held,
//!   so one record that is kept keeps the answer that brought it: up to a batch, or up to a read from a file.

use std::ops::Range;

use bytes::Bytes;

use crate::consumer::Polled;
use crate::epoch::LeaderEpoch;
use crate::id::{TopicName, TopicPartition};
use crate::offset::Offset;
use crate::record::{Headers, Record, RecordIter, RecordMark, TimestampType};
use crate::time::Timestamp;

/// What one poll has brought: records in the order of their offsets, partition by partition.
///
/// Iterating over `&records` lends each record; over `records` itself gives it away, see [`OwnedRecord`].
#[derive(Clone, Debug, Default)]
pub struct Records {
    pieces: Vec<Piece>,
    count: u64,
}

/// Records of one batch.
#[derive(Clone, Debug)]
struct Piece {
    polled: Polled,
    /// Which time of the partition's being read this was.
    round: u64,
}

/// Which record was handed out, to acknowledge it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Receipt {
    pub(super) partition: TopicPartition,
    pub(super) offset: Offset,
    pub(super) round: u64,
}

impl Receipt {
    /// Where the record stands.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The record's offset.
    pub fn offset(&self) -> Offset {
        self.offset
    }
}

impl Records {
    pub(super) fn push(&mut self, polled: Polled, round: u64) {
        self.count += u64::from(polled.count());
        self.pieces.push(Piece { polled, round });
    }

    /// How many records there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The records, one after the other.
    pub fn iter(&self) -> LentRecords<'_> {
        LentRecords { pieces: self.pieces.iter(), open: None }
    }

    /// The partitions that there are records of, each once.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        let mut partitions: Vec<_> = self.pieces.iter().map(|piece| piece.polled.partition()).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions.into_iter()
    }

    /// The records of one partition.
    pub fn of<'a>(&'a self, partition: &TopicPartition) -> impl Iterator<Item = ConsumedRecord<'a>> {
        self.pieces.iter().filter(move |piece| piece.polled.partition() == partition).flat_map(Piece::iter)
    }
}

impl Piece {
    fn iter(&self) -> LentPiece<'_> {
        LentPiece { piece: self, records: self.polled.record_iter(), left: self.polled.count() }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = ConsumedRecord<'a>;
    type IntoIter = LentRecords<'a>;

    fn into_iter(self) -> LentRecords<'a> {
        self.iter()
    }
}

/// Lends the records of a poll, one after the other.
#[derive(Clone, Debug)]
pub struct LentRecords<'a> {
    pieces: std::slice::Iter<'a, Piece>,
    open: Option<LentPiece<'a>>,
}

/// Lends the records of one batch.
#[derive(Clone, Debug)]
struct LentPiece<'a> {
    piece: &'a Piece,
    records: RecordIter<'a>,
    left: u32,
}

impl<'a> Iterator for LentRecords<'a> {
    type Item = ConsumedRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<ConsumedRecord<'a>> {
        loop {
            if let Some(record) = self.open.as_mut().and_then(LentPiece::next) {
                return Some(record);
            }
            self.open = Some(self.pieces.next()?.iter());
        }
    }
}

impl<'a> Iterator for LentPiece<'a> {
    type Item = ConsumedRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<ConsumedRecord<'a>> {
        self.left = self.left.checked_sub(1)?;
        // They were walked over before they were handed out, so none is wrong.
        let record = self.records.next()?.ok()?;
        Some(ConsumedRecord { polled: &self.piece.polled, record, round: self.piece.round })
    }
}

impl IntoIterator for Records {
    type Item = OwnedRecord;
    type IntoIter = OwnedRecords;

    fn into_iter(self) -> OwnedRecords {
        OwnedRecords { pieces: self.pieces.into_iter(), open: None }
    }
}

/// Gives away the records of a poll, one after the other.
#[derive(Debug)]
pub struct OwnedRecords {
    pieces: std::vec::IntoIter<Piece>,
    /// The records that are given away now, where to go on, and how many are left.
    open: Option<(Piece, RecordMark, u32)>,
}

impl Iterator for OwnedRecords {
    type Item = OwnedRecord;

    fn next(&mut self) -> Option<OwnedRecord> {
        loop {
            if let Some((piece, mark, left)) = &mut self.open
                && *left > 0
                && let Some((record, behind)) = piece.polled.record_at(*mark)
            {
                let owned = OwnedRecord::of(&ConsumedRecord { polled: &piece.polled, record, round: piece.round });
                (*mark, *left) = (behind, *left - 1);
                return Some(owned);
            }
            let piece = self.pieces.next()?;
            let (mark, count) = (piece.polled.mark(), piece.polled.count());
            self.open = Some((piece, mark, count));
        }
    }
}

/// One record, lent by [`Records`].
#[derive(Clone, Copy, Debug)]
pub struct ConsumedRecord<'a> {
    polled: &'a Polled,
    record: Record<'a>,
    round: u64,
}

impl<'a> ConsumedRecord<'a> {
    /// Its topic.
    pub fn topic(&self) -> &'a TopicName {
        self.polled.partition().topic()
    }

    /// The number of its partition.
    pub fn partition(&self) -> u32 {
        self.polled.partition().partition()
    }

    /// Its topic and the number of its partition.
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.polled.partition()
    }

    /// Where it stands in its partition.
    pub fn offset(&self) -> Offset {
        self.record.offset
    }

    /// Its date; [`Timestamp::NONE`] in the oldest format.
    pub fn timestamp(&self) -> Timestamp {
        self.record.timestamp
    }

    /// Whose clock the date is from; `None` in the oldest format.
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        self.polled.timestamp_type()
    }

    /// The key; an empty one is not none.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key
    }

    /// The value; none is a tombstone where the topic is compacted.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.record.value
    }

    /// The headers, in the order they were written.
    pub fn headers(&self) -> Headers<'a> {
        self.record.headers
    }

    /// The reign in which it was appended, if it is known.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.polled.leader_epoch()
    }

    /// What acknowledges it, see [`Consumer::ack`](super::Consumer::ack).
    pub fn receipt(&self) -> Receipt {
        Receipt { partition: self.topic_partition().clone(), offset: self.offset(), round: self.round }
    }

    /// The same to keep, without a copy of its bytes.
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord::of(self)
    }
}

/// One record, to keep and to send elsewhere.
///
/// It shares the bytes that were fetched, so as long as it lives these do, all of them: whoever keeps few records for long
/// copies what he needs.
#[derive(Clone, Debug)]
pub struct OwnedRecord {
    receipt: Receipt,
    timestamp: Timestamp,
    timestamp_type: Option<TimestampType>,
    leader_epoch: Option<LeaderEpoch>,
    bytes: Bytes,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    header_count: u32,
    headers: Range<usize>,
}

impl OwnedRecord {
    fn of(lent: &ConsumedRecord<'_>) -> Self {
        let bytes = lent.polled.bytes();
        let range = |part: &[u8]| range_in(bytes, part);
        Self {
            receipt: lent.receipt(),
            timestamp: lent.timestamp(),
            timestamp_type: lent.timestamp_type(),
            leader_epoch: lent.leader_epoch(),
            key: lent.key().map(range),
            value: lent.value().map(range),
            header_count: lent.headers().len() as u32,
            headers: range(lent.headers().as_bytes()),
            bytes: bytes.clone(),
        }
    }

    /// Its topic.
    pub fn topic(&self) -> &TopicName {
        self.receipt.partition.topic()
    }

    /// The number of its partition.
    pub fn partition(&self) -> u32 {
        self.receipt.partition.partition()
    }

    /// Its topic and the number of its partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.receipt.partition
    }

    /// Where it stands in its partition.
    pub fn offset(&self) -> Offset {
        self.receipt.offset
    }

    /// Its date; [`Timestamp::NONE`] in the oldest format.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Whose clock the date is from; `None` in the oldest format.
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        self.timestamp_type
    }

    /// The key; an empty one is not none.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.clone().map(|range| &self.bytes[range])
    }

    /// The value; none is a tombstone where the topic is compacted.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|range| &self.bytes[range])
    }

    /// The key, shared.
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key.clone().map(|range| self.bytes.slice(range))
    }

    /// The value, shared.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value.clone().map(|range| self.bytes.slice(range))
    }

    /// The headers, in the order they were written.
    pub fn headers(&self) -> Headers<'_> {
        Headers::from_bytes(self.header_count, &self.bytes[self.headers.clone()])
    }

    /// The reign in which it was appended, if it is known.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.leader_epoch
    }

    /// What acknowledges it, see [`Consumer::ack`](super::Consumer::ack).
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }
}

/// Where `part` lies in `whole`, which it was cut from. An empty one may come from anywhere.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    let range = start..start + part.len();
    assert!(range.end <= whole.len(), "a record lies in the bytes of its batch");
    range
}
