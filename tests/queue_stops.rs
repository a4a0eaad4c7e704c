//! Every way to stop ends every wait, and says what is not known.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::disk::mem::{Choice, Fails};
use ottla::disk::{Disk, DiskError, DiskErrorKind, DiskFile, DiskPath, Entry, MemDisk, OpenHow};
use ottla::message::{Durability, TopicConfig};
use ottla::offset::Offset;
use ottla::producer::{Known, SendError};
use ottla::queue::{ConsumeError, ConsumerConfig, Placed, Producer, ProducerConfig, Record, SendTicket};
use ottla::time::Timestamp;

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
    let disk = PanicDisk::default();
    let queue = with_topics(disk.clone());
    let reader = reading(&queue);
    let producer = queue.producer(ProducerConfig::default().linger(Duration::from_secs(60))).unwrap();
    // There is space behind it, so that the next one is written by the thread that sends.
    let first = send(&producer, "orders");
    producer.flush().unwrap();
    outcome(&first).unwrap();
    let ticket = send(&producer, "orders");
    disk.panics.store(true, SeqCst);
    // The panic is that of the thread that writes: most often this one.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| producer.flush()));
    assert_eq!(known(outcome(&ticket)), Known::Unknown);
    assert_eq!(reader.recv_timeout(LONG).unwrap(), ConsumeError::Closed);
    disk.panics.store(false, SeqCst);
    assert!(!queue.close().is_clean());
}

/// A disk with a fault of the programmer's.
#[derive(Clone, Debug, Default)]
struct PanicDisk {
    disk: MemDisk,
    panics: Arc<AtomicBool>,
}

#[derive(Debug)]
struct PanicFile {
    file: <MemDisk as Disk>::File,
    panics: Arc<AtomicBool>,
}

impl Disk for PanicDisk {
    type File = PanicFile;
    type Lock = <MemDisk as Disk>::Lock;

    fn open(&self, path: &DiskPath, how: OpenHow) -> Result<PanicFile, DiskError> {
        Ok(PanicFile { file: self.disk.open(path, how)?, panics: Arc::clone(&self.panics) })
    }

    fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.remove(path)
    }

    fn make_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.make_dir(path)
    }

    fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.sync_dir(path)
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.disk.sync_all()
    }

    fn list(&self, path: &DiskPath) -> Result<Vec<Entry>, DiskError> {
        self.disk.list(path)
    }

    fn lock(&self, path: &DiskPath) -> Result<Self::Lock, DiskError> {
        self.disk.lock(path)
    }

    fn free_space(&self) -> Result<u64, DiskError> {
        self.disk.free_space()
    }
}

impl DiskFile for PanicFile {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(position, into)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<usize, DiskError> {
        assert!(!self.panics.load(SeqCst), "a fault of the disk's programmer");
        self.file.write_at(position, parts)
    }

    fn reserve(&self, len: u64) -> Result<(), DiskError> {
        self.file.reserve(len)
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len)
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.file.len()
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync()
    }

    fn set_modified(&self, to: Timestamp) -> Result<(), DiskError> {
        self.file.set_modified(to)
    }

    fn map(&self, len: u64) -> Result<Option<Bytes>, DiskError> {
        self.file.map(len)
    }
}
