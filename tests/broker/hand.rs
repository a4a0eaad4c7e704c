//! A node driven by hand on a disk in memory: nothing is done to the disk before the test says so.

use std::collections::{BTreeMap, VecDeque};

use ottla::broker::{
    Body, Broker, ControlRole, DiskReport, DiskWish, Host, Input, Opening, Output, RequestId, SnapshotJob, SpaceConfig,
};
use ottla::controller::{AdoptRefusal, Adopted, Candidate, Controller, Draw, Replayer};
use ottla::coordinator::{CoordinatorConfig, Skipped};
use ottla::disk::{DiskError, DiskErrorKind, LogDir, LogDriver, MemDisk, OpenOptions, OpenedLog, ReadFault, Shutdown};
use ottla::epoch::LeaderEpoch;
use ottla::id::{BrokerId, TopicId, TopicPartition};
use ottla::log::{Closing, Effect, LogConfig, OpFailure};
use ottla::message::{Acks, Durability, Produce, ProducePartition, Request, RequestError, Response};
use ottla::offset::Offset;
use ottla::partition::{Found, PartitionConfig, PartitionFacts, Reign, StopReason, TimeSearch, Waiter};
use ottla::record::{BatchBuilder, Checked, Codec, Entry, NewRecord, Rules};
use ottla::time::{Instant, Timestamp};

pub const DATE: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// What has come of taking over partitions, and which were refused.
pub type Adoption = (Result<Vec<Adopted>, RequestError>, Vec<(TopicPartition, AdoptRefusal)>);

pub struct Hand {
    pub broker: Broker,
    pub now: u64,
    dir: LogDir<MemDisk>,
    drivers: BTreeMap<TopicPartition, LogDriver<MemDisk>>,
    /// What is yet to be done to the disk.
    pub wishes: VecDeque<(TopicPartition, DiskWish)>,
    pub answers: BTreeMap<RequestId, Response<Body>>,
    pub refused: Vec<(TopicPartition, RequestError)>,
    pub searches: Vec<(Waiter, TopicPartition, TimeSearch)>,
    requests: u64,
    /// Partitions that are to be made, and those that are not.
    pub openings: Vec<Opening>,
    pub deleted: Vec<TopicPartition>,
    pub led: Vec<(TopicPartition, Result<Reign, RequestError>)>,
    pub rejected: Vec<RequestId>,
    pub started: Vec<Result<(), RequestError>>,
    pub adopted: Vec<Adoption>,
    /// What a coordinator has yet to read, and what it could not.
    pub loads: VecDeque<(Waiter, TopicPartition, Body)>,
    pub skipped: Vec<(TopicPartition, Skipped)>,
    /// Snapshots that are yet to be written.
    pub snapshots: Vec<SnapshotJob>,
}

pub fn at(name: &str) -> TopicPartition {
    TopicPartition::parse(name).unwrap()
}

pub fn batch(value: &str) -> Checked {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(&NewRecord::new(DATE, None, Some(value.as_bytes()))).unwrap();
    batch.build().unwrap().check(&Rules::default(), DATE).unwrap()
}

pub fn produce(acks: Acks, durability: Durability, parts: &[(&str, &str)]) -> Request<Checked> {
    let part = |(name, value): &(&str, &str)| ProducePartition {
        partition: at(name),
        batch: batch(value),
        expected_offset: None,
    };
    Request::Produce(Produce { acks, durability, timeout_ms: 1_000, partitions: parts.iter().map(part).collect() })
}

impl Hand {
    /// A node that leads these partitions, with all that its opening wants done.
    pub fn new(names: &[&str], config: LogConfig) -> Self {
        let mut hand = Self::of(Broker::new(), MemDisk::new());
        for name in names {
            hand.host(name, config.clone());
        }
        hand.work();
        hand
    }

    /// The same, with bounds on what they may take.
    pub fn bounded(names: &[&str], config: LogConfig, space: SpaceConfig) -> Self {
        let mut hand = Self::of(Broker::new().bounded(space), MemDisk::new());
        for name in names {
            hand.host(name, config.clone());
        }
        hand.work();
        hand
    }

    /// A node that is the controller of a new cluster.
    pub fn controlling() -> Self {
        Self::controlling_on(MemDisk::new())
    }

    /// The same, where something is on the disk already.
    pub fn controlling_on(disk: MemDisk) -> Self {
        let mut hand = Self::not_started_on(disk);
        hand.give(Input::Start { date: DATE });
        hand.work();
        hand
    }

    /// The same, and nobody has told it to begin.
    pub fn not_started() -> Self {
        Self::not_started_on(MemDisk::new())
    }

    fn not_started_on(disk: MemDisk) -> Self {
        let mut controller = Controller::new(Replayer::new()).unwrap();
        controller.set_candidates([Candidate::active(BrokerId::new(1), Vec::new())]);
        let (draw, broker, cluster_id) = (Draw::new(7), BrokerId::new(1), "a cluster".to_owned());
        let coordinator = CoordinatorConfig::default();
        let role = ControlRole { controller, draw, broker, cluster_id, coordinator };
        let mut hand = Self::of(Broker::controlling(role), disk);
        hand.host("__cluster_metadata-0", LogConfig::default());
        hand.work();
        hand
    }

