//! A node with bounds on its space, driven by hand: what goes for a batch goes only if the batch comes.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "broker/hand.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
#[expect(unreachable_pub, reason = "a test has no outside")]
mod hand;

use std::collections::BTreeMap;

use hand::{DATE, Hand, at};
use ottla::broker::{RequestId, SpaceConfig};
use ottla::epoch::{ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicName};
use ottla::log::LogConfig;
use ottla::message::AtSpaceBound::{Block, DropOldest, Fail};
use ottla::message::{Acks, Durability, ErrorCode, Produce, ProducePartition, Request, Response, SpaceBound};
use ottla::offset::Offset;
use ottla::record::{BatchBuilder, Checked, Codec, NewRecord, ProducerStamp, Rules};

const SEGMENT: u32 = 4_000;
const BOUND: u64 = 12_000;
/// More than a batch and its place in the indexes take.
const NEEDED: u64 = 1_100;

/// A batch of one record of about 900 bytes, the `sequence`th of its producer.
fn numbered(sequence: i32) -> ProducePartition<Checked> {
    sized(sequence, 900)
}

fn sized(sequence: i32, bytes: usize) -> ProducePartition<Checked> {
    let (id, epoch, base_sequence) = (ProducerId::new(1).unwrap(), ProducerEpoch::new(0), Sequence::new(sequence));
    let mut batch = BatchBuilder::new(Codec::None).producer(ProducerStamp { id, epoch, base_sequence });
    batch.push(&NewRecord::new(DATE, None, Some(&vec![b'x'; bytes]))).unwrap();
    let batch = batch.build().unwrap().check(&Rules::default(), DATE).unwrap();
    ProducePartition { partition: at("orders-0"), batch, expected_offset: None }
}

fn ask(hand: &mut Hand, part: ProducePartition<Checked>) -> RequestId {
    let (acks, durability) = (Acks::All, Durability::Written);
    hand.ask(Request::Produce(Produce { acks, durability, timeout_ms: 1_000, partitions: vec![part] }))
}

fn told(hand: &mut Hand, id: RequestId) -> Result<Offset, ErrorCode> {
    let Response::Produce(mut answers) = hand.answer(id) else { panic!("not a produce") };
    answers.remove(0).result.map(|put| put.base_offset).map_err(|error| error.code)
}

fn send(hand: &mut Hand, part: ProducePartition<Checked>) -> Result<Offset, ErrorCode> {
    let id = ask(hand, part);
    hand.work();
    told(hand, id)
}

fn dropped(hand: &Hand) -> u64 {
    hand.broker.dropped().map(|(_, dropped)| dropped.segments).sum()
}

fn bounded(space: SpaceConfig) -> Hand {
    let config = LogConfig { segment_bytes: SEGMENT, ..LogConfig::default() };
    Hand::bounded(&["orders-0", "bills-0"], config, space)
}

fn total(at_bound: ottla::message::AtSpaceBound) -> SpaceConfig {
    SpaceConfig { total: Some(SpaceBound { bytes_max: BOUND, at_bound }), topics: BTreeMap::new() }
}

fn used(hand: &Hand, partition: &str) -> u64 {
    hand.broker.partition(&at(partition)).unwrap().space().bytes
}

/// A partition that has no space for one more, and how many batches it has.
fn full(space: SpaceConfig) -> (Hand, i32) {
    let mut hand = bounded(space);
    for sequence in 0.. {
        if used(&hand, "orders-0") + NEEDED > BOUND {
            return (hand, sequence);
        }
        assert_eq!(send(&mut hand, numbered(sequence)), Ok(Offset::new(sequence as u64)));
    }
    unreachable!("there is a bound")
}

