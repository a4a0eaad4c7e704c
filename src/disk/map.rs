//! Files as memory: the only door to `unsafe` in this crate.
//!
//! A map saves the copy and the system call of each read of a sealed segment or an index file. `read_whole` is its safe
//! twin, and the tests compare the two.
//!
//! - Must not know: which files are sealed. The caller of [`DiskFile::map`](super::DiskFile::map) does.
#![expect(unsafe_code, reason = "measured: no copy and no system call for each read of a file that does not change")]
#![expect(clippy::disallowed_types, reason = "the file comes from `file`, the one that may open it")]

use std::fs::File;
use std::io;

use bytes::Bytes;

/// The first `len` bytes of `file`, as a map. The file must be that long, and stay so while anyone holds the map.
pub(super) fn map(file: &File, len: u64) -> io::Result<Bytes> {
    if len == 0 {
        // The system maps no empty range.
        return Ok(Bytes::new());
    }
    let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    // SAFETY: the memory is only sound while nobody shortens the file or changes these bytes. The promise is that of
    // `DiskFile::map`: it is called for sealed segments and their index files alone, which are never written to again,
    // never shortened, and only ever removed or replaced under their name, which leaves the mapped file as it is. The
    // directory's lock keeps other instances of this library, its owner's care all other programs, away from them.
    let map = unsafe { memmap2::MmapOptions::new().len(len).map(file)? };
    Ok(Bytes::from_owner(map))
}

/// The safe twin of [`map`]: the same bytes, read.
#[cfg(test)]
fn read_whole(file: &File, len: u64) -> io::Result<Bytes> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_map_is_what_a_read_would_be() {
        let file = tempfile::tempfile().unwrap();
        for len in [0, 1, 4095, 4096, 4097, 70_000_u64] {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
            file.write_all_at(&bytes, 0).unwrap();
            assert_eq!(map(&file, len).unwrap(), read_whole(&file, len).unwrap(), "{len}");
        }
        assert_eq!(map(&file, 10).unwrap().len(), 10);
    }

    #[test]
    fn a_map_outlives_the_handle() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"still here", 0).unwrap();
        let map = map(&file, 10).unwrap();
        drop(file);
        assert_eq!(&map[..], b"still here");
    }
}
