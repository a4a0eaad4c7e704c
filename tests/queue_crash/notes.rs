//! What was begun and what was acknowledged, and whether an image has it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use ottla::Queue;
use ottla::consumer::Start;
use ottla::disk::MemDisk;
use ottla::message::{Durability, OffsetSpec, TopicConfig};
use ottla::offset::Offset;
use ottla::queue::{ConsumerConfig, ProducerConfig, Record};

use crate::LONG;
use crate::life::{GROUP, named};

/// What was lost with what the image was made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// What the process had in memory.
    OfTheProcess,
    /// What was not synced too.
    OfPower,
}

/// How far something has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Step {
    #[default]
    Not,
    Begun,
    Acknowledged,
}

/// One partition of one topic.
#[derive(Clone, Debug, Default)]
struct PartitionNotes {
    /// All that was sent, in order: the record at an offset is the one of this place.
    sent: Vec<String>,
    written: u64,
    flushed: u64,
    trim_begun: u64,
    trim_acknowledged: u64,
}

/// One topic; of the same name there may be several after each other.
#[derive(Clone, Debug, Default)]
struct TopicNotes {
    max_message_bytes: u32,
    created: Step,
    deleted: Step,
    partitions_begun: u32,
    partitions_acknowledged: u32,
    partitions: BTreeMap<u32, PartitionNotes>,
}

/// The offset of the last commit: what was acknowledged is flushed.
#[derive(Clone, Copy, Debug, Default)]
struct CommitNotes {
    begun: u64,
    acknowledged: u64,
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    topics: BTreeMap<String, Vec<TopicNotes>>,
    /// What the group has committed last of a partition.
    committed: BTreeMap<(String, u32), CommitNotes>,
    finished: bool,
}

/// What stands in an image.
#[derive(Debug)]
struct Found {
    start: u64,
    values: Vec<(u64, String)>,
    end: u64,
}

impl Notes {
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    pub(crate) fn create_begun(&mut self, topic: &str, partitions: u32, max_message_bytes: u32) {
        let created = Step::Begun;
        let notes = TopicNotes { max_message_bytes, created, partitions_begun: partitions, ..TopicNotes::default() };
        self.topics.entry(topic.to_owned()).or_default().push(notes);
    }

    pub(crate) fn create_acknowledged(&mut self, topic: &str) {
        let topic = self.topic(topic);
        topic.created = Step::Acknowledged;
        topic.partitions_acknowledged = topic.partitions_begun;
    }

    pub(crate) fn partitions_begun(&mut self, topic: &str, total: u32) {
        self.topic(topic).partitions_begun = total;
    }

    pub(crate) fn partitions_acknowledged(&mut self, topic: &str, total: u32) {
        self.topic(topic).partitions_acknowledged = total;
    }

    pub(crate) fn delete_begun(&mut self, topic: &str) {
        self.topic(topic).deleted = Step::Begun;
    }

    pub(crate) fn delete_acknowledged(&mut self, topic: &str) {
        self.topic(topic).deleted = Step::Acknowledged;
    }

    /// Answers the value to be sent: there is no other like it.
    pub(crate) fn send_begun(&mut self, topic: &str, partition: u32) -> String {
        let life = self.topics.get(topic).map_or(0, Vec::len);
        let sent = &mut self.partition(topic, partition).sent;
        let value = format!("{topic} {life}, partition {partition}, {}", sent.len());
        sent.push(value.clone());
        value
    }

    pub(crate) fn send_acknowledged(&mut self, topic: &str, partition: u32, offset: Offset, durability: Durability) {
        let partition = self.partition(topic, partition);
        assert_eq!(offset.get(), partition.written, "records are put in the order in which they are sent");
        partition.written += 1;
        if durability == Durability::Flushed {
            partition.flushed = partition.written;
        }
    }

    pub(crate) fn trim_begun(&mut self, topic: &str, partition: u32, to: u64) {
        self.partition(topic, partition).trim_begun = to;
    }

