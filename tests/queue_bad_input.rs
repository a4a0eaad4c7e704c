//! What a queue is not to be given: an exact error each, and it goes on for everyone else.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and looks at real files")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::{OffsetReset, PollError, Start};
use ottla::disk::mem::Fails;
use ottla::disk::{DiskErrorKind, MemDisk, OpenError};
use ottla::id::TopicPartition;
use ottla::message::{
    Committed, ConfigChange, ConfigOperation, DeleteBefore, Detail, Durability, ErrorCode, OffsetSpec, TopicConfig,
};
use ottla::offset::Offset;
use ottla::producer::{Known, SendError};
use ottla::queue::{
    AdminError, CommitError, ConsumeError, Consumer, ConsumerConfig, MissingMetadata, NotOpened, Producer,
    ProducerConfig, QueueOpenError, Record, SendAndWaitError, SendFault, SubscribeError,
};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);
const METADATA_LOG: &str = "__cluster_metadata-0/00000000000000000000.log";

fn open(disk: &MemDisk) -> Queue {
    try_open(disk).unwrap()
}

fn try_open(disk: &MemDisk) -> Result<Queue, QueueOpenError> {
    Queue::builder().open_on(vec![disk.clone()])
}

fn part(text: &str) -> TopicPartition {
    TopicPartition::parse(text).unwrap()
}

fn producer(queue: &Queue) -> Producer {
    queue.producer(ProducerConfig::default()).unwrap()
}

/// A consumer of one partition from its first record on, which is told when an offset is gone.
fn reader(queue: &Queue, partition: &str) -> Consumer {
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Refuse)).unwrap();
    consumer.assign([(part(partition), Start::Find(OffsetSpec::Earliest))]).unwrap();
    consumer
}

/// A record goes in and comes out.
fn works(queue: &Queue, topic: &str) {
    let placed = producer(queue).send_and_wait(Record::to(topic).partition(0).value("works")).unwrap();
    let mut consumer = reader(queue, &format!("{topic}-0"));
    consumer.seek(&placed.partition, placed.offset.unwrap()).unwrap();
    let records = consumer.poll(LONG).unwrap();
    assert_eq!(records.iter().next().unwrap().value(), Some(&b"works"[..]));
}

fn with_topic(disk: &MemDisk) -> Queue {
    let queue = open(disk);
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    queue
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, AdminError>, code: ErrorCode) -> String {
    let error = result.unwrap_err();
    let AdminError::Refused(why) = &error else { panic!("{error}") };
    assert_eq!(why.code, code, "{error}");
    why.to_string()
}

#[test]
fn an_unknown_topic_is_named_by_everyone_who_is_asked_for_it() {
    let queue = with_topic(&MemDisk::new());
    let producer = producer(&queue);
    let unknown = producer.send(Record::to("nobody").value("x")).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no topic nobody");
    let no_such = producer.send(Record::to("orders").partition(2).value("x")).unwrap_err();
    assert!(matches!(no_such, SendFault::NoSuchPartition { partition: 2, partitions: 2, .. }), "{no_such}");
    let mut consumer = queue.consumer(&ConsumerConfig::default()).unwrap();
    let unknown = consumer.subscribe(["orders", "nobody"]).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no topic nobody");
    let no_such = consumer.assign([(part("orders-2"), Start::Find(OffsetSpec::Latest))]).unwrap_err();
    assert!(matches!(no_such, SubscribeError::UnknownPartition { partitions: 2, .. }), "{no_such}");
    let unknown = ErrorCode::UnknownTopicOrPartition;
    for text in [
        refused(queue.delete_topic("nobody"), unknown),
        refused(queue.add_partitions("nobody", 3), unknown),
        refused(queue.describe_config("nobody"), unknown),
        refused(queue.offset(&part("nobody-0"), OffsetSpec::Latest), unknown),
        refused(queue.delete_records(&part("nobody-0"), DeleteBefore::HighWatermark), unknown),
        refused(queue.alter_config("nobody", vec![set("retention.ms", "1")]), unknown),
    ] {
        assert!(text.contains("nobody"), "{text}");
    }
    works(&queue, "orders");
}

fn set(key: &str, value: &str) -> ConfigChange {
    ConfigChange { key: key.to_owned(), operation: ConfigOperation::Set(value.to_owned()) }
}

