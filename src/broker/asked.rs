//! Who has asked for what, and whose answer is still missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::fetch::FetchPending;
use crate::broker::io::RequestId;
use crate::id::{TopicName, TopicPartition};
use crate::message::{Answer, CreatedTopic, ListedOffset, Produced, RequestError, TopicRef};
use crate::offset::Offset;
use crate::partition::Waiter;
use crate::timer::TimerId;

/// The node's own number for a request: the asker may use its number again once it has cancelled, and what was begun for it
/// must not be taken for its next.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key(u64);

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
    OffsetCommit(Gather<TopicPartition, ()>),
    DeleteRecords(Gather<TopicPartition, Offset>),
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
        if let Some((_, slot @ None)) = self.answers.get_mut(index) {
            *slot = Some(answer);
            self.missing -= 1;
        }
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
    pub(super) request: Key,
    /// Which of the request's partitions.
    pub(super) index: usize,
    pub(super) partition: TopicPartition,
    /// Its deadline, on the wheel.
    pub(super) timer: Option<TimerId>,
}

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Asked {
    requests: BTreeMap<Key, (RequestId, Pending)>,
    keys: BTreeMap<RequestId, Key>,
    waits: BTreeMap<Waiter, Wait>,
    /// The waiters of each request.
    parts: BTreeSet<(Key, Waiter)>,
    last: u64,
}

impl Asked {
    /// Whether a request of this number is not answered yet.
    pub(super) fn is_asked(&self, id: RequestId) -> bool {
        self.keys.contains_key(&id)
    }

    /// A number for a request.
    pub(super) fn next_key(&mut self) -> Key {
        self.last += 1;
        Key(self.last)
    }

    /// A number for a request, which is pending from now on.
    pub(super) fn pend(&mut self, id: RequestId, pending: Pending) -> Key {
        let key = self.next_key();
        self.put(key, id, pending);
        key
    }

    /// The request of this number is pending, from now on or again.
    pub(super) fn put(&mut self, key: Key, id: RequestId, pending: Pending) {
        self.keys.insert(id, key);
        self.requests.insert(key, (id, pending));
    }

    pub(super) fn key(&self, id: RequestId) -> Option<Key> {
        self.keys.get(&id).copied()
    }

    pub(super) fn pending(&self, key: Key) -> Option<&Pending> {
        self.requests.get(&key).map(|(_, pending)| pending)
    }

    pub(super) fn pending_mut(&mut self, key: Key) -> Option<&mut Pending> {
        self.requests.get_mut(&key).map(|(_, pending)| pending)
    }

    /// The request is not pending any more. Answers with the asker's number for it.
    pub(super) fn take(&mut self, key: Key) -> Option<(RequestId, Pending)> {
        let (id, pending) = self.requests.remove(&key)?;
        self.keys.remove(&id);
        Some((id, pending))
    }

    /// A number nobody has, for the part of a request that concerns one partition.
    pub(super) fn wait(&mut self, request: Key, index: usize, partition: &TopicPartition) -> Waiter {
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

    pub(super) fn get(&self, waiter: Waiter) -> Option<&Wait> {
        self.waits.get(&waiter)
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
    pub(super) fn waiters_of(&self, request: Key) -> Vec<Waiter> {
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
