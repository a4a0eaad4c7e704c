//! Topics that are compacted while they are used: the latest record of each key stays, whatever comes in between.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "queue_compaction/gated.rs"]
mod gated;
#[path = "support/until.rs"]
mod until;
#[path = "support/watched_disk.rs"]
mod watched_disk;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::disk::mem::{Choice, ImageRules};
use ottla::disk::{Disk, FileDisk, MemDisk};
use ottla::id::TopicPartition;
use ottla::message::{Committed, ConfigChange, ConfigOperation, DeleteBefore, Durability, OffsetSpec, TopicConfig};
use ottla::offset::Offset;
use ottla::queue::{ConsumerConfig, Producer, ProducerConfig, Record};

use gated::{At, Gated, has_leftovers, names};
use until::until;

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);
const KEYS: u32 = 20;

fn open<D: Disk>(disk: &D) -> Queue {
    Queue::builder().upkeep_interval(Duration::from_millis(2)).open_on(vec![disk.clone()]).unwrap()
}

fn set(queue: &Queue, topic: &str, key: &str, value: &str) {
    let change = ConfigChange { key: key.to_owned(), operation: ConfigOperation::Set(value.to_owned()) };
    queue.alter_config(topic, vec![change]).unwrap();
}

/// A topic of one partition with small segments, of which any dirt is worth a compaction.
fn add_topic(queue: &Queue, policy: &str) {
    add_topic_named(queue, "prices", policy);
}

fn add_topic_named(queue: &Queue, topic: &str, policy: &str) {
    queue.create_topic(topic, 1, TopicConfig::default()).unwrap();
    set(queue, topic, "internal.segment.bytes", "4000");
    set(queue, topic, "min.cleanable.dirty.ratio", "0.01");
    set(queue, topic, "cleanup.policy", policy);
}

fn prices() -> TopicPartition {
    TopicPartition::parse("prices-0").unwrap()
}

/// What was sent with it survives a power loss.
fn producer(queue: &Queue) -> Producer {
    queue.producer(ProducerConfig::default().durability(Durability::Flushed)).unwrap()
}

/// Gives every key the value of this round, and waits until that is on disk.
fn send_round(producer: &Producer, round: u32) {
    send_round_to(producer, "prices", round);
}

fn send_round_to(producer: &Producer, topic: &str, round: u32) {
    let send = |key: u32| {
        let (key, value) = (key.to_string(), format!("{round:0>200}"));
        producer.send(Record::to(topic).key(key.as_bytes()).value(value.as_bytes())).unwrap()
    };
    let tickets: Vec<_> = (0..KEYS).map(send).collect();
    producer.flush().unwrap();
    tickets.iter().for_each(|ticket| drop(ticket.wait_timeout(LONG).unwrap().unwrap()));
}

