//! The metadata of a queue as snapshots: written now and then, the log in front of them trimmed, and opened from, whatever
//! happens in between.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what fails here fails the test; what is waited for must come within some time of day"
)]

#[path = "support/watched_disk.rs"]
mod watched_disk;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::controller::{LogEnds, Reading, Snapshot, SnapshotId, choose};
use ottla::disk::mem::{Applied, Choice, Keep};
use ottla::disk::{DiskCall, DiskErrorKind, DiskPath, MemDisk};
use ottla::message::{ConfigKey, Durability, TopicConfig};
use ottla::offset::Offset;
use ottla::queue::{ConsumerConfig, ProducerConfig, QueueBuilder, QueueOpenError, Record};

use watched_disk::{Watch, Watched};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);
const METADATA: &str = "__cluster_metadata-0/";

/// After so many bytes of metadata there is a snapshot: that of two or three topics.
const BYTES: u64 = 600;

fn builder() -> QueueBuilder {
    Queue::builder()
        .upkeep_interval(Duration::from_millis(1))
        .metadata_snapshot_bytes(NonZeroU64::new(BYTES).unwrap())
        .metadata_snapshot_interval(Duration::from_secs(3_600))
}

fn open(disk: &MemDisk) -> Queue {
    builder().open_on(vec![disk.clone()]).unwrap()
}

/// One that writes no snapshots.
fn look(disk: &MemDisk) -> Queue {
    try_look(disk).unwrap()
}

fn try_look(disk: &MemDisk) -> Result<Queue, QueueOpenError> {
    Queue::builder().open_on(vec![disk.clone()])
}

fn create(queue: &Queue, name: &str, max_message_bytes: u32) {
    queue.create_topic(name, 1, TopicConfig::default().with_max_message_bytes(max_message_bytes)).unwrap();
}

/// Each topic with its id and what it was configured to be.
fn told(queue: &Queue) -> BTreeMap<String, (String, String)> {
    let topics = queue.topics().unwrap();
    let config = |name| {
        let entries = queue.describe_config(name).unwrap();
        entries.into_iter().find(|entry| entry.key == ConfigKey::MaxMessageBytes).unwrap().value
    };
    topics.iter().map(|one| (one.name.to_string(), (one.id.to_string(), config(one.name.as_str())))).collect()
}

fn files(disk: &MemDisk) -> Vec<String> {
    let contents = disk.contents();
    contents.keys().filter_map(|path| path.strip_prefix(METADATA)).map(str::to_owned).collect()
}

/// The snapshots that are there, oldest first.
fn snapshots(disk: &MemDisk) -> Vec<SnapshotId> {
    files(disk).iter().filter_map(|name| SnapshotId::parse(name)).collect()
}

/// The bases of the log's segments.
fn bases(disk: &MemDisk) -> Vec<u64> {
    files(disk).iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect()
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        std::thread::yield_now();
    }
}

/// Makes topics until the log is trimmed `times`; answers how many it took.
fn until_trimmed(disk: &MemDisk, queue: &Queue, times: usize) -> u32 {
    let mut count = 0;
    for _ in 0..times {
        let before = bases(disk)[0];
        while bases(disk)[0] == before {
            let newest = snapshots(disk).last().copied();
            for _ in 0..6 {
                create(queue, &format!("topic-{count}"), 100_000 + count);
                count += 1;
            }
            wait_until("another snapshot", || snapshots(disk).last().copied() > newest);
        }
    }
    count
}

/// What the newest snapshot and the log behind it are read from.
fn reading(disk: &MemDisk) -> Reading {
    let (start, end) = (bases(disk)[0], bases(disk).last().unwrap() + 1);
    let ends = LogEnds {
        log_start_offset: Offset::new(start),
        log_end_offset: Offset::new(end.max(snapshots(disk).last().map_or(0, |id| id.end.get()))),
        last_epoch: snapshots(disk).last().map(|id| id.epoch),
    };
    choose(snapshots(disk), ends).unwrap()
}

