//! Segments in front of where reading begins: they were flushed, so their batches are believed and not read.
//!
//! What was noted when such a segment was sealed tells where it ends and its latest date; without that, the next segment
//! and the time index do. It is read only if its index files are missing or impossible, or if it is shorter than it was:
//! then they are made again, and nothing else changes.
//!
//! - May use: the opening's own files, `log`'s scan, and the sums of a sealed segment.
//! - Always true: nothing of them is cut; what is bad or missing is reported.

use crate::disk::block_sums::read_sums;
use crate::disk::open::files::{Files, LogEntry};
use crate::disk::open::scanned::{note_corrupt, note_rebuilt};
use crate::disk::open::segments::Found;
use crate::disk::open::{Failure, Opening};
use crate::disk::report::RecoveryReport;
use crate::disk::segment_file::scan_file;
use crate::disk::{Disk, DiskError, OpenHow};
use crate::log::{FileName, IndexFiles, RecoveredSegment, SegmentFacts, TxnIndex};
use crate::offset::Offset;

impl<D: Disk> Opening<'_, D> {
    /// The segment at `base`, which `following` follows, and which lies in front of where reading begins.
    pub(super) fn segment_in_front(
        &self,
        base: Offset,
        following: Option<Offset>,
        found: &Found,
        files: &Files,
        report: &mut RecoveryReport,
    ) -> Result<RecoveredSegment, Failure> {
        let log = files.logs[&base];
        self.check_followed(base, log, following, found.flushed)?;
        if self.has_sound_indexes(base, log, files)? {
            return Ok(self.trusted(base, following.unwrap_or(base), log, files)?);
        }
        let segment = self.reindexed(base, log, found, files, report)?;
        self.note_cut(&segment, log, following, report)?;
        Ok(segment)
    }

    /// What was noted when the segment was sealed, if it still has the length that it had then.
    pub(super) fn sealed_facts(&self, base: Offset, log: LogEntry) -> Result<Option<SegmentFacts>, DiskError> {
        let sums = read_sums(self.disk, &self.dir, base)?;
        Ok(sums.filter(|sums| u64::from(sums.log_len()) == log.len).map(|sums| *sums.facts()))
    }

    /// A segment of which nothing is read but the end of its time index and its aborted transactions.
    fn trusted(&self, base: Offset, next: Offset, log: LogEntry, files: &Files) -> Result<RecoveredSegment, DiskError> {
        let aborted = self.read_if(FileName::TxnIndex(base), files)?.unwrap_or_default();
        let sealed = self.sealed_facts(base, log)?;
        let max = match &sealed {
            Some(facts) => facts.max,
            None => self.last_timestamp(base)?,
        };
        Ok(RecoveredSegment {
            base,
            next: sealed.map_or(next, |facts| facts.next_offset.min(next)),
            size: u32::try_from(log.len).unwrap_or(u32::MAX),
            max,
            first_timestamp: None,
            created: self.now,
            modified: log.modified,
            indexes: None,
            index_len: [FileName::OffsetIndex(base), FileName::TimeIndex(base)]
                .iter()
                .filter_map(|name| files.others.get(name))
                .fold(0, |sum: u32, len| sum.saturating_add(u32::try_from(*len).unwrap_or(u32::MAX))),
            index_files: IndexFiles::Same,
            aborted: TxnIndex::load(base, &aborted).unwrap_or_else(|_| TxnIndex::new(base)),
            has_txn_index: files.others.contains_key(&FileName::TxnIndex(base)),
            cut: false,
            missing: false,
        })
    }

    /// A segment that is read for its index files alone.
    fn reindexed(
        &self,
        base: Offset,
        log: LogEntry,
        found: &Found,
        files: &Files,
        report: &mut RecoveryReport,
    ) -> Result<RecoveredSegment, DiskError> {
        // Who had a transaction open in front of it tells which were aborted in it.
        let mut front = Found { epochs: found.epochs.clone(), bases: found.bases.clone(), ..Found::nothing() };
        self.load_producers(files, base, base, &mut front)?;
        let file = self.disk.open(&self.dir.entry(FileName::Log(base)), OpenHow::Read)?;
        let len = u32::try_from(log.len).unwrap_or(u32::MAX);
        let scanned = scan_file(&file, self.start_up_to(base, Offset::MAX, &front), len)?;
        report.scanned_bytes += u64::from(len);
        note_rebuilt(base, report);
        note_corrupt(&scanned, report);
        Ok(self.as_segment(scanned, log, files, IndexFiles::Wrong))
    }
}
