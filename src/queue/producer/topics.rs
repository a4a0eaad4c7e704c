//! The topics that a producer has met, and how it picks partitions in them.
//!
//! Topics are found by name without a lock, and their lanes by number: threads that send to different partitions do not meet
//! here. A topic that was met is not forgotten, since its lanes know what was sent; one that is made again under the same name
//! gets the same lanes.
//!
//! - May use: the newtypes, `producer`, and its siblings.
//! - Must not know: the node.
//! - Always true: a name is here once; the count of partitions is what the node said last, 0 once there was no such topic.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::id::TopicName;
use crate::producer::{Partitioner, Pushed, Random, Room, RoundRobin, Sticky, Topic, partition_of_key};
use crate::queue::producer::config::Partitioning;
use crate::queue::producer::lane::PartitionLane;
use crate::queue::producer::slots::Slots;
use crate::queue::sync::Mutex;

const BUCKETS: usize = 256;

/// The topics that a producer has met.
#[derive(Debug)]
pub(super) struct Topics {
    buckets: Box<[Link]>,
    adding: Mutex<()>,
}

type Link = OnceLock<Box<Node>>;

#[derive(Debug)]
struct Node {
    topic: Arc<TopicLanes>,
    next: Link,
}

impl Topics {
    pub(super) fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Link::new()).collect(), adding: Mutex::new(()) }
    }

    /// The topic of this name, if it was met.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<TopicLanes>> {
        let mut link = self.bucket(name);
        while let Some(node) = link.get() {
            if node.topic.name.as_str() == name {
                return Some(&node.topic);
            }
            link = &node.next;
        }
        None
    }

    /// The topic of this one's name; this one if it was not met.
    pub(super) fn find_or_add(&self, topic: TopicLanes) -> &Arc<TopicLanes> {
        let _adding = self.adding.lock();
        if let Some(found) = self.find(topic.name.as_str()) {
            return found;
        }
        let mut link = self.bucket(topic.name.as_str());
        while let Some(node) = link.get() {
            link = &node.next;
        }
        &link.get_or_init(|| Box::new(Node { topic: Arc::new(topic), next: Link::new() })).topic
    }

    fn bucket(&self, name: &str) -> &Link {
        &self.buckets[hash(name) % BUCKETS]
    }
}

/// FNV-1a: names are short.
fn hash(name: &str) -> usize {
    name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) as usize
}

/// A topic: its partitions, their lanes, and who picks among them.
#[derive(Debug)]
pub(super) struct TopicLanes {
    pub(super) name: TopicName,
    pub(super) lanes: Slots<Arc<PartitionLane>>,
    partitions: AtomicU32,
    picker: Picker,
}

impl TopicLanes {
    pub(super) fn new(name: TopicName, picker: Picker) -> Self {
        Self { name, lanes: Slots::new(), partitions: AtomicU32::new(0), picker }
    }

    /// How many partitions there are, as far as is known; `None` if no such topic is known.
    pub(super) fn partitions(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.partitions.load(Ordering::Relaxed))
    }

    /// Takes in how many partitions the node says there are.
    pub(super) fn has_partitions(&self, partitions: u32) {
        if partitions != self.partitions.load(Ordering::Relaxed) {
            self.partitions.store(partitions, Ordering::Relaxed);
        }
    }

    /// Picks a partition for a record with this key. One's own partitioner may err: compare it with what there is.
    pub(super) fn pick(&self, key: Option<&[u8]>, partitions: NonZeroU32) -> u32 {
        match (&self.picker, key) {
            (Picker::Fixed(partition), _) => *partition,
            (Picker::ByKey(_), Some(key)) => partition_of_key(key, partitions),
            (Picker::ByKey(sticky), None) => sticky.pick(partitions, || self.queued(partitions)),
            (Picker::Asked(other), key) => other.lock().0.pick(key, Topic::of(partitions)),
        }
    }

    /// Takes in what became of a choice.
    pub(super) fn appended(&self, key: Option<&[u8]>, partition: u32, pushed: &Pushed) {
        match (&self.picker, key) {
            (Picker::Fixed(_), _) | (Picker::ByKey(_), Some(_)) => {}
            (Picker::ByKey(sticky), None) => sticky.appended(partition, pushed.bytes, pushed.room),
            (Picker::Asked(other), _) => other.lock().0.appended(partition, pushed.bytes, pushed.room),
        }
    }

    /// How many batches wait for each partition.
    fn queued(&self, partitions: NonZeroU32) -> Vec<u32> {
        (0..partitions.get()).map(|number| self.lanes.find(number).map_or(0, |lane| lane.queued())).collect()
    }
}

