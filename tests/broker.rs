//! One node, driven by hand: what is asked for is answered once, when it is so.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "broker/hand.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
#[expect(unreachable_pub, reason = "a test has no outside")]
mod hand;

use hand::{DATE, Hand, at, produce};
use ottla::broker::{DiskReport, Input, RequestId};
use ottla::epoch::{ProducerEpoch, Sequence};
use ottla::id::ProducerId;
use ottla::log::LogConfig;
use ottla::message::{
    Acks, DeleteBefore, DeleteRecords, Detail, Durability, ErrorCode, Fetch, FetchPartition, IsolationLevel,
    ListOffsets, ListPartition, ListedOffset, NewTopic, OffsetSpec, Produce, ProducePartition, Request, RequestError,
    Response,
};
use ottla::offset::Offset;
use ottla::partition::{StopReason, Waiter};
use ottla::record::{BatchBuilder, Checked, Codec, NewRecord, ProducerStamp, Rules};
use ottla::time::{Instant, Timestamp};
use proptest::prelude::*;

fn fetch(names: &[&str], bytes_min: u32, wait_max_ms: u32) -> Request<Checked> {
    let part = |name: &&str| FetchPartition {
        partition: at(name),
        fetch_offset: Offset::ZERO,
        bytes_max: 1 << 20,
        current_leader_epoch: None,
    };
    let (isolation, partitions) = (IsolationLevel::ReadUncommitted, names.iter().map(part).collect());
    Request::Fetch(Fetch { isolation, bytes_min, bytes_max: 1 << 20, wait_max_ms, partitions })
}

fn offsets(response: Response<ottla::broker::Body>) -> Vec<Result<Offset, ErrorCode>> {
    let Response::Produce(answers) = response else { panic!("not a produce") };
    answers.into_iter().map(|answer| answer.result.map(|put| put.base_offset).map_err(|error| error.code)).collect()
}

fn values(hand: &mut Hand, id: RequestId) -> Vec<Vec<String>> {
    let Response::Fetch(answers) = hand.answer(id) else { panic!("not a fetch") };
    answers.into_iter().map(|answer| hand.values(answer.result.unwrap().body)).collect()
}

fn error(response: Response<ottla::broker::Body>) -> RequestError {
    let Response::Fetch(mut answers) = response else { panic!("not a fetch") };
    answers.remove(0).result.unwrap_err()
}

#[test]
fn a_produce_is_answered_when_it_is_as_durable_as_asked_for_and_not_before() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    let written = hand.ask(produce(Acks::All, Durability::Written, &[("t-0", "a")]));
    let flushed = hand.ask(produce(Acks::All, Durability::Flushed, &[("t-0", "b")]));
    assert!(hand.answers.is_empty(), "nothing is written yet");
    while !hand.answers.contains_key(&written) {
        assert!(hand.step());
    }
    assert!(!hand.answers.contains_key(&flushed), "nothing is flushed yet");
    hand.work();
    assert_eq!(offsets(hand.answer(written)), [Ok(Offset::ZERO)]);
    assert_eq!(offsets(hand.answer(flushed)), [Ok(Offset::new(1))]);
    assert_eq!((hand.broker.waiting(), hand.broker.next_deadline()), (0, None));
}

#[test]
fn a_produce_for_several_partitions_is_answered_in_its_order_when_all_have_answered() {
    let mut hand = Hand::new(&["t-0", "t-1"], LogConfig::default());
    let parts = [("t-1", "a"), ("nowhere-0", "b"), ("t-0", "c")];
    let id = hand.ask(produce(Acks::Leader, Durability::Written, &parts));
    assert!(hand.answers.is_empty());
    hand.work();
    let expected = [Ok(Offset::ZERO), Err(ErrorCode::UnknownTopicOrPartition), Ok(Offset::ZERO)];
    assert_eq!(offsets(hand.answer(id)), expected);
}

#[test]
fn a_produce_that_wants_no_answer_gets_none_and_its_refusal_is_told() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    hand.ask(produce(Acks::None, Durability::Written, &[("t-0", "a"), ("nowhere-0", "b")]));
    hand.work();
    hand.give(Input::Stop { partition: at("t-0"), reason: StopReason::Resigned });
    hand.ask(produce(Acks::None, Durability::Written, &[("t-0", "c")]));
    hand.work();
    assert!(hand.answers.is_empty());
    let refused: Vec<_> = hand.refused.iter().map(|(partition, error)| (partition.clone(), error.code)).collect();
    let unknown = (at("nowhere-0"), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(refused, [unknown, (at("t-0"), ErrorCode::NotLeaderOrFollower)]);
}

