//! Truncation from memory is truncation by what was read.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

/// The bytes of the log files, by number.
fn files(out: &[Effect]) -> BTreeMap<FileId, Bytes> {
    let mut files: BTreeMap<FileId, BytesMut> = BTreeMap::new();
    for effect in out {
        if let Effect::Op(_, DiskOp::Write { file, parts, .. }) = effect {
            let bytes = files.entry(*file).or_default();
            for part in parts {
                match part {
                    Part::Batch(stamp, body) => {
                        bytes.put_slice(&stamp.to_bytes());
                        bytes.put_slice(body);
                    }
                    Part::Bytes(entries) => bytes.put_slice(entries),
                }
            }
        }
    }
    files.into_iter().map(|(file, bytes)| (file, bytes.freeze())).collect()
}

/// What reading finds of a truncation to `to`, with the producers followed from the first segment on.
fn facts(log: &Log, to: Offset, files: &BTreeMap<FileId, Bytes>) -> Option<CutFacts> {
    let Cut::Find(wanted) = log.plan_truncate(to) else { return None };
    let mut producers = ProducerState::new(Offset::ZERO, UnknownProducer::default());
    for segment in log.segments().filter(|segment| segment.base_offset <= wanted.base_offset) {
        let base = segment.base_offset;
        let none = Bytes::new();
        let bytes = files.get(&segment.files.log).unwrap_or(&none).slice(..segment.size as usize);
        let mut scan = Scan::new(ScanStart {
            base,
            position: 0,
            next: base,
            flushed: Offset::MAX,
            flushed_position: u32::MAX,
            max: MaxTimestamp::none(base),
            first_timestamp: None,
            indexes: Indexes::new(base, log.config.segment_index_bytes),
            aborted: TxnIndex::new(base),
            epochs: EpochCache::default(),
            epochs_from: EpochsFrom::Batches,
            seen_epoch: None,
            log_start_offset: Offset::ZERO,
            producers,
            index_interval_bytes: log.config.index_interval_bytes,
            replay_from: Offset::ZERO,
            stop_at: to,
            limit: Offset::MAX,
        });
        assert_eq!(scan.feed(&bytes, segment.size), Fed::End);
        let found = scan.finish();
        producers = found.producers;
        if base == wanted.base_offset {
            let mut indexes = log.indexes_of(base).unwrap_or(&found.indexes).clone();
            indexes.truncate_to(to);
            return Some(CutFacts {
                segment: base,
                file: segment.files.log,
                log_end_offset: log.log_end_offset(),
                position: found.size,
                next: found.next,
                max: found.max,
                first_timestamp: found.first_timestamp,
                indexes,
                producers,
            });
        }
    }
    None
}

/// A log of batches of so many records each, rolled behind those marked.
fn filled(batches: &[(usize, bool)]) -> (Log, Vec<Effect>) {
    let (mut log, mut out) = new_log(LogConfig { index_interval_bytes: 50, ..LogConfig::default() });
    let mut sequence = 0;
    for (count, roll) in batches {
        append(&mut log, &batch(Some(sequence), *count), &mut out);
        sequence += *count as i32;
        if *roll {
            log.roll(NOW, &mut out);
        }
    }
    log.done(last_op(&out), &mut out);
    (log, out)
}

/// What a cut leaves, as anyone can see it.
fn picture(log: &Log) -> impl PartialEq + std::fmt::Debug + use<> {
    let segments: Vec<SegmentInfo> = log.segments().collect();
    let active = log.active_segment().base_offset;
    let index = log.indexes_of(active).map(|indexes| indexes.offset.as_bytes().to_vec());
    let ends = [log.log_start_offset(), log.log_end_offset(), log.high_watermark(), log.written(), log.flushed()];
    let known = log.producers().entry(ProducerId::new(1).unwrap());
    let sequence = known.and_then(ProducerEntry::last_sequence);
    (segments, index, ends, log.epochs().clone(), sequence, log.active().first_timestamp)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn truncation_from_memory_is_truncation_by_facts(
        batches in prop::collection::vec((1..4_usize, prop::bool::weighted(0.2)), 1..30),
        to in 0..60_u64,
    ) {
        let (mut known, mut known_out) = filled(&batches);
        let (mut read, mut read_out) = filled(&batches);
        // As after an opening: nothing of the tail is in memory.
        read.tail.clear();
        let to = at(to);
        let found = facts(&read, to, &files(&read_out));
        prop_assert_eq!(found.is_some(), to < read.log_end_offset());
        prop_assert_eq!(known.plan_truncate(to), Cut::Known);
        let cut = known.truncate_to(to, None, NOW, &mut known_out);
        prop_assert_eq!(read.truncate_to(to, found, NOW, &mut read_out), cut);
        prop_assert_eq!(picture(&known), picture(&read));
        prop_assert_eq!(&known_out, &read_out, "and the driver is asked for the same");
        let again = append(&mut known, &batch(None, 2), &mut known_out);
        prop_assert_eq!(again, append(&mut read, &batch(None, 2), &mut read_out));
    }
}

