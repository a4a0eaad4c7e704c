//! Every way to stop ends every wait, and says what is not known.

use std::sync::Arc;
use std::time::Duration;

use crate::producer::{Known, SendError, WhenFull};
use crate::queue::producer::tests::node::{Fate, HandNode};
use crate::queue::producer::tests::{config, known, offset, producer, send, told, value, waited};
use crate::queue::producer::{Record, SendFault};

#[test]
fn a_close_delivers_what_is_there_and_takes_nothing_more() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    let (ticket, clone) = (send(&producer, "a"), producer.clone());
    assert_eq!(producer.close(Duration::from_secs(30)), Ok(()));
    assert_eq!(offset(&ticket), 0);
    let refused = clone.send(Record::to("orders").partition(0).value("b")).unwrap_err();
    assert_eq!(refused, SendFault::Closed);
    assert_eq!(clone.close(Duration::ZERO), Ok(()), "closing again does nothing");
}

#[test]
fn a_close_that_runs_out_of_time_tells_what_was_sent_from_what_was_not() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(Duration::ZERO).in_flight_max(1));
    node.otherwise(Fate::Hold);
    let (sent, unsent) = (send(&producer, "a"), send(&producer, "b"));
    let error = producer.close(Duration::ZERO).unwrap_err();
    assert_eq!(error, SendError::Closed { known: Known::Unknown });
    assert_eq!(told(&sent), Err(error));
    assert_eq!(told(&unsent), Err(SendError::Closed { known: Known::NotWritten }));
    assert!(node.let_go(0), "an answer that comes later changes nothing");
    assert!(told(&sent).is_err());
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn the_end_of_the_node_ends_every_wait() {
    let node = HandNode::new(2);
    let config = config().memory_bytes(400).when_full(WhenFull::Block { wait_max_ms: 60_000 });
    let producer = producer(&node, config);
    node.otherwise(Fate::Hold);
    let flying = send(&producer, &value("a", 200));
    std::thread::scope(|scope| {
        // To wait for room, it sends what lingers.
        let sender = scope.spawn(|| producer.send(Record::to("orders").partition(1).value(value("b", 200))));
        let waiter = scope.spawn(|| waited(&flying));
        while node.held() == 0 {
            std::thread::yield_now();
        }
        node.stop();
        assert_eq!(sender.join().unwrap().unwrap_err(), SendFault::Closed);
        assert_eq!(known(&waiter.join().unwrap().unwrap_err()), Known::Unknown);
    });
    let refused = producer.send(Record::to("orders").partition(0).value("c")).unwrap_err();
    assert_eq!(refused, SendFault::Closed);
}

#[test]
fn the_end_of_the_node_ends_what_lingers_and_what_waits_to_be_sent_again() {
    let node = HandNode::new(2);
    let producer = producer(&node, config());
    node.next([Fate::LoseAnswer]);
    let lost = send(&producer, "a");
    node.advance(5);
    let lingering = send(&producer, "b");
    node.stop();
    assert_eq!(known(&told(&lost).unwrap_err()), Known::Unknown);
    assert_eq!(known(&told(&lingering).unwrap_err()), Known::NotWritten);
    assert!(producer.flush().is_ok(), "nothing is left to wait for");
}

#[test]
fn a_producer_of_a_node_that_has_ended_takes_nothing() {
    let node = HandNode::new(1);
    node.stop();
    let producer = producer(&node, config());
    assert_eq!(producer.send(Record::to("orders")).unwrap_err(), SendFault::Closed);
}

#[test]
fn a_dropped_producer_hands_over_what_is_there_and_its_tickets_still_tell() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    node.next([Fate::LoseAnswer]);
    let ticket = send(&producer, "a");
    let clone = producer.clone();
    drop(producer);
    assert!(node.seen().is_empty(), "a clone is still there");
    drop(clone);
    assert!(ticket.try_get().is_none());
    // Nobody but the clock is left to send it again.
    node.advance(1000);
    assert_eq!(offset(&ticket), 0);
    assert_eq!(node.log(0), ["a"]);
    assert!(node.clocked().is_empty(), "nothing is left of it");
}

#[test]
fn a_dropped_producer_without_anything_to_send_is_gone() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    drop(send(&producer, "a"));
    producer.flush().unwrap();
    drop(producer);
    assert!(node.clocked().is_empty());
    assert_eq!(Arc::strong_count(&node), 1);
}

#[test]
fn a_node_that_ends_takes_a_dropped_producer_with_it() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    node.otherwise(Fate::Hold);
    let ticket = send(&producer, "a");
    drop(producer);
    assert_eq!(node.held(), 1);
    node.stop();
    assert_eq!(known(&told(&ticket).unwrap_err()), Known::Unknown);
    assert!(node.clocked().is_empty());
}
