//! Carrying commits of groups to the coordinator, its batches to the log, and what is committed back.
//!
//! - Always true: what the coordinator knows of a partition is what its log says up to the high watermark; a batch that is in
//!   the log is replayed when it is committed, whether or not somebody still waits for that.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::broker::asked::{Gather, Key, Pending};
use crate::broker::control::{Job, Task};
use crate::broker::fetch::at_log_end;
use crate::broker::io::{Body, Output, RequestId};
use crate::broker::refuse::no_coordinator;
use crate::broker::{Broker, errors};
use crate::controller::Image;
use crate::coordinator::{Commit, Coordinator, CoordinatorConfig, Skipped, Ticket, offsets, write_error};
use crate::id::{BrokerId, GroupId, TopicName, TopicPartition};
use crate::log::{Appended, Isolation, ReadPlan, Span};
use crate::message::{Committed, ErrorCode, OffsetCommit, OffsetFetch, PartitionAnswer, RequestError, Trial};
use crate::offset::Offset;
use crate::partition::{self, Durability, ProduceError, Waiter};
use crate::record::{CheckError, Entry, Origin, Rules};
use crate::time::{Instant, Timestamp};

/// How many bytes of a log are read at once while it is loaded.
const LOAD_BYTES: u32 = 256 * 1024;

/// How long a commit waits to be committed: Kafka's `offsets.commit.timeout.ms`.
const COMMIT_TIMEOUT_MS: u64 = 5_000;

/// The coordinator, and what it waits for.
#[derive(Debug, Default)]
pub(super) struct Groups {
    coordinator: Coordinator,
    loads: BTreeMap<TopicPartition, Loading>,
    appending: BTreeMap<Waiter, Appending>,
    /// Commits that wait for the topic to be created.
    waiting: Vec<(Key, Timestamp, OffsetCommit)>,
    creating: Creating,
}

/// Where the creation of the topic stands.
#[derive(Debug, Default)]
enum Creating {
    /// It is there, or nobody has asked for it.
    #[default]
    Not,
    UnderWay,
    Ended(Result<(), RequestError>),
}

/// A partition that is being read.
#[derive(Debug)]
struct Loading {
    /// The number of the piece that is being read.
    waiter: Waiter,
    /// Where it begins, and where all of them end.
    from: Offset,
    to: Offset,
    /// Where in a file it is.
    span: Option<Span>,
}

/// A batch that is being appended.
#[derive(Debug)]
struct Appending {
    partition: TopicPartition,
    /// Who waits for it, for which parts of its request.
    asker: Option<(Key, Vec<usize>)>,
}

impl Groups {
    pub(super) fn new(config: CoordinatorConfig) -> Self {
        Self { coordinator: Coordinator::new(config), ..Self::default() }
    }
}

impl Broker {
    /// The coordinator, with what is committed of the groups whose partitions this node leads.
    pub fn coordinator(&self) -> &Coordinator {
        &self.groups.coordinator
    }

    pub(super) fn on_offset_commit(&mut self, now: Instant, date: Timestamp, id: RequestId, request: OffsetCommit) {
        let names = request.partitions.iter().map(|part| part.partition.clone());
        let key = self.asked.pend(id, Pending::OffsetCommit(Gather::new(names)));
        if self.offsets_image().is_some_and(|image| image.topic(&offsets::topic()).is_none()) {
            self.groups.waiting.push((key, date, request));
            self.create_offsets_topic(now, date);
        } else {
            self.commit(now, date, key, &request);
        }
    }

    /// Has the topic made, unless that is under way.
    fn create_offsets_topic(&mut self, now: Instant, date: Timestamp) {
        if matches!(self.groups.creating, Creating::Not) {
            self.groups.creating = Creating::UnderWay;
            let topic = self.groups.coordinator.config().new_topic();
            let job = Job::Create(Box::new(topic));
            self.ask_controller(now, Task { date, asker: None, trial: Trial::Do, job });
        }
    }

    /// A task nobody has asked for from outside has ended.
    pub(super) fn on_own_task(&mut self, task: &Task, result: &Result<(), RequestError>) {
        if matches!(&task.job, Job::Create(topic) if topic.name == offsets::topic()) {
            self.groups.creating = Creating::Ended(result.clone());
        }
    }

    /// Goes on with the commits that have waited for the topic: not from within the controller's answer.
    pub(super) fn groups_on(&mut self, now: Instant) {
        let Creating::Ended(result) = &self.groups.creating else { return };
        let failed = result.clone().err().filter(|error| error.code != ErrorCode::TopicAlreadyExists);
        self.groups.creating = Creating::Not;
        for (key, date, request) in std::mem::take(&mut self.groups.waiting) {
            match &failed {
                None => self.commit(now, date, key, &request),
                Some(why) => {
                    let why = RequestError::because(ErrorCode::CoordinatorNotAvailable, why);
                    self.answer_commit(key, 0..request.partitions.len(), &Err(why));
                }
            }
        }
    }

