//! The files a user named: each by itself, a directory with all below it.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the command line looks into any file or directory it is shown, not only a log's own"
)]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::finding::CliError;

/// A file to look into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Named {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// How it is shown: below the directory the user named, or by its last name.
    pub(crate) shown: String,
}

/// The regular files that `path` stands for, in the order of their names; the path itself may be a link.
///
/// Below a directory no link is followed, and what is no regular file is left out: opening a pipe could wait for ever.
pub(crate) fn files(path: &Path) -> Result<Vec<Named>, CliError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::Read { path, source }
    };
    let kind = fs::metadata(path).map_err(failed(path))?;
    if kind.is_file() {
        let shown = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        return Ok(vec![Named { path: path.to_owned(), shown }]);
    }
    if !kind.is_dir() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "neither a regular file nor a directory");
        return Err(failed(path)(source));
    }
    let mut found = Vec::new();
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(failed(&directory))? {
            let entry = entry.map_err(failed(&directory))?;
            let kind = entry.file_type().map_err(failed(&entry.path()))?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                let below = entry.path();
                let shown = below.strip_prefix(path).unwrap_or(&below).to_string_lossy().into_owned();
                found.push(Named { path: below, shown });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<File, CliError> {
    File::open(path).map_err(|source| CliError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_the_regular_files_below_it_and_no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("b-0")).unwrap();
        fs::write(root.path().join("b-0/x.log"), "").unwrap();
        fs::write(root.path().join("a"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        let shown: Vec<String> = files(root.path()).unwrap().into_iter().map(|file| file.shown).collect();
        assert_eq!(shown, ["a", "b-0/x.log"]);
        assert_eq!(files(&root.path().join("b-0/x.log")).unwrap()[0].shown, "x.log");
        assert!(matches!(files(&root.path().join("missing")), Err(CliError::Read { .. })));
        assert!(matches!(files(Path::new("/dev/null")), Err(CliError::Read { .. })));
    }
}
