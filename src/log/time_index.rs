//! The time index of a segment: up to which offset no record is younger than a timestamp.
//!
//! An entry is 12 bytes (format.md, section 6): the largest timestamp seen so far in the segment, and the last offset
//! (less the segment's base) of the batch that had it. No record up to that offset is younger.
//!
//! - May use: `offset`, `time`, and its sibling `entries`.
//! - Must not know: files, segments, batches.
//! - Always true: timestamps rise strictly and are dates, offsets never fall; the last slot is kept for the entry that
//!   seals the segment.

use crate::log::entries::{IndexError, checked_offset, relative_to, used_len, whole_entries};
use crate::offset::Offset;
use crate::time::Timestamp;

/// One entry of a time index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeEntry {
    /// The largest timestamp in the segment up to `offset`.
    pub timestamp: Timestamp,
    /// The last offset of the batch that had it.
    pub offset: Offset,
}

/// A time index over bytes that lie elsewhere, in a mapped file for instance. Copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct TimeIndexView<'a> {
    base: Offset,
    entries: &'a [[u8; TimeIndex::ENTRY_BYTES]],
}

impl<'a> TimeIndexView<'a> {
    /// Looks at `bytes` as the time index of the segment that begins at `base`; costs the same for any length.
    ///
    /// Only what Kafka checks is checked: whole entries, a last timestamp not before the first, a last offset not
    /// before `base`. Over bytes that are not in order a lookup gives an entry of no meaning, but never panics;
    /// [`Self::check`] reads them all.
    ///
    /// # Errors
    ///
    /// [`IndexError::Length`], [`IndexError::BelowBase`], [`IndexError::TimestampOrder`].
    pub fn new(base: Offset, bytes: &'a [u8]) -> Result<Self, IndexError> {
        let entries = whole_entries(bytes)?;
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let entry = entries.len() - 1;
            let ((first, _), (timestamp, relative)) = (fields(first), fields(last));
            if timestamp < first {
                return Err(IndexError::TimestampOrder { entry, last: first, found: timestamp });
            }
            checked_offset(base, entry, relative)?;
        }
        Ok(Self { base, entries })
    }

    /// Reads every entry.
    ///
    /// # Errors
    ///
    /// The first entry that is out of order or out of range.
    pub fn check(&self) -> Result<(), IndexError> {
        let mut last = self.start();
        for (entry, bytes) in self.entries.iter().enumerate() {
            let (timestamp, relative) = fields(bytes);
            let offset = checked_offset(self.base, entry, relative)?;
            if timestamp <= last.timestamp {
                return Err(IndexError::TimestampOrder { entry, last: last.timestamp, found: timestamp });
            }
            if offset < last.offset {
                return Err(IndexError::OffsetOrder { entry, last: last.offset, found: offset });
            }
            last = TimeEntry { timestamp, offset };
        }
        Ok(())
    }

    /// The greatest entry at or below `timestamp`, else (none, base): the search for a record begins behind it.
    pub fn lookup(&self, timestamp: Timestamp) -> (Timestamp, Offset) {
        let kept = self.entries.partition_point(|entry| fields(entry).0 <= timestamp);
        let entry = self.entries[..kept].last().map_or(self.start(), |entry| self.decode(entry));
        (entry.timestamp, entry.offset)
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = TimeEntry> + ExactSizeIterator + use<'a> {
        let view = *self;
        self.entries.iter().map(move |entry| view.decode(entry))
    }

    /// The last entry.
    pub fn last(&self) -> Option<TimeEntry> {
        self.entries.last().map(|entry| self.decode(entry))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What stands in front of the first entry.
    fn start(&self) -> TimeEntry {
        TimeEntry { timestamp: Timestamp::NONE, offset: self.base }
    }

    /// How many entries lie before `offset`.
    fn count_below(&self, offset: Offset) -> usize {
        let relative = offset.as_i64() - self.base.as_i64();
        self.entries.partition_point(|entry| i64::from(fields(entry).1) < relative)
    }

    /// An entry of bytes that may not have been checked: a negative relative offset counts as zero.
    fn decode(&self, entry: &[u8; TimeIndex::ENTRY_BYTES]) -> TimeEntry {
        let (timestamp, relative) = fields(entry);
        TimeEntry { timestamp, offset: self.base.advance(u64::try_from(relative).unwrap_or(0)) }
    }
}

/// The time index of one segment, kept in its disk form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TimeIndex {
    base: Offset,
    entries_max: usize,
    bytes: Vec<u8>,
}

