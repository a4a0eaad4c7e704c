//! REC: what an opening finds and does.

use ottla::disk::{LeftoverAction, LogFile, MemDisk, OpenError, Shutdown};
use ottla::epoch::LeaderEpoch;
use ottla::log::{Isolation, LogConfig, ProducerState};

use crate::support::{FIRST_LOG, NOW, Subject, at, batch, file, idempotent, partition, placed, small, stamp};

const CLEAN: &str = ".kafka_cleanshutdown";
const MARKS: &str = "ottla-flushed-marks";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";

#[test]
fn rec_01_after_a_close_nothing_is_read_and_the_file_that_says_so_is_gone() {
    let mut subject = Subject::new(small());
    subject.fill(40);
    let (disk, options) = subject.close();
    assert!(disk.contents().contains_key(CLEAN));
    let mut subject = Subject::open(disk, options);
    assert!(!subject.disk.contents().contains_key(CLEAN));
    assert_eq!((subject.report.shutdown, subject.report.scanned_bytes), (Shutdown::Clean, 0));
    assert!(subject.report.is_clean(), "{}", subject.report);
    subject.assert_holds(0, 40);
}

#[test]
fn rec_02_after_a_kill_only_segments_from_the_recovery_point_on_are_read() {
    let mut subject = Subject::new(small());
    subject.fill(30);
    subject.log.flush().unwrap();
    subject.fill(60);
    let sizes: Vec<(u64, u64)> =
        subject.log.log().segments().map(|s| (s.next_offset.get(), u64::from(s.size))).collect();
    let above: u64 = sizes.iter().filter(|(next, _)| *next > 30).map(|(_, size)| size).sum();
    let all: u64 = sizes.iter().map(|(_, size)| size).sum();
    assert!(above < all);
    // A directory of Kafka's has its recovery point and no marks of ours.
    for ours in [true, false] {
        let disk = subject.disk.copy();
        if !ours {
            disk.vanish(MARKS).unwrap();
            disk.put(RECOVERY_POINTS, *b"0\n1\nt 0 30\n").unwrap();
        }
        let mut subject = Subject::open(disk, subject.options.clone());
        assert_eq!((subject.report.shutdown, subject.report.flushed), (Shutdown::Unclean, at(30)), "ours {ours}");
        assert!(subject.report.scanned_bytes <= above, "{} of {above}", subject.report.scanned_bytes);
        subject.assert_holds(0, 60);
    }
}

#[test]
fn rec_03_deleted_index_files_are_made_again_with_the_same_answers() {
    for is_clean in [true, false] {
        let mut subject = Subject::new(small());
        subject.fill(40);
        let bases = subject.bases();
        let disk = subject.disk.clone();
        if is_clean {
            subject.close();
        } else {
            disk.kill();
        }
        for base in &bases {
            disk.vanish(&file(*base, "index")).unwrap();
            disk.vanish(&file(*base, "timeindex")).unwrap();
        }
        let mut subject = Subject::open(disk, crate::support::options(small()));
        assert_eq!(subject.report.rebuilt.len(), 2 * bases.len(), "{}", subject.report);
        subject.assert_holds(0, 40);
        let contents = subject.disk.contents();
        assert!(bases.iter().all(|base| contents.contains_key(&file(*base, "index"))));
        let mut subject = subject.reopen();
        assert!(subject.report.rebuilt.is_empty(), "{}", subject.report);
        subject.assert_holds(0, 40);
    }
}

#[test]
fn rec_04_index_files_without_a_segment_are_removed() {
    for is_clean in [true, false] {
        let mut subject = Subject::new(small());
        subject.fill(5);
        let disk = subject.disk.clone();
        if is_clean {
            subject.close();
        } else {
            disk.kill();
        }
        for kind in ["index", "timeindex", "txnindex", "sums"] {
            disk.put(&file(77, kind), [0; 24]).unwrap();
        }
        let mut subject = Subject::open(disk, crate::support::options(small()));
        let contents = subject.disk.contents();
        assert!(contents.keys().all(|name| !name.contains("0077.")), "{:?}", contents.keys());
        subject.fill(90);
        subject.reopen().assert_holds(0, 90);
    }
}

