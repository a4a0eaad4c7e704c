//! Ticks: time cut into steps of equal length, and the digits by which a tick finds its wheel and bucket.

use std::num::NonZeroU64;

use crate::time::Instant;

/// A step of time, counted from the start of the clock.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Tick(u64);

impl Tick {
    pub(super) const ZERO: Self = Self(0);
    pub(super) const MAX: Self = Self(u64::MAX);

    #[cfg(test)]
    pub(super) const fn plus(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }
}

/// The length of a tick, and with it the two ways to round.
#[derive(Clone, Copy, Debug)]
pub(super) struct TickLength(NonZeroU64);

impl TickLength {
    pub(super) const fn of_millis(millis: NonZeroU64) -> Self {
        Self(millis)
    }

    /// The first tick that does not begin before `deadline`: rounded up, so that nothing comes early.
    #[inline]
    pub(super) fn at_or_after(self, deadline: Instant) -> Tick {
        // Nearly always: and a division is a good part of what a timer costs.
        if self.0 == NonZeroU64::MIN {
            return Tick(deadline.as_millis());
        }
        Tick(deadline.as_millis().div_ceil(self.0.get()))
    }

    /// The last tick that has begun at `now`. At the end of time every tick has: none would ever begin later.
    #[inline]
    pub(super) fn begun_at(self, now: Instant) -> Tick {
        if now == Instant::MAX { self.at_or_after(now) } else { Tick(now.as_millis() / self.0) }
    }

    /// When `tick` begins, at most the end of time.
    #[inline]
    pub(super) const fn start_of(self, tick: Tick) -> Instant {
        Instant::from_millis(tick.0.saturating_mul(self.0.get()))
    }
}

/// Ticks as numbers of base `wheel_size`: the digit at a level says which bucket of that level's wheel a tick is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits {
    bits: u32,
    mask: u32,
    /// One part in 65,536 of what divides by `bits`, rounded up: exact for all numbers of bits that there are.
    reciprocal: u32,
}

impl Digits {
    pub(super) const fn of_bits(bits: u32) -> Self {
        Self { bits, mask: (1 << bits) - 1, reciprocal: (1 << 16) / bits + 1 }
    }

    /// The highest level at which the two differ; 0 if they are the same.
    #[inline]
    pub(super) const fn level_between(self, one: Tick, other: Tick) -> u32 {
        (((one.0 ^ other.0) | 1).ilog2() * self.reciprocal) >> 16
    }

    /// How many digits there are, and so how many buckets a wheel has.
    #[inline]
    pub(super) const fn size(self) -> u32 {
        self.mask + 1
    }

    /// How many bits of a tick are below the digits of `level`: a bucket there is two to that power wide.
    pub(super) const fn shift(self, level: u32) -> u32 {
        self.bits * level
    }

    /// The level below.
    pub(super) const fn finer(self, shift: u32) -> u32 {
        shift - self.bits
    }

    /// The digit of `tick` above the lowest `shift` bits.
    #[inline]
    pub(super) const fn digit(self, tick: Tick, shift: u32) -> u32 {
        (tick.0 >> shift) as u32 & self.mask
    }

    /// The first tick of bucket `digit` in the wheel that covers `tick` and whose digit is above the lowest `shift` bits.
    #[inline]
    pub(super) const fn bucket_start(self, tick: Tick, shift: u32, digit: u32) -> Tick {
        let covered = match u64::MAX.checked_shl(shift + self.bits) {
            Some(above) => tick.0 & above,
            None => 0,
        };
        Tick(covered | (digit as u64) << shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_the_highest_digit_that_differs_for_every_size_of_wheel() {
        for bits in 1..=6 {
            let digits = Digits::of_bits(bits);
            for bit in 0..u64::BITS {
                let (one, other) = (Tick(1 << bit), Tick((1 << bit) - 1));
                assert_eq!(digits.level_between(one, Tick::ZERO), bit / bits);
                assert_eq!(digits.level_between(one, other), bit / bits);
                assert_eq!(digits.digit(one, digits.shift(bit / bits)), 1 << (bit % bits));
            }
        }
    }

    #[test]
    fn a_deadline_is_rounded_up_and_the_time_down() {
        let length = |millis| TickLength::of_millis(NonZeroU64::new(millis).unwrap());
        // length, time - tick of a deadline, tick of the present, start of the first
        let table = [
            (1, 0, (0, 0, 0)),
            (1, 7, (7, 7, 7)),
            (5, 10, (2, 2, 10)),
            (5, 11, (3, 2, 15)),
            (5, 14, (3, 2, 15)),
            (7, u64::MAX - 2, (u64::MAX / 7, u64::MAX / 7 - 1, u64::MAX - 1)),
            (7, u64::MAX - 1, (u64::MAX / 7, u64::MAX / 7, u64::MAX - 1)),
            (7, u64::MAX, (u64::MAX / 7 + 1, u64::MAX / 7 + 1, u64::MAX)),
            (1, u64::MAX, (u64::MAX, u64::MAX, u64::MAX)),
            (u64::MAX, 1, (1, 0, u64::MAX)),
            (u64::MAX, u64::MAX, (1, 1, u64::MAX)),
        ];
        for (millis, time, expected) in table {
            let (length, time) = (length(millis), Instant::from_millis(time));
            let tick = length.at_or_after(time);
            assert_eq!((tick.0, length.begun_at(time).0, length.start_of(tick).as_millis()), expected);
        }
    }
}
