//! Reading a [`LogFile`]: by offset and by time.

use crate::disk::log_file::LogFile;
use crate::disk::reader::ReadFault;
use crate::disk::{Disk, DiskError};
use crate::epoch::LeaderEpoch;
use crate::log::{AbortedTxn, Isolation, ReadError, ReadPlan, SegmentInfo};
use crate::offset::Offset;
use crate::record::{Entry, RecordError};
use crate::time::Timestamp;

/// What a read has found, and where the log stood just before.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Whole batches. The first one may begin before the offset asked for.
    pub batches: Vec<Entry>,
    /// Under [`Isolation::ReadCommitted`]: transactions whose records among these do not count. It may name more.
    pub aborted: Vec<AbortedTxn>,
    /// The first readable offset.
    pub log_start_offset: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The last stable offset.
    pub last_stable_offset: Offset,
    /// The end of the log.
    pub log_end_offset: Offset,
}

/// Why a read failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The offset is not there.
    #[error(transparent)]
    Range(#[from] ReadError),
    /// What is in the file is not served.
    #[error(transparent)]
    Fault(#[from] ReadFault),
    /// The records of a batch cannot be read.
    #[error("batch at offset {base_offset}: {error}")]
    Records {
        /// The first offset of the batch.
        base_offset: Offset,
        /// What is wrong.
        error: RecordError,
    },
}

impl From<DiskError> for FetchError {
    fn from(error: DiskError) -> Self {
        Self::Fault(ReadFault::Disk(error))
    }
}

/// What to look for by date.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimeQuery {
    /// The first record of this date or later.
    At(Timestamp),
    /// The record with the latest date of all that are still readable; of several, the first. Kafka's max-timestamp
    /// query; where a log ends, which Kafka calls its latest offset, is [`LogFile::log`]'s to say.
    Newest,
}

/// A record found by its date.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FoundRecord {
    /// Where it stands.
    pub offset: Offset,
    /// Its date.
    pub timestamp: Timestamp,
    /// In which reign it was appended.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// How many bytes a search reads at a time.
const SEARCH_BYTES: u32 = 256 << 10;

impl<D: Disk> LogFile<D> {
    /// Reads at most `bytes_max` bytes of whole batches from `from` on, but at least one batch, as far as `isolation`
    /// lets see. Every byte's checksum has been verified. An empty answer says that there is nothing yet.
    ///
    /// # Errors
    ///
    /// [`FetchError`]: the offset is not there, or what is there is corrupt. Other offsets may still be readable.
    pub fn read(&mut self, from: Offset, bytes_max: u32, isolation: Isolation) -> Result<Fetched, FetchError> {
        let mut plan = self.log.plan_read(from, bytes_max, isolation)?;
        let batches = loop {
            match plan {
                ReadPlan::Nothing => break Vec::new(),
                ReadPlan::Cached(batches) => break batches.into_iter().map(Entry::Batch).collect(),
                ReadPlan::File(span) => {
                    let facts = self.log.span_facts(&span);
                    let batches = self.driver.read(&span, &facts)?;
                    if !batches.is_empty() {
                        break batches;
                    }
                    // Compaction, or a gap: the next segment may have what comes next.
                    plan = self.log.plan_behind(&span);
                }
            }
        };
        let upper = batches.last().map_or(from, Entry::next_offset);
        let wants_aborted = isolation == Isolation::ReadCommitted && !batches.is_empty();
        let aborted = if wants_aborted { self.log.aborted(from, upper) } else { Vec::new() };
        Ok(Fetched {
            batches,
            aborted,
            log_start_offset: self.log.log_start_offset(),
            high_watermark: self.log.high_watermark(),
            last_stable_offset: self.log.last_stable_offset(),
            log_end_offset: self.log.log_end_offset(),
        })
    }

    /// Finds a record by its date, at or above the log start. `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`LogFile::read`].
    pub fn offset_for_timestamp(&mut self, query: TimeQuery) -> Result<Option<FoundRecord>, FetchError> {
        let start = self.log.log_start_offset();
        let segments: Vec<SegmentInfo> = self.log.segments().filter(|segment| segment.next_offset > start).collect();
        match query {
            TimeQuery::At(wanted) => self.first_of(&segments, wanted),
            TimeQuery::Newest => self.newest_of(&segments),
        }
    }

