//! The machine by hand: what a driver is asked to do, in which order, and what its answers change.

mod contract;
mod cuts;
mod reach;

use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::id::ProducerId;
use crate::log::*;
use crate::record::{Batch, BatchBuilder, Codec, NewRecord, ProducerStamp, Rules};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const EPOCH: LeaderEpoch = LeaderEpoch::ZERO;

fn batch(sequence: Option<i32>, count: usize) -> Batch {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some(sequence) = sequence {
        builder = builder.producer(ProducerStamp {
            id: ProducerId::new(1).unwrap(),
            epoch: ProducerEpoch::new(0),
            base_sequence: Sequence::new(sequence),
        });
    }
    for _ in 0..count {
        builder.push(&NewRecord::new(NOW, None, Some(b"value"))).unwrap();
    }
    builder.build().unwrap()
}

fn new_log(config: LogConfig) -> (Log, Vec<Effect>) {
    let mut out = Vec::new();
    let log = Log::new(config, Offset::ZERO, NOW, &mut out).unwrap();
    (log, out)
}

fn decide(log: &Log, batch: &Batch) -> Result<AppendDecision, AppendError> {
    let checked = batch.check(&Rules::default(), NOW).unwrap();
    log.decide_append(&checked, EPOCH, MarkerRules::default())
}

fn append(log: &mut Log, batch: &Batch, out: &mut Vec<Effect>) -> Appended {
    let decision = decide(log, batch).unwrap();
    log.apply(NOW, decision, out).unwrap()
}

/// The last op asked for.
fn last_op(out: &[Effect]) -> OpSeq {
    let ops = out.iter().filter_map(|effect| if let Effect::Op(seq, _) = effect { Some(*seq) } else { None });
    ops.last().unwrap()
}

/// The flushes asked for.
fn syncs(out: &[Effect]) -> Vec<SyncId> {
    out.iter().filter_map(|effect| if let Effect::Sync(sync) = effect { Some(sync.id) } else { None }).collect()
}

fn at(offset: u64) -> Offset {
    Offset::new(offset)
}

#[test]
fn a_new_log_asks_for_its_files_before_anything_is_put_in_them() {
    let (mut log, mut out) = new_log(LogConfig::default());
    append(&mut log, &batch(None, 1), &mut out);
    let names: Vec<String> = out
        .iter()
        .map(|effect| match effect {
            Effect::Op(_, DiskOp::Create { name, .. }) => name.to_string(),
            Effect::Op(_, DiskOp::Replace { name, .. }) => name.to_string(),
            Effect::Op(_, DiskOp::Write { .. }) => "write".to_owned(),
            Effect::Op(..) | Effect::Sync(_) | Effect::Remove(_) => panic!("{effect:?}"),
        })
        .collect();
    let base = "0".repeat(20);
    let files = ["log", "index", "timeindex"].map(|kind| format!("{base}.{kind}"));
    assert_eq!(names[..3], files);
    assert_eq!(names[3..], ["leader-epoch-checkpoint", "write"]);
}

#[test]
fn nothing_is_read_before_it_is_written_and_nothing_is_flushed_before_a_sync() {
    let (mut log, mut out) = new_log(LogConfig::default());
    append(&mut log, &batch(None, 3), &mut out);
    assert_eq!((log.log_end_offset(), log.written(), log.flushed()), (at(3), at(0), at(0)));
    for isolation in [Isolation::LogEnd, Isolation::HighWatermark] {
        assert!(matches!(log.plan_read(at(0), 100, isolation), Ok(ReadPlan::Nothing)));
    }
    log.advance_high_watermark(at(3));
    assert_eq!(log.high_watermark(), at(0), "at most what is written");
    log.flush(&mut out);
    assert!(syncs(&out).is_empty(), "a flush waits for what it covers");
    log.done(last_op(&out), &mut out);
    assert_eq!((log.written(), log.flushed()), (at(3), at(0)));
    assert!(matches!(log.plan_read(at(0), 100, Isolation::LogEnd), Ok(ReadPlan::Cached(_))));
    let asked = syncs(&out);
    assert_eq!(asked.len(), 1);
    log.synced(asked[0], &mut out);
    assert_eq!(log.flushed(), at(3));
    log.flush(&mut out);
    assert_eq!(syncs(&out), asked, "there is nothing to flush");
}

#[test]
fn a_flush_covers_what_was_written_when_it_began_and_the_next_waits_for_it() {
    let (mut log, mut out) = new_log(LogConfig::default());
    append(&mut log, &batch(None, 1), &mut out);
    log.done(last_op(&out), &mut out);
    log.flush(&mut out);
    append(&mut log, &batch(None, 1), &mut out);
    log.done(last_op(&out), &mut out);
    log.flush(&mut out);
    let first = syncs(&out);
    assert_eq!(first.len(), 1, "one at a time");
    log.synced(SyncId(99), &mut out);
    assert_eq!(log.flushed(), at(0), "an answer to nothing");
    log.synced(first[0], &mut out);
    assert_eq!(log.flushed(), at(1));
    let second = syncs(&out);
    assert_eq!(second.len(), 2);
    log.synced(second[1], &mut out);
    assert_eq!(log.flushed(), at(2));
}

