//! PID: what a log knows of its producers, as those who append notice it.

use ottla::disk::{AppendFault, MemDisk};
use ottla::epoch::LeaderEpoch;
use ottla::id::ProducerId;
use ottla::log::{AppendError, Isolation, LogConfig, ProducerError, ProducerSnapshot, UnknownProducer};
use ottla::record::TransactionResult::{Abort, Commit};
use ottla::time::Timestamp;

use crate::support::{
    NOW, Subject, at, batch, by_hand, file, idempotent, later, marker, placed, small, stamp, transactional,
};

const LAST: i32 = i32::MAX;

/// Appends `count` records of producer 1.
fn send(subject: &mut Subject, epoch: i16, sequence: i32, count: usize) -> Result<(u64, u64, bool), ProducerError> {
    match subject.log.append(NOW, &idempotent(stamp(1, epoch, sequence), count)) {
        Ok(appended) => Ok((appended.base_offset.get(), appended.last_offset.get(), appended.duplicate)),
        Err(AppendFault::Log(AppendError::Producer(error))) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn out_of_order(found: Result<(u64, u64, bool), ProducerError>) -> bool {
    matches!(found, Err(ProducerError::OutOfOrderSequence { .. }))
}

fn entry(subject: &Subject) -> ottla::log::ProducerEntry {
    subject.log.log().producers().entry(ProducerId::new(1).unwrap()).unwrap().clone()
}

#[test]
fn pid_01_a_batch_sent_again_gets_its_first_answer_and_is_not_stored_again() {
    let mut subject = Subject::new(small());
    for sequence in [0, 3, 6, 9, 12] {
        send(&mut subject, 0, sequence, 3).unwrap();
    }
    for (sequence, base) in [(0, 0), (3, 3), (6, 6), (9, 9), (12, 12)] {
        assert_eq!(send(&mut subject, 0, sequence, 3), Ok((base, base + 2, true)));
    }
    assert_eq!(subject.end(), 15);
    // A snapshot keeps the latest batch of each producer, so an opening does too.
    let mut subject = subject.reopen().kill();
    assert_eq!(send(&mut subject, 0, 12, 3), Ok((12, 14, true)));
    send(&mut subject, 0, 15, 1).unwrap();
    assert!(out_of_order(send(&mut subject, 0, 0, 3)), "five are remembered");
}

#[test]
fn pid_02_a_first_batch_behind_a_gap_is_refused_where_that_is_asked_for() {
    let mut subject = Subject::new(small());
    assert_eq!(send(&mut subject, 0, 5, 1), Ok((0, 0, false)), "Kafka takes any");
    let mut subject = Subject::new(LogConfig { unknown_producer: UnknownProducer::Refuse, ..small() });
    // The batch in front of it was refused, and comes again: it is not to be overtaken.
    let refused = send(&mut subject, 0, 5, 1);
    assert!(matches!(refused, Err(ProducerError::UnknownProducer { .. })), "{refused:?}");
    send(&mut subject, 0, 0, 5).unwrap();
    send(&mut subject, 0, 5, 1).unwrap();
    let mut subject = subject.reopen();
    assert_eq!(send(&mut subject, 0, 6, 1), Ok((6, 6, false)), "it is known from the files");
}

#[test]
fn pid_02_a_gap_in_the_sequence_is_refused() {
    let mut subject = Subject::new(small());
    send(&mut subject, 0, 0, 3).unwrap();
    let before = subject.disk.digest();
    assert!(out_of_order(send(&mut subject, 0, 4, 1)));
    assert!(out_of_order(send(&mut subject, 0, 2, 2)), "half known");
    assert_eq!((subject.disk.digest(), subject.end()), (before, 3));
    send(&mut subject, 0, 3, 1).unwrap();
}

#[test]
fn pid_03_an_older_epoch_is_fenced() {
    let mut subject = Subject::new(small());
    send(&mut subject, 1, 0, 1).unwrap();
    let subject = &mut subject.reopen();
    assert!(matches!(send(subject, 0, 1, 1), Err(ProducerError::ProducerFenced { .. })));
}

#[test]
fn pid_04_a_new_epoch_begins_with_sequence_0() {
    let mut subject = Subject::new(small());
    send(&mut subject, 0, 0, 3).unwrap();
    assert!(out_of_order(send(&mut subject, 1, 3, 1)));
    send(&mut subject, 1, 0, 1).unwrap();
    send(&mut subject, 1, 1, 1).unwrap();
}

#[test]
fn pid_05_sequences_go_on_with_0_behind_the_largest() {
    let mut subject = Subject::new(small());
    send(&mut subject, 0, LAST - 1, 2).unwrap();
    send(&mut subject, 0, 0, 1).unwrap();
    let mut subject = Subject::new(small());
    send(&mut subject, 0, LAST, 3).unwrap();
    assert_eq!(send(&mut subject, 0, LAST, 3), Ok((0, 2, true)), "a batch may wrap in the middle");
    send(&mut subject, 0, 2, 1).unwrap();
}

#[test]
fn pid_06_sequences_do_not_wrap_early() {
    let mut subject = Subject::new(small());
    send(&mut subject, 0, LAST - 1, 1).unwrap();
    assert!(out_of_order(send(&mut subject, 0, 0, 1)));
    send(&mut subject, 0, LAST, 1).unwrap();
}

#[test]
fn pid_07_a_follower_takes_gaps_and_old_epochs() {
    let mut subject = Subject::new(small());
    let epoch = LeaderEpoch::ZERO;
    let steps = [(0, 0, 0), (1, 0, 9), (2, 3, 5), (3, 1, 0)];
    for (base, producer_epoch, sequence) in steps {
        let sent = placed(base, 0, &idempotent(stamp(1, producer_epoch, sequence), 1));
        subject.log.replicate(NOW, &[sent], epoch).unwrap();
    }
    assert_eq!(subject.end(), 4);
    assert_eq!(subject.kill().end(), 4);
}

#[test]
fn pid_08_a_producer_that_was_idle_is_forgotten_and_may_begin_anywhere() {
    let idle = 1000;
    let mut subject = Subject::new(LogConfig { producer_id_expiration_ms: idle as u64, ..small() });
    send(&mut subject, 0, 0, 3).unwrap();
    subject.log.append(NOW, &transactional(stamp(2, 0, 0), 1)).unwrap();
    subject.log.expire_producers(later(idle - 1));
    assert!(out_of_order(send(&mut subject, 0, 7, 1)));
    subject.log.expire_producers(later(idle));
    let known: Vec<i64> = subject.log.log().producers().entries().map(|(id, _)| id.get()).collect();
    assert_eq!(known, [2], "one whose transaction is open is kept");
    send(&mut subject, 0, 7, 1).unwrap();
    // Also at an opening.
    let (disk, options) = subject.close();
    let (log, _) = ottla::disk::LogFile::open(disk, &crate::support::partition(), options, later(idle)).unwrap();
    assert_eq!(log.log().producers().len(), 1);
}

#[test]
fn pid_09_what_is_known_of_producers_survives_an_opening() {
    let mut subject = Subject::new(small());
    send(&mut subject, 4, 0, 3).unwrap();
    send(&mut subject, 4, 3, 2).unwrap();
    subject.log.append(NOW, &transactional(stamp(2, 1, 0), 2)).unwrap();
    subject.log.append(NOW, &transactional(stamp(3, 1, 0), 2)).unwrap();
    subject.mark(&marker(3, 1, Abort, 5));
    let producers = subject.log.log().producers().clone();
    for is_clean in [true, false, true] {
        subject = if is_clean { subject.reopen() } else { subject.kill() };
        let known = subject.log.log().producers();
        assert_eq!(known.len(), producers.len());
        // A snapshot keeps the last batch of each alone.
        for (id, before) in producers.entries() {
            let after = known.entry(id).unwrap();
            assert_eq!((after.epoch(), after.last_sequence()), (before.epoch(), before.last_sequence()));
            assert_eq!(after.open_transaction(), before.open_transaction());
            assert_eq!(after.coordinator_epoch(), before.coordinator_epoch());
            assert_eq!(after.last_timestamp(), before.last_timestamp());
        }
        assert_eq!(subject.log.log().last_stable_offset(), at(5));
    }
}

#[test]
fn pid_10_a_snapshot_is_not_written_again_while_nothing_has_come() {
    let mut subject = Subject::new(small());
    send(&mut subject, 0, 0, 3).unwrap();
    subject.log.roll(NOW).unwrap();
    let snapshot = subject.disk.contents()[&file(3, "snapshot")].clone();
    assert!(!snapshot.is_empty());
    let count = |subject: &Subject| subject.disk.contents().keys().filter(|name| name.ends_with(".snapshot")).count();
    assert_eq!(count(&subject), 1);
    subject.disk.put(&file(3, "snapshot"), *b"would be written over").unwrap();
    subject.log.roll(NOW).unwrap();
    let (disk, _) = subject.close();
    assert_eq!(disk.contents()[&file(3, "snapshot")], b"would be written over");
}

#[test]
fn pid_11_a_batch_outside_its_producers_open_transaction_is_refused() {
    let mut subject = Subject::new(small());
    subject.log.append(NOW, &transactional(stamp(1, 0, 0), 2)).unwrap();
    let subject = &mut subject.kill();
    let refused = send(subject, 0, 2, 1).unwrap_err();
    let expected = ProducerError::OutsideTransaction { producer_id: stamp(1, 0, 0).id, first_offset: at(0) };
    assert_eq!(refused, expected);
    subject.mark(&marker(1, 0, Commit, 0));
    send(subject, 0, 2, 1).unwrap();
}

#[test]
fn pid_12_a_marker_of_an_older_coordinator_is_fenced() {
    let mut subject = Subject::new(small());
    subject.log.append(NOW, &transactional(stamp(1, 0, 0), 2)).unwrap();
    subject.mark(&marker(1, 0, Commit, 2));
    subject.log.append(NOW, &transactional(stamp(1, 0, 2), 2)).unwrap();
    let rules = ottla::log::MarkerRules::default();
    let older = marker(1, 0, Commit, 1);
    let refused = subject.log.append_from(NOW, &older, ottla::record::Origin::Coordinator, rules).unwrap_err();
    let fenced = |error: &AppendError| matches!(error, AppendError::Producer(ProducerError::CoordinatorFenced { .. }));
    assert!(matches!(&refused, AppendFault::Log(error) if fenced(error)), "{refused}");
}

#[test]
fn pid_13_a_transaction_holds_the_stable_offset_until_its_marker_is_replicated() {
    let mut subject = Subject::open(MemDisk::new(), by_hand(small()));
    subject.fill(9);
    subject.log.append(NOW, &transactional(stamp(1, 0, 0), 2)).unwrap();
    subject.mark(&marker(1, 0, Commit, 0));
    let mut stable = |to| {
        subject.log.advance_high_watermark(at(to));
        subject.log.log().last_stable_offset().get()
    };
    assert_eq!([5, 9, 10, 11, 12].map(&mut stable), [5, 9, 9, 9, 12]);
}

#[test]
fn pid_14_a_roll_leaves_a_snapshot_named_after_the_new_segment() {
    let mut subject = Subject::new(small());
    send(&mut subject, 0, 0, 1).unwrap();
    subject.fill(30);
    let contents = subject.disk.contents();
    for base in &subject.bases()[1..] {
        let snapshot = ProducerSnapshot::parse(&contents[&file(*base, "snapshot")]).unwrap();
        let state = snapshot.into_state(at(*base), UnknownProducer::default(), NOW, 1 << 40);
        assert_eq!(state.len(), 1, "segment {base}");
    }
    assert_eq!(entry(&subject).last_timestamp(), NOW);
}

#[test]
fn pid_15_a_reader_of_what_is_committed_is_told_what_was_aborted() {
    let mut subject = Subject::new(small());
    subject.log.append(NOW, &transactional(stamp(1, 0, 0), 6)).unwrap();
    subject.mark(&marker(1, 0, Abort, 0));
    subject.fill(20);
    let mut subject = subject.kill().reopen();
    let fetched = subject.fetch(0, Isolation::ReadCommitted);
    assert_eq!(crate::support::offsets_of(&fetched)[..6], [0, 1, 2, 3, 4, 5]);
    let told: Vec<_> = fetched.aborted.iter().map(|txn| (txn.producer_id.get(), txn.first_offset.get())).collect();
    assert_eq!(told, [(1, 0)]);
    assert!(subject.fetch(0, Isolation::HighWatermark).aborted.is_empty());
    assert!(subject.fetch(12, Isolation::ReadCommitted).aborted.is_empty());
}

#[test]
fn a_truncation_takes_back_what_it_taught_of_producers() {
    for reopen in [false, true] {
        let mut subject = Subject::open(MemDisk::new(), by_hand(small()));
        send(&mut subject, 0, 0, 2).unwrap();
        let before = entry(&subject);
        send(&mut subject, 0, 2, 2).unwrap();
        subject.log.append(NOW, &transactional(stamp(2, 0, 0), 1)).unwrap();
        if reopen {
            subject = subject.reopen();
        }
        subject.log.truncate_to(at(2), NOW).unwrap();
        assert_eq!(subject.log.log().producers().len(), 1);
        assert_eq!(subject.log.log().producers().first_unstable(), None);
        assert_eq!(entry(&subject).batches(), before.batches());
        assert_eq!(send(&mut subject, 0, 2, 3), Ok((2, 4, false)));
        subject.log.append(NOW, &batch(&["a"])).unwrap();
        assert_eq!(entry(&subject.kill()).last_timestamp(), Timestamp::from_millis(NOW.as_millis()));
    }
}
