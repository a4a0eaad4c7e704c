//! What one input costs a node, without a disk: `cargo bench --bench broker`.
//!
//! A produce or a fetch goes in, what comes out is taken and dropped, and writes are reported as done. The rest, many
//! partitions or many fetches that wait elsewhere, should not be felt. Nothing here fails on a time.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a bench measures real time, and has nobody to return an error to"
)]

use std::hint::black_box;
use std::time::Instant as Clock;

use ottla::broker::{Broker, DiskReport, DiskWish, Host, Input, Output, RequestId};
use ottla::epoch::LeaderEpoch;
use ottla::id::{BrokerId, TopicPartition};
use ottla::log::{Effect, Log, LogConfig};
use ottla::message::{Acks, Durability, Fetch, FetchPartition, IsolationLevel, Produce, ProducePartition, Request};
use ottla::offset::Offset;
use ottla::partition::{Found, PartitionConfig, PartitionFacts, Reign};
use ottla::record::{Batch, BatchBuilder, Checked, Codec, NewRecord, Rules};
use ottla::time::{Instant, Timestamp};

const DATE: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const ROUNDS: usize = 7;

fn main() {
    println!(
        "| partitions | fetches that wait elsewhere | produce, and its write reported | fetch from memory | raw: `memcpy` of the batch |"
    );
    println!("|---|---|---|---|---|");
    for (partitions, waiting) in [(1, 0), (100, 0), (10_000, 0), (100, 10_000), (10_000, 10_000)] {
        let mut node = Node::new(partitions, waiting);
        let (mut produce, mut fetch, mut raw) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let [one, other, copy] = node.round(round as u64);
            produce.push(one);
            fetch.push(other);
            raw.push(copy);
        }
        let cost = |values: &[f64]| median(&values[1..]);
        println!(
            "| {partitions} | {waiting} | {:.0} ns | {:.0} ns | {:.0} ns |",
            cost(&produce),
            cost(&fetch),
            cost(&raw)
        );
    }
}

struct Node {
    broker: Broker,
    names: Vec<TopicPartition>,
    batch: Checked,
    ends: Vec<u64>,
    requests: u64,
}

impl Node {
    /// The fetches wait at the last partition, which gets nothing.
    fn new(partitions: u32, waiting: u64) -> Self {
        let names: Vec<_> =
            (0..=partitions).map(|number| TopicPartition::parse(&format!("t-{number}")).unwrap()).collect();
        let ends = vec![0; names.len()];
        let mut node = Self { broker: Broker::new(), names, batch: batch(), ends, requests: waiting };
        for partition in node.names.clone() {
            let mut effects = Vec::new();
            // Little is kept in memory of each, for there are many.
            let config = LogConfig { tail_cache_bytes: 16 << 10, ..LogConfig::default() };
            let log = Log::new(config, Offset::ZERO, DATE, &mut effects).unwrap();
            let broker = BrokerId::new(1);
            let facts = PartitionFacts { partition: partition.clone(), topic_id: None, broker, found: Found::Whole };
            let (reign, config) = (Reign::alone(broker, LeaderEpoch::ZERO), PartitionConfig::default());
            node.give(Input::Host(Box::new(Host { log, facts, reign, config })));
            effects.into_iter().for_each(|effect| node.perform(partition.clone(), DiskWish::Log(effect)));
        }
        let last = node.names.last().unwrap().clone();
        for id in 0..waiting {
            let request = Request::Fetch(fetch(&last, 0, 60_000));
            node.give(Input::Request { id: RequestId(id), date: DATE, request });
        }
        node
    }

    /// Nanoseconds for a produce, for a fetch, and for a copy of the batch.
    fn round(&mut self, round: u64) -> [f64; 3] {
        let count = 20_000_u64;
        let all = self.names.len() as u64 - 1;
        let chosen: Vec<usize> = (0..count).map(|number| ((number * 7_919 + round) % all) as usize).collect();
        let produces: Vec<_> =
            chosen.iter().map(|at| Request::Produce(produce(&self.names[*at], &self.batch))).collect();
        let start = Clock::now();
        for request in produces {
            self.ask(request);
        }
        let produce = start.elapsed().as_nanos() as f64 / count as f64;
        chosen.iter().for_each(|at| self.ends[*at] += 1);

        let fetches: Vec<_> =
            chosen.iter().map(|at| Request::Fetch(fetch(&self.names[*at], self.ends[*at] - 1, 0))).collect();
        let start = Clock::now();
        for request in fetches {
            self.ask(request);
        }
        let fetch = start.elapsed().as_nanos() as f64 / count as f64;

        let bytes = self.batch.batch().to_bytes();
        let start = Clock::now();
        (0..count).for_each(|_| drop(black_box(bytes.to_vec())));
        [produce, fetch, start.elapsed().as_nanos() as f64 / count as f64]
    }

    fn ask(&mut self, request: Request<Checked>) {
        self.requests += 1;
        self.give(Input::Request { id: RequestId(self.requests), date: DATE, request });
    }

    fn give(&mut self, input: Input) {
        self.broker.handle(Instant::ZERO, input);
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Disk { partition, wish } => self.perform(partition, wish),
                other => drop(black_box(other)),
            }
        }
    }

    /// Says that it is done, and does nothing.
    fn perform(&mut self, partition: TopicPartition, wish: DiskWish) {
        let report = match wish {
            DiskWish::Log(Effect::Op(seq, op)) => {
                drop(black_box(op));
                DiskReport::Done(seq)
            }
            DiskWish::Log(Effect::Sync(sync)) => DiskReport::Synced(sync.id),
            DiskWish::Reserve { file, wanted, .. } => DiskReport::Reserved(file, wanted),
            DiskWish::Mark(_) => DiskReport::Marked,
            DiskWish::Log(Effect::Remove(_)) => return,
        };
        self.broker.handle(Instant::ZERO, Input::Disk { partition, report });
    }
}

fn produce(partition: &TopicPartition, batch: &Checked) -> Produce<Checked> {
    let part = ProducePartition { partition: partition.clone(), batch: batch.clone(), expected_offset: None };
    Produce { acks: Acks::All, durability: Durability::Written, timeout_ms: 1_000, partitions: vec![part] }
}

fn fetch(partition: &TopicPartition, from: u64, wait_max_ms: u32) -> Fetch {
    let partitions = vec![FetchPartition::new(partition.clone(), Offset::new(from))];
    Fetch { isolation: IsolationLevel::ReadUncommitted, bytes_min: 1, bytes_max: 1 << 20, wait_max_ms, partitions }
}

/// One record of a kibibyte.
fn batch() -> Checked {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(&NewRecord::new(DATE, None, Some(&[7; 1024]))).unwrap();
    let batch: Batch = batch.build().unwrap();
    batch.check(&Rules::default(), DATE).unwrap()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