#[test]
fn a_late_acknowledgement_does_not_cover_what_took_the_place_of_its_batch() {
    let (mut log, mut out) = new_log(LogConfig::default());
    append(&mut log, &batch(None, 1), &mut out);
    log.done(last_op(&out), &mut out);
    append(&mut log, &batch(None, 5), &mut out);
    let cut = last_op(&out);
    log.truncate_to(at(1), None, NOW, &mut out).unwrap();
    append(&mut log, &batch(None, 3), &mut out);
    log.done(cut, &mut out);
    assert_eq!((log.log_end_offset(), log.written()), (at(4), at(1)));
    log.done(last_op(&out), &mut out);
    assert_eq!(log.written(), at(4));
}

#[test]
fn a_failed_write_is_seen_by_nobody() {
    let (mut log, mut out) = new_log(LogConfig::default());
    append(&mut log, &batch(None, 1), &mut out);
    log.done(last_op(&out), &mut out);
    append(&mut log, &batch(None, 1), &mut out);
    let failed = last_op(&out);
    log.roll(NOW, &mut out);
    log.failed(failed, OpFailure::Failed("EIO".to_owned()));
    assert!(matches!(decide(&log, &batch(None, 1)), Err(AppendError::Poisoned { .. })));
    assert!(matches!(log.truncate_to(at(0), None, NOW, &mut out), Err(TruncateError::Poisoned { .. })));
    // A driver that goes on even so is not believed.
    log.done(last_op(&out), &mut out);
    log.flush(&mut out);
    assert_eq!((log.written(), syncs(&out).len()), (at(1), 0));
    log.advance_high_watermark(at(2));
    assert_eq!(log.high_watermark(), at(1));
    let Ok(ReadPlan::Cached(found)) = log.plan_read(at(0), 1000, Isolation::LogEnd) else { panic!() };
    assert_eq!(found.len(), 1);
    assert!(matches!(log.plan_read(at(1), 1000, Isolation::LogEnd), Ok(ReadPlan::Nothing)));
}

#[test]
fn a_mark_vouches_for_bytes_and_index_entries_only_where_all_is_flushed() {
    let (mut log, mut out) = new_log(LogConfig { index_interval_bytes: 0, ..LogConfig::default() });
    for _ in 0..3 {
        append(&mut log, &batch(None, 1), &mut out);
    }
    log.flush(&mut out);
    log.done(last_op(&out), &mut out);
    log.synced(syncs(&out)[0], &mut out);
    let mark = log.mark(Closing::Open);
    assert_eq!((mark.offset, mark.position), (at(3), log.active_segment().size));
    assert!(mark.index_len > 0 && mark.max_timestamp == NOW && !mark.clean);
    append(&mut log, &batch(None, 1), &mut out);
    assert_eq!(log.mark(Closing::Closed), mark, "what the last flush covered stands, and no more");

    let (mut never_flushed, mut out) = new_log(LogConfig { index_interval_bytes: 0, ..LogConfig::default() });
    append(&mut never_flushed, &batch(None, 1), &mut out);
    let mark = never_flushed.mark(Closing::Closed);
    assert_eq!((mark.position, mark.index_len, mark.time_index_len, mark.txn_index_len), (0, 0, 0, 0));
    assert_eq!((mark.max_timestamp, mark.clean), (Timestamp::NONE, false));
}

#[test]
fn a_mark_between_two_flushes_tells_of_the_last_one_and_of_the_start_of_now() {
    let (mut log, mut out) = new_log(LogConfig::default());
    for _ in 0..3 {
        append(&mut log, &batch(None, 1), &mut out);
    }
    log.flush(&mut out);
    log.done(last_op(&out), &mut out);
    log.synced(syncs(&out)[0], &mut out);
    log.advance_high_watermark(at(2));
    append(&mut log, &batch(None, 1), &mut out);
    log.trim_to(at(2), &mut out).unwrap();
    let mark = log.mark(Closing::Open);
    assert_eq!((mark.offset, mark.log_start_offset), (at(3), at(2)));
    assert!(mark.position > 0);
    log.truncate_to(at(2), None, NOW, &mut out).unwrap();
    assert_eq!(log.mark(Closing::Open).offset, at(2), "what was cut is not told of");
}

#[test]
fn a_failed_flush_poisons_and_is_never_asked_for_again() {
    let (mut log, mut out) = new_log(LogConfig::default());
    append(&mut log, &batch(None, 1), &mut out);
    log.flush(&mut out);
    log.done(last_op(&out), &mut out);
    let asked = syncs(&out);
    log.sync_failed(asked[0], "EIO");
    assert!(matches!(log.health(), Health::Poisoned { why } if why.contains("EIO")));
    log.synced(asked[0], &mut out);
    log.flush(&mut out);
    assert_eq!((log.flushed(), syncs(&out)), (at(0), asked));
    assert!(!log.mark(Closing::Closed).clean);
}

