//! One partition's lane: batches under construction, those on their way, and the sequences that keep them in order.
//!
//! ```text
//!             push              take                 acknowledged, failed for good, expired
//!   record ─────────▶ unsent ─────────▶ sent: flying ─────────▶ outcome
//!                       │                 │     ▲
//!                       │ expired,  failed│     │take, when all in front are gone
//!                       ▼ dropped         ▼     │
//!                    outcome          sent: waiting
//! ```
//!
//! A sequence is given when a batch is first taken. A batch that comes back waits, and holds up all behind it: they go out
//! again one by one, in order. So at most `in_flight_max` batches are on their way, and a broker that remembers that many
//! recognises each.
//!
//! Whoever takes a batch keeps its bytes, and brings them back with a failure. Building it, which compresses and counts a
//! checksum, happens outside of the lane and outside of the lock around it: [`Unbuilt::build`].
//!
//! - May use: the newtypes, `record`, `message`, and its siblings `config` and `outcome`.
//! - Must not know: other lanes, the limit of memory.
//! - Always true: what is sent stands in the order of its records, under sequences that rise and do not overlap; the next
//!   one to be given lies behind all of them.

mod results;
mod sequences;
mod split;
mod unbuilt;

use std::collections::VecDeque;

use crate::epoch::Sequence;
use crate::message::{Detail, ProducerIdentity};
use crate::producer::config::AccumulatorConfig;
use crate::producer::outcome::{Known, Outcome, PushError, Pushed, Room, SendError, Ticket, Tickets};
use crate::record::{Batch, BatchBuilder, Header, NewRecord};
use crate::time::Instant;

pub use unbuilt::{Outgoing, Unbuilt};

/// The number of a lane.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LaneId(u32);

impl LaneId {
    /// The lane `number`.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The number of a batch in its lane. A later batch has a larger one, except for the pieces of one that was split.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BatchId(u64);

/// The lane of one partition.
#[derive(Debug)]
pub struct Lane {
    id: LaneId,
    config: AccumulatorConfig,
    /// Who writes; nobody before that is known, and after the epochs of the last one were used up.
    identity: Option<ProducerIdentity>,
    /// The sequence of the first record that has none.
    next_sequence: Sequence,
    /// The sequence that the broker expects, as far as its answers tell.
    acknowledged: Sequence,
    certainty: Certainty,
    unsent: VecDeque<Unsent>,
    sent: VecDeque<Sent>,
    next_id: u64,
    bytes: u64,
    /// How much room the next batch gets to begin with.
    room_hint: usize,
    /// What the last answer said, if it was that there is no space.
    no_space: Option<Detail>,
    is_closed: bool,
}

/// Whether the next sequence is known to be the one that the broker expects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Certainty {
    Known,
    /// A batch was given up that may have been written: nothing new is sent until all answers are there.
    InDoubt,
}

/// A batch that has no sequence yet.
#[derive(Debug)]
struct Unsent {
    id: BatchId,
    builder: BatchBuilder,
    /// When its first record came.
    created: Instant,
    /// Until when it waits for more, unless it is full before.
    lingers_until: Instant,
    room: Room,
}

/// A batch that has been taken once.
#[derive(Debug)]
struct Sent {
    id: BatchId,
    tickets: Tickets,
    base_sequence: Sequence,
    created: Instant,
    bytes: u64,
    /// How often it has come back.
    failures: u32,
    /// Whether one of its answers left open if it was written.
    may_be_written: bool,
    state: SentState,
}

#[derive(Debug)]
enum SentState {
    /// Someone has it.
    Flying,
    /// It has come back.
    Waiting { until: Instant, kept: Kept },
}

/// What is sent when it is its turn again.
#[derive(Debug)]
enum Kept {
    /// The batch that has come back.
    Batch(Batch),
    /// As many of its records as there are tickets, from this one on.
    PartOf { batch: Batch, from: u32 },
}

impl Sent {
    fn known(&self) -> Known {
        match self.state {
            SentState::Waiting { .. } if !self.may_be_written => Known::NotWritten,
            SentState::Waiting { .. } | SentState::Flying => Known::Unknown,
        }
    }
}

