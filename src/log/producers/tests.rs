//! What is known of producers, batch by batch.

mod histories;

use super::*;
use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::log::txn_index::AbortedTxn;
use crate::record::ProducerStamp;

fn id(number: i64) -> ProducerId {
    ProducerId::new(number).unwrap()
}

fn at(offset: u64) -> Offset {
    Offset::new(offset)
}

/// A batch of `count` records of producer 1, at `base`.
fn data(epoch: i16, sequence: i32, base: u64, count: u64) -> ProducerBatch {
    ProducerBatch {
        base_offset: at(base),
        last_offset: at(base + count - 1),
        max_timestamp: Timestamp::from_millis(base as i64 * 10),
        producer: Some(ProducerStamp {
            id: id(1),
            epoch: ProducerEpoch::new(epoch),
            base_sequence: Sequence::new(sequence),
        }),
        content: Content::Plain,
    }
}

fn transactional(epoch: i16, sequence: i32, base: u64, count: u64) -> ProducerBatch {
    ProducerBatch { content: Content::Transactional, ..data(epoch, sequence, base, count) }
}

fn marker(outcome: Outcome, epoch: i16, coordinator: i32, offset: u64) -> ProducerBatch {
    let marker = Marker {
        outcome,
        coordinator_epoch: LeaderEpoch::from_i32(coordinator),
        timestamp: Timestamp::from_millis(offset as i64 * 10),
        rules: MarkerRules::SameEpoch,
    };
    ProducerBatch { content: Content::Marker(marker), ..data(epoch, -1, offset, 1) }
}

fn next_epoch(mut batch: ProducerBatch) -> ProducerBatch {
    if let Content::Marker(marker) = &mut batch.content {
        marker.rules = MarkerRules::NextEpoch;
    }
    batch
}

fn of(number: i64, mut batch: ProducerBatch) -> ProducerBatch {
    if let Some(producer) = &mut batch.producer {
        producer.id = id(number);
    }
    batch
}

fn state() -> ProducerState {
    ProducerState::new(Offset::ZERO, UnknownProducer::Accept)
}

impl ProducerState {
    fn append_from(&mut self, batch: ProducerBatch, origin: Origin) -> Result<Vec<CompletedTxn>, ProducerError> {
        match self.check([batch], origin)? {
            Verdict::Append(change) => {
                let completed = change.completed().to_vec();
                self.apply(change);
                Ok(completed)
            }
            Verdict::Duplicate(known) => panic!("{batch:?} is a duplicate of {known:?}"),
        }
    }

    fn append(&mut self, batch: ProducerBatch) -> Result<Vec<CompletedTxn>, ProducerError> {
        let origin = if matches!(batch.content, Content::Marker(_)) { Origin::Coordinator } else { Origin::Client };
        self.append_from(batch, origin)
    }

    fn duplicate(&self, batch: ProducerBatch) -> Option<BatchMeta> {
        match self.check([batch], Origin::Client) {
            Ok(Verdict::Duplicate(known)) => Some(known),
            Ok(Verdict::Append(_)) | Err(_) => None,
        }
    }
}

fn out_of_order(epoch: i16, expected: i32, found: i32) -> ProducerError {
    ProducerError::OutOfOrderSequence {
        producer_id: id(1),
        epoch: ProducerEpoch::new(epoch),
        expected: Sequence::new(expected).unwrap(),
        found: Sequence::new(found).unwrap(),
    }
}

fn fenced(stored: i16, found: i16) -> ProducerError {
    let (stored, found) = (ProducerEpoch::new(stored), ProducerEpoch::new(found));
    ProducerError::ProducerFenced { producer_id: id(1), stored, found }
}

#[test]
fn pid_01_a_batch_sent_again_is_answered_with_its_first_offsets() {
    let mut state = state();
    state.append(data(0, 0, 100, 3)).unwrap();
    let known = state.duplicate(data(0, 0, 103, 3)).unwrap();
    assert_eq!((known.base_offset(), known.last_offset), (at(100), at(102)));
    assert_eq!(known.timestamp, Timestamp::from_millis(1000));
    assert_eq!(state.duplicate(data(0, 0, 103, 2)), None, "of other sequences it is no duplicate");
    assert_eq!(state.duplicate(data(1, 0, 103, 3)), None, "nor of another epoch");
}

