//! What a topic demands of a batch before its log takes it.
//!
//! - May use: the newtypes and its siblings `batch`, `build`, `record`, `records`, `compress`, `origin`.
//! - Must not know: the log, its offsets, its producers. All here can run outside every lock.
//! - Always true: a batch that keeps its bytes is not copied; a batch that is refused has changed nothing; one pass
//!   over the records, without an allocation per record.

use bytes::Bytes;

use crate::offset::Offset;
use crate::record::attributes::{Attributes, Codec, TimestampType};
use crate::record::batch::Batch;
use crate::record::build::{BatchBuilder, BuildError};
use crate::record::compress::DecompressLimit;
use crate::record::fields::{RawRecord, Record};
use crate::record::origin::Origin;
use crate::record::records::RecordError;
use crate::time::Timestamp;

/// How a topic stores its batches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TopicCodec {
    /// As the producer compressed them.
    #[default]
    Producer,
    /// With this codec, whatever the producer used; [`Codec::None`] for uncompressed.
    Fixed(Codec),
}

/// What a topic demands of the batches that are appended to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules {
    /// Who asks. What comes from a leader's log has been checked there and passes as it is.
    pub origin: Origin,
    /// The largest batch in bytes, as it is stored: Kafka's `max.message.bytes`.
    pub max_batch_bytes: u32,
    /// Whether the topic is compacted, so that every record needs a key.
    pub compacted: bool,
    /// Whose clock the records are dated by.
    pub timestamp_type: TimestampType,
    /// How far a producer's date may lie before the leader's, in milliseconds.
    pub timestamp_before_max_ms: i64,
    /// How far a producer's date may lie after the leader's, in milliseconds.
    pub timestamp_after_max_ms: i64,
    /// How the records are stored.
    pub codec: TopicCodec,
    /// The level for records that are compressed anew; `None` for the codec's default. Others keep their bytes.
    pub level: Option<i32>,
    /// The most bytes that the records may decompress to.
    pub decompress_limit: DecompressLimit,
}

/// Kafka's defaults for what a client sends.
impl Default for Rules {
    fn default() -> Self {
        Self {
            origin: Origin::Client,
            max_batch_bytes: 1_048_588,
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            codec: TopicCodec::Producer,
            level: None,
            decompress_limit: DecompressLimit::default(),
        }
    }
}

/// A batch that its topic takes, as it will be stored but for its stamp.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checked {
    batch: Batch,
    origin: Origin,
}

impl Checked {
    /// The batch: the very bytes that were given, or new ones where the topic wanted another codec or other dates.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Takes the batch out.
    pub fn into_batch(self) -> Batch {
        self.batch
    }

    /// Who asked for the append.
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

/// Why a topic refuses a batch. Nothing of it has been stored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A leader takes one batch at a time.
    #[error("{found} batches were given, exactly one is taken")]
    OnlyOneBatch {
        /// How many.
        found: usize,
    },
    /// A client's batch must begin at offset 0: the leader gives offsets.
    #[error("a client's batch begins at offset {found} instead of 0")]
    BaseOffset {
        /// Where it begins.
        found: Offset,
    },
    /// The batch is larger than the topic takes, as sent or as it would be stored.
    #[error("batch of {size} bytes is larger than {limit}")]
    MessageTooLarge {
        /// How large.
        size: u32,
        /// The limit.
        limit: u32,
    },
    /// A client's batch has no records.
    #[error("the batch has no records")]
    NoRecords,
    /// A client's batch has a gap in its offsets.
    #[error("batch of {offsets} offsets has {count} records")]
    CountMismatch {
        /// How many records it says it has.
        count: u32,
        /// How many offsets it takes.
        offsets: u64,
    },
    /// Clients do not write control batches.
    #[error("a client's batch is a control batch")]
    ControlFromClient,
    /// Only compaction sets a delete horizon.
    #[error("a client's batch has a delete horizon")]
    DeleteHorizonFromClient,
    /// Bits are set that mean nothing.
    #[error("attributes {bits:#06x} have unknown bits")]
    UnknownAttributes {
        /// All of them.
        bits: u16,
    },
    /// A producer id without a sequence.
    #[error("the batch names a producer but no sequence")]
    NoSequence,
    /// A sequence without a producer id.
    #[error("the batch has a sequence but names no producer")]
    SequenceWithoutProducer,
    /// A transactional batch without a producer id.
    #[error("the batch is transactional but names no producer")]
    TransactionalWithoutProducer,
    /// Records are dated as the topic does not take them; perhaps others are refused for something else.
    #[error("{count} records are refused, at least one for its timestamp; the first is {}", Refused::first(refused))]
    InvalidTimestamp {
        /// The first of them, at most [`CheckError::REFUSED_MAX`].
        refused: Vec<Refused>,
        /// How many there are.
        count: u32,
    },
    /// Records are not what the topic takes.
    #[error("{count} records are refused; the first is {}", Refused::first(refused))]
    InvalidRecords {
        /// The first of them, at most [`CheckError::REFUSED_MAX`].
        refused: Vec<Refused>,
        /// How many there are.
        count: u32,
    },
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The records cannot be written as the topic stores them.
    #[error("the batch cannot be stored with the topic's codec: {0}")]
    Rebuild(#[from] BuildError),
}

impl CheckError {
    /// How many refused records an error lists. A batch may hold millions.
    pub const REFUSED_MAX: usize = 1000;
}

/// One record that is not what the topic takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("record {index}: {reason}")]
pub struct Refused {
    /// Which record, counted from 0.
    pub index: u32,
    /// Why.
    pub reason: Refusal,
}

impl Refused {
    fn first(refused: &[Self]) -> String {
        refused.first().map_or_else(String::new, Self::to_string)
    }
}

/// Why a record is not what the topic takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A record without a key in a compacted topic.
    #[error("it has no key, and the topic is compacted")]
    NullKey,
    /// Too far in the past.
    #[error("its timestamp {timestamp} is more than {limit_ms} ms before {now}")]
    TooOld {
        /// Its date.
        timestamp: Timestamp,
        /// The leader's.
        now: Timestamp,
        /// How far it may lie back.
        limit_ms: i64,
    },
    /// Too far in the future.
    #[error("its timestamp {timestamp} is more than {limit_ms} ms after {now}")]
    TooNew {
        /// Its date.
        timestamp: Timestamp,
        /// The leader's.
        now: Timestamp,
        /// How far it may lie ahead.
        limit_ms: i64,
    },
    /// The batch says that the leader dated it, before the leader has seen it.
    #[error("only a leader sets LogAppendTime")]
    AppendTimeFromClient,
}

