//! The checksums of a log's blocks: made while a segment grows, asked when it is read.
//!
//! The checksum of a batch leaves 17 bytes of its header open; `<base>.sums` covers them. A block is compared with its
//! sum when it is first read, and then not again while the log is open: what comes later is caught by the batches' own
//! checksums. A log does without any of this: a file that is missing or garbage checks nothing.
//!
//! - May use: the seam, `sums`, and the ops of `log`.
//! - Always true: nothing is summed up that was not written in order; a truncation forgets what it cut.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::disk::small::read_if_there;
use crate::disk::sums::{BLOCK_BYTES, BadBlock, FileSum, IndexSums, Sums, SumsBuilder};
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskFile, DiskPath, OpenHow};
use crate::log::{FileName, SegmentFacts};
use crate::offset::Offset;

/// The block checksums of one log.
#[derive(Debug, Default)]
pub(crate) struct BlockSums {
    growing: BTreeMap<Offset, SumsBuilder>,
    known: BTreeMap<Offset, Option<KnownSums>>,
    /// Segments whose file of sums was written and not synced.
    unsynced: BTreeSet<Offset>,
}

/// The sums of a segment that were on disk when the log was opened, or when the segment was sealed.
#[derive(Debug)]
pub(crate) struct KnownSums {
    sums: Sums,
    seen: Vec<Seen>,
    hidden: BTreeMap<u32, BadBlock>,
}

/// What is known of a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    /// It was not compared yet.
    Never,
    /// It is what was written.
    Good,
    /// It is not, and what it holds accounts for that.
    Explained,
    /// It is not, by the one bit that is wrong in the byte here.
    Flipped(u32),
    /// It is not, and nothing that it holds accounts for that.
    Hidden,
}

/// A block that is not what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Differing {
    pub(crate) block: u32,
    pub(crate) bad: BadBlock,
    /// Whether it was looked into before, and nothing accounts for it.
    pub(crate) is_hidden: bool,
}

/// What the sums say of some bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Vouch {
    /// They are what was written.
    Good,
    /// Nothing: no sum covers them.
    Nothing,
    /// Their block is not what was written; whether they are is for others to say.
    Suspect,
}

impl BlockSums {
    /// A new segment grows from nothing.
    pub(crate) fn created(&mut self, base: Offset) {
        self.growing.insert(base, SumsBuilder::new());
        self.known.insert(base, None);
    }

    /// The segment at `base` grows on from `len` bytes that were there at the opening.
    pub(crate) fn resumed<D: Disk>(
        &mut self,
        disk: &D,
        dir: &DiskPath,
        base: Offset,
        len: u32,
    ) -> Result<(), DiskError> {
        if self.known(disk, dir, base)?.is_some_and(|known| known.sums.log_len() > len) {
            // Of what was lost, or cut: what comes in its place is something else.
            self.forget(disk, dir, base)?;
        }
        let builder = match self.known(disk, dir, base)? {
            Some(known) => SumsBuilder::resumed_from(&known.sums, len),
            None => SumsBuilder::resumed(len),
        };
        // A log of a length that no log has is not summed up.
        if let Ok(builder) = builder {
            self.growing.insert(base, builder);
        }
        Ok(())
    }

    /// These bytes were written at `position`.
    pub(crate) fn written(&mut self, base: Offset, position: u64, parts: &[&[u8]]) {
        let Some(builder) = self.growing.get_mut(&base) else { return };
        let in_order = u64::from(builder.log_len()) == position;
        if !in_order || parts.iter().any(|part| builder.push(part).is_err()) {
            self.growing.remove(&base);
        }
    }

