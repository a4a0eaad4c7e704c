//! Drawing ids and places: everything that looks random here comes from one seed.

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

use crate::controller::uuid::Uuid;
use crate::id::TopicId;

/// Draws numbers and ids. The same seed gives the same ones in the same order.
///
/// The seed comes from whoever has a source of chance. Two seeds that are equal give two topics the same id, so it should
/// be new for each start of a node.
#[derive(Clone, Debug)]
pub struct Draw {
    seed: (u64, u64),
    count: u64,
}

impl Draw {
    /// Of this seed.
    pub const fn new(seed: u128) -> Self {
        Self { seed: ((seed >> 64) as u64, seed as u64), count: 0 }
    }

    fn bits(&mut self) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.seed.0, self.seed.1);
        hasher.write_u64(self.count);
        self.count = self.count.wrapping_add(1);
        hasher.finish128().as_u128()
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.bits() % end.max(1) as u128) as usize
    }

    /// Puts the elements in any order.
    pub(super) fn shuffle<T>(&mut self, elements: &mut [T]) {
        for end in (1..elements.len()).rev() {
            elements.swap(end, self.below(end + 1));
        }
    }

    /// An id that `is_free`: of version 4, as Kafka's are, and with a text form that does not begin with a dash, which a
    /// command line would take for an option.
    pub(super) fn topic_id(&mut self, is_free: impl Fn(TopicId) -> bool) -> TopicId {
        loop {
            let bits = self.bits() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
            let uuid = Uuid::from_bytes(bits.to_be_bytes());
            let begins_with_dash = uuid.to_string().starts_with('-');
            if let Some(id) = uuid.topic_id().filter(|id| !begins_with_dash && is_free(*id)) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_something_else() {
        let ids = |seed| {
            let mut draw = Draw::new(seed);
            (0..100).map(|_| draw.topic_id(|_| true)).collect::<Vec<_>>()
        };
        assert_eq!(ids(7), ids(7));
        assert_eq!(ids(7).iter().chain(&ids(8)).collect::<BTreeSet<_>>().len(), 200);
        assert!(ids(7).iter().all(|id| id.as_bytes()[6] >> 4 == 4 && id.as_bytes()[8] >> 6 == 2));
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut numbers: Vec<u32> = (0..50).collect();
        Draw::new(1).shuffle(&mut numbers);
        assert!(!numbers.is_sorted());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }
}
