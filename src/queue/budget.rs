//! A bounded amount of memory, of which several take what they need, and give it back piece by piece from whatever thread.
//!
//! Whoever takes has a [`Share`]. Who has nothing at all of it may take once, however much the others have: so nobody
//! starves because somebody else never gives back. No thread waits here. Who finds too little leaves a waker, which is called
//! once there is enough for him.
//!
//! - May use: `sync`.
//! - Must not know: whose memory it is, and what for.
//! - Always true: what is out is at most the bound, and once what each share has taken first, and what was counted without
//!   asking; who waits is woken when there is enough for him, by whoever gave it back, with no lock held.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use crate::queue::sync::Mutex;
use crate::queue::sync::atomic::AtomicU64;
use crate::queue::sync::atomic::Ordering::{AcqRel, Acquire};

/// Somebody stands in the line. Set and taken away with its lock held.
const LINE: u64 = 1;
/// What one byte that is out counts, above the mark.
const BYTE: u64 = 2;

/// A bounded amount of memory.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: u64,
    /// What is out, in units of [`BYTE`], and the mark: in one number, so that whoever gives back and whoever comes to stand in
    /// the line see each other.
    state: AtomicU64,
    line: Mutex<Vec<Place>>,
}

/// What one taker has of a budget. He alone takes; anybody gives back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    held: AtomicU64,
}

/// Bytes that were taken: given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    share: Arc<Share>,
    bytes: u64,
}

/// Where somebody waits.
#[derive(Debug)]
struct Place {
    share: Arc<Share>,
    wanted: u64,
    waker: Waker,
}

/// Bytes that keep a claim as long as anybody has any of them.
struct Claimed {
    bytes: Bytes,
    _claim: Arc<Claim>,
}

impl Budget {
    /// Nothing of `bytes_max` bytes is out.
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, state: AtomicU64::new(0), line: Mutex::new(Vec::new()) })
    }

    /// A share that has nothing.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<Share> {
        Arc::new(Share { budget: Arc::clone(self), held: AtomicU64::new(0) })
    }

    /// How much is out.
    pub(crate) fn held(&self) -> u64 {
        self.state.load(Acquire) / BYTE
    }

    /// How much may be.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    fn give(&self, bytes: u64) {
        let before = self.state.fetch_sub(bytes * BYTE, AcqRel);
        if before & LINE == 0 {
            return;
        }
        let helped: Vec<Place> = {
            let mut line = self.line.lock();
            let held = self.held();
            let (helped, left) = line.drain(..).partition(|place| place.share.fits(place.wanted, held));
            *line = left;
            self.mark(&line);
            helped
        };
        helped.into_iter().for_each(|place| place.waker.wake());
    }

    /// Has the mark say whether anybody stands in the line.
    fn mark(&self, line: &[Place]) {
        if line.is_empty() {
            self.state.fetch_and(!LINE, AcqRel);
        }
    }
}

impl Share {
    /// Takes `bytes`, if there are so many left, or it has nothing.
    pub(crate) fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Claim> {
        let taken = |state: u64| {
            let more = bytes.checked_mul(BYTE)?;
            if self.fits(bytes, state / BYTE) { state.checked_add(more) } else { None }
        };
        self.budget.state.fetch_update(AcqRel, Acquire, taken).ok()?;
        self.held.fetch_add(bytes, AcqRel);
        Some(Claim { share: Arc::clone(self), bytes })
    }

    /// Counts `bytes` that are there already.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Claim {
        let mut claim = Claim { share: Arc::clone(self), bytes: 0 };
        claim.grow_to(bytes);
        claim
    }

    /// Whether so much may be taken while `held` bytes are out. What this share has becomes no more meanwhile, for nobody else
    /// takes of it.
    fn fits(&self, wanted: u64, held: u64) -> bool {
        let is_first = self.held.load(Acquire) == 0;
        is_first || held.checked_add(wanted).is_some_and(|sum| sum <= self.budget.bytes_max)
    }

    /// Whether there are `wanted` bytes now. If not, `waker` is called once there are; it takes the place of an earlier one.
    pub(crate) fn fits_or_wakes(self: &Arc<Self>, wanted: u64, waker: &Waker) -> bool {
        let mut line = self.budget.line.lock();
        line.retain(|place| !Arc::ptr_eq(&place.share, self));
        // What was given back before this is seen here; whoever gives back later sees the mark.
        let held = self.budget.state.fetch_or(LINE, AcqRel) / BYTE;
        let fits = self.fits(wanted, held);
        if !fits {
            line.push(Place { share: Arc::clone(self), wanted, waker: waker.clone() });
        }
        self.budget.mark(&line);
        fits
    }

    /// Waits no longer.
    pub(crate) fn leave(self: &Arc<Self>) {
        let mut line = self.budget.line.lock();
        line.retain(|place| !Arc::ptr_eq(&place.share, self));
        self.budget.mark(&line);
    }

    /// Of what it has its part.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

impl Claim {
    /// Takes more, without asking, until it has `bytes`.
    pub(crate) fn grow_to(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        self.share.held.fetch_add(more, AcqRel);
        self.share.budget.state.fetch_add(more * BYTE, AcqRel);
    }

    /// The same bytes, which keep the claim.
    pub(crate) fn keep(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Claimed { bytes, _claim: Arc::clone(self) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.share.held.fetch_sub(self.bytes, AcqRel);
        self.share.budget.give(self.bytes);
    }
}

impl AsRef<[u8]> for Claimed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn waker() -> (Arc<Calls>, Waker) {
        let calls = Arc::<Calls>::default();
        (Arc::clone(&calls), calls.into())
    }

