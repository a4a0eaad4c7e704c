//! The offset index of a segment: which batch ends at or before an offset, and where it starts in the file.
//!
//! An entry is 8 bytes (format.md, section 6): the offset less the segment's base, and the position of the start of
//! a batch. The offset is the last one of that batch (4.x) or of the whole append that begins there (3.x); in both
//! layouts a reader that starts at the position of the greatest entry at or below its target misses nothing.
//!
//! - May use: `offset`, and its sibling `entries`.
//! - Must not know: files, segments, batches.
//! - Always true: both columns rise strictly; what `as_bytes` gives is the file, byte for byte.

use crate::log::entries::{IndexError, checked_offset, relative_to, used_len, whole_entries};
use crate::offset::Offset;

/// One entry of an offset index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OffsetEntry {
    /// The last offset of the batch, or of the append, that starts at `position`.
    pub offset: Offset,
    /// Where a batch starts, in bytes from the start of the segment's file.
    pub position: u32,
}

/// An offset index over bytes that lie elsewhere, in a mapped file for instance. Copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct OffsetIndexView<'a> {
    base: Offset,
    entries: &'a [[u8; OffsetIndex::ENTRY_BYTES]],
}

impl<'a> OffsetIndexView<'a> {
    /// Looks at `bytes` as the index of the segment that begins at `base`; costs the same for any length.
    ///
    /// Only what Kafka checks is checked: whole entries, and a last entry not before `base`. Over bytes that are not
    /// in order a lookup gives an entry of no meaning, but never panics; [`Self::check`] reads them all.
    ///
    /// # Errors
    ///
    /// [`IndexError::Length`], [`IndexError::BelowBase`].
    pub fn new(base: Offset, bytes: &'a [u8]) -> Result<Self, IndexError> {
        let entries = whole_entries(bytes)?;
        let last = entries.len().saturating_sub(1);
        if let Some(entry) = entries.last() {
            let (relative, _) = fields(entry);
            checked_offset(base, last, relative)?;
        }
        Ok(Self { base, entries })
    }

    /// Reads every entry.
    ///
    /// # Errors
    ///
    /// The first entry that is out of order or out of range.
    pub fn check(&self) -> Result<(), IndexError> {
        let mut before: Option<OffsetEntry> = None;
        for (at, entry) in self.entries.iter().enumerate() {
            let (relative, position) = fields(entry);
            let offset = checked_offset(self.base, at, relative)?;
            let last_position = before.map_or(-1, |last| i64::from(last.position));
            let order = IndexError::PositionOrder { entry: at, last: last_position, found: i64::from(position) };
            let position = u32::try_from(position).map_err(|_| order)?;
            if let Some(last) = before {
                if offset <= last.offset {
                    return Err(IndexError::OffsetOrder { entry: at, last: last.offset, found: offset });
                }
                if position <= last.position {
                    return Err(order);
                }
            }
            before = Some(OffsetEntry { offset, position });
        }
        Ok(())
    }

    /// The greatest entry at or below `target`, else the start of the segment: (base, 0).
    pub fn lookup(&self, target: Offset) -> (Offset, u32) {
        let start = OffsetEntry { offset: self.base, position: 0 };
        let found = self.entries[..self.count(|relative| relative <= self.relative(target))].last();
        let entry = found.map_or(start, |entry| self.decode(entry));
        (entry.offset, entry.position)
    }

    /// The first entry whose offset is `target` or later: no batch that begins at or before `target` starts after it.
    pub fn next_at_or_after(&self, target: Offset) -> Option<OffsetEntry> {
        self.entries.get(self.count(|relative| relative < self.relative(target))).map(|entry| self.decode(entry))
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = OffsetEntry> + ExactSizeIterator + use<'a> {
        let view = *self;
        self.entries.iter().map(move |entry| view.decode(entry))
    }

