use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const BASE: Offset = Offset::new(10);

fn aborted(id: i64, first: u64, last: u64, stable: u64) -> AbortedTxn {
    AbortedTxn {
        producer_id: ProducerId::new(id).unwrap(),
        first_offset: Offset::new(first),
        last_offset: Offset::new(last),
        last_stable_offset: Offset::new(stable),
    }
}

fn index_of(entries: &[AbortedTxn]) -> TxnIndex {
    let mut index = TxnIndex::new(BASE);
    for entry in entries {
        index.append(entry).unwrap();
    }
    index
}

#[test]
fn idx_09_the_offset_of_the_marker_must_rise() {
    let mut index = index_of(&[aborted(1, 0, 20, 5)]);
    for last in [20, 19] {
        let order = IndexError::OffsetOrder { entry: 1, last: Offset::new(20), found: Offset::new(last) };
        assert_eq!(index.append(&aborted(2, 5, last, 30)), Err(order));
    }
    assert_eq!(index.len(), 1);
    index.append(&aborted(2, 5, 21, 30)).unwrap();
    let below = IndexError::BelowBase { entry: 0, base: BASE, relative: -1 };
    assert_eq!(TxnIndex::new(BASE).append(&aborted(1, 0, 9, 10)), Err(below));
}

#[test]
fn idx_10_truncation_removes_the_markers_at_and_after_the_offset() {
    let all = [aborted(1, 0, 20, 5), aborted(2, 5, 25, 16), aborted(3, 15, 38, 30), aborted(4, 30, 50, 60)];
    for (to, kept) in [(51, 4), (50, 3), (39, 3), (38, 2), (26, 2), (20, 0), (0, 0)] {
        let mut index = index_of(&all);
        index.truncate_to(Offset::new(to));
        assert_eq!(index, index_of(&all[..kept]), "to {to}");
    }
}

#[test]
fn idx_11_the_order_still_holds_after_a_reload() {
    let index = index_of(&[aborted(1, 0, 20, 5)]);
    let mut index = TxnIndex::load(BASE, index.as_bytes()).unwrap();
    assert!(index.append(&aborted(2, 5, 20, 30)).is_err());
    index.append(&aborted(2, 5, 21, 30)).unwrap();
    assert_eq!(index.as_bytes().len(), 68);
    assert_eq!(index.as_bytes()[34..], aborted(2, 5, 21, 30).to_bytes());
}

#[test]
fn an_entry_stands_in_the_file_as_kafka_writes_it() {
    let hex = "0000000000000000002a0000000000000064000000000000006d000000000000006e";
    let written: String = aborted(42, 100, 109, 110).to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, hex);
}

#[test]
fn a_damaged_file_is_refused_with_its_first_bad_entry() {
    let mut bytes = aborted(1, 0, 20, 5).to_bytes();
    assert_eq!(TxnIndex::load(BASE, &bytes[1..]), Err(IndexError::Length { bytes: 33, entry_bytes: 34 }));
    bytes[1] = 1;
    assert_eq!(TxnIndex::load(BASE, &bytes), Err(IndexError::Version { entry: 0, found: 1 }));
    bytes[1] = 0;
    for at in [2, 10, 18, 26] {
        let mut bytes = bytes;
        bytes[at] = 0x80;
        assert!(matches!(TxnIndex::load(BASE, &bytes), Err(IndexError::Negative { entry: 0, .. })), "{at}");
    }
    assert!(matches!(TxnIndex::load(BASE, &[bytes, bytes].concat()), Err(IndexError::OffsetOrder { entry: 1, .. })));
}

#[test]
fn a_reader_is_told_of_the_transactions_that_touch_what_it_reads() {
    let all = [aborted(1, 10, 20, 15), aborted(2, 15, 25, 16), aborted(3, 16, 38, 39), aborted(4, 45, 50, 60)];
    let index = index_of(&all);
    let collect = |from, upper| index.collect(Offset::new(from), Offset::new(upper));
    assert_eq!(collect(0, 100), (all.to_vec(), false));
    assert_eq!(collect(0, 60), (all.to_vec(), true));
    assert_eq!(collect(0, 39), (all[..3].to_vec(), true));
    assert_eq!(collect(0, 16), (all[..2].to_vec(), true), "the third begins only there");
    assert_eq!(collect(21, 17), (all[1..3].to_vec(), true), "the first ended before");
    assert_eq!(collect(51, 60), (vec![], true));
    assert_eq!(collect(51, 61), (vec![], false), "a later segment may hold more");
}

proptest! {
    #[test]
    fn what_is_in_the_file_is_what_was_appended(
        fields in vec((0i64..5, 0u64..100, 1u64..10, 0u64..200), 0..20), cut in 0u64..200,
    ) {
        let mut last = 10;
        let mut all = Vec::new();
        for (id, first, gap, stable) in fields {
            last += gap;
            all.push(aborted(id, first, last, stable));
        }
        let mut index = index_of(&all);
        prop_assert_eq!(TxnIndex::load(BASE, index.as_bytes()), Ok(index.clone()));
        index.truncate_to(Offset::new(cut));
        all.retain(|entry| entry.last_offset.get() < cut);
        prop_assert_eq!(&index, &index_of(&all));
        prop_assert_eq!(index.entries(), all.as_slice());
    }
}