    #[test]
    fn no_more_is_out_than_the_bound_and_once_what_each_share_takes_first() {
        let budget = Budget::new(10);
        let (first, second) = (budget.share(), budget.share());
        let large = first.try_take(15).unwrap();
        assert!(first.try_take(1).is_none(), "it has something");
        let small = second.try_take(2).unwrap();
        assert!(second.try_take(1).is_none());
        assert_eq!(budget.held(), 17);
        drop(large);
        let rest = second.try_take(8).unwrap();
        assert!(second.try_take(1).is_none());
        drop((small, rest));
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_is_counted_without_asking_counts() {
        let budget = Budget::new(10);
        let share = budget.share();
        let mut claim = share.try_take(4).unwrap();
        claim.grow_to(6);
        claim.grow_to(3);
        let there = share.take(5);
        assert_eq!((budget.held(), share.try_take(0).is_none()), (11, true));
        drop(claim);
        assert_eq!(budget.held(), 5);
        drop(there);
        assert_eq!(budget.held(), 0);
        assert!(share.try_take(u64::MAX).is_none(), "so much memory there is not");
    }

    #[test]
    fn bytes_keep_the_claim_until_the_last_slice_of_them_is_dropped() {
        let budget = Budget::new(10);
        let claim = Arc::new(budget.share().try_take(8).unwrap());
        let (first, second) = (claim.keep(Bytes::from_static(b"one")), claim.keep(Bytes::from_static(b"two")));
        drop(claim);
        let part = first.slice(1..2);
        drop((first, second));
        assert_eq!((&part[..], budget.held()), (&b"n"[..], 8));
        drop(part);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn who_waits_is_woken_once_and_only_when_it_helps_him() {
        let budget = Budget::new(10);
        let (first, second) = (budget.share(), budget.share());
        let mut pieces: Vec<Claim> = (0..5).map(|_| first.try_take(2).unwrap()).collect();
        let own = second.try_take(1).unwrap();
        let (calls, waker) = waker();
        assert!(!second.fits_or_wakes(4, &waker) && !second.fits_or_wakes(4, &waker));
        pieces.truncate(3);
        assert_eq!(calls.0.load(SeqCst), 0, "three are left, and he wants four");
        pieces.truncate(2);
        assert_eq!(calls.0.load(SeqCst), 1);
        pieces.clear();
        assert_eq!(calls.0.load(SeqCst), 1, "he stands in the line no longer");
        assert!(second.fits_or_wakes(4, &waker) && budget.state.load(Acquire) & LINE == 0);
        drop(own);
    }

    #[test]
    fn who_has_given_back_all_he_had_is_woken_whatever_the_others_have() {
        let budget = Budget::new(10);
        let (first, second) = (budget.share(), budget.share());
        let _all = first.try_take(10).unwrap();
        let own = second.try_take(1).unwrap();
        let (calls, waker) = waker();
        assert!(!second.fits_or_wakes(1, &waker));
        drop(own);
        assert_eq!(calls.0.load(SeqCst), 1);
        let again = second.try_take(1).unwrap();
        assert!(!second.fits_or_wakes(1, &waker));
        second.leave();
        drop(again);
        assert_eq!(calls.0.load(SeqCst), 1, "he has left");
    }
}

#[cfg(all(test, loom))]
mod model {
    use std::task::Wake;

    use loom::thread::spawn;

    use super::*;
    use crate::queue::sync::Condvar;
    use crate::queue::sync::testing::every_interleaving;

    #[derive(Default)]
    struct Bell {
        has_rung: Mutex<bool>,
        rings: Condvar,
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            *self.has_rung.lock() = true;
            self.rings.notify_one();
        }
    }

    impl Bell {
        fn wait(&self) {
            let mut has_rung = self.has_rung.lock();
            while !*has_rung {
                self.rings.wait(&mut has_rung);
            }
            *has_rung = false;
        }
    }

    fn take_waiting(share: &Arc<Share>, bytes: u64) -> Claim {
        let bell = Arc::<Bell>::default();
        let waker = Waker::from(Arc::clone(&bell));
        loop {
            if let Some(claim) = share.try_take(bytes) {
                return claim;
            }
            if !share.fits_or_wakes(bytes, &waker) {
                bell.wait();
            }
        }
    }

    #[test]
    fn whoever_gives_back_wakes_the_one_it_is_enough_for() {
        every_interleaving(|| {
            let budget = Budget::new(3);
            let (giver, taker) = (budget.share(), budget.share());
            let (one, two) = (giver.try_take(1).unwrap(), giver.try_take(1).unwrap());
            let own = taker.try_take(1).unwrap();
            let gives = [one, two].map(|claim| spawn(move || drop(claim)));
            drop(take_waiting(&taker, 2));
            gives.into_iter().for_each(|gives| gives.join().unwrap());
            drop(own);
            assert_eq!(budget.held(), 0);
        });
    }

    #[test]
    fn two_who_wait_for_what_is_enough_for_one_get_it_one_after_the_other() {
        every_interleaving(|| {
            let budget = Budget::new(3);
            let all = budget.share().try_take(1).unwrap();
            let takers = [(); 2].map(|()| {
                let share = budget.share();
                // With something of its own it has no first taking left.
                let own = share.take(1);
                spawn(move || {
                    let claim = take_waiting(&share, 1);
                    drop((own, claim));
                })
            });
            drop(all);
            takers.into_iter().for_each(|taker| taker.join().unwrap());
            assert_eq!((budget.held(), budget.line.lock().len()), (0, 0));
        });
    }
}
