//! The promises of the timing wheel, one by one, and then any operations beside an ordered map: I-X2.
//!
//! `PROPTEST_CASES=100000 cargo test --release --test timing_wheel` looks longer.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::num::NonZeroU64;

#[path = "fuzz/timer.rs"]
#[expect(unreachable_pub, reason = "the fuzz crate includes the same file")]
mod timer;

use ottla::time::Instant;
use ottla::timer::{Advance, TimingWheel, TimingWheelConfig, WheelSize};
use proptest::prelude::*;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn with_tick(millis: u64) -> TimingWheel<u64> {
    let tick_millis = NonZeroU64::new(millis).unwrap();
    TimingWheel::with_config(TimingWheelConfig { tick_millis, ..TimingWheelConfig::default() })
}

fn advanced<K>(wheel: &mut TimingWheel<K>, millis: u64) -> Vec<K> {
    let mut due = Vec::new();
    wheel.advance(at(millis), &mut due);
    due
}

#[test]
fn a_deadline_between_two_ticks_waits_for_the_later_one() {
    let mut wheel = with_tick(100);
    let id = wheel.insert(at(101), 101);
    wheel.insert(at(100), 100);
    assert_eq!(wheel.deadline(id), Some(at(200)));
    assert_eq!(advanced(&mut wheel, 199), [100]);
    assert_eq!(wheel.next_deadline(), Some(at(200)));
    assert_eq!(advanced(&mut wheel, 200), [101]);
}

#[test]
fn timers_of_one_tick_come_in_the_order_of_their_insertion_wherever_they_waited() {
    let mut wheel = TimingWheel::new();
    let target = 1_000_000;
    let mut expected = Vec::new();
    // Ever nearer to the deadline, so that they enter through wheels ever lower.
    for (key, now) in [0, 500_000, 990_000, 999_000, 999_950, 999_999].into_iter().enumerate() {
        assert!(advanced(&mut wheel, now).is_empty());
        for twin in 0..40 {
            wheel.insert(at(target), (key, twin));
            expected.push((key, twin));
        }
        wheel.next_deadline();
    }
    assert_eq!(advanced(&mut wheel, target), expected);
}

#[test]
fn a_timer_that_is_armed_anew_is_the_last_of_its_tick() {
    let mut wheel = TimingWheel::new();
    let first = wheel.insert(at(50), 'a');
    wheel.insert(at(50), 'b');
    assert!(wheel.rearm(first, at(50)));
    let gone = wheel.insert(at(60), 'c');
    assert_eq!(wheel.cancel(gone), Some('c'));
    assert!(!wheel.rearm(gone, at(50)));
    assert_eq!(advanced(&mut wheel, 50), ['b', 'a']);
    assert!(!wheel.rearm(first, at(70)), "it has come out");
    assert!(wheel.is_empty());
}

#[test]
fn the_end_of_time_is_a_deadline_like_any_other_whatever_the_tick() {
    for millis in [1, 7, 1_000, u64::MAX] {
        let mut wheel = with_tick(millis);
        for deadline in [u64::MAX, 5, u64::MAX - 1, 0] {
            wheel.insert(at(deadline), deadline);
        }
        assert_eq!(advanced(&mut wheel, 0), [0]);
        let mut due = advanced(&mut wheel, u64::MAX - 1);
        due.extend(advanced(&mut wheel, u64::MAX));
        due.sort_unstable();
        assert_eq!(due, [5, u64::MAX - 1, u64::MAX], "ticks of {millis}");
        // And time stands still there.
        wheel.insert(at(u64::MAX), 1);
        assert_eq!(wheel.next_deadline(), Some(at(u64::MAX)));
        assert_eq!(advanced(&mut wheel, u64::MAX), [1]);
    }
}

#[test]
fn a_huge_jump_loses_nothing_and_keeps_the_order() {
    let mut wheel = TimingWheel::new();
    let deadlines: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) + 1]).collect();
    for deadline in deadlines.iter().rev() {
        wheel.insert(at(*deadline), *deadline);
    }
    let mut expected = deadlines;
    expected.sort_unstable();
    // Twice 2: as 2, and as 1 + 1.
    assert_eq!(advanced(&mut wheel, u64::MAX), expected);
}

