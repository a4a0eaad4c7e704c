//! Timers by the million: keys go in with a deadline, and come out when it has passed.
//!
//! A [`TimingWheel`] is told the time and hands out what is due. It asks no clock, starts no thread and calls nobody back.
//!
//! # The idea
//!
//! Most timers never fire: the answer comes before the timeout, the heartbeat before the session ends. So inserting and
//! cancelling must be cheap, and sorting a timer can wait until it turns out to be needed. A *bucket* is a list of timers
//! that are due at about the same time, and a *wheel* is a row of buckets. The lowest wheel has a bucket for each tick. A
//! bucket of the next, the *overflow* wheel, is as wide as all of the lowest, and so on: with 64 buckets and ticks of one
//! millisecond a bucket is 1 ms, 64 ms, 4 s, 4 min, 5 h, 12 days, 2 years wide, and eleven wheels reach to the end of time.
//! A wheel is made when a timer needs it. In which wheel a tick belongs is plain from the highest digit, in base 64, in
//! which it differs from the present: mostly, the further away the higher.
//!
//! Each wheel has a bit for each bucket that is not empty: the queue of buckets. To advance is to take the first of
//! them, however much time has passed, so empty ticks cost nothing. If it is a bucket of an overflow wheel, it is *opened*:
//! its timers go to the buckets of a finer wheel, in their order. That is all the sorting there is, and a timer that was
//! cancelled before has no part in it. A bucket of few timers is not even opened, but searched.
//!
//! # A worked example
//!
//! Ticks of 1 ms, 4 buckets to a wheel, so that a bucket is 1, 4, 16 ms wide. The present is 0.
//!
//! | what happens | 1 ms: 0 1 2 3 | 4 ms: 0– 4– 8– 12– | 16 ms: 0– 16– 32– 48– | comes out |
//! |---|---|---|---|---|
//! | insert *a* at 2, *b* at 6, *c* at 7, *d* at 6, *e* at 23 | `. . a .` | `. bcd . .` | `. e . .` | |
//! | `next_deadline()` is 2: the first bucket has one tick | `. . a .` | `. bcd . .` | `. e . .` | |
//! | cancel *c* (its entry is left over, and passed by later) | `. . a .` | `. bd . .` | `. e . .` | |
//! | `advance(5)` takes the bucket of 2. The present is now in the bucket 4–, so what is in there goes to the lowest wheel, which from now on is that of the ticks 4 5 6 7 | `. . bd .` | `. . . .` | `. e . .` | *a* |
//! | insert *f* at 6, behind those that came before it | `. . bdf .` | `. . . .` | `. e . .` | |
//! | insert *g* at 3, which has passed | `. . bdf .` | `g . . .` | `. e . .` | |
//! | `advance(5)` again, at the same time | `. . bdf .` | `. . . .` | `. e . .` | *g* |
//! | `advance(1_000)`: no tick in between is looked at | `. . . .` | `. . . .` | `. . . .` | *b d f e* |
//!
//! Had there been more than a chunk of timers in the bucket 16– when its time came, it would have been opened: into a wheel
//! of its own, with the buckets 16– 20– 24– 28–.
//!
//! # What it costs
//!
//! With *w* wheels in use, as many as the latest deadline or the time has digits in base 64: eight for the milliseconds of
//! a calendar, four for those of a process that has run for less than four hours. All of it amortised, as with any `Vec`.
//!
//! | | steps | allocates |
//! |---|---|---|
//! | `insert`, `rearm` | 1, and one more for each wheel on the way that was opened before its time | when there are more timers, chunks of 16 entries or wheels than ever before |
//! | `cancel` | 1; if it empties wheels, one for each | never |
//! | `next_wake` | *w* | never |
//! | `next_deadline` | *w*, and the opening of the first bucket; nothing if it was asked before and is still true | chunks and wheels |
//! | `advance`, nothing due | *w*, and the opening of the bucket that the present is in | chunks and wheels |
//! | `advance`, for each tick that has come | *w* | |
//! | `advance`, for each key handed out | 1, and at most *w* − 1 moves in all its life | chunks and wheels |
//!
//! Opening a bucket takes a step for each of its timers. Each is moved at most *w* − 1 times, whoever asks for it, so that
//! is paid for by inserting it. Who wants it in slices takes [`TimingWheel::advance_at_most`] and
//! [`TimingWheel::next_wake`]: neither does more than it is told.
//!
//! A timer takes 16 bytes and its `Option<K>`, 8 while its slot is free, and 5 for its entry in a full chunk, 78 if it is
//! alone in one; a wheel takes 784, and a bucket that was opened keeps its wheels until its last timer has gone. Growing
//! doubles, as with any `Vec`. Memory is kept for the next timers and not given back before the wheel is dropped.
//!
//! On two virtual cores of a shared machine, nanoseconds for each operation, medians of one run of `cargo bench --bench
//! timer`: deadlines spread over a minute, who is cancelled or armed anew is chosen at random, and to wait is to ask for
//! the next deadline, and to advance to it.
//!
//! | timers | queue | insert | cancel | re-arm | wait, per key | all four |
//! |---|---|---|---|---|---|---|
//! | 1 k | `TimingWheel` | 19.9 ns | 8.4 ns | 23.1 ns | 346.9 ns | 398.2 ns |
//! | 1 k | `BTreeMap` | 72.9 ns | 74.5 ns | 152.2 ns | 33.1 ns | 332.7 ns |
//! | 1 k | `BinaryHeap`, cancelled ones stay | 13.2 ns | 0.8 ns | 14.6 ns | 153.2 ns | 181.8 ns |
//! | 1 k | tokio-util `DelayQueue` | 80.7 ns | 127.3 ns | 163.4 ns | 1173.0 ns | 1544.5 ns |
//! | 1 k | a random write to a slot of 32 bytes, raw | 0.7 ns | | | | |
//! | 100 k | `TimingWheel` | 20.5 ns | 10.7 ns | 31.5 ns | 113.8 ns | 176.5 ns |
//! | 100 k | `BTreeMap` | 161.3 ns | 172.4 ns | 356.2 ns | 46.9 ns | 736.8 ns |
//! | 100 k | `BinaryHeap`, cancelled ones stay | 19.1 ns | 3.1 ns | 34.2 ns | 903.6 ns | 959.9 ns |
//! | 100 k | tokio-util `DelayQueue` | 111.7 ns | 294.3 ns | 335.2 ns | 625.1 ns | 1366.4 ns |
//! | 100 k | a random write to a slot of 32 bytes, raw | 4.0 ns | | | | |
//! | 10 M | `TimingWheel` | 111.2 ns | 112.0 ns | 327.2 ns | 147.9 ns | 698.3 ns |
//! | 10 M | `BTreeMap` | 1696.1 ns | 1822.4 ns | 3491.6 ns | 96.2 ns | 7106.3 ns |
//! | 10 M | `BinaryHeap`, cancelled ones stay | 105.1 ns | 11.3 ns | 111.1 ns | 3404.6 ns | 3632.1 ns |
//! | 10 M | tokio-util `DelayQueue` | 362.9 ns | 651.0 ns | 703.6 ns | 879.7 ns | 2597.2 ns |
//! | 10 M | a random write to a slot of 32 bytes, raw | 19.6 ns | | | | |
//!
//! The wheel's mean of the four at 10 M timers is 1.8 times that at 1 k. By itself each of the first three becomes dearer
//! by 6 to 14 times, because a timer chosen at random is then in no cache: so does the raw write, by 28 times. Waiting
//! becomes cheaper, because more timers share a tick. `BTreeMap` is faster only at waiting, for it has sorted all before.
//! The heap, which only notes who is cancelled, is faster at inserting and cancelling, at arming anew but for 100 k, and with
//! 1 k timers at waiting too. With more of them what it has put off comes back when it waits: all four together then take it
//! five times as long as the wheel.
//!
//! - May use: `time`.
//! - Must not know: clocks, threads, what a key means.
//! - Always true: no timer is handed out early, none twice, none lost; after `advance(now)` none is left that is due at
//!   `now`. What comes out is ordered by the tick of the deadline, then by insertion.