#[test]
fn rec_05_what_was_to_be_deleted_is_removed() {
    let mut subject = Subject::new(small());
    subject.fill(5);
    let (disk, options) = subject.close();
    let mut names = Vec::new();
    for kind in ["log", "index", "timeindex", "txnindex", "snapshot", "sums"] {
        names.push(format!("{}.deleted", file(3, kind)));
        disk.put(names.last().unwrap(), [1; 10]).unwrap();
    }
    let mut subject = Subject::open(disk, options);
    let contents = subject.disk.contents();
    assert!(names.iter().all(|name| !contents.contains_key(name)));
    assert_eq!(subject.report.leftovers.len(), names.len());
    assert!(subject.report.leftovers.iter().all(|leftover| leftover.action == LeftoverAction::Removed));
    subject.assert_holds(0, 5);
}

#[test]
fn rec_06_after_damage_to_what_was_not_flushed_the_log_ends_there_and_goes_on() {
    for offset in 0..30 {
        for flip in (0..60).step_by(7) {
            let mut subject = Subject::new(LogConfig { segment_bytes: 1 << 20, ..small() });
            subject.fill(offset);
            let position = subject.log.log().size();
            subject.fill(30);
            subject.disk.kill();
            // What a batch's checksum covers begins behind it: the 17 bytes of its place, and the 4 of the checksum.
            subject.disk.flip_bit(FIRST_LOG, position + 17 + flip, (flip % 8) as u32).unwrap();
            let mut subject = Subject::open(subject.disk, subject.options);
            let torn = subject.report.torn.unwrap();
            assert_eq!((u64::from(torn.position), subject.end()), (position, offset));
            subject.fill(33);
            subject.assert_holds(0, 33);
        }
    }
}

#[test]
fn rec_07_a_segment_with_nothing_but_gaps_loads_with_its_end() {
    let mut subject = Subject::new(small());
    let epoch = LeaderEpoch::ZERO;
    let emptied = placed(0, 0, &idempotent(stamp(1, 0, 0), 5)).emptied();
    subject.log.replicate(NOW, &[emptied], epoch).unwrap();
    subject.log.replicate(NOW, &[placed(500, 0, &batch(&["a", "b"]))], epoch).unwrap();
    for is_clean in [true, false] {
        subject = if is_clean { subject.reopen() } else { subject.kill() };
        assert_eq!(subject.end(), 502);
        assert_eq!(subject.offsets(5, Isolation::LogEnd), [500, 501]);
        assert!(subject.report.corrupt.is_empty());
    }
}

#[test]
fn rec_08_a_log_that_ends_below_its_noted_start_begins_anew_there() {
    let mut subject = Subject::new(small());
    subject.fill(20);
    let (disk, options) = subject.close();
    // As a directory of Kafka's whose files were lost in part.
    disk.vanish(MARKS).unwrap();
    disk.put("log-start-offset-checkpoint", *b"0\n1\nt 0 50\n").unwrap();
    let mut subject = Subject::open(disk, options);
    assert_eq!((subject.start(), subject.end(), subject.bases()), (50, 50, vec![50]));
    assert!(!subject.report.removed_segments.is_empty());
    let contents = subject.disk.contents();
    assert_eq!(contents.keys().filter(|name| name.ends_with(".log")).count(), 1);
    subject.fill(60);
    subject.kill().assert_holds(50, 60);
}

#[test]
fn rec_09_epochs_are_made_again_from_the_batches() {
    for with in [None, Some(&b""[..]), Some(b"0\n0\n"), Some(b"garbage")] {
        let mut subject = Subject::new(small());
        for epoch in [0, 3, 7] {
            subject.log.begin_epoch(LeaderEpoch::new(epoch)).unwrap();
            subject.fill(3 * u64::from(epoch) + 2);
        }
        let epochs = subject.log.log().epochs().clone();
        subject.disk.kill();
        let path = "t-0/leader-epoch-checkpoint";
        match with {
            Some(bytes) => subject.disk.put(path, bytes).unwrap(),
            None => subject.disk.vanish(path).unwrap(),
        }
        let subject = Subject::open(subject.disk, subject.options);
        assert_eq!(subject.log.log().epochs(), &epochs, "{with:?}");
    }
}