    pub(crate) fn trim_acknowledged(&mut self, topic: &str, partition: u32, to: u64) {
        self.partition(topic, partition).trim_acknowledged = to;
    }

    pub(crate) fn commit_begun(&mut self, topic: &str, partition: u32, offset: u64) {
        self.committed.entry((topic.to_owned(), partition)).or_default().begun = offset;
    }

    pub(crate) fn commit_acknowledged(&mut self, topic: &str, partition: u32, offset: u64) {
        self.committed.entry((topic.to_owned(), partition)).or_default().acknowledged = offset;
    }

    /// The queue was closed in order.
    pub(crate) fn all_is_flushed(&mut self) {
        for partition in self.topics.values_mut().flatten().flat_map(|topic| topic.partitions.values_mut()) {
            partition.flushed = partition.written;
        }
    }

    fn topic(&mut self, topic: &str) -> &mut TopicNotes {
        self.topics.get_mut(topic).and_then(|all| all.last_mut()).unwrap()
    }

    fn partition(&mut self, topic: &str, partition: u32) -> &mut PartitionNotes {
        self.topic(topic).partitions.entry(partition).or_default()
    }

    /// Opens an image and compares. Then the queue goes on, and opens again with all of it.
    pub(crate) fn check(&self, image: &MemDisk, loss: Loss, what: &str) {
        let before = self.check_queue(&open(image, what), loss, what);
        let queue = open(image, what);
        let again = self.check_queue(&queue, loss, what);
        assert_eq!(before, again, "{what}: a second opening finds something else");
        goes_on(&queue, what);
        let closed = queue.close();
        assert!(closed.is_clean(), "{what}: {closed}");
        let queue = open(image, what);
        assert!(queue.report().is_clean(), "{what}: {}", queue.report());
    }

    /// Answers the contents, as text.
    fn check_queue(&self, queue: &Queue, loss: Loss, what: &str) -> String {
        let report = queue.report();
        assert!(report.failed.is_empty() && report.unknown.is_empty(), "{what}: {report}");
        let described = queue.topics().unwrap();
        let mut contents = Vec::new();
        for topic in &described {
            let name = topic.name.as_str();
            if name.starts_with("__") {
                continue;
            }
            let lives = self.topics.get(name).unwrap_or_else(|| panic!("{what}: nobody has made {name}"));
            let count = topic.partitions.len() as u32;
            let found: Vec<Found> = (0..count).map(|number| read(queue, name, number, what)).collect();
            contents.push(format!("{name}: {found:?}"));
            let config = queue.describe_config(name).unwrap();
            let bytes = config.iter().find(|entry| entry.key.name() == "max.message.bytes").unwrap().value.clone();
            let fits = |life: &&TopicNotes| life.max_message_bytes.to_string() == bytes;
            let life = lives.iter().find(fits).unwrap_or_else(|| panic!("{what}: {name} has {bytes:?}, {lives:?}"));
            assert!(life.deleted != Step::Acknowledged, "{what}: {name} is back");
            assert!((life.partitions_acknowledged..=life.partitions_begun).contains(&count), "{what}: {name}: {count}");
            for (number, found) in (0..).zip(&found) {
                let known = life.partitions.get(&number).cloned().unwrap_or_default();
                known.check(found, life, loss, &format!("{what}: {name}-{number}"));
            }
        }
        let missing = |(name, life): &(&String, &TopicNotes)| {
            let is_there = described.iter().any(|topic| topic.name.as_str() == name.as_str());
            life.created == Step::Acknowledged && life.deleted == Step::Not && !is_there
        };
        let lives = self.topics.iter().flat_map(|(name, lives)| lives.iter().map(move |life| (name, life)));
        let lost: Vec<_> = lives.filter(missing).collect();
        assert!(lost.is_empty(), "{what}: lost: {lost:?}");
        contents.push(self.check_committed(queue, what));
        contents.join("\n")
    }

