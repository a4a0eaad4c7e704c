//! One node that coordinates groups, driven by hand: what they commit is appended, committed, replayed, and read again.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "broker/hand.rs"]
#[expect(unreachable_pub, reason = "a test has no outside")]
#[expect(dead_code, reason = "another test uses the rest")]
mod hand;

use hand::{DATE, Hand, at, produce};
use ottla::broker::{DiskReport, DiskWish, Input, RequestId};
use ottla::coordinator::offsets::{GroupPartition, OffsetValue, partition_of_group};
use ottla::disk::{LogFile, MemDisk, OpenOptions};
use ottla::epoch::Generation;
use ottla::id::{GroupId, MemberId, TopicName, TopicPartition};
use ottla::log::{Cleanup, Effect, LogConfig};
use ottla::message::{
    Acks, CommitPartition, Committed, CreateTopics, DeleteBefore, DeleteRecords, DeleteTopics, DescribeTopics,
    Durability, ErrorCode, Membership, NewTopic, OffsetCommit, OffsetFetch, Pending, Request, RequestError, Response,
    TopicRef, Trial,
};
use ottla::offset::Offset;
use ottla::record::{Batch, BatchBuilder, Checked, Codec, NewRecord};
use ottla::time::Timestamp;

const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;

fn group(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

/// The partition of the offsets that has a group, on a node of its own.
fn offsets_of(name: &str) -> TopicPartition {
    let number = partition_of_group(&group(name), 4.try_into().unwrap());
    at(&format!("__consumer_offsets-{number}"))
}

fn commit(of: &str, parts: &[(&str, u64)]) -> OffsetCommit {
    let part = |(partition, offset): &(&str, u64)| CommitPartition {
        partition: at(partition),
        committed: Committed::at(Offset::new(*offset)),
    };
    OffsetCommit { group: group(of), member: None, partitions: parts.iter().map(part).collect() }
}

fn asks(of: &str, partitions: Option<&[&str]>) -> Request<Checked> {
    let partitions = partitions.map(|names| names.iter().map(|name| at(name)).collect());
    Request::OffsetFetch(OffsetFetch { group: group(of), partitions, pending: Pending::Ignore })
}

fn create(hand: &mut Hand, topic: &str, partitions: u32) {
    let topics = vec![NewTopic::new(name(topic)).partitions(partitions)];
    hand.ask(Request::CreateTopics(CreateTopics { topics, timeout_ms: 0, trial: Trial::Do }));
    hand.open_all();
}

fn delete(hand: &mut Hand, topic: &str) {
    hand.ask(Request::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name(name(topic))], timeout_ms: 0 }));
    hand.work();
    for partition in std::mem::take(&mut hand.deleted) {
        hand.give(Input::Release(partition));
    }
}

fn codes(hand: &mut Hand, id: RequestId) -> Vec<Option<ErrorCode>> {
    let Response::OffsetCommit(answers) = hand.answer(id) else { panic!("not a commit") };
    answers.into_iter().map(|answer| answer.result.err().map(|error| error.code)).collect()
}

fn commits(hand: &mut Hand, commit: OffsetCommit) -> Vec<Option<ErrorCode>> {
    let id = hand.ask(Request::OffsetCommit(commit));
    hand.open_all();
    codes(hand, id)
}

/// How far a group has come, wherever it has committed something.
fn all_of(hand: &mut Hand, of: &str) -> Result<Vec<(String, Option<u64>)>, ErrorCode> {
    fetched(hand, asks(of, None))
}

fn fetched(hand: &mut Hand, request: Request<Checked>) -> Result<Vec<(String, Option<u64>)>, ErrorCode> {
    let Response::OffsetFetch(answers) = hand.answer_now(request) else { panic!("not a fetch of offsets") };
    let answers = answers.map_err(|error| error.code)?;
    let offset = |committed: Option<Committed>| committed.map(|committed| committed.offset.get());
    Ok(answers.into_iter().map(|answer| (answer.of.to_string(), offset(answer.result.unwrap()))).collect())
}

fn one(partition: &str, offset: u64) -> Vec<(String, Option<u64>)> {
    vec![(partition.to_owned(), Some(offset))]
}

/// A node with a topic `orders` of two partitions.
fn with_orders() -> Hand {
    let mut hand = Hand::controlling();
    create(&mut hand, "orders", 2);
    hand
}

/// The same, where a group `g` has come to 5 in the first of them.
fn with_a_commit() -> Hand {
    let mut hand = with_orders();
    assert_eq!(commits(&mut hand, commit("g", &[("orders-0", 5)])), [None]);
    hand
}

