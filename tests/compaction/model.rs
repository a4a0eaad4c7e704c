//! Random histories: folding by key gives the same before and after.

use std::collections::BTreeMap;

use ottla::disk::{LogFile, MemDisk, OpenOptions};
use ottla::record::{NewRecord, TransactionResult};
use proptest::prelude::*;

use crate::{Seen, at, builder, end_transaction, options, partition, seen, stamp};

/// One thing that a writer does.
#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(u8, Option<u8>)>),
    Transaction(bool, Vec<(u8, Option<u8>)>),
    Open(u8),
    Roll,
    Compact(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let records = || prop::collection::vec((0..6u8, prop::option::weighted(0.7, any::<u8>())), 1..4);
    prop_oneof![
        5 => records().prop_map(Step::Put),
        3 => (any::<bool>(), records()).prop_map(|(commit, records)| Step::Transaction(commit, records)),
        1 => (0..6u8).prop_map(Step::Open),
        3 => Just(Step::Roll),
        2 => (0..3000u16).prop_map(Step::Compact),
    ]
}

/// The records that count, as a reader of committed records folds them by key.
type Folded = BTreeMap<Vec<u8>, Vec<u8>>;

fn fold<'a>(records: impl IntoIterator<Item = &'a Seen>, end: u64, aborted: &[(u64, u64)]) -> Folded {
    let mut folded = Folded::new();
    for record in records.into_iter().filter(|record| record.offset < end) {
        if aborted.iter().any(|(from, to)| (*from..*to).contains(&record.offset)) {
            continue;
        }
        let key = record.key.clone().unwrap();
        match &record.value {
            Some(value) => folded.insert(key, value.clone()),
            None => folded.remove(&key),
        };
    }
    folded
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// I-S10.
    #[test]
    fn i_s10_folding_by_key_gives_the_same_from_the_clean_point_on(
        steps in prop::collection::vec(step(), 1..60),
        small_map in any::<bool>(),
    ) {
        let options = OpenOptions { compaction_map_bytes: if small_map { 24 * 4 } else { 1 << 20 }, ..options() };
        let mut log = LogFile::open(MemDisk::new(), &partition(), options, at(0)).unwrap().0;
        let (mut written, mut aborted, mut sequence, mut now) = (Vec::new(), Vec::new(), 0, 0);
        let (mut is_open, mut clean) = (false, 0);
        for step in steps {
            let end = log.log().log_end_offset().get();
            let builder_for = |id: Option<i64>, sequence: i32| match id {
                Some(id) => builder().producer(stamp(id, sequence)).transactional(),
                None => builder(),
            };
            let (records, id) = match &step {
                Step::Put(records) => (records.clone(), None),
                Step::Transaction(_, records) => (records.clone(), Some((1, sequence))),
                Step::Open(key) if !is_open => (vec![(*key, Some(0))], Some((2, 0))),
                Step::Open(_) => continue,
                Step::Roll => {
                    log.roll(at(now)).unwrap();
                    continue;
                }
                Step::Compact(later) => {
                    now += i64::from(*later);
                    let before = seen(&mut log);
                    let stable = log.log().last_stable_offset().get();
                    let report = log.compact_anyway(at(now)).unwrap();
                    let after = seen(&mut log);
                    clean = report.range.map_or(clean, |range| range.end.get());
                    prop_assert!(after.iter().all(|record| before.contains(record)), "something new");
                    prop_assert!(after.windows(2).all(|pair| pair[0].offset < pair[1].offset));
                    let unstable = |all: &[Seen]| all.iter().filter(|it| it.offset >= stable).cloned().collect::<Vec<_>>();
                    prop_assert_eq!(unstable(&before), unstable(&after));
                    for end in clean..=log.log().log_end_offset().get() {
                        prop_assert_eq!(fold(&after, end, &aborted), fold(&written, end, &aborted), "up to {}", end);
                    }
                    continue;
                }
            };
            let count = records.len();
            let mut building = builder_for(id.map(|(id, _)| id), id.map_or(0, |(_, sequence)| sequence));
            for (offset, (key, value)) in (end..).zip(&records) {
                let (key, value) = ([*key], value.map(|value| [value]));
                let value = value.as_ref().map(<[u8; 1]>::as_slice);
                building.push(&NewRecord::new(at(0), Some(&key), value)).unwrap();
                written.push(Seen {
                    offset,
                    timestamp: at(0).as_millis(),
                    key: Some(key.to_vec()),
                    value: value.map(<[u8]>::to_vec),
                });
            }
            log.append(at(now), &building.build().unwrap()).unwrap();
            match step {
                Step::Transaction(commit, _) => {
                    sequence += count as i32;
                    let result = if commit { TransactionResult::Commit } else { TransactionResult::Abort };
                    if !commit {
                        aborted.push((end, end + count as u64));
                    }
                    end_transaction(&mut log, 1, result);
                }
                Step::Open(_) => is_open = true,
                Step::Put(_) | Step::Roll | Step::Compact(_) => {}
            }
        }
    }
}
