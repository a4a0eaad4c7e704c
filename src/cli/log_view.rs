//! A partition's log as a reader sees it: without a lock, without opening it, beside whoever writes to it.
//!
//! Segments are looked for one by one as the reader gets to them, so that those rolled meanwhile are seen and those
//! removed meanwhile are no error. What the index says is only a hint, believed if a batch begins there.
//!
//! - Always true: nothing is written; batches come in the order of the files.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "reads beside a live writer, without its lock"
)]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::cli::finding::CliError;
use crate::cli::paths;
use crate::cli::source::Source;
use crate::cli::walk::{Damage, Found, Walk};
use crate::disk::{MARKS_FILE, Marks};
use crate::id::TopicPartition;
use crate::log::{FileName, FlushedMark, OffsetCheckpoint, OffsetIndex, OffsetIndexView};
use crate::offset::Offset;
use crate::record::{BatchError, DecompressLimit, Entry};

/// A partition's log, for reading.
#[derive(Clone)]
pub(crate) struct LogView {
    dir: PathBuf,
    log_start_offset: Offset,
    mark: Option<FlushedMark>,
}

/// What a reader comes to.
pub(crate) enum Seen {
    /// A batch.
    Batch {
        /// The base of its segment.
        segment: Offset,
        /// Where it begins in the segment's file, in bytes.
        position: u64,
        /// The batch.
        entry: Entry,
    },
    /// Bytes that are none.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where they begin, in bytes.
        position: u64,
        /// How many there are.
        size: u64,
        /// What is wrong with them.
        damage: Damage,
        /// Whether this is the end of a write that was cut short, or is under way.
        is_torn_tail: bool,
    },
}

/// Whether a reader wants more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wants {
    /// Go on.
    More,
    /// Stop here.
    Enough,
}

/// What the small files at the root of a log directory say of its logs. What cannot be understood says nothing.
#[derive(Default)]
pub(crate) struct Noted {
    log_starts: OffsetCheckpoint,
    marks: Marks,
}

impl Noted {
    /// Reads them.
    pub(crate) fn read(root: &Path) -> Result<Self, CliError> {
        let log_starts = OffsetCheckpoint::parse(&small(&root.join("log-start-offset-checkpoint"))?);
        let marks = Marks::parse(&small(&root.join(MARKS_FILE))?);
        Ok(Self { log_starts: log_starts.unwrap_or_default(), marks: marks.unwrap_or_default() })
    }
}

impl LogView {
    /// Looks at the log of `partition` in the log directory `root`.
    pub(crate) fn open(root: &Path, partition: &TopicPartition) -> Result<Self, CliError> {
        Self::open_noted(root, partition, &Noted::read(root)?)
    }

    /// As [`LogView::open`], for many partitions one after the other.
    pub(crate) fn open_noted(root: &Path, partition: &TopicPartition, said: &Noted) -> Result<Self, CliError> {
        let dir = root.join(partition.to_string());
        fs::read_dir(&dir).map_err(|source| CliError::Read { path: dir.clone(), source })?;
        let noted = said.log_starts.offsets.get(partition).copied();
        let mark = said.marks.find(partition).copied();
        let log_start_offset = noted.max(mark.map(|mark| mark.log_start_offset)).unwrap_or(Offset::ZERO);
        let mut this = Self { dir, log_start_offset, mark };
        let first = this.next_segment(None)?;
        this.log_start_offset = log_start_offset.max(first.unwrap_or(Offset::ZERO));
        Ok(this)
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a file of the log is.
    pub(crate) fn path_of(&self, name: FileName) -> PathBuf {
        self.dir.join(name.to_string())
    }

    /// The first readable offset.
    pub(crate) fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// Goes through the batches that end above `from`, and all damage in their segments, until `visit` has enough.
    ///
    /// `on_progress` hears how far into a segment it has come, and how long that is.
    pub(crate) fn visit(
        &self,
        from: Offset,
        mut visit: impl FnMut(Seen) -> Result<Wants, CliError>,
        mut on_progress: impl FnMut(u64, u64),
    ) -> Result<(), CliError> {
        let mut segment = self.segment_of(from)?;
        while let Some(base) = segment {
            let path = self.dir.join(FileName::Log(base).to_string());
            let failed = |source| CliError::Read { path: path.clone(), source };
            let file = match File::open(&path) {
                Ok(file) => file,
                // Removed since we saw it: its records are no more.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    segment = self.next_segment(Some(base))?;
                    continue;
                }
                Err(source) => return Err(failed(source)),
            };
            let mut walk = Walk::new(&file, Some(base)).map_err(failed)?;
            let hint = self.position_hint(base, from);
            walk.start_at(hint, |entry| is_at_most(entry, from)).map_err(failed)?;
            while let Some(found) = walk.next().map_err(failed)? {
                let (position, end) = walk.progress();
                on_progress(position, end);
                let seen = match found {
                    Found::Batch { entry, .. } if entry.next_offset() <= from => continue,
                    Found::Batch { position, entry, .. } => Seen::Batch { segment: base, position, entry },
                    Found::Damaged { position, size, damage, .. } => {
                        let reaches_the_end = position + size >= end && self.next_segment(Some(base))?.is_none();
                        let is_torn_tail = reaches_the_end && self.is_torn(base, position, &damage);
                        Seen::Damaged { path: path.clone(), position, size, damage, is_torn_tail }
                    }
                };
                if visit(seen)? == Wants::Enough {
                    return Ok(());
                }
            }
            segment = self.next_segment(Some(base))?;
        }
        Ok(())
    }