#[test]
fn the_log_of_the_metadata_is_trimmed_behind_two_snapshots_and_both_lives_see_the_same() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    let count = until_trimmed(&disk, &queue, 3);
    let expected = told(&queue);
    assert_eq!(expected.len(), count as usize);
    assert!(queue.close().is_clean());
    let kept = snapshots(&disk);
    assert_eq!(kept.len(), 2, "{:?}", files(&disk));
    assert!(bases(&disk)[0] > 0 && bases(&disk)[0] <= kept[0].end.get(), "{:?}", files(&disk));
    assert_eq!(reading(&disk), Reading::Behind(kept[1]));
    assert!(files(&disk).iter().all(|name| !name.contains(".part")), "{:?}", files(&disk));

    let queue = look(&disk);
    assert!(queue.report().is_clean(), "{}", queue.report());
    assert_eq!(told(&queue), expected);
    // It goes on behind them, in the same numbers.
    create(&queue, "later", 77_777);
    let expected = told(&queue);
    drop(queue);
    assert_eq!(told(&look(&disk)), expected);
}

#[test]
fn what_the_metadata_takes_of_the_disk_is_bounded_however_long_a_queue_works() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    let of_log = || -> usize {
        let contents = disk.contents();
        contents
            .iter()
            .filter(|(path, _)| path.starts_with(METADATA) && path.ends_with(".log"))
            .map(|(_, it)| it.len())
            .sum()
    };
    let mut most = 0;
    for _ in 0..40 {
        let newest = snapshots(&disk).last().copied();
        for _ in 0..4 {
            queue.create_topic("passing", 1, TopicConfig::default()).unwrap();
            queue.delete_topic("passing").unwrap();
        }
        wait_until("another snapshot", || snapshots(&disk).last().copied() > newest);
        most = most.max(of_log());
    }
    let appended = 160 * 300;
    assert!(most < appended / 6, "{most} bytes of {appended} and more");
    assert!(queue.close().is_clean());
    assert!(told(&look(&disk)).is_empty());
}

#[test]
fn a_snapshot_is_written_after_some_time_too_and_only_if_there_is_anything_new() {
    let disk = MemDisk::new();
    let often = || builder().metadata_snapshot_bytes(NonZeroU64::MAX).metadata_snapshot_interval(Duration::ZERO);
    let queue = often().open_on(vec![disk.clone()]).unwrap();
    create(&queue, "orders", 70_000);
    let end = |disk: &MemDisk| snapshots(disk).last().map_or(0, |id| id.end.get());
    wait_until("a snapshot", || end(&disk) > 0);
    // Of what the opening has written there may have been one already.
    let expected = told(&queue);
    assert!(queue.close().is_clean());
    let before = snapshots(&disk);
    let queue = often().open_on(vec![disk.clone()]).unwrap();
    create(&queue, "more", 70_001);
    wait_until("another", || end(&disk) > before.last().unwrap().end.get());
    assert_eq!(told(&queue).len(), expected.len() + 1);
    drop(queue);
    assert_eq!(told(&look(&disk)).len(), expected.len() + 1);
}

#[test]
fn a_broken_snapshot_is_passed_over_where_the_one_before_and_the_log_have_it_all() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    until_trimmed(&disk, &queue, 1);
    let expected = told(&queue);
    assert!(queue.close().is_clean());
    let kept = snapshots(&disk);
    let newest = format!("{METADATA}{}", kept[1]);
    let bytes = disk.contents()[&newest].clone();
    let cut_in_half = bytes[..bytes.len() / 2].to_vec();
    let mut turned = bytes.clone();
    turned[bytes.len() / 2] ^= 1;
    // A footer is a batch of its own: without it all others are whole.
    let without_footer = bytes[..bytes.len() - 75].to_vec();
    let is_whole = Snapshot::parse(&without_footer.clone().into());
    assert_eq!(is_whole.unwrap().ending, ottla::controller::Ending::Missing);
    for broken in [Vec::new(), cut_in_half, turned, without_footer] {
        let disk = disk.copy();
        disk.put(&newest, broken.clone()).unwrap();
        let queue = look(&disk);
        assert_eq!(told(&queue), expected);
        let passed_over: Vec<_> = queue.report().snapshots_unreadable.iter().map(|(id, _)| *id).collect();
        assert_eq!((passed_over, queue.report().is_clean()), (vec![kept[1]], false), "{}", queue.report());
        assert!(queue.close().is_clean());
        // It was moved aside, so that nobody, Kafka either, takes it for one.
        assert_eq!(snapshots(&disk), kept[..1]);
        assert_eq!(disk.contents()[&format!("{newest}.unreadable")], broken);
        // What is written next trims nothing that the one before the broken one does not stand for.
        let queue = open(&disk);
        assert!(queue.report().is_clean(), "{}", queue.report());
        let more = until_trimmed_again(&disk, &queue, expected.len());
        assert!(queue.close().is_clean());
        assert_eq!(told(&look(&disk)).len(), more);
    }
}

