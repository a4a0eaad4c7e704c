//! The bounds on what a queue takes of its disks: what is counted is what is there, and each policy does what it says.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/until.rs"]
mod until;

use std::time::Duration;

use ottla::Queue;
use ottla::consumer::{OffsetReset, Start};
use ottla::disk::MemDisk;
use ottla::id::{TopicName, TopicPartition};
use ottla::message::AtSpaceBound::{self, Block, DropOldest, Fail};
use ottla::message::{Committed, ConfigChange, ConfigOperation, DeleteBefore, Durability, OffsetSpec, TopicConfig};
use ottla::offset::Offset;
use ottla::producer::{Known, SendError};
use ottla::queue::{ConsumerConfig, Producer, ProducerConfig, QueueBuilder, Record, SendAndWaitError};

use until::until;

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);
/// How long a segment of a topic of these tests is, and how large a record.
const SEGMENT: &str = "4000";
const RECORD: usize = 900;

fn part(text: &str) -> TopicPartition {
    TopicPartition::parse(text).unwrap()
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn open(disk: &MemDisk, configure: impl FnOnce(QueueBuilder) -> QueueBuilder) -> Queue {
    configure(Queue::builder()).open_on(vec![disk.clone()]).unwrap()
}

fn set(queue: &Queue, topic: &str, key: &str, value: &str) {
    let change = ConfigChange { key: key.to_owned(), operation: ConfigOperation::Set(value.to_owned()) };
    queue.alter_config(topic, vec![change]).unwrap();
}

fn add_topic(queue: &Queue, topic: &str, partitions: u32) {
    queue.create_topic(topic, partitions, TopicConfig::default()).unwrap();
    set(queue, topic, "internal.segment.bytes", SEGMENT);
}

/// A producer that does not try again.
fn hasty(queue: &Queue) -> Producer {
    let config = ProducerConfig::default().linger(Duration::ZERO).retries(0).durability(Durability::Flushed);
    queue.producer(config).unwrap()
}

fn send(producer: &Producer, topic: &str, partition: u32) -> Result<Offset, SendError> {
    match producer.send_and_wait(Record::to(topic).partition(partition).value(vec![b'x'; RECORD])) {
        Ok(placed) => Ok(placed.offset.unwrap()),
        Err(SendAndWaitError::NotDelivered(error)) => Err(error),
        Err(other @ SendAndWaitError::NotTaken(_)) => panic!("{other}"),
    }
}

/// Sends until it is refused.
fn fill(producer: &Producer, topic: &str) -> (u64, SendError) {
    (0..10_000).find_map(|sent| Some((sent, send(producer, topic, 0).err()?))).expect("there is a bound")
}

/// What the segments of a topic and their index files have.
fn on_disk(disk: &MemDisk, topic: &str) -> u64 {
    let counts = |path: &str| {
        path.starts_with(&format!("{topic}-"))
            && [".log", ".index", ".timeindex", ".txnindex"].iter().any(|end| path.ends_with(end))
    };
    disk.contents().iter().filter(|(path, _)| counts(path)).map(|(_, bytes)| bytes.len() as u64).sum()
}

fn earliest(queue: &Queue, partition: &str) -> u64 {
    queue.offset(&part(partition), OffsetSpec::Earliest).unwrap().unwrap().offset.get()
}

#[test]
fn what_is_counted_is_what_the_files_have_after_appends_retention_deletion_and_a_reopening() {
    let disk = MemDisk::new();
    let bounded = |builder: QueueBuilder| builder.disk_bytes_max(1 << 30, Fail);
    let queue = open(&disk, bounded);
    for topic in ["orders", "bills", "gone"] {
        add_topic(&queue, topic, 2);
        let producer = hasty(&queue);
        (0..60).for_each(|number| assert!(send(&producer, topic, number % 2).is_ok()));
    }
    let mut consumer = queue.consumer(&ConsumerConfig::group("billing")).unwrap();
    consumer.commit_offsets([(part("orders-0"), Committed::at(Offset::new(3)))]).unwrap();
    queue.delete_records(&part("orders-0"), DeleteBefore::Offset(Offset::new(20))).unwrap();
    let used = queue.disk_use();
    assert_eq!(used.bytes, used.topics.values().map(|topic| topic.bytes).sum::<u64>());
    queue.delete_topic("gone").unwrap();
    until("its files are gone", || !queue.disk_use().topics.contains_key(&name("gone")));
    let left = queue.disk_use();
    assert!(used.bytes - left.bytes > 50_000, "{left:?}");
    drop(consumer);
    assert!(queue.close().is_clean());
    let queue = open(&disk, bounded);
    for topic in ["orders", "bills", "__consumer_offsets"] {
        let (used, before) = (queue.disk_use().topics[&name(topic)].bytes, left.topics[&name(topic)].bytes);
        assert_eq!(used, on_disk(&disk, topic), "{topic}");
        // The close has written the last entry of the time index of each partition that has records.
        assert!(used >= before && used <= before + 2 * 12, "{topic}: {before}, {used}");
    }
    let bills = queue.disk_use().topics[&name("bills")];
    drop(queue);
    disk.kill();
    assert_eq!(open(&disk, bounded).disk_use().topics[&name("bills")], bills);
}

#[test]
fn at_a_bound_that_fails_a_producer_is_told_the_numbers_and_it_goes_on_for_other_topics() {
    let disk = MemDisk::new();
    let queue = open(&disk, |builder| builder.topic_disk_bytes_max(name("orders"), 20_000, Fail));
    add_topic(&queue, "orders", 2);
    add_topic(&queue, "bills", 1);
    let patient = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let (sent, told) = fill(&patient, "orders");
    let SendError::SpaceBound { bound, known: Known::NotWritten } = &told else { panic!("{told}") };
    assert_eq!((bound.topic.clone(), bound.bound.bytes_max), (Some(name("orders")), 20_000));
    assert!(bound.used + bound.needed > 20_000 && bound.used <= 20_000 && sent > 15, "{told}");
    assert!(told.to_string().starts_with(&format!("topic orders takes {} of 20000 bytes", bound.used)), "{told}");
    assert!(send(&patient, "orders", 1).is_err(), "its other partition has no space either");
    send(&patient, "bills", 0).unwrap();
    assert_eq!(queue.disk_use().topics[&name("orders")].bytes, bound.used);
    queue.delete_topic("orders").unwrap();
    add_topic(&queue, "orders", 1);
    send(&patient, "orders", 0).unwrap();
    assert!(queue.close().is_clean());
}

#[test]
fn at_a_bound_that_blocks_whoever_brings_more_waits_until_there_is_space_or_his_time_is_over() {
    let disk = MemDisk::new();
    let queue = open(&disk, |builder| builder.disk_bytes_max(30_000, Block));
    add_topic(&queue, "orders", 1);
    add_topic(&queue, "bills", 1);
    let (sent, told) = fill(&hasty(&queue), "orders");
    assert!(matches!(&told, SendError::SpaceBound { bound, .. } if bound.topic.is_none()), "{told}");
    let config = ProducerConfig::default().linger(Duration::ZERO).delivery_timeout(Duration::from_millis(300));
    let late = send(&queue.producer(config).unwrap(), "bills", 0).unwrap_err();
    assert!(matches!(late, SendError::SpaceBound { known: Known::NotWritten, .. }), "{late}");
    // Who has more time gets through once there is space.
    let patient = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let ticket = patient.send(Record::to("bills").value(vec![b'x'; RECORD])).unwrap();
    let behind = patient.send(Record::to("bills").value("behind")).unwrap();
    assert!(ticket.try_get().is_none());
    queue.delete_topic("orders").unwrap();
    assert_eq!(ticket.wait_timeout(LONG).unwrap().unwrap().offset, Some(Offset::ZERO));
    assert_eq!(behind.wait_timeout(LONG).unwrap().unwrap().offset, Some(Offset::new(1)));
    assert!(sent > 20);
    assert!(queue.close().is_clean());
}

#[test]
fn at_a_bound_that_drops_the_oldest_segments_of_all_topics_go_and_are_counted() {
    let disk = MemDisk::new();
    let queue = open(&disk, |builder| builder.disk_bytes_max(60_000, DropOldest));
    add_topic(&queue, "old", 1);
    add_topic(&queue, "new", 2);
    let producer = hasty(&queue);
    (0..20).for_each(|_| assert!(send(&producer, "old", 0).is_ok()));
    for number in 0..200 {
        assert_eq!(send(&producer, "new", number % 2).unwrap(), Offset::new(u64::from(number / 2)));
        let used = queue.disk_use();
        assert!(used.bytes <= 60_000, "{used:?}");
    }
    let used = queue.disk_use();
    // The last segment of the old topic still grows: it would go last.
    let (old, new) = (used.topics[&name("old")], used.topics[&name("new")]);
    assert_eq!(earliest(&queue, "old-0"), old.dropped.offsets);
    assert_eq!(earliest(&queue, "new-0") + earliest(&queue, "new-1"), new.dropped.offsets);
    assert!(old.dropped.segments == 4 && new.dropped.segments > 20 && new.dropped.bytes > 50_000, "{used:?}");
    // What is left is read from its first record on.
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.assign([(part("new-0"), Start::At(Offset::ZERO))]).unwrap();
    let records = consumer.poll(LONG).unwrap();
    assert_eq!(records.iter().next().unwrap().offset().get(), earliest(&queue, "new-0"));
    assert!(queue.close().is_clean());
}

#[test]
fn offsets_are_committed_and_topics_made_whatever_the_bound_and_none_of_that_is_dropped() {
    for policy in [Block, Fail, DropOldest] {
        let disk = MemDisk::new();
        let queue = open(&disk, |builder| builder.disk_bytes_max(1, policy));
        add_topic(&queue, "orders", 1);
        let told = send(&hasty(&queue), "orders", 0).unwrap_err();
        assert!(matches!(&told, SendError::SpaceBound { bound, .. } if !bound.may_ever_fit()), "{told}");
        let mut consumer = queue.consumer(&ConsumerConfig::group("billing")).unwrap();
        for offset in 1..50 {
            consumer.commit_offsets([(part("orders-0"), Committed::at(Offset::new(offset)))]).unwrap();
        }
        drop((consumer, queue));
        let queue = open(&disk, |builder| builder.disk_bytes_max(1, policy));
        let mut consumer = queue.consumer(&ConsumerConfig::group("billing")).unwrap();
        let committed = consumer.committed([part("orders-0")]).unwrap();
        assert_eq!(committed[&part("orders-0")].offset, Offset::new(49));
        assert!(queue.disk_use().topics.values().all(|topic| topic.dropped.segments == 0));
    }
}

#[test]
fn a_queue_that_takes_more_than_its_bound_opens_with_all_it_has_and_keeps_to_it_from_then_on() {
    let filled = || {
        let disk = MemDisk::new();
        let queue = open(&disk, |builder| builder);
        add_topic(&queue, "orders", 1);
        let producer = hasty(&queue);
        (0..100).for_each(|_| assert!(send(&producer, "orders", 0).is_ok()));
        assert!(queue.close().is_clean());
        disk
    };
    let reopened = |disk: &MemDisk, policy: AtSpaceBound| {
        let queue = open(disk, |builder| builder.disk_bytes_max(30_000, policy));
        assert!(queue.disk_use().bytes > 90_000);
        assert_eq!(earliest(&queue, "orders-0"), 0, "nothing went by itself");
        queue
    };
    for policy in [Block, Fail] {
        let disk = filled();
        let queue = reopened(&disk, policy);
        send(&hasty(&queue), "orders", 0).unwrap_err();
        assert_eq!(earliest(&queue, "orders-0"), 0);
    }
    let disk = filled();
    let queue = reopened(&disk, DropOldest);
    assert_eq!(send(&hasty(&queue), "orders", 0).unwrap(), Offset::new(100));
    assert!(queue.disk_use().bytes <= 30_000);
    assert!(earliest(&queue, "orders-0") > 60);
    assert!(queue.close().is_clean());
}

#[test]
fn a_topic_that_keeps_the_latest_of_each_key_loses_nothing_to_a_bound() {
    let disk = MemDisk::new();
    let queue = open(&disk, |builder| builder.disk_bytes_max(30_000, DropOldest));
    add_topic(&queue, "table", 1);
    set(&queue, "table", "cleanup.policy", "compact");
    let producer = hasty(&queue);
    let keyed = || producer.send_and_wait(Record::to("table").key("k").value(vec![b'x'; RECORD]));
    let refused = (0..100).find_map(|_| keyed().err()).expect("there is a bound");
    let SendAndWaitError::NotDelivered(SendError::SpaceBound { .. }) = &refused else { panic!("{refused}") };
    assert_eq!(earliest(&queue, "table-0"), 0);
}

#[test]
fn many_threads_stay_within_the_bounds_of_their_topics_and_of_all() {
    let disk = MemDisk::new();
    let queue = open(&disk, |builder| {
        builder.disk_bytes_max(80_000, DropOldest).topic_disk_bytes_max(name("small"), 20_000, DropOldest)
    });
    add_topic(&queue, "small", 2);
    add_topic(&queue, "large", 2);
    std::thread::scope(|scope| {
        for (topic, partition) in [("small", 0), ("small", 1), ("large", 0), ("large", 1)] {
            let queue = &queue;
            scope.spawn(move || {
                let producer = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
                for number in 0..150 {
                    assert_eq!(send(&producer, topic, partition).unwrap(), Offset::new(number));
                    let used = queue.disk_use();
                    assert!(used.bytes <= 80_000 && used.topics[&name("small")].bytes <= 20_000, "{used:?}");
                }
            });
        }
    });
    assert!(queue.close().is_clean());
    assert!(on_disk(&disk, "small") + on_disk(&disk, "large") <= 80_000);
    assert!(on_disk(&disk, "small") <= 20_000 + 2 * 12);
}
