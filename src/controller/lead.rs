//! Partitions get their leaders when their logs are opened.

use crate::controller::Controller;
use crate::controller::change::{Change, in_changes};
use crate::controller::elect::{Unclean, elect};
use crate::controller::image::{PartitionState, Resource};
use crate::controller::records::MetadataRecord;
use crate::controller::uuid::Uuid;
use crate::epoch::LeaderEpoch;
use crate::id::{BrokerId, ProducerId, TopicName, TopicPartition};

/// A partition whose log a node has opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened {
    /// The partition.
    pub partition: TopicPartition,
    /// The log directory that it lies in.
    pub directory: Uuid,
    /// The latest reign in its log.
    pub last_epoch: Option<LeaderEpoch>,
    /// Whether all that was appended is there.
    pub shutdown: Shutdown,
    /// The largest producer id that its log knows: none up to there may be given to another producer.
    pub last_producer_id: Option<ProducerId>,
}

/// How a log was left.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Shutdown {
    /// It was closed: the reign may go on.
    Clean,
    /// It was not: what is lost and what takes its place have different reigns.
    Unclean,
}

/// What was decided about the partitions that a node has opened.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "the changes are to be appended"]
pub struct Leading {
    /// To be appended in order; empty if all is as it should be. When they are committed, the image says who leads.
    pub changes: Vec<Change>,
    /// Partitions that stay without a leader, or with another one, and why.
    pub refused: Vec<(TopicPartition, LeadRefusal)>,
}

/// Why a node does not lead a partition that it has opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeadRefusal {
    /// The metadata does not know it: a stray directory. Kafka would move it away; here nothing is touched. It can be
    /// adopted ([`Controller::decide_adopt`]).
    #[error("the metadata has no such partition")]
    Unknown,
    /// It is assigned to others.
    #[error("the partition is assigned to other brokers")]
    NotReplica,
    /// Another broker leads it.
    #[error("broker {} leads the partition", leader.get())]
    Led {
        /// Which.
        leader: BrokerId,
    },
    /// Nobody who may lead has all that was committed. `unclean.leader.election.enable` would let one lead who may not.
    #[error("nobody who may lead has all that was committed")]
    NoneEligible,
    /// The reigns are used up.
    #[error("the leader epochs of the partition are used up")]
    EpochsEnd,
}

impl Controller {
    /// Decides who leads the partitions that `node` has opened.
    ///
    /// A partition without a leader, as Kafka leaves all of them when it stops, gets one. Its reign is no earlier than the
    /// latest in its log, or Kafka would drop the history of its epochs; after a shutdown that was not clean it is a new
    /// one. The directory is corrected if it is another than the metadata says.
    pub fn decide_lead(&self, node: BrokerId, opened: &[Opened]) -> Leading {
        let mut leading = Leading::default();
        let mut records = Vec::new();
        for one in opened {
            match self.lead_one(node, one) {
                Ok(record) => records.extend(record),
                Err(refusal) => leading.refused.push((one.partition.clone(), refusal)),
            }
        }
        leading.changes = in_changes(records);
        leading
    }

    fn lead_one(&self, node: BrokerId, opened: &Opened) -> Result<Option<MetadataRecord>, LeadRefusal> {
        let partition = &opened.partition;
        let topic = self.latest().topic(partition.topic()).ok_or(LeadRefusal::Unknown)?;
        let old = topic.partition(partition.partition()).ok_or(LeadRefusal::Unknown)?;
        let place = old.replicas.iter().position(|id| *id == node).ok_or(LeadRefusal::NotReplica)?;
        let mut new = elect(old, |id| id == node || self.may_lead(id), self.unclean(partition.topic()));
        match new.leader {
            Some(leader) if leader == node => {}
            Some(leader) => return Err(LeadRefusal::Led { leader }),
            None => return Err(LeadRefusal::NoneEligible),
        }
        if self.latest().has_directories()
            && let Some(directory) = new.directories.get_mut(place)
        {
            *directory = opened.directory;
        }
        let epoch_min = epoch_min(old, opened).ok_or(LeadRefusal::EpochsEnd)?;
        Ok(old.change_to(&new, epoch_min, topic.id(), partition.partition()))
    }

    /// What the topic's configuration says, or what all topics have in common.
    fn unclean(&self, topic: &TopicName) -> Unclean {
        let key = "unclean.leader.election.enable";
        let set = |resource| self.latest().config(&resource).and_then(|config| config.get(key));
        let value = set(Resource::topic(topic)).or_else(|| set(Resource::CLUSTER));
        if value.is_some_and(|value| value == "true") { Unclean::Allowed } else { Unclean::Refused }
    }
}

/// The earliest reign that may begin now; `None` if there is none.
fn epoch_min(partition: &PartitionState, opened: &Opened) -> Option<LeaderEpoch> {
    let last = opened.last_epoch.map_or(partition.leader_epoch, |last| last.max(partition.leader_epoch));
    match opened.shutdown {
        Shutdown::Clean if partition.leader.is_some() => Some(last),
        Shutdown::Clean | Shutdown::Unclean => last.next(),
    }
}
