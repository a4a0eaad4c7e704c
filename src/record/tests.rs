//! The vectors of format.md, and what the tests of this room share.

mod batch;
mod naive;
mod record;
mod round_trip;

use bytes::Bytes;

use super::*;
use crate::time::Timestamp;

/// The bytes of a line of hexadecimal digits.
pub(super) fn bytes_of(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    assert!(digits.len().is_multiple_of(2));
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The batch that a line of hexadecimal digits holds.
pub(super) fn parse_hex(hex: &str) -> Batch {
    Batch::parse(&bytes_of(hex)).unwrap()
}

/// A record of a key and a value.
pub(super) fn keyed<'a>(timestamp: i64, key: &'a str, value: &'a str) -> NewRecord<'a> {
    NewRecord::new(Timestamp::from_millis(timestamp), Some(key.as_bytes()), Some(value.as_bytes()))
}

/// `count` small records, a millisecond apart from 1000 on.
pub(super) fn filled(mut builder: BatchBuilder, count: u32) -> Batch {
    for index in 0..count {
        builder.push(&keyed(1000 + i64::from(index), &format!("k{index}"), "value value value")).unwrap();
    }
    builder.build().unwrap()
}

/// The records of `batch` as offset, timestamp, key and value, or the first error.
pub(super) type Shown = (u64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

pub(super) fn show(records: &Records) -> Result<Vec<Shown>, RecordError> {
    let shown = |record: Record<'_>| {
        let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
        (record.offset.get(), record.timestamp.as_millis(), key, value)
    };
    records.iter().map(|record| record.map(shown)).collect()
}

pub(super) fn read(batch: &Batch) -> Result<Vec<Shown>, RecordError> {
    show(&batch.records(DecompressLimit::default())?)
}

/// A batch like `batch` with another count in its header, and a checksum to match.
pub(super) fn with_count(batch: &Batch, count: i32) -> Batch {
    altered(batch, |header| header.record_count = count)
}

/// A batch like `batch` with another header, and a checksum to match.
pub(super) fn altered(batch: &Batch, alter: impl FnOnce(&mut Header)) -> Batch {
    let mut header = *batch.header();
    alter(&mut header);
    Batch::sealed(header, batch.to_bytes().to_vec()).unwrap()
}

/// A batch of these record bytes, and a checksum to match.
pub(super) fn of_payload(count: i32, payload: &[u8]) -> Batch {
    let template = filled(BatchBuilder::new(Codec::None), 1);
    let header = Header { record_count: count, last_offset_delta: count - 1, ..*template.header() };
    let mut bytes = vec![0; Header::BYTES];
    bytes.extend_from_slice(payload);
    Batch::sealed(header, bytes).unwrap()
}

/// The codecs that this build can write.
pub(super) fn writable() -> Vec<Codec> {
    let all = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    all.into_iter().filter(|codec| codec.compress(None, b"", &mut Vec::new()).is_ok()).collect()
}