#[test]
fn nothing_goes_for_a_batch_that_is_there_already_or_that_is_refused() {
    let (mut hand, sent) = full(total(DropOldest));
    assert_eq!(send(&mut hand, numbered(sent - 1)), Ok(Offset::new(sent as u64 - 1)), "it is there already");
    assert_eq!(send(&mut hand, numbered(sent + 1)), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(send(&mut hand, sized(sent, SEGMENT as usize)), Err(ErrorCode::RecordListTooLarge));
    let elsewhere = ProducePartition { expected_offset: Some(Offset::ZERO), ..numbered(sent) };
    assert_eq!(send(&mut hand, elsewhere), Err(ErrorCode::InvalidRequest));
    assert_eq!(dropped(&hand), 0);
    assert_eq!(send(&mut hand, numbered(sent)), Ok(Offset::new(sent as u64)));
    assert_eq!(dropped(&hand), 1);
}

#[test]
fn nothing_goes_for_the_bound_of_a_topic_while_that_of_all_refuses() {
    for (policy, code) in [(Fail, ErrorCode::PolicyViolation), (Block, ErrorCode::ThrottlingQuotaExceeded)] {
        let topic = SpaceBound { bytes_max: BOUND / 2, at_bound: DropOldest };
        let topics = BTreeMap::from([(TopicName::new("orders").unwrap(), topic)]);
        let mut hand = bounded(SpaceConfig { topics, ..total(policy) });
        for sequence in 0..8 {
            let bill = ProducePartition { partition: at("bills-0"), ..numbered(sequence) };
            assert_eq!(send(&mut hand, bill), Ok(Offset::new(sequence as u64)));
        }
        let mut sent = 0;
        while used(&hand, "bills-0") + used(&hand, "orders-0") + NEEDED <= BOUND {
            assert_eq!(send(&mut hand, numbered(sent)), Ok(Offset::new(sent as u64)));
            sent += 1;
        }
        assert_eq!(send(&mut hand, sized(sent, 2_900)), Err(code), "all together have no space");
        assert_eq!(dropped(&hand), 0);
    }
}

#[test]
fn behind_batches_that_wait_for_the_disk_one_is_judged_as_if_they_were_appended() {
    let (mut hand, mut sent) = full(total(DropOldest));
    // The disk is slow: the first that needs a new segment is held, and those behind it.
    let mut asked = Vec::new();
    let appended = |hand: &Hand| hand.broker.partition(&at("orders-0")).unwrap().log().log_end_offset();
    while appended(&hand) >= Offset::new(sent as u64 - 1) || used(&hand, "orders-0") + NEEDED <= BOUND {
        asked.push((ask(&mut hand, numbered(sent)), sent));
        sent += 1;
        assert!(used(&hand, "orders-0") <= BOUND && asked.len() < 100);
    }
    let before = dropped(&hand);
    let refused = [sent - 1, sent + 1].map(|sequence| ask(&mut hand, numbered(sequence)));
    assert_eq!(dropped(&hand), before, "neither will be appended");
    assert!(refused.map(|id| told(&mut hand, id).is_err()).iter().all(|is_refused| *is_refused));
    asked.push((ask(&mut hand, numbered(sent)), sent));
    assert!(dropped(&hand) > before, "this one will be");
    hand.work();
    for (id, sequence) in asked {
        assert_eq!(told(&mut hand, id), Ok(Offset::new(sequence as u64)));
    }
}

#[test]
fn what_waits_for_the_disk_counts_with_its_places_in_the_indexes() {
    let config = LogConfig { segment_bytes: 1 << 20, index_interval_bytes: 1, ..LogConfig::default() };
    let mut hand = Hand::bounded(&["orders-0"], config, total(Fail));
    // A disk that does nothing yet: all are held, since the first of a partition wants space in its file.
    let (mut asked, mut refused) = (Vec::new(), Vec::new());
    for sequence in 0..400 {
        let id = ask(&mut hand, sized(sequence, 1));
        if hand.answers.contains_key(&id) { refused.push(id) } else { asked.push(id) }
    }
    assert!(asked.len() > 50 && !refused.is_empty(), "{} are held", asked.len());
    hand.work();
    assert!(asked.into_iter().all(|id| told(&mut hand, id).is_ok()));
    assert!(refused.into_iter().all(|id| told(&mut hand, id) == Err(ErrorCode::PolicyViolation)));
    assert!(used(&hand, "orders-0") <= BOUND, "{}", used(&hand, "orders-0"));
}
