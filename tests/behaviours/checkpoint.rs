//! CHK, EPO and what of LOG concerns small files.

use ottla::disk::{LogFile, MemDisk, OpenError, OpenOptions, mem::Applied};
use ottla::epoch::LeaderEpoch;
use ottla::id::{TopicId, TopicPartition};
use ottla::log::{Isolation, OffsetCheckpoint};

use crate::support::{NOW, Subject, at, options, partition, small};

const EPOCHS: &str = "t-0/leader-epoch-checkpoint";

#[test]
fn chk_01_an_offset_checkpoint_reads_back_and_garbage_is_named() {
    let mut checkpoint = OffsetCheckpoint::default();
    for (name, offset) in [("t-0", 5), ("t-1", 7)] {
        checkpoint.offsets.insert(TopicPartition::parse(name).unwrap(), at(offset));
    }
    let bytes = checkpoint.encode();
    assert_eq!(bytes, b"0\n2\nt 0 5\nt 1 7\n");
    assert_eq!(OffsetCheckpoint::parse(&bytes), Ok(checkpoint));
    assert_eq!(OffsetCheckpoint::parse(b""), Ok(OffsetCheckpoint::default()));
    for bad in [&b"1\n1\nt 0 5\n"[..], b"0\n3\nt 0 5\nt 1 7\n", b"0\n1\nt 0 5\nt 1 7\n", b"0\n1\nt 0 -5\n", b"x"] {
        assert!(OffsetCheckpoint::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn chk_02_an_epoch_file_whose_replacement_is_cut_short_is_the_old_one_or_the_new_one() {
    let start = |disk: &MemDisk| {
        let mut subject = Subject::open(disk.clone(), options(small()));
        subject.fill(3);
        subject.log.flush().unwrap();
        subject
    };
    let calls = {
        let disk = MemDisk::new();
        let mut subject = start(&disk);
        let before = disk.calls();
        subject.log.begin_epoch(LeaderEpoch::new(9)).unwrap();
        disk.calls() - before
    };
    let old = { start(&MemDisk::new()).disk.contents()[EPOCHS].clone() };
    let (mut olds, mut news) = (0, 0);
    for call in 0..calls {
        for applied in [Applied::Before, Applied::After, Applied::Partly(3)] {
            let disk = MemDisk::new();
            let mut subject = start(&disk);
            disk.stop_at(disk.calls() + call, applied);
            assert!(subject.log.begin_epoch(LeaderEpoch::new(9)).is_err());
            for image in disk.images() {
                let content = image.contents()[EPOCHS].clone();
                let is_new = content == b"0\n2\n0 0\n9 3\n";
                assert!(is_new || content == old, "{}", String::from_utf8_lossy(&content));
                if is_new { news += 1 } else { olds += 1 }
            }
            disk.kill();
            let mut subject = Subject::open(disk, options(small()));
            assert!(!subject.disk.contents().contains_key(&format!("{EPOCHS}.tmp")));
            subject.assert_holds(0, 3);
        }
    }
    assert!(olds > 0 && news > 0);
}

#[test]
fn epo_05_epochs_are_the_same_after_an_opening() {
    let mut subject = Subject::new(small());
    for epoch in [0, 3, 7] {
        subject.log.begin_epoch(LeaderEpoch::new(epoch)).unwrap();
        subject.fill(u64::from(epoch) + 2);
    }
    let epochs = subject.log.log().epochs().clone();
    assert_eq!(epochs.entries().len(), 3);
    let subject = subject.reopen();
    assert_eq!(subject.log.log().epochs(), &epochs);
    assert_eq!(subject.log.leader_epoch(), LeaderEpoch::new(7));
    let subject = subject.kill();
    assert_eq!(subject.log.log().epochs(), &epochs, "a new reign is noted with its first record");
}

#[test]
fn log_27_the_log_start_is_restored_and_is_never_below_the_first_segment() {
    let mut subject = Subject::new(small());
    subject.fill(30);
    subject.log.trim_to(at(8)).unwrap();
    let mut subject = subject.reopen().kill();
    assert_eq!((subject.start(), subject.bases()[0]), (8, 0));
    assert!(subject.log.read(at(7), 1, Isolation::LogEnd).is_err());
    subject.log.retain(NOW).unwrap();
    let first = subject.bases()[0];
    let (disk, options) = subject.close();
    // Whatever tells of the start is lost.
    disk.vanish("ottla-flushed-marks").unwrap();
    disk.vanish("log-start-offset-checkpoint").unwrap();
    let subject = Subject::open(disk, options);
    assert_eq!(subject.start(), first);
}

fn topic(byte: u8) -> TopicId {
    TopicId::from_bytes([byte; 16]).unwrap()
}

#[test]
fn log_31_files_of_another_topic_are_refused_and_stay_as_they_are() {
    let (wanted, found) = (topic(7), topic(9));
    let mine = OpenOptions { topic_id: Some(found), ..options(small()) };
    let mut subject = Subject::open(MemDisk::new(), mine.clone());
    subject.fill(5);
    let disk = subject.disk.clone();
    disk.kill();
    // Something that an opening would cut.
    let torn = [&disk.contents()[crate::support::FIRST_LOG][..], &[1; 10]].concat();
    disk.put(crate::support::FIRST_LOG, torn).unwrap();
    let before = disk.digest();
    let other = OpenOptions { topic_id: Some(wanted), ..options(small()) };
    let error = LogFile::open(disk.clone(), &partition(), other, NOW).unwrap_err();
    assert_eq!(error, OpenError::TopicIdMismatch { partition: partition(), found, wanted });
    assert_eq!(disk.digest(), before);
    Subject::open(disk.clone(), mine).assert_holds(0, 5);
    disk.kill();
    disk.put("t-0/partition.metadata", *b"nonsense").unwrap();
    let unreadable = OpenOptions { topic_id: Some(found), ..options(small()) };
    let error = LogFile::open(disk, &partition(), unreadable, NOW).unwrap_err();
    assert!(matches!(error, OpenError::Unreadable { .. }), "{error}");
}

#[test]
fn a_topics_id_is_on_disk_before_anything_else_of_it() {
    let wanted = topic(7);
    let disk = MemDisk::new();
    let mut subject = Subject::open(disk.clone(), OpenOptions { topic_id: Some(wanted), ..options(small()) });
    subject.fill(1);
    for image in disk.images() {
        let contents = image.contents();
        let has_data = contents.iter().any(|(name, bytes)| name.ends_with(".log") && !bytes.is_empty());
        assert!(!has_data || contents.contains_key("t-0/partition.metadata"));
    }
}
