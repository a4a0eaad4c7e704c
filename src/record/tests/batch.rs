//! Batches: their header, their checksum, and the count of their records.

use super::*;
use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::id::ProducerId;
use crate::offset::Offset;

const ONE_RECORD: &str = "00000000000000000000003a0000000002716a618900000000000000000000000003e800000000000003e8\
                          ffffffffffffffffffffffffffff0000000110000000026b027600";
const IDEMPOTENT: &str = "0000000000000005000000490000000702bdca54d70000000000010000018bcfe568000000018bcfe56807\
                          000000000000002a00030000000a000000020e000000026101001e000e02010478790402680231026e01";
const EMPTIED: &str = "00000000000000c8000000310000000702dcccf35a001000000004ffffffffffffffff00000000000003e8\
                       000000000000002a00030000000a00000000";

fn stamp(base_sequence: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(42).unwrap(),
        epoch: ProducerEpoch::new(3),
        base_sequence: Sequence::new(base_sequence),
    }
}

#[test]
fn one_record_has_the_listed_bytes() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&keyed(1000, "k", "v")).unwrap();
    let batch = builder.build().unwrap().stamped(Offset::ZERO, Some(LeaderEpoch::ZERO)).unwrap();
    assert_eq!(batch.to_bytes(), bytes_of(ONE_RECORD));
    assert_eq!(read(&parse_hex(ONE_RECORD)), Ok(vec![(0, 1000, Some(b"k".to_vec()), Some(b"v".to_vec()))]));
}

#[test]
fn an_idempotent_batch_has_the_listed_bytes() {
    let mut builder = BatchBuilder::new(Codec::None).producer(stamp(10));
    builder.push(&NewRecord::new(Timestamp::from_millis(1_700_000_000_000), Some(b"a"), None)).unwrap();
    let headers: &[(&str, Option<&[u8]>)] = &[("h", Some(b"1")), ("n", None)];
    let timestamp = Timestamp::from_millis(1_700_000_000_007);
    builder.push(&NewRecord { timestamp, key: None, value: Some(b"xy"), headers }).unwrap();
    let batch = builder.build().unwrap().stamped(Offset::new(5), Some(LeaderEpoch::new(7))).unwrap();
    assert_eq!(batch.to_bytes(), bytes_of(IDEMPOTENT));

    let records = parse_hex(IDEMPOTENT).records(DecompressLimit::default()).unwrap();
    let second = records.iter().nth(1).unwrap().unwrap();
    assert_eq!((second.offset, second.sequence), (Offset::new(6), Sequence::new(11)));
    assert_eq!((second.timestamp, second.key, second.value), (timestamp, None, Some(&b"xy"[..])));
    assert!(second.headers.iter().eq(headers.iter().copied()));
}

#[test]
fn an_emptied_transactional_batch_has_the_listed_bytes() {
    let full = filled(BatchBuilder::new(Codec::None).producer(stamp(10)).transactional(), 5);
    let full = altered(&full, |header| header.max_timestamp = 1000);
    let emptied = full.stamped(Offset::new(200), Some(LeaderEpoch::new(7))).unwrap().emptied();
    assert_eq!(emptied.to_bytes(), bytes_of(EMPTIED));
    assert_eq!(Batch::parse(&emptied.to_bytes()), Ok(emptied.clone()), "its checksum is right");
    let max_timestamp = Timestamp::from_millis(1000);
    let builder = BatchBuilder::rewriting(&full, Codec::Gzip).last_offset_delta(4).max_timestamp(max_timestamp);
    assert_eq!(builder.build().unwrap().body(), emptied.body(), "built as it is emptied");
}

#[test]
fn fmt_04_every_flipped_bit_behind_the_checksum_is_found() {
    let good = bytes_of(IDEMPOTENT);
    for bit in Header::CHECKED_FROM * 8..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let error = Batch::parse(&bad.into()).unwrap_err();
        // A flip that makes the header impossible is found before the checksum is.
        let is_header = bit / 8 < Header::BYTES;
        assert!(matches!(error, BatchError::Corrupt { .. }) || is_header, "bit {bit}: {error}");
    }
}

