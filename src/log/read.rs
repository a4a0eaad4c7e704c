//! Read plans: where the bytes are that someone asks for.

use crate::log::Log;
use crate::log::epochs::EpochCache;
use crate::log::op::{FileId, OpSeq};
use crate::log::segment::Segment;
use crate::log::txn_index::AbortedTxn;
use crate::offset::Offset;
use crate::record::Batch;

/// How far a reader may see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Isolation {
    /// Up to the end of what is written: for followers, and for those who need no replica but this one.
    LogEnd,
    /// Up to the high watermark: Kafka's `read_uncommitted`.
    #[default]
    HighWatermark,
    /// Up to the last stable offset; the reader leaves out what was aborted: Kafka's `read_committed`.
    ReadCommitted,
}

/// Where the bytes are. Nothing has been read yet. A plan never reaches past what is written.
#[derive(Clone, Debug)]
pub enum ReadPlan {
    /// There is nothing to read now; more may come.
    Nothing,
    /// The very batches that were appended.
    Cached(Vec<Batch>),
    /// A place in a file.
    File(Span),
}

/// A place in a file where a reader starts, and where it has to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// Whose bytes.
    pub file: FileId,
    /// The base of the segment.
    pub segment: Offset,
    /// The offset behind the segment's last batch.
    pub segment_next: Offset,
    /// Where a batch begins from which on the first one wanted is to be looked for, in bytes. It may lie far in front of
    /// it: the segment's index file knows a nearer one.
    pub position: u32,
    /// Where the segment's bytes end.
    pub end: u32,
    /// The first offset wanted: the first batch to return is the first that ends at or above it.
    pub from: Offset,
    /// Only batches that begin below this are returned.
    pub ceiling: Offset,
    /// At most this many bytes, but at least one batch.
    pub bytes_max: u32,
}

/// What the reader of a span has to know of the log, so that it needs it no more.
#[derive(Clone, Debug)]
pub struct SpanFacts {
    /// The offset of an entry of the index that is in memory, for a segment that has one, and its position: the batch there
    /// or one behind it ends at this offset.
    pub hint: Option<(Offset, u32)>,
    /// The index file of a segment that is sealed: it knows a nearer place than the span, and does not change.
    pub index: Option<FileId>,
    /// The leader epochs, with which those of the batches are compared.
    pub epochs: EpochCache,
}

/// Why a read was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is not there any more, or not yet. Go on from the nearer end.
    #[error("offset {requested} is outside {log_start_offset} to {log_end_offset}")]
    OutOfRange {
        /// What was asked for.
        requested: Offset,
        /// The first readable offset.
        log_start_offset: Offset,
        /// The end of the log.
        log_end_offset: Offset,
    },
}

/// How far the log must be readable for a reader to get the bytes it wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Up to this offset.
    Offset(Offset),
    /// Further than the log goes: so many bytes are not appended yet.
    Missing(u64),
}

impl Log {
    /// Plans a read of at most `bytes_max` bytes of whole batches from `from` on, as far as `isolation` lets see.
    ///
    /// Nothing is read yet. The first batch may be larger than `bytes_max`, so that every reader gets on, and may begin
    /// before `from`.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`] if `from` lies before the log start or past the log end, with both.
    pub fn plan_read(&self, from: Offset, bytes_max: u32, isolation: Isolation) -> Result<ReadPlan, ReadError> {
        if from < self.log_start_offset || from > self.log_end_offset {
            return Err(ReadError::OutOfRange {
                requested: from,
                log_start_offset: self.log_start_offset,
                log_end_offset: self.log_end_offset,
            });
        }
        let ceiling = self.ceiling(isolation);
        if from >= ceiling {
            return Ok(ReadPlan::Nothing);
        }
        if let Some(batches) = self.cached(from, bytes_max, ceiling) {
            return Ok(ReadPlan::Cached(batches));
        }
        let floor = self.segments.range(..=from).next_back().or_else(|| self.segments.first_key_value());
        Ok(floor.map_or(ReadPlan::Nothing, |(_, segment)| self.plan_in(segment, from, bytes_max, ceiling)))
    }

    /// Plans on in the next segment, for a reader that found nothing in the place `span` named: compaction, or a gap.
    pub fn plan_behind(&self, span: &Span) -> ReadPlan {
        let next = self.segments.range(span.segment..).map(|(_, segment)| segment).find(|s| s.base > span.segment);
        match next {
            Some(segment) if segment.base < span.ceiling => {
                self.plan_in(segment, span.from, span.bytes_max, span.ceiling)
            }
            _ => ReadPlan::Nothing,
        }
    }

