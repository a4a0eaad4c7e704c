//! A few threads that perform jobs, begun in the order in which they were given, but for those of who helps.
//!
//! Whoever is about to wait for a job may perform one himself ([`Pool::help`]) instead of waiting for another thread to
//! wake up first.
//!
//! - May use: `sync`.
//! - Must not know: what a job is.
//! - Always true: a job is performed once or dropped; a job that panics takes neither its thread nor another job with it;
//!   nothing is performed that was given after the close.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::queue::sync::thread::{self, Handle};
use crate::queue::sync::{Arc, Condvar, Mutex};

/// What a job panicked with.
pub(crate) type Panic = Box<dyn Any + Send>;

/// A few threads that perform jobs. Dropped, it is [abandoned](Self::abandon).
pub(crate) struct Pool<J: Send + 'static> {
    shared: Arc<Shared<J>>,
    threads: Mutex<Vec<Handle>>,
}

struct Shared<J> {
    state: Mutex<State<J>>,
    /// A job was given, or it was closed.
    given: Condvar,
    run: Box<dyn Fn(J) + Send + Sync>,
    on_panic: Box<dyn Fn(Panic) + Send + Sync>,
}

struct State<J> {
    jobs: VecDeque<J>,
    /// How many threads wait for `given`.
    idle: usize,
    /// How many are about to help: nobody else is woken meanwhile.
    about_to_help: usize,
    closed: bool,
}

impl<J: Send + 'static> Pool<J> {
    /// Starts `threads` threads, named `name-0` and so on, which `run` jobs. With none, only [`Self::help`] and
    /// [`Self::close`] do. What a job panics with is given to `on_panic`, which must not panic itself.
    ///
    /// # Errors
    ///
    /// The operating system's, if it has no more threads to give. Those that were started end.
    pub(crate) fn new(
        threads: usize,
        name: &str,
        run: impl Fn(J) + Send + Sync + 'static,
        on_panic: impl Fn(Panic) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let state = Mutex::new(State { jobs: VecDeque::new(), idle: 0, about_to_help: 0, closed: false });
        let shared = Shared { state, given: Condvar::new(), run: Box::new(run), on_panic: Box::new(on_panic) };
        let pool = Self { shared: Arc::new(shared), threads: Mutex::new(Vec::new()) };
        for number in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::spawn(format!("{name}-{number}"), move || while shared.perform_next() {})?;
            pool.threads.lock().push(thread);
        }
        Ok(pool)
    }

    /// Queues a job behind the others.
    ///
    /// # Errors
    ///
    /// The job, if the pool was closed.
    pub(crate) fn give(&self, job: J) -> Result<(), J> {
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(job);
        }
        state.jobs.push_back(job);
        let wake = state.idle > 0 && state.about_to_help == 0;
        drop(state);
        if wake {
            self.shared.given.notify_one();
        }
        Ok(())
    }

    /// Calls `give_some`, which must not wait for anything, and performs the last of the jobs that wait then: most likely one
    /// of his own. The threads are woken for the others only. So whoever gives a job and then waits for it does not race
    /// with a thread that wakes up for it.
    pub(crate) fn give_and_help(&self, give_some: impl FnOnce()) {
        self.shared.state.lock().about_to_help += 1;
        let about = AboutToHelp(&self.shared);
        give_some();
        let job = about.end();
        if let Some(job) = job {
            self.shared.perform(job);
        }
    }

    /// Performs the first of the jobs that wait, if there is one. Answers whether there was.
    pub(crate) fn help(&self) -> bool {
        let job = self.shared.state.lock().jobs.pop_front();
        job.map(|job| self.shared.perform(job)).is_some()
    }

    /// Takes no more jobs, and returns when those it has are performed and its threads have ended; a thread that calls this
    /// out of a job is not waited for. A second close waits for nothing.
    pub(crate) fn close(&self) {
        self.shared.close();
        while self.help() {}
        let threads = mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.thread().id() != thread::current().id() {
                // It ends without a panic: jobs are caught.
                let _ = thread.join();
            }
        }
    }

    /// Takes no more jobs, drops those that wait, and leaves its threads to themselves: each ends after the job it has.
    pub(crate) fn abandon(&self) {
        self.shared.close();
        let jobs = mem::take(&mut self.shared.state.lock().jobs);
        // Without the lock: whoever dropped job may do anything.
        drop(jobs);
        self.threads.lock().clear();
    }
}