#[test]
fn fmt_05_base_offset_and_leader_epoch_are_outside_the_checksum() {
    let mut bytes = bytes_of(ONE_RECORD).to_vec();
    bytes[7] = 99;
    bytes[15] = 5;
    let batch = Batch::parse(&bytes.into()).unwrap();
    assert_eq!((batch.base_offset(), batch.leader_epoch()), (Offset::new(99), Some(LeaderEpoch::new(5))));
    let stamped = parse_hex(ONE_RECORD).stamped(Offset::new(99), Some(LeaderEpoch::new(5))).unwrap();
    assert_eq!(stamped, batch);
    assert_eq!(Batch::parse(&stamped.to_bytes()), Ok(batch));
}

#[test]
fn fmt_06_a_length_below_that_of_a_header_is_refused() {
    for length in [48, 14, 0, -1, i32::MIN] {
        let mut bytes = bytes_of(ONE_RECORD).to_vec();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(Batch::parse(&bytes.into()), Err(BatchError::InvalidLength { length, min: 49 }));
    }
}

#[test]
fn fmt_07_fewer_records_than_the_count_end_too_early() {
    let batch = altered(&filled(BatchBuilder::new(Codec::None), 4), |header| {
        header.record_count = 5;
        header.last_offset_delta = 4;
    });
    assert_eq!(read(&batch), Err(RecordError::TooFewRecords { expected: 5, found: 4 }));
}

#[test]
fn fmt_08_more_records_than_the_count_are_left_over() {
    let batch = with_count(&filled(BatchBuilder::new(Codec::None), 4), 2);
    let bytes = batch.payload().len() / 2;
    assert_eq!(read(&batch), Err(RecordError::Leftover { bytes }));
}

#[cfg(feature = "gzip")]
#[test]
fn fmt_09_more_compressed_records_than_the_count_are_left_over() {
    let batch = with_count(&filled(BatchBuilder::new(Codec::Gzip), 4), 2);
    assert!(matches!(read(&batch), Err(RecordError::Leftover { .. })));
}

#[test]
fn fmt_10_an_empty_batch_keeps_its_place_in_61_bytes() {
    let built = BatchBuilder::new(Codec::Gzip).last_offset_delta(4).build().unwrap();
    let batch = Batch::parse(&built.stamped(Offset::new(3), None).unwrap().to_bytes()).unwrap();
    assert_eq!((batch.size(), batch.record_count(), batch.last_offset()), (61, 0, Offset::new(7)));
    assert_eq!((batch.codec(), batch.base_timestamp()), (Codec::None, Timestamp::NONE));
    assert_eq!(read(&batch), Ok(vec![]));
    assert_eq!(BatchBuilder::new(Codec::None).build(), Err(BuildError::Empty), "only where it is asked for");
}

#[test]
fn an_empty_batch_is_read_whatever_codec_it_names() {
    let empty = BatchBuilder::new(Codec::None).last_offset_delta(4).build().unwrap();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let named = altered(&empty, |header| header.attributes = header.attributes.with_codec(codec));
        assert_eq!(read(&named), Ok(vec![]));
    }
}

#[test]
fn an_emptied_batch_loses_its_delete_horizon_and_keeps_the_rest() {
    let horizon = Timestamp::from_millis(5);
    let full = filled(BatchBuilder::new(Codec::None).delete_horizon(horizon).control().producer(stamp(1)), 3);
    let emptied = full.stamped(Offset::new(8), None).unwrap().emptied();
    assert_eq!((emptied.delete_horizon(), emptied.base_timestamp()), (None, Timestamp::NONE));
    assert_eq!((emptied.last_offset(), emptied.max_timestamp()), (Offset::new(10), full.max_timestamp()));
    assert_eq!((emptied.is_control(), emptied.producer()), (true, Some(stamp(1))));
}

