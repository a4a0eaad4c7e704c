//! A consumer with a node made by hand.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[cfg(feature = "async")]
mod asynchronous;
mod committing;
#[cfg(feature = "snappy")]
mod compressed;
mod memory;
mod node;
mod reading;
mod stopping;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use crate::consumer::{OffsetReset, Start};
use crate::queue::client::Client;
use crate::queue::consumer::{ConsumeError, Consumer, ConsumerConfig, ConsumerConfigError, OwnedRecord, Records};

use node::{LONG, Node, at, partition};

/// A consumer of this node.
fn consumer(node: &Arc<Node>, config: ConsumerConfig) -> Consumer {
    let client: Arc<dyn Client> = Arc::<Node>::clone(node);
    Consumer::new(client, &config).unwrap()
}

/// One that reads `t-0` from offset 0.
fn reading(node: &Arc<Node>, config: ConsumerConfig) -> Consumer {
    let mut consumer = consumer(node, config);
    consumer.assign([(partition("t-0"), Start::At(at(0)))]).unwrap();
    consumer
}

fn values(records: &Records) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value().unwrap().to_vec()).unwrap()).collect()
}

/// Reads what is there, to keep it.
fn keep(consumer: &mut Consumer) -> Vec<OwnedRecord> {
    consumer.poll(Duration::ZERO).unwrap().into_iter().collect()
}

/// What is there now.
fn poll(consumer: &mut Consumer) -> Vec<String> {
    values(&consumer.poll(Duration::ZERO).unwrap())
}

/// What there is not now.
fn poll_error(consumer: &mut Consumer) -> ConsumeError {
    consumer.poll(Duration::ZERO).unwrap_err()
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let node = Node::with(1);
    let error = |config: ConsumerConfig| {
        let client: Arc<dyn Client> = Arc::<Node>::clone(&node);
        Consumer::new(client, &config).unwrap_err()
    };
    assert_eq!(error(ConsumerConfig::group("")), ConsumerConfigError::EmptyGroup);
    let default = ConsumerConfig::default;
    assert!(matches!(error(default().records_max(0)), ConsumerConfigError::Zero { setting: "records_max" }));
    assert!(matches!(error(default().unacknowledged_max(0)), ConsumerConfigError::Zero { .. }));
    let bytes = default().fetch_bytes_min(10).fetch_bytes_max(9);
    assert_eq!(error(bytes), ConsumerConfigError::FetchBytes { bytes_min: 10, bytes_max: 9 });
    let begin = default().begin(Start::Group(OffsetReset::Latest));
    assert_eq!(error(begin), ConsumerConfigError::BeginsAtNoGroup);
}

#[test]
fn a_consumer_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Consumer>();
    is_send::<Records>();
}
