//! What a partition promises beside Kafka's own tests: how long who waits, and what it is told.

use ottla::epoch::LeaderEpoch;
use ottla::log::{
    self, Cleanup, DiskOp, Health, IndexFiles, Isolation, Log, LogConfig, MarkerRules, MaxTimestamp, OpFailure, OpSeq,
    ReadError, RecoveredSegment, ReplaceError, Replacement, SegmentInfo, TxnIndex,
};
use ottla::offset::Offset;
use ottla::partition::{
    Acks, CompactError, DeleteRecordsError, DeleteTo, DiskWish, Durability, Effect, EpochError, Found, ListOffsets,
    ListOffsetsError, ListedOffset, OffsetSpec, Partition, PartitionConfig, PartitionFacts, PartitionFetchError,
    ProduceError, Reached, StopReason,
};
use ottla::record::{Batch, Origin};
use ottla::time::{Instant, Timestamp};

use crate::node::{Node, Noted, facts, offsets, reign, reign_over_three};
use crate::support::{NOW, at, batch, batch_at, idempotent, later, stamp};

fn flushed_topic() -> PartitionConfig {
    PartitionConfig { durability: Durability::Flushed, ..PartitionConfig::default() }
}

fn ask_flushed(node: &mut Node, batch: &Batch, acks: Acks) -> u64 {
    node.ask(batch, Origin::Client, |produce| (produce.acks, produce.durability) = (acks, Durability::Flushed))
}

#[test]
fn a_duplicate_waits_as_long_as_its_original() {
    let mut node = Node::new(LogConfig::default());
    let sent = idempotent(stamp(7, 0, 0), 2);
    let first = ask_flushed(&mut node, &sent, Acks::Leader);
    let again = ask_flushed(&mut node, &sent, Acks::Leader);
    node.write();
    assert!(node.answers.is_empty(), "neither is flushed");
    node.sync();
    assert_eq!((node.produced(first), node.produced(again), node.end()), (Some(Ok(0)), Some(Ok(0)), 2));
    let later = ask_flushed(&mut node, &sent, Acks::Leader);
    assert_eq!(node.produced(later), Some(Ok(0)), "what is on disk is told at once");
}

#[test]
fn a_compare_and_append_is_refused_with_where_the_log_ends_and_a_retry_of_it_is_not() {
    let mut node = Node::new(LogConfig::default());
    let sent = idempotent(stamp(7, 0, 0), 2);
    let expect = |node: &mut Node, batch: &Batch, offset| {
        let waiter = node.ask(batch, Origin::Client, |produce| produce.expected_offset = Some(at(offset)));
        node.settle();
        node.produced(waiter).unwrap()
    };
    let refused =
        |expected, end| Err(ProduceError::UnexpectedOffset { expected: at(expected), log_end_offset: at(end) });
    assert_eq!(expect(&mut node, &sent, 1), refused(1, 0));
    assert_eq!(expect(&mut node, &sent, 0), Ok(0));
    assert_eq!(expect(&mut node, &sent, 0), Ok(0), "the answer was lost, not the batch");
    assert_eq!(expect(&mut node, &sent, 2), refused(2, 2), "it is there, and elsewhere");
    assert_eq!(expect(&mut node, &batch(&["v"]), 0), refused(0, 2));
    assert_eq!(node.end(), 2);
}

