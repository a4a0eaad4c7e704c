//! The producer beside a broker that loses answers, refuses, and answers in any order.
//!
//! The broker knows producers as a log does: the last five batches, and the sequence it expects. Whatever happens, each
//! record has one outcome, stands in the log at most once and in its order, and stands there if it was delivered and does
//! not if it is said not to.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, VecDeque};

use ottla::epoch::{ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicPartition};
use ottla::message::{ErrorCode, Produced, ProducerIdentity, RequestError};
use ottla::offset::Offset;
use ottla::producer::{Accumulator, AccumulatorConfig, Known, LaneId, Outcome, Outgoing, SendError, Ticket, WhenFull};
use ottla::record::{Batch, Codec, DecompressLimit, NewRecord};
use ottla::time::{Instant, Timestamp};
use proptest::prelude::*;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A record of this size.
    Push {
        lane: u8,
        bytes: u16,
    },
    /// All that may be sent is.
    Send,
    /// The broker looks at one of the batches on their way, the oldest if it is `first`.
    Broker {
        which: u8,
        fate: Fate,
    },
    /// Time passes.
    Wait {
        millis: u16,
    },
    Flush,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is appended if its sequence is right.
    Append,
    /// The same, but the answer says that nobody knows.
    LoseAnswer,
    /// It is not looked at, and the answer says that nobody knows.
    LoseRequest,
    /// It is refused, and may come again.
    NotNow,
    /// It is refused.
    Never,
    /// It is appended if it is of this many records at most.
    AtMost(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        8 => Just(Fate::Append),
        2 => Just(Fate::LoseAnswer),
        1 => Just(Fate::LoseRequest),
        2 => Just(Fate::NotNow),
        1 => Just(Fate::Never),
        2 => (1..4_u32).prop_map(Fate::AtMost),
    ];
    prop_oneof![
        8 => (0..3_u8, 0..400_u16).prop_map(|(lane, bytes)| Step::Push { lane, bytes }),
        4 => Just(Step::Send),
        6 => (any::<u8>(), fate).prop_map(|(which, fate)| Step::Broker { which, fate }),
        3 => (0..600_u16).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Flush),
    ]
}

/// What a log knows of one producer, and what it holds.
#[derive(Default)]
struct Log {
    producer: Option<(ProducerId, ProducerEpoch)>,
    expected: Sequence,
    last_five: VecDeque<(Sequence, Sequence, u64)>,
    records: Vec<(u64, u32)>,
}

impl Log {
    fn append(&mut self, outgoing: &Outgoing) -> Result<u64, ErrorCode> {
        let stamp = outgoing.batch.producer().expect("every batch is idempotent");
        let (epoch, base) = (stamp.epoch.unwrap(), stamp.base_sequence.unwrap());
        let last = outgoing.batch.last_sequence().unwrap();
        let known = self.producer.filter(|(id, _)| *id == stamp.id);
        if known.is_some_and(|(_, known)| epoch < known) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        let is_new = self.producer != Some((stamp.id, epoch));
        if !is_new && let Some(found) = self.last_five.iter().find(|found| (found.0, found.1) == (base, last)) {
            return Ok(found.2);
        }
        if base != if is_new { Sequence::ZERO } else { self.expected } {
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        if is_new {
            self.producer = Some((stamp.id, epoch));
            self.last_five.clear();
        }
        let offset = self.records.len() as u64;
        self.records.extend(numbers(&outgoing.batch));
        self.expected = last.advance(1);
        self.last_five.push_back((base, last, offset));
        if self.last_five.len() > 5 {
            self.last_five.pop_front();
        }
        Ok(offset)
    }
}

/// Each record's value begins with its number.
fn numbers(batch: &Batch) -> Vec<(u64, u32)> {
    let records = batch.records(DecompressLimit::default()).unwrap();
    let number = |value: &[u8]| (u64::from_be_bytes(*value.first_chunk().unwrap()), value.len() as u32);
    records.iter().map(|record| number(record.unwrap().value.unwrap())).collect()
}

struct World {
    accumulator: Accumulator,
    lanes: Vec<LaneId>,
    logs: Vec<Log>,
    now: u64,
    pushed: BTreeMap<Ticket, u64>,
    flying: Vec<Outgoing>,
    out: Vec<Outcome>,
}

impl World {
    fn new(config: AccumulatorConfig) -> Self {
        let mut accumulator = Accumulator::new(config).unwrap();
        accumulator.identify(ProducerIdentity::default());
        let lanes = ["a-0", "a-1", "b-0"].map(|name| accumulator.lane(&TopicPartition::parse(name).unwrap()));
        Self {
            accumulator,
            lanes: lanes.into(),
            logs: (0..3).map(|_| Log::default()).collect(),
            now: 0,
            pushed: BTreeMap::new(),
            flying: Vec::new(),
            out: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Push { lane, bytes } => self.push(self.lanes[usize::from(*lane)], *bytes),
            Step::Send => self.send(),
            Step::Broker { which, fate } if !self.flying.is_empty() => {
                let index = usize::from(*which) % self.flying.len();
                let outgoing = self.flying.remove(index);
                self.broker(outgoing, *fate);
            }
            Step::Broker { .. } => {}
            Step::Wait { millis } => self.now += u64::from(*millis),
            Step::Flush => drop(self.accumulator.flush()),
        }
    }

