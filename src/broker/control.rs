//! The controller's part of a node: one change of metadata at a time is decided, appended and committed, and what follows
//! from it is carried on.
//!
//! - Always true: a change is decided when all in front of it are committed, so it is replayed into what it was decided
//!   against; whoever asked for it is answered when it is committed, and, for new partitions, when they can be used.

use std::collections::{BTreeSet, VecDeque};

use crate::broker::io::{Opening, Output, RequestId};
use crate::broker::{Broker, settings};
use crate::controller::{Change, Controller, Draw, METADATA_TOPIC, Opened, PartitionState};
use crate::id::{BrokerId, TopicName, TopicPartition};
use crate::log::Appended;
use crate::message::{
    ConfigChange, CreatedTopic, ErrorCode, MorePartitions, NewTopic, RequestError, TopicConfig, TopicRef, Trial,
};
use crate::partition::{self, Durability, ProduceError, Reign, StopReason, Waiter};
use crate::record::{Batch, Origin, Rules};
use crate::time::{Instant, Timestamp};

/// What makes a node the controller too.
#[derive(Clone, Debug)]
pub struct ControlRole {
    /// The controller, with all that its log says replayed.
    pub controller: Controller,
    /// From which topic ids and places are drawn.
    pub draw: Draw,
    /// This node.
    pub broker: BrokerId,
    /// The cluster's name.
    pub cluster_id: String,
}

/// The controller and what it has to do.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) role: ControlRole,
    metadata: TopicPartition,
    tasks: VecDeque<Task>,
    current: Option<Current>,
    /// Producer ids that this node may give.
    ids: std::ops::Range<i64>,
    /// What of the metadata's log is not known: nothing more is decided.
    halted: Option<RequestError>,
}

/// One thing to be decided.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) date: Timestamp,
    /// Which part of which request asks for it.
    pub(super) asker: Option<(RequestId, usize)>,
    pub(super) trial: Trial,
    pub(super) job: Job,
}

#[derive(Clone, Debug)]
pub(super) enum Job {
    Start,
    Lead(Vec<Opened>),
    Create(Box<NewTopic>),
    Delete(TopicRef),
    Grow(MorePartitions),
    Alter(TopicName, Vec<ConfigChange>),
    ProducerId,
}

/// What is being done.
#[derive(Debug)]
struct Current {
    task: Task,
    /// Changes that come behind the one that is being appended.
    rest: VecDeque<Change>,
    appending: Option<(Waiter, Batch)>,
    /// Which topic it is about, as it was before.
    topic: Option<TopicName>,
    /// Partitions that are to be there before it is done.
    opening: BTreeSet<TopicPartition>,
}

impl Control {
    /// The role, which begins with what the metadata's log needs first.
    ///
    /// # Panics
    ///
    /// Never: the name of the metadata's partition is a name.
    pub(super) fn new(role: ControlRole) -> Self {
        let metadata = TopicPartition::parse(&format!("{METADATA_TOPIC}-0")).expect("it is the name of a partition");
        Self { role, metadata, tasks: VecDeque::new(), current: None, ids: 0..0, halted: None }
    }

    fn decide(&mut self, job: &Job) -> Result<Vec<Change>, RequestError> {
        let ControlRole { controller, draw, broker, .. } = &mut self.role;
        let refused = |code: ErrorCode, error: &dyn std::fmt::Display| RequestError::because(code, error);
        match job {
            Job::Start => Ok(vec![controller.decide_start()]),
            Job::Lead(opened) => Ok(controller.decide_lead(*broker, opened).changes),
            Job::Create(topic) => match controller.decide_create_topic(topic, draw) {
                Ok(change) => Ok(vec![change]),
                Err(error) => Err(refused(error.code(), &error)),
            },
            Job::Delete(topic) => match controller.decide_delete_topic(topic) {
                Ok(change) => Ok(vec![change]),
                Err(error) => Err(refused(error.code(), &error)),
            },
            Job::Grow(more) => match controller.decide_add_partitions(more, draw) {
                Ok(change) => Ok(vec![change]),
                Err(error) => Err(refused(error.code(), &error)),
            },
            Job::Alter(name, changes) => match controller.decide_alter_config(name, changes) {
                Ok(change) => Ok(vec![change]),
                Err(error) => Err(refused(error.code(), &error)),
            },
            Job::ProducerId if !self.ids.is_empty() => Ok(Vec::new()),
            Job::ProducerId => match controller.decide_producer_ids(*broker, None, None) {
                Ok((block, change)) => {
                    let first = block.first.get();
                    self.ids = first..first + i64::from(block.count);
                    Ok(vec![change])
                }
                Err(error) => Err(refused(error.code(), &error)),
            },
        }
    }

    /// What a topic would be like if it were created.
    pub(super) fn would_be(&self, asked: &NewTopic) -> Option<CreatedTopic> {
        let ControlRole { controller, draw, .. } = &self.role;
        let change = controller.decide_create_topic(asked, &mut draw.clone()).ok()?;
        let mut image = controller.image().clone();
        for record in change.records() {
            image.replay(record, controller.end()).ok()?;
        }
        let topic = image.topic(&asked.name)?;
        let factor = topic.partitions().next().map_or(0, |(_, state)| state.replicas.len());
        Some(CreatedTopic {
            id: topic.id(),
            partitions: topic.partition_count(),
            replication_factor: u16::try_from(factor).unwrap_or(u16::MAX),
            config: asked.config.clone(),
        })
    }

