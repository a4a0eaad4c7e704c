//! The flushed mark: what one log knows to be on disk, told to its next opening.

use crate::log::epochs::EpochCache;
use crate::offset::Offset;
use crate::time::Timestamp;

/// What was on disk when this was written (design: "the flushed mark").
///
/// The driver keeps one for each partition in a file of its own, beside the data. It trails the data: whatever it says
/// was true, and more may be by now. Below it a bad batch is corruption, at or above it a torn tail; opening reads only
/// what lies above it. The checksums are CRC-32 of the first `_len` bytes of the active segment's index files, which
/// are not synced on every flush and are rebuilt when they do not match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlushedMark {
    /// The base offset of the segment that was active.
    pub segment: Offset,
    /// Up to which byte of it all is flushed.
    pub position: u32,
    /// Up to which offset (exclusive) all is flushed.
    pub offset: Offset,
    /// The offset behind the last batch in front of `position`: below `offset` if a truncation went into a batch.
    pub next_offset: Offset,
    /// The first readable offset.
    pub log_start_offset: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The largest timestamp of the active segment below `position`.
    pub max_timestamp: Timestamp,
    /// The last offset of the batch that has it.
    pub offset_of_max_timestamp: Offset,
    /// How much of the offset index was written.
    pub index_len: u32,
    /// Its checksum.
    pub index_crc: u32,
    /// How much of the time index was written.
    pub time_index_len: u32,
    /// Its checksum.
    pub time_index_crc: u32,
    /// How much of the transaction index was written.
    pub txn_index_len: u32,
    /// Its checksum.
    pub txn_index_crc: u32,
    /// From which producer snapshot the producers' state is to be replayed; `None` if no producer is known.
    pub snapshot_offset: Option<Offset>,
    /// The checksum of the leader-epoch file, as far as its epochs begin in front of `offset`; of all of it if `clean`.
    pub epochs_crc: u32,
    /// Whether the log was closed at this mark and nothing was written since.
    pub clean: bool,
}

impl FlushedMark {
    /// What `epochs_crc` is of these epochs.
    pub(crate) fn checksum_of(&self, epochs: &EpochCache) -> u32 {
        epochs.checksum_below(if self.clean { self.offset.advance(1) } else { self.offset })
    }

    /// Whether these epochs are those that the mark knows; of one that may have begun since it knows nothing.
    pub fn knows(&self, epochs: &EpochCache) -> bool {
        [self.checksum_of(epochs), epochs.checksum_below(self.offset)].contains(&self.epochs_crc)
    }
}
