//! What can go wrong with a disk, with the facts for the one who must act.

use crate::disk::path::DiskPath;

/// A call to a disk that failed: which, on what, where, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{call} {path}{}: {kind}", span.map_or(String::new(), |(position, len)| format!(" at {position} for {len} bytes")))]
pub struct DiskError {
    /// What was asked for.
    pub call: DiskCall,
    /// On which file or directory.
    pub path: DiskPath,
    /// Position and length in bytes, where the call has them.
    pub span: Option<(u64, u64)>,
    /// Why it failed.
    pub kind: DiskErrorKind,
}

/// The calls of a [`Disk`](crate::disk::Disk) and its files.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum DiskCall {
    Open,
    Rename,
    Remove,
    MakeDir,
    SyncDir,
    SyncAll,
    List,
    Lock,
    FreeSpace,
    Read,
    Write,
    Reserve,
    SetLen,
    Len,
    Sync,
    SetModified,
    Map,
}

impl std::fmt::Display for DiskCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::MakeDir => "make directory",
            Self::SyncDir => "sync directory",
            Self::SyncAll => "sync all of",
            Self::List => "list",
            Self::Lock => "lock",
            Self::FreeSpace => "ask for free space of",
            Self::Read => "read",
            Self::Write => "write",
            Self::Reserve => "reserve space in",
            Self::SetLen => "set the length of",
            Self::Len => "ask for the length of",
            Self::Sync => "sync",
            Self::SetModified => "set the modification time of",
            Self::Map => "map",
        })
    }
}

/// Why a call to a disk failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DiskErrorKind {
    /// There is nothing of that name.
    #[error("not found")]
    NotFound,
    /// The disk, or the quota, is full. Nothing of the call was done, or some of its bytes were written.
    #[error("no space left")]
    NoSpace,
    /// The process may not.
    #[error("permission denied")]
    PermissionDenied,
    /// The file system is read-only.
    #[error("read-only file system")]
    ReadOnly,
    /// The process has as many files open as it may.
    #[error("too many open files")]
    TooManyOpenFiles,
    /// A directory was expected.
    #[error("not a directory")]
    NotADirectory,
    /// A regular file was expected: this is a directory, a pipe, a socket or a device.
    #[error("not a regular file")]
    NotRegularFile,
    /// A symbolic link below the root, which is never followed.
    #[error("a symbolic link, which is not followed")]
    SymlinkRefused,
    /// The directory is not empty.
    #[error("directory not empty")]
    NotEmpty,
    /// Someone holds the lock.
    #[error("already locked")]
    AlreadyLocked,
    /// A name is longer than the file system takes.
    #[error("the name is too long")]
    NameTooLong,
    /// The file is shorter than what was asked for.
    #[error("the file ends before that")]
    UnexpectedEnd,
    /// This disk cannot do it.
    #[error("not supported here")]
    Unsupported,
    /// The process is over, as a test has asked of a [`MemDisk`](crate::disk::MemDisk): nothing works any more.
    #[error("stopped by the test")]
    Stopped,
    /// Anything else, in the system's words.
    #[error("{message}")]
    Io {
        /// The system's number for it, if it has one.
        code: Option<i32>,
        /// The system's words for it.
        message: String,
    },
}