#[test]
fn a_produce_whose_time_is_over_is_told_that_nothing_is_known_and_answered_once() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    hand.ask(produce(Acks::None, Durability::Written, &[("t-0", "before")]));
    hand.work();
    let id = hand.ask(produce(Acks::All, Durability::Written, &[("t-0", "a")]));
    hand.pass(999);
    assert!(hand.answers.is_empty());
    hand.pass(1);
    assert_eq!(offsets(hand.answer(id)), [Err(ErrorCode::RequestTimedOut)]);
    hand.work();
    assert!(hand.answers.is_empty());
    assert_eq!(hand.broker.partition(&at("t-0")).unwrap().log().log_end_offset(), Offset::new(2), "it stays");
}

#[test]
fn a_fetch_waits_for_enough_and_wakes_at_once() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    let id = hand.ask(fetch(&["t-0"], 1, 500));
    assert!(hand.answers.is_empty());
    assert_eq!(hand.broker.next_deadline(), Some(Instant::from_millis(500)));
    hand.ask(produce(Acks::None, Durability::Written, &[("t-0", "a")]));
    assert!(!hand.answers.contains_key(&id), "it is not written yet");
    hand.work();
    assert_eq!(values(&mut hand, id), [["a"]]);
    assert_eq!((hand.broker.waiting(), hand.broker.next_deadline()), (0, None));
}

#[test]
fn a_fetch_of_several_partitions_counts_what_they_have_together() {
    let mut hand = Hand::new(&["t-0", "t-1"], LogConfig::default());
    let size = hand::batch("a").batch().size();
    let id = hand.ask(fetch(&["t-0", "t-1"], 3 * size, 500));
    for part in ["t-0", "t-1"] {
        hand.ask(produce(Acks::None, Durability::Written, &[(part, "a")]));
        hand.work();
        assert!(!hand.answers.contains_key(&id), "there is not enough yet");
    }
    hand.ask(produce(Acks::None, Durability::Written, &[("t-1", "b")]));
    hand.work();
    assert_eq!(values(&mut hand, id), [vec!["a"], vec!["a", "b"]]);
    assert_eq!(hand.broker.waiting(), 0);
}

#[test]
fn a_fetch_whose_time_is_over_gets_what_there_is() {
    let mut hand = Hand::new(&["t-0", "t-1"], LogConfig::default());
    let id = hand.ask(fetch(&["t-0", "t-1"], 1_000, 500));
    hand.ask(produce(Acks::None, Durability::Written, &[("t-1", "a")]));
    hand.work();
    hand.pass(499);
    assert!(hand.answers.is_empty());
    hand.pass(1);
    assert_eq!(values(&mut hand, id), [vec![], vec!["a".to_owned()]]);
    let empty = hand.ask(fetch(&["t-0"], 0, 500));
    assert_eq!(values(&mut hand, empty), [[""; 0]]);
}

#[test]
fn a_fetch_that_wants_more_than_may_fit_is_answered_when_it_is_full() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    for value in ["a", "b", "c"] {
        hand.ask(produce(Acks::None, Durability::Written, &[("t-0", value)]));
    }
    hand.work();
    let Request::Fetch(mut request) = fetch(&["t-0"], 150, 500) else { panic!() };
    request.partitions[0].bytes_max = 100;
    let id = hand.ask(Request::Fetch(request));
    assert_eq!(values(&mut hand, id), [["a"]]);
}

#[test]
fn a_fetch_gets_no_more_than_fits_but_for_its_first_batch_and_waits_for_no_more_than_may_fit() {
    let mut hand = Hand::new(&["t-0", "t-1"], LogConfig { tail_cache_bytes: 0, ..LogConfig::default() });
    let large = "x".repeat(5_000);
    for part in ["t-0", "t-1"] {
        hand.ask(produce(Acks::None, Durability::Written, &[(part, &large)]));
    }
    hand.work();
    let Request::Fetch(mut request) = fetch(&["t-0", "t-1", "t-0"], 1 << 20, 500) else { panic!() };
    request.bytes_max = 1_000;
    let id = hand.ask(Request::Fetch(request));
    assert_eq!(values(&mut hand, id), [vec![large], vec![], vec![]]);
}

#[test]
fn an_answer_of_another_s_search_is_nobody_s() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    let id = hand.ask(produce(Acks::All, Durability::Flushed, &[("t-0", "a")]));
    (0..10).for_each(|number| hand.give(Input::Found { waiter: Waiter(number), result: Ok(None) }));
    hand.work();
    assert_eq!(offsets(hand.answer(id)), [Ok(Offset::ZERO)]);
}

