//! The controller beside Kafka: its metadata log read, and said the same of it as Kafka's own tools.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the golden directories are files")]

#[path = "controller/golden.rs"]
mod golden;
#[path = "controller/json.rs"]
mod json;

use std::collections::BTreeMap;

use ottla::controller::records::{MetadataRecord, QuorumRecord};
use ottla::controller::{Image, Replayed, Replayer, Resource};
use ottla::id::{BrokerId, TopicPartition};
use ottla::offset::Offset;
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
    (listed.sort(), there.sort());
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
