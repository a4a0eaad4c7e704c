//! One partition of offsets, fed by hand.

use crate::coordinator::offsets::{GroupPartition, OffsetValue, TOPIC};
use crate::coordinator::*;
use crate::epoch::ProducerEpoch;
use crate::id::{GroupId, ProducerId, TopicId, TopicPartition};
use crate::message::{CommitPartition, Committed, ErrorCode, OffsetCommit, OffsetFetch, Pending};
use crate::record::{Batch, BatchBuilder, Codec, NewRecord, ProducerStamp, TransactionMarker, TransactionResult};

const DATE: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;

fn group(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

fn at(partition: &str) -> TopicPartition {
    TopicPartition::parse(partition).unwrap()
}

fn after(millis: i64) -> Timestamp {
    Timestamp::from_millis(DATE.as_millis() + millis)
}

/// A record that says how far `g` has come in `t-0`.
fn record(offset: u64) -> (Vec<u8>, Vec<u8>) {
    let of = GroupPartition { group: group("g"), partition: at("t-0") };
    let committed = Committed::at(Offset::new(offset));
    let value = OffsetValue { committed, commit_timestamp: DATE, expire_timestamp: None, topic_id: None };
    (of.to_key().unwrap(), value.to_bytes().unwrap())
}

fn batch(producer: Option<i64>, key: &[u8], value: Option<&[u8]>) -> Batch {
    let mut batch = BatchBuilder::new(Codec::None);
    if let Some(id) = producer.and_then(ProducerId::new) {
        let stamp = ProducerStamp { id, epoch: Some(ProducerEpoch::ZERO), base_sequence: None };
        batch = batch.producer(stamp).transactional();
    }
    batch.push(&NewRecord::new(DATE, Some(key), value)).unwrap();
    batch.build().unwrap()
}

fn commit_of(producer: Option<i64>, offset: u64) -> Batch {
    let (key, value) = record(offset);
    batch(producer, &key, Some(&value))
}

fn marker(producer: i64, result: TransactionResult) -> Batch {
    let marker = TransactionMarker { result, coordinator_epoch: 0 };
    marker.to_batch(ProducerId::new(producer).unwrap(), ProducerEpoch::ZERO, DATE).unwrap()
}

/// A coordinator that has read these batches, one offset each, in its partition 0.
fn loaded(batches: &[Batch]) -> Coordinator {
    let (coordinator, skipped) = loaded_with_faults(batches);
    assert_eq!(skipped, []);
    coordinator
}

fn loaded_with_faults(batches: &[Batch]) -> (Coordinator, Vec<Skipped>) {
    let mut coordinator = Coordinator::default();
    coordinator.begin_load(0);
    let mut skipped = Vec::new();
    for (offset, batch) in (0..).zip(batches) {
        let placed = batch.stamped(Offset::new(offset), None).unwrap();
        coordinator.load(0, &placed.into(), Offset::ZERO, &mut skipped);
    }
    assert!(coordinator.end_load(0, Offset::ZERO).is_empty());
    (coordinator, skipped)
}

fn fetch(coordinator: &Coordinator, pending: Pending) -> Result<Option<u64>, ErrorCode> {
    let request = OffsetFetch { group: group("g"), partitions: Some(vec![at("t-0")]), pending };
    let answer = coordinator.fetch(0, &request, |_| None).remove(0);
    answer.result.map(|found| found.map(|found| found.offset.get())).map_err(|error| error.code)
}

fn committed(coordinator: &Coordinator) -> Option<u64> {
    fetch(coordinator, Pending::Ignore).unwrap()
}

#[test]
fn off_03_what_a_transaction_commits_counts_when_it_is_committed_and_never_if_it_is_aborted() {
    let begun = [commit_of(None, 1), commit_of(Some(7), 5)];
    let open = loaded(&begun);
    assert_eq!(committed(&open), Some(1));
    assert_eq!(fetch(&open, Pending::Refuse), Err(ErrorCode::UnstableOffsetCommit));
    for (result, expected) in [(TransactionResult::Commit, 5), (TransactionResult::Abort, 1)] {
        let mut all = begun.to_vec();
        all.push(marker(7, result));
        assert_eq!(fetch(&loaded(&all), Pending::Refuse), Ok(Some(expected)));
    }
}

#[test]
fn off_03_what_is_behind_a_transaction_s_commit_in_the_log_wins_whenever_that_ends() {
    let end = |producer| marker(producer, TransactionResult::Commit);
    let plain_behind = loaded(&[commit_of(Some(7), 5), commit_of(None, 2), end(7)]);
    assert_eq!(committed(&plain_behind), Some(2));
    let other_behind = loaded(&[commit_of(Some(7), 5), commit_of(Some(8), 6), end(8), end(7)]);
    assert_eq!(committed(&other_behind), Some(6));
    let in_order = loaded(&[commit_of(Some(7), 5), commit_of(Some(8), 6), end(7), end(8)]);
    assert_eq!(committed(&in_order), Some(6));
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_counts() {
    let (key, _) = record(0);
    let (coordinator, skipped) =
        loaded_with_faults(&[commit_of(None, 1), batch(None, &key, Some(b"\0\x09")), batch(None, b"\0", None)]);
    let offsets: Vec<u64> = skipped.iter().map(|skipped| skipped.offset.get()).collect();
    assert_eq!((offsets, committed(&coordinator)), (vec![1, 2], Some(1)));
}

#[test]
fn records_below_where_the_load_begins_do_not_count() {
    let mut coordinator = Coordinator::default();
    coordinator.begin_load(0);
    coordinator.load(0, &commit_of(None, 1).into(), Offset::new(1), &mut Vec::new());
    assert_eq!(committed(&coordinator), None);
}

/// What Kafka notes of a group, version 3, with so many members, of which none is written out.
fn noted(members: i32, since: Timestamp) -> Batch {
    let mut value = b"\0\x03\0\x08consumer\0\0\0\x01\xff\xff\xff\xff".to_vec();
    value.extend_from_slice(&since.as_millis().to_be_bytes());
    value.extend_from_slice(&members.to_be_bytes());
    batch(None, b"\0\x02\0\x01g", Some(&value))
}

#[test]
fn off_04_a_group_goes_with_its_last_offset_a_week_after_its_last_member() {
    let since = after(1000);
    let mut coordinator = loaded(&[commit_of(None, 1), noted(0, since)]);
    assert!(coordinator.decide_expire(0, after(WEEK_MS)).is_none(), "it was not empty yet");
    let commit = coordinator.decide_expire(0, after(WEEK_MS + 1000)).unwrap();
    assert_eq!(commit.batch().record_count(), 2, "the offset, and the group");
    coordinator.begin_append(0, Ticket(1), commit);
    assert!(coordinator.decide_expire(0, after(WEEK_MS + 1000)).is_none(), "that is under way");
    coordinator.end_append(0, Ticket(1), Some(Offset::new(2)));
    coordinator.on_committed(0, Offset::new(3), &mut Vec::new());
    assert_eq!(committed(&coordinator), Some(1), "half a batch is not committed");
    coordinator.on_committed(0, Offset::new(4), &mut Vec::new());
    assert_eq!((committed(&coordinator), coordinator.groups(0).count()), (None, 0));
    assert!(coordinator.decide_expire(0, after(10 * WEEK_MS)).is_none());
}

#[test]
fn off_04_what_a_group_with_members_or_a_transaction_has_committed_stays() {
    let with_members = loaded(&[commit_of(None, 1), noted(1, DATE)]);
    assert!(with_members.decide_expire(0, after(10 * WEEK_MS)).is_none());
    let not_readable = loaded(&[commit_of(None, 1), batch(None, b"\0\x02\0\x01g", Some(b"\0\x09"))]);
    assert!(not_readable.decide_expire(0, after(10 * WEEK_MS)).is_none());
    let in_transaction = loaded(&[commit_of(None, 1), commit_of(Some(7), 5)]);
    assert!(in_transaction.decide_expire(0, after(10 * WEEK_MS)).is_none());
    let for_ever = CoordinatorConfig { retention_ms: None, ..CoordinatorConfig::default() };
    let kept = Coordinator { config: for_ever, ..loaded(&[commit_of(None, 1)]) };
    assert!(kept.decide_expire(0, after(10 * WEEK_MS)).is_none());
}

#[test]
fn an_append_that_is_not_in_the_log_changes_nothing() {
    let mut coordinator = loaded(&[commit_of(None, 1)]);
    let partitions = vec![CommitPartition { partition: at("t-0"), committed: Committed::at(Offset::new(9)) }];
    let request = OffsetCommit { group: group("g"), member: None, partitions };
    let topic = |_: &TopicPartition| TopicId::from_bytes([7; 16]);
    let commit = coordinator.decide_commit(0, DATE, &request, topic).commit.unwrap();
    coordinator.begin_append(0, Ticket(1), commit);
    coordinator.end_append(0, Ticket(1), None);
    coordinator.on_committed(0, Offset::new(100), &mut Vec::new());
    assert_eq!(committed(&coordinator), Some(1));
}

#[test]
fn the_topic_has_kafkas_settings() {
    let topic = CoordinatorConfig::default().new_topic();
    assert_eq!((topic.name.as_str(), topic.partitions), (TOPIC, Some(4)));
    let pairs: Vec<(&str, String)> = topic.config.pairs().map(|(key, value)| (key.name(), value)).collect();
    let expected = [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")];
    assert_eq!(pairs, expected.map(|(key, value)| (key, value.to_owned())));
}
