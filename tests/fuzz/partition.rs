//! One partition under operations made of bytes, with a disk that is late, full or broken, beside the list of what it has
//! been given.
//!
//! Each operation is three bytes: which, and two numbers that choose what it is about. The first byte of all chooses the
//! settings. The disk performs ops when it is told to and reports them later still. After each step: every asker is
//! answered once and not too late, no answer says more than the disk has done, no reader sees past its bound, the high
//! watermark never goes back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use ottla::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use ottla::id::{BrokerId, ProducerId, TopicPartition};
use ottla::log::{
    self, Cleanup, DiskOp, FileId, FileName, Health, Isolation, Log, LogConfig, OpFailure, OpSeq, Part, ReadPlan, Span,
    Sync, SyncId,
};
use ottla::offset::Offset;
use ottla::partition::{
    Acks, DeleteTo, DiskWish, Durability, Effect, Fetch, Fetched, Found, ListOffsets, ListedOffset, OffsetSpec,
    Partition, PartitionConfig, PartitionFacts, Produce, ProduceError, Reached, Reign, StopReason, Waiter,
};
use ottla::record::{
    Batch, BatchBuilder, Codec, NewRecord, Origin, ProducerStamp, Rules, TransactionMarker, TransactionResult,
};
use ottla::time::{Instant, Timestamp};

const NOW: i64 = 1_700_000_000_000;
/// So many operations of an input count.
const OPS_MAX: usize = 160;
const THIS: BrokerId = BrokerId::new(1);
const OTHER: BrokerId = BrokerId::new(2);
const ISOLATIONS: [Isolation; 3] = [Isolation::LogEnd, Isolation::HighWatermark, Isolation::ReadCommitted];

/// Runs the operations in `data` on a new partition.
pub fn partition_ops(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    let mut world = World::new(options);
    for op in data.chunks_exact(3).take(OPS_MAX) {
        world.perform(op[0], u64::from(op[1]), u64::from(op[2]));
        world.compare();
    }
    world.end();
}

/// What stands in the ordered lane.
#[derive(Debug)]
enum Lane {
    Op(OpSeq, DiskOp),
    Reserve { file: FileId, needed: u32, wanted: u32 },
}

/// What the partition has not been told yet.
#[derive(Debug)]
enum Report {
    Done(OpSeq),
    Failed(OpSeq, OpFailure),
    Reserved(FileId, u32),
    NotReserved(u32),
    Synced(SyncId),
    NotSynced(SyncId),
}

#[derive(Clone, Debug)]
enum Asked {
    Produce { acks: Acks, durability: Durability, body: Bytes },
    Fetch(Fetch),
}

struct World {
    partition: Partition,
    durability: Durability,
    two_replicas: bool,
    /// Whether all batches stay in memory, so that how many bytes there are is known exactly.
    all_cached: bool,
    out: Vec<Effect>,
    lanes: VecDeque<Lane>,
    sync: Option<(Sync, u64)>,
    reports: VecDeque<Report>,
    reported: OpSeq,
    files: BTreeMap<FileId, Vec<u8>>,
    /// Up to where each file was given space.
    reserved: BTreeMap<FileId, u32>,
    /// The log start that was made durable last.
    marked_start: u64,
    /// Whether what the opening has found is surely on disk.
    is_settled: bool,
    is_full: bool,
    /// Nothing is performed after what failed for good.
    is_broken: bool,
    /// Every batch that was appended: its first offset, its last one, its bytes without the stamp.
    rows: BTreeMap<u64, (u64, Bytes)>,
    /// What the disk has done, told or not.
    written: u64,
    flushed: u64,
    acknowledged: u64,
    high_watermark: u64,
    asked: BTreeMap<Waiter, Asked>,
    timers: BTreeMap<Waiter, Instant>,
    is_behind: bool,
    is_stopped: bool,
    now: u64,
    next_waiter: u64,
    epoch: u32,
    /// The last batch of each producer and its next sequence.
    sent: BTreeMap<i64, (Batch, i32)>,
    /// Fetches in hand that may be answered with less than they want: their time is up, or all were ended.
    is_ending: bool,
}

