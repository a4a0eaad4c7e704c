//! The leader epochs at an opening: what their file says, and whether it is what the mark knows.
//!
//! - May use: the opening's own files, and `log`'s epochs.
//! - Always true: nothing is changed here; a file that cannot be believed is as good as none.

use crate::disk::open::Opening;
use crate::disk::open::files::Files;
use crate::disk::small::read_small;
use crate::disk::{Disk, DiskError};
use crate::epoch::LeaderEpoch;
use crate::log::{EpochCache, FileName};

/// What the file of the leader epochs says.
pub(super) enum EpochFile {
    /// It is not there.
    Missing,
    /// These are they.
    Good(EpochCache),
    /// Nothing that can be believed, and there are batches that tell.
    Bad,
}

impl EpochFile {
    /// The epochs, if they are known without the batches.
    pub(super) fn noted(&self) -> Option<&EpochCache> {
        match self {
            Self::Good(epochs) => Some(epochs),
            Self::Missing | Self::Bad => None,
        }
    }

    /// Whether the file says that these are the epochs. A log that has none needs no file of them.
    pub(super) fn says(&self, epochs: &EpochCache) -> bool {
        match self {
            Self::Missing => *epochs == EpochCache::default(),
            Self::Good(noted) => noted == epochs,
            Self::Bad => false,
        }
    }
}

impl<D: Disk> Opening<'_, D> {
    pub(super) fn epoch_file(&self, files: &Files) -> Result<EpochFile, DiskError> {
        if !files.others.contains_key(&FileName::LeaderEpochs) {
            return Ok(EpochFile::Missing);
        }
        let bytes = read_small(self.disk, &self.dir.entry(FileName::LeaderEpochs))?;
        Ok(match EpochCache::parse(&bytes) {
            Ok(epochs) if self.are_as_marked(&epochs) => EpochFile::Good(epochs),
            Ok(_) | Err(_) if files.logs.is_empty() => EpochFile::Missing,
            Ok(_) | Err(_) => EpochFile::Bad,
        })
    }

    /// Whether the epochs are those that the mark knows; of those that begin behind what was flushed it knows nothing. One
    /// that was written in front of a move of the log start knows them as they were to be.
    fn are_as_marked(&self, epochs: &EpochCache) -> bool {
        let Some(mark) = self.known.mark else { return true };
        let mut trimmed = epochs.clone();
        trimmed.truncate_from_start(mark.log_start_offset);
        [epochs, &trimmed].into_iter().any(|epochs| mark.knows(epochs))
    }
}

/// The epoch with which a log goes on after an opening that was not clean: one that nobody has had.
pub(crate) fn next_epoch(epochs: &EpochCache) -> Option<LeaderEpoch> {
    epochs.latest().map_or(Some(LeaderEpoch::ZERO), LeaderEpoch::next)
}
