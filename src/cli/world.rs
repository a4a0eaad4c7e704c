//! What a command asks the world for: the date, the place of a log directory, the size of its input.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the command is the one that knows the date and makes the directory; the library is told"
)]

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::finding::CliError;
use crate::disk::{Disk as _, FileDisk};
use crate::time::Timestamp;

/// The date.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A clock that only goes forward.
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Waits.
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// How many bytes the file system below a directory has free, if it says so.
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    FileDisk::open(path).ok()?.free_space().ok()
}

/// Opens the log directory, made if it is not there.
pub(crate) fn make_log_dir(path: &Path) -> Result<FileDisk, CliError> {
    fs::create_dir_all(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    Ok(FileDisk::open(path)?)
}

/// How many bytes standard input has, if it is a file.
pub(crate) fn input_size() -> Option<u64> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    let metadata = fs::File::from(input).metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}
