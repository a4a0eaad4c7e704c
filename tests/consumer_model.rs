//! A consumer beside a plain walk over the log.
//!
//! Whatever is fetched in whatever pieces, answered late or refused, polled in whatever numbers, paused and sought: the
//! records that come out between two seeks are those that the log has from there on, each once and in order, without
//! control records and without what was aborted.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;

use ottla::consumer::{Ask, AskFor, OffsetReset, Pause, Positions, PositionsConfig, Start};
use ottla::epoch::{ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicPartition};
use ottla::message::{
    AbortedTransaction, Committed, ErrorCode, Fetched, IsolationLevel, ListedOffset, OffsetSpec, RequestError,
};
use ottla::offset::Offset;
use ottla::record::{BatchBuilder, Codec, Entry, NewRecord, ProducerStamp, TransactionMarker, TransactionResult};
use ottla::time::{Instant, Timestamp};
use proptest::prelude::*;

/// A batch of the log.
#[derive(Clone, Debug)]
enum Piece {
    /// Records, with a gap behind each of some.
    Plain { gaps: Vec<u32> },
    /// Records in the transaction of a producer.
    Txn { producer: u8, records: u32 },
    /// The end of a producer's transaction.
    End { producer: u8, result: TransactionResult },
}

#[derive(Clone, Debug)]
enum Step {
    Plan,
    /// The oldest question is answered with this many batches.
    Answer(usize),
    /// The oldest question cannot be answered now.
    Later,
    Poll(u32),
    Seek(u64),
    Find(OffsetSpec),
    /// Where the group is, which is asked for.
    Group(Option<u64>),
    Pause,
    Resume,
}

fn piece() -> impl Strategy<Value = Piece> {
    let result = prop_oneof![Just(TransactionResult::Commit), Just(TransactionResult::Abort)];
    prop_oneof![
        3 => prop::collection::vec(0..3_u32, 1..6).prop_map(|gaps| Piece::Plain { gaps }),
        3 => (0..3_u8, 1..4_u32).prop_map(|(producer, records)| Piece::Txn { producer, records }),
        2 => (0..3_u8, result).prop_map(|(producer, result)| Piece::End { producer, result }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Plan),
        6 => (0..4_usize).prop_map(Step::Answer),
        1 => Just(Step::Later),
        8 => (0..7_u32).prop_map(Step::Poll),
        2 => (0..60_u64).prop_map(Step::Seek),
        1 => Just(Step::Find(OffsetSpec::Earliest)),
        1 => Just(Step::Find(OffsetSpec::Latest)),
        1 => prop::option::of(0..60_u64).prop_map(Step::Group),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
    ]
}

/// The log, and what a consumer should see of it.
#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    /// Each record: its offset, and whether it was aborted.
    records: Vec<(u64, bool)>,
    aborted: Vec<AbortedTransaction>,
    end: u64,
}

impl Log {
    fn of(pieces: &[Piece]) -> Self {
        let mut log = Self::default();
        // Each producer's open transaction: its first offset, and its records by their places.
        let mut open: [Option<(u64, Vec<usize>)>; 3] = Default::default();
        for piece in pieces {
            match piece {
                Piece::Plain { gaps } => {
                    let mut builder = BatchBuilder::new(Codec::None);
                    let mut delta = 0;
                    for gap in gaps {
                        log.records.push((log.end + u64::from(delta), false));
                        push(&mut builder, delta, log.end);
                        delta += 1 + gap;
                    }
                    log.place(builder.last_offset_delta(delta - 1), delta);
                }
                Piece::Txn { producer, records } => {
                    let (_, places) = open[usize::from(*producer)].get_or_insert((log.end, Vec::new()));
                    let base_sequence = Sequence::new(0);
                    let stamp = ProducerStamp { id: id(*producer), epoch: Some(ProducerEpoch::ZERO), base_sequence };
                    let mut builder = BatchBuilder::new(Codec::None).producer(stamp).transactional();
                    for delta in 0..*records {
                        places.push(log.records.len());
                        log.records.push((log.end + u64::from(delta), false));
                        push(&mut builder, delta, log.end);
                    }
                    log.place(builder, *records);
                }
                Piece::End { producer, result } => {
                    let marker = TransactionMarker { result: *result, coordinator_epoch: 0 };
                    let batch = marker.to_batch(id(*producer), ProducerEpoch::ZERO, Timestamp::from_millis(1)).unwrap();
                    log.entries.push(batch.stamped(Offset::new(log.end), None).unwrap().into());
                    log.end += 1;
                    let Some((first, places)) = open[usize::from(*producer)].take() else { continue };
                    if *result == TransactionResult::Abort {
                        let first_offset = Offset::new(first);
                        log.aborted.push(AbortedTransaction { first_offset, producer_id: id(*producer) });
                        places.iter().for_each(|place| log.records[*place].1 = true);
                    }
                }
            }
        }
        log
    }

