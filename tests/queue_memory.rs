//! What a queue says it has in memory: it rises with what is there, and falls back when that is let go of.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/until.rs"]
mod until;

use std::time::Duration;

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::disk::MemDisk;
use ottla::message::TopicConfig;
use ottla::queue::{ConsumeError, Consumer, ConsumerConfig, MemoryUse, OwnedRecord, ProducerConfig, Record};

use until::until;

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);
/// How many records a test sends, and how large they are.
const COUNT: usize = 200;
const RECORD: usize = 1000;

fn open(disk: &MemDisk) -> Queue {
    Queue::builder().open_on(vec![disk.clone()]).unwrap()
}

fn reader(queue: &Queue) -> Consumer {
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    consumer
}

fn read(consumer: &mut Consumer) -> Vec<OwnedRecord> {
    let mut records = Vec::new();
    while records.len() < COUNT {
        let more = consumer.poll(LONG).unwrap();
        assert!(!more.is_empty());
        records.extend(more);
    }
    records
}

fn fill(queue: &Queue) {
    let producer = queue.producer(ProducerConfig::default().linger(Duration::from_secs(60))).unwrap();
    for _ in 0..COUNT {
        drop(producer.send(Record::to("orders").value(vec![b'x'; RECORD])).unwrap());
    }
    assert!(queue.memory_use().producers > 0, "the last batch lingers");
    producer.flush().unwrap();
}

#[test]
fn what_is_sent_counts_while_it_is_cached_or_held_and_not_any_longer() {
    let queue = open(&MemDisk::new());
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    let before = queue.memory_use();
    assert_eq!(MemoryUse { cached: 0, ..before }, MemoryUse::default());
    fill(&queue);
    let cached = queue.memory_use();
    assert_eq!(cached.producers, 0, "all of it was acknowledged");
    assert!(cached.batches > (COUNT * RECORD) as u64 && cached.cached >= cached.batches, "{cached:?}");
    let mut consumer = reader(&queue);
    let records = read(&mut consumer);
    drop(consumer);
    queue.delete_topic("orders").unwrap();
    until("its cache is gone", || queue.memory_use().cached < cached.cached - cached.batches + 10_000);
    assert_eq!(queue.memory_use().batches, cached.batches, "the records are held");
    let last = records.into_iter().next_back().unwrap();
    let of_one = queue.memory_use().batches;
    assert!(of_one > 0 && of_one < 40_000, "a record keeps its batch: {of_one}");
    drop(last);
    assert_eq!(queue.memory_use().batches, 0);
}

#[test]
fn what_is_read_from_files_counts_until_the_last_record_of_it_is_dropped() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    fill(&queue);
    assert!(queue.close().is_clean());
    let queue = open(&disk);
    assert_eq!((queue.memory_use().batches, queue.memory_use().read), (0, 0));
    let mut consumer = reader(&queue);
    let records = read(&mut consumer);
    drop(consumer);
    assert!(queue.memory_use().read >= (COUNT * RECORD) as u64);
    drop(records);
    assert_eq!(queue.memory_use().read, 0);
}

#[test]
fn the_cache_of_a_partition_stays_within_its_bound() {
    let queue = open(&MemDisk::new());
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    let producer = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for _ in 0..20 {
        drop(producer.send(Record::to("orders").value(vec![b'x'; 1_000_000])).unwrap());
    }
    producer.flush().unwrap();
    let used = queue.memory_use();
    assert!(used.batches > 3_000_000 && used.batches <= 4 << 20, "{used:?}");
}

/// The bound of the tests that have one, and what one answer may bring beside it.
const HELD_MAX: u64 = 60_000;
const ANSWER_MAX: u64 = 20_000;

fn open_bounded(disk: &MemDisk) -> Queue {
    Queue::builder().consumer_memory_bytes_max(HELD_MAX).open_on(vec![disk.clone()]).unwrap()
}

fn reader_of_little(queue: &Queue) -> Consumer {
    let config = ConsumerConfig::default().partition_bytes_max(ANSWER_MAX as u32).records_max(7);
    let mut consumer = queue.consumer(&config).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    consumer
}

/// Reads all there is, and keeps as much of it as may be.
fn read_keeping(queue: &Queue, consumer: &mut Consumer) -> usize {
    let (mut kept, mut count, mut refused) = (Vec::new(), 0, 0);
    while count < COUNT {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => kept.extend(records),
            Err(ConsumeError::MemoryBound { held, bytes_max }) => {
                assert_eq!((held, bytes_max), (queue.memory_use().held, HELD_MAX));
                assert!(held + ANSWER_MAX > HELD_MAX, "there was room: {held}");
                refused += 1;
                count += kept.len();
                kept.clear();
            }
            Err(error) => panic!("{error}"),
        }
        let used = queue.memory_use();
        assert!(used.held <= HELD_MAX + ANSWER_MAX, "{used:?}");
        if count + kept.len() == COUNT {
            count = COUNT;
        }
    }
    refused
}

#[test]
fn what_is_kept_of_files_stays_within_the_bound_and_all_of_it_is_read() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    queue.create_topic("orders", 3, TopicConfig::default()).unwrap();
    fill(&queue);
    assert!(queue.close().is_clean());
    let queue = open_bounded(&disk);
    let mut consumer = reader_of_little(&queue);
    assert!(read_keeping(&queue, &mut consumer) >= COUNT * RECORD / (HELD_MAX + ANSWER_MAX) as usize);
    drop(consumer);
    let left = queue.memory_use();
    assert_eq!((left.held, left.held_max, left.read), (0, Some(HELD_MAX), 0));
}

#[test]
fn what_is_kept_of_the_caches_stays_within_the_bound_and_all_of_it_is_read() {
    let queue = open_bounded(&MemDisk::new());
    queue.create_topic("orders", 3, TopicConfig::default()).unwrap();
    fill(&queue);
    let mut consumer = reader_of_little(&queue);
    assert!(read_keeping(&queue, &mut consumer) >= COUNT * RECORD / (HELD_MAX + ANSWER_MAX) as usize);
    drop(consumer);
    assert_eq!(queue.memory_use().held, 0);
}

#[test]
fn many_consumers_whose_workers_let_go_late_read_everything_within_the_bound() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    queue.create_topic("orders", 3, TopicConfig::default()).unwrap();
    fill(&queue);
    assert!(queue.close().is_clean());
    let queue = open_bounded(&disk);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (give, take) = std::sync::mpsc::sync_channel::<OwnedRecord>(20);
            let queue = &queue;
            scope.spawn(move || {
                let mut consumer = reader_of_little(queue);
                for record in consumer.tail().take(COUNT) {
                    give.send(record.unwrap()).unwrap();
                    let used = queue.memory_use();
                    assert!(used.held <= HELD_MAX + 3 * ANSWER_MAX, "{used:?}");
                }
            });
            scope.spawn(move || assert_eq!(take.iter().count(), COUNT));
        }
    });
    assert_eq!(queue.memory_use().held, 0);
}
