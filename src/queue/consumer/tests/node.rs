//! A node made by hand: partitions in memory, and answers that come when the test says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::broker::{Body, FileRead, RequestId};
use crate::id::{GroupId, TopicId, TopicName, TopicPartition};
use crate::log::{EpochCache, FileId, Isolation, Span, SpanFacts};
use crate::message::{
    AbortedTransaction, Answer, Committed, Detail, ErrorCode, Fetch, FetchPartition, Fetched, IsolationLevel,
    ListedOffset, OffsetSpec, PartitionAnswer, Request, RequestError, Response, TopicConfig,
};
use crate::offset::Offset;
use crate::queue::budget::Budget;
use crate::queue::client::{Client, Clocked, OnAnswer, Stopped, TopicFacts};
use crate::queue::sync::{Condvar, Deadline, Mutex, WaitUntil};
use crate::record::{Batch, BatchBuilder, Codec, Entry, NewRecord};
use crate::time::{Instant, Timestamp};

/// What waits is given so long before the test fails.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// A node.
#[derive(Debug, Default)]
pub(super) struct Node {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    now: u64,
    topics: BTreeMap<TopicName, Arc<TopicFacts>>,
    topics_made: u8,
    logs: BTreeMap<TopicPartition, Log>,
    committed: BTreeMap<(GroupId, TopicPartition), Committed>,
    /// What is to be answered to the next requests instead.
    refusals: VecDeque<ErrorCode>,
    /// What reading is refused with.
    read_error: Option<ErrorCode>,
    is_holding: bool,
    is_stopped: bool,
    /// Questions that are not answered.
    open: BTreeMap<u64, (Request, OnAnswer)>,
    asked: Vec<Request>,
    cancelled: usize,
    clocked: Vec<Weak<dyn Clocked>>,
    /// What is appended when somebody helps.
    to_help: VecDeque<(TopicPartition, Vec<&'static str>)>,
    reads: usize,
    budget: Option<Arc<Budget>>,
    /// What there is is in files.
    is_in_files: bool,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inside").field("asked", &self.asked).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Log {
    batches: Vec<Batch>,
    start: u64,
    end: u64,
    last_stable: Option<u64>,
    aborted: Vec<AbortedTransaction>,
}

pub(super) fn partition(name: &str) -> TopicPartition {
    TopicPartition::parse(name).unwrap()
}

pub(super) fn at(offset: u64) -> Offset {
    Offset::new(offset)
}

impl Node {
    /// With topic `t` of so many partitions.
    pub(super) fn with(partitions: u32) -> Arc<Self> {
        let node = Arc::new(Self::default());
        node.create("t", partitions);
        node
    }

    /// Makes a topic, or one of the same name anew.
    pub(super) fn create(&self, topic: &str, partitions: u32) {
        let inside = &mut *self.inside.lock();
        inside.topics_made += 1;
        let id = TopicId::from_bytes([inside.topics_made; 16]).unwrap();
        let name = TopicName::new(topic).unwrap();
        inside.logs.retain(|of, _| *of.topic() != name);
        for number in 0..partitions {
            inside.logs.insert(TopicPartition::new(name.clone(), number).unwrap(), Log::default());
        }
        inside.topics.insert(name, Arc::new(TopicFacts { id, partitions, config: TopicConfig::default() }));
    }

    pub(super) fn add_partitions(&self, topic: &str, partitions: u32) {
        let inside = &mut *self.inside.lock();
        let name = TopicName::new(topic).unwrap();
        let facts = TopicFacts { partitions, ..(*inside.topics[&name]).clone() };
        for number in 0..partitions {
            inside.logs.entry(TopicPartition::new(name.clone(), number).unwrap()).or_default();
        }
        inside.topics.insert(name, Arc::new(facts));
    }

    pub(super) fn delete(&self, topic: &str) {
        let name = TopicName::new(topic).unwrap();
        let inside = &mut *self.inside.lock();
        inside.topics.remove(&name);
        inside.logs.retain(|of, _| *of.topic() != name);
    }

    /// Appends a batch of these values, each with its offset as its date.
    pub(super) fn append(&self, name: &str, values: &[&str]) {
        let mut builder = BatchBuilder::new(Codec::None);
        let base = self.inside.lock().logs[&partition(name)].end;
        for (date, value) in (base as i64..).zip(values) {
            let headers = [("h", Some(&b"x"[..]))];
            let record = NewRecord {
                timestamp: Timestamp::from_millis(date),
                key: Some(b"k"),
                value: Some(value.as_bytes()),
                headers: &headers,
            };
            builder.push(&record).unwrap();
        }
        self.append_batch(name, builder.build().unwrap());
    }