impl Refusal {
    const fn is_about_time(self) -> bool {
        match self {
            Self::NullKey => false,
            Self::TooOld { .. } | Self::TooNew { .. } | Self::AppendTimeFromClient => true,
        }
    }
}

impl Batch {
    /// Checks the batch against what a topic demands, and makes of it what the topic stores.
    ///
    /// The bytes stay the same, uncopied, unless the topic wants another codec (the records are written anew), other
    /// dates (the header is), or the largest timestamp was not that of the records (the header is). The order of the
    /// checks is Kafka's.
    ///
    /// # Errors
    ///
    /// [`CheckError`]: the first reason found, except that all refused records are listed together.
    pub fn check(&self, rules: &Rules, now: Timestamp) -> Result<Checked, CheckError> {
        let batch = match rules.origin {
            Origin::Replication => self.clone(),
            Origin::Client => {
                if self.base_offset() != Offset::ZERO {
                    return Err(CheckError::BaseOffset { found: self.base_offset() });
                }
                rules.check_size(self)?;
                check_client(self)?;
                rules.stored(self, now)?
            }
            Origin::Coordinator => {
                rules.check_size(self)?;
                rules.stored(self, now)?
            }
        };
        Ok(Checked { batch, origin: rules.origin })
    }
}

/// Checks what is given to one append. A leader takes one batch; from another's log any number is taken.
///
/// # Errors
///
/// [`CheckError::OnlyOneBatch`], or the first error of [`Batch::check`].
pub fn check_all(batches: &[Batch], rules: &Rules, now: Timestamp) -> Result<Vec<Checked>, CheckError> {
    match rules.origin {
        Origin::Client | Origin::Coordinator if batches.len() > 1 => {
            Err(CheckError::OnlyOneBatch { found: batches.len() })
        }
        Origin::Client | Origin::Coordinator | Origin::Replication => {
            batches.iter().map(|batch| batch.check(rules, now)).collect()
        }
    }
}

/// What only holds for clients, and only the header tells.
fn check_client(batch: &Batch) -> Result<(), CheckError> {
    let (attributes, header) = (batch.attributes(), batch.header());
    let (count, offsets) = (batch.record_count(), u64::from(batch.last_offset_delta()) + 1);
    let names_producer = header.producer_id >= 0;
    let has_sequence = header.base_sequence >= 0;
    if count == 0 {
        return Err(CheckError::NoRecords);
    }
    if u64::from(count) != offsets {
        return Err(CheckError::CountMismatch { count, offsets });
    }
    if attributes.is_control() {
        return Err(CheckError::ControlFromClient);
    }
    if names_producer && !has_sequence {
        return Err(CheckError::NoSequence);
    }
    if has_sequence && !names_producer {
        return Err(CheckError::SequenceWithoutProducer);
    }
    if attributes.is_transactional() && !names_producer {
        return Err(CheckError::TransactionalWithoutProducer);
    }
    if attributes.has_unknown() {
        return Err(CheckError::UnknownAttributes { bits: attributes.bits() });
    }
    if attributes.has_delete_horizon() {
        return Err(CheckError::DeleteHorizonFromClient);
    }
    Ok(())
}

