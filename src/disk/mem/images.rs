//! Which power losses are worth a look: all of them while they are few, else the telling ones.

use std::collections::BTreeSet;

use super::MemDisk;
use super::crash::{Choice, Item, ItemKind, Keep, Length, Rest, Torn, items, resolve};
use super::faults::Faults;
use super::node::PAGE;
use super::random::Random;
use super::rot::digest;
use super::tree::{NameOp, NodeId, Tree};
use crate::time::Timestamp;

/// Which images of a crash to walk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageRules {
    /// What may happen to names.
    pub names: NameModel,
    /// Positions in the last write to each file (of a batch, of a header) around which to tear it.
    pub borders: Vec<u64>,
    /// How many bytes to each side of such a border, and of the ends of the write. At borders of pages it is one.
    pub torn_within: u64,
    /// How many images are few: so many are walked without leaving one out, not counting tears.
    pub exhaustive_max: u64,
    /// How many random images are walked otherwise.
    pub random: u64,
    /// Where their choices come from.
    pub seed: u64,
}

impl Default for ImageRules {
    fn default() -> Self {
        Self {
            names: NameModel::Strict,
            borders: Vec::new(),
            torn_within: 128,
            exhaustive_max: 4096,
            random: 64,
            seed: 0,
        }
    }
}

/// What a file system may do to names that were not synced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameModel {
    /// The first so many of them are there, in the order in which they were asked for.
    Journaled,
    /// Any of them are there, and after a rename perhaps both names.
    Strict,
}

/// The images of a crash, each once.
#[derive(Debug)]
pub struct Images {
    tree: Tree,
    faults: Faults,
    now: Timestamp,
    choices: std::vec::IntoIter<Choice>,
    seen: BTreeSet<u64>,
}

impl MemDisk {
    /// What the disk may hold if the power goes now, by the rules of [`ImageRules::default`]. Each image is a disk of
    /// its own.
    pub fn images(&self) -> Images {
        self.images_by(&ImageRules::default())
    }

    /// What the disk may hold if the power goes now.
    pub fn images_by(&self, rules: &ImageRules) -> Images {
        let choices = self.choices(rules);
        let state = self.state();
        Images {
            tree: state.tree.clone(),
            faults: state.faults.unplanned(),
            now: state.now,
            choices: choices.into_iter(),
            seen: BTreeSet::new(),
        }
    }

    /// The choices of [`images_by`](Self::images_by); several may lead to one image.
    pub fn choices(&self, rules: &ImageRules) -> Vec<Choice> {
        let mut tree = self.state().tree.clone();
        tree.close_all();
        let space = Space::of(&tree);
        let mut choices = space.all(rules).unwrap_or_else(|| space.telling(rules));
        choices.extend(space.torn(rules));
        choices
    }
}

impl Iterator for Images {
    type Item = MemDisk;

    fn next(&mut self) -> Option<MemDisk> {
        loop {
            let tree = resolve(&self.tree, &self.choices.next()?);
            if self.seen.insert(digest(&tree)) {
                return Some(MemDisk::of(tree, self.faults.clone(), self.now));
            }
        }
    }
}

/// What there is to choose from.
struct Space {
    items: Vec<Item>,
    names: usize,
    /// The numbers of the renames among the names.
    renames: Vec<usize>,
    lengths: &'static [Length],
}

impl Space {
    fn of(tree: &Tree) -> Self {
        let items = items(tree);
        let is_rename = |(_, (_, op)): &(usize, &(u64, NameOp))| matches!(op, NameOp::Rename { .. });
        let renames = tree.names.iter().enumerate().filter(is_rename).map(|(index, _)| index).collect();
        let resized =
            items.iter().any(|item| tree.file(item.node).is_ok_and(|file| file.durable.len() != file.cached.len()));
        let lengths: &[Length] = if resized { &[Length::ByData, Length::Old, Length::New] } else { &[Length::ByData] };
        Self { items, names: tree.names.len(), renames, lengths }
    }

