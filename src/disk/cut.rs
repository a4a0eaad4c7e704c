//! Truncating a [`LogFile`]: what the log does not know from memory is found by reading.

use crate::disk::log_file::LogFile;
use crate::disk::open::{Files, Found, Known, Opening};
use crate::disk::report::RecoveryReport;
use crate::disk::segment_file::scan_file;
use crate::disk::{Disk, DiskError, DiskFile, DiskPath};
use crate::log::{Closing, Cut, CutFacts, Effect, FlushedMark, Indexes, SegmentInfo, TruncateError};
use crate::offset::Offset;
use crate::time::Timestamp;

/// Why a truncation failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TruncateFault {
    /// The log refused it. It is untouched.
    #[error(transparent)]
    Log(#[from] TruncateError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl<D: Disk> LogFile<D> {
    /// Cuts off every batch that ends above `to` and lets the log end there. Answers whether there was any.
    ///
    /// # Errors
    ///
    /// [`TruncateFault`].
    pub fn truncate_to(&mut self, to: Offset, now: Timestamp) -> Result<bool, TruncateFault> {
        let facts = match self.log.plan_truncate(to) {
            Cut::Known => None,
            Cut::Find(segment) => Some(self.find_cut(&segment, to, now)?),
        };
        let mut effects = Vec::new();
        let (size, reached) = (self.log.size(), self.log.flushed());
        let cut = self.log.truncate_to(to, facts, now, &mut effects)?;
        if cut {
            let only_gap = self.log.size() == size;
            self.perform_cut(effects, only_gap.then_some(reached))?;
        } else {
            self.run(effects)?;
        }
        Ok(cut)
    }

    /// Drops everything; the log goes on, empty, at `start`.
    ///
    /// # Errors
    ///
    /// [`TruncateFault`].
    pub fn truncate_fully_and_start_at(&mut self, start: Offset, now: Timestamp) -> Result<(), TruncateFault> {
        let mut effects = Vec::new();
        self.log.truncate_fully_and_start_at(start, now, &mut effects)?;
        self.perform_cut(effects, None)?;
        Ok(())
    }

    /// Cuts the files as the log has been cut. What goes is gone for good before anything takes its place: a power loss
    /// that undid the one and kept the other would leave a log that never was.
    ///
    /// Where no batch goes, but only offsets that have none, `reached` is how far the log reached: it does so until its files
    /// are cut.
    fn perform_cut(&mut self, effects: Vec<Effect>, reached: Option<Offset>) -> Result<(), DiskError> {
        let mark = self.log.mark(Closing::Open);
        let mark = reached.map_or(mark, |end| self.log.mark_reaching(mark, end));
        if let Err(error) = self.mark_before_cut(&mark) {
            // The log believes it cut, and its files are not.
            self.log.give_up(format!("a truncation could not be noted: {error}"));
            return Err(self.lanes.break_off(error));
        }
        self.run(effects)?;
        self.flush()?;
        // Nobody else knows where the log ends if a batch was cut that begins below.
        if reached.is_some() { self.settle_mark() } else { self.write_mark() }
    }

    /// The mark must not say that more is flushed than will be there: it goes back before the bytes do.
    fn mark_before_cut(&mut self, mark: &FlushedMark) -> Result<(), DiskError> {
        // Kafka's rule: what comes in the place of what goes was not compacted.
        let active = self.log.active_segment().base_offset;
        if self.dir.cleaned(&self.partition) > Some(active) {
            self.dir.note_cleaned(&self.partition, active)?;
        }
        self.dir.lower(&self.partition, mark)?;
        self.settle_as(mark)
    }

    fn find_cut(&mut self, segment: &SegmentInfo, to: Offset, now: Timestamp) -> Result<CutFacts, DiskError> {
        let base = segment.base_offset;
        let path = DiskPath::root().entry(&self.partition);
        let mut ignored = RecoveryReport::blank(&self.partition);
        let files = Files::list(self.dir.disk(), &path, &mut ignored)?;
        let opening = Opening {
            disk: self.dir.disk(),
            dir: path,
            partition: &self.partition,
            config: &self.options.config,
            known: Known { log_start_offset: Some(self.log.log_start_offset()), ..Known::default() },
            now,
        };
        let mut found = Found::nothing();
        opening.load_producers(&files, base, to, &mut found)?;
        let start = opening.start_up_to(base, to, &found);
        let handle = self.driver.files.handles.handle(segment.files.log)?;
        let len = u32::try_from(handle.file.len()?).unwrap_or(u32::MAX).min(segment.size);
        let scanned = scan_file(&handle.file, start, len)?;
        let mut indexes = match self.log.indexes_of(base) {
            Some(indexes) => indexes.clone(),
            None => opening
                .indexes_from_files(base, &files)?
                .unwrap_or(Indexes::rebuilt(scanned.indexes.offset.clone(), scanned.indexes.time.clone())),
        };
        indexes.truncate_to(to);
        Ok(CutFacts {
            segment: base,
            file: segment.files.log,
            log_end_offset: self.log.log_end_offset(),
            position: scanned.size,
            next: scanned.next,
            max: scanned.max,
            first_timestamp: scanned.first_timestamp,
            indexes,
            producers: scanned.producers,
        })
    }
}
