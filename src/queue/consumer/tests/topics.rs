//! Subscriptions and assignments, while topics come and go.

use super::*;
use crate::queue::SubscribeError;

#[test]
fn a_topic_that_is_not_there_is_refused_and_nothing_changes() {
    let node = Node::with(1);
    let mut consumer = reading(&node, ConsumerConfig::default());
    assert!(
        matches!(consumer.subscribe(["t", "u"]), Err(SubscribeError::UnknownTopic { topic }) if topic.as_str() == "u")
    );
    assert!(matches!(consumer.subscribe(["a/b"]), Err(SubscribeError::InvalidTopic(_))));
    let beyond = [(partition("t-1"), Start::At(at(0)))];
    assert!(matches!(consumer.assign(beyond), Err(SubscribeError::UnknownPartition { partitions: 1, .. })));
    let unknown = [(partition("u-0"), Start::At(at(0)))];
    assert!(matches!(consumer.assign(unknown), Err(SubscribeError::UnknownTopic { .. })));
    assert_eq!(consumer.assignment().cloned().collect::<Vec<_>>(), [partition("t-0")]);
    node.append("t-0", &["a"]);
    assert_eq!(poll(&mut consumer), ["a"]);
}

#[test]
fn a_partition_that_comes_later_is_read_from_its_beginning() {
    for config in [ConsumerConfig::group("g"), ConsumerConfig::default()] {
        let node = Node::with(1);
        let mut consumer = consumer(&node, config.reset(OffsetReset::Latest));
        consumer.subscribe(["t"]).unwrap();
        assert!(poll(&mut consumer).is_empty());
        node.add_partitions("t", 2);
        node.append("t-1", &["a"]);
        assert!(poll(&mut consumer).is_empty(), "topics are looked at now and then");
        node.advance(1000);
        assert_eq!(poll(&mut consumer), ["a"]);
    }
}

#[test]
fn a_topic_that_was_deleted_and_made_again_is_another_one() {
    let node = Node::with(2);
    node.append("t-0", &["a", "b"]);
    let mut consumer = consumer(&node, ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut consumer), ["a", "b"]);
    node.delete("t");
    node.advance(1000);
    assert!(poll(&mut consumer).is_empty());
    assert_eq!(consumer.assignment().count(), 0);
    node.create("t", 1);
    node.append("t-0", &["c"]);
    node.advance(1000);
    assert_eq!(poll(&mut consumer), ["c"]);
    node.create("t", 1);
    node.append("t-0", &["d"]);
    node.advance(1000);
    assert_eq!(poll(&mut consumer), ["d"], "also if it was never seen to be gone");
}

#[test]
fn whoever_has_assigned_a_partition_is_told_that_it_was_deleted() {
    let node = Node::with(2);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.assign([(partition("t-0"), Start::At(at(0))), (partition("t-1"), Start::At(at(0)))]).unwrap();
    node.add_partitions("t", 3);
    node.advance(1000);
    assert!(poll(&mut consumer).is_empty());
    assert_eq!(consumer.assignment().count(), 2, "a partition that was not assigned is not read");
    node.delete("t");
    node.advance(1000);
    assert_eq!(poll_error(&mut consumer), ConsumeError::Deleted { partition: partition("t-0") });
    assert_eq!(poll_error(&mut consumer), ConsumeError::Deleted { partition: partition("t-1") });
    assert!(poll(&mut consumer).is_empty());
}

#[test]
fn a_new_subscription_leaves_the_positions_of_what_it_keeps() {
    let node = Node::with(1);
    node.create("u", 1);
    node.append("t-0", &["a"]);
    node.append("u-0", &["b"]);
    let mut consumer = consumer(&node, ConsumerConfig::default());
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut consumer), ["a"]);
    consumer.subscribe(["t", "u"]).unwrap();
    assert_eq!(consumer.position(&partition("t-0")), Some(at(1)));
    assert_eq!(poll(&mut consumer), ["b"]);
    consumer.subscribe(["u"]).unwrap();
    assert_eq!(consumer.assignment().cloned().collect::<Vec<_>>(), [partition("u-0")]);
    consumer.unassign();
    assert_eq!(consumer.assignment().count(), 0);
    node.append("u-0", &["c"]);
    assert!(poll(&mut consumer).is_empty());
}
