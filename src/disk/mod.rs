//! Disks: the one seam between the log and the world, and those who drive a log over it.
//!
//! **The seam.** [`Disk`] knows names, handles and bytes, and nothing of logs. One `Disk` is one log directory; every path
//! is relative to it. [`FileDisk`] is the real file system; [`MemDisk`] knows what was synced and can lose, tear, reorder,
//! fail and fill up; [`OverlayDisk`] shows another disk and keeps every change to itself.
//!
//! **One directory.** [`LogDir`] holds the lock and what is said of all its logs: Kafka's checkpoints, and in a
//! [`MarkFile`] what of each is surely on disk. [`dirs`] tells several directories apart.
//!
//! **One log.** [`LogFile`] opens it, performs what the [`Log`](crate::log::Log) asks for, and reads. Behind it, `open`
//! puts right whatever happened before and leaves a [`RecoveryReport`]; `lanes` has the ops performed in order by `files`,
//! which `handles` holds open; `log_read` and `reader` serve what was checked, in buffers of `pool`; `cut` and `compact`
//! feed the leaves of `log` that must read; `swap` and `deleted` make a change of names survive a crash at any moment.
//! `small` and `segment_file` are the leaves that all of them share: a small file as a whole, a segment's names and scan.
//! [`Sums`] are the checksums of what a batch's own leaves open.
//!
//! - May use: `log`, `record` and the leaves; `file` and `map` the operating system, and nobody else here.
//! - Must not know: clocks, threads. Whatever is a rule of a log is in `log`.
//! - Always true: what is durable says so after a sync and not before; no byte of a file is served unchecked.

mod block_sums;
pub(crate) mod compact;
mod cut;
mod delete_log;
mod deleted;
pub mod dirs;
mod error;
mod file;
mod files;
mod handles;
mod kept;
mod lanes;
mod log_dir;
mod log_driver;
mod log_file;
mod log_read;
mod map;
mod marks;
pub mod mem;
mod open;
mod overlay;
mod path;
mod place;
mod pool;
mod reader;
mod report;
mod segment_file;
pub(crate) mod small;
mod sums;
mod suspect;
mod swap;
mod sync_job;
mod topic_id;

use std::ffi::OsString;

use bytes::Bytes;

pub use compact::{CompactFault, CompactionReport};
pub use cut::TruncateFault;
pub use error::{DiskCall, DiskError, DiskErrorKind};
pub use file::{FileDisk, FileDiskFile, FileDiskLock};
pub use handles::Handle;
pub use log_dir::LogDir;
pub use log_driver::{LogDriver, OpenedLog};
pub use log_file::{AppendFault, HighWatermarkRule, LogFile, OpenOptions, ReadMode, TrimFault};
pub use log_read::{FetchError, Fetched, FoundRecord, TimeQuery};
pub use marks::{BadCopy, BadMark, MARKS_FILE, MarkCopy, MarkFile, Marks, MarksError};
pub use mem::MemDisk;
pub use open::OpenError;
pub use overlay::{OverlayDisk, OverlayFile};
pub use path::DiskPath;
pub use reader::ReadFault;
pub use report::{CorruptRange, Leftover, LeftoverAction, RecoveryReport, Shutdown, TornTail};
pub use sums::{BLOCK_BYTES, BadBlock, FileSum, IndexSums, Sums, SumsBuilder, SumsBuilderError, SumsError};
pub use sync_job::SyncJob;

use crate::time::Timestamp;

