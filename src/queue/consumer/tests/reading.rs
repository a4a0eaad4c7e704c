//! Polling: what is handed out, when it is asked for, and where the positions go.

use std::time::Duration;

use super::*;
use crate::consumer::{Pause, PollError};
use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::id::ProducerId;
use crate::message::{AbortedTransaction, ErrorCode, IsolationLevel, OffsetSpec, Request};
use crate::record::{
    BatchBuilder, Codec, NewRecord, ProducerStamp, TimestampType, TransactionMarker, TransactionResult,
};
use crate::time::Timestamp;

fn fetch_of(name: &'static str) -> impl Fn(&Request) -> bool {
    move |request| {
        let Request::Fetch(fetch) = request else { return false };
        fetch.partitions.iter().any(|part| part.partition == partition(name))
    }
}

#[test]
fn a_poll_that_waits_is_woken_by_what_comes() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            node.wait_for_open(fetch_of("t-0"));
            node.append("t-0", &["a"]);
        });
        assert_eq!(values(&consumer.poll(LONG).unwrap()), ["a"]);
    });
    assert_eq!(node.fetches().len(), 2, "the one that waited, and the next");
}

#[test]
fn whoever_is_about_to_wait_does_what_others_would_do_first() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    node.help_with("t-0", &["a"]);
    assert_eq!(values(&consumer.poll(LONG).unwrap()), ["a"], "no other thread was there to append it");
}

#[test]
fn nothing_is_asked_twice_however_often_it_is_polled() {
    let node = Node::with(3);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    for _ in 0..100 {
        assert!(poll(&mut consumer).is_empty());
    }
    assert_eq!(node.fetches(), [["t-0", "t-1", "t-2"].map(|name| (name.to_owned(), 0)).to_vec()]);
    assert_eq!(node.asked(), 2, "where it begins, and one fetch");
    node.expire();
    poll(&mut consumer);
    assert_eq!(node.fetches().len(), 2, "a fetch whose time is over is followed by another");
}

#[test]
fn the_next_fetch_is_under_way_when_records_are_handed_out() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b", "c"]);
    let mut consumer = reading(&node, ConsumerConfig::default().records_max(2));
    assert_eq!(poll(&mut consumer), ["a", "b"]);
    assert_eq!(node.open(), 0, "not while there is something to hand out");
    assert_eq!(poll(&mut consumer), ["c"]);
    assert_eq!(node.fetches().last().unwrap(), &[("t-0".to_owned(), 3)]);
    assert_eq!(node.open(), 1);
    node.append("t-0", &["d"]);
    assert_eq!(poll(&mut consumer), ["d"]);
}

#[test]
fn a_busy_partition_does_not_wait_for_an_idle_one() {
    let node = Node::with(2);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    poll(&mut consumer);
    consumer.seek(&partition("t-0"), at(0)).unwrap();
    poll(&mut consumer);
    assert_eq!(node.fetches().last().unwrap(), &[("t-0".to_owned(), 0)], "a fetch of its own");
    assert_eq!(node.open(), 2);
    for value in ["a", "b", "c"] {
        node.append("t-0", &[value]);
        assert_eq!(poll(&mut consumer), [value]);
    }
    assert!(node.open() <= 2, "never more than partitions");
}

#[test]
fn con_01_positions_move_by_what_is_handed_out_and_not_by_what_is_fetched() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b", "c"]);
    let mut consumer = reading(&node, ConsumerConfig::default().records_max(2));
    let of = partition("t-0");
    assert_eq!(consumer.position(&of), Some(at(0)));
    assert_eq!(consumer.lag(&of), None, "nothing was answered yet");
    poll(&mut consumer);
    assert_eq!((consumer.position(&of), consumer.lag(&of)), (Some(at(2)), Some(1)));
    poll(&mut consumer);
    assert_eq!((consumer.position(&of), consumer.lag(&of)), (Some(at(3)), Some(0)));
}