/// Who picks.
#[derive(Debug)]
pub(super) enum Picker {
    Fixed(u32),
    ByKey(SharedSticky),
    Asked(Mutex<Asked>),
}

/// A partitioner that is asked for each record.
pub(super) struct Asked(Box<dyn Partitioner + Send>);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

impl Picker {
    pub(super) fn new(partitioning: &Partitioning, topic: &TopicName, seed: u64, batch_bytes: u32) -> Self {
        let asked = |partitioner| Self::Asked(Mutex::new(Asked(partitioner)));
        match partitioning {
            Partitioning::ByKey => Self::ByKey(SharedSticky::new(seed, batch_bytes)),
            Partitioning::RoundRobin => asked(Box::<RoundRobin>::default()),
            Partitioning::Random => asked(Box::new(Random::new(seed))),
            Partitioning::Explicit(partition) => Self::Fixed(*partition),
            Partitioning::Custom(new) => asked(new(topic)),
        }
    }
}

/// [`Sticky`], for many threads. It stays where it is for a whole batch, so it is asked, under its lock, only when that may
/// be over.
#[derive(Debug)]
pub(super) struct SharedSticky {
    /// Where it stays; [`Self::NOWHERE`] when it has to be asked.
    current: AtomicU32,
    /// What has gone there, and it has not been told.
    bytes: AtomicU32,
    /// At how many bytes it may leave a batch that has room.
    bytes_max: u32,
    sticky: Mutex<Sticky>,
}

impl SharedSticky {
    const NOWHERE: u32 = u32::MAX;

    fn new(seed: u64, batch_bytes: u32) -> Self {
        Self {
            current: AtomicU32::new(Self::NOWHERE),
            bytes: AtomicU32::new(0),
            bytes_max: batch_bytes.saturating_mul(2),
            sticky: Mutex::new(Sticky::new(seed, batch_bytes)),
        }
    }

    fn pick(&self, partitions: NonZeroU32, queued: impl FnOnce() -> Vec<u32>) -> u32 {
        let current = self.current.load(Ordering::Relaxed);
        if current < partitions.get() {
            return current;
        }
        let mut sticky = self.sticky.lock();
        let picked = sticky.pick(None, Topic { partitions, queued: &queued() });
        self.current.store(picked, Ordering::Relaxed);
        picked
    }

    fn appended(&self, partition: u32, bytes: u32, room: Room) {
        if self.current.load(Ordering::Relaxed) != partition {
            return;
        }
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if room == Room::None || before.saturating_add(bytes) >= self.bytes_max {
            let mut sticky = self.sticky.lock();
            sticky.appended(partition, self.bytes.swap(0, Ordering::Relaxed), room);
            self.current.store(Self::NOWHERE, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_made_once_and_found_by_its_name() {
        let topics = Topics::new();
        let names: Vec<TopicName> = (0..1000).map(|number| TopicName::new(&format!("t{number}")).unwrap()).collect();
        let make = |name: &TopicName| TopicLanes::new(name.clone(), Picker::Fixed(0));
        for name in &names {
            assert!(topics.find(name.as_str()).is_none());
            let made = Arc::clone(topics.find_or_add(make(name)));
            assert!(Arc::ptr_eq(&made, topics.find_or_add(make(name))));
        }
        assert!(names.iter().all(|name| topics.find(name.as_str()).is_some_and(|found| found.name == *name)));
    }

    #[test]
    fn shared_sticky_chooses_as_sticky_does() {
        let partitions = NonZeroU32::new(16).unwrap();
        let (mut alone, shared) = (Sticky::new(7, 1000), SharedSticky::new(7, 1000));
        let mut chosen = std::collections::BTreeSet::new();
        for step in 0..1000_u32 {
            let (bytes, room) = (90, if step % 12 == 0 && step % 36 > 0 { Room::None } else { Room::Left });
            let picked = alone.pick(None, Topic::of(partitions));
            assert_eq!(shared.pick(partitions, Vec::new), picked);
            alone.appended(picked, bytes, room);
            shared.appended(picked, bytes, room);
            chosen.insert(picked);
        }
        assert!(chosen.len() > 5);
    }
}
