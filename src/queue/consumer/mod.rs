//! The consumer of a queue: one thread's way to read, to wait for what comes, and to note how far it has come.
//!
//! ```text
//!        poll                               the node
//!   Consumer ──▶ Asking ── Client::ask ───▶ ······
//!      ▲  │        ▲                           │ from whatever thread has the answer
//!      │  └ waits ─┼── Inbox ◀─── on_answer ───┘
//!   Records        Positions decides what to ask, and what is handed out
//! ```
//!
//! A fetch is under way with the node whenever there is something to fetch, also while the application is busy with the
//! records of the last one. A poll that finds nothing waits for the answer on a condition; it neither spins nor asks again.
//!
//! There is one process, so a group is a name under which offsets are kept: partitions are not shared out among consumers.
//!
//! - May use: `client`, `sync`, `consumer`, `message`, `record`.
//! - Must not know: what a node is made of.
//! - Always true: a position moves over records when they are handed out; whoever waits is told when the queue is closed.

mod acknowledge;
mod asking;
mod commit;
mod config;
mod error;
#[cfg(feature = "async")]
mod future;
mod inbox;
mod record;
mod room;
mod subscription;
mod tail;
#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::consumer::{NotAssigned, OffsetReset, Pause, Start};
use crate::id::{TopicName, TopicPartition};
use crate::message::OffsetSpec;
use crate::offset::Offset;
use crate::queue::client::{Client, Clocked};
use crate::queue::sync::Deadline;
use crate::time::{Instant, Timestamp};

pub use acknowledge::Acknowledger;
use acknowledge::Book;
use asking::Asking;
use config::millis;
pub use config::{ConsumerConfig, ConsumerConfigError};
pub use error::{CommitError, ConsumeError, SeekError, SubscribeError};
#[cfg(feature = "async")]
pub use future::{PollAsync, RecordStream};
use inbox::{Inbox, WaitFor, Waited};
pub use record::{ConsumedRecord, LentRecords, OwnedRecord, OwnedRecords, Receipt, Records};
use room::Shortage;
use subscription::{Change, Subscription};
pub use tail::Tail;

/// How many answers that come at once are followed when the time of a poll is over: a position, what was committed, a fetch.
const LAST_TURNS: u32 = 8;

/// How often it is looked whether topics have more partitions, or have gone.
const LOOK_MS: u64 = 1000;

/// Reads partitions of a queue.
///
/// One thread at a time owns it; another can end its wait by [`Consumer::waker`]. Dropping it commits nothing.
///
/// A consumer with a group begins where the group has committed. There is one process, and a group is a name under which
/// offsets are kept: two consumers of one group that subscribe to the same topic both read all of it.
#[derive(Debug)]
pub struct Consumer {
    asking: Asking,
    subscription: Subscription,
    /// Where subscriptions begin.
    begin: Start,
    next_look: Instant,
    /// Partitions that were assigned by hand and are gone, to be told.
    deleted: VecDeque<TopicPartition>,
    book: Option<Book>,
    records_max: u32,
    request_timeout_ms: u64,
    retry_backoff_ms: u64,
}

/// Ends the wait of a consumer, from any thread.
#[derive(Clone, Debug)]
pub struct Wakeup {
    inbox: Arc<Inbox>,
}

impl Wakeup {
    /// Ends the poll that waits now, or else the next one, with [`ConsumeError::WokenUp`].
    pub fn wakeup(&self) {
        self.inbox.wakeup();
    }
}

impl Consumer {
    pub(crate) fn new(client: Arc<dyn Client>, config: &ConsumerConfig) -> Result<Self, ConsumerConfigError> {
        let (group, begin) = config.check()?;
        let asking = Asking::new(Arc::clone(&client), group, config);
        let inbox = asking.inbox();
        let clocked: Arc<dyn Clocked> = Arc::<Inbox>::clone(inbox);
        client.clock(Arc::downgrade(&clocked));
        let book = config.unacknowledged_max.map(|max| Book::new(Arc::clone(inbox), max));
        Ok(Self {
            asking,
            subscription: Subscription::default(),
            begin,
            next_look: Instant::ZERO,
            deleted: VecDeque::new(),
            book,
            records_max: config.records_max,
            request_timeout_ms: millis(config.request_timeout),
            retry_backoff_ms: millis(config.retry_backoff),
        })
    }

