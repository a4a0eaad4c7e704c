//! What the marks promise.

use proptest::prelude::*;

use super::*;
use crate::disk::mem::{Applied, Choice, Fails, ImageRules, MemDisk};
use crate::id::TopicName;
use crate::offset::Offset;
use crate::time::Timestamp;

fn partition(topic: &str, number: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).unwrap(), number).unwrap()
}

fn mark(offset: u64) -> FlushedMark {
    FlushedMark {
        segment: Offset::new(offset / 10 * 10),
        position: offset as u32 * 3,
        offset: Offset::new(offset),
        next_offset: Offset::new(offset),
        log_start_offset: Offset::ZERO,
        high_watermark: Offset::new(offset),
        max_timestamp: Timestamp::from_millis(1_000 + offset as i64),
        offset_of_max_timestamp: Offset::new(offset),
        index_len: 8,
        index_crc: 1,
        time_index_len: 12,
        time_index_crc: 2,
        txn_index_len: 0,
        txn_index_crc: 0,
        snapshot_offset: Some(Offset::new(offset)),
        epochs_crc: 3,
        clean: false,
    }
}

fn opened(disk: &MemDisk) -> MarkFile<MemDisk> {
    MarkFile::open(disk.clone()).unwrap()
}

/// The flushed end that the marks on `disk` give the partition.
fn end_of(disk: &MemDisk, partition: &TopicPartition) -> Option<u64> {
    Marks::read(disk).unwrap().find(partition).map(|mark| mark.offset.get())
}

#[test]
fn a_directory_without_the_file_has_no_marks_and_gets_none_by_looking() {
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    assert_eq!(file.marks(), &Marks::default());
    file.remove(&partition("t", 0)).unwrap();
    file.sync().unwrap();
    assert!(disk.contents().is_empty());
}

#[test]
fn a_full_directory_opens_and_only_the_mark_is_refused() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(0));
    let mut file = opened(&disk);
    let refused = file.write(&partition("t", 0), &mark(1));
    assert!(matches!(refused, Err(MarksError::Disk(error)) if error.kind == DiskErrorKind::NoSpace));
    disk.set_capacity(None);
    file.write(&partition("t", 0), &mark(1)).unwrap();
    assert_eq!(end_of(&disk, &partition("t", 0)), Some(1));
}

#[test]
fn marks_read_back_after_any_number_of_writes() {
    let disk = MemDisk::new();
    for round in 0..5 {
        let mut file = opened(&disk);
        for number in 0..20 {
            file.write(&partition("t", number), &mark(round * 100 + u64::from(number))).unwrap();
        }
        file.sync().unwrap();
        let again = opened(&disk);
        assert_eq!(again.marks().iter().collect::<Vec<_>>(), file.marks().iter().collect::<Vec<_>>());
        assert_eq!(again.marks().iter().count(), 20);
        assert!(again.marks().bad().is_empty());
    }
    assert_eq!(disk.contents()[MARKS_FILE].len() as u64, 6 * PAGE_BYTES, "20 slots, two copies");
}

#[test]
fn a_mark_finds_its_place_on_a_full_disk() {
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    file.write(&partition("t", 0), &mark(1)).unwrap();
    file.sync().unwrap();
    disk.set_capacity(Some(disk.held()));
    for round in 2..5 {
        file.write(&partition("t", 0), &mark(round)).unwrap();
        file.sync().unwrap();
    }
    assert_eq!(end_of(&disk, &partition("t", 0)), Some(4));
}

#[test]
fn one_mark_is_one_positional_write() {
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    file.write(&partition("t", 0), &mark(1)).unwrap();
    file.sync().unwrap();
    let calls = disk.calls();
    file.write(&partition("t", 0), &mark(2)).unwrap();
    assert_eq!(disk.calls(), calls + 1);
}

