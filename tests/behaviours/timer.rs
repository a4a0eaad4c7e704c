//! TMR: the timing wheel, as the delayed operations of a broker need it.

use ottla::time::Instant;
use ottla::timer::{TimingWheel, TimingWheelConfig, WheelSize};

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// As Kafka's own test has it: few buckets, so that a delay of 8,000 is far away.
fn small() -> TimingWheel<u64> {
    let wheel_size = WheelSize::new(4).unwrap();
    TimingWheel::with_config(TimingWheelConfig { wheel_size, ..TimingWheelConfig::default() })
}

#[test]
fn tmr_01_a_delay_of_zero_or_less_is_due_at_once() {
    let (mut wheel, mut due) = (small(), Vec::new());
    wheel.advance(at(1_000), &mut due);
    for deadline in [1_000, 999, 0] {
        wheel.insert(at(deadline), deadline);
        assert_eq!(wheel.next_deadline(), Some(at(deadline)));
    }
    wheel.advance(at(1_000), &mut due);
    assert_eq!(due, [0, 999, 1_000]);
    assert!(wheel.is_empty());
}

#[test]
fn tmr_02_each_delay_comes_once_in_order_and_never_early() {
    let delays = [1, 5, 20, 21, 400, 401, 8_000];
    for mut wheel in [small(), TimingWheel::new()] {
        let mut due = Vec::new();
        for delay in delays.iter().rev() {
            wheel.insert(at(*delay), *delay);
        }
        for now in 0..=10_000 {
            wheel.advance(at(now), &mut due);
            let expected: Vec<u64> = delays.into_iter().filter(|delay| *delay <= now).collect();
            assert_eq!(due, expected, "at {now}");
        }
    }
}

#[test]
fn tmr_03_what_is_cancelled_never_comes_and_counts_no_more() {
    let (mut wheel, mut due) = (small(), Vec::new());
    let ids = [10, 10, 300, 300, 7_000].map(|delay| wheel.insert(at(delay), delay));
    assert_eq!(wheel.len(), 5);
    for (index, id) in ids.into_iter().enumerate().step_by(2) {
        assert!(wheel.cancel(id).is_some());
        assert_eq!(wheel.len(), 4 - index / 2);
        assert_eq!(wheel.cancel(id), None);
    }
    wheel.advance(at(10_000), &mut due);
    assert_eq!(due, [10, 300]);
    assert!(wheel.is_empty());
}
