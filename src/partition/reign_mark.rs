//! When a reign is noted in the log, and when the flushed mark has to be durable because of it.
//!
//! Where a reign begins stands in a file without a checksum, and batches of an earlier reign behind its beginning count for
//! nothing: they are what a truncation has left. Only the flushed mark has a checksum of the reigns, of those that begin in
//! front of it. So an entry that rots may seem to begin anywhere behind the mark, and what is flushed must not lie there.

use crate::log::{Closing, FlushedMark};
use crate::partition::{DiskWish, Effect, Partition};

impl Partition {
    /// Notes in the log that the reign begins, if that is still to be done. What an opening has found was acknowledged in an
    /// earlier life, so it is flushed and marked first.
    pub(super) fn note_reign(&mut self, out: &mut Vec<Effect>) {
        self.unsettled &= !self.log.is_settled();
        if self.unsettled {
            return;
        }
        let Some(epoch) = self.unnoted.take() else { return };
        if self.log.epochs().latest().is_none_or(|latest| latest < epoch) {
            self.mark_if_ahead(out);
        }
        self.with_log(out, |log, out| log.begin_epoch(epoch, out));
    }

    /// After a flush: the first one behind the beginning of a reign makes the mark durable that has a checksum of it.
    pub(super) fn mark_reign(&mut self, out: &mut Vec<Effect>) {
        if self.log.epochs().last().is_some_and(|last| last.start_offset >= self.marked_end) {
            self.mark_if_ahead(out);
        }
    }

    /// Makes the mark durable, if it tells of more than the durable one.
    fn mark_if_ahead(&mut self, out: &mut Vec<Effect>) {
        let mark = self.log.mark(Closing::Open);
        if mark.offset > self.marked_end {
            self.mark(mark, out);
        }
    }

    /// Asks for the mark as it is now once more: for when the last one could not be performed.
    pub fn mark_again(&mut self, out: &mut Vec<Effect>) {
        self.mark(self.log.mark(Closing::Open), out);
    }

    /// Makes this mark durable.
    pub(super) fn mark(&mut self, mark: FlushedMark, out: &mut Vec<Effect>) {
        self.marked_end = mark.offset;
        out.push(Effect::Disk(DiskWish::Mark(Box::new(mark))));
    }
}