    fn commit(&mut self, now: Instant, date: Timestamp, key: Key, request: &OffsetCommit) {
        let all = 0..request.partitions.len();
        let (partition, number) = match self.offsets_partition(&request.group) {
            Ok(found) => found,
            Err(error) => return self.answer_commit(key, all, &Err(error)),
        };
        let Some(image) = self.offsets_image() else { return };
        let topic_of = |at: &TopicPartition| {
            image.topic(at.topic()).filter(|_| image.partition(at).is_some()).map(|topic| topic.id())
        };
        let decided = self.groups.coordinator.decide_commit(number, date, request, topic_of);
        let mut accepted: Vec<usize> = all.collect();
        accepted.retain(|index| decided.refused.iter().all(|(refused, _)| refused != index));
        for (index, error) in decided.refused {
            self.answer_commit(key, [index], &Err(error));
        }
        match decided.commit {
            Some(commit) => self.append_commit(now, date, &partition, commit, Some((key, accepted))),
            // Nothing was asked for, or all of it is answered.
            None => self.maybe_respond(key),
        }
    }

    /// The partition that has a group, if it can be served.
    fn offsets_partition(&self, group: &GroupId) -> Result<(TopicPartition, u32), RequestError> {
        let image = self.offsets_image().ok_or_else(no_coordinator)?;
        let absent = |why: &str| RequestError::because(ErrorCode::CoordinatorNotAvailable, why);
        let topic = image.topic(&offsets::topic()).ok_or_else(|| absent("no group has committed anything yet"))?;
        let count = NonZeroU32::new(topic.partition_count());
        let number = offsets::partition_of_group(group, count.ok_or_else(|| absent("the topic has no partitions"))?);
        let partition = TopicPartition::new(offsets::topic(), number).map_err(|error| absent(&error.to_string()))?;
        match self.hosts.get(&partition).filter(|host| host.reign().is_some()) {
            Some(host) => self.groups.coordinator.check_loaded(number, host.high_watermark())?,
            None if image.partition(&partition).and_then(|state| state.leader) == self.own_id() => {
                return Err(absent("the partition that has the group is not open"));
            }
            None => {
                let why = "the partition that has the group is led elsewhere";
                return Err(RequestError::because(ErrorCode::NotCoordinator, why));
            }
        }
        Ok((partition, number))
    }

    /// What is known of topics; `None` if this node is not the controller, and so no coordinator either.
    fn offsets_image(&self) -> Option<&Image> {
        self.control.as_ref().map(|control| control.role.controller.image())
    }

    fn own_id(&self) -> Option<BrokerId> {
        self.control.as_ref().map(|control| control.role.broker)
    }

    fn append_commit(
        &mut self,
        now: Instant,
        date: Timestamp,
        partition: &TopicPartition,
        commit: Commit,
        asker: Option<(Key, Vec<usize>)>,
    ) {
        let Some(host) = self.hosts.get(partition) else { return };
        let config = host.log().config();
        let rules = Rules {
            origin: Origin::Coordinator,
            max_batch_bytes: config.max_message_bytes,
            timestamp_type: config.timestamp_type,
            codec: config.codec,
            ..Rules::default()
        };
        let batch = match commit.batch().check(&rules, date) {
            Ok(batch) => batch,
            Err(error) => {
                let is_too_large = matches!(error, CheckError::MessageTooLarge { .. });
                let code =
                    if is_too_large { ErrorCode::InvalidCommitOffsetSize } else { ErrorCode::UnknownServerError };
                return self.end_commit(asker, &Err(RequestError::because(code, error)));
            }
        };
        // Nobody waits for what the coordinator does by itself, so it has no deadline either.
        let (waiter, deadline) = match &asker {
            Some((key, _)) => (self.asked.wait(*key, 0, partition), Some(now.after(COMMIT_TIMEOUT_MS))),
            None => (self.asked.number(), None),
        };
        self.groups.coordinator.begin_append(partition.partition(), Ticket(waiter.0), commit);
        self.groups.appending.insert(waiter, Appending { partition: partition.clone(), asker });
        let produce = partition::Produce {
            waiter,
            batch,
            acks: partition::Acks::All,
            // What a group was told that it has committed outlives a power loss. All batches wait for the same, so they are
            // answered in their order, and replayed in it.
            durability: Durability::Flushed,
            deadline,
            expected_offset: None,
            leader_epoch: None,
        };
        self.with_host(partition, |host, effects| host.produce(now, date, produce, effects));
    }