fn compacted() -> LogConfig {
    LogConfig { cleanup: Cleanup::Compact, ..LogConfig::default() }
}

#[test]
fn the_first_commit_makes_the_topic_as_kafka_does_and_is_answered_when_it_is_committed() {
    let mut hand = with_orders();
    assert_eq!(fetched(&mut hand, asks("g", Some(&["orders-0"]))), Ok(vec![("orders-0".to_owned(), None)]));
    let id = hand.ask(Request::OffsetCommit(commit("g", &[("orders-0", 5), ("orders-1", 7)])));
    let other = hand.ask(Request::OffsetCommit(commit("h", &[("orders-0", 1)])));
    hand.work();
    assert!(!hand.answers.contains_key(&id), "the partitions are not there yet");
    assert_eq!(hand.openings.len(), 4);
    let log = &hand.openings[0].log;
    assert_eq!((log.cleanup, log.segment_bytes), (Cleanup::Compact, 104_857_600));
    hand.open_all();
    assert_eq!((codes(&mut hand, id), codes(&mut hand, other)), (vec![None, None], vec![None]));
    let both = vec![("orders-0".to_owned(), Some(5)), ("orders-1".to_owned(), Some(7))];
    assert_eq!(all_of(&mut hand, "g"), Ok(both));
    assert_eq!(all_of(&mut hand, "h"), Ok(one("orders-0", 1)));
    assert_eq!(all_of(&mut hand, "nobody"), Ok(Vec::new()));
}

#[test]
fn nobody_sees_a_commit_before_it_is_committed() {
    let mut hand = with_a_commit();
    let id = hand.ask(Request::OffsetCommit(commit("g", &[("orders-0", 9)])));
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 5)));
    assert!(!hand.answers.contains_key(&id));
    hand.work();
    assert_eq!(codes(&mut hand, id), [None]);
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 9)));
}

#[test]
fn the_last_commit_counts_also_if_it_goes_back() {
    let mut hand = with_a_commit();
    for offset in [9, 2] {
        assert_eq!(commits(&mut hand, commit("g", &[("orders-0", offset)])), [None]);
    }
    assert_eq!(commits(&mut hand, commit("g", &[("orders-0", 3), ("orders-0", 4)])), [None, None]);
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 4)));
}

#[test]
fn off_01_metadata_that_is_too_long_and_partitions_that_are_not_there_are_refused_alone() {
    let mut hand = with_orders();
    let mut asked = commit("g", &[("orders-0", 1), ("orders-1", 2), ("orders-2", 3), ("nothing-0", 4)]);
    asked.partitions[0].committed.metadata = "x".repeat(4096);
    asked.partitions[1].committed.metadata = "x".repeat(4097);
    let unknown = Some(ErrorCode::UnknownTopicOrPartition);
    let expected = [None, Some(ErrorCode::OffsetMetadataTooLarge), unknown, unknown];
    assert_eq!(commits(&mut hand, asked), expected);
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 1)));
}

#[test]
fn a_commit_of_nothing_is_answered() {
    let mut hand = with_orders();
    assert_eq!(commits(&mut hand, commit("g", &[])), []);
    assert_eq!(commits(&mut hand, commit("g", &[])), []);
}

#[test]
fn off_02_a_member_of_a_group_that_has_none_is_refused_and_nothing_has_changed() {
    let mut hand = with_a_commit();
    let as_member = |of: &str| {
        let member =
            Some(Membership { member: MemberId::new("m").unwrap(), generation: Generation::from_i32(1).unwrap() });
        OffsetCommit { member, ..commit(of, &[("orders-0", 9)]) }
    };
    assert_eq!(commits(&mut hand, as_member("g")), [Some(ErrorCode::UnknownMemberId)]);
    assert_eq!(commits(&mut hand, as_member("nobody")), [Some(ErrorCode::GroupIdNotFound)]);
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 5)));
}

#[test]
fn two_groups_in_one_partition_keep_to_themselves_and_survive_closing_and_opening() {
    let mut hand = with_orders();
    let names: Vec<String> = (0..100).map(|number| format!("g{number}")).collect();
    let there = offsets_of(&names[0]);
    let other = names[1..].iter().find(|name| offsets_of(name) == there).unwrap();
    for (name, offset) in [(&names[0], 1), (other, 2), (&names[0], 3)] {
        assert_eq!(commits(&mut hand, commit(name, &[("orders-0", offset)])), [None]);
    }
    hand.close(&there.to_string());
    assert_eq!(all_of(&mut hand, other), Err(ErrorCode::CoordinatorNotAvailable));
    hand.host(&there.to_string(), compacted());
    assert_eq!(all_of(&mut hand, other), Err(ErrorCode::CoordinatorLoadInProgress));
    let early = hand.ask(Request::OffsetCommit(commit(other, &[("orders-0", 9)])));
    assert_eq!(codes(&mut hand, early), [Some(ErrorCode::CoordinatorLoadInProgress)]);
    hand.work();
    assert_eq!(all_of(&mut hand, &names[0]), Ok(one("orders-0", 3)));
    assert_eq!(all_of(&mut hand, other), Ok(one("orders-0", 2)));
    assert_eq!(hand.skipped, []);
}

