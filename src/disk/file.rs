//! The real file system: one log directory, held open.
//!
//! The root is resolved once, when the disk is opened, and may be reached through symbolic links. Below it none is
//! followed, in no part of a path, and nothing but regular files and directories is opened: a pipe or a device neither
//! blocks nor answers. All paths are walked from the held root, so that moving the directory away does not redirect us.
//!
//! - May use: the seam itself, `map`, `time`, and the operating system.
//! - Must not know: logs, batches, clocks.
#![expect(
    clippy::disallowed_types,
    reason = "this is the one file of the library that touches the file system: everyone else goes through `Disk`"
)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::map::map;
use super::{Disk, DiskCall, DiskError, DiskErrorKind, DiskFile, DiskPath, Entry, EntryKind, OpenHow};
use crate::time::Timestamp;

/// A log directory on the real file system. Clones share the open root.
#[derive(Clone, Debug)]
pub struct FileDisk {
    root: Arc<OwnedFd>,
}

/// An open file of a [`FileDisk`].
#[derive(Debug)]
pub struct FileDiskFile {
    file: File,
    path: DiskPath,
}

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

/// As many parts as one call of the system takes.
const PARTS_MAX: usize = 1024;

impl FileDisk {
    /// Opens the log directory `root`, which must be there. It may be a symbolic link.
    ///
    /// # Errors
    ///
    /// [`DiskErrorKind::NotADirectory`] if it is something else, [`DiskErrorKind::NotFound`] if there is nothing, and
    /// what else the system says.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, DiskError> {
        let opened = retry(|| rustix::fs::open(root.as_ref(), DIR_FLAGS, Mode::empty()));
        let root = opened.map_err(|errno| failed(DiskCall::Open, &DiskPath::root(), None, errno))?;
        Ok(Self { root: Arc::new(root) })
    }

    /// The directory at `path`, no symbolic link on the way.
    fn dir(&self, path: &DiskPath) -> Result<Held<'_>, DiskErrorKind> {
        let mut held = Held::Root(self.root.as_fd());
        for name in path.names() {
            let opened = retry(|| rustix::fs::openat(held.fd(), name, DIR_FLAGS | OFlags::NOFOLLOW, Mode::empty()));
            held = Held::Below(opened.map_err(|errno| why_no_dir(held.fd(), name, errno))?);
        }
        Ok(held)
    }

    /// Does `act` to the name of `path` within its directory.
    fn at<T>(
        &self,
        path: &DiskPath,
        act: impl FnOnce(BorrowedFd<'_>, &str) -> Result<T, DiskErrorKind>,
    ) -> Result<T, DiskErrorKind> {
        if path.name().is_empty() {
            return Err(kind(Errno::BUSY));
        }
        act(self.dir(&path.parent())?.fd(), path.name())
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

    fn open_file(&self, path: &DiskPath, how: OpenHow) -> Result<File, DiskErrorKind> {
        if path.name().is_empty() {
            return Err(DiskErrorKind::NotRegularFile);
        }
        self.at(path, |dir, name| match how {
            OpenHow::Read => open_at(dir, name, OFlags::RDONLY),
            OpenHow::Write => open_at(dir, name, OFlags::RDWR),
            OpenHow::Create => open_at(dir, name, OFlags::RDWR | OFlags::CREATE),
            OpenHow::Replace => {
                replace_at(dir, name)?;
                open_at(dir, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
            }
        })
    }
}

const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The root, or a directory below it that is open for the moment.
enum Held<'a> {
    Root(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl Held<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(root) => *root,
            Self::Below(dir) => dir.as_fd(),
        }
    }
}

