//! One node, as a state machine: it carries things between the machines that decide and the driver that performs.
//!
//! A [`Broker`] owns the partitions that this node holds and the wheel with everybody's deadlines. It is given what
//! happens, [`Input`], and leaves what is to be done, [`Output`]: after each [`Broker::handle`], drain
//! [`Broker::poll_output`] before the next, and call [`Broker::handle`] with [`Input::Wake`] when
//! [`Broker::next_deadline`] has come. It opens no file, starts no thread and asks no clock, so that who drives it may have
//! one lock around it, or no thread at all.
//!
//! What one input costs, without a disk, by one run of `cargo bench --bench broker` on a virtual core of a shared machine: a
//! produce of a batch of 1 KiB with the report of its write, and a fetch of it from memory. No step here is taken for each of
//! what else there is; but the state of 10,000 logs, or of as many that wait, is in no cache, which is what their lines show,
//! and it shows on this machine with every layout that was tried.
//!
//! | partitions | fetches that wait elsewhere | produce, and its write reported | fetch from memory | raw: `memcpy` of the batch |
//! |---|---|---|---|---|
//! | 1 | 0 | 3080 ns | 525 ns | 103 ns |
//! | 100 | 0 | 3491 ns | 616 ns | 101 ns |
//! | 10000 | 0 | 6471 ns | 1604 ns | 95 ns |
//! | 100 | 10000 | 4892 ns | 714 ns | 103 ns |
//! | 10000 | 10000 | 8426 ns | 2044 ns | 106 ns |
//!
//! - May use: the newtypes, `timer`, `record`, `log`, `partition`, `message`, `controller`, `coordinator`.
//! - Must not know: files, threads, clocks; and no rule: whatever is decided is decided by the machine that it is carried
//!   to.
//! - Always true: each request is answered once, unless it was cancelled; who waits to append or to read is answered at its
//!   deadline or when its partition stops; outputs of one partition's disk come out in the order of its effects.

mod admin;
mod asked;
mod bounds;
mod changes;
mod control;
mod errors;
mod fetch;
mod groups;
mod hosting;
mod io;
mod marks;
mod offsets;
mod produce;
mod refuse;
pub(crate) mod settings;
mod snapshots;
mod space;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use crate::partition::DiskWish;
pub use control::ControlRole;
pub use io::{Body, DiskReport, FileRead, Host, Input, NotHosted, Opening, Output, RequestId};
pub use snapshots::SnapshotJob;
pub use space::{Dropped, SpaceConfig};

use asked::{Asked, Key, Pending, Wait};
use control::{Control, Job, Task};
use groups::Groups;
use marks::Marks;
use refuse::unknown_partition;
use space::Space;

use crate::controller::Image;
use crate::id::{TopicId, TopicPartition};
use crate::log::{Span, SpanFacts};
use crate::message::{Fetched, Request, RequestError, Response, Trial};
use crate::offset::Offset;
use crate::partition::{Effect, Partition, TimeSearch, Waiter};
use crate::record::Checked;
use crate::time::{Instant, Timestamp};
use crate::timer::{Advance, TimingWheel};

/// How many steps of the wheel one input takes at most.
const DEADLINES_MAX: usize = 256;

/// How many fetches one input looks at again at most.
const RETRIES_MAX: usize = 256;

/// One node (see the [room](self)).
#[derive(Debug, Default)]
pub struct Broker {
    hosts: BTreeMap<TopicPartition, Partition>,
    wheel: TimingWheel<Due>,
    asked: Asked,
    /// The controller, if this node is it.
    control: Option<Control>,
    /// A change of metadata was committed, and what follows from it is still to be carried on.
    committed: bool,
    /// The coordinator of groups, if this node is the controller.
    groups: Groups,
    marks: Marks,
    /// What partitions take, where there is a bound on it.
    space: Space,
    /// Why partitions that should be here are not.
    absent: BTreeMap<TopicPartition, RequestError>,
    /// Partitions that have more to do than one call may.
    behind: BTreeSet<TopicPartition>,
    /// Fetches that may have enough now.
    woken: BTreeSet<Key>,
    outputs: VecDeque<Output>,
    /// Kept so that not every input allocates them.
    effects: Vec<Effect>,
    due: Vec<Due>,
}

/// Whose deadline has come.
#[derive(Clone, Debug)]
enum Due {
    Waiter(Waiter),
    Fetch(Key),
    Flush(TopicPartition),
}

impl Broker {
    /// A node that holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A node that holds nothing yet, and is the controller too. Its metadata partition has to be hosted before anything is
    /// asked of it, and [`Input::Start`] is to be the first thing that is.
    pub fn controlling(role: ControlRole) -> Self {
        let groups = Groups::new(role.coordinator.clone());
        Self { control: Some(Control::new(role)), groups, ..Self::default() }
    }

    /// What is committed of the metadata, if this node is the controller.
    pub fn image(&self) -> Option<&Image> {
        self.control.as_ref().map(|control| control.role.controller.image())
    }

