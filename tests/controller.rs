//! The controller beside Kafka: its metadata log read, and said the same of it as Kafka's own tools.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the golden directories are files")]
#![expect(clippy::wildcard_enum_match_arm, reason = "not every kind of record is in the golden log")]

#[path = "controller/golden.rs"]
mod golden;
#[path = "controller/json.rs"]
mod json;

use std::collections::BTreeMap;

use ottla::controller::records::{MetadataRecord, QuorumRecord};
use ottla::controller::{
    Candidate, Controller, Ending, Image, LogEnds, Opened, PartitionState, Reading, ReplayError, Replayed, Replayer,
    Resource, Shutdown, Snapshot, Topic, choose,
};
use ottla::epoch::LeaderEpoch;
use ottla::id::{BrokerId, TopicPartition};
use ottla::offset::Offset;
use ottla::time::Timestamp;
use serde_json::Value;

#[test]
fn every_record_of_kafkas_log_is_read_as_kafka_reads_it_and_written_in_its_bytes() {
    let (mut records, mut control) = (0, 0);
    let mut printed = golden::printed_records();
    for batch in golden::batches() {
        for record in batch.records(golden::limit()).unwrap().iter() {
            let record = record.unwrap();
            let theirs = printed.next().unwrap();
            if batch.is_control() {
                let (key, value) = (record.key.unwrap(), record.value.unwrap());
                let read = QuorumRecord::decode(key, value).unwrap();
                assert_eq!((&read.key()[..], &read.value()[..]), (key, value));
                control += 1;
                continue;
            }
            let value = record.value.unwrap();
            let read = MetadataRecord::decode(value).unwrap();
            let theirs: Value = serde_json::from_str(theirs.split_once("payload: ").unwrap().1).unwrap();
            assert_eq!(json::of(&read), theirs, "offset {}", record.offset);
            assert_eq!(read.to_bytes(), value, "offset {}", record.offset);
            records += 1;
        }
    }
    assert_eq!((records, control, printed.next()), (281, 2, None));
}

/// The image of the whole golden log.
fn replayed() -> Replayed {
    let mut replayer = Replayer::new();
    for batch in golden::batches() {
        replayer.push(&batch.into()).unwrap();
    }
    replayer.finish().unwrap()
}

#[test]
fn the_image_of_kafkas_log_has_the_topics_whose_directories_lie_beside_it() {
    let Replayed { image, end, open_transaction, .. } = replayed();
    assert_eq!((end, open_transaction), (Offset::new(283), None));
    let mut listed: Vec<(String, String)> = image
        .topics()
        .flat_map(|topic| {
            topic.partitions().map(|(number, _)| (format!("{}-{number}", topic.name()), topic.id().to_string()))
        })
        .collect();
    let mut there = golden::partition_directories();
    listed.sort();
    there.sort();
    assert_eq!(listed, there);
    assert_eq!((image.topic_count(), listed.len()), (16, 23));
}

#[test]
fn the_image_of_kafkas_log_has_what_kafka_printed() {
    let image = replayed().image;
    let printed = golden::printed_records();
    let values = printed.filter_map(|line| Some(line.split_once("payload: ")?.1.to_owned()));
    let values: Vec<Value> = values.map(|text| serde_json::from_str(&text).unwrap()).collect();
    let of = |kind: &'static str| values.iter().filter(move |value| value["type"] == kind).map(|value| &value["data"]);

    let mut configs = BTreeMap::new();
    for config in of("CONFIG_RECORD") {
        let text = |field: &str| config[field].as_str().unwrap().to_owned();
        configs.insert((text("resourceName"), text("name")), text("value"));
    }
    let ours = image.configs().flat_map(|(resource, config)| {
        config.iter().map(|(key, value)| ((resource.name.clone(), key.clone()), value.clone()))
    });
    assert_eq!(ours.collect::<BTreeMap<_, _>>(), configs);
    assert_eq!(image.config(&Resource::CLUSTER).unwrap()["min.insync.replicas"], "1");

    for feature in of("FEATURE_LEVEL_RECORD") {
        assert_eq!(feature["featureLevel"], image.feature(feature["name"].as_str().unwrap()));
    }
    assert_eq!(image.next_producer_id().get(), 2000);
    assert_eq!(image.brokers().map(|broker| (broker.broker_epoch, broker.fenced)).collect::<Vec<_>>(), [(194, true)]);

    for topic in image.topics() {
        for (number, partition) in topic.partitions() {
            let changes = of("PARTITION_CHANGE_RECORD")
                .filter(|change| change["topicId"] == topic.id().to_string() && change["partitionId"] == number);
            let (all, leaders) = changes
                .fold((0, 0), |(all, leaders), change| (all + 1, leaders + u32::from(change.get("leader").is_some())));
            let cleared = of("CLEAR_ELR_RECORD").filter(|clear| clear["topicName"] == topic.name().as_str()).count();
            assert_eq!(cleared > 0, topic.name().as_str().contains("_state"), "cleared when they had no partitions");
            assert_eq!((partition.partition_epoch, partition.leader_epoch.get()), (all, leaders));
            // After a clean stop of Kafka's nobody leads, and the node is eligible.
            assert_eq!((partition.leader, partition.isr.len()), (None, 0));
            assert_eq!(partition.eligible_leader_replicas, [BrokerId::new(1)]);
        }
    }
}