    /// Whether damage at the end of the last segment is a write that was cut short: above what is known to be flushed.
    fn is_torn(&self, base: Offset, position: u64, damage: &Damage) -> bool {
        match self.mark {
            Some(mark) => (base, position) >= (mark.segment, u64::from(mark.position)),
            None => matches!(damage, Damage::Batch(BatchError::Incomplete { .. }) | Damage::Zeros),
        }
    }

    /// The segment that has `offset`, or the first one.
    fn segment_of(&self, offset: Offset) -> Result<Option<Offset>, CliError> {
        let bases = self.bases()?;
        let at_most = bases.iter().copied().filter(|base| *base <= offset).max();
        Ok(at_most.or_else(|| bases.into_iter().min()))
    }

    /// The segment behind the one that begins at `base`.
    fn next_segment(&self, base: Option<Offset>) -> Result<Option<Offset>, CliError> {
        Ok(self.bases()?.into_iter().filter(|other| base.is_none_or(|base| *other > base)).min())
    }

    fn bases(&self) -> Result<Vec<Offset>, CliError> {
        let failed = |source| CliError::Read { path: self.dir.clone(), source };
        let mut bases = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(FileName::Log(base)) = name.to_str().and_then(FileName::parse) {
                bases.push(base);
            }
        }
        Ok(bases)
    }

    /// Where the index says that a batch at or below `offset` begins.
    fn position_hint(&self, base: Offset, offset: Offset) -> u64 {
        // An index that cannot be read is no hint, and no error: it can be made again.
        let bytes = self.index(base).unwrap_or_default();
        OffsetIndexView::new(base, &bytes).map_or(0, |view| view.lookup(offset).1.into())
    }

    /// The bytes of a segment's offset index, without the space that was taken in advance: that is not in order with
    /// the entries before it.
    pub(crate) fn index(&self, base: Offset) -> Result<Bytes, CliError> {
        let bytes = small(&self.path_of(FileName::OffsetIndex(base)))?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let used = used.next_multiple_of(OffsetIndex::ENTRY_BYTES).min(bytes.len());
        Ok(bytes.slice(..used))
    }
}

fn is_at_most(entry: &Entry, offset: Offset) -> bool {
    entry.base_offset(DecompressLimit::default()).is_ok_and(|base| base <= offset)
}

/// The largest index, checkpoint or file of marks that is read.
const SMALL_BYTES_MAX: u64 = 64 << 20;

/// A small file, whole; empty if it is not there.
pub(crate) fn small(path: &Path) -> Result<Bytes, CliError> {
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    let file = match paths::open(path) {
        Ok(file) => file,
        Err(CliError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
        Err(error) => return Err(error),
    };
    let size = Source::len(&file).map_err(failed)?.min(SMALL_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let read = file.read_at(0, &mut bytes).map_err(failed)?;
    bytes.truncate(read);
    Ok(bytes.into())
}
