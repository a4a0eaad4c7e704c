//! Locks on files, against other instances of this library and against a Kafka broker.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Stat};
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::io::Errno;

use super::FileDisk;
use super::errno::{io_kind, kind, retry};
use crate::disk::{DiskErrorKind, DiskPath, OpenHow};

/// A held lock of a [`FileDisk`]: advisory locks of the operating system on an open file. They go with the process.
///
/// Of the two kinds of lock that Linux has, both are taken: one belongs to the open file and keeps other instances of
/// this library out, in this process too; the other belongs to the process and keeps a Kafka broker out.
#[derive(Debug)]
pub struct FileDiskLock {
    /// `None` only while it is dropped.
    file: Option<File>,
    id: LockId,
}

/// The device and the number of a locked file.
type LockId = (u64, u64);

/// The files that this process has locked. Whoever closes any descriptor of such a file drops the process's own lock,
/// so it must not even be opened for another try.
static OURS: Mutex<BTreeSet<LockId>> = Mutex::new(BTreeSet::new());

impl Drop for FileDiskLock {
    fn drop(&mut self) {
        let mut ours = ours();
        drop(self.file.take());
        ours.remove(&self.id);
    }
}

fn ours() -> MutexGuard<'static, BTreeSet<LockId>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileDisk {
    /// Takes the lock of the file at `path`, making it if need be.
    pub(super) fn take_lock(&self, path: &DiskPath) -> Result<FileDiskLock, DiskErrorKind> {
        let mut ours = self.refuse_our_own_lock(path)?;
        let file = self.open_file(path, OpenHow::Create)?;
        lock_file(&file)?;
        let id = file_id(&retry(|| rustix::fs::fstat(&file)).map_err(kind)?);
        ours.insert(id);
        Ok(FileDiskLock { file: Some(file), id })
    }

    /// Refuses a file that this process has locked, without opening it. Nobody else locks until the guard is gone.
    fn refuse_our_own_lock(&self, path: &DiskPath) -> Result<MutexGuard<'static, BTreeSet<LockId>>, DiskErrorKind> {
        let ours = ours();
        let stat =
            self.at(path, |dir, name| retry(|| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)).map_err(kind));
        match stat {
            Ok(stat) if ours.contains(&file_id(&stat)) => Err(DiskErrorKind::AlreadyLocked),
            // Whatever else is wrong shows when it is opened.
            Ok(_) | Err(_) => Ok(ours),
        }
    }
}

#[expect(
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    reason = "the types of these fields differ from system to system"
)]
fn file_id(stat: &Stat) -> LockId {
    (stat.st_dev as u64, u64::from(stat.st_ino))
}

/// Takes both kinds of lock, or none.
fn lock_file(file: &File) -> Result<(), DiskErrorKind> {
    match file.try_lock() {
        Ok(()) => lock_for_process(file),
        Err(TryLockError::WouldBlock) => Err(DiskErrorKind::AlreadyLocked),
        Err(TryLockError::Error(failure)) => Err(io_kind(&failure)),
    }
}

/// The lock that Java takes. Elsewhere than on Linux, and on NFS, both kinds are one, and would be in each other's way.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn lock_for_process(file: &File) -> Result<(), DiskErrorKind> {
    let stat = retry(|| rustix::fs::fstatfs(file)).map_err(kind)?;
    if stat.f_type == rustix::fs::NFS_SUPER_MAGIC {
        return Ok(());
    }
    match retry(|| rustix::fs::fcntl_lock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)) {
        Err(Errno::AGAIN | Errno::ACCESS) => Err(DiskErrorKind::AlreadyLocked),
        locked => locked.map_err(kind),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn lock_for_process(_file: &File) -> Result<(), DiskErrorKind> {
    Ok(())
}
