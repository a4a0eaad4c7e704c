//! A disk that nothing is written to: what would have been is kept in memory, over another disk.
//!
//! Whoever opens a log on an [`OverlayDisk`] sees what an opening would find and do, and can read the log beside a live
//! writer, while not a byte of the directory changes: no lock is taken, no file is made.
//!
//! - May use: `time` and the seam itself.
//! - Always true: the disk below is only ever opened for reading.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::disk::{Disk, DiskCall, DiskError, DiskErrorKind, DiskFile, DiskPath, Entry, EntryKind, OpenHow};
use crate::time::Timestamp;

/// A disk over another that keeps every change to itself. Clones share the changes.
#[derive(Clone, Debug)]
pub struct OverlayDisk<D: Disk> {
    below: D,
    over: Arc<Mutex<BTreeMap<DiskPath, Over<D>>>>,
}

/// What stands in the place of an entry below.
#[derive(Clone, Debug)]
enum Over<D: Disk> {
    Removed,
    Dir,
    File(Arc<Mutex<Layered<D>>>),
}

/// A file below, and what was changed of it.
#[derive(Debug)]
struct Layered<D: Disk> {
    below: Option<D::File>,
    /// How much of the file below still shows.
    below_len: u64,
    len: u64,
    /// Bytes by position; none overlap.
    changes: BTreeMap<u64, Vec<u8>>,
    modified: Timestamp,
}

/// An open file of an [`OverlayDisk`].
#[derive(Debug)]
pub struct OverlayFile<D: Disk> {
    path: DiskPath,
    inner: Inner<D>,
}

#[derive(Debug)]
enum Inner<D: Disk> {
    /// Never changed so far: reads what is below, as it grows.
    Below(D::File),
    Layered(Arc<Mutex<Layered<D>>>),
}

impl<D: Disk> OverlayDisk<D> {
    /// Shows `below`, and changes nothing of it.
    pub fn new(below: D) -> Self {
        Self { below, over: Arc::default() }
    }

    /// Whether anything would have been changed.
    pub fn is_changed(&self) -> bool {
        !self.over().is_empty()
    }

    fn over(&self) -> MutexGuard<'_, BTreeMap<DiskPath, Over<D>>> {
        // A panic elsewhere leaves the map whole: each change is one insertion.
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self, path: &DiskPath) -> Option<Over<D>> {
        self.over().get(path).cloned()
    }

    /// The file as one that can be changed.
    fn layered(&self, path: &DiskPath, how: OpenHow) -> Result<Arc<Mutex<Layered<D>>>, DiskError> {
        let missing = || error(DiskCall::Open, path, DiskErrorKind::NotFound);
        let empty =
            || Layered { below: None, below_len: 0, len: 0, changes: BTreeMap::new(), modified: Timestamp::NONE };
        let layered = match (self.found(path), how) {
            (Some(Over::File(file)), OpenHow::Read | OpenHow::Write | OpenHow::Create) => return Ok(file),
            (Some(Over::Dir), _) => return Err(error(DiskCall::Open, path, DiskErrorKind::NotRegularFile)),
            (_, OpenHow::Replace) | (Some(Over::Removed), OpenHow::Create) => empty(),
            (Some(Over::Removed), OpenHow::Read | OpenHow::Write) => return Err(missing()),
            (None, OpenHow::Read | OpenHow::Write | OpenHow::Create) => match self.below.open(path, OpenHow::Read) {
                Ok(file) => {
                    let len = file.len()?;
                    Layered { below: Some(file), below_len: len, len, ..empty() }
                }
                Err(error) if error.kind == DiskErrorKind::NotFound && how == OpenHow::Create => empty(),
                Err(error) => return Err(error),
            },
        };
        let file = Arc::new(Mutex::new(layered));
        self.over().insert(path.clone(), Over::File(Arc::clone(&file)));
        Ok(file)
    }
}

impl<D: Disk> Disk for OverlayDisk<D> {
    type File = OverlayFile<D>;
    type Lock = ();

    fn open(&self, path: &DiskPath, how: OpenHow) -> Result<Self::File, DiskError> {
        let untouched = self.found(path).is_none();
        // A log is opened for writing long before it is written to, if ever: until then it shows what is below.
        let inner = if untouched && matches!(how, OpenHow::Read) {
            Inner::Below(self.below.open(path, OpenHow::Read)?)
        } else {
            Inner::Layered(self.layered(path, how)?)
        };
        Ok(OverlayFile { path: path.clone(), inner })
    }

    fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        let file = self.layered(from, OpenHow::Write)?;
        let mut over = self.over();
        over.insert(from.clone(), Over::Removed);
        over.insert(to.clone(), Over::File(file));
        Ok(())
    }

    fn remove(&self, path: &DiskPath) -> Result<(), DiskError> {
        match self.found(path) {
            Some(Over::Removed) => return Err(error(DiskCall::Remove, path, DiskErrorKind::NotFound)),
            Some(Over::Dir | Over::File(_)) => {}
            None => {
                let entries = self.below.list(&path.parent())?;
                if !entries.iter().any(|entry| entry.name.to_str() == Some(path.name())) {
                    return Err(error(DiskCall::Remove, path, DiskErrorKind::NotFound));
                }
            }
        }
        self.over().insert(path.clone(), Over::Removed);
        Ok(())
    }

    fn make_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        if self.list(path).is_err() {
            self.over().insert(path.clone(), Over::Dir);
        }
        Ok(())
    }

    fn sync_dir(&self, _path: &DiskPath) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError> {
        let below = match self.found(path) {
            Some(Over::Removed) => return Err(error(DiskCall::List, path, DiskErrorKind::NotFound)),
            Some(Over::File(_)) => return Err(error(DiskCall::List, path, DiskErrorKind::NotADirectory)),
            Some(Over::Dir) => Vec::new(),
            None => self.below.list(path)?,
        };
        let mut entries: BTreeMap<OsString, EntryKind> =
            below.into_iter().map(|entry| (entry.name, entry.kind)).collect();
        for (changed, over) in self.over().iter().filter(|(changed, _)| changed.parent() == *path) {
            let name = OsString::from(changed.name());
            match over {
                Over::Removed => drop(entries.remove(&name)),
                Over::Dir => drop(entries.insert(name, EntryKind::Dir)),
                Over::File(file) => {
                    let file = locked(file);
                    entries.insert(name, EntryKind::File { len: file.len, modified: file.modified });
                }
            }
        }
        Ok(entries.into_iter().map(|(name, kind)| Entry { name, kind }).collect())
    }

    fn lock(&self, _path: &DiskPath) -> Result<Self::Lock, DiskError> {
        Ok(())
    }

    fn free_space(&self) -> Result<u64, DiskError> {
        self.below.free_space()
    }
}

impl<D: Disk> DiskFile for OverlayFile<D> {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        match &self.inner {
            Inner::Below(file) => file.read_at(position, into),
            Inner::Layered(file) => locked(file).read_at(position, into),
        }
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<usize, DiskError> {
        let mut file = locked(self.changed(DiskCall::Write)?);
        let mut at = position;
        for part in parts {
            file.write(at, part);
            at = at.saturating_add(part.len() as u64);
        }
        Ok((at - position) as usize)
    }

    fn reserve(&self, _len: u64) -> Result<(), DiskError> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        locked(self.changed(DiskCall::SetLen)?).set_len(len);
        Ok(())
    }

    fn len(&self) -> Result<u64, DiskError> {
        match &self.inner {
            Inner::Below(file) => file.len(),
            Inner::Layered(file) => Ok(locked(file).len),
        }
    }

    fn sync(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn set_modified(&self, to: Timestamp) -> Result<(), DiskError> {
        locked(self.changed(DiskCall::SetModified)?).modified = to;
        Ok(())
    }

    /// Never: the writer below may shorten what is mapped here.
    fn map(&self, _len: u64) -> Result<Option<Bytes>, DiskError> {
        Ok(None)
    }
}

impl<D: Disk> OverlayFile<D> {
    fn changed(&self, call: DiskCall) -> Result<&Arc<Mutex<Layered<D>>>, DiskError> {
        match &self.inner {
            Inner::Layered(file) => Ok(file),
            Inner::Below(_) => Err(error(call, &self.path, DiskErrorKind::PermissionDenied)),
        }
    }
}