    fn check_committed(&self, queue: &Queue, what: &str) -> String {
        let mut consumer = queue.consumer(&ConsumerConfig::group(GROUP)).unwrap();
        let mut all = String::new();
        for ((topic, partition), known) in &self.committed {
            let of = named(topic, *partition);
            let committed = consumer.committed([of.clone()]).unwrap_or_else(|error| panic!("{what}: {error}"));
            let offset = committed.get(&of).map_or(0, |committed| committed.offset.get());
            assert!(
                (known.acknowledged..=known.begun).contains(&offset),
                "{what}: {of}: committed {offset}, {known:?}"
            );
            all += &format!("{of} {offset} ");
        }
        all
    }
}

impl PartitionNotes {
    fn check(&self, found: &Found, life: &TopicNotes, loss: Loss, what: &str) {
        assert!(found.start <= self.trim_begun, "{what}: {self:?}, {found:?}");
        assert!(found.start >= self.trim_acknowledged, "{what}: deleted records are back: {self:?}, {found:?}");
        let safe = if loss == Loss::OfPower { self.flushed } else { self.written };
        if life.deleted == Step::Not {
            assert!(found.end >= safe, "{what}: acknowledged and lost: {self:?}, {found:?}");
        }
        let sent = self.sent.iter().enumerate().map(|(at, value)| (at as u64, value.clone()));
        let expected: Vec<_> = sent.filter(|(at, _)| (found.start..found.end).contains(at)).collect();
        assert_eq!(found.values, expected, "{what}");
        assert!(found.end <= self.sent.len() as u64, "{what}: nobody has sent that many: {self:?}, {found:?}");
    }
}

fn open(image: &MemDisk, what: &str) -> Queue {
    Queue::builder()
        .threads(NonZeroUsize::MIN)
        .open_on(vec![image.clone()])
        .unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// All of a partition.
fn read(queue: &Queue, topic: &str, partition: u32, what: &str) -> Found {
    let of = named(topic, partition);
    let at =
        |spec| queue.offset(&of, spec).unwrap_or_else(|error| panic!("{what}: {of}: {error}")).unwrap().offset.get();
    let (start, end) = (at(OffsetSpec::Earliest), at(OffsetSpec::Latest));
    let mut consumer = queue.consumer(&ConsumerConfig::default()).unwrap();
    consumer.assign([(of.clone(), Start::Find(OffsetSpec::Earliest))]).unwrap();
    let mut values = Vec::new();
    while start < end && consumer.position(&of).is_none_or(|position| position.get() < end) {
        let records = consumer.poll(LONG).unwrap_or_else(|error| panic!("{what}: {of}: {error}"));
        assert!(!records.is_empty(), "{what}: {of} ends at {end}, and {values:?} is all that comes");
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        values.extend(records.iter().map(|record| (record.offset().get(), text(record.value()))));
    }
    Found { start, values, end }
}

/// Each topic that is there takes records, and one that is not can be made.
fn goes_on(queue: &Queue, what: &str) {
    let names: Vec<String> = queue.topics().unwrap().iter().map(|topic| topic.name.as_str().to_owned()).collect();
    for name in ["orders", "passing", "late"] {
        if !names.iter().any(|there| there == name) {
            queue
                .create_topic(name, 3, TopicConfig::default())
                .unwrap_or_else(|error| panic!("{what}: {name} cannot be made: {error}"));
            for number in 0..3 {
                let found = read(queue, name, number, what);
                assert_eq!((found.start, found.end), (0, 0), "{what}: {name}-{number} is not new");
            }
        }
        let producer = queue.producer(ProducerConfig::default().durability(Durability::Flushed)).unwrap();
        let sent = producer.send_and_wait(Record::to(name).partition(0).value("on it goes"));
        sent.unwrap_or_else(|error| panic!("{what}: {name} takes no records: {error}"));
    }
}