mod chunks;
mod config;
#[cfg(test)]
mod tests;
mod tick;
mod timers;
mod wheels;

pub use config::{TimingWheelConfig, WheelSize};
pub use timers::TimerId;

use crate::time::Instant;

use chunks::{CHUNK, ChunkId, Chunks, List, Place};
use tick::{Digits, Tick, TickLength};
use timers::Timers;
use wheels::{BucketId, First, Wheels};

/// Timers at the same time, at most: one more and [`TimingWheel::insert`] panics.
pub const TIMERS_MAX: usize = 1 << 27;

/// Whether all that is due was handed out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "what is left is due already"]
pub enum Advance {
    /// Nothing is left that is due.
    Done,
    /// The limit came first: more may be due, and a call with the same `now` goes on.
    More,
}

/// Timers with keys of type `K`: inserted and cancelled at constant cost, handed out when they are due.
///
/// Due is what has a deadline that is not after `now`, both in whole ticks: the deadline is rounded up and `now` down, so
/// no timer comes early. A tick that would begin after [`Instant::MAX`] begins at [`Instant::MAX`].
///
/// ```
/// use ottla::time::Instant;
/// use ottla::timer::TimingWheel;
///
/// let at = Instant::from_millis;
/// let mut wheel = TimingWheel::new();
/// let session = wheel.insert(at(30_000), "session");
/// wheel.insert(at(500), "request");
/// wheel.insert(at(500), "another request");
/// assert_eq!(wheel.next_deadline(), Some(at(500)));
///
/// let mut due = Vec::new();
/// wheel.advance(at(499), &mut due);
/// assert!(due.is_empty());
/// wheel.advance(at(10_000), &mut due);
/// assert_eq!(due, ["request", "another request"]);
///
/// // The surprising case: a handle outlives its timer, and does no harm.
/// assert_eq!(wheel.cancel(session), Some("session"));
/// let other = wheel.insert(at(60_000), "other");
/// assert_eq!(wheel.cancel(session), None);
/// assert!(wheel.rearm(other, at(90_000)));
/// assert_eq!(wheel.len(), 1);
/// ```
#[derive(Debug)]
pub struct TimingWheel<K> {
    tick_length: TickLength,
    timers: Timers<K>,
    chunks: Chunks,
    wheels: Wheels,
    /// When the first timer of all is due, as long as that is known: whoever waits asks again and again.
    first: Option<Tick>,
}

