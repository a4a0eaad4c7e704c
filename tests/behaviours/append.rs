//! LOG and VAL: what an append does and refuses.

use ottla::disk::{AppendFault, DiskErrorKind, FetchError, HighWatermarkRule, MemDisk, OpenOptions, mem::Fails};
use ottla::epoch::LeaderEpoch;
use ottla::log::{AppendError, Health, Isolation, LogConfig};
use ottla::record::{Batch, BatchBuilder, CheckError, Codec, DecompressLimit, NewRecord, TopicCodec};
use ottla::time::Timestamp;

use crate::support::{NOW, Subject, at, batch, batch_at, large, options, placed, small};

const EPOCH: LeaderEpoch = LeaderEpoch::ZERO;

#[test]
fn log_01_records_get_the_next_offsets() {
    let mut subject = Subject::new(small());
    let ends = [(0, 2), (3, 5)].map(|_| {
        let appended = subject.log.append(NOW, &batch(&["a", "b", "c"])).unwrap();
        (appended.base_offset.get(), appended.last_offset.get())
    });
    assert_eq!((ends, subject.end()), ([(0, 2), (3, 5)], 6));
}

#[test]
fn log_02_offsets_that_replication_gives_are_kept_with_their_gaps() {
    for tail_cache_bytes in [0, 1 << 20] {
        let mut subject = Subject::new(LogConfig { tail_cache_bytes, ..small() });
        for offset in (50..100).step_by(2) {
            subject.log.replicate(NOW, &[placed(offset, 0, &batch(&["a"]))], EPOCH).unwrap();
        }
        assert_eq!(subject.end(), 99);
        let mut subject = subject.reopen();
        for from in 0..99_u64 {
            let first = if from < 50 { 50 } else { from + from % 2 };
            assert_eq!(subject.offsets(from, Isolation::LogEnd)[0], first, "from {from}");
        }
    }
}

/// That the batches are refused, and that nothing came of it.
fn assert_refused(subject: &mut Subject, batches: &[Batch]) -> AppendError {
    let before = (subject.disk.digest(), subject.end());
    let Err(AppendFault::Log(error)) = subject.log.replicate(NOW, batches, EPOCH) else { panic!("not refused") };
    assert_eq!((subject.disk.digest(), subject.end()), before);
    error
}

#[test]
fn log_08_a_replicated_batch_below_the_log_end_is_refused() {
    let mut subject = Subject::new(small());
    let two = batch(&["a", "b"]);
    subject.log.replicate(NOW, &[placed(0, 0, &two)], EPOCH).unwrap();
    for base in [0, 1] {
        let error = assert_refused(&mut subject, &[placed(base, 0, &two)]);
        let (first_offset, last_offset, log_end_offset) = (at(base), at(base + 1), at(2));
        assert_eq!(error, AppendError::UnexpectedOffset { first_offset, last_offset, log_end_offset });
    }
}

#[test]
fn log_09_replicated_batches_whose_offsets_do_not_rise_are_refused() {
    let mut subject = Subject::new(small());
    let (one, two) = (batch(&["a"]), batch(&["a", "b"]));
    let place = |base: u64| placed(base, 0, &one);
    let same = assert_refused(&mut subject, &[place(0), place(1), place(1)]);
    assert_eq!(same, AppendError::OutOfOrderOffsets { previous: at(1), first_offset: at(1), last_offset: at(1) });
    assert_refused(&mut subject, &[place(5), place(3)]);
    // Kafka looks at the last offsets alone, and would store offset 1 twice.
    let overlap = assert_refused(&mut subject, &[placed(0, 0, &two), placed(1, 0, &two)]);
    assert_eq!(overlap, AppendError::OutOfOrderOffsets { previous: at(1), first_offset: at(1), last_offset: at(2) });
}

#[test]
fn log_28_records_without_a_date_are_taken() {
    let mut subject = Subject::new(small());
    subject.log.append(NOW, &batch_at(Timestamp::NONE, &["a"])).unwrap();
    let mut subject = subject.reopen();
    let fetched = subject.fetch(0, Isolation::LogEnd);
    assert_eq!(fetched.batches[0].max_timestamp(), Timestamp::NONE);
    assert_eq!(subject.log.log().active_segment().max_timestamp, Timestamp::NONE);
}

