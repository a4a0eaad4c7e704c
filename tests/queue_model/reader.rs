//! A group that reads, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::{Acknowledged, OffsetReset};
use ottla::id::TopicPartition;
use ottla::message::OffsetSpec;
use ottla::offset::Offset;
use ottla::queue::{ConsumeError, Consumer, ConsumerConfig, Receipt, Records};

use crate::Seek;
use crate::truth::Truth;

/// How long what must come is waited for.
const LONG: Duration = Duration::from_secs(30);
/// How many records may be outstanding where acknowledgements are noted.
const OUTSTANDING_MAX: u64 = 30;

/// How a group says what is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// By its positions.
    Positions,
    /// By acknowledgements in any order.
    Acknowledgements,
}

/// A group, and the consumer that reads for it in this life of the queue.
pub(crate) struct Reader {
    style: Style,
    consumer: Option<Consumer>,
    positions: BTreeMap<TopicPartition, u64>,
    paused: BTreeSet<TopicPartition>,
    committed: BTreeMap<TopicPartition, u64>,
    handed_out: BTreeMap<TopicPartition, HandedOut>,
}

/// What was handed out of a partition since its position was moved by hand.
#[derive(Default)]
struct HandedOut {
    next: u64,
    outstanding: BTreeMap<u64, Receipt>,
}

/// Where a partition begins now.
pub(crate) fn start_of(queue: &Queue, partition: &TopicPartition) -> u64 {
    queue.offset(partition, OffsetSpec::Earliest).unwrap().unwrap().offset.get()
}

impl Reader {
    pub(crate) fn new(style: Style) -> Self {
        Self {
            style,
            consumer: None,
            positions: BTreeMap::new(),
            paused: BTreeSet::new(),
            committed: BTreeMap::new(),
            handed_out: BTreeMap::new(),
        }
    }

    /// Begins to read, in a new life of the queue: where the group has committed.
    pub(crate) fn begin(&mut self, queue: &Queue, truth: &Truth) {
        let config = ConsumerConfig::group(match self.style {
            Style::Positions => "positions",
            Style::Acknowledgements => "acknowledgements",
        });
        let config = config.reset(OffsetReset::Earliest).records_max(7).retry_backoff(Duration::from_millis(1));
        let config = match self.style {
            Style::Positions => config,
            Style::Acknowledgements => config.unacknowledged_max(OUTSTANDING_MAX),
        };
        self.consumer = Some(queue.consumer(&config).unwrap());
        self.positions.clear();
        self.paused.clear();
        self.handed_out.clear();
        self.follow(truth);
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.consumer.is_some()
    }

    /// The life of the queue ends.
    pub(crate) fn end(&mut self) {
        self.consumer = None;
    }

    /// Reads the topics that there are now.
    pub(crate) fn follow(&mut self, truth: &Truth) {
        let topics = truth.topics();
        if topics.is_empty() {
            self.consumer().unassign();
        } else {
            self.consumer().subscribe(topics).unwrap();
        }
        let is_there = |partition: &TopicPartition| truth.partitions().any(|there| there == partition);
        self.positions.retain(|partition, _| is_there(partition));
        self.paused.retain(is_there);
        self.handed_out.retain(|partition, _| is_there(partition));
        self.committed.retain(|partition, _| is_there(partition));
        for partition in truth.partitions() {
            let committed = self.committed.get(partition).copied().unwrap_or(0);
            self.positions.entry(partition.clone()).or_insert(committed);
        }
        let assigned: Vec<_> = self.consumer().assignment().cloned().collect();
        assert!(assigned.iter().eq(self.positions.keys()), "{assigned:?}");
    }

    fn consumer(&mut self) -> &mut Consumer {
        self.consumer.as_mut().unwrap()
    }

    /// One of the partitions that are read.
    fn chosen(&self, number: u8) -> Option<TopicPartition> {
        self.positions.keys().nth(usize::from(number) % self.positions.len().max(1)).cloned()
    }