#[test]
fn con_03_what_was_fetched_is_kept_while_a_partition_is_paused() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b", "c"]);
    let mut consumer = reading(&node, ConsumerConfig::default().records_max(1));
    assert_eq!(poll(&mut consumer), ["a"]);
    consumer.pause(&partition("t-0")).unwrap();
    assert_eq!(consumer.asking.positions.pause(&partition("t-0")), Some(Pause::Paused));
    assert!(poll(&mut consumer).is_empty());
    consumer.resume(&partition("t-0")).unwrap();
    assert_eq!(poll(&mut consumer), ["b"]);
    assert_eq!(node.fetches().iter().filter(|fetch| !fetch.is_empty()).count(), 1);
}

#[test]
fn con_04_a_seek_discards_what_is_on_its_way() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    node.append("t-0", &["a", "b", "c"]);
    node.hold();
    poll(&mut consumer);
    consumer.seek(&partition("t-0"), at(2)).unwrap();
    assert_eq!(node.cancelled(), 1, "nobody wants the answer");
    node.release();
    assert_eq!(poll(&mut consumer), ["c"]);
    assert_eq!(node.reads(), 1, "and what came all the same is not read");
}

#[test]
fn con_04_an_answer_that_is_in_the_inbox_already_is_discarded_by_a_seek() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    poll(&mut consumer);
    node.append("t-0", &["a", "b", "c"]);
    consumer.seek(&partition("t-0"), at(1)).unwrap();
    assert_eq!(poll(&mut consumer), ["b", "c"]);
}

#[test]
fn seeks_without_an_end_leave_no_questions_behind() {
    let node = Node::with(2);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    for offset in 0..100 {
        consumer.seek(&partition("t-1"), at(offset % 2)).unwrap();
        let _ = consumer.poll(Duration::ZERO);
        assert!(node.open() <= 2);
    }
}

#[test]
fn a_position_can_be_sought_by_its_meaning() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b", "c"]);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let of = partition("t-0");
    consumer.seek_to_timestamp(&of, Timestamp::from_millis(1)).unwrap();
    assert_eq!(consumer.position(&of), None, "not known before it was asked for");
    assert_eq!(poll(&mut consumer), ["b", "c"]);
    consumer.seek_to_beginning(&of).unwrap();
    assert_eq!(poll(&mut consumer), ["a", "b", "c"]);
    consumer.seek_to_end(&of).unwrap();
    assert!(poll(&mut consumer).is_empty());
    node.append("t-0", &["d"]);
    assert_eq!(poll(&mut consumer), ["d"]);
    consumer.seek_to_timestamp(&of, Timestamp::from_millis(99)).unwrap();
    assert!(poll(&mut consumer).is_empty());
    assert_eq!(consumer.position(&of), Some(at(4)), "none is as late, so the next one counts");
    assert!(consumer.seek(&partition("t-9"), at(0)).is_err());
}

#[test]
fn con_05_where_the_offset_is_gone_there_are_three_ways_to_go_on() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b", "c"]);
    node.append("t-0", &["d"]);
    node.trim("t-0", 3);
    let with = |reset| ConsumerConfig::default().reset(reset);
    assert_eq!(poll(&mut reading(&node, with(OffsetReset::Earliest))), ["d"]);

    let mut latest = reading(&node, with(OffsetReset::Latest));
    assert!(poll(&mut latest).is_empty());
    assert_eq!(latest.position(&partition("t-0")), Some(at(4)));

    let mut refuse = reading(&node, with(OffsetReset::Refuse));
    let gone = PollError::OutOfRange { partition: partition("t-0"), position: at(0), range: Some((at(3), at(4))) };
    assert_eq!(poll_error(&mut refuse), ConsumeError::Partition(gone));
    assert_eq!(refuse.position(&partition("t-0")), Some(at(0)));
    refuse.seek(&partition("t-0"), at(3)).unwrap();
    assert_eq!(poll(&mut refuse), ["d"]);
}

