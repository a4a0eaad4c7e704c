//! The controller under random commands beside a plain map of what there must be, with snapshots and reloads in between.
//! `PROPTEST_CASES` runs more.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use ottla::controller::{
    Candidate, Change, Controller, CreateTopicError, Draw, Image, Replayer, Resource, Snapshot, Uuid,
};
use ottla::epoch::LeaderEpoch;
use ottla::id::{BrokerId, ProducerId, TopicName};
use ottla::message::{ConfigChange, ConfigOperation, MorePartitions, NewTopic, TopicConfig, TopicRef};
use ottla::offset::Offset;
use ottla::record::{Batch, Entry};
use ottla::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

const NODE: BrokerId = BrokerId::new(1);
/// The first two collide.
const NAMES: [&str; 4] = ["a.b", "a_b", "orders", "x"];
const KEYS: [&str; 3] = ["retention.ms", "min.insync.replicas", "segment.ms"];

#[derive(Clone, Debug)]
enum Step {
    Create {
        name: usize,
        partitions: u32,
        retention_ms: Option<u64>,
    },
    Delete {
        name: usize,
    },
    Grow {
        name: usize,
        total: u32,
    },
    Alter {
        name: usize,
        key: usize,
        value: Option<u8>,
    },
    ProducerIds {
        in_use: Option<i64>,
    },
    /// The append of the next change fails.
    Fail,
    /// A snapshot is written, and the controller goes on from it.
    Reload,
    /// The whole log is replayed.
    Replay,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), 0..6_u32, prop::option::of(1..100_u64))
            .prop_map(|(name, partitions, retention_ms)| Step::Create { name, partitions, retention_ms }),
        2 => name().prop_map(|name| Step::Delete { name }),
        2 => (name(), 0..9_u32).prop_map(|(name, total)| Step::Grow { name, total }),
        3 => (name(), 0..KEYS.len(), prop::option::of(0..4_u8))
            .prop_map(|(name, key, value)| Step::Alter { name, key, value }),
        1 => prop::option::of(0..9_000_i64).prop_map(|in_use| Step::ProducerIds { in_use }),
        1 => Just(Step::Fail),
        1 => Just(Step::Reload),
        1 => Just(Step::Replay),
    ]
}

/// What there must be: topics with how many partitions, and their settings.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    topics: BTreeMap<&'static str, (u32, BTreeMap<&'static str, String>)>,
    handed_out: i64,
}

