//! Partitioners: which partition a record goes to.
//!
//! One instance serves one topic. It is asked for each record that names no partition itself, and told what became of
//! its choice.

use std::num::NonZeroU32;

use crate::producer::murmur2::partition_of_key;
use crate::producer::outcome::Room;

/// What a partitioner knows of its topic.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    /// How many partitions it has.
    pub partitions: NonZeroU32,
    /// How many batches wait for each of them, in order; empty if nobody has counted.
    pub queued: &'a [u32],
}

impl Topic<'_> {
    /// A topic of which nothing but the count of partitions is known.
    pub const fn of(partitions: NonZeroU32) -> Self {
        Self { partitions, queued: &[] }
    }
}

/// Picks partitions for the records of one topic.
///
/// What comes back is compared with the count of partitions by who asks: a partitioner of one's own may err.
pub trait Partitioner {
    /// The partition for a record with this key.
    fn pick(&mut self, key: Option<&[u8]>, topic: Topic<'_>) -> u32;

    /// A record took `bytes` bytes in a batch of `partition`.
    fn appended(&mut self, partition: u32, bytes: u32, room: Room) {
        let _ = (partition, bytes, room);
    }
}

/// By the hash of the key, as Kafka's clients do; records without a key go where another partitioner says.
#[derive(Clone, Debug)]
pub struct ByKey<P = Sticky> {
    /// Who picks for records without a key.
    pub otherwise: P,
}

impl<P: Partitioner> Partitioner for ByKey<P> {
    fn pick(&mut self, key: Option<&[u8]>, topic: Topic<'_>) -> u32 {
        match key {
            Some(key) => partition_of_key(key, topic.partitions),
            None => self.otherwise.pick(key, topic),
        }
    }

    fn appended(&mut self, partition: u32, bytes: u32, room: Room) {
        self.otherwise.appended(partition, bytes, room);
    }
}

/// One partition after the other.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    next: u32,
}

impl Partitioner for RoundRobin {
    fn pick(&mut self, _key: Option<&[u8]>, topic: Topic<'_>) -> u32 {
        let picked = self.next % topic.partitions;
        self.next = picked + 1;
        picked
    }
}

/// Any partition, each as likely as another. The same seed gives the same choices.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Choices that follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `end`: the high half of a product, which favours none by more than one in four thousand million.
    fn below(&mut self, end: NonZeroU32) -> u32 {
        ((u64::from(self.next()) * u64::from(end.get())) >> 32) as u32
    }

    /// SplitMix64, its high half.
    fn next(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }
}

impl Partitioner for Random {
    fn pick(&mut self, _key: Option<&[u8]>, topic: Topic<'_>) -> u32 {
        self.below(topic.partitions)
    }
}

/// Always the same one.
#[derive(Clone, Copy, Debug)]
pub struct Explicit(pub u32);

impl Partitioner for Explicit {
    fn pick(&mut self, _key: Option<&[u8]>, _topic: Topic<'_>) -> u32 {
        self.0
    }
}

/// The same partition until a batch's worth of bytes has gone there, then another: large batches without keys
/// (semantics.md, section 14).
///
/// A batch that is being filled is not left, unless twice as much has gone there. The next partition is any; where it is
/// known how many batches wait for each, one with a shorter queue is the more likely.
#[derive(Clone, Debug)]
pub struct Sticky {
    random: Random,
    batch_bytes: u32,
    current: Option<Stay>,
}

/// With which partition, and how much has gone there.
#[derive(Clone, Copy, Debug)]
struct Stay {
    partition: u32,
    bytes: u32,
    is_over: bool,
}

impl Sticky {
    /// Stays for `batch_bytes` bytes: the size at which batches are closed.
    pub const fn new(seed: u64, batch_bytes: u32) -> Self {
        Self { random: Random::new(seed), batch_bytes, current: None }
    }

    fn choose(&mut self, topic: Topic<'_>) -> u32 {
        let queued = topic.queued;
        let most = queued.iter().copied().max().unwrap_or(0);
        let is_even = queued.iter().all(|waiting| *waiting == most);
        if is_even || queued.len() != topic.partitions.get() as usize {
            return self.random.below(topic.partitions);
        }
        let weight = |waiting: u32| u64::from(most - waiting) + 1;
        let total: u64 = queued.iter().map(|waiting| weight(*waiting)).sum();
        let mut point = ((u128::from(self.random.next()) * u128::from(total)) >> 32) as u64;
        for (partition, waiting) in (0..).zip(queued) {
            match point.checked_sub(weight(*waiting)) {
                Some(rest) => point = rest,
                None => return partition,
            }
        }
        // The point lies below the sum of the weights.
        topic.partitions.get() - 1
    }
}