/// A batch that says how far a group has come.
fn record(of: &str, partition: &str, offset: u64) -> Batch {
    let of = GroupPartition { group: group(of), partition: at(partition) };
    let committed = Committed::at(Offset::new(offset));
    let value = OffsetValue { committed, commit_timestamp: DATE, expire_timestamp: None, topic_id: None };
    let mut batch = BatchBuilder::new(Codec::None);
    let (key, value) = (of.to_key().unwrap(), value.to_bytes().unwrap());
    batch.push(&NewRecord::new(DATE, Some(&key), Some(&value))).unwrap();
    batch.build().unwrap()
}

#[test]
fn a_log_that_was_compacted_is_read_piece_by_piece_past_what_is_gone() {
    let disk = MemDisk::new();
    let options = OpenOptions { config: compacted(), ..OpenOptions::default() };
    let (mut log, _) = LogFile::open(disk.clone(), &offsets_of("g"), options, DATE).unwrap();
    // More than one piece has room for, one segment of which nothing is left, and a last one that is not compacted.
    for round in 1..=2 {
        for number in 0..5_000 {
            log.append(DATE, &record("g", &format!("orders-{number}"), round)).unwrap();
        }
        log.roll(DATE).unwrap();
    }
    log.append(DATE, &record("g", "orders-7", 3)).unwrap();
    assert!(log.compact(DATE).unwrap().range.is_some());
    drop(log.close().unwrap());

    let mut hand = Hand::controlling_on(disk);
    create(&mut hand, "orders", 2);
    let id = hand.ask(Request::OffsetCommit(commit("g", &[("orders-0", 9)])));
    hand.work();
    let openings = std::mem::take(&mut hand.openings);
    openings.into_iter().for_each(|opening| hand.host(&opening.partition.to_string(), opening.log));
    assert_eq!(codes(&mut hand, id), [Some(ErrorCode::CoordinatorLoadInProgress)]);
    let mut pieces = 0;
    while hand.step() || hand.load() {
        pieces += u32::from(hand.wishes.is_empty());
    }
    assert!(pieces > 2, "{pieces}");
    let all = all_of(&mut hand, "g").unwrap();
    assert_eq!((all.len(), hand.skipped.len()), (5_000, 0));
    assert!(all.iter().all(|(at, offset)| *offset == Some(if at == "orders-7" { 3 } else { 2 })));
}

#[test]
fn a_piece_whose_file_has_gone_is_planned_again() {
    let mut hand = with_a_commit();
    let there = offsets_of("g").to_string();
    hand.close(&there);
    hand.host(&there, compacted());
    let (waiter, ..) = hand.loads.pop_front().unwrap();
    hand.give(Input::LoadAgain { waiter });
    assert_eq!(all_of(&mut hand, "g"), Err(ErrorCode::CoordinatorLoadInProgress));
    let again = hand.loads.front().map(|(again, ..)| *again).unwrap();
    assert_ne!(again, waiter);
    hand.give(Input::Loaded { waiter, entries: Vec::new(), next: None });
    hand.work();
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 5)));
}

#[test]
fn a_piece_that_was_read_for_an_earlier_opening_is_not_taken() {
    let mut hand = with_a_commit();
    let there = offsets_of("g").to_string();
    hand.close(&there);
    hand.host(&there, compacted());
    let (waiter, ..) = hand.loads.pop_front().unwrap();
    hand.close(&there);
    hand.host(&there, compacted());
    hand.give(Input::Loaded { waiter, entries: Vec::new(), next: None });
    hand.give(Input::NotLoaded { waiter, why: "the disk is gone".to_owned() });
    assert_eq!(all_of(&mut hand, "g"), Err(ErrorCode::CoordinatorLoadInProgress));
    hand.work();
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 5)));
}