impl World {
    fn new(bits: u8) -> Self {
        let has = |bit: u8| bits >> bit & 1 == 1;
        let config = LogConfig {
            segment_bytes: if has(0) { 900 } else { 1 << 30 },
            index_interval_bytes: 100,
            tail_cache_bytes: if has(1) { 4 << 20 } else { 0 },
            flush_messages: has(2).then_some(5),
            cleanup: if has(3) { Cleanup::Compact } else { Cleanup::Delete },
            retention_bytes: Some(1500),
            ..LogConfig::default()
        };
        let durability = if has(4) { Durability::Flushed } else { Durability::Written };
        let two_replicas = has(5);
        let found = if has(6) { Found::Unsettled } else { Found::Whole };
        let mut effects = Vec::new();
        let log = Log::new(config, Offset::ZERO, Timestamp::from_millis(NOW), &mut effects).expect("sound settings");
        let mut out: Vec<Effect> = effects.into_iter().map(Effect::from).collect();
        let partition = TopicPartition::parse("t-0").expect("a name");
        let facts = PartitionFacts { partition, topic_id: None, broker: THIS, found };
        let config = PartitionConfig { durability, ..PartitionConfig::default() };
        let partition = Partition::lead(log, facts, reign(two_replicas, 0), config, &mut out).expect("in sync");
        let mut world = Self {
            partition,
            durability,
            two_replicas,
            all_cached: has(1),
            out,
            lanes: VecDeque::new(),
            sync: None,
            reports: VecDeque::new(),
            reported: OpSeq(0),
            files: BTreeMap::new(),
            reserved: BTreeMap::new(),
            marked_start: 0,
            is_settled: found == Found::Whole,
            is_full: false,
            is_broken: false,
            rows: BTreeMap::new(),
            written: 0,
            flushed: 0,
            acknowledged: 0,
            high_watermark: 0,
            asked: BTreeMap::new(),
            timers: BTreeMap::new(),
            is_behind: false,
            is_stopped: false,
            now: 1000,
            next_waiter: 0,
            epoch: 0,
            sent: BTreeMap::new(),
            is_ending: false,
        };
        world.take_effects();
        world
    }

    fn perform(&mut self, op: u8, a: u64, b: u64) {
        match op % 24 {
            0..=4 => self.produce(a, b),
            5 => self.produce_as(a, b),
            6 => self.produce_again(a, b),
            7 => self.produce_marker(a),
            8..=10 => self.fetch(a, b),
            11..=13 => self.perform_ops(a as usize % 5 + 1),
            14 | 15 => self.report(a as usize % 4 + 1),
            16 => self.perform_sync(a),
            17 => self.pass(a),
            18 => self.expire_any(a, b),
            19 => self.delete(a, b),
            20 => self.upkeep(a),
            21 => self.cancel(a),
            22 => self.fail(a, b),
            _ => self.rule(a, b),
        }
        if self.is_behind {
            self.is_behind = false;
            self.partition.proceed(&mut self.out);
        }
        self.take_effects();
    }

    // What askers do.

    fn produce(&mut self, a: u64, b: u64) {
        let values = b % 3 + 1;
        let batch = batch(BatchBuilder::new(Codec::None), values, b / 3 * 4);
        self.ask_produce(batch, Origin::Client, a);
    }

    fn produce_as(&mut self, a: u64, b: u64) {
        let id = (b % 3) as i64;
        let next = self.sent.get(&id).map_or(0, |(_, next)| *next);
        let builder = BatchBuilder::new(Codec::None).producer(stamp(id, next));
        let batch = batch(if id == 2 { builder.transactional() } else { builder }, 2, b);
        self.sent.insert(id, (batch.clone(), next + 2));
        self.ask_produce(batch, Origin::Client, a);
    }