    fn of(broker: Broker, disk: MemDisk) -> Self {
        Self {
            broker,
            dir: LogDir::open(disk).unwrap(),
            now: 0,
            drivers: BTreeMap::new(),
            wishes: VecDeque::new(),
            answers: BTreeMap::new(),
            refused: Vec::new(),
            searches: Vec::new(),
            requests: 0,
            openings: Vec::new(),
            deleted: Vec::new(),
            led: Vec::new(),
            rejected: Vec::new(),
            started: Vec::new(),
            adopted: Vec::new(),
            loads: VecDeque::new(),
            skipped: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    /// Makes the partitions that are to be made, and does all that is to be done.
    pub fn open_all(&mut self) {
        self.work();
        for opening in std::mem::take(&mut self.openings) {
            let name = opening.partition.to_string();
            self.host(&name, opening.log);
        }
        self.work();
    }

    pub fn host(&mut self, name: &str, config: LogConfig) {
        self.host_of(name, config, None);
    }

    /// Lets go of a partition: its files are closed.
    pub fn release(&mut self, name: &str) {
        self.give(Input::Stop { partition: at(name), reason: StopReason::Resigned });
        self.work();
        self.give(Input::Release(at(name)));
        self.drivers.remove(&at(name));
    }

    /// Hosts a partition of a topic of this id.
    pub fn host_of(&mut self, name: &str, config: LogConfig, topic_id: Option<TopicId>) {
        let partition = at(name);
        let options = OpenOptions { config, ..OpenOptions::default() };
        let OpenedLog { log, effects, driver, report } = self.dir.open_log(&partition, &options, DATE).unwrap();
        let is_whole = matches!(report.shutdown, Shutdown::New | Shutdown::Clean);
        let found = if is_whole { Found::Whole } else { Found::Unsettled };
        let latest = log.epochs().latest().unwrap_or(LeaderEpoch::ZERO);
        let reign = Reign::alone(BrokerId::new(1), if is_whole { latest } else { latest.next().unwrap() });
        let facts = PartitionFacts { partition: partition.clone(), topic_id, broker: BrokerId::new(1), found };
        self.drivers.insert(partition.clone(), driver);
        let config = PartitionConfig::default();
        self.wishes.extend(effects.into_iter().map(|effect| (partition.clone(), DiskWish::Log(effect))));
        self.give(Input::Host(Box::new(Host { log, facts, reign, config })));
    }

    pub fn give(&mut self, input: Input) {
        self.broker.handle(Instant::from_millis(self.now), input);
        let mut again = false;
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Disk { partition, wish } => self.wishes.push_back((partition, wish)),
                Output::Respond { id, response } => {
                    assert!(self.answers.insert(id, response).is_none(), "{id:?} is answered twice");
                }
                Output::Refused { partition, error } => self.refused.push((partition, error)),
                Output::Find { waiter, partition, search } => self.searches.push((waiter, partition, search)),
                Output::Load { waiter, partition, body } => self.loads.push_back((waiter, partition, body)),
                Output::Skipped { partition, skipped } => self.skipped.push((partition, skipped)),
                Output::Replaced { .. } => panic!("nothing is compacted here"),
                Output::Dropped { partition, segment } => {
                    let is_bounded = *self.broker.bounds() != SpaceConfig::default();
                    assert!(is_bounded, "{partition}: {segment:?} was dropped without a bound");
                }
                Output::NotHosted { partition, error } => panic!("{partition}: {error}"),
                Output::Open(opening) => self.openings.push(*opening),
                Output::Led { partition, result } => self.led.push((partition, result)),
                Output::Rejected(id) => self.rejected.push(id),
                Output::Started(result) => self.started.push(result),
                Output::Adopted { result, refused } => self.adopted.push((result, refused)),
                Output::Delete(partition) => self.deleted.push(partition),
                Output::Snapshot(job) => self.snapshots.push(*job),
                Output::Again => again = true,
            }
        }
        if again {
            self.give(Input::Wake);
        }
    }

