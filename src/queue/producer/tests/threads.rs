//! Many threads, and a node that answers late and out of order.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::producer::WhenFull;
use crate::queue::producer::tests::node::{Fate, HandNode};
use crate::queue::producer::tests::{config, producer, send, waited};
use crate::queue::producer::{Producer, ProducerConfig, Record, SendTicket};

const THREADS: usize = 4;
const RECORDS: usize = 2000;

/// Sends from four threads, each to all four partitions, while the node answers as `node_does` says. Answers with each
/// thread's tickets.
fn send_from_all(producer: &Producer, node_does: impl Fn(usize) + Sync) -> Vec<Vec<(u32, String, SendTicket)>> {
    let working = AtomicUsize::new(THREADS);
    std::thread::scope(|scope| {
        let sender = |thread: usize| {
            let (producer, working) = (producer.clone(), &working);
            move || {
                let send = |number: usize| {
                    let (partition, value) = ((number % 4) as u32, format!("{thread}:{number:05}"));
                    let record = Record::to("orders").partition(partition).value(&value);
                    let ticket = producer.send(record).unwrap();
                    (partition, value, ticket)
                };
                let sent: Vec<_> = (0..RECORDS).map(send).collect();
                let flushed = producer.flush();
                working.fetch_sub(1, Ordering::SeqCst);
                flushed.map(|()| sent)
            }
        };
        let senders: Vec<_> = (0..THREADS).map(|thread| scope.spawn(sender(thread))).collect();
        let mut step = 0;
        while working.load(Ordering::SeqCst) > 0 {
            step += 1;
            node_does(step);
            std::thread::yield_now();
        }
        senders.into_iter().map(|sender| sender.join().unwrap().unwrap()).collect()
    })
}

/// Each record is there once, where its ticket says, and those of one thread stand in their order.
fn check(node: &HandNode, sent: &[Vec<(u32, String, SendTicket)>]) {
    let logs = [0, 1, 2, 3].map(|partition| node.log(partition));
    assert_eq!(logs.iter().map(Vec::len).sum::<usize>(), THREADS * RECORDS, "no record is there twice");
    let mut places = BTreeSet::new();
    for thread in sent {
        let mut next = [0; 4];
        for (partition, value, ticket) in thread {
            let placed = waited(ticket).unwrap();
            let (partition, offset) = (*partition as usize, placed.offset.unwrap().get());
            assert_eq!(placed.partition.partition() as usize, partition);
            assert_eq!(logs[partition][offset as usize], *value);
            assert!(offset >= next[partition], "{value} stands before what was sent before it");
            next[partition] = offset + 1;
            assert!(places.insert((partition, offset)));
        }
    }
}

fn small_batches() -> ProducerConfig {
    config().batch_bytes(300)
}

#[test]
fn four_threads_and_a_quick_node_each_ticket_has_its_place_and_batches_never_arrive_out_of_order() {
    let node = HandNode::new(4);
    let producer = producer(&node, small_batches());
    let sent = send_from_all(&producer, |_| ());
    check(&node, &sent);
    assert_eq!(node.out_of_order(), 0, "batches are handed over in order");
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn four_threads_and_a_slow_node_that_answers_in_any_order() {
    let node = HandNode::new(4);
    let producer = producer(&node, small_batches().retry_backoff(Duration::from_millis(1), Duration::from_millis(2)));
    node.otherwise(Fate::Hold);
    let sent = send_from_all(&producer, |step| {
        node.let_go(step * 7919);
        node.advance(1);
    });
    check(&node, &sent);
}

#[test]
fn four_threads_and_a_node_that_loses_answers() {
    let node = HandNode::new(4);
    let backoff = Duration::from_millis(1);
    let producer = producer(&node, small_batches().retry_backoff(backoff, backoff));
    let sent = send_from_all(&producer, |step| {
        if step % 3 == 0 {
            node.next([Fate::LoseAnswer]);
        }
        node.advance(1);
    });
    check(&node, &sent);
}

#[test]
fn four_threads_with_little_memory_wait_for_each_other_and_all_get_through() {
    let node = HandNode::new(4);
    let config = small_batches().memory_bytes(2000).when_full(WhenFull::Block { wait_max_ms: 60_000 });
    let producer = producer(&node, config);
    node.otherwise(Fate::Hold);
    let sent = send_from_all(&producer, |step| {
        assert!(producer.shared().memory.used() <= 2000);
        node.let_go(0);
        if step % 16 == 0 {
            node.advance(1);
        }
    });
    check(&node, &sent);
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn every_ticket_has_an_outcome_when_the_node_ends_in_the_middle() {
    let node = HandNode::new(4);
    let producer = producer(&node, small_batches());
    std::thread::scope(|scope| {
        let sender = |thread: u32| {
            let producer = &producer;
            move || {
                let send = |_| producer.send(Record::to("orders").partition(thread).value("v")).ok();
                (0..RECORDS).map_while(send).collect::<Vec<_>>()
            }
        };
        let senders: Vec<_> = (0..4).map(|thread| scope.spawn(sender(thread))).collect();
        while node.seen().len() < 20 {
            std::thread::yield_now();
        }
        node.stop();
        for sender in senders {
            let tickets = sender.join().unwrap();
            let results: Vec<_> = tickets.iter().map(waited).collect();
            let delivered = results.iter().take_while(|told| told.is_ok()).count();
            assert!(results[delivered..].iter().all(Result::is_err), "a lane ends once");
        }
    });
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn a_flush_tells_nothing_again_that_was_told_while_callbacks_are_being_called() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    node.otherwise(Fate::Hold);
    let (waits, calls) = (send(&producer, "a"), send(&producer, "b"));
    let (go_on, is_over) = std::sync::mpsc::channel::<()>();
    calls.on_done(move |_| assert!(is_over.recv().is_err()));
    let flushing = producer.clone();
    std::thread::scope(|scope| {
        let first = scope.spawn(move || flushing.flush());
        while node.held() == 0 {
            std::thread::yield_now();
        }
        node.set_topic("orders", None);
        let lets_go = scope.spawn(|| node.let_go(0));
        assert!(waited(&waits).is_err());
        assert!(first.join().unwrap().is_err(), "it waited for it");
        assert_eq!(producer.flush(), Ok(()), "that was told before");
        drop(go_on);
        assert!(lets_go.join().unwrap());
    });
}