#[test]
fn the_records_of_an_image_give_the_image() {
    let image = replayed().image;
    let mut again = Image::default();
    for record in image.to_records() {
        let read = MetadataRecord::decode(&record.to_bytes()).unwrap();
        again.replay(&read, Offset::ZERO).unwrap();
    }
    assert_eq!(again, image);
    let partition = TopicPartition::parse("codec-lz4-0").unwrap();
    assert_eq!(again.partition(&partition), image.partition(&partition));
}

#[test]
fn kafkas_bootstrap_checkpoint_has_the_records_of_a_new_cluster() {
    let bytes = golden::bytes_of("clean/bootstrap.checkpoint");
    let snapshot = Snapshot::parse(&bytes).unwrap();
    assert_eq!(snapshot.ending, Ending::Footer);
    let ours = Controller::default().decide_start();
    // The configuration is not in the file: Kafka adds it when it copies the records into the log.
    let mut features: Vec<_> = ours.records().iter().filter(|record| record.name() == "FeatureLevel").collect();
    assert_eq!((features.len(), features[0]), (6, &snapshot.records[0]));
    let mut theirs: Vec<_> = snapshot.records.iter().collect();
    features.sort_by_key(|record| record.to_bytes());
    theirs.sort_by_key(|record| record.to_bytes());
    assert_eq!(features, theirs);
}

#[test]
fn a_snapshot_at_the_end_of_any_batch_and_the_log_behind_it_are_the_whole_log() {
    let (batches, whole) = (golden::batches(), replayed().image);
    let mut until = Replayer::new();
    for batch in &batches {
        let end = until.end();
        let image = until.clone().finish().unwrap().image;
        let bytes = Snapshot::write(&image, LeaderEpoch::new(2), Timestamp::from_millis(1)).unwrap();
        let read = Snapshot::parse(&bytes).unwrap().image().unwrap();
        assert_eq!(read, image, "at {end}");
        let mut behind = Replayer::from_snapshot(read, end);
        batches.iter().for_each(|batch| behind.push(&batch.clone().into()).unwrap());
        assert_eq!(behind.finish().unwrap().image, whole, "at {end}");
        until.push(&batch.clone().into()).unwrap();
    }
}

#[test]
fn a_snapshot_that_ends_inside_a_batch_is_refused() {
    for batch in golden::batches().into_iter().filter(|batch| batch.record_count() > 1) {
        let end = batch.base_offset().advance(1);
        let mut behind = Replayer::from_snapshot(Image::default(), end);
        let (base_offset, last_offset) = (batch.base_offset(), batch.last_offset());
        let refused = behind.push(&batch.into());
        assert_eq!(refused, Err(ReplayError::InsideBatch { end, base_offset, last_offset }));
    }
}

