//! The two sparse indexes of a segment that still grows, or whose tail may still be cut.

use bytes::Bytes;

use crate::log::index::OffsetIndex;
use crate::log::time_index::TimeIndex;
use crate::offset::Offset;
use crate::time::Timestamp;

/// The largest timestamp of a segment so far, and the last offset of the batch that has it.
///
/// Only a strictly larger timestamp replaces it, so the offset is that of the first such batch (semantics 1.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MaxTimestamp {
    /// The timestamp, or none.
    pub timestamp: Timestamp,
    /// The last offset of the batch that has it; the segment's base if there is none.
    pub offset: Offset,
}

impl MaxTimestamp {
    /// What an empty segment has.
    pub const fn none(base: Offset) -> Self {
        Self { timestamp: Timestamp::NONE, offset: base }
    }

    /// A batch has come whose largest timestamp and last offset are these.
    pub fn raise(&mut self, timestamp: Timestamp, last_offset: Offset) {
        if timestamp > self.timestamp {
            *self = Self { timestamp, offset: last_offset };
        }
    }
}

/// The offset index and the time index of one segment, in the form they have on disk, with the rule by which they grow.
///
/// Always true: both stand for a prefix of the segment; what was handed out as written is a prefix of each.
#[derive(Clone, Debug)]
pub struct Indexes {
    /// The offset index.
    pub offset: OffsetIndex,
    /// The time index.
    pub time: TimeIndex,
    /// Bytes of batches since the last entry, or since the segment was opened.
    since_entry: u32,
    offset_written: Written,
    time_written: Written,
}

/// How much of an index stands in its file, and the checksum of that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    len: usize,
    crc: crc32fast::Hasher,
}

impl Written {
    pub(crate) fn all_of(bytes: &[u8]) -> Self {
        let mut written = Self::default();
        written.crc.update(bytes);
        written.len = bytes.len();
        written
    }

    /// What lies behind it and where that goes, which then counts as written too.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<(u32, Bytes)> {
        let from = self.len;
        if from >= bytes.len() {
            return None;
        }
        self.len = bytes.len();
        self.crc.update(&bytes[from..]);
        // An index holds at most `segment_index_bytes`, which fits.
        Some((from as u32, Bytes::copy_from_slice(&bytes[from..])))
    }

    /// The index was cut to `bytes`.
    pub(crate) fn cut(&mut self, bytes: &[u8]) {
        if self.len > bytes.len() {
            *self = Self::all_of(bytes);
        }
    }

    /// Length and CRC-32.
    pub(crate) fn sum(&self) -> (u32, u32) {
        (self.len as u32, self.crc.clone().finalize())
    }
}

impl Indexes {
    /// The indexes of a new segment, of at most `bytes_max` each.
    pub fn new(base: Offset, bytes_max: u32) -> Self {
        Self::loaded(OffsetIndex::new(base, bytes_max), TimeIndex::new(base, bytes_max))
    }

    /// Indexes of which nothing is in the files yet.
    pub fn rebuilt(offset: OffsetIndex, time: TimeIndex) -> Self {
        Self { offset, time, since_entry: 0, offset_written: Written::default(), time_written: Written::default() }
    }

    /// Indexes that stand in their files exactly so.
    pub fn loaded(offset: OffsetIndex, time: TimeIndex) -> Self {
        let (offset_written, time_written) = (Written::all_of(offset.as_bytes()), Written::all_of(time.as_bytes()));
        Self { offset, time, since_entry: 0, offset_written, time_written }
    }

    /// How many bytes both have.
    pub(crate) fn bytes(&self) -> u64 {
        (self.offset.as_bytes().len() + self.time.as_bytes().len()) as u64
    }

    /// Whether either index has no room for another entry, so that the segment must be rolled.
    pub(crate) fn is_full(&self) -> bool {
        self.offset.is_full() || self.time.is_full()
    }

    /// A batch of `size` bytes that ends with `last_offset` was put at `position`; `max` includes it already.
    ///
    /// The entry is added before the batch is counted, so the first batch of a segment is never indexed.
    pub fn batch_appended(&mut self, last_offset: Offset, position: u32, size: u32, max: MaxTimestamp, interval: u32) {
        if self.since_entry > interval {
            // One append of several batches may bring more entries than there is room for: room is looked for before an append.
            // And what has rotted in the file of an index that was believed may stand in the way of what comes behind it. An
            // index may always lack an entry.
            let _ = self.offset.append(last_offset, position);
            let _ = self.time.maybe_append(max.timestamp, max.offset);
            self.since_entry = 0;
        }
        self.since_entry = self.since_entry.saturating_add(size);
    }

    /// The last entry of a segment that is sealed: its largest timestamp. Behind an entry that has rotted there is none.
    pub fn seal(&mut self, max: MaxTimestamp) {
        if max.timestamp.is_some() {
            let _ = self.time.append_last(max.timestamp, max.offset);
        }
    }

    /// The segment was opened anew: the next entry comes an interval from here (semantics 1.4).
    pub fn reopened(&mut self) {
        self.since_entry = 0;
    }

    /// The batches behind `position` are read again: the next entry comes where it would have come then, so that it is the
    /// same wherever the reading begins.
    pub(crate) fn resumed_at(&mut self, position: u32) {
        self.since_entry = position.saturating_sub(self.offset.last().map_or(0, |last| last.position));
    }

    /// Forgets the entries of what lies at `to` or after it.
    pub fn truncate_to(&mut self, to: Offset) {
        self.offset.truncate_to(to);
        self.time.truncate_to(to);
        self.since_entry = 0;
        self.offset_written.cut(self.offset.as_bytes());
        self.time_written.cut(self.time.as_bytes());
    }

    /// The files have all of it, or will be given it.
    pub(crate) fn count_as_written(&mut self) {
        self.offset_written = Written::all_of(self.offset.as_bytes());
        self.time_written = Written::all_of(self.time.as_bytes());
    }

    /// The entries of the offset index that no file has yet, and where they go in it.
    pub(crate) fn take_offset_entries(&mut self) -> Option<(u32, Bytes)> {
        self.offset_written.take(self.offset.as_bytes())
    }

    /// The entries of the time index that no file has yet, and where they go in it.
    pub(crate) fn take_time_entries(&mut self) -> Option<(u32, Bytes)> {
        self.time_written.take(self.time.as_bytes())
    }

    /// Length and CRC-32 of what the files of the offset index and the time index have.
    pub(crate) fn sums(&self) -> ((u32, u32), (u32, u32)) {
        (self.offset_written.sum(), self.time_written.sum())
    }
}
