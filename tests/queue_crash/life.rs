//! What a service does with a queue, until its disk stops.

use std::num::NonZeroUsize;
use std::time::Duration;

use ottla::Queue;
use ottla::disk::MemDisk;
use ottla::id::TopicPartition;
use ottla::message::{Committed, DeleteBefore, Durability, TopicConfig};
use ottla::offset::Offset;
use ottla::queue::{ConsumerConfig, Producer, ProducerConfig, Record};

use crate::notes::Notes;

/// The name of the group whose offsets are committed.
pub(crate) const GROUP: &str = "workers";

/// The disk has stopped: the script ends.
#[derive(Debug)]
pub(crate) struct Ended;

/// Three lives of a queue: closed, dropped, and dropped.
pub(crate) fn run_script(disk: &MemDisk) -> Notes {
    let mut notes = Notes::default();
    let ended = first_life(disk, &mut notes)
        .and_then(|()| second_life(disk, &mut notes))
        .and_then(|()| third_life(disk, &mut notes));
    if ended.is_ok() {
        notes.finish();
    }
    notes
}

fn first_life(disk: &MemDisk, notes: &mut Notes) -> Result<(), Ended> {
    let mut life = Life::open(disk, notes)?;
    life.create("orders", 2, 500_000)?;
    life.send("orders", 0, 5, Durability::Flushed)?;
    life.send("orders", 1, 3, Durability::Written)?;
    life.add_partitions("orders", 3)?;
    life.send("orders", 2, 4, Durability::Flushed)?;
    life.commit("orders", 0, 2)?;
    life.create("passing", 1, 600_000)?;
    life.send("passing", 0, 3, Durability::Flushed)?;
    life.delete_records("orders", 0, 2)?;
    life.commit("orders", 0, 4)?;
    life.delete("passing")?;
    life.create("passing", 2, 700_000)?;
    life.send("passing", 1, 2, Durability::Flushed)?;
    life.send("orders", 0, 2, Durability::Written)?;
    life.close();
    Ok(())
}

fn second_life(disk: &MemDisk, notes: &mut Notes) -> Result<(), Ended> {
    let mut life = Life::open(disk, notes)?;
    life.send("orders", 0, 3, Durability::Flushed)?;
    life.send("passing", 1, 2, Durability::Written)?;
    life.create("late", 1, 800_000)?;
    life.send("late", 0, 2, Durability::Flushed)?;
    life.commit("orders", 0, 7)?;
    life.delete("passing")?;
    life.delete_records("orders", 2, 3)?;
    life.send("orders", 1, 2, Durability::Written)
}

fn third_life(disk: &MemDisk, notes: &mut Notes) -> Result<(), Ended> {
    let mut life = Life::open(disk, notes)?;
    life.send("orders", 1, 2, Durability::Flushed)?;
    life.commit("orders", 1, 3)?;
    life.create("passing", 1, 900_000)?;
    life.send("passing", 0, 2, Durability::Flushed)?;
    life.send("late", 0, 2, Durability::Flushed)
}

struct Life<'a> {
    disk: MemDisk,
    queue: Queue,
    flushed: Producer,
    written: Producer,
    notes: &'a mut Notes,
}

impl<'a> Life<'a> {
    fn open(disk: &MemDisk, notes: &'a mut Notes) -> Result<Self, Ended> {
        let queue = match Queue::builder().threads(const { NonZeroUsize::new(2).unwrap() }).open_on(vec![disk.clone()])
        {
            Ok(queue) => queue,
            Err(error) => return Err(ended(disk, &error)),
        };
        let sends = |durability| {
            // What the disk has stopped is not to be tried again. A producer goes on asking for its identity, though.
            let config = ProducerConfig::default().retries(0).linger(Duration::ZERO).durability(durability);
            let config = config.delivery_timeout(Duration::from_secs(1)).request_timeout(Duration::from_secs(1));
            queue.producer(config).unwrap()
        };
        let (flushed, written) = (sends(Durability::Flushed), sends(Durability::Written));
        Ok(Self { disk: disk.clone(), queue, flushed, written, notes })
    }

