//! Topics and partitions as the image holds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::controller::records::{PartitionChangeRecord, PartitionRecord};
use crate::controller::uuid::Uuid;
use crate::epoch::LeaderEpoch;
use crate::id::{BrokerId, TopicId, TopicName};

use super::error::ReplayFault;

/// A topic with its partitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topic {
    pub(super) id: TopicId,
    pub(super) name: Arc<TopicName>,
    pub(super) partitions: BTreeMap<u32, Arc<PartitionState>>,
}

impl Topic {
    /// Its id.
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// The partition of this number.
    pub fn partition(&self, number: u32) -> Option<&PartitionState> {
        self.partitions.get(&number).map(Arc::as_ref)
    }

    /// Its partitions by number. There may be gaps, which Kafka warns of and works with.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = (u32, &PartitionState)> {
        self.partitions.iter().map(|(number, partition)| (*number, partition.as_ref()))
    }

    /// How many partitions there are.
    pub fn partition_count(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// The number behind the largest.
    pub fn next_partition(&self) -> u32 {
        self.partitions.last_key_value().map_or(0, |(number, _)| number + 1)
    }
}

/// Whether a leader was elected that may lack what was committed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum LeaderRecovery {
    /// It has everything, or has made up for it.
    #[default]
    Recovered,
    /// It was elected uncleanly and has not made up for it yet.
    Recovering,
}

impl LeaderRecovery {
    pub(in crate::controller) const fn as_i8(self) -> i8 {
        match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        }
    }

    fn from_i8(state: i8) -> Result<Self, ReplayFault> {
        match state {
            0 => Ok(Self::Recovered),
            1 => Ok(Self::Recovering),
            state => Err(ReplayFault::LeaderRecovery { state }),
        }
    }
}

/// Who holds a partition, and who leads it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PartitionState {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those in sync.
    pub isr: Vec<BrokerId>,
    /// Those that a reassignment takes away.
    pub removing_replicas: Vec<BrokerId>,
    /// Those that a reassignment adds.
    pub adding_replicas: Vec<BrokerId>,
    /// Who leads. Nobody is no damage: after Kafka's clean shutdown no partition has a leader.
    pub leader: Option<BrokerId>,
    /// The reign.
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes.
    pub partition_epoch: u32,
    /// The log directory of each replica, [`Uuid::MIGRATING`] where the log has none.
    pub directories: Vec<Uuid>,
    /// Whether the leader may lack something.
    pub leader_recovery: LeaderRecovery,
    /// Those out of sync that have all that was committed.
    pub eligible_leader_replicas: Vec<BrokerId>,
    /// The last that were eligible.
    pub last_known_elr: Vec<BrokerId>,
}

impl PartitionState {
    /// The log directory of a replica.
    pub fn directory_of(&self, broker: BrokerId) -> Option<Uuid> {
        let index = self.replicas.iter().position(|replica| *replica == broker)?;
        self.directories.get(index).copied()
    }

    pub(super) fn of_record(record: &PartitionRecord) -> Result<Self, ReplayFault> {
        let replicas = brokers(&record.replicas)?;
        let directories = if record.directories.is_empty() {
            vec![Uuid::MIGRATING; replicas.len()]
        } else {
            directories(&record.directories, replicas.len())?
        };
        Ok(Self {
            isr: brokers(&record.isr)?,
            removing_replicas: brokers(&record.removing_replicas)?,
            adding_replicas: brokers(&record.adding_replicas)?,
            leader: leader(record.leader)?,
            // −1 was seen to work in Kafka: the first election is one above it, as it is above 0 here.
            leader_epoch: LeaderEpoch::from_i32(record.leader_epoch).unwrap_or_default(),
            partition_epoch: u32::try_from(record.partition_epoch).unwrap_or_default(),
            directories,
            leader_recovery: LeaderRecovery::from_i8(record.leader_recovery_state)?,
            eligible_leader_replicas: brokers(record.eligible_leader_replicas.as_deref().unwrap_or_default())?,
            last_known_elr: brokers(record.last_known_elr.as_deref().unwrap_or_default())?,
            replicas,
        })
    }

    /// What the partition is after the change: what is given takes the place of what was.
    pub(super) fn changed(&self, change: &PartitionChangeRecord) -> Result<Self, ReplayFault> {
        let list = |given: &Option<Vec<i32>>, old: &Vec<BrokerId>| match given {
            Some(given) => brokers(given),
            None => Ok(old.clone()),
        };
        let replicas = list(&change.replicas, &self.replicas)?;
        let (leader, leader_epoch) = match change.leader {
            PartitionChangeRecord::LEADER_KEPT => (self.leader, self.leader_epoch),
            given => (leader(given)?, self.leader_epoch.next().ok_or(ReplayFault::LeaderEpochEnds)?),
        };
        Ok(Self {
            isr: list(&change.isr, &self.isr)?,
            removing_replicas: list(&change.removing_replicas, &self.removing_replicas)?,
            adding_replicas: list(&change.adding_replicas, &self.adding_replicas)?,
            leader,
            leader_epoch,
            partition_epoch: next_partition_epoch(self.partition_epoch)?,
            directories: match &change.directories {
                Some(given) => directories(given, replicas.len())?,
                None => replicas.iter().map(|id| self.directory_of(*id).unwrap_or(Uuid::UNASSIGNED)).collect(),
            },
            leader_recovery: match change.leader_recovery_state {
                -1 => self.leader_recovery,
                state => LeaderRecovery::from_i8(state)?,
            },
            eligible_leader_replicas: list(&change.eligible_leader_replicas, &self.eligible_leader_replicas)?,
            last_known_elr: list(&change.last_known_elr, &self.last_known_elr)?,
            replicas,
        })
    }

    /// What the partition is when nobody out of sync is eligible any more; `None` if that changes nothing.
    pub(super) fn without_elr(&self) -> Result<Option<Self>, ReplayFault> {
        if self.eligible_leader_replicas.is_empty() && self.last_known_elr.is_empty() {
            return Ok(None);
        }
        let partition_epoch = next_partition_epoch(self.partition_epoch)?;
        let (eligible_leader_replicas, last_known_elr) = (Vec::new(), Vec::new());
        Ok(Some(Self { partition_epoch, eligible_leader_replicas, last_known_elr, ..self.clone() }))
    }
}

fn next_partition_epoch(epoch: u32) -> Result<u32, ReplayFault> {
    if epoch < i32::MAX as u32 { Ok(epoch + 1) } else { Err(ReplayFault::PartitionEpochEnds) }
}

pub(super) fn broker(id: i32) -> Result<BrokerId, ReplayFault> {
    u32::try_from(id).map(BrokerId::new).map_err(|_| ReplayFault::InvalidBroker { id })
}

fn brokers(ids: &[i32]) -> Result<Vec<BrokerId>, ReplayFault> {
    ids.iter().map(|id| broker(*id)).collect()
}

fn leader(id: i32) -> Result<Option<BrokerId>, ReplayFault> {
    if id == -1 { Ok(None) } else { broker(id).map(Some) }
}

fn directories(given: &[Uuid], replicas: usize) -> Result<Vec<Uuid>, ReplayFault> {
    let found = given.len();
    if found == replicas { Ok(given.to_vec()) } else { Err(ReplayFault::Directories { replicas, found }) }
}