#[test]
fn fmt_11_under_log_append_time_every_record_has_the_leaders_date() {
    let now = Timestamp::from_millis(77);
    let rules = Rules { timestamp_type: TimestampType::LogAppendTime, ..Rules::default() };
    let batch = filled(BatchBuilder::new(Codec::None), 3).check(&rules, now).unwrap().into_batch();
    let batch = Batch::parse(&batch.to_bytes()).unwrap();
    assert_eq!((batch.timestamp_type(), batch.max_timestamp()), (TimestampType::LogAppendTime, now));
    assert!(read(&batch).unwrap().iter().all(|(_, timestamp, ..)| *timestamp == 77));
    let built = filled(BatchBuilder::new(Codec::None).log_append_time(now), 3);
    assert_eq!(built.body(), batch.body(), "built as it is rewritten");
}

#[test]
fn fmt_12_a_batch_cannot_have_no_timestamp_type() {
    for bits in 0..=u16::MAX {
        let attributes = Attributes::from_bits(bits);
        match attributes.timestamp_type() {
            kind @ (TimestampType::CreateTime | TimestampType::LogAppendTime) => {
                assert_eq!(attributes.with_timestamp_type(kind), attributes);
            }
        }
    }
}

#[test]
fn deltas_count_from_a_delete_horizon() {
    let horizon = Timestamp::from_millis(500);
    let mut builder = BatchBuilder::new(Codec::None).delete_horizon(horizon);
    builder.push_at(2, &keyed(400, "a", "1")).unwrap();
    builder.push_at(9, &keyed(600, "b", "2")).unwrap();
    let batch = builder.last_offset_delta(11).build().unwrap();
    assert_eq!((batch.delete_horizon(), batch.base_timestamp()), (Some(horizon), horizon));
    assert_eq!((batch.last_offset(), batch.max_timestamp()), (Offset::new(11), Timestamp::from_millis(600)));
    let places: Vec<_> = read(&batch).unwrap().iter().map(|(offset, timestamp, ..)| (*offset, *timestamp)).collect();
    assert_eq!(places, [(2, 400), (9, 600)]);
}

#[test]
fn a_delete_horizon_after_the_first_record_is_refused() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&keyed(1, "a", "1")).unwrap();
    let late = builder.delete_horizon(Timestamp::from_millis(9));
    assert_eq!(late.build(), Err(BuildError::LateDeleteHorizon));
}

#[test]
fn offsets_in_a_batch_rise_and_end_where_it_says() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push_at(5, &keyed(1, "a", "1")).unwrap();
    assert_eq!(builder.push_at(5, &keyed(1, "a", "1")), Err(BuildError::OffsetDelta { found: 5, min: 6 }));
    let past = builder.push_at(1 << 31, &keyed(1, "a", "1"));
    assert_eq!(past, Err(BuildError::OffsetDelta { found: 1 << 31, min: 6 }));
    let short = builder.clone().last_offset_delta(4).build();
    assert_eq!(short, Err(BuildError::LastOffsetDelta { asked: 4, last: 5 }));
    builder.push_at(i32::MAX as u32, &keyed(1, "z", "1")).unwrap();
    let full = BuildError::OffsetDelta { found: 1 << 31, min: 1 << 31 };
    assert_eq!(builder.push(&keyed(1, "a", "1")), Err(full), "a refused record leaves the rest");
    assert_eq!(read(&builder.build().unwrap()).unwrap().len(), 2);
}

#[test]
fn what_a_length_field_cannot_hold_is_refused_and_leaves_the_builder_as_it_was() {
    // Zeroed pages are never touched: the size is found before anything is copied.
    let huge = vec![0; i32::MAX as usize];
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&keyed(1, "a", "1")).unwrap();
    let size = builder.size();
    let refused = builder.push(&NewRecord::new(Timestamp::NONE, Some(&huge), Some(&huge)));
    assert!(matches!(refused, Err(BuildError::TooLarge { size }) if size > u64::from(u32::MAX)));
    assert_eq!((builder.size(), builder.record_count()), (size, 1));
    assert_eq!(read(&builder.build().unwrap()).unwrap().len(), 1);
}