    pub(super) fn append_batch(&self, name: &str, batch: Batch) {
        let mut inside = self.inside.lock();
        let log = inside.logs.get_mut(&partition(name)).unwrap();
        let batch = batch.stamped(at(log.end), Some(crate::epoch::LeaderEpoch::new(7))).unwrap();
        log.end = batch.last_offset().get() + 1;
        log.batches.push(batch);
        drop(inside);
        self.serve();
    }

    /// Bounds the memory of the consumers that come.
    pub(super) fn bound_memory(&self, bytes_max: u64) -> Arc<Budget> {
        let budget = Budget::new(bytes_max);
        self.inside.lock().budget = Some(Arc::clone(&budget));
        budget
    }

    /// Has what there is read from files from now on.
    pub(super) fn move_to_files(&self) {
        self.inside.lock().is_in_files = true;
    }

    /// All below `offset` is gone.
    pub(super) fn trim(&self, name: &str, offset: u64) {
        self.inside.lock().logs.get_mut(&partition(name)).unwrap().start = offset;
    }

    /// All from `offset` on is gone.
    pub(super) fn cut(&self, name: &str, offset: u64) {
        let mut inside = self.inside.lock();
        let log = inside.logs.get_mut(&partition(name)).unwrap();
        log.batches.retain(|batch| batch.last_offset().get() < offset);
        log.end = offset;
        drop(inside);
        self.serve();
    }

    pub(super) fn set_last_stable(&self, name: &str, offset: u64, aborted: Vec<AbortedTransaction>) {
        let mut inside = self.inside.lock();
        let log = inside.logs.get_mut(&partition(name)).unwrap();
        (log.last_stable, log.aborted) = (Some(offset), aborted);
    }

    pub(super) fn advance(&self, millis: u64) {
        self.inside.lock().now += millis;
    }

    /// Time passes, and those whose deadline has come are woken.
    #[cfg(feature = "async")]
    pub(super) fn tick(&self, millis: u64) {
        self.advance(millis);
        let (now, clocked) = (self.now(), self.inside.lock().clocked.clone());
        let due = |clocked: &Arc<dyn Clocked>| clocked.next_deadline().is_some_and(|at| at <= now);
        clocked.iter().filter_map(Weak::upgrade).filter(due).for_each(|clocked| clocked.wake(now));
    }

    /// The next requests are refused with these.
    pub(super) fn refuse(&self, codes: &[ErrorCode]) {
        self.inside.lock().refusals.extend(codes);
    }

    pub(super) fn refuse_reading(&self, code: Option<ErrorCode>) {
        self.inside.lock().read_error = code;
    }

    /// Answers nothing until told to.
    pub(super) fn hold(&self) {
        self.inside.lock().is_holding = true;
    }

    /// Answers again, the last question first.
    pub(super) fn release(&self) {
        self.inside.lock().is_holding = false;
        self.serve();
    }

    /// Has what is open answered because its time is over.
    pub(super) fn expire(&self) {
        self.serve_if(|_| true);
    }

