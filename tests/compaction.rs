//! Compaction as a user sees it: what stays, what goes and when. What a crash leaves is in `crash`, a
//! random history in `model`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "compaction/crash.rs"]
mod crash;
#[path = "compaction/model.rs"]
mod model;

use std::collections::BTreeMap;

use ottla::disk::{LogFile, MemDisk, OpenOptions};
use ottla::epoch::{ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicPartition};
use ottla::log::clean::{Dirt, DirtyLog, DirtySegment, GroupLimits, GroupMember, dirtiest, group};
use ottla::log::{Cleanup, Isolation, LogConfig, MarkerRules};
use ottla::offset::Offset;
use ottla::record::legacy::{LegacyMagic, NewMessage};
use ottla::record::{
    Batch, BatchBuilder, Codec, DecompressLimit, NewRecord, Origin, ProducerStamp, TimestampType, TransactionMarker,
    TransactionResult,
};
use ottla::time::Timestamp;

const NOW: i64 = 1_700_000_000_000;
const RETENTION: i64 = 1000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW + millis)
}

fn partition() -> TopicPartition {
    TopicPartition::parse("t-0").unwrap()
}

fn options() -> OpenOptions {
    OpenOptions {
        config: LogConfig {
            segment_bytes: 4000,
            index_interval_bytes: 100,
            cleanup: Cleanup::Compact,
            delete_retention_ms: RETENTION as u64,
            min_cleanable_dirty_ratio: 0.0,
            ..LogConfig::default()
        },
        ..OpenOptions::default()
    }
}

fn open(disk: &MemDisk) -> LogFile<MemDisk> {
    LogFile::open(disk.clone(), &partition(), options(), at(0)).unwrap().0
}

fn new_log() -> LogFile<MemDisk> {
    open(&MemDisk::new())
}

fn builder() -> BatchBuilder {
    BatchBuilder::new(Codec::None)
}

fn batch_of(mut builder: BatchBuilder, records: &[(&str, Option<&str>)]) -> Batch {
    for (key, value) in records {
        let value = value.map(str::as_bytes);
        builder.push(&NewRecord::new(at(0), Some(key.as_bytes()), value)).unwrap();
    }
    builder.build().unwrap()
}

fn put(log: &mut LogFile<MemDisk>, records: &[(&str, Option<&str>)]) {
    log.append(at(0), &batch_of(builder(), records)).unwrap();
}

fn stamp(id: i64, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(id).unwrap(),
        epoch: ProducerEpoch::new(0),
        base_sequence: Sequence::new(sequence),
    }
}

fn end_transaction(log: &mut LogFile<MemDisk>, id: i64, result: TransactionResult) {
    let marker = TransactionMarker { result, coordinator_epoch: 0 };
    let batch = marker.to_batch(ProducerId::new(id).unwrap(), ProducerEpoch::new(0).unwrap(), at(0)).unwrap();
    log.append_from(at(0), &batch, Origin::Coordinator, MarkerRules::SameEpoch).unwrap();
}

/// What a reader gets.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Seen {
    offset: u64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// All records, those of control batches left out.
fn seen(log: &mut LogFile<MemDisk>) -> Vec<Seen> {
    let mut all = Vec::new();
    let mut from = log.log().log_start_offset();
    loop {
        let fetched = log.read(from, 1 << 20, Isolation::LogEnd).unwrap();
        let Some(last) = fetched.batches.last() else { return all };
        for entry in fetched.batches.iter().filter(|entry| !entry.is_control()) {
            for record in entry.records(DecompressLimit::default()).unwrap().iter() {
                let record = record.unwrap();
                all.push(Seen {
                    offset: record.offset.get(),
                    timestamp: record.timestamp.as_millis(),
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                });
            }
        }
        from = last.next_offset();
    }
}

