//! Where a batch may stand: what is wrong with the fields that its checksum does not cover.
//!
//! The checksum of a batch leaves its base offset, length, leader epoch and magic open. A wrong length or magic shows by
//! itself; the others show by what stands around the batch, and by what the log knows.

use crate::log::{EpochCache, Why, base_of, negative_epoch};
use crate::offset::Offset;
use crate::record::{Batch, Entry};

/// What is known of a place in a segment.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The offset behind the batch in front.
    pub(crate) expected: Offset,
    /// The base of the segment.
    pub(crate) segment: Offset,
    /// The offset behind the segment's last batch.
    pub(crate) segment_next: Offset,
    /// In which reign each offset was appended; none where something better vouches for the bytes.
    pub(crate) epochs: Option<&'a EpochCache>,
}

impl Place<'_> {
    /// Why a batch, good by itself, cannot stand here.
    pub(crate) fn misfit(&self, entry: &Entry) -> Option<Why> {
        let (first, last) = (base_of(entry), entry.last_offset());
        if first < self.expected {
            return Some(Why::OffsetsGoBack { expected: self.expected, found: first });
        }
        if last >= self.segment_next {
            return Some(Why::OffsetOutOfRange { base: self.segment, found: last });
        }
        if let Some(found) = negative_epoch(entry) {
            return Some(Why::EpochNegative { found });
        }
        let latest = self.epochs.and_then(|epochs| epochs.epoch_for(first));
        match (entry.as_batch().and_then(Batch::leader_epoch), latest) {
            (Some(found), Some(latest)) if found != latest => Some(Why::EpochGoesBack { latest, found }),
            _ => None,
        }
    }
}