    fn produce_again(&mut self, a: u64, b: u64) {
        let Some((batch, _)) = self.sent.get(&((b % 3) as i64)) else { return };
        self.ask_produce(batch.clone(), Origin::Client, a);
    }

    fn produce_marker(&mut self, a: u64) {
        let result = if a.is_multiple_of(2) { TransactionResult::Commit } else { TransactionResult::Abort };
        let marker = TransactionMarker { result, coordinator_epoch: 0 };
        let id = ProducerId::new(2).expect("an id");
        let batch = marker.to_batch(id, ProducerEpoch::ZERO, Timestamp::from_millis(NOW)).expect("a marker");
        self.ask_produce(batch, Origin::Coordinator, a);
    }

    fn ask_produce(&mut self, batch: Batch, origin: Origin, a: u64) {
        let date = Timestamp::from_millis(NOW + self.now as i64);
        let rules = Rules { origin, compacted: true, ..Rules::default() };
        let batch = batch.check(&rules, date).expect("a good batch");
        let acks = [Acks::None, Acks::Leader, Acks::All, Acks::All][a as usize % 4];
        let durability = if (a / 4).is_multiple_of(2) { Durability::Written } else { Durability::Flushed };
        let end = self.partition.log().log_end_offset();
        let waiter = self.waiter();
        let produce = Produce {
            waiter,
            acks,
            durability,
            deadline: self.deadline(a / 8),
            expected_offset: if a >= 128 { Some(Offset::new(end.get() + a % 16 / 15)) } else { None },
            leader_epoch: (a % 32 == 31).then_some(LeaderEpoch::new(self.epoch + (a / 32 % 2) as u32)),
            batch,
        };
        let body = produce.batch.batch().body().clone();
        if acks != Acks::None {
            self.asked.insert(waiter, Asked::Produce { acks, durability, body });
        }
        self.partition.produce(Instant::from_millis(self.now), date, produce, &mut self.out);
    }

    fn fetch(&mut self, a: u64, b: u64) {
        let end = self.partition.log().log_end_offset().get();
        let from = if a.is_multiple_of(4) { b % (end + 2) } else { (end + 1).saturating_sub(b % 4) };
        let waiter = self.waiter();
        let fetch = Fetch {
            waiter,
            from: Offset::new(from),
            bytes_max: [1, 200, 1 << 20, 1 << 20][a as usize / 4 % 4],
            bytes_min: [0, 1, 1, 100, 250, 700, 5000, 61][b as usize / 4 % 8],
            deadline: self.deadline(a / 16),
            isolation: ISOLATIONS[b as usize / 32 % 3],
            leader_epoch: (b % 64 == 63).then_some(LeaderEpoch::new(self.epoch)),
            last_fetched_epoch: (a % 32 == 31).then_some(LeaderEpoch::new(self.epoch.saturating_sub(1))),
        };
        self.asked.insert(waiter, Asked::Fetch(fetch));
        self.is_ending = fetch.bytes_min == 0 || fetch.deadline.is_some_and(|at| at.as_millis() <= self.now);
        self.partition.fetch(Instant::from_millis(self.now), fetch, &mut self.out);
        self.take_effects();
        self.is_ending = false;
    }

    fn deadline(&self, choice: u64) -> Option<Instant> {
        match choice % 4 {
            0 | 1 => None,
            2 => Some(Instant::from_millis(self.now + 50)),
            _ => Some(Instant::from_millis(self.now + choice % 3)),
        }
    }

    fn waiter(&mut self) -> Waiter {
        self.next_waiter += 1;
        Waiter(self.next_waiter)
    }

    fn pass(&mut self, a: u64) {
        self.now += a % 60;
        while let Some(due) = self.timers.iter().find(|(_, at)| at.as_millis() <= self.now).map(|(waiter, _)| *waiter) {
            self.timers.remove(&due);
            self.expire(due);
        }
    }