    /// How far the metadata is committed, if this node is the controller: whatever was learned of it at another number may
    /// have changed.
    pub fn metadata_end(&self) -> Offset {
        self.control.as_ref().map_or(Offset::ZERO, |control| control.role.controller.committed_end())
    }

    /// Takes in what has happened. What is to be done about it is left for [`Broker::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.expire(now);
        match input {
            Input::Request { id, date, request } => self.on_request(now, date, id, request),
            Input::Cancel(id) => self.on_cancel(id),
            Input::Host(host) => self.on_host(now, *host),
            Input::Stop { partition, reason } => self.on_stop(&partition, reason),
            Input::Release(partition) => self.on_release(now, &partition),
            Input::Disk { partition, report } => self.on_report(&partition, report),
            Input::Found { waiter, result } => self.on_found(waiter, result),
            Input::Loaded { waiter, entries, next } => self.on_loaded(now, waiter, &entries, next),
            Input::LoadAgain { waiter } => self.on_load_again(now, waiter),
            Input::NotLoaded { waiter, why } => self.on_not_loaded(waiter, why),
            Input::Upkeep { partition, date } => {
                self.with_host(&partition, |host, effects| {
                    host.retain(date, effects);
                    host.expire_producers(date);
                });
                self.expire_offsets(now, &partition, date);
                self.maybe_snapshot(now, &partition);
            }
            Input::Replace { partition, replacement } => self.on_replace(partition, *replacement),
            Input::Flush(partition) => self.with_host(&partition, Partition::flush),
            Input::Start { date } => self.task(now, date, Job::Start),
            Input::Adopt { found, date } => self.task(now, date, Job::Adopt(found)),
            Input::Lead { opened, date } => self.task(now, date, Job::Lead(opened)),
            Input::NotOpened { partition, error } => self.on_not_opened(partition, error),
            Input::WriteSnapshots(snapshots) => {
                if let Some(control) = &mut self.control {
                    control.snapshots = Some(*snapshots);
                }
            }
            Input::Snapshotted { date } => self.on_snapshotted(date),
            Input::NotSnapshotted => {
                if let Some(snapshots) = self.control.as_mut().and_then(|control| control.snapshots.as_mut()) {
                    snapshots.failed();
                }
            }
            Input::FilesLeft => {
                if let Some(control) = &mut self.control {
                    control.files_left = true;
                }
            }
            Input::Absent { partition, error } => drop(self.absent.insert(partition, error)),
            Input::Wake => self.catch_up(),
        }
        self.control_committed(now);
        self.groups_on(now);
        self.retry_woken(now);
    }

    /// The next thing to be done, in order; `None` if there is nothing more until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to give it [`Input::Wake`]. To do so earlier is harmless.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// A partition that this node holds.
    pub fn partition(&self, partition: &TopicPartition) -> Option<&Partition> {
        self.hosts.get(partition)
    }

    /// The same, if it is still of this topic: what was planned in one is not looked for in the next of the same name.
    pub fn partition_of(&self, partition: &TopicPartition, topic_id: Option<TopicId>) -> Option<&Partition> {
        self.hosts.get(partition).filter(|host| host.facts().topic_id == topic_id)
    }

    /// The partitions that this node holds.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.hosts.keys()
    }

    /// How many parts of requests wait for something.
    pub fn waiting(&self) -> usize {
        self.asked.waiting()
    }

    /// What the reader of a span has to know of its log; `None` if the partition is not here any more.
    pub fn span_facts(&self, partition: &TopicPartition, span: &Span) -> Option<SpanFacts> {
        Some(self.hosts.get(partition)?.log().span_facts(span))
    }

    /// Plans on behind a read that has found nothing in its place: compaction, or a gap. `None`: there is nothing behind it
    /// either. If another segment has its place by now, it is planned again.
    ///
    /// # Errors
    ///
    /// Those of [`fetch_again`](Self::fetch_again).
    pub fn fetch_behind(&self, read: &FileRead) -> Result<Option<Fetched<Body>>, RequestError> {
        let FileRead { partition, topic_id, span, isolation, .. } = read;
        let host = self.partition_of(partition, *topic_id).ok_or_else(|| unknown_partition(partition))?;
        let found = host.fetch_behind(span, *isolation).map_err(|error| errors::fetch(&error))?;
        Ok(found.map(|found| {
            let body = self.body(partition, &found, *isolation).0;
            fetch::fetched(&found, body)
        }))
    }

    /// Plans a read again whose file is gone: retention or a compaction has been there since it was planned.
    ///
    /// # Errors
    ///
    /// What was wanted lies in front of the log start by now, with both ends of the log; or the partition is not here any
    /// more.
    pub fn fetch_again(&self, read: &FileRead) -> Result<Fetched<Body>, RequestError> {
        let FileRead { partition, topic_id, span, isolation, .. } = read;
        let host = self.partition_of(partition, *topic_id).ok_or_else(|| unknown_partition(partition))?;
        let found = host.fetch_again(span, *isolation).map_err(|error| errors::fetch(&error))?;
        let body = self.body(partition, &found, *isolation).0;
        Ok(fetch::fetched(&found, body))
    }

    /// Plans a search again of which a file is gone; `None` if the partition is not here any more.
    pub fn search_again(&self, partition: &TopicPartition, search: &TimeSearch) -> Option<TimeSearch> {
        Some(self.partition_of(partition, search.topic_id)?.search_again(search))
    }

    fn on_request(&mut self, now: Instant, date: Timestamp, id: RequestId, request: Request<Checked>) {
        if self.asked.is_asked(id) {
            return self.outputs.push_back(Output::Rejected(id));
        }
        let response = match request {
            Request::Produce(request) => return self.on_produce(now, date, id, request),
            Request::Fetch(request) => return self.on_fetch(now, id, request),
            Request::ListOffsets(request) => return self.on_list_offsets(id, &request),
            Request::DeleteRecords(request) => return self.on_delete_records(id, request),
            Request::CreateTopics(request) => return self.on_create_topics(now, date, id, request),
            Request::DeleteTopics(request) => return self.on_delete_topics(now, date, id, request),
            Request::CreatePartitions(request) => return self.on_create_partitions(now, date, id, request),
            Request::AlterConfigs(request) => return self.on_alter_configs(now, date, id, request),
            Request::InitProducerId(_) => return self.on_init_producer_id(now, date, id),
            Request::DescribeConfigs(request) => Response::DescribeConfigs(self.describe_configs(&request)),
            Request::DescribeTopics(request) => Response::DescribeTopics(self.describe_topics(&request)),
            Request::OffsetCommit(request) => return self.on_offset_commit(now, date, id, request),
            Request::OffsetFetch(request) => Response::OffsetFetch(self.fetch_offsets(&request)),
        };
        self.respond(id, response);
    }

    fn task(&mut self, now: Instant, date: Timestamp, job: Job) {
        self.ask_controller(now, Task { date, asker: None, trial: Trial::Do, job });
    }

    fn on_cancel(&mut self, id: RequestId) {
        let Some(key) = self.asked.key(id) else { return };
        match self.asked.take(key) {
            Some((_, Pending::Fetch(pending))) => self.drop_fetch(key, &pending),
            // What it commits may be in the log: the coordinator waits for it on its own account.
            Some((_, Pending::OffsetCommit(_))) => return,
            Some(_) | None => {}
        }
        for waiter in self.asked.waiters_of(key) {
            self.forget_at_host(waiter);
        }
    }

    /// Lets those partitions go on that have more to do.
    fn catch_up(&mut self) {
        for partition in std::mem::take(&mut self.behind) {
            self.with_host(&partition, Partition::proceed);
        }
    }

    /// Hands out the deadlines that have come.
    fn expire(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        if self.wheel.advance_at_most(now, DEADLINES_MAX, &mut due) == Advance::More {
            self.outputs.push_back(Output::Again);
        }
        for due in due.drain(..) {
            match due {
                Due::Fetch(key) => drop(self.woken.insert(key)),
                Due::Flush(partition) => self.with_host(&partition, |host, effects| host.flush_if_due(now, effects)),
                Due::Waiter(waiter) => {
                    let Some(wait) = self.asked.get_mut(waiter) else { continue };
                    wait.timer = None;
                    let partition = wait.partition.clone();
                    self.with_host(&partition, |host, effects| host.expire(now, waiter, effects));
                }
            }
        }
        self.due = due;
    }

    fn retry_woken(&mut self, now: Instant) {
        for _ in 0..RETRIES_MAX {
            let Some(key) = self.woken.pop_first() else { return };
            self.retry(now, key);
        }
        if !self.woken.is_empty() {
            self.outputs.push_back(Output::Again);
        }
    }

    fn on_wait(&mut self, waiter: Waiter, deadline: Instant) {
        self.settle(waiter);
        let timer = self.wheel.insert(deadline, Due::Waiter(waiter));
        match self.asked.get_mut(waiter) {
            Some(wait) => wait.timer = Some(timer),
            None => drop(self.wheel.cancel(timer)),
        }
    }

    /// The deadline of a waiter is not needed any more.
    fn settle(&mut self, waiter: Waiter) {
        if let Some(timer) = self.asked.get_mut(waiter).and_then(|wait| wait.timer.take()) {
            self.wheel.cancel(timer);
        }
    }

    /// Nobody waits under this number any more.
    fn forget(&mut self, waiter: Waiter) -> Option<Wait> {
        self.settle(waiter);
        self.asked.remove(waiter)
    }

    fn forget_at_host(&mut self, waiter: Waiter) {
        if let Some(wait) = self.forget(waiter)
            && let Some(host) = self.hosts.get_mut(&wait.partition)
        {
            host.cancel(waiter);
            self.note_space(&wait.partition);
        }
    }
}