impl<J> Shared<J> {
    /// Waits for a job and performs it. Answers whether there may be another.
    fn perform_next(&self) -> bool {
        let Some(job) = self.next() else { return false };
        self.perform(job);
        true
    }

    /// The next job; `None` once it is closed and all are performed.
    fn next(&self) -> Option<J> {
        let mut state = self.state.lock();
        while state.jobs.is_empty() && !state.closed {
            state.idle += 1;
            self.given.wait(&mut state);
            state.idle -= 1;
        }
        state.jobs.pop_front()
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.given.notify_all();
    }

    fn perform(&self, job: J) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.run)(job))) {
            (self.on_panic)(panic);
        }
    }
}

/// Somebody is about to help, until he does, or panics instead.
struct AboutToHelp<'a, J>(&'a Shared<J>);

impl<J> AboutToHelp<'_, J> {
    /// Takes the job that he performs, and wakes the threads for the others.
    fn end(self) -> Option<J> {
        self.0.state.lock().jobs.pop_back()
    }
}

impl<J> Drop for AboutToHelp<'_, J> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.about_to_help -= 1;
        let wake = !state.jobs.is_empty();
        drop(state);
        if wake {
            self.0.given.notify_all();
        }
    }
}

impl<J: Send> Drop for Pool<J> {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl<J: Send> fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("waiting", &self.shared.state.lock().jobs.len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// No threads: only who helps performs.
    fn helped(
        run: impl Fn(u32) + Send + Sync + 'static,
        on_panic: impl Fn(Panic) + Send + Sync + 'static,
    ) -> Pool<u32> {
        Pool::new(0, "test", run, on_panic).expect("no thread is asked for")
    }

    fn noted() -> (Arc<Mutex<Vec<u32>>>, impl Fn(u32) + Send + Sync + 'static) {
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&done);
        (done, move |job| note.lock().push(job))
    }

    fn no_panic(_: Panic) {
        unreachable!("no job panics");
    }

    #[test]
    fn jobs_are_performed_in_the_order_given_by_whoever_helps() {
        let (done, run) = noted();
        let pool = helped(run, no_panic);
        pool.give(1).unwrap();
        pool.give(2).unwrap();
        assert!(pool.help());
        assert_eq!(*done.lock(), [1]);
        assert!(pool.help() && !pool.help());
        assert_eq!(*done.lock(), [1, 2]);
    }

    #[test]
    fn who_gives_and_helps_performs_his_own_job_himself() {
        let (done, run) = noted();
        let pool = helped(run, no_panic);
        pool.give(1).unwrap();
        pool.give_and_help(|| (2..=3).for_each(|job| pool.give(job).unwrap()));
        assert_eq!(*done.lock(), [3]);
        pool.give_and_help(|| ());
        assert_eq!(*done.lock(), [3, 2]);
    }

    #[test]
    fn a_close_performs_what_is_queued_and_takes_no_more() {
        let (done, run) = noted();
        let pool = Pool::new(2, "test", run, no_panic).unwrap();
        (0..100).for_each(|job| pool.give(job).unwrap());
        pool.close();
        assert_eq!(pool.give(100), Err(100));
        done.lock().sort_unstable();
        assert!(done.lock().iter().copied().eq(0..100));
    }

