//! Writing a compacted segment beside those it will replace.

use crate::disk::segment_file::segment_names;
use crate::disk::small::gone_is_fine;
use crate::disk::sums::{FileSum, IndexSums, SumsBuilder};
use crate::disk::swap::{Replaces, swap_path};
use crate::disk::{Disk, DiskError, DiskFile, DiskPath, OpenHow};
use crate::log::{FileName, RecoveredSegment, SegmentFacts};
use crate::offset::Offset;
use crate::time::Timestamp;

/// How many bytes are gathered before they are written.
const CHUNK: usize = 1 << 20;

/// The file of a compacted segment's batches while it grows.
pub(super) struct Output<'a, D: Disk> {
    disk: &'a D,
    dir: &'a DiskPath,
    base: Offset,
    file: D::File,
    written: u64,
    gathered: Vec<u8>,
    /// `None` once it cannot sum up what is written: the segment does without.
    sums: Option<SumsBuilder>,
}

impl<'a, D: Disk> Output<'a, D> {
    pub(super) fn create(disk: &'a D, dir: &'a DiskPath, base: Offset) -> Result<Self, DiskError> {
        let file = disk.open(&cleaned_path(dir, FileName::Log(base)), OpenHow::Replace)?;
        Ok(Self { disk, dir, base, file, written: 0, gathered: Vec::new(), sums: Some(SumsBuilder::new()) })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.gathered.extend_from_slice(bytes);
        self.sums = self.sums.take().and_then(|mut sums| sums.push(bytes).is_ok().then_some(sums));
        if self.gathered.len() >= CHUNK { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<(), DiskError> {
        self.file.write_full(self.written, &self.gathered)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    /// Writes the side files, makes all durable, and gives all its `.swap`, the batches last: as long as one file is
    /// still `.cleaned`, an opening undoes it all.
    pub(super) fn finish(mut self, segment: &RecoveredSegment, note: Replaces) -> Result<(), DiskError> {
        self.write_out()?;
        self.file.set_modified(segment.modified)?;
        self.file.sync()?;
        if let Some(indexes) = &segment.indexes {
            self.put(FileName::OffsetIndex(self.base), indexes.offset.as_bytes())?;
            self.put(FileName::TimeIndex(self.base), indexes.time.as_bytes())?;
        }
        if note.has_txn_index {
            self.put(FileName::TxnIndex(self.base), segment.aborted.as_bytes())?;
        }
        // As at a seal: where the next segment begins, so that it is missed if it is gone.
        let sums = self.sums_of(segment, note.end);
        if let Some(sums) = &sums {
            self.put(FileName::Sums(self.base), sums)?;
        }
        self.put(FileName::Replaces(self.base), &note.encode())?;
        self.disk.sync_dir(self.dir)?;
        let base = self.base;
        let mut names = vec![FileName::Replaces(base), FileName::OffsetIndex(base), FileName::TimeIndex(base)];
        names.extend(sums.map(|_| FileName::Sums(base)));
        names.extend(note.has_txn_index.then_some(FileName::TxnIndex(base)));
        names.push(FileName::Log(base));
        for name in names {
            self.disk.rename(&cleaned_path(self.dir, name), &swap_path(self.dir, name))?;
        }
        self.disk.sync_dir(self.dir)
    }

    /// The content of the segment's file of checksums.
    fn sums_of(&self, segment: &RecoveredSegment, next_offset: Offset) -> Option<Vec<u8>> {
        let indexes = segment.indexes.as_ref()?;
        let sums = IndexSums {
            offset_index: FileSum::of(indexes.offset.as_bytes()),
            time_index: FileSum::of(indexes.time.as_bytes()),
            txn_index: FileSum::of(segment.aborted.as_bytes()),
        };
        let first_timestamp = segment.first_timestamp.unwrap_or(Timestamp::NONE);
        let facts = SegmentFacts { next_offset, max: segment.max, first_timestamp };
        self.sums.as_ref()?.finish(facts, sums).ok().map(|sums| sums.encode())
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.disk.open(&cleaned_path(self.dir, name), OpenHow::Replace)?;
        file.write_full(0, bytes)?;
        file.sync()
    }
}

fn cleaned_path(dir: &DiskPath, name: FileName) -> DiskPath {
    dir.entry(format!("{name}.cleaned"))
}

/// Removes whatever there is of a compacted segment that has not taken its place. Durable when it returns.
pub(super) fn undo<D: Disk>(disk: &D, dir: &DiskPath, base: Offset) -> Result<(), DiskError> {
    let names: Vec<FileName> = segment_names(base).into_iter().chain([FileName::Replaces(base)]).collect();
    // The batches first: without them what is left is no segment, and with them it would be taken for a whole one.
    gone_is_fine(disk.remove(&swap_path(dir, FileName::Log(base))))?;
    disk.sync_dir(dir)?;
    for path in [swap_path, cleaned_path] {
        for name in &names {
            gone_is_fine(disk.remove(&path(dir, *name)))?;
        }
        disk.sync_dir(dir)?;
    }
    Ok(())
}
