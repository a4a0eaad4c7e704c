//! Time is given: `Instant` drives timeouts, `Timestamp` goes on records.

use std::fmt;

/// Milliseconds since any start, on a clock that never goes back. Drives timeouts.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(u64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// The end of time.
    pub const MAX: Self = Self(u64::MAX);

    /// `millis` after the start of the clock.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the start of the clock.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This instant `millis` later, at most the end of time.
    pub const fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Milliseconds since the Unix epoch: the date on a record. Never drives a timeout.
///
/// Kafka stores −1 for "none" and lets its rules compare that number with the others (the largest timestamp of an
/// empty segment is −1, and any date is larger), so here, unlike elsewhere, "none" is a value: [`Timestamp::NONE`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

impl Timestamp {
    /// No timestamp: −1 in Kafka's files.
    pub const NONE: Self = Self(-1);

    /// `millis` after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whether this is a date at all.
    pub const fn is_some(self) -> bool {
        self.0 != Self::NONE.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
