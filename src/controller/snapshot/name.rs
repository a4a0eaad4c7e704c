//! The name of a snapshot: `<end offset, 20 digits>-<epoch, 10 digits>.checkpoint`.

use std::fmt;

use crate::epoch::LeaderEpoch;
use crate::offset::Offset;

/// Which part of the metadata log a snapshot stands for: all below `end`. A later one orders behind an earlier one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SnapshotId {
    /// The offset behind the last one.
    pub end: Offset,
    /// The reign in which the last one was appended.
    pub epoch: LeaderEpoch,
}

impl SnapshotId {
    /// Reads a file name. `None` for all else, so for what is still being written (`.part`) or was deleted too, and for
    /// digits that are not 20 and 10, on which Kafka does not start.
    pub fn parse(name: &str) -> Option<Self> {
        let (end, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(end, 20) || !is_number(epoch, 10) {
            return None;
        }
        let end = end.parse::<i64>().ok().and_then(Offset::from_i64)?;
        let epoch = epoch.parse::<i32>().ok().and_then(LeaderEpoch::from_i32)?;
        Some(Self { end, epoch })
    }

    /// Whether it stands for a part of the log at all: `0-0` of a dynamic quorum only says who votes.
    pub fn is_state(self) -> bool {
        self.end > Offset::ZERO
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}.checkpoint", self.end.get(), self.epoch.get())
    }
}
