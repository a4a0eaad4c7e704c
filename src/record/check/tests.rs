//! What a topic takes, what it refuses, and what it makes of a batch.

use super::*;
use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::id::ProducerId;
use crate::record::tests::{altered, filled, keyed, of_payload, read, with_count, writable};
use crate::record::{
    BuildError, CodecError, NewRecord, ProducerStamp, RecordFault, TransactionMarker, TransactionResult,
};

const NOW: Timestamp = Timestamp::from_millis(10_000);

fn plain(count: u32) -> Batch {
    filled(BatchBuilder::new(Codec::None), count)
}

fn dated(timestamps: &[i64]) -> Batch {
    let mut builder = BatchBuilder::new(Codec::None);
    for timestamp in timestamps {
        builder.push(&keyed(*timestamp, "k", "v")).unwrap();
    }
    builder.build().unwrap()
}

fn check(batch: &Batch, rules: &Rules) -> Result<Batch, CheckError> {
    let before = batch.to_bytes();
    let checked = batch.check(rules, NOW);
    assert_eq!(batch.to_bytes(), before, "a check changes nothing");
    let batch = checked?.into_batch();
    assert_eq!(Batch::parse(&batch.to_bytes()).as_ref(), Ok(&batch), "its checksum is right");
    assert!(read(&batch).is_ok());
    Ok(batch)
}

fn refused(batch: &Batch) -> CheckError {
    check(batch, &Rules::default()).unwrap_err()
}

fn producer(base_sequence: Option<Sequence>) -> ProducerStamp {
    ProducerStamp { id: ProducerId::new(7).unwrap(), epoch: ProducerEpoch::new(0), base_sequence }
}

fn marker() -> Batch {
    let marker = TransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 1 };
    marker.to_batch(ProducerId::new(7).unwrap(), ProducerEpoch::ZERO, NOW).unwrap()
}

fn is_shared(one: &Batch, other: &Batch) -> bool {
    one.body().as_ptr() == other.body().as_ptr()
}

/// Two codecs that this build can write, neither of them none.
fn two_codecs() -> Option<(Codec, Codec)> {
    let codecs = writable();
    Some((*codecs.get(1)?, *codecs.get(2)?))
}

#[test]
fn what_needs_no_change_is_not_copied() {
    for codec in writable() {
        let batch = filled(BatchBuilder::new(codec).producer(producer(Some(Sequence::ZERO))), 5);
        let checked = batch.check(&Rules::default(), NOW).unwrap();
        assert!(is_shared(checked.batch(), &batch), "{codec:?}");
        assert_eq!((checked.batch(), checked.origin()), (&batch, Origin::Client));
    }
}

#[test]
fn val_01_a_clients_batch_begins_at_offset_0() {
    let batch = plain(2).stamped(Offset::new(3), None).unwrap();
    assert_eq!(refused(&batch), CheckError::BaseOffset { found: Offset::new(3) });
    let rules = Rules { origin: Origin::Coordinator, ..Rules::default() };
    assert!(check(&batch, &rules).is_ok());
}

#[test]
fn val_02_a_clients_batch_has_as_many_records_as_offsets() {
    let gap = altered(&plain(3), |header| header.last_offset_delta = 3);
    assert_eq!(refused(&gap), CheckError::CountMismatch { count: 3, offsets: 4 });
}

#[test]
fn val_03_only_one_batch_is_taken_at_a_time() {
    let two = [plain(1), plain(1)];
    assert_eq!(check_all(&two, &Rules::default(), NOW), Err(CheckError::OnlyOneBatch { found: 2 }));
    assert_eq!(check_all(&two[..1], &Rules::default(), NOW).unwrap().len(), 1);
    let rules = Rules { origin: Origin::Replication, ..Rules::default() };
    assert_eq!(check_all(&two, &rules, NOW).unwrap().len(), 2);
}

#[test]
fn val_04_a_client_writes_no_control_batch() {
    assert_eq!(refused(&marker()), CheckError::ControlFromClient);
    let rules = Rules { origin: Origin::Coordinator, compacted: true, ..Rules::default() };
    assert_eq!(check(&marker(), &rules), Ok(marker()));
}

#[test]
fn val_05_a_clients_batch_has_records() {
    let empty = BatchBuilder::new(Codec::None).last_offset_delta(0).build().unwrap();
    assert_eq!(refused(&empty), CheckError::NoRecords);
    let rules = Rules { origin: Origin::Coordinator, ..Rules::default() };
    assert_eq!(check(&empty, &rules), Ok(empty));
}

