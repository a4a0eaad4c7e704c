//! Looking for a record by its date.

use crate::disk::{Disk, ReadFault};
use crate::id::{TopicId, TopicPartition};
use crate::log::{SegmentInfo, Span};
use crate::message::{ErrorCode, ListedOffset, RequestError};
use crate::offset::Offset;
use crate::partition::{OffsetSpec, TimeSearch};
use crate::queue::node::Node;
use crate::queue::node::missing::{Missing, is_missing};
use crate::queue::node::read::{gone, unreadable};
use crate::record::{DecompressLimit, Entry};
use crate::time::Timestamp;

/// How many bytes of a segment are read at a time.
const PIECE_BYTES: u32 = 1 << 20;

/// What became of a search.
enum Search {
    Done(Option<ListedOffset>),
    /// A file was not there.
    Missing(Span, ReadFault),
}

/// What was found so far.
struct Best<'a> {
    search: &'a TimeSearch,
    found: Option<ListedOffset>,
    /// No other record can be a better answer.
    is_final: bool,
}

impl<D: Disk> Node<D> {
    /// Looks for a record by its date. If a segment has gone meanwhile, what was found in it may have too: the search begins
    /// anew.
    pub(super) fn find(
        &self,
        partition: &TopicPartition,
        search: &TimeSearch,
    ) -> Result<Option<ListedOffset>, RequestError> {
        let (mut search, mut missing) = (search.clone(), Missing::default());
        loop {
            let (span, fault) = match self.find_in(partition, &search)? {
                Search::Done(found) => return Ok(found),
                Search::Missing(span, fault) => (span, fault),
            };
            if !missing.may_plan() {
                let why = format!("{partition} has changed too often while it was searched");
                return Err(RequestError::because(ErrorCode::OffsetNotAvailable, why));
            }
            self.wait_for_place(partition, &span);
            let again = self.core.lock().broker.search_again(partition, &search);
            search = again.ok_or_else(|| gone(partition))?;
            let is_same = search.segments.iter().any(|segment| segment.files.log == span.file);
            if is_same && missing.is_lost(span.file) {
                return Err(unreadable(&fault));
            }
        }
    }

    /// Goes through the segments of a search, a piece at a time.
    fn find_in(&self, partition: &TopicPartition, search: &TimeSearch) -> Result<Search, RequestError> {
        let mut best = Best { search, found: None, is_final: false };
        for segment in &search.segments {
            let mut from = self.begin_of(partition, search, segment).max(search.log_start_offset);
            while from < segment.next_offset.min(search.ceiling) && !best.is_final {
                let span = search.span(segment, from, PIECE_BYTES);
                let entries = match self.piece(partition, search.topic_id, &span)? {
                    Ok(entries) => entries,
                    Err(fault) if is_missing(&fault) => return Ok(Search::Missing(span, fault)),
                    Err(fault) => return Err(unreadable(&fault)),
                };
                let Some(last) = entries.last() else { break };
                let next = last.next_offset();
                for entry in &entries {
                    best.look_at(partition, entry, from)?;
                }
                from = next.max(from.advance(1));
            }
        }
        Ok(Search::Done(best.found.filter(|found| search.counts(found.offset))))
    }

    /// From where on a segment may have what is looked for, as its time index says, if the batch that it names bears that out:
    /// an index is only a cache.
    fn begin_of(&self, partition: &TopicPartition, search: &TimeSearch, segment: &SegmentInfo) -> Offset {
        let wanted = match search.spec {
            OffsetSpec::At(wanted) => wanted,
            OffsetSpec::MaxTimestamp => latest_of(search),
            OffsetSpec::Earliest | OffsetSpec::Latest => return segment.base_offset,
        };
        // The latest date of all may be one that does not count.
        let counts = |(date, offset): &(Timestamp, Offset)| date.is_some() && *offset < search.ceiling;
        let named = self.time_lookup(partition, search.topic_id, segment, wanted).filter(counts);
        let batch = named.and_then(|(date, offset)| {
            let entries = self.piece(partition, search.topic_id, &search.span(segment, offset, 1)).ok()?.ok()?;
            let first = entries.into_iter().next()?;
            (first.last_offset() == offset && first.max_timestamp() == date).then_some(first)
        });
        batch.map_or(segment.base_offset, |batch| crate::log::base_of(&batch))
    }

    fn time_lookup(
        &self,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        segment: &SegmentInfo,
        wanted: Timestamp,
    ) -> Option<(Timestamp, Offset)> {
        let slot = {
            let core = self.core.lock();
            let log = core.broker.partition(partition)?.log();
            if let Some(indexes) = log.indexes_of(segment.base_offset) {
                return Some(indexes.time.lookup(wanted));
            }
            core.slot_of(partition, topic_id)?
        };
        slot.time_lookup(segment, wanted)?.ok()
    }

    fn piece(
        &self,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        span: &Span,
    ) -> Result<Result<Vec<Entry>, ReadFault>, RequestError> {
        let (slot, facts) = {
            let core = self.core.lock();
            (core.slot_of(partition, topic_id), core.broker.span_facts(partition, span))
        };
        let found = slot.zip(facts).and_then(|(slot, facts)| slot.read(span, &facts));
        found.ok_or_else(|| gone(partition))
    }
}

/// The latest date of all that is searched.
fn latest_of(search: &TimeSearch) -> Timestamp {
    search.segments.iter().map(|segment| segment.max_timestamp).max().unwrap_or(Timestamp::NONE)
}

impl Best<'_> {
    fn look_at(&mut self, partition: &TopicPartition, entry: &Entry, from: Offset) -> Result<(), RequestError> {
        let corrupt = |why: &dyn std::fmt::Display| {
            RequestError::because(ErrorCode::CorruptMessage, format!("{partition}: {why}"))
        };
        let records = entry.records(DecompressLimit::default()).map_err(|error| corrupt(&error))?;
        for record in records.iter() {
            let record = record.map_err(|error| corrupt(&error))?;
            let is_better = match self.search.spec {
                OffsetSpec::At(wanted) => record.timestamp >= wanted,
                OffsetSpec::MaxTimestamp => self.found.is_none_or(|found| found.timestamp < Some(record.timestamp)),
                OffsetSpec::Earliest | OffsetSpec::Latest => false,
            };
            if self.is_final || !is_better || record.offset < from {
                continue;
            }
            let (offset, timestamp) = (record.offset, Some(record.timestamp));
            self.found = Some(ListedOffset { offset, timestamp, leader_epoch: entry.leader_epoch() });
            let is_latest = record.timestamp >= latest_of(self.search);
            self.is_final = is_latest || matches!(self.search.spec, OffsetSpec::At(_));
        }
        Ok(())
    }
}
