//! The first pass: the last offset of each key.

use crate::log::clean::CleanError;
use crate::log::clean::map::{MapFull, OffsetMap};
use crate::log::clean::txns::PassedTxns;
use crate::log::txn_index::AbortedTxn;
use crate::offset::Offset;
use crate::record::{DecompressLimit, Entry};

/// Notes the last offset of each key of the dirty part. Show it every batch of the segments from the one that holds the
/// first dirty offset on, say where each segment ends, and stop when it is full.
///
/// What was aborted does not count, nor do control records and records without a key.
#[derive(Clone, Debug)]
pub struct Mapping {
    map: OffsetMap,
    first_dirty: Offset,
    txns: PassedTxns,
    limit: DecompressLimit,
}

/// Whether a [`Mapping`] takes more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Room {
    /// It does.
    Left,
    /// It is full in the middle of a segment: the rest is left to the next compaction.
    Full,
}

impl Mapping {
    /// A mapping from `first_dirty` on in at most `bytes_max` bytes; `aborted` are the transactions that were aborted
    /// there.
    pub fn new(
        bytes_max: usize,
        first_dirty: Offset,
        aborted: impl IntoIterator<Item = AbortedTxn>,
        limit: DecompressLimit,
    ) -> Self {
        let mut txns = PassedTxns::default();
        txns.expect(aborted);
        Self { map: OffsetMap::new(bytes_max), first_dirty, txns, limit }
    }

    /// Takes up one batch.
    ///
    /// # Errors
    ///
    /// [`CleanError::Records`]: the log cannot be compacted.
    pub fn see(&mut self, entry: &Entry) -> Result<Room, CleanError> {
        let last_offset = entry.last_offset();
        let counts = match entry.as_batch() {
            Some(batch) if batch.is_control() => {
                self.txns.pass_control(batch);
                false
            }
            Some(batch) => !self.txns.pass_batch(batch),
            None => true,
        };
        if last_offset < self.first_dirty {
            return Ok(Room::Left);
        }
        if counts {
            let failed = |error| CleanError::Records { last_offset, error };
            for record in entry.records(self.limit).map_err(failed)?.iter() {
                let record = record.map_err(failed)?;
                if let Some(key) = record.key
                    && record.offset >= self.first_dirty
                    && self.map.put(key, record.offset) == Err(MapFull)
                {
                    return Ok(Room::Full);
                }
            }
        }
        self.map.seen_up_to(last_offset);
        Ok(Room::Left)
    }

    /// The segment has been shown whole, and the next one begins at `next_base`: gaps in front of it hold nothing.
    pub fn end_segment(&mut self, next_base: Offset) {
        if next_base > self.first_dirty {
            self.map.seen_up_to(next_base.retreat(1));
        }
    }

    /// What was noted, and up to where (exclusive) the log will be clean.
    pub fn finish(self) -> (OffsetMap, Offset) {
        let end = self.map.latest().map_or(self.first_dirty, |latest| latest.advance(1));
        (self.map, end)
    }
}