#[test]
fn five_batches_are_remembered_and_the_sixth_is_forgotten() {
    let mut state = state();
    for sequence in 0..6 {
        state.append(data(0, sequence, 10 + sequence as u64, 1)).unwrap();
    }
    assert_eq!(state.append(data(0, 0, 20, 1)), Err(out_of_order(0, 6, 0)));
    for sequence in 1..6 {
        let known = state.duplicate(data(0, sequence, 20, 1)).unwrap();
        assert_eq!(known.last_offset, at(10 + sequence as u64));
    }
}

#[test]
fn only_a_client_sends_again() {
    let mut state = state();
    state.append(data(0, 0, 0, 3)).unwrap();
    let before = state.clone();
    state.append_from(data(0, 0, 3, 3), Origin::Replication).unwrap();
    assert_ne!(state, before);
    assert_eq!(state.entry(id(1)).unwrap().batches().len(), 2);
}

#[test]
fn pid_02_a_gap_in_the_sequences_is_refused() {
    let mut state = state();
    state.append(data(0, 0, 0, 3)).unwrap();
    let before = state.clone();
    assert_eq!(state.append(data(0, 4, 3, 1)), Err(out_of_order(0, 3, 4)));
    assert_eq!(state, before, "what is refused changes nothing");
    state.append(data(0, 3, 3, 1)).unwrap();
}

#[test]
fn pid_03_an_earlier_epoch_is_fenced() {
    let mut state = state();
    state.append(data(1, 0, 0, 1)).unwrap();
    assert_eq!(state.append(data(0, 0, 1, 1)), Err(fenced(1, 0)));
    assert_eq!(state.append(data(-1, 0, 1, 1)), Err(fenced(1, -1)));
    assert_eq!(state.append_from(data(0, -1, 1, 1), Origin::Coordinator), Err(fenced(1, 0)));
}

#[test]
fn pid_04_a_new_epoch_begins_with_sequence_0() {
    let mut state = state();
    state.append(data(0, 0, 0, 5)).unwrap();
    assert_eq!(state.append(data(1, 3, 5, 1)), Err(out_of_order(1, 0, 3)));
    assert_eq!(state.append(data(1, 5, 5, 1)), Err(out_of_order(1, 0, 5)));
    state.append(data(1, 0, 5, 1)).unwrap();
    assert_eq!(state.entry(id(1)).unwrap().batches().len(), 1, "the old epoch's batches are forgotten");
}

#[test]
fn pid_05_after_the_last_sequence_comes_0() {
    let mut state = state();
    state.append(data(0, i32::MAX - 1, 0, 2)).unwrap();
    state.append(data(0, 0, 2, 1)).unwrap();
    let mut state = self::state();
    state.append(data(0, i32::MAX, 0, 3)).unwrap();
    assert_eq!(state.entry(id(1)).unwrap().last_sequence(), Sequence::new(1), "a batch may wrap inside");
    assert!(state.duplicate(data(0, i32::MAX, 9, 3)).is_some());
    state.append(data(0, 2, 3, 1)).unwrap();
}

#[test]
fn pid_06_before_the_last_sequence_0_is_refused() {
    let mut state = state();
    state.append(data(0, i32::MAX - 1, 0, 1)).unwrap();
    assert_eq!(state.append(data(0, 0, 1, 1)), Err(out_of_order(0, i32::MAX, 0)));
    state.append(data(0, i32::MAX, 1, 1)).unwrap();
    assert_eq!(state.append(data(0, 1, 2, 1)), Err(out_of_order(0, 0, 1)));
}

