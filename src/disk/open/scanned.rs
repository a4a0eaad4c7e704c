//! Segments that are read: what a scan has found becomes a segment, and its end perhaps a torn tail.
//!
//! - May use: the opening's own files, and `log`'s scan.
//! - Always true: no file is changed here; a segment says itself what is to be cut of it, and whether its index files are to
//!   be made again.

use crate::disk::open::Opening;
use crate::disk::open::files::{Files, LogEntry};
use crate::disk::open::segments::Found;
use crate::disk::report::{CorruptRange, RecoveryReport, TornTail};
use crate::disk::segment_file::scan_file;
use crate::disk::{Disk, DiskError, OpenHow};
use crate::log::{FileName, IndexFiles, Indexes, RecoveredSegment, ScanStart, Scanned};
use crate::offset::Offset;

impl<D: Disk> Opening<'_, D> {
    /// Reads a segment from where `start` says. Answers the torn tail that it ends in, if it does.
    pub(super) fn read_segment(
        &self,
        start: ScanStart,
        files: &Files,
        found: &mut Found,
        report: &mut RecoveryReport,
    ) -> Result<Option<TornTail>, DiskError> {
        let base = start.base;
        let log = files.logs[&base];
        let aborted_len = start.aborted.as_bytes().len() as u32;
        let (mut scanned, from) = self.scan(start, log, files, found)?;
        if from > 0 && found.base_behind(base).is_some() {
            // It was sealed behind what was known of it: nobody finds its last dates without that entry.
            scanned.indexes.seal(scanned.max);
        }
        report.scanned_bytes += u64::from(u32::try_from(log.len).unwrap_or(u32::MAX) - from);
        note_corrupt(&scanned, report);
        let torn = scanned.cut.map(|(position, why)| TornTail {
            segment: base,
            position,
            bytes: log.len - u64::from(position),
            why,
        });
        found.epochs = scanned.epochs.clone();
        found.seen_epoch = scanned.seen_epoch;
        found.producers = scanned.producers.clone();
        let is_missing = |name| !files.others.contains_key(&name);
        let any_missing = is_missing(FileName::OffsetIndex(base)) || is_missing(FileName::TimeIndex(base));
        let index_files = match (self.is_on_file(&scanned, files)?, from == 0 || any_missing) {
            (true, _) => IndexFiles::Same,
            (false, true) => IndexFiles::Wrong,
            (false, false) => IndexFiles::Behind { aborted_len },
        };
        if index_files == IndexFiles::Wrong {
            note_rebuilt(base, report);
        }
        found.segments.push(self.as_segment(scanned, log, files, index_files));
        Ok(torn)
    }

    /// Scans a segment from where `start` says, or from its front if that leads nowhere. Answers also from which byte.
    fn scan(
        &self,
        start: ScanStart,
        log: LogEntry,
        files: &Files,
        found: &mut Found,
    ) -> Result<(Scanned, u32), DiskError> {
        let (base, from) = (start.base, start.position);
        let file = self.disk.open(&self.dir.entry(FileName::Log(base)), OpenHow::Read)?;
        let len = u32::try_from(log.len).unwrap_or(u32::MAX);
        let scanned = scan_file(&file, start, len)?;
        let is_cut_there = |scanned: &Scanned| scanned.cut.is_some_and(|(position, _)| position == from);
        if from == 0 || scanned.bad.is_empty() && !is_cut_there(&scanned) {
            return Ok((scanned, from));
        }
        // What was taken for known led to a place where no batch is: perhaps it was wrong.
        let again = scan_file(&file, self.start_in_front(base, files, found)?, len)?;
        // Or it was right, and a truncation into a batch has left the log to end behind its last one: what follows the mark
        // was never flushed.
        let ends_there = again.bad.is_empty() && is_cut_there(&again);
        let was_right = scanned.bad.is_empty() && (ends_there || again.bad.first().is_some_and(|bad| bad.from == from));
        Ok(if was_right { (scanned, from) } else { (again, 0) })
    }

    /// The segment that a scan has found.
    pub(super) fn as_segment(
        &self,
        scanned: Scanned,
        log: LogEntry,
        files: &Files,
        index_files: IndexFiles,
    ) -> RecoveredSegment {
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
            index_len: 0,
            index_files,
            aborted: scanned.aborted,
            has_txn_index: files.others.contains_key(&FileName::TxnIndex(base)),
            cut: u64::from(scanned.size) < log.len,
            missing: false,
        }
    }
}

/// The report names the index files that are made again.
pub(super) fn note_rebuilt(base: Offset, report: &mut RecoveryReport) {
    report.rebuilt.extend([FileName::OffsetIndex(base), FileName::TimeIndex(base)]);
}

/// The report names what is bad and stays.
pub(super) fn note_corrupt(scanned: &Scanned, report: &mut RecoveryReport) {
    let named = |range| CorruptRange { segment: scanned.base, range };
    report.corrupt.extend(scanned.bad.iter().copied().map(named));
}