fn number(bytes: &[u8]) -> u32 {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

/// Where the log ends now.
fn end(queue: &Queue) -> u64 {
    queue.offset(&prices(), OffsetSpec::Latest).unwrap().unwrap().offset.get()
}

/// The records, key and round, in the order of their offsets; a tombstone has no round. Up to the end as it is once it is
/// reached, for what was the latest of a key meanwhile may have gone.
fn records(queue: &Queue) -> Vec<(u32, Option<u32>)> {
    let config = ConsumerConfig::default().reset(OffsetReset::Earliest).fetch_bytes_max(1);
    let mut consumer = queue.consumer(&config).unwrap();
    consumer.subscribe(["prices"]).unwrap();
    let (mut found, mut next) = (Vec::new(), 0);
    while next < end(queue) {
        let records = consumer.poll(LONG).unwrap();
        assert!(!records.is_empty(), "nothing comes behind {next}");
        for record in records.iter() {
            assert!(record.offset().get() >= next, "{} behind {next}", record.offset());
            found.push((number(record.key().unwrap()), record.value().map(number)));
            next = record.offset().get() + 1;
        }
    }
    found
}

/// The latest round of each key, and how many records there are.
fn read(queue: &Queue) -> (BTreeMap<u32, u32>, usize) {
    let records = records(queue);
    let latest: BTreeMap<_, _> = records.iter().copied().collect();
    (latest.into_iter().filter_map(|(key, round)| Some((key, round?))).collect(), records.len())
}

fn all_of(round: u32) -> BTreeMap<u32, u32> {
    (0..KEYS).map(|key| (key, round)).collect()
}

/// Few enough records that most of what was sent has gone.
fn is_compacted(queue: &Queue) -> bool {
    read(queue).1 < KEYS as usize * 4
}

/// A topic with ten rounds, halted there in its first compaction.
fn halted(at: At, policy: &str) -> (Gated, Queue, Producer) {
    let disk = Gated::default();
    let queue = open(&disk);
    disk.watch.close(at);
    add_topic(&queue, "delete");
    let producer = producer(&queue);
    (1..=10).for_each(|round| send_round(&producer, round));
    set(&queue, "prices", "cleanup.policy", policy);
    until("it compacts", || disk.watch.is_halted());
    (disk, queue, producer)
}

fn compacts_while_it_is_written_to<D: Disk>(disk: &D) {
    let queue = open(disk);
    add_topic(&queue, "compact");
    let producer = producer(&queue);
    let (mut round, rounds) = (0, 30);
    while round < rounds {
        round += 1;
        send_round(&producer, round);
    }
    until("it is compacted", || is_compacted(&queue));
    assert_eq!(read(&queue).0, all_of(rounds));
    drop(producer);
    let closed = queue.close();
    assert!(closed.is_clean() && closed.notes.is_empty(), "{closed}");
    let queue = open(disk);
    let (latest, count) = read(&queue);
    assert_eq!(latest, all_of(rounds));
    assert!(count < KEYS as usize * 4, "{count} records");
}

#[test]
fn cln_01_the_latest_of_each_key_stays_at_its_offset_and_the_others_go() {
    let disk = MemDisk::new();
    compacts_while_it_is_written_to(&disk);
    // Kafka's own note of how far it is clean.
    let noted = disk.contents().remove("cleaner-offset-checkpoint").unwrap();
    let noted = String::from_utf8(noted).unwrap();
    assert!(noted.starts_with("0\n1\nprices 0 "), "{noted}");
}

#[test]
fn cln_01_the_latest_of_each_key_stays_and_the_others_go_on_real_files() {
    let dir = tempfile::tempdir().unwrap();
    compacts_while_it_is_written_to(&FileDisk::open(dir.path()).unwrap());
}

#[test]
fn cln_02_a_tombstone_hides_its_key_and_goes_itself_when_it_is_old_enough() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    add_topic(&queue, "compact");
    set(&queue, "prices", "delete.retention.ms", "0");
    let producer = producer(&queue);
    send_round(&producer, 1);
    producer.send_and_wait(Record::to("prices").key("100").value("1")).unwrap();
    producer.send_and_wait(Record::to("prices").key("100")).unwrap();
    let mut round = 1;
    let has_key = || records(&queue).iter().any(|(key, _)| *key == 100);
    assert!(has_key());
    until("the tombstone is gone", || {
        round += 1;
        send_round(&producer, round);
        !has_key()
    });
    assert_eq!(read(&queue).0, all_of(round));
}