    pub(super) fn help_with(&self, name: &str, values: &[&'static str]) {
        self.inside.lock().to_help.push_back((partition(name), values.to_vec()));
    }

    /// Throws the open questions away unanswered.
    pub(super) fn drop_questions(&self) {
        let open = std::mem::take(&mut self.inside.lock().open);
        drop(open);
    }

    /// Answers the open questions with something else.
    pub(super) fn answer_nonsense(&self) {
        let open = std::mem::take(&mut self.inside.lock().open);
        open.into_values().for_each(|(_, on_answer)| on_answer(Ok(Response::DeleteRecords(Vec::new()))));
    }

    /// The queue is closed.
    pub(super) fn stop(&self) {
        let mut inside = self.inside.lock();
        inside.is_stopped = true;
        let open = std::mem::take(&mut inside.open);
        let clocked = inside.clocked.clone();
        drop(inside);
        open.into_values().for_each(|(_, on_answer)| on_answer(Err(Stopped)));
        clocked.iter().filter_map(Weak::upgrade).for_each(|clocked| clocked.stopped());
    }

    /// The fetches that were asked so far: from where in which partitions.
    pub(super) fn fetches(&self) -> Vec<Vec<(String, u64)>> {
        let inside = self.inside.lock();
        let fetches = inside
            .asked
            .iter()
            .filter_map(|request| if let Request::Fetch(fetch) = request { Some(fetch) } else { None });
        let wanted = |part: &FetchPartition| (part.partition.to_string(), part.fetch_offset.get());
        fetches.map(|fetch| fetch.partitions.iter().map(wanted).collect()).collect()
    }

    pub(super) fn asked(&self) -> usize {
        self.inside.lock().asked.len()
    }

    pub(super) fn open(&self) -> usize {
        self.inside.lock().open.len()
    }

    pub(super) fn cancelled(&self) -> usize {
        self.inside.lock().cancelled
    }

    pub(super) fn reads(&self) -> usize {
        self.inside.lock().reads
    }

    pub(super) fn committed(&self, group: &str, name: &str) -> Option<u64> {
        let key = (GroupId::new(group).unwrap(), partition(name));
        self.inside.lock().committed.get(&key).map(|committed| committed.offset.get())
    }

    /// Waits until `wanted` is open.
    pub(super) fn wait_for_open(&self, wanted: impl Fn(&Request) -> bool) {
        #[expect(clippy::disallowed_methods, reason = "the end of a test that fails")]
        let deadline = Deadline::now() + LONG;
        let mut inside = self.inside.lock();
        while !inside.open.values().any(|(request, _)| wanted(request)) {
            assert!(!self.changed.wait_maybe_until(&mut inside, Some(deadline)), "nobody asks");
        }
    }

    fn serve(&self) {
        self.serve_if(|_| false);
    }

    /// Answers what can be answered, the last question first; `is_over` says whose time is over.
    fn serve_if(&self, is_over: impl Fn(&Request) -> bool) {
        let mut inside = self.inside.lock();
        if inside.is_holding {
            return;
        }
        let mut answers = Vec::new();
        for (id, (request, on_answer)) in std::mem::take(&mut inside.open).into_iter().rev() {
            match inside.answer(&request, is_over(&request)) {
                Some(response) => answers.push((response, on_answer)),
                None => drop(inside.open.insert(id, (request, on_answer))),
            }
        }
        drop(inside);
        answers.into_iter().for_each(|(response, on_answer)| on_answer(Ok(response)));
    }
}

impl Inside {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a consumer asks for nothing else")]
    fn answer(&mut self, request: &Request, is_over: bool) -> Option<Response<Body>> {
        let refusal = self.refusals.pop_front().map(RequestError::new);
        Some(match request {
            Request::Fetch(fetch) => {
                let answers = self.fetch(fetch, refusal.as_ref());
                let is_enough =
                    answers.iter().any(|answer| !matches!(&answer.result, Ok(Fetched { body: Body::Nothing, .. })));
                if !is_enough && !is_over && !answers.is_empty() {
                    return None;
                }
                Response::Fetch(answers)
            }
            Request::ListOffsets(list) => Response::ListOffsets(each(&list.partitions, |part| {
                (part.partition.clone(), refusal.clone().map_or_else(|| Ok(self.list(&part.partition, part.at)), Err))
            })),
            Request::OffsetCommit(commit) => {
                let mut answers = Vec::new();
                for part in &commit.partitions {
                    let is_long = part.committed.metadata.len() > Committed::METADATA_MAX;
                    let too_long = is_long.then(|| RequestError::new(ErrorCode::OffsetMetadataTooLarge));
                    let result = refusal.clone().or(too_long).map_or(Ok(()), Err);
                    if result.is_ok() {
                        let key = (commit.group.clone(), part.partition.clone());
                        self.committed.insert(key, part.committed.clone());
                    }
                    answers.push(Answer { of: part.partition.clone(), result });
                }
                Response::OffsetCommit(answers)
            }
            Request::OffsetFetch(fetch) => Response::OffsetFetch(Ok(each(fetch.partitions.as_ref().unwrap(), |of| {
                let committed = self.committed.get(&(fetch.group.clone(), of.clone())).cloned();
                (of.clone(), refusal.clone().map_or(Ok(committed), Err))
            }))),
            other => panic!("a consumer asks for {other:?}"),
        })
    }

    fn fetch(&self, fetch: &Fetch, refusal: Option<&RequestError>) -> Vec<PartitionAnswer<Fetched<Body>>> {
        each(&fetch.partitions, |part| {
            let found = refusal.map_or_else(|| self.fetch_one(fetch.isolation, part), |error| Err(error.clone()));
            (part.partition.clone(), found)
        })
    }

