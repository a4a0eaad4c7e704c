//! Whether there is memory for what a consumer is about to fetch, where the queue has a bound on it.
//!
//! What is fetched counts from when it is taken until the last record of it is let go of, by the consumer and by the program.
//! What is in the way counts nothing: an answer for which there is no room is forgotten, and asked for again.
//!
//! - May use: `budget`, `consumer`, and its sibling `inbox`.
//! - Must not know: what is asked, and who waits.
//! - Always true: without a bound nothing is counted; a consumer of which nobody has anything gets room for one answer.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use crate::broker::Body;
use crate::consumer::Meter;
use crate::queue::budget::{Budget, Claim, Share};
use crate::queue::consumer::inbox::Inbox;
use crate::record::{Batch, Entry};

/// The memory of one consumer.
#[derive(Debug)]
pub(super) struct Room(Option<Bounded>);

#[derive(Debug)]
struct Bounded {
    share: Arc<Share>,
    /// Has the consumer look again.
    waker: Waker,
    /// For how much there was no room, if there was not.
    short_of: Option<u64>,
}

/// What was taken for an answer, if anybody counts.
#[derive(Debug)]
pub(super) struct Taken(Option<Claim>);

/// There is no room.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRoom;

/// How much memory consumers and the program have, and how much they may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shortage {
    pub(super) held: u64,
    pub(super) bytes_max: u64,
}

impl Room {
    pub(super) fn new(budget: Option<Arc<Budget>>, inbox: &Arc<Inbox>) -> Self {
        let waker = || Waker::from(Arc::clone(inbox));
        Self(budget.map(|budget| Bounded { share: budget.share(), waker: waker(), short_of: None }))
    }

    /// Who counts what is decompressed.
    pub(super) fn meter(&self) -> Option<Arc<dyn Meter>> {
        let share: Arc<dyn Meter> = Arc::<Share>::clone(&self.0.as_ref()?.share);
        Some(share)
    }

    /// Takes what this answer will have in memory, or notes that there is too little.
    pub(super) fn take(&mut self, body: &Body) -> Result<Taken, NoRoom> {
        let Some(bounded) = &mut self.0 else { return Ok(Taken(None)) };
        let wanted = bytes_of(body);
        let claim = bounded.share.try_take(wanted);
        if claim.is_none() {
            bounded.short_of = Some(wanted);
        }
        claim.map(|claim| Taken(Some(claim))).ok_or(NoRoom)
    }

    /// What there was too little for is not wanted any more.
    pub(super) fn forget_shortage(&mut self) {
        self.0.iter_mut().for_each(|bounded| bounded.short_of = None);
    }

    /// Whether there is too little memory for what came last. If so, the consumer is nudged once there is enough.
    pub(super) fn is_short(&mut self) -> bool {
        let Some(Bounded { share, waker, short_of }) = &mut self.0 else { return false };
        *short_of = short_of.filter(|wanted| !share.fits_or_wakes(*wanted, waker));
        short_of.is_some()
    }

    /// What there was too little of when it was looked last.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        let bounded = self.0.as_ref().filter(|bounded| bounded.short_of.is_some())?;
        let budget = bounded.share.budget();
        Some(Shortage { held: budget.held(), bytes_max: budget.bytes_max() })
    }
}

/// Nobody is there to be woken any more.
impl Drop for Bounded {
    fn drop(&mut self) {
        self.share.leave();
    }
}

impl Taken {
    /// The same entries, which count until they are let go of.
    pub(super) fn keep(self, entries: Vec<Entry>) -> Vec<Entry> {
        let Some(mut claim) = self.0 else { return entries };
        // A first batch comes whole, also where it is larger than what was asked for.
        claim.grow_to(entries.iter().map(|entry| u64::from(entry.size())).sum());
        let claim = Arc::new(claim);
        entries.into_iter().map(|entry| entry.kept(|bytes| claim.keep(bytes))).collect()
    }
}

impl Meter for Share {
    fn count(self: Arc<Self>, bytes: Bytes) -> Bytes {
        Arc::new(self.take(bytes.len() as u64)).keep(bytes)
    }
}

/// What an answer takes once it is read.
fn bytes_of(body: &Body) -> u64 {
    match body {
        Body::Nothing => 0,
        Body::Batches(batches) => batches.iter().map(Batch::size).map(u64::from).sum(),
        Body::File(read) => u64::from(read.span.bytes_max.min(read.span.end.saturating_sub(read.span.position))),
    }
}
