//! Batches, legacy entries and compressed bytes, whatever they hold.
//!
//! What the crate says is compared with a second decoder, written for plainness, that shares no code with it.

use bytes::Bytes;
use ottla::offset::Offset;
use ottla::record::{
    Batch, BatchBuilder, Codec, CodecError, DecompressLimit, Entry, Header, Record, RecordError, Records, TimestampType,
};

const LIMIT: DecompressLimit = DecompressLimit(1 << 20);

/// A batch that is accepted is the one that its records make, and another decoder reads the same out of it.
pub fn decode_batch_v2(data: &[u8]) {
    one_batch(data);
    // A checksum that is right lets a fuzzer get to what is behind it.
    if let Some(length) = data.get(8..12).map(|field| number(field) + 12)
        && (Header::BYTES as i64..=data.len() as i64).contains(&length)
    {
        let mut data = data.to_vec();
        let crc = !crc(0x82f6_3b78, &data[21..length as usize]);
        data[17..21].copy_from_slice(&crc.to_be_bytes());
        one_batch(&data);
    }
}

fn one_batch(data: &[u8]) {
    let Ok(batch) = Batch::parse(&Bytes::copy_from_slice(data)) else { return };
    let mut given = data[..batch.size() as usize].to_vec();
    if given[12] >= 0x80 {
        // Any negative leader epoch means that it is not known, and is written as −1.
        given[12..16].fill(0xff);
    }
    assert_eq!(batch.to_bytes(), given, "what was accepted is what was given");
    assert_eq!(batch.next_offset().since(batch.base_offset()), Some(u64::from(batch.last_offset_delta()) + 1));
    let payload = match batch.codec().decompress(&batch.payload(), LIMIT) {
        Ok(payload) => payload,
        Err(error) => {
            assert!(batch.codec() != Codec::None || error == CodecError::TooLarge { limit: LIMIT.0 });
            return;
        }
    };
    let found = batch.records(LIMIT).and_then(|records| owned(&records));
    let naive = naive_records(&payload, batch.header());
    assert_eq!(found.as_ref().ok(), naive.as_ref(), "{found:?}");
    assert_eq!(batch.records(LIMIT).and_then(|records| owned(&records)), found, "read twice");
    if let Ok(records) = found {
        rewritten(&batch, &records);
    }
}

/// The same records make a batch that reads the same.
fn rewritten(batch: &Batch, expected: &[Owned]) {
    let records = batch.records(LIMIT).expect("read before");
    let mut builder = BatchBuilder::rewriting(batch, Codec::None).last_offset_delta(batch.last_offset_delta());
    if batch.timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.log_append_time(batch.max_timestamp());
    }
    for record in &records {
        let record = record.expect("read before");
        let delta = record.offset.relative_to(batch.base_offset()).expect("within the batch");
        builder.push_record_at(delta, &record).expect("it came out of a batch");
    }
    let built = builder.build().expect("all records fit").stamped(batch.base_offset(), batch.leader_epoch());
    let built = built.expect("the same place");
    let found = built.records(LIMIT).and_then(|records| owned(&records));
    assert_eq!(found.as_deref(), Ok(expected));
    assert_eq!(Batch::parse(&built.to_bytes()), Ok(built));
}

/// A legacy entry that is accepted holds what another decoder finds in it, and a newer batch can hold the same.
pub fn decode_legacy(data: &[u8]) {
    one_entry(data);
    if let Some(length) = data.get(8..12).map(|field| number(field) + 12)
        && (17..=data.len() as i64).contains(&length)
    {
        let mut data = data.to_vec();
        let crc = !crc(0xedb8_8320, &data[16..length as usize]);
        data[12..16].copy_from_slice(&crc.to_be_bytes());
        one_entry(&data);
    }
}

