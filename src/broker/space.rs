//! The bounds on the space that a node's partitions take, and what is done about an append that would take more.
//!
//! A partition is noted, with what it takes and with its oldest segment that may go, whenever that may have changed. So an
//! append is judged by looking at a few numbers, whatever else there is; and who is to make room for it is the first entry of
//! an ordered list.
//!
//! - May use: the newtypes, `message`, `partition`.
//! - Must not know: logs, files, who asks.
//! - Always true: what a topic takes is the sum of what its partitions take, and the total that of all; the lists name exactly
//!   those partitions that have a segment to give.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{TopicName, TopicPartition};
use crate::message::{AtSpaceBound, BoundReached, SpaceBound};
use crate::partition::{INDEX_GROWTH_MAX, Oldest, PartitionSpace};

/// The bounds of a node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SpaceConfig {
    /// Of all that it holds together.
    pub total: Option<SpaceBound>,
    /// Of topics.
    pub topics: BTreeMap<TopicName, SpaceBound>,
}

/// What was dropped to make room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dropped {
    /// How many segments.
    pub segments: u64,
    /// How many bytes, with those of their index files.
    pub bytes: u64,
    /// How many offsets they had: with compaction, more than records.
    pub offsets: u64,
}

/// What is to be done about an append.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// There is space.
    Admit,
    /// Drop the oldest segment of this partition and ask again; if that cannot be, refuse.
    Drop(TopicPartition, BoundReached),
    /// There is none.
    Refuse(BoundReached),
}

/// What the partitions of a node take (see the module).
#[derive(Debug, Default)]
pub(super) struct Space {
    config: SpaceConfig,
    noted: BTreeMap<TopicPartition, PartitionSpace>,
    total: Share,
    topics: BTreeMap<TopicName, Share>,
    dropped: BTreeMap<TopicName, Dropped>,
}

/// What several partitions take.
#[derive(Debug, Default)]
struct Share {
    bytes: u64,
    /// What those take that have a segment to give: more than this cannot go.
    givable: u64,
    /// Who may give a segment, the oldest first.
    givers: BTreeSet<(Oldest, TopicPartition)>,
}

impl Share {
    fn replace(&mut self, partition: &TopicPartition, before: PartitionSpace, now: PartitionSpace) {
        self.bytes = self.bytes - before.bytes + now.bytes;
        self.givable = self.givable - givable(before) + givable(now);
        if before.oldest != now.oldest {
            if let Some(oldest) = before.oldest {
                self.givers.remove(&(oldest, partition.clone()));
            }
            self.givers.extend(now.oldest.map(|oldest| (oldest, partition.clone())));
        }
    }

    fn is_nothing(&self) -> bool {
        self.bytes == 0 && self.givers.is_empty()
    }
}

fn givable(space: PartitionSpace) -> u64 {
    if space.oldest.is_some() { space.bytes } else { 0 }
}

impl Space {
    pub(super) fn new(config: SpaceConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Whether there is any bound. If not, nothing need be noted.
    pub(super) fn is_bounded(&self) -> bool {
        self.config.total.is_some() || !self.config.topics.is_empty()
    }

    pub(super) fn config(&self) -> &SpaceConfig {
        &self.config
    }

    /// Notes what a partition takes now; nothing once it is gone.
    pub(super) fn note(&mut self, partition: &TopicPartition, now: Option<PartitionSpace>) {
        let before = match now {
            Some(now) if self.noted.get(partition) == Some(&now) => return,
            Some(now) => self.noted.insert(partition.clone(), now),
            None => self.noted.remove(partition),
        };
        let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
        self.total.replace(partition, before, now);
        let topic = self.topics.entry(partition.topic().clone()).or_default();
        topic.replace(partition, before, now);
        if topic.is_nothing() {
            self.topics.remove(partition.topic());
        }
        self.check();
    }

    /// What is to be done about a batch of `bytes` bytes for a partition. The bound of its topic comes first; and nothing goes
    /// for the one while the other refuses it all the same, by what surely goes for the first.
    pub(super) fn decide(&self, partition: &TopicPartition, bytes: u32) -> Verdict {
        let topic = partition.topic();
        let of_topic = self.config.topics.get(topic).map(|bound| (Some(topic), *bound, self.topics.get(topic)));
        let of_all = self.config.total.map(|bound| (None, bound, Some(&self.total)));
        let (mut drop, mut goes) = (None, 0);
        for (topic, bound, share) in [of_topic, of_all].into_iter().flatten() {
            let (used, needed) = (share.map_or(0, |share| share.bytes), u64::from(bytes) + INDEX_GROWTH_MAX);
            let over = used.saturating_add(needed).saturating_sub(bound.bytes_max);
            if over <= goes {
                continue;
            }
            let reached = BoundReached { topic: topic.cloned(), used, needed, bound };
            // Nothing goes in vain: what cannot go may leave no space whatever else goes.
            let stays = share.map_or(0, |share| share.bytes - share.givable);
            let may_fit = stays.saturating_add(needed) <= bound.bytes_max;
            let may_drop = bound.at_bound == AtSpaceBound::DropOldest && reached.may_ever_fit() && may_fit;
            let Some((_, giver)) = share.and_then(|share| share.givers.first()).filter(|_| may_drop) else {
                return Verdict::Refuse(reached);
            };
            goes = over;
            drop.get_or_insert_with(|| Verdict::Drop(giver.clone(), reached));
        }
        drop.unwrap_or(Verdict::Admit)
    }

    /// A segment was dropped.
    pub(super) fn count(&mut self, partition: &TopicPartition, dropped: Dropped) {
        let sum = self.dropped.entry(partition.topic().clone()).or_default();
        sum.segments += dropped.segments;
        sum.bytes += dropped.bytes;
        sum.offsets += dropped.offsets;
    }

    /// What was dropped of each topic since the node was made.
    pub(super) fn dropped(&self) -> &BTreeMap<TopicName, Dropped> {
        &self.dropped
    }

    /// How many bytes all partitions take that were noted.
    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.total.bytes
    }

