//! A node made by hand: its logs are lists, its clock is moved by hand, and each question's fate can be said beforehand.

#![expect(clippy::wildcard_enum_match_arm, reason = "what a producer does not ask ends the test")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use crate::broker::{Body, RequestId};
use crate::epoch::ProducerEpoch;
use crate::id::{ProducerId, TopicId, TopicName, TopicPartition};
use crate::message::{
    Answer, Detail, ErrorCode, Fetched, FullDisk, Produce, ProducePartition, Produced, ProducerIdentity, Request,
    RequestError, Response, TopicConfig,
};
use crate::offset::Offset;
use crate::queue::client::{Client, Clocked, OnAnswer, Stopped, TopicFacts};
use crate::queue::sync::Mutex;
use crate::record::{Batch, DecompressLimit, Entry, ProducerStamp};
use crate::time::{Instant, Timestamp};

/// What becomes of a question.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is answered at once.
    Answer,
    /// It is done, and the answer says that nobody knows.
    LoseAnswer,
    /// It is not done, and the answer says so.
    Refuse(ErrorCode),
    /// The same, for the disk of the metadata is full.
    Full,
    /// It is answered when it is let go.
    Hold,
    /// It is thrown away.
    Forget,
}

/// A batch as the node has seen it, with its values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    pub(super) partition: TopicPartition,
    pub(super) producer: Option<ProducerStamp>,
    pub(super) values: Vec<String>,
}

/// A node made by hand.
#[derive(Debug)]
pub(super) struct HandNode {
    state: Mutex<State>,
}