    fn fetch_one(&self, isolation: IsolationLevel, part: &FetchPartition) -> Result<Fetched<Body>, RequestError> {
        let log = self.logs.get(&part.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let end = log.visible(isolation);
        let from = part.fetch_offset.get();
        if from < log.start || from > end {
            let detail = Detail::Range { log_start_offset: at(log.start), end: at(end) };
            return Err(RequestError::new(ErrorCode::OffsetOutOfRange).with(detail));
        }
        let is_wanted = |batch: &&Batch| batch.last_offset().get() >= from && batch.last_offset().get() < end;
        let batches: Vec<_> = log.batches.iter().filter(is_wanted).cloned().collect();
        Ok(Fetched {
            high_watermark: at(log.end),
            last_stable_offset: at(log.last_stable.unwrap_or(log.end)),
            log_start_offset: at(log.start),
            aborted: log.aborted.clone(),
            body: match batches.is_empty() {
                true => Body::Nothing,
                false if self.is_in_files => Body::File(Box::new(file_of(part, &batches))),
                false => Body::Batches(batches),
            },
        })
    }

    fn list(&self, of: &TopicPartition, spec: OffsetSpec) -> Option<ListedOffset> {
        let log = &self.logs[of];
        let found = match spec {
            OffsetSpec::Earliest => log.start,
            OffsetSpec::Latest | OffsetSpec::MaxTimestamp => log.end,
            OffsetSpec::At(date) if date.as_millis() as u64 >= log.end => return None,
            // Each record's date is its offset.
            OffsetSpec::At(date) => date.as_millis() as u64,
        };
        Some(ListedOffset { offset: at(found), timestamp: None, leader_epoch: None })
    }
}

/// A file that begins with these batches.
fn file_of(part: &FetchPartition, batches: &[Batch]) -> FileRead {
    let end = batches.iter().map(Batch::size).sum();
    let next = batches.last().map_or(part.fetch_offset, |last| last.last_offset().advance(1));
    let span = Span {
        file: FileId(1),
        segment: at(0),
        segment_next: next,
        position: 0,
        end,
        from: part.fetch_offset,
        ceiling: next,
        bytes_max: part.bytes_max,
    };
    let facts = SpanFacts { hint: None, index: None, epochs: EpochCache::new() };
    let isolation = Isolation::HighWatermark;
    FileRead { partition: part.partition.clone(), topic_id: None, span, facts, isolation }
}

impl Log {
    fn visible(&self, isolation: IsolationLevel) -> u64 {
        match isolation {
            IsolationLevel::ReadUncommitted => self.end,
            IsolationLevel::ReadCommitted => self.last_stable.unwrap_or(self.end),
        }
    }
}

fn each<P, T>(
    parts: &[P],
    answer: impl Fn(&P) -> (TopicPartition, Result<T, RequestError>),
) -> Vec<PartitionAnswer<T>> {
    parts.iter().map(answer).map(|(of, result)| Answer { of, result }).collect()
}

impl Client for Node {
    fn now(&self) -> Instant {
        Instant::from_millis(self.inside.lock().now)
    }

    fn date(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        self.inside.lock().budget.clone()
    }

    fn ask(&self, request: Request, on_answer: OnAnswer) -> RequestId {
        let mut inside = self.inside.lock();
        inside.asked.push(request.clone());
        let id = inside.asked.len() as u64;
        if inside.is_stopped {
            drop(inside);
            on_answer(Err(Stopped));
            return RequestId(id);
        }
        inside.open.insert(id, (request, on_answer));
        drop(inside);
        self.changed.notify_all();
        self.serve();
        RequestId(id)
    }

    fn cancel(&self, id: RequestId) {
        let mut inside = self.inside.lock();
        inside.cancelled += 1;
        let gone = inside.open.remove(&id.0);
        drop(inside);
        drop(gone);
    }

    fn read(&self, fetched: Fetched<Body>) -> Result<Fetched<Vec<Entry>>, RequestError> {
        let mut inside = self.inside.lock();
        inside.reads += 1;
        if let Some(code) = inside.read_error {
            return Err(RequestError::new(code));
        }
        Ok(fetched.map(|body| match body {
            Body::Batches(batches) => batches.into_iter().map(Entry::from).collect(),
            Body::File(read) => {
                let batches = inside.logs[&read.partition].batches.iter();
                batches.filter(|batch| batch.last_offset() >= read.span.from).cloned().map(Entry::from).collect()
            }
            Body::Nothing => Vec::new(),
        }))
    }

    fn topic(&self, name: &TopicName) -> Option<Arc<TopicFacts>> {
        self.inside.lock().topics.get(name).cloned()
    }

    fn clock(&self, clocked: Weak<dyn Clocked>) {
        self.inside.lock().clocked.push(clocked);
    }

    fn hurry(&self, _at: Instant) {}

    fn help(&self) -> bool {
        let helped = self.inside.lock().to_help.pop_front();
        if let Some((of, values)) = &helped {
            self.append(&of.to_string(), values);
        }
        helped.is_some()
    }
}