    fn expire(&mut self, waiter: Waiter) {
        self.is_ending = true;
        self.partition.expire(Instant::from_millis(self.now), waiter, &mut self.out);
        self.take_effects();
        self.is_ending = false;
    }

    /// Whoever it is, and whether or not its time has come.
    fn expire_any(&mut self, a: u64, b: u64) {
        let waiter = Waiter((self.next_waiter + 1).saturating_sub(a % 16 + b % 2));
        let due = self.timers.remove(&waiter);
        self.expire(waiter);
        if let Some(at) = due.filter(|at| at.as_millis() > self.now) {
            assert!(self.timers.get(&waiter) == Some(&at), "{waiter:?} came too early and was not told to wait on");
        }
    }

    fn cancel(&mut self, a: u64) {
        let waiter = Waiter((self.next_waiter + 1).saturating_sub(a % 8));
        let was_waiting = self.asked.remove(&waiter).is_some();
        self.timers.remove(&waiter);
        assert_eq!(self.partition.cancel(waiter), was_waiting, "{waiter:?}");
        assert!(!self.partition.cancel(waiter));
    }

    fn delete(&mut self, a: u64, b: u64) {
        let log = self.partition.log();
        let (start, high_watermark) = (log.log_start_offset().get(), log.high_watermark().get());
        let to = (high_watermark + 1).saturating_sub(b % 8);
        let target = if a.is_multiple_of(4) { DeleteTo::HighWatermark } else { DeleteTo::Offset(Offset::new(to)) };
        match self.partition.delete_records(target, &mut self.out) {
            Ok(begins) if target == DeleteTo::HighWatermark => assert_eq!(begins.get(), high_watermark),
            Ok(begins) => assert_eq!(begins.get(), to.max(start)),
            Err(_) => assert_eq!(self.partition.log().log_start_offset().get(), start),
        }
    }

    fn upkeep(&mut self, a: u64) {
        let date = Timestamp::from_millis(NOW + self.now as i64);
        match a % 4 {
            0 => drop(self.partition.retain(date, &mut self.out)),
            1 => drop(self.partition.roll(date, &mut self.out)),
            2 => self.partition.flush(&mut self.out),
            _ => self.partition.expire_producers(date),
        }
    }

    fn rule(&mut self, a: u64, b: u64) {
        match a {
            0..=159 => {
                // Whole batches, if it is honest.
                let log_end = self.partition.log().log_end_offset().get();
                self.acknowledged = self.acknowledged.max(log_end.saturating_sub(b % 4));
                self.partition.acknowledged(OTHER, Offset::new(self.acknowledged), &mut self.out);
            }
            160..=239 => {
                self.epoch += (b % 2) as u32;
                self.is_ending = true;
                let led = self.partition.become_leader(reign(self.two_replicas, self.epoch), &mut self.out);
                assert_eq!(led.is_err(), self.is_stopped && self.partition.reign().is_none(), "{led:?}");
                self.is_stopped = self.partition.reign().is_none();
                self.take_effects();
                self.is_ending = false;
            }
            _ => {
                self.is_ending = true;
                let reason = if b.is_multiple_of(4) { StopReason::Closed } else { StopReason::Resigned };
                if !self.is_closed() {
                    self.partition.stop(reason, &mut self.out);
                }
                self.take_effects();
                self.is_stopped = true;
                self.is_ending = false;
            }
        }
    }

    fn is_closed(&mut self) -> bool {
        let reign = reign(self.two_replicas, self.epoch);
        self.is_stopped && self.partition.reign().is_none() && {
            let mut out = Vec::new();
            // Only one that has resigned leads again; what it leaves is of no interest when it does not.
            let is_closed = self.partition.become_leader(reign, &mut out).is_err();
            self.out.append(&mut out);
            is_closed
        }
    }

    // What the disk does.

