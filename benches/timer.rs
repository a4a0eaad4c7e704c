//! The timing wheel beside other queues of timers, in the same run: `cargo bench --bench timer [-- COUNT...]`.
//!
//! Each queue holds a number of timers with deadlines spread evenly over the next minute. In each round a share of them is
//! inserted, cancelled, given another deadline, and waited for; who is cancelled is chosen at random. Queues take turns,
//! and the median of several rounds counts. Nothing here fails on a time.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench measures real time, and has nobody to return an error to"
)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::poll_fn;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ottla::time::Instant as Moment;
use ottla::timer::{TimerId, TimingWheel};
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue;

const COUNTS: [usize; 3] = [1_000, 100_000, 10_000_000];
const SPREAD_MILLIS: u64 = 60_000;
const ROUNDS: usize = 7;

fn main() {
    let wanted: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.replace('_', "").parse().ok()).collect();
    println!("| timers | queue | insert | cancel | re-arm | wait, per key | all four |");
    println!("|---|---|---|---|---|---|---|");
    for count in if wanted.is_empty() { COUNTS.to_vec() } else { wanted } {
        row(count, "`TimingWheel`", &measure(count, Wheel::default));
        row(count, "`BTreeMap`", &measure(count, Tree::default));
        row(count, "`BinaryHeap`, cancelled ones stay", &measure(count, Heap::default));
        row(count, "tokio-util `DelayQueue`", &measure(count, Tokio::new));
        println!("| {count} | a random write to a slot of 32 bytes, raw | {:.1} ns | | | | |", raw(count));
    }
}

/// A queue of timers, driven by what is in it: its time is that of the next deadline.
trait Queue {
    type Id: Copy;
    fn insert(&mut self, millis: u64, key: u32) -> Self::Id;
    fn cancel(&mut self, id: Self::Id);
    fn rearm(&mut self, id: Self::Id, millis: u64, key: u32) -> Self::Id;
    /// Waits from deadline to deadline until at least `count` keys have come out, and answers with the time.
    fn wait(&mut self, count: usize, out: &mut Vec<u32>) -> u64;
}

/// Nanoseconds for each of the four.
type Cost = [f64; 4];

fn measure<Q: Queue>(count: usize, make: impl Fn() -> Q) -> Cost {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut queue, mut now) = (make(), 0);
    let mut ids: Vec<Q::Id> = (0..count as u32).map(|key| queue.insert(random.deadline(now), key)).collect();
    let share = (count / 10).clamp(100, 200_000);
    let repeats = (20_000 / share).max(1);
    let mut rounds: Vec<Cost> = Vec::new();
    for _ in 0..=ROUNDS {
        let mut cost = [0.0; 4];
        for _ in 0..repeats {
            // Those who go are chosen before the clock runs, so that only the queue is measured.
            let chosen = random.chosen(count, share);
            let deadlines: Vec<u64> = chosen.iter().map(|_| random.deadline(now)).collect();
            let victims: Vec<Q::Id> = chosen.iter().map(|key| ids[*key as usize]).collect();
            cost[1] += nanos(|| victims.iter().for_each(|id| queue.cancel(*id)));
            let mut made = Vec::with_capacity(share);
            cost[0] += nanos(|| {
                made.extend(chosen.iter().zip(&deadlines).map(|(key, deadline)| queue.insert(*deadline, *key)));
            });
            chosen.iter().zip(&made).for_each(|(key, id)| ids[*key as usize] = *id);

            let chosen = random.chosen(count, share);
            let deadlines: Vec<u64> = chosen.iter().map(|_| random.deadline(now)).collect();
            let victims: Vec<Q::Id> = chosen.iter().map(|key| ids[*key as usize]).collect();
            made.clear();
            cost[2] += nanos(|| {
                let all = victims.iter().zip(&deadlines).zip(&chosen);
                made.extend(all.map(|((id, deadline), key)| queue.rearm(*id, *deadline, *key)));
            });
            chosen.iter().zip(&made).for_each(|(key, id)| ids[*key as usize] = *id);

            let mut due = Vec::with_capacity(2 * share);
            cost[3] += nanos(|| now = queue.wait(share, &mut due)) * share as f64 / due.len() as f64;
            for key in due {
                ids[key as usize] = queue.insert(random.deadline(now), key);
            }
        }
        rounds.push(cost.map(|nanos| nanos / (share * repeats) as f64));
    }
    // The first round warms up.
    [0, 1, 2, 3].map(|column| median(rounds[1..].iter().map(|cost| cost[column]).collect()))
}

#[derive(Default)]
struct Wheel(TimingWheel<u32>);

impl Queue for Wheel {
    type Id = TimerId;

    fn insert(&mut self, millis: u64, key: u32) -> TimerId {
        self.0.insert(Moment::from_millis(millis), key)
    }

    fn cancel(&mut self, id: TimerId) {
        black_box(self.0.cancel(id)).unwrap();
    }

    fn rearm(&mut self, id: TimerId, millis: u64, _: u32) -> TimerId {
        assert!(self.0.rearm(id, Moment::from_millis(millis)));
        id
    }

    fn wait(&mut self, count: usize, out: &mut Vec<u32>) -> u64 {
        let mut now = Moment::ZERO;
        while out.len() < count {
            now = self.0.next_deadline().unwrap();
            self.0.advance(now, out);
        }
        now.as_millis()
    }
}