    /// Takes the answer to an append of the coordinator's; gives it back if it is to another.
    pub(super) fn on_offsets(
        &mut self,
        waiter: Waiter,
        result: Result<Appended, ProduceError>,
    ) -> Option<Result<Appended, ProduceError>> {
        let Some(Appending { partition, asker }) = self.groups.appending.remove(&waiter) else { return Some(result) };
        self.forget(waiter);
        // What has an offset may be committed even if nobody is told so in time.
        let base_offset = match &result {
            Ok(appended) => Some(appended.base_offset),
            Err(error) => error.unfinished().map(|unfinished| unfinished.base_offset),
        };
        self.groups.coordinator.end_append(partition.partition(), Ticket(waiter.0), base_offset);
        self.offsets_committed(&partition);
        let result = result.map(drop).map_err(|error| write_error(&errors::produce(&partition, &error)));
        self.end_commit(asker, &result);
        None
    }

    /// The high watermark of a partition may have moved.
    pub(super) fn offsets_committed(&mut self, partition: &TopicPartition) {
        if partition.topic().as_str() != offsets::TOPIC {
            return;
        }
        let Some(host) = self.hosts.get(partition) else { return };
        let mut skipped = Vec::new();
        self.groups.coordinator.on_committed(partition.partition(), host.high_watermark(), &mut skipped);
        self.tell_skipped(partition, skipped);
    }

    fn end_commit(&mut self, asker: Option<(Key, Vec<usize>)>, result: &Result<(), RequestError>) {
        if let Some((key, indexes)) = asker {
            self.answer_commit(key, indexes, result);
        }
    }

    fn answer_commit(&mut self, key: Key, indexes: impl IntoIterator<Item = usize>, result: &Result<(), RequestError>) {
        if let Some(Pending::OffsetCommit(gather)) = self.asked.pending_mut(key) {
            indexes.into_iter().for_each(|index| gather.answer(index, result.clone()));
        }
        self.maybe_respond(key);
    }

    pub(super) fn fetch_offsets(
        &self,
        request: &OffsetFetch,
    ) -> Result<Vec<PartitionAnswer<Option<Committed>>>, RequestError> {
        let image = self.offsets_image().ok_or_else(no_coordinator)?;
        if image.topic(&offsets::topic()).is_none() {
            let asked = request.partitions.iter().flatten().cloned();
            return Ok(asked.map(|at| PartitionAnswer::done(at, None)).collect());
        }
        let (_, number) = self.offsets_partition(&request.group)?;
        let topic_id = |name: &TopicName| image.topic(name).map(|topic| topic.id());
        Ok(self.groups.coordinator.fetch(number, request, topic_id))
    }

    /// A partition is hosted: if it has offsets of groups, they are to be read.
    pub(super) fn load_offsets(&mut self, now: Instant, partition: &TopicPartition) {
        if partition.topic().as_str() != offsets::TOPIC || self.control.is_none() {
            return;
        }
        let Some(host) = self.hosts.get(partition) else { return };
        let (from, to) = (host.log().log_start_offset(), host.log().log_end_offset());
        self.groups.coordinator.begin_load(partition.partition());
        let loading = Loading { waiter: Waiter(0), from, to, span: None };
        self.groups.loads.insert(partition.clone(), loading);
        self.load_from(now, partition, from);
    }

    /// Whether what groups have committed in a partition is still being read.
    pub fn is_loading(&self, partition: &TopicPartition) -> bool {
        self.groups.loads.contains_key(partition)
    }

    /// Has the next piece read.
    fn load_from(&mut self, now: Instant, partition: &TopicPartition, from: Offset) {
        let (Some(loading), Some(host)) = (self.groups.loads.get_mut(partition), self.hosts.get(partition)) else {
            return;
        };
        // Retention may have moved it meanwhile.
        let from = from.max(host.log().log_start_offset());
        loading.from = from;
        if from >= loading.to {
            return self.end_load(now, partition);
        }
        match host.look(&at_log_end(from, LOAD_BYTES)) {
            // All that an opening has found is written, so there is something up to the end.
            Ok(found) if matches!(found.plan, ReadPlan::Nothing) => {
                self.fail_load(partition, format!("nothing can be read from offset {from} on"));
            }
            Ok(found) => {
                let body = self.body(partition, &found, Isolation::LogEnd).0;
                self.ask_load(now, partition, body);
            }
            Err(error) => self.fail_load(partition, errors::fetch(&error).to_string()),
        }
    }

    fn ask_load(&mut self, now: Instant, partition: &TopicPartition, body: Body) {
        let span = match &body {
            // Compaction has left nothing there.
            Body::Nothing => return self.end_load(now, partition),
            Body::Batches(_) => None,
            Body::File(read) => Some(read.span),
        };
        let waiter = self.asked.number();
        let Some(loading) = self.groups.loads.get_mut(partition) else { return };
        loading.waiter = waiter;
        loading.span = span;
        self.outputs.push_back(Output::Load { waiter, partition: partition.clone(), body });
    }

