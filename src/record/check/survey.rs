//! One pass over the records of a batch: what is in them, and which of them the topic does not take.

use crate::record::attributes::TimestampType;
use crate::record::batch::Batch;
use crate::record::check::{CheckError, Refusal, Refused, Rules};
use crate::record::fields::RawRecord;
use crate::record::records::RecordError;
use crate::time::Timestamp;

/// One pass over the records of a batch.
pub(super) struct Survey<'a> {
    rules: &'a Rules,
    batch: &'a Batch,
    now: Timestamp,
    refused: Vec<Refused>,
    refused_count: u32,
    refused_for_time: bool,
    /// Whether every record stands at its own number.
    pub(super) offsets_in_order: bool,
    /// The largest date of the records' own.
    pub(super) max_timestamp: Timestamp,
}

impl<'a> Survey<'a> {
    pub(super) fn new(rules: &'a Rules, batch: &'a Batch, now: Timestamp) -> Self {
        Self {
            rules,
            batch,
            now,
            refused: Vec::new(),
            refused_count: 0,
            refused_for_time: false,
            offsets_in_order: true,
            max_timestamp: Timestamp::NONE,
        }
    }

    /// Looks at every record.
    pub(super) fn read(&mut self, records: &[u8]) -> Result<(), RecordError> {
        let expected = self.batch.record_count();
        let mut rest = records;
        for index in 0..expected {
            if rest.is_empty() {
                return Err(RecordError::TooFewRecords { expected, found: index });
            }
            let raw = RawRecord::take(&mut rest).map_err(|fault| RecordError::of(index, fault))?;
            self.see(index, &raw);
        }
        match rest.len() {
            0 => Ok(()),
            bytes => Err(RecordError::Leftover { bytes }),
        }
    }

    fn see(&mut self, index: u32, raw: &RawRecord<'_>) {
        let timestamp = date_of(self.batch, raw);
        self.offsets_in_order &= i64::from(raw.offset_delta) == i64::from(index);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        if self.rules.compacted && raw.key.is_none() {
            self.refuse(index, Refusal::NullKey);
        }
        if let Some(reason) = self.refusal_of(timestamp) {
            self.refuse(index, reason);
        }
    }

    fn refusal_of(&self, timestamp: Timestamp) -> Option<Refusal> {
        let (rules, now) = (self.rules, self.now);
        if rules.timestamp_type == TimestampType::CreateTime && timestamp.is_some() {
            let limit_ms = rules.timestamp_before_max_ms;
            if now.as_millis().saturating_sub(timestamp.as_millis()) > limit_ms {
                return Some(Refusal::TooOld { timestamp, now, limit_ms });
            }
            let limit_ms = rules.timestamp_after_max_ms;
            let is_too_new = timestamp.as_millis().saturating_sub(now.as_millis()) > limit_ms;
            return is_too_new.then_some(Refusal::TooNew { timestamp, now, limit_ms });
        }
        let is_dated = self.batch.timestamp_type() == TimestampType::LogAppendTime;
        is_dated.then_some(Refusal::AppendTimeFromClient)
    }

    fn refuse(&mut self, index: u32, reason: Refusal) {
        self.refused_count += 1;
        self.refused_for_time |= reason.is_about_time();
        if self.refused.len() < CheckError::REFUSED_MAX {
            self.refused.push(Refused { index, reason });
        }
    }

    /// What was seen, unless a record is refused.
    pub(super) fn verdict(self) -> Result<Self, CheckError> {
        let count = self.refused_count;
        match (count, self.refused_for_time) {
            (0, _) => Ok(self),
            (_, true) => Err(CheckError::InvalidTimestamp { refused: self.refused, count }),
            (_, false) => Err(CheckError::InvalidRecords { refused: self.refused, count }),
        }
    }
}

/// The date of a record as every reader sees it, so also where a client claims to be a leader: the batch's bit says
/// that all of them have the batch's largest timestamp.
pub(super) fn date_of(batch: &Batch, raw: &RawRecord<'_>) -> Timestamp {
    match batch.timestamp_type() {
        TimestampType::CreateTime => raw.create_time(batch.base_timestamp()),
        TimestampType::LogAppendTime => batch.max_timestamp(),
    }
}
