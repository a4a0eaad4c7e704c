//! Writing what is left of a batch.

use bytes::Bytes;

use crate::offset::Offset;
use crate::record::legacy::{LegacyMagic, NewMessage};
use crate::record::{Batch, BatchBuilder, BuildError, Codec, CodecError, Entry, LegacyBatch, Record, TimestampType};
use crate::time::Timestamp;

/// The batch with these records of it alone, at their offsets, and with a delete horizon if one is given.
///
/// The codec stays, unless this build cannot write it: then the records are not compressed. What the batch says about its
/// producer, its sequence and its offsets stays.
pub(crate) fn rewritten(batch: &Batch, kept: &[Record<'_>], horizon: Option<Timestamp>) -> Result<Batch, BuildError> {
    match build(batch, kept, horizon, batch.codec()) {
        Err(BuildError::Codec(CodecError::Unsupported { .. })) => build(batch, kept, horizon, Codec::None),
        outcome => outcome,
    }
}

fn build(batch: &Batch, kept: &[Record<'_>], horizon: Option<Timestamp>, codec: Codec) -> Result<Batch, BuildError> {
    let mut builder = BatchBuilder::rewriting(batch, codec).last_offset_delta(batch.last_offset_delta());
    if batch.timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.log_append_time(batch.max_timestamp());
    }
    if let Some(horizon) = horizon {
        builder = builder.delete_horizon(horizon);
    }
    for record in kept {
        let delta = record.offset.relative_to(batch.base_offset());
        let invalid = BuildError::OffsetDelta { found: u32::MAX, min: 0 };
        builder.push_record_at(delta.ok_or(invalid)?, record)?;
    }
    let built = builder.build()?;
    // The place is that of the batch, whose last offset was in range.
    built.stamped(batch.base_offset(), batch.leader_epoch()).map_err(|_| too_large(&built))
}

fn too_large(batch: &Batch) -> BuildError {
    BuildError::TooLarge { size: u64::from(batch.size()) }
}

/// The same for a compressed message of an old format, which stays one.
pub(crate) fn rewritten_legacy(legacy: &LegacyBatch, kept: &[Record<'_>]) -> Result<Entry, BuildError> {
    let magic = if legacy.magic() == 0 { LegacyMagic::V0 } else { LegacyMagic::V1 };
    let timestamp_type = legacy.timestamp_type().unwrap_or(TimestampType::CreateTime);
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return Err(BuildError::Empty) };
    let mut messages = Vec::new();
    for record in kept {
        // Format 1 counts from the first message, format 0 tells the offset itself.
        let relative = record.offset.get() - first.offset.get();
        let offset = if magic == LegacyMagic::V0 { record.offset } else { Offset::new(relative) };
        let (timestamp, key, value) = (record.timestamp, record.key, record.value);
        NewMessage { magic, offset, timestamp, timestamp_type, key, value }.append_to(&mut messages)?;
    }
    let largest = kept.iter().map(|record| record.timestamp).max().unwrap_or(Timestamp::NONE);
    let wrapper = NewMessage { magic, offset: last.offset, timestamp: largest, timestamp_type, key: None, value: None };
    let mut bytes = Vec::new();
    wrapper.append_wrapping(legacy.codec(), &messages, &mut bytes)?;
    let size = bytes.len() as u64;
    Entry::parse(&Bytes::from(bytes)).map_err(|_| BuildError::TooLarge { size })
}