impl Partitioner for Sticky {
    fn pick(&mut self, _key: Option<&[u8]>, topic: Topic<'_>) -> u32 {
        if let Some(stay) = self.current
            && !stay.is_over
            && stay.partition < topic.partitions.get()
        {
            return stay.partition;
        }
        let partition = self.choose(topic);
        self.current = Some(Stay { partition, bytes: 0, is_over: false });
        partition
    }

    fn appended(&mut self, partition: u32, bytes: u32, room: Room) {
        let Some(stay) = self.current.as_mut().filter(|stay| stay.partition == partition) else { return };
        stay.bytes = stay.bytes.saturating_add(bytes);
        let enough = stay.bytes >= self.batch_bytes && room == Room::None;
        stay.is_over = enough || stay.bytes >= self.batch_bytes.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(partitions: u32) -> Topic<'static> {
        Topic::of(NonZeroU32::new(partitions).unwrap())
    }

    fn picks(partitioner: &mut impl Partitioner, topic: Topic<'_>, count: usize) -> Vec<u32> {
        (0..count).map(|_| partitioner.pick(None, topic)).collect()
    }

    #[test]
    fn a_key_always_goes_to_the_same_partition_and_no_key_where_another_says() {
        let mut by_key = ByKey { otherwise: RoundRobin::default() };
        assert_eq!(by_key.pick(Some(b"foobar"), topic(6)), 0);
        assert_eq!(by_key.pick(Some(b"abc"), topic(6)), 3);
        assert_eq!(picks(&mut by_key, topic(6), 3), [0, 1, 2]);
        assert_eq!(by_key.pick(Some(b""), topic(6)), partition_of_key(b"", NonZeroU32::new(6).unwrap()));
    }

    #[test]
    fn round_robin_takes_one_after_the_other_also_when_partitions_are_added() {
        let mut round = RoundRobin::default();
        assert_eq!(picks(&mut round, topic(3), 5), [0, 1, 2, 0, 1]);
        assert_eq!(picks(&mut round, topic(4), 3), [2, 3, 0]);
        assert_eq!(picks(&mut round, topic(1), 2), [0, 0]);
    }

    #[test]
    fn random_choices_follow_from_the_seed_and_leave_none_out() {
        let chosen = |seed| picks(&mut Random::new(seed), topic(8), 8000);
        assert_eq!(chosen(7), chosen(7));
        assert_ne!(chosen(7), chosen(8));
        for partition in 0..8 {
            let count = chosen(7).iter().filter(|picked| **picked == partition).count();
            assert!((800..1200).contains(&count), "{partition} was picked {count} times of 8000");
        }
    }

    #[test]
    fn sticky_stays_for_a_batch_and_leaves_none_half_full_below_twice_its_size() {
        let mut sticky = Sticky::new(1, 100);
        let first = sticky.pick(None, topic(1000));
        sticky.appended(first, 99, Room::None);
        assert_eq!(sticky.pick(None, topic(1000)), first, "not enough has gone there");
        sticky.appended(first, 50, Room::Left);
        assert_eq!(sticky.pick(None, topic(1000)), first, "its batch has room");
        sticky.appended(first, 1, Room::None);
        let second = sticky.pick(None, topic(1000));
        assert_ne!(second, first);
        sticky.appended(first, 500, Room::None);
        assert_eq!(sticky.pick(None, topic(1000)), second, "what goes elsewhere does not count");
        sticky.appended(second, 200, Room::Left);
        assert_ne!(sticky.pick(None, topic(1000)), second, "twice the size is enough in any case");
    }

    #[test]
    fn sticky_goes_more_often_where_fewer_batches_wait() {
        let queued = [9, 0, 9, 9];
        let topic = Topic { queued: &queued, ..topic(4) };
        let mut sticky = Sticky::new(3, 1);
        let mut counts = [0; 4];
        for _ in 0..13_000 {
            let picked = sticky.pick(None, topic);
            sticky.appended(picked, 1, Room::None);
            counts[picked as usize] += 1;
        }
        // Weights 1, 10, 1, 1.
        assert!((9_500..10_500).contains(&counts[1]), "{counts:?}");
        assert!([0, 2, 3].iter().all(|other| (800..1200).contains(&counts[*other])), "{counts:?}");
    }

    #[test]
    fn sticky_leaves_a_partition_that_is_no_longer_there() {
        let mut sticky = Sticky::new(5, 100);
        let far = (0..).find_map(|_| {
            let picked = sticky.pick(None, topic(100));
            sticky.appended(picked, 200, Room::None);
            (picked >= 2).then_some(picked)
        });
        assert!(far.is_some());
        assert!(sticky.pick(None, topic(2)) < 2);
    }
}