    fn perform_ops(&mut self, count: usize) {
        for _ in 0..count {
            if self.is_broken {
                return;
            }
            match self.lanes.pop_front() {
                None => return,
                Some(Lane::Op(seq, op)) => {
                    self.apply(op);
                    self.reports.push_back(Report::Done(seq));
                }
                Some(Lane::Reserve { needed, .. }) if self.is_full => {
                    self.reports.push_back(Report::NotReserved(needed));
                }
                Some(Lane::Reserve { file, needed, wanted }) => {
                    assert!(self.files.contains_key(&file), "{file:?} is not there yet");
                    let len = if self.now.is_multiple_of(2) { wanted } else { needed };
                    self.reserved.insert(file, len);
                    self.reports.push_back(Report::Reserved(file, len));
                }
            }
        }
    }

    fn apply(&mut self, op: DiskOp) {
        match op {
            DiskOp::Create { file, .. } => {
                self.files.insert(file, Vec::new());
            }
            DiskOp::Write { file, position, parts } => {
                let content = self.files.get_mut(&file).expect("made before");
                content.resize(position as usize, 0);
                for part in parts {
                    match part {
                        Part::Batch(stamp, body) => {
                            content.extend_from_slice(&stamp.to_bytes());
                            content.extend_from_slice(&body);
                            let (last, _) = self.rows[&stamp.base_offset.get()];
                            self.written = last + 1;
                        }
                        Part::Bytes(bytes) => content.extend_from_slice(&bytes),
                    }
                }
            }
            DiskOp::Truncate { file, len } => {
                self.files.get_mut(&file).expect("made before").truncate(len as usize);
            }
            DiskOp::Reserve { .. }
            | DiskOp::Seal { .. }
            | DiskOp::Swap { .. }
            | DiskOp::Put { .. }
            | DiskOp::Replace { .. } => {}
        }
    }

    fn perform_sync(&mut self, a: u64) {
        let Some((sync, covered)) = self.sync.take() else { return };
        if a == 255 {
            self.is_broken = true;
            return self.reports.push_back(Report::NotSynced(sync.id));
        }
        self.flushed = self.flushed.max(covered);
        self.is_settled = true;
        self.reports.push_back(Report::Synced(sync.id));
    }

    fn fail(&mut self, a: u64, b: u64) {
        match (a, self.lanes.front()) {
            (0..=99, _) => self.is_full = b.is_multiple_of(2),
            (100..=219, Some(Lane::Op(seq, _))) if !self.is_broken => {
                self.reports.push_back(Report::Failed(*seq, OpFailure::NoSpace));
            }
            (250.., Some(Lane::Op(seq, _))) if !self.is_broken => {
                self.is_broken = true;
                self.reports.push_back(Report::Failed(*seq, OpFailure::Failed("EIO".to_owned())));
            }
            // What is told twice, or was never asked for.
            (220..=229, _) => self.partition.done(OpSeq(self.reported.0.min(b)), &mut self.out),
            (230..=239, _) => self.partition.synced(SyncId(1000 + b), &mut self.out),
            _ => self.partition.proceed(&mut self.out),
        }
    }

    fn report(&mut self, count: usize) {
        for _ in 0..count {
            let Some(report) = self.reports.pop_front() else { return };
            let is_end = matches!(report, Report::NotSynced(_) | Report::Failed(_, OpFailure::Failed(_)));
            let out = &mut self.out;
            match report {
                Report::Done(seq) => {
                    self.reported = seq;
                    self.partition.done(seq, out);
                }
                Report::Failed(seq, why) => self.partition.failed(seq, why, out),
                Report::Reserved(file, len) => self.partition.reserved(file, len, out),
                Report::NotReserved(needed) => self.partition.reserve_failed(needed, OpFailure::NoSpace, out),
                Report::Synced(id) => self.partition.synced(id, out),
                Report::NotSynced(id) => self.partition.sync_failed(id, "EIO", out),
            }
            self.is_ending = is_end;
            self.take_effects();
            self.is_ending = false;
        }
    }

    // What comes out.

