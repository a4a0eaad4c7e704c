use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

const BASE: Offset = Offset::new(45);

/// An index of `pairs` of (relative offset, position).
fn index_of(pairs: &[(u64, u32)]) -> OffsetIndex {
    let mut index = OffsetIndex::new(BASE, 8 * 1000);
    for (relative, position) in pairs {
        index.append(BASE.advance(*relative), *position).unwrap();
    }
    index
}

fn offsets(index: &OffsetIndex) -> Vec<u64> {
    index.entries().map(|entry| entry.offset.get()).collect()
}

#[test]
fn idx_01_lookup_gives_the_greatest_entry_at_or_below_the_target() {
    let empty = index_of(&[]);
    assert_eq!(empty.lookup(Offset::MAX), (BASE, 0));
    let index = index_of(&[(1, 10), (5, 20), (9, 30)]);
    for (target, found) in [(0, (45, 0)), (45, (45, 0)), (46, (46, 10)), (49, (46, 10)), (50, (50, 20)), (54, (54, 30))]
    {
        assert_eq!(index.lookup(Offset::new(target)), (Offset::new(found.0), found.1), "{target}");
    }
    assert_eq!(index.lookup(Offset::MAX), (Offset::new(54), 30));
}

#[test]
fn idx_02_an_offset_must_rise_strictly() {
    let mut index = index_of(&[(5, 10)]);
    let before = index.clone();
    let order = |found| IndexError::OffsetOrder { entry: 1, last: BASE.advance(5), found };
    assert_eq!(index.append(BASE.advance(5), 20), Err(order(BASE.advance(5))));
    assert_eq!(index.append(BASE.advance(4), 20), Err(order(BASE.advance(4))));
    let position = IndexError::PositionOrder { entry: 1, last: 10, found: 10 };
    assert_eq!(index.append(BASE.advance(6), 10), Err(position));
    assert_eq!(index, before, "what was refused left nothing");
}

#[test]
fn idx_03_a_full_index_takes_no_more() {
    let mut index = OffsetIndex::new(BASE, 8 * 3 + 7);
    for relative in 1..=3 {
        assert!(!index.is_full());
        index.append(BASE.advance(relative), relative as u32).unwrap();
    }
    assert!(index.is_full());
    assert_eq!(index.append(BASE.advance(4), 4), Err(IndexError::Full { entries: 3 }));
    assert!(OffsetIndex::new(BASE, 4).is_full(), "the smallest setting of Kafka holds no entry");
}

#[test]
fn idx_04_a_file_reads_back_to_the_same_entries() {
    let index = index_of(&[(51, 0), (52, 1)]);
    assert_eq!(index.as_bytes().len(), 16);
    assert_eq!(OffsetIndex::load(BASE, 8000, index.as_bytes()), Ok(index));
    assert_eq!(OffsetIndex::load(BASE, 8000, &[]), Ok(index_of(&[])));
}

#[test]
fn idx_05_truncation_removes_the_entry_of_that_very_offset() {
    let full: Vec<(u64, u32)> = (1..10).map(|at| (at, at as u32)).collect();
    for (to, last) in [(10, 9), (9, 8), (5, 4), (2, 1), (1, 0), (0, 0)] {
        let mut index = index_of(&full);
        index.truncate_to(BASE.advance(to));
        assert_eq!(index.last().map_or(0, |entry| entry.offset.get() - 45), last, "to {to}");
        assert_eq!(index.len() as u64, last);
    }
    let mut index = index_of(&full);
    index.truncate_to(Offset::ZERO);
    assert!(index.is_empty());
}

#[test]
fn an_entry_stands_in_the_file_as_kafka_writes_it() {
    let mut index = OffsetIndex::new(Offset::new(1000), 800);
    index.append(Offset::new(1079), 16350).unwrap();
    assert_eq!(index.as_bytes(), [0, 0, 0, 0x4f, 0, 0, 0x3f, 0xde]);
    index.append(Offset::new(1080), 16400).unwrap();
    assert_eq!(index.as_bytes()[8..], [0, 0, 0, 0x50, 0, 0, 0x40, 0x10]);
}

#[test]
fn an_offset_too_far_from_the_base_is_refused() {
    let mut index = index_of(&[]);
    let far = BASE.advance(1 << 31);
    assert_eq!(index.append(far, 1), Err(IndexError::Overflow { base: BASE, offset: far }));
    assert_eq!(index.append(Offset::new(44), 1), Err(IndexError::Overflow { base: BASE, offset: Offset::new(44) }));
    index.append(BASE.advance((1 << 31) - 1), i32::MAX as u32).unwrap();
    assert_eq!(index.lookup(Offset::MAX), (BASE.advance((1 << 31) - 1), i32::MAX as u32));
    let beyond = IndexError::PositionOrder { entry: 0, last: -1, found: 1 << 31 };
    assert_eq!(index_of(&[]).append(BASE, 1 << 31), Err(beyond), "a file ends before");
}

