use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::log::producers::{Content, ProducerBatch, Verdict};
use crate::record::{Origin, ProducerStamp};

/// Of format.md, section 7: (42, epoch 3, sequence 14, offset 109, delta 4, time 1000, coordinator 9, none open) and
/// (43, epoch 0, sequence 0, offset 110, delta 0, time 1001, coordinator none, open since 110).
const TWO: &str = "00010f10fd0900000002000000000000002a00030000000e000000000000006d0000000400000000000003e800000009\
                   ffffffffffffffff000000000000002b000000000000000000000000006e0000000000000000000003e9ffffffff\
                   000000000000006e";

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn id(number: i64) -> ProducerId {
    ProducerId::new(number).unwrap()
}

/// `bytes` with `change` made to it and the checksum mended.
fn changed(mut bytes: Vec<u8>, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut bytes);
    let crc = crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn a_snapshot_stands_in_the_file_as_kafka_writes_it() {
    let snapshot = ProducerSnapshot::parse(&bytes_of(TWO)).unwrap();
    let [(first_id, first), (second_id, second)] = snapshot.entries().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((first_id, second_id), (id(42), id(43)));
    assert_eq!(first.epoch(), ProducerEpoch::new(3));
    assert_eq!(first.coordinator_epoch(), LeaderEpoch::from_i32(9));
    assert_eq!(first.open_transaction(), None);
    let batch = first.batches()[0];
    assert_eq!((batch.base_sequence(), batch.last_sequence), (Sequence::new(10), Sequence::new(14)));
    assert_eq!((batch.base_offset().get(), batch.last_offset.get()), (105, 109));
    assert_eq!(second.coordinator_epoch(), None);
    assert_eq!(second.open_transaction(), Some(Offset::new(110)));
    assert_eq!(snapshot.to_bytes(), bytes_of(TWO));
}

#[test]
fn pid_09_the_state_read_back_has_the_same_epochs_last_sequences_and_open_transactions() {
    let snapshot = ProducerSnapshot::parse(&bytes_of(TWO)).unwrap();
    let state = snapshot.into_state(Offset::new(111), UnknownProducer::Accept, Timestamp::from_millis(2000), 10_000);
    assert_eq!(state.end(), Offset::new(111));
    assert_eq!(state.open_transactions().collect::<Vec<_>>(), [(Offset::new(110), id(43))]);
    assert_eq!(state.entry(id(42)).unwrap().last_sequence(), Sequence::new(14));
    assert_eq!(ProducerSnapshot::encode(&state), bytes_of(TWO));
}

#[test]
fn an_idle_producer_is_not_read_back_unless_its_transaction_is_open() {
    let snapshot = ProducerSnapshot::parse(&bytes_of(TWO)).unwrap();
    let state = snapshot.into_state(Offset::new(111), UnknownProducer::Accept, Timestamp::from_millis(11_001), 10_000);
    assert_eq!(state.entries().map(|(id, _)| id).collect::<Vec<_>>(), [id(43)]);
}

#[test]
fn pid_10_no_snapshot_is_taken_where_the_last_one_was() {
    let state = ProducerState::new(Offset::new(5), UnknownProducer::Accept);
    assert_eq!(ProducerSnapshot::encode_after(&state, Some(Offset::new(5))), None);
    assert!(ProducerSnapshot::encode_after(&state, Some(Offset::new(4))).is_some());
    assert!(ProducerSnapshot::encode_after(&state, None).is_some());
}

#[test]
fn only_the_last_of_the_remembered_batches_survives() {
    let mut state = ProducerState::new(Offset::ZERO, UnknownProducer::Accept);
    for at in 0..3u64 {
        let batch = ProducerBatch {
            base_offset: Offset::new(at),
            last_offset: Offset::new(at),
            max_timestamp: Timestamp::from_millis(at as i64),
            producer: Some(ProducerStamp {
                id: id(1),
                epoch: ProducerEpoch::new(0),
                base_sequence: Sequence::new(at as i32),
            }),
            content: Content::Plain,
        };
        let Ok(Verdict::Append(change)) = state.check([batch], Origin::Client) else { panic!("{at} is refused") };
        state.apply(change);
    }
    assert_eq!(state.entry(id(1)).unwrap().batches().len(), 3);
    let snapshot = ProducerSnapshot::parse(&ProducerSnapshot::encode(&state)).unwrap();
    let (_, entry) = snapshot.entries().next().unwrap();
    assert_eq!(entry.batches(), &state.entry(id(1)).unwrap().batches()[2..]);
}

