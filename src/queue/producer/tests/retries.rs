//! What is sent again, and what is not.

use std::time::Duration;

use crate::message::{Detail, ErrorCode};
use crate::producer::{Known, SendError};
use crate::queue::producer::tests::node::{Fate, HandNode};
use crate::queue::producer::tests::{config, known, offset, producer, refusal, send, told, value};
use crate::queue::producer::{Record, SendFault};

#[test]
fn a_batch_whose_answer_was_lost_comes_again_under_its_sequence_and_is_there_once() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(Duration::ZERO));
    node.next([Fate::Answer, Fate::LoseAnswer, Fate::LoseAnswer]);
    let tickets = ["a", "b", "c"].map(|value| send(&producer, value));
    assert!(tickets[1].try_get().is_none() && tickets[2].try_get().is_none());
    node.advance(1000);
    assert_eq!(tickets.each_ref().map(offset), [0, 1, 2]);
    let seen = node.seen();
    let of_b: Vec<_> = seen.iter().filter(|batch| batch.values == ["b"]).map(|batch| batch.producer).collect();
    assert!(of_b.len() > 1 && of_b.iter().all(|stamp| *stamp == of_b[0]), "{of_b:?}");
    assert_eq!(node.log(0), ["a", "b", "c"]);
}

#[test]
fn a_batch_that_the_node_forgets_comes_again_too() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(Duration::ZERO));
    node.next([Fate::Answer, Fate::Forget]);
    let (_, forgotten) = (send(&producer, "a"), send(&producer, "b"));
    assert!(forgotten.try_get().is_none());
    node.advance(100);
    assert_eq!(offset(&forgotten), 1);
}

#[test]
fn prd_07_what_was_refused_for_now_is_sent_again_and_the_order_stays() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(Duration::ZERO));
    node.next([Fate::Refuse(ErrorCode::NotLeaderOrFollower)]);
    let tickets: Vec<_> = ["a", "b", "c"].map(|value| send(&producer, value)).into();
    node.advance(100);
    assert!(tickets.iter().map(offset).eq(0..3));
    assert_eq!(node.log(0), ["a", "b", "c"]);
}

#[test]
fn prd_09_five_in_flight_whose_first_fails_arrive_in_order() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(Duration::ZERO));
    node.otherwise(Fate::Hold);
    let tickets = ["a", "b", "c", "d", "e", "f"].map(|value| send(&producer, value));
    assert_eq!(node.held(), 5);
    node.otherwise(Fate::Answer);
    // The second is looked at first: it is refused for the gap.
    assert!(node.let_go(1) && node.out_of_order() == 1);
    while node.let_go(0) {}
    node.advance(5000);
    assert_eq!(tickets.each_ref().map(offset), [0, 1, 2, 3, 4, 5]);
    assert_eq!(node.log(0), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn prd_08_what_is_not_delivered_in_time_is_given_up_and_says_what_is_known() {
    let node = HandNode::new(1);
    let producer =
        producer(&node, config().linger(Duration::ZERO).in_flight_max(1).delivery_timeout(Duration::from_secs(1)));
    node.otherwise(Fate::Hold);
    let (asked, waiting) = (send(&producer, "a"), send(&producer, "b"));
    node.advance(999);
    assert!(asked.try_get().is_none());
    node.advance(1);
    assert!(matches!(told(&asked), Err(SendError::Expired { timeout_ms: 1000, known: Known::Unknown })));
    assert!(matches!(told(&waiting), Err(SendError::Expired { timeout_ms: 1000, known: Known::NotWritten })));
    assert_eq!(producer.shared().memory.used(), 0);
    assert!(node.let_go(0), "an answer that comes too late changes nothing");
    assert!(told(&asked).is_err());
}

#[test]
fn prd_10_a_batch_too_large_for_its_topic_is_split_and_each_ticket_finds_its_record() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    node.next([Fate::Refuse(ErrorCode::MessageTooLarge), Fate::Refuse(ErrorCode::MessageTooLarge)]);
    let tickets: Vec<_> = (0..8).map(|number| send(&producer, &value(&number.to_string(), 50))).collect();
    producer.flush().unwrap();
    assert!(tickets.iter().map(offset).eq(0..8));
    assert!(node.log(0).iter().zip(0..).all(|(found, number)| *found == value(&number.to_string(), 50)));
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn what_is_refused_for_good_is_told_with_the_facts() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(Duration::ZERO));
    node.next([Fate::Refuse(ErrorCode::InvalidTimestamp)]);
    let (refused, fine) = (send(&producer, "a"), send(&producer, "b"));
    assert_eq!(refusal(told(&refused)).code, ErrorCode::InvalidTimestamp);
    assert_eq!(known(&told(&refused).unwrap_err()), Known::NotWritten);
    assert_eq!(offset(&fine), 0, "the others go on");
}

