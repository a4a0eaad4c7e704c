//! What a crash, a failing call or a corrupt batch leaves of a compaction: all as before, or all as after.

use std::collections::BTreeMap;

use ottla::disk::mem::{Applied, Fails, ImageRules};
use ottla::disk::{CompactFault, DiskErrorKind, LogFile, MemDisk};
use ottla::log::Isolation;
use ottla::offset::Offset;
use ottla::record::TransactionResult;

use crate::{Seen, at, batch_of, builder, end_transaction, open, options, partition, put, seen, stamp};

/// A log of several segments to be compacted, closed, and a copy of the disk it is on.
fn dirty_disk() -> MemDisk {
    let disk = MemDisk::new();
    let mut log = open(&disk);
    for number in 0..6 {
        put(&mut log, &[("k", Some(&number.to_string())), (&format!("key {}", number % 2), Some("x"))]);
        let of = |sequence| batch_of(builder().producer(stamp(1, sequence)).transactional(), &[("t", Some("y"))]);
        log.append(at(0), &of(number)).unwrap();
        let result = if number % 2 == 0 { TransactionResult::Abort } else { TransactionResult::Commit };
        end_transaction(&mut log, 1, result);
        log.roll(at(0)).unwrap();
    }
    // The last records of what becomes one segment go, and the segment ends before those it replaces.
    put(&mut log, &[("k", Some("last")), ("key 0", Some("last")), ("key 1", Some("last")), ("t", Some("last"))]);
    log.roll(at(0)).unwrap();
    put(&mut log, &[("z", Some("active"))]);
    log.flush().unwrap();
    log.close().unwrap();
    // What lies there long enough is on disk whole.
    MemDisk::from_contents(&disk.contents())
}

/// What the log on `disk` says, to all readers and to committed ones, after an opening.
fn reopened(disk: &MemDisk) -> (Vec<Seen>, Vec<(i64, u64)>) {
    let mut log = open(disk);
    let aborted = log.read(Offset::ZERO, 1 << 20, Isolation::ReadCommitted).unwrap().aborted;
    let aborted = aborted.iter().map(|txn| (txn.producer_id.get(), txn.first_offset.get())).collect();
    let all = seen(&mut log);
    let names: Vec<String> = disk.contents().into_keys().collect();
    let left = names.iter().find(|name| name.ends_with(".cleaned") || name.ends_with(".swap"));
    assert_eq!(left, None);
    (all, aborted)
}

fn few_images() -> ImageRules {
    ImageRules { torn_within: 1, exhaustive_max: 6, random: 3, ..ImageRules::default() }
}

#[test]
fn cln_10_a_crash_at_every_call_leaves_all_as_before_or_all_as_after() {
    let start = dirty_disk();
    let before = reopened(&start.copy());
    let done = start.copy();
    let mut log = open(&done);
    let from = done.calls();
    let report = log.compact_anyway(at(0)).unwrap();
    assert_eq!((report.segments_before, report.segments_after), (7, 1), "one group, so nothing lies between");
    let calls = done.calls() - from;
    drop(log);
    done.kill();
    let after = reopened(&done);
    assert_ne!(before, after);
    let mut images = 0;
    let mut seen_after = false;
    for call in 0..calls {
        for applied in [Applied::Before, Applied::Partly(7)] {
            let disk = start.copy();
            let mut log = open(&disk);
            disk.stop_at(disk.calls() + call, applied);
            let _ = log.compact_anyway(at(0));
            drop(log);
            let killed = disk.copy();
            killed.kill();
            for image in disk.images_by(&few_images()).take(6).chain([killed]) {
                images += 1;
                let again = image.copy();
                let found = reopened(&image);
                let short = |it: &(Vec<Seen>, Vec<(i64, u64)>)| {
                    (it.0.iter().map(|it| it.offset).collect::<Vec<_>>(), it.1.clone())
                };
                assert!(
                    found == before || found == after,
                    "call {call} {applied:?}: {:?}, before {:?}, after {:?}",
                    short(&found),
                    short(&before),
                    short(&after)
                );
                seen_after |= found == after;
                // What an opening has begun, another finishes.
                if images % 128 == 0 {
                    crash_the_opening(&again, &found);
                }
            }
        }
    }
    assert!(seen_after && images > 100, "{images} images");
}

fn crash_the_opening(start: &MemDisk, wanted: &(Vec<Seen>, Vec<(i64, u64)>)) {
    let counted = start.copy();
    let from = counted.calls();
    drop(open(&counted));
    for call in 0..counted.calls() - from {
        let disk = start.copy();
        disk.stop_at(disk.calls() + call, Applied::Before);
        let _ = LogFile::open(disk.clone(), &partition(), options(), at(0));
        for image in
            disk.images_by(&ImageRules { torn_within: 1, exhaustive_max: 4, random: 2, ..ImageRules::default() })
        {
            assert_eq!(&reopened(&image), wanted, "call {call} of the opening");
        }
    }
}

#[test]
fn cln_10_a_failing_call_leaves_a_log_that_goes_on_or_says_that_it_does_not() {
    let start = dirty_disk();
    let before = reopened(&start.copy()).0;
    let counted = start.copy();
    let mut log = open(&counted);
    let from = counted.calls();
    log.compact_anyway(at(0)).unwrap();
    let after = seen(&mut log);
    let calls = counted.calls() - from;
    for call in 0..calls {
        for kind in [DiskErrorKind::NoSpace, DiskErrorKind::Io { code: Some(5), message: "broken".to_owned() }] {
            let disk = start.copy();
            let mut log = open(&disk);
            disk.fail_at(disk.calls() + call, kind.clone(), Fails::Once);
            let outcome = log.compact_anyway(at(0));
            if outcome.is_err() && log.append(at(0), &batch_of(builder(), &[("k", Some("more"))])).is_ok() {
                let mut found = seen(&mut log);
                found.pop();
                assert!(found == before || found == after, "call {call} {kind:?}");
            }
            drop(log);
            disk.kill();
            let mut found = reopened(&disk).0;
            found.retain(|it| it.value.as_deref() != Some(b"more"));
            assert!(found == before || found == after, "call {call} {kind:?}: {outcome:?}");
        }
    }
}

#[test]
fn a_corrupt_batch_is_never_compacted_over() {
    let disk = dirty_disk();
    disk.flip_bit("t-0/00000000000000000004.log", 100, 3).unwrap();
    let mut log = open(&disk);
    let before = disk.contents();
    let fault = log.compact_anyway(at(0)).unwrap_err();
    assert!(matches!(fault, CompactFault::Read(_)), "{fault}");
    let logs = |files: BTreeMap<String, Vec<u8>>| -> Vec<_> {
        files.into_iter().filter(|(name, _)| name.contains(".log")).collect()
    };
    assert_eq!(logs(disk.contents()), logs(before));
}
