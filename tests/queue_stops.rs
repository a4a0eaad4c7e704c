//! Every way to stop ends every wait, and says what is not known.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/watched_disk.rs"]
mod watched_disk;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::disk::mem::{Choice, Fails};
use ottla::disk::{Disk, DiskCall, DiskErrorKind, DiskPath, MemDisk};
use ottla::message::{Durability, TopicConfig};
use ottla::offset::Offset;
use ottla::producer::{Known, SendError};
use ottla::queue::{ConsumeError, ConsumerConfig, Placed, Producer, ProducerConfig, Record, SendTicket};

use watched_disk::{Watch, Watched};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);

fn open(disk: impl Disk) -> Queue {
    Queue::builder().open_on(vec![disk]).unwrap()
}

/// A queue with the topics `orders` and `others`, of one partition each.
fn with_topics(disk: impl Disk) -> Queue {
    let queue = open(disk);
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    queue.create_topic("others", 1, TopicConfig::default()).unwrap();
    queue
}

fn producer(queue: &Queue) -> Producer {
    queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap()
}

/// Takes a record; the outcome is the ticket's.
fn send(producer: &Producer, topic: &str) -> SendTicket {
    producer.send(Record::to(topic).value("value")).unwrap()
}

fn outcome(ticket: &SendTicket) -> Result<Placed, SendError> {
    ticket.wait_timeout(LONG).expect("the ticket has an outcome")
}

/// What is known of a record that was not acknowledged.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are a failure of the test")]
fn known(result: Result<Placed, SendError>) -> Known {
    match result.unwrap_err() {
        SendError::Refused { known, .. } | SendError::Expired { known, .. } | SendError::Closed { known } => known,
        other => panic!("{other}"),
    }
}

/// Reads in another thread until it is told why there is no more.
fn reading(queue: &Queue) -> std::sync::mpsc::Receiver<ConsumeError> {
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "somebody has to wait")]
    std::thread::spawn(move || {
        loop {
            if let Err(error) = consumer.poll(LONG) {
                return told.send(error);
            }
        }
    });
    tells
}

#[test]
fn a_close_ends_the_wait_for_records_and_for_space() {
    let disk = MemDisk::new();
    let queue = with_topics(disk.clone());
    let (reader, producer) = (reading(&queue), producer(&queue));
    outcome(&send(&producer, "orders")).unwrap();
    disk.set_capacity(Some(0));
    // More than the blocks that a segment has ahead.
    let large = vec![0; 900_000];
    let tickets: Vec<_> =
        (0..20).map(|_| producer.send(Record::to("orders").value(large.as_slice())).unwrap()).collect();
    assert!(!queue.close().is_clean(), "what is in memory only cannot be written");
    let told: Vec<_> = tickets.iter().map(outcome).collect();
    assert!(told.iter().any(Result::is_err));
    assert_eq!(reader.recv_timeout(LONG).unwrap(), ConsumeError::Closed);
    assert!(producer.send(Record::to("orders").value("late")).is_err());
}

#[test]
fn when_all_handles_are_dropped_every_record_has_an_outcome_and_those_acknowledged_stay() {
    let disk = MemDisk::new();
    let queue = with_topics(disk.clone());
    let producer = producer(&queue);
    let tickets: Vec<_> = (0..100).map(|_| send(&producer, "orders")).collect();
    drop((producer, queue));
    let kept = tickets.iter().map(outcome).filter(Result::is_ok).count() as u64;
    disk.crash(&Choice::nothing());
    let queue = open(disk);
    let partition = ottla::id::TopicPartition::parse("orders-0").unwrap();
    let end = queue.offset(&partition, ottla::message::OffsetSpec::Latest).unwrap().unwrap();
    assert!(end.offset >= Offset::new(kept), "{} of {kept} are there", end.offset);
}

#[test]
fn a_callback_that_panics_takes_nothing_with_it() {
    let queue = with_topics(MemDisk::new());
    let producer = producer(&queue);
    producer.send_with(Record::to("orders").value("1"), |_| panic!("a callback panics")).unwrap();
    assert_eq!(outcome(&send(&producer, "orders")).unwrap().offset, Some(Offset::new(1)));
    assert!(queue.close().is_clean());
}

