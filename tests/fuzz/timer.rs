//! The timing wheel beside an ordered map of deadlines: F14.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use ottla::time::Instant;
use ottla::timer::{Advance, TimerId, TimingWheel, TimingWheelConfig, WheelSize};

const TICKS: [u64; 8] = [1, 1, 2, 7, 64, 1_000, 1 << 40, u64::MAX];

/// Reads measures and operations from `data`, and performs them on both. Whatever one answers, so must the other.
pub fn timing_wheel(data: &[u8]) {
    let mut input = Input(data);
    let tick_millis = NonZeroU64::new(TICKS[input.below(8) as usize]).expect("none of them is zero");
    let wheel_size = WheelSize::new(2 << input.below(6)).expect("a power of two up to 64");
    let mut both = Both {
        wheel: TimingWheel::with_config(TimingWheelConfig { tick_millis, wheel_size }),
        model: Model {
            tick_millis: tick_millis.get().into(),
            due: BTreeMap::new(),
            places: BTreeMap::new(),
            inserted: 0,
        },
        now: 0,
        timers: Vec::new(),
        given: BTreeSet::new(),
    };
    while !input.is_empty() {
        both.step(&mut input);
        assert_eq!(both.wheel.len(), both.model.due.len());
        assert_eq!(both.wheel.is_empty(), both.model.due.is_empty());
    }
    let mut rest = Vec::new();
    both.wheel.drain(&mut rest);
    assert_eq!(rest, both.model.due_at(u64::MAX));
    assert!(both.wheel.is_empty(), "{} timers are left behind", both.wheel.len());
}

/// The wheel and what it should do.
struct Both {
    wheel: TimingWheel<usize>,
    model: Model,
    now: u64,
    /// Every timer there ever was: its key is its index.
    timers: Vec<TimerId>,
    given: BTreeSet<TimerId>,
}

impl Both {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(11) {
            0..=3 => self.insert(input.moment(self.now)),
            4 => {
                let Some(key) = self.any(input) else { return };
                let expected = self.model.remove(key).then_some(key);
                assert_eq!(self.wheel.cancel(self.timers[key]), expected, "cancel {key}");
                assert_eq!(self.wheel.cancel(self.timers[key]), None, "cancel {key} again");
            }
            5 => {
                let Some(key) = self.any(input) else { return };
                let deadline = input.moment(self.now);
                let expected = self.model.remove(key);
                assert_eq!(self.wheel.rearm(self.timers[key], Instant::from_millis(deadline)), expected, "rearm {key}");
                if expected {
                    self.model.insert(deadline, key);
                }
                self.compare_deadline(key);
            }
            6 => {
                let (wake, next) = (self.wheel.next_wake(), self.model.next_deadline());
                assert!(wake <= next && wake.is_some() == next.is_some(), "{wake:?} is too late for {next:?}");
                assert_eq!(self.wheel.next_deadline(), next);
                assert_eq!(self.wheel.next_wake(), next);
            }
            // One that goes back is not taken for the time, but asked for all the same.
            7 => self.advance(input.moment(self.now)),
            8 => {
                let (now, limit) = (input.moment(self.now), input.below(40) as usize);
                // A timer is moved from wheel to wheel, of which there are at most 64, and each move may be counted as
                // those of a whole chunk.
                let enough = self.wheel.len() * 64 * 16 / limit.max(1) + 1;
                let slices = if limit > 0 && input.below(2) == 0 { enough } else { 1 };
                let done = (0..slices).any(|_| self.advance_at_most(now, limit) == Advance::Done);
                assert!(done || slices == 1, "{slices} slices of {limit} did not come to an end");
            }
            9 => {
                // So many that a bucket takes more than one step to open.
                let deadline = input.moment(self.now);
                (0..input.below(64)).for_each(|_| self.insert(deadline));
            }
            _ => {
                let next = self.model.next_deadline().unwrap_or(Instant::ZERO).as_millis();
                self.advance(next.saturating_sub(1));
                self.advance(next);
            }
        }
    }

    fn insert(&mut self, deadline: u64) {
        let key = self.timers.len();
        let id = self.wheel.insert(Instant::from_millis(deadline), key);
        assert!(self.given.insert(id), "{id:?} was given twice");
        self.timers.push(id);
        self.model.insert(deadline, key);
        self.compare_deadline(key);
    }

    /// Any timer there ever was, if there was one: half the time one of the last few.
    fn any(&self, input: &mut Input<'_>) -> Option<usize> {
        let count = self.timers.len();
        let back = if input.below(2) == 0 { input.below(8) } else { input.number(2) } as usize;
        (count > 0).then(|| count - 1 - back % count)
    }

    fn compare_deadline(&self, key: usize) {
        assert_eq!(self.wheel.deadline(self.timers[key]), self.model.deadline(key), "the deadline of {key}");
        assert_eq!(self.wheel.key(self.timers[key]), self.model.deadline(key).map(|_| &key));
    }

    fn advance(&mut self, now: u64) {
        let (due, mut out) = (self.due_at(now), Vec::new());
        self.wheel.advance(Instant::from_millis(now), &mut out);
        assert_eq!(out, due, "what is due at {now}");
        self.has_come_out(out);
    }

    fn advance_at_most(&mut self, now: u64, limit: usize) -> Advance {
        let (due, mut out) = (self.due_at(now), Vec::new());
        let advance = self.wheel.advance_at_most(Instant::from_millis(now), limit, &mut out);
        assert!(out.len() <= limit, "{} with a limit of {limit}", out.len());
        assert_eq!(out, due[..out.len()], "what is due at {now}, the first {}", out.len());
        let is_all = out.len() == due.len();
        assert!(is_all || advance == Advance::More, "done at {now}, and more is due");
        self.has_come_out(out);
        advance
    }

    fn due_at(&mut self, now: u64) -> Vec<usize> {
        self.now = self.now.max(now);
        self.model.due_at(now)
    }

    fn has_come_out(&mut self, keys: Vec<usize>) {
        for key in keys {
            self.model.remove(key);
            assert_eq!(self.wheel.cancel(self.timers[key]), None, "{key} has come out");
        }
    }
}