impl Lane {
    /// An empty lane, whose tickets have the number `id`.
    pub fn new(id: LaneId, config: AccumulatorConfig) -> Self {
        Self {
            id,
            config,
            identity: None,
            next_sequence: Sequence::ZERO,
            acknowledged: Sequence::ZERO,
            certainty: Certainty::Known,
            unsent: VecDeque::new(),
            sent: VecDeque::new(),
            next_id: 0,
            bytes: 0,
            room_hint: 0,
            no_space: None,
            is_closed: false,
        }
    }

    /// Encodes a record into the batch under construction, or into a new one.
    ///
    /// # Errors
    ///
    /// [`PushError::TooLarge`] or [`PushError::Closed`]; nothing has changed then.
    pub fn push(&mut self, now: Instant, record: &NewRecord<'_>) -> Result<Pushed, PushError> {
        if self.is_closed {
            return Err(PushError::Closed);
        }
        let (alone, max) = (bytes_alone_max(record), u64::from(self.config.record_bytes_max));
        if alone > max {
            return Err(PushError::TooLarge { bytes: alone, max });
        }
        if let Some(pushed) = self.push_to_open(record, alone) {
            return Ok(pushed);
        }
        let mut builder = self.builder(self.room_hint);
        builder.push(record).map_err(|_| PushError::TooLarge { bytes: alone, max })?;
        if let Some(last) = self.unsent.back_mut() {
            last.room = Room::None;
        }
        if self.is_idle() {
            // Nothing has been asked since.
            self.no_space = None;
        }
        let id = self.next_id();
        let room = self.room_of(&builder);
        let bytes = builder.size();
        self.bytes += bytes as u64;
        let lingers_until = now.after(self.config.linger_ms);
        self.unsent.push_back(Unsent { id, builder, created: now, lingers_until, room });
        Ok(Pushed { ticket: Ticket { lane: self.id, batch: id, index: 0 }, bytes: bytes as u32, room })
    }

    /// Encodes a record into the batch under construction, if there is one that has room for it. It takes no time, so it asks
    /// for none; [`Lane::push`] is for all other cases.
    pub fn push_to_begun(&mut self, record: &NewRecord<'_>) -> Option<Pushed> {
        let alone = bytes_alone_max(record);
        if self.is_closed || alone > u64::from(self.config.record_bytes_max) {
            return None;
        }
        self.push_to_open(record, alone)
    }

    /// Encodes the record, which takes less than `bytes_max`, into the last batch, if that has room for it.
    fn push_to_open(&mut self, record: &NewRecord<'_>, bytes_max: u64) -> Option<Pushed> {
        let batch_bytes = u64::from(self.config.batch_bytes);
        let open = self.unsent.back_mut().filter(|last| last.room == Room::Left)?;
        let before = open.builder.size();
        // Its exact size is only counted where that decides.
        let surely_fits = before as u64 + bytes_max <= batch_bytes;
        if !surely_fits && before as u64 + open.builder.size_of(record) > batch_bytes {
            return None;
        }
        let index = open.builder.record_count();
        // What cannot be told in this batch's fields is tried in one of its own.
        open.builder.push(record).ok()?;
        let bytes = open.builder.size() - before;
        if open.builder.size() as u64 >= batch_bytes {
            open.room = Room::None;
        }
        self.bytes += bytes as u64;
        let ticket = Ticket { lane: self.id, batch: open.id, index };
        Some(Pushed { ticket, bytes: bytes as u32, room: open.room })
    }

    fn builder(&self, capacity: usize) -> BatchBuilder {
        let builder = BatchBuilder::with_capacity(self.config.codec, capacity);
        match self.config.level {
            Some(level) => builder.level(level),
            None => builder,
        }
    }

    fn room_of(&self, builder: &BatchBuilder) -> Room {
        if builder.size() as u64 >= u64::from(self.config.batch_bytes) { Room::None } else { Room::Left }
    }

    /// The room for a batch behind one of `bytes`, so that it seldom has to grow: growing copies it, and twice its size is
    /// more than allocators keep for the next one.
    fn room_after(&self, bytes: usize) -> usize {
        let (slack, most) = (bytes / 8 + Header::BYTES, self.config.batch_bytes as usize);
        bytes.saturating_add(slack).min(most)
    }

