//! What a partition is at the moment: the leader, or nobody. The follower comes beside them.

use std::collections::{BTreeMap, BTreeSet};

use crate::epoch::LeaderEpoch;
use crate::id::BrokerId;
use crate::offset::Offset;
use crate::partition::facts::{EpochError, Reign, StopReason};

/// What a partition is at the moment.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Leader(Leader),
    /// Asked for nothing any more; what still waits is being told so.
    Stopped(StopReason),
}

/// What belongs to a reign.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub(super) reign: Reign,
    /// Where the log ended when the reign began.
    pub(super) epoch_start: Offset,
    own: BrokerId,
    /// Those that are waited for: the in-sync replicas, and those that are about to become it.
    maximal_isr: BTreeSet<BrokerId>,
    /// The ends that the other replicas have acknowledged. This node's are the disk's to say.
    acknowledged: BTreeMap<BrokerId, Offset>,
}

impl Leader {
    /// Begins a reign, or goes on in it after a change of its replicas.
    pub(super) fn new(own: BrokerId, reign: Reign, epoch_start: Offset, before: Option<&Self>) -> Self {
        let mut acknowledged = before.map_or_else(BTreeMap::new, |before| before.acknowledged.clone());
        acknowledged.retain(|replica, _| reign.replicas.contains(replica));
        Self { epoch_start, own, maximal_isr: reign.isr.clone(), acknowledged, reign }
    }

    /// What a request knows of the reign must not be older, nor newer (semantics 5.1).
    pub(super) fn check_epoch(&self, found: Option<LeaderEpoch>) -> Result<(), EpochError> {
        let current = self.epoch();
        match found {
            Some(found) if found < current => Err(EpochError::Fenced { found, current }),
            Some(found) if found > current => Err(EpochError::Unknown { found, current }),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn epoch(&self) -> LeaderEpoch {
        self.reign.leader_epoch
    }

    /// How many replicas are in sync, and how many must be (semantics 1.1, 8.5).
    pub(super) fn in_sync(&self, min_insync_replicas: u32) -> InSync {
        let count = |set: &BTreeSet<BrokerId>| u32::try_from(set.len()).unwrap_or(u32::MAX);
        let needed = min_insync_replicas.min(count(&self.reign.replicas));
        InSync { committed: count(&self.reign.isr), maximal: count(&self.maximal_isr), needed }
    }

    /// Notes that `replica` has all up to `end`, in the topic's mode. Answers whether that is news.
    pub(super) fn acknowledge(&mut self, replica: BrokerId, end: Offset) -> bool {
        self.reign.replicas.contains(&replica) && self.acknowledged.insert(replica, end) != Some(end)
    }

    /// Up to where all that are waited for have the log, if `own` is what this node has.
    pub(super) fn committed(&self, own: Offset) -> Offset {
        let others = self.maximal_isr.iter().filter(|replica| **replica != self.own);
        others.map(|replica| self.acknowledged.get(replica).copied().unwrap_or(Offset::ZERO)).fold(own, Offset::min)
    }
}

/// How many replicas are in sync.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct InSync {
    pub(super) committed: u32,
    pub(super) maximal: u32,
    pub(super) needed: u32,
}
