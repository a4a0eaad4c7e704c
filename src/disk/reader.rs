//! Reading batches from a log's files: what comes from a file is checked before it leaves.
//!
//! A reader starts at a place that an index named and walks to the first batch that is wanted. Indexes are only hints:
//! a place where no batch begins, or one behind the wanted offset, is noticed, and the walk starts again from the front
//! of the segment.
//!
//! The checksum of a batch leaves its base offset, length, epoch and magic open. So the order is checked too: each batch
//! begins where the one in front of it ended or later, ends before the next one begins and before the segment ends, and
//! has the leader epoch that the log knows for its offset.

use bytes::{Bytes, BytesMut};

use crate::disk::block_sums::KnownSums;
use crate::disk::place::Place;
use crate::disk::pool::Pool;
use crate::disk::{DiskError, DiskFile};
use crate::log::{EpochCache, Span, Why, base_of};
use crate::offset::Offset;
use crate::record::{BatchError, Entry, Header};

/// Why bytes of a file were not served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadFault {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A batch in the file is not what was written. Other offsets may be readable.
    #[error("segment {segment}: corrupt at byte {position}, offset {offset}: {why}")]
    Corrupt {
        /// The base of the segment.
        segment: Offset,
        /// Where in its file.
        position: u32,
        /// The offset that should be there.
        offset: Offset,
        /// What is wrong.
        why: Why,
    },
}

/// How many bytes are read beyond what is wanted, to find its first batch: about two intervals of an index.
const WALK_BYTES: u32 = 8 << 10;
/// How many bytes are read at a time, unless one batch has more.
const READ_BYTES_MAX: u32 = 1 << 20;

/// Where a segment's bytes come from.
pub(crate) struct Source<'a, F> {
    pub(crate) file: &'a F,
    /// All of the segment, if it is mapped.
    pub(crate) map: Option<&'a Bytes>,
    /// Whose buffers are read into.
    pub(crate) pool: &'a Pool,
}

