use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

const BASE: Offset = Offset::new(45);

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// An index of `pairs` of (timestamp, relative offset).
fn index_of(pairs: &[(i64, u64)]) -> TimeIndex {
    let mut index = TimeIndex::new(BASE, 12 * 1000);
    for (timestamp, relative) in pairs {
        assert_eq!(index.maybe_append(at(*timestamp), BASE.advance(*relative)), Ok(true));
    }
    index
}

#[test]
fn idx_06_lookup_gives_the_greatest_entry_at_or_below_the_timestamp() {
    let index = index_of(&[(10, 10), (20, 20), (30, 30)]);
    assert_eq!(index_of(&[]).lookup(at(i64::MAX)), (Timestamp::NONE, BASE));
    assert_eq!(index.lookup(at(9)), (Timestamp::NONE, BASE));
    assert_eq!(index.lookup(at(i64::MIN)), (Timestamp::NONE, BASE));
    assert_eq!(index.lookup(at(10)), (at(10), BASE.advance(10)));
    assert_eq!(index.lookup(at(29)), (at(20), BASE.advance(20)));
    assert_eq!(index.lookup(at(i64::MAX)), (at(30), BASE.advance(30)));
}

#[test]
fn idx_07_a_lower_timestamp_or_offset_is_refused_and_an_equal_timestamp_ignored() {
    let mut index = index_of(&[(10, 10)]);
    let before = index.clone();
    let offset = IndexError::OffsetOrder { entry: 1, last: BASE.advance(10), found: BASE.advance(9) };
    assert_eq!(index.maybe_append(at(20), BASE.advance(9)), Err(offset));
    let timestamp = IndexError::TimestampOrder { entry: 1, last: at(10), found: at(9) };
    assert_eq!(index.maybe_append(at(9), BASE.advance(20)), Err(timestamp));
    assert_eq!(index.maybe_append(at(10), BASE.advance(20)), Ok(false));
    assert_eq!(index, before);
    assert_eq!(index.maybe_append(at(11), BASE.advance(10)), Ok(true), "the offset may stay");
}

#[test]
fn idx_08_the_last_slot_is_kept_for_the_entry_that_seals_the_segment() {
    let mut index = TimeIndex::new(BASE, 12 * 30);
    for timestamp in 0..29 {
        assert!(!index.is_full());
        index.maybe_append(at(timestamp), BASE.advance(timestamp as u64)).unwrap();
    }
    assert!(index.is_full());
    assert_eq!(index.maybe_append(at(100), BASE.advance(100)), Err(IndexError::Full { entries: 29 }));
    assert_eq!(index.append_last(at(100), BASE.advance(100)), Ok(true));
    assert_eq!(index.len(), 30);
    assert!(TimeIndex::new(BASE, 4).is_full());
}

#[test]
fn no_date_is_no_first_entry() {
    let mut index = index_of(&[]);
    assert_eq!(index.maybe_append(Timestamp::NONE, BASE), Ok(false));
    assert_eq!(index.maybe_append(at(i64::MIN), BASE), Ok(false));
    assert_eq!(index.maybe_append(at(0), BASE), Ok(true));
}

#[test]
fn truncation_removes_the_entries_at_and_after_the_offset() {
    for (to, kept) in [(0, 0), (10, 0), (11, 1), (20, 1), (25, 2), (31, 3)] {
        let mut index = index_of(&[(10, 10), (20, 20), (30, 30)]);
        index.truncate_to(BASE.advance(to));
        assert_eq!(index.len(), kept, "to {to}");
    }
}

#[test]
fn an_entry_stands_in_the_file_as_kafka_writes_it() {
    let index = index_of(&[(1000, 79)]);
    assert_eq!(index.as_bytes(), [0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0x4f]);
}