#[test]
fn con_05_an_offset_that_is_not_there_is_an_error_with_both_ends() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    let Request::Fetch(mut request) = fetch(&["t-0"], 1, 500) else { panic!() };
    request.partitions[0].fetch_offset = Offset::new(7);
    let refused = error(hand.answer_now(Request::Fetch(request)));
    assert_eq!(refused.code, ErrorCode::OffsetOutOfRange);
    assert_eq!(refused.detail, Detail::Range { log_start_offset: Offset::ZERO, end: Offset::ZERO });
    let refused = error(hand.answer_now(fetch(&["nowhere-0"], 1, 500)));
    assert_eq!(refused.code, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn what_is_not_in_memory_any_more_is_read_by_the_one_who_is_answered() {
    let mut hand = Hand::new(&["t-0"], LogConfig { tail_cache_bytes: 0, ..LogConfig::default() });
    for value in ["a", "b"] {
        hand.ask(produce(Acks::None, Durability::Written, &[("t-0", value)]));
    }
    hand.work();
    let id = hand.ask(fetch(&["t-0"], 1, 500));
    assert_eq!(values(&mut hand, id), [["a", "b"]]);
}

#[test]
fn offsets_are_found_by_their_end_and_by_their_date() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    hand.ask(produce(Acks::None, Durability::Written, &[("t-0", "a")]));
    hand.work();
    let list = |at_offset| ListPartition { partition: at("t-0"), at: at_offset, current_leader_epoch: None };
    let partitions = vec![list(OffsetSpec::Earliest), list(OffsetSpec::Latest), list(OffsetSpec::At(DATE))];
    let isolation = IsolationLevel::ReadUncommitted;
    let id = hand.ask(Request::ListOffsets(ListOffsets { isolation, partitions }));
    assert!(hand.answers.is_empty(), "one of them has to be looked for");
    let (waiter, partition, search) = hand.searches.pop().unwrap();
    let offset = hand.found(&partition, &search, DATE).unwrap();
    let result = Ok(Some(ListedOffset { offset, timestamp: Some(DATE), leader_epoch: None }));
    hand.give(Input::Found { waiter, result: result.clone() });
    hand.give(Input::Found { waiter, result });
    let Response::ListOffsets(answers) = hand.answer(id) else { panic!() };
    let found: Vec<_> = answers.into_iter().map(|answer| answer.result.unwrap().unwrap().offset.get()).collect();
    assert_eq!(found, [0, 1, 0]);
}

#[test]
fn deleted_records_are_not_there_any_more() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    for value in ["a", "b", "c"] {
        hand.ask(produce(Acks::None, Durability::Written, &[("t-0", value)]));
    }
    hand.work();
    let delete =
        |before| Request::DeleteRecords(DeleteRecords { timeout_ms: 0, partitions: vec![(at("t-0"), before)] });
    let first = hand.ask(delete(DeleteBefore::Offset(Offset::new(2))));
    let again = hand.ask(delete(DeleteBefore::Offset(Offset::new(1))));
    assert!(hand.answers.is_empty(), "answered before it is on disk");
    hand.work();
    for id in [first, again] {
        let Response::DeleteRecords(answers) = hand.answer(id) else { panic!() };
        assert_eq!(answers[0].result, Ok(Offset::new(2)));
    }
    let Response::DeleteRecords(answers) = hand.answer_now(delete(DeleteBefore::Offset(Offset::new(9)))) else {
        panic!()
    };
    assert_eq!(answers[0].result.as_ref().unwrap_err().code, ErrorCode::OffsetOutOfRange);
    assert_eq!(error(hand.answer_now(fetch(&["t-0"], 1, 0))).code, ErrorCode::OffsetOutOfRange);
    hand.work();
}

#[test]
fn whoever_deletes_records_is_told_if_that_does_not_come_to_disk() {
    let report = |report| Input::Disk { partition: at("t-0"), report };
    let ends = [
        (report(DiskReport::NotMarked), ErrorCode::KafkaStorageError),
        (report(DiskReport::MarkFailed("EIO".into())), ErrorCode::KafkaStorageError),
        (Input::Release(at("t-0")), ErrorCode::UnknownTopicOrPartition),
    ];
    for (end, code) in ends {
        let mut hand = Hand::new(&["t-0"], LogConfig::default());
        hand.ask(produce(Acks::None, Durability::Written, &[("t-0", "a")]));
        hand.work();
        let partitions = vec![(at("t-0"), DeleteBefore::HighWatermark)];
        let id = hand.ask(Request::DeleteRecords(DeleteRecords { timeout_ms: 0, partitions }));
        hand.give(end);
        let Response::DeleteRecords(answers) = hand.answer(id) else { panic!() };
        assert_eq!(answers[0].result.as_ref().unwrap_err().code, code);
    }
}

