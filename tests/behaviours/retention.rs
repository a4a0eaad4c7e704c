//! LOG: what is let go, and moving the log start.

use ottla::disk::{MemDisk, OpenOptions, TrimFault};
use ottla::log::{Breach, Cleanup, Isolation, LogConfig};
use ottla::record::TransactionResult;
use ottla::time::Timestamp;

use crate::support::{
    FIRST_LOG, NOW, Subject, at, batch, batch_at, by_hand, file, later, marker, small, stamp, transactional,
};

/// One batch to a segment, each of one size.
fn one_each(retention: LogConfig) -> LogConfig {
    LogConfig { segment_bytes: batch(&["a"]).size(), ..retention }
}

fn keep_all() -> LogConfig {
    LogConfig { retention_ms: None, retention_bytes: None, ..LogConfig::default() }
}

/// `count` more segments of one record each.
fn segments_of(subject: &mut Subject, count: u64) {
    for _ in 0..count {
        subject.log.append(NOW, &batch(&["a"])).unwrap();
    }
}

/// `count` segments of one record each, dated a second apart from now on.
fn segments(subject: &mut Subject, count: u64) {
    for number in 0..count {
        subject.log.append(NOW, &batch_at(later(1000 * number as i64), &["a"])).unwrap();
    }
    assert_eq!(subject.bases().len() as u64, count);
}

#[test]
fn log_19_only_segments_that_end_at_or_below_the_high_watermark_go() {
    let config = one_each(LogConfig { retention_ms: Some(1), ..keep_all() });
    let mut subject = Subject::open(MemDisk::new(), by_hand(config));
    segments(&mut subject, 10);
    subject.log.advance_high_watermark(at(5));
    let gone = subject.log.retain(later(1 << 40)).unwrap();
    assert_eq!(gone, [0, 1, 2, 3, 4].map(|base| (at(base), Breach::Time)));
    assert_eq!((subject.bases(), subject.start()), ((5..10).collect(), 5));
    assert!(subject.log.retain(later(1 << 40)).unwrap().is_empty());
    subject.log.advance_high_watermark(at(6));
    assert_eq!(subject.log.retain(later(1 << 40)).unwrap().len(), 1);
}

#[test]
fn log_20_the_log_start_does_not_pass_the_high_watermark() {
    let mut subject = Subject::open(MemDisk::new(), by_hand(small()));
    subject.fill(10);
    subject.log.advance_high_watermark(at(5));
    let error = subject.log.trim_to(at(6)).unwrap_err();
    assert!(matches!(error, TrimFault::Trim(error) if (error.to, error.high_watermark) == (at(6), at(5))));
    assert!(subject.log.trim_to(at(5)).unwrap());
    assert!(!subject.log.trim_to(at(4)).unwrap(), "it does not go back");
    assert_eq!(subject.start(), 5);
}

#[test]
fn log_21_segments_wholly_below_the_log_start_go_at_the_next_retention() {
    let mut subject = Subject::new(LogConfig { cleanup: Cleanup::Keep, ..small() });
    subject.fill(30);
    let bases = subject.bases();
    subject.log.trim_to(at(bases[1] + 1)).unwrap();
    assert_eq!(subject.bases(), bases, "not at once");
    assert!(subject.log.read(at(bases[1]), 1, Isolation::LogEnd).is_err());
    let gone = subject.log.retain(NOW).unwrap();
    assert_eq!(gone, [(at(0), Breach::LogStart)]);
    assert_eq!((subject.bases(), subject.start()), (bases[1..].to_vec(), bases[1] + 1));
    assert!(!subject.disk.contents().contains_key(FIRST_LOG));
    let start = subject.start();
    subject.assert_holds(start, 30);
    subject.kill().assert_holds(start, 30);
}

#[test]
fn log_22_where_everything_is_too_old_an_empty_segment_is_left_at_the_end() {
    let mut subject = Subject::new(one_each(LogConfig { retention_ms: Some(1000), ..keep_all() }));
    segments(&mut subject, 4);
    let gone = subject.log.retain(later(1 << 40)).unwrap();
    assert_eq!(gone.len(), 4);
    assert_eq!((subject.bases(), subject.start(), subject.end()), (vec![4], 4, 4));
    assert!(subject.log.retain(later(1 << 50)).unwrap().is_empty(), "an empty segment has no age");
    let mut subject = subject.kill();
    assert_eq!((subject.bases(), subject.start(), subject.end()), (vec![4], 4, 4));
    subject.log.append(NOW, &batch(&["a"])).unwrap();
    assert_eq!(subject.reopen().offsets(4, Isolation::LogEnd), [4]);
}

#[test]
fn log_22_retention_by_time_in_a_table() {
    // Dates of four segments in seconds from now, retention in seconds, now in seconds; how many go.
    let table: [([i64; 4], u64, i64, usize); 7] = [
        ([0, 1, 2, 3], 10, 10, 0),
        ([0, 1, 2, 3], 10, 11, 1),
        ([0, 1, 2, 3], 10, 13, 3),
        // The oldest is the one that counts: a later one of an older date waits for it.
        ([5, 0, 0, 9], 10, 14, 0),
        ([5, 0, 0, 9], 10, 16, 3),
        // A date in the future keeps its segment and all behind it.
        ([0, 3000, 0, 0], 10, 100, 1),
        ([0, 1, 2, 3], 0, 2, 2),
    ];
    for (dates, keep, now, count) in table {
        let retention_ms = Some(keep * 1000);
        let after = i64::MAX;
        let config = LogConfig { retention_ms, timestamp_after_max_ms: after, segment_ms: u64::MAX, ..keep_all() };
        let mut subject = Subject::new(one_each(config));
        for date in dates {
            subject.log.append(NOW, &batch_at(later(1000 * date), &["a"])).unwrap();
        }
        let gone = subject.log.retain(later(1000 * now)).unwrap();
        assert_eq!(gone.len(), count, "{dates:?} kept for {keep} s at {now} s");
    }
}

