//! The controller's own steps: decided, appended, committed, taken back; and what it decides when logs are opened.

use super::*;
use crate::controller::records::{
    AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord, MetadataRecord,
    NoOpRecord,
};
use crate::epoch::LeaderEpoch;
use crate::id::{ProducerId, TopicName, TopicPartition};
use crate::message::{ConfigChange, ConfigOperation, NewTopic, TopicRef};
use crate::record::{BatchBuilder, Codec, NewRecord};
use crate::time::Timestamp;

const NODE: BrokerId = BrokerId::new(1);
const DIRECTORY: Uuid = Uuid::from_bytes(*b"ottla-proof-dir1");
const OTHER_DIRECTORY: Uuid = Uuid::from_bytes(*b"ottla-proof-dir2");

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn part(text: &str) -> TopicPartition {
    TopicPartition::parse(text).unwrap()
}

fn entry(records: &[MetadataRecord], at: Offset) -> Entry {
    let mut batch = BatchBuilder::new(Codec::None);
    for record in records {
        batch.push(&NewRecord::new(Timestamp::from_millis(1), None, Some(&record.to_bytes()))).unwrap();
    }
    batch.build().unwrap().stamped(at, Some(LeaderEpoch::new(1))).unwrap().into()
}

fn append(controller: &mut Controller, change: &Change) {
    let batch = change.to_batch(Timestamp::from_millis(1)).unwrap();
    controller.on_appended(&batch.stamped(controller.end(), None).unwrap().into()).unwrap();
}

fn commit(controller: &mut Controller, change: &Change) {
    append(controller, change);
    controller.on_committed(controller.end());
}

/// A controller of one node that has started.
fn controller() -> Controller {
    let mut controller = Controller::new(Replayer::new()).unwrap();
    controller.set_candidates([Candidate::active(NODE, vec![DIRECTORY, OTHER_DIRECTORY])]);
    let start = controller.decide_start();
    commit(&mut controller, &start);
    controller
}

fn with_topic(text: &str, partitions: u32) -> Controller {
    let mut controller = controller();
    let topic = NewTopic::new(name(text)).partitions(partitions);
    let change = controller.decide_create_topic(&topic, &mut Draw::new(1)).unwrap();
    commit(&mut controller, &change);
    controller
}

fn state<'a>(controller: &'a Controller, text: &str) -> &'a PartitionState {
    controller.image().partition(&part(text)).unwrap()
}

#[test]
fn a_log_that_has_not_begun_gets_the_features_of_kafka_4_3() {
    let controller = controller();
    let features: Vec<(&str, i16)> = controller.image().features().collect();
    let expected = [
        ("eligible.leader.replicas.version", 1),
        ("group.version", 1),
        ("metadata.version", 30),
        ("share.version", 1),
        ("streams.version", 1),
        ("transaction.version", 2),
    ];
    assert_eq!(features, expected);
    assert_eq!(controller.image().config(&Resource::CLUSTER).unwrap()["min.insync.replicas"], "1");
    assert!(controller.decide_start().is_empty());
}

#[test]
fn the_metadata_version_is_the_first_record_of_all() {
    let start = Controller::default().decide_start();
    assert!(matches!(&start.records()[0], MetadataRecord::FeatureLevel(first) if first.name == METADATA_VERSION));
}

#[test]
fn what_is_appended_counts_for_decisions_and_what_is_committed_for_all() {
    let mut controller = controller();
    let topic = NewTopic::new(name("orders"));
    let change = controller.decide_create_topic(&topic, &mut Draw::new(1)).unwrap();
    let (before, end) = (controller.image().clone(), controller.end());
    append(&mut controller, &change);
    assert_eq!(controller.image(), &before);
    let again = controller.decide_create_topic(&topic, &mut Draw::new(2));
    assert!(matches!(again, Err(CreateTopicError::Exists { .. })), "{again:?}");

    controller.on_committed(end.advance(1));
    assert_eq!(controller.image(), &before, "a batch is committed whole");
    controller.on_truncated(end);
    assert_eq!((controller.latest(), controller.end()), (&before, end));
    assert_eq!(controller.decide_create_topic(&topic, &mut Draw::new(1)), Ok(change));
}

