//! What can be seen from inside only: how much memory is held, and whether what always holds does.

use std::num::NonZeroU64;

use super::*;

const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn the_worked_example_happens_as_it_is_told() {
    let wheel_size = WheelSize::new(4).unwrap();
    let mut wheel = TimingWheel::with_config(TimingWheelConfig { wheel_size, ..TimingWheelConfig::default() });
    let mut out = Vec::new();
    for (millis, key) in [(2, 'a'), (6, 'b')] {
        wheel.insert(at(millis), key);
    }
    let c = wheel.insert(at(7), 'c');
    wheel.insert(at(6), 'd');
    wheel.insert(at(23), 'e');
    assert_eq!(wheel.drawn(), ["..a.", ".bcd..", ".e.."]);
    assert_eq!(wheel.next_deadline(), Some(at(2)));
    assert_eq!(wheel.cancel(c), Some('c'));
    assert_eq!(wheel.drawn(), ["..a.", ".bd..", ".e.."]);
    wheel.advance(at(5), &mut out);
    assert_eq!(wheel.drawn(), ["..bd.", "....", ".e.."]);
    wheel.insert(at(6), 'f');
    wheel.insert(at(3), 'g');
    assert_eq!(wheel.drawn(), ["..bdf.", "g...", ".e.."]);
    assert_eq!(out, ['a']);
    wheel.advance(at(5), &mut out);
    assert_eq!(out, ['a', 'g']);
    wheel.advance(at(1_000), &mut out);
    assert_eq!(out, ['a', 'g', 'b', 'd', 'f', 'e']);
    assert!(wheel.drawn().iter().all(|row| row == "...."));
}

#[test]
fn nothing_is_allocated_once_warm() {
    let mut wheel = TimingWheel::new();
    let (mut random, mut out, mut ids, mut now) = (Random(1), Vec::new(), Vec::new(), 0);
    let mut round = |wheel: &mut TimingWheel<u64>| {
        for _ in 0..2_000 {
            ids.push(wheel.insert(at(now + random.below(100_000)), now));
            let any = random.below(ids.len() as u64) as usize;
            wheel.rearm(ids[any], at(now + random.below(100_000)));
            if wheel.len() > 1_000 {
                wheel.cancel(ids.swap_remove(any));
            }
            now += random.below(20);
            wheel.next_deadline();
            wheel.advance(at(now), &mut out);
            out.clear();
        }
        ids.retain(|id| wheel.deadline(*id).is_some());
        wheel.check();
    };
    for _ in 0..30 {
        round(&mut wheel);
    }
    let warm = wheel.capacities();
    for _ in 0..30 {
        round(&mut wheel);
    }
    assert_eq!(wheel.capacities(), warm, "slots, free slots, chunks of entries, wheels around and in all, free wheels");
}

#[test]
fn cancelling_allocates_nothing_even_the_first_time() {
    let mut wheel = TimingWheel::new();
    let ids: Vec<_> = (0..1_000).map(|number| wheel.insert(at(number * number), ())).collect();
    wheel.next_deadline();
    let before = wheel.capacities();
    assert!(ids.into_iter().all(|id| wheel.cancel(id).is_some()));
    assert_eq!(wheel.capacities(), before);
}

#[test]
fn what_is_cancelled_leaves_no_memory_behind() {
    let mut wheel = TimingWheel::new();
    for round in 0..5_000 {
        // More than fit in a chunk, so that their bucket is opened by the one who asks.
        let ids: Vec<_> = (0..40).map(|number| wheel.insert(at(round + 30_000 + 7 * number), ())).collect();
        wheel.next_deadline();
        assert!(ids.into_iter().all(|id| wheel.cancel(id).is_some()));
    }
    wheel.check();
    let [slots, free, chunks, _, wheels, _] = wheel.capacities();
    assert!(slots <= 64 && free <= 64 && chunks <= 64, "{slots} slots, {free} free ones, {chunks} chunks");
    assert!(wheels <= 16, "{wheels} wheels");
}

#[test]
fn there_are_never_more_chunks_than_timers() {
    let mut wheel = TimingWheel::new();
    let ids: Vec<_> = (0..100_000).map(|number| wheel.insert(at(10_000 + number % 7), ())).collect();
    for (number, id) in ids.iter().enumerate() {
        if number % 200 != 0 {
            wheel.cancel(*id);
        }
    }
    for number in 0..100_000 {
        let id = wheel.insert(at(90_000 + number), ());
        wheel.cancel(id);
    }
    wheel.check();
    assert_eq!(wheel.len(), 500);
    let used = wheel.chunks_in_use();
    assert!(used <= wheel.len(), "{used} chunks for {} timers", wheel.len());
}

