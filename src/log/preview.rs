//! What would become of batches that are appended one behind the other, for somebody who must know it before.
//!
//! - May use: what an append uses.
//! - Always true: it agrees with [`Log::decide_append`] about the first batch, and about each other one if what it said of those in
//!   front of it comes true.

use crate::epoch::LeaderEpoch;
use crate::log::Log;
use crate::log::marker::facts_of;
use crate::log::producers::{MarkerRules, ProducerPreview};
use crate::offset::Offset;
use crate::record::Checked;

/// A log as it would be behind the batches that were allowed so far.
pub(crate) struct Preview<'a> {
    log: &'a Log,
    epoch: LeaderEpoch,
    rules: MarkerRules,
    producers: ProducerPreview<'a>,
    end: Offset,
    can_append: bool,
}

impl Log {
    /// Looks ahead. Changes nothing.
    pub(crate) fn preview(&self, epoch: LeaderEpoch, rules: MarkerRules) -> Preview<'_> {
        Preview {
            log: self,
            epoch,
            rules,
            producers: self.producers.preview(self.config.unknown_producer),
            end: self.log_end_offset,
            can_append: self.check_health().is_ok() && self.epochs.latest().is_none_or(|latest| latest <= epoch),
        }
    }
}

impl Preview<'_> {
    /// Whether the batch would be appended behind those of which this was said before. One that is refused is not, nor is one
    /// that is there already.
    pub(crate) fn appends(&mut self, batch: &Checked, expected_offset: Option<Offset>) -> bool {
        let is_expected = expected_offset.is_none_or(|expected| expected == self.end);
        let fits = batch.batch().size() <= self.log.config.segment_bytes;
        let Ok(stamped) = batch.batch().stamped(self.end, Some(self.epoch)) else { return false };
        let may = self.can_append && is_expected && fits;
        let appends = may && self.producers.appends(&facts_of(&stamped, self.rules), batch.origin());
        if appends {
            self.end = stamped.next_offset();
        }
        appends
    }
}