#[test]
fn a_snapshot_without_its_end_that_nothing_stands_in_for_is_told_and_no_other_takes_its_place() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    until_trimmed(&disk, &queue, 1);
    assert!(queue.close().is_clean());
    let [older, newer] = snapshots(&disk)[..] else { panic!("{:?}", snapshots(&disk)) };
    disk.vanish(&format!("{METADATA}{older}")).unwrap();
    let path = format!("{METADATA}{newer}");
    let bytes = disk.contents()[&path].clone();
    disk.put(&path, bytes[..bytes.len() - 75].to_vec()).unwrap();
    let (queue, before) = (open(&disk), bases(&disk));
    assert_eq!((queue.report().snapshot_cut_short, queue.report().is_clean()), (Some(newer), false));
    assert!(queue.report().to_string().contains("without its end"), "{}", queue.report());
    (0..20).for_each(|number| create(&queue, &format!("more-{number}"), 50_000));
    assert!(queue.close().is_clean());
    assert_eq!((snapshots(&disk), bases(&disk)[0]), (vec![newer], before[0]));
}

/// Makes topics until there are two snapshots later than those there were.
fn until_trimmed_again(disk: &MemDisk, queue: &Queue, count: usize) -> usize {
    let (mut count, before) = (count, snapshots(disk).last().copied());
    while snapshots(disk).iter().filter(|id| Some(**id) > before).count() < 2 {
        create(queue, &format!("more-{count}"), 50_000);
        count += 1;
    }
    count
}

#[test]
fn where_no_snapshot_reaches_the_log_the_opening_is_refused_and_changes_nothing() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    until_trimmed(&disk, &queue, 1);
    assert!(queue.close().is_clean());
    let kept = snapshots(&disk);
    for id in &kept {
        disk.put(&format!("{METADATA}{id}"), *b"no snapshot").unwrap();
    }
    let before = disk.contents();
    let error = try_look(&disk).unwrap_err();
    assert!(matches!(&error, QueueOpenError::Snapshot { file, .. } if *file == kept[1].to_string()), "{error}");
    let changed: Vec<_> = before.iter().filter(|(path, bytes)| disk.contents().get(*path) != Some(bytes)).collect();
    // The mark that all was closed is gone, as at every opening.
    assert!(changed.iter().all(|(path, _)| !path.contains('/')), "{changed:?}");
    // Without any it is the log that does not fit.
    for id in &kept {
        disk.vanish(&format!("{METADATA}{id}")).unwrap();
    }
    assert!(matches!(try_look(&disk), Err(QueueOpenError::Choose(_))));
}

#[test]
fn a_broken_snapshot_that_the_log_does_not_reach_is_refused() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    create(&queue, "orders", 70_000);
    assert!(queue.close().is_clean());
    // It stands for more than the log has, and nobody can read it.
    let id = SnapshotId { end: Offset::new(1_000), epoch: ottla::epoch::LeaderEpoch::new(9) };
    disk.put(&format!("{METADATA}{id}"), *b"no snapshot").unwrap();
    let log = format!("{METADATA}{:020}.log", 0);
    let before = disk.contents()[&log].clone();
    assert!(matches!(try_look(&disk), Err(QueueOpenError::Snapshot { .. })));
    assert_eq!(disk.contents()[&log], before, "what is there was not given up");
}

#[test]
fn a_snapshot_that_finds_no_space_is_told_and_tried_again_and_nobody_else_suffers() {
    let disk: Watched<FullForSnapshots> = Watched::default();
    disk.watch.is_full.store(true, SeqCst);
    let queue = builder().open_on(vec![disk.clone()]).unwrap();
    for number in 0..20 {
        create(&queue, &format!("topic-{number}"), 70_000);
    }
    wait_until("it is tried", || disk.watch.refused.load(SeqCst));
    let producer = queue.producer(ProducerConfig::default().durability(Durability::Flushed)).unwrap();
    producer.send_and_wait(Record::to("topic-0").value("on it goes")).unwrap();
    assert_eq!((snapshots(&disk.disk).len(), bases(&disk.disk)), (0, vec![0]));
    disk.watch.is_full.store(false, SeqCst);
    wait_until("it is tried again", || !snapshots(&disk.disk).is_empty());
    drop(producer);
    let closed = queue.close();
    assert!(closed.is_clean() && !closed.notes.snapshots_failed.is_empty(), "{closed}");
    assert!(closed.to_string().contains("could not be written as snapshot"), "{closed}");
    assert_eq!(told(&look(&disk.disk)).len(), 20);
}

