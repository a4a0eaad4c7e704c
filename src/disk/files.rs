//! The files of one log: every op a log asks for, performed on them.
//!
//! [`Files`] knows nothing of the log itself, and decides nothing: which op comes when, and what becomes of one that
//! fails, is for the one who drives it. A sync is a job of its own, which runs beside writes: made while nobody else has
//! the files, performed without them.
//!
//! - Always true: a file that was written to stays open until it is synced, and is synced by the description that wrote.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::block_sums::{BlockSums, KnownSums};
use crate::disk::deleted::Deleted;
use crate::disk::handles::{Handle, Handles};
use crate::disk::kept::Kept;
use crate::disk::segment_file::segment_names;
use crate::disk::small::{gone_is_fine, replace, sync_if_there};
use crate::disk::swap;
use crate::disk::sync_job::{Covered, SyncJob};
use crate::disk::{Disk, DiskError, DiskFile, DiskPath, OpenHow};
use crate::log::{DiskOp, FileId, FileName, Log, Part, Remove, SegmentFiles, Sync};
use crate::offset::Offset;
use crate::record::Stamp;

/// The files of one log.
#[derive(Debug)]
pub(crate) struct Files<D: Disk> {
    disk: D,
    dir: DiskPath,
    pub(crate) handles: Handles<D>,
    kept: Kept,
    /// Small files that were written and not synced.
    put: BTreeSet<FileName>,
    sums: BlockSums,
    pub(crate) deleted: Deleted,
}

/// How many bytes of a file are copied at a time.
const COPY_BYTES: usize = 1 << 20;

impl<D: Disk> Files<D> {
    pub(crate) fn new(disk: D, dir: DiskPath, open_max: usize, deleted: Deleted) -> Self {
        let handles = Handles::new(disk.clone(), dir.clone(), open_max);
        Self { disk, dir, handles, kept: Kept::default(), put: BTreeSet::new(), sums: BlockSums::default(), deleted }
    }

    /// The numbers of a segment's files belong to the files of its base.
    pub(crate) fn adopt(&mut self, base: Offset, files: &SegmentFiles) {
        let numbers = [Some(files.log), Some(files.index), Some(files.time_index), files.txn_index];
        for (name, number) in segment_names(base).into_iter().zip(numbers) {
            if let Some(number) = number {
                self.handles.adopt(number, name);
            }
        }
    }

    /// Nobody knows whether what stands beside the segments from `base` on is durable: the next flush sees to it.
    pub(crate) fn distrust(&mut self, log: &Log, base: Offset) {
        let bases = log.segments().map(|segment| segment.base_offset);
        bases.filter(|other| *other >= base).for_each(|base| self.sums.distrust(base));
        self.put.extend(log.snapshots_from(base).map(FileName::Snapshot));
    }

    /// A map of all of a sealed segment, kept for the next reader; `None` where the disk has no maps.
    pub(crate) fn map(&mut self, file: FileId, len: u32) -> Result<Option<Bytes>, DiskError> {
        if let Some(map) = self.kept.map(file) {
            return Ok(Some(map));
        }
        let map = self.handles.handle(file)?.file.map(u64::from(len))?;
        if let Some(map) = &map {
            self.kept.keep_map(file, map.clone());
        }
        Ok(map)
    }

    /// The bytes of an index file, if they are kept.
    pub(crate) fn index(&self, file: FileId) -> Option<Bytes> {
        self.kept.index(file)
    }

    /// Keeps the bytes of an index file that will not change any more.
    pub(crate) fn keep_index(&mut self, file: FileId, bytes: Bytes) {
        self.kept.keep_index(file, bytes);
    }

    /// The log is about to be closed: what is known of its last segment is noted too.
    pub(crate) fn finish(&mut self, log: &Log) -> Result<(), DiskError> {
        self.perform(&log.seal_for_close())?;
        let sums = self.sums.take_unsynced();
        for base in &sums {
            sync_if_there(&self.disk, &self.dir.entry(FileName::Sums(*base)))?;
        }
        if sums.is_empty() { Ok(()) } else { self.disk.sync_dir(&self.dir) }
    }

    /// The block checksums of a segment, if there are any.
    pub(crate) fn known_sums(&mut self, base: Offset) -> Result<Option<&mut KnownSums>, DiskError> {
        self.sums.known(&self.disk, &self.dir, base)
    }

