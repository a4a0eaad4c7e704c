//! Carrying requests about topics to the controller, and its decisions back.

use crate::broker::asked::{Gather, Pending};
use crate::broker::control::{Job, Task};
use crate::broker::io::{Body, RequestId};
use crate::broker::refuse::{no_controller, refuse_all};
use crate::broker::{Broker, Output};
use crate::epoch::ProducerEpoch;
use crate::id::{ProducerId, TopicName};
use crate::message::{
    AlterConfigs, Answer, ConfigEntry, CreatePartitions, CreateTopics, CreatedTopic, DeleteTopics, DescribeConfigs,
    DescribeTopics, Described, ErrorCode, ProducerIdentity, RequestError, Response, TopicAnswer, TopicConfig, TopicRef,
    Trial,
};
use crate::time::{Instant, Timestamp};

/// A request for decisions.
struct Deciding {
    id: RequestId,
    date: Timestamp,
    trial: Trial,
    pending: Pending,
}

impl Broker {
    pub(super) fn on_create_topics(&mut self, now: Instant, date: Timestamp, id: RequestId, request: CreateTopics) {
        let pending = Pending::CreateTopics(Gather::new(request.topics.iter().map(|topic| topic.name.clone())));
        let jobs = request.topics.into_iter().map(|topic| Job::Create(Box::new(topic)));
        self.decide_each(now, Deciding { id, date, trial: request.trial, pending }, jobs);
    }

    pub(super) fn on_delete_topics(&mut self, now: Instant, date: Timestamp, id: RequestId, request: DeleteTopics) {
        let pending = Pending::DeleteTopics(Gather::new(request.topics.iter().cloned()));
        let jobs = request.topics.into_iter().map(Job::Delete);
        self.decide_each(now, Deciding { id, date, trial: Trial::Do, pending }, jobs);
    }

    pub(super) fn on_create_partitions(
        &mut self,
        now: Instant,
        date: Timestamp,
        id: RequestId,
        request: CreatePartitions,
    ) {
        let pending = Pending::CreatePartitions(Gather::new(request.topics.iter().map(|topic| topic.name.clone())));
        let jobs = request.topics.into_iter().map(Job::Grow);
        self.decide_each(now, Deciding { id, date, trial: request.trial, pending }, jobs);
    }

    pub(super) fn on_alter_configs(&mut self, now: Instant, date: Timestamp, id: RequestId, request: AlterConfigs) {
        let pending = Pending::AlterConfigs(Gather::new(request.topics.iter().map(|(name, _)| name.clone())));
        let jobs = request.topics.into_iter().map(|(name, changes)| Job::Alter(name, changes));
        self.decide_each(now, Deciding { id, date, trial: request.trial, pending }, jobs);
    }

    pub(super) fn on_init_producer_id(&mut self, now: Instant, date: Timestamp, id: RequestId) {
        let deciding = Deciding { id, date, trial: Trial::Do, pending: Pending::InitProducerId };
        self.decide_each(now, deciding, [Job::ProducerId].into_iter());
    }

    /// Has each part of a request decided, one after the other.
    fn decide_each(&mut self, now: Instant, deciding: Deciding, jobs: impl Iterator<Item = Job>) {
        let Deciding { id, date, trial, pending } = deciding;
        let key = self.asked.pend(id, pending);
        for (index, job) in jobs.enumerate() {
            self.ask_controller(now, Task { date, asker: Some((key, index)), trial, job });
        }
        self.maybe_respond(key);
    }

    /// Answers whoever has asked for the task.
    pub(super) fn finish_task(&mut self, task: &Task, result: Result<(), RequestError>) {
        let Some((key, index)) = task.asker else { return self.on_own_task(task, &result) };
        let created = if result.is_ok() { self.created(task) } else { None };
        match self.asked.pending_mut(key) {
            Some(Pending::CreateTopics(gather)) => {
                let gone = || RequestError::because(ErrorCode::UnknownTopicOrPartition, "it was deleted meanwhile");
                gather.answer(index, result.and_then(|()| created.ok_or_else(gone)));
            }
            Some(Pending::DeleteTopics(gather)) => gather.answer(index, result),
            Some(Pending::CreatePartitions(gather) | Pending::AlterConfigs(gather)) => gather.answer(index, result),
            Some(Pending::InitProducerId) => {
                let identity = result.and_then(|()| self.next_identity());
                if let Some((id, _)) = self.asked.take(key) {
                    self.respond(id, Response::InitProducerId(identity));
                }
                return;
            }
            Some(
                Pending::Produce(_)
                | Pending::ListOffsets(_)
                | Pending::Fetch(_)
                | Pending::OffsetCommit(_)
                | Pending::DeleteRecords(_),
            )
            | None => {}
        }
        self.maybe_respond(key);
    }

