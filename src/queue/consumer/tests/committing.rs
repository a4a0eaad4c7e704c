//! Commits, and acknowledgements in any order.

use std::time::Duration;

use super::*;
use crate::consumer::Acknowledged;
use crate::epoch::LeaderEpoch;
use crate::message::{Committed, ErrorCode};
use crate::queue::consumer::{CommitError, Receipt};

fn group(name: &str) -> ConsumerConfig {
    ConsumerConfig::group(name).retry_backoff(Duration::ZERO)
}

fn subscribed(node: &Arc<Node>, config: ConsumerConfig) -> Consumer {
    let mut consumer = consumer(node, config);
    consumer.subscribe(["t"]).unwrap();
    consumer
}

#[test]
fn what_was_handed_out_is_committed_and_the_group_goes_on_behind_it() {
    let node = Node::with(2);
    node.append("t-0", &["a", "b", "c"]);
    let mut first = subscribed(&node, group("g").records_max(2));
    assert_eq!(poll(&mut first), ["a", "b"]);
    first.commit().unwrap();
    assert_eq!((node.committed("g", "t-0"), node.committed("g", "t-1")), (Some(2), Some(0)));
    let both = [partition("t-0"), partition("t-1")];
    let committed = first.committed(both.clone()).unwrap();
    assert_eq!(committed[&both[0]].leader_epoch, Some(LeaderEpoch::new(7)), "that of the last record");
    assert_eq!(committed[&both[1]], Committed::at(at(0)));
    first.close();
    assert_eq!(poll(&mut subscribed(&node, group("g"))), ["c"]);
    let mut other = subscribed(&node, group("other"));
    assert_eq!(poll(&mut other), ["a", "b", "c"]);
    assert!(other.committed(both).unwrap().is_empty());
}

#[test]
fn offsets_can_be_committed_by_hand_and_positions_stay() {
    let node = Node::with(1);
    let mut consumer = reading(&node, group("g"));
    let committed = Committed { metadata: "note".to_owned(), ..Committed::at(at(40)) };
    consumer.commit_offsets([(partition("t-0"), committed.clone())]).unwrap();
    assert_eq!(consumer.position(&partition("t-0")), Some(at(0)));
    assert_eq!(consumer.committed([partition("t-0")]).unwrap()[&partition("t-0")], committed);
}

#[test]
fn off_01_a_commit_that_is_refused_says_where_and_the_rest_is_committed() {
    let node = Node::with(2);
    let mut consumer = subscribed(&node, group("g"));
    let with = |length: usize| Committed { metadata: "x".repeat(length), ..Committed::at(at(1)) };
    let error = consumer.commit_offsets([(partition("t-0"), with(4097)), (partition("t-1"), with(4096))]);
    let Err(CommitError::Refused { refused }) = error else { panic!("{error:?}") };
    assert_eq!(refused.len(), 1);
    assert_eq!((&refused[0].0, refused[0].1.code), (&partition("t-0"), ErrorCode::OffsetMetadataTooLarge));
    assert_eq!((node.committed("g", "t-0"), node.committed("g", "t-1")), (None, Some(1)));
}

#[test]
fn a_coordinator_that_is_not_ready_is_asked_again_and_a_topic_that_is_not_there_is_not() {
    let node = Node::with(1);
    let mut consumer = reading(&node, group("g"));
    let not_ready = [ErrorCode::CoordinatorNotAvailable, ErrorCode::CoordinatorLoadInProgress];
    node.refuse(&not_ready);
    consumer.commit().unwrap();
    assert_eq!(node.committed("g", "t-0"), Some(0));
    node.refuse(&[ErrorCode::UnstableOffsetCommit]);
    assert_eq!(consumer.committed([partition("t-0")]).unwrap().len(), 1);
    node.refuse(&[ErrorCode::UnknownTopicOrPartition]);
    assert!(matches!(consumer.commit(), Err(CommitError::Refused { .. })));
}

#[test]
fn a_commit_that_is_not_answered_in_time_is_given_up() {
    let node = Node::with(1);
    let mut consumer = reading(&node, group("g").request_timeout(Duration::ZERO));
    node.hold();
    assert_eq!(consumer.commit(), Err(CommitError::TimedOut { timeout_ms: 0 }));
    assert_eq!(node.cancelled(), 1);
    node.release();
    assert!(poll(&mut consumer).is_empty());
}

