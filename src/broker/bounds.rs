//! Keeping the bounds on space: what partitions take is noted, and segments go for batches where the bound says so.

use crate::broker::refuse::for_clients;
use crate::broker::space::{Dropped, Space, SpaceConfig, Verdict};
use crate::broker::{Broker, Output};
use crate::id::{TopicName, TopicPartition};
use crate::message::BoundReached;
use crate::partition::{Foreseen, PartitionSpace, Produce};
use crate::time::Timestamp;

/// How many segments go for one batch at most. Where that is not enough, its producer tries again.
const DROPS_MAX: usize = 64;

impl Broker {
    /// The same node with bounds on what its partitions may take of the disks. What they take by now counts, and nothing goes
    /// before a batch needs the space.
    #[must_use]
    pub fn bounded(mut self, config: SpaceConfig) -> Self {
        self.space = Space::new(config);
        let partitions: Vec<TopicPartition> = self.partitions().cloned().collect();
        partitions.iter().for_each(|partition| self.note_space(partition));
        self
    }

    /// The bounds on what partitions may take.
    pub fn bounds(&self) -> &SpaceConfig {
        self.space.config()
    }

    /// What went to make room, by topic, since this node was made.
    pub fn dropped(&self) -> impl Iterator<Item = (&TopicName, Dropped)> {
        self.space.dropped().iter().map(|(topic, dropped)| (topic, *dropped))
    }

    /// What a partition takes may have changed. What the controller and the coordinators write never has to go.
    pub(super) fn note_space(&mut self, partition: &TopicPartition) {
        if !self.space.is_bounded() {
            return;
        }
        let space = self.hosts.get(partition).map(|host| match (host.space(), for_clients(partition)) {
            (space, Ok(())) => space,
            (space, Err(_)) => PartitionSpace { oldest: None, ..space },
        });
        self.space.note(partition, space);
    }

    /// Sees to it that there is space for a batch, if it takes any: what is refused in any case, or is there already, has
    /// nothing go. Where that is not known yet, for others are held in front of it, nothing goes either.
    pub(super) fn make_space(
        &mut self,
        date: Timestamp,
        partition: &TopicPartition,
        produce: &Produce,
    ) -> Result<(), BoundReached> {
        let bytes = produce.batch.batch().size();
        let mut drops = 0;
        while self.space.is_bounded() {
            let (giver, reached) = match self.space.decide(partition, bytes) {
                Verdict::Admit => break,
                Verdict::Drop(giver, reached) => (Some(giver), reached),
                Verdict::Refuse(reached) => (None, reached),
            };
            match self.hosts.get(partition).map_or(Foreseen::Nothing, |host| host.foresee(produce)) {
                Foreseen::Nothing => break,
                Foreseen::Open => return Err(reached),
                Foreseen::Append => {}
            }
            let has_dropped = drops < DROPS_MAX && giver.is_some_and(|giver| self.drop_oldest(date, &giver));
            if !has_dropped {
                return Err(reached);
            }
            drops += 1;
        }
        Ok(())
    }

    /// Drops the oldest segment of a partition. Answers whether it has.
    fn drop_oldest(&mut self, date: Timestamp, partition: &TopicPartition) -> bool {
        let mut dropped = None;
        self.with_host(partition, |host, effects| dropped = host.drop_oldest(date, effects));
        let Some(segment) = dropped else { return false };
        let offsets = segment.next_offset.since(segment.base_offset).unwrap_or(0);
        self.space.count(partition, Dropped { segments: 1, bytes: segment.bytes, offsets });
        self.outputs.push_back(Output::Dropped { partition: partition.clone(), segment });
        true
    }
}