    fn take_effects(&mut self) {
        for effect in std::mem::take(&mut self.out) {
            match effect {
                Effect::Disk(DiskWish::Log(log::Effect::Op(seq, op))) => {
                    self.note(&op);
                    self.lanes.push_back(Lane::Op(seq, op));
                }
                Effect::Disk(DiskWish::Log(log::Effect::Sync(sync))) => {
                    assert!(sync.files.iter().all(|file| self.files.contains_key(file)), "{sync:?} is not there yet");
                    assert!(self.partition.log().written().get() <= self.written);
                    assert!(self.sync.replace((sync, self.written)).is_none(), "two flushes at a time");
                }
                Effect::Disk(DiskWish::Log(log::Effect::Remove(remove))) => {
                    if let FileName::Log(base) = remove.name {
                        assert!(base.get() < self.marked_start, "the segment at {base} goes, and no mark says so");
                    }
                }
                Effect::Disk(DiskWish::Mark(mark)) => self.marked_start = mark.log_start_offset.get(),
                Effect::Disk(DiskWish::Reserve { file, needed, wanted }) => {
                    assert!(needed <= wanted);
                    self.lanes.push_back(Lane::Reserve { file, needed, wanted });
                }
                Effect::Wait { waiter, deadline } => {
                    assert!(self.asked.contains_key(&waiter), "{waiter:?} is not waiting");
                    assert!(self.timers.insert(waiter, deadline).is_none(), "{waiter:?} waits twice");
                }
                Effect::Settled { waiter } => {
                    assert!(self.timers.remove(&waiter).is_some(), "{waiter:?} has no timer");
                }
                Effect::Produced { waiter, result } => self.produced(waiter, result),
                Effect::Refused { waiter, error } => {
                    assert!(error.unfinished().is_none());
                    assert!(!self.asked.contains_key(&waiter), "{waiter:?} wants an answer");
                }
                Effect::Fetched { waiter, answer } => self.fetched(waiter, answer),
                Effect::FlushBy { .. } => panic!("no interval is configured"),
                Effect::Again => self.is_behind = true,
            }
        }
        let high_watermark = self.partition.high_watermark().get();
        assert!(self.high_watermark <= high_watermark, "the high watermark went back");
        self.high_watermark = high_watermark;
    }

    fn note(&mut self, op: &DiskOp) {
        let DiskOp::Write { parts, file, position } = op else { return };
        let mut position = *position;
        for part in parts {
            if let Part::Batch(stamp, body) = part {
                let bytes = [&stamp.to_bytes()[..], &body[..]].concat();
                let batch = Batch::parse(&bytes.into()).expect("a whole batch");
                let (base, last) = (batch.base_offset().get(), batch.last_offset().get());
                let end = self.rows.last_key_value().map_or(0, |(_, (last, _))| last + 1);
                assert_eq!(base, end, "offsets follow each other");
                assert!(self.is_settled, "something is appended before what was found is on disk");
                position += batch.size();
                let reserved = self.reserved.get(file).copied().unwrap_or(0);
                assert!(position <= reserved, "{position} bytes are used and {reserved} reserved");
                self.rows.insert(base, (last, body.clone()));
            }
        }
    }

    fn answered(&mut self, waiter: Waiter) -> Asked {
        assert!(!self.timers.contains_key(&waiter), "the timer of {waiter:?} is still running");
        self.asked.remove(&waiter).unwrap_or_else(|| panic!("{waiter:?} is answered twice, or never asked"))
    }