    /// The next producer id of the block that this node may give.
    pub(super) fn next_producer_id(&mut self) -> Option<i64> {
        self.ids.next()
    }

    /// Which topic a job is about, as long as it is there.
    fn topic_of(&self, job: &Job) -> Option<TopicName> {
        match job {
            Job::Create(topic) => Some(topic.name.clone()),
            Job::Delete(topic) => self.role.controller.image().find_topic(topic).map(|topic| topic.name().clone()),
            Job::Grow(more) => Some(more.name.clone()),
            Job::Alter(name, _) => Some(name.clone()),
            Job::Start | Job::Lead(_) | Job::ProducerId => None,
        }
    }
}

impl Broker {
    pub(super) fn ask_controller(&mut self, now: Instant, task: Task) {
        if let Some(control) = &mut self.control {
            control.tasks.push_back(task);
            self.control_on(now);
        }
    }

    /// Goes on with the next task, unless one is under way.
    pub(super) fn control_on(&mut self, now: Instant) {
        loop {
            let Some(control) = &mut self.control else { return };
            if control.current.is_some() {
                return;
            }
            let Some(task) = control.tasks.pop_front() else { return };
            let topic = control.topic_of(&task.job);
            let decided = match control.halted.clone() {
                Some(error) => Err(error),
                None => control.decide(&task.job),
            };
            match decided {
                Err(error) => self.finish_task(&task, Err(error)),
                Ok(_) if task.trial == Trial::ValidateOnly => self.finish_task(&task, Ok(())),
                Ok(changes) => {
                    let rest = changes.into_iter().filter(|change| !change.is_empty()).collect();
                    let opening = BTreeSet::new();
                    control.current = Some(Current { task, rest, appending: None, topic, opening });
                    self.append_next(now);
                }
            }
        }
    }

    /// Appends the next change of the task, or goes on to what follows from those that are committed.
    fn append_next(&mut self, now: Instant) {
        let waiter = self.asked.number();
        let Some(control) = &mut self.control else { return };
        let Some(current) = &mut control.current else { return };
        let Some(change) = current.rest.pop_front() else { return self.on_changed() };
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
                let refused = super::errors::produce(&error);
                if error.unfinished().is_some()
                    && let Some(control) = &mut self.control
                {
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
    fn on_changed(&mut self) {
        let Some(control) = &mut self.control else { return };
        let Some(current) = &mut control.current else { return };
        let (role, own) = (&control.role, control.role.broker);
        let image = role.controller.image();
        if let Job::Lead(opened) = &current.task.job {
            for one in opened {
                let partition = one.partition.clone();
                let state = image.partition(&partition).filter(|state| state.leader == Some(own));
                let reign = state.map(reign);
                self.outputs.push_back(Output::Led { partition, reign });
            }
        }
        let Some(name) = current.topic.clone() else { return self.task_done() };
        let Some(topic) = image.topic(&name) else {
            let gone = self.hosts.keys().filter(|partition| *partition.topic() == name).cloned().collect();
            return self.delete_all(gone);
        };
        let pairs = image.topic_config(&name).cloned().unwrap_or_default();
        let (config, _) = TopicConfig::read_pairs(&pairs);
        for (number, state) in topic.partitions().filter(|(_, state)| state.leader == Some(own)) {
            let Ok(partition) = TopicPartition::new(name.clone(), number) else { continue };
            let (log, partition_config) = (settings::log_config(&config), settings::partition_config(&config));
            match self.hosts.get_mut(&partition) {
                // Settings that the controller has checked make sense to the log too; if not, the old ones stay.
                Some(host) => drop(host.configure(partition_config, log, &mut self.effects)),
                None => {
                    current.opening.insert(partition.clone());
                    let (topic_id, directory) = (topic.id(), state.directory_of(own));
                    let opening =
                        Opening { partition, topic_id, directory, log, config: partition_config, reign: reign(state) };
                    self.outputs.push_back(Output::Open(Box::new(opening)));
                }
            }
        }
        let hosted: Vec<_> = self.hosts.keys().filter(|partition| *partition.topic() == name).cloned().collect();
        hosted.iter().for_each(|partition| self.carry(partition));
        self.maybe_task_done();
    }

    fn delete_all(&mut self, partitions: Vec<TopicPartition>) {
        for partition in partitions {
            self.on_stop(&partition, StopReason::Deleted);
            self.outputs.push_back(Output::Delete(partition));
        }
        self.task_done();
    }

    /// A partition is there now, or will not be.
    pub(super) fn on_opened(&mut self, partition: &TopicPartition) {
        if let Some(current) = self.control.as_mut().and_then(|control| control.current.as_mut())
            && current.opening.remove(partition)
        {
            self.maybe_task_done();
        }
    }

    fn maybe_task_done(&mut self) {
        let current = self.control.as_ref().and_then(|control| control.current.as_ref());
        if current.is_some_and(|current| current.opening.is_empty()) {
            self.task_done();
        }
    }

    fn task_done(&mut self) {
        if let Some(current) = self.control.as_mut().and_then(|control| control.current.take()) {
            self.finish_task(&current.task, Ok(()));
        }
    }

    fn give_up_task(&mut self, error: RequestError) {
        if let Some(control) = &mut self.control {
            // A block that may not be committed is not given away.
            control.ids = 0..0;
        }
        if let Some(current) = self.control.as_mut().and_then(|control| control.current.take()) {
            self.finish_task(&current.task, Err(error));
        }
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