#[test]
fn who_asks_again_after_a_mark_found_no_space_waits_for_another() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    hand.ask(produce(Acks::None, Durability::Written, &[("t-0", "a")]));
    hand.work();
    let delete = || {
        let partitions = vec![(at("t-0"), DeleteBefore::HighWatermark)];
        Request::DeleteRecords(DeleteRecords { timeout_ms: 0, partitions })
    };
    let report = |report| Input::Disk { partition: at("t-0"), report };
    let first = hand.ask(delete());
    hand.give(report(DiskReport::NotMarked));
    assert!(matches!(hand.answer(first), Response::DeleteRecords(answers) if answers[0].result.is_err()));
    let again = hand.ask(delete());
    assert!(hand.answers.is_empty(), "it is in memory alone");
    hand.give(report(DiskReport::Marked));
    let Response::DeleteRecords(answers) = hand.answer(again) else { panic!() };
    assert_eq!(answers[0].result, Ok(Offset::new(1)));
    // Now it is on disk, so there is nothing to wait for.
    let Response::DeleteRecords(answers) = hand.answer_now(delete()) else { panic!() };
    assert_eq!(answers[0].result, Ok(Offset::new(1)));
}

#[test]
fn whoever_waits_is_answered_when_the_partition_stops_or_is_released() {
    let mut hand = Hand::new(&["t-0", "t-1"], LogConfig::default());
    let fetched = hand.ask(fetch(&["t-0"], 1, 500));
    let produced = hand.ask(produce(Acks::All, Durability::Flushed, &[("t-0", "a")]));
    hand.give(Input::Stop { partition: at("t-0"), reason: StopReason::Deleted });
    assert_eq!(error(hand.answer(fetched)).code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(offsets(hand.answer(produced)), [Err(ErrorCode::UnknownTopicOrPartition)]);

    let list = ListPartition { partition: at("t-1"), at: OffsetSpec::MaxTimestamp, current_leader_epoch: None };
    let isolation = IsolationLevel::ReadUncommitted;
    let listed = hand.ask(Request::ListOffsets(ListOffsets { isolation, partitions: vec![list] }));
    let fetched = hand.ask(fetch(&["t-1"], 1, 500));
    hand.work();
    hand.give(Input::Release(at("t-1")));
    assert_eq!(error(hand.answer(fetched)).code, ErrorCode::NotLeaderOrFollower);
    assert!(matches!(hand.answer(listed), Response::ListOffsets(answers) if answers[0].result.is_err()));
    assert_eq!((hand.broker.waiting(), hand.broker.next_deadline()), (0, None));
    assert!(hand.broker.partition(&at("t-1")).is_none());
}

#[test]
fn who_has_gone_is_not_answered_and_leaves_nothing_behind() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    let fetched = hand.ask(fetch(&["t-0"], 1, 500));
    let produced = hand.ask(produce(Acks::All, Durability::Flushed, &[("t-0", "a")]));
    hand.give(Input::Cancel(fetched));
    hand.give(Input::Cancel(produced));
    hand.give(Input::Cancel(RequestId(999)));
    hand.work();
    hand.pass(5_000);
    assert!(hand.answers.is_empty());
    assert_eq!((hand.broker.waiting(), hand.broker.next_deadline()), (0, None));
}

#[test]
fn a_failed_flush_is_told_to_those_who_wait_for_it_and_others_go_on() {
    let mut hand = Hand::new(&["t-0", "t-1"], LogConfig::default());
    let bad = hand.ask(produce(Acks::All, Durability::Flushed, &[("t-0", "a")]));
    let good = hand.ask(produce(Acks::All, Durability::Flushed, &[("t-1", "b")]));
    while let Some((partition, wish)) = hand.wishes.front() {
        use ottla::broker::{DiskReport, DiskWish};
        use ottla::log::Effect;
        if let (true, DiskWish::Log(Effect::Sync(sync))) = (*partition == at("t-0"), wish) {
            let report = DiskReport::SyncFailed(sync.id, "the disk is gone".to_owned());
            hand.wishes.pop_front();
            hand.give(Input::Disk { partition: at("t-0"), report });
        } else {
            hand.step();
        }
    }
    assert_eq!(offsets(hand.answer(bad)), [Err(ErrorCode::KafkaStorageError)]);
    assert_eq!(offsets(hand.answer(good)), [Ok(Offset::ZERO)]);
    let again = hand.ask(produce(Acks::All, Durability::Written, &[("t-0", "c")]));
    assert_eq!(offsets(hand.answer(again)), [Err(ErrorCode::KafkaStorageError)]);
}