#[test]
fn pid_07_a_replica_takes_gaps_and_earlier_epochs() {
    let mut state = state();
    for batch in [data(5, 7, 0, 1), data(5, 90, 1, 1), data(3, 2, 2, 1), transactional(3, 9, 3, 1), data(3, 50, 4, 1)] {
        state.append_from(batch, Origin::Replication).unwrap();
    }
    let entry = state.entry(id(1)).unwrap();
    assert_eq!(entry.epoch(), ProducerEpoch::new(3));
    assert_eq!(entry.open_transaction(), Some(at(3)), "a batch outside does not end it");
    let early = marker(Outcome::Abort, 0, -1, 5);
    assert_eq!(state.append_from(early, Origin::Replication).unwrap().len(), 1);
}

#[test]
fn pid_08_an_idle_producer_is_forgotten_and_may_begin_with_any_sequence() {
    let mut state = state();
    state.append(data(0, 0, 10, 1)).unwrap();
    state.append(of(2, transactional(0, 0, 11, 1))).unwrap();
    assert_eq!(state.expire(Timestamp::from_millis(1099), 1000), 0);
    assert_eq!(state.expire(Timestamp::from_millis(1100), 1000), 1);
    assert!(state.entry(id(2)).is_some(), "it has a transaction open");
    state.append(data(0, 9, 12, 1)).unwrap();
}

#[test]
fn timestamps_at_the_ends_of_time_neither_overflow_nor_live_for_ever() {
    for last in [i64::MIN, -1, 0, i64::MAX] {
        let mut state = state();
        let mut batch = data(0, 0, 0, 1);
        batch.max_timestamp = Timestamp::from_millis(last);
        state.append(batch).unwrap();
        assert_eq!(state.expire(Timestamp::from_millis(i64::MIN), u64::MAX), 0);
        assert_eq!(state.expire(Timestamp::from_millis(i64::MAX), 0), 1);
    }
}

#[test]
fn an_unknown_producer_that_does_not_begin_at_0_is_refused_where_that_is_asked_for() {
    let mut state = ProducerState::new(Offset::ZERO, UnknownProducer::Refuse);
    let unknown = ProducerError::UnknownProducer { producer_id: id(1), found: Sequence::new(9).unwrap() };
    assert_eq!(state.append(data(0, 9, 0, 1)), Err(unknown));
    state.append(data(0, 0, 0, 1)).unwrap();
    state.append_from(of(2, data(0, 9, 1, 1)), Origin::Replication).unwrap();
    state.restart(at(7));
    assert_eq!(state.append(data(0, 9, 7, 1)), Err(unknown), "the policy outlives a restart");
}

#[test]
fn a_coordinators_batches_have_no_sequences_and_a_clients_must() {
    let mut state = state();
    let missing = ProducerError::MissingSequence { producer_id: id(1) };
    assert_eq!(state.append(data(0, -1, 0, 1)), Err(missing));
    state.append_from(data(0, -1, 0, 1), Origin::Coordinator).unwrap();
    state.append_from(data(0, -1, 1, 1), Origin::Coordinator).unwrap();
    assert_eq!(state.entry(id(1)).unwrap().last_sequence(), None);
    assert_eq!(state.append(data(0, 1, 2, 1)), Err(out_of_order(0, 0, 1)));
    state.append(data(0, 0, 2, 1)).unwrap();
}

#[test]
fn pid_11_a_batch_outside_the_open_transaction_is_refused() {
    let mut state = state();
    state.append(transactional(0, 0, 5, 2)).unwrap();
    let outside = ProducerError::OutsideTransaction { producer_id: id(1), first_offset: at(5) };
    assert_eq!(state.append(data(0, 2, 7, 1)), Err(outside));
    assert_eq!(state.append_from(data(0, -1, 7, 1), Origin::Coordinator), Err(outside));
    assert_eq!(state.append(data(0, 3, 7, 1)), Err(out_of_order(0, 2, 3)), "the sequence is looked at first");
    state.append(transactional(0, 2, 7, 1)).unwrap();
    assert_eq!(state.first_unstable(), Some(at(5)));
}

