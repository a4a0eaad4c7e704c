//! The vectors of metadata.md, section 9, both ways, and what is refused.

use super::*;
use crate::controller::uuid::Uuid;
use crate::record::ControlType;

const ALPHA: Uuid = Uuid::from_bytes(*b"ottla-topic-alph");
const BETA: Uuid = Uuid::from_bytes(*b"ottla-topic-beta");
const DIRECTORY: Uuid = Uuid::from_bytes(*b"ottla-proof-dir1");

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decoded(hex: &str) -> MetadataRecord {
    MetadataRecord::decode(&bytes(hex)).unwrap()
}

fn partition() -> PartitionRecord {
    PartitionRecord {
        partition_id: 1,
        topic_id: ALPHA,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        directories: vec![DIRECTORY],
        ..PartitionRecord::default()
    }
}

/// A record, and the bytes it has.
type Vector = (MetadataRecord, &'static str);

fn vectors() -> Vec<Vector> {
    [of_topics(), of_partitions(), of_brokers(), of_the_log()].concat()
}

fn of_topics() -> Vec<Vector> {
    let text = str::to_owned;
    vec![
        (
            FeatureLevelRecord { name: text("metadata.version"), feature_level: 30, ..Default::default() }.into(),
            "010c00116d657461646174612e76657273696f6e001e00",
        ),
        (
            TopicRecord { name: text("alpha"), topic_id: ALPHA, ..Default::default() }.into(),
            "01020006616c7068616f74746c612d746f7069632d616c706800",
        ),
        (
            ConfigRecord {
                resource_type: 2,
                resource_name: text("alpha"),
                name: text("cleanup.policy"),
                value: Some(text("compact")),
                ..Default::default()
            }
            .into(),
            "0104000206616c7068610f636c65616e75702e706f6c69637908636f6d7061637400",
        ),
        (RemoveTopicRecord { topic_id: BETA, ..Default::default() }.into(), "0109006f74746c612d746f7069632d6265746100"),
        (ClearElrRecord { topic_name: text("alpha"), ..Default::default() }.into(), "011c0006616c70686100"),
    ]
}

fn of_partitions() -> Vec<Vector> {
    let ids = || vec![1];
    vec![
        (
            partition().into(),
            "010302000000016f74746c612d746f7069632d616c706802000000010200000001010100000001000000000000000002\
             6f74746c612d70726f6f662d6469723100",
        ),
        (
            PartitionRecord {
                leader_recovery_state: 1,
                eligible_leader_replicas: Some(ids()),
                last_known_elr: Some(ids()),
                ..partition()
            }
            .into(),
            "010302000000016f74746c612d746f7069632d616c706802000000010200000001010100000001000000000000000002\
             6f74746c612d70726f6f662d64697231030001010105020000000102050200000001",
        ),
        (
            PartitionChangeRecord {
                partition_id: 1,
                topic_id: ALPHA,
                isr: Some(Vec::new()),
                leader: -1,
                eligible_leader_replicas: Some(ids()),
                last_known_elr: Some(ids()),
                ..Default::default()
            }
            .into(),
            "010502000000016f74746c612d746f7069632d616c7068040001010104ffffffff0605020000000107050200000001",
        ),
    ]
}

fn of_brokers() -> Vec<Vector> {
    vec![
        (
            BrokerRegistrationChangeRecord { broker_id: 1, broker_epoch: 12, fenced: -1, ..Default::default() }.into(),
            "01110000000001000000000000000c010001ff",
        ),
        (
            BrokerRegistrationChangeRecord {
                broker_id: 1,
                broker_epoch: 12,
                cordoned_log_dirs: Some(Vec::new()),
                ..Default::default()
            }
            .into(),
            "01110300000001000000000000000c01030101",
        ),
        (
            ProducerIdsRecord { broker_id: 1, broker_epoch: 12, next_producer_id: 1000, ..Default::default() }.into(),
            "010f0000000001000000000000000c00000000000003e800",
        ),
        (
            UnregisterBrokerRecord { broker_id: 1, broker_epoch: 12, ..Default::default() }.into(),
            "01010000000001000000000000000c00",
        ),
    ]
}

fn of_the_log() -> Vec<Vector> {
    let text = str::to_owned;
    vec![
        (NoOpRecord::default().into(), "01140000"),
        (EndTransactionRecord::default().into(), "01180000"),
        (
            BeginTransactionRecord { name: Some(text("Bootstrap records")), ..Default::default() }.into(),
            "01170001001212426f6f747374726170207265636f726473",
        ),
        (AbortTransactionRecord { reason: Some(text("x")), ..Default::default() }.into(), "0119000100020278"),
    ]
}

#[test]
fn the_listed_records_have_the_listed_bytes() {
    for (record, hex) in vectors() {
        assert_eq!(record.to_bytes(), bytes(hex), "{record:?}");
        assert_eq!(decoded(hex), record);
    }
}

#[test]
fn the_listed_control_records_have_the_listed_bytes() {
    let text = str::to_owned;
    let voter = || vec![Voter { voter_id: 1, ..Default::default() }];
    let leader = LeaderChangeRecord { leader_id: 1, voters: voter(), granting_voters: voter(), ..Default::default() };
    let header = SnapshotHeaderRecord { last_contained_log_timestamp: 1_795_000_000_000, ..Default::default() };
    let endpoint =
        VoterEndPoint { name: text("CONTROLLER"), host: text("127.0.0.1"), port: 19093, ..Default::default() };
    let described = VoterDescription {
        voter_id: 1,
        directory_id: DIRECTORY,
        endpoints: vec![endpoint],
        kraft_version_feature: KraftVersionRange { max: 1, ..Default::default() },
        ..Default::default()
    };
    let listed = [
        (QuorumRecord::LeaderChange(leader), "00000002", "00000000000102000000010002000000010000"),
        (QuorumRecord::SnapshotHeader(header), "00000003", "0000000001a1ee565e0000"),
        (QuorumRecord::SnapshotFooter(SnapshotFooterRecord::default()), "00000004", "000000"),
        (
            QuorumRecord::KraftVersion(KraftVersionRecord { kraft_version: 1, ..Default::default() }),
            "00000005",
            "0000000100",
        ),
        (
            QuorumRecord::KraftVoters(KraftVotersRecord { voters: vec![described], ..Default::default() }),
            "00000006",
            "000002000000016f74746c612d70726f6f662d64697231020b434f4e54524f4c4c45520a3132372e302e302e314a95\
             0000000001000000",
        ),
    ];
    for (record, key, value) in listed {
        assert_eq!((record.key().to_vec(), record.value()), (bytes(key), bytes(value)), "{record:?}");
        assert_eq!(QuorumRecord::decode(&bytes(key), &bytes(value)), Ok(record));
    }
}

#[test]
fn a_control_record_of_another_log_is_refused() {
    let refused = QuorumRecordError::Type { control_type: ControlType::Commit };
    assert_eq!(QuorumRecord::decode(&[0, 0, 0, 1], &[0; 6]), Err(refused));
    assert_eq!(QuorumRecord::decode(&[0, 0, 0], &[]), Err(QuorumRecordError::Key));
    let refused = QuorumRecordError::Version { control_type: ControlType::SnapshotFooter, version: -1 };
    assert_eq!(QuorumRecord::decode(&[0, 0, 0, 4], &[0xff, 0xff, 0]), Err(refused));
}

#[test]
fn a_tag_of_the_future_is_kept() {
    // Tag 7 of two bytes, behind the tag 0 that is known.
    let hex = "011700020002026107021122";
    let record = decoded(hex);
    assert!(matches!(&record, MetadataRecord::BeginTransaction(begin) if begin.unknown_tags.len() == 1));
    assert_eq!(record.to_bytes(), bytes(hex));
}

#[test]
fn an_old_version_is_written_anew() {
    // Partition version 0: no directories.
    let old = "010300000000016f74746c612d746f7069632d616c70680200000001020000000101010000000100000000000000\
               0000";
    let record = decoded(old);
    let expected = PartitionRecord { directories: Vec::new(), ..partition() };
    assert_eq!(record, expected.into());
    assert_eq!(MetadataRecord::decode(&record.to_bytes()), Ok(record));
}

#[test]
fn a_version_of_the_future_is_read_as_the_newest() {
    assert_eq!(decoded("01020906616c7068616f74746c612d746f7069632d616c706800"), of_topics()[1].0);
}

#[test]
fn what_is_no_record_is_refused_with_its_place() {
    let refused = |hex: &str| MetadataRecord::decode(&bytes(hex)).unwrap_err();
    assert_eq!(refused(""), MetadataError::Frame { position: 0, fault: FieldFault::CutShort });
    assert_eq!(refused("001400"), MetadataError::FrameVersion { found: 0 });
    assert_eq!(refused("021400"), MetadataError::FrameVersion { found: 2 });
    assert_eq!(refused("014d0000"), MetadataError::UnknownKey { key: 77, version: 0 });
    let field = |key, version, position, fault| MetadataError::Field { key, version, position, fault };
    assert_eq!(refused("0114000000"), field(20, 0, 4, FieldFault::Leftover { bytes: 1 }));
    assert_eq!(refused("01020006616c70"), field(2, 0, 4, FieldFault::Length { length: 5, left: 3 }));
    let twice = FieldFault::TagOrder { tag: 3, before: 3 };
    assert_eq!(refused("01140002030003"), field(20, 0, 7, twice));
    let early = FieldFault::TagVersion { tag: 1, version: 0 };
    assert_eq!(refused("01110000000001000000000000000c010101ff"), field(17, 0, 19, early));
}

#[test]
fn no_byte_that_is_cut_off_or_turned_makes_a_reader_panic() {
    for (_, hex) in vectors() {
        let whole = bytes(hex);
        for end in 0..whole.len() {
            assert!(MetadataRecord::decode(&whole[..end]).is_err(), "{hex} cut at {end}");
        }
        for position in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut turned = whole.clone();
                turned[position] = value;
                if let Ok(record) = MetadataRecord::decode(&turned) {
                    assert_eq!(MetadataRecord::decode(&record.to_bytes()), Ok(record), "{hex} at {position}");
                }
            }
        }
    }
}
