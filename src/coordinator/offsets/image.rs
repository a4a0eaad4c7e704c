//! What replaying the records gives: how far each group has come.

use std::collections::BTreeMap;

use crate::coordinator::offsets::{GroupPartition, OffsetKey, OffsetValue, OffsetsError};
use crate::id::{GroupId, TopicName, TopicPartition};

/// How far each group has come in each partition.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GroupOffsets {
    groups: BTreeMap<GroupId, BTreeMap<TopicPartition, OffsetValue>>,
}

impl GroupOffsets {
    /// Applies one record. Those that are not about offsets change nothing.
    ///
    /// # Errors
    ///
    /// [`OffsetsError`] if it cannot be read. Nothing has changed then.
    pub fn replay(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OffsetsError> {
        let Some(key) = key else { return Ok(()) };
        let OffsetKey::Offset(GroupPartition { group, partition }) = OffsetKey::parse(key)? else { return Ok(()) };
        match value {
            Some(value) => self.set(GroupPartition { group, partition }, OffsetValue::parse(value)?),
            None => self.forget(&group, &partition),
        }
        Ok(())
    }

    /// Notes how far a group has come.
    pub fn set(&mut self, of: GroupPartition, value: OffsetValue) {
        self.groups.entry(of.group).or_default().insert(of.partition, value);
    }

    /// Forgets how far a group has come in a partition.
    pub fn forget(&mut self, group: &GroupId, partition: &TopicPartition) {
        let Some(offsets) = self.groups.get_mut(group) else { return };
        offsets.remove(partition);
        if offsets.is_empty() {
            self.groups.remove(group);
        }
    }

    /// The partitions of a topic in which groups have come somewhere: what to forget when the topic is deleted.
    pub fn of_topic(&self, topic: &TopicName) -> Vec<GroupPartition> {
        let all = self.groups.iter().flat_map(|(group, offsets)| offsets.keys().map(move |at| (group, at)));
        all.filter(|(_, partition)| partition.topic() == topic)
            .map(|(group, partition)| GroupPartition { group: group.clone(), partition: partition.clone() })
            .collect()
    }

    /// How far a group has come in a partition.
    pub fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Option<&OffsetValue> {
        self.groups.get(group)?.get(partition)
    }

    /// How far a group has come, partition by partition.
    pub fn of_group(&self, group: &GroupId) -> impl Iterator<Item = (&TopicPartition, &OffsetValue)> {
        self.groups.get(group).into_iter().flatten()
    }

    /// The groups that have committed something, in order.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.groups.keys()
    }
}
