//! Numbers of reigns, and the sequence numbers counted within one.

use std::fmt;

/// The number of a leader's reign over a partition; a smaller one is fenced. Never negative.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LeaderEpoch(u32);

impl LeaderEpoch {
    /// The first reign.
    pub const ZERO: Self = Self(0);
    /// The last reign that Kafka's files can hold.
    pub const MAX: Self = Self(i32::MAX as u32);

    /// The epoch `value`, cut to [`LeaderEpoch::MAX`].
    pub const fn new(value: u32) -> Self {
        if value > Self::MAX.0 { Self::MAX } else { Self(value) }
    }

    /// The epoch in a signed field of Kafka's; `None`, "not known", if it is negative.
    pub const fn from_i32(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value as u32)) }
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as Kafka's files hold it.
    pub const fn as_i32(self) -> i32 {
        self.0 as i32
    }

    /// The reign after this one, `None` after the last.
    pub const fn next(self) -> Option<Self> {
        if self.0 == Self::MAX.0 { None } else { Some(Self(self.0 + 1)) }
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a producer's reign over its producer id; a smaller one is fenced. Never negative.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProducerEpoch(i16);

impl ProducerEpoch {
    /// The first reign.
    pub const ZERO: Self = Self(0);

    /// The epoch `value`; `None`, "not known", if it is negative.
    pub const fn new(value: i16) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The plain number.
    pub const fn get(self) -> i16 {
        self.0
    }
}

impl fmt::Display for ProducerEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The count of a group's rebalances; what comes from a member of an earlier one is refused. Never negative.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Generation(u32);

impl Generation {
    /// A group that has never had a member.
    pub const ZERO: Self = Self(0);
    /// The last generation that Kafka's files can hold.
    pub const MAX: Self = Self(i32::MAX as u32);

    /// The generation in a signed field of Kafka's; `None`, "not known", if it is negative.
    pub const fn from_i32(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value as u32)) }
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as Kafka's files hold it.
    pub const fn as_i32(self) -> i32 {
        self.0 as i32
    }

    /// The generation after this one, `None` after the last.
    pub const fn next(self) -> Option<Self> {
        if self.0 == Self::MAX.0 { None } else { Some(Self(self.0 + 1)) }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The count of a producer's records in a partition. After 2147483647 comes 0 (format.md, section 2).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Sequence(i32);

impl Sequence {
    /// The first sequence of an epoch.
    pub const ZERO: Self = Self(0);

    /// The sequence `value`; `None`, "none", if it is negative.
    pub const fn new(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The plain number.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The sequence `count` records later, past the wrap if need be. `count` is at most `i32::MAX`.
    pub const fn advance(self, count: u32) -> Self {
        Self(((self.0 as u64 + count as u64) % (1 << 31)) as i32)
    }

    /// The sequence `count` records earlier, past the wrap if need be. `count` is at most `i32::MAX`.
    pub const fn retreat(self, count: u32) -> Self {
        Self(((self.0 as u64 + (1 << 31) - (count as u64 % (1 << 31))) % (1 << 31)) as i32)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fmt_13_and_14_a_sequence_wraps_to_zero_and_back() {
        let last = Sequence::new(i32::MAX).unwrap();
        assert_eq!(last.advance(1), Sequence::ZERO);
        assert_eq!(last.advance(3), Sequence::new(2).unwrap());
        assert_eq!(Sequence::ZERO.retreat(1), last);
    }

    #[test]
    fn what_is_negative_in_a_file_is_not_known() {
        assert_eq!(LeaderEpoch::from_i32(-1), None);
        assert_eq!(ProducerEpoch::new(-1), None);
        assert_eq!(Sequence::new(-1), None);
        assert_eq!(LeaderEpoch::MAX.next(), None);
        assert_eq!(Generation::from_i32(-1), None);
        assert_eq!(Generation::MAX.next(), None);
    }
}
