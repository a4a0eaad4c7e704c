//! The wheels: which bucket a tick is in, and which bucket is the first that holds anything.
//!
//! A wheel of level 0 has a bucket for each tick; one of the next level a bucket for each whole turn of such a wheel, and
//! so on. Around the *present* there is one wheel of each level, the one that covers it. A bucket of theirs may have been
//! *opened* into a finer wheel of its own, and so may the buckets of that one.
//!
//! Always true:
//! - A wheel's bit for a bucket is set if and only if the bucket has entries or was opened.
//! - No wheel that a bucket was opened into is empty: it goes with its last entry.
//! - In a wheel around the present, except that of level 0, the bucket that the present is in is empty: a lower wheel
//!   covers just that.

use super::chunks::List;
use super::tick::{Digits, Tick};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct WheelId(u32);

impl WheelId {
    const NONE: Self = Self(u32::MAX);
}

/// One bucket of one wheel: the number of the wheel, and below it the digit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BucketId(u32);

impl BucketId {
    const NONE: Self = Self(u32::MAX);
}

/// What is in a bucket: entries, and in front of them a finer wheel with those that were moved there.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    list: List,
    finer: WheelId,
}

impl Bucket {
    const EMPTY: Self = Self { list: List::EMPTY, finer: WheelId::NONE };
}

#[derive(Clone, Copy, Debug)]
struct Wheel {
    /// Its level, as the bits of a tick that are below its digit.
    shift: u32,
    /// The bucket that was opened into this wheel.
    opened: BucketId,
    /// A bit for each bucket that is not empty: the queue of them.
    occupied: u64,
}

/// The first bucket that has entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) bucket: BucketId,
    pub(super) start: Tick,
    pub(super) is_one_tick: bool,
    pub(super) was_opened: bool,
}

/// All wheels.
#[derive(Debug)]
pub(super) struct Wheels {
    digits: Digits,
    present: Tick,
    /// Around the present, by level; made when needed.
    around: Vec<WheelId>,
    wheels: Vec<Wheel>,
    buckets: Vec<Bucket>,
    /// Empty wheels that nobody uses.
    free: Vec<WheelId>,
}

