//! Where a record stands in its partition.

use std::fmt;

/// Where a record stands in its partition: the count of offsets before it.
///
/// At most `i64::MAX`, since Kafka's files keep it in a signed field.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Offset(u64);

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Self = Self(0);
    /// The largest offset that Kafka's files can hold.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The offset `value`, cut to [`Offset::MAX`].
    pub const fn new(value: u64) -> Self {
        if value > Self::MAX.0 { Self::MAX } else { Self(value) }
    }

    /// The offset in a signed field of Kafka's, `None` if it is negative.
    pub const fn from_i64(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value as u64)) }
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as Kafka's files hold it.
    pub const fn as_i64(self) -> i64 {
        self.0 as i64
    }

    /// The offset `count` records later, `None` past [`Offset::MAX`].
    pub const fn checked_advance(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(sum) if sum <= Self::MAX.0 => Some(Self(sum)),
            _ => None,
        }
    }

    /// The offset `count` records later, at most [`Offset::MAX`].
    pub const fn advance(self, count: u64) -> Self {
        Self::new(self.0.saturating_add(count))
    }

    /// The offset `count` records earlier, at least [`Offset::ZERO`].
    pub const fn retreat(self, count: u64) -> Self {
        Self(self.0.saturating_sub(count))
    }

    /// How many offsets lie from `earlier` (inclusive) to this one (exclusive); `None` if it comes after this one.
    pub const fn since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }

    /// The distance from a segment's or batch's base, `None` if it does not fit Kafka's signed 32 bits.
    pub const fn relative_to(self, base: Self) -> Option<u32> {
        match self.0.checked_sub(base.0) {
            Some(distance) if distance <= i32::MAX as u64 => Some(distance as u32),
            _ => None,
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_never_leaves_the_signed_range() {
        assert_eq!(Offset::new(u64::MAX), Offset::MAX);
        assert_eq!(Offset::MAX.advance(1), Offset::MAX);
        assert_eq!(Offset::MAX.checked_advance(1), None);
        assert_eq!(Offset::from_i64(-1), None);
        assert_eq!(Offset::ZERO.retreat(1), Offset::ZERO);
    }

    #[test]
    fn a_relative_offset_fits_a_signed_field_or_is_none() {
        let base = Offset::new(10);
        assert_eq!(Offset::new(9).relative_to(base), None);
        assert_eq!(base.advance(i32::MAX as u64).relative_to(base), Some(i32::MAX as u32));
        assert_eq!(base.advance(i32::MAX as u64 + 1).relative_to(base), None);
    }
}
