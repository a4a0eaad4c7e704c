//! Tickets: what becomes of a record that was taken.
//!
//! A batch has one [`Completion`], which all of its tickets share: a ticket is a pointer to it, and which record it is.
//!
//! - May use: the newtypes, `producer`, and `client` and `completion` of its room.
//! - Must not know: lanes.
//! - Always true: each ticket has exactly one outcome, and keeps it; a panic of a callback stays with it.

use std::fmt;
#[cfg(feature = "async")]
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "async")]
use std::pin::Pin;
use std::sync::{Arc, Weak};
#[cfg(feature = "async")]
use std::task::{Context, Poll};
use std::time::Duration;

use crate::id::TopicPartition;
use crate::offset::Offset;
use crate::producer::{Outcome, SendError};
use crate::queue::client::Client;
use crate::queue::completion::Completion;
use crate::queue::sync::Deadline;
use crate::time::Timestamp;

/// Where a record was put.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Placed {
    /// In which partition.
    pub partition: TopicPartition,
    /// Where in it. `None` if nobody says where: where a batch turns out to be there already, but too old for the node to know
    /// its place; and with [`Acks::None`](crate::message::Acks::None), where nobody says either whether it is there.
    pub offset: Option<Offset>,
    /// Its date: its own, or the one that its topic gave it.
    pub timestamp: Timestamp,
}

/// What becomes of a record that was taken. It may be dropped: that changes nothing for the record.
///
/// With the feature `async` it is a future too, of the same outcome as [`SendTicket::wait`].
#[must_use = "only the ticket tells whether the record was written"]
pub struct SendTicket {
    batch: Arc<BatchTickets>,
    index: u32,
    timestamp: Timestamp,
}

impl SendTicket {
    pub(super) fn new(batch: &Arc<BatchTickets>, index: u32, timestamp: Timestamp) -> Self {
        Self { batch: Arc::clone(batch), index, timestamp }
    }

    /// Waits until it is known what has become of the record.
    ///
    /// It does not hurry the batch: one that is not full is sent when its linger is over.
    /// [`Producer::send_and_wait`](crate::queue::Producer::send_and_wait) sends at once.
    ///
    /// # Errors
    ///
    /// [`SendError`], which says what is known of the record: it may have been written.
    pub fn wait(&self) -> Result<Placed, SendError> {
        self.told(&self.batch.wait())
    }

    /// The same, for at most `timeout`; `None` if nothing is known by then.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Placed, SendError>> {
        self.batch.wait_until(deadline_in(timeout)).map(|settled| self.told(&settled))
    }

    /// What has become of the record, if that is known.
    pub fn try_get(&self) -> Option<Result<Placed, SendError>> {
        self.batch.completion.get().map(|settled| self.told(&settled))
    }

    /// Has `callback` called with what has become of the record, once: by whichever thread brings the news, or now, if it is
    /// known already. Callbacks of one partition are called in the order of its records, unless they come too late for that.
    ///
    /// It must not wait: all other news of its partition waits for it. A panic in it ends with it.
    pub fn on_done(self, callback: impl FnOnce(Result<Placed, SendError>) + Send + 'static) {
        let batch = Arc::clone(&self.batch);
        batch.completion.on_set(move |settled| {
            // What it has left half done is its own, and is gone with it.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(self.told(settled))));
        });
    }

    fn told(&self, settled: &Settled) -> Result<Placed, SendError> {
        let outcome = settled.of(self.index);
        let delivered = outcome.result.as_ref().map_err(Clone::clone)?;
        let position = u64::from(self.index.saturating_sub(outcome.tickets.first));
        Ok(Placed {
            partition: self.batch.partition.clone(),
            offset: delivered.base_offset.map(|base| base.advance(position)),
            timestamp: delivered.log_append_time.unwrap_or(self.timestamp),
        })
    }
}

#[cfg(feature = "async")]
impl Future for SendTicket {
    type Output = Result<Placed, SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.batch.completion.poll(context.waker()).map(|settled| self.told(&settled))
    }
}

impl fmt::Debug for SendTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.try_get();
        f.debug_struct("SendTicket").field("index", &self.index).field("outcome", &told).finish_non_exhaustive()
    }
}

/// What all tickets of a batch share.
#[derive(Debug)]
pub(super) struct BatchTickets {
    partition: TopicPartition,
    client: Weak<dyn Client>,
    completion: Completion<Arc<Settled>>,
}

impl BatchTickets {
    pub(super) fn new(partition: TopicPartition, client: &Arc<dyn Client>) -> Arc<Self> {
        Arc::new(Self { partition, client: Arc::downgrade(client), completion: Completion::new() })
    }

    /// Tells all who wait. Callbacks are called before this returns, and their panics end here.
    pub(super) fn settle(&self, settled: Settled) {
        let settled = Arc::new(settled);
        // What may panic is a waker: that is whoever polls.
        let _ = catch_unwind(AssertUnwindSafe(|| self.completion.set(settled)));
    }

    /// Whether it is known what has become of the batch.
    pub(super) fn is_told(&self) -> bool {
        self.completion.get().is_some()
    }

    pub(super) fn wait(&self) -> Arc<Settled> {
        self.help(None).unwrap_or_else(|| self.completion.wait())
    }

    /// Waits at most until `deadline`; for as long as it takes if that lies behind the end of the clock.
    pub(super) fn wait_until(&self, deadline: Option<Deadline>) -> Option<Arc<Settled>> {
        let Some(deadline) = deadline else { return Some(self.wait()) };
        self.help(Some(deadline)).or_else(|| self.completion.wait_until(deadline))
    }

    /// Does what others would do otherwise, until the batch is settled, nothing is left to do, or the time is over.
    #[expect(clippy::disallowed_methods, reason = "a wait has an end on the machine's clock")]
    fn help(&self, deadline: Option<Deadline>) -> Option<Arc<Settled>> {
        loop {
            if let Some(settled) = self.completion.get() {
                return Some(settled);
            }
            let is_over = deadline.is_some_and(|deadline| Deadline::now() >= deadline);
            if is_over || !self.client.upgrade()?.help() {
                return None;
            }
        }
    }
}

/// What has become of the records of a batch.
#[derive(Debug)]
pub(super) struct Settled {
    /// One outcome of all records, unless the batch was split. Together they have each record once.
    first: Outcome,
    others: Vec<Outcome>,
}

impl Settled {
    pub(super) fn new(first: Outcome, others: Vec<Outcome>) -> Self {
        Self { first, others }
    }

    fn of(&self, index: u32) -> &Outcome {
        let has_it = |outcome: &&Outcome| index.wrapping_sub(outcome.tickets.first) < outcome.tickets.count;
        self.others.iter().find(has_it).unwrap_or(&self.first)
    }

    /// How many of the records were not delivered, or are not known to be.
    pub(super) fn given_up(&self) -> u64 {
        let all = std::iter::once(&self.first).chain(&self.others);
        all.filter(|outcome| outcome.result.is_err()).map(|outcome| u64::from(outcome.tickets.count)).sum()
    }

    /// Why the first of the records that were not delivered was not.
    pub(super) fn error(&self) -> Option<&SendError> {
        std::iter::once(&self.first).chain(&self.others).find_map(|outcome| outcome.result.as_ref().err())
    }
}

/// When `timeout` will be over; `None` if the clock does not count that far.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a wait of a thread ends by its own clock")]
pub(super) fn deadline_in(timeout: Duration) -> Option<Deadline> {
    std::time::Instant::now().checked_add(timeout)
}
