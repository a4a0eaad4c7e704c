//! The batches of a sealed segment, one after the other, checked.

use bytes::{Bytes, BytesMut};

use crate::disk::{DiskFile, ReadFault};
use crate::log::{SegmentInfo, Why, base_of};
use crate::offset::Offset;
use crate::record::{BatchError, Entry};

/// How many bytes are read at a time.
const CHUNK: u32 = 1 << 20;

/// Walks over the batches of one segment. Holds a chunk of it, or the largest batch.
pub(super) struct Batches<'a, F> {
    file: &'a F,
    segment: SegmentInfo,
    at: u32,
    next: Offset,
    buffer: Bytes,
}

impl<'a, F: DiskFile> Batches<'a, F> {
    pub(super) fn new(file: &'a F, segment: &SegmentInfo) -> Self {
        Self { file, segment: *segment, at: 0, next: segment.base_offset, buffer: Bytes::new() }
    }

    /// The next batch and its bytes; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Entry, Bytes)>, ReadFault> {
        let left = self.segment.size - self.at;
        if left == 0 {
            return Ok(None);
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
        let (base, last) = (base_of(&entry), entry.last_offset());
        if base < self.next {
            return Err(self.corrupt(Why::OffsetsGoBack { expected: self.next, found: base }));
        }
        if last >= self.segment.next_offset {
            return Err(self.corrupt(Why::OffsetOutOfRange { base: self.segment.base_offset, found: last }));
        }
        let bytes = self.buffer.split_to(entry.size() as usize);
        self.at += entry.size();
        self.next = entry.next_offset();
        Ok(Some((entry, bytes)))
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
