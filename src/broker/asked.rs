//! Who has asked for what, and whose answer is still missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::fetch::FetchPending;
use crate::broker::io::RequestId;
use crate::id::{TopicName, TopicPartition};
use crate::message::{Answer, CreatedTopic, ListedOffset, Produced, RequestError, TopicRef};
use crate::partition::Waiter;
use crate::timer::TimerId;

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Produce(Gather<TopicPartition, Produced>),
    ListOffsets(Gather<TopicPartition, Option<ListedOffset>>),
    Fetch(FetchPending),
    CreateTopics(Gather<TopicName, CreatedTopic>),
    DeleteTopics(Gather<TopicRef, ()>),
    CreatePartitions(Gather<TopicName, ()>),
    AlterConfigs(Gather<TopicName, ()>),
    InitProducerId,
}

/// The answers of a request for several partitions or topics, in its order, as they come in.
#[derive(Clone, Debug)]
pub(super) struct Gather<K, T> {
    answers: Vec<(K, Option<Result<T, RequestError>>)>,
    missing: usize,
}

impl<K, T> Gather<K, T> {
    pub(super) fn new(of: impl Iterator<Item = K>) -> Self {
        let answers: Vec<_> = of.map(|of| (of, None)).collect();
        Self { missing: answers.len(), answers }
    }

    pub(super) fn answer(&mut self, index: usize, answer: Result<T, RequestError>) {
        let (_, slot) = &mut self.answers[index];
        assert!(slot.is_none(), "a part has been answered twice");
        *slot = Some(answer);
        self.missing -= 1;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    pub(super) fn finish(self) -> Vec<Answer<K, T>> {
        let answered = |(of, result): (K, Option<_>)| Some(Answer { of, result: result? });
        self.answers.into_iter().filter_map(answered).collect()
    }
}

/// What a waiter stands for.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) request: RequestId,
    /// Which of the request's partitions.
    pub(super) index: usize,
    pub(super) partition: TopicPartition,
    /// Its deadline, on the wheel.
    pub(super) timer: Option<TimerId>,
}

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) requests: BTreeMap<RequestId, Pending>,
    waits: BTreeMap<Waiter, Wait>,
    /// The waiters of each request.
    parts: BTreeSet<(RequestId, Waiter)>,
    last: u64,
}

impl Asked {
    /// A number nobody has, for the part of a request that concerns one partition.
    pub(super) fn wait(&mut self, request: RequestId, index: usize, partition: &TopicPartition) -> Waiter {
        let waiter = self.number();
        self.waits.insert(waiter, Wait { request, index, partition: partition.clone(), timer: None });
        self.parts.insert((request, waiter));
        waiter
    }

    /// A number nobody has and nobody waits for.
    pub(super) fn number(&mut self) -> Waiter {
        self.last += 1;
        Waiter(self.last)
    }

    pub(super) fn get_mut(&mut self, waiter: Waiter) -> Option<&mut Wait> {
        self.waits.get_mut(&waiter)
    }

    pub(super) fn remove(&mut self, waiter: Waiter) -> Option<Wait> {
        let wait = self.waits.remove(&waiter)?;
        self.parts.remove(&(wait.request, waiter));
        Some(wait)
    }

    /// Those who wait for a part of this request.
    pub(super) fn waiters_of(&self, request: RequestId) -> Vec<Waiter> {
        let parts = self.parts.range((request, Waiter(0))..=(request, Waiter(u64::MAX)));
        parts.map(|(_, waiter)| *waiter).collect()
    }

    /// Those who wait for this partition.
    pub(super) fn waiters_at(&self, partition: &TopicPartition) -> Vec<Waiter> {
        self.waits.iter().filter(|(_, wait)| wait.partition == *partition).map(|(waiter, _)| *waiter).collect()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waits.len()
    }
}
