//! What a command asks the world for: the date, the place of a log directory, the size of its input.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the command is the one that knows the date and makes the directory; the library is told"
)]

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::SystemTime;

use crate::cli::finding::CliError;
use crate::disk::FileDisk;
use crate::time::Timestamp;

/// The date.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
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