#[test]
fn rec_10_an_older_snapshot_stands_in_for_a_newest_one_that_is_garbage() {
    for garbage in [&b""[..], b"garbage", &[0; 60]] {
        let mut subject = Subject::new(small());
        for (base, sequence) in [(0, 0), (2, 2), (4, 4)] {
            subject.log.append(NOW, &idempotent(stamp(1, 0, sequence), 2)).unwrap();
            assert_eq!(subject.log.roll(NOW).unwrap().get(), base + 2);
        }
        subject.log.flush().unwrap();
        let producers = subject.log.log().producers().clone();
        subject.disk.kill();
        subject.disk.put(&file(6, "snapshot"), garbage).unwrap();
        let mut subject = Subject::open(subject.disk, subject.options);
        let last = |known: &ProducerState| known.entry(stamp(1, 0, 0).id).unwrap().last_sequence();
        assert_eq!(last(subject.log.log().producers()), last(&producers));
        let after = subject.disk.contents().get(&file(6, "snapshot")).cloned();
        assert_ne!(after.as_deref(), Some(garbage), "a bad one does not stay");
        assert!(subject.log.append(NOW, &idempotent(stamp(1, 0, 4), 2)).unwrap().duplicate);
    }
}

#[test]
fn rec_11_a_second_opener_is_refused_and_writes_nothing() {
    let subject = Subject::new(small());
    let before = subject.disk.digest();
    let second = LogFile::open(subject.disk.clone(), &partition(), subject.options.clone(), NOW);
    assert_eq!(second.unwrap_err(), OpenError::AlreadyOpen);
    assert_eq!(subject.disk.digest(), before);
    // The lock goes with its holder.
    let disk = subject.disk.clone();
    drop(subject);
    Subject::open(disk, crate::support::options(small()));
}

#[test]
fn an_index_setting_lowered_between_runs_costs_nothing() {
    for is_clean in [true, false] {
        for marks in [true, false] {
            let config = LogConfig { index_interval_bytes: 0, ..LogConfig::default() };
            let mut subject = Subject::new(config.clone());
            subject.fill(50);
            let disk = subject.disk.clone();
            if is_clean {
                subject.close();
            } else {
                disk.kill();
            }
            if !marks && is_clean {
                disk.vanish(MARKS).unwrap();
            }
            let lowered = LogConfig { segment_index_bytes: 24, ..config };
            let mut subject = Subject::open(disk, crate::support::options(lowered));
            subject.assert_holds(0, 50);
            subject.fill(60);
            subject.kill().assert_holds(0, 60);
        }
    }
}

#[test]
fn opening_twice_is_opening_once() {
    let mut subject = Subject::new(small());
    subject.fill(30);
    subject.disk.kill();
    subject.disk.put(&file(30, "log"), [0; 7]).unwrap();
    let subject = Subject::open(subject.disk, subject.options).kill();
    let (first, bases) = (subject.end(), subject.bases());
    let subject = subject.kill();
    assert_eq!((subject.end(), subject.bases()), (first, bases));
    assert!(subject.report.torn.is_none() && subject.report.corrupt.is_empty());
}

#[test]
fn a_new_log_says_so() {
    let subject = Subject::open(MemDisk::new(), crate::support::options(small()));
    assert_eq!(subject.report.shutdown, Shutdown::New);
    assert!(subject.report.is_clean());
}

#[test]
fn a_batch_that_claims_the_offsets_of_the_next_segment_is_no_good_batch() {
    for (byte, flush) in [(6, false), (6, true), (7, false), (7, true), (2, true)] {
        let mut subject = Subject::new(small());
        subject.fill(30);
        if flush {
            subject.log.flush().unwrap();
        }
        subject.disk.kill();
        let mut sizes = subject.log.log().segments().map(|segment| u64::from(segment.size));
        let (size, last) = (sizes.next().unwrap(), u64::from(batch(&["value 0"]).size()));
        drop(sizes);
        // The base offset of a batch is under no checksum of its own.
        subject.disk.flip_bit(FIRST_LOG, size - last + byte, 6).unwrap();
        subject.disk.vanish(&file(0, "index")).unwrap();
        let mut subject = Subject::open(subject.disk, subject.options);
        let first = subject.report.corrupt.first().map(|bad| bad.segment);
        if flush {
            assert_eq!((first, subject.end()), (Some(at(0)), 30), "byte {byte}");
            assert_eq!(subject.offsets(20, Isolation::LogEnd)[0], 20);
        } else {
            assert!(subject.report.torn.is_some() && subject.end() < 10, "byte {byte}");
        }
    }
}
