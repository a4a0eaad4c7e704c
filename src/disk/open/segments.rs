//! The segments of a log at its opening: which are trusted, which are read, and what becomes of what they hold.

use std::collections::BTreeSet;

use crate::disk::block_sums::read_sums;
use crate::disk::open::files::{Files, LogEntry};
use crate::disk::open::{Failure, Opening};
use crate::disk::report::{CorruptRange, RecoveryReport, Shutdown, TornTail};
use crate::disk::segment_file::{first_timestamp, header_at, scan_file};
use crate::disk::small::read_small;
use crate::disk::sums::FileSum;
use crate::disk::{Disk, DiskError, DiskFile, OpenHow};
use crate::epoch::LeaderEpoch;
use crate::log::{
    EpochCache, EpochsFrom, FileName, FlushedMark, IndexFiles, Indexes, MaxTimestamp, OffsetIndex, ProducerSnapshot,
    ProducerState, RecoveredSegment, ScanStart, Scanned, SegmentFacts, TimeIndex, TxnIndex, UnknownProducer,
};
use crate::offset::Offset;
use crate::time::Timestamp;

/// What the segments hold.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) segments: Vec<RecoveredSegment>,
    pub(crate) epochs: EpochCache,
    epochs_from: EpochsFrom,
    seen_epoch: Option<LeaderEpoch>,
    pub(crate) producers: ProducerState,
    pub(crate) flushed: Offset,
    /// Where the log ended, if that was behind its last batch.
    reached: Offset,
    pub(crate) bad_snapshots: BTreeSet<Offset>,
    /// From where on batches are new to `producers`.
    pub(crate) replay_from: Offset,
    /// The bases of all segments that there are, as far as anyone has asked.
    pub(crate) bases: BTreeSet<Offset>,
}

impl Found {
    /// Where the log ends; `None` if it has no segment.
    pub(crate) fn end(&self) -> Option<Offset> {
        self.segments.last().map(|last| last.next.max(self.reached))
    }
}

/// Where reading begins, and what is known of what lies before.
struct Begin {
    segment: Offset,
    position: u32,
    /// The offset behind the last batch in front of `position`.
    next: Offset,
    /// Up to where the log reached then: further, if a truncation went into a batch.
    reached: Offset,
    /// What is known of the segment's bytes in front of `position`, if that is not 0.
    prefix: Option<Prefix>,
}

struct Prefix {
    max: MaxTimestamp,
    indexes: Indexes,
    aborted: TxnIndex,
}