    /// The segment at `base`, `len` bytes long, is the one that grows on.
    pub(crate) fn resume(&mut self, base: Offset, len: u32) -> Result<(), DiskError> {
        self.sums.resumed(&self.disk, &self.dir, base, len)
    }

    /// Performs one op, whole.
    pub(crate) fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        match op {
            DiskOp::Create { file, name } => self.create(*file, *name),
            DiskOp::Reserve { file, len } => self.handles.handle(*file)?.file.reserve(u64::from(*len)),
            DiskOp::Write { file, position, parts } => self.write(*file, *position, parts),
            DiskOp::Truncate { file, len } => self.truncate(*file, *len),
            DiskOp::Seal { base, file, len, facts, indexes } => {
                let handle = self.handles.handle(*file)?;
                handle.file.set_len(u64::from(*len))?;
                self.sums.sealed(&self.disk, &self.dir, *base, &handle.file, *facts, *indexes)
            }
            DiskOp::Swap { base, files, replaces } => self.swap(*base, files, replaces),
            DiskOp::Put { name, bytes } => self.put(*name, bytes),
            DiskOp::Replace { name, bytes } => replace(&self.disk, &self.dir, &name.to_string(), bytes),
        }
    }

    fn create(&mut self, file: FileId, name: FileName) -> Result<(), DiskError> {
        if let FileName::Log(base) = name {
            // What else has the names of this segment is of another that was there before.
            for stale in [FileName::Sums(base), FileName::TxnIndex(base)] {
                gone_is_fine(self.disk.remove(&self.dir.entry(stale)))?;
            }
            self.sums.created(base);
        }
        self.handles.create(file, name)
    }

    fn write(&mut self, file: FileId, position: u32, parts: &[Part]) -> Result<(), DiskError> {
        let handle = self.handles.handle(file)?;
        let stamps: Vec<[u8; Stamp::BYTES]> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Batch(stamp, _) => Some(stamp.to_bytes()),
                Part::Bytes(_) => None,
            })
            .collect();
        let mut stamps = stamps.iter();
        let mut slices: Vec<&[u8]> = Vec::with_capacity(parts.len() * 2);
        for part in parts {
            match part {
                Part::Batch(_, body) => {
                    slices.extend(stamps.next().map(<[u8; Stamp::BYTES]>::as_slice).into_iter().chain([&body[..]]));
                }
                Part::Bytes(bytes) => slices.push(bytes),
            }
        }
        self.handles.wrote(file);
        write_all(&handle.file, u64::from(position), &mut slices.clone())?;
        if let FileName::Log(base) = handle.name {
            self.sums.written(base, u64::from(position), &slices);
        }
        Ok(())
    }

    fn truncate(&mut self, file: FileId, len: u32) -> Result<(), DiskError> {
        let handle = self.handles.handle(file)?;
        if let FileName::Log(base) = handle.name {
            self.sums.forget(&self.disk, &self.dir, base)?;
        }
        let handle = if self.kept.was_mapped(file) {
            self.copy_front(file, &handle, len)?
        } else {
            handle.cut();
            let outcome = handle.file.set_len(u64::from(len));
            handle.cut();
            outcome?;
            handle
        };
        // Not before: a cut that found no space is tried again, and must find what readers hold.
        self.kept.let_go(file);
        if let FileName::Log(base) = handle.name {
            self.sums.truncated(base, &handle.file, len)?;
        }
        Ok(())
    }

    /// Cuts a file that somebody may still hold a map of: a copy of its front takes its name, and it stays as it is for
    /// whoever reads it.
    fn copy_front(
        &mut self,
        file: FileId,
        from: &Handle<D::File>,
        len: u32,
    ) -> Result<Arc<Handle<D::File>>, DiskError> {
        let temporary = self.dir.entry(format!("{}.tmp", from.name));
        let to = self.disk.open(&temporary, OpenHow::Replace)?;
        let mut bytes = vec![0; COPY_BYTES];
        let mut at = 0;
        while at < u64::from(len) {
            let most = (u64::from(len) - at).min(COPY_BYTES as u64) as usize;
            let read = from.file.read_full(at, &mut bytes[..most])?;
            to.write_full(at, &bytes[..read])?;
            at += read as u64;
            if read < most {
                break;
            }
        }
        to.sync()?;
        self.disk.rename(&temporary, &self.dir.entry(from.name))?;
        self.disk.sync_dir(&self.dir)?;
        Ok(self.handles.replaced(file, from.name, to))
    }

    /// Makes the job of a flush. It covers what was performed before. A file that was removed since the flush was asked for
    /// needs none: nothing of it is read again.
    pub(crate) fn begin_sync(&mut self, sync: &Sync) -> Result<SyncJob<D>, DiskError> {
        let there: Vec<FileId> = sync.files.iter().copied().filter(|file| !self.handles.is_gone(*file)).collect();
        let covered = |file: &FileId| {
            Ok(Covered { file: *file, handle: self.handles.handle(*file)?, writes: self.handles.writes(*file) })
        };
        let files = there.iter().map(covered).collect::<Result<_, DiskError>>()?;
        let sums = self.sums.take_unsynced();
        let syncs_directory = sync.directory || !sums.is_empty();
        let small = std::mem::take(&mut self.put).into_iter().chain(sums.into_iter().map(FileName::Sums)).collect();
        Ok(SyncJob { disk: self.disk.clone(), dir: self.dir.clone(), files, small, syncs_directory })
    }

    /// The job has succeeded: what it covered and was not written to since may be closed.
    pub(crate) fn end_sync(&mut self, job: SyncJob<D>) {
        job.files.into_iter().for_each(|covered| self.handles.synced(covered.file, covered.writes));
    }

    /// Removes a file, or puts it aside if deleted files are to stay for a while.
    pub(crate) fn remove(&mut self, remove: &Remove) -> Result<(), DiskError> {
        if let FileName::Log(base) = remove.name {
            self.sums.removed(base);
        }
        self.put.remove(&remove.name);
        let may_go = match remove.file {
            Some(file) => {
                self.kept.let_go(file);
                self.handles.forget(file)
            }
            None => !self.handles.has_name(remove.name),
        };
        if may_go { self.deleted.delete(&self.disk, &self.dir, remove.name) } else { Ok(()) }
    }

    fn put(&mut self, name: FileName, bytes: &Bytes) -> Result<(), DiskError> {
        self.put.insert(name);
        let file = self.disk.open(&self.dir.entry(name), OpenHow::Replace)?;
        file.write_full(0, bytes)
    }

    /// The compacted segment's files lose their `.swap`, and what they replace goes. Readers that hold it keep its bytes.
    fn swap(&mut self, base: Offset, files: &SegmentFiles, replaces: &[Offset]) -> Result<(), DiskError> {
        swap::install(&self.disk, &self.dir, base, replaces.iter().copied(), files.txn_index.is_some())?;
        for old in replaces {
            self.sums.removed(*old);
            for name in segment_names(*old) {
                if let Some(file) = self.handles.forget_name(name) {
                    self.kept.let_go(file);
                }
            }
        }
        self.adopt(base, files);
        Ok(())
    }
}