    fn next_id(&mut self) -> BatchId {
        self.next_id += 1;
        BatchId(self.next_id)
    }

    /// How many bytes of records are here or on their way, uncompressed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many batches wait to be sent for the first time.
    pub fn queued(&self) -> usize {
        self.unsent.len()
    }

    /// Whether every record has its outcome.
    pub fn is_idle(&self) -> bool {
        self.unsent.is_empty() && self.sent.is_empty()
    }

    /// Makes all batches ready, whatever room they have. Answers with the last of them that has no outcome yet.
    pub fn flush(&mut self) -> Option<BatchId> {
        for batch in &mut self.unsent {
            batch.room = Room::None;
        }
        let sent = self.sent.back().map(|batch| batch.tickets.batch);
        self.unsent.back().map(|batch| batch.id).or(sent)
    }

    /// Lets no batch wait for more records: each may be sent at once. Those that come before it is still join it.
    pub fn hasten(&mut self) {
        for batch in self.unsent.iter_mut().rev() {
            if batch.lingers_until == batch.created {
                return;
            }
            batch.lingers_until = batch.created;
        }
    }

    /// Whether all records up to those of `batch` have their outcome.
    pub fn is_settled(&self, batch: BatchId) -> bool {
        let sent = self.sent.front().map(|oldest| oldest.tickets.batch);
        let oldest = sent.or(self.unsent.front().map(|oldest| oldest.id));
        oldest.is_none_or(|oldest| oldest > batch)
    }

    /// Drops the oldest batch that was never sent. Answers whether there was one.
    pub fn drop_oldest(&mut self, out: &mut Vec<Outcome>) -> Option<BatchId> {
        let dropped = self.unsent.pop_front()?;
        self.give_up_unsent(&dropped, SendError::Dropped, out);
        Some(dropped.id)
    }

    /// When the oldest batch that was never sent was begun.
    pub fn oldest_unsent(&self) -> Option<Instant> {
        self.unsent.front().map(|oldest| oldest.created)
    }

    /// Takes no more records, and gives up all that have no outcome. Answers that come later change nothing.
    pub fn close(&mut self, out: &mut Vec<Outcome>) {
        self.is_closed = true;
        for batch in std::mem::take(&mut self.sent) {
            let known = batch.known();
            out.push(Outcome { tickets: batch.tickets, result: Err(SendError::Closed { known }) });
        }
        for batch in std::mem::take(&mut self.unsent) {
            self.give_up_unsent(&batch, SendError::Closed { known: Known::NotWritten }, out);
        }
        self.bytes = 0;
    }

    fn give_up_unsent(&mut self, batch: &Unsent, why: SendError, out: &mut Vec<Outcome>) {
        self.bytes = self.bytes.saturating_sub(batch.builder.size() as u64);
        let tickets = Tickets { lane: self.id, batch: batch.id, first: 0, count: batch.builder.record_count() };
        out.push(Outcome { tickets, result: Err(why) });
    }

