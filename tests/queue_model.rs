//! A whole queue beside ordered maps: whatever is done to it, in whatever order, what is read is what was appended.
//!
//! Producers with and without compression, two groups that read at their own pace, one of them by acknowledgements in any
//! order; topics that come, grow and go; records that are deleted and segments that age out; queues that are closed, dropped,
//! and, where all was flushed, cut off from power. Everything that comes out is compared with the maps.
//!
//! More cases: `PROPTEST_CASES=2000 cargo test --release --test queue_model`; another course of chance: `PROPTEST_RNG_SEED`.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, on whatever it does not expect"
)]

#[path = "queue_model/life.rs"]
mod life;
#[path = "queue_model/reader.rs"]
mod reader;
#[path = "queue_model/truth.rs"]
mod truth;

use ottla::message::Durability;
use proptest::prelude::*;

use life::Life;

/// What happens next. Numbers choose among what there is, so that each step means something.
#[derive(Clone, Debug)]
enum Step {
    /// Records of some bytes, some without a value, each to its partition.
    Send {
        producer: u8,
        topic: u8,
        records: Vec<(u8, u16)>,
    },
    /// All that was taken is sent.
    Flush,
    /// A record that is to stand at an offset: the end of its partition, or beside it.
    Expect {
        topic: u8,
        partition: u8,
        beside: i8,
    },
    /// What comes without waiting.
    Poll {
        reader: u8,
    },
    /// All there is.
    ReadAll {
        reader: u8,
    },
    Seek {
        reader: u8,
        partition: u8,
        to: Seek,
    },
    Pause {
        reader: u8,
        partition: u8,
    },
    Commit {
        reader: u8,
    },
    /// Some of what is outstanding is done.
    Acknowledge {
        which: Vec<u8>,
    },
    Create {
        topic: u8,
        partitions: u8,
        small_segments: bool,
    },
    Delete {
        topic: u8,
    },
    Grow {
        topic: u8,
    },
    /// The front of a partition goes, up to so many percent of it.
    DeleteRecords {
        topic: u8,
        partition: u8,
        percent: u8,
    },
    /// All but the last bytes of each partition may go, and does.
    Retain {
        topic: u8,
        bytes: u16,
    },
    Close,
    /// As by a kill; and, where everything was flushed, as by a power cut.
    Drop,
}

#[derive(Clone, Copy, Debug)]
enum Seek {
    Beginning,
    End,
    /// So many percent of what there is.
    Into(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0_u8..12;
    let percent = || 0_u8..=100;
    let records = prop::collection::vec((number(), 0_u16..600), 1..12);
    let seek = prop_oneof![Just(Seek::Beginning), Just(Seek::End), percent().prop_map(Seek::Into)];
    prop_oneof![
        12 => (number(), number(), records)
            .prop_map(|(producer, topic, records)| Step::Send { producer, topic, records }),
        6 => Just(Step::Flush),
        2 => (number(), number(), -2_i8..3)
            .prop_map(|(topic, partition, beside)| Step::Expect { topic, partition, beside }),
        8 => number().prop_map(|reader| Step::Poll { reader }),
        3 => number().prop_map(|reader| Step::ReadAll { reader }),
        3 => (number(), number(), seek).prop_map(|(reader, partition, to)| Step::Seek { reader, partition, to }),
        2 => (number(), number()).prop_map(|(reader, partition)| Step::Pause { reader, partition }),
        4 => number().prop_map(|reader| Step::Commit { reader }),
        4 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|which| Step::Acknowledge { which }),
        3 => (number(), 0_u8..3, any::<bool>())
            .prop_map(|(topic, partitions, small_segments)| Step::Create { topic, partitions, small_segments }),
        1 => number().prop_map(|topic| Step::Delete { topic }),
        1 => number().prop_map(|topic| Step::Grow { topic }),
        2 => (number(), number(), percent())
            .prop_map(|(topic, partition, percent)| Step::DeleteRecords { topic, partition, percent }),
        2 => (number(), 0_u16..8000).prop_map(|(topic, bytes)| Step::Retain { topic, bytes }),
        1 => Just(Step::Close),
        1 => Just(Step::Drop),
    ]
}

fn live(durability: Durability, steps: &[Step]) {
    let mut life = Life::begin(durability);
    life.create(0, 2, true);
    for step in steps {
        match step {
            Step::Send { producer, topic, records } => life.send(*producer, *topic, records),
            Step::Flush => life.flush(),
            Step::Expect { topic, partition, beside } => life.expect(*topic, *partition, *beside),
            Step::Poll { reader } => life.poll(*reader),
            Step::ReadAll { reader } => life.read_all(*reader),
            Step::Seek { reader, partition, to } => life.seek(*reader, *partition, *to),
            Step::Pause { reader, partition } => life.pause(*reader, *partition),
            Step::Commit { reader } => life.commit(*reader),
            Step::Acknowledge { which } => life.acknowledge(which),
            Step::Create { topic, partitions, small_segments } => life.create(*topic, *partitions, *small_segments),
            Step::Delete { topic } => life.delete(*topic),
            Step::Grow { topic } => life.grow(*topic),
            Step::DeleteRecords { topic, partition, percent } => life.delete_records(*topic, *partition, *percent),
            Step::Retain { topic, bytes } => life.retain(*topic, *bytes),
            Step::Close => life.close(),
            Step::Drop => life.drop_it(),
        }
    }
    life.end();
}

proptest! {
    // What a case costs is a queue or two, so there are fewer than elsewhere.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.min(if std::env::var_os("PROPTEST_CASES").is_some() { u32::MAX } else { 40 }),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_read_is_what_was_appended_whatever_is_done_between(
        is_flushed in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        live(if is_flushed { Durability::Flushed } else { Durability::Written }, &steps);
    }
}
