//! Where answers wait for the thread that polls, and where that thread waits for them.
//!
//! - May use: `sync`, `client`, `message`.
//! - Must not know: what was asked, and what the answers mean.
//! - Always true: whoever waits is woken by whatever comes while he waits, and does not wait for what has come before; a
//!   question whose answer was thrown away counts as answered, so that nobody waits for it.

#[cfg(feature = "async")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Wake;
#[cfg(feature = "async")]
use std::task::Waker;

use crate::broker::Body;
use crate::message::Response;
use crate::queue::client::{Clocked, OnAnswer, Stopped};
use crate::queue::sync::{Condvar, Deadline, Mutex, WaitUntil};
use crate::time::Instant;

/// The consumer's number for a question.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Question(pub(super) u64);

/// An answer.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) question: Question,
    pub(super) answer: Result<Response<Body>, Stopped>,
}

/// What has come for one consumer.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    mail: Mutex<Mail>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Mail {
    arrivals: Vec<Arrival>,
    /// Somebody wants the poll to end.
    wakeup: bool,
    /// There is something to look at that is no answer.
    nudge: bool,
    #[cfg(feature = "async")]
    task: Option<Task>,
}

/// Who is to look again, instead of a thread that waits.
#[cfg(feature = "async")]
#[derive(Debug)]
struct Task {
    waker: Waker,
    /// When it is to look again if nothing comes before.
    at: Option<Instant>,
}

/// What ends a wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WaitFor {
    /// Answers, and a wakeup.
    Anything,
    /// Answers alone: a wakeup is for the next poll.
    Answers,
}

/// What has ended a wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Waited {
    /// Something has come.
    Came,
    /// The time is over.
    TimedOut,
}

impl Mail {
    fn has_come(&self, what: WaitFor) -> bool {
        !self.arrivals.is_empty() || self.nudge || (self.wakeup && what == WaitFor::Anything)
    }
}

impl Inbox {
    /// Changes what is there and wakes whoever waits for it. The lock is free again before he wakes up.
    fn put(&self, change: impl FnOnce(&mut Mail)) {
        let mut mail = self.mail.lock();
        change(&mut mail);
        #[cfg(feature = "async")]
        let task = mail.task.take();
        drop(mail);
        self.came.notify_one();
        #[cfg(feature = "async")]
        if let Some(task) = task {
            // Whose waker panics is whoever polls: the node goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| task.waker.wake()));
        }
    }

    pub(super) fn wakeup(&self) {
        self.put(|mail| mail.wakeup = true);
    }

    /// Has whoever waits look again.
    pub(super) fn nudge(&self) {
        self.put(|mail| mail.nudge = true);
    }

    /// What to be called with the answer to a question.
    pub(super) fn on_answer(self: &Arc<Self>, question: Question) -> OnAnswer {
        let asker = Asker { inbox: Arc::clone(self), question, is_answered: false };
        Box::new(move |answer| asker.answer(answer))
    }

    /// Takes the answers, in the order in which they came, and whether there was a nudge.
    pub(super) fn take(&self, arrivals: &mut Vec<Arrival>) -> bool {
        let mut mail = self.mail.lock();
        arrivals.append(&mut mail.arrivals);
        std::mem::take(&mut mail.nudge)
    }

    /// Whether a wakeup has come. It is over then.
    pub(super) fn take_wakeup(&self) -> bool {
        std::mem::take(&mut self.mail.lock().wakeup)
    }

    /// Whether a wait would end at once.
    pub(super) fn has_come(&self, what: WaitFor) -> bool {
        self.mail.lock().has_come(what)
    }

    /// Waits until something comes, at most until `deadline`.
    pub(super) fn wait(&self, what: WaitFor, deadline: Deadline) -> Waited {
        let mut mail = self.mail.lock();
        loop {
            if mail.has_come(what) {
                return Waited::Came;
            }
            if self.came.wait_maybe_until(&mut mail, Some(deadline)) && !mail.has_come(what) {
                return Waited::TimedOut;
            }
        }
    }

    /// Has `waker` called by what comes next, or at `at`. If something is here already, it is not kept.
    #[cfg(feature = "async")]
    pub(super) fn register(&self, waker: &Waker, at: Option<Instant>) -> Waited {
        let mut mail = self.mail.lock();
        if mail.has_come(WaitFor::Anything) {
            return Waited::Came;
        }
        mail.task = Some(Task { waker: waker.clone(), at });
        Waited::TimedOut
    }
}

/// Something has become possible that was not.
impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        self.nudge();
    }
}

/// A task that is not polled has a deadline, if there is something to ask again. Who waits while nothing is asked looks again
/// when the node has stopped, and is told so.
impl Clocked for Inbox {
    #[cfg(not(feature = "async"))]
    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    #[cfg(feature = "async")]
    fn next_deadline(&self) -> Option<Instant> {
        self.mail.lock().task.as_ref()?.at
    }

    fn wake(&self, _now: Instant) {
        self.nudge();
    }

    fn stopped(&self) {
        self.nudge();
    }
}

/// Brings one answer, or that there will be none.
struct Asker {
    inbox: Arc<Inbox>,
    question: Question,
    is_answered: bool,
}

impl Asker {
    fn answer(mut self, answer: Result<Response<Body>, Stopped>) {
        self.is_answered = true;
        self.inbox.put(|mail| mail.arrivals.push(Arrival { question: self.question, answer }));
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if !self.is_answered {
            let arrival = Arrival { question: self.question, answer: Err(Stopped) };
            self.inbox.put(|mail| mail.arrivals.push(arrival));
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use crate::queue::sync::testing::every_interleaving;

    fn never() -> Deadline {
        Deadline::now() + std::time::Duration::from_secs(3600)
    }

    #[test]
    fn what_comes_while_somebody_is_about_to_wait_wakes_him() {
        every_interleaving(|| {
            let inbox = Arc::new(Inbox::default());
            let on_answer = inbox.on_answer(Question(1));
            let answers = loom::thread::spawn(move || on_answer(Err(Stopped)));
            assert_eq!(inbox.wait(WaitFor::Answers, never()), Waited::Came);
            let mut arrivals = Vec::new();
            inbox.take(&mut arrivals);
            assert_eq!(arrivals.len(), 1);
            answers.join().unwrap();
        });
    }

    #[test]
    fn a_question_that_is_thrown_away_wakes_whoever_waits_for_it() {
        every_interleaving(|| {
            let inbox = Arc::new(Inbox::default());
            let on_answer = inbox.on_answer(Question(1));
            let drops = loom::thread::spawn(move || drop(on_answer));
            inbox.wait(WaitFor::Answers, never());
            drops.join().unwrap();
        });
    }

    #[test]
    fn a_wakeup_and_an_answer_at_once_are_both_kept() {
        every_interleaving(|| {
            let inbox = Arc::new(Inbox::default());
            let (on_answer, woken) = (inbox.on_answer(Question(1)), Arc::clone(&inbox));
            let answers = loom::thread::spawn(move || on_answer(Err(Stopped)));
            let wakes = loom::thread::spawn(move || woken.wakeup());
            let (mut arrivals, mut wakeups) = (Vec::new(), 0);
            while arrivals.is_empty() || wakeups == 0 {
                inbox.wait(WaitFor::Anything, never());
                inbox.take(&mut arrivals);
                wakeups += u32::from(inbox.take_wakeup());
            }
            assert_eq!((arrivals.len(), wakeups), (1, 1));
            answers.join().unwrap();
            wakes.join().unwrap();
        });
    }
}