#[test]
fn a_change_that_comes_too_late_does_not_fit_and_changes_nothing() {
    let mut controller = controller();
    let topic = NewTopic::new(name("orders"));
    let [first, second] = [1, 2]
        .map(|seed| controller.decide_create_topic(&topic, &mut Draw::new(seed)).unwrap().to_batch(Timestamp::NONE));
    controller.on_appended(&first.unwrap().stamped(controller.end(), None).unwrap().into()).unwrap();
    let (latest, end) = (controller.latest().clone(), controller.end());
    let second = second.unwrap();
    let error = controller.on_appended(&second.stamped(end, None).unwrap().into());
    let is_duplicate = |fault: &ReplayFault| matches!(fault, ReplayFault::DuplicateTopic { .. });
    assert!(matches!(&error, Err(ReplayError::Record { fault, .. }) if is_duplicate(fault)), "{error:?}");
    assert_eq!((controller.latest(), controller.end()), (&latest, end));
}

#[test]
fn a_topic_begins_led_and_in_the_emptiest_directory() {
    let controller = with_topic("orders", 5);
    let directories: Vec<Uuid> =
        (0..5).map(|number| state(&controller, &format!("orders-{number}")).directories[0]).collect();
    assert_eq!(directories.iter().filter(|id| **id == DIRECTORY).count(), 3);
    let first = state(&controller, "orders-0");
    assert_eq!((first.leader, &first.isr[..], first.leader_epoch), (Some(NODE), &[NODE][..], LeaderEpoch::ZERO));
}

#[test]
fn settings_are_checked_when_a_topic_is_created_and_when_they_change() {
    let mut controller = controller();
    let contradiction =
        crate::message::TopicConfig::default().with_min_compaction_lag_ms(2).with_max_compaction_lag_ms(1);
    let topic = NewTopic::new(name("orders"));
    let refused = controller.decide_create_topic(&topic.clone().config(contradiction), &mut Draw::new(1));
    assert!(matches!(refused, Err(CreateTopicError::Config(_))), "{refused:?}");
    let change = controller.decide_create_topic(&topic, &mut Draw::new(1)).unwrap();
    commit(&mut controller, &change);

    let set = |key: &str, value: &str| ConfigChange {
        key: key.to_owned(),
        operation: ConfigOperation::Set(value.to_owned()),
    };
    let alter =
        |controller: &Controller, changes: &[ConfigChange]| controller.decide_alter_config(&name("orders"), changes);
    assert!(matches!(alter(&controller, &[set("retention.ms", "abc")]), Err(AlterConfigError::Config(_))));
    assert!(matches!(alter(&controller, &[set("retention.sm", "1")]), Err(AlterConfigError::Config(_))));
    let twice = [set("retention.ms", "1"), set("retention.ms", "2")];
    assert!(matches!(alter(&controller, &twice), Err(AlterConfigError::Repeated { .. })));
    assert!(matches!(controller.decide_alter_config(&name("other"), &[]), Err(AlterConfigError::UnknownTopic { .. })));

    let changes = [set("retention.ms", "1"), set("min.insync.replicas", "1")];
    let change = alter(&controller, &changes).unwrap();
    assert!(matches!(change.records().last(), Some(MetadataRecord::ClearElr(_))));
    commit(&mut controller, &change);
    assert!(alter(&controller, &changes).unwrap().is_empty(), "they are so already");
    let delete = ConfigChange { key: "retention.ms".to_owned(), operation: ConfigOperation::Delete };
    let change = alter(&controller, &[delete]).unwrap();
    commit(&mut controller, &change);
    assert_eq!(controller.image().topic_config(&name("orders")).unwrap().len(), 1);
}

