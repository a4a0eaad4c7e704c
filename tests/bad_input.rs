//! Directories, files and sizes that no log should be given: an exact error, and nothing has changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ottla::disk::{
    AppendFault, Disk, DiskErrorKind, DiskFile, DiskPath, EntryKind, FetchError, FileDisk, LogFile, MARKS_FILE,
    MemDisk, OpenError, OpenHow, OpenOptions, RecoveryReport, Shutdown,
};
use ottla::id::TopicPartition;
use ottla::log::{AppendError, Isolation, LogConfig, ReadError};
use ottla::offset::Offset;
use ottla::record::{Batch, BatchBuilder, Codec, NewRecord};
use ottla::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SECOND: &str = "t-0/00000000000000000005.log";

fn partition() -> TopicPartition {
    TopicPartition::parse("t-0").unwrap()
}

fn options() -> OpenOptions {
    let config = LogConfig { segment_bytes: 400, index_interval_bytes: 100, ..LogConfig::default() };
    OpenOptions { config, ..OpenOptions::default() }
}

fn batch(value: &str) -> Batch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&NewRecord::new(NOW, None, Some(value.as_bytes()))).unwrap();
    builder.build().unwrap()
}

fn open(disk: &MemDisk) -> Result<(LogFile<MemDisk>, RecoveryReport), OpenError> {
    LogFile::open(disk.clone(), &partition(), options(), NOW)
}

/// A log of 14 records in three segments, all flushed, whose process was killed.
fn killed() -> MemDisk {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..14 {
        log.append(NOW, &batch("value")).unwrap();
    }
    log.flush().unwrap();
    assert!(disk.contents().contains_key(SECOND), "{:?}", disk.contents().keys());
    disk.kill();
    disk
}

/// The opening fails, and has changed nothing.
fn refusal(disk: &MemDisk) -> OpenError {
    let before = disk.digest();
    let error = open(disk).map(|(_, report)| report).expect_err("the opening fails");
    assert_eq!(disk.digest(), before, "{error}");
    error
}

#[test]
fn a_segment_that_is_no_regular_file_is_refused_and_nothing_changes() {
    let kinds = [
        (EntryKind::Symlink, DiskErrorKind::SymlinkRefused),
        (EntryKind::Other, DiskErrorKind::NotRegularFile),
        (EntryKind::Dir, DiskErrorKind::NotRegularFile),
    ];
    for (kind, expected) in kinds {
        let disk = killed();
        disk.vanish(SECOND).unwrap();
        disk.put_foreign(SECOND, kind).unwrap();
        let refused = refusal(&disk);
        let OpenError::Disk { error, .. } = refused else { panic!("{refused}") };
        assert_eq!((error.path.to_string().as_str(), error.kind), (SECOND, expected));
    }
}

#[test]
fn a_segment_amid_what_was_flushed_that_is_missing_is_named_and_nothing_changes() {
    for whole in [false, true] {
        let disk = killed();
        let of_second = |name: &String| name.starts_with("t-0/00000000000000000005.") && !name.ends_with(".snapshot");
        for name in disk.contents().into_keys().filter(of_second).filter(|name| whole || name == SECOND) {
            disk.vanish(&name).unwrap();
        }
        let (segment, flushed) = (Offset::new(5), Offset::new(14));
        assert_eq!(refusal(&disk), OpenError::SegmentMissing { partition: partition(), segment, flushed });
    }
}

#[test]
fn marks_of_a_later_version_are_refused_and_nothing_changes() {
    let disk = killed();
    // The version stands behind checksum and magic, in the first copy of the first slot.
    disk.corrupt(MARKS_FILE, 8, &[0, 99]).unwrap();
    let bytes = disk.contents()[MARKS_FILE].clone();
    disk.corrupt(MARKS_FILE, 0, &crc32fast::hash(&bytes[4..512]).to_be_bytes()).unwrap();
    let refused = refusal(&disk);
    let OpenError::Unreadable { file, why } = refused else { panic!("{refused}") };
    assert_eq!(file, MARKS_FILE);
    assert!(why.contains("is in format 99, at most 1 is known here"), "{why}");
}

