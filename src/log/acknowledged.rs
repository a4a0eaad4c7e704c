//! Which ends the disk has acknowledged: the disk is one more acknowledger of an offset, like a follower.

use std::collections::VecDeque;

use crate::log::op::{OpSeq, SyncId};
use crate::offset::Offset;

/// Which ends the disk has acknowledged. Rises with `done` and `synced`, falls only with `cut`.
///
/// Always true: `flushed <= written`, and both are at most the log's end.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// Not yet reported, oldest first.
    writing: VecDeque<(OpSeq, Offset)>,
    syncing: Option<(SyncId, Offset)>,
    written: Offset,
    flushed: Offset,
    next_sync: u64,
    done: OpSeq,
}

impl Acknowledged {
    /// All up to `written` is in the page cache, and all up to `flushed` on disk.
    pub(crate) fn new(written: Offset, flushed: Offset) -> Self {
        let flushed = flushed.min(written);
        Self { writing: VecDeque::new(), syncing: None, written, flushed, next_sync: 0, done: OpSeq(0) }
    }

    pub(crate) fn written(&self) -> Offset {
        self.written
    }

    pub(crate) fn flushed(&self) -> Offset {
        self.flushed
    }

    /// Whether a flush is under way.
    pub(crate) fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    /// The last op that was reported done.
    pub(crate) fn last_done(&self) -> OpSeq {
        self.done
    }

    /// After `op` the log's bytes reach up to `end`.
    pub(crate) fn emitted(&mut self, op: OpSeq, end: Offset) {
        self.writing.push_back((op, end));
    }

    /// All ops up to `last` are in the page cache. A report that comes twice, or late, changes nothing.
    pub(crate) fn done(&mut self, last: OpSeq) {
        self.done = self.done.max(last);
        let reported = self.writing.partition_point(|(op, _)| *op <= last);
        if let Some((_, end)) = self.writing.drain(..reported).next_back() {
            self.written = end;
        }
    }

    /// Begins a flush of all that is written, if none is under way. The caller knows whether there is something to do.
    pub(crate) fn begin_sync(&mut self) -> Option<SyncId> {
        if self.syncing.is_some() {
            return None;
        }
        self.next_sync += 1;
        self.syncing = Some((SyncId(self.next_sync), self.written));
        Some(SyncId(self.next_sync))
    }

    /// The flush `id` has succeeded. Answers whether it was the one under way.
    pub(crate) fn synced(&mut self, id: SyncId) -> bool {
        match self.syncing.take_if(|(current, _)| *current == id) {
            Some((_, end)) => {
                self.flushed = self.flushed.max(end);
                true
            }
            None => false,
        }
    }

    /// The log now ends at `to`. What is still on its way counts at most up to there: an acknowledgement for a batch
    /// that was cut says nothing about the batch that took its place.
    pub(crate) fn cut(&mut self, to: Offset) {
        let clamp = |end: &mut Offset| *end = (*end).min(to);
        self.writing.iter_mut().for_each(|(_, end)| clamp(end));
        self.syncing.iter_mut().for_each(|(_, end)| clamp(end));
        clamp(&mut self.written);
        clamp(&mut self.flushed);
    }

    /// The log was emptied and starts again at `at`, which may lie above all that was written.
    pub(crate) fn restart(&mut self, at: Offset) {
        self.writing.iter_mut().for_each(|(_, end)| *end = at);
        self.syncing.iter_mut().for_each(|(_, end)| *end = at);
        self.written = at;
        self.flushed = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_acknowledgement_does_not_cover_the_batch_that_replaced_its_own() {
        let mut acknowledged = Acknowledged::new(Offset::ZERO, Offset::ZERO);
        acknowledged.emitted(OpSeq(1), Offset::new(200));
        acknowledged.cut(Offset::new(100));
        acknowledged.emitted(OpSeq(2), Offset::new(100));
        acknowledged.emitted(OpSeq(3), Offset::new(150));
        acknowledged.done(OpSeq(1));
        assert_eq!(acknowledged.written(), Offset::new(100));
        acknowledged.done(OpSeq(3));
        assert_eq!(acknowledged.written(), Offset::new(150));

        let id = acknowledged.begin_sync().unwrap();
        acknowledged.cut(Offset::new(120));
        acknowledged.emitted(OpSeq(4), Offset::new(180));
        acknowledged.done(OpSeq(4));
        assert!(acknowledged.synced(id));
        assert_eq!(acknowledged.flushed(), Offset::new(120), "whatever was written after");
    }

    #[test]
    fn a_report_that_comes_twice_changes_nothing() {
        let mut acknowledged = Acknowledged::new(Offset::ZERO, Offset::ZERO);
        acknowledged.emitted(OpSeq(1), Offset::new(5));
        acknowledged.done(OpSeq(1));
        let id = acknowledged.begin_sync().unwrap();
        assert!(acknowledged.begin_sync().is_none(), "one flush at a time");
        assert!(acknowledged.synced(id));
        assert!(!acknowledged.synced(id));
        acknowledged.done(OpSeq(1));
        assert_eq!((acknowledged.written(), acknowledged.flushed()), (Offset::new(5), Offset::new(5)));
    }
}