    /// When to look here again, for [`Lane::take`] or [`Lane::expire`], unless something happens before; `None` if nothing
    /// will come of waiting.
    pub fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.sent.iter().map(|batch| batch.created).min().into_iter().chain(self.oldest_unsent()).min();
        let expiry = oldest.map(|created| created.after(self.config.delivery_timeout_ms));
        [self.next_take(), expiry].into_iter().flatten().min()
    }

    /// When there is a batch to be taken, if that is only a matter of time.
    fn next_take(&self) -> Option<Instant> {
        self.identity?;
        let is_waiting = |batch: &Sent| matches!(batch.state, SentState::Waiting { .. });
        if self.sent.iter().any(is_waiting) {
            return match self.sent.front()?.state {
                SentState::Waiting { until, .. } => Some(until),
                SentState::Flying => None,
            };
        }
        let may_send = self.certainty == Certainty::Known && self.sent.len() < usize::from(self.config.in_flight_max);
        let next = self.unsent.front().filter(|_| may_send)?;
        match next.room {
            Room::None => Some(next.created),
            Room::Left => Some(next.lingers_until),
        }
    }

    /// Takes the next batch that may be sent now, under its sequence.
    pub fn take(&mut self, now: Instant) -> Option<Unbuilt> {
        if self.next_take()? > now {
            return None;
        }
        let is_again = self.sent.front().is_some_and(|batch| matches!(batch.state, SentState::Waiting { .. }));
        let taken = if is_again { self.take_again() } else { self.take_new() };
        self.check();
        taken
    }

    fn take_new(&mut self) -> Option<Unbuilt> {
        let Unsent { id, builder, created, .. } = self.unsent.pop_front()?;
        let tickets = Tickets { lane: self.id, batch: id, first: 0, count: builder.record_count() };
        let base_sequence = self.next_sequence;
        self.next_sequence = base_sequence.advance(tickets.count);
        self.room_hint = self.room_after(builder.size());
        let bytes = builder.size() as u64;
        let (failures, may_be_written, state) = (0, false, SentState::Flying);
        self.sent.push_back(Sent { id, tickets, base_sequence, created, bytes, failures, may_be_written, state });
        Some(Unbuilt::new(id, tickets, builder, self.stamp(base_sequence)?))
    }

    fn take_again(&mut self) -> Option<Unbuilt> {
        let front = self.sent.front_mut()?;
        let (id, tickets, sequence) = (front.id, front.tickets, front.base_sequence);
        let SentState::Waiting { kept, .. } = std::mem::replace(&mut front.state, SentState::Flying) else {
            return None;
        };
        let stamp = self.stamp(sequence)?;
        Some(match kept {
            Kept::Batch(batch) => Unbuilt::again(id, tickets, batch, stamp),
            Kept::PartOf { batch, from } => Unbuilt::part(id, tickets, (batch, from), self.builder(0), stamp),
        })
    }

    /// Gives up what was not delivered in time.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Outcome>) {
        let timeout_ms = self.config.delivery_timeout_ms;
        let is_over = |created: Instant| created.after(timeout_ms) <= now;
        while let Some(index) = self.sent.iter().position(|batch| is_over(batch.created)) {
            let known = self.sent[index].known();
            self.give_up(index, known, self.overdue(known), out);
        }
        while self.unsent.front().is_some_and(|batch| is_over(batch.created)) {
            let Some(batch) = self.unsent.pop_front() else { break };
            self.give_up_unsent(&batch, self.overdue(Known::NotWritten), out);
        }
        self.check();
    }

    /// Why records were not delivered in time: those that stand behind one that finds no space find none either.
    fn overdue(&self, known: Known) -> SendError {
        let no_space = self.no_space.as_ref().and_then(|detail| SendError::for_want_of_space(detail, known));
        no_space.unwrap_or(SendError::Expired { timeout_ms: self.config.delivery_timeout_ms, known })
    }

    /// Asserts what always holds.
    fn check(&self) {
        let mut ahead = i32::MAX;
        for batch in &self.sent {
            let from = self.ahead_of(batch.base_sequence);
            let to = i64::from(from) - i64::from(batch.tickets.count);
            assert!(from <= ahead && to >= 0, "the sequences of two batches overlap");
            ahead = to as i32;
        }
        let mut others = self.unsent.iter().rev().skip(1);
        // There may be thousands.
        debug_assert!(others.all(|batch| batch.room == Room::None), "a batch with room is not the last");
    }
}

/// How many bytes a batch of this record alone has at most (format.md, section 2).
pub(crate) fn bytes_alone_max(record: &NewRecord<'_>) -> u64 {
    const RECORD_OVERHEAD: u64 = 21;
    const LENGTH_MAX: u64 = 5;
    let field = |value: Option<&[u8]>| LENGTH_MAX + value.map_or(0, |bytes| bytes.len() as u64);
    let headers: u64 = record.headers.iter().map(|(key, value)| field(Some(key.as_bytes())) + field(*value)).sum();
    Header::BYTES as u64 + RECORD_OVERHEAD + LENGTH_MAX + field(record.key) + field(record.value) + headers
}