#[test]
fn pid_12_a_marker_of_an_earlier_coordinator_is_fenced() {
    let mut state = state();
    state.append(transactional(0, 0, 0, 1)).unwrap();
    state.append(marker(Outcome::Commit, 0, 2, 1)).unwrap();
    state.append(transactional(0, 1, 2, 1)).unwrap();
    let late = ProducerError::CoordinatorFenced {
        producer_id: id(1),
        stored: LeaderEpoch::from_i32(2),
        found: LeaderEpoch::from_i32(1),
    };
    assert_eq!(state.append(marker(Outcome::Commit, 0, 1, 3)), Err(late));
    assert_eq!(state.append(marker(Outcome::Commit, 0, 2, 3)).unwrap().len(), 1);
}

#[test]
fn pid_13_a_transaction_is_unstable_until_its_marker_is_below_the_high_watermark() {
    let mut state = state();
    state.append(transactional(0, 0, 9, 1)).unwrap();
    assert_eq!(state.first_unstable(), Some(at(9)));
    state.append(marker(Outcome::Commit, 0, 0, 10)).unwrap();
    assert_eq!(state.first_unstable(), Some(at(9)));
    state.marker_replicated(at(10));
    assert_eq!(state.first_unstable(), Some(at(9)), "the marker itself is not below it");
    state.append(of(2, transactional(0, 0, 11, 1))).unwrap();
    state.marker_replicated(at(11));
    assert_eq!(state.first_unstable(), Some(at(11)));
}

#[test]
fn a_trimmed_log_forgets_its_old_transactions_but_no_producer() {
    let mut state = state();
    state.append(transactional(0, 0, 0, 1)).unwrap();
    state.append(marker(Outcome::Abort, 0, 0, 1)).unwrap();
    state.trim_to(at(20));
    assert_eq!((state.first_unstable(), state.len(), state.end()), (None, 1, at(20)));
}

#[test]
fn a_marker_judged_by_the_old_rules_may_have_the_same_epoch() {
    let mut state = state();
    state.append(transactional(3, 0, 0, 1)).unwrap();
    assert_eq!(state.append(marker(Outcome::Abort, 2, 0, 1)), Err(fenced(3, 2)));
    assert_eq!(state.append(marker(Outcome::Abort, 3, 0, 1)).unwrap().len(), 1);
    assert_eq!(state.append(marker(Outcome::Abort, 4, 0, 2)), Ok(vec![]), "nothing is open");
    let entry = state.entry(id(1)).unwrap();
    assert_eq!((entry.epoch(), entry.batches().len()), (ProducerEpoch::new(4), 0));
    assert_eq!(entry.last_timestamp(), Timestamp::from_millis(20));
    assert_eq!(state.append(data(4, 7, 3, 1)), Err(out_of_order(4, 0, 7)), "a marker begins the epoch");
}

#[test]
fn a_marker_judged_by_the_new_rules_must_have_a_later_epoch() {
    let mut state = state();
    let marker = |epoch, offset| next_epoch(marker(Outcome::Abort, epoch, 0, offset));
    state.append(transactional(3, 0, 0, 1)).unwrap();
    assert_eq!(state.append(marker(2, 1)), Err(fenced(3, 2)));
    assert_eq!(state.append(marker(3, 1)), Err(fenced(3, 3)));
    assert_eq!(state.append(marker(4, 1)).unwrap().len(), 1);
    assert_eq!(state.append(marker(4, 2)), Ok(vec![]), "the same marker may come again");
    assert_eq!(state.append(marker(3, 3)), Err(fenced(4, 3)));
}

#[test]
fn what_is_stable_behind_a_marker_ends_with_the_next_open_transaction() {
    let mut state = state();
    state.append(transactional(0, 0, 0, 1)).unwrap();
    state.append(of(2, transactional(0, 0, 1, 1))).unwrap();
    state.append(of(3, transactional(0, 0, 2, 1))).unwrap();
    let second = state.append(of(2, marker(Outcome::Abort, 0, 0, 3))).unwrap()[0];
    assert_eq!(second.last_stable_offset, at(0));
    let first = state.append(marker(Outcome::Abort, 0, 0, 4)).unwrap()[0];
    assert_eq!(first.last_stable_offset, at(2));
    let third = state.append(of(3, marker(Outcome::Commit, 0, 0, 5))).unwrap()[0];
    assert_eq!((third.last_stable_offset, third.aborted()), (at(6), None));
    let expected =
        AbortedTxn { producer_id: id(1), first_offset: at(0), last_offset: at(4), last_stable_offset: at(2) };
    assert_eq!(first.aborted(), Some(expected));
}