/// One log directory: names, handles and bytes.
///
/// Every call is one crash point and one fail point. What a call did is durable only after the matching sync: bytes
/// and length after [`DiskFile::sync`], names after [`Disk::sync_dir`] of the directory that holds them.
pub trait Disk: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// An open file. Dropping it closes it; the file may have been renamed or removed meanwhile.
    type File: DiskFile;
    /// A held lock, released when dropped or when the process dies.
    type Lock: std::fmt::Debug + Send + Sync + 'static;

    /// Opens a regular file. Never follows a symbolic link.
    fn open(&self, path: &DiskPath, how: OpenHow) -> Result<Self::File, DiskError>;
    /// Renames a file or directory, replacing a file of the new name.
    fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError>;
    /// Removes a file, or an empty directory.
    fn remove(&self, path: &DiskPath) -> Result<(), DiskError>;
    /// Makes a directory. One that is there already is fine.
    fn make_dir(&self, path: &DiskPath) -> Result<(), DiskError>;
    /// Makes creates, renames and removes within the directory durable.
    fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError>;
    /// Makes all durable at once that was done to this disk: bytes and lengths of files, and names in all directories. What
    /// fails of it is told again by the sync of the file that it is about, which is how one learns whose it is; and no
    /// success is answered while a failure may have been told to somebody else, or to nobody.
    ///
    /// # Errors
    ///
    /// [`DiskErrorKind::Unsupported`] where a success would say nothing; nothing was done then.
    fn sync_all(&self) -> Result<(), DiskError>;
    /// What is in the directory, in the order of names.
    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError>;
    /// Takes the exclusive lock of the file, making it if need be. Never waits.
    ///
    /// # Errors
    ///
    /// [`DiskErrorKind::AlreadyLocked`] if anyone holds it, this process included.
    fn lock(&self, path: &DiskPath) -> Result<Self::Lock, DiskError>;
    /// How many bytes may still be written.
    fn free_space(&self) -> Result<u64, DiskError>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: std::fmt::Debug + Send + Sync + 'static {
    /// Reads at `position`. May read less than asked for; 0 only at the end of the file.
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError>;
    /// Writes the parts one behind the other from `position` on. May write less than all; then call again.
    /// Never 0 if there was anything to write.
    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<usize, DiskError>;
    /// Gives the file blocks up to `len` without changing its length.
    fn reserve(&self, len: u64) -> Result<(), DiskError>;
    /// Shortens the file, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> Result<(), DiskError>;
    /// How long the file is, in bytes.
    fn len(&self) -> Result<u64, DiskError>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool, DiskError> {
        self.len().map(|len| len == 0)
    }
    /// Makes the file's bytes and length durable.
    fn sync(&self) -> Result<(), DiskError>;
    /// Sets the file's modification time, which Kafka takes for the date of records that have none.
    fn set_modified(&self, to: Timestamp) -> Result<(), DiskError>;
    /// The file's bytes as a map of `len` bytes, `None` where this disk has none. Only for files that are never
    /// shortened while anyone holds the map.
    fn map(&self, len: u64) -> Result<Option<Bytes>, DiskError>;

    /// Reads until `into` is full or the file ends; says how much it read.
    fn read_full(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let mut done = 0;
        while done < into.len() {
            match self.read_at(position + done as u64, &mut into[done..])? {
                0 => break,
                read => done += read,
            }
        }
        Ok(done)
    }

    /// Writes all of `bytes`, looping over short writes.
    fn write_full(&self, position: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut done = 0;
        while done < bytes.len() {
            done += self.write_at(position + done as u64, &[&bytes[done..]])?;
        }
        Ok(())
    }
}

/// How to open a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OpenHow {
    /// For reading; it must be there.
    Read,
    /// For reading and writing; it must be there.
    Write,
    /// For reading and writing; made if it is not there, kept as it is if it is.
    Create,
    /// For reading and writing; new and empty, replacing one that is there. Whoever has the old one open keeps its bytes.
    Replace,
}

/// Something in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its name, which may be foreign and no text at all.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its length in bytes.
        len: u64,
        /// When it was last written to.
        modified: Timestamp,
    },
    /// A directory.
    Dir,
    /// A symbolic link, which is never followed.
    Symlink,
    /// A pipe, a socket, a device.
    Other,
}
