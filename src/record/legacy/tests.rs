//! Formats 0 and 1, and the one of Kafka 0.7.

use super::*;
use crate::record::tests::{Shown, bytes_of, show, writable};
use crate::record::{BuildError, CodecError, Entry};

const LIMIT: DecompressLimit = DecompressLimit(1 << 20);
const V0: &str = "0000000000000003000000101fecd70a0000000000016b0000000176";
const V1: &str = "000000000000000300000018e4e321bc010000000000000003e8000000016b0000000176";

/// A message of key `k` and value `v`, dated a second later for each offset.
fn message(magic: LegacyMagic, offset: u64) -> NewMessage<'static> {
    NewMessage {
        magic,
        offset: Offset::new(offset),
        timestamp: Timestamp::from_millis(1000 * (1 + offset as i64)),
        timestamp_type: TimestampType::CreateTime,
        key: Some(b"k"),
        value: Some(b"v"),
    }
}

fn set(magic: LegacyMagic, offsets: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for offset in offsets {
        message(magic, *offset).append_to(&mut out).unwrap();
    }
    out
}

fn wrap(codec: Codec, magic: LegacyMagic, offset: u64, messages: &[u8]) -> Bytes {
    let mut out = Vec::new();
    message(magic, offset).append_wrapping(codec, messages, &mut out).unwrap();
    out.into()
}

fn read(bytes: &Bytes) -> Result<Vec<Shown>, RecordError> {
    show(&Entry::parse(bytes).unwrap().records(LIMIT)?)
}

fn offsets(bytes: &Bytes) -> Result<Vec<u64>, RecordError> {
    Ok(read(bytes)?.iter().map(|record| record.0).collect())
}

/// The codecs that were legal, of those that this build can write.
fn codecs() -> Vec<Codec> {
    writable().into_iter().filter(|codec| !matches!(codec, Codec::None | Codec::Zstd)).collect()
}