struct World {
    controller: Controller,
    log: Vec<Batch>,
    model: Model,
    draw: Draw,
    fails: bool,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            controller: controller(Replayer::new()),
            log: Vec::new(),
            model: Model::default(),
            draw: Draw::new(11),
            fails: false,
        };
        let start = world.controller.decide_start();
        world.append(&start, |_| {});
        world
    }

    /// Appends the change, and `then` says what it means, unless the append fails.
    fn append(&mut self, change: &Change, then: impl FnOnce(&mut Model)) {
        if change.is_empty() {
            return then(&mut self.model);
        }
        let end = self.controller.end();
        let now = Timestamp::from_millis(1_000 + self.log.len() as i64);
        let batch = change.to_batch(now).unwrap().stamped(end, Some(LeaderEpoch::new(1))).unwrap();
        self.controller.on_appended(&batch.clone().into()).unwrap();
        if std::mem::take(&mut self.fails) {
            return self.controller.on_truncated(end);
        }
        self.controller.on_committed(batch.next_offset());
        self.log.push(batch);
        then(&mut self.model);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Create { name, partitions, retention_ms } => self.create(NAMES[name], partitions, retention_ms),
            Step::Delete { name } => self.delete(NAMES[name]),
            Step::Grow { name, total } => self.grow(NAMES[name], total),
            Step::Alter { name, key, value } => self.alter(NAMES[name], KEYS[key], value),
            Step::ProducerIds { in_use } => self.producer_ids(in_use),
            Step::Fail => self.fails = true,
            Step::Reload => self.reload(),
            Step::Replay => assert_eq!(&replayed(Replayer::new(), &self.log), self.controller.image()),
        }
        self.compare();
    }

    fn create(&mut self, text: &'static str, partitions: u32, retention_ms: Option<u64>) {
        let config =
            retention_ms.map_or_else(TopicConfig::default, |ms| TopicConfig::default().with_retention_ms(Some(ms)));
        let topic = NewTopic::new(name(text)).partitions(partitions).config(config);
        let decided = self.controller.decide_create_topic(&topic, &mut self.draw);
        let collides = |other: &&str| other.replace('.', "_") == text.replace('.', "_");
        let expected = match self.model.topics.keys().copied().find(collides) {
            Some(there) if there == text => Some("there already"),
            Some(_) => Some("collides"),
            None if partitions == 0 => Some("0 partitions"),
            None => None,
        };
        match (decided, expected) {
            (Ok(change), None) => self.append(&change, |model| {
                let config = retention_ms.map(|ms| ("retention.ms", ms.to_string())).into_iter().collect();
                model.topics.insert(text, (partitions, config));
            }),
            (Err(error), Some(reason)) => assert!(error.to_string().contains(reason), "{error}: {reason}"),
            (decided, expected) => panic!("{text}: {decided:?}, expected {expected:?}"),
        }
    }

    fn delete(&mut self, text: &'static str) {
        let decided = self.controller.decide_delete_topic(&TopicRef::Name(name(text)));
        assert_eq!(decided.is_ok(), self.model.topics.contains_key(text));
        if let Ok(change) = decided {
            self.append(&change, |model| {
                model.topics.remove(text);
            });
        }
    }

    fn grow(&mut self, text: &'static str, total: u32) {
        let more = MorePartitions { name: name(text), total, assignment: None };
        let decided = self.controller.decide_add_partitions(&more, &mut self.draw);
        let grows = self.model.topics.get(text).is_some_and(|(partitions, _)| total > *partitions);
        assert_eq!(decided.is_ok(), grows, "{decided:?}");
        if let Ok(change) = decided {
            self.append(&change, |model| model.topics.get_mut(text).unwrap().0 = total);
        }
    }

    /// A value of 0 is none that any of the keys can have... but retention, which may be 0.
    fn alter(&mut self, text: &'static str, key: &'static str, value: Option<u8>) {
        let operation = value.map_or(ConfigOperation::Delete, |value| ConfigOperation::Set(value.to_string()));
        let changes = [ConfigChange { key: key.to_owned(), operation }];
        let decided = self.controller.decide_alter_config(&name(text), &changes);
        let is_allowed = value != Some(0) || key == "retention.ms";
        assert_eq!(decided.is_ok(), is_allowed && self.model.topics.contains_key(text), "{decided:?}");
        if let Ok(change) = decided {
            self.append(&change, |model| {
                let config = &mut model.topics.get_mut(text).unwrap().1;
                match value {
                    Some(value) => config.insert(key, value.to_string()),
                    None => config.remove(key),
                };
            });
        }
    }

    fn producer_ids(&mut self, in_use: Option<i64>) {
        let in_use = in_use.and_then(ProducerId::new);
        let (block, change) = self.controller.decide_producer_ids(NODE, None, in_use).unwrap();
        assert!(block.first.get() >= self.model.handed_out);
        assert!(in_use.is_none_or(|id| block.first > id));
        self.append(&change, |model| model.handed_out = block.first.get() + i64::from(block.count));
    }

    fn reload(&mut self) {
        let image = self.controller.image().clone();
        let bytes = Snapshot::write(&image, LeaderEpoch::new(1), Timestamp::from_millis(1_000)).unwrap();
        let read = Snapshot::parse(&bytes).unwrap().image().unwrap();
        assert_eq!(read, image);
        self.controller = controller(Replayer::from_snapshot(read, self.controller.end()));
        // A snapshot may stand anywhere: one of an earlier image gives the same with the log behind it.
        let cut = self.log.len() / 2;
        let earlier = replayed(Replayer::new(), &self.log[..cut]);
        let end = self.log[..cut].last().map_or(Offset::ZERO, Batch::next_offset);
        assert_eq!(replayed(Replayer::from_snapshot(earlier, end), &self.log), image);
    }

    fn compare(&self) {
        let image = self.controller.image();
        let topics = image.topics().map(|topic| {
            let config = image.topic_config(topic.name()).cloned().unwrap_or_default();
            (topic.name().to_string(), (topic.partition_count(), config))
        });
        let expected = self.model.topics.iter().map(|(name, (partitions, config))| {
            let config = config.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            ((*name).to_owned(), (*partitions, config))
        });
        assert_eq!(topics.collect::<BTreeMap<_, _>>(), expected.collect::<BTreeMap<_, BTreeMapEntry>>());
        assert_eq!(image.next_producer_id().get(), self.model.handed_out);
        assert_eq!(image, self.controller.latest());
        assert_eq!(image.configs().filter(|(resource, _)| **resource != Resource::CLUSTER).count(), self.configured());
    }

    fn configured(&self) -> usize {
        self.model.topics.values().filter(|(_, config)| !config.is_empty()).count()
    }
}

type BTreeMapEntry = (u32, BTreeMap<String, String>);

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn controller(replayer: Replayer) -> Controller {
    let mut controller = Controller::new(replayer).unwrap();
    controller.set_candidates([Candidate::active(NODE, vec![Uuid::from_bytes(*b"ottla-proof-dir1")])]);
    controller
}

fn replayed(mut replayer: Replayer, log: &[Batch]) -> Image {
    for batch in log {
        replayer.push(&Entry::from(batch.clone())).unwrap();
    }
    replayer.finish().unwrap().image
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_image_is_what_a_map_of_the_commands_says(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let run = || {
        let mut world = World::new();
        world.create("orders", 3, Some(7));
        world.grow("orders", 5);
        world.log
    };
    assert_eq!(run(), run());
    let error =
        World::new().controller.decide_create_topic(&NewTopic::new(name("x")).partitions(10_000), &mut Draw::new(1));
    assert_eq!(error, Err(CreateTopicError::TooManyPartitions { asked: 10_000, max: 9_999 }));
}