#[test]
fn one_producer_id_is_asked_for_and_again_only_if_it_was_refused() {
    let node = HandNode::new(2);
    node.next([Fate::Refuse(ErrorCode::CoordinatorNotAvailable), Fate::Hold]);
    let producer = producer(&node, config().linger(Duration::ZERO));
    let tickets = [0, 1].map(|partition| producer.send(Record::to("orders").partition(partition).value("v")).unwrap());
    assert!(node.seen().is_empty(), "nothing is sent as nobody");
    node.advance(100);
    assert_eq!(node.held(), 1);
    node.advance(1000);
    assert_eq!(node.held(), 1, "it is being asked");
    assert!(node.let_go(0));
    assert_eq!(tickets.each_ref().map(offset), [0, 0]);
    assert_eq!(node.producer_ids(), 1);
}

#[test]
fn a_fenced_producer_goes_on_under_another_id_and_never_under_its_old_one() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(Duration::ZERO));
    let before = send(&producer, "a");
    node.next([Fate::Refuse(ErrorCode::InvalidProducerEpoch)]);
    let fenced = send(&producer, "b");
    node.advance(1000);
    assert_eq!((offset(&before), offset(&fenced)), (0, 1));
    assert_eq!(node.producer_ids(), 2);
    let ids: Vec<i64> = node.seen().iter().map(|batch| batch.producer.unwrap().id.get()).collect();
    assert_eq!(ids, [1, 1, 2]);
}

#[test]
fn what_is_on_its_way_to_a_topic_that_is_gone_is_told_so_at_once() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(Duration::ZERO));
    node.otherwise(Fate::Hold);
    node.next([Fate::Hold]);
    let ticket = send(&producer, "a");
    node.set_topic("orders", None);
    assert!(node.let_go(0));
    let error = refusal(told(&ticket));
    assert_eq!((error.code, error.detail), (ErrorCode::UnknownTopicOrPartition, Detail::None));
    let again = producer.send(Record::to("orders").value("b"));
    assert!(matches!(again, Err(SendFault::UnknownTopic { .. })));
}

#[test]
fn a_producer_that_gets_no_id_for_the_disk_is_full_says_so_and_not_once_it_has_one() {
    let node = HandNode::new(1);
    node.otherwise(Fate::Full);
    let timeouts = config().linger(Duration::ZERO).request_timeout(Duration::from_millis(500));
    let producer = producer(&node, timeouts.delivery_timeout(Duration::from_millis(1000)));
    let ticket = send(&producer, "a");
    node.advance(500);
    assert!(ticket.try_get().is_none() && node.seen().is_empty(), "it is asked again meanwhile");
    node.advance(500);
    let Err(SendError::DiskFull { disk, known: Known::NotWritten }) = told(&ticket) else {
        panic!("{:?}", told(&ticket))
    };
    assert_eq!(disk.directory.as_deref(), Some("disk 0"));
    // There is space for an id, and then nobody answers.
    let ticket = send(&producer, "b");
    node.advance(200);
    node.next([Fate::Answer]);
    node.otherwise(Fate::Hold);
    node.advance(2000);
    assert!(matches!(told(&ticket), Err(SendError::Expired { .. })), "{:?}", told(&ticket));
}
