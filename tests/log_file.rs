//! What a user of one log sees: append, read, crash, open again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ottla::disk::mem::Fails;
use ottla::disk::{
    AppendFault, DiskErrorKind, FetchError, HighWatermarkRule, LogFile, MARKS_FILE, MemDisk, OpenError, OpenOptions,
    OverlayDisk, Shutdown, TimeQuery, TruncateFault,
};
use ottla::epoch::LeaderEpoch;
use ottla::id::TopicPartition;
use ottla::log::{Isolation, LogConfig};
use ottla::offset::Offset;
use ottla::record::{Batch, BatchBuilder, Codec, DecompressLimit, NewRecord};
use ottla::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn partition() -> TopicPartition {
    TopicPartition::parse("t-0").unwrap()
}

fn batch(values: &[&str]) -> Batch {
    batch_at(NOW, values)
}

fn batch_at(timestamp: Timestamp, values: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(Codec::None);
    for value in values {
        builder.push(&NewRecord { timestamp, key: None, value: Some(value.as_bytes()), headers: &[] }).unwrap();
    }
    builder.build().unwrap()
}

fn small() -> OpenOptions {
    OpenOptions {
        config: LogConfig {
            segment_bytes: 600,
            index_interval_bytes: 100,
            tail_cache_bytes: 0,
            ..LogConfig::default()
        },
        ..OpenOptions::default()
    }
}

fn open(disk: &MemDisk) -> LogFile<MemDisk> {
    LogFile::open(disk.clone(), &partition(), small(), NOW).unwrap().0
}

/// Every value from `from` on, with its offset.
fn values(log: &mut LogFile<MemDisk>, from: u64) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut from = Offset::new(from);
    loop {
        let fetched = log.read(from, 200, Isolation::HighWatermark).unwrap();
        let Some(last) = fetched.batches.last() else { return found };
        for entry in &fetched.batches {
            for record in entry.records(DecompressLimit::default()).unwrap().iter() {
                let record = record.unwrap();
                if record.offset >= from {
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    found.push((record.offset.get(), value));
                }
            }
        }
        from = last.next_offset();
    }
}

fn fill(log: &mut LogFile<MemDisk>, count: u64) {
    for number in log.log().log_end_offset().get()..count {
        log.append(NOW, &batch(&[&format!("value {number}")])).unwrap();
    }
}

fn expected(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..to).map(|number| (number, format!("value {number}"))).collect()
}

#[test]
fn log_01_records_get_consecutive_offsets_and_read_back() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    log.append(NOW, &batch(&["value 0", "value 1", "value 2"])).unwrap();
    let appended = log.append(NOW, &batch(&["value 3", "value 4", "value 5"])).unwrap();
    assert_eq!((appended.base_offset.get(), appended.last_offset.get()), (3, 5));
    assert_eq!(log.log().log_end_offset(), Offset::new(6));
    assert_eq!(values(&mut log, 0), expected(0, 6));
    assert_eq!(values(&mut log, 4), expected(4, 6));
}

#[test]
fn log_10_a_full_segment_rolls_and_all_of_it_reads_back_also_after_a_close() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 50);
    assert!(log.log().segments().count() > 5);
    for from in 0..50 {
        assert_eq!(values(&mut log, from), expected(from, 50));
    }
    log.close().unwrap();
    let (mut log, report) = LogFile::open(disk, &partition(), small(), NOW).unwrap();
    assert_eq!(report.shutdown, Shutdown::Clean);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.scanned_bytes, 0);
    for from in 0..50 {
        assert_eq!(values(&mut log, from), expected(from, 50));
    }
}

#[test]
fn what_was_written_survives_a_kill() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 20);
    log.flush().unwrap();
    fill(&mut log, 50);
    disk.kill();
    let (mut log, report) = LogFile::open(disk, &partition(), small(), NOW).unwrap();
    assert_eq!(report.shutdown, Shutdown::Unclean);
    assert!(report.torn.is_none() && report.corrupt.is_empty(), "{report}");
    assert_eq!(values(&mut log, 0), expected(0, 50));
    assert_eq!(log.leader_epoch().get(), 1, "an opening that was not clean begins a new reign");
    fill(&mut log, 60);
    assert_eq!(values(&mut log, 45), expected(45, 60));
}