struct State {
    now: Instant,
    topics: BTreeMap<TopicName, u32>,
    logs: BTreeMap<TopicPartition, Log>,
    fates: VecDeque<Fate>,
    otherwise: Fate,
    seen: Vec<Seen>,
    held: VecDeque<(Request, OnAnswer)>,
    clocked: Vec<Weak<dyn Clocked>>,
    producer_ids: i64,
    out_of_order: u32,
    is_stopped: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("seen", &self.seen).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Log {
    values: Vec<String>,
    producers: BTreeMap<ProducerId, Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    epoch: Option<ProducerEpoch>,
    next: i32,
    last: VecDeque<(i32, u32, Offset)>,
}

impl HandNode {
    /// A node with one topic, `orders`, that answers at once.
    pub(super) fn new(partitions: u32) -> Arc<Self> {
        let state = State {
            now: Instant::from_millis(1000),
            topics: BTreeMap::from([(TopicName::new("orders").unwrap(), partitions)]),
            logs: BTreeMap::new(),
            fates: VecDeque::new(),
            otherwise: Fate::Answer,
            seen: Vec::new(),
            held: VecDeque::new(),
            clocked: Vec::new(),
            producer_ids: 0,
            out_of_order: 0,
            is_stopped: false,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// From now on, whatever no other fate was said for has this one.
    pub(super) fn otherwise(&self, fate: Fate) {
        self.state.lock().otherwise = fate;
    }

    /// The fates of the next batches.
    pub(super) fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.state.lock().fates.extend(fates);
    }

    /// Lets go of what is held: of the question that stands at `which`, counted around. Answers whether there was one.
    pub(super) fn let_go(&self, which: usize) -> bool {
        let mut state = self.state.lock();
        if state.held.is_empty() {
            return false;
        }
        let place = which % state.held.len();
        let Some((request, on_answer)) = state.held.remove(place) else { return false };
        let response = state.answer(request);
        drop(state);
        on_answer(Ok(response));
        true
    }

    pub(super) fn held(&self) -> usize {
        self.state.lock().held.len()
    }

    pub(super) fn set_topic(&self, name: &str, partitions: Option<u32>) {
        let name = TopicName::new(name).unwrap();
        let mut state = self.state.lock();
        match partitions {
            Some(partitions) => state.topics.insert(name, partitions),
            None => state.topics.remove(&name),
        };
    }

    /// Moves the clock, and wakes those whose deadline has come, as often as there are some.
    pub(super) fn advance(&self, millis: u64) {
        let end = self.now().after(millis);
        loop {
            let clocked = self.clocked();
            let first = clocked.iter().filter_map(|one| one.next_deadline()).min().filter(|at| *at <= end);
            let now = first.unwrap_or(end).max(self.now());
            self.state.lock().now = now;
            let due = |one: &Arc<dyn Clocked>| one.next_deadline().is_some_and(|at| at <= now);
            clocked.iter().filter(|one| due(one)).for_each(|one| one.wake(now));
            if first.is_none() {
                return;
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.clocked().iter().filter_map(|one| one.next_deadline()).min()
    }

    pub(super) fn clocked(&self) -> Vec<Arc<dyn Clocked>> {
        self.state.lock().clocked.iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends: what is held is answered so, and so is all that is asked later.
    pub(super) fn stop(&self) {
        let held = {
            let mut state = self.state.lock();
            state.is_stopped = true;
            std::mem::take(&mut state.held)
        };
        for (_, on_answer) in held {
            on_answer(Err(Stopped));
        }
        for one in self.clocked() {
            one.stopped();
        }
    }

    /// All batches that came, in order.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }

    /// What the log of a partition of `orders` has.
    pub(super) fn log(&self, partition: u32) -> Vec<String> {
        let name = TopicPartition::new(TopicName::new("orders").unwrap(), partition).unwrap();
        self.state.lock().logs.get(&name).map(|log| log.values.clone()).unwrap_or_default()
    }

    pub(super) fn producer_ids(&self) -> i64 {
        self.state.lock().producer_ids
    }

    /// How many batches came before one that they had to come behind.
    pub(super) fn out_of_order(&self) -> u32 {
        self.state.lock().out_of_order
    }
}

impl Client for HandNode {
    fn now(&self) -> Instant {
        self.state.lock().now
    }

    fn date(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn ask(&self, request: Request, on_answer: OnAnswer) -> RequestId {
        let mut state = self.state.lock();
        if state.is_stopped {
            drop(state);
            on_answer(Err(Stopped));
            return RequestId(0);
        }
        if let Request::Produce(produce) = &request {
            let seen = produce.partitions.iter().map(see);
            state.seen.extend(seen);
        }
        let otherwise = state.otherwise.clone();
        match state.fates.pop_front().unwrap_or(otherwise) {
            Fate::Answer => {
                let response = state.answer(request);
                drop(state);
                on_answer(Ok(response));
            }
            Fate::LoseAnswer => {
                let _ = state.answer(request.clone());
                drop(state);
                on_answer(Ok(refusal(request, &ErrorCode::RequestTimedOut.into())));
            }
            Fate::Refuse(code) => {
                drop(state);
                on_answer(Ok(refusal(request, &code.into())));
            }
            Fate::Full => {
                drop(state);
                let partition = TopicPartition::parse("__cluster_metadata-0").unwrap();
                let full = FullDisk { partition, directory: Some("disk 0".to_owned()) };
                let error = RequestError::new(ErrorCode::KafkaStorageError).with(Detail::DiskFull(Box::new(full)));
                on_answer(Ok(refusal(request, &error)));
            }
            Fate::Hold => state.held.push_back((request, on_answer)),
            Fate::Forget => {
                drop(state);
                drop(on_answer);
            }
        }
        RequestId(0)
    }

    fn cancel(&self, _id: RequestId) {}

    fn read(&self, _fetched: Fetched<Body>) -> Result<Fetched<Vec<Entry>>, RequestError> {
        unreachable!("no producer reads")
    }

    fn topic(&self, name: &TopicName) -> Option<Arc<TopicFacts>> {
        let partitions = *self.state.lock().topics.get(name)?;
        let id = TopicId::from_bytes([7; 16]).unwrap();
        Some(Arc::new(TopicFacts { id, partitions, config: TopicConfig::default() }))
    }

    fn clock(&self, clocked: Weak<dyn Clocked>) {
        self.state.lock().clocked.push(clocked);
    }

    fn hurry(&self, _at: Instant) {}

    fn help(&self) -> bool {
        false
    }
}

impl State {
    fn answer(&mut self, request: Request) -> Response<Body> {
        match request {
            Request::Produce(Produce { partitions, acks, .. }) => {
                let answers = partitions
                    .into_iter()
                    .map(|part| Answer { of: part.partition.clone(), result: self.append(&part) });
                let answers: Vec<_> = answers.collect();
                Response::Produce(if acks == crate::message::Acks::None { Vec::new() } else { answers })
            }
            Request::InitProducerId(_) => {
                self.producer_ids += 1;
                let id = ProducerId::new(self.producer_ids).unwrap();
                Response::InitProducerId(Ok(ProducerIdentity { id, ..ProducerIdentity::default() }))
            }
            other => unreachable!("no producer asks {other:?}"),
        }
    }

    /// Appends as a log does: what it knows comes back with its place, and what would leave a gap is refused.
    fn append(&mut self, part: &ProducePartition) -> Result<Produced, RequestError> {
        let count = self.topics.get(part.partition.topic()).copied().unwrap_or(0);
        if part.partition.partition() >= count {
            return Err(ErrorCode::UnknownTopicOrPartition.into());
        }
        let log = self.logs.entry(part.partition.clone()).or_default();
        let end = Offset::new(log.values.len() as u64);
        let produced = |base_offset| Produced { base_offset, log_append_time: None, log_start_offset: Offset::ZERO };
        if let Some(stamp) = part.batch.producer() {
            let known = log.producers.entry(stamp.id).or_default();
            let (epoch, sequence) = (stamp.epoch, stamp.base_sequence.unwrap().get());
            if known.epoch < epoch {
                *known = Remembered { epoch, ..Remembered::default() };
            }
            let records = part.batch.record_count();
            if let Some((_, _, at)) = known.last.iter().find(|last| (last.0, last.1) == (sequence, records)) {
                return Ok(produced(*at));
            }
            if known.next != sequence {
                self.out_of_order += 1;
                return Err(ErrorCode::OutOfOrderSequenceNumber.into());
            }
            if part.expected_offset.is_none_or(|expected| expected == end) {
                known.next += records as i32;
                known.last.push_front((sequence, records, end));
                known.last.truncate(5);
            }
        }
        if part.expected_offset.is_some_and(|expected| expected != end) {
            return Err(RequestError::new(ErrorCode::InvalidRecord).with(Detail::LogEnd(end)));
        }
        log.values.extend(values(&part.batch));
        Ok(produced(end))
    }
}

fn refusal(request: Request, error: &RequestError) -> Response<Body> {
    match request {
        Request::Produce(produce) => {
            let refused = |part: ProducePartition| Answer::refused(part.partition, error.clone());
            Response::Produce(produce.partitions.into_iter().map(refused).collect())
        }
        Request::InitProducerId(_) => Response::InitProducerId(Err(error.clone())),
        other => unreachable!("no producer asks {other:?}"),
    }
}

fn see(part: &ProducePartition) -> Seen {
    Seen { partition: part.partition.clone(), producer: part.batch.producer(), values: values(&part.batch) }
}

fn values(batch: &Batch) -> Vec<String> {
    let records = batch.records(DecompressLimit(1 << 30)).unwrap();
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or(b"-").to_vec()).unwrap();
    records.iter().map(|record| text(record.unwrap().value)).collect()
}
