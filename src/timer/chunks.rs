//! Lists of entries in chunks: what a bucket holds, in the order of insertion.
//!
//! An entry is the slot of a timer. It does not move when its timer is cancelled: it is *left over*, and who comes by sees
//! that the timer stands elsewhere or nowhere. So cancelling touches the timer and the count of its chunk, and nothing
//! else. A chunk goes when the count is zero; there are never more chunks than timers.
//!
//! Always true: no timer stands at a place of a free chunk, nor at one that was not written since the chunk was taken.

use super::wheels::BucketId;

/// Entries of one chunk: a cache line of them.
pub(super) const CHUNK: usize = 16;

/// Where an entry stands: which chunk, and where in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place(u32);

impl Place {
    pub(super) const NOWHERE: Self = Self(u32::MAX);

    #[inline]
    const fn chunk(self) -> ChunkId {
        ChunkId(self.0 / CHUNK as u32)
    }

    #[inline]
    const fn index(self) -> usize {
        self.0 as usize % CHUNK
    }

    #[inline]
    const fn after(self) -> Self {
        Self(self.0 + 1)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ChunkId(u32);

impl ChunkId {
    const NONE: Self = Self(u32::MAX);
    /// As many as places can name, without the last, for its last place is [`Place::NOWHERE`].
    const MAX: u32 = u32::MAX / CHUNK as u32;

    #[inline]
    const fn known(self) -> Option<Self> {
        if self.0 == Self::NONE.0 { None } else { Some(self) }
    }

    /// The place of an entry of this chunk.
    #[inline]
    pub(super) const fn place(self, index: usize) -> Place {
        Place(self.0 * CHUNK as u32 + index as u32)
    }
}

const _: () = assert!(super::TIMERS_MAX < ChunkId::MAX as usize, "each timer may need a chunk, and moving one more");

/// The chunks of one bucket, first to last.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    head: ChunkId,
    /// One place behind the last entry: in the last chunk, or behind it if that is full.
    end: Place,
}

impl List {
    pub(super) const EMPTY: Self = Self { head: ChunkId::NONE, end: Place(0) };

    #[inline]
    pub(super) const fn head(self) -> Option<ChunkId> {
        self.head.known()
    }

    #[inline]
    pub(super) const fn is_empty(self) -> bool {
        self.head().is_none()
    }

    /// The chunk of a list that has no more than one: looking at its entries is as good as having them sorted.
    pub(super) fn only_chunk(self) -> Option<ChunkId> {
        self.head().filter(|head| *head == self.tail())
    }

    /// The last chunk of a list that is not empty.
    #[inline]
    const fn tail(self) -> ChunkId {
        Place(self.end.0 - 1).chunk()
    }

