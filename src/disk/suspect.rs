//! Bytes that are not what was written: what they are, and where what is good goes on behind them.
//!
//! - May use: the seam, `record`, and the sums of a block.
//! - Must not know: what anyone wants to read.

use bytes::BytesMut;
use crc_fast::{CrcAlgorithm, Digest};

use crate::disk::sums::BadBlock;
use crate::disk::{DiskError, DiskFile};
use crate::log::Span;
use crate::offset::Offset;
use crate::record::{Entry, Header};

/// The bytes in front of a batch that its checksum leaves open: base offset, length, leader epoch, magic.
pub(crate) const OPEN_BYTES: u32 = 17;
/// Where the checksum of a batch stands.
const CRC_AT: usize = 17;
/// How many bytes a reader looks through, at most, for the ends of batches.
pub(crate) const SEARCH_BYTES_MAX: u32 = 64 << 20;
/// How much is looked through at a time.
const CHUNK: u32 = 256 << 10;

/// Why a block differs from its sum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// A batch that reaches into it is bad by its own checksum or header. The others are good if they are good by
    /// themselves.
    Batch,
    /// The file ends within it.
    End,
    /// None that shows: bytes are wrong that no batch's checksum covers. Which, if it is a single bit; else nobody knows
    /// even of which batches.
    Hidden(Option<u32>),
}

/// Why a block differs. At `at`, in front of it or where it begins, a batch begins.
pub(crate) fn reason_of<F: DiskFile>(file: &F, bad: &BadBlock, mut at: u32) -> Result<Reason, DiskError> {
    if file.len()? < u64::from(bad.to) {
        return Ok(Reason::End);
    }
    // Of random damage one in ten thousand looks like a single bit somewhere, but hardly ever like one of these few.
    let (flipped, mut is_open) = (bad.flipped_bit().map(|(position, _)| position), false);
    while at < bad.to {
        let mut front = [0; Header::BYTES];
        let read = file.read_full(u64::from(at), &mut front)?;
        let length = i32::from_be_bytes([front[8], front[9], front[10], front[11]]);
        let size = u32::try_from(length).ok().and_then(|length| length.checked_add(Header::LOG_OVERHEAD as u32));
        let Some(size) = size.filter(|_| read > Header::LOG_OVERHEAD) else { return Ok(Reason::Batch) };
        if at.saturating_add(size) > bad.from && !is_batch(file, at, size)? {
            return Ok(Reason::Batch);
        }
        is_open |= flipped.is_some_and(|position| (at..at.saturating_add(OPEN_BYTES)).contains(&position));
        at = at.saturating_add(size);
    }
    Ok(Reason::Hidden(flipped.filter(|_| is_open)))
}

fn is_batch<F: DiskFile>(file: &F, at: u32, size: u32) -> Result<bool, DiskError> {
    // No more is taken than there is, whatever the length says.
    let left = file.len()?.saturating_sub(u64::from(at));
    if u64::from(size) > left {
        return Ok(false);
    }
    let mut bytes = BytesMut::zeroed(size as usize);
    let read = file.read_full(u64::from(at), &mut bytes)?;
    bytes.truncate(read);
    Ok(Entry::parse(&bytes.freeze()).is_ok())
}

/// Whether a batch that begins with these bytes, at `at`, could stand in the segment behind `floor`.
pub(crate) fn may_begin(span: &Span, floor: Offset, at: u32, bytes: &[u8]) -> bool {
    let Some(front) = bytes.first_chunk::<{ OPEN_BYTES as usize }>() else { return false };
    let [base @ .., _, _, _, _, _, _, _, _, _] = front;
    let length = u32::from_be_bytes([front[8], front[9], front[10], front[11]]);
    let fits = length >= Header::LENGTH_MIN
        && u64::from(at) + Header::LOG_OVERHEAD as u64 + u64::from(length) <= u64::from(span.end);
    let base = Offset::from_i64(i64::from_be_bytes(*base));
    front[16] == 2 && fits && base.is_some_and(|base| (floor..span.segment_next).contains(&base))
}

/// Where the batch at `at` ends whose length is wrong, if its checksum says so: where the bytes so far give it, and a
/// batch could begin or the segment ends. Takes what it looks through from `budget`.
pub(crate) fn end_by_checksum<F: DiskFile>(
    file: &F,
    span: &Span,
    floor: Offset,
    at: u32,
    budget: &mut u32,
) -> Result<Option<u32>, DiskError> {
    let mut front = [0; Header::BYTES];
    if file.read_full(u64::from(at), &mut front)? < front.len() {
        return Ok(None);
    }
    let stored = u32::from_be_bytes([front[CRC_AT], front[CRC_AT + 1], front[CRC_AT + 2], front[CRC_AT + 3]]);
    let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
    crc.update(&front[Header::CHECKED_FROM..]);
    let mut from = at + Header::BYTES as u32;
    let mut bytes = vec![0; span.end.saturating_sub(from).min(CHUNK + OPEN_BYTES) as usize];
    while from < span.end && *budget > 0 {
        // As many as there may be a beginning at, and what is needed to tell.
        let most = (span.end - from).min(CHUNK + OPEN_BYTES) as usize;
        let read = file.read_full(u64::from(from), &mut bytes[..most])?;
        let count = read.min(CHUNK as usize);
        if count == 0 {
            return Ok(None);
        }
        let mut summed = 0;
        let begins = |place: &usize| may_begin(span, floor, from + *place as u32, &bytes[*place..read]);
        for place in (0..count).filter(begins) {
            crc.update(&bytes[summed..place]);
            summed = place;
            if crc.finalize() == u64::from(stored) {
                return Ok(Some(from + place as u32));
            }
        }
        crc.update(&bytes[summed..count]);
        from += count as u32;
        *budget = budget.saturating_sub(count as u32);
    }
    Ok((from == span.end && crc.finalize() == u64::from(stored)).then_some(from))
}
