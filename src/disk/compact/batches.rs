//! The batches of a sealed segment, one after the other, checked: what is compacted is written anew, with new sums, so
//! whatever is wrong with it must be found now.

use bytes::{Bytes, BytesMut};

use crate::disk::block_sums::Comparison;
use crate::disk::place::Place;
use crate::disk::sums::Sums;
use crate::disk::{DiskFile, ReadFault};
use crate::log::{EpochCache, SegmentInfo, Why};
use crate::offset::Offset;
use crate::record::{BatchError, Entry, Header};

/// How many bytes are read at a time.
const CHUNK: u32 = 1 << 20;

/// What the batches of a segment are compared with.
pub(super) struct Witnesses<'a> {
    /// The sums of its blocks, if there are any.
    pub(super) sums: Option<Sums>,
    /// In which reign each offset was appended: for what no sum covers.
    pub(super) epochs: &'a EpochCache,
}

/// Walks over the batches of one segment. Holds a chunk of it, or the largest batch.
pub(super) struct Batches<'a, F> {
    file: &'a F,
    segment: SegmentInfo,
    epochs: &'a EpochCache,
    sums: Option<Comparison>,
    /// The first offset of which bytes lie in the block that is not compared yet.
    block_offset: Offset,
    at: u32,
    next: Offset,
    buffer: Bytes,
}

impl<'a, F: DiskFile> Batches<'a, F> {
    pub(super) fn new(file: &'a F, segment: &SegmentInfo, witnesses: Witnesses<'a>) -> Self {
        let Witnesses { sums, epochs } = witnesses;
        let next = segment.base_offset;
        Self {
            file,
            segment: *segment,
            epochs,
            sums: sums.map(Comparison::new),
            block_offset: next,
            at: 0,
            next,
            buffer: Bytes::new(),
        }
    }

    /// The next batch and its bytes; `None` at the end. The sum of its block is compared once the last of the block is
    /// asked for: [`settle`](Self::settle) does that at once.
    pub(super) fn next(&mut self) -> Result<Option<(Entry, Bytes)>, ReadFault> {
        let left = self.segment.size - self.at;
        if left == 0 {
            return self.end().map(|()| None);
        }
        let mut wanted = CHUNK;
        let entry = loop {
            match Entry::parse(&self.buffer) {
                Ok(entry) => break entry,
                Err(BatchError::Incomplete { needed, .. }) if needed > u64::from(left) => {
                    return Err(self.corrupt(Why::Torn { needed, found: u64::from(left) }));
                }
                Err(BatchError::Incomplete { needed, found }) => {
                    // At most what is left, which fits.
                    wanted = wanted.max(needed as u32).min(left);
                    if !self.fill(wanted)? {
                        return Err(self.corrupt(Why::Torn { needed, found }));
                    }
                }
                Err(error) => return Err(self.corrupt(Why::Batch(error))),
            }
        };
        let covered = self.sums.as_ref().map_or(0, Comparison::log_len);
        let place = Place {
            expected: self.next,
            segment: self.segment.base_offset,
            segment_next: self.segment.next_offset,
            epochs: (self.at.saturating_add(Header::BYTES as u32) > covered).then_some(self.epochs),
        };
        if let Some(why) = place.misfit(&entry) {
            return Err(self.corrupt(why));
        }
        let bytes = self.buffer.split_to(entry.size() as usize);
        self.compare(&bytes, entry.next_offset())?;
        self.at += entry.size();
        self.next = entry.next_offset();
        Ok(Some((entry, bytes)))
    }

    /// Reads on to the end of a block, so that all that was answered is known to be what was written.
    pub(super) fn settle(&mut self) -> Result<(), ReadFault> {
        while self.sums.as_ref().is_some_and(|sums| sums.open_block().is_some()) && self.next()?.is_some() {}
        Ok(())
    }

    /// Compares the bytes of the batch here with the sums of the blocks that end in it.
    fn compare(&mut self, bytes: &[u8], next: Offset) -> Result<(), ReadFault> {
        let Some(sums) = &mut self.sums else { return Ok(()) };
        match sums.push(bytes) {
            Ok(()) => {
                let end = self.at + bytes.len() as u32;
                match sums.open_block() {
                    Some(from) if from < self.at => {}
                    Some(from) if from < end => self.block_offset = self.next,
                    Some(_) | None => self.block_offset = next,
                }
                Ok(())
            }
            Err(bad) => {
                let offset = if bad.from >= self.at { self.next } else { self.block_offset };
                let why = Why::Block { stored: bad.stored, computed: bad.computed };
                Err(ReadFault::Corrupt { segment: self.segment.base_offset, position: bad.from, offset, why })
            }
        }
    }

    /// There are no more batches: all that was summed up must have been there.
    fn end(&self) -> Result<(), ReadFault> {
        match &self.sums {
            Some(sums) if sums.log_len() > self.segment.size => {
                let (needed, found) = (u64::from(sums.log_len()), u64::from(self.segment.size));
                Err(self.corrupt(Why::Torn { needed, found }))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Reads `wanted` bytes from here on. Answers whether that brought more than there was.
    fn fill(&mut self, wanted: u32) -> Result<bool, ReadFault> {
        let before = self.buffer.len();
        let mut bytes = BytesMut::zeroed(wanted as usize);
        let read = self.file.read_full(u64::from(self.at), &mut bytes)?;
        bytes.truncate(read);
        self.buffer = bytes.freeze();
        Ok(self.buffer.len() > before)
    }

    fn corrupt(&self, why: Why) -> ReadFault {
        let segment = self.segment.base_offset;
        ReadFault::Corrupt { segment, position: self.at, offset: self.next, why }
    }
}
