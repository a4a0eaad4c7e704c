//! SEG: segments. ottla has no public segment to read from alone, so each is a log of one segment.

use ottla::disk::TimeQuery;
use ottla::epoch::LeaderEpoch;
use ottla::log::{AppendError, Isolation, LogConfig};
use ottla::time::Timestamp;

use crate::support::{FIRST_LOG, NOW, Subject, at, batch, batch_at, file, later, placed, small};

const EPOCH: LeaderEpoch = LeaderEpoch::ZERO;

#[test]
fn seg_01_an_empty_segment_has_nothing_at_any_offset() {
    let mut subject = Subject::new(small());
    for isolation in [Isolation::LogEnd, Isolation::HighWatermark, Isolation::ReadCommitted] {
        assert!(subject.fetch(0, isolation).batches.is_empty());
    }
}

#[test]
fn seg_02_a_read_in_front_of_the_first_batch_gets_it_and_one_behind_the_last_gets_nothing() {
    for tail_cache_bytes in [0, 1 << 20] {
        let mut subject = Subject::new(LogConfig { tail_cache_bytes, ..small() });
        subject.log.replicate(NOW, &[placed(50, 0, &batch(&["a", "b"]))], EPOCH).unwrap();
        assert_eq!(subject.offsets(41, Isolation::LogEnd), [50, 51]);
        assert!(subject.offsets(52, Isolation::LogEnd).is_empty());
    }
}

#[test]
fn seg_03_an_offset_too_far_for_the_segment_begins_a_new_one_and_one_below_its_base_is_refused() {
    let mut subject = Subject::new(LogConfig::default());
    subject.log.truncate_fully_and_start_at(at(100), NOW).unwrap();
    let one = batch(&["a"]);
    let below = subject.log.replicate(NOW, &[placed(99, 0, &one)], EPOCH).unwrap_err();
    assert!(below.to_string().contains("below the log end 100"), "{below}");
    subject.log.replicate(NOW, &[placed(100, 0, &one)], EPOCH).unwrap();
    let far = 100 + (1 << 31);
    subject.log.replicate(NOW, &[placed(far, 0, &one)], EPOCH).unwrap();
    assert_eq!(subject.bases(), [100, far]);
    assert_eq!(subject.offsets(101, Isolation::LogEnd), [far]);
}

#[test]
fn seg_03_one_append_whose_offsets_fit_no_segment_is_refused_and_changes_nothing() {
    let mut subject = Subject::new(small());
    let one = batch(&["a"]);
    for last in [1 << 31, 1 << 40] {
        let refused = subject.log.replicate(NOW, &[placed(0, 0, &one), placed(last, 0, &one)], EPOCH);
        let expected = AppendError::OffsetsTooFarApart { first_offset: at(0), last_offset: at(last) };
        assert_eq!(refused.unwrap_err().to_string(), expected.to_string());
        assert_eq!((subject.end(), subject.log.log().size()), (0, 0));
    }
    let fits = (1 << 31) - 1;
    subject.log.replicate(NOW, &[placed(0, 0, &one), placed(fits, 0, &one)], EPOCH).unwrap();
    assert_eq!(subject.reopen().offsets(1, Isolation::LogEnd), [fits]);
}

#[test]
fn seg_04_after_a_full_truncation_the_same_base_is_used_again_and_its_age_counts_from_now() {
    let config = LogConfig { segment_ms: 1000, ..LogConfig::default() };
    let mut subject = Subject::new(config);
    subject.log.append(NOW, &batch_at(Timestamp::NONE, &["a"])).unwrap();
    subject.log.truncate_to(at(0), later(5000)).unwrap();
    assert_eq!((subject.end(), subject.log.log().size()), (0, 0));
    subject.log.append(later(5000), &batch_at(Timestamp::NONE, &["b"])).unwrap();
    subject.log.append(later(6000), &batch_at(Timestamp::NONE, &["c"])).unwrap();
    assert_eq!(subject.bases(), [0], "the segment is not older than the truncation");
    subject.log.append(later(6001), &batch_at(Timestamp::NONE, &["d"])).unwrap();
    assert_eq!(subject.bases(), [0, 2]);
    assert_eq!(subject.offsets(0, Isolation::LogEnd), [0, 1, 2]);
}

