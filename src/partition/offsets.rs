//! Which offset stands at an end, or at a date.

use crate::epoch::LeaderEpoch;
use crate::id::TopicId;
use crate::log::{Isolation, SegmentInfo, Span};
use crate::offset::Offset;
use crate::partition::{EpochError, Partition, StopReason};
use crate::time::Timestamp;

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OffsetSpec {
    /// The first readable one.
    Earliest,
    /// The end of what a reader of the isolation sees.
    Latest,
    /// That of the record with the latest date; of several, the first.
    MaxTimestamp,
    /// That of the first record of this date or later.
    At(Timestamp),
}

/// A question for an offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListOffsets {
    /// Which one.
    pub spec: OffsetSpec,
    /// How far the asker may see: what lies behind that is not found.
    pub isolation: Isolation,
    /// In which reign the asker believes this node to be, if it has an opinion.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// The answer, or how to come by it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListedOffset {
    /// It is this one, in this reign.
    Known {
        /// The offset.
        offset: Offset,
        /// The reign of the record there, or that the next one will have.
        leader_epoch: Option<LeaderEpoch>,
    },
    /// It has to be looked for in the segments, outside the lock.
    Search(TimeSearch),
}

/// Where a record is to be looked for by its date.
///
/// For [`OffsetSpec::At`] go through the segments in order, and take the first record of that date or later. For
/// [`OffsetSpec::MaxTimestamp`] take the latest date of them all, and the first record that has it; where that lies in
/// front of the log start, what is left of the first segment counts as its records do. Either way: of what
/// [`counts`](Self::counts) says counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TimeSearch {
    /// In which topic: another of the same name that is made later is not searched.
    pub topic_id: Option<TopicId>,
    /// What is looked for.
    pub spec: OffsetSpec,
    /// What lies in front is not found.
    pub log_start_offset: Offset,
    /// What lies here or behind is not found.
    pub ceiling: Offset,
    /// How far that was when it was planned.
    pub isolation: Isolation,
    /// The segments that may have it, oldest first.
    pub segments: Vec<SegmentInfo>,
}

impl TimeSearch {
    /// Whether a record at this offset may be the answer. If the record looked for may not, the answer is none.
    pub fn counts(&self, offset: Offset) -> bool {
        self.log_start_offset <= offset && offset < self.ceiling
    }

    /// A read of a segment from `from` on, as far as the asker may see.
    pub fn span(&self, segment: &SegmentInfo, from: Offset, bytes_max: u32) -> Span {
        Span {
            file: segment.files.log,
            segment: segment.base_offset,
            segment_next: segment.next_offset,
            position: 0,
            end: segment.size,
            from: from.max(self.log_start_offset).max(segment.base_offset),
            ceiling: self.ceiling,
            bytes_max,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ListOffsetsError {
    /// The asker believes in another reign.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// This node does not lead the partition.
    #[error(transparent)]
    Stopped(#[from] StopReason),
    /// The reign is new, and what the one before it has committed is not known yet. Ask again.
    #[error("the high watermark {high_watermark} has not reached the start of the reign, {epoch_start}")]
    NotAvailable {
        /// How far it is known.
        high_watermark: Offset,
        /// How far it must be.
        epoch_start: Offset,
    },
}

impl Partition {
    /// Answers which offset stands at an end, or where one is to be looked for by its date (semantics 5.5).
    ///
    /// # Errors
    ///
    /// [`ListOffsetsError`].
    pub fn list_offsets(&self, query: &ListOffsets) -> Result<ListedOffset, ListOffsetsError> {
        let leader = self.leader()?;
        leader.check_epoch(query.leader_epoch)?;
        let epoch_start = leader.epoch_start;
        let epochs = self.log.epochs();
        if query.spec == OffsetSpec::Earliest {
            let offset = self.log.log_start_offset();
            return Ok(ListedOffset::Known { offset, leader_epoch: epochs.epoch_for(offset) });
        }
        let high_watermark = self.log.high_watermark();
        if query.isolation != Isolation::LogEnd && high_watermark < epoch_start {
            return Err(ListOffsetsError::NotAvailable { high_watermark, epoch_start });
        }
        match query.spec {
            OffsetSpec::At(_) | OffsetSpec::MaxTimestamp => {
                Ok(ListedOffset::Search(self.search(query.spec, query.isolation, self.log.ceiling(query.isolation))))
            }
            OffsetSpec::Earliest | OffsetSpec::Latest => {
                let offset = match query.isolation {
                    Isolation::LogEnd => self.log.log_end_offset(),
                    Isolation::HighWatermark | Isolation::ReadCommitted => self.log.ceiling(query.isolation),
                };
                Ok(ListedOffset::Known { offset, leader_epoch: epochs.latest() })
            }
        }
    }

    /// Plans a search again of which a segment is gone: retention or a compaction has been there since it was planned. The
    /// asker sees as far as he may now: all that he might have seen before may have gone, because of what has come since.
    pub fn search_again(&self, search: &TimeSearch) -> TimeSearch {
        let ceiling = search.ceiling.max(self.log.ceiling(search.isolation));
        self.search(search.spec, search.isolation, ceiling)
    }

    fn search(&self, spec: OffsetSpec, isolation: Isolation, ceiling: Offset) -> TimeSearch {
        let log_start_offset = self.log.log_start_offset();
        let wanted = if let OffsetSpec::At(wanted) = spec { Some(wanted) } else { None };
        let may_have = |segment: &SegmentInfo| {
            let is_readable = segment.next_offset > log_start_offset && segment.base_offset < ceiling;
            is_readable && wanted.is_none_or(|wanted| segment.max_timestamp >= wanted)
        };
        let segments = self.log.segments().filter(may_have).collect();
        TimeSearch { topic_id: self.facts.topic_id, spec, log_start_offset, ceiling, isolation, segments }
    }
}
