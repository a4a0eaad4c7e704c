//! The producer beside a node made by hand.

mod node;
mod partitions;
mod real;
mod retries;
mod room;
mod stops;
mod threads;
mod tickets;

use std::sync::Arc;
use std::time::Duration;

use crate::message::{Durability, RequestError};
use crate::producer::{Known, SendError};
use crate::queue::producer::tests::node::HandNode;
use crate::queue::producer::{Placed, Producer, ProducerConfig, Record, SendTicket};

fn config() -> ProducerConfig {
    ProducerConfig::default().seed(7).durability(Durability::Written)
}

fn producer(node: &Arc<HandNode>, config: ProducerConfig) -> Producer {
    Producer::new(Arc::clone(node) as Arc<_>, config).unwrap()
}

/// Sends to partition 0 of `orders`.
fn send(producer: &Producer, value: &str) -> SendTicket {
    producer.send(Record::to("orders").partition(0).value(value)).unwrap()
}

/// What a ticket tells that has been told.
fn told(ticket: &SendTicket) -> Result<Placed, SendError> {
    ticket.try_get().expect("nothing is known yet")
}

fn offset(ticket: &SendTicket) -> u64 {
    told(ticket).unwrap().offset.unwrap().get()
}

/// What a ticket tells, which another thread will know before long.
fn waited(ticket: &SendTicket) -> Result<Placed, SendError> {
    ticket.wait_timeout(Duration::from_secs(30)).expect("nobody has told what became of it")
}

fn known(error: &SendError) -> Known {
    match error {
        SendError::Refused { known, .. }
        | SendError::Expired { known, .. }
        | SendError::DiskFull { known, .. }
        | SendError::SpaceBound { known, .. }
        | SendError::Closed { known } => *known,
        SendError::Build(_) | SendError::Dropped => Known::NotWritten,
    }
}

fn refusal(told: Result<Placed, SendError>) -> RequestError {
    match told {
        Err(SendError::Refused { error, .. }) => error,
        other => panic!("{other:?} is no refusal"),
    }
}

/// A record's value of so many bytes.
fn value(name: &str, bytes: usize) -> String {
    format!("{name:.<bytes$}")
}