#[test]
fn a_group_that_is_not_ready_is_waited_for_and_nothing_is_handed_out_before() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b"]);
    let mut first = subscribed(&node, group("g"));
    first.commit_offsets([(partition("t-0"), Committed::at(at(1)))]).unwrap();
    node.refuse(&[ErrorCode::CoordinatorLoadInProgress]);
    let mut second = subscribed(&node, ConsumerConfig::group("g"));
    assert!(poll(&mut second).is_empty());
    assert_eq!(second.position(&partition("t-0")), None);
    node.advance(100);
    assert_eq!(poll(&mut second), ["b"]);
}

#[test]
fn without_a_group_nothing_is_committed() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    assert_eq!(consumer.commit(), Err(CommitError::NoGroup));
    assert_eq!(consumer.committed([partition("t-0")]), Err(CommitError::NoGroup));
    assert_eq!(consumer.commit_acknowledged(), Err(CommitError::NoLedger));
    let start = [(partition("t-0"), Start::Group(OffsetReset::Latest))];
    assert!(matches!(consumer.assign(start), Err(crate::queue::SubscribeError::NoGroup)));
}

fn receipts(records: &Records) -> Vec<Receipt> {
    records.iter().map(|record| record.receipt()).collect()
}

#[test]
fn acknowledgements_come_in_any_order_and_the_lowest_gap_is_committed() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b", "c"]);
    let mut consumer = reading(&node, group("g").unacknowledged_max(10));
    consumer.commit_acknowledged().unwrap();
    assert_eq!(node.committed("g", "t-0"), None, "nothing was handed out");
    let handed_out = receipts(&consumer.poll(Duration::ZERO).unwrap());
    assert_eq!(consumer.ack(&handed_out[2]), Acknowledged::Now);
    assert_eq!(consumer.ack(&handed_out[2]), Acknowledged::NotOutstanding);
    consumer.commit_acknowledged().unwrap();
    assert_eq!(node.committed("g", "t-0"), Some(0));
    consumer.ack(&handed_out[0]);
    consumer.commit_acknowledged().unwrap();
    assert_eq!(node.committed("g", "t-0"), Some(1));
    assert_eq!(consumer.unacknowledged(&partition("t-0")), [at(1)]);
    consumer.ack(&handed_out[1]);
    consumer.commit_acknowledged().unwrap();
    assert_eq!(node.committed("g", "t-0"), Some(3));
}

#[test]
fn no_more_is_handed_out_than_may_be_unacknowledged_in_all_partitions_together() {
    let node = Node::with(2);
    node.append("t-0", &["a", "b"]);
    node.append("t-1", &["c", "d"]);
    let mut consumer = subscribed(&node, group("g").unacknowledged_max(3));
    let mut handed_out = Vec::new();
    while let Ok(records) = consumer.poll(Duration::ZERO) {
        handed_out.extend(receipts(&records));
    }
    assert_eq!(handed_out.len(), 3);
    assert_eq!(poll_error(&mut consumer), ConsumeError::Unacknowledged { outstanding: 3 });
    let acknowledger = consumer.acknowledger().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| acknowledger.ack(&handed_out[1]));
        assert_eq!(consumer.poll(LONG).unwrap().len(), 1, "an acknowledgement ends the wait");
    });
    assert_eq!(acknowledger.outstanding(), 3);
}

#[test]
fn a_receipt_from_before_a_seek_acknowledges_nothing_behind_it() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b"]);
    let mut consumer = reading(&node, group("g").unacknowledged_max(2));
    let before = receipts(&consumer.poll(Duration::ZERO).unwrap());
    consumer.seek(&partition("t-0"), at(0)).unwrap();
    let behind = receipts(&consumer.poll(Duration::ZERO).unwrap());
    assert_eq!(behind.len(), 2, "what was handed out before does not count");
    assert_eq!(consumer.ack(&before[0]), Acknowledged::NotOutstanding);
    assert_eq!(consumer.ack(&behind[0]), Acknowledged::Now);
    consumer.unassign();
    assert_eq!(consumer.ack(&behind[1]), Acknowledged::NotOutstanding);
    assert_eq!(consumer.acknowledger().unwrap().outstanding(), 0);
}