    fn place(&mut self, builder: BatchBuilder, offsets: u32) {
        self.entries.push(builder.build().unwrap().stamped(Offset::new(self.end), None).unwrap().into());
        self.end += u64::from(offsets);
    }

    /// The answer to a question from `from` on.
    fn fetch(&self, from: u64, batches: usize) -> Result<Fetched<Vec<Entry>>, RequestError> {
        if from > self.end {
            return Err(RequestError::new(ErrorCode::OffsetOutOfRange));
        }
        let wanted = self.entries.iter().filter(|entry| entry.next_offset().get() > from);
        let end = Offset::new(self.end);
        Ok(Fetched {
            high_watermark: end,
            last_stable_offset: end,
            log_start_offset: Offset::ZERO,
            // A broker names those that overlap what it answers with.
            aborted: self.aborted.iter().copied().filter(|aborted| self.ends_behind(aborted, from)).collect(),
            body: wanted.take(batches).cloned().collect(),
        })
    }

    /// Whether the transaction's marker stands at `from` or behind it.
    fn ends_behind(&self, aborted: &AbortedTransaction, from: u64) -> bool {
        let mut markers = self.entries.iter().filter(|entry| {
            let is_of = entry.producer().is_some_and(|producer| producer.id == aborted.producer_id);
            entry.is_control() && is_of && entry.next_offset() > aborted.first_offset
        });
        markers.next().is_some_and(|marker| marker.last_offset().get() >= from)
    }
}

fn id(producer: u8) -> ProducerId {
    ProducerId::new(producer.into()).unwrap()
}

/// Each record's value is its offset.
fn push(builder: &mut BatchBuilder, delta: u32, base: u64) {
    let offset = base + u64::from(delta);
    let record =
        NewRecord { timestamp: Timestamp::from_millis(1), key: None, value: Some(&offset.to_be_bytes()), headers: &[] };
    builder.push_at(delta, &record).unwrap();
}

struct World {
    log: Log,
    isolation: IsolationLevel,
    positions: Positions,
    partition: TopicPartition,
    asks: Vec<Ask>,
    now: u64,
    /// Where the last seek went, once that is known.
    from: Option<u64>,
    seen: Vec<u64>,
    /// What the group has committed.
    committed: Option<u64>,
}

impl World {
    fn new(log: Log, isolation: IsolationLevel) -> Self {
        let config = PositionsConfig { isolation, reset: OffsetReset::Earliest, ..PositionsConfig::default() };
        let partition = TopicPartition::parse("t-0").unwrap();
        let mut positions = Positions::new(config);
        positions.assign(partition.clone(), Start::At(Offset::ZERO));
        let (asks, seen) = (Vec::new(), Vec::new());
        Self { log, isolation, positions, partition, asks, now: 0, from: Some(0), seen, committed: None }
    }

