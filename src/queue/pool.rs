//! A few threads that perform jobs, in the order in which they were given.
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

use crate::queue::sync::thread::{self, JoinHandle};
use crate::queue::sync::{Arc, Condvar, Mutex};

/// What a job panicked with.
pub(crate) type Panic = Box<dyn Any + Send>;

/// A few threads that perform jobs. Dropped, it is [abandoned](Self::abandon).
pub(crate) struct Pool<J: Send + 'static> {
    shared: Arc<Shared<J>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
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
        let state = Mutex::new(State { jobs: VecDeque::new(), idle: 0, closed: false });
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
        let somebody_waits = state.idle > 0;
        drop(state);
        if somebody_waits {
            self.shared.given.notify_one();
        }
        Ok(())
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