    fn push(&mut self, lane: LaneId, bytes: u16) {
        let number = self.pushed.len() as u64;
        let mut value = number.to_be_bytes().to_vec();
        value.resize(8 + usize::from(bytes), b'x');
        let record = NewRecord::new(Timestamp::from_millis(number as i64), None, Some(&value));
        if let Ok(pushed) = self.accumulator.push(self.now(), lane, &record, &mut self.out) {
            assert!(self.pushed.insert(pushed.ticket, number).is_none(), "a ticket was given twice");
        }
    }

    fn send(&mut self) {
        while let Some(unbuilt) = self.accumulator.take(self.now(), &mut self.out) {
            self.flying.push(unbuilt.build().unwrap());
        }
        let next = self.accumulator.next_deadline();
        assert!(next.is_none_or(|deadline| deadline > self.now()), "{next:?} has come at {}", self.now);
        if self.accumulator.needs_identity() {
            let id = ProducerId::new(1 + self.now as i64).unwrap();
            self.accumulator.identify(ProducerIdentity { id, epoch: ProducerEpoch::ZERO });
        }
    }

    fn broker(&mut self, outgoing: Outgoing, fate: Fate) {
        let lane = outgoing.tickets.lane;
        let log = &mut self.logs[lane.get() as usize];
        let result = match fate {
            Fate::Append => log.append(&outgoing),
            Fate::LoseAnswer => log.append(&outgoing).and(Err(ErrorCode::RequestTimedOut)),
            Fate::LoseRequest => Err(ErrorCode::NetworkException),
            Fate::NotNow => Err(ErrorCode::NotEnoughReplicas),
            Fate::Never => Err(ErrorCode::InvalidTimestamp),
            Fate::AtMost(records) if outgoing.tickets.count > records => Err(ErrorCode::MessageTooLarge),
            Fate::AtMost(_) => log.append(&outgoing),
        };
        match result {
            Ok(offset) => {
                let base_offset = Offset::new(offset);
                let produced = Produced { base_offset, log_append_time: None, log_start_offset: Offset::ZERO };
                self.accumulator.acknowledged(lane, outgoing.id, &produced, &mut self.out);
            }
            Err(code) => {
                let back = (outgoing.id, outgoing.batch);
                self.accumulator.failed(self.now(), lane, back, RequestError::new(code), &mut self.out);
            }
        }
    }

    /// The broker appends whatever comes, until nothing is left.
    fn finish(&mut self) {
        self.accumulator.flush();
        for _ in 0..10_000 {
            self.send();
            while !self.flying.is_empty() {
                let outgoing = self.flying.remove(0);
                self.broker(outgoing, Fate::Append);
            }
            self.now += 1000;
            if self.accumulator.next_deadline().is_none() {
                return;
            }
        }
        panic!("it does not come to an end: {:?}", self.accumulator);
    }

    fn check(&self) {
        let mut outcomes = BTreeMap::new();
        for outcome in &self.out {
            for ticket in outcome.tickets.iter() {
                assert!(outcomes.insert(ticket, outcome).is_none(), "{ticket:?} has two outcomes");
            }
        }
        assert!(outcomes.keys().eq(self.pushed.keys()), "each record has an outcome");
        assert_eq!(self.accumulator.used(), 0);
        for log in &self.logs {
            assert!(log.records.is_sorted_by(|a, b| a.0 < b.0), "twice or out of order: {:?}", log.records);
        }
        for (ticket, number) in &self.pushed {
            let log = &self.logs[ticket.lane.get() as usize];
            let place = log.records.iter().position(|(found, _)| found == number);
            match &outcomes[ticket].result {
                Ok(delivered) => {
                    assert!(delivered.base_offset.is_some());
                    let offset = outcomes[ticket].offset_of(*ticket).map(|offset| offset.get() as usize);
                    assert_eq!(offset, place, "record {number}");
                }
                Err(SendError::Dropped) => assert_eq!(place, None, "record {number} was dropped"),
                Err(
                    SendError::Refused { known, .. } | SendError::Expired { known, .. } | SendError::Closed { known },
                ) => {
                    let is_absent = place.is_none();
                    assert!(is_absent || *known == Known::Unknown, "record {number} is there: {:?}", outcomes[ticket]);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

fn config() -> impl Strategy<Value = AccumulatorConfig> {
    let when_full =
        prop_oneof![Just(WhenFull::Block { wait_max_ms: 10 }), Just(WhenFull::Fail), Just(WhenFull::DropOldest)];
    (1..1500_u32, 0..20_u64, 600..8000_u64, when_full, 400..4000_u64, 0..6_u32, 1..=5_u8).prop_map(
        |(batch_bytes, linger_ms, memory_bytes, when_full, delivery_timeout_ms, retries, in_flight_max)| {
            AccumulatorConfig {
                batch_bytes,
                linger_ms,
                memory_bytes,
                when_full,
                delivery_timeout_ms,
                retries: if retries == 5 { u32::MAX } else { retries },
                in_flight_max,
                codec: Codec::None,
                ..AccumulatorConfig::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn each_record_has_one_outcome_that_is_true_and_is_written_once_in_order(
        config in config(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(config);
        for step in &steps {
            world.step(step);
        }
        world.finish();
        world.check();
    }
}
