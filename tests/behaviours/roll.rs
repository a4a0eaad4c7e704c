//! LOG: when a log goes on in a new segment.

use ottla::epoch::LeaderEpoch;
use ottla::log::{Isolation, LogConfig};
use ottla::time::Timestamp;

use crate::support::{NOW, Subject, at, batch, batch_at, file, large, later, placed, small};

#[test]
fn log_10_a_full_segment_is_followed_by_one_named_after_the_first_new_offset() {
    // Ten batches of one size, three of which fit.
    let size = batch(&["a"]).size();
    let mut subject = Subject::new(LogConfig { segment_bytes: 3 * size, ..LogConfig::default() });
    for _ in 0..10 {
        subject.log.append(NOW, &batch(&["a"])).unwrap();
    }
    assert_eq!(subject.bases(), [0, 3, 6, 9]);
    let names = subject.disk.contents();
    assert!(["log", "index", "timeindex"].iter().all(|kind| names.contains_key(&file(9, kind))));
    assert_eq!(subject.reopen().bases(), [0, 3, 6, 9]);
}

#[test]
fn log_11_a_log_rolls_by_the_dates_of_its_records_and_never_while_it_is_empty() {
    let config = LogConfig { segment_ms: 1000, timestamp_after_max_ms: i64::MAX, ..LogConfig::default() };
    let mut subject = Subject::new(config);
    subject.log.append(later(100_000), &batch(&["first"])).unwrap();
    assert_eq!(subject.bases(), [0], "an empty segment has no age");
    subject.log.append(later(200_000), &batch_at(later(1000), &["exactly as late as allowed"])).unwrap();
    assert_eq!(subject.bases(), [0], "the clock does not count");
    subject.log.append(NOW, &batch_at(later(1001), &["too late"])).unwrap();
    assert_eq!(subject.bases(), [0, 2]);
    subject.log.append(later(300_000), &batch_at(later(-50_000), &["old"])).unwrap();
    assert_eq!(subject.bases(), [0, 2], "an old date never rolls");
    let mut subject = subject.reopen();
    subject.log.append(NOW, &batch_at(later(2002), &["too late for the second"])).unwrap();
    assert_eq!(subject.bases(), [0, 2, 4], "the age is known after an opening too");
}

#[test]
fn log_11_a_first_batch_without_a_date_ages_by_the_clock() {
    let mut subject = Subject::new(LogConfig { segment_ms: 1000, ..LogConfig::default() });
    subject.log.append(later(10), &batch_at(Timestamp::NONE, &["a"])).unwrap();
    subject.log.append(later(1000), &batch_at(Timestamp::NONE, &["b"])).unwrap();
    assert_eq!(subject.bases(), [0]);
    subject.log.append(later(1001), &batch_at(Timestamp::NONE, &["c"])).unwrap();
    assert_eq!(subject.bases(), [0, 2]);
}

#[test]
fn log_12_with_jitter_a_segment_rolls_early_but_by_no_more_than_it() {
    let (segment_ms, jitter) = (10_000, 3_000);
    let config = LogConfig { segment_ms, segment_jitter_ms: jitter, ..LogConfig::default() };
    let mut subject = Subject::new(config);
    let mut early = Vec::new();
    let (mut first, mut now) = (0, 0);
    subject.log.append(NOW, &batch_at(NOW, &["a"])).unwrap();
    while early.len() < 30 {
        now += 50;
        let segments = subject.bases().len();
        subject.log.append(later(now), &batch_at(later(now), &["a"])).unwrap();
        if subject.bases().len() > segments {
            early.push(segment_ms as i64 - (now - first));
            first = now;
        }
    }
    assert!(early.iter().all(|early| (-50..=jitter as i64).contains(early)), "{early:?}");
    assert!(early.iter().max() > early.iter().min(), "each segment has its own: {early:?}");
}

