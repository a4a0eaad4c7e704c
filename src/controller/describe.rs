//! What the image says, in the words of [`message`](crate::message).

use crate::controller::image::{Image, PartitionState, Topic};
use crate::message::{PartitionDescription, TopicDescription, TopicRef};

impl Image {
    /// The topic that is meant.
    pub fn find_topic(&self, topic: &TopicRef) -> Option<&Topic> {
        match topic {
            TopicRef::Name(name) => self.topic(name),
            TopicRef::Id(id) => self.topic_by_id(*id),
        }
    }

    /// A topic and who leads its partitions; `None` if there is no such topic.
    pub fn describe_topic(&self, topic: &TopicRef) -> Option<TopicDescription> {
        self.find_topic(topic).map(Topic::describe)
    }
}

impl Topic {
    /// The topic and who leads its partitions.
    pub fn describe(&self) -> TopicDescription {
        let partitions = self.partitions().map(|(number, partition)| partition.describe(number));
        TopicDescription { name: self.name().clone(), id: self.id(), partitions: partitions.collect() }
    }
}

impl PartitionState {
    /// Who leads the partition of this number, and who has it.
    pub fn describe(&self, number: u32) -> PartitionDescription {
        PartitionDescription {
            partition: number,
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
        }
    }
}