    pub fn ask(&mut self, request: Request<Checked>) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.give(Input::Request { id, date: DATE, request });
        id
    }

    /// The answer, which has to be there.
    pub fn answer(&mut self, id: RequestId) -> Response<Body> {
        self.answers.remove(&id).unwrap_or_else(|| panic!("{id:?} is not answered"))
    }

    pub fn answer_now(&mut self, request: Request<Checked>) -> Response<Body> {
        let id = self.ask(request);
        self.answer(id)
    }

    /// Lets time pass, and wakes the node only if it has asked for it.
    pub fn pass(&mut self, millis: u64) {
        self.now += millis;
        while self.broker.next_deadline().is_some_and(|deadline| deadline.as_millis() <= self.now) {
            self.give(Input::Wake);
        }
    }

    /// Does all that is to be done to the disk, and reads what is to be loaded.
    pub fn work(&mut self) {
        while self.step() || self.load() {}
    }

    /// Reads the next thing that a coordinator has to know; `false` if there is none.
    pub fn load(&mut self) -> bool {
        let Some((waiter, partition, body)) = self.loads.pop_front() else { return false };
        let (entries, next) = match body {
            Body::Nothing => (Vec::new(), None),
            Body::Batches(batches) => (batches.into_iter().map(Entry::Batch).collect(), None),
            Body::File(read) => match self.drivers.get_mut(&partition).unwrap().read(&read.span, &read.facts) {
                Ok(entries) => (entries, None),
                Err(ReadFault::Corrupt { offset, .. }) => (Vec::new(), Some(read.behind_corrupt(offset))),
                Err(fault) => panic!("{fault}"),
            },
        };
        self.give(Input::Loaded { waiter, entries, next });
        true
    }

    /// Closes a partition in order, as far as the disk is concerned, and lets go of it.
    pub fn close(&mut self, name: &str) {
        let partition = at(name);
        self.give(Input::Stop { partition: partition.clone(), reason: StopReason::Closed });
        self.work();
        let log = self.broker.partition(&partition).unwrap().log();
        let (seal, mark) = (log.seal_for_close(), log.mark(Closing::Closed));
        let mut driver = self.drivers.remove(&partition).unwrap();
        driver.perform(&seal).unwrap();
        self.dir.settle_mark(&partition, &mark).unwrap();
        self.give(Input::Release(partition));
    }

    /// Does the next thing; `false` if there is none.
    pub fn step(&mut self) -> bool {
        let Some((partition, wish)) = self.wishes.pop_front() else { return false };
        if let Some(report) = self.perform(&partition, wish) {
            self.give(Input::Disk { partition, report });
        }
        true
    }

    fn perform(&mut self, partition: &TopicPartition, wish: DiskWish) -> Option<DiskReport> {
        let driver = self.drivers.get_mut(partition).unwrap();
        Some(match wish {
            DiskWish::Log(Effect::Op(seq, op)) => match driver.perform(&op) {
                Ok(()) => DiskReport::Done(seq),
                Err(error) => DiskReport::Failed(seq, failure(&error)),
            },
            DiskWish::Log(Effect::Sync(sync)) => {
                let job = driver.begin_sync(&sync).unwrap();
                match job.perform() {
                    Ok(()) => {
                        driver.end_sync(job);
                        let mark = self.broker.partition(partition).unwrap().log().mark(Closing::Open);
                        self.dir.note_mark(partition, &mark).unwrap();
                        DiskReport::Synced(sync.id)
                    }
                    Err(error) => DiskReport::SyncFailed(sync.id, error.to_string()),
                }
            }
            DiskWish::Log(Effect::Remove(remove)) => {
                driver.remove(&remove).unwrap();
                return None;
            }
            DiskWish::Reserve { file, needed, wanted } => match driver.reserve(file, needed, wanted) {
                Ok(len) => DiskReport::Reserved(file, len),
                Err(error) => DiskReport::ReserveFailed(needed, failure(&error)),
            },
            DiskWish::Mark(mark) => match self.dir.settle_mark(partition, &mark) {
                Ok(()) => DiskReport::Marked,
                Err(error) => DiskReport::MarkFailed(error.to_string()),
            },
        })
    }

    /// The values in what a fetch was answered with.
    pub fn values(&mut self, body: Body) -> Vec<String> {
        let entries = match body {
            Body::Nothing => Vec::new(),
            Body::Batches(batches) => batches.into_iter().map(Entry::Batch).collect(),
            Body::File(read) => {
                let found = self.drivers.get_mut(&read.partition).unwrap().read(&read.span, &read.facts).unwrap();
                match self.broker.fetch_behind(&read).unwrap() {
                    Some(behind) if found.is_empty() => return self.values(behind.body),
                    Some(_) | None => found,
                }
            }
        };
        let mut values = Vec::new();
        for entry in entries {
            let records = entry.records(Default::default()).unwrap();
            values.extend(records.iter().map(|record| String::from_utf8_lossy(record.unwrap().value.unwrap()).into()));
        }
        values
    }

    /// Reads what a search has to look at, as a driver would.
    pub fn found(&mut self, partition: &TopicPartition, search: &TimeSearch, wanted: Timestamp) -> Option<Offset> {
        for segment in &search.segments {
            let span = search.span(segment, search.log_start_offset, u32::MAX);
            let facts = self.broker.span_facts(partition, &span).unwrap();
            for entry in self.drivers.get_mut(partition).unwrap().read(&span, &facts).unwrap() {
                for record in entry.records(Default::default()).unwrap().iter() {
                    let record = record.unwrap();
                    if record.timestamp >= wanted {
                        return search.counts(record.offset).then_some(record.offset);
                    }
                }
            }
        }
        None
    }
}

fn failure(error: &DiskError) -> OpFailure {
    if error.kind == DiskErrorKind::NoSpace { OpFailure::NoSpace } else { OpFailure::Failed(error.to_string()) }
}
