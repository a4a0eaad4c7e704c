//! Election: who leads a partition (semantics.md, section 9.1).
//!
//! A pure function of the partition and of who may lead. It decides what the partition is to be; making a record of it
//! is [`PartitionState::change_to`].

use crate::controller::image::{LeaderRecovery, PartitionState};
use crate::id::BrokerId;

/// Whether one that may lack what was committed may lead when nobody else can.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Unclean {
    /// It may not: the partition waits for one that lacks nothing.
    #[default]
    Refused,
    /// It may: what it lacks is lost.
    Allowed,
}

/// Elects a leader among those that `may_lead`.
///
/// The leader stays if it can. Else the first of the replicas that is in sync leads, or, where nobody is in sync, that is
/// eligible; else the last one known to have been eligible; else, if that is allowed, any. Else nobody, and who was in
/// sync last stays so.
pub fn elect(partition: &PartitionState, may_lead: impl Fn(BrokerId) -> bool, unclean: Unclean) -> PartitionState {
    let lacks_nothing = |id: &BrokerId| {
        let waits = partition.isr.is_empty() && partition.eligible_leader_replicas.contains(id);
        may_lead(*id) && (partition.isr.contains(id) || waits)
    };
    let kept = partition.leader.filter(lacks_nothing);
    let clean = kept.or_else(|| partition.replicas.iter().copied().find(lacks_nothing));
    if let Some(leader) = clean {
        return led_by(partition, leader);
    }
    let risky = last_known(partition).filter(|id| may_lead(*id)).or_else(|| match unclean {
        Unclean::Allowed => partition.replicas.iter().copied().find(|id| may_lead(*id)),
        Unclean::Refused => None,
    });
    match risky {
        Some(leader) => PartitionState {
            isr: vec![leader],
            leader: Some(leader),
            leader_recovery: LeaderRecovery::Recovering,
            eligible_leader_replicas: Vec::new(),
            last_known_elr: Vec::new(),
            ..partition.clone()
        },
        None => PartitionState { leader: None, ..partition.clone() },
    }
}

/// Led by one that lacks nothing. If nobody was in sync, it alone is, and others are eligible no more than before.
fn led_by(partition: &PartitionState, leader: BrokerId) -> PartitionState {
    let mut led = PartitionState { leader: Some(leader), ..partition.clone() };
    if led.isr.is_empty() {
        led.isr.push(leader);
        led.eligible_leader_replicas.retain(|id| *id != leader);
        led.last_known_elr.retain(|id| *id != leader);
    }
    led
}

/// The one that was eligible last, where nobody is any more.
fn last_known(partition: &PartitionState) -> Option<BrokerId> {
    let nobody = partition.isr.is_empty() && partition.eligible_leader_replicas.is_empty();
    match partition.last_known_elr[..] {
        [only] if nobody => Some(only),
        _ => None,
    }
}
