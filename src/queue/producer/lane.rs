//! One partition's lane, behind its lock: the machine, the tickets of its batches, and what is about to be handed over.
//!
//! ```text
//!   push ─▶ machine ─▶ taken, being built ─▶ outbox, in the order of taking ─▶ handed over ─▶ back to the machine
//!                 └──▶ outcomes ─▶ settled, in order ─▶ told
//! ```
//!
//! Batches are built by several threads at once, and handed over by one at a time, in order: otherwise the node would see a
//! later sequence first. They are told of by one at a time too. Whoever finds another in one of these roles leaves what there
//! is to it.
//!
//! - May use: the newtypes, `producer`, and its siblings.
//! - Must not know: who drives it, the limit of memory.
//! - Always true: `held` is at least what the machine has; `batches` has exactly those with
//!   tickets that nobody has told yet, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::id::{ProducerId, TopicPartition};
use crate::message::ProducerIdentity;
use crate::offset::Offset;
use crate::producer::{AccumulatorConfig, BatchId, Lane, LaneId, Outcome, Outgoing, PushError, Pushed, Unbuilt};
use crate::queue::client::Client;
use crate::queue::producer::ticket::{BatchTickets, Settled};
use crate::queue::sync::{Mutex, MutexGuard};
use crate::record::{BuildError, NewRecord};
use crate::time::Instant;

/// One partition's lane. It has its cache lines to itself: two threads with two partitions share none.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct PartitionLane {
    pub(super) id: LaneId,
    pub(super) partition: TopicPartition,
    state: Mutex<LaneState>,
    /// How many batches wait to be sent for the first time, for those who choose among partitions.
    queued: AtomicU32,
}

impl PartitionLane {
    pub(super) fn new(id: LaneId, partition: TopicPartition, config: AccumulatorConfig) -> Self {
        let state = Mutex::new(LaneState::new(Lane::new(id, config)));
        Self { id, partition, state, queued: AtomicU32::new(0) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock()
    }

    pub(super) fn queued(&self) -> u32 {
        self.queued.load(Ordering::Relaxed)
    }

    pub(super) fn count_queued(&self, state: &LaneState) {
        let queued = u32::try_from(state.machine.queued()).unwrap_or(u32::MAX);
        if queued != self.queued() {
            self.queued.store(queued, Ordering::Relaxed);
        }
    }
}

/// What the lock of a lane guards.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) machine: Lane,
    /// What the machine has said and nobody has looked at.
    pub(super) outcomes: Vec<Outcome>,
    /// As whom the machine was last told to write: never again, since it counts from 0 when it forgets who it is.
    identified: Option<ProducerId>,
    batches: VecDeque<Untold>,
    outbox: VecDeque<Taken>,
    settled: VecDeque<(Arc<BatchTickets>, Settled)>,
    is_handing: bool,
    is_telling: Option<Arc<BatchTickets>>,
    /// How many bytes of the producer's memory are held here.
    pub(super) held: u64,
    /// What is noted of this lane's moments.
    pub(super) noted_deadline: Option<Instant>,
    pub(super) noted_oldest: Option<Instant>,
}

/// A batch whose tickets have not been told everything.
#[derive(Debug)]
struct Untold {
    id: BatchId,
    tickets: Arc<BatchTickets>,
    expected_offset: Option<Offset>,
    /// How many records it has, and of how many the outcome is there.
    records: u32,
    known: u32,
    outcomes: Vec<Outcome>,
}

/// A batch that the machine has given out and the node does not have.
#[derive(Debug)]
struct Taken {
    id: BatchId,
    expected_offset: Option<Offset>,
    built: Option<Outgoing>,
}

/// What is to be done for a lane, with its lock released.
#[derive(Debug)]
pub(super) enum Step {
    /// Hand this over to the node. Call [`LaneState::handed`] afterwards.
    Hand(Outgoing, Option<Offset>),
    /// Build this, and bring it back by [`LaneState::built`].
    Build(Unbuilt),
    /// Tell these. Call [`LaneState::told`] afterwards.
    Tell(Arc<BatchTickets>, Settled),
}

/// Whether a record is the first of its batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Begun {
    Before,
    Now,
}

impl LaneState {
    fn new(machine: Lane) -> Self {
        Self {
            machine,
            outcomes: Vec::new(),
            identified: None,
            batches: VecDeque::new(),
            outbox: VecDeque::new(),
            settled: VecDeque::new(),
            is_handing: false,
            is_telling: None,
            held: 0,
            noted_deadline: None,
            noted_oldest: None,
        }
    }

    /// How many bytes are held here that no record needs.
    pub(super) fn room(&self) -> u64 {
        self.held.saturating_sub(self.machine.bytes())
    }

    /// Encodes a record. Its batch's tickets are those of [`LaneState::newest`].
    pub(super) fn push(
        &mut self,
        lane: &PartitionLane,
        client: &Arc<dyn Client>,
        record: &NewRecord<'_>,
    ) -> Result<(Pushed, Begun), PushError> {
        if let Some(pushed) = self.machine.push_to_begun(record)
            && let Some(newest) = self.batches.back_mut()
        {
            newest.records += 1;
            return Ok((pushed, Begun::Before));
        }
        let pushed = self.machine.push(client.now(), record)?;
        self.batches.push_back(Untold {
            id: pushed.ticket.batch,
            tickets: BatchTickets::new(lane.partition.clone(), client),
            expected_offset: None,
            records: 1,
            known: 0,
            outcomes: Vec::new(),
        });
        Ok((pushed, Begun::Now))
    }

