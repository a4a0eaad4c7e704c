//! The clock's thread: it wakes whoever has a deadline, and looks after what is to be done now and then.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use crate::broker::Input;
use crate::disk::Disk;
use crate::id::TopicPartition;
use crate::queue::alarm::{Alarm, Woken};
use crate::queue::client::Clocked;
use crate::queue::node::Node;
use crate::queue::node::clock::Clock;
use crate::queue::node::outputs::Task;
use crate::queue::sync::thread;
use crate::queue::telemetry;
use crate::time::Instant;

/// After how many milliseconds what found no space tries again.
pub(super) const RETRY_MS: u64 = 100;

/// How many partitions one round of upkeep looks after before it looks at the clock again.
const UPKEEP_STEP: usize = 64;

/// What is done now and then.
#[derive(Debug)]
pub(super) struct Rounds {
    next_retry: Instant,
    next_upkeep: Instant,
    /// The partitions that this round of upkeep has still to look after.
    upkeep: Vec<TopicPartition>,
}

/// Starts the thread. It ends with the node.
pub(super) fn start<D: Disk>(node: &Arc<Node<D>>) -> io::Result<()> {
    let (weak, alarm, clock) = (Arc::downgrade(node), Arc::clone(&node.alarm), node.clock);
    let first = clock.now().after(node.options.upkeep_interval_ms);
    let rounds = Rounds { next_retry: Instant::ZERO, next_upkeep: first, upkeep: Vec::new() };
    thread::spawn("ottla-clock".to_owned(), move || run(&weak, &alarm, clock, rounds)).map(drop)
}

fn run<D: Disk>(node: &Weak<Node<D>>, alarm: &Alarm, clock: Clock, mut rounds: Rounds) {
    loop {
        let Some(strong) = node.upgrade() else { return };
        if strong.end_if_lost() {
            return;
        }
        let deadline = match catch_unwind(AssertUnwindSafe(|| strong.tick(&mut rounds))) {
            Ok(deadline) => deadline,
            Err(panic) => return strong.on_panic(&panic),
        };
        // Nobody keeps the node while it sleeps.
        drop(strong);
        if alarm.wait(deadline, |at| clock.at(at)) == Woken::Closed {
            return;
        }
    }
}

impl<D: Disk> Node<D> {
    /// Does what is due. Answers when to come again.
    fn tick(&self, rounds: &mut Rounds) -> Instant {
        let now = self.clock.now();
        let due = self.core.lock().broker.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.give(Input::Wake);
        }
        let mut next = self.wake_clocked(now);
        if !self.stalled.lock().is_empty() {
            if rounds.next_retry <= now {
                rounds.next_retry = now.after(RETRY_MS);
                self.retry_stalled();
            }
            next = next.min(rounds.next_retry);
        }
        self.look_after(now, rounds);
        let upkeep = if rounds.upkeep.is_empty() { rounds.next_upkeep } else { now };
        let deadline = self.core.lock().broker.next_deadline().unwrap_or(Instant::MAX);
        next.min(upkeep).min(deadline)
    }

    /// Wakes those whose deadline has come. Answers the earliest of the others.
    fn wake_clocked(&self, now: Instant) -> Instant {
        let mut next = Instant::MAX;
        for one in self.clocked() {
            if one.next_deadline().is_some_and(|deadline| deadline <= now) {
                one.wake(now);
            }
            next = next.min(one.next_deadline().unwrap_or(Instant::MAX));
        }
        next
    }

    /// Those who have deadlines, as far as they are still there.
    pub(super) fn clocked(&self) -> Vec<Arc<dyn Clocked>> {
        let mut clocked = self.clocked.lock();
        clocked.retain(|weak| weak.strong_count() > 0);
        clocked.iter().filter_map(Weak::upgrade).collect()
    }

    /// Looks after some of the partitions: retention, idle producers. A round begins once in an interval, and so does one of the
    /// compactor.
    fn look_after(&self, now: Instant, rounds: &mut Rounds) {
        if rounds.upkeep.is_empty() && rounds.next_upkeep <= now {
            rounds.next_upkeep = now.after(self.options.upkeep_interval_ms);
            rounds.upkeep = self.core.lock().slots.keys().cloned().collect();
            for dir in &self.dirs {
                // It trails: what a power loss takes away is read again.
                let _ = dir.lock().sync_marks();
            }
            if self.begins_round() {
                self.pass_on(Task::OpenAbsent);
            }
            self.compactor.ask();
        }
        for _ in 0..UPKEEP_STEP {
            let Some(partition) = rounds.upkeep.pop() else { return };
            let _span = telemetry::looking_after(&partition);
            self.give(Input::Upkeep { partition, date: self.clock.date() });
        }
    }
}