    /// Hands out what there is within `timeout`.
    pub(crate) fn poll(&mut self, queue: &Queue, truth: &Truth, timeout: Duration) -> u64 {
        match self.consumer().poll(timeout) {
            Ok(records) => {
                self.check(queue, truth, &records);
                records.len()
            }
            Err(ConsumeError::Unacknowledged { outstanding }) => {
                assert_eq!((self.style, outstanding), (Style::Acknowledgements, OUTSTANDING_MAX));
                assert_eq!(outstanding, self.outstanding());
                0
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Each record is the next one of its partition, or the first one that is left.
    fn check(&mut self, queue: &Queue, truth: &Truth, records: &Records) {
        for record in records {
            let (partition, offset) = (record.receipt().topic_partition().clone(), record.offset().get());
            assert!(!self.paused.contains(&partition), "{partition} is paused");
            let position = self.positions.insert(partition.clone(), offset + 1).unwrap();
            if offset != position {
                let start = start_of(queue, &partition);
                assert!(position < offset && offset <= start, "{partition}: {position}, {offset}, {start}");
            }
            let content = (record.key().unwrap().to_vec(), record.value().map(<[u8]>::to_vec));
            assert_eq!(Some(&content), truth.log(&partition).records.get(&offset), "{partition} at {offset}");
            if self.style == Style::Acknowledgements {
                let handed_out = self.handed_out.entry(partition).or_default();
                handed_out.next = offset + 1;
                handed_out.outstanding.insert(offset, record.receipt().clone());
            }
        }
    }

    /// Reads until nothing is left, and makes room for it.
    pub(crate) fn read_all(&mut self, queue: &Queue, truth: &Truth) {
        while self.has_more(queue, truth) {
            if self.outstanding() == OUTSTANDING_MAX {
                self.acknowledge(&[0; OUTSTANDING_MAX as usize]);
            }
            assert!(self.poll(queue, truth, LONG) > 0, "{:?}: what there is does not come", self.positions);
        }
    }

    fn outstanding(&self) -> u64 {
        self.handed_out.values().map(|one| one.outstanding.len() as u64).sum()
    }

    fn has_more(&self, queue: &Queue, truth: &Truth) -> bool {
        self.positions.iter().any(|(partition, position)| {
            let end = truth.log(partition).end();
            !self.paused.contains(partition) && *position < end && start_of(queue, partition) < end
        })
    }

    pub(crate) fn seek(&mut self, queue: &Queue, truth: &Truth, number: u8, to: Seek) {
        let Some(partition) = self.chosen(number) else { return };
        let (start, end) = (start_of(queue, &partition), truth.log(&partition).end());
        self.handed_out.remove(&partition);
        let position = match to {
            Seek::Beginning => {
                self.consumer().seek_to_beginning(&partition).unwrap();
                start
            }
            Seek::End => {
                self.consumer().seek_to_end(&partition).unwrap();
                self.positions.insert(partition.clone(), end);
                while self.consumer().position(&partition).is_none() {
                    self.poll(queue, truth, Duration::ZERO);
                }
                assert_eq!(self.consumer().position(&partition), Some(Offset::new(end)));
                end
            }
            Seek::Into(percent) => {
                let offset = start + (end - start) * u64::from(percent) / 100;
                self.consumer().seek(&partition, Offset::new(offset)).unwrap();
                offset
            }
        };
        self.positions.insert(partition, position);
    }

    /// Pauses what is not paused, and the other way round.
    pub(crate) fn pause(&mut self, number: u8) {
        let Some(partition) = self.chosen(number) else { return };
        if self.paused.remove(&partition) {
            self.consumer().resume(&partition).unwrap();
        } else {
            self.consumer().pause(&partition).unwrap();
            self.paused.insert(partition);
        }
    }

    /// Acknowledges some of what is outstanding, by their places in it.
    pub(crate) fn acknowledge(&mut self, which: &[u8]) {
        for number in which {
            let all: Vec<_> = self.handed_out.values().flat_map(|one| one.outstanding.values()).cloned().collect();
            let Some(receipt) = all.get(usize::from(*number) % all.len().max(1)) else { return };
            assert_eq!(self.consumer().ack(receipt), Acknowledged::Now);
            assert_eq!(self.consumer().ack(receipt), Acknowledged::NotOutstanding);
            let handed_out = self.handed_out.get_mut(receipt.topic_partition()).unwrap();
            handed_out.outstanding.remove(&receipt.offset().get());
        }
    }

    pub(crate) fn commit(&mut self, queue: &Queue) {
        match self.style {
            Style::Positions => self.commit_positions(queue),
            Style::Acknowledgements => self.commit_acknowledged(),
        }
        let (all, mut found) = (self.positions.keys().cloned().collect::<Vec<_>>(), BTreeMap::new());
        for (partition, committed) in self.consumer().committed(all).unwrap() {
            found.insert(partition, committed.offset.get());
        }
        assert_eq!(found, self.committed);
    }

    fn commit_positions(&mut self, queue: &Queue) {
        let consumer = self.consumer.as_mut().unwrap();
        for (partition, position) in &mut self.positions {
            let Some(found) = consumer.position(partition).map(Offset::get) else { continue };
            if found != *position {
                assert!(*position < found && found <= start_of(queue, partition), "{partition}: {position}, {found}");
                *position = found;
            }
            self.committed.insert(partition.clone(), found);
        }
        consumer.commit().unwrap();
    }

    fn commit_acknowledged(&mut self) {
        let consumer = self.consumer.as_mut().unwrap();
        for (partition, handed_out) in &mut self.handed_out {
            let position = consumer.position(partition).map_or(0, Offset::get);
            handed_out.next = handed_out.next.max(position);
            let lowest = handed_out.outstanding.first_key_value().map(|(offset, _)| *offset);
            self.committed.insert(partition.clone(), lowest.unwrap_or(handed_out.next));
        }
        consumer.commit_acknowledged().unwrap();
    }
}
