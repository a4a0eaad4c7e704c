//! What no flush has covered yet: files that were written to, and names that were made or removed.
//!
//! - Must not know: what is in them, when a flush is wanted.
//! - Always true: a flush covers the ops that are done when it begins, and names no file that is not there yet; what later
//!   ops write stays for the next one.

use std::collections::BTreeMap;

use crate::log::op::{FileId, OpSeq};

/// What no flush has covered yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unsynced {
    files: BTreeMap<FileId, Ops>,
    names: Option<Ops>,
}

/// The first and the last of the ops that no flush has covered.
#[derive(Clone, Copy, Debug)]
struct Ops {
    first: OpSeq,
    last: OpSeq,
}

impl Ops {
    fn one(op: OpSeq) -> Self {
        Self { first: op, last: op }
    }

    /// What is left of them for the next flush, if one covers all up to `done`.
    fn behind(self, done: OpSeq) -> Option<Self> {
        (self.last > done).then_some(Self { first: OpSeq(done.0 + 1).max(self.first), last: self.last })
    }
}

impl Unsynced {
    /// Up to `op` something was written to `file`.
    pub(crate) fn wrote(&mut self, file: FileId, op: OpSeq) {
        let ops = self.files.entry(file).or_insert(Ops::one(op));
        ops.last = ops.last.max(op);
    }

    /// Up to `op` files were made or removed.
    pub(crate) fn named(&mut self, op: OpSeq) {
        let ops = self.names.get_or_insert(Ops::one(op));
        ops.last = ops.last.max(op);
    }

    /// The file is gone.
    pub(crate) fn forget(&mut self, file: FileId) {
        self.files.remove(&file);
    }

    pub(crate) fn contains(&self, file: FileId) -> bool {
        self.files.contains_key(&file)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.names.is_none()
    }

    /// What a flush has to cover that begins when all ops up to `done` are: the files, and whether names belong to it.
    pub(crate) fn take(&mut self, done: OpSeq) -> (Vec<FileId>, bool) {
        let covers = |ops: &Ops| ops.first <= done;
        let files = self.files.iter().filter(|(_, ops)| covers(ops)).map(|(file, _)| *file).collect();
        let names = self.names.as_ref().is_some_and(covers);
        self.files = std::mem::take(&mut self.files)
            .into_iter()
            .filter_map(|(file, ops)| ops.behind(done).map(|ops| (file, ops)))
            .collect();
        self.names = self.names.and_then(|ops| ops.behind(done));
        (files, names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_takes_what_is_done_and_leaves_what_is_written_behind_it() {
        let [old, grows, new] = [FileId(1), FileId(2), FileId(3)];
        let mut unsynced = Unsynced::default();
        for (file, op) in [(old, 1), (grows, 2), (grows, 5), (new, 7)] {
            unsynced.wrote(file, OpSeq(op));
        }
        unsynced.named(OpSeq(6));
        assert_eq!(unsynced.take(OpSeq(4)), (vec![old, grows], false));
        assert!(!unsynced.contains(old) && unsynced.contains(grows));
        assert_eq!(unsynced.take(OpSeq(4)), (vec![], false), "what is left is not done");
        assert_eq!(unsynced.take(OpSeq(6)), (vec![grows], true));
        assert_eq!(unsynced.take(OpSeq(7)), (vec![new], false));
        assert!(unsynced.is_empty());
    }

    #[test]
    fn a_name_that_is_made_before_another_is_flushed_with_the_first_flush_behind_it() {
        let mut unsynced = Unsynced::default();
        unsynced.named(OpSeq(1));
        unsynced.named(OpSeq(9));
        assert_eq!(unsynced.take(OpSeq(3)), (vec![], true));
        assert_eq!(unsynced.take(OpSeq(9)), (vec![], true));
        assert!(unsynced.is_empty());
    }
}
