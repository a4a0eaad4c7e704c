//! Changes of metadata on their way: one at a time is decided, appended and committed, and what follows from it is carried
//! on.
//!
//! - Always true: a change is decided when all in front of it are committed, so it is replayed into what it was decided
//!   against; whoever asked for it is answered when it is committed, and, for new partitions, when they can be used, which
//!   holds up nobody behind it.

use std::collections::BTreeSet;

use crate::broker::control::{Current, Job, Task, Waiting};
use crate::broker::errors::{self, stopped};
use crate::broker::io::{Opening, Output};
use crate::broker::refuse::{no_controller, unknown_partition};
use crate::broker::{Broker, settings};
use crate::controller::PartitionState;
use crate::id::{TopicName, TopicPartition};
use crate::log::{Appended, LogConfig};
use crate::message::{Detail, ErrorCode, RequestError, TopicConfig, Trial};
use crate::partition::{self, Durability, PartitionConfig, ProduceError, Reign, StopReason, Waiter};
use crate::record::{Batch, Origin, Rules};
use crate::time::Instant;

/// How many tasks that are done at once one input takes.
const TASKS_MAX: usize = 64;

impl Broker {
    pub(super) fn ask_controller(&mut self, now: Instant, task: Task) {
        match &mut self.control {
            Some(control) => {
                control.tasks.push_back(task);
                self.control_on(now);
            }
            None => self.end_task(task, Err(no_controller())),
        }
    }

    /// Goes on with the next tasks, unless one is under way. At most so many that are done at once.
    pub(super) fn control_on(&mut self, now: Instant) {
        for _ in 0..TASKS_MAX {
            let Some(control) = self.control.as_mut().filter(|control| control.current.is_none()) else { return };
            let Some(task) = control.next_task() else { return };
            let topic = control.topic_of(&task.job);
            let decided = match control.halted.clone() {
                Some(error) => Err(error),
                None if task.trial == Trial::ValidateOnly => control.try_out(&task.job),
                None => control.decide(&task.job),
            };
            match decided {
                Err(error) => self.end_task(task, Err(error)),
                Ok(_) if task.trial == Trial::ValidateOnly => self.end_task(task, Ok(())),
                Ok(changes) => {
                    let rest = changes.into_iter().filter(|change| !change.is_empty()).collect();
                    control.current = Some(Current { task, rest, appending: None, topic });
                    self.append_next(now);
                }
            }
        }
        self.outputs.push_back(Output::Again);
    }

    /// Appends the next change of the task, or goes on to what follows from those that are committed.
    fn append_next(&mut self, now: Instant) {
        let waiter = self.asked.number();
        let Some(control) = &mut self.control else { return };
        let Some(current) = &mut control.current else { return };
        let Some(change) = current.rest.pop_front() else { return self.on_changed(now) };
        let Some(host) = self.hosts.get_mut(&control.metadata) else {
            let why = "the partition of metadata is not on this node";
            return self.give_up_task(RequestError::because(ErrorCode::NotController, why));
        };
        let rules = Rules { origin: Origin::Coordinator, max_batch_bytes: u32::MAX, ..Rules::default() };
        let checked = change.to_batch(current.task.date).map_err(|error| error.to_string());
        let checked =
            checked.and_then(|batch| batch.check(&rules, current.task.date).map_err(|error| error.to_string()));
        let batch = match checked {
            Ok(batch) => batch,
            Err(why) => return self.give_up_task(RequestError::because(ErrorCode::UnknownServerError, why)),
        };
        current.appending = Some((waiter, batch.batch().clone()));
        let produce = partition::Produce {
            waiter,
            batch,
            acks: partition::Acks::All,
            durability: Durability::Flushed,
            deadline: None,
            expected_offset: None,
            leader_epoch: None,
        };
        let (date, metadata) = (current.task.date, control.metadata.clone());
        host.produce(now, date, produce, &mut self.effects);
        self.carry(&metadata);
    }

    /// Takes the answer to an append of metadata; gives it back if it is to another.
    pub(super) fn on_metadata(
        &mut self,
        waiter: Waiter,
        result: Result<Appended, ProduceError>,
    ) -> Option<Result<Appended, ProduceError>> {
        let current = self.control.as_mut().and_then(|control| control.current.as_mut());
        let appending = current.and_then(|current| current.appending.take_if(|(own, _)| *own == waiter));
        let Some((_, batch)) = appending else { return Some(result) };
        match result {
            Ok(appended) => self.on_metadata_committed(&batch, appended),
            Err(error) => {
                let Some(control) = &mut self.control else { return None };
                let refused = errors::produce(&control.metadata, &error);
                if error.unfinished().is_some() {
                    control.halted = Some(refused.clone());
                }
                self.give_up_task(refused);
            }
        }
        None
    }

