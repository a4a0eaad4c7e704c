//! Assignment: from who shall hold a partition to the partition as it begins.
//!
//! The brokers are chosen by [`place`] or by whoever asks; then each replica gets a log directory, and those that may
//! lead are in sync, the first of them leading.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::image::{Image, PartitionState};
use crate::controller::place::{Candidate, Liveness};
use crate::controller::uuid::Uuid;
use crate::epoch::LeaderEpoch;
use crate::id::BrokerId;

/// Why an assignment was refused: Kafka's `INVALID_REPLICA_ASSIGNMENT`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AssignmentError {
    /// The numbers do not run from 0 without a gap.
    #[error("partition {found} is assigned, but {expected} comes next")]
    NotConsecutive {
        /// The number that comes next.
        expected: u32,
        /// The one that was given.
        found: u32,
    },
    /// Not as many as were asked for.
    #[error("{found} partitions are assigned, {asked} were asked for")]
    Count {
        /// How many were asked for.
        asked: u32,
        /// How many were assigned.
        found: usize,
    },
    /// Nobody would hold it.
    #[error("partition {partition} is assigned to nobody")]
    Nobody {
        /// Which partition.
        partition: u32,
    },
    /// Not as many replicas as the others have.
    #[error("partition {partition} has {found} replicas, {expected} were expected")]
    Unequal {
        /// Which partition.
        partition: u32,
        /// How many the others have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// A broker would hold it twice.
    #[error("partition {partition} is assigned to broker {} twice", broker.get())]
    Duplicate {
        /// Which partition.
        partition: u32,
        /// The broker.
        broker: BrokerId,
    },
    /// No such broker is known.
    #[error("partition {partition} is assigned to broker {}, which is not known", broker.get())]
    UnknownBroker {
        /// Which partition.
        partition: u32,
        /// The broker.
        broker: BrokerId,
    },
    /// None of its brokers may lead at the moment.
    #[error("partition {partition} is assigned to fenced brokers only")]
    AllFenced {
        /// Which partition.
        partition: u32,
    },
}

/// Checks what was assigned by hand, to partitions from `first` on, each of which shall have `replicas`, if that is given,
/// and as many as the others.
pub(super) fn check_by_hand(
    assignment: &[Vec<BrokerId>],
    first: u32,
    replicas: Option<usize>,
    candidates: &BTreeMap<BrokerId, Candidate>,
) -> Result<(), AssignmentError> {
    let expected = replicas.or(assignment.first().map(Vec::len)).unwrap_or_default();
    for (brokers, partition) in assignment.iter().zip(first..) {
        let found = brokers.len();
        if found == 0 {
            return Err(AssignmentError::Nobody { partition });
        }
        if found != expected {
            return Err(AssignmentError::Unequal { partition, expected, found });
        }
        let mut seen = BTreeSet::new();
        for broker in brokers.iter().copied() {
            if !candidates.contains_key(&broker) {
                return Err(AssignmentError::UnknownBroker { partition, broker });
            }
            if !seen.insert(broker) {
                return Err(AssignmentError::Duplicate { partition, broker });
            }
        }
        if !brokers.iter().any(|id| is_active(candidates, *id)) {
            return Err(AssignmentError::AllFenced { partition });
        }
    }
    Ok(())
}

fn is_active(candidates: &BTreeMap<BrokerId, Candidate>, id: BrokerId) -> bool {
    candidates.get(&id).is_some_and(|candidate| candidate.liveness == Liveness::Active)
}

/// Begins partitions, and gives each replica the log directory that has the fewest partitions.
pub(super) struct Beginning<'a> {
    candidates: &'a BTreeMap<BrokerId, Candidate>,
    /// How many partitions each directory has; `None` where partitions have no directories.
    loads: Option<BTreeMap<Uuid, usize>>,
}

impl<'a> Beginning<'a> {
    pub(super) fn new(image: &Image, candidates: &'a BTreeMap<BrokerId, Candidate>) -> Self {
        let is_choice = candidates.values().any(|candidate| candidate.directories.len() > 1);
        let counted = || if is_choice { loads(image) } else { BTreeMap::new() };
        Self { candidates, loads: image.has_directories().then(counted) }
    }

    /// A partition of these replicas, as it begins.
    pub(super) fn partition(&mut self, replicas: Vec<BrokerId>) -> PartitionState {
        let isr: Vec<BrokerId> = replicas.iter().copied().filter(|id| is_active(self.candidates, *id)).collect();
        PartitionState {
            leader: isr.first().copied(),
            isr,
            leader_epoch: LeaderEpoch::ZERO,
            directories: replicas.iter().filter_map(|id| self.directory(*id)).collect(),
            replicas,
            ..PartitionState::default()
        }
    }

    fn directory(&mut self, broker: BrokerId) -> Option<Uuid> {
        let loads = self.loads.as_mut()?;
        let directories = self.candidates.get(&broker).map(|candidate| &candidate.directories[..]).unwrap_or_default();
        let load = |id: &&Uuid| loads.get(*id).copied().unwrap_or_default();
        let Some(emptiest) = directories.iter().min_by_key(load).copied() else { return Some(Uuid::UNASSIGNED) };
        *loads.entry(emptiest).or_default() += 1;
        Some(emptiest)
    }
}

/// How many partitions each directory has.
fn loads(image: &Image) -> BTreeMap<Uuid, usize> {
    let mut loads = BTreeMap::new();
    for topic in image.topics() {
        for directory in topic.partitions().flat_map(|(_, partition)| &partition.directories) {
            *loads.entry(*directory).or_default() += 1;
        }
    }
    loads
}
