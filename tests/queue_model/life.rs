//! The lives of a queue: what is done to it, and beside it to the maps.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::Start;
use ottla::disk::MemDisk;
use ottla::disk::mem::Choice;
use ottla::id::{TopicName, TopicPartition};
use ottla::message::{ConfigChange, ConfigOperation, DeleteBefore, Durability, ErrorCode, OffsetSpec, TopicConfig};
use ottla::offset::Offset;
use ottla::producer::{Known, SendError};
use ottla::queue::{AdminError, ConsumerConfig, Producer, ProducerConfig, Record, SendAndWaitError, SendTicket};
use ottla::record::Codec;

use crate::Seek;
use crate::reader::{Reader, Style, start_of};
use crate::truth::{Content, Truth};

/// How long what must come is waited for.
const LONG: Duration = Duration::from_secs(30);
/// The topics that there may be.
const NAMES: [&str; 3] = ["apples", "bears", "cups"];
const PARTITIONS_MAX: usize = 5;
/// How large small segments are.
const SEGMENT_BYTES: u32 = 3000;

/// A queue in one of its lives.
pub(crate) struct Life {
    disk: MemDisk,
    durability: Durability,
    queue: Option<Queue>,
    producers: Vec<Producer>,
    readers: [Reader; 2],
    /// What was taken and is not known to be there, in order.
    pending: VecDeque<Sent>,
    truth: Truth,
    /// The least that any setting has had retention leave of each partition of a topic.
    least_kept: BTreeMap<String, u64>,
    sent: u64,
}

/// A record that was taken.
struct Sent {
    producer: usize,
    partition: TopicPartition,
    content: Content,
    ticket: SendTicket,
}

fn change(key: &str, value: &str) -> ConfigChange {
    ConfigChange { key: key.to_owned(), operation: ConfigOperation::Set(value.to_owned()) }
}

fn code(result: Result<(), AdminError>) -> Result<(), ErrorCode> {
    result.map_err(|error| match error {
        AdminError::Refused(error) => error.code,
        other => panic!("{other}"),
    })
}

impl Life {
    pub(crate) fn begin(durability: Durability) -> Self {
        let readers = [Reader::new(Style::Positions), Reader::new(Style::Acknowledgements)];
        let mut life = Self {
            disk: MemDisk::new(),
            durability,
            queue: None,
            producers: Vec::new(),
            readers,
            pending: VecDeque::new(),
            truth: Truth::default(),
            least_kept: BTreeMap::new(),
            sent: 0,
        };
        life.open();
        life
    }

    fn open(&mut self) {
        let builder = Queue::builder().threads(const { NonZeroUsize::new(2).unwrap() });
        let queue = builder.upkeep_interval(Duration::from_millis(5)).open_on(vec![self.disk.clone()]).unwrap();
        let codec = if cfg!(feature = "lz4") { Codec::Lz4 } else { Codec::None };
        // What is not full waits for a flush.
        let config = || ProducerConfig::default().linger(Duration::from_secs(60)).durability(self.durability);
        self.producers = [config().batch_bytes(700), config().batch_bytes(2000).codec(codec)]
            .map(|config| queue.producer(config).unwrap())
            .into();
        self.queue = Some(queue);
    }

    fn queue(&self) -> &Queue {
        self.queue.as_ref().unwrap()
    }

    /// Lets all who read begin where their groups have committed.
    fn begin_reading(&mut self) {
        let queue = self.queue.as_ref().unwrap();
        self.readers.iter_mut().for_each(|reader| reader.begin(queue, &self.truth));
    }

    fn follow(&mut self) {
        if self.readers[0].is_reading() {
            self.readers.iter_mut().for_each(|reader| reader.follow(&self.truth));
        } else {
            self.begin_reading();
        }
    }

    /// One of the topics that there are.
    fn topic(&self, number: u8) -> Option<String> {
        let topics = self.truth.topics();
        topics.get(usize::from(number) % topics.len().max(1)).cloned()
    }

    fn partition(&self, topic: u8, number: u8) -> Option<TopicPartition> {
        let all = self.truth.partitions_of(&self.topic(topic)?);
        all.get(usize::from(number) % all.len()).cloned()
    }

    fn content(&mut self, bytes: u16) -> Content {
        self.sent += 1;
        let value = (bytes >= 10).then(|| (0..bytes).map(|place| (u64::from(place) ^ self.sent) as u8).collect());
        (format!("{}", self.sent).into_bytes(), value)
    }