#[test]
fn log_29_a_record_without_a_value_comes_back_without_one() {
    let mut subject = Subject::new(small());
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&NewRecord::new(NOW, Some(b"key"), None)).unwrap();
    builder.push(&NewRecord::new(NOW, None, Some(b""))).unwrap();
    subject.log.append(NOW, &builder.build().unwrap()).unwrap();
    let fetched = subject.fetch(0, Isolation::LogEnd);
    let records = fetched.batches[0].records(DecompressLimit::default()).unwrap();
    let found: Vec<_> = records.iter().map(|record| record.unwrap()).map(|r| (r.key, r.value)).collect();
    assert_eq!(found, [(Some(&b"key"[..]), None), (None, Some(&b""[..]))]);
}

#[test]
fn log_30_after_the_disk_has_failed_every_change_is_refused_and_what_is_written_is_served() {
    for reads_memory in [0, 1 << 20] {
        let disk = MemDisk::new();
        let mut subject = Subject::open(disk.clone(), options(LogConfig { tail_cache_bytes: reads_memory, ..small() }));
        subject.fill(10);
        subject.log.flush().unwrap();
        let eio = DiskErrorKind::Io { code: Some(5), message: "EIO".to_owned() };
        disk.fail_at(disk.calls(), eio.clone(), Fails::Once);
        let failed = subject.log.append(NOW, &batch(&["lost"])).unwrap_err();
        assert!(matches!(&failed, AppendFault::Disk(error) if error.kind == eio), "{failed}");
        assert!(matches!(subject.log.log().health(), Health::Poisoned { .. }));
        // The disk is well again, but what became of that write is not known.
        let refused = subject.log.append(NOW, &batch(&["refused"])).unwrap_err();
        assert!(matches!(refused, AppendFault::Log(AppendError::Poisoned { .. })), "{refused}");
        let before = disk.digest();
        assert!(subject.log.flush().is_err(), "a flush that did not happen");
        assert!(subject.log.roll(NOW).is_err());
        assert!(subject.log.begin_epoch(LeaderEpoch::new(7)).is_err());
        assert!(subject.log.trim_to(at(5)).is_err());
        assert!(subject.log.truncate_to(at(5), NOW).is_err());
        assert!(subject.log.truncate_fully_and_start_at(at(50), NOW).is_err());
        assert!(subject.log.retain(NOW).is_err());
        assert_eq!(disk.digest(), before, "nothing is performed any more");
        assert_eq!(subject.log.log().written(), at(10), "nobody sees what was not written");
        for offset in 0..10 {
            assert_eq!(subject.log.read(at(offset), 1, Isolation::LogEnd).unwrap().batches.len(), 1);
        }
        assert!(subject.log.read(at(10), 1, Isolation::LogEnd).unwrap().batches.is_empty());
        let Subject { log, options, .. } = subject;
        assert!(log.close().is_err(), "it is not closed");
        disk.kill();
        let mut subject = Subject::open(disk, options);
        assert!(!subject.report.is_damaged());
        subject.fill(20);
        subject.assert_holds(0, 20);
    }
}

#[test]
fn a_read_that_fails_is_an_error_and_costs_nothing() {
    let mut subject = Subject::new(small());
    subject.fill(10);
    let eio = DiskErrorKind::Io { code: Some(5), message: "EIO".to_owned() };
    subject.disk.fail_at(subject.disk.calls(), eio, Fails::Once);
    let failed = subject.log.read(at(0), 1, Isolation::LogEnd).unwrap_err();
    assert!(matches!(failed, FetchError::Fault(_)), "{failed}");
    assert_eq!(subject.log.log().health(), &Health::Good);
    subject.fill(20);
    subject.assert_holds(0, 20);
}

