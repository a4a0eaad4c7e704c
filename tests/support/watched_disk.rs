//! A disk in memory that somebody watches: asked before a file is opened, renamed or written to, and told after it.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use ottla::disk::{Disk, DiskCall, DiskError, DiskErrorKind, DiskFile, DiskPath, Entry, MemDisk, OpenHow};
use ottla::time::Timestamp;

/// Who watches a disk.
pub(crate) trait Watch: Debug + Send + Sync + 'static {
    /// A call is about to be made: it may be refused, halted, or end in a panic. Of a rename it is the old name.
    fn before(&self, call: DiskCall, path: &DiskPath) -> Result<(), DiskErrorKind>;

    /// It was made.
    fn after(&self, _call: DiskCall, _path: &DiskPath) {}
}

/// The disk. Clones are the same.
#[derive(Debug)]
pub(crate) struct Watched<W> {
    pub(crate) disk: MemDisk,
    pub(crate) watch: Arc<W>,
}

#[derive(Debug)]
pub(crate) struct WatchedFile<W> {
    file: <MemDisk as Disk>::File,
    path: DiskPath,
    watch: Arc<W>,
}

impl<W: Default> Default for Watched<W> {
    fn default() -> Self {
        Self { disk: MemDisk::new(), watch: Arc::default() }
    }
}

impl<W> Clone for Watched<W> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), watch: Arc::clone(&self.watch) }
    }
}

fn watched<W: Watch, T>(
    watch: &W,
    call: DiskCall,
    path: &DiskPath,
    act: impl FnOnce() -> Result<T, DiskError>,
) -> Result<T, DiskError> {
    watch.before(call, path).map_err(|kind| DiskError { call, path: path.clone(), span: None, kind })?;
    let done = act();
    watch.after(call, path);
    done
}

impl<W: Watch> Disk for Watched<W> {
    type File = WatchedFile<W>;
    type Lock = <MemDisk as Disk>::Lock;

    fn open(&self, path: &DiskPath, how: OpenHow) -> Result<WatchedFile<W>, DiskError> {
        let file = watched(&*self.watch, DiskCall::Open, path, || self.disk.open(path, how))?;
        Ok(WatchedFile { file, path: path.clone(), watch: Arc::clone(&self.watch) })
    }

    fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        watched(&*self.watch, DiskCall::Rename, from, || self.disk.rename(from, to))
    }

    fn remove(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.remove(path)
    }

    fn make_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.make_dir(path)
    }

    fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.sync_dir(path)
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.disk.sync_all()
    }

    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError> {
        self.disk.list(path)
    }

    fn lock(&self, path: &DiskPath) -> Result<Self::Lock, DiskError> {
        self.disk.lock(path)
    }

    fn free_space(&self) -> Result<u64, DiskError> {
        self.disk.free_space()
    }
}

impl<W: Watch> DiskFile for WatchedFile<W> {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(position, into)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<usize, DiskError> {
        watched(&*self.watch, DiskCall::Write, &self.path, || self.file.write_at(position, parts))
    }

    fn reserve(&self, len: u64) -> Result<(), DiskError> {
        self.file.reserve(len)
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len)
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.file.len()
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync()
    }

    fn set_modified(&self, to: Timestamp) -> Result<(), DiskError> {
        self.file.set_modified(to)
    }

    fn map(&self, len: u64) -> Result<Option<Bytes>, DiskError> {
        self.file.map(len)
    }
}