    fn produced(&mut self, waiter: Waiter, result: Result<log::Appended, ProduceError>) {
        let asked = self.answered(waiter);
        let Asked::Produce { acks, durability, body } = asked else { panic!("{waiter:?} asked to read") };
        match result {
            Ok(appended) => {
                let (last, stored) = &self.rows[&appended.base_offset.get()];
                let end = last + 1;
                assert_eq!((appended.last_offset.get(), &body), (*last, stored));
                assert!(end <= self.written, "{waiter:?} was not written");
                assert!(durability == Durability::Written || end <= self.flushed, "{waiter:?} was not flushed");
                if acks == Acks::All {
                    assert!(end <= self.partition.high_watermark().get(), "{waiter:?} is not committed");
                    assert!(self.durability == Durability::Written || end <= self.flushed);
                    assert!(!self.two_replicas || end <= self.acknowledged, "{waiter:?} was not replicated");
                }
            }
            Err(error) => {
                let Some(unfinished) = error.unfinished() else { return };
                let (last, stored) = &self.rows[&unfinished.base_offset.get()];
                assert_eq!((unfinished.last_offset.get(), &body), (*last, stored));
                let end = last + 1;
                match unfinished.reached {
                    Reached::Flushed => assert!(end <= self.flushed),
                    Reached::Written => assert!(end <= self.written),
                    Reached::Appended => {}
                }
            }
        }
    }

    fn fetched(&mut self, waiter: Waiter, answer: Result<Fetched, ottla::partition::PartitionFetchError>) {
        let Asked::Fetch(fetch) = self.answered(waiter) else { panic!("{waiter:?} asked to append") };
        let Ok(fetched) = answer else { return };
        if fetched.diverging.is_some() {
            return assert!(matches!(fetched.plan, ReadPlan::Nothing));
        }
        let bound = self.bound(fetch.isolation);
        assert!(bound <= self.written, "readers see what is not written");
        let batches = self.read(&fetched.plan, fetch.isolation);
        let mut bytes = 0;
        let mut next = fetch.from.get();
        for batch in &batches {
            let (base, end) = (batch.base_offset().get(), batch.next_offset().get());
            let (_, stored) = &self.rows[&base];
            assert_eq!(stored, batch.body(), "other bytes at {base}");
            assert!(base <= next && next < end, "{base} to {end} is not what comes at {next}");
            assert!(end <= bound, "{end} lies past {bound}");
            next = end;
            bytes += u64::from(batch.size());
        }
        assert!(batches.len() <= 1 || bytes <= u64::from(fetch.bytes_max));
        let wanted = u64::from(fetch.bytes_min.min(fetch.bytes_max));
        let is_due = self.is_ending || self.is_poisoned() || self.is_stopped;
        assert!(is_due || !batches.is_empty(), "{fetch:?} is answered with nothing");
        let enough = self.available(fetch.from.get(), bound) >= wanted;
        assert!(is_due || !self.all_cached || enough, "{fetch:?} is answered with {bytes} bytes");
    }

    fn read(&self, plan: &ReadPlan, isolation: Isolation) -> Vec<Batch> {
        match plan {
            ReadPlan::Nothing => Vec::new(),
            ReadPlan::Cached(batches) => batches.clone(),
            ReadPlan::File(span) => {
                let found = self.read_span(span);
                match self.partition.fetch_behind(span, isolation).expect("planned just now") {
                    Some(behind) if found.is_empty() => self.read(&behind.plan, isolation),
                    Some(_) | None => found,
                }
            }
        }
    }

    fn read_span(&self, span: &Span) -> Vec<Batch> {
        let content = &self.files[&span.file];
        let (mut at, mut bytes, mut found) = (span.position as usize, 0, Vec::new());
        while at < content.len().min(span.end as usize) {
            let batch = Batch::parse(&Bytes::copy_from_slice(&content[at..])).expect("a whole batch");
            at += batch.size() as usize;
            if batch.next_offset() <= span.from {
                continue;
            }
            bytes += batch.size();
            if batch.base_offset() >= span.ceiling || (!found.is_empty() && bytes > span.bytes_max) {
                break;
            }
            found.push(batch);
        }
        found
    }

    fn bound(&self, isolation: Isolation) -> u64 {
        let log = self.partition.log();
        match isolation {
            Isolation::LogEnd => log.written().get(),
            Isolation::HighWatermark => log.high_watermark().get(),
            Isolation::ReadCommitted => log.last_stable_offset().get(),
        }
    }

