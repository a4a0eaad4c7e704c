//! Power losses: what of the pending operations a disk may hold afterwards.
//!
//! Pending writes are cut into fragments of one page. A [`Choice`] says of each fragment, each change of length and
//! each name whether it reached the disk. Numbers in a choice count the fragments and lengths, or the names, from 0 in
//! the order in which they were asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::MemDisk;
use super::node::{FileNode, FileOp, PAGE, Seq, overwrite};
use super::random::{Random, garbage};
use super::tree::{NameOp, Node, NodeId, Tree};

/// What a power loss leaves of what was not synced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Choice {
    /// Which fragments of writes, and changes of length, have reached the disk.
    pub data: Keep,
    /// One fragment of which only the front did, if it is kept at all.
    pub torn: Option<Torn>,
    /// How long the files are.
    pub length: Length,
    /// Which creates, renames and removes have reached the disk.
    pub names: Keep,
    /// For which of those renames the old name stands beside the new one.
    pub both_names: Keep,
}

impl Choice {
    /// All that was not synced is lost.
    pub fn nothing() -> Self {
        Self {
            data: Keep::Nothing,
            torn: None,
            length: Length::ByData,
            names: Keep::Nothing,
            both_names: Keep::Nothing,
        }
    }

    /// Nothing is lost.
    pub fn everything() -> Self {
        Self { data: Keep::Everything, names: Keep::Everything, ..Self::nothing() }
    }
}

/// Which of a row of numbered things are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Keep {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// The first so many.
    First(usize),
    /// All but the first so many.
    After(usize),
    /// This one.
    Only(usize),
    /// All but this one.
    AllBut(usize),
    /// Those whose bit is set; none past the 64th.
    Bits(u64),
    /// About half, chosen by this seed.
    Random(u64),
}

impl Keep {
    /// Whether number `index` is kept.
    pub fn keeps(&self, index: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::First(count) => index < *count,
            Self::After(count) => index >= *count,
            Self::Only(only) => index == *only,
            Self::AllBut(but) => index != *but,
            Self::Bits(bits) => index < 64 && bits >> index & 1 == 1,
            Self::Random(seed) => Random::new(seed.wrapping_add(index as u64)).next() & 1 == 1,
        }
    }
}

/// A fragment that reached the disk in part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Torn {
    /// Its number.
    pub fragment: usize,
    /// How many of its bytes are as written.
    pub bytes: usize,
    /// What the others are.
    pub rest: Rest,
}

/// What stands behind the tear.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rest {
    /// What stood there before; the file may end at the tear.
    Old,
    /// Zeros.
    Zeros,
    /// Anything, chosen by this seed.
    Garbage(u64),
}

/// How long a file is after a power loss.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Length {
    /// As long as what was kept makes it.
    ByData,
    /// At most as long as it was at its last sync.
    Old,
    /// As long as the cache had it, with zeros where no data was kept: delayed allocation.
    New,
}

impl MemDisk {
    /// The disk after a power loss that left `choice`: what the next process finds. This one stays as it is.
    pub fn image(&self, choice: &Choice) -> Self {
        let state = self.state();
        Self::of(resolve(&state.tree, choice), state.faults.unplanned(), state.now)
    }

    /// The power goes, and comes back: handles and locks die, and of what was not synced only `choice` is left.
    pub fn crash(&self, choice: &Choice) {
        let mut state = self.state();
        state.tree = resolve(&state.tree, choice);
        state.faults = state.faults.unplanned();
        state.next_life();
    }
}

/// One numbered thing that a crash keeps or drops.
pub(super) struct Item {
    pub(super) seq: Seq,
    pub(super) node: NodeId,
    pub(super) kind: ItemKind,
}

pub(super) enum ItemKind {
    /// `from..to` of the bytes of a write to `position`.
    Fragment {
        position: u64,
        bytes: Arc<[u8]>,
        from: usize,
        to: usize,
    },
    SetLen(u64),
}

