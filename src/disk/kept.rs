//! What is kept of files that do not change any more: index files that were looked into, and maps of sealed segments.
//!
//! - Must not know: names, and where bytes come from.
//! - Always true: at most [`INDEXES_MAX`] index files and [`MAPS_MAX`] maps are kept, and nothing of a file that is gone:
//!   as long as a map stands, so do its blocks on the disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::log::FileId;

/// How many segments are mapped at a time.
const MAPS_MAX: usize = 16;
/// How many index files are kept at a time.
const INDEXES_MAX: usize = 64;

/// The bytes of some of a log's files. Whoever was handed them may hold them for longer.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Index files of sealed segments, mapped or read whole.
    indexes: BTreeMap<FileId, Bytes>,
    /// Sealed segments that are read from a map.
    maps: BTreeMap<FileId, Bytes>,
    /// Files that readers may still hold maps of.
    was_mapped: BTreeSet<FileId>,
}

impl Kept {
    /// The bytes of an index file.
    pub(crate) fn index(&self, file: FileId) -> Option<Bytes> {
        self.indexes.get(&file).cloned()
    }

    /// Keeps the bytes of an index file.
    pub(crate) fn keep_index(&mut self, file: FileId, bytes: Bytes) {
        if self.indexes.len() >= INDEXES_MAX {
            self.indexes.pop_first();
        }
        self.indexes.insert(file, bytes);
    }

    /// The map of a segment.
    pub(crate) fn map(&self, file: FileId) -> Option<Bytes> {
        self.maps.get(&file).cloned()
    }

    /// Keeps the map of a segment.
    pub(crate) fn keep_map(&mut self, file: FileId, map: Bytes) {
        if self.maps.len() >= MAPS_MAX {
            self.maps.pop_first();
        }
        self.maps.insert(file, map);
        self.was_mapped.insert(file);
    }

    /// Whether a reader may still hold a map of the file, so that it must never become shorter.
    pub(crate) fn was_mapped(&self, file: FileId) -> bool {
        self.was_mapped.contains(&file)
    }

    /// The file is gone, or another has its number: nobody is handed its bytes any more.
    pub(crate) fn let_go(&mut self, file: FileId) {
        self.indexes.remove(&file);
        self.maps.remove(&file);
        self.was_mapped.remove(&file);
    }

    /// How many files there are bytes of.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.indexes.len() + self.maps.len()
    }
}