/// Offset, key and value of each record.
fn texts(log: &mut LogFile<MemDisk>) -> Vec<(u64, String, Option<String>)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let all = seen(log).into_iter();
    all.map(|it| (it.offset, it.key.map(text).unwrap_or_default(), it.value.map(text))).collect()
}

fn expected(records: &[(u64, &str, Option<&str>)]) -> Vec<(u64, String, Option<String>)> {
    records.iter().map(|(offset, key, value)| (*offset, (*key).to_owned(), value.map(str::to_owned))).collect()
}

#[test]
fn cln_01_the_last_record_of_each_key_stays_where_it_was() {
    let mut log = new_log();
    for (key, value) in [("1", "a"), ("2", "b"), ("1", "c"), ("3", "d"), ("2", "e")] {
        put(&mut log, &[(key, Some(value))]);
    }
    log.roll(at(0)).unwrap();
    let report = log.compact(at(0)).unwrap();
    assert_eq!(report.range, Some(Offset::ZERO..Offset::new(5)));
    assert_eq!((report.records_before, report.records_after), (5, 3));
    assert_eq!(texts(&mut log), expected(&[(2, "1", Some("c")), (3, "3", Some("d")), (4, "2", Some("e"))]));
    assert_eq!(log.compact(at(0)).unwrap().range, None, "all is clean");
}

#[test]
fn cln_02_a_tombstone_stays_for_its_delay_from_the_first_compaction_on() {
    let mut log = new_log();
    put(&mut log, &[("k", Some("old")), ("l", Some("kept"))]);
    put(&mut log, &[("k", None)]);
    log.roll(at(0)).unwrap();
    log.compact(at(0)).unwrap();
    let with_tombstone = expected(&[(1, "l", Some("kept")), (2, "k", None)]);
    assert_eq!(texts(&mut log), with_tombstone);
    for (time, stays) in [(RETENTION - 1, true), (RETENTION, false)] {
        put(&mut log, &[("other", Some("x"))]);
        log.roll(at(0)).unwrap();
        log.compact(at(time)).unwrap();
        let is_there = texts(&mut log).iter().any(|(offset, ..)| *offset == 2);
        assert_eq!(is_there, stays, "after {time} ms");
    }
}

#[test]
fn cln_03_records_without_a_key_go() {
    let disk = MemDisk::new();
    let plain = OpenOptions { config: LogConfig { cleanup: Cleanup::Delete, ..options().config }, ..options() };
    let mut log = LogFile::open(disk, &partition(), plain, at(0)).unwrap().0;
    let mut unkeyed = builder();
    unkeyed.push(&NewRecord::new(at(0), None, Some(b"nobody's"))).unwrap();
    log.append(at(0), &unkeyed.build().unwrap()).unwrap();
    put(&mut log, &[("k", Some("v"))]);
    log.roll(at(0)).unwrap();
    assert_eq!(log.compact(at(0)).unwrap().range, None, "its policy is another");
    log.configure(options().config).unwrap();
    log.compact(at(0)).unwrap();
    assert_eq!(texts(&mut log), expected(&[(1, "k", Some("v"))]));
}