impl<D: Disk> Layered<D> {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let want = (self.len.saturating_sub(position)).min(into.len() as u64) as usize;
        let into = &mut into[..want];
        let shown = (self.below_len.saturating_sub(position)).min(want as u64) as usize;
        let read = match &self.below {
            Some(file) => file.read_full(position, &mut into[..shown])?,
            None => 0,
        };
        into[read..].fill(0);
        let end = position + want as u64;
        let before = self.changes.range(..=position).next_back();
        for (at, bytes) in before.into_iter().chain(self.changes.range(position.saturating_add(1)..end)) {
            let from = (*at).max(position);
            let to = (at + bytes.len() as u64).min(end);
            if from < to {
                let source = &bytes[(from - at) as usize..(to - at) as usize];
                into[(from - position) as usize..(to - position) as usize].copy_from_slice(source);
            }
        }
        Ok(want)
    }

    fn write(&mut self, position: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = position.saturating_add(bytes.len() as u64);
        self.clear(position, end);
        self.changes.insert(position, bytes.to_vec());
        self.len = self.len.max(end);
    }

    /// Takes the changes from `from` to `to` away.
    fn clear(&mut self, from: u64, to: u64) {
        let touched: Vec<u64> = self
            .changes
            .range(..to)
            .rev()
            .take_while(|(at, bytes)| *at + bytes.len() as u64 > from)
            .map(|(at, _)| *at)
            .collect();
        for at in touched {
            let Some(bytes) = self.changes.remove(&at) else { continue };
            let end = at + bytes.len() as u64;
            if at < from {
                self.changes.insert(at, bytes[..(from - at) as usize].to_vec());
            }
            if end > to {
                self.changes.insert(to, bytes[(to - at) as usize..].to_vec());
            }
        }
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.clear(len, u64::MAX);
            self.below_len = self.below_len.min(len);
        }
        self.len = len;
    }
}

fn locked<D: Disk>(file: &Arc<Mutex<Layered<D>>>) -> MutexGuard<'_, Layered<D>> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(call: DiskCall, path: &DiskPath, kind: DiskErrorKind) -> DiskError {
    DiskError { call, path: path.clone(), span: None, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn file(name: &str) -> DiskPath {
        DiskPath::parse(name).unwrap()
    }

    fn read(disk: &impl Disk, name: &str) -> Vec<u8> {
        let file = disk.open(&file(name), OpenHow::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_full(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_shows_above_and_not_below() {
        let below = MemDisk::new();
        below.put("a", b"0123456789".to_vec()).unwrap();
        let before = below.digest();
        let over = OverlayDisk::new(below.clone());
        let open = over.open(&file("a"), OpenHow::Write).unwrap();
        open.write_full(2, b"xyz").unwrap();
        open.write_full(3, b"AB").unwrap();
        open.write_full(12, b"end").unwrap();
        assert_eq!(read(&over, "a"), b"01xAB56789\0\0end");
        open.set_len(4).unwrap();
        open.set_len(8).unwrap();
        assert_eq!(read(&over, "a"), b"01xA\0\0\0\0");
        over.rename(&file("a"), &file("b")).unwrap();
        assert!(over.open(&file("a"), OpenHow::Read).is_err());
        assert_eq!(read(&over, "b"), b"01xA\0\0\0\0");
        over.remove(&file("b")).unwrap();
        assert!(over.list(&DiskPath::root()).unwrap().is_empty());
        assert_eq!(below.digest(), before);
        assert!(over.is_changed());
    }

    #[test]
    fn what_grows_below_shows_above_until_it_is_changed_there() {
        let below = MemDisk::new();
        below.put("a", b"12".to_vec()).unwrap();
        let over = OverlayDisk::new(below.clone());
        let reader = over.open(&file("a"), OpenHow::Read).unwrap();
        below.open(&file("a"), OpenHow::Write).unwrap().write_full(2, b"34").unwrap();
        assert_eq!(reader.len().unwrap(), 4);
        assert_eq!(read(&over, "a"), b"1234");
    }

    proptest::proptest! {
        #[test]
        fn a_layered_file_reads_like_a_plain_one(
            start in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
            changes in proptest::collection::vec((0u64..60, proptest::collection::vec(1u8..255, 0..20), proptest::bool::ANY), 0..12),
        ) {
            let below = MemDisk::new();
            below.put("a", start.clone()).unwrap();
            let over = OverlayDisk::new(below);
            let layered = over.open(&file("a"), OpenHow::Write).unwrap();
            let mut plain = start;
            for (position, bytes, cuts) in changes {
                if cuts {
                    layered.set_len(position).unwrap();
                    plain.resize(position as usize, 0);
                } else {
                    layered.write_full(position, &bytes).unwrap();
                    if !bytes.is_empty() {
                        let (from, end) = (position as usize, position as usize + bytes.len());
                        plain.resize(plain.len().max(end), 0);
                        plain[from..end].copy_from_slice(&bytes);
                    }
                }
                proptest::prop_assert_eq!(&read(&over, "a"), &plain);
            }
        }
    }
}