#[test]
fn a_time_that_goes_back_brings_out_nothing_that_is_not_due_then() {
    let mut wheel = TimingWheel::new();
    wheel.insert(at(2_000), 2_000);
    assert!(advanced(&mut wheel, 1_000).is_empty());
    assert!(advanced(&mut wheel, 10).is_empty());
    wheel.insert(at(900), 900);
    wheel.insert(at(5), 5);
    assert_eq!(advanced(&mut wheel, 10), [5]);
    assert_eq!(wheel.next_deadline(), Some(at(900)));
    assert_eq!(advanced(&mut wheel, 1_000), [900]);
    assert_eq!(advanced(&mut wheel, 2_000), [2_000]);
}

#[test]
fn between_two_advances_at_the_same_tick_timers_come_and_go_as_ever() {
    let mut wheel = TimingWheel::new();
    wheel.insert(at(10), 'a');
    let b = wheel.insert(at(11), 'b');
    assert_eq!(advanced(&mut wheel, 10), ['a']);
    wheel.insert(at(10), 'c');
    let d = wheel.insert(at(10), 'd');
    assert_eq!(wheel.cancel(d), Some('d'));
    assert_eq!(advanced(&mut wheel, 10), ['c']);
    assert_eq!(wheel.cancel(b), Some('b'));
    assert!(advanced(&mut wheel, 11).is_empty());
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn a_stale_id_is_refused_and_never_another_s_timer() {
    let mut wheel = TimingWheel::new();
    let mut stale = Vec::new();
    for round in 0..1_000 {
        let id = wheel.insert(at(round + 5), round);
        assert!(!stale.contains(&id));
        let _ = if round % 2 == 0 { wheel.cancel(id) } else { advanced(&mut wheel, round + 5).pop() };
        stale.push(id);
    }
    let kept = wheel.insert(at(9_999), 1);
    for id in stale {
        assert_eq!((wheel.cancel(id), wheel.rearm(id, at(1)), wheel.deadline(id)), (None, false, None));
    }
    assert_eq!(wheel.deadline(kept), Some(at(9_999)));
}

#[test]
fn a_storm_is_taken_in_slices() {
    let mut wheel = TimingWheel::new();
    let count = 300_000;
    // Every deadline is within one bucket of a high wheel, so that they have to be moved before any is known to be due.
    let deadline = |number: u64| 300_000 + number * 7_919 % 200_000;
    for number in 0..count {
        wheel.insert(at(deadline(number)), number);
    }
    let (mut due, mut slices) = (Vec::new(), 0);
    loop {
        let before = due.len();
        let advance = wheel.advance_at_most(at(1_000_000), 1_000, &mut due);
        assert!(due.len() - before <= 1_000);
        slices += 1;
        if advance == Advance::Done {
            break;
        }
        // In between the wheel takes what comes, and answers.
        let id = wheel.insert(at(2_000_000), count);
        assert_eq!(wheel.cancel(id), Some(count));
        assert_eq!(wheel.len() + due.len(), count as usize);
    }
    let mut expected: Vec<u64> = (0..count).collect();
    expected.sort_by_key(|number| deadline(*number));
    assert_eq!(due, expected);
    assert!((count / 1_000..8 * count / 1_000).contains(&slices), "{slices} slices");
}

#[test]
fn moving_a_timer_is_a_step_also_after_someone_has_asked_for_the_deadline() {
    for asks_before in [false, true] {
        let (mut wheel, mut due) = (TimingWheel::new(), Vec::new());
        wheel.insert(at(127), 0);
        if asks_before {
            assert_eq!(wheel.next_deadline(), Some(at(127)));
        }
        for number in 1..1_000 {
            wheel.insert(at(127), number);
        }
        // Nothing is due, and a thousand timers are in the bucket that the present comes into.
        assert_eq!(wheel.advance_at_most(at(64), 16, &mut due), Advance::More);
        assert_eq!(wheel.next_wake(), Some(at(if asks_before { 127 } else { 64 })));
        let calls = (1..).find(|_| wheel.advance_at_most(at(64), 16, &mut due) == Advance::Done);
        assert!(calls.is_some_and(|calls| (60..70).contains(&calls)), "{calls:?} calls");
        assert!(due.is_empty());
        wheel.advance(at(127), &mut due);
        assert!(due.into_iter().eq(0..1_000));
    }
}

#[test]
fn waking_too_early_comes_nearer_each_time() {
    let (mut wheel, mut due) = (TimingWheel::new(), Vec::new());
    for number in 0..100 {
        wheel.insert(at(u64::MAX - number % 2), number);
    }
    let mut wakes = Vec::new();
    while !wheel.is_empty() {
        let wake = wheel.next_wake().unwrap();
        assert!(wakes.last().is_none_or(|last| *last < wake), "{wake:?} comes no nearer");
        wakes.push(wake);
        wheel.advance(wake, &mut due);
    }
    assert_eq!(due.len(), 100);
    assert!(wakes.len() <= 12, "{} wakes", wakes.len());
}

#[test]
fn all_can_be_taken_out_at_once_and_time_goes_on() {
    let (mut wheel, mut out) = (TimingWheel::new(), Vec::new());
    for millis in [70_000, 3, 500, u64::MAX] {
        wheel.insert(at(millis), millis);
    }
    wheel.drain(&mut out);
    assert_eq!(out, [3, 500, 70_000, u64::MAX]);
    assert_eq!((wheel.is_empty(), wheel.next_deadline(), wheel.next_wake()), (true, None, None));
    let id = wheel.insert(at(10), 10);
    assert_eq!(wheel.key(id), Some(&10));
    assert!(advanced(&mut wheel, 9).is_empty());
    assert_eq!(advanced(&mut wheel, 10), [10]);
    assert_eq!(wheel.key(id), None);
}

#[test]
fn who_comes_while_a_bucket_is_half_opened_stays_behind_those_in_it() {
    let (mut wheel, mut due) = (TimingWheel::new(), Vec::new());
    for number in 0..64 {
        wheel.insert(at(100), number);
    }
    // It holds the ticks from 64 on, so it is opened at 70, and 16 steps are enough for a part of it only.
    assert_eq!(wheel.advance_at_most(at(70), 16, &mut due), Advance::More);
    wheel.insert(at(100), 64);
    wheel.insert(at(99), 65);
    assert_eq!(wheel.advance_at_most(at(70), 16, &mut due), Advance::More);
    wheel.insert(at(100), 66);
    assert_eq!(wheel.next_deadline(), Some(at(99)));
    wheel.advance(at(100), &mut due);
    let expected: Vec<u64> = [65].into_iter().chain(0..65).chain([66]).collect();
    assert_eq!(due, expected);
}

#[test]
fn a_limit_of_nothing_does_nothing_and_says_whether_anything_is_due() {
    let (mut wheel, mut due) = (TimingWheel::new(), Vec::new());
    wheel.insert(at(10), 'a');
    assert_eq!(wheel.advance_at_most(at(9), 0, &mut due), Advance::Done);
    assert_eq!(wheel.advance_at_most(at(10), 0, &mut due), Advance::More);
    assert_eq!(wheel.advance_at_most(at(10), 1, &mut due), Advance::Done);
    assert_eq!(due, ['a']);
}

#[test]
fn a_wheel_has_a_power_of_two_of_buckets_and_no_more_than_a_word_has_bits() {
    let sizes: Vec<u32> = (0..200).filter_map(WheelSize::new).map(WheelSize::get).collect();
    assert_eq!(sizes, [2, 4, 8, 16, 32, 64]);
    assert_eq!(WheelSize::new(64), Some(WheelSize::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_hands_out_what_an_ordered_map_would(data in prop::collection::vec(any::<u8>(), 0..2_000)) {
        timer::timing_wheel(&data);
    }

    /// Small numbers make deadlines that are near each other, so that buckets fill and are opened.
    #[test]
    fn also_where_many_are_due_at_nearly_the_same_time(
        measures in any::<[u8; 2]>(),
        steps in prop::collection::vec((0_u8..11, 0_u8..10, any::<[u8; 2]>()), 0..1_000),
    ) {
        let steps = steps.into_iter().flat_map(|(step, moment, [one, other])| [step, moment, one, other]);
        timer::timing_wheel(&measures.into_iter().chain(steps).collect::<Vec<_>>());
    }
}