    pub(super) fn respond(&mut self, id: RequestId, response: Response<Body>) {
        self.outputs.push_back(Output::Respond { id, response });
    }

    /// The topic as it was created, or as it would be.
    fn created(&self, task: &Task) -> Option<CreatedTopic> {
        let Job::Create(asked) = &task.job else { return None };
        let control = self.control.as_ref()?;
        if task.trial == Trial::ValidateOnly {
            return control.would_be(asked);
        }
        let topic = control.role.controller.image().topic(&asked.name)?;
        let factor = topic.partitions().next().map_or(0, |(_, state)| state.replicas.len());
        Some(CreatedTopic {
            id: topic.id(),
            partitions: topic.partition_count(),
            replication_factor: u16::try_from(factor).unwrap_or(u16::MAX),
            config: self.topic_config(&asked.name)?,
        })
    }

    fn next_identity(&mut self) -> Result<ProducerIdentity, RequestError> {
        let next = self.control.as_mut().and_then(|control| control.next_producer_id()).and_then(ProducerId::new);
        let none = || RequestError::because(ErrorCode::CoordinatorNotAvailable, "no producer id is left here");
        Ok(ProducerIdentity { id: next.ok_or_else(none)?, epoch: ProducerEpoch::ZERO })
    }

    /// What was set for a topic; `None` if there is no such topic. What is not understood is left out.
    fn topic_config(&self, name: &TopicName) -> Option<TopicConfig> {
        let image = self.control.as_ref()?.role.controller.image();
        image.topic(name)?;
        let pairs = image.topic_config(name).cloned().unwrap_or_default();
        Some(TopicConfig::read_pairs(&pairs).0)
    }

    pub(super) fn describe_configs(&self, request: &DescribeConfigs) -> Vec<TopicAnswer<Vec<ConfigEntry>>> {
        if self.control.is_none() {
            return refuse_all(request.topics.iter().map(|(name, _)| name.clone()), &no_controller());
        }
        let describe = |(name, keys): &(TopicName, Option<Vec<String>>)| {
            let is_wanted =
                |entry: &ConfigEntry| keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key == entry.key.name()));
            let entries =
                self.topic_config(name).map(|config| config.describe().into_iter().filter(is_wanted).collect());
            Answer { of: name.clone(), result: entries.ok_or_else(|| unknown_topic(name)) }
        };
        request.topics.iter().map(describe).collect()
    }

    pub(super) fn describe_topics(&self, request: &DescribeTopics) -> Described {
        let Some(control) = &self.control else {
            let topics = refuse_all(request.topics.iter().flatten().cloned(), &no_controller());
            return Described { cluster_id: String::new(), brokers: Vec::new(), controller: None, topics };
        };
        let image = control.role.controller.image();
        let all = || image.topics().map(|topic| TopicRef::Name(topic.name().clone())).collect();
        let topics = request.topics.clone().unwrap_or_else(all).into_iter().map(|topic| {
            let unknown = match &topic {
                TopicRef::Name(name) => unknown_topic(name),
                TopicRef::Id(id) => {
                    RequestError::because(ErrorCode::UnknownTopicId, format_args!("there is no topic of id {id}"))
                }
            };
            Answer { result: image.describe_topic(&topic).ok_or(unknown), of: topic }
        });
        Described {
            cluster_id: control.role.cluster_id.clone(),
            brokers: vec![control.role.broker],
            controller: Some(control.role.broker),
            topics: topics.collect(),
        }
    }
}

fn unknown_topic(name: &TopicName) -> RequestError {
    RequestError::because(ErrorCode::UnknownTopicOrPartition, format_args!("there is no topic {name}"))
}
