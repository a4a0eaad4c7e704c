//! Appending as the leader, and waiting until it is as safe as the asker wants it.

use crate::epoch::LeaderEpoch;
use crate::log::{AppendDecision, AppendError, Appended, Health};
use crate::offset::Offset;
use crate::partition::produce_error::{ProduceError, Reached, Unfinished};
use crate::partition::role::{InSync, Leader};
use crate::partition::room::Readiness;
use crate::partition::waits::{Level, ProduceWait};
use crate::partition::{Acks, Durability, Effect, Partition, StopReason, Waiter};
use crate::record::Checked;
use crate::time::{Instant, Timestamp};

/// One batch to append.
#[derive(Clone, Debug)]
pub struct Produce {
    /// Who asks.
    pub waiter: Waiter,
    /// What to append. It was checked outside every lock.
    pub batch: Checked,
    /// Who must have it before it is answered.
    pub acks: Acks,
    /// What "have it" means on this node. With all replicas waited for it also means to be committed, which is the topic's
    /// [`durability`](crate::partition::PartitionConfig::durability) on each of them.
    pub durability: Durability,
    /// When the asker stops waiting; `None` for never. The batch stays even then.
    pub deadline: Option<Instant>,
    /// Append only if the log ends here: compare and append.
    pub expected_offset: Option<Offset>,
    /// In which reign the asker believes this node to be, if it has an opinion.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Partition {
    /// Appends a batch as the leader, or refuses it; `date` is the time of day. It is answered by
    /// [`Effect::Produced`], at once or when the disk, and with [`Acks::All`] the other replicas, have done what it asks for.
    ///
    /// Refusals come in the order of semantics 1.1: not the leader, another reign, too few replicas, the log's own. A batch
    /// that the log knows already waits as long as the one it repeats. A batch for which space is to be made first keeps its
    /// place, and those behind it keep theirs; it is judged when it is appended.
    ///
    /// # Panics
    ///
    /// If the waiter waits already.
    pub fn produce(&mut self, now: Instant, date: Timestamp, produce: Produce, out: &mut Vec<Effect>) {
        assert!(!self.is_waiting(produce.waiter), "{:?} waits already", produce.waiter);
        self.flush_timer.at(now);
        // Nobody waits for one without an answer.
        let deadline = produce.deadline.filter(|_| produce.acks != Acks::None);
        let produce = Produce { deadline, ..produce };
        let held = if self.held.is_empty() { self.admit(Turn::First(now), date, produce, out) } else { Some(produce) };
        if let Some(produce) = held {
            self.hold(now, date, produce, out);
        }
        self.proceed(out);
    }

    /// Whether this node leads, in the reign that the asker thinks, and enough replicas are there.
    pub(super) fn check_leader(&self, produce: &Produce) -> Result<&Leader, ProduceError> {
        let leader = self.leader()?;
        leader.check_epoch(produce.leader_epoch)?;
        let in_sync = leader.in_sync(self.config.min_insync_replicas);
        if produce.acks == Acks::All && in_sync.committed < in_sync.needed {
            return Err(ProduceError::NotEnoughReplicas { in_sync: in_sync.committed, needed: in_sync.needed });
        }
        Ok(leader)
    }

    /// What is to become of a batch. Changes nothing.
    pub(super) fn decide_produce(&self, produce: &Produce) -> Result<AppendDecision, ProduceError> {
        let leader = self.check_leader(produce)?;
        let log_end_offset = self.log.log_end_offset();
        let decision = self.log.decide_append(&produce.batch, leader.epoch(), self.config.markers);
        let at = match &decision {
            // Sent again after an answer that was lost: it is where it was expected to be, though the log ends behind it.
            Ok(AppendDecision::Duplicate(known)) => known.base_offset,
            Ok(AppendDecision::Append(_) | AppendDecision::Nothing) => log_end_offset,
            Err(AppendError::Stalled | AppendError::Poisoned { .. }) => return Ok(decision?),
            Err(_) => log_end_offset,
        };
        match produce.expected_offset {
            Some(expected) if expected != at => Err(ProduceError::UnexpectedOffset { expected, log_end_offset }),
            Some(_) | None => Ok(decision?),
        }
    }

    /// Appends or refuses; gives back what has to wait for the disk first.
    fn admit(&mut self, turn: Turn, date: Timestamp, produce: Produce, out: &mut Vec<Effect>) -> Option<Produce> {
        let admitted = self.decide_produce(&produce).and_then(|decision| {
            let readiness = self.make_ready(date, &decision, out)?;
            Ok((readiness, decision))
        });
        match admitted {
            Ok((Readiness::NotYet, _)) => return Some(produce),
            Ok((Readiness::Ready, decision)) => self.append(turn, date, &produce, decision, out),
            Err(error) => refuse(&produce, turn.timer(&produce), error, out),
        }
        None
    }

