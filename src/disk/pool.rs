//! Buffers that are read into, used again when the last reader has dropped them.
//!
//! A fresh buffer of a megabyte costs more than the read into it: the system hands out its pages one fault at a time.
//!
//! - Always true: at most [`FREE_BYTES_MAX`] bytes are kept for later; every buffer in use is counted.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// How many bytes of unused buffers are kept.
const FREE_BYTES_MAX: usize = 8 << 20;
/// Buffers come in this size and its multiples, so that they fit again.
const GRAIN: usize = 64 << 10;

/// A pool of buffers. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    free: Vec<Vec<u8>>,
    free_bytes: usize,
    live_bytes: usize,
}

/// A buffer of a pool, which goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    pool: Pool,
}

impl Pool {
    /// A buffer of `len` bytes. What is in it is left from its last use.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let room = len.div_ceil(GRAIN).max(1) * GRAIN;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = shared.free.iter().position(|buffer| buffer.len() >= room && buffer.len() <= 2 * room);
        let kept = fits.map(|at| shared.free.swap_remove(at));
        shared.free_bytes -= kept.as_ref().map_or(0, Vec::len);
        shared.live_bytes += kept.as_ref().map_or(room, Vec::len);
        drop(shared);
        Buffer { bytes: kept.unwrap_or_else(|| vec![0; room]), len, pool: self.clone() }
    }

    /// How many bytes of buffers are in use.
    pub(crate) fn live_bytes(&self) -> usize {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).live_bytes
    }
}

impl Buffer {
    /// The bytes to read into.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The first `len` bytes, shared from now on.
    pub(crate) fn freeze(mut self, len: usize) -> Bytes {
        self.len = self.len.min(len);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut shared = self.pool.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.live_bytes -= bytes.len();
        if shared.free_bytes + bytes.len() <= FREE_BYTES_MAX {
            shared.free_bytes += bytes.len();
            shared.free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again_and_what_is_in_use_is_counted() {
        let pool = Pool::default();
        let mut buffer = pool.take(10);
        buffer.bytes_mut().copy_from_slice(b"0123456789");
        let bytes = buffer.freeze(4);
        let part = bytes.slice(1..3);
        assert_eq!((&bytes[..], pool.live_bytes()), (&b"0123"[..], GRAIN));
        drop(bytes);
        assert_eq!((&part[..], pool.live_bytes()), (&b"12"[..], GRAIN), "a slice keeps its buffer");
        let at = part.as_ptr() as usize;
        drop(part);
        assert_eq!(pool.live_bytes(), 0);
        assert_eq!(pool.take(GRAIN).bytes_mut().as_ptr() as usize + 1, at);
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let pool = Pool::default();
        let buffers: Vec<Buffer> = (0..20).map(|_| pool.take(1 << 20)).collect();
        drop(buffers);
        assert_eq!(pool.live_bytes(), 0);
        let shared = pool.shared.lock().unwrap();
        assert!(shared.free_bytes <= FREE_BYTES_MAX && !shared.free.is_empty());
    }
}