#[test]
fn log_13_what_has_the_name_of_the_next_segment_is_no_part_of_it() {
    let mut subject = Subject::new(LogConfig { segment_bytes: 300, ..LogConfig::default() });
    subject.fill(1);
    for kind in ["log", "index", "timeindex", "txnindex", "sums"] {
        for base in [3, 6] {
            subject.disk.put(&file(base, kind), [0x55; 68]).unwrap();
        }
    }
    subject.fill(9);
    let bases = subject.bases();
    assert_eq!(bases, [0, 3, 6]);
    for base in &bases[1..] {
        assert!(!subject.disk.contents().contains_key(&file(*base, "txnindex")), "aborts that never were");
    }
    subject.assert_holds(0, 9);
    subject.reopen().assert_holds(0, 9);
}

#[test]
fn log_14_an_empty_segment_that_is_to_roll_is_begun_anew_under_its_name() {
    let mut subject = Subject::new(small());
    assert_eq!(subject.log.roll(NOW).unwrap(), at(0));
    assert_eq!(subject.log.roll(later(5)).unwrap(), at(0));
    assert_eq!(subject.bases(), [0]);
    subject.fill(3);
    assert_eq!(subject.log.roll(NOW).unwrap(), at(3));
    assert_eq!(subject.log.roll(NOW).unwrap(), at(3));
    assert_eq!(subject.bases(), [0, 3]);
    subject.fill(5);
    subject.reopen().assert_holds(0, 5);
}

#[test]
fn log_14_a_segment_whose_index_is_full_is_followed_by_the_next() {
    let config = LogConfig { segment_index_bytes: 24, index_interval_bytes: 0, ..LogConfig::default() };
    let mut subject = Subject::new(config);
    subject.fill(20);
    assert!(subject.bases().len() >= 5, "{:?}", subject.bases());
    let mut subject = subject.reopen();
    subject.fill(30);
    subject.kill().assert_holds(0, 30);
}

#[test]
fn log_15_the_indexes_of_every_segment_hold_whole_real_entries_and_nothing_else() {
    let mut subject = Subject::new(small());
    subject.fill(40);
    let bases = subject.bases();
    let contents = subject.disk.contents();
    for (base, is_active) in bases.iter().map(|base| (*base, Some(base) == bases.last())) {
        let (index, times) = (&contents[&file(base, "index")], &contents[&file(base, "timeindex")]);
        assert!(index.len() % 8 == 0 && times.len() % 12 == 0, "segment {base}");
        assert!(index.chunks(8).all(|entry| entry != [0; 8]), "segment {base}");
        // Where Kafka preallocates the files of the active segment, ours grow with their entries.
        assert!(is_active || !times.is_empty(), "a sealed segment knows its largest timestamp");
        assert!(index.len() < 10 * 8 && times.len() < 10 * 12);
    }
}

#[test]
fn log_10_a_segment_takes_one_batch_as_large_as_itself() {
    let mut subject = Subject::new(LogConfig { segment_bytes: large(500).size(), ..LogConfig::default() });
    for _ in 0..3 {
        subject.log.append(NOW, &large(500)).unwrap();
    }
    assert_eq!(subject.bases(), [0, 1, 2]);
}

#[test]
fn log_03_a_gap_between_segments_is_read_over() {
    let mut subject = Subject::new(small());
    let (one, epoch) = (batch(&["a"]), LeaderEpoch::ZERO);
    subject.log.replicate(NOW, &[placed(0, 0, &one)], epoch).unwrap();
    subject.log.roll(NOW).unwrap();
    subject.log.replicate(NOW, &[placed(9, 0, &one)], epoch).unwrap();
    subject.log.roll(NOW).unwrap();
    subject.log.roll(NOW).unwrap();
    subject.log.replicate(NOW, &[placed(20, 0, &one)], epoch).unwrap();
    let mut subject = subject.reopen();
    for (from, first) in [(0, 0), (1, 9), (5, 9), (9, 9), (10, 20), (15, 20), (20, 20)] {
        assert_eq!(subject.offsets(from, Isolation::LogEnd)[0], first, "from {from}");
    }
}