    /// What the reader of `span` has to know of the log, as it is now.
    pub fn span_facts(&self, span: &Span) -> SpanFacts {
        let segment = self.segments.get(&span.segment);
        let indexes = segment.and_then(|segment| segment.indexes.as_ref());
        let hint = indexes.map(|indexes| indexes.offset.lookup(span.from));
        let sealed = segment.filter(|_| indexes.is_none());
        SpanFacts { hint, index: sealed.map(|segment| segment.files.index), epochs: self.epochs.clone() }
    }

    /// Whether the segment that was planned in is still what it was, or has grown: no other has taken its place.
    pub fn has_still(&self, span: &Span) -> bool {
        self.segments.get(&span.segment).is_some_and(|segment| segment.files.log == span.file)
    }

    /// Whether a file that was planned in is about to take its place: it has its name once an op is done that is not
    /// reported yet.
    pub fn is_about_to_be_there(&self, span: &Span) -> bool {
        self.has_still(span) && self.takes_place_with(span.segment).is_some()
    }

    /// The op with which the files of a compacted segment get their names, as long as it is not reported.
    pub fn takes_place_with(&self, segment: Offset) -> Option<OpSeq> {
        self.segments.get(&segment)?.last_op.filter(|op| *op > self.acknowledged.last_done())
    }

    /// The end of what a reader of this isolation sees.
    pub fn ceiling(&self, isolation: Isolation) -> Offset {
        let bound = match isolation {
            Isolation::LogEnd => self.log_end_offset,
            Isolation::HighWatermark => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable_offset(),
        };
        bound.min(self.written())
    }

    /// Up to where the log must be readable for a reader from `from` to get at least `bytes` bytes, of which it wants one or
    /// more. Nothing is read.
    ///
    /// Exact where the log's end is in memory: from the high watermark on, and as far back as the bytes are cached. Further
    /// back the answer may be too near, never too far: who waits for it is woken too early at worst.
    pub fn reach(&self, from: Offset, bytes: u64) -> Reach {
        let pushed = self.tail.pushed_bytes();
        let before = if from < self.log_end_offset { self.tail.bytes_before(from) } else { Some(pushed) };
        let missing = match before {
            Some(before) => before.saturating_add(bytes).saturating_sub(pushed),
            None => bytes.saturating_sub(self.bytes_at_most(from)),
        };
        if missing > 0 {
            return Reach::Missing(missing);
        }
        let end = before.and_then(|before| self.tail.end_at(before.saturating_add(bytes)));
        Reach::Offset(end.unwrap_or_else(|| from.advance(1)))
    }

    /// `offset`, or where the batch begins that it lies in: whole batches are committed, whoever has acknowledged what. Known
    /// from the high watermark on.
    pub fn batch_floor(&self, offset: Offset) -> Offset {
        self.tail.base_above(offset).map_or(offset, |base| base.min(offset))
    }

    /// More bytes than there are from `from` on, or as many.
    fn bytes_at_most(&self, from: Offset) -> u64 {
        let active = self.active();
        match active.indexes.as_ref().filter(|_| active.base <= from) {
            Some(indexes) => u64::from(active.size.saturating_sub(indexes.offset.lookup(from).1)),
            None => u64::MAX,
        }
    }

    /// The transactions whose abort a reader of `from` to `upper` (exclusive) has to know. It may name more.
    pub fn aborted(&self, from: Offset, upper: Offset) -> Vec<AbortedTxn> {
        let mut found = Vec::new();
        let floor = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            let (some, complete) = segment.aborted.collect(from, upper);
            found.extend(some);
            if complete {
                break;
            }
        }
        found
    }

    fn cached(&self, from: Offset, bytes_max: u32, ceiling: Offset) -> Option<Vec<Batch>> {
        let mut bytes = 0u64;
        let wanted = self.tail.cached_from(from)?.take_while(|batch| {
            let first = bytes == 0;
            bytes += u64::from(batch.size());
            batch.base_offset() < ceiling && (first || bytes <= u64::from(bytes_max))
        });
        Some(wanted.cloned().collect())
    }

    fn plan_in(&self, segment: &Segment, from: Offset, bytes_max: u32, ceiling: Offset) -> ReadPlan {
        let position = segment.indexes.as_ref().map_or(0, |indexes| indexes.offset.lookup(from).1);
        ReadPlan::File(Span {
            file: segment.files.log,
            segment: segment.base,
            segment_next: segment.next,
            position,
            end: segment.size,
            from,
            ceiling,
            bytes_max,
        })
    }
}
