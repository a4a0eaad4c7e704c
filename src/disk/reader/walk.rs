//! A walk over the batches of one segment, of which some may not be what was written.
//!
//! - Always true: it goes forward, but to look once more at the batch in front; no more is looked through than a budget
//!   allows; what it answers was checked.

use std::ops::Range;

use bytes::Bytes;

use crate::disk::block_sums::{Differing, KnownSums, Vouch};
use crate::disk::place::Place;
use crate::disk::pool::Pool;
use crate::disk::reader::{Hint, ReadFault, Source};
use crate::disk::sums::BadBlock;
use crate::disk::suspect::{OPEN_BYTES, Reason, SEARCH_BYTES_MAX, end_by_checksum, may_begin, reason_of};
use crate::disk::{DiskError, DiskFile};
use crate::log::{EpochCache, Span, Why, base_of};
use crate::offset::Offset;
use crate::record::{BatchError, Entry, Header};

/// How many bytes are read beyond what is wanted, to find its first batch: about two intervals of an index.
const WALK_BYTES: u32 = 8 << 10;
/// How many bytes are read at a time, unless one batch has more.
const READ_BYTES_MAX: u32 = 1 << 20;

/// A batch that a walk has passed.
#[derive(Clone, Copy)]
struct Front {
    at: u32,
    /// The offset due there.
    due: Offset,
    /// Whether more than its own header says where it ends.
    is_sure: bool,
}

/// A walk over the batches of one segment.
pub(super) struct Walk<'a, F> {
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
    hint: Hint,
    /// Whether a batch was met that the hint's offset is of.
    pub(super) hint_is_borne_out: bool,
    /// Whether a header was believed that nothing vouches for.
    believed: bool,
    /// The offset behind the batch in front, once there was one.
    next: Option<Offset>,
    /// The same of the last batch in front whose header is surely what was written.
    floor: Offset,
    /// The batch in front.
    front: Option<Front>,
    /// The last place behind which the walk went, where a batch begins.
    passed: u32,
    /// How many bytes may still be looked through for where a batch ends.
    budget: u32,
    /// The first corrupt batch that was stepped over and may hold what is wanted.
    bad: Option<ReadFault>,
}

impl<'a, F: DiskFile> Walk<'a, F> {
    pub(super) fn new(
        source: &'a Source<'_, F>,
        span: &'a Span,
        hint: Hint,
        epochs: &'a EpochCache,
        sums: Option<&'a mut KnownSums>,
    ) -> Self {
        let (buffer, buffer_at) = source.map.map_or((Bytes::new(), hint.position), |map| (map.clone(), 0));
        Self {
            file: source.file,
            pool: source.pool,
            span,
            epochs,
            sums,
            mapped: source.map.is_some(),
            buffer,
            buffer_at,
            at: hint.position,
            hint,
            hint_is_borne_out: hint.position == 0,
            believed: false,
            next: None,
            floor: span.segment,
            front: None,
            passed: 0,
            budget: SEARCH_BYTES_MAX,
            bad: None,
        }
    }

    /// The first batch that ends at or above the wanted offset; `None` if the segment has none.
    pub(super) fn first(&mut self) -> Result<Option<Entry>, ReadFault> {
        while self.at < self.span.end {
            let outcome = match self.skip() {
                Ok(Skipped::Below) => continue,
                Ok(Skipped::Wanted) => self.entry(),
                Err(fault) => Err(fault),
            };
            let fault = match outcome {
                Ok(entry) => return self.follows_on(entry).map(Some),
                Err(fault @ ReadFault::Corrupt { .. }) => fault,
                Err(fault) => return Err(fault),
            };
            let is_known = self.bad.is_some();
            let fault = self.bad.get_or_insert(fault).clone();
            if let Some(earlier) = self.look_back()? {
                self.bad = Some(if is_known { fault } else { earlier });
            } else if !self.step_over()? {
                break;
            }
        }
        // What ends with the segment may have led past others by a wrong length.
        let fault = if self.bad.is_some() { self.bad.take() } else { self.fault_in_front()? };
        fault.map_or(Ok(None), Err)
    }

    /// Whether nothing can be missing in front of the first batch at or above the wanted offset.
    fn follows_on(&mut self, entry: Entry) -> Result<Entry, ReadFault> {
        let base = base_of(&entry);
        if base <= self.span.from {
            return Ok(entry);
        }
        if let Some(bad) = self.bad.take() {
            return Err(bad);
        }
        if let Some(fault) = self.fault_in_front()? {
            return Err(fault);
        }
        // A hint behind the wanted offset, where what is in front was never looked at; or a header that lies.
        let unseen = self.next.is_none() && self.at > 0;
        if unseen || (self.believed && !self.hint_is_borne_out) {
            return Err(self.corrupt(Why::OffsetsGoBack { expected: self.span.from, found: base }));
        }
        Ok(entry)
    }