fn find(subject: &mut Subject, millis: i64) -> Option<u64> {
    let query = TimeQuery::At(Timestamp::from_millis(millis));
    subject.log.offset_for_timestamp(query).unwrap().map(|found| found.offset.get())
}

#[test]
fn seg_05_the_first_record_of_a_date_or_later_is_found() {
    let mut subject = Subject::new(LogConfig::default());
    for offset in 0..10 {
        subject.log.append(NOW, &batch_at(Timestamp::from_millis(400 + 10 * offset), &["a"])).unwrap();
    }
    let mut subject = subject.reopen().kill();
    let found = [420, 421, 490, 491, 399].map(|millis| find(&mut subject, millis));
    assert_eq!(found, [Some(2), Some(3), Some(9), None, Some(0)]);
}

/// Damage to the index files of a log that was killed.
fn damaged(kind: &str, with: Option<&[u8]>) -> Subject {
    let mut subject = Subject::new(small());
    for number in 0..40 {
        let timestamp = Timestamp::from_millis(1000 + 10 * number);
        subject.log.append(NOW, &batch_at(timestamp, &[&format!("value {number}")])).unwrap();
    }
    let bases = subject.bases();
    assert!(bases.len() > 3);
    subject.disk.kill();
    for base in bases {
        let path = file(base, kind);
        match with {
            Some(bytes) => subject.disk.put(&path, bytes).unwrap(),
            None => subject.disk.vanish(&path).unwrap(),
        }
    }
    Subject::open(subject.disk, subject.options)
}

#[test]
fn seg_06_lookups_work_for_all_offsets_after_an_offset_index_was_lost_or_damaged() {
    for with in [None, Some(&[][..]), Some(&[0xff; 5]), Some(&[0xff; 64]), Some(&[0; 64])] {
        let mut subject = damaged("index", with);
        subject.assert_holds(0, 40);
        subject.reopen().assert_holds(0, 40);
    }
}

#[test]
fn seg_07_lookups_by_date_work_after_a_time_index_was_lost_or_damaged() {
    for with in [None, Some(&[][..]), Some(&[0xff; 5]), Some(&[0xff; 96]), Some(&[0; 96])] {
        let mut subject = damaged("timeindex", with);
        for reopened in [false, true] {
            for number in 0..40 {
                assert_eq!(find(&mut subject, 1000 + 10 * number), Some(number as u64), "{with:?} {reopened}");
            }
            assert_eq!(find(&mut subject, 2000), None);
            subject = subject.reopen();
        }
    }
}

#[test]
fn seg_08_garbage_at_any_batch_keeps_all_in_front_and_cuts_the_rest() {
    for bad in 0..20_u64 {
        let mut subject = Subject::new(LogConfig { segment_bytes: 1 << 20, ..small() });
        subject.fill(20);
        let size = subject.log.log().size();
        subject.disk.kill();
        let position = size / 20 * bad;
        // In the middle of its batch: what is in front of it is whole.
        let inside = subject.disk.contents()[FIRST_LOG].len() as u64;
        assert_eq!(inside, size);
        subject.disk.corrupt(FIRST_LOG, position + 65, b"garbage").unwrap();
        let mut subject = Subject::open(subject.disk, subject.options);
        let (expected, end) = (subject.report.torn.unwrap(), subject.end());
        assert!(end <= bad && end + 1 >= bad, "batch {bad}, but the log ends at {end}");
        assert_eq!(u64::from(expected.position) + expected.bytes, size);
        subject.assert_holds(0, end);
        subject.fill(30);
        subject.reopen().assert_holds(0, 30);
    }
}

#[test]
fn seg_09_a_log_that_was_closed_takes_no_more_space_than_its_batches() {
    let mut subject = Subject::new(LogConfig::default());
    subject.fill(10);
    let size = subject.log.log().size();
    assert!(subject.disk.held() > size + (1 << 15), "space is reserved while the segment grows");
    let (disk, _) = subject.close();
    assert_eq!(disk.contents()[FIRST_LOG].len() as u64, size);
    assert!(disk.held() < size + (1 << 15), "{} bytes are held for {size}", disk.held());
}
