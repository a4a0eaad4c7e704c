//! What the driver is to do, numbered in order: the ops that write what is kept in memory.

use bytes::Bytes;

use crate::epoch::LeaderEpoch;
use crate::log::Log;
use crate::log::op::{DiskOp, Effect, FileId, FileName, OpSeq, Part};
use crate::offset::Offset;

impl Log {
    pub(super) fn assign_epoch(&mut self, epoch: LeaderEpoch, start: Offset, out: &mut Vec<Effect>) {
        if self.epochs.assign(epoch, start) {
            self.write_epochs(out);
        }
    }

    pub(super) fn write_epochs(&mut self, out: &mut Vec<Effect>) {
        let bytes = self.epochs.encode().into();
        self.emit(DiskOp::Replace { name: FileName::LeaderEpochs, bytes }, out);
    }

    pub(super) fn emit(&mut self, op: DiskOp, out: &mut Vec<Effect>) -> OpSeq {
        self.next_op += 1;
        let seq = OpSeq(self.next_op);
        out.push(Effect::Op(seq, op));
        self.acknowledged.emitted(seq, self.log_end_offset);
        seq
    }

    pub(super) fn new_file(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.next_file)
    }

    /// Gives the files of the indexes the entries that they do not have yet.
    pub(super) fn write_index_entries(&mut self, out: &mut Vec<Effect>) {
        let bases: Vec<Offset> = self.segments.keys().rev().take(2).copied().collect();
        for base in bases {
            self.write_indexes_of(base, out);
        }
    }

    pub(super) fn write_indexes_of(&mut self, base: Offset, out: &mut Vec<Effect>) {
        let Some(segment) = self.segments.get_mut(&base) else { return };
        let files = segment.files;
        let entries = segment.indexes.as_mut().map(|indexes| {
            [(files.index, indexes.take_offset_entries()), (files.time_index, indexes.take_time_entries())]
        });
        let aborted = segment.aborted_written.take(segment.aborted.as_bytes());
        for (file, entries) in entries.into_iter().flatten() {
            self.write_bytes(file, entries, out);
        }
        if let Some(entries) = aborted {
            let file = self.txn_index_file(base, out);
            self.write_bytes(file, Some(entries), out);
        }
    }

    fn write_bytes(&mut self, file: FileId, entries: Option<(u32, Bytes)>, out: &mut Vec<Effect>) {
        if let Some((position, bytes)) = entries {
            self.emit(DiskOp::Write { file, position, parts: vec![Part::Bytes(bytes)] }, out);
        }
    }

    /// The file of a segment's aborted transactions, made with the first of them.
    fn txn_index_file(&mut self, base: Offset, out: &mut Vec<Effect>) -> FileId {
        if let Some(file) = self.segments.get(&base).and_then(|segment| segment.files.txn_index) {
            return file;
        }
        let file = self.new_file();
        if let Some(segment) = self.segments.get_mut(&base) {
            segment.files.txn_index = Some(file);
        }
        self.emit(DiskOp::Create { file, name: FileName::TxnIndex(base) }, out);
        self.unsynced.named(OpSeq(self.next_op));
        file
    }
}
