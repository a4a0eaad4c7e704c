//! REP: leading a partition, as far as it concerns one node.

use std::collections::BTreeSet;

use ottla::epoch::LeaderEpoch;
use ottla::id::BrokerId;
use ottla::log::{EpochCache, Isolation, Log, LogConfig, ProducerState, Recovered, UnknownProducer};
use ottla::offset::Offset;
use ottla::partition::{
    Acks, EpochError, LeadError, ListOffsets, ListOffsetsError, ListedOffset, OffsetSpec, PartitionConfig,
    PartitionFetchError, ProduceError, Reign, StopReason,
};
use ottla::record::{Origin, TransactionResult};

use crate::node::{Node, THIS, offsets, reign, reign_over_three};
use crate::support::{NOW, at, batch, marker, stamp, transactional};

fn two_in_sync() -> PartitionConfig {
    PartitionConfig { min_insync_replicas: 2, ..PartitionConfig::default() }
}

#[test]
fn rep_01_with_too_few_in_sync_only_those_are_refused_who_want_them_all() {
    let mut node = Node::with(LogConfig::default(), two_in_sync(), reign_over_three(&[1]));
    let all = node.produce(Acks::All);
    let refused = ProduceError::NotEnoughReplicas { in_sync: 1, needed: 2 };
    assert_eq!((node.produced(all), node.end()), (Some(Err(refused)), 0));
    let leader = node.produce(Acks::Leader);
    node.settle();
    assert_eq!((node.produced(leader), node.end()), (Some(Ok(0)), 1));
    assert_eq!(node.high_watermark(), 0, "what too few have is not committed");
}

#[test]
fn rep_02_the_high_watermark_is_the_least_that_those_in_sync_have() {
    let mut node = Node::with(LogConfig::default(), two_in_sync(), reign_over_three(&[1, 2, 3]));
    let waiters: Vec<u64> = (0..10).map(|_| node.produce(Acks::All)).collect();
    for (replica, end) in [(2, 10), (3, 8), (4, 2)] {
        node.partition.acknowledged(BrokerId::new(replica), at(end), &mut node.out);
    }
    assert_eq!(node.high_watermark(), 0, "the own disk is one of them");
    node.write();
    assert_eq!(node.high_watermark(), 8);
    let answered = waiters.iter().filter(|waiter| node.produced(**waiter).is_some()).count();
    assert_eq!(answered, 8);
    node.partition.acknowledged(BrokerId::new(3), at(10), &mut node.out);
    node.take();
    assert_eq!((node.high_watermark(), node.partition.waiting()), (10, 0));
}

#[test]
fn rep_06_whoever_believes_in_another_reign_is_told_which_one_it_is() {
    let mut node = Node::with(LogConfig::default(), PartitionConfig::default(), reign(5));
    node.produce(Acks::All);
    node.settle();
    let current = LeaderEpoch::new(5);
    let older = EpochError::Fenced { found: LeaderEpoch::new(4), current };
    let newer = EpochError::Unknown { found: LeaderEpoch::new(6), current };
    for (epoch, expected) in [(Some(4), Err(older)), (Some(6), Err(newer)), (Some(5), Ok(())), (None, Ok(()))] {
        let epoch = epoch.map(LeaderEpoch::new);
        let reader = node.fetch_by(0, 1, |fetch| fetch.leader_epoch = epoch);
        let fetched = node.fetched(reader).unwrap().map(drop);
        assert_eq!(fetched, expected.map_err(PartitionFetchError::Epoch));
        let query = ListOffsets { spec: OffsetSpec::Latest, isolation: Isolation::HighWatermark, leader_epoch: epoch };
        let listed = node.partition.list_offsets(&query).map(drop);
        assert_eq!(listed, expected.map_err(ListOffsetsError::Epoch));
        let writer = node.ask(&batch(&["v"]), Origin::Client, |produce| produce.leader_epoch = epoch);
        node.settle();
        let produced = node.produced(writer).unwrap().map(drop);
        assert_eq!(produced, expected.map_err(ProduceError::Epoch));
    }
}

#[test]
fn rep_09_a_decision_that_is_older_than_the_last_one_changes_nothing() {
    let mut node = Node::new(LogConfig::default());
    let later = Reign { partition_epoch: 7, ..reign_over_three(&[1, 2]) };
    node.partition.become_leader(later.clone(), &mut node.out).unwrap();
    let older = Reign { partition_epoch: 6, ..reign(3) };
    let refused = node.partition.become_leader(older, &mut node.out);
    assert_eq!(refused, Err(LeadError::Stale { found: 6, current: 7 }));
    assert_eq!(node.partition.reign(), Some(&later));
}