    /// Reads all partitions of these topics, also those that are added later, and nothing else.
    ///
    /// It begins where the group has committed; a partition that was read already goes on where it is. A partition that comes
    /// later is read from its beginning, and so is a topic that was deleted and made again.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]; what was read before is read on then.
    pub fn subscribe<T: AsRef<str>>(&mut self, topics: impl IntoIterator<Item = T>) -> Result<(), SubscribeError> {
        let names = topics.into_iter().map(|name| TopicName::new(name.as_ref())).collect::<Result<Vec<_>, _>>()?;
        self.look(self.now());
        let subscription = self.subscription.of_topics(names, &**self.asking.client())?;
        let wanted = subscription.partitions();
        let before: Vec<_> = self.asking.positions.partitions().cloned().collect();
        for gone in before.iter().filter(|before| wanted.binary_search(before).is_err()) {
            self.revoke(gone);
        }
        for new in wanted.into_iter().filter(|wanted| before.binary_search(wanted).is_err()) {
            self.assign_one(new, self.begin);
        }
        self.begin_with(subscription);
        Ok(())
    }

    /// Reads these partitions, each from its start, and nothing else.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]; what was read before is read on then.
    pub fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicPartition, Start)>,
    ) -> Result<(), SubscribeError> {
        let assigned: Vec<_> = partitions.into_iter().collect();
        let has_group = self.asking.group().is_some();
        if !has_group && assigned.iter().any(|(_, start)| matches!(start, Start::Group(_))) {
            return Err(SubscribeError::NoGroup);
        }
        let subscription = Subscription::of_partitions(&assigned, &**self.asking.client())?;
        self.revoke_all();
        for (partition, start) in assigned {
            self.assign_one(partition, start);
        }
        self.begin_with(subscription);
        Ok(())
    }

    /// Reads nothing any more. What was fetched is forgotten.
    #[doc(alias = "unsubscribe")]
    pub fn unassign(&mut self) {
        self.revoke_all();
        self.begin_with(Subscription::default());
    }

    /// The partitions that are read, in order.
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.asking.positions.partitions()
    }

    fn begin_with(&mut self, subscription: Subscription) {
        self.subscription = subscription;
        self.next_look = self.now().after(LOOK_MS);
        self.deleted.clear();
        self.asking.cancel_stale();
    }

    fn assign_one(&mut self, partition: TopicPartition, start: Start) {
        self.forget_handed_out(&partition);
        self.asking.positions.assign(partition, start);
    }

    fn revoke(&mut self, partition: &TopicPartition) {
        self.forget_handed_out(partition);
        self.asking.positions.revoke(partition);
    }

    fn revoke_all(&mut self) {
        let all: Vec<_> = self.assignment().cloned().collect();
        all.iter().for_each(|partition| self.revoke(partition));
    }

    fn forget_handed_out(&self, partition: &TopicPartition) {
        if let Some(book) = &self.book {
            book.forget(partition);
        }
    }

    /// Goes on at `offset`. What was fetched of the partition is forgotten, and what is on its way will be.
    ///
    /// # Errors
    ///
    /// [`SeekError`] if the partition is not read. An offset that is not there is found out by the poll.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), SeekError> {
        self.seek_to(partition, Start::At(offset))
    }

    /// Goes on at the first record there is.
    ///
    /// # Errors
    ///
    /// [`SeekError`] if the partition is not read.
    pub fn seek_to_beginning(&mut self, partition: &TopicPartition) -> Result<(), SeekError> {
        self.seek_to(partition, Start::Find(OffsetSpec::Earliest))
    }

    /// Goes on at the end: with the next record that comes after the next poll has asked for it.
    ///
    /// # Errors
    ///
    /// [`SeekError`] if the partition is not read.
    pub fn seek_to_end(&mut self, partition: &TopicPartition) -> Result<(), SeekError> {
        self.seek_to(partition, Start::Find(OffsetSpec::Latest))
    }

    /// Goes on at the first record that is not dated before `date`; at the end if there is none.
    ///
    /// # Errors
    ///
    /// [`SeekError`] if the partition is not read.
    pub fn seek_to_timestamp(&mut self, partition: &TopicPartition, date: Timestamp) -> Result<(), SeekError> {
        self.seek_to(partition, Start::Find(OffsetSpec::At(date)))
    }

    fn seek_to(&mut self, partition: &TopicPartition, start: Start) -> Result<(), SeekError> {
        self.asking.positions.seek(partition, start)?;
        self.forget_handed_out(partition);
        self.asking.cancel_stale();
        Ok(())
    }

    /// The offset of the next record to be handed out; `None` if it is not known yet, or the partition is not read.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.asking.positions.position(partition)
    }

    /// How many offsets lie between the position and the end of what can be seen, as the last answer said.
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.asking.positions.lag(partition)
    }

    /// Hands out no more records of this partition. What was fetched stays.
    ///
    /// # Errors
    ///
    /// [`NotAssigned`] if the partition is not read.
    pub fn pause(&mut self, partition: &TopicPartition) -> Result<(), NotAssigned> {
        self.asking.positions.set_pause(partition, Pause::Paused)
    }

    /// Hands out records of this partition again.
    ///
    /// # Errors
    ///
    /// [`NotAssigned`] if the partition is not read.
    pub fn resume(&mut self, partition: &TopicPartition) -> Result<(), NotAssigned> {
        self.asking.positions.set_pause(partition, Pause::Running)
    }

    /// Hands out what there is, or waits for it, at most for `timeout`; nothing at all if nothing comes.
    ///
    /// What was fetched is handed out before anything is waited for. The next fetch is under way when this returns.
    ///
    /// # Errors
    ///
    /// [`ConsumeError`]. No position has moved then, and the next poll goes on with the other partitions.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records, ConsumeError> {
        let until = self.now().after(millis(timeout));
        let mut turns_left = LAST_TURNS;
        loop {
            if let Some(records) = self.turn(self.records_max)? {
                return Ok(records);
            }
            if self.now() >= until {
                turns_left -= 1;
            }
            if turns_left == 0 {
                return self.nothing();
            }
            match self.wait_for_turn(until) {
                Waited::Came => {}
                Waited::TimedOut => return self.nothing(),
            }
        }
    }

    /// What a poll answers when its time is over.
    fn nothing(&self) -> Result<Records, ConsumeError> {
        match &self.book {
            Some(book) if book.room() == 0 => Err(ConsumeError::Unacknowledged { outstanding: book.outstanding() }),
            Some(_) | None => match self.asking.shortage() {
                Some(Shortage { held, bytes_max }) => Err(ConsumeError::MemoryBound { held, bytes_max }),
                None => Ok(Records::default()),
            },
        }
    }

    /// An error where waiting without an end would be waiting in vain: nobody is there to acknowledge.
    fn check_stuck(&self) -> Result<(), ConsumeError> {
        match &self.book {
            Some(book) if book.is_stuck() => Err(ConsumeError::Unacknowledged { outstanding: book.outstanding() }),
            Some(_) | None => Ok(()),
        }
    }

    /// Does all that can be done without waiting; answers records if there are any.
    fn turn(&mut self, records_max: u32) -> Result<Option<Records>, ConsumeError> {
        self.asking.receive();
        if self.asking.is_stopped {
            return Err(ConsumeError::Closed);
        }
        if self.asking.inbox().take_wakeup() {
            return Err(ConsumeError::WokenUp);
        }
        if let Some(partition) = self.deleted.pop_front() {
            return Err(ConsumeError::Deleted { partition });
        }
        self.maybe_look(self.now());
        let handed = self.hand_out(records_max);
        if handed.as_ref().map_or(true, |records| !records.is_empty()) {
            // Others read ahead while these are being worked on, and go on where one has told of something wrong.
            if self.asking.positions.is_changed() {
                self.asking.ask(self.now());
            }
            return handed.map(Some);
        }
        let now = self.now();
        self.asking.ask(now);
        self.asking.maybe_probe(now);
        Ok(None)
    }

    fn hand_out(&mut self, records_max: u32) -> Result<Records, ConsumeError> {
        let room = self.book.as_ref().map_or(u64::MAX, Book::room);
        let records_max = records_max.min(u32::try_from(room).unwrap_or(u32::MAX));
        let mut records = Records::default();
        if records_max == 0 {
            return Ok(records);
        }
        for polled in self.asking.hand_out(records_max)? {
            let round = self.book.as_ref().map_or(0, |book| book.hand_out(&polled));
            records.push(polled, round);
        }
        Ok(records)
    }

    /// Looks at the topics again, now and then.
    fn maybe_look(&mut self, now: Instant) {
        if now >= self.next_look {
            self.look(now);
        }
    }

    /// Looks at the topics again: a position in a topic that was deleted is none in another of the same name.
    fn look(&mut self, now: Instant) {
        if self.subscription.is_empty() {
            return;
        }
        self.next_look = now.after(LOOK_MS);
        let changes = self.subscription.look(&**self.asking.client());
        if changes.is_empty() {
            return;
        }
        for change in changes {
            match change {
                Change::Appeared(partition) => self.assign_one(partition, self.later_start()),
                Change::Gone(partition) => self.revoke(&partition),
                Change::Deleted(partition) => {
                    self.revoke(&partition);
                    self.deleted.push_back(partition);
                }
            }
        }
        self.asking.cancel_stale();
    }

    /// Where a partition begins that has come after the subscription: nothing of it may be left out.
    fn later_start(&self) -> Start {
        match self.asking.group() {
            Some(_) => Start::Group(OffsetReset::Earliest),
            None => Start::Find(OffsetSpec::Earliest),
        }
    }

    /// Waits until there is something to look at or to ask, at most until `until`.
    fn wait_for_turn(&self, until: Instant) -> Waited {
        if !self.deleted.is_empty() {
            return Waited::Came;
        }
        let now = self.now();
        let sooner = self.next_turn(now).filter(|sooner| *sooner < until);
        let waited = self.wait(WaitFor::Anything, now, sooner.unwrap_or(until));
        // If it was for something to ask, the caller's time is not over.
        if sooner.is_some() { Waited::Came } else { waited }
    }

    /// When there is something to ask, or to look at, if nothing comes before.
    fn next_turn(&self, now: Instant) -> Option<Instant> {
        let look = (!self.subscription.is_empty()).then_some(self.next_look);
        self.asking.next_deadline(now).into_iter().chain(look).min()
    }

    /// Waits until something comes, at most until `until`. Whoever is about to wait does what others would do otherwise: it
    /// may be the very thing that he waits for.
    fn wait(&self, what: WaitFor, now: Instant, until: Instant) -> Waited {
        let inbox = self.asking.inbox();
        if inbox.has_come(what) {
            return Waited::Came;
        }
        if now >= until {
            return Waited::TimedOut;
        }
        if self.asking.client().help() {
            return Waited::Came;
        }
        inbox.wait(what, deadline(now, until))
    }

    fn now(&self) -> Instant {
        self.asking.client().now()
    }

    /// Ends a wait of this consumer from another thread.
    #[doc(alias = "wakeup")]
    pub fn waker(&self) -> Wakeup {
        Wakeup { inbox: Arc::clone(self.asking.inbox()) }
    }

    /// Reads no more, and takes back what it has asked for. Nothing is committed. Dropping it does the same.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.asking.cancel_all();
    }
}

/// The instant `at` on the clock of the machine, when it is `now` on the queue's.
#[expect(clippy::disallowed_methods, reason = "a condition variable counts by the clock of the machine")]
fn deadline(now: Instant, at: Instant) -> Deadline {
    /// Nobody waits for longer without looking again.
    const WAIT_MAX_MS: u64 = 24 * 60 * 60 * 1000;
    let left = at.as_millis().saturating_sub(now.as_millis()).min(WAIT_MAX_MS);
    Deadline::now() + Duration::from_millis(left)
}
