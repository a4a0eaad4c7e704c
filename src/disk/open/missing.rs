//! What is missing of what was flushed: a segment amid others, the end of one, the end of the log.
//!
//! - May use: the opening's own files, `log`, and the sums of a sealed segment.
//! - Always true: nothing is changed here; what is missing is named, or refused.

use crate::disk::block_sums::read_sums;
use crate::disk::open::files::LogEntry;
use crate::disk::open::{Failure, Opening};
use crate::disk::report::{CorruptRange, RecoveryReport};
use crate::disk::{Disk, DiskError};
use crate::log::{BadRange, RecoveredSegment, Why};
use crate::offset::Offset;

impl<D: Disk> Opening<'_, D> {
    /// Whether the segment that was to follow a sealed one is there. Only where there is a mark of ours.
    pub(super) fn check_followed(
        &self,
        base: Offset,
        log: LogEntry,
        following: Option<Offset>,
        flushed: Offset,
    ) -> Result<(), Failure> {
        if self.known.mark.is_none() || following <= Some(self.known.start()) {
            return Ok(());
        }
        match self.sealed_facts(base, log)? {
            Some(facts) if following.is_some_and(|following| facts.next_offset < following) => {
                Err(Failure::Missing { segment: facts.next_offset, flushed })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Names what is missing at the end of a sealed segment that is shorter than it was.
    pub(super) fn note_cut(
        &self,
        segment: &RecoveredSegment,
        log: LogEntry,
        following: Option<Offset>,
        report: &mut RecoveryReport,
    ) -> Result<(), DiskError> {
        let sums = read_sums(self.disk, &self.dir, segment.base)?;
        let Some(missing) = sums.and_then(|sums| u64::from(sums.log_len()).checked_sub(log.len)) else { return Ok(()) };
        if missing == 0 {
            return Ok(());
        }
        let to = segment.size.saturating_add(missing as u32);
        match report.corrupt.last_mut() {
            Some(last) if last.segment == segment.base && last.range.next_offset.is_none() => {
                (last.range.to, last.range.next_offset) = (to, following);
            }
            _ => {
                let why = Why::Torn { needed: missing, found: 0 };
                let (from, first_offset) = (segment.size, segment.next);
                let range = BadRange { from, to, first_offset, next_offset: following, why };
                report.corrupt.push(CorruptRange { segment: segment.base, range });
            }
        }
        Ok(())
    }

    /// What is missing between the last batch of the last segment and the end of what was flushed; nothing if the log
    /// was left like that, by a truncation into a batch.
    pub(super) fn lost_end(&self, last: &RecoveredSegment, end: Offset) -> Option<BadRange> {
        let to = match &self.known.mark {
            Some(mark) if mark.segment == last.base => mark.position,
            Some(_) => return None,
            None => last.size.saturating_add(1),
        };
        let needed = u64::from(to.checked_sub(last.size).filter(|missing| *missing > 0)?);
        let why = Why::Torn { needed, found: 0 };
        Some(BadRange { from: last.size, to, first_offset: last.next, next_offset: Some(end), why })
    }
}
