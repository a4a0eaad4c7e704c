//! Putting a compacted segment in the place of others, so that a crash at any moment leaves the one or the other.
//!
//! The compacted segment stands complete and synced under its names with `.swap`. Kafka, finding that, removes the
//! segments from its base to the offset behind its last batch, and so keeps some that had been replaced if their records
//! are gone. A small file of our own beside it says exactly what is replaced, so that whatever is cut short here is
//! finished by the next opening just as it was begun:
//!
//! 1. everything of the replaced segments goes but the first one's batches, and the indexes get their names: synced;
//! 2. the batches get their name: synced;
//! 3. the note goes.
//!
//! As long as the batches have their `.swap`, all of it is done again.

use std::collections::BTreeSet;

use crate::disk::segment_file::segment_names;
use crate::disk::small::gone_is_fine;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath};
use crate::log::FileName;
use crate::offset::Offset;

/// What a compacted segment replaces: the content of `<base>.replaces.swap`.
///
/// ```text
/// magic u32 | version u16 | 1 if it has aborted transactions u16 | end offset u64 | crc u32 of all before
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Replaces {
    /// The segments from its base up to here (exclusive) are replaced.
    pub(crate) end: Offset,
    /// Whether it has a transaction index of its own.
    pub(crate) has_txn_index: bool,
}

const MAGIC: [u8; 4] = *b"OtRp";
const VERSION: u16 = 1;

impl Replaces {
    const BYTES: usize = 20;

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(u16::from(self.has_txn_index).to_be_bytes());
        bytes.extend(self.end.get().to_be_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_be_bytes());
        bytes
    }

    /// `None` if it is none, or was not written to its end.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (body, crc) = bytes.split_last_chunk()?;
        let (magic, rest) = body.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (has_txn_index, end) = rest.split_first_chunk()?;
        let known = *magic == MAGIC && u16::from_be_bytes(*version) == VERSION;
        let end = i64::from_be_bytes(end.try_into().ok()?);
        if !known || u32::from_be_bytes(*crc) != crc32fast::hash(body) {
            return None;
        }
        Some(Self { end: Offset::from_i64(end)?, has_txn_index: u16::from_be_bytes(*has_txn_index) != 0 })
    }
}

/// The name of a file of a compacted segment that waits for its place.
pub(crate) fn swap_path(dir: &DiskPath, name: FileName) -> DiskPath {
    dir.entry(format!("{name}.swap"))
}

/// Gives the compacted segment at `base` its place; `replaced` are the bases of the segments that it replaces.
pub(crate) fn install<D: Disk>(
    disk: &D,
    dir: &DiskPath,
    base: Offset,
    replaced: impl IntoIterator<Item = Offset>,
    has_txn_index: bool,
) -> Result<(), DiskError> {
    for other in replaced.into_iter().filter(|other| *other != base) {
        for name in segment_names(other) {
            gone_is_fine(disk.remove(&dir.entry(name)))?;
        }
    }
    gone_is_fine(disk.remove(&dir.entry(FileName::Sums(base))))?;
    if !has_txn_index {
        gone_is_fine(disk.remove(&dir.entry(FileName::TxnIndex(base))))?;
    }
    let siblings = [FileName::OffsetIndex, FileName::TimeIndex, FileName::TxnIndex, FileName::Sums];
    for name in siblings.map(|named| named(base)) {
        take_place(disk, dir, name)?;
    }
    disk.sync_dir(dir)?;
    take_place(disk, dir, FileName::Log(base))?;
    disk.sync_dir(dir)?;
    gone_is_fine(disk.remove(&swap_path(dir, FileName::Replaces(base))))
}

/// Takes off a file's `.swap`; one that has none any more has its place already.
fn take_place<D: Disk>(disk: &D, dir: &DiskPath, name: FileName) -> Result<(), DiskError> {
    match disk.rename(&swap_path(dir, name), &dir.entry(name)) {
        // A crash in a rename may leave one file under both names, and renaming the one to the other then does nothing.
        Ok(()) => gone_is_fine(disk.remove(&swap_path(dir, name))),
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The bases of the segments of which anything is there between `base` and `end`.
pub(crate) fn bases_between<'a>(
    names: impl IntoIterator<Item = &'a FileName>,
    base: Offset,
    end: Offset,
) -> BTreeSet<Offset> {
    let of_segment = |name: &&FileName| {
        matches!(
            name,
            FileName::Log(_)
                | FileName::OffsetIndex(_)
                | FileName::TimeIndex(_)
                | FileName::TxnIndex(_)
                | FileName::Sums(_)
        )
    };
    let bases = names.into_iter().filter(of_segment).filter_map(|name| name.base_offset());
    bases.filter(|other| (base..end).contains(other)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_no_bit_of_it_may_be_wrong() {
        for has_txn_index in [false, true] {
            let note = Replaces { end: Offset::new(0x0102_0304_0506), has_txn_index };
            let bytes = note.encode();
            assert_eq!(Replaces::parse(&bytes), Some(note));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Replaces::parse(&flipped), None, "bit {bit}");
            }
            assert_eq!(Replaces::parse(&bytes[..19]), None);
        }
    }
}