#[test]
fn who_reads_while_it_is_compacted_sees_the_latest_of_each_key_in_the_order_of_offsets() {
    let queue = open(&MemDisk::new());
    add_topic(&queue, "compact");
    let (is_over, sent) = (AtomicBool::new(false), AtomicU32::new(0));
    let producer = producer(&queue);
    send_round(&producer, 1);
    sent.store(1, SeqCst);
    std::thread::scope(|scope| {
        let reader = || {
            while !is_over.load(SeqCst) {
                let before = sent.load(SeqCst);
                // No error, and nothing out of order: it says so itself.
                let (latest, _) = read(&queue);
                assert_eq!(latest.len(), KEYS as usize);
                assert!(latest.values().all(|round| *round >= before), "{before}: {latest:?}");
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        scope.spawn(|| {
            while !is_over.load(SeqCst) {
                let first = ottla::time::Timestamp::from_millis(0);
                assert!(queue.offset(&prices(), OffsetSpec::At(first)).unwrap().is_some());
            }
        });
        for round in 2..=60 {
            send_round(&producer, round);
            sent.store(round, SeqCst);
            if readers.iter().any(|reader| reader.is_finished()) {
                break;
            }
        }
        is_over.store(true, SeqCst);
    });
    until("it is compacted", || is_compacted(&queue));
    assert_eq!(read(&queue).0, all_of(60));
    assert!(queue.close().is_clean());
}

#[test]
fn a_close_in_the_middle_of_a_compaction_does_not_wait_for_all_of_it_and_leaves_nothing_of_it() {
    let (disk, queue, producer) = halted(At::Begin, "compact");
    std::thread::scope(|scope| {
        let again = queue.clone();
        let closing = scope.spawn(move || again.close());
        until("the close has begun", || queue.offset(&prices(), OffsetSpec::Latest).is_err());
        disk.watch.open();
        let closed = closing.join().unwrap();
        assert!(closed.is_clean() && closed.notes.is_empty(), "{closed}");
    });
    assert_eq!((disk.watch.completed(), has_leftovers(&disk.disk)), (0, false));
    drop(producer);
    let queue = open(&disk);
    assert_eq!(read(&queue).0, all_of(10));
    until("it is compacted", || is_compacted(&queue));
}

#[test]
fn a_drop_in_the_middle_of_a_compaction_waits_for_nothing_and_the_next_opening_for_its_end() {
    let (disk, queue, producer) = halted(At::Begin, "compact");
    drop((queue, producer));
    assert!(disk.watch.is_halted());
    let opener = disk.clone();
    std::thread::scope(|scope| {
        let opening = scope.spawn(move || open(&opener));
        assert!(disk.watch.is_halted());
        disk.watch.open();
        let queue = opening.join().unwrap();
        assert_eq!(read(&queue).0, all_of(10));
        until("it is compacted", || is_compacted(&queue));
    });
}

#[test]
fn a_topic_deleted_in_the_middle_of_its_compaction_leaves_nothing_to_its_namesake() {
    for at in [At::Begin, At::Complete] {
        let (disk, queue, producer) = halted(at, "compact");
        drop(producer);
        std::thread::scope(|scope| {
            let deleting = scope.spawn(|| queue.delete_topic("prices").unwrap());
            until("the topic is deleted", || queue.offset(&prices(), OffsetSpec::Latest).is_err());
            assert!(!names(&disk.disk, "prices-0").is_empty(), "its files wait for the compaction to end");
            disk.watch.open();
            deleting.join().unwrap();
        });
        until("its files are gone", || names(&disk.disk, "prices-0").is_empty());
        assert_eq!((disk.watch.places(), has_leftovers(&disk.disk)), (0, false), "{at:?}");
        add_topic(&queue, "compact");
        let producer = self::producer(&queue);
        (1..=10).for_each(|round| send_round(&producer, round));
        until("it is compacted", || is_compacted(&queue));
        assert_eq!(read(&queue).0, all_of(10));
        assert!(queue.close().is_clean());
    }
}

#[test]
fn records_deleted_in_the_middle_of_their_compaction_stay_deleted_and_the_next_one_goes_on() {
    let (disk, queue, producer) = halted(At::Complete, "compact,delete");
    let to = u64::from(KEYS) * 5;
    queue.delete_records(&prices(), DeleteBefore::Offset(Offset::new(to))).unwrap();
    let first = format!("{:020}.log", 0);
    until("their segments are gone", || !names(&disk.disk, "prices-0").contains(&first));
    // The power goes while what was made of segments that are gone stands complete.
    for image in [disk.disk.image(&Choice::everything()), disk.disk.image(&Choice::nothing())] {
        let queue = open(&image);
        assert!(queue.offset(&prices(), OffsetSpec::Earliest).unwrap().unwrap().offset.get() >= to);
        assert_eq!(read(&queue).0, all_of(10));
    }
    disk.watch.open();
    until("it is compacted", || is_compacted(&queue));
    assert!(queue.offset(&prices(), OffsetSpec::Earliest).unwrap().unwrap().offset.get() >= to);
    assert_eq!(read(&queue).0, all_of(10));
    drop(producer);
    let closed = queue.close();
    assert!(closed.is_clean() && closed.notes.is_empty(), "{closed}");
    assert!(!has_leftovers(&disk.disk));
}

#[test]
fn a_segment_that_finds_no_space_to_take_its_place_holds_up_no_other_partition() {
    let disk = Gated::default();
    let queue = open(&disk);
    add_topic(&queue, "delete");
    let producer = producer(&queue);
    (1..=10).for_each(|round| send_round(&producer, round));
    disk.watch.fill("prices-0");
    set(&queue, "prices", "cleanup.policy", "compact");
    until("it finds no space", || disk.watch.refused() > 0);
    add_topic_named(&queue, "orders", "compact");
    (1..=10).for_each(|round| send_round_to(&producer, "orders", round));
    until("the other is compacted", || disk.watch.places() > 0);
    disk.watch.make_room();
    until("it is compacted", || is_compacted(&queue));
    assert_eq!(read(&queue).0, all_of(10));
    drop(producer);
    let closed = queue.close();
    assert!(closed.is_clean() && closed.notes.is_empty(), "{closed}");
}

#[test]
fn segments_that_go_while_they_are_compacted_are_no_failure() {
    let (disk, queue, producer) = halted(At::Begin, "compact,delete");
    let to = u64::from(KEYS) * 5;
    queue.delete_records(&prices(), DeleteBefore::Offset(Offset::new(to))).unwrap();
    let first = format!("{:020}.log", 0);
    until("their segments are gone", || !names(&disk.disk, "prices-0").contains(&first));
    disk.watch.go_on_to(At::Complete);
    until("the next compaction has come as far", || disk.watch.is_halted());
    drop(producer);
    std::thread::scope(|scope| {
        let again = queue.clone();
        let closing = scope.spawn(move || again.close());
        until("the close has begun", || queue.offset(&prices(), OffsetSpec::Latest).is_err());
        disk.watch.open();
        let closed = closing.join().unwrap();
        assert!(closed.is_clean() && closed.notes.is_empty(), "{closed}");
    });
}

#[test]
fn a_policy_that_is_taken_back_in_the_middle_of_a_compaction_ends_it() {
    let (disk, queue, producer) = halted(At::Complete, "compact");
    set(&queue, "prices", "cleanup.policy", "delete");
    disk.watch.open();
    until("what it has written is gone", || !has_leftovers(&disk.disk));
    assert_eq!((disk.watch.places(), records(&queue).len()), (0, KEYS as usize * 10));
    drop(producer);
    let closed = queue.close();
    assert!(closed.is_clean() && closed.notes.is_empty(), "{closed}");
}

#[test]
fn cln_10_a_power_loss_at_any_stage_of_a_compaction_loses_nothing_that_counts() {
    for at in [At::Begin, At::Complete, At::Place] {
        let (disk, queue, producer) = halted(at, "compact");
        let rules = ImageRules { torn_within: 1, exhaustive_max: 4, random: 4, ..ImageRules::default() };
        let images: Vec<_> = disk.disk.images_by(&rules).take(8).collect();
        let killed = [disk.disk.image(&Choice::everything()), disk.disk.image(&Choice::nothing())];
        disk.watch.open();
        for image in images.into_iter().chain(killed) {
            let queue = open(&image);
            assert_eq!(read(&queue).0, all_of(10), "{at:?}");
            until("it is compacted", || is_compacted(&queue));
        }
        drop(producer);
        assert!(queue.close().is_clean(), "{at:?}");
    }
}

#[test]
fn what_groups_have_committed_is_compacted_and_read_again() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    add_topic(&queue, "delete");
    let commit = |queue: &Queue, offset| {
        let mut consumer = queue.consumer(&ConsumerConfig::group("workers")).unwrap();
        consumer.commit_offsets([(prices(), Committed::at(Offset::new(offset)))]).unwrap();
    };
    commit(&queue, 0);
    set(&queue, "__consumer_offsets", "internal.segment.bytes", "2000");
    let is_noted = || {
        let noted = disk.contents().remove("cleaner-offset-checkpoint").unwrap_or_default();
        String::from_utf8(noted).unwrap().contains("__consumer_offsets")
    };
    let mut last = 0;
    until("commits are compacted", || {
        last += 1;
        commit(&queue, last);
        is_noted()
    });
    assert!(queue.close().is_clean());
    let queue = open(&disk);
    let mut consumer = queue.consumer(&ConsumerConfig::group("workers")).unwrap();
    let committed = consumer.committed([prices()]).unwrap();
    assert_eq!(committed[&prices()].offset, Offset::new(last));
}
