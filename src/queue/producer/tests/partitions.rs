//! Which partition a record goes to.

use crate::producer::{Partitioner, Topic};
use crate::queue::producer::tests::node::HandNode;
use crate::queue::producer::tests::{config, producer, told, value};
use crate::queue::producer::{Partitioning, Producer, Record, SendFault};

/// The partitions that these records went to.
fn partitions<'a>(producer: &Producer, records: impl IntoIterator<Item = Record<'a>>) -> Vec<u32> {
    let tickets: Vec<_> = records.into_iter().map(|record| producer.send(record).unwrap()).collect();
    producer.flush().unwrap();
    tickets.iter().map(|ticket| told(ticket).unwrap().partition.partition()).collect()
}

#[test]
fn prd_01_a_key_goes_where_kafkas_clients_send_it() {
    let producer = producer(&HandNode::new(6), config());
    let keys = ["foobar", "abc", "foobar"].map(|key| Record::to("orders").key(key).value("v"));
    assert_eq!(partitions(&producer, keys), [0, 3, 0]);
}

#[test]
fn without_a_key_a_batchs_worth_stays_together_and_none_is_left_out() {
    let producer = producer(&HandNode::new(3), config().batch_bytes(1000));
    let text = value("v", 100);
    let found = partitions(&producer, (0..300).map(|_| Record::to("orders").value(&text)));
    let changes = found.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((5..60).contains(&changes), "{found:?}");
    assert!((0..3).all(|partition| found.contains(&partition)));
}

#[test]
fn the_configured_partitioner_is_asked() {
    let go = |partitioning| {
        let producer = producer(&HandNode::new(3), config().partitioning(partitioning));
        partitions(&producer, (0..6).map(|_| Record::to("orders").key("k").value("v")))
    };
    assert_eq!(go(Partitioning::RoundRobin), [0, 1, 2, 0, 1, 2]);
    assert_eq!(go(Partitioning::Explicit(2)), [2; 6]);
    assert_eq!(go(Partitioning::Random), go(Partitioning::Random), "one seed, one history");
}

#[test]
fn a_partitioner_of_ones_own_may_err() {
    #[derive(Debug)]
    struct ByLength;
    impl Partitioner for ByLength {
        fn pick(&mut self, key: Option<&[u8]>, _topic: Topic<'_>) -> u32 {
            key.map_or(0, <[u8]>::len) as u32
        }
    }

    let producer = producer(&HandNode::new(3), config().partitioner(|_| ByLength));
    let keyed = |key| Record::to("orders").key(key).value("v");
    assert_eq!(partitions(&producer, [keyed("x"), keyed("xx"), keyed("")]), [1, 2, 0]);
    let refused = producer.send(keyed("xxx")).unwrap_err();
    assert!(matches!(refused, SendFault::NoSuchPartition { partition: 3, partitions: 3, .. }), "{refused}");
}

#[test]
fn a_partition_that_was_added_is_found_when_it_is_named() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    let named = || producer.send(Record::to("orders").partition(1).value("v"));
    assert!(matches!(named(), Err(SendFault::NoSuchPartition { partition: 1, partitions: 1, .. })));
    node.set_topic("orders", Some(2));
    assert!(named().is_ok());
}

#[test]
fn what_names_no_topic_that_there_is_is_refused() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    let fault = |record| producer.send(record).unwrap_err();
    assert!(matches!(fault(Record::to("no/topic")), SendFault::Name(_)));
    assert!(matches!(fault(Record::new()), SendFault::WrongTopic { found: None }));
    assert!(matches!(fault(Record::to("others")), SendFault::UnknownTopic { .. }));
    node.set_topic("others", Some(1));
    assert!(producer.send(Record::to("others")).is_ok(), "it was made meanwhile");
    assert!(producer.topic("nothing").is_err());
}

#[test]
fn a_handle_for_a_topic_takes_records_that_name_none() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    let orders = producer.topic("orders").unwrap();
    let tickets = [orders.send(Record::new().value("a")), orders.send(Record::to("orders").value("b"))];
    assert!(matches!(orders.send(Record::to("others")), Err(SendFault::WrongTopic { found: Some(_) })));
    orders.producer().flush().unwrap();
    assert!(tickets.iter().all(|ticket| told(ticket.as_ref().unwrap()).is_ok()));
    assert_eq!(node.log(0), ["a", "b"]);
}
