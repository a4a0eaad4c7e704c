//! What becomes of a batch that was sent.

use crate::message::{ErrorCode, Produced, RequestError};
use crate::offset::Offset;
use crate::producer::lane::{BatchId, Lane, SentState};
use crate::producer::outcome::{Delivered, Known, Outcome, SendError};
use crate::record::{Batch, BuildError};
use crate::time::{Instant, Timestamp};

/// What is done about a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// It was none: the batch is there.
    Delivered,
    /// Send the batch again as it is, or with the sequence that it has by now.
    Again,
    /// Send it again, with all behind it, from sequence 0 of the next epoch.
    NewEpoch,
    /// The same, under another producer id.
    NewProducer,
    /// Send its records again in smaller batches.
    Split,
    /// Tell whose records they are.
    GiveUp,
}

impl Lane {
    /// The batch was appended. Nothing happens if it was given up meanwhile.
    pub fn acknowledged(&mut self, id: BatchId, produced: &Produced, out: &mut Vec<Outcome>) {
        if let Some(index) = self.index_of(id) {
            self.deliver(index, Some(produced.base_offset), produced.log_append_time, out);
        }
    }

    /// The batch was not appended, or that is not known. Nothing happens if it was given up meanwhile.
    pub fn failed(&mut self, now: Instant, id: BatchId, batch: Batch, error: RequestError, out: &mut Vec<Outcome>) {
        let Some(index) = self.index_of(id) else { return };
        let verdict = self.judge(index, &batch, &error);
        let sent = &mut self.sent[index];
        sent.failures = sent.failures.saturating_add(1);
        sent.may_be_written |= !says_not_written(error.code);
        let until = now.after(self.config.backoff_ms(sent.failures));
        match verdict {
            Verdict::Delivered => self.deliver(index, None, None, out),
            Verdict::Again => sent.state = SentState::Waiting { until, batch },
            Verdict::NewEpoch => {
                sent.state = SentState::Waiting { until, batch };
                self.begin_epoch();
            }
            Verdict::NewProducer => {
                sent.state = SentState::Waiting { until, batch };
                self.begin_as(None);
            }
            Verdict::Split => {
                if self.split(now, index, &batch).is_err() {
                    self.refuse(index, error, out);
                }
            }
            Verdict::GiveUp => self.refuse(index, error, out),
        }
        self.check();
    }

    /// The batch was handed over, and nobody will say what has become of it.
    pub fn handed_over(&mut self, id: BatchId, out: &mut Vec<Outcome>) {
        if let Some(index) = self.index_of(id) {
            self.deliver(index, None, None, out);
        }
    }

    /// The batch was refused, and sending it again is not to be tried. Nothing happens if it was given up meanwhile.
    pub fn refused(&mut self, id: BatchId, error: RequestError, out: &mut Vec<Outcome>) {
        let Some(index) = self.index_of(id) else { return };
        self.sent[index].may_be_written |= !says_not_written(error.code);
        self.refuse(index, error, out);
        self.check();
    }

    /// The batch could not be built, and so was not sent.
    pub fn not_built(&mut self, id: BatchId, error: BuildError, out: &mut Vec<Outcome>) {
        let Some(index) = self.index_of(id) else { return };
        let known = if self.sent[index].may_be_written { Known::Unknown } else { Known::NotWritten };
        self.give_up(index, known, SendError::Build(error), out);
        self.check();
    }

    fn index_of(&self, id: BatchId) -> Option<usize> {
        self.sent.iter().position(|batch| batch.id == id)
    }

    fn deliver(
        &mut self,
        index: usize,
        base_offset: Option<Offset>,
        log_append_time: Option<Timestamp>,
        out: &mut Vec<Outcome>,
    ) {
        let Some(batch) = self.sent.remove(index) else { return };
        self.bytes = self.bytes.saturating_sub(batch.bytes);
        self.has_acknowledged(batch.base_sequence.advance(batch.tickets.count));
        out.push(Outcome { tickets: batch.tickets, result: Ok(Delivered { base_offset, log_append_time }) });
        self.settle();
        self.check();
    }

    fn refuse(&mut self, index: usize, error: RequestError, out: &mut Vec<Outcome>) {
        let known = if self.sent[index].may_be_written { Known::Unknown } else { Known::NotWritten };
        self.give_up(index, known, SendError::Refused { error, known }, out);
    }

    /// What to do about the failure of a batch. Only the first one of those on their way can say that the broker expects
    /// something else: the others fail because it did.
    fn judge(&self, index: usize, batch: &Batch, error: &RequestError) -> Verdict {
        let code = error.code;
        let sent = &self.sent[index];
        let is_restamped = batch.producer() != self.stamp(sent.base_sequence);
        let has_another_place = matches!(code, ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId);
        let is_fenced = code == ErrorCode::InvalidProducerEpoch;
        let is_too_large = matches!(code, ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge);
        let may_retry = sent.failures < self.config.retries;
        // What may be written keeps its sequence, by which the broker would know it, or is given up.
        let may_change = !sent.may_be_written;
        if code == ErrorCode::DuplicateSequenceNumber {
            Verdict::Delivered
        } else if is_restamped || ((has_another_place || is_fenced) && index > 0) {
            Verdict::Again
        } else if has_another_place && may_retry && may_change {
            Verdict::NewEpoch
        } else if is_fenced && may_retry && may_change {
            Verdict::NewProducer
        } else if is_too_large && sent.tickets.count > 1 && may_change {
            Verdict::Split
        } else if error.is_retriable() && may_retry {
            Verdict::Again
        } else {
            Verdict::GiveUp
        }
    }
}

/// Whether this answer says that nothing was written. Others leave it open.
const fn says_not_written(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CorruptMessage
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::MessageTooLarge
            | ErrorCode::InvalidTopicException
            | ErrorCode::RecordListTooLarge
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::InvalidTimestamp
            | ErrorCode::UnsupportedVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::PolicyViolation
            | ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidTxnState
            | ErrorCode::UnknownProducerId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::UnsupportedCompressionType
            | ErrorCode::InvalidRecord
            | ErrorCode::ThrottlingQuotaExceeded
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
    )
}