impl TimeIndex {
    /// The size of an entry.
    pub const ENTRY_BYTES: usize = 12;

    /// An empty index for the segment that begins at `base`; `bytes_max` counts the slot of the sealing entry.
    pub fn new(base: Offset, bytes_max: u32) -> Self {
        Self { base, entries_max: bytes_max as usize / Self::ENTRY_BYTES, bytes: Vec::new() }
    }

    /// Takes over the content of a file that was trimmed to its entries. More than `bytes_max` is no error: it is full.
    ///
    /// # Errors
    ///
    /// The first thing that no such file has: see [`TimeIndexView::check`]. The index is to be built anew.
    pub fn load(base: Offset, bytes_max: u32, bytes: &[u8]) -> Result<Self, IndexError> {
        TimeIndexView::new(base, bytes)?.check()?;
        Ok(Self { bytes: bytes.to_vec(), ..Self::new(base, bytes_max) })
    }

    /// Takes over the used front of a preallocated file: all up to its last entry that is not zero.
    ///
    /// An only entry of timestamp 0 at the base offset is all zero, so it is not seen: it says nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::load`], for the used front.
    pub fn load_preallocated(base: Offset, bytes_max: u32, bytes: &[u8]) -> Result<Self, IndexError> {
        whole_entries::<{ Self::ENTRY_BYTES }>(bytes)?;
        Self::load(base, bytes_max, &bytes[..used_len::<{ Self::ENTRY_BYTES }>(bytes)])
    }

    /// Adds an entry if `timestamp` is larger than the last one; says whether it did.
    ///
    /// # Errors
    ///
    /// [`IndexError::Full`], [`IndexError::Overflow`], and a timestamp or offset lower than the last entry's.
    pub fn maybe_append(&mut self, timestamp: Timestamp, offset: Offset) -> Result<bool, IndexError> {
        if self.is_full() {
            return Err(IndexError::Full { entries: self.len() });
        }
        self.append_last(timestamp, offset)
    }

    /// As [`Self::maybe_append`], but takes the slot that a full index has left: the entry that seals the segment.
    ///
    /// # Errors
    ///
    /// [`IndexError::Overflow`], and a timestamp or offset lower than the last entry's.
    pub fn append_last(&mut self, timestamp: Timestamp, offset: Offset) -> Result<bool, IndexError> {
        let relative = relative_to(offset, self.base)?;
        if let Some(last) = self.last() {
            let entry = self.len();
            if offset < last.offset {
                return Err(IndexError::OffsetOrder { entry, last: last.offset, found: offset });
            }
            if timestamp < last.timestamp {
                return Err(IndexError::TimestampOrder { entry, last: last.timestamp, found: timestamp });
            }
        }
        if timestamp <= self.last().map_or(Timestamp::NONE, |last| last.timestamp) {
            return Ok(false);
        }
        self.bytes.extend_from_slice(&timestamp.as_millis().to_be_bytes());
        self.bytes.extend_from_slice(&relative.to_be_bytes());
        Ok(true)
    }

    /// The greatest entry at or below `timestamp`, else (none, base): the search for a record begins behind it.
    pub fn lookup(&self, timestamp: Timestamp) -> (Timestamp, Offset) {
        self.view().lookup(timestamp)
    }

    /// Removes the entries at and after `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let kept = self.view().count_below(offset);
        self.bytes.truncate(kept * Self::ENTRY_BYTES);
    }

    /// The same index, borrowed.
    pub fn view(&self) -> TimeIndexView<'_> {
        TimeIndexView { base: self.base, entries: self.bytes.as_chunks().0 }
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = TimeEntry> + ExactSizeIterator + '_ {
        self.view().entries()
    }

    /// The last entry.
    pub fn last(&self) -> Option<TimeEntry> {
        self.view().last()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / Self::ENTRY_BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether only the sealing entry can be added: the segment must roll.
    pub fn is_full(&self) -> bool {
        self.len() + 1 >= self.entries_max
    }

    /// The file, trimmed to its entries.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The segment's base offset.
    pub fn base_offset(&self) -> Offset {
        self.base
    }
}

/// The timestamp and the relative offset of an entry, as they stand there.
fn fields(entry: &[u8; TimeIndex::ENTRY_BYTES]) -> (Timestamp, i32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
    let timestamp = Timestamp::from_millis(i64::from_be_bytes([a, b, c, d, e, f, g, h]));
    (timestamp, i32::from_be_bytes([i, j, k, l]))
}

#[cfg(test)]
mod tests;