#[test]
fn what_cannot_be_read_is_told_and_what_is_behind_it_counts() {
    let mut hand = with_a_commit();
    assert_eq!(commits(&mut hand, commit("g", &[("orders-1", 6)])), [None]);
    let there = offsets_of("g").to_string();
    hand.close(&there);
    hand.host(&there, compacted());
    let (waiter, ..) = hand.loads.pop_front().unwrap();
    hand.give(Input::Loaded { waiter, entries: Vec::new(), next: Some(Offset::new(1)) });
    hand.work();
    assert_eq!(hand.skipped[0].1.offset, Offset::ZERO);
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-1", 6)));
}

#[test]
fn a_log_that_cannot_be_read_is_told_to_those_who_ask() {
    let mut hand = with_a_commit();
    let there = offsets_of("g").to_string();
    hand.close(&there);
    hand.host(&there, compacted());
    let (waiter, ..) = hand.loads.pop_front().unwrap();
    hand.give(Input::NotLoaded { waiter, why: "the disk is gone".to_owned() });
    assert_eq!(all_of(&mut hand, "g"), Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(commits(&mut hand, commit("g", &[("orders-0", 9)])), [Some(ErrorCode::CoordinatorNotAvailable)]);
}

/// Every write fails.
fn fail_writes(hand: &mut Hand) {
    while let Some((partition, wish)) = hand.wishes.pop_front() {
        if let DiskWish::Log(Effect::Op(seq, _)) = wish {
            let failure = ottla::log::OpFailure::Failed("the disk is gone".to_owned());
            hand.give(Input::Disk { partition, report: DiskReport::Failed(seq, failure) });
        }
    }
}

#[test]
fn a_commit_that_could_not_be_written_is_told_and_changes_nothing() {
    let mut hand = with_a_commit();
    let id = hand.ask(Request::OffsetCommit(commit("g", &[("orders-0", 9)])));
    fail_writes(&mut hand);
    assert_eq!(codes(&mut hand, id), [Some(ErrorCode::NotCoordinator)]);
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 5)));
}

#[test]
fn a_commit_that_takes_too_long_is_told_and_counts_when_it_is_committed_after_all() {
    let mut hand = with_a_commit();
    let id = hand.ask(Request::OffsetCommit(commit("g", &[("orders-0", 9)])));
    hand.pass(5_000);
    assert_eq!(codes(&mut hand, id), [Some(ErrorCode::CoordinatorNotAvailable)]);
    hand.work();
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 9)), "it is in the log");
}

#[test]
fn a_commit_whose_asker_has_gone_counts() {
    let mut hand = with_a_commit();
    let id = hand.ask(Request::OffsetCommit(commit("g", &[("orders-0", 9)])));
    hand.give(Input::Cancel(id));
    hand.work();
    assert!(!hand.answers.contains_key(&id));
    assert_eq!((all_of(&mut hand, "g"), hand.broker.waiting()), (Ok(one("orders-0", 9)), 0));
}

#[test]
fn the_offsets_in_a_deleted_topic_are_forgotten_also_those_that_are_being_committed() {
    let mut hand = with_a_commit();
    create(&mut hand, "others", 1);
    assert_eq!(commits(&mut hand, commit("g", &[("others-0", 3)])), [None]);
    // The commit is in the log and not committed when the topic goes.
    let late = hand.ask(Request::OffsetCommit(commit("g", &[("orders-1", 7)])));
    let offsets = offsets_of("g");
    let (mut held, rest) = std::mem::take(&mut hand.wishes).into_iter().partition(|(of, _)| *of == offsets);
    hand.wishes = rest;
    hand.ask(Request::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name(name("orders"))], timeout_ms: 0 }));
    let metadata = at("__cluster_metadata-0");
    while hand.wishes.iter().any(|(of, _)| *of == metadata) {
        hand.step();
    }
    held.append(&mut hand.wishes);
    hand.wishes = held;
    hand.work();
    assert_eq!(codes(&mut hand, late), [None]);
    assert_eq!(all_of(&mut hand, "g"), Ok(one("others-0", 3)));

    let there = offsets.to_string();
    hand.close(&there);
    hand.host(&there, compacted());
    hand.work();
    assert_eq!(all_of(&mut hand, "g"), Ok(one("others-0", 3)), "that is in the log too");
}

#[test]
fn the_offsets_in_a_topic_that_was_deleted_during_the_load_are_forgotten_behind_it() {
    let mut hand = with_a_commit();
    let there = offsets_of("g").to_string();
    hand.close(&there);
    hand.host(&there, compacted());
    let load = hand.loads.pop_front().unwrap();
    let partition = offsets_of("g");
    assert!(hand.broker.is_loading(&partition), "nothing may replace what is read");
    delete(&mut hand, "orders");
    create(&mut hand, "orders", 2);
    assert_eq!(all_of(&mut hand, "g"), Err(ErrorCode::CoordinatorLoadInProgress));
    hand.loads.push_front(load);
    hand.work();
    assert!(!hand.broker.is_loading(&partition));
    assert_eq!(all_of(&mut hand, "g"), Ok(Vec::new()));
    assert_eq!(hand.broker.coordinator().groups(offsets_of("g").partition()).count(), 0);
}