#[test]
fn val_06_a_compacted_topic_wants_keys_and_names_the_records_without() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&keyed(1, "a", "1")).unwrap();
    builder.push(&NewRecord::new(NOW, None, Some(b"2"))).unwrap();
    builder.push(&NewRecord::new(NOW, Some(b""), None)).unwrap();
    let batch = builder.build().unwrap();
    let rules = Rules { compacted: true, ..Rules::default() };
    let listed = vec![Refused { index: 1, reason: Refusal::NullKey }];
    assert_eq!(check(&batch, &rules), Err(CheckError::InvalidRecords { refused: listed, count: 1 }));
    assert!(check(&batch, &Rules::default()).is_ok());
}

#[test]
fn val_07_a_date_too_far_ahead_is_refused() {
    let rules = Rules { timestamp_after_max_ms: 1000, ..Rules::default() };
    let (timestamp, limit_ms) = (Timestamp::from_millis(11_001), 1000);
    let reason = Refusal::TooNew { timestamp, now: NOW, limit_ms };
    let listed = vec![Refused { index: 1, reason }];
    let found = check(&dated(&[11_000, 11_001]), &rules);
    assert_eq!(found, Err(CheckError::InvalidTimestamp { refused: listed, count: 1 }));
    assert!(check(&dated(&[11_000]), &rules).is_ok());
    assert!(check(&dated(&[i64::MAX]), &rules).is_err());
    assert!(check(&dated(&[i64::MAX]), &Rules { timestamp_after_max_ms: i64::MAX, ..rules }).is_ok());
}

#[test]
fn val_08_a_date_too_far_back_is_refused() {
    let rules = Rules { timestamp_before_max_ms: 1000, ..Rules::default() };
    let (timestamp, limit_ms) = (Timestamp::from_millis(8_999), 1000);
    let listed = vec![Refused { index: 0, reason: Refusal::TooOld { timestamp, now: NOW, limit_ms } }];
    let found = check(&dated(&[8_999, 9_000]), &rules);
    assert_eq!(found, Err(CheckError::InvalidTimestamp { refused: listed, count: 1 }));
    assert!(check(&dated(&[9_000, -1]), &rules).is_ok(), "and no date is none");
    assert!(check(&dated(&[i64::MIN]), &rules).is_err());
}

#[test]
fn val_09_only_a_leader_sets_log_append_time() {
    let batch = filled(BatchBuilder::new(Codec::None).log_append_time(NOW), 2);
    let rules = Rules { timestamp_type: TimestampType::LogAppendTime, ..Rules::default() };
    let Err(CheckError::InvalidTimestamp { refused, count: 2 }) = check(&batch, &rules) else { panic!() };
    assert!(refused.iter().all(|refused| refused.reason == Refusal::AppendTimeFromClient));

    let stored = check(&batch, &Rules::default()).unwrap();
    assert_eq!(stored.timestamp_type(), TimestampType::CreateTime, "elsewhere the bit is taken away");
    assert_eq!(stored.max_timestamp(), NOW, "but what it said of the dates stays, as in Kafka 4.3");
    let undated = altered(&dated(&[-1]), |header| {
        header.attributes = header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
    });
    assert!(matches!(check(&undated, &Rules::default()), Err(CheckError::InvalidTimestamp { .. })));
}

#[test]
fn val_10_another_codec_than_the_topics_is_replaced() {
    for from in writable() {
        for to in writable() {
            let batch = filled(BatchBuilder::new(from).producer(producer(Some(Sequence::ZERO))).transactional(), 20);
            let stored = check(&batch, &Rules { codec: TopicCodec::Fixed(to), ..Rules::default() }).unwrap();
            assert_eq!(stored.codec(), to);
            assert_eq!(read(&stored), read(&batch), "{from:?} to {to:?}");
            assert_eq!((stored.producer(), stored.is_transactional()), (batch.producer(), true));
            assert_eq!(stored.max_timestamp(), batch.max_timestamp());
        }
    }
}

#[test]
fn val_11_another_level_than_the_topics_is_kept() {
    if !cfg!(feature = "gzip") {
        return;
    }
    let batch = filled(BatchBuilder::new(Codec::Gzip).level(9), 200);
    let codec = TopicCodec::Fixed(Codec::Gzip);
    let stored = check(&batch, &Rules { codec, level: Some(1), ..Rules::default() }).unwrap();
    assert!(is_shared(&stored, &batch));
    let now = Rules { codec, level: Some(1), timestamp_type: TimestampType::LogAppendTime, ..Rules::default() };
    assert_eq!(check(&batch, &now).unwrap().payload(), batch.payload(), "also where the header changes");
}

