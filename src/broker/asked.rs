//! Who has asked for what, and whose answer is still missing.

use std::collections::BTreeMap;

use crate::broker::fetch::FetchPending;
use crate::broker::io::RequestId;
use crate::id::TopicPartition;
use crate::message::{Answer, ListedOffset, PartitionAnswer, Produced, RequestError};
use crate::partition::Waiter;
use crate::timer::TimerId;

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Produce(Gather<Produced>),
    ListOffsets(Gather<Option<ListedOffset>>),
    Fetch(FetchPending),
}

/// The answers of a request for several partitions, in its order, as they come in.
#[derive(Clone, Debug)]
pub(super) struct Gather<T> {
    answers: Vec<(TopicPartition, Option<Result<T, RequestError>>)>,
    missing: usize,
}

impl<T> Gather<T> {
    pub(super) fn new(partitions: impl Iterator<Item = TopicPartition>) -> Self {
        let answers: Vec<_> = partitions.map(|partition| (partition, None)).collect();
        Self { missing: answers.len(), answers }
    }

    pub(super) fn answer(&mut self, index: usize, answer: Result<T, RequestError>) {
        let (_, slot) = &mut self.answers[index];
        assert!(slot.is_none(), "a partition has answered twice");
        *slot = Some(answer);
        self.missing -= 1;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    pub(super) fn finish(self) -> Vec<PartitionAnswer<T>> {
        let answered = |(of, result): (TopicPartition, Option<_>)| Some(Answer { of, result: result? });
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
    last: u64,
}

impl Asked {
    /// A number nobody has, for the part of a request that concerns one partition.
    pub(super) fn wait(&mut self, request: RequestId, index: usize, partition: &TopicPartition) -> Waiter {
        let waiter = self.number();
        self.waits.insert(waiter, Wait { request, index, partition: partition.clone(), timer: None });
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
        self.waits.remove(&waiter)
    }

    /// Those who wait for a part of this request.
    pub(super) fn waiters_of(&self, request: RequestId) -> Vec<Waiter> {
        self.waits.iter().filter(|(_, wait)| wait.request == request).map(|(waiter, _)| *waiter).collect()
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