#[test]
fn log_16_truncation_cuts_whole_batches_also_after_an_opening() {
    for reopen in [false, true] {
        let disk = MemDisk::new();
        let by_hand = OpenOptions { high_watermark: HighWatermarkRule::ByHand, ..small() };
        let (mut log, _) = LogFile::open(disk.clone(), &partition(), by_hand.clone(), NOW).unwrap();
        fill(&mut log, 50);
        if reopen {
            log.close().unwrap();
            log = LogFile::open(disk.clone(), &partition(), by_hand, NOW).unwrap().0;
        }
        assert!(!log.truncate_to(Offset::new(60), NOW).unwrap());
        assert!(log.truncate_to(Offset::new(33), NOW).unwrap());
        assert_eq!(log.log().log_end_offset(), Offset::new(33));
        fill(&mut log, 40);
        log.advance_high_watermark(Offset::new(40));
        assert_eq!(values(&mut log, 0), expected(0, 40), "reopen {reopen}");
        log.truncate_to(Offset::ZERO, NOW).unwrap();
        assert_eq!(log.log().size(), 0);
    }
}

#[test]
fn log_04_a_read_outside_the_log_names_both_ends() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 10);
    assert!(log.read(Offset::new(10), 100, Isolation::HighWatermark).unwrap().batches.is_empty());
    let error = log.read(Offset::new(11), 100, Isolation::HighWatermark).unwrap_err();
    assert!(matches!(error, FetchError::Range(_)), "{error}");
    assert_eq!(error.to_string(), "offset 11 is outside 0 to 10");
    log.trim_to(Offset::new(3)).unwrap();
    assert!(log.read(Offset::new(2), 100, Isolation::HighWatermark).is_err());
}

#[test]
fn a_log_start_moved_by_hand_survives_a_kill_at_once() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 30);
    log.trim_to(Offset::new(17)).unwrap();
    disk.kill();
    assert_eq!(open(&disk).log().log_start_offset(), Offset::new(17));
}

#[test]
fn seg_05_a_record_is_found_by_its_date() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    for number in 0..10 {
        log.append(NOW, &batch_at(Timestamp::from_millis(400 + 10 * number), &["a", "b"])).unwrap();
    }
    let mut find = |millis| {
        let query = TimeQuery::At(Timestamp::from_millis(millis));
        log.offset_for_timestamp(query).unwrap().map(|found| found.offset.get())
    };
    assert_eq!(find(420), Some(4));
    assert_eq!(find(421), Some(6));
    assert_eq!(find(491), None);
    assert_eq!(find(399), Some(0));
    assert_eq!(log.offset_for_timestamp(TimeQuery::Newest).unwrap().unwrap().offset, Offset::new(18));
}

#[test]
fn the_newest_record_is_one_that_can_be_read() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    let date = |millis: i64| Timestamp::from_millis(NOW.as_millis() + millis);
    // In the first segment 9 is the latest date, 5 the one behind it, twice, in the same batch and in the next.
    for dates in [[1, 9], [3, 5], [5, 2], [4, 0]] {
        let mut builder = BatchBuilder::new(Codec::None);
        for millis in dates {
            builder.push(&NewRecord::new(date(millis), None, Some(b"value"))).unwrap();
        }
        log.append(NOW, &builder.build().unwrap()).unwrap();
    }
    let newest = |log: &mut LogFile<MemDisk>| {
        let found = log.offset_for_timestamp(TimeQuery::Newest).unwrap();
        found.map(|found| (found.offset.get(), found.timestamp.as_millis() - NOW.as_millis()))
    };
    assert_eq!(newest(&mut log), Some((1, 9)));
    log.roll(NOW).unwrap();
    let trimmed = [(2, Some((3, 5))), (3, Some((3, 5))), (4, Some((4, 5))), (5, Some((6, 4))), (7, Some((7, 0)))];
    for (start, expected) in trimmed {
        log.trim_to(Offset::new(start)).unwrap();
        assert_eq!(newest(&mut log), expected, "from {start} on");
    }
    log.append(NOW, &batch_at(date(-1), &["older"])).unwrap();
    assert_eq!(newest(&mut log), Some((7, 0)));
    log.append(NOW, &batch_at(date(2), &["newer"])).unwrap();
    assert_eq!(newest(&mut log), Some((9, 2)));
    log.trim_to(Offset::new(10)).unwrap();
    assert_eq!(newest(&mut log), None);
}

#[test]
fn rec_11_a_second_opener_is_refused_and_writes_nothing() {
    let disk = MemDisk::new();
    let _log = open(&disk);
    let before = disk.digest();
    let second = LogFile::open(disk.clone(), &partition(), small(), NOW);
    assert!(matches!(second, Err(OpenError::AlreadyOpen)), "{second:?}");
    assert_eq!(disk.digest(), before);
}