impl<K> Default for TimingWheel<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> TimingWheel<K> {
    /// No timers; ticks of a millisecond.
    pub fn new() -> Self {
        Self::with_config(TimingWheelConfig::default())
    }

    /// No timers, with the measures of `config`.
    pub const fn with_config(config: TimingWheelConfig) -> Self {
        Self {
            tick_length: TickLength::of_millis(config.tick_millis),
            timers: Timers::new(),
            chunks: Chunks::new(),
            wheels: Wheels::new(Digits::of_bits(config.wheel_size.bits())),
            first: None,
        }
    }

    /// How many timers there are: inserted, and neither cancelled nor handed out.
    pub const fn len(&self) -> usize {
        self.timers.armed()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a timer. A deadline that has passed is as good as any: it is due at the next [`TimingWheel::advance`], and
    /// comes before all that have later ones.
    ///
    /// # Panics
    ///
    /// If there are [`TIMERS_MAX`] timers already. They take four gigabytes or more.
    pub fn insert(&mut self, deadline: Instant, key: K) -> TimerId {
        assert!(self.len() < TIMERS_MAX, "more than {TIMERS_MAX} timers");
        let tick = self.tick_length.at_or_after(deadline);
        let id = self.timers.reserve();
        let place = self.enqueue(id.slot(), tick);
        self.timers.arm(id, tick, place, key);
        id
    }

    /// Takes a timer out and answers with its key; `None` if `id` is stale, that is, if the timer was cancelled or handed
    /// out before.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let (_, tick) = self.timers.find(id)?;
        self.forget_first(tick);
        let (place, key) = self.timers.disarm(id.slot());
        self.leave(place);
        key
    }

