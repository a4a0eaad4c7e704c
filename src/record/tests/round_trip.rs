//! What goes in comes out, whatever it is; what came out goes in again as the same bytes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::offset::Offset;

type Owned = (i64, u32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn slice() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(prop_oneof![vec(any::<u8>(), 0..8), vec(any::<u8>(), 60..70), vec(0..3_u8, 200..300)])
}

fn record() -> impl Strategy<Value = Owned> {
    let timestamp = prop_oneof![Just(-1), 0..10_000_i64, any::<i64>()];
    let header = ("[a-zé]{0,4}", slice());
    (timestamp, 0..300_u32, slice(), slice(), vec(header, 0..4))
}

/// Builds a batch of `records`, each after a gap, and returns it with their offset deltas.
fn build(codec: Codec, records: &[Owned]) -> (Batch, Vec<u32>) {
    let mut builder = BatchBuilder::new(codec);
    let mut deltas = Vec::new();
    for (timestamp, gap, key, value, headers) in records {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let timestamp = Timestamp::from_millis(*timestamp);
        let (key, value) = (key.as_deref(), value.as_deref());
        let delta = deltas.last().map_or(*gap, |last| last + 1 + gap);
        builder.push_at(delta, &NewRecord { timestamp, key, value, headers: &headers }).unwrap();
        deltas.push(delta);
    }
    (builder.build().unwrap(), deltas)
}

fn rebuild(batch: &Batch) -> Batch {
    let records = batch.records(DecompressLimit::default()).unwrap();
    let mut builder = BatchBuilder::rewriting(batch, batch.codec()).last_offset_delta(batch.last_offset_delta());
    for record in &records {
        let record = record.unwrap();
        builder.push_record_at(record.offset.relative_to(batch.base_offset()).unwrap(), &record).unwrap();
    }
    builder.build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_read_back_as_they_were_built(codec in prop::sample::select(writable()), records in vec(record(), 1..20), base in 0..1_u64 << 40) {
        let (batch, deltas) = build(codec, &records);
        let stamped = batch.stamped(Offset::new(base), None).unwrap();
        let parsed = Batch::parse(&stamped.to_bytes()).unwrap();
        prop_assert_eq!(&parsed, &stamped);
        let largest = records.iter().map(|record| record.0).max().unwrap_or(-1).max(-1);
        prop_assert_eq!(parsed.max_timestamp().as_millis(), largest);
        let read = parsed.records(DecompressLimit::default()).unwrap();
        let mut found = read.iter();
        for ((timestamp, _, key, value, headers), delta) in records.iter().zip(&deltas) {
            let record = found.next().unwrap().unwrap();
            prop_assert_eq!(record.offset.get(), base + u64::from(*delta));
            prop_assert_eq!(record.timestamp.as_millis(), *timestamp);
            prop_assert_eq!((record.key, record.value), (key.as_deref(), value.as_deref()));
            prop_assert!(record.headers.iter().eq(headers.iter().map(|(key, value)| (key.as_str(), value.as_deref()))));
        }
        prop_assert!(found.next().is_none());
        prop_assert_eq!(rebuild(&batch), batch, "the same records make the same bytes");
    }

    #[test]
    fn both_decoders_agree(records in vec(record(), 1..6), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let (batch, _) = build(Codec::None, &records);
        let mut bytes = batch.to_bytes().to_vec();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        // A checksum that is right lets the damage through to the records.
        let crc = crc32c(&bytes[Header::CHECKED_FROM..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let bytes = Bytes::from(bytes);
        let plain = Batch::parse(&bytes).ok().filter(|batch| batch.codec() == Codec::None);
        prop_assert_eq!(plain.and_then(|batch| read(&batch).ok()), naive::decode(&bytes));
    }
}