#[test]
fn val_12_a_batch_that_grows_beyond_the_limit_when_it_is_stored_is_refused() {
    let Some((codec, _)) = two_codecs() else { return };
    let batch = filled(BatchBuilder::new(codec), 200);
    let limit = batch.size();
    let rules = Rules { codec: TopicCodec::Fixed(Codec::None), max_batch_bytes: limit, ..Rules::default() };
    let size = plain(200).size();
    assert_eq!(check(&batch, &rules), Err(CheckError::MessageTooLarge { size, limit }));
    assert!(check(&batch, &Rules { max_batch_bytes: size, ..rules }).is_ok());
    let limit = limit - 1;
    let as_sent = check(&batch, &Rules { codec: TopicCodec::Producer, max_batch_bytes: limit, ..rules });
    assert_eq!(as_sent, Err(CheckError::MessageTooLarge { size: batch.size(), limit }));
}

#[test]
fn val_13_a_follower_takes_what_its_leader_took() {
    let batch = plain(20).stamped(Offset::new(7), Some(LeaderEpoch::ZERO)).unwrap();
    let rules = Rules {
        origin: Origin::Replication,
        max_batch_bytes: 1,
        compacted: true,
        timestamp_type: TimestampType::LogAppendTime,
        timestamp_before_max_ms: 0,
        codec: TopicCodec::Fixed(Codec::Zstd),
        ..Rules::default()
    };
    assert!(is_shared(&check(&batch, &rules).unwrap(), &batch));
    let emptied = batch.emptied();
    assert_eq!(check(&emptied, &rules), Ok(emptied));
}

#[test]
fn an_invalid_timestamp_wins_and_all_refused_records_are_listed() {
    let mut builder = BatchBuilder::new(Codec::None);
    for (timestamp, key) in [(0, None), (10_000, None), (0, Some(&b"k"[..]))] {
        builder.push(&NewRecord::new(Timestamp::from_millis(timestamp), key, None)).unwrap();
    }
    let rules = Rules { compacted: true, timestamp_before_max_ms: 1, ..Rules::default() };
    let found = check(&builder.build().unwrap(), &rules).unwrap_err();
    assert!(found.to_string().contains("record 0: it has no key"), "{found}");
    let CheckError::InvalidTimestamp { refused, count: 4 } = found else { panic!() };
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [0, 0, 1, 2]);
}

#[test]
fn the_list_of_refused_records_is_bounded() {
    let mut builder = BatchBuilder::new(Codec::None);
    for _ in 0..3000 {
        builder.push(&NewRecord::new(NOW, None, None)).unwrap();
    }
    let rules = Rules { compacted: true, ..Rules::default() };
    let Err(CheckError::InvalidRecords { refused, count: 3000 }) = check(&builder.build().unwrap(), &rules) else {
        panic!()
    };
    assert_eq!(refused.len(), CheckError::REFUSED_MAX);
}

#[test]
fn a_largest_timestamp_that_is_not_that_of_the_records_is_corrected() {
    let batch = dated(&[500, 900, 700]);
    for claimed in [0, 901, i64::MAX, -1] {
        let wrong = altered(&batch, |header| header.max_timestamp = claimed);
        assert_eq!(check(&wrong, &Rules::default()), Ok(batch.clone()));
    }
    assert_eq!(check(&dated(&[-1, -1]), &Rules::default()).unwrap().max_timestamp(), Timestamp::NONE);
}

#[test]
fn the_leaders_date_is_set_in_place_and_the_deltas_are_kept() {
    let rules = Rules { timestamp_type: TimestampType::LogAppendTime, ..Rules::default() };
    for codec in writable() {
        let batch = filled(BatchBuilder::new(codec), 3);
        let stored = check(&batch, &rules).unwrap();
        assert_eq!((stored.payload(), stored.base_timestamp()), (batch.payload(), batch.base_timestamp()));
        assert!(read(&stored).unwrap().iter().all(|record| record.1 == NOW.as_millis()));
    }
}

#[test]
fn the_leaders_date_is_set_also_in_what_is_compressed_anew() {
    let Some((codec, _)) = two_codecs() else { return };
    let timestamp_type = TimestampType::LogAppendTime;
    let rules = Rules { timestamp_type, codec: TopicCodec::Fixed(codec), ..Rules::default() };
    let stored = check(&plain(3), &rules).unwrap();
    assert_eq!((stored.codec(), stored.timestamp_type(), stored.max_timestamp()), (codec, timestamp_type, NOW));
}

#[test]
fn a_plain_control_batch_is_never_compressed() {
    let Some((codec, _)) = two_codecs() else { return };
    let rules = Rules { origin: Origin::Coordinator, codec: TopicCodec::Fixed(codec), ..Rules::default() };
    let marker = marker();
    assert!(is_shared(&check(&marker, &rules).unwrap(), &marker));
    let mut builder = BatchBuilder::new(codec).control();
    builder.push(&NewRecord::new(NOW, Some(&[0, 0, 0, 2]), None)).unwrap();
    let plain = Rules { codec: TopicCodec::Fixed(Codec::None), ..rules };
    assert_eq!(check(&builder.build().unwrap(), &plain).unwrap().codec(), Codec::None, "a compressed one may change");
}