    /// Sees to what has to be done before anything is appended.
    fn make_ready(
        &mut self,
        date: Timestamp,
        decision: &AppendDecision,
        out: &mut Vec<Effect>,
    ) -> Result<Readiness, ProduceError> {
        let AppendDecision::Append(change) = decision else { return Ok(Readiness::Ready) };
        self.note_reign(out);
        if self.unsettled {
            return Ok(Readiness::NotYet);
        }
        if self.log.rolls_for(date, decision) {
            self.with_log(out, |log, out| log.roll_for(date, decision, out));
        }
        self.make_room(change.bytes(), out)
    }

    fn append(
        &mut self,
        turn: Turn,
        date: Timestamp,
        produce: &Produce,
        decision: AppendDecision,
        out: &mut Vec<Effect>,
    ) {
        let Some(appended) = self.with_log(out, |log, out| log.apply(date, decision, out)) else {
            // A leader's batch is never left out: it is appended, a duplicate, or an error.
            return refuse(produce, turn.timer(produce), ProduceError::Append(AppendError::Stalled), out);
        };
        if !appended.duplicate {
            self.unflushed_records += appended.last_offset.since(appended.base_offset).unwrap_or(0) + 1;
            self.make_room_ahead(out);
            let ring_at = self.config.flush_interval_ms.and_then(|interval| self.flush_timer.appended(interval));
            out.extend(ring_at.map(|deadline| Effect::FlushBy { deadline }));
        }
        let Produce { waiter, acks, durability, deadline, .. } = *produce;
        if acks == Acks::None {
            return;
        }
        let wait = ProduceWait { waiter, appended, acks, durability, deadline };
        // As early as can be: it begins with the report that the batch is written.
        self.flush_asked |= durability == Durability::Flushed && self.log.flushed() < wait.end();
        match (self.next_level(&wait), turn, deadline) {
            (None, ..) => self.finish(&wait, turn.timer(produce), out),
            (Some(_), Turn::First(now), Some(deadline)) if deadline <= now => {
                answer(waiter, None, Err(self.timed_out(&wait)), out);
            }
            (Some(level), Turn::First(_), Some(deadline)) => {
                out.push(Effect::Wait { waiter, deadline });
                self.produces.insert(level, wait);
            }
            (Some(level), Turn::First(_), None) | (Some(level), Turn::Held, _) => self.produces.insert(level, wait),
        }
    }

    /// Keeps a batch until the disk is ready for it.
    fn hold(&mut self, now: Instant, date: Timestamp, produce: Produce, out: &mut Vec<Effect>) {
        if let Some(deadline) = produce.deadline {
            if deadline <= now {
                return refuse(&produce, None, ProduceError::NotAppendedInTime, out);
            }
            out.push(Effect::Wait { waiter: produce.waiter, deadline });
        }
        self.held.push(date, produce);
    }

    /// Appends what was held, as far as the disk is ready for it.
    pub(super) fn admit_held(&mut self, left: &mut usize, out: &mut Vec<Effect>) {
        while *left > 0
            && let Some((number, date, produce)) = self.held.pop()
        {
            if let Some(produce) = self.admit(Turn::Held, date, produce, out) {
                self.held.insert(number, date, produce);
                break;
            }
            *left -= 1;
        }
        if self.held.is_empty() {
            self.room.forget_refusal();
        }
    }

    /// Answers the produces that have reached what they wait for; and all, if nothing will be reached any more.
    pub(super) fn finish_produces(&mut self, left: &mut usize, out: &mut Vec<Effect>) {
        for level in Level::ALL {
            while *left > 0
                && let Some(wait) = self.produces.pop_reached(level, self.reached(level))
            {
                *left -= 1;
                match self.next_level(&wait) {
                    Some(next) => self.produces.insert(next, wait),
                    None => self.finish(&wait, wait.deadline, out),
                }
            }
        }
        while *left > 0
            && self.produces.len() > 0
            && let Some(end) = self.end_of_waiting()
            && let Some(wait) = self.produces.pop_any()
        {
            *left -= 1;
            let unfinished = self.unfinished(&wait);
            let error = match end {
                End::Stopped(reason) => ProduceError::StoppedMeanwhile { reason, unfinished },
                End::Poisoned(why) => ProduceError::Poisoned { why, unfinished },
            };
            answer(wait.waiter, wait.deadline, Err(error), out);
        }
    }