#[test]
fn every_partition_that_kafka_left_without_a_leader_gets_one_again() {
    let mut replayer = Replayer::new();
    golden::batches().into_iter().for_each(|batch| replayer.push(&batch.into()).unwrap());
    let mut controller = Controller::new(replayer).unwrap();
    let (node, directory) = (BrokerId::new(1), controller.image().brokers().next().unwrap().log_dirs[0]);
    controller.set_candidates([Candidate::active(node, vec![directory])]);
    assert!(controller.decide_start().is_empty());

    let opened = |image: &Image| {
        let partitions =
            image.topics().flat_map(|topic| topic.partitions().map(move |(number, state)| (topic, number, state)));
        let one = |(topic, number, state): (&Topic, u32, &PartitionState)| Opened {
            partition: TopicPartition::new(topic.name().clone(), number).unwrap(),
            directory,
            // Kafka's shutdown counts up once more after the last batch.
            last_epoch: LeaderEpoch::from_i32(state.leader_epoch.as_i32() - 1),
            shutdown: Shutdown::Clean,
            last_producer_id: None,
        };
        partitions.map(one).collect::<Vec<_>>()
    };
    let before = controller.image().clone();
    let leading = controller.decide_lead(node, &opened(&before));
    assert_eq!((leading.refused.len(), leading.changes.len()), (0, 1));
    let batch = leading.changes[0].to_batch(Timestamp::from_millis(1)).unwrap();
    controller.on_appended(&batch.stamped(controller.end(), None).unwrap().into()).unwrap();
    controller.on_committed(controller.end());
    for topic in controller.image().topics() {
        for (number, state) in topic.partitions() {
            let old = before.topic(topic.name()).unwrap().partition(number).unwrap();
            assert_eq!((state.leader, &state.isr[..]), (Some(node), &[node][..]));
            assert_eq!(Some(state.leader_epoch), old.leader_epoch.next());
            assert!(state.eligible_leader_replicas.is_empty() && state.last_known_elr.is_empty());
            assert_eq!(state.leader_recovery, old.leader_recovery, "a clean election neither loses nor makes up");
        }
    }
    assert_eq!(controller.decide_lead(node, &opened(controller.image())).changes, []);
}

#[test]
fn kafkas_snapshots_are_the_log_in_front_of_them_and_with_the_rest_the_whole_log() {
    let (batches, snapshots) = (golden::batches_with_snapshots(), golden::snapshots());
    let replayed = |mut replayer: Replayer, until: Offset| {
        let batches = batches.iter().filter(|batch| batch.next_offset() <= until);
        batches.for_each(|batch| replayer.push(&batch.clone().into()).unwrap());
        replayer.finish().unwrap().image
    };
    let whole = replayed(Replayer::new(), Offset::MAX);
    for (id, bytes) in &snapshots {
        let snapshot = Snapshot::parse(bytes).unwrap();
        assert_eq!(snapshot.ending, Ending::Footer);
        let image = snapshot.image().unwrap();
        assert_eq!(image, replayed(Replayer::new(), id.end), "{id}");
        assert_eq!(replayed(Replayer::from_snapshot(image, id.end), Offset::MAX), whole, "{id}");
        let contained = batches.iter().rfind(|batch| batch.next_offset() <= id.end).unwrap();
        assert_eq!(snapshot.last_contained_log_timestamp, contained.max_timestamp(), "{id}");
    }
    let log = LogEnds {
        log_start_offset: Offset::ZERO,
        log_end_offset: batches[batches.len() - 1].next_offset(),
        last_epoch: batches[batches.len() - 1].leader_epoch(),
    };
    let newest = snapshots[snapshots.len() - 1].0;
    assert_eq!(choose(snapshots.iter().map(|(id, _)| *id), log), Ok(Reading::Behind(newest)));
}

#[test]
fn users_quotas_and_access_control_are_kept_and_written_in_kafkas_bytes() {
    let mut kinds = BTreeMap::new();
    for batch in golden::batches_with_snapshots().iter().filter(|batch| !batch.is_control()) {
        for record in batch.records(golden::limit()).unwrap().iter() {
            let value = record.unwrap().value.unwrap();
            let read = MetadataRecord::decode(value).unwrap();
            assert_eq!(read.to_bytes(), value);
            *kinds.entry(read.name()).or_insert(0) += 1;
        }
    }
    assert_eq!((kinds["UserScramCredential"], kinds["RemoveUserScramCredential"]), (2, 1));
    assert_eq!((kinds["AccessControlEntry"], kinds["RemoveAccessControlEntry"]), (2, 1));
    assert_eq!((kinds["ClientQuota"], kinds["RemoveTopic"]), (2, 1));

    let image = Snapshot::parse(&golden::snapshots().pop().unwrap().1).unwrap().image().unwrap();
    let kept: Vec<MetadataRecord> = image.to_records().collect();
    assert!(kept.iter().any(|record| matches!(record, MetadataRecord::UserScramCredential(user)
        if (user.name.as_str(), user.mechanism, user.iterations) == ("carol", 1, 4096))));
    assert!(kept.iter().any(|record| matches!(record, MetadataRecord::AccessControlEntry(entry)
        if (entry.principal.as_str(), entry.resource_name.as_str()) == ("User:carol", "alpha"))));
    assert!(!kept.iter().any(|record| matches!(record, MetadataRecord::ClientQuota(_))), "it was removed");
}