#[test]
fn log_22_records_without_a_date_age_from_when_they_were_written() {
    let mut subject = Subject::new(one_each(LogConfig { retention_ms: Some(1000), ..keep_all() }));
    subject.log.append(NOW, &batch_at(Timestamp::NONE, &["a"])).unwrap();
    subject.log.append(NOW, &batch_at(Timestamp::NONE, &["a"])).unwrap();
    assert!(subject.log.retain(later(1000)).unwrap().is_empty());
    assert_eq!(subject.log.retain(later(1001)).unwrap().len(), 2);
}

#[test]
fn log_23_the_oldest_segments_go_while_enough_is_left() {
    let size = u64::from(batch(&["a"]).size());
    // How much is kept of 7 segments; how many are left.
    for (keep, left) in [(5 * size, 5), (5 * size + 1, 6), (5 * size - 1, 5), (7 * size, 7), (8 * size, 7), (0, 1)] {
        let mut subject = Subject::new(one_each(LogConfig { retention_bytes: Some(keep), ..keep_all() }));
        segments(&mut subject, 7);
        let gone = subject.log.retain(NOW).unwrap();
        assert!(gone.iter().all(|(_, breach)| *breach == Breach::Size));
        assert_eq!(subject.bases().len(), left, "{keep} bytes kept");
        assert!(subject.log.log().size() >= keep.min(7 * size));
        assert_eq!(subject.bases()[0], subject.start());
    }
}

#[test]
fn log_24_25_retention_by_size_and_time_is_for_policies_that_delete() {
    let policies = [(Cleanup::Compact, 0), (Cleanup::Keep, 0), (Cleanup::Delete, 5), (Cleanup::CompactAndDelete, 5)];
    for (cleanup, count) in policies {
        for limit in
            [LogConfig { retention_ms: Some(0), ..keep_all() }, LogConfig { retention_bytes: Some(0), ..keep_all() }]
        {
            let mut subject = Subject::new(one_each(LogConfig { cleanup, ..limit }));
            segments(&mut subject, 5);
            assert_eq!(subject.log.retain(later(1 << 40)).unwrap().len(), count, "{cleanup:?}");
        }
    }
}

#[test]
fn log_26_a_deleted_segment_is_gone_at_once_with_all_its_files() {
    let mut subject = Subject::new(one_each(LogConfig { retention_bytes: Some(0), ..keep_all() }));
    segments(&mut subject, 3);
    assert!(subject.disk.contents().contains_key(&file(1, "snapshot")));
    subject.log.retain(NOW).unwrap();
    let contents = subject.disk.contents();
    for kind in ["log", "index", "timeindex", "sums", "snapshot"] {
        assert!(!contents.contains_key(&file(0, kind)) && !contents.contains_key(&file(1, kind)), "{kind}");
    }
}

#[test]
fn log_26_with_a_delay_deleted_files_stay_as_deleted_and_then_go() {
    // Room for one marker.
    let config = LogConfig { retention_bytes: Some(0), segment_bytes: 80, ..keep_all() };
    let delayed = OpenOptions { file_delete_delay_ms: 60_000, ..crate::support::options(config) };
    let mut subject = Subject::open(MemDisk::new(), delayed);
    subject.log.append(NOW, &transactional(stamp(1, 0, 0), 1)).unwrap();
    subject.mark(&marker(1, 0, TransactionResult::Abort, 0));
    segments_of(&mut subject, 3);
    let deleted = |subject: &Subject| -> Vec<String> {
        let contents = subject.disk.contents();
        contents.keys().filter(|name| name.ends_with(".deleted")).cloned().collect()
    };
    let before = subject.disk.contents();
    subject.log.retain(NOW).unwrap();
    let renamed = deleted(&subject);
    // SEG-10: every file that was there, also the transaction index.
    for kind in ["log", "index", "timeindex", "sums", "snapshot", "txnindex"] {
        let name = file(1, kind);
        assert_eq!(before.contains_key(&name), renamed.contains(&format!("{name}.deleted")), "{kind}");
        assert!(!subject.disk.contents().contains_key(&name));
    }
    assert!(before.contains_key(&file(1, "txnindex")));
    assert_eq!(subject.log.remove_deleted(later(59_999)).unwrap(), 0);
    assert_eq!(deleted(&subject), renamed);
    assert_eq!(subject.log.remove_deleted(later(60_000)).unwrap(), renamed.len());
    assert!(deleted(&subject).is_empty());
    subject.log.append(NOW, &batch(&["a"])).unwrap();
    subject.log.truncate_fully_and_start_at(at(9), NOW).unwrap();
    assert!(!deleted(&subject).is_empty());
    let subject = subject.kill();
    assert!(deleted(&subject).is_empty(), "an opening waits for nothing");
}

#[test]
fn retention_gives_space_back_while_a_write_waits_for_it() {
    let mut subject = Subject::new(LogConfig { retention_bytes: Some(0), ..one_each(keep_all()) });
    segments(&mut subject, 20);
    subject.disk.set_capacity(Some(subject.disk.held()));
    let end = subject.end();
    while subject.log.append(NOW, &batch(&["a"])).is_ok() {}
    subject.log.retain(NOW).unwrap();
    assert!(subject.bases().len() <= 2, "{:?}", subject.bases());
    subject.log.append(NOW, &batch(&["a"])).unwrap();
    assert!(subject.end() > end);
}