/// Writes all of `slices`, one behind the other, looping over short writes.
fn write_all<F: DiskFile>(file: &F, mut position: u64, slices: &mut Vec<&[u8]>) -> Result<(), DiskError> {
    let mut first = 0;
    while first < slices.len() {
        let mut written = file.write_at(position, &slices[first..])?;
        position += written as u64;
        while let Some(slice) = slices.get_mut(first) {
            if written < slice.len() {
                *slice = &slice[written..];
                break;
            }
            written -= slice.len();
            first += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{FileDisk, LogFile, MemDisk, OpenOptions, ReadMode};
    use crate::id::TopicPartition;
    use crate::log::{Cleanup, Isolation, LogConfig, OpSeq, SyncId};
    use crate::record::{Batch, BatchBuilder, Codec, NewRecord};
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn batch() -> Batch {
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(&NewRecord::new(NOW, Some(b"key"), Some(b"value"))).unwrap();
        batch.build().unwrap()
    }

    #[test]
    fn a_file_that_readers_have_mapped_keeps_its_length_also_if_its_cut_waits_for_space() {
        let disk = MemDisk::new();
        let partition = TopicPartition::parse("t-0").unwrap();
        let (mut log, _) = LogFile::open(disk.clone(), &partition, OpenOptions::default(), NOW).unwrap();
        for _ in 0..2 {
            log.append(NOW, &batch()).unwrap();
            log.flush().unwrap();
        }
        let active = log.log().active_segment();
        log.driver.files.kept.keep_map(active.files.log, Bytes::new());
        let name = DiskPath::root().entry(&partition).entry(FileName::Log(Offset::ZERO));
        let mapped = disk.open(&name, OpenHow::Read).unwrap();
        // The front that is copied does not fit.
        disk.set_capacity(Some(disk.held() + u64::from(active.size) / 4));
        assert!(log.truncate_to(Offset::new(1), NOW).is_err() && log.lanes.is_waiting());
        disk.set_capacity(None);
        log.flush().unwrap();
        assert_eq!((log.log().log_end_offset(), mapped.len()), (Offset::new(1), Ok(u64::from(active.size))));
        assert_eq!(disk.open(&name, OpenHow::Read).unwrap().len(), Ok(u64::from(active.size) / 2));
    }

    #[test]
    fn what_compaction_has_replaced_is_not_kept_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig { cleanup: Cleanup::Compact, tail_cache_bytes: 0, ..LogConfig::default() };
        let options = OpenOptions { config, read_mode: ReadMode::Map, ..OpenOptions::default() };
        let partition = TopicPartition::parse("t-0").unwrap();
        let (mut log, _) = LogFile::open(FileDisk::open(dir.path()).unwrap(), &partition, options, NOW).unwrap();
        for _ in 0..3 {
            log.append(NOW, &batch()).unwrap();
            log.roll(NOW).unwrap();
        }
        for offset in 0..3 {
            log.read(Offset::new(offset), 1 << 20, Isolation::LogEnd).unwrap();
        }
        assert!(log.driver.files.kept.len() >= 3);
        log.compact_anyway(NOW).unwrap();
        assert_eq!(log.driver.files.kept.len(), 0);
    }

    #[test]
    fn a_file_written_to_while_it_is_synced_stays_open_until_the_next_sync() {
        let disk = MemDisk::new();
        let dir = DiskPath::root().entry("t-0");
        disk.make_dir(&dir).unwrap();
        let mut files = Files::new(disk, dir, 1, Deleted::default());
        let log = FileId(0);
        let write =
            |position| DiskOp::Write { file: log, position, parts: vec![Part::Bytes(Bytes::from_static(b"x"))] };
        files.perform(&DiskOp::Create { file: log, name: FileName::Log(Offset::ZERO) }).unwrap();
        files.perform(&write(0)).unwrap();
        let sync = Sync { id: SyncId(1), files: vec![log], directory: true };
        let job = files.begin_sync(&sync).unwrap();
        files.perform(&write(1)).unwrap();
        job.perform().unwrap();
        files.end_sync(job);
        let writer = files.handles.handle(log).unwrap();
        // There is room for one, and this one may not be closed: a write-back that failed would be forgotten.
        files.perform(&DiskOp::Create { file: FileId(1), name: FileName::Log(Offset::new(1)) }).unwrap();
        assert!(Arc::ptr_eq(&writer, &files.handles.handle(log).unwrap()));
        let job = files.begin_sync(&sync).unwrap();
        job.perform().unwrap();
        files.end_sync(job);
        files.perform(&DiskOp::Create { file: FileId(2), name: FileName::Log(Offset::new(2)) }).unwrap();
        assert!(!Arc::ptr_eq(&writer, &files.handles.handle(log).unwrap()));
    }

    #[test]
    fn a_flush_leaves_out_what_was_removed_before_it_began() {
        let disk = MemDisk::new();
        let dir = DiskPath::root().entry("t-0");
        disk.make_dir(&dir).unwrap();
        let mut files = Files::new(disk, dir, 1, Deleted::default());
        let name = |number| FileName::Log(Offset::new(number));
        for number in 0..2 {
            files.perform(&DiskOp::Create { file: FileId(number), name: name(number) }).unwrap();
        }
        let sync = Sync { id: SyncId(1), files: vec![FileId(0), FileId(1)], directory: true };
        files.remove(&Remove { name: name(0), file: Some(FileId(0)), after: OpSeq(0) }).unwrap();
        let job = files.begin_sync(&sync).unwrap();
        job.perform().unwrap();
        files.end_sync(job);
        // What is still to be made is not gone: nobody may believe that it is on disk.
        let early = Sync { id: SyncId(2), files: vec![FileId(1), FileId(2)], directory: false };
        files.begin_sync(&early).unwrap_err();
    }
}