#[test]
fn what_was_committed_in_an_earlier_topic_of_the_name_does_not_count() {
    let mut hand = with_a_commit();
    let there = offsets_of("g").to_string();
    // The node stops in between: the topic is gone, and nobody has forgotten its offsets.
    hand.close(&there);
    delete(&mut hand, "orders");
    create(&mut hand, "orders", 2);
    hand.host(&there, compacted());
    hand.work();
    assert_eq!(fetched(&mut hand, asks("g", Some(&["orders-0"]))), Ok(vec![("orders-0".to_owned(), None)]));
    assert_eq!(commits(&mut hand, commit("g", &[("orders-0", 1)])), [None]);
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 1)));
}

#[test]
fn off_04_offsets_that_nobody_has_committed_for_seven_days_are_taken_back() {
    let mut hand = with_a_commit();
    let there = offsets_of("g");
    let after = |millis: i64| Timestamp::from_millis(DATE.as_millis() + millis);
    let upkeep = |hand: &mut Hand, date| {
        hand.give(Input::Upkeep { partition: there.clone(), date });
        hand.work();
    };
    upkeep(&mut hand, after(WEEK_MS - 1));
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 5)));
    // What is being committed just now has not expired.
    let id = hand.ask(Request::OffsetCommit(commit("g", &[("orders-0", 6)])));
    upkeep(&mut hand, after(WEEK_MS));
    assert_eq!((codes(&mut hand, id), all_of(&mut hand, "g")), (vec![None], Ok(one("orders-0", 6))));
    upkeep(&mut hand, after(WEEK_MS));
    assert_eq!(all_of(&mut hand, "g"), Ok(Vec::new()));
    hand.close(&there.to_string());
    hand.host(&there.to_string(), compacted());
    hand.work();
    assert_eq!(all_of(&mut hand, "g"), Ok(Vec::new()), "that is in the log too");
}

#[test]
fn clients_do_not_write_to_the_offsets() {
    let mut hand = with_a_commit();
    let there = offsets_of("g").to_string();
    let Response::Produce(answers) = hand.answer_now(produce(Acks::All, Durability::Written, &[(&there, "a")])) else {
        panic!()
    };
    assert_eq!(answers[0].result.as_ref().unwrap_err().code, ErrorCode::InvalidTopicException);
    let partitions = vec![(at(&there), DeleteBefore::HighWatermark)];
    let deleted = hand.answer_now(Request::DeleteRecords(DeleteRecords { timeout_ms: 0, partitions }));
    assert!(matches!(deleted, Response::DeleteRecords(answers) if answers[0].result.is_err()));
    assert_eq!(all_of(&mut hand, "g"), Ok(one("orders-0", 5)));
}

#[test]
fn a_topic_that_cannot_be_made_is_told_to_who_commits_and_tried_again_for_the_next() {
    let mut hand = with_orders();
    let id = hand.ask(Request::OffsetCommit(commit("g", &[("orders-0", 5)])));
    hand.work();
    for opening in std::mem::take(&mut hand.openings) {
        let error = RequestError::because(ErrorCode::KafkaStorageError, "the disk is gone");
        hand.give(Input::NotOpened { partition: opening.partition, error });
    }
    assert_eq!(codes(&mut hand, id), [Some(ErrorCode::CoordinatorNotAvailable)]);
    delete(&mut hand, "__consumer_offsets");
    assert_eq!(commits(&mut hand, commit("g", &[("orders-0", 5)])), [None]);
    let described = hand.answer_now(Request::DescribeTopics(DescribeTopics::default()));
    assert!(matches!(described, Response::DescribeTopics(all) if all.topics.len() == 2));
}

#[test]
fn a_node_that_is_no_controller_coordinates_nothing_and_says_so() {
    let mut hand = Hand::new(&["orders-0", "__consumer_offsets-0"], LogConfig::default());
    assert_eq!(commits(&mut hand, commit("g", &[("orders-0", 5)])), [Some(ErrorCode::CoordinatorNotAvailable)]);
    assert_eq!(all_of(&mut hand, "g"), Err(ErrorCode::CoordinatorNotAvailable));
}