#[test]
fn whenever_the_power_goes_while_snapshots_come_and_go_the_topics_are_those_that_were_acknowledged() {
    // On the way from one snapshot to the third, so that all is in it: the first, the second with its trimming, the third.
    let whole = MemDisk::new();
    let begun = whole.calls();
    let (acknowledged, last) = lives(&whole);
    assert_eq!((acknowledged.len() as u64, last), (ROUNDS, None));
    assert!(bases(&whole)[0] > 0, "{:?}", files(&whole));
    let calls = whole.calls() - begun;
    for moment in 0..MOMENTS {
        let call = moment * calls / MOMENTS + moment * 5 % (calls / MOMENTS).max(1);
        let disk = MemDisk::new();
        disk.stop_at(call, [Applied::Before, Applied::After, Applied::Partly(7)][moment as usize % 3]);
        let (acknowledged, last) = lives(&disk);
        let seed = moment.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let random = Choice { data: Keep::Random(seed), names: Keep::Random(seed >> 7), ..Choice::nothing() };
        for choice in [Choice::everything(), Choice::nothing(), random] {
            let image = disk.image(&choice);
            let what = format!("call {call}, {choice:?}, {:?}", files(&image));
            let queue = try_look(&image).unwrap_or_else(|error| panic!("{what}: {error}"));
            let mut found: Vec<String> = told(&queue).into_keys().collect();
            found.retain(|name| Some(name) != last.as_ref());
            let mut expected: Vec<&String> = acknowledged.iter().filter(|name| Some(*name) != last.as_ref()).collect();
            expected.sort();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{what}");
            assert!(queue.report().unknown.is_empty(), "{what}: {}", queue.report());
        }
    }
}

/// How many topics are made, and at how many moments the power goes meanwhile.
const ROUNDS: u64 = 24;
const MOMENTS: u64 = 60;

/// Makes topics, every second of which is deleted again. Answers those that were acknowledged and are not deleted, and the one
/// that was on its way when the disk stopped.
fn lives(disk: &MemDisk) -> (Vec<String>, Option<String>) {
    let mut there = Vec::new();
    let Ok(queue) = builder().open_on(vec![disk.clone()]) else { return (there, None) };
    for number in 0..ROUNDS {
        let (stays, goes) = (format!("stays-{number}"), format!("goes-{number}"));
        for name in [&stays, &goes] {
            if queue.create_topic(name, 1, TopicConfig::default()).is_err() {
                return (there, Some(name.clone()));
            }
            there.push(name.clone());
        }
        if queue.delete_topic(&goes).is_err() {
            return (there, Some(goes));
        }
        there.pop();
    }
    wait_until("the log is trimmed", || bases(disk).first().is_some_and(|base| *base > 0) || disk.is_stopped());
    let _ = queue.close();
    (there, None)
}

#[test]
fn records_and_groups_are_where_they_were_after_the_metadata_was_trimmed() {
    let disk = MemDisk::new();
    let queue = open(&disk);
    create(&queue, "orders", 70_000);
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    producer.send_and_wait(Record::to("orders").value("first")).unwrap();
    until_trimmed(&disk, &queue, 2);
    producer.send_and_wait(Record::to("orders").value("second")).unwrap();
    drop((producer, queue));
    let queue = open(&disk);
    // A producer of this life has an id that none had before.
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    producer.send_and_wait(Record::to("orders").value("third")).unwrap();
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let mut found = Vec::new();
    while found.len() < 3 {
        let records = consumer.poll(LONG).unwrap();
        assert!(!records.is_empty(), "{found:?}");
        found.extend(records.iter().map(|record| String::from_utf8_lossy(record.value().unwrap()).into_owned()));
    }
    assert_eq!(found, ["first", "second", "third"]);
}

/// A disk on which snapshots find no space, for as long as one likes.
#[derive(Debug, Default)]
struct FullForSnapshots {
    is_full: AtomicBool,
    refused: AtomicBool,
}

impl Watch for FullForSnapshots {
    fn before(&self, call: DiskCall, path: &DiskPath) -> Result<(), DiskErrorKind> {
        let is_snapshot = call == DiskCall::Open && path.to_string().contains(".checkpoint.part");
        if !is_snapshot || !self.is_full.load(SeqCst) {
            return Ok(());
        }
        self.refused.store(true, SeqCst);
        Err(DiskErrorKind::NoSpace)
    }
}