    pub(super) fn on_loaded(&mut self, now: Instant, waiter: Waiter, entries: &[Entry], next: Option<Offset>) {
        let Some((partition, from)) = self.loading(waiter) else { return };
        let mut skipped = Vec::new();
        for entry in entries {
            self.groups.coordinator.load(partition.partition(), entry, from, &mut skipped);
        }
        let reached = entries.last().map_or(from, Entry::next_offset);
        if let Some(next) = next.filter(|next| *next > reached) {
            let why = format!("offsets {reached} to {} cannot be read", next.get().saturating_sub(1));
            skipped.push(Skipped { offset: reached, why });
        }
        self.tell_skipped(&partition, skipped);
        match next.unwrap_or(reached).max(reached) {
            next if next > from => self.load_from(now, &partition, next),
            _ => self.load_behind(now, &partition),
        }
    }

    /// Nothing was where it was looked for: it goes on behind that, if anything does.
    fn load_behind(&mut self, now: Instant, partition: &TopicPartition) {
        let loading = self.groups.loads.get(partition).and_then(|loading| Some((loading.from, loading.span?)));
        let found = match self.hosts.get(partition).zip(loading) {
            // Another segment has its place: what was behind it may be in front of where that ends.
            Some((host, (from, span))) if !host.log().has_still(&span) => return self.load_from(now, partition, from),
            Some((host, (_, span))) => host.fetch_behind(&span, Isolation::LogEnd).ok().flatten(),
            None => None,
        };
        let body = found.map_or(Body::Nothing, |found| self.body(partition, &found, Isolation::LogEnd).0);
        self.ask_load(now, partition, body);
    }

    pub(super) fn on_load_again(&mut self, now: Instant, waiter: Waiter) {
        if let Some((partition, from)) = self.loading(waiter) {
            self.load_from(now, &partition, from);
        }
    }

    pub(super) fn on_not_loaded(&mut self, waiter: Waiter, why: String) {
        if let Some((partition, _)) = self.loading(waiter) {
            self.fail_load(&partition, why);
        }
    }

    /// Which partition a piece is of, and where it begins; `None` if nobody waits for it any more.
    fn loading(&self, waiter: Waiter) -> Option<(TopicPartition, Offset)> {
        let mut loads = self.groups.loads.iter();
        loads
            .find(|(_, loading)| loading.waiter == waiter)
            .map(|(partition, loading)| (partition.clone(), loading.from))
    }

    fn end_load(&mut self, now: Instant, partition: &TopicPartition) {
        let Some(loading) = self.groups.loads.remove(partition) else { return };
        for (date, commit) in self.groups.coordinator.end_load(partition.partition(), loading.to) {
            self.append_commit(now, date, partition, commit, None);
        }
    }

    fn fail_load(&mut self, partition: &TopicPartition, why: String) {
        self.groups.loads.remove(partition);
        self.groups.coordinator.fail_load(partition.partition(), why);
    }

    /// A partition is not here any more.
    pub(super) fn drop_offsets(&mut self, partition: &TopicPartition) {
        if partition.topic().as_str() == offsets::TOPIC {
            self.groups.loads.remove(partition);
            self.groups.coordinator.resign(partition.partition());
        }
    }

    /// Takes back what has expired, if the partition has offsets of groups.
    pub(super) fn expire_offsets(&mut self, now: Instant, partition: &TopicPartition, date: Timestamp) {
        if partition.topic().as_str() != offsets::TOPIC {
            return;
        }
        let Some(host) = self.hosts.get(partition) else { return };
        let (number, high_watermark) = (partition.partition(), host.high_watermark());
        if self.groups.coordinator.check_loaded(number, high_watermark).is_ok()
            && let Some(commit) = self.groups.coordinator.decide_expire(number, date)
        {
            self.append_commit(now, date, partition, commit, None);
        }
    }

    /// Takes back what groups have committed in a topic that is deleted.
    pub(super) fn forget_offsets(&mut self, now: Instant, date: Timestamp, topic: &TopicName) {
        let numbers: Vec<u32> = self.groups.coordinator.partitions().collect();
        for number in numbers {
            let commits = self.groups.coordinator.forget_topic(number, date, topic);
            let Ok(partition) = TopicPartition::new(offsets::topic(), number) else { continue };
            for commit in commits {
                self.append_commit(now, date, &partition, commit, None);
            }
        }
    }

    fn tell_skipped(&mut self, partition: &TopicPartition, skipped: Vec<Skipped>) {
        let told = |skipped| Output::Skipped { partition: partition.clone(), skipped };
        self.outputs.extend(skipped.into_iter().map(told));
    }
}