fn compressible(codec: Codec, level: Option<i32>, len: usize) -> Batch {
    let mut builder = BatchBuilder::new(codec);
    if let Some(level) = level {
        builder = builder.level(level);
    }
    let value = b"all work and no play ".repeat(len);
    builder.push(&NewRecord::new(NOW, Some(b"key"), Some(&value))).unwrap();
    builder.build().unwrap()
}

#[test]
fn val_11_the_topics_level_is_no_reason_to_compress_again() {
    let config = LogConfig { codec: TopicCodec::Fixed(Codec::Gzip), ..LogConfig::default() };
    let mut subject = Subject::new(config);
    let sent = compressible(Codec::Gzip, Some(9), 100);
    subject.log.append(NOW, &sent).unwrap();
    let fetched = subject.fetch(0, Isolation::LogEnd);
    assert_eq!(fetched.batches[0].as_batch().unwrap().payload(), sent.payload());
}

#[test]
fn val_12_a_batch_that_the_topics_codec_makes_too_large_is_refused() {
    let sent = compressible(Codec::Gzip, None, 100);
    let limit = sent.size() + 10;
    let codec = TopicCodec::Fixed(Codec::None);
    let mut subject = Subject::new(LogConfig { codec, max_message_bytes: limit, ..LogConfig::default() });
    let before = subject.disk.digest();
    let refused = subject.log.append(NOW, &sent).unwrap_err();
    let expected = |size| AppendFault::Check(CheckError::MessageTooLarge { size, limit });
    assert!(matches!(refused, AppendFault::Check(CheckError::MessageTooLarge { size, .. }) if size > limit));
    assert_eq!((subject.disk.digest(), subject.end()), (before, 0));
    let too_large = large(limit as usize);
    assert_eq!(subject.log.append(NOW, &too_large).unwrap_err(), expected(too_large.size()));
}

#[test]
fn val_13_a_follower_takes_what_is_too_large_for_a_leader() {
    let sent = large(200);
    let mut subject = Subject::new(LogConfig { max_message_bytes: 100, ..LogConfig::default() });
    assert!(subject.log.append(NOW, &sent).is_err());
    subject.log.replicate(NOW, &[placed(0, 0, &sent)], EPOCH).unwrap();
    assert_eq!(subject.end(), 1);
}

#[test]
fn val_14_what_is_larger_than_a_segment_is_refused_of_leaders_and_of_followers() {
    let sent = large(1000);
    let (size, limit) = (u64::from(sent.size()), 600);
    let mut subject = Subject::new(small());
    let expected = AppendFault::Log(AppendError::TooLargeForSegment { size, limit });
    assert_eq!(subject.log.append(NOW, &sent).unwrap_err(), expected);
    assert_eq!(subject.log.replicate(NOW, &[placed(0, 0, &sent)], EPOCH).unwrap_err(), expected);
    assert_eq!(subject.end(), 0);
}

#[test]
fn batches_of_a_later_reign_are_left_out_with_all_behind_them() {
    let mut subject = Subject::new(small());
    let one = batch(&["a"]);
    let batches = [placed(0, 3, &one), placed(1, 5, &one), placed(2, 3, &one)];
    let appended = subject.log.replicate(NOW, &batches, LeaderEpoch::new(4)).unwrap().unwrap();
    assert_eq!((appended.last_offset, subject.end()), (at(0), 1));
    assert_eq!(subject.log.replicate(NOW, &batches[1..], LeaderEpoch::new(4)).unwrap(), None);
}

#[test]
fn readers_of_a_log_that_follows_flushes_see_only_what_was_flushed() {
    let high_watermark = HighWatermarkRule::FollowFlushed;
    let mut subject = Subject::open(MemDisk::new(), OpenOptions { high_watermark, ..options(small()) });
    subject.fill(5);
    assert!(subject.offsets(0, Isolation::HighWatermark).is_empty());
    subject.log.flush().unwrap();
    subject.fill(7);
    assert_eq!(subject.offsets(4, Isolation::HighWatermark), [4]);
    assert_eq!(subject.offsets(4, Isolation::LogEnd), [4, 5, 6]);
}