    /// What always holds; run after every change.
    fn check(&self) {
        debug_assert_eq!(self.total.bytes, self.noted.values().map(|noted| noted.bytes).sum::<u64>());
        debug_assert_eq!(self.total.bytes, self.topics.values().map(|topic| topic.bytes).sum::<u64>());
        debug_assert_eq!(
            self.total.givers.len(),
            self.noted.values().filter(|noted| noted.oldest.is_some()).count(),
            "a partition that may give is not in the list, or one that may not is"
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::partition::Growth;
    use crate::time::Timestamp;

    fn part(text: &str) -> TopicPartition {
        TopicPartition::parse(text).unwrap()
    }

    fn bound(bytes_max: u64, at_bound: AtSpaceBound) -> SpaceBound {
        SpaceBound { bytes_max, at_bound }
    }

    fn sealed(millis: i64) -> Option<Oldest> {
        Some(Oldest { growth: Growth::Sealed, date: Timestamp::from_millis(millis) })
    }

    fn space(total: Option<SpaceBound>, of_orders: Option<SpaceBound>) -> Space {
        let topics = of_orders.map(|bound| (part("orders-0").topic().clone(), bound)).into_iter().collect();
        let mut space = Space::new(SpaceConfig { total, topics });
        for (name, bytes, oldest) in
            [("orders-0", 300, sealed(5)), ("orders-1", 200, sealed(7)), ("bills-0", 400, sealed(3))]
        {
            space.note(&part(name), Some(PartitionSpace { bytes, oldest }));
        }
        space
    }

    #[test]
    fn what_fits_is_admitted_to_the_byte_and_what_does_not_is_refused_with_both_numbers() {
        let limit = 900 + 100 + INDEX_GROWTH_MAX;
        let space = space(Some(bound(limit, AtSpaceBound::Fail)), None);
        assert_eq!(space.decide(&part("new-0"), 100), Verdict::Admit);
        let Verdict::Refuse(reached) = space.decide(&part("new-0"), 101) else { panic!("it does not fit") };
        assert_eq!((reached.topic, reached.used, reached.needed), (None, 900, 101 + INDEX_GROWTH_MAX));
    }

    #[test]
    fn the_bound_of_a_topic_counts_its_own_partitions_and_binds_no_other_topic() {
        let space = space(None, Some(bound(500, AtSpaceBound::Block)));
        assert!(matches!(space.decide(&part("orders-1"), 1), Verdict::Refuse(reached) if reached.used == 500));
        assert_eq!(space.decide(&part("bills-0"), 1_000_000), Verdict::Admit);
    }

    #[test]
    fn the_oldest_of_those_that_the_bound_is_about_goes_first() {
        let drops = |bytes_max| Some(bound(bytes_max, AtSpaceBound::DropOldest));
        let of = |space: &Space, name| match space.decide(&part(name), 100) {
            Verdict::Drop(giver, _) => giver.to_string(),
            other @ (Verdict::Admit | Verdict::Refuse(_)) => panic!("{other:?}"),
        };
        assert_eq!(of(&space(drops(900), None), "orders-1"), "bills-0");
        assert_eq!(of(&space(None, drops(500)), "orders-1"), "orders-0");
        let mut space = space(drops(900), None);
        let grows = Some(Oldest { growth: Growth::Active, date: Timestamp::from_millis(1) });
        space.note(&part("bills-0"), Some(PartitionSpace { bytes: 400, oldest: grows }));
        assert_eq!(of(&space, "orders-1"), "orders-0", "what is sealed goes before what grows");
        for name in ["orders-0", "orders-1", "bills-0"] {
            space.note(&part(name), Some(PartitionSpace { bytes: 400, oldest: None }));
        }
        assert!(matches!(space.decide(&part("orders-0"), 100), Verdict::Refuse(_)), "nobody may give");
    }

    #[test]
    fn nothing_goes_for_one_bound_while_the_other_refuses() {
        let drops = |bytes_max| Some(bound(bytes_max, AtSpaceBound::DropOldest));
        let refused = |space: &Space, topic: bool| match space.decide(&part("orders-1"), 100) {
            Verdict::Refuse(reached) => assert_eq!(reached.topic.is_some(), topic, "{reached}"),
            other @ (Verdict::Admit | Verdict::Drop(..)) => panic!("{other:?}"),
        };
        for policy in [AtSpaceBound::Fail, AtSpaceBound::Block] {
            refused(&space(Some(bound(899, policy)), drops(500)), false);
            refused(&space(drops(900), Some(bound(500, policy))), true);
        }
        // What goes for the topic makes space for all.
        let all = space(Some(bound(900, AtSpaceBound::Fail)), drops(500));
        assert!(matches!(all.decide(&part("orders-1"), 100), Verdict::Drop(giver, _) if giver == part("orders-0")));
        // What is kept of the others leaves no space, whatever goes of the topic.
        let mut all = space(drops(900), drops(500));
        all.note(&part("bills-0"), Some(PartitionSpace { bytes: 800, oldest: None }));
        refused(&all, false);
    }

    #[test]
    fn nothing_goes_for_what_would_not_fit_even_then() {
        let space = space(Some(bound(900, AtSpaceBound::DropOldest)), None);
        assert!(matches!(space.decide(&part("orders-0"), 900), Verdict::Refuse(reached) if !reached.may_ever_fit()));
        // What the queue itself writes never goes.
        let mut space = self::space(Some(bound(900, AtSpaceBound::DropOldest)), None);
        space.note(&part("bills-0"), Some(PartitionSpace { bytes: 900, oldest: None }));
        assert!(matches!(space.decide(&part("orders-0"), 100), Verdict::Refuse(_)));
    }

    proptest! {
        /// Whatever is noted, in whatever order, the sums and the lists are those of what was noted last.
        #[test]
        fn the_accounts_are_those_of_what_was_noted_last(
            notes in prop::collection::vec((0..3_u8, 0..3_u32, prop::option::of((0..1000_u64, prop::option::of(0..9_i64)))), 0..100),
        ) {
            let all = Some(bound(u64::MAX, AtSpaceBound::DropOldest));
            let mut space = Space::new(SpaceConfig { total: all, topics: BTreeMap::new() });
            let mut model = BTreeMap::new();
            for (topic, number, noted) in notes {
                let name = part(&format!("topic{topic}-{number}"));
                let noted = noted.map(|(bytes, date)| PartitionSpace { bytes, oldest: date.and_then(sealed) });
                space.note(&name, noted);
                match noted {
                    Some(noted) => drop(model.insert(name, noted)),
                    None => drop(model.remove(&name)),
                }
                prop_assert_eq!(space.used(), model.values().map(|noted| noted.bytes).sum::<u64>());
                for (topic, share) in &space.topics {
                    let of_topic = || model.iter().filter(|(name, _)| name.topic() == topic);
                    prop_assert_eq!(share.bytes, of_topic().map(|(_, noted)| noted.bytes).sum::<u64>());
                    let givers = of_topic().filter(|(_, noted)| noted.oldest.is_some());
                    prop_assert_eq!(share.givable, givers.map(|(_, noted)| noted.bytes).sum::<u64>());
                    let oldest = of_topic().filter_map(|(name, noted)| Some((noted.oldest?, name.clone()))).min();
                    prop_assert_eq!(share.givers.first().cloned(), oldest);
                }
            }
        }
    }
}