    /// How many bytes there are from `from` up to `bound`.
    fn available(&self, from: u64, bound: u64) -> u64 {
        // A bound may lie in a batch whose front is below the log start: who is at the bound gets nothing of it.
        let rows = self.rows.iter().filter(|(base, (last, _))| from < bound && *last >= from && **base < bound);
        rows.map(|(_, (_, body))| body.len() as u64 + 16).sum()
    }

    fn is_poisoned(&self) -> bool {
        matches!(self.partition.log().health(), Health::Poisoned { .. })
    }

    // What holds.

    fn compare(&mut self) {
        assert_eq!(self.partition.waiting(), self.waiting());
        let log = self.partition.log();
        assert!(log.written().get() <= self.written && log.flushed().get() <= self.flushed);
        let query = ListOffsets { spec: OffsetSpec::Latest, isolation: Isolation::HighWatermark, leader_epoch: None };
        if let Ok(ListedOffset::Known { offset, .. }) = self.partition.list_offsets(&query) {
            assert_eq!(offset.get(), self.high_watermark);
        }
        if self.is_behind {
            return;
        }
        let start = log.log_start_offset().get();
        for asked in self.asked.values() {
            let Asked::Fetch(fetch) = asked else { continue };
            let (from, bound) = (fetch.from.get(), self.bound(fetch.isolation));
            let wanted = u64::from(fetch.bytes_min.min(fetch.bytes_max)).max(1);
            assert!(from >= start, "{fetch:?} waits for what is gone");
            assert!(self.available(from, bound) < wanted, "{fetch:?} waits, and there is enough below {bound}");
        }
    }

    /// Those that want an answer, and the appends without one that the partition still holds.
    fn waiting(&self) -> usize {
        self.partition.waiting().max(self.asked.len())
    }

    /// The disk gets well, unless it is broken, and does all there is to do: then nobody waits but for a reader, a replica or
    /// the deadline; and in the end nobody at all.
    fn end(&mut self) {
        self.is_full = false;
        for _ in 0..100_000 {
            let is_idle = self.reports.is_empty() && self.sync.is_none() && !self.is_behind;
            if is_idle && (self.lanes.is_empty() || self.is_broken) {
                break;
            }
            self.perform(11, 4, 0);
            self.perform(16, 0, 0);
            self.perform(14, 3, 0);
        }
        self.partition.acknowledged(OTHER, self.partition.log().log_end_offset(), &mut self.out);
        self.acknowledged = self.partition.log().log_end_offset().get();
        self.take_effects();
        for (waiter, asked) in &self.asked {
            assert!(matches!(asked, Asked::Fetch(_)) || self.is_stopped, "{waiter:?} still waits: {asked:?}");
        }
        self.is_ending = true;
        self.partition.stop(StopReason::Deleted, &mut self.out);
        self.take_effects();
        assert!(self.asked.is_empty() && self.timers.is_empty() && self.partition.waiting() == 0);
    }
}

fn reign(two_replicas: bool, epoch: u32) -> Reign {
    let alone = Reign::alone(THIS, LeaderEpoch::new(epoch));
    let both = BTreeSet::from([THIS, OTHER]);
    if two_replicas { Reign { replicas: both.clone(), isr: both, ..alone } } else { alone }
}

fn stamp(id: i64, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(id).expect("an id"),
        epoch: Some(ProducerEpoch::ZERO),
        base_sequence: Sequence::new(sequence),
    }
}

fn batch(mut builder: BatchBuilder, values: u64, bytes: u64) -> Batch {
    for number in 0..values {
        let value = vec![b'a' + number as u8; bytes as usize];
        let record = NewRecord::new(Timestamp::from_millis(NOW), Some(b"k"), Some(&value));
        builder.push(&record).expect("a small record");
    }
    builder.build().expect("a small batch")
}