#[test]
fn a_crash_leaves_the_last_synced_mark_or_a_later_one() {
    let (t, u) = (partition("t", 0), partition("u", 0));
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    let mut synced = 0;
    for offset in 1..12 {
        file.write(&t, &mark(offset)).unwrap();
        file.write(&u, &mark(offset)).unwrap();
        // Some marks are overwritten before they were ever synced.
        if offset % 3 == 0 {
            file.sync().unwrap();
            synced = offset;
        }
        let rules = ImageRules { torn_within: 40, random: 16, ..ImageRules::default() };
        for image in disk.images_by(&rules).step_by(3) {
            for partition in [&t, &u] {
                let found = end_of(&image, partition);
                assert!(
                    found.unwrap_or(0) >= synced && found.unwrap_or(0) <= offset,
                    "{found:?} after {synced}..={offset}"
                );
            }
        }
    }
}

#[test]
fn a_mark_that_a_killed_process_never_synced_does_not_cost_the_durable_one() {
    let t = partition("t", 0);
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    file.write(&t, &mark(1)).unwrap();
    file.sync().unwrap();
    file.write(&t, &mark(2)).unwrap();
    disk.kill();
    let mut file = opened(&disk);
    assert_eq!(end_of(&disk, &t), Some(2), "the cache still has it");
    file.write(&t, &mark(3)).unwrap();
    for image in disk.images() {
        assert!(end_of(&image, &t) >= Some(1), "{:?}", end_of(&image, &t));
    }
}

#[test]
fn a_failed_sync_leaves_the_durable_mark_alone() {
    let t = partition("t", 0);
    let disk = MemDisk::new();
    disk.set_failed_sync(crate::disk::mem::FailedSync::Drops);
    let mut file = opened(&disk);
    file.write(&t, &mark(1)).unwrap();
    file.sync().unwrap();
    file.write(&t, &mark(2)).unwrap();
    disk.fail_at(disk.calls(), DiskErrorKind::NoSpace, Fails::Once);
    file.sync().unwrap_err();
    file.write(&t, &mark(3)).unwrap();
    for image in disk.images() {
        assert!(matches!(end_of(&image, &t), Some(1 | 3)), "{:?}", end_of(&image, &t));
    }
}

#[test]
fn a_torn_mark_is_named_and_the_other_copy_counts() {
    let t = partition("t", 0);
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    for offset in [1, 2] {
        file.write(&t, &mark(offset)).unwrap();
        file.sync().unwrap();
    }
    disk.stop_at(disk.calls(), Applied::Partly(60));
    file.write(&t, &mark(3)).unwrap_err();
    disk.crash(&Choice::everything());
    let marks = Marks::read(&disk).unwrap();
    assert_eq!(marks.find(&t), Some(&mark(2)));
    let [bad] = marks.bad() else { panic!("{:?}", marks.bad()) };
    assert_eq!((bad.slot, bad.copy, bad.partition.as_ref()), (0, 0, Some(&t)));
    assert!(bad.to_string().starts_with("flushed mark 0 (t-0), copy 0: checksum is 0x"), "{bad}");
    let mut file = opened(&disk);
    file.write(&t, &mark(4)).unwrap();
    file.sync().unwrap();
    assert_eq!(file.marks().find(&t), Some(&mark(4)));
    assert!(Marks::read(&disk).unwrap().bad().is_empty(), "the bad copy was the one to be replaced");
}

#[test]
fn a_removed_mark_is_gone_and_its_slot_is_used_again() {
    let (t, u, v) = (partition("t", 0), partition("u", 0), partition("v", 0));
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    file.write(&t, &mark(1)).unwrap();
    file.write(&u, &mark(2)).unwrap();
    file.sync().unwrap();
    file.remove(&t).unwrap();
    file.sync().unwrap();
    for image in disk.images() {
        assert_eq!((end_of(&image, &t), end_of(&image, &u)), (None, Some(2)));
    }
    let mut file = opened(&disk);
    file.write(&v, &mark(3)).unwrap();
    for image in disk.images() {
        assert_eq!(end_of(&image, &t), None, "a torn mark of the next one brings the old one not back");
        assert!(matches!(end_of(&image, &v), None | Some(3)));
    }
    let first = Marks::read(&disk).unwrap();
    assert_eq!(first.slots(), SLOTS_PER_PAGE);
}