#[test]
fn records_that_do_not_stand_at_their_own_numbers_are_written_anew() {
    for codec in writable() {
        let mut builder = BatchBuilder::new(codec);
        for (delta, key) in [(2, "a"), (5, "b"), (6, "c")] {
            builder.push_at(delta, &keyed(9, key, "v")).unwrap();
        }
        let batch = altered(&builder.build().unwrap(), |header| header.last_offset_delta = 2);
        assert!(read(&batch).is_err(), "as it is, no one reads it");
        let stored = check(&batch, &Rules::default()).unwrap();
        assert_eq!(stored.codec(), codec);
        assert_eq!(read(&stored).unwrap().iter().map(|record| record.0).collect::<Vec<_>>(), [0, 1, 2]);
    }
}

#[test]
fn a_sequence_and_a_producer_come_together() {
    let no_sequence = filled(BatchBuilder::new(Codec::None).producer(producer(None)), 1);
    assert_eq!(refused(&no_sequence), CheckError::NoSequence);
    let no_producer = altered(&plain(1), |header| header.base_sequence = 0);
    assert_eq!(refused(&no_producer), CheckError::SequenceWithoutProducer);
    let nobodys = filled(BatchBuilder::new(Codec::None).transactional(), 1);
    assert_eq!(refused(&nobodys), CheckError::TransactionalWithoutProducer);
    let rules = Rules { origin: Origin::Coordinator, ..Rules::default() };
    for batch in [no_sequence, no_producer] {
        assert_eq!(check(&batch, &rules), Ok(batch), "a coordinator writes such batches");
    }
}

#[test]
fn what_a_coordinator_writes_keeps_its_sequence_when_it_is_compressed() {
    let Some((codec, _)) = two_codecs() else { return };
    let batch = altered(&plain(2), |header| header.base_sequence = 0);
    let rules = Rules { origin: Origin::Coordinator, codec: TopicCodec::Fixed(codec), ..Rules::default() };
    assert_eq!(check(&batch, &rules).unwrap().header().base_sequence, 0);
}

#[test]
fn bits_that_a_client_cannot_mean_are_refused() {
    for bit in [0x80, 0x100, 0x8000] {
        let batch = altered(&plain(1), |header| header.attributes = Attributes::from_bits(bit));
        assert_eq!(refused(&batch), CheckError::UnknownAttributes { bits: bit });
    }
    let horizon = filled(BatchBuilder::new(Codec::None).delete_horizon(NOW), 1);
    assert_eq!(refused(&horizon), CheckError::DeleteHorizonFromClient);
}

#[test]
fn records_that_cannot_be_read_are_refused() {
    let leftover = of_payload(1, &[12, 0, 0, 0, 1, 1, 0, 9]);
    assert_eq!(refused(&leftover), CheckError::Records(RecordError::Leftover { bytes: 1 }));
    let too_few = of_payload(2, &[12, 0, 0, 0, 1, 1, 0]);
    assert_eq!(refused(&too_few), CheckError::Records(RecordError::TooFewRecords { expected: 2, found: 1 }));
    let broken = of_payload(1, &[12, 0, 0, 0, 3, 1, 0]);
    let fault = RecordFault::KeyLength { length: -2 };
    assert_eq!(refused(&broken), CheckError::Records(RecordError::InvalidRecord { index: 0, fault }));
    for codec in writable().into_iter().skip(1) {
        let cut_count = with_count(&filled(BatchBuilder::new(codec), 3), 2);
        let cut_count = altered(&cut_count, |header| header.last_offset_delta = 1);
        assert!(matches!(refused(&cut_count), CheckError::Records(RecordError::Leftover { .. })), "{codec:?}");
    }
}

#[test]
fn a_batch_that_is_too_large_decompressed_is_refused() {
    for codec in writable().into_iter().skip(1) {
        let batch = filled(BatchBuilder::new(codec), 300);
        let rules = Rules { decompress_limit: DecompressLimit(1000), ..Rules::default() };
        let too_large = RecordError::Codec(CodecError::TooLarge { limit: 1000 });
        assert_eq!(check(&batch, &rules), Err(CheckError::Records(too_large)));
    }
}

#[test]
fn a_codec_that_this_build_cannot_write_is_an_error_of_the_rebuild() {
    let codecs = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    for codec in codecs.into_iter().filter(|codec| !writable().contains(codec)) {
        let rules = Rules { codec: TopicCodec::Fixed(codec), ..Rules::default() };
        let unsupported = BuildError::Codec(CodecError::Unsupported { codec });
        assert_eq!(check(&plain(1), &rules), Err(CheckError::Rebuild(unsupported)));
    }
}