    /// Gives a timer another deadline, earlier or later; its id stays good. It counts as inserted now: among those of the
    /// same tick it is the last. Answers whether there was such a timer: `false` if `id` is stale.
    pub fn rearm(&mut self, id: TimerId, deadline: Instant) -> bool {
        let Some((place, before)) = self.timers.find(id) else { return false };
        self.forget_first(before);
        self.leave(place);
        let tick = self.tick_length.at_or_after(deadline);
        let place = self.enqueue(id.slot(), tick);
        self.timers.moved(id.slot(), tick, place);
        true
    }

    /// The key of a timer; `None` if `id` is stale.
    pub fn key(&self, id: TimerId) -> Option<&K> {
        self.timers.find(id)?;
        self.timers.key(id.slot())
    }

    /// When the timer is due: its deadline, rounded up to a tick; `None` if `id` is stale.
    pub fn deadline(&self, id: TimerId) -> Option<Instant> {
        self.timers.find(id).map(|(_, tick)| self.tick_length.start_of(tick))
    }

    /// The first moment at which a timer is due, exact to the tick; `None` if there are no timers. It may have passed.
    ///
    /// To know it, buckets are opened as if the time had come: a step for each timer in them, which advancing is then
    /// spared. [`TimingWheel::next_wake`] does no such work, and is less exact.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        if self.first.is_none() {
            self.first = match self.find_due(Tick::MAX, &mut { usize::MAX }) {
                Due::At { tick, .. } => Some(tick),
                Due::Nothing | Due::NotFound => None,
            };
        }
        self.first.map(|tick| self.tick_length.start_of(tick))
    }

    /// A moment to advance at: never later than [`TimingWheel::next_deadline`], and earlier where that is not known
    /// without opening a bucket. `None` if there are no timers. It may have passed.
    ///
    /// Who wakes then and advances comes nearer to the deadline each time, at most once for each wheel.
    pub fn next_wake(&self) -> Option<Instant> {
        let tick = self.first.or_else(|| self.wheels.first().map(|first| first.start));
        tick.map(|tick| self.tick_length.start_of(tick))
    }

    /// Appends to `out` the key of each timer that is due at `now`, ordered by the tick of its deadline, then by
    /// insertion. They are gone from the wheel; nothing else has happened.
    ///
    /// A `now` that goes back brings out nothing but what was inserted since and is due even then.
    pub fn advance(&mut self, now: Instant, out: &mut Vec<K>) {
        while self.advance_at_most(now, usize::MAX, out) == Advance::More {}
    }

    /// As [`TimingWheel::advance`], with at most about `limit` steps: keys handed out and timers moved nearer, together.
    /// At most `limit` keys come out; fewer, or none, does not mean that no more are due: that is what [`Advance`] says.
    ///
    /// Between two such calls timers may be inserted and cancelled as ever.
    pub fn advance_at_most(&mut self, now: Instant, limit: usize, out: &mut Vec<K>) -> Advance {
        let until = self.tick_length.begun_at(now);
        let advance = self.hand_out_until(until, limit, out);
        if advance == Advance::Done && until > self.wheels.present() {
            let unopened = self.wheels.move_on(until);
            self.place_anew(unopened);
        }
        advance
    }

    /// Takes out all timers, due or not, and appends their keys to `out` in the order in which they would have come.
    pub fn drain(&mut self, out: &mut Vec<K>) {
        while self.hand_out_until(Tick::MAX, usize::MAX, out) == Advance::More {}
    }

    fn hand_out_until(&mut self, until: Tick, limit: usize, out: &mut Vec<K>) -> Advance {
        let mut steps = limit;
        loop {
            match self.find_due(until, &mut steps) {
                Due::At { bucket, tick } if steps > 0 => self.hand_out(bucket, tick, &mut steps, out),
                Due::At { .. } | Due::NotFound => return Advance::More,
                Due::Nothing => return Advance::Done,
            }
        }
    }

    /// Finds the first timers of all, if they are due at `until`, and opens what is in the way. If there are none, the
    /// bucket that `until` is in was opened, or has no more than a chunk.
    fn find_due(&mut self, until: Tick, steps: &mut usize) -> Due {
        loop {
            let Some(first) = self.wheels.first().filter(|first| first.start <= until) else { return Due::Nothing };
            let First { bucket, start, is_one_tick, was_opened } = first;
            if is_one_tick {
                return Due::At { bucket, tick: start };
            }
            let unsorted = self.wheels.list(bucket).only_chunk().filter(|_| !was_opened);
            if let Some(tick) = unsorted.and_then(|chunk| self.armed(chunk).map(|(_, tick)| tick).min()) {
                return if tick <= until { Due::At { bucket, tick } } else { Due::Nothing };
            }
            if !self.open(bucket, steps) {
                return Due::NotFound;
            }
        }
    }

    /// Moves the entries of a bucket to a finer wheel. Answers whether all were moved before the steps ran out.
    fn open(&mut self, bucket: BucketId, steps: &mut usize) -> bool {
        while let Some(chunk) = self.wheels.list(bucket).head() {
            if *steps == 0 {
                return false;
            }
            *steps = steps.saturating_sub(CHUNK);
            for (slot, tick) in self.armed(chunk) {
                let finer = self.wheels.occupy_finer(bucket, tick);
                let place = self.chunks.push(self.wheels.list_mut(finer), finer, slot);
                self.timers.moved(slot, tick, place);
            }
            self.chunks.remove(self.wheels.list_mut(bucket), chunk);
        }
        true
    }

    /// Hands out the timers of `bucket` that are due at `tick`, which is the earliest of it.
    fn hand_out(&mut self, bucket: BucketId, tick: Tick, steps: &mut usize, out: &mut Vec<K>) {
        self.forget_first(tick);
        let mut next = self.wheels.list(bucket).head();
        while let Some(chunk) = next.filter(|_| *steps > 0) {
            next = self.chunks.next(chunk);
            let due = self.armed(chunk).filter(|(_, other)| *other == tick);
            for (slot, _) in due.take(*steps) {
                *steps -= 1;
                let (place, key) = self.timers.disarm(slot);
                out.extend(key);
                self.leave(place);
            }
        }
    }

    /// The timers whose entries are in `chunk`, with their slots and ticks, in order.
    fn armed(&self, chunk: ChunkId) -> impl Iterator<Item = (u32, Tick)> + use<K> {
        self.timers.armed_in(chunk, self.chunks.entries(chunk)).into_iter().flatten()
    }

    /// Places the entries of a list that belongs to no bucket any more.
    fn place_anew(&mut self, mut list: List) {
        while let Some(chunk) = list.head() {
            for (slot, tick) in self.armed(chunk) {
                let place = self.enqueue(slot, tick);
                self.timers.moved(slot, tick, place);
            }
            self.chunks.remove(&mut list, chunk);
        }
    }

    /// Makes an entry for the timer of `slot`, which has to be told its place.
    #[inline]
    fn enqueue(&mut self, slot: u32, tick: Tick) -> Place {
        self.first = self.first.map(|first| first.min(tick));
        let bucket = self.wheels.occupy(tick);
        self.chunks.push(self.wheels.list_mut(bucket), bucket, slot)
    }

    /// A timer that is due at `tick` goes: if that is the first tick, there may be none left of it.
    #[inline]
    fn forget_first(&mut self, tick: Tick) {
        if self.first == Some(tick) {
            self.first = None;
        }
    }

    /// The entry at `place` is left over now.
    #[inline]
    fn leave(&mut self, place: Place) {
        if let Some((chunk, bucket)) = self.chunks.leave(place) {
            self.chunks.remove(self.wheels.list_mut(bucket), chunk);
            self.wheels.vacate(bucket);
        }
    }
}

/// What there is to hand out.
enum Due {
    /// The timers of `bucket` that are due at `tick`, and none is before them.
    At {
        bucket: BucketId,
        tick: Tick,
    },
    Nothing,
    /// The steps ran out before that was known.
    NotFound,
}