#[test]
fn a_damaged_file_is_refused_with_its_first_bad_entry() {
    let load = |bytes: &[u8]| TimeIndex::load(BASE, 12_000, bytes).unwrap_err();
    assert_eq!(load(&[0; 13]), IndexError::Length { bytes: 13, entry_bytes: 12 });
    let joined = |first: &[(i64, u64)], second: &[(i64, u64)]| {
        [index_of(first).as_bytes(), index_of(second).as_bytes()].concat()
    };
    let equal = IndexError::TimestampOrder { entry: 1, last: at(5), found: at(5) };
    assert_eq!(load(&joined(&[(5, 5)], &[(5, 6)])), equal);
    let back = IndexError::OffsetOrder { entry: 1, last: BASE.advance(5), found: BASE.advance(4) };
    assert_eq!(load(&joined(&[(5, 5)], &[(6, 4)])), back);
    let below = [0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 254];
    assert_eq!(load(&below), IndexError::BelowBase { entry: 0, base: BASE, relative: -2 });
    let undated = IndexError::TimestampOrder { entry: 0, last: Timestamp::NONE, found: Timestamp::NONE };
    assert_eq!(load(&[255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1]), undated);
}

#[test]
fn the_unused_tail_of_a_preallocated_file_is_not_read() {
    let index = index_of(&[(0, 0), (7, 3), (9, 3)]);
    let file = [index.as_bytes(), &[0; 120]].concat();
    assert_eq!(TimeIndex::load_preallocated(BASE, 12_000, &file), Ok(index));
    assert_eq!(TimeIndex::load_preallocated(BASE, 12_000, &[0; 120]), Ok(index_of(&[])));
    let sealed = index_of(&[(0, 0)]);
    assert_eq!(TimeIndex::load(BASE, 12_000, &[0; 12]), Ok(sealed), "a sealed file holds what it holds");
}

#[test]
fn an_offset_too_far_from_the_base_is_refused() {
    let far = BASE.advance(1 << 31);
    assert_eq!(index_of(&[]).append_last(at(1), far), Err(IndexError::Overflow { base: BASE, offset: far }));
}

proptest! {
    /// Lookup and truncation do as a walk over a list does, in the index as over borrowed bytes.
    #[test]
    fn an_index_is_a_sorted_list(
        timestamps in btree_set(0i64..200, 0..40), gaps in vec(0u64..5, 40), time in -5i64..250, cut in 0u64..300,
    ) {
        let mut relative = 0;
        let mut pairs = Vec::new();
        for (timestamp, gap) in timestamps.into_iter().zip(gaps) {
            relative += gap;
            pairs.push((timestamp, relative));
        }
        let mut index = index_of(&pairs);
        let all: Vec<TimeEntry> = index.entries().collect();
        let scan = all.iter().rfind(|entry| entry.timestamp <= at(time));
        let scan = scan.map_or((Timestamp::NONE, BASE), |entry| (entry.timestamp, entry.offset));
        prop_assert_eq!(index.lookup(at(time)), scan);
        let bytes = index.as_bytes().to_vec();
        prop_assert_eq!(TimeIndexView::new(BASE, &bytes).unwrap().lookup(at(time)), scan);
        index.truncate_to(Offset::new(cut));
        let kept: Vec<TimeEntry> = all.into_iter().filter(|entry| entry.offset.get() < cut).collect();
        prop_assert_eq!(index.entries().collect::<Vec<_>>(), kept);
        prop_assert_eq!(TimeIndex::load(BASE, 12_000, index.as_bytes()), Ok(index));
    }

    /// Over bytes that are no index a view may find anything, but it ends.
    #[test]
    fn a_view_of_anything_answers(bytes in vec(any::<u8>(), 0..100), base: u64, time: i64) {
        if let Ok(view) = TimeIndexView::new(Offset::new(base), &bytes) {
            view.lookup(at(time));
            prop_assert_eq!(view.entries().count(), view.len());
            prop_assert_eq!(view.check().is_ok(), TimeIndex::load(Offset::new(base), 8, &bytes).is_ok());
        }
    }
}
