//! What the indexes of a segment have in common: a file of entries of one size, and why one is refused.
//!
//! [`index`](crate::log::index), [`time_index`](crate::log::time_index) and [`txn_index`](crate::log::txn_index) each know
//! their own entry, and the order that theirs stand in.
//!
//! - May use: `offset`, `time`.
//! - Must not know: files, segments, batches, what an entry means.

use crate::offset::Offset;
use crate::time::Timestamp;

/// Why an index was refused, or an entry kept out of it. The index is as it was before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The file does not hold whole entries.
    #[error("an index of {bytes} bytes does not hold whole entries of {entry_bytes}")]
    Length {
        /// The length of the file.
        bytes: usize,
        /// The size of an entry.
        entry_bytes: usize,
    },
    /// An entry's offset lies before the segment.
    #[error("entry {entry} is {relative} from the base offset {base}")]
    BelowBase {
        /// Which entry, from zero.
        entry: usize,
        /// The segment's base offset.
        base: Offset,
        /// The relative offset in the entry.
        relative: i64,
    },
    /// An offset is too far from the base for Kafka's signed 32 bits: the segment must roll.
    #[error("offset {offset} cannot be told relative to the base {base} in 31 bits")]
    Overflow {
        /// The segment's base offset.
        base: Offset,
        /// The offset that does not fit.
        offset: Offset,
    },
    /// An offset does not follow the one before it.
    #[error("entry {entry} has offset {found} after {last}")]
    OffsetOrder {
        /// Which entry, from zero.
        entry: usize,
        /// The offset of the entry before it.
        last: Offset,
        /// The offset found, or given.
        found: Offset,
    },
    /// A position does not follow the one before it, or is negative.
    #[error("entry {entry} has position {found} after {last}")]
    PositionOrder {
        /// Which entry, from zero.
        entry: usize,
        /// The position of the entry before it, −1 before the first.
        last: i64,
        /// The position found, or given.
        found: i64,
    },
    /// A timestamp does not follow the one before it.
    #[error("entry {entry} has timestamp {found} after {last}")]
    TimestampOrder {
        /// Which entry, from zero.
        entry: usize,
        /// The timestamp of the entry before it, −1 before the first.
        last: Timestamp,
        /// The timestamp found, or given.
        found: Timestamp,
    },
    /// There is no room for another entry: the segment must roll.
    #[error("the index is full with {entries} entries")]
    Full {
        /// How many it holds.
        entries: usize,
    },
    /// An entry of a transaction index is of a version that is not known.
    #[error("entry {entry} has version {found}, known is 0")]
    Version {
        /// Which entry, from zero.
        entry: usize,
        /// The version found.
        found: i16,
    },
    /// A field of an entry of a transaction index that cannot be negative is.
    #[error("entry {entry} has a negative field: {found}")]
    Negative {
        /// Which entry, from zero.
        entry: usize,
        /// The value found.
        found: i64,
    },
}

/// `bytes` as entries of `N` bytes.
pub(super) fn whole_entries<const N: usize>(bytes: &[u8]) -> Result<&[[u8; N]], IndexError> {
    match bytes.as_chunks() {
        (entries, []) => Ok(entries),
        _ => Err(IndexError::Length { bytes: bytes.len(), entry_bytes: N }),
    }
}

/// How many bytes of a preallocated file are in use: up to its last entry that is not all zero.
pub(super) fn used_len<const N: usize>(bytes: &[u8]) -> usize {
    let entries: &[[u8; N]] = bytes.as_chunks().0;
    entries.iter().rposition(|entry| *entry != [0; N]).map_or(0, |last| (last + 1) * N)
}

/// The relative offset in an index entry.
pub(super) fn relative_to(offset: Offset, base: Offset) -> Result<u32, IndexError> {
    offset.relative_to(base).ok_or(IndexError::Overflow { base, offset })
}

/// The offset of entry `entry`, whose relative offset is as found in a file.
pub(super) fn checked_offset(base: Offset, entry: usize, relative: i32) -> Result<Offset, IndexError> {
    let Ok(distance) = u64::try_from(relative) else {
        return Err(IndexError::BelowBase { entry, base, relative: i64::from(relative) });
    };
    let past_the_end = IndexError::Overflow { base, offset: Offset::MAX };
    base.checked_advance(distance).ok_or(past_the_end)
}
