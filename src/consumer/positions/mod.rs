//! Where a consumer stands in its partitions (semantics.md, section 15).
//!
//! ```text
//!              listed                      fetched             poll
//!   resetting ───────▶ at an offset ─▶ asked ─────▶ buffered ────────▶ records
//!       ▲                   ▲                          │ out of range, the policy says where
//!       └───────────────────┴──── seek, from anywhere ─┴──▶ resetting, or an error for the application
//! ```
//!
//! Each question has a number of its own. A seek forgets it, so an answer to a question that was asked for another position
//! is not known any more, and changes nothing.
//!
//! - May use: the newtypes, `record`, `message`, and its sibling `buffered`.
//! - Must not know: who answers, how long polls wait.
//! - Always true: a partition has at most one question open, and none while it has batches that were not handed out.

mod answers;
mod ask;
mod buffered;
mod config;
mod error;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::epoch::LeaderEpoch;
use crate::id::TopicPartition;
use crate::message::{Committed, OffsetSpec};
use crate::offset::Offset;
use crate::time::Instant;

pub use ask::{Ask, AskFor, AskId};
pub(crate) use buffered::Meter;
pub use buffered::Polled;
use buffered::{Buffered, Opening, Step};
pub use config::{OffsetReset, Pause, PositionsConfig, Start};
pub use error::{NotAssigned, PollError};

/// Where a consumer stands in its partitions, and what it has fetched of them.
#[derive(Debug)]
pub struct Positions {
    config: PositionsConfig,
    meter: Option<Arc<dyn Meter>>,
    /// Whether batches are asked for.
    fetching: Pause,
    partitions: BTreeMap<TopicPartition, Assigned>,
    /// Who is asked about next: whoever was served goes to the end.
    turns: BTreeMap<u64, TopicPartition>,
    next_turn: u64,
    asks: BTreeMap<AskId, TopicPartition>,
    next_ask: u64,
    /// Who has something to hand out or to tell, in the order in which it came.
    ready: VecDeque<TopicPartition>,
    /// Whether there may be something to ask that there was not when it was planned last.
    is_changed: bool,
    /// When a question may be repeated that was not, when it was planned last.
    again_at: Option<Instant>,
}

#[derive(Debug)]
struct Assigned {
    state: State,
    pause: Pause,
    turn: u64,
    asked: Option<AskId>,
    /// No question before.
    not_before: Instant,
    buffered: Option<Buffered>,
    /// To be told at the next poll.
    trouble: Option<PollError>,
    /// The end of what can be seen, as the last answer said.
    end: Option<Offset>,
    /// The reign of the last record that was handed out.
    epoch: Option<LeaderEpoch>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// What the group has committed is asked for; where it has committed nothing, this says where to begin.
    Resuming(OffsetReset),
    /// There is no position before this is found.
    Resetting(OffsetSpec),
    /// The offset of the next record to be handed out.
    At(Offset),
    /// Nobody says where to begin.
    Nowhere,
}

impl Positions {
    /// Without partitions.
    pub fn new(config: PositionsConfig) -> Self {
        Self {
            config,
            meter: None,
            fetching: Pause::Running,
            partitions: BTreeMap::new(),
            turns: BTreeMap::new(),
            next_turn: 0,
            asks: BTreeMap::new(),
            next_ask: 0,
            ready: VecDeque::new(),
            is_changed: false,
            again_at: None,
        }
    }

    /// Has what is decompressed counted.
    pub(crate) fn count_with(&mut self, meter: Arc<dyn Meter>) {
        self.meter = Some(meter);
    }

    /// Reads this partition too; one that is read already begins anew.
    pub fn assign(&mut self, partition: TopicPartition, start: Start) {
        self.revoke(&partition);
        let turn = self.next_turn();
        self.turns.insert(turn, partition.clone());
        let assigned = Assigned {
            state: State::Nowhere,
            pause: Pause::Running,
            turn,
            asked: None,
            not_before: Instant::ZERO,
            buffered: None,
            trouble: None,
            end: None,
            epoch: None,
        };
        self.partitions.insert(partition.clone(), assigned);
        self.begin(&partition, start);
    }

    /// Reads this partition no longer. What was fetched of it is forgotten.
    pub fn revoke(&mut self, partition: &TopicPartition) {
        let Some(gone) = self.partitions.remove(partition) else { return };
        self.turns.remove(&gone.turn);
        self.ready.retain(|ready| ready != partition);
        if let Some(asked) = gone.asked {
            self.asks.remove(&asked);
        }
    }

    /// The partitions that are read, in order.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// Goes on elsewhere. What was fetched is forgotten, and what is on its way will be.
    ///
    /// # Errors
    ///
    /// [`NotAssigned`] if the partition is not read.
    pub fn seek(&mut self, partition: &TopicPartition, start: Start) -> Result<(), NotAssigned> {
        self.assigned(partition)?;
        self.begin(partition, start);
        Ok(())
    }

