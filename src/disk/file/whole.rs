//! The sync of a whole file system, where a success of it says what the syncs of all its files would.

use std::os::fd::BorrowedFd;

use crate::disk::DiskErrorKind;

/// Makes all durable that was done to the file system of this directory, by anybody.
#[cfg(target_os = "linux")]
pub(super) fn sync_file_system(root: BorrowedFd<'_>) -> Result<(), DiskErrorKind> {
    use super::errno::{kind, retry};

    let stat = retry(|| rustix::fs::fstatfs(root)).map_err(kind)?;
    let release = rustix::system::uname();
    if !tells_of_failures(&release.release().to_string_lossy()) || !reaches_the_disk(stat.f_type) {
        return Err(DiskErrorKind::Unsupported);
    }
    retry(|| rustix::fs::syncfs(root)).map_err(kind)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn sync_file_system(_root: BorrowedFd<'_>) -> Result<(), DiskErrorKind> {
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
