//! Letting go of a log's head: what the caller trims, what retention removes, and the files that stay for a while after.
//!
//! - Always true: the new start is in the durable mark before the first file in front of it goes.

use crate::disk::log_file::LogFile;
use crate::disk::log_file::faults::TrimFault;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath};
use crate::log::Breach;
use crate::offset::Offset;
use crate::time::Timestamp;

impl<D: Disk> LogFile<D> {
    /// Moves the log start to `to`: what lies below is not served any more, also after a crash. Answers whether it moved.
    ///
    /// # Errors
    ///
    /// [`TrimFault`].
    pub fn trim_to(&mut self, to: Offset) -> Result<bool, TrimFault> {
        self.lanes.check()?;
        let mut effects = Vec::new();
        let moved = self.log.trim_to(to, &mut effects)?;
        let noted = self.dir.mark_of(&self.partition).map(|mark| mark.log_start_offset);
        if noted.is_none_or(|noted| noted < self.log.log_start_offset()) {
            // The start first: epochs that begin at one that nobody knows of would leave batches in front without.
            self.settle_mark()?;
        }
        self.run(effects)?;
        Ok(moved)
    }

    /// Removes the segments that retention lets go. Answers their bases, and why.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub fn retain(&mut self, now: Timestamp) -> Result<Vec<(Offset, Breach)>, DiskError> {
        self.lanes.check()?;
        let mut effects = Vec::new();
        let gone = self.log.retain(now, &mut effects);
        if !gone.is_empty() {
            // The new start first: should the removal be cut short, what is left of it stays below the start.
            match self.settle_mark() {
                // Only a log that has no mark yet needs space for one, and of such a log none is missed.
                Err(error) if error.kind != DiskErrorKind::NoSpace => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.run(effects)?;
        self.remove_deleted(now)?;
        Ok(gone)
    }

    /// Removes the files that [`OpenOptions::file_delete_delay_ms`](crate::disk::OpenOptions::file_delete_delay_ms) has
    /// kept for long enough, counted from the first call of this or of [`LogFile::retain`] after their deletion.
    /// Answers how many went. `retain` does this too.
    ///
    /// # Errors
    ///
    /// The disk's; what could not be removed is tried again by the next call.
    pub fn remove_deleted(&mut self, now: Timestamp) -> Result<usize, DiskError> {
        self.driver.files.deleted.remove_due(self.dir.disk(), &DiskPath::root().entry(&self.partition), now)
    }
}
