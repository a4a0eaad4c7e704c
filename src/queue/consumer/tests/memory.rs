//! A bound on the memory of consumers and of what the program keeps.

use std::sync::Arc;

use super::*;

/// What a batch of one record takes here, about.
const BATCH: u64 = 100;

/// With one record in a batch of its own in each of so many partitions.
fn filled(partitions: u32) -> Arc<Node> {
    let node = Node::with(partitions);
    (0..partitions).for_each(|number| node.append(&format!("t-{number}"), &["first"]));
    node
}

#[test]
fn what_the_program_keeps_holds_up_the_next_fetch_until_it_is_let_go_of() {
    let node = filled(1);
    let budget = node.bound_memory(BATCH);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let kept = keep(&mut consumer);
    node.append("t-0", &["second"]);
    let told = poll_error(&mut consumer);
    assert_eq!(told, ConsumeError::MemoryBound { held: budget.held(), bytes_max: BATCH });
    assert!(budget.held() > 0 && budget.held() <= BATCH);
    assert_eq!(consumer.position(&partition("t-0")), Some(at(1)));
    let asked = node.asked();
    (0..5).for_each(|_| drop(poll_error(&mut consumer)));
    assert_eq!(node.asked(), asked, "what there is no room for is not asked for");
    drop(kept);
    assert_eq!(poll(&mut consumer), ["second"]);
    drop(consumer);
    assert_eq!(budget.held(), 0);
}

#[test]
fn what_is_in_files_is_not_read_before_there_is_room() {
    let node = filled(2);
    node.move_to_files();
    let budget = node.bound_memory(BATCH);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    let kept = keep(&mut consumer);
    assert_eq!((kept.len(), node.reads()), (1, 1));
    assert!(matches!(poll_error(&mut consumer), ConsumeError::MemoryBound { .. }));
    assert!(matches!(poll_error(&mut consumer), ConsumeError::MemoryBound { .. }));
    assert_eq!(node.reads(), 1);
    drop(kept);
    assert_eq!((poll(&mut consumer).len(), node.reads()), (1, 2));
    assert!(poll(&mut consumer).is_empty());
    assert_eq!(budget.held(), 0);
}

#[test]
fn a_poll_that_waits_for_room_goes_on_when_another_thread_lets_go() {
    let node = filled(1);
    node.bound_memory(BATCH);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let kept = keep(&mut consumer);
    node.append("t-0", &["second"]);
    assert!(matches!(poll_error(&mut consumer), ConsumeError::MemoryBound { .. }));
    std::thread::scope(|scope| {
        scope.spawn(move || drop(kept));
        assert_eq!(values(&consumer.poll(LONG).unwrap()), ["second"]);
    });
}

#[test]
fn a_tail_waits_for_room_and_is_told_when_the_queue_is_closed() {
    let node = filled(1);
    node.bound_memory(BATCH);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let first = consumer.tail().next().unwrap().unwrap();
    node.append("t-0", &["second"]);
    let second = std::thread::scope(|scope| {
        scope.spawn(move || drop(first));
        consumer.tail().next().unwrap().unwrap()
    });
    assert_eq!(second.value(), Some(&b"second"[..]));
    node.append("t-0", &["third"]);
    std::thread::scope(|scope| {
        scope.spawn(|| node.stop());
        assert!(consumer.tail().next().is_none());
    });
}

#[test]
fn who_has_nothing_gets_one_answer_whatever_the_others_keep() {
    let node = filled(1);
    let budget = node.bound_memory(1);
    let mut greedy = reading(&node, ConsumerConfig::default());
    let all = keep(&mut greedy);
    let mut modest = reading(&node, ConsumerConfig::default());
    assert_eq!(poll(&mut modest), ["first"]);
    node.append("t-0", &["second"]);
    assert_eq!(poll(&mut modest), ["second"], "it has let go of the first");
    assert!(matches!(poll_error(&mut greedy), ConsumeError::MemoryBound { .. }));
    assert!(budget.held() > 1, "what is kept counts: {}", budget.held());
    drop(all);
    assert_eq!(poll(&mut greedy), ["second"]);
}

#[test]
fn room_is_made_of_what_a_paused_partition_had_and_nothing_of_it_is_lost() {
    let node = Node::with(2);
    node.append("t-0", &["a", "b"]);
    let budget = node.bound_memory(1);
    let mut consumer = consumer(&node, ConsumerConfig::default().records_max(1));
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut consumer), ["a"]);
    consumer.pause(&partition("t-0")).unwrap();
    assert!(budget.held() > 1, "the rest of the batch is here");
    node.append("t-1", &["c"]);
    assert_eq!(poll(&mut consumer), ["c"]);
    consumer.resume(&partition("t-0")).unwrap();
    assert_eq!(poll(&mut consumer), ["b"]);
}

#[test]
fn without_a_bound_nothing_is_counted_and_nothing_waits() {
    let node = filled(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let kept = keep(&mut consumer);
    node.append("t-0", &["second"]);
    assert_eq!(poll(&mut consumer), ["second"]);
    drop(kept);
}

#[test]
fn a_seek_while_there_is_no_room_goes_on_where_it_was_sought() {
    let node = filled(1);
    node.bound_memory(BATCH);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let kept = keep(&mut consumer);
    node.append("t-0", &["second"]);
    drop(poll_error(&mut consumer));
    consumer.seek(&partition("t-0"), at(0)).unwrap();
    assert!(matches!(poll_error(&mut consumer), ConsumeError::MemoryBound { .. }));
    drop(kept);
    assert_eq!(poll(&mut consumer), ["first", "second"]);
}

#[test]
fn what_is_not_read_any_more_is_not_waited_for() {
    let node = filled(2);
    node.append("t-1", &["much longer than what there is room for, so that it would have to wait"]);
    let budget = node.bound_memory(3 * BATCH);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.assign([(partition("t-0"), Start::At(at(0)))]).unwrap();
    let kept = keep(&mut consumer);
    consumer.assign([(partition("t-1"), Start::At(at(0)))]).unwrap();
    assert!(matches!(poll_error(&mut consumer), ConsumeError::MemoryBound { .. }), "{}", budget.held());
    consumer.assign([(partition("t-0"), Start::At(at(0)))]).unwrap();
    assert_eq!(poll(&mut consumer), ["first"], "for this there is room");
    consumer.assign([(partition("t-1"), Start::At(at(0)))]).unwrap();
    drop(poll_error(&mut consumer));
    consumer.unassign();
    assert!(poll(&mut consumer).is_empty());
    drop(kept);
}
