//! What a segment's index files say, and whether that can be.
//!
//! - May use: the seam, the leaves of `log` that parse them, and the sums that were noted of them.
//! - Always true: nothing is changed here; what is missing or impossible is `None` or "no", and no error.

use crate::disk::block_sums::read_sums;
use crate::disk::open::Opening;
use crate::disk::open::files::{Files, LogEntry};
use crate::disk::small::read_small;
use crate::disk::sums::FileSum;
use crate::disk::{Disk, DiskError, DiskFile, OpenHow};
use crate::log::{FileName, Indexes, MaxTimestamp, OffsetIndex, Scanned, TimeIndex};
use crate::offset::Offset;

impl<D: Disk> Opening<'_, D> {
    /// The indexes of a segment as its files have them; `None` if they are missing or impossible.
    pub(crate) fn indexes_from_files(&self, base: Offset, files: &Files) -> Result<Option<Indexes>, DiskError> {
        let offsets = self.read_if(FileName::OffsetIndex(base), files)?;
        let times = self.read_if(FileName::TimeIndex(base), files)?;
        let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
        Ok(self.load(base, &offsets, &times))
    }

    /// The indexes with these bytes; `None` if there are no such indexes.
    pub(super) fn load(&self, base: Offset, offsets: &[u8], times: &[u8]) -> Option<Indexes> {
        let bytes_max = self.config.segment_index_bytes;
        let offset = OffsetIndex::load(base, bytes_max, offsets).ok()?;
        let time = TimeIndex::load(base, bytes_max, times).ok()?;
        Some(Indexes::loaded(offset, time))
    }

    /// Whether a segment's index files are there and can be what they should be.
    pub(super) fn has_sound_indexes(&self, base: Offset, log: LogEntry, files: &Files) -> Result<bool, DiskError> {
        let len = |name| files.others.get(&name).copied();
        let offsets = len(FileName::OffsetIndex(base)).is_some_and(|len| len % 8 == 0);
        let times = len(FileName::TimeIndex(base)).is_some_and(|len| len % 12 == 0);
        let aborted = len(FileName::TxnIndex(base)).is_none_or(|len| len % 34 == 0);
        if !(offsets && times && aborted) {
            return Ok(false);
        }
        let sums = read_sums(self.disk, &self.dir, base)?;
        if sums.as_ref().is_some_and(|sums| u64::from(sums.log_len()) > log.len) {
            // It was cut: what is left of it must be looked at.
            return Ok(false);
        }
        let sums = sums.filter(|sums| u64::from(sums.log_len()) == log.len);
        let Some(noted) = sums.map(|sums| *sums.indexes()) else { return Ok(true) };
        let as_noted = |name, sum: FileSum| len(name).unwrap_or(0) == u64::from(sum.len);
        // The others are hints, and compared when they are first used; this one is believed.
        let aborted = self.read_if(FileName::TxnIndex(base), files)?.unwrap_or_default();
        Ok(as_noted(FileName::OffsetIndex(base), noted.offset_index)
            && as_noted(FileName::TimeIndex(base), noted.time_index)
            && FileSum::of(&aborted) == noted.txn_index)
    }

    /// Whether the index files say what was just found.
    pub(super) fn is_on_file(&self, scanned: &Scanned, files: &Files) -> Result<bool, DiskError> {
        let base = scanned.base;
        Ok(self.read_if(FileName::OffsetIndex(base), files)?.as_deref() == Some(scanned.indexes.offset.as_bytes())
            && self.read_if(FileName::TimeIndex(base), files)?.as_deref() == Some(scanned.indexes.time.as_bytes())
            && self.read_if(FileName::TxnIndex(base), files)?.unwrap_or_default() == scanned.aborted.as_bytes())
    }

    /// The largest timestamp as the end of the time index has it.
    pub(super) fn last_timestamp(&self, base: Offset) -> Result<MaxTimestamp, DiskError> {
        let times = self.disk.open(&self.dir.entry(FileName::TimeIndex(base)), OpenHow::Read)?;
        let len = times.len()?;
        let mut entry = [0; 12];
        let read = if len >= 12 { times.read_full(len - 12, &mut entry)? } else { 0 };
        Ok(match TimeIndex::load(base, 12, &entry[..read]).ok().and_then(|index| index.last()) {
            Some(last) => MaxTimestamp { timestamp: last.timestamp, offset: last.offset },
            None => MaxTimestamp::none(base),
        })
    }

    /// The first `len` bytes of a file, if they have this checksum.
    pub(super) fn read_front(
        &self,
        name: FileName,
        len: u32,
        crc: u32,
        files: &Files,
    ) -> Result<Option<Vec<u8>>, DiskError> {
        let mut bytes = self.read_if(name, files)?.unwrap_or_default();
        if bytes.len() < len as usize {
            return Ok(None);
        }
        bytes.truncate(len as usize);
        Ok((crc32fast::hash(&bytes) == crc).then_some(bytes))
    }

    /// All of a file; `None` if it was not there when the directory was looked at.
    pub(super) fn read_if(&self, name: FileName, files: &Files) -> Result<Option<Vec<u8>>, DiskError> {
        if files.others.contains_key(&name) { read_small(self.disk, &self.dir.entry(name)).map(Some) } else { Ok(None) }
    }
}
