//! Compaction: of each key only the last record stays.
//!
//! Leaves that are fed with batches, in two passes (semantics.md, section 7). [`Dirt`] says what is worth it;
//! [`group()`] which segments become one. The first pass, [`Mapping`], notes the last offset of each key from the first
//! dirty offset on; the second, [`Filter`], is shown every batch of the clean and the dirty part and says what stays of
//! each, which a [`CleanedSegment`] takes up with its indexes. Offsets never change: what goes leaves gaps.
//!
//! Three things outlive their use for a while. A tombstone stays until its *delete horizon*, a date that the first
//! compaction which meets it writes into its batch; so does the marker of a transaction of which nothing else is left.
//! And of a producer that may still write, the last batch stays, be it without records, since it has the last sequence.
//!
//! - May use: `record`, and the leaves of `log`.
//! - Must not know: files. Whoever feeds them does.
//! - Always true: what lies at or above the last stable offset is not looked at; a record goes only if a later one of its
//!   key stays, or if it is a tombstone past its horizon, was aborted, or has no key.

mod choose;
mod filter;
mod group;
mod keys;
mod map;
mod output;
mod rewrite;
mod txns;

use crate::offset::Offset;
use crate::record::{BuildError, RecordError};

pub use choose::{Dirt, DirtyLog, DirtySegment, dirtiest};
pub use filter::{CleanRules, Filter, Filtered, LastBatch};
pub use group::{GroupLimits, GroupMember, group};
pub use keys::{Mapping, Room};
pub use map::OffsetMap;
pub use output::{CleanedSegment, SegmentTooLarge};

/// Why a batch cannot be compacted. Nothing of the log has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CleanError {
    /// Its records cannot be read.
    #[error("batch that ends at offset {last_offset}: {error}")]
    Records {
        /// Its last offset.
        last_offset: Offset,
        /// What is wrong.
        error: RecordError,
    },
    /// What is left of it cannot be written.
    #[error("what is left of the batch that ends at offset {last_offset}: {error}")]
    Rewrite {
        /// Its last offset.
        last_offset: Offset,
        /// What is wrong.
        error: BuildError,
    },
}