    #[test]
    fn a_job_that_panics_takes_nothing_with_it() {
        let (done, run) = noted();
        let panicked = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&panicked);
        let run = move |job: u32| if job % 2 == 1 { panic!("odd") } else { run(job) };
        let pool =
            Pool::new(1, "test", run, move |panic| note.lock().push(*panic.downcast::<&str>().unwrap())).unwrap();
        (0..5).for_each(|job| pool.give(job).unwrap());
        pool.close();
        done.lock().sort_unstable();
        assert_eq!((&**done.lock(), &**panicked.lock()), (&[0, 2, 4][..], &["odd", "odd"][..]));
    }

    #[test]
    fn an_abandoned_pool_waits_for_no_job_and_drops_those_that_wait() {
        let (begun, begins) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let run = move |_job: Arc<()>| {
            begun.send(()).unwrap();
            // Ends when the test does.
            let _ = released.lock().recv();
        };
        let pool = Pool::new(1, "test", run, no_panic).unwrap();
        let waits = Arc::new(());
        pool.give(Arc::new(())).unwrap();
        begins.recv().unwrap();
        pool.give(Arc::clone(&waits)).unwrap();
        drop(pool);
        assert_eq!(Arc::strong_count(&waits), 1);
        drop(release);
    }

    #[test]
    fn a_job_may_close_the_pool_that_performs_it() {
        let (send, receive) = mpsc::channel();
        let pool = Arc::new(Mutex::new(None::<Arc<Pool<u32>>>));
        let own = Arc::clone(&pool);
        let run = move |_| {
            let pool = own.lock().take();
            pool.unwrap().close();
            send.send(()).unwrap();
        };
        *pool.lock() = Some(Arc::new(Pool::new(1, "test", run, no_panic).unwrap()));
        let given = pool.lock().clone();
        given.unwrap().give(1).unwrap();
        assert_eq!(receive.recv(), Ok(()));
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::thread::spawn;

    use super::*;
    use crate::queue::sync::testing::every_interleaving;

    type Count = Arc<Mutex<u32>>;

    fn counting(threads: usize) -> (Count, Arc<Pool<()>>) {
        let count = Count::default();
        let run = Arc::clone(&count);
        let pool = Pool::new(threads, "pool", move |()| *run.lock() += 1, |_| unreachable!("no job panics"));
        (count, Arc::new(pool.expect("loom has threads")))
    }

    #[test]
    fn every_job_is_performed_once_before_a_close_returns() {
        every_interleaving(|| {
            let (count, pool) = counting(2);
            pool.give(()).unwrap();
            pool.give(()).unwrap();
            pool.close();
            assert_eq!(*count.lock(), 2);
        });
    }

    #[test]
    fn a_thread_that_waits_is_woken_for_every_job() {
        every_interleaving(|| {
            let (count, pool) = counting(1);
            let giver = Arc::clone(&pool);
            let giver = spawn(move || giver.give(()).unwrap());
            pool.help();
            giver.join().unwrap();
            pool.give(()).unwrap();
            // Nobody helps and nobody closes: the thread has to do it.
            while *count.lock() < 2 {
                loom::thread::yield_now();
            }
            pool.close();
        });
    }

    #[test]
    fn what_is_given_while_somebody_is_about_to_help_is_performed_too() {
        every_interleaving(|| {
            let (count, pool) = counting(1);
            let other = Arc::clone(&pool);
            let other = spawn(move || other.give(()).unwrap());
            pool.give_and_help(|| pool.give(()).unwrap());
            other.join().unwrap();
            // Nobody helps any more: what is left is for the thread.
            while *count.lock() < 2 {
                loom::thread::yield_now();
            }
            pool.close();
        });
    }

    #[test]
    fn a_job_given_while_it_closes_is_performed_or_comes_back() {
        every_interleaving(|| {
            let (count, pool) = counting(1);
            let giver = Arc::clone(&pool);
            let giver = spawn(move || giver.give(()).is_ok());
            pool.close();
            let taken = giver.join().unwrap();
            assert_eq!(*count.lock(), u32::from(taken));
        });
    }

    #[test]
    fn an_abandoned_pools_threads_end_and_its_jobs_are_dropped() {
        every_interleaving(|| {
            let (count, pool) = counting(1);
            pool.give(()).unwrap();
            pool.give(()).unwrap();
            pool.abandon();
            assert!(!pool.help());
            assert!(*count.lock() <= 2);
        });
    }
}
