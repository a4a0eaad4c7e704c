//! Where reading begins, and with what.
//!
//! A mark of ours tells it to the byte, and by checksums whether the active segment's index files still say what lies in
//! front; if they do not, that segment is read from its front. What Kafka wrote is read from the segment of the recovery
//! point on; after a clean stop, from the last index entry of the last segment. If the leader epochs must be made again, it
//! is all read.
//!
//! - May use: the opening's own files, and `log`'s scan.
//! - Always true: nothing is changed here; what is believed of a segment's front has a checksum, or Kafka's word that all
//!   was closed.

use crate::disk::open::files::Files;
use crate::disk::open::segments::Found;
use crate::disk::open::{Failure, Opening};
use crate::disk::segment_file::{first_timestamp, header_at};
use crate::disk::{Disk, DiskError, OpenHow};
use crate::log::{
    EpochsFrom, FileName, FlushedMark, Indexes, MaxTimestamp, OffsetIndex, ScanStart, TimeIndex, TxnIndex,
};
use crate::offset::Offset;

/// Where reading begins, and what is known of what lies in front.
pub(super) struct Begin {
    /// The first segment that is read.
    pub(super) segment: Offset,
    /// The offset behind the last batch in front of the first that is read.
    pub(super) next: Offset,
    /// Up to where the log reached then: further than `next`, if a truncation went into a batch.
    pub(super) reached: Offset,
    /// What is known of the segment's front; `None` if that is read too.
    pub(super) prefix: Option<Prefix>,
}

/// The front of a segment, which need not be read.
pub(super) struct Prefix {
    /// Where it ends.
    position: u32,
    /// Its largest timestamp.
    max: MaxTimestamp,
    /// The indexes of it.
    indexes: Indexes,
    /// The transactions aborted in it.
    aborted: TxnIndex,
}

impl Begin {
    /// At the front of a segment.
    fn whole(segment: Offset) -> Self {
        Self { segment, next: segment, reached: segment, prefix: None }
    }
}

