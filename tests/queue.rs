//! The queue as a service uses it, on a disk in memory and on a real directory.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::disk::mem::Choice;
use ottla::disk::{MARKS_FILE, MemDisk};
use ottla::id::TopicPartition;
use ottla::message::{ConfigKey, DeleteBefore, ErrorCode, OffsetSpec, TopicConfig};
use ottla::offset::Offset;
use ottla::queue::{AdminError, ConsumerConfig, ProducerConfig, QueueOpenError, Record};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);

fn open(disk: &MemDisk) -> Queue {
    Queue::builder().open_on(vec![disk.clone()]).unwrap()
}

/// Sends values, and waits until they are on disk.
fn send(queue: &Queue, topic: &str, values: impl IntoIterator<Item = String>) {
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    let tickets: Vec<_> = values
        .into_iter()
        .map(|value| producer.send(Record::to(topic).key(value.as_bytes()).value(value.as_bytes())).unwrap())
        .collect();
    producer.flush().unwrap();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
}

/// Reads `count` values of a topic from its beginning.
fn read(queue: &Queue, topic: &str, count: usize) -> Vec<String> {
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.subscribe([topic]).unwrap();
    let mut values = Vec::new();
    while values.len() < count {
        let records = consumer.poll(LONG).unwrap();
        assert!(!records.is_empty(), "{} of {count} values came", values.len());
        values.extend(records.iter().map(|record| String::from_utf8(record.value().unwrap().to_vec()).unwrap()));
    }
    values
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("value {number}")).collect()
}

#[test]
fn what_is_sent_is_read_in_the_order_of_its_partition() {
    let queue = open(&MemDisk::new());
    queue.create_topic("orders", 4, TopicConfig::default()).unwrap();
    send(&queue, "orders", numbers(0..1000));
    let found: BTreeSet<String> = read(&queue, "orders", 1000).into_iter().collect();
    assert_eq!(found, numbers(0..1000).into_iter().collect());
    assert!(queue.close().is_clean());
}

#[test]
fn a_closed_queue_opens_clean_and_has_everything() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    send(&queue, "orders", numbers(0..100));
    let closed = queue.close();
    assert!(closed.is_clean(), "{closed}");
    let queue = open(&disk);
    assert!(queue.report().is_clean(), "{}", queue.report());
    assert_eq!(queue.report().partitions.len(), 2);
    assert_eq!(read(&queue, "orders", 100).len(), 100);
    assert_eq!(queue.topics().unwrap().len(), 1);
}

#[test]
fn a_topic_that_is_just_being_deleted_does_not_make_a_close_unclean() {
    let disk = MemDisk::new();
    for _ in 0..10 {
        let queue = open(&disk);
        queue.create_topic("orders", 20, TopicConfig::default()).unwrap();
        send(&queue, "orders", numbers(0..100));
        queue.delete_topic("orders").unwrap();
        let closed = queue.close();
        assert!(closed.is_clean(), "{closed}");
    }
    let queue = open(&disk);
    assert!(queue.topics().unwrap().is_empty() && queue.report().is_clean(), "{}", queue.report());
}

#[test]
fn a_queue_that_was_dropped_has_what_was_acknowledged() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    send(&queue, "orders", numbers(0..100));
    drop(queue);
    disk.crash(&Choice::nothing());
    let queue = open(&disk);
    let found: BTreeSet<String> = read(&queue, "orders", 100).into_iter().collect();
    assert_eq!(found, numbers(0..100).into_iter().collect());
}

#[test]
fn a_real_directory_is_locked_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue");
    let queue = Queue::open(&path).unwrap();
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    send(&queue, "orders", numbers(0..10));
    let second = Queue::open(&path).unwrap_err();
    assert!(matches!(&second, QueueOpenError::Open(ottla::disk::OpenError::AlreadyOpen)), "{second}");
    assert!(queue.close().is_clean());
    let queue = Queue::open(&path).unwrap();
    assert_eq!(read(&queue, "orders", 10), numbers(0..10));
}

#[test]
fn topics_are_made_changed_and_deleted() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    let again = queue.create_topic("orders", 1, TopicConfig::default()).unwrap_err();
    assert!(matches!(&again, AdminError::Refused(why) if why.code == ErrorCode::TopicAlreadyExists), "{again}");
    assert!(matches!(queue.create_topic("a/b", 1, TopicConfig::default()), Err(AdminError::Name(_))));
    queue.add_partitions("orders", 3).unwrap();
    send(&queue, "orders", numbers(0..100));
    assert_eq!(read(&queue, "orders", 100).len(), 100);
    queue.delete_topic("orders").unwrap();
    let gone = queue.delete_topic("orders").unwrap_err();
    assert!(matches!(&gone, AdminError::Refused(why) if why.code == ErrorCode::UnknownTopicOrPartition), "{gone}");
    // The same name again is another topic, and empty.
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    let partition = TopicPartition::parse("orders-0").unwrap();
    let end = queue.offset(&partition, OffsetSpec::Latest).unwrap().unwrap();
    assert_eq!(end.offset, Offset::ZERO);
    assert!(queue.close().is_clean());
    let queue = open(&disk);
    assert_eq!(queue.report().partitions.len(), 2, "{}", queue.report());
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    let queue = open(&MemDisk::new());
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    send(&queue, "orders", numbers(0..10));
    let partition = TopicPartition::parse("orders-0").unwrap();
    assert_eq!(queue.delete_records(&partition, DeleteBefore::Offset(Offset::new(7))).unwrap(), Offset::new(7));
    assert_eq!(read(&queue, "orders", 3), numbers(7..10));
    let too_far = queue.delete_records(&partition, DeleteBefore::Offset(Offset::new(11))).unwrap_err();
    assert!(matches!(&too_far, AdminError::Refused(why) if why.code == ErrorCode::OffsetOutOfRange), "{too_far}");
}

#[test]
fn a_directory_whose_metadata_is_gone_is_adopted_and_keeps_its_records_and_positions() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    send(&queue, "orders", numbers(0..10));
    let mut consumer = queue.consumer(&ConsumerConfig::group("billing").reset(OffsetReset::Earliest)).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    assert_eq!(consumer.poll(LONG).unwrap().len(), 10);
    consumer.commit().unwrap();
    drop(consumer);
    assert!(queue.close().is_clean());
    let mut contents = disk.contents();
    // With the marks there, which know that there was a log of it, it would be missed.
    contents.retain(|path, _| !path.starts_with("__cluster_metadata-0") && !path.starts_with(MARKS_FILE));
    let queue = open(&MemDisk::from_contents(&contents));
    assert!(queue.report().adopted.contains(&TopicPartition::parse("orders-0").unwrap()), "{}", queue.report());
    let setting = |topic: &str, key: ConfigKey| {
        let entries = queue.describe_config(topic).unwrap();
        entries.into_iter().find(|entry| entry.key == key).map(|entry| entry.value)
    };
    assert_eq!(setting("orders", ConfigKey::RetentionMs).as_deref(), Some("-1"));
    assert_eq!(setting("__consumer_offsets", ConfigKey::CleanupPolicy).as_deref(), Some("compact"));
    send(&queue, "orders", numbers(10..11));
    let mut consumer = queue.consumer(&ConsumerConfig::group("billing")).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let records = consumer.poll(LONG).unwrap();
    assert_eq!(records.iter().next().unwrap().value(), Some(&b"value 10"[..]));
}