/// Reads what `span` names, starting at `hint`, which must be the place of a batch or is found not to be.
///
/// Answers whole batches: the first one that ends at or above `span.from`, then more up to `span.bytes_max` bytes,
/// none that begins at or above `span.ceiling`. An empty answer says that the segment has nothing there.
///
/// # Errors
///
/// [`ReadFault`]; a corrupt batch in front of the wanted one is stepped over if a good one follows.
pub(crate) fn read_span<F: DiskFile>(
    source: &Source<'_, F>,
    span: &Span,
    hint: u32,
    epochs: &EpochCache,
    mut sums: Option<&mut KnownSums>,
) -> Result<Vec<Entry>, ReadFault> {
    let again = sums.as_deref_mut();
    let (buffer, buffer_at) = source.map.map_or((Bytes::new(), hint), |map| (map.clone(), 0));
    let (file, pool, mapped) = (source.file, source.pool, source.map.is_some());
    let mut walk = Walk { file, pool, span, epochs, sums: again, mapped, buffer, buffer_at, at: hint, next: None };
    match walk.first() {
        Ok(Some(first)) => walk.collect(first),
        Ok(None) if hint == 0 => Ok(Vec::new()),
        // A hint that leads nowhere says nothing about the segment.
        Ok(None) | Err(ReadFault::Corrupt { .. }) if hint > 0 => read_span(source, span, 0, epochs, sums),
        Ok(None) => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// A walk over the batches of one segment.
struct Walk<'a, F> {
    file: &'a F,
    pool: &'a Pool,
    span: &'a Span,
    epochs: &'a EpochCache,
    sums: Option<&'a mut KnownSums>,
    /// Whether the buffer is a map of all of the segment.
    mapped: bool,
    buffer: Bytes,
    buffer_at: u32,
    at: u32,
    /// The offset behind the batch in front, once there was one.
    next: Option<Offset>,
}

impl<F: DiskFile> Walk<'_, F> {
    /// The first batch that ends at or above the wanted offset; `None` if the segment has none.
    fn first(&mut self) -> Result<Option<Entry>, ReadFault> {
        while self.at < self.span.end {
            match self.skip()? {
                Skipped::Below(size, next) => {
                    self.at += size;
                    self.next = Some(next);
                }
                Skipped::Wanted => {
                    let entry = self.entry()?;
                    // A hint behind the wanted offset: what is in front of it was never looked at.
                    let base = base_of(&entry);
                    if self.next.is_none() && self.at > 0 && base > self.span.from {
                        return Err(self.corrupt(Why::OffsetsGoBack { expected: self.span.from, found: base }));
                    }
                    return Ok(Some(entry));
                }
            }
        }
        Ok(None)
    }

    /// The batches from `first` on, as many as are wanted.
    fn collect(&mut self, first: Entry) -> Result<Vec<Entry>, ReadFault> {
        if base_of(&first) >= self.span.ceiling {
            return Ok(Vec::new());
        }
        let mut bytes = u64::from(first.size());
        self.pass(&first);
        let mut found = vec![first];
        while self.at < self.span.end && bytes < u64::from(self.span.bytes_max) {
            self.fill(Header::BYTES as u32, self.span.bytes_max.clamp(WALK_BYTES, READ_BYTES_MAX))?;
            let Some(size) = self.size_here() else { break };
            let past = bytes + u64::from(size) > u64::from(self.span.bytes_max);
            if past || self.begins_past_ceiling() {
                break;
            }
            match self.entry() {
                Ok(entry) => {
                    bytes += u64::from(entry.size());
                    self.pass(&entry);
                    found.push(entry);
                }
                // What came before is good; whoever reads on meets the bad batch first.
                Err(ReadFault::Corrupt { .. }) => break,
                Err(fault) => return Err(fault),
            }
        }
        self.check_follower(&mut found)?;
        Ok(found)
    }

    /// The last batch must end before what follows it begins, or it claims offsets that are not its own.
    fn check_follower(&mut self, found: &mut Vec<Entry>) -> Result<(), ReadFault> {
        let Some(last) = found.last().map(Entry::last_offset) else { return Ok(()) };
        self.fill(Header::BYTES as u32, Header::BYTES as u32)?;
        let following = self.header_here().and_then(|header| Offset::from_i64(header.base_offset));
        let limit = if self.at < self.span.end { following } else { Some(self.span.segment_next) };
        match limit {
            Some(limit) if limit <= last => {
                if found.len() > 1 {
                    found.pop();
                    return Ok(());
                }
                Err(self.corrupt(Why::OffsetsGoBack { expected: last.advance(1), found: limit }))
            }
            _ => Ok(()),
        }
    }

    fn pass(&mut self, entry: &Entry) {
        self.at += entry.size();
        self.next = Some(entry.next_offset());
    }

    /// Looks at the header here alone: whether its batch ends below what is wanted.
    fn skip(&mut self) -> Result<Skipped, ReadFault> {
        self.fill(Header::BYTES as u32, self.span.bytes_max.saturating_add(WALK_BYTES).min(READ_BYTES_MAX))?;
        let Some(header) = self.header_here().filter(|header| header.magic == 2) else {
            return self.skip_legacy();
        };
        let ends = Offset::from_i64(header.base_offset)
            .and_then(|base| base.checked_advance(u64::try_from(header.last_offset_delta).ok()?));
        let size = self.size_here();
        match (ends, size) {
            (Some(last), Some(size)) if last < self.span.from && self.next.unwrap_or(self.span.segment) <= last => {
                Ok(Skipped::Below(size, last.advance(1)))
            }
            _ => Ok(Skipped::Wanted),
        }
    }

    fn skip_legacy(&mut self) -> Result<Skipped, ReadFault> {
        let entry = self.entry()?;
        let below = entry.last_offset() < self.span.from;
        Ok(if below { Skipped::Below(entry.size(), entry.next_offset()) } else { Skipped::Wanted })
    }

    /// The whole batch here, checked.
    fn entry(&mut self) -> Result<Entry, ReadFault> {
        let size = self.size_here().unwrap_or(Header::BYTES as u32);
        self.fill(size, size)?;
        let entry = match Entry::parse(&self.here()) {
            Ok(entry) => entry,
            Err(BatchError::Incomplete { needed, found }) => return Err(self.corrupt(Why::Torn { needed, found })),
            Err(error) => return Err(self.corrupt(Why::Batch(error))),
        };
        match self.misplaced(&entry) {
            Some(why) => Err(self.corrupt(why)),
            None => Ok(entry),
        }
    }

    /// What is wrong with the fields that the checksum does not cover.
    fn misplaced(&self, entry: &Entry) -> Option<Why> {
        let Span { segment, segment_next, .. } = *self.span;
        let expected = self.next.unwrap_or(segment);
        Place { expected, segment, segment_next, epochs: Some(self.epochs) }.misfit(entry)
    }

    fn begins_past_ceiling(&self) -> bool {
        let header = self.header_here().filter(|header| header.magic == 2);
        let base = header.and_then(|header| Offset::from_i64(header.base_offset));
        base.is_some_and(|base| base >= self.span.ceiling)
    }

    fn header_here(&self) -> Option<Header> {
        self.here().first_chunk::<{ Header::BYTES }>().map(Header::decode)
    }

    /// How long the entry here says it is, if it is one that fits the segment.
    fn size_here(&self) -> Option<u32> {
        let here = self.here();
        let length = i32::from_be_bytes(*here.get(8..12)?.first_chunk()?);
        let size = u32::try_from(length).ok()?.checked_add(Header::LOG_OVERHEAD as u32)?;
        (size <= self.span.end - self.at).then_some(size)
    }

    fn here(&self) -> Bytes {
        let from = (self.at - self.buffer_at) as usize;
        self.buffer.slice(from.min(self.buffer.len())..)
    }

    /// Makes at least `min` bytes from here on available, as far as the segment has them, by reading `wanted`.
    fn fill(&mut self, min: u32, wanted: u32) -> Result<(), ReadFault> {
        let left = self.span.end - self.at;
        if self.mapped {
            let to = self.at as usize + min.min(left) as usize;
            let seen = self.buffer.slice((self.at as usize).min(self.buffer.len())..to.min(self.buffer.len()));
            return self.compare(self.at, &seen);
        }
        if self.here().len() >= min.min(left) as usize {
            return Ok(());
        }
        // What was read before is given back first, so that it can be read into again.
        self.buffer = Bytes::new();
        let mut bytes = self.pool.take(wanted.max(min).min(left) as usize);
        let read = self.file.read_full(u64::from(self.at), bytes.bytes_mut())?;
        (self.buffer, self.buffer_at) = (bytes.freeze(read), self.at);
        self.compare(self.at, &self.buffer.clone())
    }

    /// Compares what was just read with the sums of its blocks, if there are any.
    fn compare(&mut self, from: u32, bytes: &Bytes) -> Result<(), ReadFault> {
        while let Some(sums) = self.sums.as_deref_mut() {
            let Some((block, bad)) = sums.compare(self.file, from, bytes)? else { break };
            if !is_explained(self.file, bad.from, bad.to)? {
                let why = Why::Block { stored: bad.stored, computed: bad.computed };
                let (segment, position) = (self.span.segment, bad.from);
                return Err(ReadFault::Corrupt { segment, position, offset: self.next.unwrap_or(segment), why });
            }
            sums.accept(block);
        }
        Ok(())
    }

    fn corrupt(&self, why: Why) -> ReadFault {
        let offset = self.next.unwrap_or(self.span.segment).max(self.span.segment);
        ReadFault::Corrupt { segment: self.span.segment, position: self.at, offset, why }
    }
}

/// Whether a batch that reaches into these bytes is bad by its own checksum or header. Then the block differs because of
/// it, and the other batches of the block are good if they are good by themselves. If none is, it must be one of the
/// header bytes that no batch's checksum covers, and nobody knows of which batch.
fn is_explained<F: DiskFile>(file: &F, from: u32, to: u32) -> Result<bool, DiskError> {
    let mut at = 0;
    while at < to {
        let mut front = [0; Header::BYTES];
        let read = file.read_full(u64::from(at), &mut front)?;
        let length = i32::from_be_bytes([front[8], front[9], front[10], front[11]]);
        let size = u32::try_from(length).ok().and_then(|length| length.checked_add(Header::LOG_OVERHEAD as u32));
        let Some(size) = size.filter(|_| read > Header::LOG_OVERHEAD) else { return Ok(true) };
        if at.saturating_add(size) > from {
            let mut bytes = BytesMut::zeroed(size as usize);
            let read = file.read_full(u64::from(at), &mut bytes)?;
            bytes.truncate(read);
            if Entry::parse(&bytes.freeze()).is_err() {
                return Ok(true);
            }
        }
        at = at.saturating_add(size);
    }
    Ok(false)
}

enum Skipped {
    Below(u32, Offset),
    Wanted,
}