#[test]
fn a_deleted_topic_is_gone_and_its_id_means_no_later_one() {
    let mut controller = with_topic("orders", 2);
    let id = controller.image().topic(&name("orders")).unwrap().id();
    let change = controller.decide_delete_topic(&TopicRef::Id(id)).unwrap();
    commit(&mut controller, &change);
    assert_eq!(controller.decide_delete_topic(&TopicRef::Id(id)), Err(DeleteTopicError::UnknownId { id }));
    let gone = DeleteTopicError::UnknownName { name: name("orders") };
    assert_eq!(controller.decide_delete_topic(&TopicRef::Name(name("orders"))), Err(gone));
}

#[test]
fn no_producer_id_is_handed_out_twice_nor_one_that_is_in_use() {
    let mut controller = controller();
    let mut first = |in_use: Option<i64>| {
        let in_use = in_use.and_then(ProducerId::new);
        let (block, change) = controller.decide_producer_ids(NODE, None, in_use).unwrap();
        commit(&mut controller, &change);
        block.first.get()
    };
    let firsts = [first(None), first(None), first(Some(2000)), first(Some(7)), first(Some(5999)), first(Some(6000))];
    assert_eq!(firsts, [0, 1000, 3000, 4000, 6000, 7000]);
    let full = controller.decide_producer_ids(NODE, None, ProducerId::new(i64::MAX - 1));
    assert!(matches!(full, Err(ProducerIdsError::Exhausted { .. })), "{full:?}");

    let in_use = |id| ProducerId::new(id).unwrap();
    assert!(controller.decide_producer_ids_in_use(NODE, in_use(7999)).unwrap().is_empty());
    let change = controller.decide_producer_ids_in_use(NODE, in_use(8000)).unwrap();
    commit(&mut controller, &change);
    assert_eq!(controller.image().next_producer_id().get(), 9000);
}

fn opened(text: &str, last_epoch: u32, shutdown: Shutdown) -> Opened {
    let last_epoch = Some(LeaderEpoch::new(last_epoch));
    Opened { partition: part(text), directory: DIRECTORY, last_epoch, shutdown, last_producer_id: None }
}

/// Leads what was opened, and gives how many records it took and the reign that came of it.
fn lead(controller: &mut Controller, opened: Opened) -> (usize, u32) {
    let text = opened.partition.to_string();
    let leading = controller.decide_lead(NODE, &[opened]);
    assert_eq!(leading.refused, []);
    for change in &leading.changes {
        commit(controller, change);
    }
    let epoch = state(controller, &text).leader_epoch.get();
    assert_eq!(state(controller, &text).leader, Some(NODE));
    (leading.changes.iter().map(|change| change.records().len()).sum(), epoch)
}

#[test]
fn a_reign_goes_on_after_a_clean_shutdown_and_not_after_another() {
    let mut controller = with_topic("orders", 1);
    assert_eq!(lead(&mut controller, opened("orders-0", 0, Shutdown::Clean)), (0, 0));
    assert_eq!(lead(&mut controller, opened("orders-0", 0, Shutdown::Unclean)), (1, 1));
    assert_eq!(lead(&mut controller, opened("orders-0", 1, Shutdown::Clean)), (0, 1));
}

#[test]
fn a_reign_is_never_earlier_than_the_latest_in_the_log() {
    let mut controller = with_topic("orders", 1);
    assert_eq!(lead(&mut controller, opened("orders-0", 1, Shutdown::Clean)), (1, 1));
    assert_eq!(lead(&mut controller, opened("orders-0", 7, Shutdown::Clean)), (1, 7), "further than one step");
    assert_eq!(lead(&mut controller, opened("orders-0", 9, Shutdown::Unclean)), (1, 10));
}

#[test]
fn who_leads_where_nobody_led_begins_a_reign_behind_all_in_the_log() {
    for (last_epoch, expected) in [(0, 2), (1, 2), (2, 3), (7, 8)] {
        let mut controller = with_topic("orders", 1);
        let topic_id = controller.image().topic(&name("orders")).unwrap().id().into();
        let left = records::PartitionChangeRecord { topic_id, leader: -1, ..Default::default() };
        controller.on_appended(&entry(&[left.into()], controller.end())).unwrap();
        controller.on_committed(controller.end());
        assert_eq!(lead(&mut controller, opened("orders-0", last_epoch, Shutdown::Clean)), (1, expected));
    }
}

