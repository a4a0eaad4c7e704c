//! A flush of one log as a job of its own, which runs beside writes to the same files.

use std::sync::Arc;

use crate::disk::handles::Handle;
use crate::disk::small::sync_if_there;
use crate::disk::{Disk, DiskError, DiskFile, DiskPath};
use crate::log::{FileId, FileName};

/// One flush, to be performed beside writes to the same files.
#[derive(Debug)]
pub struct SyncJob<D: Disk> {
    pub(super) disk: D,
    pub(super) dir: DiskPath,
    pub(super) files: Vec<Covered<D::File>>,
    pub(super) small: Vec<FileName>,
    pub(super) syncs_directory: bool,
}

/// A file that a flush covers.
#[derive(Debug)]
pub(super) struct Covered<F> {
    pub(super) file: FileId,
    pub(super) handle: Arc<Handle<F>>,
    /// How often it was written to when the flush began.
    pub(super) writes: u64,
}

impl<D: Disk> SyncJob<D> {
    /// Performs it. What it covers is on disk if this succeeds, and nobody knows what of it if it does not.
    ///
    /// # Errors
    ///
    /// The disk's. It is never tried again.
    pub fn perform(&self) -> Result<(), DiskError> {
        for covered in &self.files {
            covered.handle.file.sync()?;
        }
        for name in &self.small {
            sync_if_there(&self.disk, &self.dir.entry(*name))?;
        }
        if self.syncs_directory { self.disk.sync_dir(&self.dir) } else { Ok(()) }
    }

    /// Performs jobs of one disk, one answer for each: by one call for all of them, where the disk has that and it succeeds.
    /// If it fails, each is [performed](Self::perform) by itself, which tells whose failure it was.
    pub fn perform_all(jobs: &[Self]) -> Vec<Result<(), DiskError>> {
        match jobs.first().map(|job| job.disk.sync_all()) {
            Some(Ok(())) => jobs.iter().map(|_| Ok(())).collect(),
            Some(Err(_)) | None => jobs.iter().map(Self::perform).collect(),
        }
    }
}