impl Rules {
    fn check_size(&self, batch: &Batch) -> Result<(), CheckError> {
        let (size, limit) = (batch.size(), self.max_batch_bytes);
        if size > limit { Err(CheckError::MessageTooLarge { size, limit }) } else { Ok(()) }
    }

    /// The batch as the topic stores it.
    fn stored(&self, batch: &Batch, now: Timestamp) -> Result<Batch, CheckError> {
        if batch.record_count() == 0 && batch.payload().is_empty() {
            return Ok(batch.clone());
        }
        let records = batch.payload_decompressed(self.decompress_limit).map_err(RecordError::from)?;
        let mut survey = Survey::new(self, batch, now);
        survey.read(&records)?;
        let survey = survey.verdict()?;
        let codec = self.codec_for(batch);
        if codec != batch.codec() || !survey.offsets_in_order {
            let rebuilt = self.rebuild(batch, &records, codec, now)?;
            self.check_size(&rebuilt)?;
            return Ok(rebuilt);
        }
        self.dated(batch, survey.max_timestamp, now)
    }

    fn codec_for(&self, batch: &Batch) -> Codec {
        match self.codec {
            TopicCodec::Producer => batch.codec(),
            // A marker is small, and every reader of a transaction must find it: it stays plain.
            TopicCodec::Fixed(_) if batch.is_control() && batch.codec() == Codec::None => Codec::None,
            TopicCodec::Fixed(codec) => codec,
        }
    }

    /// The same bytes, but for the header where the dates in it are not the topic's.
    fn dated(&self, batch: &Batch, largest: Timestamp, now: Timestamp) -> Result<Batch, CheckError> {
        let max_timestamp = match self.timestamp_type {
            TimestampType::CreateTime => largest,
            TimestampType::LogAppendTime => now,
        };
        if batch.timestamp_type() == self.timestamp_type && batch.max_timestamp() == max_timestamp {
            return Ok(batch.clone());
        }
        // As Kafka does it, rewriting clears the upper byte, which means nothing.
        let known = Attributes::from_bits(batch.attributes().bits() & 0x00ff);
        let attributes = known.with_timestamp_type(self.timestamp_type);
        // The header has passed once, and neither field can make it wrong.
        batch.with_timestamps(attributes, max_timestamp).map_err(|_| self.too_large(batch))
    }

    /// The same records, written anew with this codec and with offsets that follow each other.
    fn rebuild(&self, batch: &Batch, records: &Bytes, codec: Codec, now: Timestamp) -> Result<Batch, CheckError> {
        let mut builder = BatchBuilder::rewriting(batch, codec);
        if let Some(level) = self.level {
            builder = builder.level(level);
        }
        if self.timestamp_type == TimestampType::LogAppendTime {
            builder = builder.log_append_time(now);
        }
        let mut rest = &records[..];
        for index in 0..batch.record_count() {
            let raw = RawRecord::take(&mut rest).map_err(|fault| RecordError::of(index, fault))?;
            builder.push_record_at(index, &own_record(batch, &raw))?;
        }
        Ok(builder.build()?)
    }

    fn too_large(&self, batch: &Batch) -> CheckError {
        CheckError::MessageTooLarge { size: batch.size(), limit: self.max_batch_bytes }
    }
}

/// The date of a record as every reader sees it, so also where a client claims to be a leader: the batch's bit says
/// that all of them have the batch's largest timestamp.
fn date_of(batch: &Batch, raw: &RawRecord<'_>) -> Timestamp {
    match batch.timestamp_type() {
        TimestampType::CreateTime => raw.create_time(batch.base_timestamp()),
        TimestampType::LogAppendTime => batch.max_timestamp(),
    }
}

/// The record, ready to be written anew.
fn own_record<'a>(batch: &Batch, raw: &RawRecord<'a>) -> Record<'a> {
    Record {
        offset: Offset::ZERO,
        timestamp: date_of(batch, raw),
        sequence: None,
        key: raw.key,
        value: raw.value,
        headers: raw.headers,
    }
}

/// One pass over the records of a batch.
struct Survey<'a> {
    rules: &'a Rules,
    batch: &'a Batch,
    now: Timestamp,
    refused: Vec<Refused>,
    refused_count: u32,
    refused_for_time: bool,
    /// Whether every record stands at its own number.
    offsets_in_order: bool,
    /// The largest date of the records' own.
    max_timestamp: Timestamp,
}

impl<'a> Survey<'a> {
    fn new(rules: &'a Rules, batch: &'a Batch, now: Timestamp) -> Self {
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

    fn read(&mut self, records: &[u8]) -> Result<(), RecordError> {
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

    fn verdict(self) -> Result<Self, CheckError> {
        let count = self.refused_count;
        match (count, self.refused_for_time) {
            (0, _) => Ok(self),
            (_, true) => Err(CheckError::InvalidTimestamp { refused: self.refused, count }),
            (_, false) => Err(CheckError::InvalidRecords { refused: self.refused, count }),
        }
    }
}

#[cfg(test)]
mod tests;