fn resealed(bytes: &[u8], alter: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = bytes.to_vec();
    alter(&mut bytes);
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn messages_have_the_listed_bytes() {
    for (magic, listed, timestamp) in [(LegacyMagic::V0, V0, -1), (LegacyMagic::V1, V1, 1000)] {
        let mut out = Vec::new();
        NewMessage { timestamp: Timestamp::from_millis(1000), ..message(magic, 3) }.append_to(&mut out).unwrap();
        assert_eq!(out, bytes_of(listed));
        let entry = Entry::parse(&bytes_of(listed)).unwrap();
        assert_eq!((entry.last_offset(), entry.next_offset()), (Offset::new(3), Offset::new(4)));
        assert_eq!((entry.base_offset(LIMIT), entry.size() as usize), (Ok(Offset::new(3)), out.len()));
        assert_eq!((entry.leader_epoch(), entry.producer(), entry.is_control()), (None, None, false));
        let record = (3, timestamp, Some(b"k".to_vec()), Some(b"v".to_vec()));
        assert_eq!(read(&bytes_of(listed)), Ok(vec![record]));
    }
    assert_eq!(Entry::parse(&bytes_of(V0)).unwrap().timestamp_type(), None);
    assert_eq!(Entry::parse(&bytes_of(V1)).unwrap().timestamp_type(), Some(TimestampType::CreateTime));
}

#[test]
fn null_and_empty_keys_and_values_are_told_apart() {
    for (key, value) in [(None, Some(&b""[..])), (Some(&b""[..]), None), (None, None)] {
        let mut out = Vec::new();
        NewMessage { key, value, ..message(LegacyMagic::V1, 0) }.append_to(&mut out).unwrap();
        let (.., found_key, found_value) = read(&out.into()).unwrap().remove(0);
        assert_eq!((found_key.as_deref(), found_value.as_deref()), (key, value));
    }
}

#[test]
fn fmt_24_a_compressed_message_of_format_1_counts_its_offsets_from_its_own() {
    for codec in codecs() {
        let bytes = wrap(codec, LegacyMagic::V1, 12, &set(LegacyMagic::V1, &[0, 1, 2]));
        assert_eq!(offsets(&bytes), Ok(vec![10, 11, 12]), "{codec:?}");
        let entry = Entry::parse(&bytes).unwrap();
        assert_eq!((entry.base_offset(LIMIT), entry.last_offset()), (Ok(Offset::new(10)), Offset::new(12)));
        assert_eq!((entry.codec(), entry.is_compressed()), (codec, true));
    }
}

#[test]
fn a_compressed_message_of_format_0_holds_absolute_offsets() {
    for codec in codecs() {
        let bytes = wrap(codec, LegacyMagic::V0, 12, &set(LegacyMagic::V0, &[7, 8, 12]));
        assert_eq!(offsets(&bytes), Ok(vec![7, 8, 12]), "{codec:?}");
        assert_eq!(Entry::parse(&bytes).unwrap().base_offset(LIMIT), Ok(Offset::new(7)));
    }
}

#[test]
fn gaps_that_compaction_left_in_a_compressed_message_stay() {
    for codec in codecs() {
        let bytes = wrap(codec, LegacyMagic::V1, 19, &set(LegacyMagic::V1, &[3, 9]));
        assert_eq!(offsets(&bytes), Ok(vec![13, 19]));
    }
}

#[test]
fn an_offset_of_zero_around_messages_is_that_of_an_old_librdkafka() {
    for codec in codecs() {
        for magic in [LegacyMagic::V0, LegacyMagic::V1] {
            let bytes = wrap(codec, magic, 0, &set(magic, &[0, 1, 2]));
            assert_eq!(offsets(&bytes), Ok(vec![0, 1, 2]), "{magic:?}");
        }
    }
}

#[test]
fn an_offset_smaller_than_the_last_one_inside_is_refused() {
    for codec in codecs() {
        let bytes = wrap(codec, LegacyMagic::V1, 1, &set(LegacyMagic::V1, &[0, 1, 2]));
        assert_eq!(offsets(&bytes), Err(RecordError::WrapperOffset { wrapper: 1, inner: 2 }));
        let bytes = wrap(codec, LegacyMagic::V0, 8, &set(LegacyMagic::V0, &[7, 9]));
        let fault = RecordFault::Offset { found: 9, min: 8, max: 8 };
        assert_eq!(offsets(&bytes), Err(RecordError::InvalidRecord { index: 1, fault }));
        let bytes = wrap(codec, LegacyMagic::V1, 9, &set(LegacyMagic::V1, &[1, 1]));
        assert!(matches!(offsets(&bytes), Err(RecordError::InvalidRecord { index: 1, .. })), "they rise");
    }
}

#[test]
fn the_date_of_the_leader_overrides_those_inside() {
    for codec in codecs() {
        let messages = set(LegacyMagic::V1, &[0, 1]);
        let dates = |timestamp_type| {
            let mut out = Vec::new();
            let wrapper = NewMessage { timestamp_type, ..message(LegacyMagic::V1, 41) };
            wrapper.append_wrapping(codec, &messages, &mut out).unwrap();
            read(&out.into()).unwrap().iter().map(|record| record.1).collect::<Vec<_>>()
        };
        assert_eq!(dates(TimestampType::CreateTime), [1000, 2000]);
        assert_eq!(dates(TimestampType::LogAppendTime), [42_000, 42_000]);
    }
}

#[test]
fn compression_inside_compression_is_refused() {
    for codec in codecs() {
        let inner = wrap(codec, LegacyMagic::V1, 0, &set(LegacyMagic::V1, &[0]));
        let bytes = wrap(codec, LegacyMagic::V1, 5, &inner);
        let nested = RecordError::InvalidRecord { index: 0, fault: RecordFault::Nested };
        assert_eq!(offsets(&bytes), Err(nested));
    }
}

#[test]
fn a_message_of_another_format_inside_is_refused() {
    for codec in codecs() {
        let mixed = [set(LegacyMagic::V1, &[0]), set(LegacyMagic::V0, &[1])].concat();
        let fault = RecordFault::Magic { found: 0, wrapper: 1 };
        assert_eq!(
            offsets(&wrap(codec, LegacyMagic::V1, 5, &mixed)),
            Err(RecordError::InvalidRecord { index: 1, fault })
        );
    }
}

#[test]
fn a_damaged_message_inside_is_refused() {
    for codec in codecs() {
        let good = set(LegacyMagic::V1, &[0, 1]);
        for length in 1..good.len() {
            let found = offsets(&wrap(codec, LegacyMagic::V1, 5, &good[..length]));
            let is_one_message = length == good.len() / 2;
            assert_eq!(found.is_ok(), is_one_message, "{length}");
        }
        let mut bad = good;
        *bad.last_mut().unwrap() ^= 1;
        let found = offsets(&wrap(codec, LegacyMagic::V1, 5, &bad));
        let is_checksum = |fault: &RecordFault| matches!(fault, RecordFault::Checksum { .. });
        assert!(matches!(&found, Err(RecordError::InvalidRecord { index: 1, fault }) if is_checksum(fault)));
    }
}

#[test]
fn a_compressed_message_around_nothing_is_refused() {
    for codec in codecs() {
        let empty = wrap(codec, LegacyMagic::V1, 5, &[]);
        assert_eq!(offsets(&empty), Err(RecordError::EmptyWrapper));
        let mut out = Vec::new();
        NewMessage { value: None, ..message(LegacyMagic::V1, 5) }.append_to(&mut out).unwrap();
        let null = resealed(&out, |bytes| bytes[17] |= codec.bits());
        assert_eq!(offsets(&null), Err(RecordError::EmptyWrapper));
        assert_eq!(Entry::parse(&null).unwrap().base_offset(LIMIT), Err(RecordError::EmptyWrapper));
    }
}

#[test]
fn the_limit_holds_inside_a_compressed_message() {
    for codec in codecs() {
        let messages = set(LegacyMagic::V1, &(0..100).collect::<Vec<_>>());
        let entry = Entry::parse(&wrap(codec, LegacyMagic::V1, 99, &messages)).unwrap();
        let limit = messages.len() - 1;
        let too_large = RecordError::Codec(CodecError::TooLarge { limit });
        assert_eq!(entry.records(DecompressLimit(limit)).unwrap_err(), too_large);
        assert_eq!(entry.base_offset(DecompressLimit(limit)), Err(too_large));
        assert!(entry.records(DecompressLimit(limit + 1)).is_ok());
    }
}

#[test]
fn fmt_25_a_wrong_checksum_is_corrupt() {
    for listed in [V0, V1] {
        let good = bytes_of(listed);
        for bit in 12 * 8..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = Entry::parse(&bad.into()).unwrap_err();
            // The magic byte and the lengths are looked at before the checksum.
            let is_structure = matches!(error, BatchError::InvalidFields) || bit / 8 == 16;
            assert!(matches!(error, BatchError::Corrupt { .. }) || is_structure, "bit {bit}: {error}");
        }
    }
}

