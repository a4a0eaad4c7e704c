//! CTL: elections, placement and topics, as far as they concern one node or are pure.

use std::collections::{BTreeMap, BTreeSet};

use ottla::controller::{
    AssignmentError, Candidate, Controller, CreateTopicError, Draw, LeaderRecovery, Liveness, PartitionState,
    PlacementError, Replayer, Unclean, elect, place,
};
use ottla::id::{BrokerId, TopicName};
use ottla::message::{ErrorCode, NewTopic};
use ottla::offset::Offset;
use ottla::time::Timestamp;

fn ids<const N: usize>(numbers: [u32; N]) -> Vec<BrokerId> {
    numbers.map(BrokerId::new).to_vec()
}

fn candidate(number: u32, liveness: Liveness) -> Candidate {
    Candidate { liveness, ..Candidate::active(BrokerId::new(number), Vec::new()) }
}

fn in_racks(racks: &[&str]) -> Vec<Candidate> {
    let one = |(number, rack): (u32, &&str)| Candidate {
        rack: Some((*rack).to_owned()),
        ..candidate(number, Liveness::Active)
    };
    (0..).zip(racks).map(one).collect()
}

fn active(numbers: impl IntoIterator<Item = u32>) -> Vec<Candidate> {
    numbers.into_iter().map(|number| candidate(number, Liveness::Active)).collect()
}

fn partition(isr: Vec<BrokerId>) -> PartitionState {
    let leader = isr.first().copied();
    PartitionState { replicas: ids([1, 2, 3]), isr, leader, ..PartitionState::default() }
}

#[test]
fn ctl_01_when_the_leader_is_fenced_the_next_in_sync_leads() {
    let led = elect(&partition(ids([1, 2, 3])), |id| id != BrokerId::new(1), Unclean::Refused);
    assert_eq!((led.leader, led.leader_recovery), (Some(BrokerId::new(2)), LeaderRecovery::Recovered));
    let led = elect(&partition(ids([1, 2, 3])), |_| true, Unclean::Refused);
    assert_eq!(led, partition(ids([1, 2, 3])), "one that can stays");
}

#[test]
fn ctl_02_when_the_last_in_sync_dies_nobody_leads_and_it_stays_in_sync() {
    let led = elect(&partition(ids([1])), |id| id != BrokerId::new(1), Unclean::Refused);
    assert_eq!((led.leader, led.isr), (None, ids([1])));
    let eligible = PartitionState { eligible_leader_replicas: ids([3]), ..partition(ids([1])) };
    let led = elect(&eligible, |id| id != BrokerId::new(1), Unclean::Refused);
    assert_eq!(led.leader, None, "who is eligible leads only where nobody is in sync");
}

#[test]
fn ctl_03_an_unclean_election_takes_the_first_that_lives_and_says_so() {
    let led = elect(&partition(ids([1])), |id| id != BrokerId::new(1), Unclean::Allowed);
    assert_eq!((led.leader, led.isr), (Some(BrokerId::new(2)), ids([2])));
    assert_eq!(led.leader_recovery, LeaderRecovery::Recovering);
}

#[test]
fn ctl_03_one_that_is_eligible_leads_cleanly_and_the_last_known_uncleanly() {
    let eligible = PartitionState { eligible_leader_replicas: ids([3]), leader: None, ..partition(ids([])) };
    let led = elect(&eligible, |_| true, Unclean::Refused);
    assert_eq!((led.leader, led.isr), (Some(BrokerId::new(3)), ids([3])));
    assert_eq!((led.eligible_leader_replicas, led.leader_recovery), (ids([]), LeaderRecovery::Recovered));
    let known = PartitionState { last_known_elr: ids([2]), leader: None, ..partition(ids([])) };
    let led = elect(&known, |_| true, Unclean::Refused);
    assert_eq!((led.leader, led.leader_recovery), (Some(BrokerId::new(2)), LeaderRecovery::Recovering));
    let waits = PartitionState { leader: None, ..partition(ids([])) };
    assert_eq!(elect(&waits, |_| true, Unclean::Refused), waits, "in sync nobody, eligible nobody");
}

#[test]
fn ctl_08_as_many_replicas_as_there_are_brokers_and_one_at_least() {
    let draw = &mut Draw::new(1);
    let too_few = PlacementError::TooFewBrokers { asked: 4, brokers: 3 };
    assert_eq!(place(&active(0..3), 1, 4, draw), Err(too_few));
    assert_eq!(place(&active(0..3), 1, 0, draw), Err(PlacementError::NoReplicas));
    let fenced: Vec<Candidate> = (0..3).map(|number| candidate(number, Liveness::Fenced)).collect();
    assert_eq!(place(&fenced, 1, 1, draw), Err(PlacementError::AllFenced { brokers: 3 }));
    for error in [too_few, PlacementError::NoReplicas, PlacementError::AllFenced { brokers: 3 }] {
        assert_eq!(CreateTopicError::from(error).code(), ErrorCode::InvalidReplicationFactor);
    }
}

#[test]
fn ctl_09_fenced_brokers_come_last_and_never_lead() {
    let mut candidates = active([0, 1]);
    candidates.push(candidate(2, Liveness::Fenced));
    for seed in 0..20 {
        for replicas in place(&candidates, 10, 2, &mut Draw::new(seed)).unwrap() {
            assert_eq!(replicas.into_iter().collect::<BTreeSet<_>>(), ids([0, 1]).into_iter().collect());
        }
        for replicas in place(&candidates, 10, 3, &mut Draw::new(seed)).unwrap() {
            assert_eq!(replicas[2], BrokerId::new(2), "no other is left");
        }
    }
}

