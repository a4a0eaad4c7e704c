//! The k-th call fails, for every k and every kind, once and from then on (S5, S7, S17).
//!
//! No panic; after a failed sync nothing succeeds until the log is opened again (I-S12); once the disk is well, what
//! the log holds is a state that was, at or behind what it had acknowledged.

use ottla::disk::mem::{FailedSync, Fails};
use ottla::disk::{AppendFault, DiskCall, DiskErrorKind, HighWatermarkRule, MemDisk};
use ottla::log::Health;

use crate::model::State;
use crate::script::{Step, script};
use crate::world::{Fault, World, options};

const STEPS: usize = 24;

fn kinds() -> [DiskErrorKind; 4] {
    let io = DiskErrorKind::Io { code: Some(5), message: "Input/output error".to_owned() };
    [io, DiskErrorKind::NoSpace, DiskErrorKind::PermissionDenied, DiskErrorKind::TooManyOpenFiles]
}

/// Runs the steps with the fault, then heals the disk, opens the log again and checks it.
fn run_with_fault(seed: u64, call: u64, kind: &DiskErrorKind, fails: Fails, failed_sync: FailedSync) {
    let context = || format!("seed {seed}, call {call} {kind:?} {fails:?} {failed_sync:?}");
    let disk = MemDisk::new();
    disk.fail_at(call, kind.clone(), fails);
    disk.set_failed_sync(failed_sync);
    let mut world = World::new(disk.clone(), options(HighWatermarkRule::FollowWritten));
    let mut faults = 0;
    if world.open().is_ok() {
        for step in script(seed, STEPS) {
            let Err(fault) = world.perform(step) else { continue };
            faults += 1;
            check_poison(&mut world, &fault, &context);
            break;
        }
    }
    assert!(faults <= 1);
    // All that was flushed when the disk was still well.
    let flushed = world.log.as_ref().map(|log| log.log().flushed().get());
    drop(world.log.take());
    disk.kill();
    let history = std::mem::take(&mut world.history);
    world.history = vec![State::empty()];
    world.open().unwrap_or_else(|fault| panic!("{}: opened again: {fault:?}", context()));
    let found = State::read(world.log()).unwrap_or_else(|error| panic!("{}: {error}", context()));
    if let Some(flushed) = flushed {
        let last = history.last().unwrap();
        let kept = |row: &&crate::model::Row| row.last < flushed && row.last >= found.start;
        let expected: Vec<_> = last.rows.iter().filter(kept).collect();
        let there: Vec<_> = found.rows.iter().filter(|row| row.last < flushed).collect();
        // The step that failed may have been a truncation, which has its effect or not.
        assert!(expected.starts_with(&there) || there.starts_with(&expected), "{}: {expected:?} {there:?}", context());
    }
}

/// I-S12: a failed sync, and any failed write but one without space, is the end until the next opening.
fn check_poison(world: &mut World, fault: &Fault, context: &dyn Fn() -> String) {
    let (Fault::Disk(error) | Fault::Append(AppendFault::Disk(error))) = fault else { return };
    let Some(log) = world.log.as_mut() else { return };
    if error.call == DiskCall::Sync && error.path.as_str().ends_with(".log") {
        assert!(matches!(log.log().health(), Health::Poisoned { .. }), "{}: {fault:?}", context());
        let again = world.perform(Step::Append { producer: None, records: 1 });
        assert!(matches!(again, Err(Fault::Append(_))), "{}: an append after {fault:?}", context());
    }
}

#[test]
fn a_call_that_fails_is_an_error_and_nothing_worse() {
    for seed in 0..2 {
        let mut world = World::new(MemDisk::new(), options(HighWatermarkRule::FollowWritten));
        world.open().unwrap();
        script(seed, STEPS).into_iter().for_each(|step| world.perform(step).unwrap());
        let calls = world.disk.calls();
        for call in 0..calls {
            for (kind, fails) in kinds().iter().flat_map(|kind| [(kind, Fails::Once), (kind, Fails::FromThenOn)]) {
                run_with_fault(seed, call, kind, fails, FailedSync::Keeps);
            }
            for failed_sync in [FailedSync::Drops, FailedSync::DropsAndEvicts] {
                run_with_fault(seed, call, &kinds()[0], Fails::Once, failed_sync);
            }
        }
    }
}