#[test]
fn a_flush_that_fails_ends_every_wait_and_says_that_the_records_are_unknown() {
    let disk = MemDisk::new();
    let queue = with_topics(disk.clone());
    let producer = producer(&queue);
    outcome(&send(&producer, "orders")).unwrap();
    outcome(&send(&producer, "others")).unwrap();
    let kind = DiskErrorKind::Io { code: Some(5), message: "EIO".to_owned() };
    disk.fail_at(disk.calls(), kind, Fails::FromThenOn);
    let tickets = [send(&producer, "orders"), send(&producer, "others")];
    for ticket in &tickets {
        assert_eq!(known(outcome(ticket)), Known::Unknown);
    }
    outcome(&send(&producer, "orders")).unwrap_err();
    disk.plan_nothing();
    let closed = queue.close();
    // A mark of the metadata, which trails, may have met the failing disk too.
    let is_topic = |partition: &str| !partition.starts_with("__cluster_metadata");
    let failed = closed.partitions.iter().filter(|closed| closed.why.is_some());
    assert_eq!(failed.filter(|closed| is_topic(&closed.partition.to_string())).count(), 2, "{closed}");
    drop(producer);
    let queue = open(disk);
    assert_eq!(queue.report().failed, []);
}

#[test]
fn what_waits_for_space_gets_through_by_itself_when_there_is_some() {
    let disk = MemDisk::new();
    let queue = with_topics(disk.clone());
    let producer = producer(&queue);
    outcome(&send(&producer, "orders")).unwrap();
    disk.set_capacity(Some(0));
    let large = vec![0; 900_000];
    let tickets: Vec<_> =
        (0..20).map(|_| producer.send(Record::to("orders").value(large.as_slice())).unwrap()).collect();
    assert!(tickets.last().unwrap().try_get().is_none(), "there is no space");
    disk.set_capacity(None);
    for (number, ticket) in tickets.iter().enumerate() {
        assert_eq!(outcome(ticket).unwrap().offset, Some(Offset::new(number as u64 + 1)));
    }
    assert!(queue.close().is_clean());
}

#[test]
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a wait of a test has an end")]
fn a_topic_with_an_interval_is_flushed_though_nobody_waits_for_it() {
    let disk = MemDisk::new();
    let queue = open(disk.clone());
    queue.create_topic("orders", 1, TopicConfig::default().with_flush_ms(Some(1))).unwrap();
    let config = ProducerConfig::default().linger(Duration::ZERO).durability(Durability::Written);
    let producer = queue.producer(config).unwrap();
    outcome(&send(&producer, "orders")).unwrap();
    let ends = std::time::Instant::now() + LONG;
    while disk.unsynced().iter().any(|file| file.ends_with("orders-0/00000000000000000000.log")) {
        assert!(std::time::Instant::now() < ends, "it is not flushed");
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_in_the_middle_of_a_write_ends_every_wait() {
    let disk: Watched<Panics> = Watched::default();
    let queue = with_topics(disk.clone());
    let reader = reading(&queue);
    let producer = queue.producer(ProducerConfig::default().linger(Duration::from_secs(60))).unwrap();
    // There is space behind it, so that the next one is written by the thread that sends.
    let first = send(&producer, "orders");
    producer.flush().unwrap();
    outcome(&first).unwrap();
    let ticket = send(&producer, "orders");
    disk.watch.0.store(true, SeqCst);
    // The panic is that of the thread that writes: most often this one.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| producer.flush()));
    assert_eq!(known(outcome(&ticket)), Known::Unknown);
    assert_eq!(reader.recv_timeout(LONG).unwrap(), ConsumeError::Closed);
    disk.watch.0.store(false, SeqCst);
    assert!(!queue.close().is_clean());
}

/// A disk with a fault of the programmer's.
#[derive(Debug, Default)]
struct Panics(AtomicBool);

impl Watch for Panics {
    fn before(&self, call: DiskCall, _path: &DiskPath) -> Result<(), DiskErrorKind> {
        assert!(call != DiskCall::Write || !self.0.load(SeqCst), "a fault of the disk's programmer");
        Ok(())
    }
}