    /// The batches from `first` on, as many as are wanted.
    pub(super) fn collect(&mut self, first: Entry) -> Result<Vec<Entry>, ReadFault> {
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
        if self.next == Some(self.floor) {
            // The sums vouch for it; then it is the one behind that is wrong.
            return Ok(());
        }
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
        let vouch = self.vouch_here();
        self.step(entry.size(), base_of(entry), entry.next_offset(), vouch);
        self.front = self.front.map(|front| Front { is_sure: true, ..front });
    }

    /// Goes on behind a batch, by its header.
    fn step(&mut self, size: u32, first: Offset, next: Offset, vouch: Vouch) {
        self.hint_is_borne_out |= (first..next).contains(&self.hint.offset);
        let is_sure = vouch == Vouch::Good;
        self.front = Some(Front { at: self.at, due: self.expected(vouch), is_sure });
        self.passed = self.at;
        self.at += size;
        self.next = Some(next);
        if is_sure {
            self.floor = next;
        }
    }

    /// Goes past the batch here if it ends below what is wanted. Looks at its header alone, unless that is suspect.
    fn skip(&mut self) -> Result<Skipped, ReadFault> {
        self.fill(Header::BYTES as u32, self.span.bytes_max.saturating_add(WALK_BYTES).min(READ_BYTES_MAX))?;
        let header = self.header_here().filter(|header| header.magic == 2);
        let vouch = if header.is_some() { self.compare()? } else { Vouch::Nothing };
        let Some(header) = header.filter(|_| vouch != Vouch::Suspect) else {
            return self.skip_whole();
        };
        let base = Offset::from_i64(header.base_offset);
        let last = base.and_then(|base| base.checked_advance(u64::try_from(header.last_offset_delta).ok()?));
        match (base, last, self.size_here()) {
            (Some(base), Some(last), Some(size)) if last < self.span.from && self.expected(vouch) <= last => {
                self.believed |= vouch != Vouch::Good;
                self.step(size, base, last.advance(1), vouch);
                self.bad = None;
                Ok(Skipped::Below)
            }
            _ => Ok(Skipped::Wanted),
        }
    }

    fn skip_whole(&mut self) -> Result<Skipped, ReadFault> {
        let entry = self.entry()?;
        if entry.last_offset() >= self.span.from {
            return Ok(Skipped::Wanted);
        }
        self.pass(&entry);
        self.bad = None;
        Ok(Skipped::Below)
    }

    /// What is wrong with the batch in front, if only its header was believed.
    fn fault_in_front(&mut self) -> Result<Option<ReadFault>, ReadFault> {
        let Some(front) = self.front.filter(|front| !front.is_sure) else { return Ok(None) };
        let here = (self.at, self.next);
        (self.at, self.next) = (front.at, Some(front.due));
        let outcome = self.fill(Header::BYTES as u32, WALK_BYTES).and_then(|()| self.entry());
        (self.at, self.next) = here;
        match outcome {
            Ok(_) => Ok(None),
            Err(fault @ ReadFault::Corrupt { .. }) => Ok(Some(fault)),
            Err(fault) => Err(fault),
        }
    }

    /// What is here may look wrong only because a wrong header in front was believed. Answers what is wrong with that,
    /// and goes to where the walk can begin anew.
    fn look_back(&mut self) -> Result<Option<ReadFault>, ReadFault> {
        let Some(front @ Front { due, .. }) = self.front else { return Ok(None) };
        let Some(fault) = self.fault_in_front()? else { return Ok(None) };
        self.fill(OPEN_BYTES, WALK_BYTES)?;
        let is_place = may_begin(self.span, due, self.at, &self.here());
        let behind = if is_place {
            Some(self.at)
        } else {
            end_by_checksum(self.file, self.span, due, front.at, &mut self.budget)?
        };
        let Some(behind) = behind else { return Ok(None) };
        (self.at, self.next, self.front) = (behind, Some(due), None);
        Ok(Some(fault))
    }

    /// Goes behind a corrupt batch, if anything tells where that is.
    fn step_over(&mut self) -> Result<bool, ReadFault> {
        let (at, floor) = (self.at, self.next.unwrap_or(self.floor));
        (self.passed, self.front) = (at, None);
        if let Some(size) = self.size_here() {
            self.at = at + size;
            self.fill(OPEN_BYTES, WALK_BYTES)?;
            if self.at == self.span.end || may_begin(self.span, floor, self.at, &self.here()) {
                return Ok(true);
            }
            self.at = at;
        }
        let behind = end_by_checksum(self.file, self.span, floor, at, &mut self.budget)?;
        self.at = behind.unwrap_or(at);
        Ok(behind.is_some())
    }

    /// From which offset on a batch may stand here. What the sums vouch for need not bow to what they do not.
    fn expected(&self, vouch: Vouch) -> Offset {
        if vouch == Vouch::Good { self.floor } else { self.next.unwrap_or(self.floor) }
    }

