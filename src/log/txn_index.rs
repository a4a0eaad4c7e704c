//! The transaction index of a segment: the transactions whose abort marker lies in it.
//!
//! An entry is 34 bytes (format.md, section 6). A reader of committed records takes from here which of the records it
//! is given belong to no committed transaction. The file exists only once there is something to say, and only grows.
//!
//! - May use: `offset`, `id`, and its sibling `entries`.
//! - Must not know: files, segments, producers' state.
//! - Always true: the offsets of the markers rise strictly.

use crate::id::ProducerId;
use crate::log::entries::{IndexError, whole_entries};
use crate::offset::Offset;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AbortedTxn {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// The offset of its first record.
    pub first_offset: Offset,
    /// The offset of its abort marker.
    pub last_offset: Offset,
    /// The last stable offset right behind the marker: the first offset of the next open transaction of another
    /// producer, else the offset behind the marker.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    /// The entry as it stands in the file.
    pub fn to_bytes(&self) -> [u8; TxnIndex::ENTRY_BYTES] {
        let mut bytes = [0; TxnIndex::ENTRY_BYTES];
        bytes[2..10].copy_from_slice(&self.producer_id.get().to_be_bytes());
        bytes[10..18].copy_from_slice(&self.first_offset.as_i64().to_be_bytes());
        bytes[18..26].copy_from_slice(&self.last_offset.as_i64().to_be_bytes());
        bytes[26..34].copy_from_slice(&self.last_stable_offset.as_i64().to_be_bytes());
        bytes
    }

    /// Reads entry `entry` of a file.
    fn from_bytes(entry: usize, bytes: &[u8; TxnIndex::ENTRY_BYTES]) -> Result<Self, IndexError> {
        let version = i16::from_be_bytes([bytes[0], bytes[1]]);
        if version != 0 {
            return Err(IndexError::Version { entry, found: version });
        }
        let field = |at: usize| i64::from_be_bytes(*bytes[at..].first_chunk().unwrap_or(&[0; 8]));
        let offset = |at| Offset::from_i64(field(at)).ok_or(IndexError::Negative { entry, found: field(at) });
        Ok(Self {
            producer_id: ProducerId::new(field(2)).ok_or(IndexError::Negative { entry, found: field(2) })?,
            first_offset: offset(10)?,
            last_offset: offset(18)?,
            last_stable_offset: offset(26)?,
        })
    }
}

/// The transaction index of one segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TxnIndex {
    base: Offset,
    entries: Vec<AbortedTxn>,
    bytes: Vec<u8>,
}

impl TxnIndex {
    /// The size of an entry.
    pub const ENTRY_BYTES: usize = 34;

    /// An empty index for the segment that begins at `base`.
    pub fn new(base: Offset) -> Self {
        Self { base, entries: Vec::new(), bytes: Vec::new() }
    }

    /// Takes over the content of a file.
    ///
    /// # Errors
    ///
    /// The first thing that no such file has: part of an entry, a version other than 0, a negative field, a marker
    /// before `base` or not behind the one before it. The index is to be built anew.
    pub fn load(base: Offset, bytes: &[u8]) -> Result<Self, IndexError> {
        let mut index = Self::new(base);
        for (at, entry) in whole_entries(bytes)?.iter().enumerate() {
            index.append(&AbortedTxn::from_bytes(at, entry)?)?;
        }
        Ok(index)
    }

    /// Adds an aborted transaction.
    ///
    /// # Errors
    ///
    /// [`IndexError::OffsetOrder`] unless its marker lies behind the last one's, [`IndexError::BelowBase`] if it lies
    /// before the segment.
    pub fn append(&mut self, aborted: &AbortedTxn) -> Result<(), IndexError> {
        let (entry, found) = (self.entries.len(), aborted.last_offset);
        if let Some(last) = self.entries.last().filter(|last| found <= last.last_offset) {
            return Err(IndexError::OffsetOrder { entry, last: last.last_offset, found });
        }
        if found < self.base {
            let relative = found.as_i64() - self.base.as_i64();
            return Err(IndexError::BelowBase { entry, base: self.base, relative });
        }
        self.entries.push(*aborted);
        self.bytes.extend_from_slice(&aborted.to_bytes());
        Ok(())
    }

    /// The aborted transactions that a reader of the offsets from `from` to `upper` (exclusive) must know, and whether
    /// that is all of them: if not, later segments may have more.
    pub fn collect(&self, from: Offset, upper: Offset) -> (Vec<AbortedTxn>, bool) {
        let mut found = Vec::new();
        for aborted in &self.entries {
            if aborted.last_offset >= from && aborted.first_offset < upper {
                found.push(*aborted);
            }
            // What was stable there can belong to no transaction that ends later.
            if aborted.last_stable_offset >= upper {
                return (found, true);
            }
        }
        (found, false)
    }

    /// Removes the transactions whose marker lies at or after `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let kept = self.entries.partition_point(|aborted| aborted.last_offset < offset);
        self.entries.truncate(kept);
        self.bytes.truncate(kept * Self::ENTRY_BYTES);
    }

    /// All entries, in the order of their markers.
    pub fn entries(&self) -> &[AbortedTxn] {
        &self.entries
    }

    /// The last entry.
    pub fn last(&self) -> Option<&AbortedTxn> {
        self.entries.last()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none: the file need not exist.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The segment's base offset.
    pub fn base_offset(&self) -> Offset {
        self.base
    }
}

#[cfg(test)]
mod tests;
