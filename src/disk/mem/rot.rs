//! A [`MemDisk`] seen and changed from outside: no call of the seam, no number, no fault.

use std::collections::{BTreeMap, BTreeSet};

use super::node::FileNode;
use super::random::mix;
use super::tree::{DirNode, Node, NodeId, ROOT, Tree, file_of};
use super::{MemDisk, State};
use crate::disk::{DiskCall, DiskError, DiskErrorKind, DiskPath, EntryKind};
use crate::time::Timestamp;

impl MemDisk {
    /// A disk with these files and nothing else, all durable. A name that ends in `/` is an empty directory.
    ///
    /// # Panics
    ///
    /// If a name is no path, or goes through a file.
    pub fn from_contents(contents: &BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::new();
        for (path, bytes) in contents {
            match path.strip_suffix('/') {
                Some(dir) => disk.put_node(dir, Node::Dir(DirNode::default())),
                None => disk.put_node(path, file_of(bytes.clone(), Timestamp::from_millis(0))),
            }
            .expect("the paths of the contents");
        }
        disk
    }

    /// Every file as a process sees it, by path. An empty directory is there as its path with a `/` behind.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut contents = BTreeMap::new();
        self.state().tree.walk(ROOT, "", &mut |path, _, node| match node {
            Node::File(file) => {
                contents.insert(path.to_owned(), file.cached.as_ref().clone());
            }
            Node::Dir(dir) if dir.cached.is_empty() => {
                contents.insert(format!("{path}/"), Vec::new());
            }
            Node::Dir(_) | Node::Foreign(_) => {}
        });
        contents
    }

    /// One number for all names and bytes as a process sees them: equal before and after if nothing has changed.
    pub fn digest(&self) -> u64 {
        digest(&self.state().tree)
    }

    /// Puts a file there, durable at once, with the directories above it; replaces what is there.
    ///
    /// # Errors
    ///
    /// If `path` is no path, or goes through a file.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) -> Result<(), DiskError> {
        let now = self.state().now;
        self.put_node(path, file_of(bytes.into(), now))
    }

    /// Puts something there that is no file: a symbolic link, a pipe, a directory.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); and a file has bytes, so it is put there by that.
    pub fn put_foreign(&self, path: &str, kind: EntryKind) -> Result<(), DiskError> {
        match kind {
            EntryKind::Dir => self.put_node(path, Node::Dir(DirNode::default())),
            EntryKind::Symlink | EntryKind::Other => self.put_node(path, Node::Foreign(kind)),
            EntryKind::File { .. } => self.put(path, []),
        }
    }

    fn put_node(&self, path: &str, node: Node) -> Result<(), DiskError> {
        self.outside(path, |state, path| state.tree.put(path, node))
    }

    /// Takes a file, or a directory with all below it, off the disk, durable at once.
    ///
    /// # Errors
    ///
    /// If there is nothing of that name.
    pub fn vanish(&self, path: &str) -> Result<(), DiskError> {
        self.outside(path, |state, path| state.tree.vanish(path))
    }

    /// Turns one bit around, in the cache and on the disk. A byte past the end is left alone.
    ///
    /// # Errors
    ///
    /// If there is no file of that name.
    pub fn flip_bit(&self, path: &str, byte: u64, bit: u32) -> Result<(), DiskError> {
        self.rewrite(path, |bytes| {
            if let Some(found) = bytes.get_mut(byte as usize) {
                *found ^= 1 << (bit % 8);
            }
        })
    }

    /// Puts other bytes at `position`, in the cache and on the disk, without changing the length.
    ///
    /// # Errors
    ///
    /// If there is no file of that name.
    pub fn corrupt(&self, path: &str, position: u64, with: &[u8]) -> Result<(), DiskError> {
        self.rewrite(path, |bytes| {
            let start = bytes.len().min(position as usize);
            for (old, new) in bytes[start..].iter_mut().zip(with) {
                *old = *new;
            }
        })
    }

    /// Cuts the file, in the cache and on the disk, to at most `len` bytes.
    ///
    /// # Errors
    ///
    /// If there is no file of that name.
    pub fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError> {
        self.rewrite(path, |bytes| bytes.truncate(len as usize))
    }

    /// From now on the page `page` (4 KiB each) of the file cannot be read: EIO.
    ///
    /// # Errors
    ///
    /// If there is no file of that name.
    pub fn break_page(&self, path: &str, page: u64) -> Result<(), DiskError> {
        self.with_file(path, |file| {
            file.bad_pages.insert(page);
        })
    }

    /// The file can be read again.
    ///
    /// # Errors
    ///
    /// If there is no file of that name.
    pub fn mend_pages(&self, path: &str) -> Result<(), DiskError> {
        self.with_file(path, |file| file.bad_pages.clear())
    }

    /// Forgets cached bytes that a failed sync has dropped, as memory pressure does some time later.
    pub fn evict(&self) {
        self.state().tree.files_mut().for_each(FileNode::evict);
    }

    /// How many bytes of space the files hold, reservations included.
    pub fn held(&self) -> u64 {
        self.state().tree.held()
    }

    /// The files with bytes that a crash may lose.
    pub fn unsynced(&self) -> BTreeSet<String> {
        let mut unsynced = BTreeSet::new();
        self.state().tree.walk(ROOT, "", &mut |path, _, node| {
            if matches!(node, Node::File(file) if !file.pending.is_empty()) {
                unsynced.insert(path.to_owned());
            }
        });
        unsynced
    }

    fn rewrite(&self, path: &str, change: impl Fn(&mut Vec<u8>)) -> Result<(), DiskError> {
        self.with_file(path, |file| file.rewrite(change))
    }

    fn with_file(&self, path: &str, change: impl FnOnce(&mut FileNode)) -> Result<(), DiskError> {
        self.outside(path, |state, path| {
            let node: NodeId = state.tree.find(path)?;
            change(state.tree.file_mut(node)?);
            Ok(())
        })
    }

    fn outside(
        &self,
        path: &str,
        act: impl FnOnce(&mut State, &DiskPath) -> Result<(), DiskErrorKind>,
    ) -> Result<(), DiskError> {
        let parsed = DiskPath::parse(path);
        let done = match &parsed {
            Some(path) => act(&mut self.state(), path),
            None => Err(DiskErrorKind::NotFound),
        };
        done.map_err(|kind| DiskError { call: DiskCall::Open, path: parsed.unwrap_or_default(), span: None, kind })
    }
}

pub(super) fn digest(tree: &Tree) -> u64 {
    let mut digest = 0;
    tree.walk(ROOT, "", &mut |path, _, node| {
        let (kind, bytes): (u64, &[u8]) = match node {
            Node::File(file) => (1, &file.cached),
            Node::Dir(_) => (2, &[]),
            Node::Foreign(_) => (3, &[]),
        };
        for part in [kind, sum(path.as_bytes()), sum(bytes)] {
            digest = mix(digest ^ part).wrapping_add(part);
        }
    });
    digest
}

/// The length and the CRC-32 of `bytes`, in one number.
fn sum(bytes: &[u8]) -> u64 {
    ((bytes.len() as u64) << 32) ^ u64::from(crc32fast::hash(bytes))
}
