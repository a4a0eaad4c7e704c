//! Records: what is wrong with one is told, with its number.

use super::*;

/// The payload of one record with this body behind its length.
fn record_of(body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    varint::put_i32(&mut payload, body.len() as i32);
    payload.extend_from_slice(body);
    payload
}

fn fault_of(body: &[u8]) -> RecordFault {
    fault_in(&record_of(body))
}

fn fault_in(payload: &[u8]) -> RecordFault {
    let mut all = record_of(&[0, 0, 0, 1, 1, 0]);
    all.extend_from_slice(payload);
    match read(&of_payload(2, &all)) {
        Err(RecordError::InvalidRecord { index: 1, fault }) => fault,
        Err(RecordError::InvalidVarint { index: 1 }) => RecordFault::InvalidVarint,
        other => panic!("{other:?}"),
    }
}

/// Attributes, timestamp delta 0 and offset delta 1 in front of `fields`.
fn fields(fields: &[u8]) -> RecordFault {
    fault_of(&[&[0, 0, 2], fields].concat())
}

#[test]
fn fmt_15_headers_keep_their_order_their_doubles_and_their_nulls() {
    let headers: &[(&str, Option<&[u8]>)] = &[("a", Some(b"1")), ("a", None), ("b", Some(b"")), ("", Some(b"x"))];
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&NewRecord { timestamp: Timestamp::NONE, key: None, value: None, headers }).unwrap();
    let records = builder.build().unwrap().records(DecompressLimit::default()).unwrap();
    let record = records.iter().next().unwrap().unwrap();
    assert!(record.headers.iter().eq(headers.iter().copied()));
    assert_eq!((record.headers.len(), record.headers.is_empty()), (4, false));
    assert_eq!(record.headers.last("a"), Some(None), "the last of its doubles");
    assert_eq!(record.headers.last("c"), None);
}

#[test]
fn fmt_16_a_negative_count_of_headers_is_refused() {
    assert_eq!(fields(&[1, 1, 1]), RecordFault::HeaderCount { count: -1, found: 0 });
}

#[test]
fn a_count_of_headers_beyond_the_bytes_is_refused_before_the_first() {
    assert_eq!(fields(&[1, 1, 8, 0, 1, 0]), RecordFault::HeaderCount { count: 4, found: 3 });
    let million = [1, 1, 0x80, 0x89, 0x7a];
    assert_eq!(fields(&million), RecordFault::HeaderCount { count: 1_000_000, found: 0 });
}

#[test]
fn fmt_17_a_negative_length_of_a_header_key_is_refused() {
    assert_eq!(fields(&[1, 1, 2, 1, 1]), RecordFault::HeaderKeyLength { length: -1 });
}

#[test]
fn a_header_key_that_is_no_text_and_a_header_value_below_null_are_refused() {
    assert_eq!(fields(&[1, 1, 2, 2, 0xff, 1]), RecordFault::HeaderKeyText);
    assert_eq!(fields(&[1, 1, 2, 2, b'a', 3]), RecordFault::HeaderValueLength { length: -2 });
}

#[test]
fn fmt_18_a_key_or_value_beyond_the_record_is_refused_without_reading_on() {
    // What follows in the batch would be enough, but it is not this record's.
    let mut payload = record_of(&[0, 0, 2, 20, 1, 1, 0]);
    payload.extend_from_slice(&[0; 64]);
    assert_eq!(fault_in(&payload), RecordFault::CutShort);
    assert_eq!(fields(&[1, 20, 0]), RecordFault::CutShort);
    assert_eq!(fields(&[3, 1, 0]), RecordFault::KeyLength { length: -2 });
    assert_eq!(fields(&[1, 3, 0]), RecordFault::ValueLength { length: -2 });
}

#[test]
fn fmt_19_a_length_that_is_not_that_of_the_fields_is_refused() {
    let good = [0, 0, 2, 1, 1, 0];
    for length in 0..good.len() {
        assert_eq!(fault_of(&good[..length]), RecordFault::CutShort, "{length} bytes");
    }
    assert_eq!(fault_of(&[0, 0, 2, 1, 1, 0, 9]), RecordFault::Leftover { bytes: 1 });
    assert_eq!(fault_in(&[14, 0, 0, 2, 1, 1, 0]), RecordFault::Length { length: 7, found: 6 });
    assert_eq!(fault_in(&[1, 0, 0]), RecordFault::Length { length: -1, found: 2 });
}

#[test]
fn an_invalid_varint_names_its_record() {
    assert_eq!(fault_in(&[0xff; 6]), RecordFault::InvalidVarint);
    assert_eq!(fields(&[1, 1, 0x80, 0]), RecordFault::InvalidVarint, "overlong");
    assert_eq!(fault_of(&[&[0][..], &[0xff; 10]].concat()), RecordFault::InvalidVarint, "a long of too many bytes");
}

#[test]
fn the_attributes_of_a_record_may_be_anything() {
    let batch = of_payload(1, &record_of(&[0xff, 0, 0, 1, 1, 0]));
    assert_eq!(read(&batch).unwrap().len(), 1);
}

#[test]
fn an_offset_that_does_not_rise_or_leaves_the_batch_is_refused() {
    assert_eq!(fault_of(&[0, 0, 0, 1, 1, 0]), RecordFault::Offset { found: 0, min: 1, max: 1 });
    assert_eq!(fault_of(&[0, 0, 4, 1, 1, 0]), RecordFault::Offset { found: 2, min: 1, max: 1 });
    assert_eq!(fault_of(&[0, 0, 1, 1, 1, 0]), RecordFault::Offset { found: -1, min: 1, max: 1 });
}

#[test]
fn fmt_20_timestamps_may_go_back() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&keyed(100, "a", "1")).unwrap();
    builder.push(&keyed(90, "b", "2")).unwrap();
    let batch = builder.build().unwrap();
    assert_eq!((batch.base_timestamp().as_millis(), batch.max_timestamp().as_millis()), (100, 100));
    assert_eq!(batch.payload()[9 + 2], 0x13, "delta -10 of the second record");
    let timestamps: Vec<_> = read(&batch).unwrap().iter().map(|record| record.1).collect();
    assert_eq!(timestamps, [100, 90]);
}

#[test]
fn the_ends_of_time_read_back() {
    let dates = [-1, i64::MAX, i64::MIN, 0];
    let mut builder = BatchBuilder::new(Codec::None);
    for date in dates {
        builder.push(&keyed(date, "a", "1")).unwrap();
    }
    let read: Vec<_> = read(&builder.build().unwrap()).unwrap().iter().map(|record| record.1).collect();
    assert_eq!(read, dates);
}

#[test]
fn an_iterator_ends_after_its_first_error() {
    let batch = of_payload(3, &record_of(&[0, 0, 0, 1, 1, 0, 9]));
    let records = batch.records(DecompressLimit::default()).unwrap();
    let mut iter = records.iter();
    assert!(iter.next().unwrap().is_err());
    assert!(iter.next().is_none());
    assert!(iter.next().is_none());
}
