//! Reading batches from a log's files: what comes from a file is checked before it leaves.
//!
//! A reader starts at a place that an index named and walks to the first batch that is wanted. Indexes are only hints:
//! a place where no batch begins, or one behind the wanted offset, is noticed, and the walk starts again from the front
//! of the segment.
//!
//! The checksum of a batch leaves its base offset, length, epoch and magic open. The sums of a sealed segment's blocks
//! vouch for them. Where there are none, the order is checked instead: each batch begins where the one in front of it
//! ended or later, ends before the next one begins and before the segment ends, and has the leader epoch that the log
//! knows for its offset.

#[cfg(test)]
mod tests;
mod walk;

use bytes::Bytes;

use crate::disk::block_sums::KnownSums;
use crate::disk::pool::Pool;
use crate::disk::reader::walk::Walk;
use crate::disk::{DiskError, DiskFile};
use crate::log::{EpochCache, Span, Why};
use crate::offset::Offset;
use crate::record::Entry;

/// Why bytes of a file were not served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadFault {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A batch in the file is not what was written. Other offsets may be readable.
    #[error("segment {segment}: corrupt at byte {position}, offset {offset}: {why}")]
    Corrupt {
        /// The base of the segment.
        segment: Offset,
        /// Where in its file.
        position: u32,
        /// The offset that should be there.
        offset: Offset,
        /// What is wrong.
        why: Why,
    },
}

/// Where a segment's bytes come from.
pub(crate) struct Source<'a, F> {
    pub(crate) file: &'a F,
    /// All of the segment, if it is mapped.
    pub(crate) map: Option<&'a Bytes>,
    /// Whose buffers are read into.
    pub(crate) pool: &'a Pool,
}

/// What an index said: a batch begins there, and it or one behind it ends at the offset.
#[derive(Clone, Copy)]
pub(crate) struct Hint {
    pub(crate) position: u32,
    pub(crate) offset: Offset,
}

/// Reads what `span` names, starting at `hint`, which must be the place of a batch or is found not to be.
///
/// Answers whole batches: the first one that ends at or above `span.from`, then more up to `span.bytes_max` bytes,
/// none that begins at or above `span.ceiling`. An empty answer says that the segment has nothing there.
///
/// # Errors
///
/// [`ReadFault`]. Corrupt batches in front of the wanted one are stepped over: by their length, if a batch begins there,
/// else to where their checksum says that they end. Only if neither tells, or the wanted one is corrupt or nowhere behind
/// them, the first of them is the error.
pub(crate) fn read_span<F: DiskFile>(
    source: &Source<'_, F>,
    span: &Span,
    hint: Hint,
    epochs: &EpochCache,
    mut sums: Option<&mut KnownSums>,
) -> Result<Vec<Entry>, ReadFault> {
    let mut walk = Walk::new(source, span, hint, epochs, sums.as_deref_mut());
    let at_hint = match walk.first() {
        Ok(Some(first)) => return walk.collect(first),
        // Where the index was right, the end of the segment is the end.
        Ok(None) if walk.hint_is_borne_out => return Ok(Vec::new()),
        Ok(None) => None,
        Err(fault @ ReadFault::Corrupt { .. }) => Some(fault),
        Err(fault) => return Err(fault),
    };
    if hint.position == 0 {
        return at_hint.map_or(Ok(Vec::new()), Err);
    }
    // A hint that leads nowhere says nothing about the segment.
    let start = Hint { position: 0, offset: span.segment };
    let mut walk = Walk::new(source, span, start, epochs, sums);
    match walk.first() {
        Ok(Some(first)) => walk.collect(first),
        Ok(None) => Ok(Vec::new()),
        Err(fault) => Err(nearer(hint, at_hint, fault)),
    }
}

/// Of two faults, one met from the hint on and one from the front, the one that tells of what was wanted: the walk from
/// the front may not even have come as far as the hint.
fn nearer(hint: Hint, at_hint: Option<ReadFault>, from_front: ReadFault) -> ReadFault {
    match (&from_front, at_hint) {
        // What the file ends in front of is nowhere else.
        (ReadFault::Corrupt { why: Why::Torn { .. }, .. }, _) => from_front,
        (ReadFault::Corrupt { position, .. }, Some(at_hint)) if *position < hint.position => at_hint,
        _ => from_front,
    }
}
