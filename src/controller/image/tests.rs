//! What records do to the image, and what Kafka refuses too (metadata.md, sections 6 and 7).

use super::*;
use crate::controller::records::{
    BrokerRegistrationChangeRecord, ClearElrRecord, ConfigRecord, FeatureLevelRecord, MetadataRecord,
    PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
};
use crate::controller::uuid::Uuid;
use crate::epoch::LeaderEpoch;
use crate::id::BrokerId;
use crate::offset::Offset;

const ALPHA: Uuid = Uuid::from_bytes(*b"ottla-topic-alph");
const BETA: Uuid = Uuid::from_bytes(*b"ottla-topic-beta");
const DIRECTORY: Uuid = Uuid::from_bytes(*b"ottla-proof-dir1");

fn topic(name: &str, topic_id: Uuid) -> MetadataRecord {
    TopicRecord { name: name.to_owned(), topic_id, ..Default::default() }.into()
}

fn partition(partition_id: i32) -> PartitionRecord {
    PartitionRecord {
        partition_id,
        topic_id: ALPHA,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        directories: vec![DIRECTORY],
        ..Default::default()
    }
}

fn change(partition_id: i32) -> PartitionChangeRecord {
    PartitionChangeRecord { partition_id, topic_id: ALPHA, ..Default::default() }
}

fn config(resource_name: &str, name: &str, value: Option<&str>) -> MetadataRecord {
    ConfigRecord {
        resource_type: 2,
        resource_name: resource_name.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..Default::default()
    }
    .into()
}

fn feature(name: &str, feature_level: i16) -> MetadataRecord {
    FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() }.into()
}

fn broker(broker_epoch: i64) -> RegisterBrokerRecord {
    RegisterBrokerRecord { broker_id: 1, broker_epoch, fenced: true, ..Default::default() }
}

fn replay(image: &mut Image, record: impl Into<MetadataRecord>) {
    image.replay(&record.into(), Offset::ZERO).unwrap();
}