    fn on_metadata_committed(&mut self, batch: &Batch, appended: Appended) {
        let Some(control) = &mut self.control else { return };
        let epoch = self.hosts.get(&control.metadata).and_then(|host| host.leader_epoch());
        let replayed = batch
            .stamped(appended.base_offset, epoch)
            .map_err(|error| error.to_string())
            .and_then(|batch| control.role.controller.on_appended(&batch.into()).map_err(|error| error.to_string()));
        match replayed {
            Ok(()) => {
                control.role.controller.on_committed(appended.last_offset.advance(1));
                self.committed = true;
            }
            Err(why) => {
                let halted = RequestError::because(ErrorCode::UnknownServerError, why);
                control.halted = Some(halted.clone());
                self.give_up_task(halted);
            }
        }
    }

    /// Goes on after a change was committed: not from within the partition's answer.
    pub(super) fn control_committed(&mut self, now: Instant) {
        while std::mem::take(&mut self.committed) {
            self.append_next(now);
        }
        self.control_on(now);
    }

    /// All changes of the task are committed: what follows from them.
    fn on_changed(&mut self, now: Instant) {
        let Some(control) = &mut self.control else { return };
        let Some(Current { task, topic, .. }) = control.current.take() else { return };
        let image = control.role.controller.image().clone();
        let Some((name, before)) = topic else { return self.end_task(task, Ok(())) };
        let Some(topic) = image.topic(&name) else {
            self.delete_all(&name, &before);
            self.forget_offsets(now, task.date, &name);
            return self.end_task(task, Ok(()));
        };
        let pairs = image.topic_config(&name).cloned().unwrap_or_default();
        let (config, _) = TopicConfig::read_pairs(&pairs);
        let (log, partition_config) = (settings::log_config(&config), settings::partition_config(&config));
        let own = control.role.broker;
        let mut partitions = BTreeSet::new();
        for (number, state) in topic.partitions().filter(|(_, state)| state.leader == Some(own)) {
            let Ok(partition) = TopicPartition::new(name.clone(), number) else { continue };
            if before.contains(&number) {
                self.configure(&partition, partition_config, log.clone());
                continue;
            }
            partitions.insert(partition.clone());
            let (topic_id, directory) = (topic.id(), state.directory_of(own));
            let (log, config) = (log.clone(), partition_config);
            self.open(Opening { partition, topic_id, directory, log, config, reign: reign(state) });
        }
        self.wait_for(task, partitions);
    }

    /// A partition whose topic was altered while its log was being opened has the settings of then: it gets those of now.
    pub(super) fn configure_as_decided(&mut self, partition: &TopicPartition) {
        let Some(host) = self.hosts.get(partition) else { return };
        let Some(topic_id) = host.facts().topic_id else { return };
        let Some(image) =
            self.image().filter(|image| image.topic(partition.topic()).is_some_and(|topic| topic.id() == topic_id))
        else {
            return;
        };
        let pairs = image.topic_config(partition.topic()).cloned().unwrap_or_default();
        let (config, _) = TopicConfig::read_pairs(&pairs);
        let (log, own) = (settings::log_config(&config), settings::partition_config(&config));
        if *host.log().config() != log || *host.config() != own {
            self.configure(partition, own, log);
        }
    }

    fn configure(&mut self, partition: &TopicPartition, own: PartitionConfig, log: LogConfig) {
        self.with_host(partition, |host, effects| {
            // Settings that the controller has checked make sense to the log too; if not, the old ones stay.
            let _ = host.configure(own, log, effects);
        });
    }

    /// Has a partition made, as soon as there is no older one of its name.
    fn open(&mut self, opening: Opening) {
        let Some(control) = &mut self.control else { return };
        let name = &opening.partition;
        // Whoever deletes knows the name only: what takes it too early goes too.
        if self.hosts.contains_key(name) || control.deleting.contains_key(name) {
            control.blocked.insert(name.clone(), opening);
        } else {
            self.outputs.push_back(Output::Open(Box::new(opening)));
        }
    }