fn open_at(dir: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<File, DiskErrorKind> {
    // Non-blocking: a pipe without a writer would hold us for ever. It means nothing to a regular file.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mode = Mode::from_raw_mode(0o644);
    let opened = retry(|| rustix::fs::openat(dir, name, flags, mode)).map_err(why_no_file)?;
    let stat = retry(|| rustix::fs::fstat(&opened)).map_err(kind)?;
    if file_type(&stat) == FileType::RegularFile { Ok(File::from(opened)) } else { Err(DiskErrorKind::NotRegularFile) }
}

/// Takes the file of this name away, so that whoever has it open keeps its bytes.
fn replace_at(dir: BorrowedFd<'_>, name: &str) -> Result<(), DiskErrorKind> {
    let stat = match retry(|| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)) {
        Err(Errno::NOENT) => return Ok(()),
        stat => stat.map_err(kind)?,
    };
    match file_type(&stat) {
        FileType::RegularFile => retry(|| rustix::fs::unlinkat(dir, name, AtFlags::empty())).map_err(kind),
        FileType::Symlink => Err(DiskErrorKind::SymlinkRefused),
        FileType::Directory
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Err(DiskErrorKind::NotRegularFile),
    }
}

/// A directory that will not open may be a symbolic link; systems differ in what they call that.
fn why_no_dir(dir: BorrowedFd<'_>, name: &str, errno: Errno) -> DiskErrorKind {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    match stat.map(|stat| file_type(&stat)) {
        Ok(FileType::Symlink) => DiskErrorKind::SymlinkRefused,
        _ => kind(errno),
    }
}

fn why_no_file(errno: Errno) -> DiskErrorKind {
    match errno {
        // The answers of a directory, and of a socket or a device with nobody behind it.
        Errno::ISDIR | Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP => DiskErrorKind::NotRegularFile,
        errno => kind(errno),
    }
}

impl Disk for FileDisk {
    type File = FileDiskFile;
    type Lock = FileDiskLock;

    fn open(&self, path: &DiskPath, how: OpenHow) -> Result<FileDiskFile, DiskError> {
        let file = self.open_file(path, how).map_err(|kind| error(DiskCall::Open, path, None, kind))?;
        Ok(FileDiskFile { file, path: path.clone() })
    }

    fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        let renamed = self.at(from, |from_dir, from_name| {
            self.at(to, |to_dir, to_name| {
                retry(|| rustix::fs::renameat(from_dir, from_name, to_dir, to_name)).map_err(|errno| match errno {
                    Errno::ISDIR => DiskErrorKind::NotRegularFile,
                    errno => kind(errno),
                })
            })
        });
        renamed.map_err(|kind| error(DiskCall::Rename, from, None, kind))
    }

    fn remove(&self, path: &DiskPath) -> Result<(), DiskError> {
        let removed = self.at(path, |dir, name| {
            let stat = retry(|| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)).map_err(kind)?;
            let flags = if file_type(&stat) == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            retry(|| rustix::fs::unlinkat(dir, name, flags)).map_err(kind)
        });
        removed.map_err(|kind| error(DiskCall::Remove, path, None, kind))
    }

    fn make_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        if path.name().is_empty() {
            return Ok(());
        }
        let made = self.at(path, |dir, name| {
            match retry(|| rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))) {
                // Fine if it is one.
                Err(Errno::EXIST) => self.dir(path).map(|_| ()),
                made => made.map_err(kind),
            }
        });
        made.map_err(|kind| error(DiskCall::MakeDir, path, None, kind))
    }

    fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        let synced = self.dir(path).and_then(|dir| retry(|| rustix::fs::fsync(dir.fd())).map_err(kind));
        synced.map_err(|kind| error(DiskCall::SyncDir, path, None, kind))
    }

    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError> {
        let listed = self.dir(path).and_then(|dir| entries(dir.fd()));
        listed.map_err(|kind| error(DiskCall::List, path, None, kind))
    }

    fn lock(&self, path: &DiskPath) -> Result<FileDiskLock, DiskError> {
        let locked = self.refuse_our_own_lock(path).and_then(|mut ours| {
            let file = self.open_file(path, OpenHow::Create)?;
            lock_file(&file)?;
            let id = file_id(&retry(|| rustix::fs::fstat(&file)).map_err(kind)?);
            ours.insert(id);
            Ok(FileDiskLock { file: Some(file), id })
        });
        locked.map_err(|kind| error(DiskCall::Lock, path, None, kind))
    }

    fn free_space(&self) -> Result<u64, DiskError> {
        let stat = retry(|| rustix::fs::fstatvfs(self.root.as_fd()));
        let stat = stat.map_err(|errno| failed(DiskCall::FreeSpace, &DiskPath::root(), None, errno))?;
        // Some systems leave the size of a fragment out.
        let unit = if stat.f_frsize == 0 { stat.f_bsize } else { stat.f_frsize };
        Ok(stat.f_bavail.saturating_mul(unit))
    }
}

