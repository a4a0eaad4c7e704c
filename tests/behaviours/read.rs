//! LOG: what a read gets.

use ottla::disk::{FetchError, MemDisk, TimeQuery};
use ottla::epoch::LeaderEpoch;
use ottla::log::{Isolation, LogConfig, ReadError};
use ottla::time::Timestamp;

use crate::support::{NOW, Subject, at, batch, batch_at, by_hand, large, offsets_of, small};

#[test]
fn log_04_a_read_at_the_end_is_empty_and_one_outside_names_both_ends() {
    let mut subject = Subject::new(small());
    subject.fill(10);
    subject.log.trim_to(at(3)).unwrap();
    assert!(subject.offsets(10, Isolation::HighWatermark).is_empty());
    for requested in [at(11), at(2), at(u64::MAX >> 1)] {
        let error = subject.log.read(requested, 1, Isolation::HighWatermark).unwrap_err();
        let (log_start_offset, log_end_offset) = (at(3), at(10));
        assert_eq!(error, FetchError::Range(ReadError::OutOfRange { requested, log_start_offset, log_end_offset }));
    }
    assert_eq!(subject.offsets(3, Isolation::HighWatermark)[0], 3);
}

#[test]
fn log_05_a_first_batch_larger_than_asked_for_comes_whole() {
    for tail_cache_bytes in [0, 1 << 20] {
        let mut subject = Subject::new(LogConfig { tail_cache_bytes, ..LogConfig::default() });
        subject.log.append(NOW, &large(500)).unwrap();
        subject.log.append(NOW, &large(500)).unwrap();
        // LOG-06: where Kafka can be told to cut a batch short, a read here always gets on.
        for bytes_max in [0, 1] {
            let fetched = subject.log.read(at(0), bytes_max, Isolation::LogEnd).unwrap();
            assert_eq!(offsets_of(&fetched), [0], "of {bytes_max} bytes");
        }
    }
}

#[test]
fn log_06_a_read_returns_whole_batches_of_at_most_the_bytes_asked_for() {
    for tail_cache_bytes in [0, 1 << 20] {
        let mut subject = Subject::new(LogConfig { tail_cache_bytes, ..LogConfig::default() });
        let size = large(100).size();
        for _ in 0..5 {
            subject.log.append(NOW, &large(100)).unwrap();
        }
        for (bytes_max, count) in [(size, 1), (2 * size - 1, 1), (2 * size, 2), (3 * size + 1, 3), (100 * size, 5)] {
            let fetched = subject.log.read(at(0), bytes_max, Isolation::LogEnd).unwrap();
            assert_eq!(fetched.batches.len(), count, "{bytes_max} bytes, cache of {tail_cache_bytes}");
        }
    }
}

#[test]
fn log_07_a_read_goes_as_far_as_its_isolation_lets_it() {
    for tail_cache_bytes in [0, 1 << 20] {
        let config = LogConfig { tail_cache_bytes, ..small() };
        let mut subject = Subject::open(MemDisk::new(), by_hand(config));
        subject.fill(10);
        subject.log.advance_high_watermark(at(5));
        assert!(subject.offsets(5, Isolation::HighWatermark).is_empty());
        assert!(subject.offsets(7, Isolation::HighWatermark).is_empty(), "past the high watermark is no error");
        let up_to_end: Vec<u64> = (5..10).collect();
        let mut found = Vec::new();
        while found.len() < 5 {
            found.extend(subject.offsets(5 + found.len() as u64, Isolation::LogEnd));
        }
        assert_eq!(found, up_to_end);
        let fetched = subject.fetch(4, Isolation::HighWatermark);
        assert_eq!(offsets_of(&fetched), [4]);
        assert_eq!((fetched.high_watermark, fetched.log_end_offset), (at(5), at(10)));
    }
}

#[test]
fn log_34_ends_and_dates_are_answered_with_their_leader_epoch() {
    let mut subject = Subject::new(small());
    assert_eq!(subject.log.offset_for_timestamp(TimeQuery::Newest).unwrap(), None);
    subject.log.begin_epoch(LeaderEpoch::new(3)).unwrap();
    for millis in [100, 300, 200] {
        subject.log.append(NOW, &batch_at(Timestamp::from_millis(millis), &["a"])).unwrap();
    }
    subject.log.begin_epoch(LeaderEpoch::new(5)).unwrap();
    for millis in [300, 250] {
        subject.log.append(NOW, &batch_at(Timestamp::from_millis(millis), &["a"])).unwrap();
    }
    let mut ask = |query| {
        let found = subject.log.offset_for_timestamp(query).unwrap();
        found.map(|found| (found.offset.get(), found.timestamp.as_millis(), found.leader_epoch.unwrap().get()))
    };
    assert_eq!(ask(TimeQuery::Newest), Some((1, 300, 3)), "of several, the first");
    assert_eq!(ask(TimeQuery::At(Timestamp::from_millis(0))), Some((0, 100, 3)));
    assert_eq!(ask(TimeQuery::At(Timestamp::from_millis(101))), Some((1, 300, 3)));
    assert_eq!(ask(TimeQuery::At(Timestamp::from_millis(301))), None);
    let log = subject.log.log();
    assert_eq!(log.epochs().epoch_for(log.log_start_offset()), Some(LeaderEpoch::new(3)), "earliest");
    assert_eq!(log.epochs().latest(), Some(LeaderEpoch::new(5)), "latest");
    subject.log.trim_to(at(2)).unwrap();
    let found = subject.log.offset_for_timestamp(TimeQuery::At(Timestamp::from_millis(0))).unwrap().unwrap();
    assert_eq!(found.offset, at(2), "never below the log start");
}

#[test]
fn a_read_that_begins_inside_a_batch_gets_the_whole_batch() {
    let mut subject = Subject::new(small());
    subject.log.append(NOW, &batch(&["a", "b", "c"])).unwrap();
    assert_eq!(subject.offsets(1, Isolation::LogEnd), [0, 1, 2]);
}