fn one_entry(data: &[u8]) {
    let Ok(entry @ Entry::Legacy(_)) = Entry::parse(&Bytes::copy_from_slice(data)) else { return };
    let size = entry.size() as usize;
    assert_eq!(entry.to_bytes(), data[..size], "what was accepted is what was given");
    let found = entry.records(LIMIT).and_then(|records| owned(&records));
    // Kafka counted the checksum of an lz4 header wrongly here, so there is no second opinion on such a value.
    let has_opinion = entry.magic() == 1 || entry.codec() != Codec::Lz4;
    if has_opinion {
        assert_eq!(found.as_ref().ok(), naive_entry(&data[..size]).as_ref(), "{found:?}");
    }
    let Ok(records) = found else { return };
    let base = entry.base_offset(LIMIT).expect("read before");
    assert_eq!(records[0].offset, base.get());
    assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
    converted(&entry, base, &records);
}

/// A batch v2 keeps offset, timestamp, key and value of each record.
fn converted(entry: &Entry, base: Offset, expected: &[Owned]) {
    let records = entry.records(LIMIT).expect("read before");
    let mut builder = BatchBuilder::new(Codec::None);
    for record in &records {
        let record = record.expect("read before");
        let Some(delta) = record.offset.relative_to(base) else { return };
        builder.push_record_at(delta, &record).expect("offsets rise");
    }
    let Ok(batch) = builder.build().expect("all records fit").stamped(base, None) else { return };
    let found = batch.records(LIMIT).and_then(|records| owned(&records));
    assert_eq!(found.as_deref(), Ok(expected));
}

/// What decompresses stays within the limit, and reads back when it is compressed again. The first bytes choose the
/// codec and the limit.
pub fn decompress(data: &[u8]) {
    let Some(([first, high, low], packed)) = data.split_first_chunk() else { return };
    let codec = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd][usize::from(first % 4)];
    let limit = usize::from(u16::from_be_bytes([*high, *low]));
    let found = codec.decompress(packed, DecompressLimit(limit));
    let bytes = match found {
        Ok(bytes) => bytes,
        Err(CodecError::TooLarge { limit: told }) => return assert_eq!(told, limit),
        Err(_) => return,
    };
    assert!(bytes.len() <= limit);
    assert_eq!(codec.decompress(packed, DecompressLimit(bytes.len())).as_ref(), Ok(&bytes), "just enough");
    if let Some(less) = bytes.len().checked_sub(1) {
        assert_eq!(codec.decompress(packed, DecompressLimit(less)), Err(CodecError::TooLarge { limit: less }));
    }
    let mut again = Vec::new();
    if codec.compress(None, &bytes, &mut again).is_ok() {
        assert_eq!(codec.decompress(&again, DecompressLimit(limit)), Ok(bytes));
    }
}

/// A record, with all that a reader sees of it.
#[derive(Debug, Eq, PartialEq)]
struct Owned {
    offset: u64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn owned(records: &Records) -> Result<Vec<Owned>, RecordError> {
    let copied = |slice: Option<&[u8]>| slice.map(<[u8]>::to_vec);
    let owned = |record: Record<'_>| Owned {
        offset: record.offset.get(),
        timestamp: record.timestamp.as_millis(),
        key: copied(record.key),
        value: copied(record.value),
        headers: record.headers.iter().map(|(key, value)| (key.to_owned(), copied(value))).collect(),
    };
    records.iter().map(|record| record.map(owned)).collect()
}

/// The records of a batch v2, or nothing if anything is wrong with one.
fn naive_records(payload: &[u8], header: &Header) -> Option<Vec<Owned>> {
    let mut rest: Vec<u8> = payload.iter().rev().copied().collect();
    let mut records = Vec::new();
    let mut delta_min = 0;
    for _ in 0..header.record_count {
        let size = usize::try_from(naive_varint(&mut rest, 32)?).ok().filter(|size| *size > 0)?;
        let after = rest.len().checked_sub(size)?;
        rest.pop();
        let timestamp = naive_varint(&mut rest, 64)?;
        let delta = naive_varint(&mut rest, 32).filter(|delta| *delta >= delta_min)?;
        delta_min = delta + 1;
        let key = naive_slice(&mut rest)?;
        let value = naive_slice(&mut rest)?;
        let mut headers = Vec::new();
        for _ in 0..naive_varint(&mut rest, 32).filter(|count| *count >= 0)? {
            let key = String::from_utf8(naive_slice(&mut rest)??).ok()?;
            headers.push((key, naive_slice(&mut rest)?));
        }
        if rest.len() != after || delta > i128::from(header.last_offset_delta) {
            return None;
        }
        let own = (i128::from(header.base_timestamp) + timestamp) as i64;
        let is_append_time = header.attributes.bits() & 8 != 0;
        let timestamp = if is_append_time { header.max_timestamp } else { own };
        let offset = (i128::from(header.base_offset) + delta) as u64;
        records.push(Owned { offset, timestamp, key, value, headers });
    }
    rest.is_empty().then_some(records)
}