    /// The name of a partition is free, if no other deletion of it is under way.
    pub(super) fn on_released(&mut self, partition: &TopicPartition) {
        let Some(control) = &mut self.control else { return };
        if let Some(left) = control.deleting.get_mut(partition) {
            *left -= 1;
            if *left > 0 {
                return;
            }
            control.deleting.remove(partition);
        }
        if let Some(opening) = control.blocked.remove(partition) {
            self.outputs.push_back(Output::Open(Box::new(opening)));
        }
    }

    fn delete_all(&mut self, name: &TopicName, before: &BTreeSet<u32>) {
        for number in before {
            let Ok(partition) = TopicPartition::new(name.clone(), *number) else { continue };
            self.on_stop(&partition, StopReason::Deleted);
            self.on_opened(&partition, Some(&stopped(StopReason::Deleted)));
            if let Some(control) = &mut self.control {
                *control.deleting.entry(partition.clone()).or_default() += 1;
            }
            self.outputs.push_back(Output::Delete(partition));
        }
    }

    fn wait_for(&mut self, task: Task, partitions: BTreeSet<TopicPartition>) {
        if partitions.is_empty() {
            return self.end_task(task, Ok(()));
        }
        if let Some(control) = &mut self.control {
            control.opening.push(Waiting { task, partitions, failed: None });
        }
    }

    /// A partition is made and cannot be used: who waits for it is told so, and why is told to whoever asks for it.
    pub(super) fn on_not_opened(&mut self, partition: TopicPartition, error: RequestError) {
        let told = error.clone().with(Detail::NotOpened(Box::new(partition.clone())));
        self.on_opened(&partition, Some(&told));
        self.absent.insert(partition, error);
    }

    /// A partition is there now, or will not be, and why.
    pub(super) fn on_opened(&mut self, partition: &TopicPartition, failed: Option<&RequestError>) {
        let Some(control) = &mut self.control else { return };
        if failed.is_some() {
            control.blocked.remove(partition);
        }
        let mut done = Vec::new();
        for waiting in &mut control.opening {
            if waiting.partitions.remove(partition) && waiting.failed.is_none() {
                waiting.failed = failed.cloned();
            }
        }
        let is_waiting = |waiting: &mut Waiting| waiting.partitions.is_empty();
        done.extend(control.opening.extract_if(.., is_waiting));
        for Waiting { task, failed, .. } in done {
            self.end_task(task, failed.map_or(Ok(()), Err));
        }
    }

    fn give_up_task(&mut self, error: RequestError) {
        let Some(control) = &mut self.control else { return };
        // A block that may not be committed is not given away.
        control.ids = 0..0;
        let Some(current) = control.current.take() else { return };
        // What needs the start in front of it fails with it, or it would be tried for ever.
        let behind = if matches!(current.task.job, Job::Start) { control.tasks.pop_front() } else { None };
        self.end_task(current.task, Err(error.clone()));
        if let Some(task) = behind {
            self.end_task(task, Err(error));
        }
    }

    /// Answers whoever has asked for the task.
    pub(super) fn end_task(&mut self, task: Task, result: Result<(), RequestError>) {
        if let Job::Lead(opened) = &task.job {
            for one in opened {
                let result = result.clone().and_then(|()| self.led(&one.partition));
                self.outputs.push_back(Output::Led { partition: one.partition.clone(), result });
            }
        }
        if matches!(task.job, Job::Start) {
            self.outputs.push_back(Output::Started(result.clone()));
        }
        if let (Job::Adopt(_), Some(control)) = (&task.job, &mut self.control) {
            let (adopted, refused) = std::mem::take(&mut control.adopted);
            let result = result.clone().map(|()| adopted);
            self.outputs.push_back(Output::Adopted { result, refused });
        }
        self.finish_task(&task, result);
    }

    /// In which reign this node leads a partition, by what is committed.
    fn led(&self, partition: &TopicPartition) -> Result<Reign, RequestError> {
        let refused = || RequestError::because(ErrorCode::NotLeaderOrFollower, "the metadata says otherwise");
        let control = self.control.as_ref().ok_or_else(no_controller)?;
        let state = control.role.controller.image().partition(partition).ok_or_else(|| unknown_partition(partition))?;
        if state.leader == Some(control.role.broker) { Ok(reign(state)) } else { Err(refused()) }
    }
}

fn reign(state: &PartitionState) -> Reign {
    Reign {
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        replicas: state.replicas.iter().copied().collect(),
        isr: state.isr.iter().copied().collect(),
    }
}