#[test]
fn a_bad_name_or_setting_is_refused_and_nothing_is_made() {
    let disk = MemDisk::new();
    let queue = with_topic(&disk);
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a/b", "a b", "näher", &long] {
        assert!(matches!(queue.create_topic(name, 1, TopicConfig::default()), Err(AdminError::Name(_))), "{name}");
        assert!(matches!(producer(&queue).send(Record::to(name).value("x")), Err(SendFault::Name(_))), "{name}");
        let mut consumer = queue.consumer(&ConsumerConfig::default()).unwrap();
        assert!(matches!(consumer.subscribe([name]), Err(SubscribeError::InvalidTopic(_))), "{name}");
    }
    queue.create_topic("a.b", 1, TopicConfig::default()).unwrap();
    let collides = refused(queue.create_topic("a_b", 1, TopicConfig::default()), ErrorCode::InvalidTopicException);
    assert!(collides.contains("a.b"), "{collides}");
    refused(queue.create_topic("__cluster_metadata", 1, TopicConfig::default()), ErrorCode::InvalidRequest);
    refused(queue.create_topic("none", 0, TopicConfig::default()), ErrorCode::InvalidPartitions);
    refused(queue.add_partitions("orders", 1), ErrorCode::InvalidPartitions);
    for (key, value) in [("retention.ms", "soon"), ("segment.bytes", "1"), ("no.such.setting", "1")] {
        let text = refused(queue.alter_config("orders", vec![set(key, value)]), ErrorCode::InvalidConfig);
        assert!(text.contains(key), "{text}");
    }
    assert_eq!(queue.topics().unwrap().len(), 2);
    works(&queue, "orders");
}

#[test]
fn a_record_that_is_too_large_is_refused_with_both_sizes_and_its_neighbours_are_not() {
    let queue = with_topic(&MemDisk::new());
    let small = queue.producer(ProducerConfig::default().record_bytes_max(1000)).unwrap();
    let too_large = small.send(Record::to("orders").value(vec![0; 2000])).unwrap_err();
    assert!(matches!(too_large, SendFault::TooLarge { bytes: 2000.., max: 1000 }), "{too_large}");
    small.send_and_wait(Record::to("orders").value("fits")).unwrap();
    // The topic takes less than the producer.
    queue.alter_config("orders", vec![set("max.message.bytes", "500")]).unwrap();
    let before = small.send(Record::to("orders").partition(0).value("before")).unwrap();
    let refused = small.send_and_wait(Record::to("orders").partition(1).value(vec![0; 700])).unwrap_err();
    let after = small.send(Record::to("orders").partition(1).value("after")).unwrap();
    small.flush().unwrap();
    let SendAndWaitError::NotDelivered(SendError::Refused { error, .. }) = &refused else { panic!("{refused}") };
    assert_eq!(error.code, ErrorCode::MessageTooLarge);
    assert!(refused.to_string().contains("500"), "{refused}");
    before.wait().unwrap();
    after.wait().unwrap();
}

#[test]
fn an_offset_out_of_range_is_told_with_both_ends_and_the_others_are_read() {
    let queue = with_topic(&MemDisk::new());
    for number in 0..10_u32 {
        let value = number.to_string();
        producer(&queue).send_and_wait(Record::to("orders").partition(number % 2).value(&value)).unwrap();
    }
    queue.delete_records(&part("orders-0"), DeleteBefore::Offset(Offset::new(2))).unwrap();
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Refuse)).unwrap();
    for lost in [Offset::ZERO, Offset::new(6)] {
        consumer.assign([(part("orders-0"), Start::At(lost)), (part("orders-1"), Start::At(Offset::ZERO))]).unwrap();
        let (mut told, mut others) = (None, 0);
        while told.is_none() || others < 5 {
            match consumer.poll(LONG) {
                Ok(records) => {
                    assert!(!records.is_empty(), "{others} came, {told:?}");
                    others += records.len();
                }
                Err(error) => told = Some(error),
            }
        }
        let range = Some((Offset::new(2), Offset::new(5)));
        let expected = PollError::OutOfRange { partition: part("orders-0"), position: lost, range };
        assert_eq!(told, Some(ConsumeError::Partition(expected)));
        assert_eq!(others, 5);
    }
    let beyond = DeleteBefore::Offset(Offset::new(6));
    let text = refused(queue.delete_records(&part("orders-0"), beyond), ErrorCode::OffsetOutOfRange);
    assert!(text.contains('5'), "{text}");
    let expected = producer(&queue)
        .send_and_wait(Record::to("orders").partition(1).value("x").expected_offset(Offset::new(3)))
        .unwrap_err();
    let SendAndWaitError::NotDelivered(SendError::Refused { error, .. }) = &expected else { panic!("{expected}") };
    assert_eq!(error.detail, Detail::LogEnd(Offset::new(5)));
}

