//! Metadata that our controller has decided: a broker starts on it, as a log or as a snapshot, and serves the topics; and
//! what it leaves is replayed and led again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use ottla::controller::{Candidate, Change, Controller, Draw, Opened, Replayer, Shutdown, Snapshot, SnapshotId, Uuid};
use ottla::epoch::LeaderEpoch;
use ottla::id::{BrokerId, TopicName, TopicPartition};
use ottla::log::PartitionMetadata;
use ottla::message::{ConfigChange, ConfigOperation, MorePartitions, NewTopic, TopicConfig, TopicRef};
use ottla::record::{Batch, BatchBuilder, Codec, NewRecord};
use ottla::time::Timestamp;

use crate::java::Java;
use crate::node::Node;

const NODE: BrokerId = BrokerId::new(1);
const DIRECTORY: Uuid = Uuid::from_bytes(*b"ottla-proof-dir1");
const EPOCH: LeaderEpoch = LeaderEpoch::new(1);
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// What a controller has decided, and the log of it.
struct Decided {
    controller: Controller,
    log: Vec<u8>,
}

impl Decided {
    fn new() -> Self {
        let mut controller = Controller::new(Replayer::new()).unwrap();
        controller.set_candidates([Candidate::active(NODE, vec![DIRECTORY])]);
        let mut decided = Self { controller, log: Vec::new() };
        let start = decided.controller.decide_start();
        decided.append(&start);
        decided
    }

    fn append(&mut self, change: &Change) {
        let batch = change.to_batch(NOW).unwrap().stamped(self.controller.end(), Some(EPOCH)).unwrap();
        self.controller.on_appended(&batch.clone().into()).unwrap();
        self.controller.on_committed(batch.next_offset());
        self.log.extend_from_slice(&batch.to_bytes());
    }

    /// Three topics, of which one goes again; settings that come and go; partitions that are added.
    fn topics(&mut self) {
        let draw = &mut Draw::new(2026);
        for (text, config) in [
            ("alpha", TopicConfig::default().with_retention_ms(None)),
            ("beta", TopicConfig::default().with_segment_bytes(16_384)),
            ("gone", TopicConfig::default()),
        ] {
            let topic = NewTopic::new(name(text)).partitions(2).config(config);
            let change = self.controller.decide_create_topic(&topic, draw).unwrap();
            self.append(&change);
        }
        let gone = self.controller.decide_delete_topic(&TopicRef::Name(name("gone"))).unwrap();
        self.append(&gone);
        let more = MorePartitions { name: name("alpha"), total: 3, assignment: None };
        let more = self.controller.decide_add_partitions(&more, draw).unwrap();
        self.append(&more);
        let set = |key: &str, operation| ConfigChange { key: key.to_owned(), operation };
        let changes = [
            set("retention.ms", ConfigOperation::Delete),
            set("min.insync.replicas", ConfigOperation::Set("1".to_owned())),
        ];
        let altered = self.controller.decide_alter_config(&name("alpha"), &changes).unwrap();
        self.append(&altered);
        let (_, ids) = self.controller.decide_producer_ids(NODE, None, None).unwrap();
        self.append(&ids);
    }