#[test]
fn rep_10_a_reign_stands_in_the_log_before_anything_is_appended_in_it() {
    let mut node = Node::new(LogConfig::default());
    for _ in 0..5 {
        node.produce(Acks::All);
    }
    node.settle();
    node.partition.become_leader(reign(4), &mut node.out).unwrap();
    let begun = node.partition.log().epochs().last().unwrap();
    assert_eq!((begun.epoch, begun.start_offset), (LeaderEpoch::new(4), at(5)));
    let refused = node.partition.become_leader(reign(3), &mut node.out);
    let (found, current) = (LeaderEpoch::new(3), LeaderEpoch::new(4));
    assert_eq!(refused, Err(LeadError::Fenced { found, current }));
    // Whoever has two records of the first reign more than there were is told where it ended.
    node.settle();
    let reader = node.fetch_by(5, 1, |fetch| fetch.last_fetched_epoch = Some(LeaderEpoch::new(0)));
    assert!(node.fetched(reader).is_none(), "the histories are the same");
    node.produce(Acks::All);
    node.settle();
    assert_eq!(node.offsets(reader), Some(vec![5]));
    let diverged = node.fetch_by(6, 1, |fetch| fetch.last_fetched_epoch = Some(LeaderEpoch::new(0)));
    let end = node.fetched(diverged).unwrap().unwrap().diverging.unwrap();
    assert_eq!((end.epoch, end.end_offset), (LeaderEpoch::new(0), at(5)));
}

#[test]
fn rep_12_after_a_restart_the_high_watermark_is_where_it_was_until_those_in_sync_say_more() {
    let found = Recovered {
        config: LogConfig::default(),
        segments: Vec::new(),
        epochs: EpochCache::new(),
        epochs_changed: false,
        producers: ProducerState::new(at(20), UnknownProducer::default()),
        snapshots: BTreeSet::new(),
        log_start_offset: at(20),
        log_end_offset: at(20),
        high_watermark: at(20),
        flushed: at(20),
        mark: None,
        jitter_seed: 0,
    };
    let mut effects = Vec::new();
    let log = Log::recovered(found, NOW, &mut effects).unwrap();
    let mut node = Node::lead(log, PartitionConfig::default(), reign_over_three(&[1, 2]));
    assert_eq!(node.high_watermark(), 20, "what is not known of the other takes nothing back");
    node.partition.acknowledged(BrokerId::new(2), at(3), &mut node.out);
    assert_eq!(node.high_watermark(), 20);
}

#[test]
fn rep_18_who_waits_is_told_when_the_node_leads_no_more() {
    let mut node = Node::new(LogConfig::default());
    let reader = node.fetch(0, 1, Isolation::HighWatermark);
    let writer = node.produce(Acks::All);
    node.partition.stop(StopReason::Resigned, &mut node.out);
    node.take();
    let told = node.fetched(reader).unwrap().map(drop);
    assert_eq!(told, Err(PartitionFetchError::Stopped(StopReason::Resigned)));
    let Some(Err(error)) = node.produced(writer) else { panic!("an error") };
    assert_eq!(error.unfinished().unwrap().base_offset, Offset::ZERO, "{error}");
    let refused = node.produce(Acks::All);
    assert_eq!(node.produced(refused), Some(Err(ProduceError::Stopped(StopReason::Resigned))));
    assert_eq!(node.end(), 1, "nothing more was appended");
    // In a later reign it leads again, and what was appended is there.
    node.partition.become_leader(reign(1), &mut node.out).unwrap();
    node.settle();
    let reader = node.fetch(0, 1, Isolation::HighWatermark);
    assert_eq!(node.offsets(reader), Some(vec![0]));
}

#[test]
fn rep_19_a_committed_read_stops_in_front_of_an_open_transaction_and_names_what_was_aborted() {
    let mut node = Node::new(LogConfig::default());
    for _ in 0..3 {
        node.produce(Acks::All);
    }
    node.produce_batch(&transactional(stamp(7, 0, 0), 2), Acks::All);
    node.settle();
    assert_eq!((node.high_watermark(), node.partition.log().last_stable_offset()), (5, at(3)));
    let plain = node.fetch(0, 1, Isolation::HighWatermark);
    assert_eq!(node.offsets(plain), Some(vec![0, 1, 2, 3]));
    let committed = node.fetch(0, 1, Isolation::ReadCommitted);
    assert_eq!(node.offsets(committed), Some(vec![0, 1, 2]));
    let waits = node.fetch(3, 1, Isolation::ReadCommitted);
    node.produce(Acks::All);
    node.settle();
    assert!(node.fetched(waits).is_none(), "what comes behind it waits with it");
    node.ask(&marker(7, 0, TransactionResult::Abort, 0), Origin::Coordinator, |_| {});
    assert!(node.fetched(waits).is_none(), "its end must be committed too");
    node.settle();
    let fetched = node.fetched(waits).unwrap().unwrap();
    let aborted: Vec<(i64, Offset)> = fetched.aborted.iter().map(|a| (a.producer_id.get(), a.first_offset)).collect();
    assert_eq!((offsets(&fetched), aborted), (vec![3, 5, 6], vec![(7, at(3))]));
    let latest = ListOffsets { spec: OffsetSpec::Latest, isolation: Isolation::ReadCommitted, leader_epoch: None };
    let listed = node.partition.list_offsets(&latest);
    assert_eq!(listed, Ok(ListedOffset::Known { offset: at(7), leader_epoch: Some(LeaderEpoch::new(0)) }));
}

#[test]
fn a_leader_is_in_sync_itself() {
    let mut node = Node::new(LogConfig::default());
    let refused = node.partition.become_leader(reign_over_three(&[2, 3]), &mut node.out);
    assert_eq!(refused, Err(LeadError::NotInSync { broker: THIS }));
}