#[test]
fn threads_that_create_and_delete_the_same_topic_leave_what_the_metadata_says() {
    let disk = MemDisk::new();
    let queue = with_topic(&disk);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let created = queue.create_topic("contended", 3, TopicConfig::default());
                    let deleted = queue.delete_topic("contended");
                    for error in created.map(drop).err().into_iter().chain(deleted.err()) {
                        let AdminError::Refused(why) = &error else { panic!("{error}") };
                        let known = [ErrorCode::TopicAlreadyExists, ErrorCode::UnknownTopicOrPartition];
                        assert!(known.contains(&why.code), "{error}");
                    }
                }
            });
        }
    });
    queue.create_topic("contended", 3, TopicConfig::default()).unwrap();
    works(&queue, "contended");
    works(&queue, "orders");
    assert!(queue.close().is_clean());
    let queue = open(&disk);
    assert!(queue.report().is_clean(), "{}", queue.report());
    works(&queue, "contended");
}

#[test]
fn a_closed_queue_says_so_to_everyone_who_has_a_handle() {
    let disk = MemDisk::new();
    let queue = with_topic(&disk);
    works(&queue, "orders");
    let config = ProducerConfig::default().linger(Duration::from_secs(60));
    let (other, producer) = (queue.clone(), queue.producer(config).unwrap());
    let mut consumer = queue.consumer(&ConsumerConfig::group("billing")).unwrap();
    consumer.assign([(part("orders-0"), Start::Find(OffsetSpec::Latest))]).unwrap();
    let pending = producer.send(Record::to("orders").value("not sent")).unwrap();
    assert!(queue.close().is_clean());
    pending.wait().unwrap_err();
    assert!(matches!(
        producer.send_and_wait(Record::to("orders").value("x")).unwrap_err(),
        SendAndWaitError::NotTaken(SendFault::Closed) | SendAndWaitError::NotDelivered(SendError::Closed { .. })
    ));
    assert_eq!(consumer.poll(LONG).unwrap_err(), ConsumeError::Closed);
    let offsets = [(part("orders-0"), Committed::at(Offset::ZERO))];
    assert_eq!(consumer.commit_offsets(offsets).unwrap_err(), CommitError::Closed);
    assert_eq!(other.topics().unwrap_err(), AdminError::Closed);
    assert_eq!(other.create_topic("more", 1, TopicConfig::default()).unwrap_err(), AdminError::Closed);
    assert!(other.close().partitions.is_empty(), "it is closed already");
    works(&open(&disk), "orders");
}

#[test]
fn a_second_handle_on_a_directory_is_refused_and_the_first_goes_on() {
    let disk = MemDisk::new();
    let queue = with_topic(&disk);
    let second = try_open(&disk).unwrap_err();
    assert!(matches!(second, QueueOpenError::Open(OpenError::AlreadyOpen)), "{second}");
    works(&queue, "orders");
}

const OTHER_PROCESS: &str = "OTTLA_TEST_DIRECTORY_OF_ANOTHER_PROCESS";

