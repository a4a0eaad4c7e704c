//! PUR: who waits, and when it is told.

use ottla::log::{Isolation, LogConfig};
use ottla::partition::{Acks, Waiter};
use ottla::time::Instant;

use crate::node::{Answer, Node};
use crate::support::batch;

#[test]
fn pur_01_what_is_there_already_is_told_at_once_and_nobody_waits() {
    let mut node = Node::new(LogConfig::default());
    node.produce(Acks::All);
    node.settle();
    let reader = node.fetch_by(0, 1, |fetch| fetch.deadline = Some(Instant::from_millis(500)));
    assert_eq!(node.offsets(reader), Some(vec![0]));
    assert_eq!((node.partition.waiting(), node.timers.len()), (0, 0), "no timer was ever set");
}

#[test]
fn pur_02_what_comes_to_be_is_told_once() {
    let mut node = Node::new(LogConfig::default());
    let reader = node.fetch_by(0, 1, |fetch| fetch.deadline = Some(Instant::from_millis(500)));
    assert_eq!((node.partition.waiting(), &node.timers[..]), (1, &[(reader, 500)][..]));
    let writer = node.produce(Acks::All);
    assert!(node.answers.is_empty(), "nothing is written yet");
    node.write();
    let told: Vec<u64> = node.answers.iter().map(|(waiter, _)| *waiter).collect();
    assert_eq!((told, node.timers.len()), (vec![writer, reader], 0));
    node.produce(Acks::None);
    node.write();
    node.expire(1000, reader);
    assert_eq!(node.answers.len(), 2, "a timer that comes all the same finds nobody");
}

#[test]
fn pur_03_whose_time_is_up_is_told_once_what_there_is() {
    let mut node = Node::new(LogConfig::default());
    node.produce(Acks::All);
    node.settle();
    let reader = node.fetch_by(0, 10_000, |fetch| fetch.deadline = Some(Instant::from_millis(500)));
    let writer = node.ask(&batch(&["a", "b"]), ottla::record::Origin::Client, |produce| {
        produce.deadline = Some(Instant::from_millis(300));
    });
    node.answers.clear();
    node.expire(299, writer);
    assert_eq!(node.timers, [(reader, 500), (writer, 300)], "too early it is told to wait on");
    node.expire(300, writer);
    let Some(Answer::Produced(Err(error))) = node.answer(writer) else { panic!("a timeout") };
    let unfinished = error.unfinished().unwrap();
    assert_eq!((unfinished.base_offset.get(), unfinished.last_offset.get()), (1, 2), "{error}");
    node.expire(500, reader);
    assert_eq!(node.offsets(reader), Some(vec![0]));
    node.write();
    assert!(node.answers.is_empty());
    assert_eq!(node.high_watermark(), 3, "what was appended stays");
}

#[test]
fn pur_04_whoever_has_gone_is_told_nothing() {
    let mut node = Node::new(LogConfig::default());
    let reader = node.fetch(0, 1, Isolation::HighWatermark);
    let writer = node.produce(Acks::All);
    assert!(node.partition.cancel(Waiter(reader)) && node.partition.cancel(Waiter(writer)));
    assert!(!node.partition.cancel(Waiter(reader)), "nobody is forgotten twice");
    assert!(!node.partition.cancel(Waiter(77)));
    node.settle();
    assert!(node.answers.is_empty());
    assert_eq!(node.high_watermark(), 1, "what was appended stays");
}