#[test]
fn con_05_where_nothing_was_committed_there_are_three_ways_to_begin() {
    let node = Node::with(1);
    node.append("t-0", &["a"]);
    let subscribed = |config: ConsumerConfig| {
        let mut consumer = consumer(&node, config);
        consumer.subscribe(["t"]).unwrap();
        consumer
    };
    for config in [ConsumerConfig::group("g"), ConsumerConfig::default()] {
        assert_eq!(poll(&mut subscribed(config.clone())), ["a"], "from the beginning, unless it is said otherwise");
        let mut latest = subscribed(config.clone().reset(OffsetReset::Latest));
        assert!(poll(&mut latest).is_empty());
        assert_eq!(latest.position(&partition("t-0")), Some(at(1)));
        let mut refuse = subscribed(config.clone().reset(OffsetReset::Refuse));
        let nowhere = PollError::NoOffset { partition: partition("t-0") };
        assert_eq!(poll_error(&mut refuse), ConsumeError::Partition(nowhere));
        let mut sought = subscribed(config.begin(Start::Find(OffsetSpec::Latest)));
        assert!(poll(&mut sought).is_empty());
    }
}

fn transactional(producer: i64, value: &str) -> crate::record::Batch {
    let (id, epoch) = (ProducerId::new(producer).unwrap(), Some(ProducerEpoch::ZERO));
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ProducerStamp { id, epoch, base_sequence: Sequence::new(0) })
        .transactional();
    builder.push(&NewRecord::new(Timestamp::from_millis(0), None, Some(value.as_bytes()))).unwrap();
    builder.build().unwrap()
}

#[test]
fn con_06_under_read_committed_neither_what_is_open_nor_what_was_aborted_is_handed_out() {
    let node = Node::with(1);
    node.append_batch("t-0", transactional(1, "aborted"));
    let abort = TransactionMarker { result: TransactionResult::Abort, coordinator_epoch: 0 };
    let producer_id = ProducerId::new(1).unwrap();
    node.append_batch("t-0", abort.to_batch(producer_id, ProducerEpoch::ZERO, Timestamp::from_millis(0)).unwrap());
    node.append("t-0", &["plain"]);
    node.append_batch("t-0", transactional(2, "open"));
    node.set_last_stable("t-0", 3, vec![AbortedTransaction { first_offset: at(0), producer_id }]);
    let committed = ConsumerConfig::default().isolation(IsolationLevel::ReadCommitted);
    let mut committed = reading(&node, committed);
    assert_eq!(poll(&mut committed), ["plain"]);
    assert!(poll(&mut committed).is_empty());
    assert_eq!(committed.position(&partition("t-0")), Some(at(3)));
    assert_eq!(committed.lag(&partition("t-0")), Some(0), "the last stable offset is its end");
    assert_eq!(poll(&mut reading(&node, ConsumerConfig::default())), ["aborted", "plain", "open"]);
}

#[test]
fn con_07_what_cannot_be_read_is_told_and_holds_up_no_other_partition() {
    let node = Node::with(2);
    node.append("t-0", &["a"]);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    node.refuse_reading(Some(ErrorCode::CorruptMessage));
    let told = poll_error(&mut consumer);
    assert!(
        matches!(&told, ConsumeError::Partition(PollError::Refused { partition, .. }) if partition.partition() == 0)
    );
    assert_eq!(consumer.position(&partition("t-0")), Some(at(0)));
    node.refuse_reading(None);
    node.append("t-1", &["b"]);
    assert_eq!(poll(&mut consumer), ["b"]);
    assert!(poll(&mut consumer).is_empty(), "it is not asked again at once");
    node.advance(100);
    assert_eq!(poll(&mut consumer), ["a"]);
}

#[test]
fn a_refusal_that_will_pass_is_asked_again_after_a_while() {
    let node = Node::with(1);
    node.append("t-0", &["a"]);
    node.refuse(&[ErrorCode::NotLeaderOrFollower]);
    let mut consumer = reading(&node, ConsumerConfig::default());
    assert!(poll(&mut consumer).is_empty());
    node.advance(99);
    assert!(poll(&mut consumer).is_empty());
    node.advance(1);
    assert_eq!(poll(&mut consumer), ["a"]);
}