#[test]
fn what_is_stable_behind_each_of_several_markers_is_told_apart() {
    let mut state = state();
    for (number, first) in [(1, 0), (2, 1), (3, 2), (4, 3)] {
        state.append(of(number, transactional(0, 0, first, 1))).unwrap();
    }
    let markers = [(2, 4), (1, 5), (4, 6)].map(|(number, offset)| of(number, marker(Outcome::Abort, 0, 0, offset)));
    let Ok(Verdict::Append(change)) = state.check(markers, Origin::Replication) else { panic!("refused") };
    let stable: Vec<u64> = change.completed().iter().map(|txn| txn.last_stable_offset.get()).collect();
    assert_eq!(stable, [0, 2, 2]);
}

#[test]
fn a_marker_that_was_compacted_away_changes_nothing_but_the_end() {
    let mut state = state();
    state.append(transactional(0, 0, 0, 1)).unwrap();
    let before = state.clone();
    let emptied = ProducerBatch { content: Content::OtherControl, ..marker(Outcome::Abort, 9, 9, 1) };
    state.append_from(emptied, Origin::Replication).unwrap();
    assert_eq!(state.entry(id(1)), before.entry(id(1)));
    assert_eq!((state.first_unstable(), state.end()), (Some(at(0)), at(2)));
}

#[test]
fn batches_appended_together_are_judged_one_behind_the_other() {
    let state = state();
    let both = |second| state.check([data(0, 7, 0, 2), second], Origin::Client);
    assert!(both(data(0, 9, 2, 1)).is_ok());
    assert_eq!(both(data(0, 8, 2, 1)), Err(out_of_order(0, 9, 8)));
    assert_eq!(both(data(1, 3, 2, 1)), Err(out_of_order(1, 0, 3)));
    let whole = [transactional(0, 0, 0, 2), marker(Outcome::Abort, 0, 0, 2), of(2, transactional(0, 0, 3, 1))];
    let Ok(Verdict::Append(change)) = state.check(whole, Origin::Replication) else { panic!("refused") };
    assert_eq!(change.completed()[0].last_stable_offset, at(3), "as if each had come alone");
    let mut applied = state.clone();
    let undo = applied.apply(change);
    assert_eq!(applied.open_transactions().collect::<Vec<_>>(), [(at(3), id(2))]);
    assert_eq!((applied.first_unstable(), applied.end()), (Some(at(0)), at(4)));
    applied.undo(undo);
    assert_eq!(applied, state);
}

#[test]
fn an_append_with_a_duplicate_is_answered_as_that_duplicate() {
    let mut state = state();
    state.append(data(0, 0, 0, 2)).unwrap();
    let verdict = state.check([data(0, 2, 2, 1), data(0, 0, 3, 2)], Origin::Client).unwrap();
    assert!(matches!(verdict, Verdict::Duplicate(known) if known.last_offset == at(1)));
}

#[test]
fn a_batch_of_nobody_moves_the_end_only() {
    let mut state = state();
    let batch = ProducerBatch { producer: None, ..data(0, 0, 5, 3) };
    state.append(batch).unwrap();
    assert_eq!((state.is_empty(), state.end()), (true, at(8)));
    state.advance_end(at(6));
    assert_eq!(state.end(), at(8));
    state.advance_end(at(9));
    assert_eq!(state.end(), at(9));
}

#[test]
fn an_error_names_the_producer_and_what_was_expected() {
    assert_eq!(out_of_order(2, 5, 9).to_string(), "producer 1, epoch 2: sequence 9, expected 5");
    assert_eq!(fenced(3, -1).to_string(), "producer 1: epoch -1 is fenced by 3");
}
