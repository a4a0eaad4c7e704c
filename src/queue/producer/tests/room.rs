//! The limit of memory.

use crate::producer::{SendError, WhenFull};
use crate::queue::producer::tests::node::{Fate, HandNode};
use crate::queue::producer::tests::{config, offset, producer, send, value, waited};
use crate::queue::producer::{Producer, ProducerConfig, Record, SendFault, SendTicket};

/// Room for two records of 1000 bytes, which lie in batches of their own.
fn small(when_full: WhenFull) -> ProducerConfig {
    config().batch_bytes(500).memory_bytes(2400).when_full(when_full)
}

fn try_send(producer: &Producer, value: &str) -> Result<SendTicket, SendFault> {
    producer.send(Record::to("orders").partition(0).value(value))
}

#[test]
fn prd_05_a_full_producer_sends_what_lingers_and_then_waits_as_long_as_it_may() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().memory_bytes(400).when_full(WhenFull::Block { wait_max_ms: 1 }));
    node.otherwise(Fate::Hold);
    let first = send(&producer, &value("a", 200));
    assert_eq!(node.held(), 0, "it lingers");
    let refused = try_send(&producer, &value("b", 200)).unwrap_err();
    assert!(matches!(refused, SendFault::TimedOut { max: 400, .. }), "{refused}");
    assert_eq!(node.held(), 1, "it was sent to make room");
    assert!(node.let_go(0));
    assert_eq!(offset(&first), 0);
    assert!(try_send(&producer, &value("b", 200)).is_ok());
}

#[test]
fn prd_05_who_waits_for_room_is_served_when_there_is_some() {
    let node = HandNode::new(1);
    let producer = producer(&node, small(WhenFull::Block { wait_max_ms: 30_000 }));
    node.otherwise(Fate::Hold);
    let tickets = ["a", "b"].map(|name| send(&producer, &value(name, 1000)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waited(&send(&producer, &value("c", 1000))));
        while !waiting.is_finished() {
            node.let_go(0);
            std::thread::yield_now();
        }
        assert_eq!(waiting.join().unwrap().unwrap().offset.unwrap().get(), 2);
    });
    assert_eq!(tickets.each_ref().map(offset), [0, 1]);
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn a_full_producer_fails_at_once_where_that_is_asked_for() {
    let node = HandNode::new(1);
    let producer = producer(&node, small(WhenFull::Fail));
    node.otherwise(Fate::Hold);
    let _first = ["a", "b"].map(|name| send(&producer, &value(name, 1000)));
    let refused = try_send(&producer, &value("c", 1000)).unwrap_err();
    assert!(matches!(refused, SendFault::Full { max: 2400, used } if used > 2000), "{refused}");
    assert!(node.let_go(0));
    assert!(try_send(&producer, &value("c", 1000)).is_ok());
}

#[test]
fn nobody_is_refused_for_what_lanes_hold_to_spare() {
    let node = HandNode::new(8);
    let config = config().batch_bytes(50_000).memory_bytes(50_000).when_full(WhenFull::Fail);
    let producer = producer(&node, config);
    for partition in 0..8 {
        drop(producer.send(Record::to("orders").partition(partition).value("v")).unwrap());
    }
    let used: u64 = producer.shared().all_lanes().iter().map(|lane| lane.lock().machine.bytes()).sum();
    assert!((producer.shared().memory.used() as u64) > used, "or this tests nothing");
    let all = 50_000 - used - 200;
    assert!(try_send(&producer, &value("v", all as usize)).is_ok());
    assert!(node.seen().is_empty(), "nothing had to be sent for it");
}

#[test]
fn the_oldest_of_all_lanes_is_dropped_for_what_is_new() {
    let node = HandNode::new(3);
    node.otherwise(Fate::Hold);
    // Until it knows who it is, it sends nothing.
    let producer = producer(&node, small(WhenFull::DropOldest));
    let to = |partition, name| {
        node.advance(1);
        producer.send(Record::to("orders").partition(partition).value(value(name, 600))).unwrap()
    };
    let tickets = [to(2, "a"), to(0, "b"), to(1, "c"), to(2, "d"), to(2, "e")];
    let is_dropped = |ticket: &SendTicket| ticket.try_get() == Some(Err(SendError::Dropped));
    assert_eq!(tickets.each_ref().map(is_dropped), [true, true, false, false, false]);
    node.otherwise(Fate::Answer);
    assert!(node.let_go(0));
    assert_eq!(tickets[2..].iter().map(offset).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn a_record_larger_than_all_memory_is_refused_for_its_size() {
    let producer = producer(&HandNode::new(1), small(WhenFull::DropOldest));
    let refused = try_send(&producer, &value("v", 3000)).unwrap_err();
    assert!(matches!(refused, SendFault::TooLarge { max: 2400, .. }), "{refused}");
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn what_is_on_its_way_is_never_dropped() {
    let node = HandNode::new(1);
    let producer = producer(&node, small(WhenFull::DropOldest));
    node.otherwise(Fate::Hold);
    let flying = ["a", "b"].map(|name| send(&producer, &value(name, 1000)));
    assert_eq!(node.held(), 2);
    let refused = try_send(&producer, &value("c", 1000)).unwrap_err();
    assert!(matches!(refused, SendFault::Full { .. }), "{refused}");
    assert!(flying.iter().all(|ticket| ticket.try_get().is_none()));
}