    /// The deadline of a produce has passed: the asker waits no more. What it was told is all it will hear.
    pub(super) fn expire_produce(&mut self, now: Instant, waiter: Waiter, out: &mut Vec<Effect>) {
        let held = self.held.get(waiter).and_then(|produce| produce.deadline);
        let Some(deadline) = held.or_else(|| self.produces.get(waiter).and_then(|wait| wait.deadline)) else { return };
        if deadline > now {
            return out.push(Effect::Wait { waiter, deadline });
        }
        if let Some(produce) = self.held.remove(waiter) {
            refuse(&produce, None, ProduceError::NotAppendedInTime, out);
        } else if let Some(wait) = self.produces.remove(waiter) {
            match self.next_level(&wait) {
                // It was due all the same, and more were in front of it than one call answers.
                None => self.finish(&wait, None, out),
                Some(_) => answer(waiter, None, Err(self.timed_out(&wait)), out),
            }
        }
    }

    /// What a produce waits for next; `None` if there is nothing left.
    fn next_level(&self, wait: &ProduceWait) -> Option<Level> {
        let wants = |level| match level {
            Level::Written => true,
            Level::Flushed => wait.durability == Durability::Flushed,
            Level::Committed => wait.acks == Acks::All,
        };
        Level::ALL.into_iter().find(|level| wants(*level) && self.reached(*level) < wait.end())
    }

    fn reached(&self, level: Level) -> Offset {
        match level {
            Level::Written => self.log.written(),
            Level::Flushed => self.log.flushed(),
            Level::Committed => self.log.high_watermark(),
        }
    }

    /// Whether nothing that is waited for will be reached any more, and why.
    fn end_of_waiting(&self) -> Option<End> {
        match (self.log.health(), self.leader()) {
            (_, Err(reason)) => Some(End::Stopped(reason)),
            (Health::Poisoned { why }, Ok(_)) => Some(End::Poisoned(why.clone())),
            (Health::Good | Health::Stalled, Ok(_)) => None,
        }
    }

    fn timed_out(&self, wait: &ProduceWait) -> ProduceError {
        let unfinished = self.unfinished(wait);
        match self.log.health() {
            Health::Stalled if unfinished.reached == Reached::Appended => ProduceError::FullMeanwhile { unfinished },
            Health::Good | Health::Stalled | Health::Poisoned { .. } => ProduceError::TimedOut { unfinished },
        }
    }

    fn unfinished(&self, wait: &ProduceWait) -> Unfinished {
        let reached = match wait.end() {
            end if end <= self.log.flushed() => Reached::Flushed,
            end if end <= self.log.written() => Reached::Written,
            _ => Reached::Appended,
        };
        let Appended { base_offset, last_offset, .. } = wait.appended;
        Unfinished { base_offset, last_offset, reached }
    }

    /// Answers a produce that has reached all it waited for.
    fn finish(&self, wait: &ProduceWait, timer: Option<Instant>, out: &mut Vec<Effect>) {
        let in_sync = self.leader().map(|leader| leader.in_sync(self.config.min_insync_replicas));
        let result = match in_sync {
            Ok(InSync { maximal, needed, .. }) if wait.acks == Acks::All && maximal < needed => {
                let unfinished = self.unfinished(wait);
                Err(ProduceError::NotEnoughReplicasMeanwhile { in_sync: maximal, needed, unfinished })
            }
            Ok(_) | Err(_) => Ok(wait.appended),
        };
        answer(wait.waiter, timer, result, out);
    }
}

/// Whether a batch comes for the first time, or was held.
#[derive(Clone, Copy, Debug)]
enum Turn {
    First(Instant),
    Held,
}

impl Turn {
    /// The deadline that the driver has been told.
    fn timer(self, produce: &Produce) -> Option<Instant> {
        match self {
            Self::First(_) => None,
            Self::Held => produce.deadline,
        }
    }
}

/// Why waiting ends.
#[derive(Clone, Debug)]
enum End {
    Stopped(StopReason),
    Poisoned(String),
}

fn refuse(produce: &Produce, timer: Option<Instant>, error: ProduceError, out: &mut Vec<Effect>) {
    let waiter = produce.waiter;
    match produce.acks {
        Acks::None => out.push(Effect::Refused { waiter, error }),
        Acks::Leader | Acks::All => answer(waiter, timer, Err(error), out),
    }
}

fn answer(waiter: Waiter, timer: Option<Instant>, result: Result<Appended, ProduceError>, out: &mut Vec<Effect>) {
    if timer.is_some() {
        out.push(Effect::Settled { waiter });
    }
    out.push(Effect::Produced { waiter, result });
}
