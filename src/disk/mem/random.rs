//! Numbers from a seed: the same seed, the same numbers, on every machine.

/// The splitmix64 generator: small, and good enough to choose what a crash keeps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 1 to `max`, which is at least 1.
    pub(super) fn up_to(&mut self, max: usize) -> usize {
        1 + (self.next() % max.max(1) as u64) as usize
    }
}

/// Spreads `value` over all 64 bits.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The garbage byte at `position` of the garbage called `seed`.
pub(super) fn garbage(seed: u64, position: u64) -> u8 {
    mix(seed ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_row_of_numbers() {
        let row = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(row(7), row(7));
        assert_ne!(row(7), row(8));
        assert_eq!(Random::new(0).next(), 0xe220_a839_7b1d_cdaf, "the published first number of splitmix64");
    }
}
