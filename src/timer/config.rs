//! How long a tick is, and how many buckets a wheel has.

use std::num::NonZeroU64;

/// The measures of a [`TimingWheel`](super::TimingWheel): what it costs, and how exact it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimingWheelConfig {
    /// Length of a tick in milliseconds; 1 by default. A deadline is rounded up to the next tick, so a timer may come
    /// up to one tick less a millisecond after its deadline. Longer ticks save work where many deadlines then fall together.
    pub tick_millis: NonZeroU64,
    /// Buckets of a wheel; 64 by default, which is nearly always best. Fewer make more and smaller wheels, and more steps.
    pub wheel_size: WheelSize,
}

impl Default for TimingWheelConfig {
    fn default() -> Self {
        Self { tick_millis: NonZeroU64::MIN, wheel_size: WheelSize::MAX }
    }
}

/// How many buckets a wheel has: a power of two, from 2 to 64.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WheelSize {
    bits: u32,
}

impl WheelSize {
    /// 64 buckets: as many as a word has bits, so that the first that is not empty is found by one instruction.
    pub const MAX: Self = Self { bits: 6 };

    /// A wheel of `buckets`; `None` unless that is 2, 4, 8, 16, 32 or 64.
    pub const fn new(buckets: u32) -> Option<Self> {
        if buckets >= 2 && buckets <= 64 && buckets.is_power_of_two() {
            Some(Self { bits: buckets.trailing_zeros() })
        } else {
            None
        }
    }

    /// The number of buckets.
    pub const fn get(self) -> u32 {
        1 << self.bits
    }

    pub(super) const fn bits(self) -> u32 {
        self.bits
    }
}