#[test]
fn a_directory_that_has_moved_is_told() {
    let mut controller = with_topic("orders", 1);
    let moved = Opened { directory: OTHER_DIRECTORY, ..opened("orders-0", 0, Shutdown::Clean) };
    assert_eq!(lead(&mut controller, moved), (1, 0));
    assert_eq!(state(&controller, "orders-0").directories, [OTHER_DIRECTORY]);
}

#[test]
fn who_cannot_lead_is_told_why() {
    let controller = with_topic("orders", 1);
    let opened = [opened("orders-1", 0, Shutdown::Clean), opened("other-0", 0, Shutdown::Clean)];
    let leading = controller.decide_lead(NODE, &opened);
    let refusals: Vec<LeadRefusal> = leading.refused.iter().map(|(_, refusal)| *refusal).collect();
    assert_eq!((refusals, leading.changes.len()), (vec![LeadRefusal::Unknown; 2], 0));
    let leading = controller.decide_lead(BrokerId::new(2), &[self::opened("orders-0", 0, Shutdown::Clean)]);
    assert_eq!(leading.refused, [(part("orders-0"), LeadRefusal::NotReplica)]);
}

fn found(text: &str, id: Option<&[u8; 16]>, last_epoch: u32) -> Found {
    let topic_id = id.and_then(|id| Uuid::from_bytes(*id).topic_id());
    Found { partition: part(text), topic_id, directory: DIRECTORY, last_epoch: Some(LeaderEpoch::new(last_epoch)) }
}

#[test]
fn directories_without_metadata_become_topics() {
    let mut controller = controller();
    let (alpha, beta) = (b"ottla-topic-alph", b"ottla-topic-beta");
    let directories = [
        found("alpha-0", Some(alpha), 3),
        found("alpha-3", None, 0),
        found("alpha-1", Some(beta), 0),
        found("gamma-0", Some(alpha), 0),
        found("drawn-0", None, 0),
        found("drawn-0", None, 0),
        found("__cluster_metadata-0", None, 0),
    ];
    let adoption = controller.decide_adopt(NODE, &directories, &mut Draw::new(1));
    let adopted: Vec<String> = adoption.adopted.iter().map(|one| one.partition.to_string()).collect();
    assert_eq!(adopted, ["alpha-0", "alpha-3", "drawn-0"]);
    let (id, other) = (|id: &[u8; 16]| Uuid::from_bytes(*id).topic_id().unwrap(), name("alpha"));
    let expected = [
        (part("__cluster_metadata-0"), AdoptRefusal::Metadata),
        (part("alpha-1"), AdoptRefusal::OtherTopic { expected: id(alpha), found: id(beta) }),
        (part("drawn-0"), AdoptRefusal::Twice),
        (part("gamma-0"), AdoptRefusal::IdTaken { id: id(alpha), name: other }),
    ];
    assert_eq!(adoption.refused, expected);
    assert_eq!(adoption.changes.len(), 1, "a crash leaves all of it or nothing");
    for change in &adoption.changes {
        commit(&mut controller, change);
    }
    let first = state(&controller, "alpha-0");
    assert_eq!((first.leader, first.leader_epoch.get(), first.directories[0]), (Some(NODE), 3, DIRECTORY));
    assert_eq!(controller.image().topic_count(), 2);
    let settings = controller.image().topic_config(&name("alpha")).unwrap();
    assert_eq!(settings.get("retention.ms").map(String::as_str), Some("-1"), "nobody said that records may go");
    let again = controller.decide_adopt(NODE, &directories, &mut Draw::new(2));
    assert_eq!((again.changes.len(), again.refused.len()), (0, directories.len()));
}

fn feature() -> MetadataRecord {
    FeatureLevelRecord { name: METADATA_VERSION.to_owned(), feature_level: 30, ..Default::default() }.into()
}

