//! The flushed marks of a log directory: what each of its logs knows to be on disk.
//!
//! One file of our own at the root, which Kafka ignores. Each partition has a slot, and each slot two copies of 512
//! bytes in different pages. A mark is written over the older copy, as one positional write, so that a write torn by a
//! power loss leaves the newer one; and only a sync makes it the newer one itself. Each copy has a checksum and a
//! generation, which rises with every write to the file. When to sync is the caller's to say, with the data that a mark
//! speaks of or after it.
//!
//! ```text
//! page 0: copy 0 of slots 0..8    page 1: copy 1 of slots 0..8    page 2: copy 0 of slots 8..16 ...
//! ```
//!
//! - May use: leaves, `log`, the seam itself.
//! - Must not know: what the mark means for recovery.
//! - Always true: a crash leaves of each slot the last copy that was synced, or one written later.

mod copy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use self::copy::COPY_BYTES;
pub use self::copy::{BadMark, MarkCopy};
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskFile, DiskPath, OpenHow};
use crate::id::TopicPartition;
use crate::log::FlushedMark;

/// The name of the file, in the root of a log directory.
pub const MARKS_FILE: &str = "ottla-flushed-marks";
const PAGE_BYTES: u64 = 4096;
const SLOTS_PER_PAGE: u32 = 8;
/// As many slots as a file may have: more partitions than that go without a mark.
const SLOTS_MAX: u32 = 1 << 16;

const _: () = assert!(COPY_BYTES as u64 * SLOTS_PER_PAGE as u64 == PAGE_BYTES, "copies fill their page");

/// A copy that could not be read, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("flushed mark {slot}{}, copy {copy}: {why}", partition.as_ref().map_or(String::new(), |name| format!(" ({name})")))]
pub struct BadCopy {
    /// The number of the slot.
    pub slot: u32,
    /// Which of the two.
    pub copy: u8,
    /// Whose slot it is, if the other copy says so.
    pub partition: Option<TopicPartition>,
    /// What is wrong.
    pub why: BadMark,
}

/// Why the marks of a directory could not be read or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MarksError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A later version of this library wrote the file.
    #[error("{MARKS_FILE} is in format {found}, at most {max} is known here")]
    UnsupportedFormat {
        /// The format it is in.
        found: u16,
        /// The last that is known.
        max: u16,
    },
    /// There are as many partitions as the file can hold.
    #[error("{MARKS_FILE} has {slots} slots, and all are taken")]
    Full {
        /// How many there are.
        slots: u32,
    },
}

/// The marks of one log directory, as read from its file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    marks: BTreeMap<TopicPartition, Slot>,
    /// Slots that hold no mark.
    free: BTreeSet<u32>,
    /// Of each slot the copy to be written next: never the newest that is durable.
    next: Vec<u8>,
    /// Slots written since the last sync. Until then they are written in the same place again.
    unsynced: BTreeSet<u32>,
    generation: u64,
    bad: Vec<BadCopy>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Slot {
    number: u32,
    generation: u64,
    mark: FlushedMark,
}