    /// Every choice there is, `None` if they are too many.
    fn all(&self, rules: &ImageRules) -> Option<Vec<Choice>> {
        let data_count = 1u64.checked_shl(self.items.len() as u32).filter(|_| self.items.len() < 63)?;
        let few = |count: u64| Some(count).filter(|count| *count <= rules.exhaustive_max);
        let count = few(data_count.checked_mul(self.lengths.len() as u64)?)?;
        let names = match rules.names {
            NameModel::Journaled => (0..=self.names).map(|count| (Keep::First(count), Keep::Nothing)).collect(),
            NameModel::Strict => self.all_names(rules.exhaustive_max)?,
        };
        few(count.checked_mul(names.len() as u64)?)?;
        let mut choices = Vec::new();
        for (names, both_names) in &names {
            for bits in 0..data_count {
                choices.extend(self.lengths.iter().map(|length| Choice {
                    data: Keep::Bits(bits),
                    torn: None,
                    length: *length,
                    names: names.clone(),
                    both_names: both_names.clone(),
                }));
            }
        }
        Some(choices)
    }

    fn all_names(&self, max: u64) -> Option<Vec<(Keep, Keep)>> {
        let bits = self.names + self.renames.len();
        if bits >= 63 || 1u64 << bits > max {
            return None;
        }
        let both =
            |bits: u64| self.renames.iter().enumerate().fold(0, |sum, (nth, name)| sum | (bits >> nth & 1) << name);
        let both_count = 1u64 << self.renames.len();
        let pairs = (0..1u64 << self.names).flat_map(|names| (0..both_count).map(move |bits| (names, bits)));
        Some(pairs.map(|(names, bits)| (Keep::Bits(names), Keep::Bits(both(bits)))).collect())
    }

    fn telling(&self, rules: &ImageRules) -> Vec<Choice> {
        let mut choices = Vec::new();
        for length in self.lengths {
            for (data, names) in product(&[Keep::Nothing, Keep::Everything], &[Keep::Everything, Keep::Nothing]) {
                choices.push(Choice { data, names, length: *length, ..Choice::nothing() });
            }
        }
        let families = [Keep::AllBut, Keep::Only, Keep::First, Keep::After];
        for (index, family) in (0..self.items.len()).flat_map(|index| families.map(|family| (index, family))) {
            for (names, length) in
                [(Keep::Everything, Length::ByData), (Keep::Everything, Length::New), (Keep::Nothing, Length::ByData)]
            {
                choices.push(Choice { data: family(index), names, length, ..Choice::nothing() });
            }
        }
        choices.extend(self.telling_names(rules));
        choices.extend((0..rules.random).map(|nth| self.random(rules, nth)));
        choices
    }

    fn telling_names(&self, rules: &ImageRules) -> Vec<Choice> {
        let mut names: Vec<(Keep, Keep)> = (0..=self.names).map(|count| (Keep::First(count), Keep::Nothing)).collect();
        if rules.names == NameModel::Strict {
            let families = [Keep::AllBut, Keep::Only, Keep::After];
            names.extend((0..self.names).flat_map(|name| families.map(|family| (family(name), Keep::Nothing))));
            names.extend(self.renames.iter().map(|rename| (Keep::Everything, Keep::Only(*rename))));
            names.extend(self.renames.iter().map(|rename| (Keep::First(rename + 1), Keep::Only(*rename))));
        }
        let with_data = |data: Keep| {
            let choice =
                move |(names, both_names)| Choice { data: data.clone(), names, both_names, ..Choice::nothing() };
            names.clone().into_iter().map(choice)
        };
        with_data(Keep::Everything).chain(with_data(Keep::Nothing)).collect()
    }

    fn random(&self, rules: &ImageRules, nth: u64) -> Choice {
        let mut random = Random::new(rules.seed.wrapping_add(nth));
        let (names, both_names) = match rules.names {
            NameModel::Journaled => (Keep::First(random.up_to(self.names + 1) - 1), Keep::Nothing),
            NameModel::Strict => (Keep::Random(random.next()), Keep::Random(random.next())),
        };
        let torn = (random.next() & 1 == 1 && !self.items.is_empty()).then(|| {
            let fragment = random.up_to(self.items.len()) - 1;
            let bytes = random.up_to(self.items[fragment].len());
            Torn { fragment, bytes, rest: rest(random.next()) }
        });
        let length = self.lengths[random.up_to(self.lengths.len()) - 1];
        Choice { data: Keep::Random(random.next()), torn, length, names, both_names }
    }