    /// The same, in a batch of its own that is to begin at `offset`.
    pub(super) fn push_expecting(
        &mut self,
        lane: &PartitionLane,
        client: &Arc<dyn Client>,
        record: &NewRecord<'_>,
        offset: Offset,
    ) -> Result<(Pushed, Begun), PushError> {
        self.machine.flush();
        let pushed = self.push(lane, client, record)?;
        self.machine.flush();
        if let Some(newest) = self.batches.back_mut() {
            newest.expected_offset = Some(offset);
        }
        Ok(pushed)
    }

    /// The tickets of the batch that was begun last.
    pub(super) fn newest(&self) -> Option<&Arc<BatchTickets>> {
        self.batches.back().map(|newest| &newest.tickets)
    }

    /// The tickets of all batches that nobody has told of.
    pub(super) fn untold(&self) -> impl Iterator<Item = Arc<BatchTickets>> {
        let settled = self.settled.iter().map(|(tickets, _)| Arc::clone(tickets));
        // What is told already may have callbacks that are being called yet.
        let telling = self.is_telling.iter().filter(|tickets| !tickets.is_told()).cloned();
        telling.chain(settled).chain(self.batches.iter().map(|batch| Arc::clone(&batch.tickets)))
    }

    /// How many records have an outcome that nobody has told.
    #[cfg(test)]
    pub(super) fn untold_records(&self) -> u32 {
        self.batches.iter().map(|batch| batch.records).sum()
    }

    /// What is to be done next; `None` if there is nothing, or another thread has it.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        self.sort_outcomes();
        if let Some(hand) = self.hand(now) {
            return Some(hand);
        }
        if self.is_telling.is_none()
            && let Some((tickets, settled)) = self.settled.pop_front()
        {
            self.is_telling = Some(Arc::clone(&tickets));
            return Some(Step::Tell(tickets, settled));
        }
        if self.machine.next_deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        self.machine.expire(now, &mut self.outcomes);
        let Some(unbuilt) = self.machine.take(now) else {
            return if self.outcomes.is_empty() { None } else { self.step(now) };
        };
        let tickets = unbuilt.tickets().batch;
        let expected_offset = self.batches.iter().find(|batch| batch.id == tickets)?.expected_offset;
        self.outbox.push_back(Taken { id: unbuilt.id(), expected_offset, built: None });
        Some(Step::Build(unbuilt))
    }

    fn hand(&mut self, now: Instant) -> Option<Step> {
        while !self.is_handing {
            let outgoing = self.outbox.front_mut()?.built.take()?;
            let expected_offset = self.outbox.pop_front()?.expected_offset;
            if self.machine.may_go(outgoing.id, &outgoing.batch) {
                self.is_handing = true;
                return Some(Step::Hand(outgoing, expected_offset));
            }
            // It was built behind one that has come back since: a node that knows nothing of this producer would take it.
            self.machine.held_back(now, outgoing.id, outgoing.batch);
        }
        None
    }

    /// The node has what it was handed over.
    pub(super) fn handed(&mut self) {
        self.is_handing = false;
    }

    /// The tickets have been told.
    pub(super) fn told(&mut self) {
        self.is_telling = None;
    }

    /// A batch was built, or cannot be.
    pub(super) fn built(&mut self, id: BatchId, built: Result<Outgoing, BuildError>) {
        let Some(place) = self.outbox.iter().position(|taken| taken.id == id) else { return };
        match built {
            Ok(outgoing) => self.outbox[place].built = Some(outgoing),
            Err(error) => {
                self.outbox.remove(place);
                self.machine.not_built(id, error, &mut self.outcomes);
            }
        }
    }

    /// Takes no more records, and gives up all that have no outcome.
    pub(super) fn shut(&mut self) {
        self.machine.close(&mut self.outcomes);
        self.outbox.clear();
    }

    /// Has the machine write as `known`, unless it has been that one before. Answers whether it still has to be
    /// told.
    pub(super) fn identify(&mut self, known: Option<ProducerIdentity>) -> bool {
        if let Some(identity) = known.filter(|identity| self.identified != Some(identity.id)) {
            self.identified = Some(identity.id);
            self.machine.identify(identity);
            return false;
        }
        true
    }

    /// Puts the outcomes to their batches; those that are complete are to be told.
    fn sort_outcomes(&mut self) {
        for outcome in self.outcomes.drain(..) {
            let tickets = outcome.tickets;
            let Some(place) = self.batches.iter().position(|batch| batch.id == tickets.batch) else { continue };
            let batch = &mut self.batches[place];
            batch.known += tickets.count;
            if batch.known < batch.records {
                batch.outcomes.push(outcome);
            } else if let Some(batch) = self.batches.remove(place) {
                self.settled.push_back((batch.tickets, Settled::new(outcome, batch.outcomes)));
            }
        }
    }
}
