//! The tree of a [`MemDisk`](super::MemDisk): what is durable, and what only the cache knows.
//!
//! A directory has a durable and a cached table of names; the pending name operations of all directories are one list,
//! in the order in which they were asked for. What a file has is `node`'s. Nothing here fails on purpose or counts
//! calls: that is `faults`.
//!
//! - Always true: the pending name operations, done in the durable tables, give the cached ones.

use std::collections::{BTreeMap, BTreeSet};

use super::node::{FILE_BYTES_MAX, FileNode, FileOp, Seq};
use crate::disk::{DiskErrorKind, DiskPath, Entry, EntryKind};
use crate::time::Timestamp;

/// Names one file or directory, whatever it is called. Never reused.
pub(super) type NodeId = u64;

pub(super) const ROOT: NodeId = 0;
/// The longest name, in bytes, as on most file systems.
const NAME_BYTES_MAX: usize = 255;
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    /// Names that changed since the last sync of their directory.
    pub(super) names: Vec<(Seq, NameOp)>,
    next_node: NodeId,
    next_seq: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
    /// A symbolic link, a pipe: something that a disk has to refuse.
    Foreign(EntryKind),
}

#[derive(Clone, Debug, Default)]
pub(super) struct DirNode {
    pub(super) durable: BTreeMap<String, NodeId>,
    pub(super) cached: BTreeMap<String, NodeId>,
}

#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Link { dir: NodeId, name: String, node: NodeId },
    Unlink { dir: NodeId, name: String },
    Rename { from_dir: NodeId, from: String, to_dir: NodeId, to: String, node: NodeId },
}

type Done<T> = Result<T, DiskErrorKind>;