/// A topic `alpha` of one partition, and a registered broker.
fn image() -> Image {
    let mut image = Image::default();
    replay(&mut image, feature(METADATA_VERSION, 30));
    replay(&mut image, topic("alpha", ALPHA));
    replay(&mut image, partition(0));
    replay(&mut image, broker(12));
    image
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn alpha_0(image: &Image) -> &PartitionState {
    image.topic(&name("alpha")).unwrap().partition(0).unwrap()
}

#[test]
fn what_kafka_refuses_is_refused_and_changes_nothing() {
    let unknown = |id: Uuid| ReplayFault::UnknownTopic { id: id.to_string() };
    let feature_fault = |name: &str, level, min, max| {
        let name = name.to_owned();
        ReplayFault::UnsupportedFeature { name, level, min, max }
    };
    let (alpha, id) = (name("alpha"), ALPHA.topic_id().unwrap());
    let of_beta = PartitionRecord { topic_id: BETA, ..partition(0) };
    let directories = PartitionRecord { directories: vec![DIRECTORY; 2], ..partition(0) };
    let fenced = BrokerRegistrationChangeRecord { broker_id: 1, broker_epoch: 12, fenced: 2, ..Default::default() };
    let refused: Vec<(MetadataRecord, ReplayFault)> = vec![
        (topic("alpha", BETA), ReplayFault::DuplicateTopic { name: alpha.clone(), id }),
        (topic("alpha", ALPHA), ReplayFault::DuplicateTopic { name: alpha.clone(), id }),
        (topic("beta", ALPHA), ReplayFault::DuplicateTopicId { id, name: alpha.clone() }),
        (topic("beta", Uuid::default()), ReplayFault::ZeroTopicId { name: name("beta") }),
        (topic("../beta", BETA), TopicName::new("../beta").unwrap_err().into()),
        (of_beta.into(), unknown(BETA)),
        (partition(-1).into(), ReplayFault::InvalidPartition { number: -1 }),
        (directories.into(), ReplayFault::Directories { replicas: 1, found: 2 }),
        (PartitionRecord { leader_recovery_state: 7, ..partition(0) }.into(), ReplayFault::LeaderRecovery { state: 7 }),
        (PartitionRecord { leader: -2, ..partition(0) }.into(), ReplayFault::InvalidBroker { id: -2 }),
        (change(1).into(), ReplayFault::UnknownPartition { topic: alpha, partition: 1 }),
        (PartitionChangeRecord { topic_id: BETA, ..change(0) }.into(), unknown(BETA)),
        (RemoveTopicRecord { topic_id: BETA, ..Default::default() }.into(), unknown(BETA)),
        (RemoveTopicRecord::default().into(), unknown(Uuid::default())),
        (feature(METADATA_VERSION, 31), feature_fault(METADATA_VERSION, 31, 7, 30)),
        (feature(METADATA_VERSION, 6), feature_fault(METADATA_VERSION, 6, 7, 30)),
        (feature("metadata.vision", 1), feature_fault("metadata.vision", 1, 0, 0)),
        (feature("group.version", 2), feature_fault("group.version", 2, 0, 1)),
        (fenced.into(), ReplayFault::RegistrationChange { field: "fenced", value: 2 }),
        (
            BrokerRegistrationChangeRecord { broker_id: 2, ..Default::default() }.into(),
            ReplayFault::UnknownBroker { id: 2 },
        ),
        (
            BrokerRegistrationChangeRecord { broker_id: 1, broker_epoch: 13, ..Default::default() }.into(),
            ReplayFault::BrokerEpoch { id: 1, registered: 12, found: 13 },
        ),
        (
            ProducerIdsRecord { next_producer_id: -1, ..Default::default() }.into(),
            ReplayFault::InvalidProducerId { next: -1 },
        ),
    ];
    for (record, fault) in refused {
        let mut image = image();
        let at = Offset::new(9);
        let expected = ReplayError::Record { at, record: record.name(), fault };
        assert_eq!(image.replay(&record, at), Err(expected));
        assert_eq!(image, self::image());
    }
}

#[test]
fn a_change_counts_and_a_leader_begins_a_reign_the_same_one_too() {
    let mut image = image();
    let epochs = |image: &Image| (alpha_0(image).leader_epoch.get(), alpha_0(image).partition_epoch);
    replay(&mut image, PartitionChangeRecord { isr: Some(vec![]), ..change(0) });
    assert_eq!((epochs(&image), alpha_0(&image).isr.len()), ((0, 1), 0));
    replay(&mut image, PartitionChangeRecord { leader: 1, ..change(0) });
    assert_eq!(epochs(&image), (1, 2));
    replay(&mut image, PartitionChangeRecord { leader: -1, ..change(0) });
    assert_eq!((epochs(&image), alpha_0(&image).leader), ((2, 3), None));
    replay(&mut image, PartitionChangeRecord { directories: Some(vec![Uuid::LOST]), ..change(0) });
    assert_eq!(alpha_0(&image).directory_of(BrokerId::new(1)), Some(Uuid::LOST));
}

#[test]
fn the_last_epoch_is_followed_by_none() {
    let mut image = image();
    replay(&mut image, PartitionRecord { leader_epoch: i32::MAX, partition_epoch: i32::MAX, ..partition(0) });
    let before = image.clone();
    for record in [PartitionChangeRecord { leader: 1, ..change(0) }, change(0)] {
        assert!(image.replay(&record.into(), Offset::ZERO).is_err());
    }
    assert_eq!(image, before);
    replay(&mut image, PartitionRecord { leader_epoch: -1, partition_epoch: -1, ..partition(0) });
    assert_eq!(alpha_0(&image).leader_epoch, LeaderEpoch::ZERO, "-1 was seen to work");
}

#[test]
fn clearing_eligible_replicas_leaves_those_partitions_alone_that_have_none() {
    let mut image = image();
    replay(&mut image, PartitionRecord { last_known_elr: Some(vec![1]), ..partition(1) });
    for name in ["beta", "alpha", ""] {
        replay(&mut image, ClearElrRecord { topic_name: name.to_owned(), ..Default::default() });
    }
    let topic = image.topic(&name("alpha")).unwrap();
    let epochs: Vec<u32> = topic.partitions().map(|(_, partition)| partition.partition_epoch).collect();
    assert_eq!(epochs, [0, 1]);
    assert!(topic.partition(1).unwrap().last_known_elr.is_empty());
}

#[test]
fn a_removed_topic_takes_its_configuration_along_and_its_name_is_free() {
    let mut image = image();
    replay(&mut image, config("alpha", "retention.ms", Some("1")));
    replay(&mut image, config("other", "retention.ms", Some("2")));
    replay(&mut image, RemoveTopicRecord { topic_id: ALPHA, ..Default::default() });
    assert_eq!((image.topic_count(), image.configs().count()), (0, 1));
    replay(&mut image, topic("alpha", BETA));
    assert_eq!(image.topic_config(&name("alpha")), None);
}

#[test]
fn a_value_of_null_deletes_the_key() {
    let mut image = image();
    replay(&mut image, config("alpha", "retention.ms", Some("1")));
    replay(&mut image, config("alpha", "cleanup.policy", Some("compact")));
    replay(&mut image, config("alpha", "retention.ms", None));
    assert_eq!(image.topic_config(&name("alpha")).unwrap().keys().collect::<Vec<_>>(), ["cleanup.policy"]);
    replay(&mut image, config("alpha", "cleanup.policy", None));
    assert_eq!(image, self::image());
}

#[test]
fn a_registration_changes_only_in_what_is_given() {
    let mut image = image();
    let change = BrokerRegistrationChangeRecord { broker_id: 1, broker_epoch: 12, ..Default::default() };
    replay(&mut image, change.clone());
    assert_eq!(image, self::image());
    replay(&mut image, BrokerRegistrationChangeRecord { fenced: -1, log_dirs: vec![DIRECTORY], ..change.clone() });
    replay(&mut image, BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..change });
    let expected =
        RegisterBrokerRecord { fenced: false, in_controlled_shutdown: true, log_dirs: vec![DIRECTORY], ..broker(12) };
    assert_eq!(image.brokers().collect::<Vec<_>>(), [&expected]);
}

#[test]
fn producer_ids_that_were_handed_out_stay_so() {
    let mut image = image();
    for (next_producer_id, expected) in [(2000, 2000), (1000, 2000), (3000, 3000)] {
        replay(&mut image, ProducerIdsRecord { next_producer_id, ..Default::default() });
        assert_eq!(image.next_producer_id().get(), expected);
    }
}

#[test]
fn below_directories_a_snapshot_names_none() {
    let mut old = Image::default();
    replay(&mut old, feature(METADATA_VERSION, 7));
    replay(&mut old, topic("alpha", ALPHA));
    replay(&mut old, PartitionRecord { directories: Vec::new(), ..partition(0) });
    let mut again = Image::default();
    for record in old.to_records() {
        assert!(!matches!(&record, MetadataRecord::Partition(record) if !record.directories.is_empty()));
        replay(&mut again, record);
    }
    assert_eq!(again, old);
}