#[test]
fn the_size_of_a_record_is_known_before_it_is_pushed() {
    let mut builder = BatchBuilder::new(Codec::None);
    for (index, length) in [0_usize, 1, 50, 64, 5000].into_iter().enumerate() {
        let value = vec![7; length];
        let headers: &[(&str, Option<&[u8]>)] = &[("h", None), ("other", Some(&value))];
        let timestamp = Timestamp::from_millis(1_000_000 - 777 * index as i64);
        let record = NewRecord { timestamp, key: None, value: Some(&value), headers };
        let (before, expected) = (builder.size(), builder.size_of(&record));
        builder.push(&record).unwrap();
        assert_eq!((builder.size() - before) as u64, expected, "value of {length} bytes");
    }
}

/// `batch` with the maximum timestamp that makes its checksum `wanted`.
fn with_checksum(batch: &Batch, wanted: u32) -> Batch {
    let of = |low: u32| altered(batch, |header| header.max_timestamp = i64::from(low));
    let start = of(0).header().crc;
    // A checksum is linear: each bit of the timestamp flips its own set of bits in it. Row by row, make one bit of
    // the checksum depend on one row only.
    let mut rows: Vec<(u32, u32)> = (0..32).map(|bit| (of(1 << bit).header().crc ^ start, 1 << bit)).collect();
    let (mut difference, mut timestamp) = (start ^ wanted, 0);
    while let Some((effect, bits)) = rows.pop() {
        let pivot = 1 << effect.trailing_zeros();
        for row in rows.iter_mut().filter(|row| row.0 & pivot != 0) {
            *row = (row.0 ^ effect, row.1 ^ bits);
        }
        if difference & pivot != 0 {
            (difference, timestamp) = (difference ^ effect, timestamp ^ bits);
        }
    }
    of(timestamp)
}

#[test]
fn a_checksum_of_any_value_is_a_checksum() {
    for wanted in [0, u32::MAX, 1] {
        let batch = with_checksum(&parse_hex(ONE_RECORD), wanted);
        assert_eq!(batch.header().crc, wanted);
        assert_eq!(Batch::parse(&batch.to_bytes()), Ok(batch));
    }
}

#[test]
fn the_check_value_of_the_checksum() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn what_is_cut_off_is_incomplete_at_every_length() {
    let good = bytes_of(IDEMPOTENT);
    for length in 0..good.len() {
        let error = Entry::parse(&good.slice(..length)).unwrap_err();
        assert!(matches!(error, BatchError::Incomplete { found, .. } if found == length as u64), "{length}: {error}");
    }
}

#[test]
fn a_codec_or_a_magic_that_means_nothing_is_refused() {
    for bits in 5..=7 {
        let mut bytes = bytes_of(ONE_RECORD).to_vec();
        bytes[22] = bits;
        assert_eq!(Batch::parse(&bytes.into()), Err(BatchError::UnsupportedCodec { codec: bits }));
    }
    for magic in [3, -1, 127, -128] {
        let mut bytes = bytes_of(ONE_RECORD).to_vec();
        bytes[16] = magic as u8;
        assert_eq!(Entry::parse(&bytes.into()), Err(BatchError::UnsupportedMagic { magic }));
    }
}

#[test]
fn counts_and_offsets_out_of_range_are_refused() {
    let refused = |at: usize, field: &[u8]| {
        let mut bytes = bytes_of(ONE_RECORD).to_vec();
        bytes[at..at + field.len()].copy_from_slice(field);
        Batch::parse(&bytes.into()).unwrap_err()
    };
    for count in [i32::MAX, 2, -1] {
        let error = refused(57, &count.to_be_bytes());
        assert_eq!(error, BatchError::InvalidRecordCount { count, offsets: 1 });
    }
    assert!(matches!(refused(23, &(-1_i32).to_be_bytes()), BatchError::InvalidOffset { .. }));
    assert!(matches!(refused(0, &(-1_i64).to_be_bytes()), BatchError::InvalidOffset { .. }));
    assert!(matches!(refused(0, &i64::MAX.to_be_bytes()), BatchError::InvalidOffset { .. }));
}

#[test]
fn the_records_of_a_plain_batch_share_its_bytes() {
    let batch = filled(BatchBuilder::new(Codec::None), 2);
    let records = batch.records(DecompressLimit(0)).unwrap();
    let first = records.iter().next().unwrap().unwrap();
    assert!(batch.body().as_ptr_range().contains(&first.value.unwrap().as_ptr()));
}
