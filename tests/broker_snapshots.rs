//! One node that is its own controller, driven by hand: its metadata is written as a snapshot when one is due, and then the log
//! in front of the one before it goes.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "broker/hand.rs"]
#[expect(unreachable_pub, reason = "a test has no outside")]
#[expect(dead_code, reason = "another test uses the rest")]
mod hand;

use hand::{DATE, Hand, at};
use ottla::broker::{Input, SnapshotJob};
use ottla::controller::{Snapshot, SnapshotRules, Snapshots};
use ottla::id::TopicName;
use ottla::message::{CreateTopics, DeleteTopics, NewTopic, Request, TopicRef, Trial};
use ottla::offset::Offset;
use ottla::partition::StopReason;

const METADATA: &str = "__cluster_metadata-0";
const RULES: SnapshotRules = SnapshotRules { bytes: 200, age_ms: 1_000 };

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn create(hand: &mut Hand, topic: &str) {
    let topics = vec![NewTopic::new(name(topic)).partitions(1)];
    hand.ask(Request::CreateTopics(CreateTopics { topics, timeout_ms: 0, trial: Trial::Do }));
    hand.open_all();
}

fn delete(hand: &mut Hand, topic: &str) {
    hand.ask(Request::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name(name(topic))], timeout_ms: 0 }));
    hand.work();
}

/// A node that writes snapshots from now on; nothing of it is due yet.
fn begun() -> Hand {
    let mut hand = Hand::controlling();
    hand.give(Input::WriteSnapshots(Box::new(Snapshots::new(RULES, None))));
    hand
}

/// The snapshot that is due now, if one is.
fn due(hand: &mut Hand) -> Option<SnapshotJob> {
    hand.give(Input::Upkeep { partition: at(METADATA), date: DATE });
    assert!(hand.snapshots.len() < 2);
    hand.snapshots.pop()
}

fn written(hand: &mut Hand) {
    hand.give(Input::Snapshotted { date: DATE });
    hand.work();
}

fn log_start(hand: &Hand) -> Offset {
    hand.broker.partition(&at(METADATA)).unwrap().log().log_start_offset()
}

#[test]
fn a_snapshot_has_all_that_is_committed_and_the_log_goes_behind_two_of_them() {
    let mut hand = begun();
    let mut ends = Vec::new();
    for topic in ["a", "b", "c", "d"] {
        create(&mut hand, topic);
        create(&mut hand, &format!("{topic}-too"));
        let job = due(&mut hand).unwrap();
        assert_eq!((&job.image, job.id.end), (hand.broker.image().unwrap(), hand.broker.metadata_end()));
        assert_eq!(job.before.map(|id| id.end), ends.last().copied());
        let bytes = Snapshot::write(&job.image, job.id.epoch, job.last_contained_log_timestamp).unwrap();
        assert_eq!(Snapshot::parse(&bytes).unwrap().image().as_ref(), Ok(&job.image));
        // Until it is written nothing goes, and no other is begun.
        let before = log_start(&hand);
        assert!(due(&mut hand).is_none());
        assert_eq!(log_start(&hand), before);
        written(&mut hand);
        assert_eq!(log_start(&hand), ends.last().copied().unwrap_or(Offset::ZERO));
        ends.push(job.id.end);
        assert!(due(&mut hand).is_none(), "there is nothing new");
    }
    // What goes are whole segments: each begins where a snapshot ended.
    let log = hand.broker.partition(&at(METADATA)).unwrap().log();
    let bases: Vec<Offset> = log.segments().map(|segment| segment.base_offset).collect();
    assert_eq!(bases, ends[ends.len() - 2..]);
}

#[test]
fn a_snapshot_is_due_by_bytes_or_by_age_at_the_upkeep_of_the_metadata_alone() {
    let mut hand = begun();
    let rules = SnapshotRules { bytes: u64::MAX, age_ms: 1_000 };
    hand.give(Input::WriteSnapshots(Box::new(Snapshots::new(rules, None))));
    create(&mut hand, "orders");
    assert!(due(&mut hand).is_none());
    hand.pass(999);
    assert!(due(&mut hand).is_none());
    hand.pass(1);
    hand.give(Input::Upkeep { partition: at("orders-0"), date: DATE });
    assert!(hand.snapshots.is_empty());
    assert!(due(&mut hand).is_some());
}

#[test]
fn one_that_could_not_be_written_is_due_again_with_all_that_has_come_since() {
    let mut hand = begun();
    create(&mut hand, "a");
    create(&mut hand, "b");
    let first = due(&mut hand).unwrap();
    hand.give(Input::NotSnapshotted);
    create(&mut hand, "c");
    let again = due(&mut hand).unwrap();
    assert!(again.id > first.id && again.image.topic(&name("c")).is_some() && again.before.is_none());
    written(&mut hand);
    assert_eq!(log_start(&hand), Offset::ZERO, "only one stands for it");
}

#[test]
fn none_is_begun_while_files_of_a_deleted_topic_may_be_left() {
    let mut hand = begun();
    create(&mut hand, "a");
    create(&mut hand, "b");
    delete(&mut hand, "a");
    assert_eq!(hand.deleted, [at("a-0")]);
    assert!(due(&mut hand).is_none(), "its files are there, and a snapshot says nothing of them");
    hand.give(Input::Release(at("a-0")));
    assert!(due(&mut hand).is_some());
    hand.give(Input::NotSnapshotted);
    // Where they could not be removed it is for the next opening to do so, which the log tells.
    hand.give(Input::FilesLeft);
    assert!(due(&mut hand).is_none());
}

#[test]
fn none_is_begun_of_metadata_that_is_closed_and_one_that_is_under_way_then_changes_nothing() {
    let mut hand = begun();
    create(&mut hand, "a");
    create(&mut hand, "b");
    hand.give(Input::Stop { partition: at(METADATA), reason: StopReason::Closed });
    hand.work();
    assert!(due(&mut hand).is_none());
    let mut hand = begun();
    create(&mut hand, "a");
    create(&mut hand, "b");
    assert!(due(&mut hand).is_some());
    hand.give(Input::Stop { partition: at(METADATA), reason: StopReason::Closed });
    hand.work();
    let segments = |hand: &Hand| hand.broker.partition(&at(METADATA)).unwrap().log().segments().count();
    let before = segments(&hand);
    written(&mut hand);
    assert_eq!((segments(&hand), hand.wishes.len()), (before, 0));
}