#[test]
fn every_flipped_bit_is_found_and_costs_one_write_at_most() {
    let t = partition("t", 0);
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    for offset in [1, 2] {
        file.write(&t, &mark(offset)).unwrap();
        file.sync().unwrap();
    }
    let bytes = disk.contents()[MARKS_FILE].clone();
    for bit in 0..bytes.len() * 8 {
        if bytes[bit / 8 / 512 * 512..].iter().take(512).all(|byte| *byte == 0) {
            continue;
        }
        let mut rotten = bytes.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        let marks = Marks::parse(&rotten).unwrap();
        assert_eq!(marks.bad().len(), 1, "bit {bit}");
        let left = marks.find(&t).unwrap().offset.get();
        assert_eq!(left, if bit / 8 < 4096 { 2 } else { 1 }, "bit {bit}");
    }
}

#[test]
fn a_later_format_is_refused_by_its_number() {
    let bytes = MarkCopy { slot: 0, generation: 1, mark: Some((partition("t", 0), mark(1))) }.encode();
    let mut later = bytes.clone();
    later[8..10].copy_from_slice(&7_u16.to_be_bytes());
    let crc = crc32fast::hash(&later[4..]);
    later[..4].copy_from_slice(&crc.to_be_bytes());
    let refused = Marks::parse(&later).unwrap_err();
    assert_eq!(refused, MarksError::UnsupportedFormat { found: 7, max: 1 });
    assert_eq!(refused.to_string(), "ottla-flushed-marks is in format 7, at most 1 is known here");
    assert_eq!(MarkCopy::parse(&bytes, 1), Err(BadMark::Misplaced { slot: 0 }));
}

#[test]
fn a_copy_that_went_astray_is_no_mark() {
    let disk = MemDisk::new();
    let mut file = opened(&disk);
    for number in 0..2 {
        file.write(&partition("t", number), &mark(u64::from(number))).unwrap();
    }
    let mut bytes = disk.contents()[MARKS_FILE].clone();
    bytes.copy_within(0..COPY_BYTES, COPY_BYTES);
    let marks = Marks::parse(&bytes).unwrap();
    assert_eq!(marks.iter().count(), 1);
    assert_eq!(marks.bad()[0].why, BadMark::Misplaced { slot: 0 });
}

#[test]
fn two_slots_of_one_partition_count_by_the_later_write() {
    let copy = |slot, generation, offset| {
        MarkCopy { slot, generation, mark: Some((partition("t", 0), mark(offset))) }.encode()
    };
    for (first, second) in [(1, 2), (2, 1)] {
        let bytes = [copy(0, first, first), copy(1, second, second)].concat();
        let marks = Marks::parse(&bytes).unwrap();
        assert_eq!(marks.find(&partition("t", 0)), Some(&mark(2)));
        assert_eq!(marks.free.len(), 7, "the earlier one is free");
    }
}

