//! Which partitions are read: those of topics, as they come and go, or those that were assigned by hand.
//!
//! - May use: the newtypes, `consumer`, and `client` for what is known of topics.
//! - Must not know: positions; it says what is to be assigned and revoked.
//! - Always true: a topic that was deleted and made again is another topic, and is read from its beginning.

use std::collections::BTreeMap;

use crate::consumer::Start;
use crate::id::{TopicId, TopicName, TopicPartition};
use crate::queue::client::{Client, TopicFacts};
use crate::queue::consumer::error::SubscribeError;

/// What is read, and what is known of its topics.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    topics: BTreeMap<TopicName, Topic>,
}

#[derive(Debug)]
struct Topic {
    what: Read,
    /// As it was seen last; `None` while there is none of this name.
    seen: Option<Seen>,
}

/// What is read of a topic.
#[derive(Debug)]
enum Read {
    All,
    These(Vec<TopicPartition>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Seen {
    id: TopicId,
    partitions: u32,
}

/// What a look at the topics has found.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// The partition is new, and to be read from where it begins: its records came after the subscription.
    Appeared(TopicPartition),
    /// It is not there any more.
    Gone(TopicPartition),
    /// It is not there any more, and whoever has assigned it wants to know.
    Deleted(TopicPartition),
}

impl From<&TopicFacts> for Seen {
    fn from(facts: &TopicFacts) -> Self {
        Self { id: facts.id, partitions: facts.partitions }
    }
}

impl Subscription {
    /// All partitions of some topics. What is already read of them is left as it is.
    pub(super) fn of_topics(&self, names: Vec<TopicName>, client: &dyn Client) -> Result<Self, SubscribeError> {
        let mut topics = BTreeMap::new();
        for name in names {
            let facts = client.topic(&name).ok_or_else(|| SubscribeError::UnknownTopic { topic: name.clone() })?;
            topics.insert(name, Topic { what: Read::All, seen: Some(Seen::from(&*facts)) });
        }
        Ok(Self { topics })
    }

    /// Some partitions.
    pub(super) fn of_partitions(
        assigned: &[(TopicPartition, Start)],
        client: &dyn Client,
    ) -> Result<Self, SubscribeError> {
        let mut topics = BTreeMap::<TopicName, Topic>::new();
        for (partition, _) in assigned {
            let name = partition.topic();
            let facts = client.topic(name).ok_or_else(|| SubscribeError::UnknownTopic { topic: name.clone() })?;
            if partition.partition() >= facts.partitions {
                return Err(SubscribeError::UnknownPartition {
                    partition: partition.clone(),
                    partitions: facts.partitions,
                });
            }
            let seen = Some(Seen::from(&*facts));
            let topic = topics.entry(name.clone()).or_insert_with(|| Topic { what: Read::These(Vec::new()), seen });
            if let Read::These(these) = &mut topic.what {
                these.push(partition.clone());
            }
        }
        Ok(Self { topics })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The partitions that are read, as far as is known.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        let mut partitions = Vec::new();
        for (name, topic) in &self.topics {
            match &topic.what {
                Read::All => partitions.extend(numbered(name, 0..topic.seen.map_or(0, |seen| seen.partitions))),
                Read::These(these) => partitions.extend(these.iter().cloned()),
            }
        }
        partitions
    }

    /// Looks at the topics again.
    pub(super) fn look(&mut self, client: &dyn Client) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, topic) in &mut self.topics {
            let now = client.topic(name).map(|facts| Seen::from(&*facts));
            if now != topic.seen {
                topic.on_change(name, now, &mut changes);
            }
        }
        self.topics.retain(|_, topic| !matches!(&topic.what, Read::These(these) if these.is_empty()));
        changes
    }
}

impl Topic {
    fn on_change(&mut self, name: &TopicName, now: Option<Seen>, changes: &mut Vec<Change>) {
        let before = std::mem::replace(&mut self.seen, now);
        let is_same = before.zip(now).is_some_and(|(before, now)| before.id == now.id);
        match &mut self.what {
            Read::These(these) if !is_same => changes.extend(these.drain(..).map(Change::Deleted)),
            Read::These(_) => {}
            Read::All => {
                let (known, there) = (before.map_or(0, |seen| seen.partitions), now.map_or(0, |seen| seen.partitions));
                let kept = if is_same { known.min(there) } else { 0 };
                changes.extend(numbered(name, kept..known).map(Change::Gone));
                changes.extend(numbered(name, kept..there).map(Change::Appeared));
            }
        }
    }
}

/// Partitions of a topic by their numbers. A number that is none is left out: no topic has so many.
fn numbered(name: &TopicName, numbers: std::ops::Range<u32>) -> impl Iterator<Item = TopicPartition> {
    numbers.map_while(move |number| TopicPartition::new(name.clone(), number).ok())
}
