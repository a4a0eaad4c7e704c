//! The calls of the seam, as a [`MemDisk`] answers them.

use bytes::Bytes;

use super::{MemDisk, MemFile, MemLock, State};
use crate::disk::{Disk, DiskCall, DiskError, DiskErrorKind, DiskFile, DiskPath, Entry, OpenHow};
use crate::time::Timestamp;

impl MemDisk {
    fn call<T>(
        &self,
        call: DiskCall,
        path: &DiskPath,
        act: impl FnOnce(&mut State) -> Result<T, DiskErrorKind>,
    ) -> Result<T, DiskError> {
        let mut state = self.state();
        state.turn(call, |state, _| act(state)).map_err(|kind| DiskError { call, path: path.clone(), span: None, kind })
    }
}

impl Disk for MemDisk {
    type File = MemFile;
    type Lock = MemLock;

    fn open(&self, path: &DiskPath, how: OpenHow) -> Result<MemFile, DiskError> {
        let (node, life) = self.call(DiskCall::Open, path, |state| {
            let node = state.open(path, how)?;
            state.tree.file_mut(node)?.handles += 1;
            Ok((node, state.life))
        })?;
        Ok(MemFile { disk: self.clone(), path: path.clone(), node, life, how })
    }

    fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        self.call(DiskCall::Rename, from, |state| state.tree.rename(from, to))
    }

    fn remove(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.call(DiskCall::Remove, path, |state| state.tree.remove(path))
    }

    fn make_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.call(DiskCall::MakeDir, path, |state| match state.tree.find(path) {
            Ok(found) => state.tree.dir(found).map(|_| ()),
            Err(DiskErrorKind::NotFound) => {
                state.check_room_for_name()?;
                state.tree.make_dir(path)
            }
            Err(kind) => Err(kind),
        })
    }

    fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.call(DiskCall::SyncDir, path, |state| {
            let dir = state.tree.find(path)?;
            state.tree.sync_dir(dir)
        })
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.call(DiskCall::SyncAll, &DiskPath::root(), State::sync_all)
    }

    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError> {
        self.call(DiskCall::List, path, |state| state.tree.list(path))
    }

    fn lock(&self, path: &DiskPath) -> Result<MemLock, DiskError> {
        let (node, lock) = self.call(DiskCall::Lock, path, |state| {
            let node = state.open(path, OpenHow::Create)?;
            if state.locks.contains_key(&node) {
                return Err(DiskErrorKind::AlreadyLocked);
            }
            state.next_lock += 1;
            state.locks.insert(node, state.next_lock);
            Ok((node, state.next_lock))
        })?;
        Ok(MemLock { disk: self.clone(), node, lock })
    }

    fn free_space(&self) -> Result<u64, DiskError> {
        self.call(DiskCall::FreeSpace, &DiskPath::root(), |state| Ok(state.free()))
    }
}

impl MemFile {
    fn call<T>(
        &self,
        call: DiskCall,
        span: Option<(u64, u64)>,
        act: impl FnOnce(&mut State, usize) -> Result<T, DiskErrorKind>,
    ) -> Result<T, DiskError> {
        let mut state = self.disk.state();
        let done = if state.life == self.life { state.turn(call, act) } else { Err(DiskErrorKind::Stopped) };
        done.map_err(|kind| DiskError { call, path: self.path.clone(), span, kind })
    }

    /// As of a descriptor that was opened for reading.
    fn check_writable(&self) -> Result<(), DiskErrorKind> {
        match self.how {
            OpenHow::Read => Err(DiskErrorKind::Io { code: Some(9), message: "Bad file descriptor".to_owned() }),
            OpenHow::Write | OpenHow::Create | OpenHow::Replace => Ok(()),
        }
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let span = Some((position, into.len() as u64));
        self.call(DiskCall::Read, span, |state, _| {
            let file = state.tree.file(self.node)?;
            let there = file.len().saturating_sub(position).min(into.len() as u64) as usize;
            let len = state.faults.transfer(there);
            let file = state.tree.file(self.node)?;
            file.check_pages(position, len as u64)?;
            if len > 0 {
                into[..len].copy_from_slice(&file.cached[position as usize..position as usize + len]);
            }
            Ok(len)
        })
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<usize, DiskError> {
        let mut bytes = parts.concat();
        self.call(DiskCall::Write, Some((position, bytes.len() as u64)), |state, limit| {
            self.check_writable()?;
            let room = state.room_for(self.node, position, bytes.len())?;
            let len = state.faults.transfer(room).min(limit);
            bytes.truncate(len);
            if len > 0 {
                state.tree.write(self.node, position, &bytes, state.now)?;
            }
            Ok(len)
        })
    }

    fn reserve(&self, len: u64) -> Result<(), DiskError> {
        self.call(DiskCall::Reserve, Some((0, len)), |state, _| {
            self.check_writable()?;
            let more = len.saturating_sub(state.tree.file(self.node)?.held());
            if more > state.free() {
                return Err(DiskErrorKind::NoSpace);
            }
            let file = state.tree.file_mut(self.node)?;
            file.allocated = file.allocated.max(len);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.call(DiskCall::SetLen, Some((0, len)), |state, _| {
            self.check_writable()?;
            state.tree.set_len(self.node, len, state.now)
        })
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.call(DiskCall::Len, None, |state, _| Ok(state.tree.file(self.node)?.len()))
    }

    fn sync(&self) -> Result<(), DiskError> {
        let mut reached = false;
        let done = self.call(DiskCall::Sync, None, |state, _| {
            reached = true;
            state.sync(self.node)
        });
        let planned = matches!(&done, Err(error) if error.kind != DiskErrorKind::Stopped);
        if !reached && planned {
            self.disk.state().fail_sync(self.node);
        }
        done
    }

    fn set_modified(&self, to: Timestamp) -> Result<(), DiskError> {
        self.call(DiskCall::SetModified, None, |state, _| {
            state.tree.file_mut(self.node)?.modified = Some(to);
            Ok(())
        })
    }

    fn map(&self, _len: u64) -> Result<Option<Bytes>, DiskError> {
        self.call(DiskCall::Map, None, |_, _| Ok(None))
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life
            && let Ok(file) = state.tree.file_mut(self.node)
        {
            file.handles = file.handles.saturating_sub(1);
        }
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locks.get(&self.node) == Some(&self.lock) {
            state.locks.remove(&self.node);
        }
    }
}