#[test]
fn a_damaged_file_is_refused_with_its_first_bad_entry() {
    let load = |bytes: &[u8]| OffsetIndex::load(BASE, 8000, bytes).unwrap_err();
    assert_eq!(load(&[0; 9]), IndexError::Length { bytes: 9, entry_bytes: 8 });
    let below = [255, 255, 255, 255, 0, 0, 0, 1];
    assert_eq!(load(&below), IndexError::BelowBase { entry: 0, base: BASE, relative: -1 });
    let unsorted = [index_of(&[(1, 1), (5, 2)]).as_bytes(), index_of(&[(5, 3)]).as_bytes()].concat();
    let order = IndexError::OffsetOrder { entry: 2, last: BASE.advance(5), found: BASE.advance(5) };
    assert_eq!(load(&unsorted), order);
    let negative = [0, 0, 0, 1, 128, 0, 0, 0];
    let position = IndexError::PositionOrder { entry: 0, last: -1, found: i64::from(i32::MIN) };
    assert_eq!(load(&negative), position);
    let past = OffsetIndex::load(Offset::MAX, 8000, &[0, 0, 0, 1, 0, 0, 0, 1]).unwrap_err();
    assert_eq!(past, IndexError::Overflow { base: Offset::MAX, offset: Offset::MAX });
}

#[test]
fn the_unused_tail_of_a_preallocated_file_is_not_read() {
    let index = index_of(&[(3, 7), (4, 9)]);
    let file = [index.as_bytes(), &[0; 80]].concat();
    assert_eq!(OffsetIndex::load_preallocated(BASE, 8000, &file), Ok(index));
    assert_eq!(OffsetIndex::load_preallocated(BASE, 8000, &[0; 80]), Ok(index_of(&[])));
    assert!(OffsetIndex::load(BASE, 8000, &file).is_err(), "zeros are no entries of a trimmed file");
    assert!(OffsetIndex::load_preallocated(BASE, 8000, &[0; 81]).is_err());
    let hole = [index_of(&[(3, 7)]).as_bytes(), &[0; 8], index_of(&[(4, 9)]).as_bytes()].concat();
    assert!(OffsetIndex::load_preallocated(BASE, 8000, &hole).is_err(), "a page in between was never written");
}

#[test]
fn what_follows_the_target_starts_behind_every_batch_before_it() {
    let index = index_of(&[(1, 10), (5, 20)]);
    let next = |target| index.view().next_at_or_after(BASE.advance(target)).map(|entry| entry.position);
    assert_eq!([next(0), next(1), next(2), next(5), next(6)], [Some(10), Some(10), Some(20), Some(20), None]);
}

proptest! {
    /// Lookup and truncation do as a walk over a list does, in the index as over borrowed bytes.
    #[test]
    fn an_index_is_a_sorted_list(
        relatives in btree_set(0u64..200, 0..40), gaps in vec(1u32..1000, 40), target in 0u64..300,
    ) {
        let mut position = 0;
        let mut pairs = Vec::new();
        for (relative, gap) in relatives.into_iter().zip(gaps) {
            position += gap;
            pairs.push((relative, position));
        }
        let target = Offset::new(target);
        let mut index = index_of(&pairs);
        let all: Vec<OffsetEntry> = index.entries().collect();
        let scan = all.iter().rfind(|entry| entry.offset <= target).map_or((BASE, 0), |at| (at.offset, at.position));
        prop_assert_eq!(index.lookup(target), scan);
        let bytes = index.as_bytes().to_vec();
        prop_assert_eq!(OffsetIndexView::new(BASE, &bytes).unwrap().lookup(target), scan);
        let next = all.iter().find(|entry| entry.offset >= target).copied();
        prop_assert_eq!(index.view().next_at_or_after(target), next);
        index.truncate_to(target);
        let kept: Vec<u64> = all.iter().map(|entry| entry.offset.get()).filter(|at| *at < target.get()).collect();
        prop_assert_eq!(offsets(&index), kept);
        prop_assert_eq!(OffsetIndex::load(BASE, 8000, index.as_bytes()), Ok(index));
    }

    /// Over bytes that are no index a view may find anything, but it ends.
    #[test]
    fn a_view_of_anything_answers(bytes in vec(any::<u8>(), 0..100), base: u64, target: u64) {
        if let Ok(view) = OffsetIndexView::new(Offset::new(base), &bytes) {
            view.lookup(Offset::new(target));
            view.next_at_or_after(Offset::new(target));
            prop_assert_eq!(view.entries().count(), view.len());
            prop_assert_eq!(view.check().is_ok(), OffsetIndex::load(Offset::new(base), 8, &bytes).is_ok());
        }
    }
}
