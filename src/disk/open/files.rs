//! What is in a partition's directory: names of ours by kind, names of ours with a suffix, and what is foreign.
//!
//! - May use: the seam, and `log`'s names.
//! - Must not know: what the files say.
//! - Always true: what is foreign is left alone; a segment is there as long as the file of its batches is.

use std::collections::{BTreeMap, BTreeSet};

use crate::disk::report::RecoveryReport;
use crate::disk::segment_file::segment_names;
use crate::disk::small::gone_is_fine;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath, Entry, EntryKind};
use crate::log::FileName;
use crate::offset::Offset;
use crate::time::Timestamp;

/// The files of a partition's directory, by kind.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The segments' batches.
    pub(crate) logs: BTreeMap<Offset, LogEntry>,
    /// Everything else that has one of our names, with its length.
    pub(crate) others: BTreeMap<FileName, u64>,
    /// The producer snapshots.
    pub(crate) snapshots: BTreeSet<Offset>,
    /// Names of ours with a suffix of something that was under way.
    pub(crate) unfinished: BTreeMap<Unfinished, BTreeSet<String>>,
}

/// One segment's batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEntry {
    pub(crate) len: u64,
    pub(crate) modified: Timestamp,
}

/// What was under way when a file was left with a suffix.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Unfinished {
    /// `.deleted`: it was to go.
    Deleted,
    /// `.cleaned`: it was being made.
    Cleaned,
    /// `.swap`: it is complete, and was to take its place.
    Swap,
    /// `.tmp`: a small file that was being replaced.
    Temporary,
}

impl Unfinished {
    fn suffix(self) -> &'static str {
        match self {
            Self::Deleted => ".deleted",
            Self::Cleaned => ".cleaned",
            Self::Swap => ".swap",
            Self::Temporary => ".tmp",
        }
    }

    /// The name without its suffix, and what the suffix means; `None` if nothing of ours was under way.
    pub(crate) fn parse(name: &str) -> Option<(Self, FileName)> {
        [Self::Deleted, Self::Cleaned, Self::Swap, Self::Temporary].into_iter().find_map(|kind| {
            let inner = FileName::parse(name.strip_suffix(kind.suffix())?)?;
            Some((kind, inner))
        })
    }
}

impl Files {
    /// Looks at the directory. What is foreign, or is no regular file, is named in the report and left alone; but a
    /// segment that is a link or a pipe is an error, for it can neither be used nor passed over.
    pub(crate) fn list<D: Disk>(disk: &D, dir: &DiskPath, report: &mut RecoveryReport) -> Result<Self, DiskError> {
        let mut files = Self::default();
        for entry in disk.list(dir)? {
            files.add(dir, entry, report)?;
        }
        Ok(files)
    }

    fn add(&mut self, dir: &DiskPath, entry: Entry, report: &mut RecoveryReport) -> Result<(), DiskError> {
        let text = entry.name.to_str();
        let ours = text.and_then(FileName::parse);
        let unfinished = text.and_then(|text| Some((Unfinished::parse(text)?.0, text.to_owned())));
        match (ours, unfinished, entry.kind) {
            (Some(FileName::Log(base)), _, EntryKind::File { len, modified }) => {
                self.logs.insert(base, LogEntry { len, modified });
            }
            (Some(FileName::Snapshot(offset)), _, EntryKind::File { .. }) => {
                self.snapshots.insert(offset);
            }
            (Some(name), _, EntryKind::File { len, .. }) => {
                self.others.insert(name, len);
            }
            (Some(name), _, kind) => return Err(irregular(dir, name, kind)),
            (None, Some((kind, text)), EntryKind::File { .. }) => {
                self.unfinished.entry(kind).or_default().insert(text);
            }
            (None, _, _) => report.foreign.push(entry.name),
        }
        Ok(())
    }

    /// Files that belong to a segment whose batches are not there.
    pub(crate) fn orphans(&self) -> Vec<FileName> {
        let is_orphan = |name: &&FileName| match name {
            FileName::OffsetIndex(base)
            | FileName::TimeIndex(base)
            | FileName::TxnIndex(base)
            | FileName::Sums(base) => !self.logs.contains_key(base),
            FileName::Log(_)
            | FileName::Snapshot(_)
            | FileName::Replaces(_)
            | FileName::LeaderEpochs
            | FileName::PartitionMetadata => false,
        };
        self.others.keys().filter(is_orphan).copied().collect()
    }

    /// Removes every file of a segment, the batches last: as long as they are there, the segment is.
    pub(crate) fn remove_segment<D: Disk>(&mut self, disk: &D, dir: &DiskPath, base: Offset) -> Result<(), DiskError> {
        for name in segment_names(base).into_iter().rev() {
            gone_is_fine(disk.remove(&dir.entry(name)))?;
            self.others.remove(&name);
        }
        self.logs.remove(&base);
        Ok(())
    }
}

fn irregular(dir: &DiskPath, name: FileName, kind: EntryKind) -> DiskError {
    let kind = match kind {
        EntryKind::Symlink => DiskErrorKind::SymlinkRefused,
        EntryKind::File { .. } | EntryKind::Dir | EntryKind::Other => DiskErrorKind::NotRegularFile,
    };
    DiskError { call: crate::disk::DiskCall::Open, path: dir.entry(name), span: None, kind }
}
