//! What the operating system answers, in our words.

use std::io;

use rustix::io::Errno;

use crate::disk::{DiskCall, DiskError, DiskErrorKind, DiskPath};

/// Calls again as long as a signal comes between.
pub(super) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

pub(super) fn failed(call: DiskCall, path: &DiskPath, span: Option<(u64, u64)>, errno: Errno) -> DiskError {
    error(call, path, span, kind(errno))
}

pub(super) fn error(call: DiskCall, path: &DiskPath, span: Option<(u64, u64)>, kind: DiskErrorKind) -> DiskError {
    DiskError { call, path: path.clone(), span, kind }
}

pub(super) fn io_kind(failure: &io::Error) -> DiskErrorKind {
    match failure.raw_os_error() {
        Some(code) => kind(Errno::from_raw_os_error(code)),
        None => DiskErrorKind::Io { code: None, message: failure.to_string() },
    }
}

pub(super) fn wrote_nothing() -> DiskErrorKind {
    DiskErrorKind::Io { code: None, message: "the system wrote nothing".to_owned() }
}

pub(super) fn kind(errno: Errno) -> DiskErrorKind {
    match errno {
        Errno::NOENT => DiskErrorKind::NotFound,
        Errno::NOSPC | Errno::DQUOT => DiskErrorKind::NoSpace,
        Errno::ACCESS | Errno::PERM => DiskErrorKind::PermissionDenied,
        Errno::ROFS => DiskErrorKind::ReadOnly,
        Errno::MFILE | Errno::NFILE => DiskErrorKind::TooManyOpenFiles,
        Errno::NOTDIR => DiskErrorKind::NotADirectory,
        Errno::LOOP => DiskErrorKind::SymlinkRefused,
        Errno::NOTEMPTY | Errno::EXIST => DiskErrorKind::NotEmpty,
        Errno::NAMETOOLONG => DiskErrorKind::NameTooLong,
        errno => DiskErrorKind::Io { code: Some(errno.raw_os_error()), message: io::Error::from(errno).to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_numbers_have_our_names() {
        let known = [
            (Errno::NOSPC, DiskErrorKind::NoSpace),
            (Errno::DQUOT, DiskErrorKind::NoSpace),
            (Errno::ROFS, DiskErrorKind::ReadOnly),
            (Errno::ACCESS, DiskErrorKind::PermissionDenied),
            (Errno::PERM, DiskErrorKind::PermissionDenied),
            (Errno::MFILE, DiskErrorKind::TooManyOpenFiles),
            (Errno::NFILE, DiskErrorKind::TooManyOpenFiles),
            (Errno::NOTDIR, DiskErrorKind::NotADirectory),
            (Errno::LOOP, DiskErrorKind::SymlinkRefused),
            (Errno::NOENT, DiskErrorKind::NotFound),
            (Errno::NOTEMPTY, DiskErrorKind::NotEmpty),
            (Errno::NAMETOOLONG, DiskErrorKind::NameTooLong),
        ];
        for (errno, due) in known {
            assert_eq!(kind(errno), due, "{errno:?}");
            assert_eq!(io_kind(&io::Error::from(errno)), due, "{errno:?}");
        }
        assert!(matches!(kind(Errno::IO), DiskErrorKind::Io { code: Some(5), .. }));
    }

    #[test]
    fn a_call_that_a_signal_breaks_is_made_again() {
        let mut calls = 0;
        let done = retry(|| {
            calls += 1;
            if calls < 3 { Err(Errno::INTR) } else { Ok(calls) }
        });
        assert_eq!(done, Ok(3));
    }
}