#[derive(Default)]
struct Tree {
    timers: BTreeMap<(u64, u64), u32>,
    inserted: u64,
}

impl Queue for Tree {
    type Id = (u64, u64);

    fn insert(&mut self, millis: u64, key: u32) -> (u64, u64) {
        self.inserted += 1;
        let id = (millis, self.inserted);
        self.timers.insert(id, key);
        id
    }

    fn cancel(&mut self, id: (u64, u64)) {
        black_box(self.timers.remove(&id)).unwrap();
    }

    fn rearm(&mut self, id: (u64, u64), millis: u64, key: u32) -> (u64, u64) {
        self.cancel(id);
        self.insert(millis, key)
    }

    fn wait(&mut self, count: usize, out: &mut Vec<u32>) -> u64 {
        let mut now = 0;
        while out.len() < count {
            now = self.timers.first_key_value().unwrap().0.0;
            while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
                out.push(first.remove());
            }
        }
        now
    }
}

/// A heap cannot take out what is in its middle: what was cancelled stays until its time, and is then left out.
#[derive(Default)]
struct Heap {
    timers: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// For each key the number of its timer that counts.
    armed: Vec<u64>,
    inserted: u64,
}

impl Queue for Heap {
    type Id = u32;

    fn insert(&mut self, millis: u64, key: u32) -> u32 {
        self.inserted += 1;
        self.timers.push(Reverse((millis, self.inserted, key)));
        if self.armed.len() <= key as usize {
            self.armed.resize(key as usize + 1, 0);
        }
        self.armed[key as usize] = self.inserted;
        key
    }

    fn cancel(&mut self, id: u32) {
        self.armed[id as usize] = 0;
    }

    fn rearm(&mut self, _: u32, millis: u64, key: u32) -> u32 {
        self.insert(millis, key)
    }

    fn wait(&mut self, count: usize, out: &mut Vec<u32>) -> u64 {
        let mut now = 0;
        while out.len() < count {
            let Reverse((millis, number, key)) = self.timers.pop().unwrap();
            now = millis;
            if self.armed[key as usize] == number {
                out.push(key);
            }
        }
        now
    }
}

/// Its clock stands still and jumps to the next deadline when all wait.
struct Tokio {
    timers: DelayQueue<u32>,
    start: tokio::time::Instant,
    runtime: tokio::runtime::Runtime,
}

impl Tokio {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (timers, start) = runtime.block_on(async { (DelayQueue::new(), tokio::time::Instant::now()) });
        Self { timers, start, runtime }
    }
}

impl Queue for Tokio {
    type Id = delay_queue::Key;

    fn insert(&mut self, millis: u64, key: u32) -> delay_queue::Key {
        let _inside = self.runtime.enter();
        self.timers.insert_at(key, self.start + Duration::from_millis(millis))
    }

    fn cancel(&mut self, id: delay_queue::Key) {
        let _inside = self.runtime.enter();
        black_box(self.timers.remove(&id));
    }

    fn rearm(&mut self, id: delay_queue::Key, millis: u64, _: u32) -> delay_queue::Key {
        let _inside = self.runtime.enter();
        self.timers.reset_at(&id, self.start + Duration::from_millis(millis));
        id
    }

    fn wait(&mut self, count: usize, out: &mut Vec<u32>) -> u64 {
        let Self { timers, start, runtime } = self;
        runtime.block_on(async {
            while out.len() < count {
                out.push(poll_fn(|context| timers.poll_expired(context)).await.unwrap().into_inner());
            }
            start.elapsed().as_millis() as u64
        })
    }
}

/// What memory alone costs: random writes to as many slots of 32 bytes.
fn raw(count: usize) -> f64 {
    let mut random = Random(7);
    let mut slots = vec![[0_u64; 4]; count];
    let share = (count / 10).clamp(20_000, 200_000);
    let rounds = (0..=ROUNDS).map(|_| {
        let chosen: Vec<u32> = (0..share).map(|_| random.below(count as u64) as u32).collect();
        nanos(|| chosen.iter().for_each(|slot| slots[*slot as usize][0] += 1)) / share as f64
    });
    let cost = median(rounds.collect());
    black_box(slots);
    cost
}

/// xorshift64*: the same timers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn deadline(&mut self, now: u64) -> u64 {
        now + 1 + self.below(SPREAD_MILLIS)
    }

    /// So many different keys, in any order.
    fn chosen(&mut self, count: usize, share: usize) -> Vec<u32> {
        let stretch = (count / share) as u64;
        let mut keys: Vec<u32> = (0..share as u64).map(|at| (at * stretch + self.below(stretch)) as u32).collect();
        for at in (1..keys.len()).rev() {
            keys.swap(at, self.below(at as u64 + 1) as usize);
        }
        keys
    }
}

fn nanos(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn row(count: usize, name: &str, cost: &Cost) {
    let [insert, cancel, rearm, wait] = cost;
    let all: f64 = cost.iter().sum();
    println!("| {count} | {name} | {insert:.1} ns | {cancel:.1} ns | {rearm:.1} ns | {wait:.1} ns | {all:.1} ns |");
}