    fn step(&mut self, step: &Step) {
        let now = Instant::from_millis(self.now);
        match step {
            Step::Plan => self.asks.extend(self.positions.plan(now)),
            Step::Answer(batches) if !self.asks.is_empty() => self.answer(*batches),
            Step::Later if !self.asks.is_empty() => {
                let error = RequestError::new(ErrorCode::NotLeaderOrFollower);
                self.positions.fetched(now, self.asks.remove(0).id, Err(error));
                self.now += 50;
            }
            Step::Answer(_) | Step::Later => self.now += 50,
            Step::Poll(max) => self.poll(*max),
            Step::Seek(offset) => self.seek(Start::At(Offset::new(*offset)), Some(*offset)),
            Step::Find(spec) => self.seek(Start::Find(*spec), None),
            Step::Group(committed) => {
                self.committed = *committed;
                self.seek(Start::Group(OffsetReset::Earliest), None);
            }
            Step::Pause => self.positions.set_pause(&self.partition, Pause::Paused).unwrap(),
            Step::Resume => self.positions.set_pause(&self.partition, Pause::Running).unwrap(),
        }
    }

    fn answer(&mut self, batches: usize) {
        let ask = self.asks.remove(0);
        let now = Instant::from_millis(self.now);
        match ask.what {
            AskFor::Batches(from) => self.positions.fetched(now, ask.id, self.log.fetch(from.get(), batches)),
            AskFor::Offset(spec) => {
                let offset = Offset::new(if spec == OffsetSpec::Earliest { 0 } else { self.log.end });
                let listed = ListedOffset { offset, timestamp: None, leader_epoch: None };
                self.positions.listed(now, ask.id, Ok(Some(listed)));
            }
            AskFor::Committed => {
                let committed = self.committed.map(|offset| Committed::at(Offset::new(offset)));
                self.positions.resumed(now, ask.id, Ok(committed));
            }
        }
        self.learn();
    }

    /// A position that was looked for, or reset, is where the next records are expected from.
    fn learn(&mut self) {
        let position = self.positions.position(&self.partition).map(Offset::get);
        if position.is_none() {
            self.check();
            (self.from, self.seen) = (None, Vec::new());
        } else if self.from.is_none() {
            self.from = position;
        }
    }

    fn seek(&mut self, start: Start, from: Option<u64>) {
        self.check();
        self.positions.seek(&self.partition, start).unwrap();
        (self.from, self.seen) = (from, Vec::new());
    }

    fn poll(&mut self, max: u32) {
        let mut count = 0;
        for polled in self.positions.poll(max).unwrap() {
            count += polled.count();
            for record in polled.iter() {
                let value = u64::from_be_bytes(record.value.unwrap().try_into().unwrap());
                assert_eq!(value, record.offset.get());
                self.seen.push(value);
            }
            let position = self.seen.last().map(|last| last + 1);
            assert!(Some(polled.offsets().1.get()) >= position);
        }
        assert!(count <= max);
    }

    /// What was seen since the last seek is what the log has up to the position.
    fn check(&self) {
        let (Some(from), Some(position)) = (self.from, self.positions.position(&self.partition)) else {
            assert!(self.seen.is_empty());
            return;
        };
        let hidden = |aborted: bool| aborted && self.isolation == IsolationLevel::ReadCommitted;
        let records = self.log.records.iter().filter(|(_, aborted)| !hidden(*aborted)).map(|(offset, _)| *offset);
        let expected: Vec<u64> = records.filter(|offset| (from..position.get()).contains(offset)).collect();
        assert_eq!(self.seen, expected, "from {from} to {position}");
        assert_eq!(self.seen.iter().collect::<BTreeSet<_>>().len(), self.seen.len());
    }

    /// All is answered, until the end is reached.
    fn finish(&mut self) {
        self.positions.set_pause(&self.partition, Pause::Running).unwrap();
        for _ in 0..1000 {
            self.now += 1000;
            self.step(&Step::Plan);
            while !self.asks.is_empty() {
                self.answer(2);
            }
            self.poll(3);
            if self.positions.position(&self.partition).is_some_and(|position| position.get() == self.log.end) {
                return self.check();
            }
        }
        panic!("it does not reach the end: {:?}", self.positions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_is_what_the_log_has_from_the_last_seek_on(
        pieces in prop::collection::vec(piece(), 1..20),
        steps in prop::collection::vec(step(), 1..120),
        committed in any::<bool>(),
    ) {
        let isolation = if committed { IsolationLevel::ReadCommitted } else { IsolationLevel::ReadUncommitted };
        let mut world = World::new(Log::of(&pieces), isolation);
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}
