//! The producer and the node it is made for, with its threads and its clock.

use std::time::Duration;

use crate::disk::MemDisk;
use crate::message::{Acks, Detail, Durability, TopicConfig};
use crate::offset::Offset;
use crate::producer::{SendError, WhenFull};
use crate::queue::producer::tests::{known, refusal, waited};
use crate::queue::producer::{Placed, ProducerConfig, Record, SendFault, SendTicket};
use crate::queue::{Queue, QueueBuilder};

fn queue(partitions: u32) -> Queue {
    let queue = QueueBuilder::default().open_on(vec![MemDisk::new()]).unwrap();
    queue.create_topic("orders", partitions, TopicConfig::default()).unwrap();
    queue
}

fn offset(told: Result<Placed, SendError>) -> u64 {
    told.unwrap().offset.unwrap().get()
}

#[test]
fn four_threads_send_to_a_queue_and_each_ticket_has_its_place() {
    let queue = queue(4);
    for durability in [Durability::Written, Durability::Flushed] {
        let when_full = WhenFull::Block { wait_max_ms: 60_000 };
        let config = ProducerConfig::default().durability(durability).memory_bytes(100_000).when_full(when_full);
        let producer = queue.producer(config).unwrap();
        std::thread::scope(|scope| {
            for partition in 0..4 {
                let orders = producer.topic("orders").unwrap();
                scope.spawn(move || {
                    let send = |number: u32| {
                        let record = Record::new().partition(partition).value(format!("{number:050}"));
                        orders.send(record).unwrap()
                    };
                    let tickets: Vec<SendTicket> = (0..5000).map(send).collect();
                    let offsets: Vec<u64> = tickets.iter().map(|ticket| offset(waited(ticket))).collect();
                    assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1));
                });
            }
        });
        assert_eq!(producer.shared().memory.used(), 0);
    }
    assert!(queue.close().is_clean());
}

#[test]
fn what_lingers_is_sent_by_the_queues_own_clock() {
    let producer = queue(1).producer(ProducerConfig::default()).unwrap();
    let tickets = ["a", "b"].map(|value| producer.send(Record::to("orders").value(value)).unwrap());
    assert_eq!(tickets.each_ref().map(|ticket| offset(waited(ticket))), [0, 1]);
    let alone = producer.send_and_wait(Record::to("orders").value("c")).unwrap();
    assert_eq!(alone.offset, Some(Offset::new(2)));
}

#[test]
fn a_queue_compares_and_appends() {
    let producer = queue(1).producer(ProducerConfig::default()).unwrap();
    let expecting = |at| producer.send(Record::to("orders").value("v").expected_offset(Offset::new(at))).unwrap();
    assert_eq!(offset(waited(&expecting(0))), 0);
    assert_eq!(refusal(waited(&expecting(0))).detail, Detail::LogEnd(Offset::new(1)));
    assert_eq!(offset(waited(&expecting(1))), 1);
}

#[test]
fn a_queue_takes_records_without_acknowledging_them() {
    let queue = queue(1);
    let producer = queue.producer(ProducerConfig::default().acks(Acks::None)).unwrap();
    let ticket = producer.send(Record::to("orders").value("v")).unwrap();
    assert_eq!(waited(&ticket).unwrap().offset, None);
    let other = queue.producer(ProducerConfig::default()).unwrap();
    assert_eq!(offset(waited(&other.send(Record::to("orders").value("v")).unwrap())), 1);
}

#[test]
fn a_queue_that_is_closed_ends_what_lingers() {
    let queue = queue(1);
    let producer = queue.producer(ProducerConfig::default().linger(Duration::from_secs(60))).unwrap();
    let ticket = producer.send(Record::to("orders").value("v")).unwrap();
    assert!(queue.close().is_clean());
    assert_eq!(known(&waited(&ticket).unwrap_err()), crate::producer::Known::NotWritten);
    assert_eq!(producer.send(Record::to("orders").value("v")).unwrap_err(), SendFault::Closed);
}

#[test]
fn records_for_a_topic_that_is_deleted_are_told_so() {
    let queue = queue(1);
    let producer = queue.producer(ProducerConfig::default().linger(Duration::from_secs(60))).unwrap();
    let ticket = producer.send(Record::to("orders").value("v")).unwrap();
    queue.delete_topic("orders").unwrap();
    producer.flush().unwrap_err();
    assert!(matches!(waited(&ticket), Err(SendError::Refused { .. })));
    assert!(matches!(producer.send(Record::to("orders").value("v")), Err(SendFault::UnknownTopic { .. })));
}
