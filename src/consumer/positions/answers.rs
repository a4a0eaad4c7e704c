//! Answers to a consumer's questions, and where they leave it.

use crate::consumer::positions::buffered::Buffered;
use crate::consumer::positions::{AskId, Assigned, PollError, Positions, State};
use crate::id::TopicPartition;
use crate::message::{Committed, Detail, ErrorCode, Fetched, IsolationLevel, ListedOffset, OffsetSpec, RequestError};
use crate::record::Entry;
use crate::time::Instant;

impl Positions {
    /// The answer to a question for an offset. `None`: no record is as late as was asked for, so the next one counts.
    pub fn listed(&mut self, now: Instant, id: AskId, answer: Result<Option<ListedOffset>, RequestError>) {
        let Some((partition, assigned)) = self.answered(id) else { return };
        match answer {
            Ok(Some(listed)) => assigned.state = State::At(listed.offset),
            Ok(None) => assigned.state = State::Resetting(OffsetSpec::Latest),
            Err(error) => self.refused(now, partition, error),
        }
    }

    /// The answer to a question for what the group has committed.
    pub fn resumed(&mut self, now: Instant, id: AskId, answer: Result<Option<Committed>, RequestError>) {
        let Some((partition, assigned)) = self.answered(id) else { return };
        match (answer, assigned.state) {
            (Ok(Some(committed)), _) => {
                (assigned.state, assigned.epoch) = (State::At(committed.offset), committed.leader_epoch);
            }
            (Ok(None), State::Resuming(policy)) => {
                assigned.state = State::Nowhere;
                assigned.reset(policy, PollError::NoOffset { partition: partition.clone() });
                if assigned.trouble.is_some() {
                    self.ready.push_back(partition);
                }
            }
            // Nothing else asks this.
            (Ok(None), State::Resetting(_) | State::At(_) | State::Nowhere) => {}
            (Err(error), _) => self.refused(now, partition, error),
        }
    }

    /// The answer to a question for batches, in the order of their offsets.
    pub fn fetched(&mut self, now: Instant, id: AskId, answer: Result<Fetched<Vec<Entry>>, RequestError>) {
        let (isolation, turn) = (self.config.isolation, self.next_turn());
        let Some((partition, assigned)) = self.answered(id) else { return };
        let fetched = match answer {
            Ok(fetched) => fetched,
            Err(error) => return self.refused(now, partition, error),
        };
        assigned.end = Some(match isolation {
            IsolationLevel::ReadUncommitted => fetched.high_watermark,
            IsolationLevel::ReadCommitted => fetched.last_stable_offset,
        });
        if fetched.body.is_empty() {
            return;
        }
        assigned.buffered = Some(Buffered::new(fetched.body, fetched.aborted, isolation));
        let before = std::mem::replace(&mut assigned.turn, turn);
        self.turns.remove(&before);
        self.turns.insert(turn, partition.clone());
        self.ready.push_back(partition);
    }

    /// The partition of a question that is still open, which it is no longer.
    fn answered(&mut self, id: AskId) -> Option<(TopicPartition, &mut Assigned)> {
        let partition = self.asks.remove(&id)?;
        self.is_changed = true;
        let assigned = self.partitions.get_mut(&partition)?;
        assigned.asked = None;
        Some((partition, assigned))
    }

    fn refused(&mut self, now: Instant, partition: TopicPartition, error: RequestError) {
        let (reset, backoff) = (self.config.reset, self.config.retry_backoff_ms);
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        match (assigned.state, error.code) {
            (State::At(position), ErrorCode::OffsetOutOfRange) => {
                let range = match error.detail {
                    Detail::Range { log_start_offset, end } => Some((log_start_offset, end)),
                    Detail::None
                    | Detail::LogEnd(_)
                    | Detail::Records(_)
                    | Detail::Leader { .. }
                    | Detail::Poisoned
                    | Detail::DiskFull(_)
                    | Detail::NotOpened(_)
                    | Detail::SpaceBound(_) => None,
                };
                let gone = PollError::OutOfRange { partition: partition.clone(), position, range };
                assigned.reset(reset, gone);
            }
            _ => {
                assigned.not_before = now.after(backoff);
                if !is_passing(&error) {
                    assigned.trouble = Some(PollError::Refused { partition: partition.clone(), error });
                }
            }
        }
        if assigned.trouble.is_some() {
            self.ready.push_back(partition);
        }
    }
}

/// Whether it is only a matter of time. What is wrong with the bytes or the disk is told: it may last.
const fn is_passing(error: &RequestError) -> bool {
    error.is_retriable() && !matches!(error.code, ErrorCode::CorruptMessage | ErrorCode::KafkaStorageError)
}
