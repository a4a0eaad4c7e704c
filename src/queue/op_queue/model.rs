//! Every interleaving of those who queue ops and those who perform them.

use loom::thread::spawn;

use super::Item::{Free, Ordered};
use super::*;
use crate::queue::sync::testing::every_interleaving;

/// A log that numbers its ops under its lock, its queue, and the files on which they are performed.
struct Log {
    next: Mutex<u32>,
    queue: OpQueue<u32>,
    performed: Mutex<Performed>,
    /// Turns that were passed on to the helper.
    passed_on: Mutex<Vec<Turn<u32>>>,
    /// The queue was broken off.
    over: Mutex<bool>,
}

#[derive(Default)]
struct Performed {
    ordered: Vec<u32>,
    free: u32,
    busy: bool,
    /// How many ops find space until more is made.
    space: usize,
}

impl Log {
    fn new(space: usize) -> Arc<Self> {
        Arc::new(Self {
            next: Mutex::new(0),
            queue: OpQueue::new(|| panic!("a turn was lost")),
            performed: Mutex::new(Performed { space, ..Performed::default() }),
            passed_on: Mutex::new(Vec::new()),
            over: Mutex::new(false),
        })
    }

    fn append(&self) {
        let mut next = self.next.lock();
        *next += 1;
        let turn = self.queue.enqueue([Ordered(*next)]);
        drop(next);
        self.perform_and_pass_on(turn);
    }

    fn perform_and_pass_on(&self, turn: Option<Turn<u32>>) {
        if let Some(turn) = turn.and_then(|turn| self.perform(turn)) {
            self.passed_on.lock().push(turn);
        }
    }

    fn perform(&self, mut turn: Turn<u32>) -> Option<Turn<u32>> {
        let over = *self.over.lock();
        let mut batch = turn.take();
        assert!(!over || batch.is_empty(), "something is performed after the break");
        self.begin();
        let mut files = self.performed.lock();
        files.free += batch.free.len() as u32;
        while files.space > 0
            && let Some(op) = batch.ordered.pop_front()
        {
            files.space -= 1;
            files.ordered.push(op);
        }
        files.busy = false;
        drop(files);
        turn.put_back(batch.ordered);
        turn.finish()
    }

    /// Between this and the end of the work another thread would be seen.
    fn begin(&self) {
        let mut files = self.performed.lock();
        assert!(!mem::replace(&mut files.busy, true), "two perform at the same time");
    }

    fn help(&self) {
        loop {
            let Some(turn) = self.passed_on.lock().pop() else { return };
            self.perform_and_pass_on(Some(turn));
        }
    }
}

#[test]
fn ops_are_performed_in_order_by_one_at_a_time_and_none_is_left_behind() {
    every_interleaving(|| {
        let log = Log::new(usize::MAX);
        let appenders = [(); 2].map(|()| {
            let log = Arc::clone(&log);
            spawn(move || log.append())
        });
        log.append();
        log.help();
        appenders.into_iter().for_each(|appender| appender.join().unwrap());
        log.help();
        assert_eq!(log.performed.lock().ordered, [1, 2, 3]);
        assert!(log.queue.is_idle());
    });
}

#[test]
fn a_stalled_queue_keeps_its_order_performs_what_is_free_and_goes_on_after_a_retry() {
    every_interleaving(|| {
        let log = Log::new(0);
        let appenders = [(); 2].map(|()| {
            let log = Arc::clone(&log);
            spawn(move || log.append())
        });
        log.perform_and_pass_on(log.queue.enqueue([Free(0)]));
        log.perform_and_pass_on(log.queue.retry());
        appenders.into_iter().for_each(|appender| appender.join().unwrap());
        log.help();
        assert_eq!((log.performed.lock().free, log.queue.is_stalled()), (1, true));
        log.performed.lock().space = 2;
        log.perform_and_pass_on(log.queue.retry());
        log.help();
        assert_eq!(log.performed.lock().ordered, [1, 2]);
        assert!(log.queue.is_idle());
    });
}

#[test]
fn a_retry_is_not_forgotten_while_somebody_has_the_turn() {
    every_interleaving(|| {
        let log = Log::new(0);
        log.append();
        let remover = Arc::clone(&log);
        let remover = spawn(move || {
            let turn = remover.queue.enqueue([Free(0)]);
            remover.perform_and_pass_on(turn);
        });
        log.performed.lock().space = 1;
        log.perform_and_pass_on(log.queue.retry());
        remover.join().unwrap();
        log.help();
        assert_eq!(log.performed.lock().ordered, [1]);
        assert!(log.queue.is_idle() && !log.queue.is_stalled());
    });
}

#[test]
fn nothing_is_performed_after_a_break_and_its_turn_ends() {
    every_interleaving(|| {
        let log = Log::new(usize::MAX);
        let appenders = [(); 2].map(|()| {
            let log = Arc::clone(&log);
            spawn(move || log.append())
        });
        log.queue.break_off();
        *log.over.lock() = true;
        assert!(log.queue.enqueue([Ordered(9), Free(9)]).is_none());
        appenders.into_iter().for_each(|appender| appender.join().unwrap());
        log.help();
        assert!(log.queue.is_idle());
        assert!([[1, 2].as_slice(), &[1], &[]].contains(&&*log.performed.lock().ordered));
    });
}