/// Takes a zigzag number of at most `bits` bits, in its shortest form, off the end of reversed bytes.
fn naive_varint(rest: &mut Vec<u8>, bits: u32) -> Option<i128> {
    let mut raw: u128 = 0;
    for shift in (0..bits).step_by(7) {
        let byte = rest.pop()?;
        raw += u128::from(byte % 128) << shift;
        if byte < 128 {
            let is_shortest = byte != 0 || shift == 0;
            let half = (raw / 2) as i128;
            let number = if raw.is_multiple_of(2) { half } else { -half - 1 };
            return (is_shortest && raw >> bits == 0).then_some(number);
        }
    }
    None
}

fn naive_slice(rest: &mut Vec<u8>) -> Option<Option<Vec<u8>>> {
    match naive_varint(rest, 32)? {
        -1 => Some(None),
        length => {
            let mut taken = rest.split_off(rest.len().checked_sub(usize::try_from(length).ok()?)?);
            taken.reverse();
            Some(Some(taken))
        }
    }
}

/// The records of an entry of format 0 or 1, or nothing if anything is wrong with one.
fn naive_entry(entry: &[u8]) -> Option<Vec<Owned>> {
    let (wrapper, attributes) = (naive_message(entry)?, entry[17]);
    let codec = Codec::from_bits(attributes & 7)?;
    if codec == Codec::None {
        return Some(vec![wrapper]);
    }
    let bytes = codec.decompress(wrapper.value.as_deref()?, LIMIT).ok()?;
    let mut rest = &bytes[..];
    let mut inner = Vec::new();
    while !rest.is_empty() {
        let size = usize::try_from(number(rest.get(8..12)?)).ok()? + 12;
        let message = rest.get(..size).filter(|message| message.len() >= 18)?;
        let is_plain = message[16] == entry[16] && message[17] & 7 == 0;
        if !is_plain || number(&message[12..16]) as u32 != !crc(0xedb8_8320, &message[16..]) {
            return None;
        }
        inner.push(naive_message(message)?);
        rest = &rest[size..];
    }
    let last = inner.last()?.offset;
    let is_absolute = entry[16] == 0 || wrapper.offset == 0;
    let base = if is_absolute { 0 } else { wrapper.offset.checked_sub(last)? };
    let rises = inner.windows(2).all(|pair| pair[0].offset < pair[1].offset);
    if !rises || last >= i64::MAX as u64 || (entry[16] == 0 && wrapper.offset != 0 && last > wrapper.offset) {
        return None;
    }
    for record in &mut inner {
        record.offset += base;
        if entry[16] == 1 && attributes & 8 != 0 {
            record.timestamp = wrapper.timestamp;
        }
    }
    Some(inner)
}

/// One message with its offset and size in front.
fn naive_message(entry: &[u8]) -> Option<Owned> {
    let offset = u64::try_from(number(&entry[..8])).ok()?;
    let (timestamp, mut at) = match entry.get(16)? {
        0 => (-1, 18),
        1 => (number(entry.get(18..26)?), 26),
        _ => return None,
    };
    let mut slice = || {
        let length = number(entry.get(at..at + 4)?);
        at += 4;
        if length == -1 {
            return Some(None);
        }
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        let slice = entry.get(at..end)?.to_vec();
        at = end;
        Some(Some(slice))
    };
    let (key, value) = (slice()?, slice()?);
    (at == entry.len()).then_some(Owned { offset, timestamp, key, value, headers: Vec::new() })
}

/// A big-endian number of up to 8 bytes, with its sign.
fn number(field: &[u8]) -> i64 {
    let first = if field[0] >= 0x80 { -1 } else { 0 };
    field.iter().fold(first, |number: i64, byte| number << 8 | i64::from(*byte))
}

/// The complement of a checksum by its definition.
fn crc(polynomial: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 };
    bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
