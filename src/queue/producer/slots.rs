//! Things by number, made when they are first asked for, and found without a lock.
//!
//! - Must not know: what the things are.
//! - Always true: what was made stays, in its place, as long as the whole; segment `n` has room for 2^n of them.

use std::sync::OnceLock;

/// Things by number.
#[derive(Debug)]
pub(super) struct Slots<T> {
    segments: [OnceLock<Box<[OnceLock<T>]>>; 32],
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { segments: [const { OnceLock::new() }; 32] }
    }

    /// The thing of this number, if it was made.
    pub(super) fn find(&self, number: u32) -> Option<&T> {
        let (segment, place) = place_of(number);
        self.segments.get(segment)?.get()?.get(place)?.get()
    }

    /// The thing of this number, which is made if it was not. Whoever asks for many keeps the room for them.
    pub(super) fn find_or_make(&self, number: u32, make: impl FnOnce() -> T) -> Option<&T> {
        let (segment, place) = place_of(number);
        let room = || (0..1_usize << segment).map(|_| OnceLock::new()).collect();
        Some(self.segments.get(segment)?.get_or_init(room).get(place)?.get_or_init(make))
    }
}

/// In which segment a number is, and where: 0 | 1 2 | 3 4 5 6 | 7 ...
fn place_of(number: u32) -> (usize, usize) {
    let from_one = u64::from(number) + 1;
    let segment = from_one.ilog2();
    (segment as usize, (from_one - (1 << segment)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_a_place_of_its_own() {
        assert_eq!([0, 1, 2, 3, 6, 7].map(place_of), [(0, 0), (1, 0), (1, 1), (2, 0), (2, 3), (3, 0)]);
        let slots = Slots::new();
        for number in 0..100 {
            assert_eq!(slots.find(number), None);
            assert_eq!(slots.find_or_make(number, || number * 3), Some(&(number * 3)));
        }
        for number in 0..100 {
            assert_eq!(slots.find_or_make(number, || 0), Some(&(number * 3)), "what was made stays");
            assert_eq!(slots.find(number), Some(&(number * 3)));
        }
    }

    #[test]
    fn the_largest_number_has_no_place() {
        assert_eq!(Slots::<u32>::new().find_or_make(u32::MAX, || 1), None);
    }
}
