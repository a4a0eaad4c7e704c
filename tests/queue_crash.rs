//! Crash images of a whole queue: power goes at any call of the disk, and what was acknowledged is there.
//!
//! A script of everything that a service does with a queue runs on a disk in memory that stops at one of its calls. What was
//! begun and what was acknowledged by then is noted; then several of the images that a power loss may leave are opened, and
//! compared with the notes. The node has threads, so the same number is not always the same moment: that is as well.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "queue_crash/life.rs"]
mod life;
#[path = "queue_crash/notes.rs"]
mod notes;

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ottla::Queue;
use ottla::disk::MemDisk;
use ottla::disk::mem::{Applied, Choice, Keep, Length};
use ottla::message::{Committed, DeleteBefore, Durability, OffsetSpec, TopicConfig};
use ottla::offset::Offset;
use ottla::queue::{ConsumerConfig, ProducerConfig, Record};

use life::{named, run_script};
use notes::Loss;

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);

/// How many moments the power goes at, and how many random images of each are opened.
const MOMENTS: u64 = 20;
const RANDOM_IMAGES: u64 = 2;

#[test]
fn what_a_queue_has_acknowledged_survives_a_power_loss_at_any_call() {
    let whole = MemDisk::new();
    let notes = within(LONG, "the script on a disk that works", {
        let disk = whole.clone();
        move || run_script(&disk)
    });
    assert!(notes.is_finished(), "{notes:?}");
    let calls = whole.calls();
    for moment in 0..MOMENTS {
        // Spread over all calls, and not always at the same place of a round.
        let call = moment * calls / MOMENTS + moment * 7 % (calls / MOMENTS).max(1);
        let applied = [Applied::Before, Applied::After, Applied::Partly(5)][(moment % 3) as usize];
        power_goes_at(call, applied);
    }
}

#[test]
fn what_was_deleted_and_what_was_committed_stays_so_whenever_the_power_goes() {
    for call in 0..CALLS {
        let disk = MemDisk::new();
        let acknowledged = within(LONG, &format!("deleting, stopped {call} calls later"), {
            let disk = disk.clone();
            move || delete_and_commit(&disk, call)
        });
        for choice in [Choice::everything(), Choice::nothing()] {
            let image = disk.image(&choice);
            let what = format!("{call} calls later, {acknowledged:?}, {choice:?}");
            let found = within(LONG, &what.clone(), move || start_and_committed(&image));
            assert!(found.0 >= acknowledged.0, "{what}: deleted records are back: {found:?}");
            assert!(found.1 >= acknowledged.1, "{what}: the commit is gone: {found:?}");
        }
    }
}

/// How many calls of the disk deleting and committing take at least.
const CALLS: u64 = 24;

/// The disk stops so many calls behind the last send. Answers the log start and the commit that were acknowledged.
fn delete_and_commit(disk: &MemDisk, call: u64) -> (u64, u64) {
    let queue = Queue::builder().threads(NonZeroUsize::MIN).open_on(vec![disk.clone()]).unwrap();
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    let producer = queue.producer(ProducerConfig::default().durability(Durability::Flushed)).unwrap();
    for value in ["a", "b", "c", "d"] {
        producer.send_and_wait(Record::to("orders").value(value)).unwrap();
    }
    let config = ConsumerConfig::group("workers").request_timeout(Duration::from_millis(200));
    let mut consumer = queue.consumer(&config).unwrap();
    let mut commit = |offset| consumer.commit_offsets([(named("orders", 0), Committed::at(Offset::new(offset)))]);
    commit(1).unwrap();
    disk.stop_at(disk.calls() + call, Applied::Before);
    let to = DeleteBefore::Offset(Offset::new(2));
    let deleted = queue.delete_records(&named("orders", 0), to).map_or(0, Offset::get);
    (deleted, if commit(3).is_ok() { 3 } else { 1 })
}

fn start_and_committed(image: &MemDisk) -> (u64, u64) {
    let queue = Queue::builder().threads(NonZeroUsize::MIN).open_on(vec![image.clone()]).unwrap();
    let of = named("orders", 0);
    let start = queue.offset(&of, OffsetSpec::Earliest).unwrap().unwrap().offset.get();
    let mut consumer = queue.consumer(&ConsumerConfig::group("workers")).unwrap();
    let committed = consumer.committed([of.clone()]).unwrap();
    (start, committed.get(&of).map_or(0, |committed| committed.offset.get()))
}

fn power_goes_at(call: u64, applied: Applied) {
    let disk = MemDisk::new();
    disk.stop_at(call, applied);
    let notes = within(LONG, &format!("the script, stopped at call {call}"), {
        let disk = disk.clone();
        move || run_script(&disk)
    });
    let killed = (Choice::everything(), Loss::OfTheProcess);
    let mut choices = vec![killed, (Choice::nothing(), Loss::OfPower)];
    for nth in 0..RANDOM_IMAGES {
        choices.push((some_choice(call * 16 + nth), Loss::OfPower));
    }
    for (choice, loss) in choices {
        let image = disk.image(&choice);
        let what = format!("call {call} {applied:?}, {choice:?}");
        let notes = notes.clone();
        within(LONG, &what.clone(), move || notes.check(&image, loss, &what));
    }
}

fn some_choice(seed: u64) -> Choice {
    let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let names = if seed >> 60 & 1 == 0 { Keep::Random(seed) } else { Keep::First((seed >> 40 & 7) as usize) };
    let length = [Length::ByData, Length::Old, Length::New][(seed >> 50) as usize % 3];
    Choice { data: Keep::Random(seed >> 8), names, length, ..Choice::nothing() }
}

/// Does it on a thread of its own; fails if that hangs.
fn within<T: Send + 'static>(limit: Duration, what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "somebody has to wait")]
    let thread = thread::spawn(move || {
        let outcome = act();
        // Nobody listens any more if it took too long.
        let _ = tell.send(());
        outcome
    });
    match told.recv_timeout(limit) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        },
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: still not over after {limit:?}"),
    }
}