/// What is in `dir`, in the order of names.
fn entries(dir: BorrowedFd<'_>) -> Result<Vec<Entry>, DiskErrorKind> {
    let mut entries = Vec::new();
    for found in Dir::read_from(dir).map_err(kind)? {
        let found = found.map_err(kind)?;
        let name = found.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match retry(|| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => entry_kind(&stat),
            // Removed while we looked.
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(kind(errno)),
        };
        entries.push(Entry { name: OsStr::from_bytes(name.to_bytes()).to_owned(), kind });
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

fn entry_kind(stat: &Stat) -> EntryKind {
    match file_type(stat) {
        FileType::RegularFile => {
            EntryKind::File { len: u64::try_from(stat.st_size).unwrap_or(0), modified: modified(stat) }
        }
        FileType::Directory => EntryKind::Dir,
        FileType::Symlink => EntryKind::Symlink,
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            EntryKind::Other
        }
    }
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

#[expect(clippy::useless_conversion, reason = "the types of these fields differ from system to system")]
fn modified(stat: &Stat) -> Timestamp {
    let (seconds, nanos) = (i64::from(stat.st_mtime), i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

impl FileDiskFile {
    fn done<T>(&self, call: DiskCall, span: Option<(u64, u64)>, done: io::Result<T>) -> Result<T, DiskError> {
        done.map_err(|failure| error(call, &self.path, span, io_kind(&failure)))
    }
}

impl DiskFile for FileDiskFile {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let span = Some((position, into.len() as u64));
        loop {
            match self.file.read_at(into, position) {
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                read => return self.done(DiskCall::Read, span, read),
            }
        }
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<usize, DiskError> {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let span = Some((position, len));
        if len == 0 {
            return Ok(0);
        }
        let filled = parts.iter().filter(|part| !part.is_empty());
        let slices: Vec<IoSlice<'_>> = filled.take(PARTS_MAX).map(|part| IoSlice::new(part)).collect();
        match retry(|| rustix::io::pwritev(&self.file, &slices, position)) {
            Ok(0) => Err(error(DiskCall::Write, &self.path, span, wrote_nothing())),
            Ok(written) => Ok(written),
            Err(errno) => Err(failed(DiskCall::Write, &self.path, span, errno)),
        }
    }

    fn reserve(&self, len: u64) -> Result<(), DiskError> {
        match retry(|| reserve(self.file.as_fd(), len)) {
            // Such a file system gives blocks out only as they are written; so be it.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(failed(DiskCall::Reserve, &self.path, Some((0, len)), errno)),
        }
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.done(DiskCall::SetLen, Some((0, len)), self.file.set_len(len))
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.done(DiskCall::Len, None, self.file.metadata().map(|metadata| metadata.len()))
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.done(DiskCall::Sync, None, self.file.sync_data())
    }

    fn set_modified(&self, to: Timestamp) -> Result<(), DiskError> {
        let millis = to.as_millis();
        let date = Timespec { tv_sec: millis.div_euclid(1000), tv_nsec: (millis.rem_euclid(1000) * 1_000_000) as _ };
        let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access: keep, last_modification: date };
        retry(|| rustix::fs::futimens(&self.file, &times))
            .map_err(|errno| failed(DiskCall::SetModified, &self.path, None, errno))
    }

    fn map(&self, len: u64) -> Result<Option<Bytes>, DiskError> {
        let span = Some((0, len));
        if self.len()? < len {
            return Err(error(DiskCall::Map, &self.path, span, DiskErrorKind::UnexpectedEnd));
        }
        self.done(DiskCall::Map, span, map(&self.file, len)).map(Some)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: BorrowedFd<'_>, len: u64) -> rustix::io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, len)
}

/// Elsewhere blocks cannot be had without a change of length.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(_file: BorrowedFd<'_>, _len: u64) -> rustix::io::Result<()> {
    Ok(())
}

/// Calls again as long as a signal comes between.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

fn failed(call: DiskCall, path: &DiskPath, span: Option<(u64, u64)>, errno: Errno) -> DiskError {
    error(call, path, span, kind(errno))
}

fn error(call: DiskCall, path: &DiskPath, span: Option<(u64, u64)>, kind: DiskErrorKind) -> DiskError {
    DiskError { call, path: path.clone(), span, kind }
}

fn io_kind(failure: &io::Error) -> DiskErrorKind {
    match failure.raw_os_error() {
        Some(code) => kind(Errno::from_raw_os_error(code)),
        None => DiskErrorKind::Io { code: None, message: failure.to_string() },
    }
}

fn wrote_nothing() -> DiskErrorKind {
    DiskErrorKind::Io { code: None, message: "the system wrote nothing".to_owned() }
}

fn kind(errno: Errno) -> DiskErrorKind {
    match errno {
        Errno::NOENT => DiskErrorKind::NotFound,
        Errno::NOSPC | Errno::DQUOT => DiskErrorKind::NoSpace,
        Errno::ACCESS | Errno::PERM => DiskErrorKind::PermissionDenied,
        Errno::ROFS => DiskErrorKind::ReadOnly,
        Errno::MFILE | Errno::NFILE => DiskErrorKind::TooManyOpenFiles,
        Errno::NOTDIR => DiskErrorKind::NotADirectory,
        Errno::LOOP => DiskErrorKind::SymlinkRefused,
        Errno::NOTEMPTY | Errno::EXIST => DiskErrorKind::NotEmpty,
        Errno::NAMETOOLONG => DiskErrorKind::NameTooLong,
        errno => DiskErrorKind::Io { code: Some(errno.raw_os_error()), message: io::Error::from(errno).to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_numbers_have_our_names() {
        let known = [
            (Errno::NOSPC, DiskErrorKind::NoSpace),
            (Errno::DQUOT, DiskErrorKind::NoSpace),
            (Errno::ROFS, DiskErrorKind::ReadOnly),
            (Errno::ACCESS, DiskErrorKind::PermissionDenied),
            (Errno::PERM, DiskErrorKind::PermissionDenied),
            (Errno::MFILE, DiskErrorKind::TooManyOpenFiles),
            (Errno::NFILE, DiskErrorKind::TooManyOpenFiles),
            (Errno::NOTDIR, DiskErrorKind::NotADirectory),
            (Errno::LOOP, DiskErrorKind::SymlinkRefused),
            (Errno::NOENT, DiskErrorKind::NotFound),
            (Errno::NOTEMPTY, DiskErrorKind::NotEmpty),
            (Errno::NAMETOOLONG, DiskErrorKind::NameTooLong),
        ];
        for (errno, due) in known {
            assert_eq!(kind(errno), due, "{errno:?}");
            assert_eq!(io_kind(&io::Error::from(errno)), due, "{errno:?}");
        }
        assert!(matches!(kind(Errno::IO), DiskErrorKind::Io { code: Some(5), .. }));
    }

    #[test]
    fn a_call_that_a_signal_breaks_is_made_again() {
        let mut calls = 0;
        let done = retry(|| {
            calls += 1;
            if calls < 3 { Err(Errno::INTR) } else { Ok(calls) }
        });
        assert_eq!(done, Ok(3));
    }
}