impl Wheels {
    pub(super) const fn new(digits: Digits) -> Self {
        Self {
            digits,
            present: Tick::ZERO,
            around: Vec::new(),
            wheels: Vec::new(),
            buckets: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) const fn present(&self) -> Tick {
        self.present
    }

    pub(super) fn list(&self, bucket: BucketId) -> List {
        self.bucket(bucket).list
    }

    #[inline]
    pub(super) fn list_mut(&mut self, bucket: BucketId) -> &mut List {
        &mut self.bucket_mut(bucket).list
    }

    /// The bucket for an entry that is due at `tick`. It counts as occupied, so the caller has to put the entry there.
    ///
    /// An opened bucket passes it on, unless it still has entries of its own: those are older, and stay in front.
    #[inline]
    pub(super) fn occupy(&mut self, tick: Tick) -> BucketId {
        let level = self.digits.level_between(tick, self.present);
        if level as usize >= self.around.len() {
            self.make_up_to(level);
        }
        let mut wheel = self.around[level as usize];
        loop {
            let bucket = self.occupy_in(wheel, tick);
            let Bucket { list, finer } = *self.bucket(bucket);
            if finer == WheelId::NONE || !list.is_empty() {
                return bucket;
            }
            wheel = finer;
        }
    }

    /// The bucket of a finer wheel for an entry that leaves `bucket`, which is opened if it is not.
    pub(super) fn occupy_finer(&mut self, bucket: BucketId, tick: Tick) -> BucketId {
        let mut finer = self.bucket(bucket).finer;
        if finer == WheelId::NONE {
            let shift = self.digits.finer(self.wheel(self.wheel_of(bucket)).shift);
            finer = self.make(shift, bucket);
            self.bucket_mut(bucket).finer = finer;
        }
        self.occupy_in(finer, tick)
    }

    /// The list of `bucket` may have become empty: if nothing else is in the bucket it counts as empty, and so do the
    /// wheels that this leaves without entries.
    pub(super) fn vacate(&mut self, mut bucket: BucketId) {
        while bucket != BucketId::NONE {
            let Bucket { list, finer } = *self.bucket(bucket);
            if !list.is_empty() || finer != WheelId::NONE {
                return;
            }
            let (id, bit) = (self.wheel_of(bucket), self.bit_of(bucket));
            let wheel = self.wheel_mut(id);
            wheel.occupied &= !bit;
            if wheel.occupied != 0 || wheel.opened == BucketId::NONE {
                return;
            }
            let opened = wheel.opened;
            self.free.push(id);
            self.bucket_mut(opened).finer = WheelId::NONE;
            bucket = opened;
        }
    }

    /// The first bucket that has entries: no entry anywhere is due before `start`.
    pub(super) fn first(&self) -> Option<First> {
        let starts = self.around.iter().filter_map(|wheel| Some((self.first_start(*wheel, self.present)?, *wheel)));
        let (mut start, mut id) = starts.min_by_key(|(start, _)| *start)?;
        loop {
            let Wheel { shift, occupied, .. } = *self.wheel(id);
            let bucket = self.bucket_of(id, occupied.trailing_zeros());
            let Bucket { list, finer } = *self.bucket(bucket);
            if !list.is_empty() {
                return Some(First { bucket, start, is_one_tick: shift == 0, was_opened: finer != WheelId::NONE });
            }
            id = finer;
            start = self.first_start(id, start)?;
        }
    }

    /// Lets the present move on to `tick`. Nothing that is due up to there may be left, except in a bucket that was never
    /// opened: its list is the answer, and each of its entries has to be placed anew.
    ///
    /// The wheels around the new present are those its buckets were opened into, or empty ones.
    pub(super) fn move_on(&mut self, tick: Tick) -> List {
        let top = self.digits.level_between(self.present, tick);
        self.present = tick;
        for level in (1..=top).rev() {
            let Some(wheel) = self.around.get(level as usize).copied() else { continue };
            let bucket = self.bucket_of(wheel, self.digits.digit(tick, self.digits.shift(level)));
            let Bucket { list, finer } = std::mem::replace(self.bucket_mut(bucket), Bucket::EMPTY);
            let bit = self.bit_of(bucket);
            self.wheel_mut(wheel).occupied &= !bit;
            // If it has entries, then the lower wheels have none: they are all here.
            if !list.is_empty() {
                assert!(finer == WheelId::NONE, "the present moved into a bucket that is half opened");
                return list;
            }
            if finer != WheelId::NONE {
                self.wheel_mut(finer).opened = BucketId::NONE;
                let before = std::mem::replace(&mut self.around[level as usize - 1], finer);
                assert_eq!(self.wheel(before).occupied, 0, "the present passed a timer that is due");
                self.free.push(before);
            }
        }
        List::EMPTY
    }

    #[inline]
    fn occupy_in(&mut self, id: WheelId, tick: Tick) -> BucketId {
        let digits = self.digits;
        let wheel = self.wheel_mut(id);
        let digit = digits.digit(tick, wheel.shift);
        wheel.occupied |= 1 << digit;
        self.bucket_of(id, digit)
    }

    /// Where the first bucket begins that is not empty, of a wheel that covers `tick`.
    fn first_start(&self, id: WheelId, tick: Tick) -> Option<Tick> {
        let Wheel { shift, occupied, .. } = *self.wheel(id);
        (occupied != 0).then(|| self.digits.bucket_start(tick, shift, occupied.trailing_zeros()))
    }

    #[cold]
    fn make_up_to(&mut self, level: u32) {
        for missing in self.around.len() as u32..=level {
            let made = self.make(self.digits.shift(missing), BucketId::NONE);
            self.around.push(made);
        }
    }

    fn make(&mut self, shift: u32, opened: BucketId) -> WheelId {
        let wheel = Wheel { shift, opened, occupied: 0 };
        if let Some(id) = self.free.pop() {
            *self.wheel_mut(id) = wheel;
            return id;
        }
        let number = u32::try_from(self.wheels.len()).unwrap_or(u32::MAX);
        assert!(
            number < u32::MAX / self.digits.size(),
            "more wheels than buckets have numbers for: 60 gigabytes of them"
        );
        self.wheels.push(wheel);
        self.buckets.resize(self.wheels.len() * self.digits.size() as usize, Bucket::EMPTY);
        // Any of them may become free, and giving one back is no time to look for memory.
        self.free.reserve(self.wheels.len());
        WheelId(number)
    }

    #[inline]
    const fn bucket_of(&self, wheel: WheelId, digit: u32) -> BucketId {
        BucketId((wheel.0 << self.digits.shift(1)) | digit)
    }

    #[inline]
    const fn wheel_of(&self, bucket: BucketId) -> WheelId {
        WheelId(bucket.0 >> self.digits.shift(1))
    }

    #[inline]
    const fn bit_of(&self, bucket: BucketId) -> u64 {
        1 << (bucket.0 & (self.digits.size() - 1))
    }

    #[inline]
    fn wheel(&self, id: WheelId) -> &Wheel {
        &self.wheels[id.0 as usize]
    }

    #[inline]
    fn wheel_mut(&mut self, id: WheelId) -> &mut Wheel {
        &mut self.wheels[id.0 as usize]
    }

    #[inline]
    fn bucket(&self, id: BucketId) -> &Bucket {
        &self.buckets[id.0 as usize]
    }

    #[inline]
    fn bucket_mut(&mut self, id: BucketId) -> &mut Bucket {
        &mut self.buckets[id.0 as usize]
    }
}

#[cfg(test)]
impl Wheels {
    pub(super) const WHEEL_BYTES: usize = size_of::<Wheel>() + 64 * size_of::<Bucket>();

