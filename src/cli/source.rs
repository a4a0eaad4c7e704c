//! Bytes of a file that may be damaged, of any size, and still growing.
//!
//! - Always true: no call holds more than it was asked for plus one window; nothing is ever written.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use bytes::Bytes;

/// How much is read at a time.
const WINDOW_BYTES: usize = 256 << 10;

/// How long a writer is given to finish a write.
const PAUSE: Duration = Duration::from_millis(10);

/// Where bytes come from.
pub(crate) trait Source {
    /// How many bytes there are now. A file that is being appended to has more later.
    fn len(&self) -> io::Result<u64>;
    /// Reads at `position` until `into` is full or the bytes end; says how many it read.
    fn read_at(&self, position: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Gives a writer time to finish, where there may be one.
    fn pause(&self) {}
}

#[expect(clippy::disallowed_types, reason = "the command line looks into any file it is shown, not only a log's own")]
impl Source for std::fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, position: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut file = self;
        file.seek(SeekFrom::Start(position))?;
        let mut done = 0;
        while done < into.len() {
            match file.read(&mut into[done..]) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    #[expect(clippy::disallowed_methods, reason = "a command has the time to let a writer finish")]
    fn pause(&self) {
        std::thread::sleep(PAUSE);
    }
}

impl Source for &[u8] {
    fn len(&self) -> io::Result<u64> {
        Ok((**self).len() as u64)
    }

    fn read_at(&self, position: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(position).unwrap_or(usize::MAX).min((**self).len());
        let count = into.len().min((**self).len() - from);
        into[..count].copy_from_slice(&self[from..from + count]);
        Ok(count)
    }
}

/// A source read through a window, so that neighbours cost one read together.
pub(crate) struct Windowed<'a, S> {
    source: &'a S,
    window: Bytes,
    window_at: u64,
}

impl<'a, S: Source> Windowed<'a, S> {
    /// A window onto `source`, empty as yet.
    pub(crate) fn new(source: &'a S) -> Self {
        Self { source, window: Bytes::new(), window_at: 0 }
    }

    /// How many bytes there are now.
    pub(crate) fn len(&self) -> io::Result<u64> {
        self.source.len()
    }

    /// Up to `count` bytes from `position`; fewer only where the bytes end.
    pub(crate) fn bytes(&mut self, position: u64, count: usize) -> io::Result<Bytes> {
        if let Some(bytes) = self.held(position, count) {
            return Ok(bytes);
        }
        let mut buffer = vec![0; count.max(WINDOW_BYTES)];
        let read = self.source.read_at(position, &mut buffer)?;
        buffer.truncate(read);
        self.window = buffer.into();
        self.window_at = position;
        Ok(self.window.slice(..count.min(read)))
    }

    /// Gives a writer time to finish, and forgets the window: the file may have changed below it.
    pub(crate) fn settle(&mut self) {
        self.source.pause();
        self.window = Bytes::new();
    }

    fn held(&self, position: u64, count: usize) -> Option<Bytes> {
        let from = usize::try_from(position.checked_sub(self.window_at)?).ok()?;
        let to = from.checked_add(count)?;
        (to <= self.window.len()).then(|| self.window.slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_gives_the_same_bytes_as_the_source_and_stops_at_its_end() {
        let bytes: Vec<u8> = (0..WINDOW_BYTES as u32 + 1000).map(|at| at as u8).collect();
        let source = bytes.as_slice();
        let mut windowed = Windowed::new(&source);
        for (position, count) in [(0, 10), (5, 100), (WINDOW_BYTES - 3, 10), (bytes.len() - 4, 10), (bytes.len(), 1)] {
            let to = (position + count).min(bytes.len());
            assert_eq!(windowed.bytes(position as u64, count).unwrap(), &bytes[position..to]);
        }
        assert_eq!(windowed.bytes(u64::MAX, 1).unwrap(), &[][..]);
    }
}