impl Marks {
    /// Reads the marks of a directory; none if it has no such file. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`MarksError::UnsupportedFormat`] if a later version wrote any of them, or the disk's own.
    pub fn read<D: Disk>(disk: &D) -> Result<Self, MarksError> {
        match disk.open(&path(), OpenHow::Read) {
            Ok(file) => Self::read_file(&file),
            Err(error) if error.kind == DiskErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn read_file(file: &impl DiskFile) -> Result<Self, MarksError> {
        let mut marks = Self::default();
        let mut pages = vec![0; 2 * PAGE_BYTES as usize];
        for group in 0..u64::from(SLOTS_MAX / SLOTS_PER_PAGE) {
            let position = group * 2 * PAGE_BYTES;
            let len = file.read_full(position, &mut pages)?;
            if len > 0 {
                marks.feed(&pages[..len])?;
            }
            if len < pages.len() {
                break;
            }
        }
        Ok(marks)
    }

    /// Reads the content of a file of marks.
    ///
    /// # Errors
    ///
    /// [`MarksError::UnsupportedFormat`] if a later version wrote any of them.
    pub fn parse(bytes: &[u8]) -> Result<Self, MarksError> {
        let mut marks = Self::default();
        for pages in bytes.chunks(2 * PAGE_BYTES as usize).take((SLOTS_MAX / SLOTS_PER_PAGE) as usize) {
            marks.feed(pages)?;
        }
        Ok(marks)
    }

    /// Takes the next two pages of the file, both copies of eight slots.
    fn feed(&mut self, pages: &[u8]) -> Result<(), MarksError> {
        let first = self.slots();
        for slot in first..first + SLOTS_PER_PAGE {
            let copies = [0, 1].map(|copy| {
                let at = copy * PAGE_BYTES as usize + (slot - first) as usize * COPY_BYTES;
                let bytes = pages.get(at..).unwrap_or_default();
                MarkCopy::parse(&bytes[..bytes.len().min(COPY_BYTES)], slot)
            });
            for copy in &copies {
                if let Err(BadMark::UnsupportedFormat { found, max }) = copy {
                    return Err(MarksError::UnsupportedFormat { found: *found, max: *max });
                }
            }
            self.take(slot, copies);
        }
        Ok(())
    }

    fn slots(&self) -> u32 {
        self.next.len() as u32
    }

    fn take(&mut self, slot: u32, copies: [Result<Option<MarkCopy>, BadMark>; 2]) {
        let generation = |copy: &Result<Option<MarkCopy>, BadMark>| match copy {
            Ok(Some(copy)) => Some(copy.generation),
            Ok(None) | Err(_) => None,
        };
        let newest = if generation(&copies[0]) >= generation(&copies[1]) { 0 } else { 1 };
        let found = copies[newest].clone().ok().flatten();
        let partition = found.as_ref().and_then(|copy| copy.mark.as_ref()).map(|(partition, _)| partition.clone());
        for (copy, why) in (0..).zip(&copies).filter_map(|(copy, read)| Some((copy, *read.as_ref().err()?))) {
            self.bad.push(BadCopy { slot, copy, partition: partition.clone(), why });
        }
        self.next.push(1 - newest as u8);
        let generation = found.as_ref().map_or(0, |copy| copy.generation);
        self.generation = self.generation.max(generation);
        match found.and_then(|copy| copy.mark) {
            Some((partition, mark)) => self.enter(partition, Slot { number: slot, generation, mark }),
            None => {
                self.free.insert(slot);
            }
        }
    }

    /// Of two slots for one partition the one written last counts, and the other is free.
    fn enter(&mut self, partition: TopicPartition, slot: Slot) {
        match self.marks.get(&partition) {
            Some(known) if known.generation > slot.generation => {
                self.free.insert(slot.number);
            }
            _ => {
                if let Some(old) = self.marks.insert(partition, slot) {
                    self.free.insert(old.number);
                }
            }
        }
    }

    /// The mark of a partition.
    pub fn find(&self, partition: &TopicPartition) -> Option<&FlushedMark> {
        self.marks.get(partition).map(|slot| &slot.mark)
    }

    /// All marks, in the order of partitions.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &FlushedMark)> {
        self.marks.iter().map(|(partition, slot)| (partition, &slot.mark))
    }

    /// The copies that could not be read, in the order of the file. A slot with one bad copy lost at most its last
    /// write; a partition with two has no mark.
    pub fn bad(&self) -> &[BadCopy] {
        &self.bad
    }

    /// Where the next mark of `partition` goes, and what is to stand there.
    fn plan(&self, partition: &TopicPartition, mark: Option<&FlushedMark>) -> Result<Planned, MarksError> {
        let number = match self.marks.get(partition) {
            Some(slot) => slot.number,
            None => self.free.first().copied().unwrap_or(self.slots()),
        };
        if number >= SLOTS_MAX {
            return Err(MarksError::Full { slots: SLOTS_MAX });
        }
        let copy = self.next.get(number as usize).copied().unwrap_or(0);
        let generation = self.generation.saturating_add(1);
        let mark = mark.map(|mark| (partition.clone(), *mark));
        Ok(Planned { copy, bytes: MarkCopy { slot: number, generation, mark } })
    }

    /// What was planned has been written.
    fn apply(&mut self, partition: &TopicPartition, planned: Planned) {
        let MarkCopy { slot: number, generation, mark } = planned.bytes;
        self.generation = generation;
        while self.slots() <= number {
            self.free.insert(self.slots());
            self.next.push(0);
        }
        self.unsynced.insert(number);
        match mark {
            Some((_, mark)) => {
                self.free.remove(&number);
                self.marks.insert(partition.clone(), Slot { number, generation, mark });
            }
            None => {
                self.marks.remove(partition);
                self.free.insert(number);
            }
        }
    }

    /// What was written is durable: the other copy of each slot is the older one now.
    fn synced(&mut self) {
        for slot in std::mem::take(&mut self.unsynced) {
            if let Some(next) = self.next.get_mut(slot as usize) {
                *next = 1 - *next;
            }
        }
    }
}

/// One write to one copy.
struct Planned {
    copy: u8,
    bytes: MarkCopy,
}

impl Planned {
    fn position(&self) -> u64 {
        let (group, within) = (self.bytes.slot / SLOTS_PER_PAGE, self.bytes.slot % SLOTS_PER_PAGE);
        (u64::from(group) * 2 + u64::from(self.copy)) * PAGE_BYTES + u64::from(within) * COPY_BYTES as u64
    }
}

/// The open file of a directory's marks.
///
/// The file is made with the first mark, so that a full disk can be opened.
#[derive(Debug)]
pub struct MarkFile<D: Disk> {
    disk: D,
    file: Option<D::File>,
    marks: Marks,
    named: Named,
}

/// What is known about the file on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Named {
    /// Its name is durable.
    Durably,
    /// We made it, and its name was never synced.
    NotYet,
    /// It was there. What we read of it may be in the cache alone, if the process before us was killed.
    Unsure,
}