    /// The buckets that have entries, with the first and last tick of each.
    pub(super) fn check(&self) -> Vec<(BucketId, Tick, Tick)> {
        let mut found = Vec::new();
        for (level, wheel) in self.around.iter().enumerate() {
            let shift = self.digits.shift(level as u32);
            assert_eq!((self.wheel(*wheel).shift, self.wheel(*wheel).opened), (shift, BucketId::NONE));
            let own = self.bucket_of(*wheel, self.digits.digit(self.present, shift));
            assert!(level == 0 || self.wheel(*wheel).occupied & self.bit_of(own) == 0, "two wheels for the same ticks");
            self.check_wheel(*wheel, self.present, &mut found);
        }
        for free in &self.free {
            assert_eq!(self.wheel(*free).occupied, 0, "a free wheel that is not empty");
            self.check_wheel(*free, Tick::ZERO, &mut Vec::new());
        }
        assert!(self.wheels.len() >= self.free.len() + self.around.len());
        found
    }

    fn check_wheel(&self, id: WheelId, covered: Tick, found: &mut Vec<(BucketId, Tick, Tick)>) {
        let Wheel { shift, occupied, .. } = *self.wheel(id);
        for digit in 0..self.digits.size() {
            let bucket = self.bucket_of(id, digit);
            let Bucket { list, finer } = *self.bucket(bucket);
            let is_empty = list.is_empty() && finer == WheelId::NONE;
            assert_eq!(occupied & self.bit_of(bucket) == 0, is_empty, "the bit of a bucket");
            if is_empty {
                continue;
            }
            let start = self.digits.bucket_start(covered, shift, digit);
            if !list.is_empty() {
                found.push((bucket, start, start.plus((1 << shift) - 1)));
            }
            if finer != WheelId::NONE {
                assert_eq!((self.wheel(finer).opened, self.digits.finer(shift)), (bucket, self.wheel(finer).shift));
                assert_ne!(self.wheel(finer).occupied, 0, "a bucket was opened into a wheel that is empty");
                self.check_wheel(finer, start, found);
            }
        }
    }

    /// The buckets of the wheel around the present, as many as it has digits.
    pub(super) fn row(&self, level: usize) -> impl Iterator<Item = BucketId> + '_ {
        let wheel = self.around[level];
        (0..self.digits.size()).map(move |digit| self.bucket_of(wheel, digit))
    }

    pub(super) fn capacities(&self) -> [usize; 3] {
        [self.around.capacity(), self.wheels.capacity(), self.free.capacity()]
    }
}