#[test]
fn ctl_10_all_pairs_of_leader_and_follower_are_about_equally_often() {
    for seed in 0..10 {
        let placed = place(&active(0..4), 200, 2, &mut Draw::new(seed)).unwrap();
        let mut pairs: BTreeMap<Vec<BrokerId>, u32> = BTreeMap::new();
        placed.into_iter().for_each(|pair| *pairs.entry(pair).or_default() += 1);
        assert_eq!(pairs.len(), 12);
        // 200 partitions are 50 rounds, each of which has 4 of the 12 pairs.
        assert!(pairs.values().all(|count| (6..=28).contains(count)), "seed {seed}: {pairs:?}");
    }
}

#[test]
fn ctl_10_every_broker_leads_equally_often_and_no_partition_is_twice_on_one() {
    for (brokers, factor) in [(1, 1), (3, 3), (5, 2), (7, 4)] {
        let placed = place(&active(0..brokers), brokers * 10, factor, &mut Draw::new(3)).unwrap();
        let mut leads: BTreeMap<BrokerId, u32> = BTreeMap::new();
        for replicas in placed {
            *leads.entry(replicas[0]).or_default() += 1;
            assert_eq!(replicas.into_iter().collect::<BTreeSet<_>>().len(), usize::from(factor));
        }
        assert!(leads.len() == brokers as usize && leads.values().all(|count| *count == 10), "{leads:?}");
    }
}

#[test]
fn ctl_10_replicas_are_in_as_many_racks_as_there_are() {
    let racks = ["a", "a", "b", "b", "c"];
    for seed in 0..20 {
        for replicas in place(&in_racks(&racks), 30, 3, &mut Draw::new(seed)).unwrap() {
            let seen: BTreeSet<&str> = replicas.iter().map(|id| racks[id.get() as usize]).collect();
            assert_eq!(seen.len(), 3, "{replicas:?}");
        }
    }
}

/// A controller with three brokers, the last of them fenced.
fn controller() -> Controller {
    let mut controller = Controller::new(Replayer::new()).unwrap();
    let fenced = candidate(3, Liveness::Fenced);
    controller.set_candidates(active([1, 2]).into_iter().chain([fenced]));
    controller
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

#[test]
fn ctl_14_names_that_differ_in_dot_and_underscore_collide() {
    let mut controller = controller();
    let change = controller.decide_create_topic(&NewTopic::new(name("a_b")), &mut Draw::new(1)).unwrap();
    let batch = change.to_batch(Timestamp::from_millis(1)).unwrap();
    controller.on_appended(&batch.stamped(Offset::ZERO, None).unwrap().into()).unwrap();
    let error = controller.decide_create_topic(&NewTopic::new(name("a.b")), &mut Draw::new(1)).unwrap_err();
    assert_eq!(error, CreateTopicError::Collides { name: name("a.b"), other: name("a_b") });
    assert_eq!(error.code(), ErrorCode::InvalidTopicException);
    let error = controller.decide_create_topic(&NewTopic::new(name("a_b")), &mut Draw::new(1)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TopicAlreadyExists);
    let error = controller.decide_create_topic(&NewTopic::new(name("__cluster_metadata")), &mut Draw::new(1));
    assert_eq!(error.unwrap_err().code(), ErrorCode::InvalidRequest);
}

#[test]
fn ctl_15_an_assignment_by_hand_is_checked() {
    let assign = |partitions: &[(u32, Vec<BrokerId>)]| {
        let topic = NewTopic::new(name("orders")).assignment(partitions.iter().cloned().collect());
        controller().decide_create_topic(&topic, &mut Draw::new(1))
    };
    let broker = BrokerId::new;
    let refused = [
        (vec![(0, ids([1, 1]))], AssignmentError::Duplicate { partition: 0, broker: broker(1) }),
        (vec![(0, ids([1, 7]))], AssignmentError::UnknownBroker { partition: 0, broker: broker(7) }),
        (vec![(0, ids([1])), (2, ids([1]))], AssignmentError::NotConsecutive { expected: 1, found: 2 }),
        (vec![(1, ids([1]))], AssignmentError::NotConsecutive { expected: 0, found: 1 }),
        (vec![(0, ids([1])), (1, ids([1, 2]))], AssignmentError::Unequal { partition: 1, expected: 1, found: 2 }),
        (vec![(0, ids([]))], AssignmentError::Nobody { partition: 0 }),
        (vec![(0, ids([3]))], AssignmentError::AllFenced { partition: 0 }),
    ];
    for (partitions, expected) in refused {
        let error = assign(&partitions).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidReplicaAssignment);
        assert_eq!(error, CreateTopicError::Assignment(expected));
    }
    let change = assign(&[(0, ids([3, 2, 1]))]).unwrap();
    let mut controller = controller();
    let batch = change.to_batch(Timestamp::from_millis(1)).unwrap();
    controller.on_appended(&batch.stamped(Offset::ZERO, None).unwrap().into()).unwrap();
    let first = controller.latest().topic(&name("orders")).unwrap().partition(0).unwrap();
    assert_eq!((first.leader, &first.isr, &first.replicas), (Some(broker(2)), &ids([2, 1]), &ids([3, 2, 1])));
}