#[test]
fn a_poisoned_log_tells_who_waits_what_is_not_known_and_serves_what_is_written() {
    let mut node = Node::new(LogConfig::default());
    node.produce(Acks::All);
    node.settle();
    node.answers.clear();
    let flushed = ask_flushed(&mut node, &batch(&["a", "b"]), Acks::All);
    node.write();
    let written = node.produce(Acks::Leader);
    let reader = node.fetch(3, 1, Isolation::HighWatermark);
    node.sync_fails();
    let reached = |answer: Option<Result<u64, ProduceError>>| match answer {
        Some(Err(ProduceError::Poisoned { unfinished, .. })) => {
            (unfinished.base_offset.get(), unfinished.last_offset.get(), unfinished.reached)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(reached(node.produced(flushed)), (1, 2, Reached::Written));
    assert_eq!(reached(node.produced(written)), (3, 3, Reached::Appended));
    assert_eq!(node.offsets(reader), Some(vec![]), "nothing will come any more");
    let refused = node.produce(Acks::All);
    assert!(matches!(node.produced(refused), Some(Err(ProduceError::Append(_)))));
    let reader = node.fetch(0, 1, Isolation::HighWatermark);
    assert_eq!(node.offsets(reader), Some(vec![0, 1]));
    node.write();
    assert_eq!(node.high_watermark(), 3, "of a poisoned log nothing more is believed");
    let refused = node.partition.delete_records(DeleteTo::HighWatermark, &mut node.out);
    assert!(matches!(refused, Err(DeleteRecordsError::Poisoned { .. })));
}

#[test]
fn a_stalled_log_keeps_who_waits_until_there_is_space() {
    let mut node = Node::new(LogConfig::default());
    let waits = node.produce(Acks::All);
    let op = *node.pending_ops().first().unwrap();
    node.partition.failed(op, OpFailure::NoSpace, &mut node.out);
    node.take();
    assert_eq!(node.partition.log().health(), &Health::Stalled);
    let refused = node.produce(Acks::All);
    assert!(matches!(node.produced(refused), Some(Err(ProduceError::Append(_)))));
    assert!(node.produced(waits).is_none());
    node.write();
    assert_eq!(node.produced(waits), Some(Ok(0)));
    let goes_on = node.produce(Acks::All);
    node.write();
    assert_eq!(node.produced(goes_on), Some(Ok(1)));
}

/// A partition whose segment has no space reserved yet, and the effects of its birth.
fn unprepared(found: Found) -> (Partition, Vec<Effect>) {
    let mut effects = Vec::new();
    let log = Log::new(LogConfig::default(), Offset::ZERO, NOW, &mut effects).unwrap();
    let mut out: Vec<Effect> = effects.into_iter().map(Effect::from).collect();
    let facts = PartitionFacts { found, ..facts() };
    let partition = Partition::lead(log, facts, reign(0), PartitionConfig::default(), &mut out).unwrap();
    (partition, out)
}

/// As a node that does nothing by itself.
fn node_of(found: Found) -> Node {
    let mut node = Node::new(LogConfig::default());
    (node.partition, node.out) = unprepared(found);
    node
}

fn reserve_of(out: &[Effect]) -> Option<(log::FileId, u32, u32)> {
    out.iter().find_map(|effect| {
        let Effect::Disk(DiskWish::Reserve { file, needed, wanted }) = effect else { return None };
        Some((*file, *needed, *wanted))
    })
}

#[test]
fn a_full_disk_is_told_before_anything_has_changed_and_nobody_overtakes() {
    let mut node = node_of(Found::Whole);
    let (small, large) = (batch(&["v"]), batch(&[&"x".repeat(10_000)]));
    let checked = |batch: &Batch| batch.check(&ottla::record::Rules::default(), NOW).unwrap();
    let produce = |number, batch: &Batch, acks| ottla::partition::Produce {
        waiter: ottla::partition::Waiter(number),
        batch: checked(batch),
        acks,
        durability: Durability::Written,
        deadline: Some(Instant::from_millis(900)),
        expected_offset: None,
        leader_epoch: None,
    };
    let mut out = std::mem::take(&mut node.out);
    let ask = |node: &mut Node, number, batch: &Batch, acks| {
        node.partition.produce(Instant::ZERO, NOW, produce(number, batch, acks), &mut node.out);
    };
    for (number, batch, acks) in
        [(1, &large, Acks::All), (2, &small, Acks::All), (3, &large, Acks::None), (4, &small, Acks::Leader)]
    {
        ask(&mut node, number, batch, acks);
    }
    assert_eq!((node.end(), node.partition.waiting()), (0, 4), "all wait for space, in their order");
    let (_, needed, wanted) = reserve_of(&node.out).unwrap();
    assert_eq!((needed, wanted), (large.size(), large.size() + (64 << 10)));
    out.append(&mut node.out);

    node.partition.reserve_failed(needed, OpFailure::NoSpace, &mut node.out);
    let (file, less, _) = reserve_of(&node.out).expect("the next one needs less");
    assert_eq!((less, node.end()), (small.size(), 0));
    node.partition.reserved(file, 2 * small.size(), &mut node.out);
    let (_, needed, _) = reserve_of(&node.out[1..]).expect("the one behind needs more again");
    node.partition.reserve_failed(needed + large.size(), OpFailure::NoSpace, &mut node.out);
    assert_eq!(node.partition.waiting(), 2, "nobody is refused for what another one lacked");
    node.partition.reserve_failed(needed, OpFailure::NoSpace, &mut node.out);
    node.out.splice(0..0, out);
    node.write();
    let full = ProduceError::Full { bytes: large.size() };
    assert_eq!((node.produced(1), node.produced(2)), (Some(Err(full.clone())), Some(Ok(0))));
    assert_eq!((node.produced(4), node.refused.pop(), node.end()), (Some(Ok(1)), Some(full), 2));
    assert!(node.timers.is_empty() && node.partition.waiting() == 0);
}

#[test]
fn nothing_is_appended_before_what_an_opening_has_found_is_on_disk() {
    let mut node = node_of(Found::Unsettled);
    let waits = node.produce(Acks::Leader);
    let (file, len) = (node.partition.log().active_segment().files.log, 1 << 20);
    node.partition.reserved(file, len, &mut node.out);
    node.write();
    assert_eq!((node.end(), node.partition.waiting()), (0, 1));
    node.sync();
    assert_eq!(node.end(), 1);
    node.write();
    assert_eq!(node.produced(waits), Some(Ok(0)));
    node.produce(Acks::Leader);
    assert_eq!(node.end(), 2, "it is so once");
}

#[test]
fn a_reign_is_noted_behind_a_durable_mark_and_its_first_flush_makes_the_mark_durable() {
    let mut node = Node::new(LogConfig::default());
    let flushed = |node: &mut Node| {
        ask_flushed(node, &batch(&["v"]), Acks::Leader);
        node.settle();
        std::mem::take(&mut node.noted)
    };
    assert_eq!(flushed(&mut node), [Noted::Reigns, Noted::Mark(1)]);
    assert_eq!(flushed(&mut node), [], "the mark knows of the reign");
    node.partition.become_leader(reign(1), &mut node.out).unwrap();
    node.take();
    assert_eq!(std::mem::take(&mut node.noted), [Noted::Mark(2), Noted::Reigns]);
    node.partition.become_leader(reign(2), &mut node.out).unwrap();
    node.take();
    assert_eq!(std::mem::take(&mut node.noted), [Noted::Reigns], "the mark has nothing new to say");
    assert_eq!(flushed(&mut node), [Noted::Mark(3)]);
}

#[test]
fn where_a_reign_begins_is_noted_once_what_an_opening_has_found_is_on_disk_and_marked() {
    let mut effects = Vec::new();
    let mut log = Log::new(LogConfig::default(), Offset::ZERO, NOW, &mut effects).unwrap();
    let found = batch(&["a", "b"]).check(&ottla::record::Rules::default(), NOW).unwrap();
    let decision = log.decide_append(&found, LeaderEpoch::new(0), MarkerRules::default()).unwrap();
    log.apply(NOW, decision, &mut effects);
    let mut node = Node::new(LogConfig::default());
    node.noted.clear();
    let facts = PartitionFacts { found: Found::Unsettled, ..facts() };
    let config = PartitionConfig::default();
    node.out.extend(effects.into_iter().map(Effect::from));
    node.partition = Partition::lead(log, facts, reign(1), config, &mut node.out).unwrap();
    let (file, len) = (node.partition.log().active_segment().files.log, 1 << 20);
    node.partition.reserved(file, len, &mut node.out);
    node.write();
    assert_eq!(std::mem::take(&mut node.noted), [Noted::Reigns], "that of the earlier life");
    assert_eq!(node.partition.leader_epoch(), Some(LeaderEpoch::new(1)));
    let waits = node.produce(Acks::Leader);
    node.write();
    assert_eq!((node.end(), &node.noted[..]), (2, &[][..]));
    node.sync();
    node.write();
    assert_eq!(node.noted, [Noted::Mark(2), Noted::Reigns]);
    assert_eq!(node.produced(waits), Some(Ok(2)));
    assert_eq!(node.partition.log().epochs().last().map(|last| last.start_offset), Some(at(2)));
}

#[test]
fn who_could_not_be_appended_in_time_was_not() {
    let mut node = node_of(Found::Unsettled);
    let in_time = |node: &mut Node, at| {
        node.ask(&batch(&["v"]), Origin::Client, |produce| produce.deadline = Some(Instant::from_millis(at)))
    };
    let (waits, late) = (in_time(&mut node, 100), in_time(&mut node, 0));
    assert_eq!(node.produced(late), Some(Err(ProduceError::NotAppendedInTime)));
    node.expire(100, waits);
    assert_eq!(node.produced(waits), Some(Err(ProduceError::NotAppendedInTime)));
    let told = in_time(&mut node, 100);
    node.settle();
    assert_eq!((node.produced(told), node.end(), node.timers.len()), (Some(Ok(0)), 1, 0));
}

#[test]
fn one_call_answers_a_few_hundred_and_says_that_more_are_due() {
    let mut node = Node::new(LogConfig::default());
    for _ in 0..10_000 {
        node.fetch(0, 1, Isolation::HighWatermark);
    }
    let elsewhere = node.fetch(0, 1_000_000, Isolation::HighWatermark);
    node.produce(Acks::None);
    let last = *node.pending_ops().last().unwrap();
    node.partition.done(last, &mut node.out);
    let mut answered = Vec::new();
    while node.out.iter().any(|effect| matches!(effect, Effect::Again)) {
        let fetched = node.out.drain(..).filter(|effect| matches!(effect, Effect::Fetched { .. })).count();
        assert!(fetched <= 256);
        answered.push(fetched);
        node.partition.proceed(&mut node.out);
    }
    assert_eq!(answered.iter().sum::<usize>() + node.out.len(), 10_000);
    assert!(answered.len() >= 39, "{answered:?}");
    assert_eq!(node.partition.waiting(), 1);
    node.out.clear();
    node.produce(Acks::None);
    let last = *node.pending_ops().last().unwrap();
    node.partition.done(last, &mut node.out);
    assert!(node.out.is_empty(), "whoever waits for more is not even told to go on waiting");
    node.partition.stop(StopReason::Closed, &mut node.out);
    node.take();
    assert!(node.fetched(elsewhere).unwrap().is_err());
}

#[test]
fn every_way_to_stop_ends_every_wait_however_many_there_are() {
    for way in 0..3 {
        let mut node = Node::new(LogConfig::default());
        for _ in 0..600 {
            node.produce(Acks::All);
            node.fetch(0, 1, Isolation::HighWatermark);
        }
        match way {
            0 => node.partition.stop(StopReason::Resigned, &mut node.out),
            1 => {
                let op = *node.pending_ops().first().unwrap();
                node.partition.failed(op, OpFailure::Failed("EIO".to_owned()), &mut node.out);
            }
            _ => node.partition.mark_failed("EIO", &mut node.out),
        }
        let told = |out: &[Effect]| {
            let is_told = |effect: &&Effect| matches!(effect, Effect::Produced { .. } | Effect::Fetched { .. });
            out.iter().filter(is_told).count()
        };
        assert_eq!((told(&node.out), node.partition.waiting()), (256, 1200 - 256));
        node.take();
        assert_eq!((node.answers.len(), node.partition.waiting()), (1200, 0));
    }
    // And those that are not appended yet.
    let mut node = node_of(Found::Unsettled);
    for _ in 0..600 {
        node.produce(Acks::All);
    }
    node.partition.stop(StopReason::Deleted, &mut node.out);
    node.take();
    assert_eq!((node.answers.len(), node.partition.waiting(), node.end()), (600, 0, 0));
}

#[test]
fn a_fetch_waits_for_the_bytes_it_wants_and_no_longer() {
    let size = u64::from(batch(&["value"]).size());
    for (bytes_min, batches) in [(1, 1), (61, 1), (size, 1), (size + 1, 2), (5 * size, 5), (5 * size + 1, 6)] {
        for flushed in [PartitionConfig::default(), flushed_topic()] {
            let mut node = Node::with(LogConfig::default(), flushed, reign(0));
            let reader = node.fetch(0, u32::try_from(bytes_min).unwrap(), Isolation::HighWatermark);
            for _ in 1..batches {
                node.produce(Acks::None);
                node.settle();
            }
            assert!(node.fetched(reader).is_none(), "{bytes_min} bytes are not there yet");
            node.produce(Acks::None);
            assert!(node.fetched(reader).is_none(), "nor can they be read");
            node.settle();
            assert_eq!(node.offsets(reader), Some((0..batches).collect()));
        }
    }
    // No more than it may have, or it would wait for ever.
    let mut node = Node::new(LogConfig::default());
    let reader = node.fetch_by(0, 10_000, |fetch| fetch.bytes_max = 10);
    node.produce(Acks::None);
    node.settle();
    assert_eq!(node.offsets(reader), Some(vec![0]), "the first batch comes whole");
}

#[test]
fn a_reader_whose_offset_is_deleted_is_told_both_ends_at_once() {
    let mut node = Node::new(LogConfig::default());
    for _ in 0..5 {
        node.produce(Acks::None);
    }
    node.settle();
    let reader = node.fetch(3, 10_000, Isolation::HighWatermark);
    let stays = node.fetch(5, 10_000, Isolation::HighWatermark);
    assert_eq!(node.partition.delete_records(DeleteTo::Offset(at(3)), &mut node.out), Ok(at(3)));
    assert!(node.fetched(reader).is_none());
    assert_eq!(node.partition.delete_records(DeleteTo::HighWatermark, &mut node.out), Ok(at(5)));
    let marked = node
        .out
        .iter()
        .position(|effect| matches!(effect, Effect::Disk(DiskWish::Mark(mark)) if mark.log_start_offset == at(5)));
    let changed = node.out.iter().rposition(|effect| matches!(effect, Effect::Disk(DiskWish::Log(_))));
    assert!(marked.is_some() && (changed.is_none() || marked < changed), "the mark comes first");
    node.take();
    let (requested, ends) = (at(3), at(5));
    let gone = ReadError::OutOfRange { requested, log_start_offset: ends, log_end_offset: ends };
    assert_eq!(node.fetched(reader).unwrap().map(drop), Err(PartitionFetchError::Range(gone)));
    assert!(node.fetched(stays).is_none());
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_and_where_the_policy_says_so() {
    let mut node = Node::with(LogConfig::default(), flushed_topic(), reign(0));
    node.produce(Acks::None);
    node.write();
    let refused = node.partition.delete_records(DeleteTo::Offset(at(1)), &mut node.out);
    let (log_start_offset, high_watermark) = (at(0), at(0));
    let expected = DeleteRecordsError::OutOfRange { requested: at(1), log_start_offset, high_watermark };
    assert_eq!(refused, Err(expected));
    node.sync();
    assert_eq!(node.partition.delete_records(DeleteTo::Offset(at(1)), &mut node.out), Ok(at(1)));
    assert_eq!(node.partition.delete_records(DeleteTo::Offset(at(0)), &mut node.out), Ok(at(1)), "it never goes back");
    let mut node = Node::new(LogConfig { cleanup: Cleanup::Compact, ..LogConfig::default() });
    let refused = node.partition.delete_records(DeleteTo::HighWatermark, &mut node.out);
    assert_eq!(refused, Err(DeleteRecordsError::Policy { cleanup: Cleanup::Compact }));
}

#[test]
fn where_a_topic_is_flushed_nobody_reads_what_is_not_and_one_flush_serves_many() {
    let mut node = Node::with(LogConfig::default(), flushed_topic(), reign(0));
    let reader = node.fetch(0, 1, Isolation::HighWatermark);
    let first = node.produce(Acks::All);
    node.write();
    let behind: Vec<u64> = (0..64).map(|_| ask_flushed(&mut node, &batch(&["v"]), Acks::All)).collect();
    node.write();
    assert!(node.answers.is_empty(), "the first flush is under way and has covered none of the others");
    node.sync();
    assert_eq!((node.produced(first), node.offsets(reader)), (Some(Ok(0)), Some(vec![0])));
    assert!(node.answers.is_empty());
    node.write();
    node.sync();
    assert!(behind.iter().all(|waiter| matches!(node.produced(*waiter), Some(Ok(_)))), "one flush for all of them");
    assert_eq!(node.high_watermark(), 65);
}

#[test]
fn a_flush_does_not_wait_for_what_is_appended_behind_it() {
    let mut node = Node::new(LogConfig::default());
    let waits = ask_flushed(&mut node, &batch(&["v"]), Acks::Leader);
    let done = *node.pending_ops().last().unwrap();
    // Others go on and on, and there is never a moment at which all is done.
    node.produce(Acks::Leader);
    node.partition.done(done, &mut node.out);
    node.take();
    node.produce(Acks::Leader);
    node.sync();
    assert_eq!(node.produced(waits), Some(Ok(0)));
    assert_eq!((node.partition.log().flushed(), node.end()), (at(1), 3), "it has covered what was done when it began");
    let all = ask_flushed(&mut node, &batch(&["v"]), Acks::Leader);
    node.settle();
    assert_eq!((node.produced(all), node.partition.log().is_settled()), (Some(Ok(3)), true));
}

#[test]
fn a_new_reign_tells_who_believes_in_the_old_one() {
    let mut node = Node::new(LogConfig::default());
    let believes = node.fetch_by(0, 1, |fetch| fetch.leader_epoch = Some(LeaderEpoch::new(0)));
    let other = node.fetch(0, 1, Isolation::HighWatermark);
    let writer = node.produce(Acks::All);
    node.partition.become_leader(reign(1), &mut node.out).unwrap();
    node.take();
    let fenced = EpochError::Fenced { found: LeaderEpoch::new(0), current: LeaderEpoch::new(1) };
    assert_eq!(node.fetched(believes).unwrap().map(drop), Err(PartitionFetchError::Epoch(fenced)));
    assert_eq!(node.offsets(other), Some(vec![]));
    node.settle();
    assert_eq!(node.produced(writer), Some(Ok(0)), "its batch is where it was");
    // A change of the replicas alone ends nothing.
    let reader = node.fetch(1, 1, Isolation::HighWatermark);
    let more =
        ottla::partition::Reign { leader_epoch: LeaderEpoch::new(1), partition_epoch: 1, ..reign_over_three(&[1]) };
    node.partition.become_leader(more, &mut node.out).unwrap();
    node.take();
    assert!(node.fetched(reader).is_none());
}

#[test]
fn an_offset_by_date_is_looked_for_where_it_may_be_and_counts_if_it_can_be_read() {
    let mut node = Node::with(LogConfig::default(), flushed_topic(), reign(0));
    for millis in [1, 2, 3] {
        node.produce_batch(&batch_at(later(millis * 1000), &["v"]), Acks::None);
        node.settle();
        node.partition.roll(NOW, &mut node.out).unwrap();
        node.settle();
    }
    node.produce_batch(&batch_at(later(9000), &["v"]), Acks::None);
    node.write();
    node.partition.delete_records(DeleteTo::Offset(at(1)), &mut node.out).unwrap();
    let search = |spec| {
        let query = ListOffsets { spec, isolation: Isolation::HighWatermark, leader_epoch: None };
        match node.partition.list_offsets(&query) {
            Ok(ListedOffset::Search(search)) => search,
            other => panic!("{other:?}"),
        }
    };
    let bases = |spec| -> Vec<u64> { search(spec).segments.iter().map(|s| s.base_offset.get()).collect() };
    assert_eq!(bases(OffsetSpec::At(later(0))), [1, 2], "not in front of the start, nor past what is committed");
    assert_eq!(bases(OffsetSpec::At(later(2500))), [2]);
    assert_eq!(bases(OffsetSpec::At(Timestamp::from_millis(i64::MAX))), [0; 0]);
    assert_eq!(bases(OffsetSpec::MaxTimestamp), [1, 2]);
    let newest = search(OffsetSpec::MaxTimestamp);
    let counts: Vec<bool> = (0..5).map(|offset| newest.counts(at(offset))).collect();
    assert_eq!(counts, [false, true, true, false, false]);
    let span = newest.span(&newest.segments[0], at(0), 100);
    assert_eq!((span.from, span.ceiling, span.segment), (at(1), at(3), at(1)));
    let earliest = ListOffsets { spec: OffsetSpec::Earliest, isolation: Isolation::HighWatermark, leader_epoch: None };
    let known = ListedOffset::Known { offset: at(1), leader_epoch: Some(LeaderEpoch::new(0)) };
    assert_eq!(node.partition.list_offsets(&earliest), Ok(known));
}

#[test]
fn a_new_leader_answers_where_the_log_ends_once_it_knows_what_is_committed() {
    let mut node = Node::with(LogConfig::default(), flushed_topic(), reign(0));
    node.produce(Acks::None);
    node.write();
    node.partition.become_leader(reign(1), &mut node.out).unwrap();
    let latest = ListOffsets { spec: OffsetSpec::Latest, isolation: Isolation::HighWatermark, leader_epoch: None };
    let not_yet = ListOffsetsError::NotAvailable { high_watermark: at(0), epoch_start: at(1) };
    assert_eq!(node.partition.list_offsets(&latest), Err(not_yet));
    node.settle();
    let known = ListedOffset::Known { offset: at(1), leader_epoch: Some(LeaderEpoch::new(1)) };
    assert_eq!(node.partition.list_offsets(&latest), Ok(known));
}

#[test]
fn too_few_in_sync_behind_an_append_is_told_with_where_it_is() {
    let config = PartitionConfig { min_insync_replicas: 2, ..PartitionConfig::default() };
    let mut node = Node::with(LogConfig::default(), config, reign_over_three(&[1, 2]));
    let writer = node.produce(Acks::All);
    node.write();
    let fewer = ottla::partition::Reign { partition_epoch: 1, ..reign_over_three(&[1]) };
    node.partition.become_leader(fewer, &mut node.out).unwrap();
    node.take();
    assert!(node.produced(writer).is_none(), "the high watermark stays, and it waits");
    let more = ottla::partition::Reign { partition_epoch: 2, ..reign_over_three(&[1, 2]) };
    node.partition.become_leader(more, &mut node.out).unwrap();
    node.partition.acknowledged(ottla::id::BrokerId::new(2), at(1), &mut node.out);
    node.take();
    assert_eq!(node.produced(writer), Some(Ok(0)));
}

#[test]
fn a_batch_that_another_replica_claims_to_have_a_part_of_is_not_committed() {
    let mut node = Node::with(LogConfig::default(), PartitionConfig::default(), reign_over_three(&[1, 2]));
    node.produce(Acks::None);
    let writer = node.produce_batch(&batch(&["a", "b", "c"]), Acks::All);
    node.write();
    node.partition.acknowledged(ottla::id::BrokerId::new(2), at(3), &mut node.out);
    assert_eq!(node.high_watermark(), 1);
    let reader = node.fetch(0, 1, Isolation::HighWatermark);
    assert_eq!((node.offsets(reader), node.produced(writer)), (Some(vec![0]), None));
    node.partition.acknowledged(ottla::id::BrokerId::new(2), at(4), &mut node.out);
    node.take();
    assert_eq!((node.high_watermark(), node.produced(writer)), (4, Some(Ok(1))));
}

#[test]
fn whose_deadline_has_passed_already_is_told_at_once_and_its_batch_stays() {
    let mut node = Node::new(LogConfig::default());
    let late = node.ask(&batch(&["v"]), Origin::Client, |produce| produce.deadline = Some(Instant::ZERO));
    let Some(Err(ProduceError::TimedOut { unfinished })) = node.produced(late) else { panic!("a timeout") };
    assert_eq!((unfinished.base_offset, unfinished.reached), (at(0), Reached::Appended));
    node.settle();
    assert_eq!((node.high_watermark(), node.timers.len(), node.partition.waiting()), (1, 0, 0));
}

#[test]
fn what_nobody_waits_for_is_flushed_when_its_interval_is_over() {
    let config = PartitionConfig { flush_interval_ms: Some(50), ..PartitionConfig::default() };
    let mut node = Node::with(LogConfig::default(), config, reign(0));
    node.produce(Acks::Leader);
    node.produce(Acks::Leader);
    node.write();
    assert_eq!((node.flush_alarms.as_slice(), node.is_syncing()), ([50].as_slice(), false));
    node.flush_if_due(49);
    assert!(!node.is_syncing(), "it came too early");
    node.flush_if_due(50);
    assert!(node.is_syncing());
    node.settle();
    assert_eq!(node.partition.log().flushed(), at(2));
    node.flush_if_due(100);
    assert!(!node.is_syncing(), "there is nothing to flush");
}

#[test]
fn so_many_records_are_flushed_without_being_asked_for() {
    let mut node = Node::new(LogConfig { flush_messages: Some(3), ..LogConfig::default() });
    for flushed in [0, 0, 3, 3, 3, 6] {
        node.produce(Acks::None);
        node.settle();
        assert_eq!(node.partition.log().flushed(), at(flushed));
    }
}

#[test]
fn a_refused_append_that_wants_no_answer_is_counted() {
    let mut node = Node::new(LogConfig::default());
    node.partition.stop(StopReason::Deleted, &mut node.out);
    node.produce(Acks::None);
    assert_eq!(node.refused, [ProduceError::Stopped(StopReason::Deleted)]);
    assert!(node.answers.is_empty());
    assert_eq!(node.partition.become_leader(reign(1), &mut node.out), Err(StopReason::Deleted.into()));
}

#[test]
fn closing_ends_every_wait_and_leaves_a_log_that_says_so() {
    let mut node = Node::new(LogConfig::default());
    node.produce(Acks::None);
    node.write();
    let (writer, reader) = (node.produce(Acks::All), node.fetch(2, 1, Isolation::LogEnd));
    node.partition.close(&mut node.out);
    node.take();
    assert!(matches!(node.produced(writer), Some(Err(ProduceError::StoppedMeanwhile { .. }))));
    assert!(node.fetched(reader).unwrap().is_err());
    node.settle();
    let log = node.partition.log();
    assert!(log.is_settled() && log.mark(log::Closing::Closed).clean);
    assert_eq!((log.flushed(), offsets_of(&mut node)), (at(2), vec![]));
}

/// Nobody reads of a partition that is closed.
fn offsets_of(node: &mut Node) -> Vec<u64> {
    let reader = node.fetch(0, 1, Isolation::LogEnd);
    node.fetched(reader).unwrap().as_ref().map(offsets).unwrap_or_default()
}

#[test]
fn a_compacted_segment_takes_its_place_behind_a_mark_that_does_not_need_the_old_ones() {
    let mut node = Node::new(LogConfig { cleanup: Cleanup::Compact, ..LogConfig::default() });
    for _ in 0..3 {
        node.produce(Acks::None);
        node.settle();
        node.partition.roll(NOW, &mut node.out).unwrap();
        node.settle();
    }
    node.partition.flush(&mut node.out);
    node.settle();
    let reader = node.fetch(3, 1, Isolation::HighWatermark);
    let segments: Vec<SegmentInfo> = node.partition.log().segments().take(2).collect();
    let output = RecoveredSegment {
        base: at(0),
        next: at(2),
        size: segments[1].size,
        max: MaxTimestamp { timestamp: NOW, offset: at(1) },
        first_timestamp: Some(NOW),
        created: NOW,
        modified: NOW,
        indexes: None,
        index_len: 0,
        index_files: IndexFiles::Same,
        aborted: TxnIndex::new(at(0)),
        has_txn_index: false,
        cut: false,
        missing: false,
    };
    let inputs = segments.iter().map(|segment| (segment.base_offset, segment.files.log)).collect();
    let replacement = Replacement { inputs, output };
    node.partition.replace(replacement.clone(), &mut node.out).unwrap();
    let mark =
        node.out.iter().position(|effect| matches!(effect, Effect::Disk(DiskWish::Mark(mark)) if mark.segment > at(0)));
    let is_swap =
        |effect: &Effect| matches!(effect, Effect::Disk(DiskWish::Log(log::Effect::Op(_, DiskOp::Swap { .. }))));
    let swap = node.out.iter().position(is_swap);
    assert!(mark.is_some() && mark < swap, "{:?}", node.out);
    node.settle();
    assert_eq!(node.partition.log().segments().count(), 3);
    let again = node.partition.replace(replacement.clone(), &mut node.out);
    assert_eq!(again, Err(CompactError::Replace(ReplaceError::Stale { segment: at(0) })));
    assert!(node.out.is_empty() && node.fetched(reader).is_none(), "who waits at the end does not notice");
    // Behind what waits for space its place would have to wait too.
    node.partition.failed(OpSeq(u64::MAX), OpFailure::NoSpace, &mut node.out);
    assert_eq!(node.partition.replace(replacement, &mut node.out), Err(CompactError::Stalled));
}
