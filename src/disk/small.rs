//! Small files, which are read, replaced, synced and removed whole.
//!
//! An index, a checkpoint, a list of sums: each fits in memory, and whoever finds it finds all of it or makes it again.
//!
//! - May use: the seam alone.
//! - Must not know: what is in the files.
//! - Always true: [`replace`] leaves the old content or the new one, at any crash.

use crate::disk::{Disk, DiskError, DiskErrorKind, DiskFile, DiskPath, OpenHow};

/// The largest file that is read whole: an index of the largest size, with room to spare.
const SMALL_BYTES_MAX: u64 = 256 << 20;

/// Reads a file whole; of one that is absurdly long only the first part.
pub(crate) fn read_small<D: Disk>(disk: &D, path: &DiskPath) -> Result<Vec<u8>, DiskError> {
    let file = disk.open(path, OpenHow::Read)?;
    let len = file.len()?.min(SMALL_BYTES_MAX);
    let mut bytes = vec![0; len as usize];
    let read = file.read_full(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// As [`read_small`]; `None` if there is no such file.
pub(crate) fn read_if_there<D: Disk>(disk: &D, path: &DiskPath) -> Result<Option<Vec<u8>>, DiskError> {
    match read_small(disk, path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file whole and durably: temporary name, write, sync, rename, sync of the directory.
pub(crate) fn replace<D: Disk>(disk: &D, dir: &DiskPath, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    replace_through(disk, dir, name, &dir.entry(format!("{name}.tmp")), bytes)
}

/// As [`replace`], with a temporary name of the caller's in the same directory.
pub(crate) fn replace_through<D: Disk>(
    disk: &D,
    dir: &DiskPath,
    name: &str,
    temporary: &DiskPath,
    bytes: &[u8],
) -> Result<(), DiskError> {
    let file = disk.open(temporary, OpenHow::Replace)?;
    file.write_full(0, bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(temporary, &dir.entry(name))?;
    disk.sync_dir(dir)
}

/// Brings a file to disk, if it is there.
pub(crate) fn sync_if_there<D: Disk>(disk: &D, path: &DiskPath) -> Result<(), DiskError> {
    match disk.open(path, OpenHow::Write) {
        Ok(file) => file.sync(),
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removing what is gone already has succeeded.
pub(crate) fn gone_is_fine(outcome: Result<(), DiskError>) -> Result<(), DiskError> {
    match outcome {
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