impl<D: Disk> Opening<'_, D> {
    /// Up to where all is surely on disk.
    pub(super) fn flushed(&self, files: &Files) -> Result<Offset, Failure> {
        match &self.known.mark {
            // Nobody misses what lies below the start, and of what lies above it the mark says nothing then.
            Some(mark) if mark.offset <= mark.log_start_offset => Ok(Offset::ZERO),
            Some(mark) => {
                // Segments above it cannot stand in for it, and neither can nothing at all.
                let had_records = mark.offset > mark.segment || files.logs.is_empty();
                let is_missing = had_records && !files.logs.contains_key(&mark.segment);
                let missing = Failure::Missing { segment: mark.segment, flushed: mark.offset };
                if is_missing { Err(missing) } else { Ok(mark.offset) }
            }
            None => Ok(self.known.recovery_point.unwrap_or(Offset::ZERO)),
        }
    }

    /// Where reading begins; `None` if there is nothing to read.
    pub(super) fn begin(&self, files: &Files, epochs_from: EpochsFrom) -> Result<Option<Begin>, DiskError> {
        let Some((first, _)) = files.logs.first_key_value() else { return Ok(None) };
        if epochs_from == EpochsFrom::Batches {
            return Ok(Some(Begin::whole(*first)));
        }
        let begin = match &self.known.mark {
            Some(mark) => self.begin_as_marked(mark, *first, files)?,
            None => self.begin_as_kafka_does(*first, files)?,
        };
        Ok(Some(begin))
    }

    /// The scan of the segment at `base`, where reading begins or behind that.
    pub(super) fn start(&self, base: Offset, begin: &Begin, found: &Found) -> Result<ScanStart, DiskError> {
        match &begin.prefix {
            Some(prefix) if begin.segment == base => self.start_behind(prefix, begin, found),
            Some(_) | None => Ok(self.start_of(base, found)),
        }
    }

    /// A scan of a whole segment part of which the producers that were found know already: it begins with those of its
    /// base, or it would not see whose transactions its markers abort.
    pub(super) fn start_in_front(
        &self,
        base: Offset,
        files: &Files,
        found: &mut Found,
    ) -> Result<ScanStart, DiskError> {
        let (epochs_from, seen_epoch) = (found.epochs_from, found.seen_epoch);
        let (flushed, epochs, bases) = (found.flushed, found.epochs.clone(), found.bases.clone());
        let mut front = Found { flushed, epochs, epochs_from, seen_epoch, bases, ..Found::nothing() };
        self.load_producers(files, base, base, &mut front)?;
        found.bad_snapshots.append(&mut front.bad_snapshots);
        Ok(self.start_of(base, &front))
    }

    /// A scan that cuts nothing, of what is known to be good. It ends in front of the first batch that ends above `to`.
    pub(crate) fn start_up_to(&self, base: Offset, to: Offset, found: &Found) -> ScanStart {
        ScanStart { flushed: Offset::MAX, flushed_position: u32::MAX, stop_at: to, ..self.start_of(base, found) }
    }

    fn begin_as_marked(&self, mark: &FlushedMark, first: Offset, files: &Files) -> Result<Begin, DiskError> {
        let Some(log) = files.logs.get(&mark.segment) else { return Ok(Begin::whole(first)) };
        let prefix = if log.len < u64::from(mark.position) { None } else { self.marked_prefix(mark, files)? };
        Ok(match prefix {
            None => Begin::whole(mark.segment),
            prefix => Begin { segment: mark.segment, next: mark.next_offset, reached: mark.offset, prefix },
        })
    }

    /// What the mark says of the active segment, if the index files still say the same.
    fn marked_prefix(&self, mark: &FlushedMark, files: &Files) -> Result<Option<Prefix>, DiskError> {
        let base = mark.segment;
        // Also an empty index is a file that the log goes on in.
        if ![FileName::OffsetIndex(base), FileName::TimeIndex(base)].iter().all(|name| files.others.contains_key(name))
        {
            return Ok(None);
        }
        let offsets = self.read_front(FileName::OffsetIndex(base), mark.index_len, mark.index_crc, files)?;
        let times = self.read_front(FileName::TimeIndex(base), mark.time_index_len, mark.time_index_crc, files)?;
        let aborted = self.read_front(FileName::TxnIndex(base), mark.txn_index_len, mark.txn_index_crc, files)?;
        let (Some(offsets), Some(times), Some(aborted)) = (offsets, times, aborted) else { return Ok(None) };
        let loaded = (self.load(base, &offsets, &times), TxnIndex::load(base, &aborted));
        let (Some(indexes), Ok(aborted)) = loaded else { return Ok(None) };
        let max = MaxTimestamp { timestamp: mark.max_timestamp, offset: mark.offset_of_max_timestamp };
        Ok(Some(Prefix { position: mark.position, max, indexes, aborted }))
    }

    fn begin_as_kafka_does(&self, first: Offset, files: &Files) -> Result<Begin, DiskError> {
        let recovery_point = self.known.recovery_point.unwrap_or(Offset::ZERO);
        let last = files.logs.last_key_value().map_or(first, |(base, _)| *base);
        let from = if self.known.clean { last } else { recovery_point };
        let containing = files.logs.range(..=from).next_back().map_or(first, |(base, _)| *base);
        if self.known.clean
            && let Some(begin) = self.last_indexed(containing, files)?
        {
            return Ok(begin);
        }
        Ok(Begin::whole(containing))
    }

    /// After a clean stop of Kafka's: what the last segment's indexes cover need not be read again.
    fn last_indexed(&self, base: Offset, files: &Files) -> Result<Option<Begin>, DiskError> {
        let Some(indexes) = self.indexes_from_files(base, files)? else { return Ok(None) };
        let aborted = self.read_if(FileName::TxnIndex(base), files)?.unwrap_or_default();
        let Ok(aborted) = TxnIndex::load(base, &aborted) else { return Ok(None) };
        let len = files.logs[&base].len;
        let Some(last) = indexes.offset.last().filter(|last| u64::from(last.position) < len) else { return Ok(None) };
        let max = indexes.time.last().map_or(MaxTimestamp::none(base), |entry| MaxTimestamp {
            timestamp: entry.timestamp,
            offset: entry.offset,
        });
        let Some(next) = self.base_at(base, last.position)? else { return Ok(None) };
        let prefix = Prefix { position: last.position, max, indexes, aborted };
        Ok(Some(Begin { segment: base, next, reached: next, prefix: Some(prefix) }))
    }

    /// The first offset of the batch v2 at `position`, if there is one.
    fn base_at(&self, segment: Offset, position: u32) -> Result<Option<Offset>, DiskError> {
        let file = self.disk.open(&self.dir.entry(FileName::Log(segment)), OpenHow::Read)?;
        let header = header_at(&file, position)?;
        Ok(header.and_then(|header| Offset::from_i64(header.base_offset)).filter(|base| *base >= segment))
    }

    fn start_behind(&self, prefix: &Prefix, begin: &Begin, found: &Found) -> Result<ScanStart, DiskError> {
        let base = begin.segment;
        let file = self.disk.open(&self.dir.entry(FileName::Log(base)), OpenHow::Read)?;
        let mut indexes = prefix.indexes.clone();
        indexes.resumed_at(prefix.position);
        Ok(ScanStart {
            position: prefix.position,
            next: begin.next,
            max: prefix.max,
            first_timestamp: first_timestamp(&file)?,
            indexes,
            aborted: prefix.aborted.clone(),
            // Kafka adds no entries for what it reads again after a clean stop.
            index_interval_bytes: if self.known.clean { u32::MAX } else { self.config.index_interval_bytes },
            ..self.start_of(base, found)
        })
    }

    /// A scan of a whole segment.
    fn start_of(&self, base: Offset, found: &Found) -> ScanStart {
        let mark = self.known.mark.filter(|mark| mark.segment == base);
        let index_bytes_max = self.config.segment_index_bytes;
        ScanStart {
            base,
            position: 0,
            next: base,
            flushed: found.flushed,
            flushed_position: mark.map_or(u32::MAX, |mark| mark.position),
            max: MaxTimestamp::none(base),
            first_timestamp: None,
            indexes: Indexes::rebuilt(OffsetIndex::new(base, index_bytes_max), TimeIndex::new(base, index_bytes_max)),
            aborted: TxnIndex::new(base),
            epochs: found.epochs.clone(),
            epochs_from: found.epochs_from,
            seen_epoch: found.seen_epoch,
            log_start_offset: self.known.start(),
            producers: found.producers.clone(),
            index_interval_bytes: self.config.index_interval_bytes,
            replay_from: found.replay_from,
            stop_at: Offset::MAX,
            limit: found.base_behind(base).unwrap_or(Offset::MAX),
        }
    }
}