#[test]
fn the_bytes_of_a_copy_are_as_written_down() {
    let mark = FlushedMark { clean: true, snapshot_offset: None, ..mark(0x0102) };
    let bytes = MarkCopy { slot: 3, generation: 9, mark: Some((partition("t", 7), mark)) }.encode();
    assert_eq!(bytes.len(), 512);
    assert_eq!(bytes[..4], crc32fast::hash(&bytes[4..]).to_be_bytes());
    assert_eq!(bytes[4..24], *b"OtFM\0\x01\0\x01\0\0\0\0\0\0\0\x09\0\0\0\x03");
    assert_eq!(bytes[24..36], *b"\0\0\0\0\0\0\0\xfa\0\0\x03\x06", "segment 250, position 774");
    assert_eq!(bytes[36..52], *b"\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x01\x02");
    assert_eq!(bytes[108..120], *b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x03", "no snapshot, sum of the epochs");
    assert_eq!(bytes[120..125], *b"\0\x03t-7");
    assert!(bytes[125..].iter().all(|byte| *byte == 0));
}

#[test]
fn the_longest_name_fits() {
    let longest = partition(&"n".repeat(TopicName::BYTES_MAX), i32::MAX as u32);
    let copy = MarkCopy { slot: 3, generation: u64::MAX, mark: Some((longest, mark(1))) };
    assert_eq!(MarkCopy::parse(&copy.encode(), 3), Ok(Some(copy)));
}

#[test]
fn a_directory_of_too_many_partitions_says_so() {
    let mut marks = Marks::default();
    for number in 0..SLOTS_MAX {
        let name = partition("t", number);
        let planned = marks.plan(&name, Some(&mark(1))).unwrap();
        marks.apply(&name, planned);
    }
    let refused = marks.plan(&partition("u", 0), Some(&mark(1)));
    assert!(matches!(refused, Err(MarksError::Full { slots: SLOTS_MAX })));
    assert!(marks.plan(&partition("t", 9), Some(&mark(1))).is_ok());
}

#[test]
fn a_file_of_garbage_has_no_marks_and_every_copy_is_named() {
    let bytes = vec![0xff; 3 * PAGE_BYTES as usize + 100];
    let marks = Marks::parse(&bytes).unwrap();
    assert_eq!(marks.iter().count(), 0);
    assert_eq!(marks.bad().len(), 8 * 3 + 1, "a copy for each 512 bytes, and one that the file ends in");
    assert!(marks.bad().iter().any(|bad| bad.why == BadMark::Short));
}

fn any_mark() -> impl Strategy<Value = FlushedMark> {
    let offset = || (0..=i64::MAX as u64 >> 1).prop_map(Offset::new);
    let reach = || 0..=i32::MAX as u64;
    let crcs = prop::array::uniform7(any::<u32>());
    let rest = (any::<i64>(), any::<u32>(), prop::option::of(offset()), any::<bool>());
    ((offset(), reach(), reach(), offset(), offset(), reach()), crcs, rest).prop_map(
        |((segment, batches, gap, start, watermark, of_max), crcs, (date, position, snapshot_offset, clean))| {
            FlushedMark {
                segment,
                position,
                offset: segment.advance(batches).advance(gap),
                next_offset: segment.advance(batches),
                log_start_offset: start,
                high_watermark: watermark,
                max_timestamp: Timestamp::from_millis(date),
                offset_of_max_timestamp: segment.advance(of_max),
                index_len: crcs[0],
                index_crc: crcs[1],
                time_index_len: crcs[2],
                time_index_crc: crcs[3],
                txn_index_len: crcs[4],
                txn_index_crc: crcs[5],
                snapshot_offset,
                epochs_crc: crcs[6],
                clean,
            }
        },
    )
}

#[test]
fn a_mark_that_contradicts_itself_is_none() {
    let nonsense = [
        FlushedMark { next_offset: Offset::new(9), ..mark(12) },
        FlushedMark { next_offset: Offset::new(13), ..mark(12) },
        FlushedMark { offset_of_max_timestamp: Offset::new(9), ..mark(12) },
        FlushedMark { offset_of_max_timestamp: Offset::new(1 << 40), ..mark(12) },
    ];
    for mark in nonsense {
        let copy = MarkCopy { slot: 3, generation: 1, mark: Some((partition("t", 0), mark)) };
        assert!(matches!(MarkCopy::parse(&copy.encode(), 3), Err(BadMark::Nonsense { .. })), "{mark:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_reads_back_as_it_was(mark in any_mark(), slot in 0..SLOTS_MAX, generation in 1..u64::MAX) {
        for mark in [Some((partition("a-b.c_d", 7), mark)), None] {
            let copy = MarkCopy { slot, generation, mark };
            prop_assert_eq!(MarkCopy::parse(&copy.encode(), slot), Ok(Some(copy)));
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        prop_assert_eq!(Marks::parse(&bytes).unwrap().iter().count(), 0);
    }
}