#[test]
fn no_producers_are_a_snapshot_too() {
    let empty = ProducerSnapshot::default().to_bytes();
    assert_eq!(empty.len(), 10);
    assert_eq!(ProducerSnapshot::parse(&empty), Ok(ProducerSnapshot::default()));
}

#[test]
fn a_damaged_snapshot_is_refused_with_what_is_wrong() {
    let two = bytes_of(TWO);
    assert_eq!(ProducerSnapshot::parse(&[]), Err(SnapshotError::Short { found: 0 }));
    assert_eq!(ProducerSnapshot::parse(&two[..9]), Err(SnapshotError::Short { found: 9 }));
    for version in [0, 2, 255] {
        let other = changed(two.clone(), |bytes| bytes[1] = version);
        assert_eq!(ProducerSnapshot::parse(&other), Err(SnapshotError::Version { found: i16::from(version) }));
    }
    for at in 2..two.len() {
        let mut flipped = two.clone();
        flipped[at] ^= 1;
        assert!(matches!(ProducerSnapshot::parse(&flipped), Err(SnapshotError::Corrupt { .. })), "byte {at}");
    }
    let cut = changed(two.clone(), |bytes| bytes.truncate(56));
    assert_eq!(ProducerSnapshot::parse(&cut), Err(SnapshotError::Count { count: 2, found: 46 }));
    let longer = changed(two.clone(), |bytes| bytes.push(0));
    assert_eq!(ProducerSnapshot::parse(&longer), Err(SnapshotError::Count { count: 2, found: 93 }));
    for count in [-1, 1, 3, i32::MAX] {
        let other = changed(two.clone(), |bytes| bytes[6..10].copy_from_slice(&count.to_be_bytes()));
        assert_eq!(ProducerSnapshot::parse(&other), Err(SnapshotError::Count { count, found: 92 }));
    }
}

#[test]
fn an_entry_that_cannot_be_is_refused() {
    let parse = |at: usize, value: &[u8]| {
        let change = |bytes: &mut Vec<u8>| bytes[at..at + value.len()].copy_from_slice(value);
        ProducerSnapshot::parse(&changed(bytes_of(TWO), change)).unwrap_err()
    };
    let second = 10 + 46;
    let field = |entry, field, found| SnapshotError::Field { entry, field, found };
    assert_eq!(parse(10, &(-1i64).to_be_bytes()), field(0, "the producer id", -1));
    assert_eq!(parse(second + 22, &(-1i32).to_be_bytes()), field(1, "the offset delta", -1));
    assert_eq!(parse(second + 22, &111i32.to_be_bytes()), field(1, "the offset delta", 111));
    assert_eq!(parse(second, &42i64.to_be_bytes()), SnapshotError::SecondEntry { entry: 1, producer_id: id(42) });
    let shared = SnapshotError::SecondTransaction { entry: 1, first_offset: Offset::new(110) };
    assert_eq!(parse(10 + 38, &110i64.to_be_bytes()), shared);
}

proptest! {
    /// Any entries: refused, or the same after they have been written again.
    #[test]
    fn a_snapshot_is_refused_or_reads_back(mut bytes in vec(any::<u8>(), 0..3 * 46)) {
        bytes.truncate(bytes.len() / 46 * 46);
        let count = (bytes.len() / 46) as i32;
        let front: Vec<u8> = [&[0, 1, 0, 0, 0, 0], &count.to_be_bytes()[..], &bytes].concat();
        let whole = changed(front, |_| {});
        if let Ok(snapshot) = ProducerSnapshot::parse(&whole) {
            prop_assert_eq!(ProducerSnapshot::parse(&snapshot.to_bytes()), Ok(snapshot));
        }
    }
}