    /// The whole batch here, checked.
    fn entry(&mut self) -> Result<Entry, ReadFault> {
        let size = self.size_here().unwrap_or(Header::BYTES as u32);
        self.fill(size, size)?;
        let entry = match Entry::parse(&self.here()) {
            Ok(entry) => entry,
            Err(BatchError::Incomplete { needed, found }) => return Err(self.torn(needed, found)?),
            Err(error) => return Err(self.corrupt(Why::Batch(error))),
        };
        let vouch = self.compare()?;
        let Span { segment, segment_next, .. } = *self.span;
        let epochs = (vouch != Vouch::Good).then_some(self.epochs);
        let place = Place { expected: self.expected(vouch), segment, segment_next, epochs };
        match place.misfit(&entry) {
            Some(why) => Err(self.corrupt(why)),
            None => Ok(entry),
        }
    }

    /// The file, or the segment, ends in the batch here; or somebody has cut the file in front of it.
    fn torn(&self, needed: u64, found: u64) -> Result<ReadFault, DiskError> {
        let len = self.file.len()?;
        match self.front {
            Some(Front { at: position, due: offset, .. })
                if (u64::from(position)..u64::from(self.at)).contains(&len) =>
            {
                let (needed, found) = (u64::from(self.at - position), len - u64::from(position));
                let (segment, why) = (self.span.segment, Why::Torn { needed, found });
                Ok(ReadFault::Corrupt { segment, position, offset, why })
            }
            Some(_) | None => Ok(self.corrupt(Why::Torn { needed, found })),
        }
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
        // A step back, after a look ahead: the buffer may lie behind.
        let Some(from) = self.at.checked_sub(self.buffer_at) else { return Bytes::new() };
        self.buffer.slice((from as usize).min(self.buffer.len())..)
    }

    /// Makes at least `min` bytes from here on available, as far as the segment has them, by reading `wanted`.
    fn fill(&mut self, min: u32, wanted: u32) -> Result<(), ReadFault> {
        let left = self.span.end - self.at;
        if self.mapped {
            return Ok(());
        }
        if self.here().len() >= min.min(left) as usize {
            return Ok(());
        }
        // What was read before is given back first, so that it can be read into again.
        self.buffer = Bytes::new();
        let mut bytes = self.pool.take(wanted.max(min).min(left) as usize);
        let read = self.file.read_full(u64::from(self.at), bytes.bytes_mut())?;
        (self.buffer, self.buffer_at) = (bytes.freeze(read), self.at);
        Ok(())
    }

    /// Compares what the checksum of the batch here leaves open with the sums of its blocks, if there are any.
    fn compare(&mut self) -> Result<Vouch, ReadFault> {
        let range = self.open_bytes();
        while let Some(sums) = self.sums.as_deref_mut() {
            let buffer = (self.buffer_at, &self.buffer[..]);
            let Some(Differing { block, bad, is_hidden }) = sums.compare(self.file, range.clone(), buffer)? else {
                break;
            };
            // From a place where a batch begins; at worst, from the front.
            let from = [self.at, self.passed].into_iter().find(|at| *at <= bad.from).unwrap_or(0);
            if is_hidden {
                return Err(self.differs(&bad));
            }
            match reason_of(self.file, &bad, from)? {
                Reason::Batch => sums.accept(block),
                // It is whole up to there, for all that is known; whoever gets to the end finds it.
                Reason::End => break,
                Reason::Hidden(flipped) => sums.condemn(block, bad, flipped),
            }
        }
        Ok(self.vouch_here())
    }

    /// The block that the header here lies in is not what was written.
    fn differs(&self, bad: &BadBlock) -> ReadFault {
        let why = Why::Block { stored: bad.stored, computed: bad.computed };
        // Of which batch, is known if it is a single bit.
        match self.sums.as_deref().map(|sums| sums.flipped_in(self.open_bytes())) {
            Some(true) => self.corrupt(why),
            Some(false) | None => {
                let offset = self.next.unwrap_or(self.floor);
                ReadFault::Corrupt { segment: self.span.segment, position: bad.from, offset, why }
            }
        }
    }

    /// What the sums are known to say of the batch here.
    fn vouch_here(&self) -> Vouch {
        self.sums.as_deref().map_or(Vouch::Nothing, |sums| sums.vouch(self.open_bytes()))
    }

    fn open_bytes(&self) -> Range<u32> {
        self.at..self.at.saturating_add(OPEN_BYTES).min(self.span.end)
    }

    fn corrupt(&self, why: Why) -> ReadFault {
        let offset = self.next.unwrap_or(self.span.segment).max(self.span.segment);
        ReadFault::Corrupt { segment: self.span.segment, position: self.at, offset, why }
    }
}

enum Skipped {
    /// It lies behind.
    Below,
    /// It ends at or above what is wanted, or may.
    Wanted,
}