#[test]
fn a_full_disk_refuses_before_anything_changes_and_goes_on_by_itself() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 5);
    disk.set_capacity(Some(disk.held()));
    let mut refused = 0;
    for number in 5..20 {
        match log.append(NOW, &batch(&[&format!("value {number}")])) {
            Ok(_) => assert_eq!(refused, 0),
            Err(AppendFault::Full { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    let end = log.log().log_end_offset().get();
    assert_eq!(values(&mut log, 0), expected(0, end), "reads go on meanwhile");
    disk.set_capacity(None);
    fill(&mut log, 30);
    assert_eq!(values(&mut log, 0), expected(0, 30));
}

#[test]
fn a_look_beside_a_live_writer_reads_all_and_writes_nothing() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 40);
    log.flush().unwrap();
    fill(&mut log, 45);
    let before = disk.digest();
    let overlay = OverlayDisk::new(disk.clone());
    let (mut view, report) = LogFile::open(overlay, &partition(), small(), NOW).unwrap();
    assert_eq!(report.log_end_offset, Offset::new(45));
    let fetched = view.read(Offset::new(44), 1000, Isolation::HighWatermark).unwrap();
    assert_eq!(fetched.batches.last().unwrap().next_offset(), Offset::new(45));
    assert_eq!(disk.digest(), before);
    fill(&mut log, 50);
    assert_eq!(values(&mut log, 0), expected(0, 50));
}

/// The offsets that read back, and how many reads were refused.
fn readable(log: &mut LogFile<MemDisk>, end: u64) -> (Vec<u64>, usize) {
    let (mut found, mut refused) = (Vec::new(), 0);
    for offset in 0..end {
        match log.read(Offset::new(offset), 1, Isolation::HighWatermark) {
            Ok(fetched) => {
                for entry in fetched.batches {
                    for record in entry.records(DecompressLimit::default()).unwrap().iter() {
                        let record = record.unwrap();
                        let value = format!("value {}", record.offset);
                        assert_eq!(record.value.unwrap(), value.as_bytes(), "a wrong byte was served");
                        found.push(record.offset.get());
                    }
                }
            }
            Err(_) => refused += 1,
        }
    }
    (found, refused)
}

#[test]
fn a_flipped_bit_costs_its_batch_and_no_other() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 30);
    log.close().unwrap();
    // A byte of a value, well inside the first batch of the first segment.
    disk.flip_bit("t-0/00000000000000000000.log", 70, 3).unwrap();
    let mut log = open(&disk);
    let (found, refused) = readable(&mut log, 30);
    assert_eq!((found, refused), ((1..30).collect(), 1));
}

#[test]
fn a_flipped_bit_outside_the_checksum_of_a_batch_is_seen_by_that_of_its_block_and_costs_no_other() {
    for byte in 0..17 {
        let disk = MemDisk::new();
        let mut log = open(&disk);
        fill(&mut log, 30);
        log.close().unwrap();
        disk.flip_bit("t-0/00000000000000000000.log", byte, 0).unwrap();
        let mut log = open(&disk);
        let (found, refused) = readable(&mut log, 30);
        assert_eq!((found, refused), ((1..30).collect(), 1), "byte {byte}");
    }
}

#[test]
fn a_directory_that_was_closed_does_not_say_so_beside_an_open_log() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 10);
    let dir = log.close().unwrap();
    assert!(disk.contents().contains_key(".kafka_cleanshutdown"));
    let (mut log, report) = LogFile::open_in(dir, &partition(), small(), NOW).unwrap();
    assert_eq!(report.shutdown, Shutdown::Clean);
    assert!(!disk.contents().contains_key(".kafka_cleanshutdown"));
    fill(&mut log, 30);
    log.flush().unwrap();
    disk.kill();
    let (mut log, report) = LogFile::open(disk, &partition(), small(), NOW).unwrap();
    assert_eq!(report.shutdown, Shutdown::Unclean);
    assert_eq!(values(&mut log, 0), expected(0, 30));
}

#[test]
fn a_log_that_was_left_counts_as_killed() {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    fill(&mut log, 5);
    let dir = log.close().unwrap();
    let (mut log, _) = LogFile::open_in(dir, &partition(), small(), NOW).unwrap();
    fill(&mut log, 9);
    let (mut log, report) = LogFile::open_in(log.leave(), &partition(), small(), NOW).unwrap();
    assert_eq!(report.shutdown, Shutdown::Unclean);
    assert_eq!(values(&mut log, 0), expected(0, 9));
}

#[test]
fn a_rotten_digit_in_a_checkpoint_of_kafkas_deletes_nothing() {
    for (from, to) in [("t 0 20", "t 0 90"), ("t 0 20", "t 0 28"), ("t 0 20", "t 0 9223372036854775807")] {
        for name in ["log-start-offset-checkpoint", "recovery-point-offset-checkpoint"] {
            let disk = MemDisk::new();
            let mut log = open(&disk);
            fill(&mut log, 20);
            log.trim_to(Offset::new(20)).unwrap();
            fill(&mut log, 30);
            log.close().unwrap();
            let rotten = format!("0\n1\n{to}\n");
            assert!(String::from_utf8_lossy(&disk.contents()["log-start-offset-checkpoint"]).contains(from));
            disk.put(name, rotten.into_bytes()).unwrap();
            for _ in 0..2 {
                let mut log = open(&disk);
                assert_eq!(log.log().log_start_offset(), Offset::new(20), "{name} {to}");
                assert_eq!(values(&mut log, 20), expected(20, 30), "{name} {to}");
                log.close().unwrap();
            }
        }
    }
}