#[test]
fn off_the_end_a_reset_begins_a_ledger_of_its_own() {
    let node = Node::with(1);
    for value in ["a", "b", "c"] {
        node.append("t-0", &[value]);
    }
    let config = group("g").unacknowledged_max(3).reset(OffsetReset::Earliest);
    let mut consumer = reading(&node, config);
    let mut before = Vec::new();
    while before.len() < 3 {
        before.extend(receipts(&consumer.poll(Duration::ZERO).unwrap()));
    }
    assert_eq!(consumer.ack(&before[0]), Acknowledged::Now);
    assert_eq!(consumer.ack(&before[1]), Acknowledged::Now);
    node.cut("t-0", 1);
    let behind = receipts(&consumer.poll(Duration::ZERO).unwrap());
    assert_eq!(behind.iter().map(Receipt::offset).collect::<Vec<_>>(), [at(0)], "it begins anew");
    assert_eq!(consumer.ack(&before[2]), Acknowledged::NotOutstanding, "that record is gone");
    assert_eq!(consumer.unacknowledged(&partition("t-0")), [at(0)]);
    consumer.commit_acknowledged().unwrap();
    assert_eq!(node.committed("g", "t-0"), Some(0));
    assert_eq!(consumer.ack(&behind[0]), Acknowledged::Now);
    consumer.commit_acknowledged().unwrap();
    assert_eq!(node.committed("g", "t-0"), Some(1));
}

#[test]
fn what_was_not_acknowledged_in_front_of_a_reset_still_holds_up_the_commit() {
    let node = Node::with(1);
    for value in ["a", "b", "c", "d"] {
        node.append("t-0", &[value]);
    }
    let config = group("g").unacknowledged_max(10).records_max(2).reset(OffsetReset::Earliest);
    let mut consumer = reading(&node, config);
    let before = receipts(&consumer.poll(Duration::ZERO).unwrap());
    // What was fetched is forgotten, and what would come next has gone with the front of the log.
    node.trim("t-0", 3);
    let mut behind = Vec::new();
    while behind.last() != Some(&at(3)) {
        behind.extend(receipts(&consumer.poll(Duration::ZERO).unwrap()).iter().map(Receipt::offset));
    }
    consumer.commit_acknowledged().unwrap();
    assert_eq!(node.committed("g", "t-0"), Some(0), "a worker has it yet");
    assert_eq!(consumer.ack(&before[0]), Acknowledged::Now);
    consumer.commit_acknowledged().unwrap();
    assert!(node.committed("g", "t-0") > Some(0));
}

#[test]
fn nothing_is_outstanding_once_the_consumer_is_gone() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b"]);
    let mut consumer = reading(&node, group("g").unacknowledged_max(2));
    let handed_out = receipts(&consumer.poll(Duration::ZERO).unwrap());
    let acknowledger = consumer.acknowledger().unwrap();
    assert_eq!(acknowledger.ack(&handed_out[0]), Acknowledged::Now);
    consumer.close();
    assert_eq!(acknowledger.outstanding(), 0);
    assert_eq!(acknowledger.ack(&handed_out[1]), Acknowledged::NotOutstanding);
}

#[test]
fn a_flood_of_records_without_values_is_handed_out_by_their_number() {
    let node = Node::with(1);
    let mut builder = crate::record::BatchBuilder::new(crate::record::Codec::None);
    for _ in 0..10_000 {
        let date = crate::time::Timestamp::from_millis(0);
        builder.push(&crate::record::NewRecord::new(date, None, None)).unwrap();
    }
    node.append_batch("t-0", builder.build().unwrap());
    let mut consumer = reading(&node, group("g").unacknowledged_max(700));
    let each = [500, 200].map(|expected| {
        let records = consumer.poll(Duration::ZERO).unwrap();
        assert_eq!(records.len(), expected);
        receipts(&records)
    });
    assert_eq!(poll_error(&mut consumer), ConsumeError::Unacknowledged { outstanding: 700 });
    for receipt in each.iter().flatten() {
        assert_eq!(consumer.ack(receipt), Acknowledged::Now);
    }
    consumer.commit_acknowledged().unwrap();
    assert_eq!(node.committed("g", "t-0"), Some(700));
}