#[test]
fn what_this_node_does_not_do_is_refused_so_that_one_can_turn_to_another() {
    let mut hand = Hand::new(&[], LogConfig::default());
    let topic = NewTopic::new(ottla::id::TopicName::new("t").unwrap());
    let create = ottla::message::CreateTopics { topics: vec![topic], timeout_ms: 0, trial: Default::default() };
    let Response::CreateTopics(answers) = hand.answer_now(Request::CreateTopics(create)) else { panic!() };
    assert_eq!(answers[0].result.as_ref().unwrap_err().code, ErrorCode::NotController);
}

/// From an idempotent producer, in one record.
fn first_of(id: ProducerId) -> Request<Checked> {
    let stamp = ProducerStamp { id, epoch: ProducerEpoch::new(0), base_sequence: Sequence::new(0) };
    let mut batch = BatchBuilder::new(Codec::None).producer(stamp);
    batch.push(&NewRecord::new(DATE, None, Some(b"value"))).unwrap();
    let batch = batch.build().unwrap().check(&Rules::default(), DATE).unwrap();
    let partitions = vec![ProducePartition { partition: at("t-0"), batch, expected_offset: None }];
    Request::Produce(Produce { acks: Acks::All, durability: Durability::Written, timeout_ms: 1_000, partitions })
}

#[test]
fn upkeep_forgets_producers_that_have_been_idle_for_a_day_and_no_others() {
    let mut hand = Hand::new(&["t-0"], LogConfig::default());
    let id = hand.ask(first_of(ProducerId::new(7).unwrap()));
    hand.work();
    assert_eq!(offsets(hand.answer(id)), [Ok(Offset::ZERO)]);
    let known = |hand: &Hand| hand.broker.partition(&at("t-0")).unwrap().log().producers().entries().count();
    let expiration_ms = LogConfig::default().producer_id_expiration_ms as i64;
    for (after, left) in [(expiration_ms - 1, 1), (expiration_ms, 0)] {
        let date = Timestamp::from_millis(DATE.as_millis() + after);
        hand.give(Input::Upkeep { partition: at("t-0"), date });
        assert_eq!(known(&hand), left, "after {after} ms");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any requests, with the disk late, time passing, askers going and partitions stopping in between.
    #[test]
    fn every_request_is_answered_once_and_nobody_is_left_waiting(
        steps in prop::collection::vec((0_u8..12, 0_u32..4), 0..80),
    ) {
        let mut hand = Hand::new(&["t-0", "t-1"], LogConfig { tail_cache_bytes: 200, ..LogConfig::default() });
        let names = ["t-0", "t-1"];
        let (mut asked, mut gone) = (Vec::new(), 0);
        for (step, number) in steps {
            let name = names[number as usize % 2];
            match step {
                0 => asked.push(hand.ask(produce(Acks::All, Durability::Flushed, &[(name, "a")]))),
                1 => asked.push(hand.ask(produce(Acks::Leader, Durability::Written, &[("t-0", "b"), ("t-1", "c")]))),
                2 => drop(hand.ask(produce(Acks::None, Durability::Written, &[(name, "d")]))),
                3 => asked.push(hand.ask(fetch(&[name], number * 90, 50))),
                4 => asked.push(hand.ask(fetch(&names, number * 90, 50))),
                5 => asked.push(hand.ask(fetch(&["t-1", "nowhere-0"], 1, 50))),
                6..=8 => (0..=number * number).for_each(|_| assert!(hand.step() || hand.wishes.is_empty())),
                9 => hand.pass(u64::from(number) * 30),
                10 if number == 0 && !asked.is_empty() => {
                    let id = asked.swap_remove(asked.len() / 2);
                    if hand.answers.remove(&id).is_none() {
                        gone += 1;
                        hand.give(Input::Cancel(id));
                    }
                }
                _ if number == 3 => hand.give(Input::Stop { partition: at(name), reason: StopReason::Resigned }),
                _ => hand.give(Input::Flush(at(name))),
            }
        }
        hand.work();
        hand.pass(10_000);
        for id in asked {
            prop_assert!(hand.answers.remove(&id).is_some(), "{id:?} is not answered");
        }
        prop_assert!(hand.answers.is_empty(), "{gone} have gone, and still there are answers");
        prop_assert_eq!((hand.broker.waiting(), hand.broker.next_deadline()), (0, None));
    }
}
