//! Looking for a record by its date.

use crate::disk::Disk;
use crate::id::TopicPartition;
use crate::log::SegmentInfo;
use crate::message::{ErrorCode, ListedOffset, RequestError};
use crate::offset::Offset;
use crate::partition::{OffsetSpec, TimeSearch};
use crate::queue::node::Node;
use crate::queue::node::read::{gone, unreadable};
use crate::record::{DecompressLimit, Entry};

/// How many bytes of a segment are read at a time.
const PIECE_BYTES: u32 = 1 << 20;

/// What was found so far.
struct Best<'a> {
    search: &'a TimeSearch,
    found: Option<ListedOffset>,
    /// No other record can be a better answer.
    is_final: bool,
}

impl<D: Disk> Node<D> {
    /// Goes through the segments of a search, a piece at a time.
    pub(super) fn find(
        &self,
        partition: &TopicPartition,
        search: &TimeSearch,
    ) -> Result<Option<ListedOffset>, RequestError> {
        let mut best = Best { search, found: None, is_final: false };
        for segment in &search.segments {
            let mut from = search.log_start_offset.max(segment.base_offset);
            while from < segment.next_offset.min(search.ceiling) && !best.is_final {
                let entries = self.piece(partition, search, segment, from)?;
                let Some(last) = entries.last() else { break };
                let next = last.next_offset();
                for entry in &entries {
                    best.look_at(partition, entry, from)?;
                }
                from = next.max(from.advance(1));
            }
        }
        Ok(best.found.filter(|found| search.counts(found.offset)))
    }

    fn piece(
        &self,
        partition: &TopicPartition,
        search: &TimeSearch,
        segment: &SegmentInfo,
        from: Offset,
    ) -> Result<Vec<Entry>, RequestError> {
        let span = search.span(segment, from, PIECE_BYTES);
        let (slot, facts) = {
            let core = self.core.lock();
            (core.slots.get(partition).cloned(), core.broker.span_facts(partition, &span))
        };
        let found = slot.zip(facts).and_then(|(slot, facts)| slot.read(&span, &facts));
        found.ok_or_else(|| gone(partition))?.map_err(|fault| unreadable(&fault))
    }
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
            self.is_final = matches!(self.search.spec, OffsetSpec::At(_));
        }
        Ok(())
    }
}