    pub(crate) fn send(&mut self, producer: u8, topic: u8, records: &[(u8, u16)]) {
        let producer = usize::from(producer) % self.producers.len();
        for (partition, bytes) in records {
            let Some(partition) = self.partition(topic, *partition) else { return };
            let content = self.content(*bytes);
            let ticket = self.producers[producer].send(record(&partition, &content)).unwrap();
            self.pending.push_back(Sent { producer, partition, content, ticket });
        }
    }

    pub(crate) fn flush(&mut self) {
        self.producers.iter().for_each(|producer| producer.flush().unwrap());
        let mut placed = Vec::new();
        for Sent { producer, partition, content, ticket } in self.pending.drain(..) {
            let at = ticket.try_get().unwrap().unwrap();
            assert_eq!(at.partition, partition);
            placed.push((producer, partition, at.offset.unwrap().get(), content));
        }
        self.note(placed);
    }

    /// Notes what was appended: no place twice, none left out, and each producer's in its order.
    fn note(&mut self, placed: Vec<(usize, TopicPartition, u64, Content)>) {
        let (mut last, mut by_place) = (BTreeMap::new(), BTreeMap::new());
        for (producer, partition, offset, content) in placed {
            let before = last.insert((producer, partition.clone()), offset);
            assert!(before < Some(offset), "{partition}: {offset} behind {before:?}");
            assert!(by_place.insert((partition, offset), content).is_none());
        }
        for ((partition, offset), content) in by_place {
            let log = self.truth.log_mut(&partition);
            assert_eq!(offset, log.end(), "{partition}");
            log.records.insert(offset, content);
        }
    }

