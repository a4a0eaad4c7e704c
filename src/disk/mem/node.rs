//! A file of a [`MemDisk`](super::MemDisk): durable bytes, cached bytes, and the pending operations that lead from one to
//! the other.
//!
//! - Always true: the pending operations of a file, applied to its durable bytes, give its cached bytes, unless a
//!   failed sync has dropped some of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::disk::DiskErrorKind;
use crate::time::Timestamp;

/// The longest file, so that a position out of rot does not ask for all memory.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 31;
/// The size of a page of the cache, in bytes.
pub(super) const PAGE: u64 = 4096;

/// The place of an operation in the order of all of them.
pub(super) type Seq = u64;

#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) cached: Arc<Vec<u8>>,
    pub(super) pending: Vec<(Seq, FileOp)>,
    pub(super) modified: Option<Timestamp>,
    /// Up to where blocks are given out, in bytes.
    pub(super) allocated: u64,
    pub(super) handles: u32,
    /// Pages that cannot be read.
    pub(super) bad_pages: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum FileOp {
    Write { position: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

impl FileNode {
    pub(super) fn new(bytes: Vec<u8>, now: Timestamp) -> Self {
        let bytes = Arc::new(bytes);
        let allocated = bytes.len() as u64;
        Self { durable: bytes.clone(), cached: bytes, modified: Some(now), allocated, ..Self::default() }
    }

    pub(super) fn len(&self) -> u64 {
        self.cached.len() as u64
    }

    /// Up to where the file holds space, in bytes.
    pub(super) fn held(&self) -> u64 {
        self.allocated.max(self.len())
    }

    /// Does `op` in the cache; it is pending from now on.
    pub(super) fn change(&mut self, seq: Seq, op: FileOp, now: Timestamp) {
        op.apply(Arc::make_mut(&mut self.cached));
        self.pending.push((seq, op));
        self.modified = Some(now);
    }

    /// Makes the cached bytes durable, except those that a failed sync has dropped.
    pub(super) fn sync(&mut self) {
        let durable = Arc::make_mut(&mut self.durable);
        for (_, op) in self.pending.drain(..) {
            op.apply(durable);
        }
    }

    /// Forgets cached bytes that are neither durable nor pending.
    pub(super) fn evict(&mut self) {
        let mut bytes = self.durable.as_ref().clone();
        for (_, op) in &self.pending {
            op.apply(&mut bytes);
        }
        self.cached = Arc::new(bytes);
    }

    /// Changes bytes behind the back of everyone: in the cache and on the disk.
    pub(super) fn rewrite(&mut self, change: impl Fn(&mut Vec<u8>)) {
        change(Arc::make_mut(&mut self.durable));
        change(Arc::make_mut(&mut self.cached));
    }

    /// Whether the pages of these bytes can be read.
    pub(super) fn check_pages(&self, position: u64, len: u64) -> Result<(), DiskErrorKind> {
        if len == 0 {
            return Ok(());
        }
        let pages = position / PAGE..=(position + len - 1) / PAGE;
        match self.bad_pages.range(pages).next() {
            None => Ok(()),
            Some(_) => Err(DiskErrorKind::Io { code: Some(5), message: "Input/output error".to_owned() }),
        }
    }
}

impl FileOp {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes: written } => overwrite(bytes, *position, written),
            Self::SetLen(len) => bytes.resize(*len as usize, 0),
        }
    }
}

/// Puts `written` at `position` of `bytes`, with zeros in a gap in front of it.
pub(super) fn overwrite(bytes: &mut Vec<u8>, position: u64, written: &[u8]) {
    let (start, end) = (position as usize, position as usize + written.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(written);
}
