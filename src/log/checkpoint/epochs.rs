//! `leader-epoch-checkpoint`: where each leader epoch of a log begins.

use crate::epoch::LeaderEpoch;
use crate::log::checkpoint::CheckpointError;
use crate::log::checkpoint::lines::{encode, entries};
use crate::log::epochs::EpochCache;
use crate::offset::Offset;

impl EpochCache {
    /// Reads `leader-epoch-checkpoint`.
    ///
    /// Entries that contradict each other are no error: as in Kafka the later line wins, so that what comes out is in
    /// order whatever was in the file.
    ///
    /// # Errors
    ///
    /// The first line that is no epoch and offset.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut cache = Self::new();
        for row in entries::<2>(bytes)? {
            let row = row?;
            let epoch = |number| LeaderEpoch::from_i32(i32::try_from(number).ok()?);
            cache.assign(row.read(0, "leader epoch", epoch)?, row.read(1, "offset", Offset::from_i64)?);
        }
        Ok(cache)
    }

    /// The content of `leader-epoch-checkpoint`.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.entries().iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset)))
    }
}