#[test]
fn facts_are_for_the_log_that_was_read_alone() {
    let (mut log, mut out) = filled(&[(2, false), (2, true), (2, false)]);
    log.tail.clear();
    let found = facts(&log, at(3), &files(&out)).unwrap();
    assert_eq!((found.segment, found.next), (at(0), at(2)));
    let must_read = TruncateError::MustRead { to: at(3), segment: at(0) };
    assert_eq!(log.truncate_to(at(3), None, NOW, &mut out), Err(must_read));
    let stale = Err(TruncateError::Stale { to: at(1) });
    assert_eq!(log.truncate_to(at(1), Some(found.clone()), NOW, &mut out), stale, "read for another target");
    append(&mut log, &batch(None, 1), &mut out);
    let stale = Err(TruncateError::Stale { to: at(3) });
    assert_eq!(log.truncate_to(at(3), Some(found.clone()), NOW, &mut out), stale, "the log has grown since");
    let renewed = CutFacts { log_end_offset: log.log_end_offset(), ..found };
    assert_eq!(log.truncate_to(at(3), Some(renewed), NOW, &mut out), Ok(true));
    assert_eq!(log.log_end_offset(), at(3));
}

#[test]
fn a_compacted_segment_is_put_in_no_other_place_than_that_of_its_inputs() {
    let (mut log, mut out) = filled(&[(2, true), (2, true), (2, false)]);
    log.advance_high_watermark(at(6));
    let inputs: Vec<(Offset, FileId)> =
        log.segments().map(|segment| (segment.base_offset, segment.files.log)).collect();
    let output = |base: u64, next: u64| RecoveredSegment {
        base: at(base),
        next: at(next),
        size: 70,
        max: MaxTimestamp::none(at(base)),
        first_timestamp: None,
        created: NOW,
        modified: NOW,
        indexes: None,
        index_len: 0,
        index_files: IndexFiles::Same,
        aborted: TxnIndex::new(at(base)),
        has_txn_index: false,
        cut: false,
        missing: false,
    };
    let span = |file| Span {
        file,
        segment: at(0),
        segment_next: at(4),
        position: 0,
        end: 70,
        from: at(1),
        ceiling: at(6),
        bytes_max: 1,
    };
    let before = span(inputs[0].1);
    assert!(log.has_still(&before) && !log.is_about_to_be_there(&before));
    let mut put =
        |inputs: &[(Offset, FileId)], output| log.replace(Replacement { inputs: inputs.to_vec(), output }, &mut out);
    let misfit = |base, next| Err(ReplaceError::Misfit { base: at(base), next: at(next) });
    let stale = |segment| Err(ReplaceError::Stale { segment: at(segment) });
    assert_eq!(put(&[], output(0, 4)), misfit(0, 4));
    assert_eq!(put(&inputs[..2], output(0, 5)), misfit(0, 5));
    assert_eq!(put(&inputs[..2], output(2, 4)), misfit(2, 4));
    assert_eq!(put(&inputs, output(0, 6)), stale(4), "the active one grows");
    assert_eq!(put(&[inputs[0], inputs[2]], output(0, 6)), stale(4), "one is left out");
    assert_eq!(put(&[(at(0), FileId(99))], output(0, 2)), stale(0), "another file of that name");
    assert_eq!(put(&inputs[..2], output(0, 4)), Ok(()));
    assert_eq!(put(&inputs[..2], output(0, 4)), stale(0), "once");
    let bases: Vec<Offset> = log.segments().map(|segment| segment.base_offset).collect();
    assert_eq!(bases, [at(0), at(4)]);
    let behind = log.segments().next().map(|segment| span(segment.files.log)).unwrap();
    assert!(!log.has_still(&before) && !log.is_about_to_be_there(&before));
    assert!(log.has_still(&behind) && log.is_about_to_be_there(&behind));
    log.done(last_op(&out), &mut Vec::new());
    assert!(log.has_still(&behind) && !log.is_about_to_be_there(&behind));
}
