//! A driver that checks what it is asked to do, and answers late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

/// Files as a driver has them, and what it has not answered yet.
#[derive(Debug, Default)]
struct Driver {
    files: BTreeMap<FileId, u32>,
    /// By which op each was made.
    made: BTreeMap<FileId, OpSeq>,
    named: BTreeMap<FileName, FileId>,
    sealed: BTreeSet<FileId>,
    ops: VecDeque<OpSeq>,
    sync: Option<SyncId>,
    last: u64,
}

impl Driver {
    fn take(&mut self, out: &mut Vec<Effect>) {
        for effect in out.drain(..) {
            match effect {
                Effect::Op(seq, op) => {
                    assert_eq!(seq.0, self.last + 1, "ops are numbered without a gap, so none is performed twice");
                    self.last = seq.0;
                    self.ops.push_back(seq);
                    if let DiskOp::Create { file, .. } = op {
                        self.made.insert(file, seq);
                    }
                    self.perform(op);
                }
                Effect::Sync(sync) => {
                    let is_made = |file: &FileId| self.made.get(file).is_none_or(|op| !self.ops.contains(op));
                    assert!(sync.files.iter().all(is_made), "a flush is asked for when all it covers is done");
                    assert!(self.sync.replace(sync.id).is_none(), "one flush at a time");
                    assert!(sync.files.iter().all(|file| self.files.contains_key(file)), "{sync:?}");
                }
                Effect::Remove(remove) => {
                    assert!(remove.after.0 <= self.last);
                    if let Some(file) = remove.file {
                        assert!(self.files.remove(&file).is_some(), "{remove:?}");
                    }
                }
            }
        }
    }

    fn perform(&mut self, op: DiskOp) {
        match op {
            DiskOp::Create { file, name } => {
                assert!(self.files.insert(file, 0).is_none(), "a number is given once");
                self.named.insert(name, file);
            }
            DiskOp::Write { file, position, parts } => {
                let len = self.files.get_mut(&file).expect("a file is made before it is written to");
                assert_eq!(*len, position, "each write begins where the last one ended");
                assert!(!self.sealed.contains(&file), "a sealed segment does not grow");
                for part in parts {
                    *len += match part {
                        Part::Batch(_, body) => (body.len() + 16) as u32,
                        Part::Bytes(bytes) => bytes.len() as u32,
                    };
                }
            }
            DiskOp::Truncate { file, len } => {
                let known = self.files.get_mut(&file).expect("a file is made before it is cut");
                assert!(len <= *known, "a cut does not lengthen");
                *known = len;
                self.sealed.remove(&file);
            }
            DiskOp::Seal { file, len, .. } => {
                assert_eq!(self.files.get(&file), Some(&len));
                self.sealed.insert(file);
            }
            DiskOp::Put { .. } | DiskOp::Replace { .. } => {}
            DiskOp::Reserve { .. } | DiskOp::Swap { .. } => panic!("not asked for here"),
        }
    }

    /// Answers `count` ops, or the flush if there are none.
    fn answer(&mut self, log: &mut Log, count: usize, out: &mut Vec<Effect>) {
        let count = count.min(self.ops.len());
        match self.ops.drain(..count).next_back() {
            Some(last) => log.done(last, out),
            None => {
                if let Some(id) = self.sync.take() {
                    log.synced(id, out);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Roll,
    Flush,
    Answer(usize),
    HighWatermark(u64),
    Truncate(u64),
    StartAt(u64),
    Trim(u64),
    Retain,
    Epoch,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..5_usize).prop_map(Step::Append),
        1 => Just(Step::Roll),
        2 => Just(Step::Flush),
        6 => (0..9_usize).prop_map(Step::Answer),
        2 => (0..40_u64).prop_map(Step::HighWatermark),
        2 => (0..9_u64).prop_map(Step::Truncate),
        1 => (0..50_u64).prop_map(Step::StartAt),
        1 => (0..40_u64).prop_map(Step::Trim),
        1 => Just(Step::Retain),
        1 => Just(Step::Epoch),
    ]
}

fn take_step(log: &mut Log, step: &Step, driver: &mut Driver, epoch: &mut LeaderEpoch, out: &mut Vec<Effect>) {
    match step {
        Step::Append(count) => {
            let checked = batch(None, *count).check(&Rules::default(), NOW).unwrap();
            let decision = log.decide_append(&checked, *epoch, MarkerRules::default()).unwrap();
            log.apply(NOW, decision, out);
        }
        Step::Roll => drop(log.roll(NOW, out)),
        Step::Flush => log.flush(out),
        Step::Answer(count) => driver.answer(log, *count, out),
        Step::HighWatermark(to) => log.advance_high_watermark(at(*to)),
        // Back from the end by so many; what memory does not know is left alone.
        Step::Truncate(back) => {
            let to = log.log_end_offset().retreat(*back);
            if log.plan_truncate(to) == Cut::Known {
                log.truncate_to(to, None, NOW, out).unwrap();
            }
        }
        Step::StartAt(start) => log.truncate_fully_and_start_at(at(*start), NOW, out).unwrap(),
        Step::Trim(to) => drop(log.trim_to(at(*to), out)),
        Step::Retain => drop(log.retain(NOW, out)),
        Step::Epoch => {
            *epoch = epoch.next().unwrap();
            log.begin_epoch(*epoch, out);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_driver_is_asked_for_what_it_can_do_and_late_answers_are_taken(steps in prop::collection::vec(step(), 1..80)) {
        let config = LogConfig {
            segment_bytes: 400, index_interval_bytes: 50, tail_cache_bytes: 0, retention_bytes: Some(900),
            ..LogConfig::default()
        };
        let (mut log, mut out) = new_log(config);
        let (mut driver, mut epoch) = (Driver::default(), EPOCH);
        driver.take(&mut out);
        for step in &steps {
            let before = (log.written(), log.flushed());
            take_step(&mut log, step, &mut driver, &mut epoch, &mut out);
            let answers = matches!(step, Step::Answer(_) | Step::StartAt(_));
            prop_assert!(answers || (log.written() <= before.0 && log.flushed() <= before.1), "only answers raise them");
            driver.take(&mut out);
        }
        // Whatever is answered late is answered in the end.
        log.flush(&mut out);
        for _ in 0..1000 {
            driver.take(&mut out);
            if driver.ops.is_empty() && driver.sync.is_none() {
                break;
            }
            driver.answer(&mut log, 3, &mut out);
        }
        prop_assert_eq!(log.written(), log.log_end_offset());
        prop_assert_eq!(log.flushed(), log.log_end_offset());
        for segment in log.segments() {
            prop_assert_eq!(driver.files.get(&segment.files.log), Some(&segment.size));
        }
        prop_assert_eq!(driver.files.len(), 3 * log.segments().count());
    }
}