impl<D: Disk> Opening<'_, D> {
    pub(super) fn segments(
        &self,
        files: &mut Files,
        epochs: EpochCache,
        scan_all: bool,
        report: &mut RecoveryReport,
    ) -> Result<Found, Failure> {
        let flushed = self.flushed(files)?;
        let epochs_from = match self.known.mark {
            _ if scan_all => EpochsFrom::Batches,
            Some(_) => EpochsFrom::Ottla,
            None => EpochsFrom::Kafka,
        };
        let begin = self.begin(files, scan_all)?;
        let mut found =
            Found { epochs, epochs_from, flushed, bases: files.logs.keys().copied().collect(), ..self.nothing_found() };
        let Some(begin) = begin else { return Ok(found) };
        let clean = report.shutdown == Shutdown::Clean;
        // A later snapshot does not tell which transactions were aborted in what is read from its front.
        let newest = if clean && begin.prefix.is_some() { Offset::MAX } else { begin.reached };
        self.load_producers(files, begin.next, newest, &mut found)?;
        self.look_at_snapshots_behind(newest, files, &mut found)?;
        let bases: Vec<Offset> = files.logs.keys().copied().collect();
        for (index, base) in bases.iter().enumerate() {
            let log = files.logs[base];
            let following = bases.get(index + 1).copied();
            if *base < begin.segment {
                self.check_followed(*base, log, following, flushed)?;
            }
            if *base < begin.segment && self.has_sound_indexes(*base, log, files)? {
                found.segments.push(self.trusted(*base, following.unwrap_or(*base), log, files)?);
                continue;
            }
            if *base < begin.segment {
                // Below where reading begins: only its indexes are made again.
                let segment = self.reindexed(*base, log, &found, files, report)?;
                self.note_cut(&segment, log, following, report)?;
                found.segments.push(segment);
                continue;
            }
            let start = match &begin {
                Begin { segment, position, next, prefix: Some(prefix), .. } if segment == base => {
                    self.start_at(*base, *position, *next, prefix, &found)?
                }
                _ => self.start_of(*base, &found),
            };
            if self.follows_a_hole(*base, &found)? {
                self.remove_from(*base, &bases, files, report)?;
                break;
            }
            let torn = self.read_segment(*base, log, start, files, &mut found, report)?;
            if torn {
                self.remove_behind(*base, &bases, files, report)?;
                break;
            }
        }
        self.seal_damage(&mut found, files, report)?;
        Ok(found)
    }

    pub(crate) fn nothing_found(&self) -> Found {
        Found {
            segments: Vec::new(),
            epochs: EpochCache::default(),
            epochs_from: EpochsFrom::Batches,
            seen_epoch: None,
            producers: ProducerState::new(Offset::ZERO, UnknownProducer::default()),
            flushed: Offset::ZERO,
            reached: Offset::ZERO,
            bad_snapshots: BTreeSet::new(),
            replay_from: Offset::ZERO,
            bases: BTreeSet::new(),
        }
    }

    /// A scan that ends in front of the first batch that a truncation to `to` cuts off.
    pub(crate) fn start_to_cut(&self, base: Offset, to: Offset, found: &Found) -> ScanStart {
        ScanStart { flushed: Offset::MAX, flushed_position: u32::MAX, stop_at: to, ..self.start_of(base, found) }
    }

    /// The indexes of a segment as its files have them; `None` if they are missing or impossible.
    pub(crate) fn indexes_from_files(&self, base: Offset, files: &Files) -> Result<Option<Indexes>, DiskError> {
        let bytes_max = self.config.segment_index_bytes;
        let offsets = self.read_if(FileName::OffsetIndex(base), files)?;
        let times = self.read_if(FileName::TimeIndex(base), files)?;
        let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
        let loaded = (OffsetIndex::load(base, bytes_max, &offsets), TimeIndex::load(base, bytes_max, &times));
        let (Ok(offset), Ok(time)) = loaded else { return Ok(None) };
        Ok(Some(Indexes::loaded(offset, time)))
    }

    /// Up to where all is surely on disk.
    fn flushed(&self, files: &Files) -> Result<Offset, Failure> {
        match &self.known.mark {
            Some(mark)
                if mark.offset > mark.segment.max(mark.log_start_offset) && !files.logs.contains_key(&mark.segment) =>
            {
                // Segments above it cannot stand in for it, and neither can nothing at all; but nobody misses what lies
                // below the start.
                Err(Failure::Missing { segment: mark.segment, flushed: mark.offset })
            }
            // Nor does it say anything then of what lies above.
            Some(mark) if mark.offset <= mark.log_start_offset => Ok(Offset::ZERO),
            Some(mark) => Ok(mark.offset),
            None => Ok(self.known.recovery_point.unwrap_or(Offset::ZERO)),
        }
    }

    /// Where reading begins; `None` if there is nothing to read.
    fn begin(&self, files: &Files, scan_all: bool) -> Result<Option<Begin>, Failure> {
        let Some((first, _)) = files.logs.first_key_value() else { return Ok(None) };
        let whole = |segment: Offset| Begin { segment, position: 0, next: segment, reached: segment, prefix: None };
        if scan_all {
            return Ok(Some(whole(*first)));
        }
        if let Some(mark) = &self.known.mark {
            let Some(log) = files.logs.get(&mark.segment) else { return Ok(Some(whole(*first))) };
            let prefix = if log.len < u64::from(mark.position) { None } else { self.marked_prefix(mark, files)? };
            return Ok(Some(match prefix {
                Some(prefix) => Begin {
                    segment: mark.segment,
                    position: mark.position,
                    next: mark.next_offset,
                    reached: mark.offset,
                    prefix: Some(prefix),
                },
                None => whole(mark.segment),
            }));
        }
        let recovery_point = self.known.recovery_point.unwrap_or(Offset::ZERO);
        let last = files.logs.last_key_value().map_or(*first, |(base, _)| *base);
        let from = if self.known.clean { last } else { recovery_point };
        let containing = files.logs.range(..=from).next_back().map_or(*first, |(base, _)| *base);
        if self.known.clean
            && let Some(begin) = self.last_indexed(containing, files)?
        {
            return Ok(Some(begin));
        }
        Ok(Some(whole(containing)))
    }

    /// After a clean stop of Kafka's: what the last segment's indexes cover need not be read again.
    fn last_indexed(&self, base: Offset, files: &Files) -> Result<Option<Begin>, DiskError> {
        let log = files.logs[&base];
        let bytes_max = self.config.segment_index_bytes;
        let offsets = self.read_if(FileName::OffsetIndex(base), files)?;
        let times = self.read_if(FileName::TimeIndex(base), files)?;
        let aborted = self.read_if(FileName::TxnIndex(base), files)?.unwrap_or_default();
        let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
        let loaded = (
            OffsetIndex::load(base, bytes_max, &offsets),
            TimeIndex::load(base, bytes_max, &times),
            TxnIndex::load(base, &aborted),
        );
        let (Ok(offset), Ok(time), Ok(aborted)) = loaded else { return Ok(None) };
        let Some(last) = offset.last().filter(|last| u64::from(last.position) < log.len) else { return Ok(None) };
        let max = time.last().map_or(MaxTimestamp::none(base), |entry| MaxTimestamp {
            timestamp: entry.timestamp,
            offset: entry.offset,
        });
        let Some(next) = self.base_at(base, last.position)? else { return Ok(None) };
        let prefix = Prefix { max, indexes: Indexes::loaded(offset, time), aborted };
        Ok(Some(Begin { segment: base, position: last.position, next, reached: next, prefix: Some(prefix) }))
    }

    /// The first offset of the batch v2 at `position`, if there is one.
    fn base_at(&self, segment: Offset, position: u32) -> Result<Option<Offset>, DiskError> {
        let file = self.disk.open(&self.dir.entry(FileName::Log(segment)), OpenHow::Read)?;
        let header = header_at(&file, position)?;
        Ok(header.and_then(|header| Offset::from_i64(header.base_offset)).filter(|base| *base >= segment))
    }

    /// What the mark says of the active segment, if the index files still say the same.
    fn marked_prefix(&self, mark: &FlushedMark, files: &Files) -> Result<Option<Prefix>, DiskError> {
        let base = mark.segment;
        let bytes_max = self.config.segment_index_bytes;
        // Also an empty index is a file that the log goes on in.
        if ![FileName::OffsetIndex(base), FileName::TimeIndex(base)].iter().all(|name| files.others.contains_key(name))
        {
            return Ok(None);
        }
        let offsets = self.read_prefix(FileName::OffsetIndex(base), mark.index_len, mark.index_crc, files)?;
        let times = self.read_prefix(FileName::TimeIndex(base), mark.time_index_len, mark.time_index_crc, files)?;
        let aborted = self.read_prefix(FileName::TxnIndex(base), mark.txn_index_len, mark.txn_index_crc, files)?;
        let (Some(offsets), Some(times), Some(aborted)) = (offsets, times, aborted) else { return Ok(None) };
        let loaded = (
            OffsetIndex::load(base, bytes_max, &offsets),
            TimeIndex::load(base, bytes_max, &times),
            TxnIndex::load(base, &aborted),
        );
        let (Ok(offset), Ok(time), Ok(aborted)) = loaded else { return Ok(None) };
        let max = MaxTimestamp { timestamp: mark.max_timestamp, offset: mark.offset_of_max_timestamp };
        Ok(Some(Prefix { max, indexes: Indexes::loaded(offset, time), aborted }))
    }

    fn read_prefix(&self, name: FileName, len: u32, crc: u32, files: &Files) -> Result<Option<Vec<u8>>, DiskError> {
        let mut bytes = self.read_if(name, files)?.unwrap_or_default();
        if bytes.len() < len as usize {
            return Ok(None);
        }
        bytes.truncate(len as usize);
        Ok((crc32fast::hash(&bytes) == crc).then_some(bytes))
    }

    fn read_if(&self, name: FileName, files: &Files) -> Result<Option<Vec<u8>>, DiskError> {
        if files.others.contains_key(&name) { read_small(self.disk, &self.dir.entry(name)).map(Some) } else { Ok(None) }
    }

    /// The producers at `at` or later: from the newest good snapshot up to `newest`, brought up to `at` by reading.
    pub(crate) fn load_producers(
        &self,
        files: &Files,
        at: Offset,
        newest: Offset,
        found: &mut Found,
    ) -> Result<(), DiskError> {
        let mut start = None;
        for offset in files.snapshots.range(..=newest).rev() {
            let bytes = read_small(self.disk, &self.dir.entry(FileName::Snapshot(*offset)))?;
            match ProducerSnapshot::parse(&bytes) {
                Ok(snapshot) => {
                    let expiry = self.config.producer_id_expiration_ms;
                    found.producers = snapshot.into_state(*offset, UnknownProducer::default(), self.now, expiry);
                    start = Some(*offset);
                    break;
                }
                Err(_) => {
                    found.bad_snapshots.insert(*offset);
                }
            }
        }
        let known_empty = self.known.mark.is_some_and(|mark| mark.snapshot_offset.is_none() && at == mark.next_offset);
        // Kafka's rule: a log that was closed without any snapshot has no producers.
        let never_any = self.known.mark.is_none() && self.known.clean && files.snapshots.is_empty();
        found.replay_from = match start {
            Some(offset) => offset,
            None if known_empty || never_any => at,
            // From the first byte that there is: a transaction may be open since before the log start.
            None => files.logs.first_key_value().map_or(self.known.start(), |(base, _)| *base),
        };
        if found.replay_from < at {
            self.replay_producers(files, at, found)?;
            found.replay_from = at;
        }
        found.producers.advance_end(at);
        Ok(())
    }

    /// Snapshots that nothing was read from stay only if they can be.
    fn look_at_snapshots_behind(&self, newest: Offset, files: &Files, found: &mut Found) -> Result<(), DiskError> {
        for offset in files.snapshots.iter().filter(|offset| **offset > newest) {
            let bytes = read_small(self.disk, &self.dir.entry(FileName::Snapshot(*offset)))?;
            if ProducerSnapshot::parse(&bytes).is_err() {
                found.bad_snapshots.insert(*offset);
            }
        }
        Ok(())
    }

    /// Reads what lies below `at` and is new to the producers, for them alone.
    fn replay_producers(&self, files: &Files, at: Offset, found: &mut Found) -> Result<(), DiskError> {
        let floor = files.logs.range(..=found.replay_from).next_back().map_or(found.replay_from, |(base, _)| *base);
        for base in files.logs.range(floor..at).map(|(base, _)| *base) {
            let file = self.disk.open(&self.dir.entry(FileName::Log(base)), OpenHow::Read)?;
            let len = u32::try_from(file.len()?).unwrap_or(u32::MAX);
            let start = ScanStart {
                flushed: Offset::MAX,
                flushed_position: u32::MAX,
                stop_at: at,
                ..self.start_of(base, found)
            };
            found.producers = scan_file(&file, start, len)?.producers;
        }
        Ok(())
    }

    fn start_of(&self, base: Offset, found: &Found) -> ScanStart {
        ScanStart {
            base,
            position: 0,
            next: base,
            flushed: found.flushed,
            flushed_position: self
                .known
                .mark
                .filter(|mark| mark.segment == base)
                .map_or(u32::MAX, |mark| mark.position),
            max: MaxTimestamp::none(base),
            first_timestamp: None,
            indexes: Indexes::rebuilt(
                OffsetIndex::new(base, self.config.segment_index_bytes),
                TimeIndex::new(base, self.config.segment_index_bytes),
            ),
            aborted: TxnIndex::new(base),
            epochs: found.epochs.clone(),
            epochs_from: found.epochs_from,
            seen_epoch: found.seen_epoch,
            log_start_offset: self.known.start(),
            producers: found.producers.clone(),
            index_interval_bytes: self.config.index_interval_bytes,
            replay_from: found.replay_from,
            stop_at: Offset::MAX,
            limit: found.bases.range(base.advance(1)..).next().copied().unwrap_or(Offset::MAX),
        }
    }

    /// A scan of a whole segment part of which the producers that were found know already: it begins with those of its
    /// base, or it would not see whose transactions its markers abort.
    fn start_in_front(&self, base: Offset, files: &Files, found: &mut Found) -> Result<ScanStart, DiskError> {
        let (epochs_from, seen_epoch) = (found.epochs_from, found.seen_epoch);
        let (flushed, epochs, bases) = (found.flushed, found.epochs.clone(), found.bases.clone());
        let mut front = Found { flushed, epochs, epochs_from, seen_epoch, bases, ..self.nothing_found() };
        self.load_producers(files, base, base, &mut front)?;
        found.bad_snapshots.append(&mut front.bad_snapshots);
        Ok(self.start_of(base, &front))
    }

    fn start_at(
        &self,
        base: Offset,
        position: u32,
        next: Offset,
        prefix: &Prefix,
        found: &Found,
    ) -> Result<ScanStart, DiskError> {
        let file = self.disk.open(&self.dir.entry(FileName::Log(base)), OpenHow::Read)?;
        let mut indexes = prefix.indexes.clone();
        indexes.resumed_at(position);
        Ok(ScanStart {
            position,
            next,
            max: prefix.max,
            first_timestamp: first_timestamp(&file)?,
            indexes,
            aborted: prefix.aborted.clone(),
            // Kafka adds no entries for what it reads again after a clean stop.
            index_interval_bytes: if self.known.clean { u32::MAX } else { self.config.index_interval_bytes },
            ..self.start_of(base, found)
        })
    }

    /// Whether a segment's index files are there and can be what they should be.
    fn has_sound_indexes(&self, base: Offset, log: LogEntry, files: &Files) -> Result<bool, DiskError> {
        let len = |name| files.others.get(&name).copied();
        let offsets = len(FileName::OffsetIndex(base)).is_some_and(|len| len % 8 == 0);
        let times = len(FileName::TimeIndex(base)).is_some_and(|len| len % 12 == 0);
        let aborted = len(FileName::TxnIndex(base)).is_none_or(|len| len % 34 == 0);
        if !(offsets && times && aborted) {
            return Ok(false);
        }
        let sums = read_sums(self.disk, &self.dir, base)?;
        if sums.as_ref().is_some_and(|sums| u64::from(sums.log_len()) > log.len) {
            // It was cut: what is left of it must be looked at.
            return Ok(false);
        }
        let sums = sums.filter(|sums| u64::from(sums.log_len()) == log.len);
        let Some(noted) = sums.map(|sums| *sums.indexes()) else { return Ok(true) };
        let as_noted = |name, sum: FileSum| len(name).unwrap_or(0) == u64::from(sum.len);
        // The others are hints, and compared when they are first used; this one is believed.
        let aborted = self.read_if(FileName::TxnIndex(base), files)?.unwrap_or_default();
        Ok(as_noted(FileName::OffsetIndex(base), noted.offset_index)
            && as_noted(FileName::TimeIndex(base), noted.time_index)
            && FileSum::of(&aborted) == noted.txn_index)
    }

    /// A segment of which nothing is read but the end of its time index and its aborted transactions.
    fn trusted(&self, base: Offset, next: Offset, log: LogEntry, files: &Files) -> Result<RecoveredSegment, DiskError> {
        let aborted = self.read_if(FileName::TxnIndex(base), files)?.unwrap_or_default();
        let sealed = self.sealed_facts(base, log)?;
        let max = match &sealed {
            Some(facts) => facts.max,
            None => self.last_timestamp(base)?,
        };
        let next = sealed.map_or(next, |facts| facts.next_offset.min(next));
        Ok(RecoveredSegment {
            base,
            next,
            size: u32::try_from(log.len).unwrap_or(u32::MAX),
            max,
            first_timestamp: None,
            created: self.now,
            modified: log.modified,
            indexes: None,
            index_files: IndexFiles::Same,
            aborted: TxnIndex::load(base, &aborted).unwrap_or_else(|_| TxnIndex::new(base)),
            has_txn_index: files.others.contains_key(&FileName::TxnIndex(base)),
            cut: false,
            missing: false,
        })
    }

    /// What was noted when the segment was sealed, if it still has the length that it had then.
    pub(super) fn sealed_facts(&self, base: Offset, log: LogEntry) -> Result<Option<SegmentFacts>, DiskError> {
        let sums = read_sums(self.disk, &self.dir, base)?;
        Ok(sums.filter(|sums| u64::from(sums.log_len()) == log.len).map(|sums| *sums.facts()))
    }

    /// The largest timestamp as the end of the time index has it.
    fn last_timestamp(&self, base: Offset) -> Result<MaxTimestamp, DiskError> {
        let times = self.disk.open(&self.dir.entry(FileName::TimeIndex(base)), OpenHow::Read)?;
        let len = times.len()?;
        let mut entry = [0; 12];
        let read = if len >= 12 { times.read_full(len - 12, &mut entry)? } else { 0 };
        Ok(match TimeIndex::load(base, 12, &entry[..read]).ok().and_then(|index| index.last()) {
            Some(last) => MaxTimestamp { timestamp: last.timestamp, offset: last.offset },
            None => MaxTimestamp::none(base),
        })
    }

    /// A segment below where reading begins whose index files are missing or impossible: it is read for them alone.
    fn reindexed(
        &self,
        base: Offset,
        log: LogEntry,
        found: &Found,
        files: &Files,
        report: &mut RecoveryReport,
    ) -> Result<RecoveredSegment, DiskError> {
        // Who had a transaction open in front of it tells which were aborted in it.
        let mut front = Found { epochs: found.epochs.clone(), bases: found.bases.clone(), ..self.nothing_found() };
        self.load_producers(files, base, base, &mut front)?;
        let start = ScanStart { flushed: Offset::MAX, flushed_position: u32::MAX, ..self.start_of(base, &front) };
        let file = self.disk.open(&self.dir.entry(FileName::Log(base)), OpenHow::Read)?;
        let len = u32::try_from(log.len).unwrap_or(u32::MAX);
        let scanned = scan_file(&file, start, len)?;
        report.scanned_bytes += u64::from(len);
        note_rebuilt(base, report);
        note_corrupt(base, &scanned, report);
        Ok(self.as_segment(scanned, log, files, IndexFiles::Wrong))
    }

    /// Reads a segment from where `start` says. Answers whether a torn tail was found in it.
    fn read_segment(
        &self,
        base: Offset,
        log: LogEntry,
        start: ScanStart,
        files: &Files,
        found: &mut Found,
        report: &mut RecoveryReport,
    ) -> Result<bool, DiskError> {
        let file = self.disk.open(&self.dir.entry(FileName::Log(base)), OpenHow::Read)?;
        let len = u32::try_from(log.len).unwrap_or(u32::MAX);
        let (from, had_prefix) = (start.position, start.position > 0);
        let aborted_len = start.aborted.as_bytes().len() as u32;
        let mut scanned = scan_file(&file, start, len)?;
        let mut from_front = !had_prefix;
        if had_prefix && (!scanned.bad.is_empty() || scanned.cut.is_some_and(|(position, _)| position == from)) {
            // What was taken for known led to a place where no batch is: perhaps it was wrong.
            let again = scan_file(&file, self.start_in_front(base, files, found)?, len)?;
            // Or it was right, and a truncation into a batch has left the log to end behind its last one: what follows
            // the mark was never flushed.
            let ends_there = again.bad.is_empty() && again.cut.is_some_and(|(position, _)| position == from);
            let borne_out =
                scanned.bad.is_empty() && (ends_there || again.bad.first().is_some_and(|bad| bad.from == from));
            if !borne_out {
                scanned = again;
                from_front = true;
            }
        }
        if !from_front && found.bases.range(base.advance(1)..).next().is_some() {
            // It was sealed behind what was known of it: nobody finds its last dates without that entry.
            scanned.indexes.seal(scanned.max);
        }
        report.scanned_bytes += u64::from(len - if from_front { 0 } else { from });
        note_corrupt(base, &scanned, report);
        let torn = scanned.cut.map(|(position, why)| TornTail {
            segment: base,
            position,
            bytes: log.len - u64::from(position),
            why,
        });
        report.torn = report.torn.or(torn);
        found.epochs = scanned.epochs.clone();
        found.seen_epoch = scanned.seen_epoch;
        found.producers = scanned.producers.clone();
        let is_missing = |name| !files.others.contains_key(&name);
        let any_missing = is_missing(FileName::OffsetIndex(base)) || is_missing(FileName::TimeIndex(base));
        let index_files = match (self.is_on_file(base, &scanned, files)?, from_front || any_missing) {
            (true, _) => IndexFiles::Same,
            (false, true) => IndexFiles::Wrong,
            (false, false) => IndexFiles::Behind { aborted_len },
        };
        if index_files == IndexFiles::Wrong {
            note_rebuilt(base, report);
        }
        found.segments.push(self.as_segment(scanned, log, files, index_files));
        Ok(torn.is_some())
    }

    /// Whether the index files say what was just found.
    fn is_on_file(&self, base: Offset, scanned: &Scanned, files: &Files) -> Result<bool, DiskError> {
        Ok(self.read_if(FileName::OffsetIndex(base), files)?.as_deref() == Some(scanned.indexes.offset.as_bytes())
            && self.read_if(FileName::TimeIndex(base), files)?.as_deref() == Some(scanned.indexes.time.as_bytes())
            && self.read_if(FileName::TxnIndex(base), files)?.unwrap_or_default() == scanned.aborted.as_bytes())
    }

    fn as_segment(&self, scanned: Scanned, log: LogEntry, files: &Files, index_files: IndexFiles) -> RecoveredSegment {
        let base = scanned.base;
        let indexes = match index_files {
            IndexFiles::Same => Indexes::loaded(scanned.indexes.offset, scanned.indexes.time),
            IndexFiles::Behind { .. } => scanned.indexes,
            IndexFiles::Wrong => Indexes::rebuilt(scanned.indexes.offset, scanned.indexes.time),
        };
        RecoveredSegment {
            base,
            next: scanned.next,
            size: scanned.size,
            max: scanned.max,
            first_timestamp: scanned.first_timestamp,
            created: self.now,
            modified: log.modified,
            indexes: Some(indexes),
            index_files,
            aborted: scanned.aborted,
            has_txn_index: files.others.contains_key(&FileName::TxnIndex(base)),
            cut: u64::from(scanned.size) < log.len,
            missing: false,
        }
    }

    /// Whether what was not flushed is missing in front of this segment: then it does not count, or a hole would.
    /// Only where there is a mark of ours: Kafka's logs may have gaps that nobody noted.
    fn follows_a_hole(&self, base: Offset, found: &Found) -> Result<bool, DiskError> {
        let front = found.segments.last().map_or(self.known.start(), |last| last.next);
        if self.known.mark.is_none_or(|mark| base <= mark.offset) || front >= base {
            return Ok(false);
        }
        let Some(last) = found.segments.last() else { return Ok(true) };
        // A follower's log may have gaps; then the segment in front was sealed for this one to follow.
        let entry = LogEntry { len: u64::from(last.size), modified: last.modified };
        Ok(self.sealed_facts(last.base, entry)?.is_none_or(|facts| facts.next_offset != base))
    }

    fn remove_behind(
        &self,
        base: Offset,
        bases: &[Offset],
        files: &mut Files,
        report: &mut RecoveryReport,
    ) -> Result<(), DiskError> {
        match bases.iter().find(|other| **other > base) {
            Some(next) => self.remove_from(*next, bases, files, report),
            None => Ok(()),
        }
    }

    /// Removes the segments from `base` on, the last one first, so that no crash leaves a hole.
    fn remove_from(
        &self,
        base: Offset,
        bases: &[Offset],
        files: &mut Files,
        report: &mut RecoveryReport,
    ) -> Result<(), DiskError> {
        for gone in bases.iter().rev().take_while(|other| **other >= base) {
            files.remove_segment(self.disk, &self.dir, *gone)?;
            report.removed_segments.push(*gone);
        }
        self.disk.sync_dir(&self.dir)
    }

    /// A log whose end is corrupt goes on in a new segment behind all offsets that were flushed: none is given twice.
    fn seal_damage(&self, found: &mut Found, files: &mut Files, report: &mut RecoveryReport) -> Result<(), DiskError> {
        let Some(last) = found.segments.last() else { return Ok(()) };
        let start = self.known.start();
        if last.next < start && found.flushed <= start {
            // Nothing of it counts any more.
            return Ok(());
        }
        let at_end = report.corrupt.iter().any(|bad| bad.segment == last.base && bad.range.next_offset.is_none());
        // A recovery point of Kafka's has no checksum: one that is too far for the segment says nothing.
        if found.flushed.relative_to(last.base).is_none() {
            found.flushed = found.flushed.min(last.next);
        }
        if !at_end && last.next >= found.flushed {
            return Ok(());
        }
        let end = last.next.max(found.flushed);
        if end == last.base {
            return Ok(());
        }
        let lost = if at_end { None } else { self.lost_end(last, end) };
        if !at_end && lost.is_none() {
            // A truncation into a batch has left the log to end behind its last one.
            found.reached = end;
            found.producers.advance_end(end);
            return Ok(());
        }
        // What was noted of it when it was last sealed says that the log went on elsewhere.
        if files.others.remove(&FileName::Sums(last.base)).is_some() {
            self.disk.remove(&self.dir.entry(FileName::Sums(last.base)))?;
        }
        report.corrupt.extend(lost.map(|range| CorruptRange { segment: last.base, range }));
        if let Some(last) = found.segments.last_mut() {
            last.next = end;
        }
        let modified = found.segments.last().map_or(Timestamp::NONE, |last| last.modified);
        found.segments.push(empty_segment(end, self.config.segment_index_bytes, modified));
        found.producers.advance_end(end);
        Ok(())
    }
}

fn empty_segment(base: Offset, index_bytes_max: u32, now: Timestamp) -> RecoveredSegment {
    RecoveredSegment {
        base,
        next: base,
        size: 0,
        max: MaxTimestamp::none(base),
        first_timestamp: None,
        created: now,
        modified: now,
        indexes: Some(Indexes::new(base, index_bytes_max)),
        index_files: IndexFiles::Wrong,
        aborted: TxnIndex::new(base),
        has_txn_index: false,
        cut: false,
        missing: true,
    }
}

fn note_rebuilt(base: Offset, report: &mut RecoveryReport) {
    report.rebuilt.extend([FileName::OffsetIndex(base), FileName::TimeIndex(base)]);
}

fn note_corrupt(base: Offset, scanned: &Scanned, report: &mut RecoveryReport) {
    report.corrupt.extend(scanned.bad.iter().map(|range| CorruptRange { segment: base, range: *range }));
}