    /// The last write to each file, torn: with nothing after it, with everything else, and alone.
    fn torn(&self, rules: &ImageRules) -> Vec<Choice> {
        let mut choices = Vec::new();
        for (cut, fragment, bytes) in self.last_writes().into_iter().flat_map(|write| self.tears(&write, rules)) {
            let torn = |rest| Some(Torn { fragment, bytes, rest });
            for rest in [Rest::Old, Rest::Zeros, Rest::Garbage(rules.seed)] {
                let data = Keep::First(fragment + 1);
                choices.push(Choice { data, torn: torn(rest), ..Choice::everything() });
            }
            choices.push(Choice { torn: torn(rest(cut)), ..Choice::everything() });
            let alone = Keep::Only(fragment);
            choices.push(Choice { data: alone, torn: torn(rest(cut + 1)), ..Choice::everything() });
        }
        choices
    }

    /// The numbers of the fragments of the last write to each file.
    fn last_writes(&self) -> Vec<Vec<usize>> {
        let nodes: BTreeSet<NodeId> = self.items.iter().map(|item| item.node).collect();
        let of_last_write = |node: &NodeId| {
            let is_fragment = |item: &&Item| item.node == *node && matches!(item.kind, ItemKind::Fragment { .. });
            let last = self.items.iter().rev().find(is_fragment)?.seq;
            Some((0..self.items.len()).filter(|index| self.items[*index].seq == last).collect())
        };
        nodes.iter().filter_map(of_last_write).collect()
    }

    /// Where to tear a write: the position, the number of the fragment, and how many of its bytes are kept.
    fn tears(&self, write: &[usize], rules: &ImageRules) -> Vec<(u64, usize, usize)> {
        let spans: Vec<(usize, u64, u64)> =
            write.iter().filter_map(|index| self.items[*index].span().map(|(from, to)| (*index, from, to))).collect();
        let (Some((_, start, _)), Some((_, _, end))) = (spans.first(), spans.last()) else { return Vec::new() };
        let near = |cut: u64, border: u64| cut.abs_diff(border) <= rules.torn_within;
        let near_page = |cut: u64| matches!(cut % PAGE, 0 | 1) || cut % PAGE == PAGE - 1;
        let is_telling = |cut: u64| {
            near(cut, *start)
                || near(cut, *end)
                || rules.torn_within > 0 && near_page(cut)
                || rules.borders.iter().any(|border| near(cut, *border))
        };
        let inside = |(index, from, to): &(usize, u64, u64)| {
            let (index, from) = (*index, *from);
            (from + 1..*to)
                .filter(|cut| is_telling(*cut))
                .map(|cut| (cut, index, (cut - from) as usize))
                .collect::<Vec<_>>()
        };
        spans.iter().flat_map(inside).collect()
    }
}

impl Item {
    /// How many bytes it has.
    fn len(&self) -> usize {
        self.span().map_or(0, |(from, to)| (to - from) as usize)
    }

    /// The bytes of the file that it writes.
    fn span(&self) -> Option<(u64, u64)> {
        match &self.kind {
            ItemKind::Fragment { position, from, to, .. } => Some((position + *from as u64, position + *to as u64)),
            ItemKind::SetLen(_) => None,
        }
    }
}

fn rest(number: u64) -> Rest {
    match number % 3 {
        0 => Rest::Old,
        1 => Rest::Zeros,
        _ => Rest::Garbage(number),
    }
}

fn product(data: &[Keep], names: &[Keep]) -> Vec<(Keep, Keep)> {
    data.iter().flat_map(|data| names.iter().map(move |names| (data.clone(), names.clone()))).collect()
}
