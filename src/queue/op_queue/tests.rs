//! One thread: what a turn takes, and what becomes of the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Item::{Free, Ordered};
use super::*;
use crate::queue::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn queue() -> OpQueue<u32> {
    OpQueue::new(|| panic!("a turn was lost"))
}

fn batch(free: &[u32], ordered: &[u32]) -> Batch<u32> {
    Batch { free: free.iter().copied().collect(), ordered: ordered.iter().copied().collect() }
}

#[test]
fn a_turn_takes_all_that_is_queued_and_there_is_one() {
    let queue = queue();
    let mut turn = queue.enqueue([Ordered(1), Free(2), Ordered(3)]).unwrap();
    assert!(queue.enqueue([Ordered(4)]).is_none());
    assert_eq!(turn.take(), batch(&[2], &[1, 3, 4]));
    assert!(turn.finish().is_none());
    assert!(queue.is_idle());
}

#[test]
fn nothing_to_perform_is_no_turn() {
    let queue = queue();
    assert!(queue.enqueue([]).is_none() && queue.retry().is_none());
}

#[test]
fn a_turn_comes_back_for_what_was_queued_meanwhile() {
    let queue = queue();
    let mut turn = queue.enqueue([Ordered(1)]).unwrap();
    assert_eq!(turn.take(), batch(&[], &[1]));
    assert!(queue.enqueue([Ordered(2)]).is_none(), "somebody has the turn");
    let mut again = turn.finish().unwrap();
    assert_eq!(again.take(), batch(&[], &[2]));
    assert!(again.finish().is_none());
    assert!(queue.is_idle());
}

#[test]
fn what_found_no_space_waits_in_front_and_what_is_free_does_not_wait() {
    let queue = queue();
    let mut turn = queue.enqueue([Ordered(1), Ordered(2)]).unwrap();
    let mut taken = turn.take();
    assert!(queue.enqueue([Ordered(3)]).is_none());
    taken.ordered.pop_front();
    turn.put_back(taken.ordered);
    assert!(turn.finish().is_none(), "ordered items wait for a retry");
    assert!(queue.is_stalled() && !queue.is_idle());

    assert!(queue.enqueue([Ordered(4)]).is_none());
    let mut turn = queue.enqueue([Free(5), Ordered(6)]).unwrap();
    assert_eq!(turn.take(), batch(&[5], &[]));
    assert!(turn.finish().is_none());

    let mut turn = queue.retry().unwrap();
    assert_eq!(turn.take(), batch(&[], &[2, 3, 4, 6]));
    assert!(turn.finish().is_none() && !queue.is_stalled() && queue.is_idle());
}

#[test]
fn whoever_made_room_in_his_own_turn_gets_it_back_for_a_retry() {
    let queue = queue();
    let mut turn = queue.enqueue([Ordered(1), Free(2)]).unwrap();
    let taken = turn.take();
    turn.put_back(taken.ordered);
    assert!(queue.retry().is_none(), "there is one turn");
    let mut turn = turn.finish().unwrap();
    assert_eq!(turn.take(), batch(&[], &[1]));
    assert!(turn.finish().is_none());
}

#[test]
fn nothing_put_back_is_no_stall() {
    let queue = queue();
    let mut turn = queue.enqueue([Ordered(1)]).unwrap();
    turn.take();
    turn.put_back(VecDeque::new());
    assert!(turn.finish().is_none() && !queue.is_stalled());
}

#[test]
fn a_queue_that_was_broken_off_performs_nothing() {
    let queue = queue();
    let mut turn = queue.enqueue([Ordered(1), Ordered(2)]).unwrap();
    let taken = turn.take();
    assert!(queue.enqueue([Ordered(3), Free(4)]).is_none());
    queue.break_off();
    turn.put_back(taken.ordered);
    assert!(turn.take().is_empty() && turn.finish().is_none());
    assert!(queue.enqueue([Ordered(5), Free(6)]).is_none() && queue.retry().is_none());
    assert!(queue.is_broken() && queue.is_idle());
}

#[test]
fn a_turn_that_is_lost_in_a_panic_breaks_the_queue_off_and_says_so() {
    let lost = Arc::new(AtomicUsize::new(0));
    let note = Arc::clone(&lost);
    let queue = OpQueue::new(move || {
        note.fetch_add(1, SeqCst);
    });
    let turn = queue.enqueue([Ordered(1)]).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _turn = turn;
        panic!("in the middle of it");
    }));
    assert!(panic.is_err());
    assert_eq!((lost.load(SeqCst), queue.is_broken()), (1, true));
    assert!(queue.enqueue([Ordered(2)]).is_none());
}