#[test]
fn a_transaction_counts_when_it_has_ended() {
    let begin = || MetadataRecord::from(BeginTransactionRecord::default());
    let batches = |last: MetadataRecord| [vec![begin()], vec![feature(), NoOpRecord::default().into()], vec![last]];
    let replayed = |batches: &[Vec<MetadataRecord>]| {
        let mut replayer = Replayer::new();
        for batch in batches {
            replayer.push(&entry(batch, replayer.end())).unwrap();
        }
        replayer
    };
    let ended = replayed(&batches(EndTransactionRecord::default().into()));
    assert_eq!(ended.finish().unwrap().image.metadata_version(), Some(30));
    let aborted = replayed(&batches(AbortTransactionRecord::default().into()));
    assert!(aborted.finish().unwrap().image.is_empty());

    let open = replayed(&batches(begin())[..2]);
    let finished = open.clone().finish().unwrap();
    assert_eq!((finished.open_transaction, finished.image.is_empty()), (Some(Offset::ZERO), true));
    let mut controller = Controller::new(open).unwrap();
    assert!(controller.snapshot_source().is_none(), "an image says nothing of it");
    let start = controller.decide_start();
    assert!(matches!(start.records()[0], MetadataRecord::AbortTransaction(_)));
    commit(&mut controller, &start);
    assert_eq!(controller.snapshot_source().unwrap().id.end, controller.end());
    assert_eq!(controller.image().metadata_version(), Some(30));
}

#[test]
fn a_transaction_neither_begins_in_another_nor_ends_without_a_beginning() {
    let faults = [
        (vec![BeginTransactionRecord::default().into(), BeginTransactionRecord::default().into()], Offset::new(1)),
        (vec![EndTransactionRecord::default().into()], Offset::ZERO),
        (vec![AbortTransactionRecord::default().into()], Offset::ZERO),
    ];
    for (records, expected) in faults {
        let mut replayer = Replayer::new();
        let error = replayer.push(&entry(&records, Offset::ZERO));
        assert!(matches!(error, Err(ReplayError::Record { at, .. }) if at == expected), "{error:?}");
        assert_eq!(replayer.push(&entry(&[feature()], Offset::ZERO)), error, "it is of no more use");
        assert!(Controller::new(replayer).is_err());
    }
}

#[test]
fn a_log_goes_on_where_it_ended_and_a_snapshot_at_the_end_of_a_batch() {
    let [first, second] = [Offset::ZERO, Offset::new(2)].map(|at| entry(&[feature(), feature()], at));
    let mut replayer = Replayer::new();
    let gap = ReplayError::Gap { expected: Offset::ZERO, found: Offset::new(2) };
    assert_eq!(replayer.push(&second), Err(gap));

    let mut behind = Replayer::from_snapshot(Image::default(), Offset::new(2));
    assert_eq!((behind.push(&first), behind.push(&second)), (Ok(()), Ok(())));
    assert_eq!(behind.end(), Offset::new(4));

    let end = Offset::new(3);
    let mut inside = Replayer::from_snapshot(Image::default(), end);
    let expected = ReplayError::InsideBatch { end, base_offset: Offset::new(2), last_offset: Offset::new(3) };
    assert_eq!((inside.push(&first), inside.push(&second)), (Ok(()), Err(expected)));
}

#[test]
fn a_batch_that_the_snapshot_has_is_nothing_new() {
    let image = controller().image().clone();
    let mut controller = Controller::new(Replayer::from_snapshot(image.clone(), Offset::new(2))).unwrap();
    controller.on_appended(&entry(&[feature(), feature()], Offset::ZERO)).unwrap();
    controller.on_truncated(Offset::new(2));
    controller.on_committed(Offset::new(2));
    assert_eq!((controller.image(), controller.end()), (&image, Offset::new(2)));
}

#[test]
fn records_without_a_metadata_version_are_no_log_to_go_on_from() {
    let topic = records::TopicRecord { name: "alpha".to_owned(), topic_id: DIRECTORY, ..Default::default() };
    let mut replayer = Replayer::new();
    replayer.push(&entry(&[topic.into()], Offset::ZERO)).unwrap();
    assert_eq!(replayer.clone().finish(), Err(ReplayError::NoMetadataVersion));
    assert!(matches!(Controller::new(replayer), Err(ReplayError::NoMetadataVersion)));
}
