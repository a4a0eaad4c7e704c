//! What a compaction that fails leaves, and what it does not pass on.

use super::*;
use crate::disk::{LogFile, MemDisk, OpenOptions, ReadFault};
use crate::id::TopicPartition;
use crate::log::{Cleanup, Health, LogConfig, Why};
use crate::record::{BatchBuilder, Codec, NewRecord};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const FIRST: &str = "t-0/00000000000000000000.log";

fn open(disk: &MemDisk, map_bytes: usize) -> LogFile<MemDisk> {
    let config = LogConfig {
        cleanup: Cleanup::Compact,
        min_cleanable_dirty_ratio: 0.0,
        segment_bytes: 1 << 20,
        ..LogConfig::default()
    };
    let options = OpenOptions { config, compaction_map_bytes: map_bytes, ..OpenOptions::default() };
    LogFile::open(disk.clone(), &TopicPartition::parse("t-0").unwrap(), options, NOW).unwrap().0
}

/// Two sealed segments of ten batches, each key twice, and one that grows.
fn two_sealed(disk: &MemDisk) -> LogFile<MemDisk> {
    let mut log = open(disk, 1 << 20);
    for segment in 0..3 {
        for number in 0..10 {
            let mut builder = BatchBuilder::new(Codec::None);
            let (key, value) = (format!("key {number}"), format!("value {segment}"));
            builder.push(&NewRecord::new(NOW, Some(key.as_bytes()), Some(value.as_bytes()))).unwrap();
            log.append(NOW, &builder.build().unwrap()).unwrap();
        }
        if segment < 2 {
            log.roll(NOW).unwrap();
        }
    }
    log
}

/// A closed log of which one bit of the third batch is wrong, `byte` bytes into it.
fn rotten(byte: u64) -> (MemDisk, u32) {
    let disk = MemDisk::new();
    two_sealed(&disk).close().unwrap();
    let size = disk.contents()[FIRST].len() as u32 / 10;
    disk.flip_bit(FIRST, u64::from(2 * size) + byte, 0).unwrap();
    (disk, size)
}

fn has_leftovers(disk: &MemDisk) -> bool {
    disk.contents().keys().any(|name| name.ends_with(".cleaned") || name.ends_with(".swap"))
}

fn files(disk: &MemDisk) -> Vec<(String, Vec<u8>)> {
    disk.contents().into_iter().filter(|(name, _)| name.starts_with("t-0/0")).collect()
}

#[test]
fn a_bit_of_a_header_that_no_batch_sums_up_is_not_compacted_over() {
    for byte in 0..17 {
        let (disk, size) = rotten(byte);
        let mut log = open(&disk, 1 << 20);
        let before = files(&disk);
        let fault = log.compact_anyway(NOW).unwrap_err();
        let CompactFault::Read(ReadFault::Corrupt { segment, position, offset, why }) = fault else {
            panic!("byte {byte}: {fault}")
        };
        assert_eq!(segment, Offset::ZERO, "byte {byte}");
        // By itself a batch may look good; then only its block is known to be bad, from its beginning on.
        let expected = if matches!(why, Why::Block { .. }) { (0, Offset::ZERO) } else { (2 * size, Offset::new(2)) };
        let behind = (3 * size, Offset::new(3));
        let found = (position, offset);
        assert!(found == expected || (byte < 8 && found.0 == behind.0), "byte {byte}: {found:?} {why}");
        assert!(files(&disk) == before, "byte {byte}: something was changed");
        assert!(matches!(log.log().health(), Health::Good), "byte {byte}");
    }
}

#[test]
fn without_sums_a_wrong_leader_epoch_is_not_compacted_over() {
    let (disk, size) = rotten(15);
    disk.vanish("t-0/00000000000000000000.sums").unwrap();
    let mut log = open(&disk, 1 << 20);
    let before = files(&disk);
    let fault = log.compact_anyway(NOW).unwrap_err();
    let CompactFault::Read(ReadFault::Corrupt { position, offset, why, .. }) = fault else { panic!("{fault}") };
    assert_eq!((position, offset), (2 * size, Offset::new(2)));
    assert!(matches!(why, Why::EpochGoesBack { .. }), "{why}");
    assert!(files(&disk) == before);
}

#[test]
fn what_a_full_map_has_taken_from_a_block_is_compared_before_anything_goes_by_it() {
    // Lower offset, higher epoch: only the sum of the block knows.
    let (disk, _) = rotten(15);
    for map_bytes in [24, 24 * 4, 24 * 6] {
        let disk = MemDisk::from_contents(&disk.contents());
        let mut log = open(&disk, map_bytes);
        let segment = log.log().segments().next().unwrap();
        let mut mapping = Mapping::new(map_bytes, Offset::ZERO, Vec::new(), crate::record::DecompressLimit::default());
        let outcome = Compaction::of(&mut log, NOW).map_segment(&segment, segment.next_offset, &mut mapping);
        assert!(matches!(outcome, Err(CompactFault::Read(_))), "map of {map_bytes} bytes: {outcome:?}");
    }
}

#[test]
fn a_replacement_that_is_refused_leaves_no_file() {
    let disk = MemDisk::new();
    let mut log = two_sealed(&disk);
    let before = files(&disk);
    let dirt = log.dirt(NOW).unwrap();
    log.settle(dirt.first_uncleanable).unwrap();
    let (filter, end, _) = Compaction::of(&mut log, NOW).map_keys(&dirt).unwrap();
    let mut inputs: Vec<SegmentInfo> = log.log().segments().take(2).collect();
    let mut report = CompactionReport::default();
    let mut cleaning = Cleaning { filter, clean_modified: None, report: &mut report };
    let dir = DiskPath::root().entry("t-0");
    let output = Compaction::of(&mut log, NOW).write_group(&disk, &dir, &inputs, end, &mut cleaning).unwrap();
    assert!(has_leftovers(&disk));
    // As if another had taken the place of what was read.
    inputs[1].files.log = inputs[0].files.log;
    let fault = Compaction::of(&mut log, NOW).put_in_place(&inputs, output).unwrap_err();
    assert_eq!(fault, CompactFault::Replace(ReplaceError::Stale { segment: Offset::new(10) }));
    assert!(!has_leftovers(&disk));
    assert!(files(&disk) == before);
    assert!(log.compact_anyway(NOW).unwrap().range.is_some(), "and the log goes on");
}