#[test]
fn a_second_process_on_a_directory_is_refused_and_the_first_goes_on() {
    if let Ok(dir) = std::env::var(OTHER_PROCESS) {
        let second = Queue::open(dir).unwrap_err();
        assert!(matches!(second, QueueOpenError::Open(OpenError::AlreadyOpen)), "{second}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path()).unwrap();
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    let name = "a_second_process_on_a_directory_is_refused_and_the_first_goes_on";
    let mut second = Command::new(std::env::current_exe().unwrap());
    let said = second.args(["--exact", name]).env(OTHER_PROCESS, dir.path()).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    assert!(String::from_utf8_lossy(&said.stdout).contains("1 passed"));
    works(&queue, "orders");
}

#[test]
fn a_file_in_place_of_the_directory_is_refused_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue");
    std::fs::write(&path, "somebody's").unwrap();
    for below in [path.clone(), path.join("below")] {
        let error = Queue::open(&below).unwrap_err();
        let QueueOpenError::Path { path: named, .. } = &error else { panic!("{error}") };
        assert_eq!(Path::new(named), below);
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
    assert!(matches!(Queue::builder().open().unwrap_err(), QueueOpenError::NoDirectory));
}

/// Opening fails, and no file is another than before but the lock.
fn refusal(disks: &[&MemDisk]) -> QueueOpenError {
    let contents = || -> Vec<BTreeMap<String, Vec<u8>>> { disks.iter().map(|disk| disk.contents()).collect() };
    let before = contents();
    let error = Queue::builder().open_on(disks.iter().map(|disk| (*disk).clone()).collect()).unwrap_err();
    for (mut before, mut after) in before.into_iter().zip(contents()) {
        // Whether all was closed is remembered elsewhere while somebody has it open.
        for name in [".lock", ".kafka_cleanshutdown"] {
            before.remove(name);
            after.remove(name);
        }
        let changed: Vec<_> = after.iter().filter(|(name, bytes)| before.get(*name) != Some(*bytes)).collect();
        let gone: Vec<_> = before.keys().filter(|name| !after.contains_key(*name)).collect();
        assert!(changed.is_empty() && gone.is_empty(), "{error}: changed {changed:?}, gone {gone:?}");
    }
    error
}

#[test]
fn a_directory_of_another_cluster_or_node_is_refused_beside_ours() {
    let (ours, theirs) = (MemDisk::new(), MemDisk::new());
    assert!(with_topic(&ours).close().is_clean());
    assert!(with_topic(&theirs).close().is_clean());
    let error = refusal(&[&ours, &theirs]);
    assert!(matches!(error, QueueOpenError::OtherCluster { dir: 1, .. }), "{error}");
    works(&open(&ours), "orders");
    works(&open(&theirs), "orders");
    let cluster = String::from_utf8(ours.contents()["meta.properties"].clone()).unwrap();
    let cluster = cluster.lines().find(|line| line.starts_with("cluster.id=")).unwrap();
    let text = format!("version=1\n{cluster}\nnode.id=7\n");
    let node = MemDisk::from_contents(&[("meta.properties".to_owned(), text.into_bytes())].into());
    let error = refusal(&[&ours, &node]);
    assert!(matches!(error, QueueOpenError::OtherNode { dir: 1, .. }), "{error}");
}

#[test]
fn two_directories_with_the_same_partition_are_refused() {
    let (first, second) = (MemDisk::new(), MemDisk::new());
    let queue = Queue::builder().open_on(vec![first.clone(), second.clone()]).unwrap();
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    assert!(queue.close().is_clean());
    let mut contents = second.contents();
    contents.extend(first.contents().into_iter().filter(|(path, _)| path.starts_with("orders-")));
    let error = refusal(&[&first, &MemDisk::from_contents(&contents)]);
    assert!(matches!(error, QueueOpenError::Dirs(_)), "{error}");
    assert!(error.to_string().contains("orders-"), "{error}");
}

#[test]
fn a_future_format_of_a_file_at_the_root_is_refused() {
    let disk = MemDisk::new();
    assert!(with_topic(&disk).close().is_clean());
    let with = |name: &str, bytes: Vec<u8>| {
        let mut contents = disk.contents();
        contents.insert(name.to_owned(), bytes);
        MemDisk::from_contents(&contents)
    };
    let text = String::from_utf8(disk.contents()["meta.properties"].clone()).unwrap();
    let error = refusal(&[&with("meta.properties", text.replace("version=1", "version=2").into_bytes())]);
    assert!(matches!(&error, QueueOpenError::Properties { dir: 0, why } if why.contains('2')), "{error}");
    for garbage in ["", "version=1\n", "version=1\ncluster.id=a\nnode.id=many\n", "\0\u{1}\u{2}"] {
        let error = try_open(&with("meta.properties", garbage.as_bytes().to_vec()));
        if let Err(error) = error {
            assert!(matches!(error, QueueOpenError::Properties { dir: 0, .. }), "{garbage:?}: {error}");
        }
    }
    works(&open(&disk), "orders");
}

/// What is left when the process dies after two topics were made.
fn killed() -> MemDisk {
    let disk = MemDisk::new();
    let queue = with_topic(&disk);
    queue.create_topic("bills", 1, TopicConfig::default()).unwrap();
    works(&queue, "orders");
    works(&queue, "bills");
    drop(queue);
    disk.kill();
    disk
}

/// The same with other bytes in the log of the metadata.
fn with_metadata(disk: &MemDisk, change: impl Fn(&mut Vec<u8>)) -> MemDisk {
    let mut contents = disk.contents();
    change(contents.get_mut(METADATA_LOG).unwrap());
    MemDisk::from_contents(&contents)
}

#[test]
fn a_metadata_log_with_half_a_batch_at_its_end_loses_that_and_nothing_else() {
    let disk = with_metadata(&killed(), |log| {
        let half = log[..50].to_vec();
        log.extend(half);
    });
    let queue = open(&disk);
    assert!(queue.report().metadata.torn.is_some(), "{}", queue.report());
    assert_eq!(queue.topics().unwrap().len(), 2);
    works(&queue, "orders");
    works(&queue, "bills");
}

#[test]
fn a_metadata_log_that_stops_in_the_middle_is_refused_with_what_to_do() {
    let clean = MemDisk::new();
    let queue = with_topic(&clean);
    queue.create_topic("bills", 1, TopicConfig::default()).unwrap();
    assert!(queue.close().is_clean());
    for disk in [killed(), clean] {
        let size = disk.contents()[METADATA_LOG].len();
        let cut = |to: usize| with_metadata(&disk, move |log| log.truncate(to));
        let flipped = |at: usize| with_metadata(&disk, move |log| log[at] ^= 1);
        let emptied = with_metadata(&disk, Vec::clear);
        let mut contents = disk.contents();
        contents.remove(METADATA_LOG);
        let without = MemDisk::from_contents(&contents);
        let damaged = [
            ("cut in a batch", cut(size / 2)),
            ("cut at the end", cut(size - 1)),
            ("a bit in the middle", flipped(size / 2)),
            ("a bit in the first batch", flipped(70)),
            ("a bit in the last batch", flipped(size - 3)),
            ("emptied", emptied),
            ("removed", without),
        ];
        for (what, damaged) in damaged {
            let error = match try_open(&damaged) {
                Ok(queue) => panic!("{what}: {}", queue.report()),
                Err(error) => error,
            };
            assert!(matches!(error, QueueOpenError::MetadataDamaged(_)), "{what}: {error}");
            let text = error.to_string();
            assert!(text.contains("__cluster_metadata-0") && text.contains("put back a copy"), "{what}: {text}");
            // A look has not made it worse: the copy put back, all is there.
            let mut contents = damaged.contents();
            contents.insert(METADATA_LOG.to_owned(), disk.contents()[METADATA_LOG].clone());
            let queue = open(&MemDisk::from_contents(&contents));
            assert_eq!(queue.topics().unwrap().len(), 2, "{what}");
        }
    }
}

#[test]
fn a_lost_metadata_directory_has_its_partitions_taken_over_as_the_error_says() {
    let mut contents = killed().contents();
    contents.retain(|path, _| !path.starts_with("__cluster_metadata-0"));
    let disk = MemDisk::from_contents(&contents);
    let queue = open(&disk);
    assert_eq!(queue.report().adopted.len(), 3, "{}", queue.report());
    let mut consumer = reader(&queue, "bills-0");
    assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
    works(&queue, "orders");
    works(&queue, "bills");
    assert!(queue.close().is_clean());
    let queue = open(&disk);
    assert!(queue.report().is_clean(), "{}", queue.report());
}

#[test]
fn a_directory_that_has_the_metadata_and_is_missing_is_told_and_nothing_is_taken_over() {
    let disks = [MemDisk::new(), MemDisk::new()];
    let queue = Queue::builder().open_on(disks.to_vec()).unwrap();
    queue.create_topic("orders", 4, TopicConfig::default()).unwrap();
    works(&queue, "orders");
    assert!(queue.close().is_clean());
    let second = &disks[1];
    assert!(!second.contents().keys().any(|path| path.starts_with("__cluster_metadata")));
    // It is not given; an empty mount point stands in its place.
    for others in [vec![second], vec![&MemDisk::new(), second]] {
        let error = refusal(&others);
        let QueueOpenError::MetadataMissing(MissingMetadata::Directory { .. }) = error else { panic!("{error}") };
    }
    // The same, where a Kafka has written `meta.properties` and knows nothing of ours.
    let mut contents = second.contents();
    let text = String::from_utf8(contents["meta.properties"].clone()).unwrap();
    let theirs: String = text.lines().filter(|line| !line.contains("ottla")).map(|line| format!("{line}\n")).collect();
    contents.insert("meta.properties".to_owned(), theirs.into_bytes());
    let error = refusal(&[&MemDisk::new(), &MemDisk::from_contents(&contents)]);
    assert!(matches!(error, QueueOpenError::MetadataMissing(MissingMetadata::NewDirectory { dir: 0 })), "{error}");
    let error = refusal(&[&MemDisk::from_contents(&contents)]);
    assert!(matches!(error, QueueOpenError::MetadataMissing(MissingMetadata::Hole { .. })), "{error}");
    assert!(error.to_string().contains("orders-"), "{error}");
    // Nothing is there to be taken over: whoever names the metadata is believed all the same.
    let mut contents = second.contents();
    contents.retain(|path, _| !path.starts_with("orders-"));
    let empty = MemDisk::from_contents(&contents);
    for others in [vec![&empty], vec![&MemDisk::new(), &empty]] {
        let error = refusal(&others);
        let QueueOpenError::MetadataMissing(MissingMetadata::Directory { .. }) = error else { panic!("{error}") };
        assert_eq!(empty.contents(), contents, "nothing was changed");
    }
    // Whoever knows better says so.
    let confirmed = MemDisk::from_contents(&second.contents());
    let queue = Queue::builder().take_over().open_on(vec![confirmed]).unwrap();
    assert_eq!(queue.report().adopted.len(), 2, "{}", queue.report());
    drop(queue);
    // All are back, in another order.
    let queue = Queue::builder().open_on(vec![second.clone(), disks[0].clone()]).unwrap();
    let report = queue.report();
    assert!(report.failed.is_empty() && report.unknown.is_empty() && report.adopted.is_empty(), "{report}");
    assert_eq!((report.partitions.len(), queue.topics().unwrap().len()), (4, 1), "{report}");
    works(&queue, "orders");
}

#[test]
fn one_directory_of_a_kafka_cluster_is_taken_over_with_the_partitions_that_it_has() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    queue.create_topic("orders", 4, TopicConfig::default()).unwrap();
    works(&queue, "orders");
    assert!(queue.close().is_clean());
    let deleted = "orders-1.0123456789abcdef0123456789abcdef-delete/00000000000000000000.log";
    let mut contents = disk.contents();
    contents.retain(|path, _| !path.starts_with("__cluster_metadata") && !path.starts_with("orders-1/"));
    contents.insert(deleted.to_owned(), Vec::new());
    // A queue has had it, and a queue has all partitions: something is missing, and nothing was done.
    let ours = MemDisk::from_contents(&contents);
    let error = refusal(&[&ours]);
    assert!(matches!(error, QueueOpenError::MetadataMissing(MissingMetadata::Hole { .. })), "{error}");
    assert!(ours.contents().contains_key(deleted));
    // Only a Kafka has had it: another node of the cluster has the others.
    contents.retain(|path, _| !path.starts_with("ottla"));
    let theirs = MemDisk::from_contents(&contents);
    let error = refusal(&[&theirs, &MemDisk::new()]);
    assert!(matches!(error, QueueOpenError::MetadataMissing(_)), "{error}");
    assert!(theirs.contents().contains_key(deleted));
    let queue = open(&theirs);
    let report = queue.report();
    assert_eq!((report.adopted.len(), report.deletions_finished), (3, 1), "{report}");
    assert!(!theirs.contents().contains_key(deleted));
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_all_goes_on_when_there_is_room() {
    let disk = MemDisk::new();
    let queue = with_topic(&disk);
    works(&queue, "orders");
    let held: usize = disk.contents().values().map(Vec::len).sum();
    disk.set_capacity(Some(held as u64 + (1 << 20)));
    let config = ProducerConfig::default().delivery_timeout(Duration::from_millis(1500)).linger(Duration::ZERO);
    let producer = queue.producer(config.request_timeout(Duration::from_millis(500))).unwrap();
    let error = (0..100)
        .find_map(|_| producer.send_and_wait(Record::to("orders").partition(1).value(vec![b'x'; 100_000])).err())
        .expect("100 records of 100 kB do not fit in 1 MiB");
    let SendAndWaitError::NotDelivered(told) = &error else { panic!("{error}") };
    let SendError::DiskFull { disk: full, known: Known::NotWritten } = told else { panic!("{told}") };
    assert_eq!((&full.partition, full.directory.as_deref()), (&part("orders-1"), Some("disk 0")));
    assert_eq!(told.to_string(), "the disk of orders-1 in disk 0 is full; they were not written");
    // Who reads goes on.
    let mut consumer = reader(&queue, "orders-0");
    assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
    disk.set_capacity(None);
    works(&queue, "orders");
    let end = queue.offset(&part("orders-1"), OffsetSpec::Latest).unwrap().unwrap().offset;
    let placed = producer.send_and_wait(Record::to("orders").partition(1).value("fits again")).unwrap();
    assert!(placed.offset.unwrap() >= end);
    let closed = queue.close();
    assert!(closed.is_clean(), "{closed}");
}

#[test]
fn a_topic_is_deleted_on_a_full_disk_and_gives_its_space_back() {
    let disk = MemDisk::new();
    let queue = with_topic(&disk);
    works(&queue, "orders");
    // Kafka's files have a line for what was closed.
    assert!(queue.close().is_clean());
    let queue = open(&disk);
    works(&queue, "orders");
    let full = disk.held();
    disk.set_capacity(Some(full));
    queue.delete_topic("orders").unwrap();
    let closed = queue.close();
    assert!(closed.is_clean() && closed.notes.is_empty(), "{closed}");
    assert!(disk.held() < full && disk.contents().keys().all(|name| !name.starts_with("orders")));
}

#[test]
fn a_queue_that_opens_on_a_full_disk_says_which_partitions_it_lacks_and_why() {
    let disk = killed();
    disk.set_capacity(Some(0));
    let queue = open(&disk);
    let report = queue.report();
    assert_eq!(report.failed.len(), 3, "{report}");
    assert!(report.failed.iter().all(|(_, why)| matches!(why, NotOpened::DiskFull(_))), "{report}");
    assert!(report.to_string().contains("orders-0: not opened: the disk of "), "{report}");
    let text = refused(queue.offset(&part("orders-0"), OffsetSpec::Latest), ErrorCode::KafkaStorageError);
    assert!(text.contains("full"), "{text}");
    // There is space for the producer to begin, and the partitions are not here until they are tried again.
    disk.set_capacity(None);
    let config = ProducerConfig::default().linger(Duration::ZERO).retries(0).delivery_timeout(LONG);
    let sent = queue.producer(config.durability(Durability::Written)).unwrap();
    let error = sent.send_and_wait(Record::to("orders").partition(0).value("x")).unwrap_err();
    let SendAndWaitError::NotDelivered(SendError::DiskFull { .. }) = &error else { panic!("{error}") };
    assert!(queue.close().notes.is_empty());
    let queue = open(&disk);
    assert!(queue.report().failed.is_empty(), "{}", queue.report());
    works(&queue, "orders");
    works(&queue, "bills");
}

#[test]
fn what_found_no_space_at_the_opening_is_served_once_there_is_some() {
    let disk = killed();
    disk.set_capacity(Some(0));
    let queue = often(vec![disk.clone()]);
    assert_eq!(queue.report().failed.len(), 3, "{}", queue.report());
    // It is tried again and again meanwhile.
    let hasty = ProducerConfig::default().linger(Duration::ZERO).delivery_timeout(Duration::from_millis(400));
    let hasty = queue.producer(hasty.request_timeout(Duration::from_millis(200))).unwrap();
    let error = hasty.send_and_wait(Record::to("orders").partition(0).value("x")).unwrap_err();
    assert!(matches!(&error, SendAndWaitError::NotDelivered(_)), "{error}");
    disk.set_capacity(None);
    let patient = queue.producer(ProducerConfig::default().linger(Duration::ZERO).delivery_timeout(LONG)).unwrap();
    for (topic, partition) in [("orders", 0), ("orders", 1), ("bills", 0)] {
        patient.send_and_wait(Record::to(topic).partition(partition).value("there is space")).unwrap();
    }
    // What was there before is there, and in front of it.
    let mut consumer = reader(&queue, "orders-0");
    let mut values = Vec::new();
    while values.len() < 2 {
        let records = consumer.poll(LONG).unwrap();
        values.extend(records.iter().map(|record| record.value().unwrap().to_vec()));
    }
    assert_eq!(values, [&b"works"[..], b"there is space"]);
    let closed = queue.close();
    assert!(closed.is_clean() && closed.partitions.len() == 4, "{closed}");
    let queue = open(&disk);
    assert!(queue.report().is_clean(), "{}", queue.report());
    works(&queue, "orders");
}

#[test]
fn a_log_that_found_no_space_at_the_opening_is_opened_once_there_is_some_and_others_work_meanwhile() {
    let (first, second) = (MemDisk::new(), MemDisk::new());
    let queue = Queue::builder().open_on(vec![first.clone(), second.clone()]).unwrap();
    queue.create_topic("orders", 4, TopicConfig::default()).unwrap();
    let sent = producer(&queue);
    for partition in 0..4 {
        sent.send_and_wait(Record::to("orders").partition(partition).value("x")).unwrap();
    }
    drop((sent, queue));
    first.kill();
    second.kill();
    // What has to be written first: whose partition it is.
    for path in second.contents().keys().filter(|path| path.ends_with("partition.metadata")) {
        second.vanish(path).unwrap();
    }
    second.set_capacity(Some(0));
    let queue = often(vec![first.clone(), second.clone()]);
    let report = queue.report();
    assert!(report.failed.len() == 2 && report.partitions.len() == 2, "{report}");
    assert!(report.failed.iter().all(|(_, why)| matches!(why, NotOpened::DiskFull(_))), "{report}");
    let patient = queue.producer(ProducerConfig::default().linger(Duration::ZERO).delivery_timeout(LONG)).unwrap();
    let send = |partition: &TopicPartition| {
        let placed = patient.send_and_wait(Record::to("orders").partition(partition.partition()).value("y")).unwrap();
        assert_eq!(placed.offset, Some(Offset::new(1)), "{partition}");
    };
    report.partitions.iter().for_each(|opened| send(&opened.partition));
    second.set_capacity(None);
    report.failed.iter().for_each(|(partition, _)| send(partition));
    let closed = queue.close();
    assert!(closed.is_clean() && closed.partitions.len() == 5, "{closed}");
    let queue = Queue::builder().open_on(vec![first, second]).unwrap();
    assert!(queue.report().is_clean(), "{}", queue.report());
}

#[test]
fn a_new_partition_that_finds_no_space_is_told_and_made_once_there_is_some() {
    let (first, second) = (MemDisk::new(), MemDisk::new());
    let queue = often(vec![first.clone(), second.clone()]);
    second.set_capacity(Some(0));
    let error = queue.create_topic("orders", 2, TopicConfig::default()).unwrap_err();
    let AdminError::NotOpened { partition: full, why } = &error else { panic!("{error}") };
    assert!(matches!(why.detail, Detail::NotOpened(_)) && error.to_string().contains("is full"), "{error}");
    let hasty = ProducerConfig::default().linger(Duration::ZERO).retries(0);
    let told = queue.producer(hasty).unwrap();
    let told = told.send_and_wait(Record::to("orders").partition(full.partition()).value("x")).unwrap_err();
    let SendAndWaitError::NotDelivered(SendError::DiskFull { disk, .. }) = &told else { panic!("{told}") };
    assert_eq!((&disk.partition, disk.directory.as_deref()), (full, Some("disk 1")));
    let patient = queue.producer(ProducerConfig::default().linger(Duration::ZERO).delivery_timeout(LONG)).unwrap();
    let send = |number| patient.send_and_wait(Record::to("orders").partition(number).value("y")).unwrap();
    send(1 - full.partition());
    let deleted = queue.create_topic("bills", 2, TopicConfig::default());
    assert!(matches!(deleted, Err(AdminError::NotOpened { .. })), "{deleted:?}");
    queue.delete_topic("bills").unwrap();
    second.set_capacity(None);
    assert_eq!(send(full.partition()).offset, Some(Offset::ZERO));
    let closed = queue.close();
    assert!(closed.is_clean() && closed.partitions.len() == 3 && closed.notes.is_empty(), "{closed}");
    let queue = Queue::builder().open_on(vec![first, second]).unwrap();
    assert!(queue.report().is_clean(), "{}", queue.report());
}

/// A queue that looks after what is to be done now and then all the time.
fn often(disks: Vec<MemDisk>) -> Queue {
    Queue::builder().upkeep_interval(Duration::from_millis(1)).open_on(disks).unwrap()
}

#[test]
fn a_full_disk_is_told_at_once_to_who_wants_no_retries_and_others_have_space() {
    let (first, second) = (MemDisk::new(), MemDisk::new());
    let queue = Queue::builder().open_on(vec![first, second.clone()]).unwrap();
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    let is_full = |one: &u32| second.contents().keys().any(|path| path.starts_with(&format!("orders-{one}/")));
    let full = (0..2).find(is_full).unwrap();
    second.set_capacity(Some(0));
    let config = ProducerConfig::default().linger(Duration::ZERO).retries(0);
    let producer = queue.producer(config.durability(Durability::Written)).unwrap();
    let send =
        |partition, bytes| producer.send_and_wait(Record::to("orders").partition(partition).value(vec![b'x'; bytes]));
    let error = (0..100).find_map(|_| send(full, 500_000).err()).expect("there is no space for 50 MB");
    let SendAndWaitError::NotDelivered(SendError::DiskFull { disk, known: Known::NotWritten }) = &error else {
        panic!("{error}");
    };
    assert_eq!((&disk.partition, disk.directory.as_deref()), (&part(&format!("orders-{full}")), Some("disk 1")));
    send(1 - full, 500_000).unwrap();
    second.set_capacity(None);
    // What found no space is tried again now and then: who comes before that is to try again too.
    works(&queue, "orders");
    let patient = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    patient.send_and_wait(Record::to("orders").partition(full).value(vec![b'x'; 500_000])).unwrap();
    assert!(queue.close().is_clean());
}

#[test]
fn a_disk_that_fails_takes_its_partitions_with_it_and_no_others() {
    let (first, second) = (MemDisk::new(), MemDisk::new());
    let queue = Queue::builder().open_on(vec![first, second.clone()]).unwrap();
    queue.create_topic("orders", 4, TopicConfig::default()).unwrap();
    let on_second: Vec<TopicPartition> = (0..4)
        .map(|number| part(&format!("orders-{number}")))
        .filter(|one| second.contents().keys().any(|path| path.starts_with(&format!("{one}/"))))
        .collect();
    assert_eq!(on_second.len(), 2, "half of them are on each disk");
    let broken = DiskErrorKind::Io { code: Some(5), message: "input/output error".to_owned() };
    second.fail_at(second.calls(), broken, Fails::FromThenOn);
    let config = ProducerConfig::default().delivery_timeout(Duration::from_secs(2)).linger(Duration::ZERO);
    let producer = queue.producer(config.request_timeout(Duration::from_millis(500))).unwrap();
    for number in 0..4 {
        let placed = producer.send_and_wait(Record::to("orders").partition(number).value("value"));
        if on_second.contains(&part(&format!("orders-{number}"))) {
            assert!(matches!(placed, Err(SendAndWaitError::NotDelivered(_))), "{placed:?}");
        } else {
            placed.unwrap();
        }
    }
    let closed = queue.close();
    let failed: Vec<_> =
        closed.partitions.iter().filter(|one| one.why.is_some()).map(|one| one.partition.clone()).collect();
    assert_eq!(failed, on_second, "{closed}");
}