    /// The last entry.
    pub fn last(&self) -> Option<OffsetEntry> {
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

    /// How many entries in front have a relative offset that is `wanted`.
    fn count(&self, wanted: impl Fn(i64) -> bool) -> usize {
        self.entries.partition_point(|entry| wanted(i64::from(fields(entry).0)))
    }

    /// The distance of `offset` from the base; negative before it. Neither is negative, so that the difference fits.
    fn relative(&self, offset: Offset) -> i64 {
        offset.as_i64() - self.base.as_i64()
    }

    /// An entry of bytes that may not have been checked: what is negative counts as zero.
    fn decode(&self, entry: &[u8; OffsetIndex::ENTRY_BYTES]) -> OffsetEntry {
        let (relative, position) = fields(entry);
        let distance = u64::try_from(relative).unwrap_or(0);
        OffsetEntry { offset: self.base.advance(distance), position: u32::try_from(position).unwrap_or(0) }
    }
}

/// The offset index of one segment, kept in its disk form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OffsetIndex {
    base: Offset,
    entries_max: usize,
    bytes: Vec<u8>,
}

impl OffsetIndex {
    /// The size of an entry.
    pub const ENTRY_BYTES: usize = 8;

    /// An empty index for the segment that begins at `base`, full at `bytes_max` bytes (rounded down to entries).
    pub fn new(base: Offset, bytes_max: u32) -> Self {
        Self { base, entries_max: bytes_max as usize / Self::ENTRY_BYTES, bytes: Vec::new() }
    }

    /// Takes over the content of a file that was trimmed to its entries. More than `bytes_max` is no error: it is full.
    ///
    /// # Errors
    ///
    /// The first thing that no such file has: see [`OffsetIndexView::check`]. The index is to be built anew.
    pub fn load(base: Offset, bytes_max: u32, bytes: &[u8]) -> Result<Self, IndexError> {
        OffsetIndexView::new(base, bytes)?.check()?;
        Ok(Self { bytes: bytes.to_vec(), ..Self::new(base, bytes_max) })
    }

    /// Takes over the used front of a preallocated file: all up to its last entry that is not zero.
    ///
    /// After a kill such a file may lack entries whose pages were never written; what it has is in order, no more.
    ///
    /// # Errors
    ///
    /// As [`Self::load`], for the used front.
    pub fn load_preallocated(base: Offset, bytes_max: u32, bytes: &[u8]) -> Result<Self, IndexError> {
        whole_entries::<{ Self::ENTRY_BYTES }>(bytes)?;
        Self::load(base, bytes_max, &bytes[..used_len::<{ Self::ENTRY_BYTES }>(bytes)])
    }

    /// Adds an entry: the batch that starts at `position` ends with `offset`.
    ///
    /// # Errors
    ///
    /// [`IndexError::Full`], [`IndexError::Overflow`], and an offset or position that does not follow the last entry's.
    pub fn append(&mut self, offset: Offset, position: u32) -> Result<(), IndexError> {
        let entry = self.len();
        if self.is_full() {
            return Err(IndexError::Full { entries: entry });
        }
        let relative = relative_to(offset, self.base)?;
        let last_position = self.last().map_or(-1, |last| i64::from(last.position));
        if let Some(last) = self.last().filter(|last| offset <= last.offset) {
            return Err(IndexError::OffsetOrder { entry, last: last.offset, found: offset });
        }
        if i64::from(position) <= last_position || position > i32::MAX as u32 {
            return Err(IndexError::PositionOrder { entry, last: last_position, found: i64::from(position) });
        }
        self.bytes.extend_from_slice(&relative.to_be_bytes());
        self.bytes.extend_from_slice(&position.to_be_bytes());
        Ok(())
    }

    /// The greatest entry at or below `target`, else the start of the segment: (base, 0).
    pub fn lookup(&self, target: Offset) -> (Offset, u32) {
        self.view().lookup(target)
    }

    /// Removes the entries at and after `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let kept = self.view().count(|relative| relative < self.view().relative(offset));
        self.bytes.truncate(kept * Self::ENTRY_BYTES);
    }

    /// The same index, borrowed.
    pub fn view(&self) -> OffsetIndexView<'_> {
        OffsetIndexView { base: self.base, entries: self.bytes.as_chunks().0 }
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = OffsetEntry> + ExactSizeIterator + '_ {
        self.view().entries()
    }

    /// The last entry.
    pub fn last(&self) -> Option<OffsetEntry> {
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

    /// Whether no entry can be added: the segment must roll.
    pub fn is_full(&self) -> bool {
        self.len() >= self.entries_max
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

/// The relative offset and the position of an entry, as they stand there.
fn fields(entry: &[u8; OffsetIndex::ENTRY_BYTES]) -> (i32, i32) {
    let [a, b, c, d, e, f, g, h] = *entry;
    (i32::from_be_bytes([a, b, c, d]), i32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests;