#[test]
fn the_last_batch_of_what_is_compacted_stays_without_its_records_and_tells_where_it_ended() {
    let mut log = new_log();
    log.configure(LogConfig { cleanup: Cleanup::Delete, ..options().config }).unwrap();
    put(&mut log, &[("k", Some("v"))]);
    for _ in 0..2 {
        let mut unkeyed = builder();
        unkeyed.push(&NewRecord::new(at(0), None, Some(b"nobody's"))).unwrap();
        log.append(at(0), &unkeyed.build().unwrap()).unwrap();
    }
    log.roll(at(0)).unwrap();
    log.compact_anyway(at(0)).unwrap();
    assert_eq!(texts(&mut log), expected(&[(0, "k", Some("v"))]));
    let ends = log.read(Offset::ZERO, 1 << 20, Isolation::LogEnd).unwrap().batches;
    assert_eq!(ends.iter().map(|entry| entry.next_offset().get()).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn cln_04_the_active_segment_is_left_alone() {
    let mut log = new_log();
    put(&mut log, &[("k", Some("1"))]);
    log.roll(at(0)).unwrap();
    put(&mut log, &[("k", Some("2"))]);
    put(&mut log, &[("k", Some("3"))]);
    assert_eq!(log.compact_anyway(at(0)).unwrap().range, Some(Offset::ZERO..Offset::new(1)));
    assert_eq!(texts(&mut log).len(), 3);
}

const NO_SEGMENT: DirtySegment =
    DirtySegment { base: Offset::ZERO, size: 100, largest_timestamp: Timestamp::NONE, first_timestamp: None };

fn dirt(segments: &[(u64, i64)], cleaned: Option<u64>, stable: u64, config: &LogConfig) -> Dirt {
    let segments: Vec<DirtySegment> = segments
        .iter()
        .map(|(base, time)| DirtySegment {
            base: Offset::new(*base),
            largest_timestamp: at(*time),
            first_timestamp: Some(at(*time)),
            ..NO_SEGMENT
        })
        .collect();
    let log = DirtyLog {
        cleaned: cleaned.map(Offset::new),
        log_start_offset: Offset::ZERO,
        last_stable_offset: Offset::new(stable),
        log_end_offset: Offset::new(40),
        segments: &segments,
    };
    Dirt::of(&log, config, at(0))
}

#[test]
fn cln_05_a_young_record_keeps_its_segment_and_all_behind_it() {
    const HOUR: i64 = 3_600_000;
    let config = LogConfig { min_compaction_lag_ms: HOUR as u64, ..options().config };
    let found = dirt(&[(0, -2 * HOUR), (10, -HOUR + 1), (20, -2 * HOUR), (30, 0)], None, 40, &config);
    assert_eq!(found.first_uncleanable, Offset::new(10));
    let found = dirt(&[(0, -2 * HOUR), (10, -HOUR), (20, -2 * HOUR), (30, 0)], None, 40, &config);
    assert_eq!(found.first_uncleanable, Offset::new(30));
}

#[test]
fn cln_06_an_open_transaction_bounds_the_range_to_whole_segments_below_it() {
    let segments = [(0, 0), (10, 0), (20, 0), (30, 0)];
    assert_eq!(dirt(&segments, None, 25, &options().config).first_uncleanable, Offset::new(20));
    let mut log = new_log();
    put(&mut log, &[("k", Some("1"))]);
    put(&mut log, &[("k", Some("2"))]);
    log.roll(at(0)).unwrap();
    log.append(at(0), &batch_of(builder().producer(stamp(1, 0)).transactional(), &[("k", Some("open"))])).unwrap();
    log.roll(at(0)).unwrap();
    put(&mut log, &[("k", Some("3"))]);
    log.roll(at(0)).unwrap();
    assert_eq!(log.compact_anyway(at(0)).unwrap().range, Some(Offset::ZERO..Offset::new(2)));
    let left = expected(&[(1, "k", Some("2")), (2, "k", Some("open")), (3, "k", Some("3"))]);
    assert_eq!(texts(&mut log), left);
}

#[test]
fn cln_07_of_several_logs_the_dirtiest_comes_first() {
    let config = LogConfig { min_cleanable_dirty_ratio: 0.5, ..options().config };
    // Of ten segments so many are clean.
    let of_ratio = |clean: u64| {
        let segments: Vec<(u64, i64)> = (0..11).map(|index| (index * 3, 0)).collect();
        dirt(&segments, Some(clean * 3), 40, &config)
    };
    let (low, middle, high) = (of_ratio(8), of_ratio(4), of_ratio(2));
    assert_eq!((low.ratio(), middle.ratio(), high.ratio()), (0.2, 0.6, 0.8));
    let pick = |logs: &[(&'static str, Dirt)]| {
        dirtiest(logs.iter().map(|(name, dirt)| (*name, *dirt, &config))).map(|(name, _)| name)
    };
    assert_eq!(pick(&[("low", low), ("high", high), ("middle", middle)]), Some("high"));
    assert_eq!(pick(&[("low", low), ("middle", middle)]), Some("middle"));
    assert_eq!(pick(&[("low", low)]), None);
    let overdue = Dirt { overdue_ms: 1, ..low };
    assert_eq!(pick(&[("low", overdue)]), Some("low"), "it must not wait longer");
}

#[test]
fn cln_07_what_is_older_than_the_largest_lag_is_overdue() {
    let config = LogConfig { max_compaction_lag_ms: 100, ..options().config };
    assert_eq!(dirt(&[(0, -500), (10, -101), (20, -900)], Some(10), 40, &config).overdue_ms, 1);
    assert_eq!(dirt(&[(0, -500), (10, -100), (20, -900)], Some(10), 40, &config).overdue_ms, 0);
}

#[test]
fn cln_08_a_checkpoint_outside_the_log_counts_for_nothing() {
    let segments = [(0, 0), (10, 0), (20, 0), (30, 0)];
    let found = dirt(&segments, Some(41), 40, &options().config);
    assert!(found.reset && found.first_dirty == Offset::ZERO);
    let found = dirt(&segments, Some(20), 40, &options().config);
    assert!(!found.reset);
    assert_eq!((found.first_dirty, found.clean_bytes, found.cleanable_bytes), (Offset::new(20), 200, 100));
    // Below the log start.
    let mut log = new_log();
    for number in 0..4 {
        put(&mut log, &[("k", Some(&number.to_string()))]);
        log.roll(at(0)).unwrap();
    }
    log.compact(at(0)).unwrap();
    log.truncate_to(Offset::new(2), at(0)).unwrap();
    assert_eq!(log.dirt(at(0)).unwrap().first_dirty, Offset::new(3).min(log.log().active_segment().base_offset));
    log.trim_to(log.log().log_end_offset()).unwrap();
    assert!(log.dirt(at(0)).unwrap().first_dirty >= log.log().log_start_offset());
}

#[test]
fn cln_09_the_last_batch_of_a_producer_stays_empty_and_a_retry_is_known() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    let mine = batch_of(builder().producer(stamp(7, 0)), &[("k", Some("1")), ("k", Some("2"))]);
    let first = log.append(at(0), &mine).unwrap();
    put(&mut log, &[("k", Some("3"))]);
    log.roll(at(0)).unwrap();
    log.compact(at(0)).unwrap();
    assert_eq!(texts(&mut log), expected(&[(2, "k", Some("3"))]));
    for again in [false, true] {
        if again {
            log.close().unwrap();
            let mut files = disk.contents();
            files.retain(|name, _| !name.ends_with(".snapshot"));
            files.retain(|name, _| !name.starts_with('.') && !name.starts_with("ottla"));
            log = open(&MemDisk::from_contents(&files));
        }
        let retried = log.append(at(0), &mine).unwrap();
        assert!(retried.duplicate, "reopened: {again}");
        assert_eq!((retried.base_offset, retried.last_offset), (first.base_offset, first.last_offset));
    }
}

#[test]
fn cln_11_small_segments_become_fewer() {
    let mut log = new_log();
    for number in 0..10 {
        put(&mut log, &[("k", Some(&number.to_string())), (&format!("key {number}"), Some("stays"))]);
        log.roll(at(0)).unwrap();
    }
    let report = log.compact(at(0)).unwrap();
    assert_eq!((report.segments_before, report.segments_after), (10, 1));
    assert_eq!(log.log().segments().count(), 2);
    assert_eq!(texts(&mut log).len(), 11);
}

#[test]
fn cln_11_an_empty_segment_at_the_start_goes_with_the_next() {
    let mut log = new_log();
    for bytes in [300, 3650, 100] {
        put(&mut log, &[("k", Some(&"x".repeat(bytes)))]);
        log.roll(at(0)).unwrap();
    }
    // The first and the second do not fit into one, the second and the third do: the first is left empty.
    let report = log.compact(at(0)).unwrap();
    assert_eq!((report.segments_before, report.segments_after), (3, 2));
    assert_eq!(log.log().segments().next().unwrap().size, 0);
    put(&mut log, &[("k", Some("newest"))]);
    log.roll(at(0)).unwrap();
    let report = log.compact(at(0)).unwrap();
    assert_eq!((report.segments_before, report.segments_after), (3, 1));
    assert_eq!(texts(&mut log), expected(&[(3, "k", Some("newest"))]));
}

#[test]
fn cln_11_a_group_fits_one_segment_its_indexes_and_its_offsets() {
    let member = |base: u64, size| GroupMember { base: Offset::new(base), size, index_bytes: 8, time_index_bytes: 12 };
    let limits = |segment_bytes, index_bytes| GroupLimits {
        segment_bytes,
        index_bytes,
        first_uncleanable: Offset::new(1 << 33),
    };
    let four = [member(0, 40), member(10, 40), member(20, 40), member(30, 40)];
    assert_eq!(group(&four[..3], &limits(100, 1000)), [2, 1]);
    assert_eq!(group(&four, &limits(80, 1000)), [2, 1, 1], "the last would reach too far");
    assert_eq!(group(&four[..3], &limits(1000, 24)), [2, 1], "the time indexes are full");
    let far = [member(0, 1), member(1 << 32, 1)];
    assert_eq!(group(&far, &limits(100, 1000)), [1, 1]);
    let empty = [member(0, 1), member(1 << 32, 0)];
    assert_eq!(group(&empty, &limits(100, 1000)), [2], "an empty segment has no offsets");
    assert_eq!(group(&[], &limits(100, 1000)), [0; 0]);
}

#[test]
fn cln_12_what_was_aborted_goes_and_the_older_committed_value_stays() {
    let mut log = new_log();
    put(&mut log, &[("k", Some("committed"))]);
    log.append(at(0), &batch_of(builder().producer(stamp(1, 0)).transactional(), &[("k", Some("aborted"))])).unwrap();
    end_transaction(&mut log, 1, TransactionResult::Abort);
    log.append(
        at(0),
        &batch_of(builder().producer(stamp(1, 1)).transactional(), &[("l", Some("a")), ("l", Some("b"))]),
    )
    .unwrap();
    end_transaction(&mut log, 1, TransactionResult::Commit);
    log.roll(at(0)).unwrap();
    log.compact(at(0)).unwrap();
    assert_eq!(texts(&mut log), expected(&[(0, "k", Some("committed")), (4, "l", Some("b"))]));
    let markers = |log: &mut LogFile<MemDisk>| {
        let fetched = log.read(Offset::ZERO, 1 << 20, Isolation::LogEnd).unwrap();
        fetched
            .batches
            .iter()
            .filter(|entry| entry.is_control())
            .map(|entry| entry.last_offset().get())
            .collect::<Vec<_>>()
    };
    assert_eq!(markers(&mut log), [2, 5], "a marker stays as long as it could be read with its batches");
    for (time, left) in [(0, vec![2, 5]), (RETENTION - 1, vec![2, 5]), (RETENTION, vec![5])] {
        put(&mut log, &[("x", Some("y"))]);
        log.roll(at(0)).unwrap();
        log.compact(at(time)).unwrap();
        assert_eq!(markers(&mut log), left, "after {time} ms");
    }
}

#[test]
fn a_small_map_takes_several_compactions_to_the_same_end() {
    let mut logs = [24 * 8, 1 << 20].map(|compaction_map_bytes| {
        let disk = MemDisk::new();
        let options = OpenOptions { compaction_map_bytes, ..options() };
        LogFile::open(disk, &partition(), options, at(0)).unwrap().0
    });
    let mut left = Vec::new();
    for log in &mut logs {
        for number in 0..60 {
            put(log, &[(&format!("key {}", number % 13), Some(&number.to_string()))]);
        }
        log.roll(at(0)).unwrap();
        let mut rounds = 0;
        while log.compact_anyway(at(0)).unwrap().map_full {
            rounds += 1;
        }
        left.push((rounds > 0, texts(log)));
    }
    assert_eq!((left[0].0, left[1].0), (true, false));
    assert_eq!(left[0].1, left[1].1);
    assert_eq!(left[0].1.len(), 13);
}

#[test]
fn a_batch_that_loses_nothing_keeps_its_bytes_and_a_compressed_one_its_codec() {
    let mut log = new_log();
    put(&mut log, &[("whole", Some("1")), ("too", Some("2"))]);
    let compressed = batch_of(BatchBuilder::new(Codec::Gzip), &[("k", Some("1")), ("l", Some("2"))]);
    log.append(at(0), &compressed).unwrap();
    put(&mut log, &[("k", Some("3"))]);
    log.roll(at(0)).unwrap();
    let before = log.read(Offset::ZERO, 1 << 20, Isolation::LogEnd).unwrap().batches;
    log.compact(at(0)).unwrap();
    let after = log.read(Offset::ZERO, 1 << 20, Isolation::LogEnd).unwrap().batches;
    assert_eq!(after[0].to_bytes(), before[0].to_bytes());
    assert_eq!((after[1].codec(), after[1].last_offset()), (Codec::Gzip, Offset::new(3)));
    assert_eq!(after[1].as_batch().unwrap().record_count(), 1);
    assert_eq!(after[2].to_bytes(), before[2].to_bytes());
}

/// An uncompacted log of two segments in format 1, and one behind them in ours.
fn legacy_segment() -> Vec<u8> {
    let message = |offset: u64, key: &'static [u8], value: Option<&'static [u8]>| NewMessage {
        magic: LegacyMagic::V1,
        offset: Offset::new(offset),
        timestamp: at(0),
        timestamp_type: TimestampType::CreateTime,
        key: Some(key),
        value,
    };
    let mut bytes = Vec::new();
    message(0, b"a", Some(b"1")).append_to(&mut bytes).unwrap();
    let mut inner = Vec::new();
    message(0, b"a", Some(b"2")).append_to(&mut inner).unwrap();
    message(1, b"b", Some(b"3")).append_to(&mut inner).unwrap();
    message(2, b"b", Some(b"4")).append_to(&mut inner).unwrap();
    message(3, b"", None).append_wrapping(Codec::Gzip, &inner, &mut bytes).unwrap();
    message(4, b"gone", None).append_to(&mut bytes).unwrap();
    message(5, b"a", Some(b"5")).append_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn old_formats_are_compacted_in_their_own() {
    let file = ("t-0/00000000000000000000.log".to_owned(), legacy_segment());
    let disk = MemDisk::from_contents(&BTreeMap::from([file]));
    // When the file was last written to is all that dates its tombstone.
    disk.set_now(at(0));
    disk.put("t-0/00000000000000000000.log", legacy_segment()).unwrap();
    let mut log = open(&disk);
    assert_eq!(texts(&mut log).len(), 6);
    log.roll(at(0)).unwrap();
    log.compact(at(0)).unwrap();
    assert_eq!(texts(&mut log), expected(&[(3, "b", Some("4")), (4, "gone", None), (5, "a", Some("5"))]));
    let fetched = log.read(Offset::ZERO, 1 << 20, Isolation::LogEnd).unwrap().batches;
    assert!(fetched.iter().all(|entry| entry.magic() == 1));
    assert_eq!(fetched[0].codec(), Codec::Gzip);
}
