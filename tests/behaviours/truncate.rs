//! LOG: cutting off the end.

use ottla::disk::MemDisk;
use ottla::epoch::LeaderEpoch;
use ottla::log::{Isolation, LogConfig};
use ottla::offset::Offset;

use crate::support::{NOW, Subject, at, batch, by_hand, file, small};

#[test]
fn log_16_a_truncation_cuts_what_lies_behind_it_and_appends_go_on_there() {
    for config in [small(), LogConfig { tail_cache_bytes: 1 << 20, ..LogConfig::default() }] {
        let mut subject = Subject::open(MemDisk::new(), by_hand(config));
        subject.fill(10);
        for to in [10, 11, 1000] {
            assert!(!subject.log.truncate_to(at(to), NOW).unwrap());
        }
        subject.assert_holds(0, 10);
        assert!(subject.log.truncate_to(at(5), NOW).unwrap());
        subject.assert_holds(0, 5);
        assert!(subject.log.read(at(6), 1, Isolation::LogEnd).is_err());
        let appended = subject.log.append(NOW, &batch(&["value 5"])).unwrap();
        assert_eq!(appended.base_offset, at(5));
        let mut subject = subject.kill();
        subject.assert_holds(0, 6);
        subject.log.truncate_to(at(0), NOW).unwrap();
        assert_eq!((subject.end(), subject.log.log().size(), subject.bases()), (0, 0, vec![0]));
        subject.fill(3);
        subject.reopen().assert_holds(0, 3);
    }
}

#[test]
fn log_16_a_batch_that_holds_the_target_goes_whole_and_leaves_a_gap() {
    let mut subject = Subject::open(MemDisk::new(), by_hand(small()));
    subject.log.append(NOW, &batch(&["a", "b", "c"])).unwrap();
    subject.log.append(NOW, &batch(&["d", "e", "f"])).unwrap();
    subject.log.truncate_to(at(4), NOW).unwrap();
    assert_eq!((subject.end(), subject.offsets(0, Isolation::LogEnd)), (4, vec![0, 1, 2]));
    assert!(subject.offsets(3, Isolation::LogEnd).is_empty());
    subject.log.append(NOW, &batch(&["g"])).unwrap();
    assert_eq!(subject.offsets(3, Isolation::LogEnd), [4]);
    let mut subject = subject.reopen();
    assert_eq!((subject.end(), subject.offsets(0, Isolation::LogEnd)), (5, vec![0, 1, 2, 4]));
}

#[test]
fn log_16_epochs_at_or_past_the_end_are_forgotten_also_where_no_record_is() {
    let mut subject = Subject::open(MemDisk::new(), by_hand(small()));
    subject.fill(10);
    subject.log.begin_epoch(LeaderEpoch::new(4)).unwrap();
    assert_eq!(subject.log.log().epochs().latest(), Some(LeaderEpoch::new(4)));
    assert!(!subject.log.truncate_to(at(10), NOW).unwrap());
    assert_eq!(subject.log.log().epochs().latest(), Some(LeaderEpoch::ZERO));
    subject.log.truncate_to(at(0), NOW).unwrap();
    assert_eq!(subject.log.log().epochs().latest(), None);
}

#[test]
fn log_16_the_high_watermark_falls_with_a_truncation_below_it() {
    let mut subject = Subject::open(MemDisk::new(), by_hand(small()));
    subject.fill(20);
    subject.log.advance_high_watermark(at(15));
    subject.log.truncate_to(at(7), NOW).unwrap();
    assert_eq!(subject.log.log().high_watermark(), at(7));
    subject.fill(12);
    subject.assert_holds(0, 12);
    subject.kill().assert_holds(0, 12);
}

#[test]
fn log_16_a_truncation_below_the_log_start_lowers_it_and_one_below_all_segments_begins_anew() {
    let mut subject = Subject::new(small());
    subject.fill(30);
    subject.log.trim_to(at(8)).unwrap();
    subject.log.retain(NOW).unwrap();
    let first = subject.bases()[0];
    assert!((3..=8).contains(&first));
    subject.log.truncate_to(at(7), NOW).unwrap();
    assert_eq!((subject.start(), subject.end()), (7, 7));
    subject.fill(9);
    subject.log.truncate_to(at(first - 1), NOW).unwrap();
    assert_eq!((subject.start(), subject.end(), subject.bases()), (first - 1, first - 1, vec![first - 1]));
    subject.fill(9);
    subject.kill().assert_holds(first - 1, 9);
}

#[test]
fn log_17_a_negative_offset_cannot_be_said() {
    // Kafka answers with an error; here there is no such offset, so that no call can name one.
    assert_eq!(Offset::from_i64(-1), None);
    assert_eq!(Offset::from_i64(i64::MIN), None);
}

#[test]
fn log_18_a_full_truncation_begins_anew_with_nothing_of_before() {
    for to in [0, 5, 100] {
        let mut subject = Subject::new(small());
        subject.fill(20);
        subject.log.truncate_fully_and_start_at(at(to), NOW).unwrap();
        let log = subject.log.log();
        let ends = [log.log_start_offset(), log.high_watermark(), log.log_end_offset(), log.flushed()];
        assert_eq!(ends, [at(to); 4]);
        assert_eq!(log.epochs().latest(), None);
        assert_eq!(subject.bases(), [to]);
        let contents = subject.disk.contents();
        let logs: Vec<&String> = contents.keys().filter(|name| name.ends_with(".log")).collect();
        assert_eq!(logs, [&file(to, "log")]);
        subject.fill(to + 3);
        let mut subject = subject.kill();
        subject.assert_holds(to, to + 3);
        assert_eq!(subject.start(), to);
    }
}