    /// The first record in these segments whose date is `wanted` or later.
    fn first_of(&mut self, segments: &[SegmentInfo], wanted: Timestamp) -> Result<Option<FoundRecord>, FetchError> {
        let start = self.log.log_start_offset();
        for segment in segments.iter().filter(|segment| segment.max_timestamp >= wanted) {
            let from = self.time_hint(segment, wanted)?.max(start);
            if let Some(found) = self.first_at(from, segment.next_offset, wanted)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The record in these segments with the latest date; of several, the first.
    fn newest_of(&mut self, segments: &[SegmentInfo]) -> Result<Option<FoundRecord>, FetchError> {
        let start = self.log.log_start_offset();
        let latest = |segments: &[SegmentInfo]| segments.iter().map(|segment| segment.max_timestamp).max();
        let Some(wanted) = latest(segments).filter(|wanted| wanted.is_some()) else { return Ok(None) };
        if let Some(found) = self.first_of(segments, wanted)? {
            return Ok(Some(found));
        }
        // It lies below the log start. Of that segment only what is left counts.
        let Some((front, behind)) = segments.split_first() else { return Ok(None) };
        let left = self.newest_from(start, front.next_offset)?;
        let wanted = latest(behind).filter(|wanted| wanted.is_some());
        match (left, wanted) {
            (Some(left), Some(wanted)) if left.timestamp < wanted => self.first_of(behind, wanted),
            (None, Some(wanted)) => self.first_of(behind, wanted),
            (left, _) => Ok(left),
        }
    }

    /// The record from `from` to `end` with the latest date; of several, the first.
    fn newest_from(&mut self, from: Offset, end: Offset) -> Result<Option<FoundRecord>, FetchError> {
        let mut newest = None;
        self.search(from, end, Timestamp::from_millis(0), |found| {
            newest = Some(found);
            found.timestamp.as_millis().checked_add(1).map(Timestamp::from_millis)
        })?;
        Ok(newest)
    }

    /// The first record from `from` to `end` whose date is `wanted` or later.
    fn first_at(&mut self, from: Offset, end: Offset, wanted: Timestamp) -> Result<Option<FoundRecord>, FetchError> {
        let mut first = None;
        self.search(from, end, wanted, |found| {
            first = Some(found);
            None
        })?;
        Ok(first)
    }

    /// Shows `visit` the first record from `from` to `end` whose date is `wanted` or later, and then, as long as it
    /// names another date, the first behind that of this date or later.
    fn search(
        &mut self,
        mut from: Offset,
        end: Offset,
        mut wanted: Timestamp,
        mut visit: impl FnMut(FoundRecord) -> Option<Timestamp>,
    ) -> Result<(), FetchError> {
        let limit = self.options.decompress_limit;
        let start = self.log.log_start_offset();
        while from < end {
            let fetched = self.read(from, SEARCH_BYTES, Isolation::LogEnd)?;
            let Some(last) = fetched.batches.last() else { return Ok(()) };
            for entry in &fetched.batches {
                if entry.max_timestamp() < wanted {
                    continue;
                }
                let failed = |error| FetchError::Records { base_offset: crate::log::base_of(entry), error };
                for record in entry.records(limit).map_err(failed)?.iter() {
                    let record = record.map_err(failed)?;
                    if record.timestamp >= wanted && record.offset >= start {
                        let (offset, timestamp) = (record.offset, record.timestamp);
                        let found = FoundRecord { offset, timestamp, leader_epoch: entry.leader_epoch() };
                        let Some(next) = visit(found) else { return Ok(()) };
                        wanted = next;
                    }
                }
            }
            from = last.next_offset();
        }
        Ok(())
    }

    /// From where in a segment a record of this date is to be looked for: what the time index says, if the batch it
    /// names bears it out.
    fn time_hint(&mut self, segment: &SegmentInfo, wanted: Timestamp) -> Result<Offset, FetchError> {
        let base = segment.base_offset;
        let (timestamp, offset) = match self.log.indexes_of(base) {
            Some(indexes) => indexes.time.lookup(wanted),
            None => self.driver.time_lookup(segment, wanted)?,
        };
        if !timestamp.is_some() || offset < self.log.log_start_offset() {
            return Ok(base);
        }
        let fetched = self.read(offset, 1, Isolation::LogEnd);
        let named = |entry: &Entry| entry.last_offset() == offset && entry.max_timestamp() == timestamp;
        match fetched {
            Ok(fetched) if fetched.batches.first().is_some_and(named) => {
                Ok(fetched.batches.first().map_or(base, crate::log::base_of))
            }
            Ok(_) | Err(_) => Ok(base),
        }
    }
}