#[test]
fn what_an_opening_reads_behind_the_mark_is_in_the_index_files_too() {
    let disk = MemDisk::new();
    let options = || OpenOptions {
        config: LogConfig { index_interval_bytes: 100, tail_cache_bytes: 0, ..LogConfig::default() },
        ..OpenOptions::default()
    };
    let mut log = LogFile::open(disk.clone(), &partition(), options(), NOW).unwrap().0;
    fill(&mut log, 10);
    log.flush().unwrap();
    fill(&mut log, 40);
    disk.kill();
    let mut log = LogFile::open(disk.clone(), &partition(), options(), NOW).unwrap().0;
    fill(&mut log, 60);
    log.flush().unwrap();
    let index = disk.contents()["t-0/00000000000000000000.index"].clone();
    let positions: Vec<u32> = index.chunks(8).map(|entry| u32::from_be_bytes(entry[4..].try_into().unwrap())).collect();
    assert!(positions.len() > 10 && positions.windows(2).all(|pair| pair[0] < pair[1]), "{positions:?}");
}

#[test]
fn a_log_that_only_rolls_holds_a_bounded_number_of_files() {
    let disk = MemDisk::new();
    let options = OpenOptions { open_files_max: 8, ..small() };
    let mut log = LogFile::open(disk, &partition(), options, NOW).unwrap().0;
    for round in 1..20 {
        fill(&mut log, round * 20);
        log.flush().unwrap();
    }
    assert!(log.open_files() <= 12, "{} files are open", log.open_files());
    assert_eq!(values(&mut log, 0), expected(0, 380));
}

#[test]
fn a_gap_makes_the_mark_durable_once_and_not_with_each_flush_from_then_on() {
    let disk = MemDisk::new();
    let options = OpenOptions { config: LogConfig { segment_bytes: 100, ..small().config }, ..small() };
    let (mut log, _) = LogFile::open(disk.clone(), &partition(), options, NOW).unwrap();
    let trails_behind = |log: &mut LogFile<MemDisk>, offset: u64| {
        let batch = batch(&["v"]).stamped(Offset::new(offset), Some(LeaderEpoch::ZERO)).unwrap();
        log.replicate(NOW, &[batch], LeaderEpoch::ZERO).unwrap();
        log.flush().unwrap();
        disk.unsynced().contains(MARKS_FILE)
    };
    assert!(!trails_behind(&mut log, 0), "the first flush of a reign tells of it durably");
    assert!(trails_behind(&mut log, 1));
    assert!(!trails_behind(&mut log, 10), "what is missing in front of this segment was missing on the leader too");
    assert!(trails_behind(&mut log, 11) && trails_behind(&mut log, 12), "and that is known now");
    assert!(!trails_behind(&mut log, 20));
    log.truncate_to(Offset::new(1), NOW).unwrap();
    assert!(trails_behind(&mut log, 1));
    assert!(!trails_behind(&mut log, 7), "where there was no gap before the truncation");
}

#[test]
fn a_truncation_that_fails_leaves_a_log_that_says_what_its_files_say() {
    let io = || DiskErrorKind::Io { code: Some(5), message: "Input/output error".to_owned() };
    let mut refused = 0;
    for call in 0.. {
        let disk = MemDisk::new();
        let (mut log, _) = LogFile::open(disk.clone(), &partition(), OpenOptions::default(), NOW).unwrap();
        for value in ["a", "b", "c"] {
            log.append(NOW, &batch(&[value])).unwrap();
        }
        disk.fail_at(disk.calls() + call, io(), Fails::Once);
        match log.truncate_to(Offset::new(1), NOW) {
            Ok(_) => break,
            Err(fault) => assert!(matches!(fault, TruncateFault::Disk(_)), "{fault}"),
        }
        if log.append(NOW, &batch(&["d"])).is_err() {
            refused += 1;
            continue;
        }
        log.flush().unwrap();
        let said = values(&mut log, 0);
        drop(log);
        let (mut log, _) = LogFile::open(disk, &partition(), OpenOptions::default(), NOW).unwrap();
        assert_eq!(values(&mut log, 0), said, "call {call} of the truncation failed");
    }
    assert!(refused > 0, "behind a call that has changed something nothing is appended");
}
