//! What a topic demands of a batch before its log takes it.
//!
//! - May use: the newtypes and its siblings `attributes`, `batch`, `build`, `compress`, `fields`, `origin`, `records`.
//! - Must not know: the log, its offsets, its producers. All here can run outside every lock.
//! - Always true: a batch that keeps its bytes is not copied; a batch that is refused has changed nothing; one pass
//!   over the records, without an allocation per record.

mod refused;
mod survey;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::offset::Offset;
use crate::record::attributes::{Attributes, Codec, TimestampType};
use crate::record::batch::Batch;
use crate::record::build::BatchBuilder;
use crate::record::check::survey::{Survey, date_of};
use crate::record::compress::DecompressLimit;
use crate::record::fields::{RawRecord, Record};
use crate::record::origin::Origin;
use crate::record::records::RecordError;
use crate::time::Timestamp;

pub use refused::{CheckError, Refusal, Refused};

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

    /// The same, whose bytes somebody else owns: see [`Batch::kept`].
    pub(crate) fn kept(self, keep: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self { batch: self.batch.kept(keep), ..self }
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