#[test]
fn foreign_files_are_named_and_left_alone() {
    let disk = killed();
    let names = ["t-0/notes.txt", "t-0/123.log", "t-0/00000000000000000000.log.bak"];
    for name in names {
        disk.put(name, b"foreign".to_vec()).unwrap();
    }
    let (_, report) = open(&disk).unwrap();
    for name in names {
        assert_eq!(disk.contents()[name], b"foreign");
        assert!(report.foreign.iter().any(|foreign| name.strip_prefix("t-0/") == foreign.to_str()), "{name}");
    }
}

#[test]
fn a_file_that_says_all_was_closed_is_not_believed_over_a_torn_log() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..3 {
        log.append(NOW, &batch("value")).unwrap();
    }
    drop(log.close().unwrap());
    let name = "t-0/00000000000000000000.log";
    let len = disk.contents()[name].len() as u64;
    disk.truncate(name, len - 1).unwrap();
    let (mut log, report) = open(&disk).unwrap();
    assert_eq!(report.shutdown, Shutdown::CleanButChanged);
    assert!(report.is_damaged(), "{report}");
    let kept = log.read(Offset::ZERO, u32::MAX, Isolation::LogEnd).unwrap();
    assert_eq!(kept.batches.len(), 2);
    assert_eq!(log.log().log_end_offset(), Offset::new(3), "no offset is given twice");
}

#[test]
fn a_sparse_index_of_two_gibibytes_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = || LogFile::open(FileDisk::open(dir.path()).unwrap(), &partition(), options(), NOW).unwrap();
    let (mut log, _) = open();
    for _ in 0..14 {
        log.append(NOW, &batch("value")).unwrap();
    }
    log.flush().unwrap();
    drop(log);
    for kind in ["index", "timeindex", "txnindex"] {
        let path = DiskPath::parse(&format!("t-0/00000000000000000005.{kind}")).unwrap();
        let disk = FileDisk::open(dir.path()).unwrap();
        disk.open(&path, OpenHow::Replace).unwrap().set_len(2 << 30).unwrap();
    }
    let (mut log, report) = open();
    assert!(!report.is_damaged() && !report.rebuilt.is_empty(), "{report}");
    for offset in 0..14 {
        let fetched = log.read(Offset::new(offset), 1, Isolation::LogEnd).unwrap();
        assert_eq!(fetched.batches[0].last_offset(), Offset::new(offset));
    }
}

#[test]
fn a_read_of_no_bytes_or_of_all_there_are_gets_whole_batches() {
    let (mut log, _) = open(&killed()).unwrap();
    assert_eq!(log.read(Offset::ZERO, 0, Isolation::LogEnd).unwrap().batches.len(), 1);
    assert_eq!(log.read(Offset::ZERO, u32::MAX, Isolation::LogEnd).unwrap().batches.len(), 5);
    let requested = Offset::MAX;
    let (log_start_offset, log_end_offset) = (Offset::ZERO, Offset::new(14));
    match log.read(requested, 1, Isolation::LogEnd) {
        Err(FetchError::Range(ReadError::OutOfRange {
            requested: r, log_start_offset: s, log_end_offset: e, ..
        })) => {
            assert_eq!((r, s, e), (requested, log_start_offset, log_end_offset));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_whose_offsets_are_used_up_takes_no_more() {
    let (mut log, _) = open(&MemDisk::new()).unwrap();
    log.truncate_fully_and_start_at(Offset::MAX, NOW).unwrap();
    let refused = log.append(NOW, &batch("value")).unwrap_err();
    let expected = AppendError::OffsetsExhausted { log_end_offset: Offset::MAX, count: 1 };
    assert_eq!(refused, AppendFault::Log(expected));
    assert_eq!(log.log().log_end_offset(), Offset::MAX);
}

#[test]
fn a_truncation_or_a_trim_beyond_the_end_changes_nothing() {
    let (mut log, _) = open(&killed()).unwrap();
    let before = log.disk().digest();
    assert!(!log.truncate_to(Offset::MAX, NOW).unwrap());
    assert!(log.trim_to(Offset::MAX).is_err());
    assert!(!log.trim_to(Offset::ZERO).unwrap());
    assert_eq!(log.disk().digest(), before);
    assert_eq!(log.log().log_end_offset(), Offset::new(14));
}