#[test]
fn a_log_without_space_stalls_and_goes_on_by_itself() {
    let (mut log, mut out) = new_log(LogConfig::default());
    append(&mut log, &batch(None, 1), &mut out);
    let waits = last_op(&out);
    log.failed(waits, OpFailure::NoSpace);
    assert_eq!(log.health(), &Health::Stalled);
    assert_eq!(decide(&log, &batch(None, 1)).unwrap_err(), AppendError::Stalled);
    log.done(waits, &mut out);
    assert_eq!((log.health(), log.written()), (&Health::Good, at(1)));
    assert!(decide(&log, &batch(None, 1)).is_ok());
}

#[test]
fn a_duplicate_waits_as_long_as_its_original() {
    let (mut log, mut out) = new_log(LogConfig::default());
    let sent = batch(Some(0), 3);
    let original = append(&mut log, &sent, &mut out);
    let ops = out.len();
    let again = append(&mut log, &sent, &mut out);
    assert_eq!(out.len(), ops, "nothing is stored again");
    assert!(again.duplicate && !original.duplicate);
    assert_eq!((again.base_offset, again.last_offset), (original.base_offset, original.last_offset));
    assert!(log.written() <= again.base_offset, "neither may be acknowledged yet");
    log.done(last_op(&out), &mut out);
    assert!(log.written() > again.last_offset);
    assert!(log.flushed() <= again.base_offset);
}

#[test]
fn deciding_changes_nothing_and_an_earlier_decision_is_no_append() {
    let (mut log, mut out) = new_log(LogConfig { segment_bytes: 100, ..LogConfig::default() });
    append(&mut log, &batch(Some(0), 1), &mut out);
    let before = (format!("{log:?}"), out.clone());
    for refused in [batch(Some(5), 1), batch(Some(1), 40)] {
        assert!(decide(&log, &refused).is_err());
    }
    assert!(decide(&log, &batch(Some(1), 1)).is_ok());
    assert_eq!((format!("{log:?}"), out), before);
}

#[test]
fn space_is_asked_for_once_until_it_is_used() {
    let (mut log, mut out) = new_log(LogConfig::default());
    let (file, needed) = log.reservation(100).unwrap();
    assert_eq!((file, needed), (log.active_segment().files.log, 100));
    log.reserved(file, 1000);
    assert_eq!(log.reservation(1000), None);
    let size = append(&mut log, &batch(None, 1), &mut out).last_offset.get() as u32 + log.active_segment().size;
    assert_eq!(log.reservation(1000), Some((file, size + 1000)));
    log.roll(NOW, &mut out);
    assert_eq!(log.reservation(1), Some((log.active_segment().files.log, 1)), "a new file has none");
}

#[test]
fn a_sealed_segments_files_may_go_before_ops_that_came_after_its_seal() {
    let config = LogConfig { retention_bytes: Some(0), ..LogConfig::default() };
    let (mut log, mut out) = new_log(config);
    append(&mut log, &batch(None, 1), &mut out);
    log.roll(NOW, &mut out);
    log.done(last_op(&out), &mut out);
    log.advance_high_watermark(at(1));
    let sealed = last_op(&out);
    append(&mut log, &batch(None, 1), &mut out);
    log.failed(last_op(&out), OpFailure::NoSpace);
    out.clear();
    assert_eq!(log.retain(NOW, &mut out), [(at(0), Breach::Size)]);
    let removes =
        out.iter().filter_map(|effect| if let Effect::Remove(remove) = effect { Some(*remove) } else { None });
    for remove in removes.filter(|remove| !matches!(remove.name, FileName::Snapshot(_))) {
        assert!(remove.after <= sealed, "{remove:?}");
    }
}

#[test]
fn a_sealed_segment_keeps_its_indexes_until_the_high_watermark_has_reached_its_end() {
    let (mut log, mut out) = new_log(LogConfig::default());
    for _ in 0..5 {
        append(&mut log, &batch(None, 2), &mut out);
        log.roll(NOW, &mut out);
    }
    log.done(last_op(&out), &mut out);
    let kept = |log: &Log| -> Vec<u64> {
        let bases = log.segments().map(|segment| segment.base_offset);
        bases.filter(|base| log.indexes_of(*base).is_some()).map(Offset::get).collect()
    };
    let pictures = [(1, vec![0, 2, 4, 6, 8, 10]), (2, vec![2, 4, 6, 8, 10]), (7, vec![6, 8, 10]), (10, vec![10])];
    for (high_watermark, bases) in pictures {
        log.advance_high_watermark(at(high_watermark));
        assert_eq!(kept(&log), bases, "at {high_watermark}");
    }
    append(&mut log, &batch(None, 2), &mut out);
    log.done(last_op(&out), &mut out);
    log.advance_high_watermark(at(12));
    assert_eq!(kept(&log), [10], "the active one grows");
    log.roll(NOW, &mut out);
    assert_eq!(kept(&log), [12], "what is sealed below the high watermark never grows again");
}