#[test]
fn zstd_and_unknown_codecs_are_illegal() {
    for codec in [4, 5, 6, 7] {
        let bytes = resealed(&bytes_of(V1), |bytes| bytes[17] |= codec);
        assert_eq!(Entry::parse(&bytes), Err(BatchError::UnsupportedCodec { codec }));
    }
    let mut out = Vec::new();
    let refused = message(LegacyMagic::V1, 0).append_wrapping(Codec::Zstd, &[], &mut out);
    assert_eq!(refused, Err(BuildError::Codec(CodecError::Unsupported { codec: Codec::Zstd })));
    assert!(out.is_empty());
}

#[test]
fn lengths_and_offsets_out_of_range_are_refused() {
    for length in [13, 0, -1, i32::MIN] {
        let mut bytes = bytes_of(V1).to_vec();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(Entry::parse(&bytes.into()), Err(BatchError::InvalidLength { length, min: 14 }));
    }
    for offset in [-1, i64::MIN, i64::MAX] {
        let mut bytes = bytes_of(V1).to_vec();
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        let error = BatchError::InvalidOffset { base_offset: offset, last_offset_delta: 0 };
        assert_eq!(Entry::parse(&bytes.into()), Err(error));
    }
    for (at, length) in [(26, -2_i32), (26, 100), (31, i32::MAX), (31, 0)] {
        let bytes = resealed(&bytes_of(V1), |bytes| bytes[at..at + 4].copy_from_slice(&length.to_be_bytes()));
        assert_eq!(Entry::parse(&bytes), Err(BatchError::InvalidFields), "{length} at {at}");
    }
    assert_eq!(Entry::parse(&bytes_of(&"00".repeat(100))), Err(BatchError::InvalidLength { length: 0, min: 14 }));
}