#[test]
fn a_worn_out_slot_is_not_used_again() {
    let mut wheel = TimingWheel::new();
    let first = wheel.insert(at(1), 'a');
    wheel.cancel(first);
    wheel.timers.wear_out();
    let last = wheel.insert(at(1), 'b');
    assert_eq!(last.slot(), first.slot());
    assert_eq!(wheel.cancel(last), Some('b'));
    let other = wheel.insert(at(1), 'c');
    assert_ne!(other.slot(), last.slot());
    assert_eq!((wheel.cancel(last), wheel.cancel(first), wheel.len()), (None, None, 1));
    assert_eq!(wheel.cancel(other), Some('c'));
}

#[test]
fn what_always_holds_does_after_each_of_many_steps() {
    for buckets in [2, 8, 64] {
        let wheel_size = WheelSize::new(buckets).unwrap();
        let tick_millis = NonZeroU64::new(3).unwrap();
        let mut wheel = TimingWheel::with_config(TimingWheelConfig { tick_millis, wheel_size });
        let (mut random, mut ids, mut now, mut out) = (Random(u64::from(buckets)), Vec::new(), 0, Vec::new());
        for step in 0..1_000 {
            let far = 1 << random.below(40);
            match random.below(8) {
                0..=4 => ids.push(wheel.insert(at(now + random.below(far)), step)),
                5 if !ids.is_empty() => {
                    wheel.cancel(ids.swap_remove(random.below(ids.len() as u64) as usize));
                }
                6 => {
                    wheel.next_deadline();
                }
                _ => {
                    now += random.below(far.min(5_000));
                    let _ = wheel.advance_at_most(at(now), random.below(60) as usize, &mut out);
                }
            }
            wheel.check();
        }
        assert!(wheel.len() > 50, "the steps leave too little to look at");
    }
}

#[test]
fn a_timer_takes_as_much_memory_as_is_said() {
    assert_eq!(size_of::<Option<TimerId>>(), 8);
    assert_eq!(Timers::<u64>::SLOT_BYTES, 16 + size_of::<Option<u64>>());
    assert_eq!(Timers::<std::rc::Rc<str>>::SLOT_BYTES, 16 + size_of::<std::rc::Rc<str>>());
    assert_eq!(Chunks::CHUNK_BYTES, 78);
    assert_eq!(Wheels::WHEEL_BYTES, 784);
}

impl<K> TimingWheel<K> {
    /// All that is said to be always true, seen by walking through everything.
    fn check(&self) {
        let mut found = 0;
        for (bucket, start, end) in self.wheels.check() {
            for chunk in self.chunks.check(self.wheels.list(bucket), bucket) {
                let entries: Vec<_> = self.armed(chunk).collect();
                assert!(!entries.is_empty(), "a chunk of nothing but what is left over");
                assert_eq!(entries.len(), self.chunks.armed(chunk), "the count of a chunk");
                assert!(entries.iter().all(|(_, tick)| (start..=end).contains(tick)), "a timer in another's bucket");
                assert!(self.first.is_none_or(|first| entries.iter().all(|(_, tick)| *tick >= first)));
                found += entries.len();
            }
        }
        assert_eq!(found, self.len(), "a timer without an entry");
    }

    fn chunks_in_use(&self) -> usize {
        self.wheels.check().iter().map(|(bucket, ..)| self.chunks.check(self.wheels.list(*bucket), *bucket).len()).sum()
    }

    fn capacities(&self) -> [usize; 6] {
        let [slots, free] = self.timers.capacities();
        let [around, wheels, free_wheels] = self.wheels.capacities();
        [slots, free, self.chunks.capacity(), around, wheels, free_wheels]
    }
}

impl TimingWheel<char> {
    /// The keys in each bucket of each of the three wheels around the present, a dot for an empty one.
    fn drawn(&self) -> Vec<String> {
        (0..3).map(|level| self.wheels.row(level).map(|bucket| self.drawn_bucket(bucket)).collect()).collect()
    }

    fn drawn_bucket(&self, bucket: BucketId) -> String {
        let chunk = self.wheels.list(bucket).head();
        let slots = chunk.into_iter().flat_map(|chunk| self.armed(chunk));
        let keys: String = slots.filter_map(|(slot, _)| self.timers.key(slot).copied()).collect();
        if keys.is_empty() { ".".to_owned() } else { keys }
    }
}

/// xorshift64*: the same steps in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}