    /// Hands out no more records of the partition, or does so again. What was fetched stays, and is not fetched again.
    ///
    /// # Errors
    ///
    /// [`NotAssigned`] if the partition is not read.
    pub fn set_pause(&mut self, partition: &TopicPartition, pause: Pause) -> Result<(), NotAssigned> {
        self.assigned(partition)?.pause = pause;
        self.is_changed = true;
        Ok(())
    }

    /// Asks for no more batches of any partition, or does so again. What is on its way may still come.
    pub fn set_fetching(&mut self, fetching: Pause) {
        self.is_changed |= self.fetching != fetching;
        self.fetching = fetching;
    }

    /// Lets go of what was fetched of partitions that are paused: once they are not it is fetched again. Answers whether there
    /// was any.
    pub fn forget_paused(&mut self) -> bool {
        let paused = self.partitions.values_mut().filter(|assigned| assigned.pause == Pause::Paused);
        let forgotten = paused.filter_map(|assigned| assigned.buffered.take()).count();
        self.ready.retain(|ready| {
            let assigned = self.partitions.get(ready);
            assigned.is_some_and(|assigned| assigned.buffered.is_some() || assigned.trouble.is_some())
        });
        self.is_changed |= forgotten > 0;
        forgotten > 0
    }

    /// The offset of the next record to be handed out; `None` if it is not known yet, or the partition is not read.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        match self.partitions.get(partition)?.state {
            State::At(offset) => Some(offset),
            State::Resuming(_) | State::Resetting(_) | State::Nowhere => None,
        }
    }

    /// What to commit when all that was handed out is done: the position, and the reign of the last record in front of it.
    pub fn committable(&self, partition: &TopicPartition) -> Option<Committed> {
        let leader_epoch = self.partitions.get(partition)?.epoch;
        Some(Committed { leader_epoch, ..Committed::at(self.position(partition)?) })
    }

    /// Whether records of the partition are handed out; `None` if it is not read.
    pub fn pause(&self, partition: &TopicPartition) -> Option<Pause> {
        Some(self.partitions.get(partition)?.pause)
    }

    /// How many offsets lie between the position and the end of what can be seen, as the last answer said.
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        let end = self.partitions.get(partition)?.end?;
        Some(end.since(self.position(partition)?).unwrap_or(0))
    }

    /// What to ask now, in this order. Nothing is asked twice before it is answered.
    pub fn plan(&mut self, now: Instant) -> Vec<Ask> {
        let mut asks = Vec::new();
        let is_later = self.again_at.is_none_or(|at| now < at);
        if !self.is_changed && is_later {
            return asks;
        }
        (self.is_changed, self.again_at) = (false, None);
        for partition in self.turns.values() {
            let Some(assigned) = self.partitions.get_mut(partition) else { continue };
            if assigned.asked.is_none() && assigned.not_before > now {
                self.again_at = Some(self.again_at.unwrap_or(Instant::MAX).min(assigned.not_before));
            }
            let Some(what) = assigned.question(now) else { continue };
            if self.fetching == Pause::Paused && matches!(what, AskFor::Batches(_)) {
                continue;
            }
            self.next_ask += 1;
            let id = AskId::new(self.next_ask);
            assigned.asked = Some(id);
            self.asks.insert(id, partition.clone());
            asks.push(Ask { id, partition: partition.clone(), what });
        }
        asks
    }

    /// Whether there may be something to ask that there was not at the last [`Positions::plan`], whatever the time.
    pub const fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Whether the answer to this question is still wanted.
    pub fn is_open(&self, id: AskId) -> bool {
        self.asks.contains_key(&id)
    }

    /// When to plan again, because a question may be repeated then.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let later = self.partitions.values().filter(|assigned| assigned.asked.is_none() && assigned.not_before > now);
        later.map(|assigned| assigned.not_before).min()
    }

    /// Hands out at most `records_max` records, and moves the positions behind them. Nothing may mean that there is none,
    /// or that all that was fetched is not for applications.
    ///
    /// # Errors
    ///
    /// [`PollError`] if there is nothing in front of it to hand out. The position has not moved; [`Positions::seek`] gets
    /// past it.
    pub fn poll(&mut self, records_max: u32) -> Result<Vec<Polled>, PollError> {
        let mut polled: Vec<Polled> = Vec::new();
        let mut left = records_max;
        let mut paused = VecDeque::new();
        let mut trouble = None;
        while left > 0
            && let Some(partition) = self.ready.front().cloned()
        {
            match self.poll_one(&partition, left) {
                Ok(Handed::Records(records)) => {
                    left -= records.count();
                    polled.push(records);
                    // The next question need not wait until somebody comes for more and finds nothing.
                    if self.forget_drained(&partition) {
                        self.ready.pop_front();
                    }
                }
                Ok(Handed::Paused) => paused.extend(self.ready.pop_front()),
                Ok(Handed::Nothing) => drop(self.ready.pop_front()),
                // What is in front of it comes first; it is told at the next poll.
                Err(_) if !polled.is_empty() => break,
                Err(error) => {
                    self.told(&partition);
                    trouble = Some(error);
                    break;
                }
            }
        }
        self.ready.extend(paused);
        trouble.map_or(Ok(polled), Err)
    }

    /// Lets go of what was fetched, if all of it has been handed out.
    fn forget_drained(&mut self, partition: &TopicPartition) -> bool {
        let Some(assigned) = self.partitions.get_mut(partition) else { return true };
        let is_drained = assigned.buffered.as_ref().is_none_or(Buffered::is_drained);
        if is_drained {
            assigned.buffered = None;
            self.is_changed = true;
        }
        is_drained
    }

    /// A trouble that was told is over, unless it lies in the bytes: then others come first the next time.
    fn told(&mut self, partition: &TopicPartition) {
        self.ready.pop_front();
        self.is_changed = true;
        let Some(assigned) = self.partitions.get_mut(partition) else { return };
        if assigned.trouble.take().is_none() || assigned.buffered.is_some() {
            self.ready.push_back(partition.clone());
        }
    }

    /// Hands out from the front of one partition.
    fn poll_one(&mut self, partition: &TopicPartition, records_max: u32) -> Result<Handed, PollError> {
        let opening = Opening { limit: self.config.decompress_limit, meter: self.meter.as_ref() };
        let Some(assigned) = self.partitions.get_mut(partition) else { return Ok(Handed::Nothing) };
        if assigned.pause == Pause::Paused {
            return Ok(Handed::Paused);
        }
        if let Some(trouble) = &assigned.trouble {
            return Err(trouble.clone());
        }
        let (Some(buffered), State::At(position)) = (assigned.buffered.as_mut(), assigned.state) else {
            return Ok(Handed::Nothing);
        };
        let step = buffered.step(position, records_max, opening);
        let step = step.map_err(|error| PollError::Corrupt { partition: partition.clone(), position, error })?;
        match step {
            Step::Records { piece, next } => {
                assigned.state = State::At(next);
                let records = Polled::new(partition.clone(), piece, (position, next));
                assigned.epoch = records.leader_epoch();
                Ok(Handed::Records(records))
            }
            Step::End { next } => {
                assigned.state = State::At(next);
                assigned.buffered = None;
                self.is_changed = true;
                Ok(Handed::Nothing)
            }
        }
    }

    fn assigned(&mut self, partition: &TopicPartition) -> Result<&mut Assigned, NotAssigned> {
        self.partitions.get_mut(partition).ok_or_else(|| NotAssigned { partition: partition.clone() })
    }

    fn next_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }

    /// Forgets what was asked and fetched, and begins at `start`.
    fn begin(&mut self, partition: &TopicPartition, start: Start) {
        let reset = self.config.reset;
        self.is_changed = true;
        let Some(assigned) = self.partitions.get_mut(partition) else { return };
        if let Some(asked) = assigned.asked.take() {
            self.asks.remove(&asked);
        }
        (assigned.buffered, assigned.trouble, assigned.not_before) = (None, None, Instant::ZERO);
        assigned.epoch = None;
        self.ready.retain(|ready| ready != partition);
        match start {
            Start::At(offset) | Start::Committed(Some(offset)) => assigned.state = State::At(offset),
            Start::Find(spec) => assigned.state = State::Resetting(spec),
            Start::Group(reset) => assigned.state = State::Resuming(reset),
            Start::Committed(None) => {
                assigned.state = State::Nowhere;
                let nowhere = PollError::NoOffset { partition: partition.clone() };
                assigned.reset(reset, nowhere);
            }
        }
        if assigned.trouble.is_some() {
            self.ready.push_back(partition.clone());
        }
    }
}

impl Assigned {
    fn question(&self, now: Instant) -> Option<AskFor> {
        let may_ask = self.asked.is_none() && self.trouble.is_none() && self.not_before <= now;
        match self.state {
            State::Resuming(_) if may_ask => Some(AskFor::Committed),
            State::Resetting(spec) if may_ask => Some(AskFor::Offset(spec)),
            State::At(offset) if may_ask && self.buffered.is_none() && self.pause == Pause::Running => {
                Some(AskFor::Batches(offset))
            }
            State::Resuming(_) | State::Resetting(_) | State::At(_) | State::Nowhere => None,
        }
    }

    /// Goes on where the policy says, or tells `trouble`.
    fn reset(&mut self, policy: OffsetReset, trouble: PollError) {
        match policy {
            OffsetReset::Earliest => self.state = State::Resetting(OffsetSpec::Earliest),
            OffsetReset::Latest => self.state = State::Resetting(OffsetSpec::Latest),
            OffsetReset::Refuse => self.trouble = Some(trouble),
        }
    }
}

/// What came of asking one partition for records.
enum Handed {
    Records(Polled),
    Paused,
    /// All of what was fetched has been handed out.
    Nothing,
}