impl<D: Disk> MarkFile<D> {
    /// Opens the marks of a directory for writing. Nothing is written yet.
    ///
    /// # Errors
    ///
    /// As [`Marks::read`].
    pub fn open(disk: D) -> Result<Self, MarksError> {
        let file = match disk.open(&path(), OpenHow::Write) {
            Ok(file) => Some(file),
            Err(error) if error.kind == DiskErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let marks = file.as_ref().map_or(Ok(Marks::default()), Marks::read_file)?;
        let named = if file.is_some() { Named::Unsure } else { Named::NotYet };
        Ok(Self { disk, file, marks, named })
    }

    /// Whether there is a file.
    pub(crate) fn is_there(&self) -> bool {
        self.file.is_some()
    }

    /// What the file says.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Writes the mark of a partition over the older of its two copies. It is durable after [`sync`](Self::sync);
    /// until then further marks of the same partition go to the same place, so that the durable one stands.
    ///
    /// A mark may go back (after a truncation); but should its copy then rot, the older one, which says more, counts.
    /// Who wants to exclude that writes and syncs twice.
    ///
    /// # Errors
    ///
    /// [`MarksError::Full`], or the disk's own; then the other copy is as it was, and the next write comes here again.
    pub fn write(&mut self, partition: &TopicPartition, mark: &FlushedMark) -> Result<(), MarksError> {
        self.write_slot(partition, Some(mark))
    }

    /// Takes the mark of a partition away. Nothing happens if it has none. Durable after [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// The disk's own.
    pub fn remove(&mut self, partition: &TopicPartition) -> Result<(), MarksError> {
        match self.marks.find(partition) {
            Some(_) => self.write_slot(partition, None),
            None => Ok(()),
        }
    }

    fn write_slot(&mut self, partition: &TopicPartition, mark: Option<&FlushedMark>) -> Result<(), MarksError> {
        // Or the copy that we take for the older one may be the only durable one.
        self.settle()?;
        let planned = self.marks.plan(partition, mark)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.disk.open(&path(), OpenHow::Create)?),
        };
        if planned.bytes.slot >= self.marks.slots() && planned.bytes.slot.is_multiple_of(SLOTS_PER_PAGE) {
            // Both pages at once: from then on a mark finds its place also on a full disk.
            let pages = vec![0; 2 * PAGE_BYTES as usize];
            file.write_full(u64::from(planned.bytes.slot / SLOTS_PER_PAGE) * 2 * PAGE_BYTES, &pages)?;
        }
        file.write_full(planned.position(), &planned.bytes.encode())?;
        self.marks.apply(partition, planned);
        Ok(())
    }

    /// Makes durable what was read, if that was left to the cache. Writes nothing.
    ///
    /// # Errors
    ///
    /// The disk's own.
    pub fn settle(&mut self) -> Result<(), DiskError> {
        if self.named == Named::Unsure { self.sync() } else { Ok(()) }
    }

    /// Makes durable what was written, and the first time the name of the file.
    ///
    /// # Errors
    ///
    /// The disk's own. After one, nothing is known about the writes since the last sync.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync()?;
        self.marks.synced();
        if self.named != Named::Durably {
            self.disk.sync_dir(&DiskPath::root())?;
            self.named = Named::Durably;
        }
        Ok(())
    }
}

fn path() -> DiskPath {
    DiskPath::root().entry(MARKS_FILE)
}