impl Tree {
    pub(super) fn new() -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]);
        Self { nodes, names: Vec::new(), next_node: ROOT + 1, next_seq: 0 }
    }

    fn seq(&mut self) -> Seq {
        self.next_seq += 1;
        self.next_seq
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn find(&self, path: &DiskPath) -> Done<NodeId> {
        let mut node = ROOT;
        for name in path.names() {
            node = self.child(node, name)?.ok_or(DiskErrorKind::NotFound)?;
        }
        Ok(node)
    }

    /// The directory that holds `path`, and the name in it.
    fn place<'a>(&self, path: &'a DiskPath) -> Done<(NodeId, &'a str)> {
        if path.name().is_empty() {
            return Err(busy());
        }
        let dir = self.find(&path.parent())?;
        self.dir(dir)?;
        Ok((dir, path.name()))
    }

    fn child(&self, dir: NodeId, name: &str) -> Done<Option<NodeId>> {
        if name.len() > NAME_BYTES_MAX {
            return Err(DiskErrorKind::NameTooLong);
        }
        Ok(self.dir(dir)?.cached.get(name).copied())
    }

    pub(super) fn dir(&self, id: NodeId) -> Done<&DirNode> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::Foreign(EntryKind::Symlink)) => Err(DiskErrorKind::SymlinkRefused),
            Some(Node::File(_) | Node::Foreign(_)) => Err(DiskErrorKind::NotADirectory),
            None => Err(DiskErrorKind::NotFound),
        }
    }

    fn cached_names(&mut self, id: NodeId) -> Done<&mut BTreeMap<String, NodeId>> {
        self.dir(id)?;
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => Ok(&mut dir.cached),
            _ => Err(DiskErrorKind::NotADirectory),
        }
    }

    pub(super) fn file(&self, id: NodeId) -> Done<&FileNode> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Foreign(EntryKind::Symlink)) => Err(DiskErrorKind::SymlinkRefused),
            Some(Node::Dir(_) | Node::Foreign(_)) => Err(DiskErrorKind::NotRegularFile),
            None => Err(DiskErrorKind::NotFound),
        }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> Done<&mut FileNode> {
        self.file(id)?;
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(DiskErrorKind::NotRegularFile),
        }
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut FileNode> {
        self.nodes.values_mut().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Dir(_) | Node::Foreign(_) => None,
        })
    }

    /// Gives `name` in `dir` a new node.
    fn link(&mut self, dir: NodeId, name: &str, node: Node) -> Done<NodeId> {
        let node = self.add(node);
        self.cached_names(dir)?.insert(name.to_owned(), node);
        let seq = self.seq();
        self.names.push((seq, NameOp::Link { dir, name: name.to_owned(), node }));
        Ok(node)
    }

    fn unlink(&mut self, dir: NodeId, name: &str) -> Done<()> {
        self.cached_names(dir)?.remove(name);
        let seq = self.seq();
        self.names.push((seq, NameOp::Unlink { dir, name: name.to_owned() }));
        Ok(())
    }

    /// The regular file at `path`, `None` if there is nothing.
    pub(super) fn find_file(&self, path: &DiskPath) -> Done<Option<NodeId>> {
        let found = match self.find(path) {
            Err(DiskErrorKind::NotFound) => {
                // A missing directory is not a missing file: nothing could be made there.
                self.find(&path.parent())?;
                return Ok(None);
            }
            found => found?,
        };
        self.file(found)?;
        Ok(Some(found))
    }

    pub(super) fn create_file(&mut self, path: &DiskPath, now: Timestamp) -> Done<NodeId> {
        let (dir, name) = self.place(path)?;
        self.link(dir, name, Node::File(FileNode::new(Vec::new(), now)))
    }

    pub(super) fn make_dir(&mut self, path: &DiskPath) -> Done<()> {
        let (dir, name) = self.place(path)?;
        self.link(dir, name, Node::Dir(DirNode::default())).map(|_| ())
    }

    pub(super) fn remove(&mut self, path: &DiskPath) -> Done<()> {
        let (dir, name) = self.place(path)?;
        let node = self.find(path)?;
        if matches!(self.nodes.get(&node), Some(Node::Dir(found)) if !found.cached.is_empty()) {
            return Err(DiskErrorKind::NotEmpty);
        }
        self.unlink(dir, name)
    }

    pub(super) fn rename(&mut self, from: &DiskPath, to: &DiskPath) -> Done<()> {
        let (from_dir, from_name) = self.place(from)?;
        let (to_dir, to_name) = self.place(to)?;
        let node = self.child(from_dir, from_name)?.ok_or(DiskErrorKind::NotFound)?;
        if to.as_str().starts_with(&format!("{from}/")) {
            return Err(DiskErrorKind::Io { code: Some(22), message: "Invalid argument".to_owned() });
        }
        if let Some(target) = self.child(to_dir, to_name)? {
            if target == node {
                return Ok(());
            }
            if from.as_str().starts_with(&format!("{to}/")) {
                return Err(DiskErrorKind::NotEmpty);
            }
            self.check_replaced(node, target)?;
        }
        self.cached_names(from_dir)?.remove(from_name);
        self.cached_names(to_dir)?.insert(to_name.to_owned(), node);
        let seq = self.seq();
        let (from, to) = (from_name.to_owned(), to_name.to_owned());
        self.names.push((seq, NameOp::Rename { from_dir, from, to_dir, to, node }));
        Ok(())
    }

    /// Whether a rename of `node` may replace `target`, as POSIX has it.
    fn check_replaced(&self, node: NodeId, target: NodeId) -> Done<()> {
        match (self.nodes.get(&node), self.nodes.get(&target)) {
            (Some(Node::Dir(_)), Some(Node::Dir(dir))) if dir.cached.is_empty() => Ok(()),
            (Some(Node::Dir(_)), Some(Node::Dir(_))) => Err(DiskErrorKind::NotEmpty),
            (Some(Node::Dir(_)), _) => Err(DiskErrorKind::NotADirectory),
            (_, Some(Node::Dir(_))) => Err(DiskErrorKind::NotRegularFile),
            _ => Ok(()),
        }
    }

    pub(super) fn list(&self, path: &DiskPath) -> Done<Vec<Entry>> {
        let dir = self.dir(self.find(path)?)?;
        Ok(dir.cached.iter().filter_map(|(name, node)| Some((name, self.nodes.get(node)?))).map(entry).collect())
    }

    /// Writes all of it, unless the file would grow beyond [`FILE_BYTES_MAX`].
    pub(super) fn write(&mut self, id: NodeId, position: u64, bytes: &[u8], now: Timestamp) -> Done<()> {
        let end = position.checked_add(bytes.len() as u64).filter(|end| *end <= FILE_BYTES_MAX);
        let end = end.ok_or(DiskErrorKind::NoSpace)?;
        let seq = self.seq();
        let file = self.file_mut(id)?;
        file.change(seq, FileOp::Write { position, bytes: bytes.into() }, now);
        file.allocated = file.allocated.max(end);
        Ok(())
    }

    pub(super) fn set_len(&mut self, id: NodeId, len: u64, now: Timestamp) -> Done<()> {
        if len > FILE_BYTES_MAX {
            return Err(DiskErrorKind::NoSpace);
        }
        let seq = self.seq();
        let file = self.file_mut(id)?;
        file.change(seq, FileOp::SetLen(len), now);
        file.allocated = file.allocated.min(len);
        Ok(())
    }

    pub(super) fn sync(&mut self, id: NodeId) -> Done<()> {
        self.file_mut(id)?.sync();
        Ok(())
    }

    /// Makes all bytes and all names durable.
    pub(super) fn sync_all(&mut self) -> Done<()> {
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.sync();
            }
        }
        for (_, op) in std::mem::take(&mut self.names) {
            self.settle(&op);
        }
        self.forget_unreachable();
        Ok(())
    }

    /// Makes the names in `dir` durable. A rename out of it brings its other half along, or the file would be lost.
    pub(super) fn sync_dir(&mut self, dir: NodeId) -> Done<()> {
        self.dir(dir)?;
        let mut left = Vec::new();
        for (seq, op) in std::mem::take(&mut self.names) {
            match &op {
                NameOp::Link { dir: at, .. } | NameOp::Unlink { dir: at, .. } if *at == dir => self.settle(&op),
                NameOp::Rename { from_dir, .. } if *from_dir == dir => self.settle(&op),
                NameOp::Rename { from_dir, from, to_dir, .. } if *to_dir == dir => {
                    self.settle_link_only(&op);
                    left.push((seq, NameOp::Unlink { dir: *from_dir, name: from.clone() }));
                }
                NameOp::Link { .. } | NameOp::Unlink { .. } | NameOp::Rename { .. } => left.push((seq, op)),
            }
        }
        self.names = left;
        self.forget_unreachable();
        Ok(())
    }

    /// Does `op` in the durable tables.
    pub(super) fn settle(&mut self, op: &NameOp) {
        if let NameOp::Unlink { dir, name } | NameOp::Rename { from_dir: dir, from: name, .. } = op
            && let Some(Node::Dir(dir)) = self.nodes.get_mut(dir)
        {
            dir.durable.remove(name);
        }
        self.settle_link_only(op);
    }

    /// Does `op` in the durable tables, but lets the old name of a rename stand.
    pub(super) fn settle_link_only(&mut self, op: &NameOp) {
        if let NameOp::Link { dir, name, node } | NameOp::Rename { to_dir: dir, to: name, node, .. } = op
            && let Some(Node::Dir(dir)) = self.nodes.get_mut(dir)
        {
            dir.durable.insert(name.clone(), *node);
        }
    }

    /// Drops what no name, pending name or handle leads to.
    pub(super) fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        for node in self.nodes.values() {
            if let Node::Dir(dir) = node {
                reached.extend(dir.durable.values().chain(dir.cached.values()));
            }
        }
        for (_, op) in &self.names {
            if let NameOp::Link { node, .. } | NameOp::Rename { node, .. } = op {
                reached.insert(*node);
            }
        }
        self.nodes.retain(|id, node| reached.contains(id) || matches!(node, Node::File(file) if file.handles > 0));
    }

    /// How many bytes of space the files hold: those with a name in the cache, and those that are open.
    pub(super) fn held(&self) -> u64 {
        let named = |found: &BTreeSet<NodeId>, id: &NodeId| found.contains(id);
        let mut found = BTreeSet::new();
        self.walk(ROOT, "", &mut |_, id, _| {
            found.insert(id);
        });
        let sizes = self.nodes.iter().filter_map(|(id, node)| match node {
            Node::File(file) if file.handles > 0 || named(&found, id) => Some(file.held()),
            Node::File(_) | Node::Dir(_) | Node::Foreign(_) => None,
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// Calls `visit` for everything with a name in the cache, parents first, in the order of names.
    pub(super) fn walk(&self, dir: NodeId, prefix: &str, visit: &mut impl FnMut(&str, NodeId, &Node)) {
        let Some(Node::Dir(found)) = self.nodes.get(&dir) else { return };
        for (name, id) in &found.cached {
            let Some(node) = self.nodes.get(id) else { continue };
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            visit(&path, *id, node);
            self.walk(*id, &path, visit);
        }
    }

    /// Puts a node at `path`, durable at once, with the directories above it.
    pub(super) fn put(&mut self, path: &DiskPath, node: Node) -> Done<()> {
        let mut dir = ROOT;
        for name in path.parent().names() {
            dir = match self.child(dir, name)? {
                Some(found) => found,
                None => self.put_in(dir, name, Node::Dir(DirNode::default()))?,
            };
        }
        if path.name().is_empty() {
            return Err(busy());
        }
        self.put_in(dir, path.name(), node).map(|_| ())
    }

    fn put_in(&mut self, dir: NodeId, name: &str, node: Node) -> Done<NodeId> {
        self.child(dir, name)?;
        self.forget_pending(dir, name);
        let node = self.add(node);
        if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
            dir.durable.insert(name.to_owned(), node);
            dir.cached.insert(name.to_owned(), node);
        }
        Ok(node)
    }

    /// Takes `path` away, with all below it, durable at once.
    pub(super) fn vanish(&mut self, path: &DiskPath) -> Done<()> {
        self.find(path)?;
        let (dir, name) = self.place(path)?;
        self.forget_pending(dir, name);
        if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
            dir.durable.remove(name);
            dir.cached.remove(name);
        }
        Ok(())
    }

    /// What waits for a sync to change who has the name does not any more: someone from outside has decided.
    fn forget_pending(&mut self, in_dir: NodeId, gone: &str) {
        let mut left = Vec::with_capacity(self.names.len());
        for (seq, op) in self.names.drain(..) {
            match op {
                NameOp::Link { dir, ref name, .. } | NameOp::Unlink { dir, ref name }
                    if dir == in_dir && name == gone => {}
                NameOp::Rename { from_dir, from, to_dir, ref to, .. } if to_dir == in_dir && to == gone => {
                    left.push((seq, NameOp::Unlink { dir: from_dir, name: from }));
                }
                op @ (NameOp::Link { .. } | NameOp::Unlink { .. } | NameOp::Rename { .. }) => left.push((seq, op)),
            }
        }
        self.names = left;
    }

    /// The process died: nobody has anything open, the cache survives.
    pub(super) fn close_all(&mut self) {
        self.files_mut().for_each(|file| file.handles = 0);
        self.forget_unreachable();
    }
}

pub(super) fn file_of(bytes: Vec<u8>, now: Timestamp) -> Node {
    Node::File(FileNode::new(bytes, now))
}

fn busy() -> DiskErrorKind {
    DiskErrorKind::Io { code: Some(16), message: "Device or resource busy".to_owned() }
}

fn entry((name, node): (&String, &Node)) -> Entry {
    let kind = match node {
        Node::File(file) => EntryKind::File { len: file.len(), modified: file.modified.unwrap_or(Timestamp::NONE) },
        Node::Dir(_) => EntryKind::Dir,
        Node::Foreign(kind) => *kind,
    };
    Entry { name: name.into(), kind }
}