    /// The segment is about to be cut: its file of sums goes first, and for good. One that came back after a power loss
    /// would condemn what takes the place of what is cut.
    pub(crate) fn forget<D: Disk>(&mut self, disk: &D, dir: &DiskPath, base: Offset) -> Result<(), DiskError> {
        self.known.insert(base, None);
        self.unsynced.remove(&base);
        match disk.remove(&dir.entry(FileName::Sums(base))) {
            Ok(()) => disk.sync_dir(dir),
            Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The segment was cut to `len` bytes: what was summed up behind that is forgotten.
    pub(crate) fn truncated<F: DiskFile>(&mut self, base: Offset, file: &F, len: u32) -> Result<(), DiskError> {
        let mut tail = vec![0; (len % BLOCK_BYTES) as usize];
        let read = file.read_full(u64::from(len) - tail.len() as u64, &mut tail)?;
        let cut = match self.growing.get_mut(&base) {
            Some(builder) if read == tail.len() => builder.truncate_to(len, &tail).is_ok(),
            _ => false,
        };
        if !cut {
            self.growing.remove(&base);
            if let Ok(builder) = SumsBuilder::resumed(len) {
                self.growing.insert(base, builder);
            }
        }
        Ok(())
    }

    /// The segment is complete for now: writes its file of sums. What was never seen is read for it.
    pub(crate) fn sealed<D: Disk>(
        &mut self,
        disk: &D,
        dir: &DiskPath,
        base: Offset,
        file: &D::File,
        facts: SegmentFacts,
        indexes: [(u32, u32); 3],
    ) -> Result<(), DiskError> {
        let Some(builder) = self.growing.get_mut(&base) else { return Ok(()) };
        let mut bytes = vec![0; BLOCK_BYTES as usize];
        for block in builder.missing().collect::<Vec<_>>() {
            let range = builder.range(block);
            let bytes = &mut bytes[..(range.end - range.start) as usize];
            let read = file.read_full(u64::from(range.start), bytes)?;
            if read < bytes.len() || builder.fill(block, bytes).is_err() {
                return Ok(());
            }
        }
        let sum = |(len, crc): (u32, u32)| FileSum { len, crc };
        let [offset_index, time_index, txn_index] = indexes.map(sum);
        let Ok(sums) = builder.finish(facts, IndexSums { offset_index, time_index, txn_index }) else { return Ok(()) };
        self.growing.remove(&base);
        if self.known(disk, dir, base)?.is_some_and(|known| known.sums == sums) {
            return Ok(());
        }
        disk.open(&dir.entry(FileName::Sums(base)), OpenHow::Replace)?.write_full(0, &sums.encode())?;
        self.unsynced.insert(base);
        self.known.insert(base, Some(KnownSums::new(sums)));
        Ok(())
    }

    /// The segments whose file of sums was written and not synced. Whoever takes them syncs them.
    pub(crate) fn take_unsynced(&mut self) -> BTreeSet<Offset> {
        std::mem::take(&mut self.unsynced)
    }

    /// Nobody knows whether the file of sums of the segment at `base` is durable: it is synced with the next that are.
    pub(crate) fn distrust(&mut self, base: Offset) {
        self.unsynced.insert(base);
    }

    /// The segment is gone.
    pub(crate) fn removed(&mut self, base: Offset) {
        self.growing.remove(&base);
        self.known.remove(&base);
        self.unsynced.remove(&base);
    }

    /// The sums of a segment, read from their file the first time; none if that is missing or garbage.
    pub(crate) fn known<D: Disk>(
        &mut self,
        disk: &D,
        dir: &DiskPath,
        base: Offset,
    ) -> Result<Option<&mut KnownSums>, DiskError> {
        let known = match self.known.entry(base) {
            MapEntry::Occupied(known) => known.into_mut(),
            MapEntry::Vacant(unknown) => unknown.insert(read_sums(disk, dir, base)?.map(KnownSums::new)),
        };
        Ok(known.as_mut())
    }
}

/// Reads a segment's file of sums; none if it is missing or garbage.
pub(crate) fn read_sums<D: Disk>(disk: &D, dir: &DiskPath, base: Offset) -> Result<Option<Sums>, DiskError> {
    let bytes = read_if_there(disk, &dir.entry(FileName::Sums(base)))?;
    Ok(bytes.and_then(|bytes| Sums::parse(&bytes).ok()))
}

impl KnownSums {
    pub(crate) fn new(sums: Sums) -> Self {
        let seen = vec![Seen::Never; sums.block_count() as usize];
        Self { sums, seen, hidden: BTreeMap::new() }
    }

    /// The sums.
    pub(crate) fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Compares the blocks that hold the bytes of `range` and that were never compared before. What is missing of a
    /// block in `buffer`, whose bytes stand at `buffer_at`, is read. Answers the first that differs unaccountedly.
    pub(crate) fn compare<F: DiskFile>(
        &mut self,
        file: &F,
        range: Range<u32>,
        (buffer_at, buffer): (u32, &[u8]),
    ) -> Result<Option<Differing>, DiskError> {
        for block in self.blocks(&range) {
            match self.seen[block as usize] {
                Seen::Never => {}
                Seen::Good | Seen::Explained => continue,
                Seen::Flipped(position) if !range.contains(&position) => continue,
                Seen::Flipped(_) | Seen::Hidden => {
                    return Ok(self.hidden.get(&block).map(|bad| Differing { block, bad: *bad, is_hidden: true }));
                }
            }
            let range = self.sums.range(block);
            let from = range.start.checked_sub(buffer_at).map(|from| from as usize);
            let inside = from.and_then(|from| buffer.get(from..from + range.len()));
            let outcome = match inside {
                Some(bytes) => self.sums.check(block, bytes),
                None => {
                    let mut whole = vec![0; range.len()];
                    let read = file.read_full(u64::from(range.start), &mut whole)?;
                    self.sums.check(block, &whole[..read])
                }
            };
            match outcome {
                Ok(()) => self.seen[block as usize] = Seen::Good,
                Err(bad) => return Ok(Some(Differing { block, bad, is_hidden: false })),
            }
        }
        Ok(None)
    }

    /// What is known of these bytes by now.
    pub(crate) fn vouch(&self, range: Range<u32>) -> Vouch {
        if range.end > self.sums.log_len() {
            return Vouch::Nothing;
        }
        let is_good = |block: u32| match self.seen.get(block as usize) {
            Some(Seen::Good) => true,
            Some(Seen::Flipped(position)) => !range.contains(position),
            Some(Seen::Never | Seen::Explained | Seen::Hidden) | None => false,
        };
        if self.blocks(&range).all(is_good) { Vouch::Good } else { Vouch::Suspect }
    }

    /// Whether one of these bytes is known to have the one bit that is wrong in its block.
    pub(crate) fn flipped_in(&self, range: Range<u32>) -> bool {
        let is_flipped = |block: u32| match self.seen.get(block as usize) {
            Some(Seen::Flipped(position)) => range.contains(position),
            Some(Seen::Never | Seen::Good | Seen::Explained | Seen::Hidden) | None => false,
        };
        self.blocks(&range).any(is_flipped)
    }

    /// The block differs, and what it holds accounts for that: each of its batches is judged by itself.
    pub(crate) fn accept(&mut self, block: u32) {
        if let Some(seen) = self.seen.get_mut(block as usize) {
            *seen = Seen::Explained;
        }
    }

    /// The block differs, and no batch shows it: all else is believed but the byte that is wrong, and nothing if it is not
    /// known which that is.
    pub(crate) fn condemn(&mut self, block: u32, bad: BadBlock, flipped: Option<u32>) {
        if let Some(seen) = self.seen.get_mut(block as usize) {
            *seen = flipped.map_or(Seen::Hidden, Seen::Flipped);
            self.hidden.insert(block, bad);
        }
    }

    /// The blocks that hold these bytes, as far as there are any.
    fn blocks(&self, range: &Range<u32>) -> Range<u32> {
        let last = range.end.min(self.sums.log_len()).saturating_sub(1);
        match (self.sums.block_at(range.start), self.sums.block_at(last)) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..0,
        }
    }
}

/// Compares a log with its sums while it is read from front to end: of every byte, by whoever must not pass on a bad one.
pub(crate) struct Comparison {
    sums: Sums,
    at: u32,
    hasher: crc32fast::Hasher,
}

impl Comparison {
    pub(crate) fn new(sums: Sums) -> Self {
        Self { sums, at: 0, hasher: crc32fast::Hasher::new() }
    }

    /// How many bytes of the log the sums cover.
    pub(crate) fn log_len(&self) -> u32 {
        self.sums.log_len()
    }

    /// Where the block begins of which some bytes were taken and some are still to come; `None` if all that was taken is
    /// as it should be.
    pub(crate) fn open_block(&self) -> Option<u32> {
        let block = self.sums.block_at(self.at)?;
        Some(self.sums.range(block).start).filter(|from| *from < self.at)
    }

    /// Takes the next bytes of the log. What lies behind what the sums cover is not compared.
    ///
    /// # Errors
    ///
    /// The first block that these bytes complete and that differs.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), BadBlock> {
        while let Some(block) = self.sums.block_at(self.at).filter(|_| !bytes.is_empty()) {
            let end = self.sums.range(block).end;
            let (front, behind) = bytes.split_at(bytes.len().min((end - self.at) as usize));
            self.hasher.update(front);
            self.at += front.len() as u32;
            if self.at == end {
                self.sums.check_crc(block, std::mem::take(&mut self.hasher).finalize())?;
            }
            bytes = behind;
        }
        Ok(())
    }
}