/// All that a crash may keep or drop of the files' bytes, in order.
pub(super) fn items(tree: &Tree) -> Vec<Item> {
    let mut items = Vec::new();
    for (node, found) in &tree.nodes {
        let Node::File(file) = found else { continue };
        for (seq, op) in &file.pending {
            let item = |kind| Item { seq: *seq, node: *node, kind };
            match op {
                FileOp::SetLen(len) => items.push(item(ItemKind::SetLen(*len))),
                FileOp::Write { position, bytes } => {
                    let fragment =
                        |(from, to)| ItemKind::Fragment { position: *position, bytes: bytes.clone(), from, to };
                    items.extend(fragments(*position, bytes.len()).map(fragment).map(item));
                }
            }
        }
    }
    // Stable: fragments of one write stay in the order of their positions.
    items.sort_by_key(|item| item.seq);
    items
}

/// The pieces of a write of `len` bytes to `position` that lie in one page each.
fn fragments(position: u64, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        if from >= len {
            return None;
        }
        let left_in_page = PAGE - (position + from as u64) % PAGE;
        let to = len.min(from + left_in_page as usize);
        let found = (from, to);
        from = to;
        Some(found)
    })
}

/// The tree as `choice` leaves it: everything that is in it is durable.
pub(super) fn resolve(tree: &Tree, choice: &Choice) -> Tree {
    let mut tree = tree.clone();
    tree.close_all();
    let mut bytes: BTreeMap<NodeId, Vec<u8>> = BTreeMap::new();
    for (index, item) in items(&tree).iter().enumerate() {
        let Ok(file) = tree.file(item.node) else { continue };
        let bytes = bytes.entry(item.node).or_insert_with(|| file.durable.as_ref().clone());
        if choice.data.keeps(index) {
            let torn = choice.torn.filter(|torn| torn.fragment == index);
            item.kind.apply(bytes, torn);
        }
    }
    for (node, mut bytes) in bytes {
        if let Ok(file) = tree.file_mut(node) {
            choice.length.apply(file, &mut bytes);
            file.durable = Arc::new(bytes);
        }
    }
    resolve_names(&mut tree, choice);
    settle(&mut tree);
    tree
}

impl ItemKind {
    fn apply(&self, file: &mut Vec<u8>, torn: Option<Torn>) {
        let (position, fragment) = match self {
            Self::SetLen(len) => return file.resize(*len as usize, 0),
            Self::Fragment { position, bytes, from, to } => (position + *from as u64, &bytes[*from..*to]),
        };
        let Some(torn) = torn else { return overwrite(file, position, fragment) };
        let (front, rest) = fragment.split_at(torn.bytes.min(fragment.len()));
        overwrite(file, position, front);
        let behind = position + front.len() as u64;
        let rest = match torn.rest {
            Rest::Old => return,
            Rest::Zeros => vec![0; rest.len()],
            Rest::Garbage(seed) => (behind..behind + rest.len() as u64).map(|at| garbage(seed, at)).collect(),
        };
        overwrite(file, behind, &rest);
    }
}

impl Length {
    fn apply(self, file: &FileNode, bytes: &mut Vec<u8>) {
        match self {
            Self::ByData => {}
            Self::Old => bytes.truncate(file.durable.len()),
            Self::New => bytes.resize(file.cached.len(), 0),
        }
    }
}

fn resolve_names(tree: &mut Tree, choice: &Choice) {
    for (index, (_, op)) in std::mem::take(&mut tree.names).iter().enumerate() {
        if !choice.names.keeps(index) {
            continue;
        }
        if choice.both_names.keeps(index) && matches!(op, NameOp::Rename { .. }) {
            tree.settle_link_only(op);
        } else {
            tree.settle(op);
        }
    }
}

/// The durable state is all there is.
fn settle(tree: &mut Tree) {
    for node in tree.nodes.values_mut() {
        match node {
            Node::File(file) => {
                file.cached = file.durable.clone();
                file.pending.clear();
                file.allocated = file.len();
            }
            Node::Dir(dir) => dir.cached = dir.durable.clone(),
            Node::Foreign(_) => {}
        }
    }
    tree.forget_unreachable();
}
