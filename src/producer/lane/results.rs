//! What becomes of a batch that was sent.

use crate::message::{Detail, ErrorCode, Produced, RequestError};
use crate::offset::Offset;
use crate::producer::lane::{BatchId, Kept, Lane, Sent, SentState};
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
        self.note_space(index, &error);
        let sent = &mut self.sent[index];
        sent.failures = sent.failures.saturating_add(1);
        sent.may_be_written |= !says_not_written(&error);
        let until = now.after(self.config.backoff_ms(sent.failures));
        match verdict {
            Verdict::Delivered => self.deliver(index, None, None, out),
            Verdict::Again => sent.state = SentState::Waiting { until, kept: Kept::Batch(batch) },
            Verdict::NewEpoch => {
                // A log that does not know the producer has said what it wants, and has it at once.
                let until = if error.code == ErrorCode::UnknownProducerId { now } else { until };
                sent.state = SentState::Waiting { until, kept: Kept::Batch(batch) };
                self.begin_epoch();
            }
            Verdict::NewProducer => {
                sent.state = SentState::Waiting { until, kept: Kept::Batch(batch) };
                self.begin_as(None);
            }
            Verdict::Split => self.split(now, index, &batch),
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

    /// Whether a batch that was taken may still be sent as it was built: what was in front of it has not come back since, nor
    /// been given up, so it has its place and its sequence yet.
    pub fn may_go(&self, id: BatchId, batch: &Batch) -> bool {
        let Some(index) = self.index_of(id) else { return true };
        let is_flying = |sent: &Sent| matches!(sent.state, SentState::Flying);
        let stamp = batch.producer();
        stamp.is_none()
            || (stamp == self.stamp(self.sent[index].base_sequence) && self.sent.range(..index).all(is_flying))
    }

    /// A batch that was taken was not sent after all: it is taken again when it is its turn, under the sequence that it has
    /// then.
    pub fn held_back(&mut self, now: Instant, id: BatchId, batch: Batch) {
        if let Some(index) = self.index_of(id) {
            self.sent[index].state = SentState::Waiting { until: now, kept: Kept::Batch(batch) };
        }
        self.check();
    }

    /// The batch was refused, and sending it again is not to be tried. Nothing happens if it was given up meanwhile.
    pub fn refused(&mut self, id: BatchId, error: RequestError, out: &mut Vec<Outcome>) {
        let Some(index) = self.index_of(id) else { return };
        self.sent[index].may_be_written |= !says_not_written(&error);
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
        self.no_space = None;
        self.has_acknowledged(batch.base_sequence.advance(batch.tickets.count));
        out.push(Outcome { tickets: batch.tickets, result: Ok(Delivered { base_offset, log_append_time }) });
        self.settle();
        self.check();
    }

    fn refuse(&mut self, index: usize, error: RequestError, out: &mut Vec<Outcome>) {
        let known = if self.sent[index].may_be_written { Known::Unknown } else { Known::NotWritten };
        let told = SendError::for_want_of_space(&error.detail, known);
        self.give_up(index, known, told.unwrap_or(SendError::Refused { error, known }), out);
    }

    /// Notes whether there is no space, as the answer to a batch says. What is behind the first one of those on their way may
    /// have failed because that did: only of the first it says anything if it speaks of something else.
    fn note_space(&mut self, index: usize, error: &RequestError) {
        let is_space = error.is_for_space();
        if is_space || index == 0 {
            self.no_space = is_space.then(|| error.detail.clone());
        }
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
fn says_not_written(error: &RequestError) -> bool {
    // Without space nothing is appended.
    let is_full = error.code == ErrorCode::KafkaStorageError && matches!(error.detail, Detail::DiskFull(_));
    let by_code = matches!(
        error.code,
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
    );
    is_full || by_code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FullDisk, ProducerIdentity};
    use crate::producer::{AccumulatorConfig, LaneId};
    use crate::record::NewRecord;

    fn full() -> RequestError {
        let partition = crate::id::TopicPartition::parse("orders-0").unwrap();
        let disk = FullDisk { partition, directory: Some("here".to_owned()) };
        RequestError::new(ErrorCode::KafkaStorageError).with(Detail::DiskFull(Box::new(disk)))
    }

    /// Whether each was given up for a full disk, and what is known of it.
    fn full_disks(out: &[Outcome]) -> Vec<Option<Known>> {
        let known = |outcome: &Outcome| match &outcome.result {
            Err(SendError::DiskFull { known, .. }) => Some(*known),
            Ok(_) | Err(_) => None,
        };
        out.iter().map(known).collect()
    }

    fn lane(config: AccumulatorConfig) -> Lane {
        let mut lane = Lane::new(LaneId::new(0), config);
        lane.identify(ProducerIdentity::default());
        lane
    }

    fn send(lane: &mut Lane, now: Instant) -> crate::producer::Outgoing {
        lane.push(now, &NewRecord::new(Timestamp::from_millis(0), None, Some(b"value"))).unwrap();
        lane.flush();
        lane.take(now).expect("it is ready").build().unwrap()
    }

    #[test]
    fn a_disk_that_stays_full_is_told_to_all_that_wait_for_it_and_not_once_something_fits() {
        let (now, mut out) = (Instant::from_millis(0), Vec::new());
        let config = AccumulatorConfig { linger_ms: 0, delivery_timeout_ms: 100, ..AccumulatorConfig::default() };
        let mut lane = lane(config);
        let first = send(&mut lane, now);
        lane.failed(now, first.id, first.batch, full(), &mut out);
        lane.push(now, &NewRecord::new(Timestamp::from_millis(0), None, Some(b"behind"))).unwrap();
        lane.expire(now.after(100), &mut out);
        assert_eq!(full_disks(&out), [Some(Known::NotWritten), Some(Known::NotWritten)]);
        // What comes later is not told of it any more.
        let (now, mut out) = (now.after(200), Vec::new());
        send(&mut lane, now);
        lane.expire(now.after(100), &mut out);
        assert!(matches!(out[0].result, Err(SendError::Expired { known: Known::Unknown, .. })), "{out:?}");
    }

    #[test]
    fn a_full_disk_is_told_also_if_what_stands_behind_was_refused_for_its_sequence() {
        let (now, mut out) = (Instant::from_millis(0), Vec::new());
        let config = AccumulatorConfig { linger_ms: 0, delivery_timeout_ms: 100, ..AccumulatorConfig::default() };
        let mut lane = lane(config);
        let (first, second) = (send(&mut lane, now), send(&mut lane, now));
        lane.failed(now, first.id, first.batch, full(), &mut out);
        let behind = RequestError::new(ErrorCode::OutOfOrderSequenceNumber);
        lane.failed(now, second.id, second.batch, behind, &mut out);
        lane.expire(now.after(100), &mut out);
        assert_eq!(full_disks(&out), [Some(Known::NotWritten), Some(Known::NotWritten)]);
    }

    #[test]
    fn a_full_disk_is_told_when_the_retries_are_over_and_what_was_lost_sight_of_before_stays_unknown() {
        let (now, mut out) = (Instant::from_millis(0), Vec::new());
        let mut lane = lane(AccumulatorConfig { linger_ms: 0, retries: 1, ..AccumulatorConfig::default() });
        let first = send(&mut lane, now);
        lane.failed(now, first.id, first.batch, RequestError::new(ErrorCode::RequestTimedOut), &mut out);
        let again = lane.take(now.after(1000)).expect("it is its turn").build().unwrap();
        lane.failed(now.after(1000), again.id, again.batch, full(), &mut out);
        assert_eq!(full_disks(&out), [Some(Known::Unknown)]);
    }

    #[test]
    fn a_batch_that_was_built_behind_one_that_was_refused_is_not_sent_as_it_was_built() {
        let (now, mut out) = (Instant::from_millis(0), Vec::new());
        let config = AccumulatorConfig { linger_ms: 0, ..AccumulatorConfig::default() };
        let mut lane = Lane::new(LaneId::new(0), config);
        lane.identify(ProducerIdentity::default());
        let mut built = Vec::new();
        for value in [&b"one"[..], b"two"] {
            lane.push(now, &NewRecord::new(Timestamp::from_millis(0), None, Some(value))).unwrap();
            lane.flush();
            built.push(lane.take(now).expect("it is ready").build().unwrap());
        }
        let [first, second] = &built[..] else { unreachable!("two were built") };
        assert!(lane.may_go(first.id, &first.batch) && lane.may_go(second.id, &second.batch));
        lane.refused(first.id, RequestError::new(ErrorCode::InvalidRecord), &mut out);
        assert!(!lane.may_go(second.id, &second.batch), "its sequence is another by now");
        lane.held_back(now, second.id, second.batch.clone());
        let again = lane.take(now).expect("it is its turn").build().unwrap();
        assert_eq!(again.id, second.id);
        assert_eq!(again.batch.producer(), lane.stamp(crate::epoch::Sequence::ZERO));
        assert!(lane.may_go(again.id, &again.batch));
    }

    #[cfg(feature = "lz4")]
    #[test]
    fn prd_10_a_split_reads_and_compresses_nothing_until_its_pieces_are_built() {
        let (now, mut out) = (Instant::from_millis(0), Vec::new());
        let config =
            AccumulatorConfig { linger_ms: 0, codec: crate::record::Codec::Lz4, ..AccumulatorConfig::default() };
        let mut lane = Lane::new(LaneId::new(0), config);
        lane.identify(ProducerIdentity::default());
        for value in 0..7_u8 {
            lane.push(now, &NewRecord::new(Timestamp::from_millis(i64::from(value)), None, Some(&[value; 99])))
                .unwrap();
        }
        let whole = lane.take(now).expect("it is ready").build().unwrap();
        let bytes = lane.bytes();
        lane.failed(now, whole.id, whole.batch, RequestError::new(ErrorCode::MessageTooLarge), &mut out);
        assert_eq!((lane.bytes(), lane.sent.len(), out.len()), (bytes, 2, 0), "the bytes are those of the whole yet");
        let mut found = Vec::new();
        for (first, count) in [(0, 4), (4, 3)] {
            let piece = lane.take(now).expect("it is its turn");
            assert_eq!((piece.tickets().first, piece.tickets().count), (first, count));
            let piece = piece.build().unwrap();
            let records = piece.batch.records(crate::record::DecompressLimit::default()).unwrap();
            found.extend(records.iter().map(|record| record.unwrap().value.unwrap()[0]));
            assert_eq!(piece.batch.producer().unwrap().base_sequence.unwrap().get(), first as i32);
            let base_offset = Offset::new(u64::from(first));
            let produced = Produced { base_offset, log_append_time: None, log_start_offset: Offset::ZERO };
            lane.acknowledged(piece.id, &produced, &mut out);
        }
        assert!(found.iter().copied().eq(0..7), "{found:?}");
        assert_eq!((out.len(), lane.bytes()), (2, 0));
    }
}
