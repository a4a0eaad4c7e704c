//! How many bytes of batches are in memory, wherever: in the caches of the logs, on their way to the disk, with consumers.
//!
//! - Always true: a batch counts from when it was taken until the last one who has any of it lets go.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

/// A count of bytes. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Live(Arc<AtomicU64>);

/// Bytes that are counted until they are dropped.
#[derive(Debug)]
struct Counted {
    bytes: Bytes,
    live: Live,
}

impl Live {
    /// The same bytes, counted from now on. Whoever has them already is not.
    pub(super) fn count(&self, bytes: Bytes) -> Bytes {
        self.0.fetch_add(bytes.len() as u64, Relaxed);
        Bytes::from_owner(Counted { bytes, live: self.clone() })
    }

    /// How many bytes are counted.
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.0.fetch_sub(self.bytes.len() as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_once_and_until_the_last_slice_of_them_is_dropped() {
        let live = Live::default();
        let (first, second) = (live.count(Bytes::from_static(b"first")), live.count(Bytes::from_static(b"second")));
        let (again, part) = (first.clone(), first.slice(1..2));
        assert_eq!(live.bytes(), 11);
        drop((first, again, second));
        assert_eq!((&part[..], live.bytes()), (&b"i"[..], 5));
        drop(part);
        assert_eq!(live.bytes(), 0);
    }
}
