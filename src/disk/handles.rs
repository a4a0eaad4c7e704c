//! Open files of one log: which handle belongs to which of the log's file numbers.
//!
//! A number is never given twice, so a handle stays what it was, also when its name has gone to another file. Readers
//! hold handles, not names: removing or replacing a file does not touch them. Only a truncation does, and it shows in
//! [`Handle::cuts`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::disk::{Disk, DiskCall, DiskError, DiskErrorKind, DiskPath, OpenHow};
use crate::log::{FileId, FileName};

/// An open file of a log.
#[derive(Debug)]
pub struct Handle<F> {
    /// The file.
    pub file: F,
    /// The name it was opened under.
    pub name: FileName,
    cuts: AtomicU32,
}

impl<F> Handle<F> {
    fn new(file: F, name: FileName) -> Arc<Self> {
        Arc::new(Self { file, name, cuts: AtomicU32::new(0) })
    }

    /// How often the file was cut. Bytes read under one count belong together; under another they may be of a batch
    /// that took the place of the one wanted.
    pub fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::Acquire)
    }

    /// To be called before and after a cut.
    pub(crate) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::AcqRel);
    }
}

/// The files of one log by number. Those not used for long are closed, and opened again when needed.
#[derive(Debug)]
pub(crate) struct Handles<D: Disk> {
    disk: D,
    dir: DiskPath,
    names: BTreeMap<FileId, FileName>,
    /// The largest number that there has been.
    newest: Option<FileId>,
    open: BTreeMap<FileId, Arc<Handle<D::File>>>,
    open_max: usize,
    /// Files written to since their last sync, with how often. A failed write-back shows only on the description that
    /// wrote.
    unsynced: BTreeMap<FileId, u64>,
}

impl<D: Disk> Handles<D> {
    /// No files yet. At most about `open_max` are held open.
    pub(crate) fn new(disk: D, dir: DiskPath, open_max: usize) -> Self {
        let (names, open, unsynced) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { disk, dir, names, newest: None, open, open_max, unsynced }
    }

    pub(crate) fn path(&self, name: FileName) -> DiskPath {
        self.dir.entry(name)
    }

    /// The number `file` belongs to the file of this name, which is there.
    pub(crate) fn adopt(&mut self, file: FileId, name: FileName) {
        self.note(file, name);
    }

    fn note(&mut self, file: FileId, name: FileName) {
        self.names.insert(file, name);
        self.newest = self.newest.max(Some(file));
    }

    /// Makes the file, empty.
    pub(crate) fn create(&mut self, file: FileId, name: FileName) -> Result<(), DiskError> {
        let made = self.disk.open(&self.path(name), OpenHow::Replace)?;
        self.make_room();
        // Whoever had the name before has it no longer.
        self.names.retain(|_, known| *known != name);
        self.note(file, name);
        self.open.insert(file, Handle::new(made, name));
        Ok(())
    }

    /// Whether there was a file of this number, and it was removed or has lost its name to another. One that is still to be
    /// made is not gone.
    pub(crate) fn is_gone(&self, file: FileId) -> bool {
        !self.names.contains_key(&file) && self.newest.is_some_and(|newest| file <= newest)
    }

    /// The handle of the file, opened if it is not.
    pub(crate) fn handle(&mut self, file: FileId) -> Result<Arc<Handle<D::File>>, DiskError> {
        if let Some(handle) = self.open.get(&file) {
            return Ok(Arc::clone(handle));
        }
        let name = self.names.get(&file).copied().ok_or_else(|| DiskError {
            call: DiskCall::Open,
            path: self.dir.clone(),
            span: None,
            kind: DiskErrorKind::NotFound,
        })?;
        self.make_room();
        let handle = Handle::new(self.disk.open(&self.path(name), OpenHow::Write)?, name);
        self.open.insert(file, Arc::clone(&handle));
        Ok(handle)
    }

    /// Closes what was not used for long. The oldest numbers are those of the oldest segments; the newest are written to.
    fn make_room(&mut self) {
        while self.open.len() >= self.open_max
            && let Some(oldest) = self.open.keys().find(|known| !self.unsynced.contains_key(known)).copied()
        {
            self.open.remove(&oldest);
        }
    }

    /// Another file has taken the name and the number of this one.
    pub(crate) fn replaced(&mut self, file: FileId, name: FileName, by: D::File) -> Arc<Handle<D::File>> {
        let handle = Handle::new(by, name);
        self.unsynced.remove(&file);
        self.open.insert(file, Arc::clone(&handle));
        handle
    }

    /// The file was written to: its handle stays open until [`Handles::synced`].
    pub(crate) fn wrote(&mut self, file: FileId) {
        *self.unsynced.entry(file).or_default() += 1;
    }

    /// How often the file was written to since it was last known to be on disk.
    pub(crate) fn writes(&self, file: FileId) -> u64 {
        self.unsynced.get(&file).copied().unwrap_or(0)
    }

    /// What was written to the file when [`Handles::writes`] said so is on disk. What came since is not.
    pub(crate) fn synced(&mut self, file: FileId, writes: u64) {
        if self.writes(file) == writes {
            self.unsynced.remove(&file);
        }
    }

    /// Forgets the number. Answers whether the name still was its own, so that the file may be removed.
    pub(crate) fn forget(&mut self, file: FileId) -> bool {
        self.open.remove(&file);
        self.unsynced.remove(&file);
        self.names.remove(&file).is_some()
    }

    /// Forgets whoever has this name. Answers its number.
    pub(crate) fn forget_name(&mut self, name: FileName) -> Option<FileId> {
        let file = self.names.iter().find(|(_, known)| **known == name).map(|(file, _)| *file)?;
        self.forget(file);
        Some(file)
    }

    /// How many files are open.
    pub(crate) fn open_files(&self) -> usize {
        self.open.len()
    }

    /// Whether any number has this name.
    pub(crate) fn has_name(&self, name: FileName) -> bool {
        self.names.values().any(|known| *known == name)
    }
}