    /// Sends a record that is to stand so many places behind the end.
    pub(crate) fn expect(&mut self, topic: u8, partition: u8, beside: i8) {
        self.flush();
        let Some(partition) = self.partition(topic, partition) else { return };
        let end = self.truth.log(&partition).end();
        let Some(expected) = end.checked_add_signed(i64::from(beside)) else { return };
        let content = self.content(100);
        let sent = self.producers[0].send_and_wait(record(&partition, &content).expected_offset(Offset::new(expected)));
        match sent {
            Ok(placed) => {
                assert_eq!((beside, placed.offset), (0, Some(Offset::new(end))));
                self.note(vec![(0, partition, end, content)]);
            }
            Err(SendAndWaitError::NotDelivered(SendError::Refused { known: Known::NotWritten, .. })) => {
                assert_ne!(beside, 0);
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) fn poll(&mut self, reader: u8) {
        self.flush();
        let queue = self.queue.as_ref().unwrap();
        self.readers[usize::from(reader) % 2].poll(queue, &self.truth, Duration::ZERO);
    }

    pub(crate) fn read_all(&mut self, reader: u8) {
        self.flush();
        let queue = self.queue.as_ref().unwrap();
        self.readers[usize::from(reader) % 2].read_all(queue, &self.truth);
    }

    pub(crate) fn seek(&mut self, reader: u8, partition: u8, to: Seek) {
        self.flush();
        let queue = self.queue.as_ref().unwrap();
        self.readers[usize::from(reader) % 2].seek(queue, &self.truth, partition, to);
    }

    pub(crate) fn pause(&mut self, reader: u8, partition: u8) {
        self.readers[usize::from(reader) % 2].pause(partition);
    }

    pub(crate) fn commit(&mut self, reader: u8) {
        self.readers[usize::from(reader) % 2].commit(self.queue.as_ref().unwrap());
    }

    pub(crate) fn acknowledge(&mut self, which: &[u8]) {
        self.readers[1].acknowledge(which);
    }

    pub(crate) fn create(&mut self, topic: u8, partitions: u8, small_segments: bool) {
        let name = NAMES[usize::from(topic) % NAMES.len()];
        let count = u32::from(partitions) + 1;
        let config = TopicConfig::default();
        let config = if small_segments { config.with_segment_bytes(SEGMENT_BYTES) } else { config };
        let created = code(self.queue().create_topic(name, count, config).map(drop));
        if self.truth.has(name) {
            return assert_eq!(created, Err(ErrorCode::TopicAlreadyExists));
        }
        assert_eq!(created, Ok(()));
        self.add(name, 0..count);
    }

    fn add(&mut self, name: &str, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.truth.add(TopicPartition::new(TopicName::new(name).unwrap(), number).unwrap());
        }
        self.follow();
    }

    pub(crate) fn delete(&mut self, topic: u8) {
        self.flush();
        let name = NAMES[usize::from(topic) % NAMES.len()];
        let deleted = code(self.queue().delete_topic(name));
        if !self.truth.has(name) {
            return assert_eq!(deleted, Err(ErrorCode::UnknownTopicOrPartition));
        }
        assert_eq!(deleted, Ok(()));
        self.truth.remove(name);
        self.least_kept.remove(name);
        self.follow();
    }

    pub(crate) fn grow(&mut self, topic: u8) {
        let Some(name) = self.topic(topic) else { return };
        let count = self.truth.partitions_of(&name).len();
        if count < PARTITIONS_MAX {
            let count = count as u32;
            self.queue().add_partitions(&name, count + 1).unwrap();
            self.add(&name, count..count + 1);
        }
    }

    pub(crate) fn delete_records(&mut self, topic: u8, partition: u8, percent: u8) {
        self.flush();
        let Some(partition) = self.partition(topic, partition) else { return };
        let before = self.truth.log(&partition).end() * u64::from(percent) / 100;
        let start = start_of(self.queue(), &partition);
        let begins = self.queue().delete_records(&partition, DeleteBefore::Offset(Offset::new(before))).unwrap().get();
        assert!(begins >= before.max(start) && begins <= start_of(self.queue(), &partition).max(before));
        let log = self.truth.log_mut(&partition);
        log.deleted_to = log.deleted_to.max(before);
    }

    /// Lets old segments go, and waits until they have.
    pub(crate) fn retain(&mut self, topic: u8, bytes: u16) {
        self.flush();
        let Some(name) = self.topic(topic) else { return };
        let bytes = u64::from(bytes);
        self.queue().alter_config(&name, vec![change("retention.bytes", &bytes.to_string())]).unwrap();
        let least = self.least_kept.entry(name.clone()).or_insert(bytes);
        *least = bytes.min(*least);
        self.wait_until_gone(&name, bytes);
        self.check_kept();
    }

    /// Waits until no segment is left of these partitions that may go.
    #[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a wait that fails has an end")]
    fn wait_until_gone(&self, topic: &str, bytes: u64) {
        let begun = std::time::Instant::now();
        for partition in self.truth.partitions_of(topic) {
            loop {
                let sizes = self.segments_of(&partition);
                let size: u64 = sizes.iter().sum();
                // The oldest one goes if as much as is to be kept is left without it.
                if sizes.len() < 2 || size - sizes[0] < bytes {
                    break;
                }
                assert!(begun.elapsed() < LONG, "{partition} has {sizes:?} yet, and is to keep {bytes}");
                std::thread::yield_now();
            }
        }
    }

    /// The sizes of a partition's segments, the oldest first.
    fn segments_of(&self, partition: &TopicPartition) -> Vec<u64> {
        let is_segment = |path: &str| path.starts_with(&format!("{partition}/")) && path.ends_with(".log");
        let contents = self.disk.contents();
        contents.iter().filter(|(path, _)| is_segment(path)).map(|(_, bytes)| bytes.len() as u64).collect()
    }

    /// Nothing has gone that was to stay.
    fn check_kept(&self) {
        for partition in self.truth.partitions() {
            let (log, start) = (self.truth.log(partition), start_of(self.queue(), partition));
            assert!(start >= log.deleted_to, "{partition} begins at {start}, and was deleted to {}", log.deleted_to);
            if start == log.deleted_to {
                continue;
            }
            let least = self.least_kept.get(partition.topic().as_str()).copied();
            let kept = log.bytes_at_most(start);
            assert!(least.is_some_and(|least| kept >= least), "{partition}: {kept} bytes of {least:?} from {start} on");
        }
    }

    pub(crate) fn close(&mut self) {
        self.flush();
        self.readers.iter_mut().for_each(Reader::end);
        self.producers.clear();
        let closed = self.queue.take().unwrap().close();
        assert!(closed.is_clean(), "{closed}");
        self.open();
        assert!(self.queue().report().is_clean(), "{}", self.queue().report());
        self.begin_reading();
    }

    /// All handles are dropped, and the power goes if that may cost nothing.
    pub(crate) fn drop_it(&mut self) {
        self.readers.iter_mut().for_each(Reader::end);
        self.producers.clear();
        self.queue = None;
        let pending: Vec<Sent> = self.pending.drain(..).collect();
        for sent in &pending {
            drop(sent.ticket.wait_timeout(LONG).expect("a ticket does not tell"));
        }
        if self.durability == Durability::Flushed {
            self.disk.crash(&Choice::nothing());
        }
        self.open();
        self.take_over(pending);
        self.begin_reading();
    }

    /// Finds out which of the records are there of which nobody knew. What was told is so.
    fn take_over(&mut self, pending: Vec<Sent>) {
        let mut by_key: BTreeMap<_, _> = pending.into_iter().map(|sent| (sent.content.0.clone(), sent)).collect();
        let partitions: Vec<_> = self.truth.partitions().cloned().collect();
        let mut placed = Vec::new();
        for partition in partitions {
            let found = self.read_from(&partition, self.truth.log(&partition).end());
            self.note_unseen(&partition, found.first().map_or(0, |(first, _)| *first));
            for (offset, content) in found {
                let sent = by_key.remove(&content.0).expect("it was sent, and is there once");
                assert_eq!((&sent.partition, &sent.content), (&partition, &content));
                match sent.ticket.try_get().unwrap() {
                    Ok(told) => assert_eq!(told.offset, Some(Offset::new(offset))),
                    Err(SendError::Closed { known } | SendError::Expired { known, .. }) => {
                        assert_eq!(known, Known::Unknown, "{partition} at {offset}");
                    }
                    Err(other) => panic!("{other}"),
                }
                placed.push((sent.producer, partition.clone(), offset, content));
            }
        }
        for sent in by_key.values() {
            if let Ok(told) = sent.ticket.try_get().unwrap() {
                // Retention may have been faster than whoever asks what was told.
                let start = start_of(self.queue(), &sent.partition);
                let offset = told.offset.map(Offset::get);
                assert!(
                    offset < Some(start),
                    "{} was acknowledged at {offset:?}, and begins at {start}",
                    sent.partition
                );
            }
        }
        self.note(placed);
        self.check_kept();
    }

    /// What is there begins at `first`: what was appended in front of it is gone, which retention alone may do.
    fn note_unseen(&mut self, partition: &TopicPartition, first: u64) {
        let start = start_of(self.queue(), partition);
        let may_go = self.least_kept.contains_key(partition.topic().as_str());
        let log = self.truth.log_mut(partition);
        if first > log.end() {
            assert!(may_go && first <= start, "{partition}: {first} behind {}, from {start} on", log.end());
            log.unseen_to = first;
        }
    }

    /// All records of a partition from an offset on.
    fn read_from(&self, partition: &TopicPartition, from: u64) -> Vec<(u64, Content)> {
        let end = self.queue().offset(partition, OffsetSpec::Latest).unwrap().unwrap().offset.get();
        let mut consumer = self.queue().consumer(&ConsumerConfig::default()).unwrap();
        consumer.assign([(partition.clone(), Start::At(Offset::new(from)))]).unwrap();
        let mut found = Vec::new();
        while found.last().map_or(from, |(offset, _)| offset + 1) < end {
            let records = consumer.poll(LONG).unwrap();
            assert!(!records.is_empty(), "{partition} ends at {end}, and what is there does not come");
            for record in &records {
                let content = (record.key().unwrap().to_vec(), record.value().map(<[u8]>::to_vec));
                found.push((record.offset().get(), content));
            }
        }
        found
    }

    /// Compares all that is left, and closes.
    pub(crate) fn end(mut self) {
        self.flush();
        for partition in self.truth.partitions() {
            let start = start_of(self.queue(), partition);
            let log = self.truth.log(partition);
            let found = self.read_from(partition, start);
            let begins = found.first().map_or(log.end(), |(offset, _)| *offset);
            assert!(begins >= start && begins <= start_of(self.queue(), partition));
            let expected = log.records.range(begins..).map(|(offset, content)| (*offset, content.clone()));
            assert!(found.into_iter().eq(expected), "{partition} from {begins} on");
        }
        self.check_kept();
        self.readers.iter_mut().for_each(Reader::end);
        self.producers.clear();
        let closed = self.queue.take().unwrap().close();
        assert!(closed.is_clean(), "{closed}");
    }
}

fn record<'a>(partition: &'a TopicPartition, (key, value): &'a Content) -> Record<'a> {
    let record = Record::to(partition.topic().as_str()).partition(partition.partition()).key(key.as_slice());
    match value {
        Some(value) => record.value(value.as_slice()),
        None => record,
    }
}
