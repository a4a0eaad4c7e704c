//! The real file system: one log directory, held open.
//!
//! The root is resolved once, when the disk is opened, and may be reached through symbolic links. Below it none is
//! followed, in no part of a path, and nothing but regular files and directories is opened: a pipe or a device neither
//! blocks nor answers. All paths are walked from the held root, so that moving the directory away does not redirect us.
//!
//! Names are here; the bytes of an open file, locks and what the system's errors mean have files of their own beside this
//! one.
//!
//! - May use: the seam itself, `map`, `time`, and the operating system.
//! - Must not know: logs, batches, clocks.
#![expect(
    clippy::disallowed_types,
    reason = "this is the one place of the library that touches the file system: everyone else goes through `Disk`"
)]

mod errno;
mod lock;
mod opened;
mod whole;

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::disk::{Disk, DiskCall, DiskError, DiskErrorKind, DiskPath, Entry, EntryKind, OpenHow};
use crate::time::Timestamp;

use errno::{error, failed, kind, retry};
pub use lock::FileDiskLock;
pub use opened::FileDiskFile;
use whole::WholeSync;

/// A log directory on the real file system. Clones share the open root.
#[derive(Clone, Debug)]
pub struct FileDisk {
    root: Arc<OwnedFd>,
    whole: Arc<WholeSync>,
}

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
        Ok(Self { root: Arc::new(root), whole: Arc::default() })
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
        Ok(FileDiskFile::new(file, path.clone()))
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

    fn sync_all(&self) -> Result<(), DiskError> {
        self.whole.perform(self.root.as_fd()).map_err(|kind| error(DiskCall::SyncAll, &DiskPath::root(), None, kind))
    }

    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError> {
        let listed = self.dir(path).and_then(|dir| entries(dir.fd()));
        listed.map_err(|kind| error(DiskCall::List, path, None, kind))
    }

    fn lock(&self, path: &DiskPath) -> Result<FileDiskLock, DiskError> {
        self.take_lock(path).map_err(|kind| error(DiskCall::Lock, path, None, kind))
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
