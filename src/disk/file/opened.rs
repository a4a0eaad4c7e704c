//! An open file: bytes at positions, and what makes them durable.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::fs::{Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::errno::{error, failed, io_kind, retry, wrote_nothing};
use crate::disk::map::map;
use crate::disk::{DiskCall, DiskError, DiskErrorKind, DiskFile, DiskPath};
use crate::time::Timestamp;

/// As many parts as one call of the system takes.
const PARTS_MAX: usize = 1024;

/// An open file of a [`FileDisk`](crate::disk::FileDisk).
#[derive(Debug)]
pub struct FileDiskFile {
    file: File,
    path: DiskPath,
}

impl FileDiskFile {
    pub(super) fn new(file: File, path: DiskPath) -> Self {
        Self { file, path }
    }

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
