//! The 16 bytes in front of a batch that its checksum does not cover.

use crate::epoch::LeaderEpoch;
use crate::offset::Offset;

/// The first 16 bytes of a batch: base offset, length, leader epoch (format.md, section 2).
///
/// They lie outside the batch's checksum, so a leader can give a batch its place without touching, or copying, the
/// rest: the stamp travels beside shared bytes and is written in front of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    /// The offset of the batch's first record.
    pub base_offset: Offset,
    /// The bytes that follow the length field: the size of the batch less 12.
    pub batch_length: u32,
    /// The reign in which the leader appended the batch, `None` if it is not known.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Stamp {
    /// How many bytes a stamp takes.
    pub const BYTES: usize = 16;

    /// The stamp as it stands in a file.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.base_offset.as_i64().to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..].copy_from_slice(&self.leader_epoch.map_or(-1, LeaderEpoch::as_i32).to_be_bytes());
        bytes
    }
}
