//! The sync of a whole file system, where a success of it says what the syncs of all its files would.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use crate::disk::DiskErrorKind;

/// The syncs of a whole file system, one at a time.
///
/// The system tells of a failure once, to whoever asks next. It may be about a file that this one does not wait for, and that
/// is asked about later: so after one failure no success is believed any more, and each file is asked by itself, which tells
/// of its own.
#[derive(Debug, Default)]
pub(super) struct WholeSync {
    has_failed: Mutex<bool>,
}

impl WholeSync {
    /// Makes all durable that was done to the file system of this directory, by anybody.
    pub(super) fn perform(&self, root: BorrowedFd<'_>) -> Result<(), DiskErrorKind> {
        self.perform_by(|| sync_file_system(root))
    }

    fn perform_by(&self, sync: impl FnOnce() -> Result<(), DiskErrorKind>) -> Result<(), DiskErrorKind> {
        let mut has_failed = self.has_failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_failed {
            return Err(DiskErrorKind::Unsupported);
        }
        let synced = sync();
        *has_failed = synced.is_err();
        synced
    }
}

#[cfg(target_os = "linux")]
fn sync_file_system(root: BorrowedFd<'_>) -> Result<(), DiskErrorKind> {
    use super::errno::{kind, retry};

    let stat = retry(|| rustix::fs::fstatfs(root)).map_err(kind)?;
    let release = rustix::system::uname();
    if !tells_of_failures(&release.release().to_string_lossy()) || !reaches_the_disk(stat.f_type) {
        return Err(DiskErrorKind::Unsupported);
    }
    retry(|| rustix::fs::syncfs(root)).map_err(kind)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_root: BorrowedFd<'_>) -> Result<(), DiskErrorKind> {
    Err(DiskErrorKind::Unsupported)
}

/// Before 5.8, Linux answered that all is well also where a write had failed.
#[cfg(target_os = "linux")]
fn tells_of_failures(release: &str) -> bool {
    let mut numbers = release.split(|other: char| !other.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= (5, 8)
}

/// Whether this file system has its journal and the disk's cache written too: of those that lie over another one, or over a
/// network, nobody knows.
#[cfg(target_os = "linux")]
fn reaches_the_disk(of_type: rustix::fs::FsWord) -> bool {
    const EXT4: rustix::fs::FsWord = 0xEF53;
    const XFS: rustix::fs::FsWord = 0x5846_5342;
    matches!(of_type, EXT4 | XFS)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_no_success_is_believed() {
        let whole = WholeSync::default();
        assert_eq!(whole.perform_by(|| Ok(())), Ok(()));
        assert_eq!(whole.perform_by(|| Err(DiskErrorKind::NoSpace)), Err(DiskErrorKind::NoSpace));
        // It may have been about a file that is asked about only now.
        assert_eq!(whole.perform_by(|| Ok(())), Err(DiskErrorKind::Unsupported));
    }

    #[test]
    fn a_kernel_that_hides_failures_is_not_believed() {
        for old in ["5.7.19", "4.19.0-27-amd64", "3.10", "", "rolling", "6"] {
            assert!(!tells_of_failures(old), "{old}");
        }
        for new in ["5.8.0", "5.10.0-rc1", "6.18.44-fc", "10.0"] {
            assert!(tells_of_failures(new), "{new}");
        }
    }

    #[test]
    fn a_file_system_in_memory_is_not_taken_for_a_disk() {
        const TMPFS: rustix::fs::FsWord = 0x0102_1994;
        assert!(!reaches_the_disk(TMPFS) && reaches_the_disk(0xEF53));
    }
}
