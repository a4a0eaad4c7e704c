//! What a look at a log finds without reading it: its ends, its segments, what it takes of the disk.
//!
//! Only the end of the last segment is read, from the last batch that its index names.
//!
//! - May use: `log_view`. Must not know: how anything is shown.
//! - Always true: nothing is written; what is removed meanwhile is no error.

#![expect(clippy::disallowed_methods, reason = "looks beside a live writer, without its lock")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::cli::finding::CliError;
use crate::cli::log_view::{LogView, Noted, Seen, Wants};
use crate::epoch::LeaderEpoch;
use crate::id::TopicPartition;
use crate::log::{FileName, OffsetIndexView};
use crate::offset::Offset;

/// What `stat` counts blocks in, whatever those of the file system are.
const BLOCK_BYTES: u64 = 512;

/// What a look at a log has found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Survey {
    /// The first readable offset.
    pub(crate) log_start_offset: Offset,
    /// The one behind the last whole batch.
    pub(crate) log_end_offset: Offset,
    /// The reign in which that was appended.
    pub(crate) last_epoch: Option<LeaderEpoch>,
    /// Each segment by its base offset, with the size of its batches in bytes.
    pub(crate) segments: BTreeMap<Offset, u64>,
    /// What all files of the log take of the disk, space that is only reserved too.
    pub(crate) disk_bytes: u64,
    /// What is wrong at its end, if anything is.
    pub(crate) damage: Option<String>,
}

impl Survey {
    /// Looks at a log.
    pub(crate) fn of(view: &LogView) -> Result<Self, CliError> {
        let mut this = Self { log_start_offset: view.log_start_offset(), ..Self::default() };
        this.count_files(view.dir())?;
        if let Some((last, _)) = this.segments.last_key_value() {
            this.read_end(view, *last)?;
        }
        this.log_end_offset = this.log_end_offset.max(this.log_start_offset);
        Ok(this)
    }

    /// As [`Survey::of`] a partition of the log directory `root`; `None` if it is not there.
    pub(crate) fn of_partition(
        root: &Path,
        partition: &TopicPartition,
        noted: &Noted,
    ) -> Result<Option<Self>, CliError> {
        let found = LogView::open_noted(root, partition, noted).and_then(|view| Self::of(&view));
        match found {
            Err(CliError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// The size of all batches.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().sum()
    }

    /// How many offsets there are. Compaction and markers leave fewer records.
    pub(crate) fn offsets(&self) -> u64 {
        self.log_end_offset.get().saturating_sub(self.log_start_offset.get())
    }

    /// How many bytes were appended since a look `before`, whatever retention has removed.
    pub(crate) fn appended_since(&self, before: &Self) -> u64 {
        let grown =
            |(base, size): (&Offset, &u64)| size.saturating_sub(before.segments.get(base).copied().unwrap_or(0));
        self.segments.iter().map(grown).sum()
    }

    fn count_files(&mut self, dir: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::Read { path: dir.to_owned(), source };
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(failed)?,
            };
            self.disk_bytes += metadata.blocks().saturating_mul(BLOCK_BYTES);
            if let Some(FileName::Log(base)) = entry.file_name().to_str().and_then(FileName::parse) {
                self.segments.insert(base, metadata.len());
            }
        }
        Ok(())
    }

    fn read_end(&mut self, view: &LogView, last: Offset) -> Result<(), CliError> {
        self.log_end_offset = last;
        let bytes = view.index(last)?;
        let index = OffsetIndexView::new(last, &bytes).ok().filter(|index| index.check().is_ok());
        let hint = index.and_then(|index| index.entries().next_back()).map_or(last, |entry| entry.offset);
        self.walk(view, hint)?;
        if hint > last && self.log_end_offset <= hint {
            // The index names what is not there: it is no hint.
            self.walk(view, last)?;
        }
        Ok(())
    }

    fn walk(&mut self, view: &LogView, from: Offset) -> Result<(), CliError> {
        self.damage = None;
        let visit = |seen| {
            match seen {
                Seen::Batch { entry, .. } => {
                    self.log_end_offset = self.log_end_offset.max(entry.next_offset());
                    self.last_epoch = self.last_epoch.max(entry.leader_epoch());
                }
                Seen::Damaged { is_torn_tail: true, .. } => {}
                Seen::Damaged { path, position, size, damage, .. } => {
                    let path = path.display();
                    self.damage = Some(format!("{path}: bytes {position} to {}: {damage}", position + size));
                }
            }
            Ok(Wants::More)
        };
        view.visit(from, visit, |_, _| {})
    }
}

/// The partitions that have a directory in the log directory `root`, in order. Whether there is a log in it is not said.
pub(crate) fn partitions(root: &Path) -> Result<Vec<TopicPartition>, CliError> {
    let failed = |source| CliError::Read { path: root.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let partition = name.to_str().and_then(|name| TopicPartition::parse(name).ok());
        // What is gone by now is no directory.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        found.extend(partition.filter(|_| is_directory));
    }
    found.sort();
    Ok(found)
}

/// The names of the files of a directory; none if it is not there.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, CliError> {
    let failed = |source| CliError::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let names = entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(segments: &[(u64, u64)]) -> Survey {
        let segments = segments.iter().map(|(base, size)| (Offset::new(*base), *size)).collect();
        Survey { segments, ..Survey::default() }
    }

    #[test]
    fn what_was_appended_counts_whatever_was_removed_or_compacted_meanwhile() {
        let before = survey(&[(0, 100), (10, 50)]);
        assert_eq!(survey(&[(0, 100), (10, 50)]).appended_since(&before), 0);
        assert_eq!(survey(&[(0, 100), (10, 90), (30, 5)]).appended_since(&before), 45);
        assert_eq!(survey(&[(30, 5)]).appended_since(&before), 5);
        assert_eq!(survey(&[(0, 20), (10, 60)]).appended_since(&before), 10);
    }
}