    fn create(&mut self, topic: &str, partitions: u32, max_message_bytes: u32) -> Result<(), Ended> {
        self.notes.create_begun(topic, partitions, max_message_bytes);
        let config = TopicConfig::default().with_max_message_bytes(max_message_bytes);
        let created = self.queue.create_topic(topic, partitions, config);
        self.so_or_ended(created)?;
        self.notes.create_acknowledged(topic);
        Ok(())
    }

    fn add_partitions(&mut self, topic: &str, total: u32) -> Result<(), Ended> {
        self.notes.partitions_begun(topic, total);
        let added = self.queue.add_partitions(topic, total);
        self.so_or_ended(added)?;
        self.notes.partitions_acknowledged(topic, total);
        Ok(())
    }

    fn delete(&mut self, topic: &str) -> Result<(), Ended> {
        self.notes.delete_begun(topic);
        let deleted = self.queue.delete_topic(topic);
        self.so_or_ended(deleted)?;
        self.notes.delete_acknowledged(topic);
        Ok(())
    }

    /// Sends records, half of them one by one and the others together.
    fn send(&mut self, topic: &str, partition: u32, count: usize, durability: Durability) -> Result<(), Ended> {
        for _ in 0..count / 2 {
            self.send_together(topic, partition, 1, durability)?;
        }
        self.send_together(topic, partition, count - count / 2, durability)
    }

    fn send_together(
        &mut self,
        topic: &str,
        partition: u32,
        count: usize,
        durability: Durability,
    ) -> Result<(), Ended> {
        let producer = if durability == Durability::Flushed { &self.flushed } else { &self.written };
        let mut tickets = Vec::new();
        for _ in 0..count {
            let value = self.notes.send_begun(topic, partition);
            let record = Record::to(topic).partition(partition).value(value.as_bytes());
            match producer.send(record) {
                Ok(ticket) => tickets.push(ticket),
                Err(error) => return Err(ended(&self.disk, &error)),
            }
        }
        for ticket in tickets {
            let placed = ticket.wait();
            let placed = self.so_or_ended(placed)?;
            self.notes.send_acknowledged(topic, partition, placed.offset.unwrap(), durability);
        }
        Ok(())
    }

    fn commit(&mut self, topic: &str, partition: u32, offset: u64) -> Result<(), Ended> {
        let config = ConsumerConfig::group(GROUP).request_timeout(Duration::from_millis(200));
        let mut consumer = self.queue.consumer(&config).unwrap();
        self.notes.commit_begun(topic, partition, offset);
        // A commit that was not answered in time may be tried again.
        loop {
            let committed = consumer.commit_offsets([(named(topic, partition), Committed::at(Offset::new(offset)))]);
            match committed {
                Ok(()) => break,
                Err(error) if self.disk.is_stopped() => return Err(ended(&self.disk, &error)),
                Err(_) => {}
            }
        }
        self.notes.commit_acknowledged(topic, partition, offset);
        Ok(())
    }

    fn delete_records(&mut self, topic: &str, partition: u32, to: u64) -> Result<(), Ended> {
        self.notes.trim_begun(topic, partition, to);
        let before = DeleteBefore::Offset(Offset::new(to));
        let deleted = self.queue.delete_records(&named(topic, partition), before);
        self.so_or_ended(deleted)?;
        self.notes.trim_acknowledged(topic, partition, to);
        Ok(())
    }

    fn close(self) {
        let report = self.queue.close();
        if report.is_clean() {
            self.notes.all_is_flushed();
        } else {
            ended(&self.disk, &report);
        }
    }

    fn so_or_ended<T, E: std::fmt::Display>(&self, outcome: Result<T, E>) -> Result<T, Ended> {
        outcome.map_err(|error| ended(&self.disk, &error))
    }
}

/// Something was refused: only a disk that has stopped excuses that.
fn ended(disk: &MemDisk, why: &dyn std::fmt::Display) -> Ended {
    assert!(disk.is_stopped(), "refused, and the disk goes on: {why}");
    Ended
}

pub(crate) fn named(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::parse(&format!("{topic}-{partition}")).unwrap()
}