    /// The directory of a node, without its metadata: partition 0 of each topic has one record.
    fn write_partitions(&self, root: &Path) {
        let directory = format!("version=1\ncluster.id=AAAAAAAAQACAAAAAAAAAAQ\nnode.id=1\ndirectory.id={DIRECTORY}\n");
        fs::write(root.join("meta.properties"), directory).unwrap();
        for topic in self.controller.image().topics() {
            for (number, _) in topic.partitions() {
                let folder = root.join(format!("{}-{number}", topic.name()));
                fs::create_dir(&folder).unwrap();
                let metadata = PartitionMetadata { topic_id: topic.id() };
                fs::write(folder.join("partition.metadata"), metadata.encode()).unwrap();
                if number == 0 {
                    fs::write(folder.join(first_segment()), one_record()).unwrap();
                }
            }
        }
    }
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn first_segment() -> String {
    format!("{:020}.log", 0)
}

fn one_record() -> Bytes {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(&NewRecord::new(NOW, None, Some(b"kept"))).unwrap();
    batch.build().unwrap().stamped(Default::default(), Some(LeaderEpoch::ZERO)).unwrap().to_bytes()
}

/// Every whole batch of the metadata log, in order.
fn batches(metadata: &Path) -> Vec<Batch> {
    let files = fs::read_dir(metadata).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    files.sort();
    let mut batches = Vec::new();
    for file in files {
        let mut bytes = Bytes::from(fs::read(file).unwrap());
        while let Ok(batch) = Batch::parse(&bytes) {
            bytes = bytes.slice(batch.size() as usize..);
            batches.push(batch);
        }
    }
    batches
}

/// Lets a node run on the directory, and gives what has become of the metadata.
fn through_a_node(java: &Java, root: &Path, replayer: Replayer) -> Controller {
    let mut node = Node::start(java, root);
    for topic in ["alpha", "beta"] {
        assert_eq!(node.produce(topic, &["new"]), [1], "behind the record that was there");
        assert_eq!(node.consume(topic, "read_committed").len(), 2);
    }
    node.create_topic("theirs", serde_json::json!({}));
    node.stop();
    let strays = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(strays.filter(|name| name.ends_with("-stray")).collect::<Vec<_>>(), [""; 0]);

    let mut replayer = replayer;
    for batch in batches(&root.join("__cluster_metadata-0")) {
        replayer.push(&batch.into()).unwrap();
    }
    Controller::new(replayer).unwrap()
}

/// Our topics are what they were, theirs has come, and all can be led again.
fn compare(decided: &Decided, mut after: Controller) {
    let (before, image) = (decided.controller.image(), after.image().clone());
    for topic in before.topics() {
        let found = image.topic(topic.name()).unwrap();
        assert_eq!((found.id(), found.partition_count()), (topic.id(), topic.partition_count()));
        assert_eq!(image.topic_config(topic.name()), before.topic_config(topic.name()));
    }
    assert!(image.topic(&name("theirs")).is_some() && image.topic(&name("gone")).is_none());
    assert!(image.next_producer_id() > before.next_producer_id(), "the producers took blocks behind ours");
    assert_eq!(image.features().collect::<BTreeMap<_, _>>(), before.features().collect::<BTreeMap<_, _>>());

    after.set_candidates([Candidate::active(NODE, vec![DIRECTORY])]);
    let partitions = image.topics().flat_map(|topic| topic.partitions().map(move |(number, _)| (topic, number)));
    let opened: Vec<Opened> = partitions
        .map(|(topic, number)| Opened {
            partition: TopicPartition::new(topic.name().clone(), number).unwrap(),
            directory: DIRECTORY,
            last_epoch: None,
            shutdown: Shutdown::Clean,
            last_producer_id: None,
        })
        .collect();
    let leading = after.decide_lead(NODE, &opened);
    assert_eq!(leading.refused, []);
    assert_eq!(leading.changes[0].records().len(), opened.len(), "after a clean stop nobody leads");
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn a_node_starts_on_a_log_of_our_changes_and_we_go_on_with_its_own() {
    let (java, folder) = (Java::ready(), tempfile::tempdir().unwrap());
    let root = folder.path().join("data");
    let mut decided = Decided::new();
    decided.topics();
    fs::create_dir_all(root.join("__cluster_metadata-0")).unwrap();
    decided.write_partitions(&root);
    fs::write(root.join("__cluster_metadata-0").join(first_segment()), &decided.log).unwrap();
    let after = through_a_node(&java, &root, Replayer::new());
    compare(&decided, after);
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn a_node_starts_on_our_snapshot_without_any_log() {
    let (java, folder) = (Java::ready(), tempfile::tempdir().unwrap());
    let root = folder.path().join("data");
    let mut decided = Decided::new();
    decided.topics();
    fs::create_dir_all(root.join("__cluster_metadata-0")).unwrap();
    decided.write_partitions(&root);
    let end = decided.controller.end();
    let bytes = Snapshot::write(decided.controller.image(), EPOCH, NOW).unwrap();
    let file = SnapshotId { end, epoch: EPOCH }.to_string();
    fs::write(root.join("__cluster_metadata-0").join(file), bytes).unwrap();
    let after = through_a_node(&java, &root, Replayer::from_snapshot(decided.controller.image().clone(), end));
    compare(&decided, after);
}