    /// Whether the last chunk is full, or there is none.
    #[inline]
    const fn is_full(self) -> bool {
        self.end.index() == 0
    }
}

/// What there is to know of a chunk beside its entries.
#[derive(Clone, Copy, Debug)]
struct Header {
    previous: ChunkId,
    next: ChunkId,
    bucket: BucketId,
}

/// When the two are the same, the chunk can go. Two, so that writing an entry only stores and reads nothing back: what
/// was cancelled just before may still be on its way, and a processor waits for it before it reads.
#[derive(Clone, Copy, Debug)]
struct Counts {
    written: u8,
    left_over: u8,
}

impl Counts {
    const ZERO: Self = Self { written: 0, left_over: 0 };
}

/// All chunks of all lists.
#[derive(Debug)]
pub(super) struct Chunks {
    entries: Vec<[u32; CHUNK]>,
    headers: Vec<Header>,
    /// Apart from all else, because cancelling counts here and touches nothing else of a chunk, and this much of it stays
    /// in the cache.
    counts: Vec<Counts>,
    /// Chunks that belong to no list, one linked to the next.
    free: ChunkId,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), headers: Vec::new(), counts: Vec::new(), free: ChunkId::NONE }
    }

    /// Appends an entry to the list of `bucket`.
    #[inline]
    pub(super) fn push(&mut self, list: &mut List, bucket: BucketId, slot: u32) -> Place {
        if list.is_full() {
            self.append_chunk(list, bucket);
        }
        let place = list.end;
        list.end = place.after();
        self.entries[place.chunk().0 as usize][place.index()] = slot;
        self.counts[place.chunk().0 as usize].written = place.index() as u8 + 1;
        place
    }

    /// The entry at `place` is left over now. Answers with the chunk and its bucket if that was the last one in it.
    #[inline]
    pub(super) fn leave(&mut self, place: Place) -> Option<(ChunkId, BucketId)> {
        let chunk = place.chunk();
        let counts = &mut self.counts[chunk.0 as usize];
        counts.left_over += 1;
        (counts.left_over == counts.written).then(|| (chunk, self.header(chunk).bucket))
    }

    /// The entries of `chunk`, whether or not they are left over.
    #[inline]
    pub(super) fn entries(&self, chunk: ChunkId) -> &[u32] {
        &self.entries[chunk.0 as usize][..usize::from(self.counts[chunk.0 as usize].written)]
    }

    /// The chunk behind this one.
    pub(super) fn next(&self, chunk: ChunkId) -> Option<ChunkId> {
        self.header(chunk).next.known()
    }

    /// Takes `chunk` out of its list, with all that is in it.
    pub(super) fn remove(&mut self, list: &mut List, chunk: ChunkId) {
        let Header { previous, next, .. } = *self.header(chunk);
        match next.known() {
            Some(next) => self.header_mut(next).previous = previous,
            // What is in front is full.
            None if previous != ChunkId::NONE => list.end = previous.place(CHUNK),
            None => list.end = List::EMPTY.end,
        }
        match previous.known() {
            Some(previous) => self.header_mut(previous).next = next,
            None => list.head = next,
        }
        self.header_mut(chunk).next = self.free;
        self.counts[chunk.0 as usize] = Counts::ZERO;
        self.free = chunk;
    }

    fn append_chunk(&mut self, list: &mut List, bucket: BucketId) {
        let previous = if list.is_empty() { ChunkId::NONE } else { list.tail() };
        let chunk = self.take_free(Header { previous, next: ChunkId::NONE, bucket });
        match previous.known() {
            Some(previous) => self.header_mut(previous).next = chunk,
            None => list.head = chunk,
        }
        list.end = chunk.place(0);
    }

    fn take_free(&mut self, header: Header) -> ChunkId {
        if let Some(chunk) = self.free.known() {
            self.free = std::mem::replace(self.header_mut(chunk), header).next;
            return chunk;
        }
        let chunk = ChunkId(u32::try_from(self.headers.len()).expect("there is at most one chunk more than timers"));
        self.headers.push(header);
        self.entries.push([0; CHUNK]);
        self.counts.push(Counts::ZERO);
        chunk
    }

    fn header(&self, chunk: ChunkId) -> &Header {
        &self.headers[chunk.0 as usize]
    }

    fn header_mut(&mut self, chunk: ChunkId) -> &mut Header {
        &mut self.headers[chunk.0 as usize]
    }
}

#[cfg(test)]
impl Chunks {
    pub(super) const CHUNK_BYTES: usize = size_of::<[u32; CHUNK]>() + size_of::<Header>() + size_of::<Counts>();

    /// The chunks of `list`, which has to be that of `bucket` and linked both ways.
    pub(super) fn check(&self, list: List, bucket: BucketId) -> Vec<ChunkId> {
        let chunks: Vec<ChunkId> = std::iter::successors(list.head(), |chunk| self.next(*chunk)).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let Header { previous, bucket: owner, .. } = *self.header(*chunk);
            assert_eq!(previous.known(), index.checked_sub(1).map(|previous| chunks[previous]));
            assert_eq!(owner, bucket);
            let is_last = index + 1 == chunks.len();
            let written = if is_last { list.end.0 - chunk.place(0).0 } else { CHUNK as u32 };
            assert_eq!(u32::from(self.counts[chunk.0 as usize].written), written);
        }
        assert_eq!(chunks.is_empty(), list.is_empty());
        chunks
    }

    /// How many entries of `chunk` are not left over.
    pub(super) fn armed(&self, chunk: ChunkId) -> usize {
        let Counts { written, left_over } = self.counts[chunk.0 as usize];
        usize::from(written - left_over)
    }

    pub(super) fn capacity(&self) -> usize {
        assert_eq!(self.headers.len(), self.entries.len());
        self.entries.capacity()
    }
}
