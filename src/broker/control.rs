//! The controller, and what it has to do: which task is next, and what is decided about it.
//!
//! - Always true: one task is current at a time; what its changes need first is decided in front of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::broker::asked::Key;
use crate::broker::io::Opening;
use crate::controller::{
    AdoptRefusal, Adopted, Adoption, Change, Controller, Draw, Found, METADATA_TOPIC, Opened, Snapshots,
};
use crate::coordinator::CoordinatorConfig;
use crate::id::{BrokerId, ProducerId, TopicName, TopicPartition};
use crate::message::{ConfigChange, CreatedTopic, ErrorCode, MorePartitions, NewTopic, RequestError, TopicRef, Trial};
use crate::partition::Waiter;
use crate::record::Batch;
use crate::time::Timestamp;

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
    /// What committed offsets may be like: the controller of a node of its own is the coordinator of its groups too.
    pub coordinator: CoordinatorConfig,
}

/// The controller and what it has to do.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) role: ControlRole,
    pub(super) metadata: TopicPartition,
    pub(super) tasks: VecDeque<Task>,
    pub(super) current: Option<Current>,
    /// What is committed and waits for partitions to be there.
    pub(super) opening: Vec<Waiting>,
    /// Partitions that are to be made once older ones of the same name are released.
    pub(super) blocked: BTreeMap<TopicPartition, Opening>,
    /// How many deletions of each name are not over.
    pub(super) deleting: BTreeMap<TopicPartition, usize>,
    /// Producer ids that this node may give.
    pub(super) ids: std::ops::Range<i64>,
    /// What the last adoption has come to, until it is committed.
    pub(super) adopted: (Vec<Adopted>, Vec<(TopicPartition, AdoptRefusal)>),
    /// The largest producer id that is known to be in use.
    id_in_use: Option<ProducerId>,
    /// What of the metadata's log is not known: nothing more is decided.
    pub(super) halted: Option<RequestError>,
    /// When the metadata is written as a snapshot, if it is at all.
    pub(super) snapshots: Option<Snapshots>,
    /// Files of a deleted topic could not be removed: only the log tells the next opening of them.
    pub(super) files_left: bool,
}

/// One thing to be decided.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) date: Timestamp,
    /// Which part of which request asks for it.
    pub(super) asker: Option<(Key, usize)>,
    pub(super) trial: Trial,
    pub(super) job: Job,
}

#[derive(Clone, Debug)]
pub(super) enum Job {
    Start,
    Lead(Vec<Opened>),
    Adopt(Vec<Found>),
    Create(Box<NewTopic>),
    Delete(TopicRef),
    Grow(MorePartitions),
    Alter(TopicName, Vec<ConfigChange>),
    ProducerId,
}

/// What is being done.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) task: Task,
    /// Changes that come behind the one that is being appended.
    pub(super) rest: VecDeque<Change>,
    pub(super) appending: Option<(Waiter, Batch)>,
    /// Which topic it is about, and which partitions it had before.
    pub(super) topic: Option<(TopicName, BTreeSet<u32>)>,
}

/// What is done but for partitions that are to be opened.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) task: Task,
    pub(super) partitions: BTreeSet<TopicPartition>,
    pub(super) failed: Option<RequestError>,
}

impl Control {
    /// The role, which begins with what the metadata's log needs first.
    ///
    /// # Panics
    ///
    /// Never: the name of the metadata's partition is a name.
    pub(super) fn new(role: ControlRole) -> Self {
        let metadata = TopicPartition::parse(&format!("{METADATA_TOPIC}-0")).expect("it is the name of a partition");
        Self {
            role,
            metadata,
            tasks: VecDeque::new(),
            current: None,
            opening: Vec::new(),
            blocked: BTreeMap::new(),
            deleting: BTreeMap::new(),
            ids: 0..0,
            adopted: Default::default(),
            id_in_use: None,
            halted: None,
            snapshots: None,
            files_left: false,
        }
    }

    pub(super) fn decide(&mut self, job: &Job) -> Result<Vec<Change>, RequestError> {
        let ControlRole { controller, draw, broker, .. } = &mut self.role;
        let refused = |code: ErrorCode, error: &dyn std::fmt::Display| RequestError::because(code, error);
        match job {
            Job::Start => Ok(vec![controller.decide_start()]),
            Job::Adopt(found) => {
                let Adoption { changes, adopted, refused } = controller.decide_adopt(*broker, found, draw);
                self.adopted = (adopted, refused);
                Ok(changes)
            }
            Job::Lead(opened) => {
                let mut changes = controller.decide_lead(*broker, opened).changes;
                let in_use = opened.iter().filter_map(|one| one.last_producer_id).max();
                if let Some(in_use) = in_use {
                    self.id_in_use = self.id_in_use.max(Some(in_use));
                    self.ids.start = self.ids.start.max(in_use.get().saturating_add(1));
                    // If none is left, that is told to whoever asks for one: who leads has nothing to do with it.
                    changes.extend(controller.decide_producer_ids_in_use(*broker, in_use));
                }
                Ok(changes)
            }
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
            Job::ProducerId => match controller.decide_producer_ids(*broker, None, self.id_in_use) {
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

    /// Decides without drawing anything.
    pub(super) fn try_out(&mut self, job: &Job) -> Result<Vec<Change>, RequestError> {
        let draw = self.role.draw.clone();
        let decided = self.decide(job);
        self.role.draw = draw;
        decided
    }

    /// The next producer id of the block that this node may give.
    pub(super) fn next_producer_id(&mut self) -> Option<i64> {
        self.ids.next()
    }

    /// Which topic a job is about, and which partitions it has before it is done.
    pub(super) fn topic_of(&self, job: &Job) -> Option<(TopicName, BTreeSet<u32>)> {
        let image = self.role.controller.image();
        let name = match job {
            Job::Create(topic) => topic.name.clone(),
            Job::Delete(topic) => image.find_topic(topic)?.name().clone(),
            Job::Grow(more) => more.name.clone(),
            Job::Alter(name, _) => name.clone(),
            Job::Start | Job::Lead(_) | Job::Adopt(_) | Job::ProducerId => return None,
        };
        let before = image.topic(&name).map(|topic| topic.partitions().map(|(number, _)| number).collect());
        Some((name, before.unwrap_or_default()))
    }

    /// The next task; in front of any other that which the log of metadata needs first.
    pub(super) fn next_task(&mut self) -> Option<Task> {
        let task = self.tasks.pop_front()?;
        if matches!(task.job, Job::Start) || self.role.controller.decide_start().is_empty() {
            return Some(task);
        }
        let start = Task { date: task.date, asker: None, trial: Trial::Do, job: Job::Start };
        self.tasks.push_front(task);
        Some(start)
    }
}
