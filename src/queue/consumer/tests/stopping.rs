//! Every way in which a wait ends.

use super::*;
use crate::message::Request;
use crate::queue::consumer::CommitError;

fn is_fetch(request: &Request) -> bool {
    matches!(request, Request::Fetch(_))
}

#[test]
fn closing_the_queue_ends_a_poll_that_waits_and_all_that_follow() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::group("g"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            node.wait_for_open(is_fetch);
            node.stop();
        });
        assert_eq!(consumer.poll(LONG).unwrap_err(), ConsumeError::Closed);
    });
    assert_eq!(poll_error(&mut consumer), ConsumeError::Closed);
    assert_eq!(consumer.commit(), Err(CommitError::Closed));
    assert_eq!(consumer.committed([partition("t-0")]), Err(CommitError::Closed));
}

#[test]
fn closing_the_queue_ends_a_poll_that_has_nothing_to_ask() {
    let node = Node::with(1);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    assert!(poll(&mut consumer).is_empty());
    let asked = node.asked();
    assert!(poll(&mut consumer).is_empty());
    assert_eq!(node.asked(), asked, "whether the queue is there is not asked with each poll");
    std::thread::scope(|scope| {
        scope.spawn(|| node.stop());
        assert_eq!(consumer.poll(LONG).unwrap_err(), ConsumeError::Closed);
    });
}

#[test]
fn a_question_that_is_thrown_away_is_not_waited_for() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    poll(&mut consumer);
    node.drop_questions();
    assert_eq!(poll_error(&mut consumer), ConsumeError::Closed);
}

#[test]
fn a_commit_that_waits_ends_when_the_queue_is_closed() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::group("g"));
    node.hold();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            node.wait_for_open(|request| matches!(request, Request::OffsetCommit(_)));
            node.stop();
        });
        assert_eq!(consumer.commit(), Err(CommitError::Closed));
    });
}

#[test]
fn a_wakeup_ends_the_poll_that_waits_or_the_next_one_and_no_more() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let waker = consumer.waker();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            node.wait_for_open(is_fetch);
            waker.wakeup();
        });
        assert_eq!(consumer.poll(LONG).unwrap_err(), ConsumeError::WokenUp);
    });
    assert!(poll(&mut consumer).is_empty());
    waker.wakeup();
    waker.wakeup();
    node.append("t-0", &["a"]);
    assert_eq!(poll_error(&mut consumer), ConsumeError::WokenUp);
    assert_eq!(poll(&mut consumer), ["a"], "nothing is lost by it");
}

#[test]
fn a_wakeup_does_not_disturb_a_commit_and_is_kept_for_the_poll() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::group("g"));
    consumer.waker().wakeup();
    node.hold();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            node.wait_for_open(|request| matches!(request, Request::OffsetCommit(_)));
            node.release();
        });
        consumer.commit().unwrap();
    });
    assert_eq!(poll_error(&mut consumer), ConsumeError::WokenUp);
}

#[test]
fn a_tail_ends_when_the_queue_is_closed_and_by_a_wakeup() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b"]);
    let mut consumer = reading(&node, ConsumerConfig::default());
    std::thread::scope(|scope| {
        let waker = consumer.waker();
        let mut tail = consumer.tail();
        assert!(tail.next().is_some_and(|record| record.is_ok()) && tail.next().is_some_and(|record| record.is_ok()));
        // Whether it waits by then or not: there is nothing else that could end it.
        scope.spawn(move || waker.wakeup());
        assert!(tail.next().is_none());
    });
    node.append("t-0", &["c"]);
    let mut tail = consumer.tail();
    assert_eq!(tail.next().unwrap().unwrap().value(), Some(&b"c"[..]));
    node.stop();
    assert!(tail.next().is_none());
    assert!(tail.next().is_none());
}

#[test]
fn a_consumer_that_is_dropped_takes_back_what_it_has_asked() {
    let node = Node::with(2);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    poll(&mut consumer);
    assert_eq!(node.open(), 1);
    consumer.close();
    assert_eq!(node.open(), 0);
}

/// Runs `wait`, which has to end by itself: if it does not, the consumer is woken up.
fn ends<T>(wakeup: &crate::queue::consumer::Wakeup, wait: impl FnOnce() -> T) -> T {
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if is_over.recv_timeout(LONG) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                wakeup.wakeup();
            }
        });
        let ended = wait();
        drop(over);
        ended
    })
}

#[test]
fn a_tail_that_nobody_can_acknowledge_for_says_so_and_does_not_wait() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b"]);
    let mut consumer = reading(&node, ConsumerConfig::default().unacknowledged_max(1));
    let waker = consumer.waker();
    let stuck = ends(&waker, || {
        let mut tail = consumer.tail();
        assert_eq!(tail.next().unwrap().unwrap().offset(), at(0));
        tail.next().map(|item| item.unwrap_err())
    });
    assert_eq!(stuck, Some(ConsumeError::Unacknowledged { outstanding: 1 }));
}

#[test]
fn a_tail_waits_for_those_who_acknowledge_and_not_when_they_are_gone() {
    let node = Node::with(1);
    node.append("t-0", &["a", "b", "c"]);
    let mut consumer = reading(&node, ConsumerConfig::default().unacknowledged_max(1));
    let (waker, acknowledger) = (consumer.waker(), consumer.acknowledger().unwrap());
    let (hand_over, handed_over) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let receipt: crate::queue::consumer::Receipt = handed_over.recv().unwrap();
            acknowledger.ack(&receipt);
            handed_over.recv().unwrap();
            // With it goes the last who could acknowledge.
            drop(acknowledger);
        });
        let last = ends(&waker, || {
            let mut tail = consumer.tail();
            for offset in 0..2 {
                let record = tail.next().unwrap().unwrap();
                assert_eq!(record.offset(), at(offset));
                hand_over.send(record.receipt().clone()).unwrap();
            }
            tail.next().map(|item| item.unwrap_err())
        });
        assert_eq!(last, Some(ConsumeError::Unacknowledged { outstanding: 1 }));
    });
}