#[test]
fn answers_in_another_order_than_the_questions_are_taken_as_they_come() {
    let node = Node::with(2);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    poll(&mut consumer);
    consumer.seek(&partition("t-0"), at(0)).unwrap();
    node.hold();
    poll(&mut consumer);
    node.append("t-0", &["a"]);
    node.append("t-1", &["b"]);
    node.release();
    let mut seen = poll(&mut consumer);
    seen.extend(poll(&mut consumer));
    assert_eq!(seen, ["a", "b"], "the fetch of t-0 was asked last, and is answered first");
}

#[test]
fn an_answer_to_another_question_is_a_refusal_and_not_waited_for() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    poll(&mut consumer);
    node.answer_nonsense();
    assert!(matches!(poll_error(&mut consumer), ConsumeError::Partition(PollError::Refused { .. })));
    node.append("t-0", &["a"]);
    node.advance(100);
    assert_eq!(poll(&mut consumer), ["a"]);
}

#[test]
fn records_are_lent_and_given_away_without_a_copy() {
    let node = Node::with(2);
    node.append("t-0", &["a", "bb"]);
    node.append("t-1", &["c"]);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!((records.len(), values(&records)), (3, vec!["a".into(), "bb".into(), "c".into()]));
    assert_eq!(records.partitions().map(ToString::to_string).collect::<Vec<_>>(), ["t-0", "t-1"]);
    assert_eq!(records.of(&partition("t-1")).count(), 1);
    let lent: Vec<_> = (&records).into_iter().collect();
    let second = lent[1];
    assert_eq!((second.topic().as_str(), second.partition(), second.offset()), ("t", 0, at(1)));
    assert_eq!((second.key(), second.timestamp()), (Some(&b"k"[..]), Timestamp::from_millis(1)));
    assert_eq!(second.timestamp_type(), Some(TimestampType::CreateTime));
    assert_eq!(second.headers().last("h"), Some(Some(&b"x"[..])));
    assert_eq!(second.leader_epoch(), Some(LeaderEpoch::new(7)));
    let kept: Vec<_> = records.clone().into_iter().collect();
    assert_eq!(kept.len(), lent.len());
    for (kept, lent) in kept.iter().zip(&lent) {
        assert_eq!(kept.receipt(), &lent.receipt());
        assert_eq!((kept.key(), kept.value(), kept.headers()), (lent.key(), lent.value(), lent.headers()));
        assert_eq!((kept.timestamp(), kept.leader_epoch()), (lent.timestamp(), lent.leader_epoch()));
        assert_eq!(kept.value().unwrap().as_ptr(), lent.value().unwrap().as_ptr());
        assert_eq!(kept.value_bytes().unwrap().as_ptr(), lent.value().unwrap().as_ptr());
        assert_eq!(kept.key_bytes().as_deref(), lent.key());
    }
}

#[test]
fn a_tail_moves_the_position_record_by_record_and_reads_ahead() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b", "c"]);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let two: Vec<_> = consumer.tail().take(2).map(|record| record.unwrap().value_bytes().unwrap()).collect();
    assert_eq!(two, ["a", "b"]);
    assert_eq!(consumer.position(&partition("t-0")), Some(at(2)));
    assert_eq!(node.fetches().len(), 1);
    assert_eq!(consumer.iter().next().unwrap().unwrap().offset(), at(2));
    assert_eq!(node.fetches().len(), 2);
}

#[test]
fn a_poll_ends_when_its_time_is_over_whatever_the_fetches_wait_for() {
    let node = Node::with(1);
    let config = ConsumerConfig::default().fetch_wait_max(Duration::ZERO).fetch_bytes_min(0);
    let mut consumer = reading(&node, config);
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    node.append("t-0", &["a"]);
    assert_eq!(values(&consumer.poll(LONG).unwrap()), ["a"]);
}
