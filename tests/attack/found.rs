//! What the attacks have found: each a script, as short as it could be made, with the promise that was broken.

use ottla::disk::mem::{Applied, Choice};
use ottla::disk::{HighWatermarkRule, MemDisk};
use ottla::offset::Offset;

use crate::model::State;
use crate::script::Step;
use crate::world::{NOW, World, options};

/// Runs the steps on a new log and compares what it holds with the model.
fn run(rule: HighWatermarkRule, steps: &[Step]) -> World {
    let mut world = World::new(MemDisk::new(), options(rule));
    world.open().unwrap();
    for step in steps {
        world.perform(*step).unwrap_or_else(|fault| panic!("{step:?}: {fault:?}"));
    }
    let found = State::read(world.log()).unwrap();
    let expected = world.state();
    assert_eq!((found.start, found.end), (expected.start, expected.end));
    assert_eq!(found.rows, expected.rows_from(expected.start));
    world
}

#[test]
fn a_replicated_batch_behind_a_gap_may_be_the_one_that_rolls() {
    run(
        HighWatermarkRule::FollowWritten,
        &[Step::Replicate { batches: 4, gap: 0 }, Step::Replicate { batches: 3, gap: 5 }],
    );
}

#[test]
fn an_empty_log_is_opened_again_without_writing() {
    let mut world = run(HighWatermarkRule::FollowWritten, &[]);
    world.log = None;
    let before = world.disk.digest();
    world.open().unwrap();
    assert_eq!(world.disk.digest(), before);
}

#[test]
fn what_a_killed_process_has_named_is_durable_after_the_next_flush() {
    // The first calls make the partition's directory and its first files.
    for call in 0..16 {
        let disk = MemDisk::new();
        disk.stop_at(call, Applied::After);
        let mut world = World::new(disk.clone(), options(HighWatermarkRule::FollowWritten));
        let _ = world.open().and_then(|()| world.perform(Step::Append { producer: None, records: 1 }));
        drop(world);
        disk.kill();
        let mut world = World::new(disk.clone(), options(HighWatermarkRule::FollowWritten));
        world.open().unwrap();
        let end = world.log().log().log_end_offset();
        world.history[0].end = end.get();
        world.perform(Step::Append { producer: None, records: 1 }).unwrap();
        world.perform(Step::Flush).unwrap();
        disk.crash(&Choice::nothing());
        world.open().unwrap();
        assert_eq!(world.log().log().log_end_offset(), end.advance(1), "call {call}");
    }
}

#[test]
fn epochs_that_were_noted_before_their_batches_were_flushed_do_not_condemn_older_batches() {
    let mut world = run(
        HighWatermarkRule::FollowWritten,
        &[
            Step::Append { producer: None, records: 1 },
            Step::Epoch,
            Step::Append { producer: None, records: 1 },
            Step::Flush,
        ],
    );
    world.disk.crash(&Choice::nothing());
    world.open().unwrap();
    assert_eq!(world.log().log().log_end_offset().get(), 2);
}

#[test]
fn a_log_that_was_to_begin_anew_opens_wherever_that_was_cut_short() {
    for call in 0.. {
        let disk = MemDisk::new();
        let mut world = World::new(disk.clone(), options(HighWatermarkRule::FollowWritten));
        world.open().unwrap();
        disk.stop_at(disk.calls() + call, Applied::After);
        let outcome = world.perform(Step::Restart { ahead: 1 });
        drop(world);
        disk.kill();
        let mut world = World::new(disk, options(HighWatermarkRule::FollowWritten));
        world.open().unwrap_or_else(|fault| panic!("call {call}: {fault:?}"));
        assert!(world.log().log().log_end_offset().get() <= 1);
        if outcome.is_ok() {
            return;
        }
    }
}

/// A truncation behind a close that noted more, and a crash of the process after it.
#[test]
fn what_was_closed_before_a_truncation_is_no_news_after_it() {
    for rule in [HighWatermarkRule::FollowWritten, HighWatermarkRule::ByHand] {
        let five = Step::Replicate { batches: 5, gap: 0 };
        let mut world = run(rule, &[five, Step::Advance { eighths: 8 }, Step::Trim { eighths: 8 }, five, Step::Close]);
        world.log().truncate_to(Offset::new(3), NOW).unwrap();
        world.history.push(State { start: 3, end: 3, ..State::empty() });
        for step in [Step::Append { producer: None, records: 1 }, Step::Flush, Step::Die] {
            world.perform(step).unwrap();
        }
        let log = world.log().log();
        let ends = [log.log_start_offset(), log.high_watermark(), log.log_end_offset()].map(|offset| offset.get());
        assert_eq!(ends, if rule == HighWatermarkRule::ByHand { [3, 3, 4] } else { [3, 4, 4] });
    }
}