/// Deadlines in ticks, without an end to how many there are; and, for the same tick, when they were inserted.
struct Model {
    tick_millis: u128,
    due: BTreeMap<(u128, u64), usize>,
    /// Where in `due` each key is.
    places: BTreeMap<usize, (u128, u64)>,
    inserted: u64,
}

impl Model {
    fn insert(&mut self, deadline: u64, key: usize) {
        self.inserted += 1;
        let place = (u128::from(deadline).div_ceil(self.tick_millis), self.inserted);
        self.due.insert(place, key);
        self.places.insert(key, place);
    }

    fn remove(&mut self, key: usize) -> bool {
        self.places.remove(&key).is_some_and(|place| self.due.remove(&place).is_some())
    }

    fn deadline(&self, key: usize) -> Option<Instant> {
        self.places.get(&key).map(|(tick, _)| self.start_of(*tick))
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((tick, _), _)| self.start_of(*tick))
    }

    fn due_at(&self, now: u64) -> Vec<usize> {
        let is_due = |tick: u128| now == u64::MAX || tick * self.tick_millis <= u128::from(now);
        self.due.iter().filter(|((tick, _), _)| is_due(*tick)).map(|(_, key)| *key).collect()
    }

    /// When the tick begins, or the end of time.
    fn start_of(&self, tick: u128) -> Instant {
        Instant::from_millis(u64::try_from(tick * self.tick_millis).unwrap_or(u64::MAX))
    }
}

/// Choices, from bytes; zeros when there are no more.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn number(&mut self, bytes: usize) -> u64 {
        let (now, later) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = later;
        now.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.number(1) % end
    }

    /// A time near `now` or far from it, before it or behind it, or at the ends of time.
    fn moment(&mut self, now: u64) -> u64 {
        match self.below(10) {
            0 => now,
            1..=3 => now.saturating_add(self.number(1)),
            4 | 5 => now.saturating_add(self.number(2)),
            6 => now.saturating_add(self.number(4)),
            7 => now.saturating_sub(self.number(2)),
            8 => self.number(8),
            _ => u64::MAX - self.number(1),
        }
    }
}