#[test]
fn what_is_cut_off_is_incomplete_at_every_length() {
    for length in 0..bytes_of(V1).len() {
        let error = Entry::parse(&bytes_of(V1).slice(..length)).unwrap_err();
        assert!(matches!(error, BatchError::Incomplete { found, .. } if found == length as u64), "{length}: {error}");
    }
}

#[test]
fn a_message_of_kafka_0_7_has_the_listed_bytes() {
    let (mut magic_0, mut magic_1) = (Vec::new(), Vec::new());
    MessageV07::write_magic_0(b"v", &mut magic_0).unwrap();
    MessageV07::write(b"v", &mut magic_1).unwrap();
    assert_eq!(magic_0, bytes_of("00000006006b643b8476"));
    assert_eq!(magic_1, bytes_of("0000000701006b643b8476"));
    for bytes in [magic_0, magic_1] {
        let bytes = Bytes::from(bytes);
        let message = MessageV07::parse(&bytes).unwrap();
        assert_eq!((message.size() as usize, message.codec()), (bytes.len(), Codec::None));
        let payloads: Vec<_> = message.payloads(LIMIT).unwrap().collect();
        assert_eq!(payloads, [Ok(Bytes::from_static(b"v"))]);
        for length in 0..bytes.len() {
            let error = MessageV07::parse(&bytes.slice(..length)).unwrap_err();
            assert!(matches!(error, BatchError::Incomplete { .. }), "{length}: {error}");
        }
    }
}

#[test]
fn a_compressed_message_of_kafka_0_7_holds_its_payloads_in_order() {
    for codec in codecs().into_iter().filter(|codec| *codec != Codec::Lz4) {
        let mut inner = Vec::new();
        for payload in [&b"a"[..], b"", b"ccc"] {
            MessageV07::write(payload, &mut inner).unwrap();
        }
        let compressed = |inner: &[u8]| {
            let mut payload = Vec::new();
            codec.compress(None, inner, &mut payload).unwrap();
            let mut out = Vec::new();
            MessageV07::append(&[1, codec.bits()], &payload, &mut out).unwrap();
            out
        };
        let message = MessageV07::parse(&compressed(&inner).into()).unwrap();
        let payloads: Result<Vec<_>, _> = message.payloads(LIMIT).unwrap().collect();
        assert_eq!(payloads.unwrap(), [&b"a"[..], b"", b"ccc"]);
        assert!(message.payloads(DecompressLimit(inner.len() - 1)).is_err());

        let nested = MessageV07::parse(&compressed(&compressed(&inner)).into()).unwrap();
        let mut payloads = nested.payloads(LIMIT).unwrap();
        let refused = RecordError::InvalidRecord { index: 0, fault: RecordFault::Nested };
        assert_eq!((payloads.next(), payloads.next()), (Some(Err(refused)), None));

        let cut = MessageV07::parse(&compressed(&inner[..inner.len() - 1]).into()).unwrap();
        assert_eq!(cut.payloads(LIMIT).unwrap().filter(Result::is_err).count(), 1);
        let empty = MessageV07::parse(&compressed(&[]).into()).unwrap();
        assert_eq!(empty.payloads(LIMIT).err(), Some(RecordError::EmptyWrapper));
    }
}

#[test]
fn damage_to_a_message_of_kafka_0_7_is_found() {
    let good = bytes_of("0000000701006b643b8476");
    let with = |at: usize, field: &[u8]| {
        let mut bytes = good.to_vec();
        bytes[at..at + field.len()].copy_from_slice(field);
        MessageV07::parse(&bytes.into()).unwrap_err()
    };
    assert!(matches!(with(10, b"w"), BatchError::Corrupt { .. }));
    assert_eq!(with(4, &[2]), BatchError::UnsupportedMagic { magic: 2 });
    assert_eq!(with(5, &[3]), BatchError::UnsupportedCodec { codec: 3 });
    for length in [4, 0, -1, i32::MAX] {
        assert_eq!(with(0, &length.to_be_bytes()), BatchError::InvalidLength { length, min: 5 });
    }
    let no_checksum = MessageV07::parse(&bytes_of("000000050100000000"));
    assert_eq!(no_checksum, Err(BatchError::InvalidLength { length: 5, min: 6 }));
}
