//! One log under operations made of bytes, beside the plain list of what it must hold.
//!
//! Each operation is three bytes: which, and two numbers that choose what it is about. The first byte of all chooses the
//! options. After each operation the log and the list are compared: ends, records, answers by date, producers. A disk
//! call that fails, a killed process and a power loss may each only do what the list foresees (I-S1, I-S2, I-S4, I-S5,
//! I-S7, I-S9, I-S10).

use std::collections::{BTreeMap, BTreeSet};

use ottla::disk::mem::{Choice, Fails, Keep};
use ottla::disk::{
    AppendFault, CompactFault, DiskCall, DiskError, DiskErrorKind, FetchError, HighWatermarkRule, LogFile, MemDisk,
    OpenError, OpenOptions, ReadFault, ReadMode, TimeQuery, TrimFault, TruncateFault,
};
use ottla::epoch::{ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicPartition};
use ottla::log::{Cleanup, Isolation, LogConfig};
use ottla::offset::Offset;
use ottla::record::{Batch, BatchBuilder, Codec, DecompressLimit, NewRecord, ProducerStamp};
use ottla::time::Timestamp;

const NOW: i64 = 1_700_000_000_000;
/// So many operations of an input count.
const OPS_MAX: usize = 64;

/// Runs the operations in `data` on a new log, and on a list beside it.
pub fn log_ops(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    let mut world = World::new(options);
    world.reopen();
    for op in data.chunks_exact(3).take(OPS_MAX) {
        world.perform(op[0], u64::from(op[1]), u64::from(op[2]));
        if world.is_over() {
            break;
        }
        world.compare();
    }
}

#[derive(Clone, PartialEq)]
struct Row {
    offset: u64,
    /// The first offset of its batch, and the last one.
    batch: (u64, u64),
    timestamp: i64,
    key: Option<u8>,
    value: String,
    /// Its producer, and its sequence there.
    producer: Option<(i64, i32)>,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offset, batch, timestamp, key, value, producer } = self;
        write!(f, "{offset} in {batch:?} at {} {key:?} {} {producer:?}", timestamp - NOW, value.trim())
    }
}

/// What the log must hold.
#[derive(Clone, Debug, Default)]
struct Model {
    start: u64,
    end: u64,
    /// In order of offsets. Those below the start are not served.
    rows: Vec<Row>,
    /// Rows of which a compaction has kept a later one of the same key: they may be there or not.
    compacted: BTreeSet<u64>,
}

impl Model {
    /// The last record of each batch, without what is not served.
    fn batch_ends(&self) -> impl Iterator<Item = u64> {
        self.rows.iter().filter(|row| row.offset == row.batch.1).map(|row| row.offset + 1)
    }

    /// As it is once all batches that end above `to` are gone.
    fn cut(&self, to: u64, end: u64) -> Self {
        let mut cut = self.clone();
        cut.rows.retain(|row| row.batch.1 < to);
        cut.compacted.retain(|offset| *offset < to);
        (cut.start, cut.end) = (cut.start.min(to), end);
        cut
    }

    /// The rows below the start, and whether each may have been compacted.
    fn unserved(&self) -> impl Iterator<Item = (&Row, bool)> {
        let below = self.rows.iter().filter(|row| row.offset < self.start);
        below.map(|row| (row, self.compacted.contains(&row.offset)))
    }

    /// Whether `seen` is what this model says, from the log start on.
    fn explains(&self, seen: &Seen) -> Result<(), String> {
        if (seen.start, seen.end) != (self.start, self.end) {
            return Err(format!("ends {}..{}, expected {}..{}", seen.start, seen.end, self.start, self.end));
        }
        let mut rows = seen.rows.iter().peekable();
        for row in self.rows.iter().filter(|row| row.offset >= self.start) {
            match rows.peek() {
                Some(found) if *found == row => drop(rows.next()),
                _ if self.compacted.contains(&row.offset) => {}
                other => return Err(format!("{row:?} is missing, there is {other:?}")),
            }
        }
        rows.next().map_or(Ok(()), |more| Err(format!("{more:?} was never appended")))
    }
}

/// What the log says that it holds.
#[derive(Clone, Debug)]
struct Seen {
    start: u64,
    end: u64,
    rows: Vec<Row>,
}

/// What an operation that the disk did not let end may have left, each a whole state.
type Outcomes = Vec<Model>;

struct World {
    disk: MemDisk,
    options: OpenOptions,
    log: Option<LogFile<MemDisk>>,
    model: Model,
    /// Of the rows below this, and below the start, nobody knows which there are: a reader may get them with a batch that
    /// reaches above the start.
    unseen_below: u64,
    /// Below this nothing is lost by a power loss.
    flushed: u64,
    /// The least log start that is durable.
    start_kept: u64,
    /// What was before a change that the disk did not let end: a power loss may bring it back.
    before_fault: Vec<Model>,
    /// Whether checksums of index files were taken away: what is garbled then cannot be told from what is good.
    unsummed: bool,
    /// Whether a sync of the flushed marks has failed: what a killed process has left of them is nothing to go by after a
    /// power loss.
    marks_dropped: bool,
    is_over: bool,
    /// Whether an index file was garbled, which its checksum will tell.
    garbled: bool,
    now: i64,
    next_value: u64,
    /// The last batch of each producer, and where it is.
    sent: BTreeMap<i64, (Batch, u64)>,
}

impl World {
    fn new(bits: u8) -> Self {
        let has = |bit: u8| bits >> bit & 1 == 1;
        let config = LogConfig {
            segment_bytes: 500,
            index_interval_bytes: 100,
            tail_cache_bytes: if has(0) { 300 } else { 0 },
            cleanup: if has(1) { Cleanup::CompactAndDelete } else { Cleanup::Delete },
            retention_bytes: Some(900),
            retention_ms: has(2).then_some(400),
            flush_messages: has(3).then_some(5),
            ..LogConfig::default()
        };
        let options = OpenOptions {
            config,
            high_watermark: match bits >> 4 & 3 {
                0 | 1 => HighWatermarkRule::FollowWritten,
                2 => HighWatermarkRule::FollowFlushed,
                _ => HighWatermarkRule::ByHand,
            },
            read_mode: if has(6) { ReadMode::Map } else { ReadMode::Read },
            open_files_max: if has(7) { 4 } else { 64 },
            ..OpenOptions::default()
        };
        Self {
            disk: MemDisk::new(),
            options,
            log: None,
            model: Model::default(),
            unseen_below: 0,
            flushed: 0,
            start_kept: 0,
            before_fault: Vec::new(),
            unsummed: false,
            garbled: false,
            marks_dropped: false,
            is_over: false,
            now: NOW,
            next_value: 0,
            sent: BTreeMap::new(),
        }
    }

    fn log(&mut self) -> &mut LogFile<MemDisk> {
        self.log.as_mut().expect("the log is open between two operations")
    }

    /// Whether nothing is promised any more: a power loss behind a failed sync of the marks.
    fn is_over(&self) -> bool {
        self.is_over
    }

    fn compacts(&self) -> bool {
        self.options.config.cleanup.compacts()
    }

    fn open(&mut self) -> Result<(), OpenError> {
        let partition = TopicPartition::parse("t-0").expect("a name");
        let now = Timestamp::from_millis(self.now);
        let (log, report) = LogFile::open(self.disk.clone(), &partition, self.options.clone(), now)?;
        assert!(report.corrupt.is_empty(), "nothing rots here: {report}");
        self.log = Some(log);
        Ok(())
    }

    fn reopen(&mut self) {
        self.open().unwrap_or_else(|error| panic!("a well disk opens: {error}"));
    }

    fn perform(&mut self, op: u8, a: u64, b: u64) {
        self.now += 7;
        let now = Timestamp::from_millis(self.now);
        let fault = op & 0x80 != 0;
        if fault {
            let io = DiskErrorKind::Io { code: Some(5), message: "Input/output error".to_owned() };
            let kind = if b & 0x80 != 0 { DiskErrorKind::NoSpace } else { io };
            self.disk.fail_at(self.disk.calls() + (b & 31), kind, Fails::Once);
        }
        match op & 31 {
            0..=5 => self.append(a, b, None),
            6..=9 => self.append(a, b, Some(1 + (a >> 6) as i64)),
            10 => self.append_again(a, fault),
            11 => self.append_after_a_gap(a, fault),
            12 | 13 => {
                let result = self.log().flush().map(drop);
                let after = self.model.clone();
                if self.settle(result, vec![after]) {
                    assert_eq!(self.log().log().flushed().get(), self.model.end, "a flush flushes all");
                    self.before_fault.clear();
                }
            }
            14 => {
                let result = self.log().roll(now).map(drop);
                let after = self.model.clone();
                self.settle(result, vec![after]);
            }
            15 | 16 => self.truncate(a, now),
            17 => self.restart(a, now),
            18 | 19 => self.trim(a),
            20 => self.retain(now),
            21 | 22 => self.compact(now),
            23 => {
                let to = Offset::new(self.model.start + a * (self.model.end - self.model.start) / 255);
                self.log().advance_high_watermark(to);
            }
            24 => self.close_and_open(),
            25 => self.kill_and_open(),
            26 | 27 => self.lose_power(a, b),
            28 | 29 => self.damage_and_open(a, b),
            30 => self.read_at(a, b, fault),
            _ => self.look_up(NOW + (a as i64) * 3, fault),
        }
        self.disk.plan_nothing();
        if self.is_over {
            return;
        }
        let flushed = self.log().log().flushed().get();
        self.flushed = self.flushed.max(flushed.min(self.model.end));
    }

    /// Takes over what a call has left. If the disk did not let it end, the process is killed and the next one has to
    /// find one of `outcomes`, or what was before. Answers whether the call succeeded.
    fn settle(&mut self, result: Result<(), DiskError>, mut outcomes: Outcomes) -> bool {
        match result {
            Ok(()) => {
                self.model = outcomes.remove(0);
                true
            }
            Err(error) => {
                outcomes.push(self.model.clone());
                self.marks_dropped |= matches!(error.call, DiskCall::Sync) && error.path.to_string().contains("marks");
                self.before_fault.push(self.model.clone());
                self.log = None;
                self.disk.kill();
                self.reopen();
                self.take_over(&outcomes, &error.to_string());
                false
            }
        }
    }

    /// The log is what one of `outcomes` says, of several that fit the first. Which one is known now, as far as it is served:
    /// where those that fit differ in what lies below the start, nobody sees which of them it is.
    fn take_over(&mut self, outcomes: &[Model], why: &str) {
        let seen = self.see();
        let (mut fitting, mut reasons) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome.explains(&seen) {
                Ok(()) => fitting.push(outcome),
                Err(reason) => reasons.push(reason),
            }
        }
        let Some(first) = fitting.first() else {
            panic!("after {why:?} the log is none of what it may be: {reasons:#?}\n{seen:#?}");
        };
        self.model = Model::clone(first);
        let is_known = fitting.iter().all(|other| other.unserved().eq(first.unserved()));
        self.unseen_below = if is_known { self.unseen_below.min(seen.start) } else { seen.start };
    }

    fn batch(&mut self, a: u64, b: u64, producer: Option<ProducerStamp>) -> (Batch, Vec<Row>) {
        let mut builder = BatchBuilder::new(Codec::None);
        if let Some(stamp) = producer {
            builder = builder.producer(stamp);
        }
        let count = 1 + a % 4;
        let base = self.model.end;
        let mut rows = Vec::new();
        for number in 0..count {
            self.next_value += 1;
            let value = format!("{:>1$}", self.next_value, 4 + ((a >> 2 & 7) * 9) as usize);
            // Dates go back now and then, also within a batch.
            let timestamp = NOW + ((b * 3 + number * (a >> 3)) % 700) as i64;
            // In a compacted topic one batch in 32 breaks the rule.
            let key = (self.compacts() && a >> 3 != 31).then_some((b.wrapping_add(number) % 5) as u8);
            let bytes = key.map(|key| [key]);
            let record = NewRecord::new(
                Timestamp::from_millis(timestamp),
                bytes.as_ref().map(|key| &key[..]),
                Some(value.as_bytes()),
            );
            builder.push(&record).expect("a small record");
            let producer =
                producer.and_then(|stamp| Some((stamp.id.get(), stamp.base_sequence?.get() + number as i32)));
            rows.push(Row { offset: base + number, batch: (base, base + count - 1), timestamp, key, value, producer });
        }
        (builder.build().expect("a small batch"), rows)
    }

    /// The producer, with the sequence `skip` behind the one that comes next.
    fn stamp(&mut self, id: i64, skip: u32) -> ProducerStamp {
        let id = ProducerId::new(id).expect("a small number");
        let entry = self.log().log().producers().entry(id);
        let last = entry.and_then(|entry| entry.last_sequence());
        let epoch = entry.and_then(|entry| entry.epoch()).unwrap_or(ProducerEpoch::ZERO);
        let next = last.map_or(Sequence::ZERO, |last| last.advance(1)).advance(skip);
        ProducerStamp { id, epoch: Some(epoch), base_sequence: Some(next) }
    }

    fn append(&mut self, a: u64, b: u64, producer: Option<i64>) {
        let stamp = producer.map(|id| self.stamp(id, 0));
        let (batch, rows) = self.batch(a, b, stamp);
        self.append_batch(&batch, rows);
    }

    fn append_batch(&mut self, batch: &Batch, rows: Vec<Row>) {
        let mut after = self.model.clone();
        let keyless = self.compacts() && rows.iter().any(|row| row.key.is_none());
        let producer = rows[0].producer;
        after.end += rows.len() as u64;
        after.rows.extend(rows);
        let now = Timestamp::from_millis(self.now);
        let base = self.model.end;
        match self.log().append(now, batch) {
            Ok(appended) => {
                assert!(!keyless, "a compacted topic takes no record without a key");
                assert!(!appended.duplicate, "a new batch is no duplicate");
                assert_eq!((appended.base_offset.get(), appended.last_offset.get() + 1), (base, after.end));
                self.model = after;
                if let Some((id, _)) = producer {
                    self.sent.insert(id, (batch.clone(), base));
                }
            }
            Err(AppendFault::Check(_)) => assert!(keyless, "every other batch keeps the rules"),
            Err(AppendFault::Full { .. }) => {}
            Err(AppendFault::Waiting { error, .. } | AppendFault::Disk(error)) => {
                self.settle(Err(error), vec![after]);
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// A batch that a producer sends twice is appended once.
    fn append_again(&mut self, a: u64, fault: bool) {
        let Some((batch, base)) = self.sent.get(&(1 + (a >> 6) as i64)).cloned() else { return };
        let stamp = batch.producer().expect("only batches of producers are sent again");
        let is_there = self.model.rows.iter().any(|row| {
            row.batch.0 == base
                && row.offset >= self.model.start
                && !self.model.compacted.contains(&row.offset)
                && row.producer.is_some_and(|(id, _)| id == stamp.id.get())
        });
        let last = self.model.rows.iter().rev().find_map(|row| row.producer.filter(|(id, _)| *id == stamp.id.get()));
        let is_last = last.map(|(_, sequence)| sequence + 1)
            == stamp.base_sequence.map(|first| first.get() + batch.record_count() as i32);
        if !is_there || !is_last {
            return;
        }
        let now = Timestamp::from_millis(self.now);
        match self.log().append(now, &batch) {
            Ok(appended) => {
                assert!(appended.duplicate && appended.base_offset.get() == base, "{appended:?}, was at {base}");
            }
            Err(AppendFault::Full { .. }) if fault => {}
            Err(AppendFault::Disk(error)) if fault => {
                self.settle(Err(error), Vec::new());
            }
            Err(other) => panic!("sent again: {other}"),
        }
    }

    /// A producer that has lost a batch is refused, if anything is known of it; unless what waits for space in front of it
    /// finds the disk full or ill again.
    fn append_after_a_gap(&mut self, a: u64, fault: bool) {
        let stamp = self.stamp(1 + (a >> 6) as i64, 3);
        if self.log().log().producers().entry(stamp.id).and_then(|entry| entry.last_sequence()).is_none() {
            return;
        }
        let (batch, _) = self.batch(a & 7, 1, Some(stamp));
        let now = Timestamp::from_millis(self.now);
        let calls = self.disk.calls();
        match self.log().append(now, &batch) {
            Err(AppendFault::Log(_)) => {}
            Err(AppendFault::Full { .. }) if fault && self.disk.calls() > calls => {}
            Err(AppendFault::Disk(error)) if fault && self.disk.calls() > calls => {
                self.settle(Err(error), Vec::new());
            }
            other => panic!("a batch behind a gap: {other:?}"),
        }
    }

    fn truncate(&mut self, a: u64, now: Timestamp) {
        let Model { start, end, .. } = self.model;
        // Never below the log start: what was trimmed away could come back, and nobody asks for that.
        let to = (end + 2).saturating_sub(a % 16).max(start);
        let after = if to < end { self.model.cut(to, to) } else { self.model.clone() };
        let mut outcomes = vec![after];
        // On the way every batch that goes may be the last one gone.
        if to < end {
            outcomes.extend(self.model.batch_ends().filter(|end| *end >= to).map(|end| self.model.cut(end, end)));
            let kept = self.model.cut(to, to).rows.last().map_or(start, |row| row.batch.1 + 1);
            // Where an earlier cut has left a gap, a segment may begin behind it.
            let first = self.model.rows.iter().find(|row| row.batch.1 >= to).map_or(kept, |row| row.batch.0);
            // An earlier mark knows less of how far a log without records reaches.
            outcomes.extend((kept..to).chain([first]).map(|end| self.model.cut(to, end.max(start))));
        }
        self.flushed = self.flushed.min(to);
        match self.log().truncate_to(Offset::new(to), now) {
            Ok(cut) => {
                assert_eq!(cut, to < end);
                self.settle(Ok(()), outcomes);
            }
            Err(TruncateFault::Disk(error)) => {
                self.settle(Err(error), outcomes);
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn restart(&mut self, a: u64, now: Timestamp) {
        let Model { start, end, .. } = self.model;
        let at = (end + 4).saturating_sub(a % 16).max(start);
        let anew = Model { start: at, end: at, ..Model::default() };
        // On the way the new start is noted before the records go, the last ones first.
        // What reaches into a gap is known from the mark alone, which tells of the new start by then; but a segment that begins
        // behind an earlier gap, and is empty, still shows it.
        let base = self.log().log().active_segment().base_offset.get();
        let ends = self.model.batch_ends().chain([end, base]).filter(|end| *end > at);
        let on_the_way: Vec<Model> = ends.map(|end| Model { start: at, ..self.model.cut(end, end) }).collect();
        (self.flushed, self.start_kept) = (at.min(self.flushed), at.min(self.start_kept));
        match self.log().truncate_fully_and_start_at(Offset::new(at), now) {
            Ok(()) => {
                self.settle(Ok(()), vec![anew]);
            }
            Err(TruncateFault::Disk(error)) => {
                self.settle(Err(error), on_the_way.into_iter().chain([anew]).collect());
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn trim(&mut self, a: u64) {
        let Model { start, end, .. } = self.model;
        let to = start + (end + 1 - start) * (a & 63) / 64;
        let after = Model { start: start.max(to), ..self.model.clone() };
        match self.log().trim_to(Offset::new(to)) {
            Ok(moved) => {
                assert_eq!(moved, to > start);
                self.settle(Ok(()), vec![after]);
                self.start_kept = self.model.start;
            }
            Err(TrimFault::Trim(_)) => {
                assert!(to > self.log().log().high_watermark().get(), "all up to the high watermark may go");
            }
            Err(TrimFault::Disk(error)) => {
                self.settle(Err(error), vec![after]);
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn retain(&mut self, now: Timestamp) {
        let active = self.log().log().active_segment();
        let high_watermark = self.log().log().high_watermark().get();
        let Model { start: old, end, .. } = self.model;
        let bases = self.log().log().segments().map(|segment| segment.base_offset.get());
        let starts: Vec<u64> = bases.chain([end]).filter(|start| *start > old).collect();
        match self.log().retain(now) {
            Ok(_) => {
                let start = self.log().log().log_start_offset().get();
                assert!(start == old || starts.contains(&start), "whole segments go");
                assert!(start <= high_watermark.max(old), "nothing above the high watermark goes");
                assert!(self.options.config.retention_ms.is_some() || start <= active.base_offset.get().max(old));
                self.model.start = start;
                self.start_kept = start;
            }
            Err(error) => {
                let outcomes = starts.iter().map(|start| Model { start: *start, ..self.model.clone() });
                let outcomes = outcomes.collect();
                self.settle(Err(error), outcomes);
            }
        }
    }

    fn compact(&mut self, now: Timestamp) {
        if !self.compacts() {
            return;
        }
        // What is in front of the active segment, or of the one that a roll begins.
        let after = self.compactable();
        match self.log().compact_anyway(now) {
            Ok(_) => self.model = after,
            Err(CompactFault::Disk(error) | CompactFault::Read(ReadFault::Disk(error))) => {
                self.settle(Err(error), vec![after]);
            }
            Err(CompactFault::Poisoned { why }) => panic!("poisoned between two operations: {why}"),
            Err(other) => panic!("{other}"),
        }
    }

    /// Which rows a compaction now may leave out: those of which a later one has the key, in front of the active segment.
    fn compactable(&mut self) -> Model {
        let below = self.log().log().active_segment().base_offset.get();
        let mut after = self.model.clone();
        let mut seen = BTreeSet::new();
        for row in self.model.rows.iter().rev().filter(|row| row.offset < below) {
            if !seen.insert(row.key) {
                after.compacted.insert(row.offset);
            }
        }
        after
    }

    fn close_and_open(&mut self) {
        let log = self.log.take().expect("the log is open between two operations");
        let closed = log.close().map(drop);
        let flushed = if closed.is_ok() { self.model.end } else { self.flushed };
        if closed.is_err() {
            self.disk.kill();
        }
        self.open_or_retry();
        self.flushed = flushed;
    }

    /// An opening that fails leaves everything as it was for the next one.
    fn open_or_retry(&mut self) {
        match self.open() {
            Ok(()) => {}
            Err(OpenError::Disk { .. } | OpenError::Dir(_)) => {
                self.disk.kill();
                self.reopen();
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn kill_and_open(&mut self) {
        self.log = None;
        // Locks die with the process; what was planned for this operation is for the opening.
        self.open_or_retry();
    }

    fn lose_power(&mut self, a: u64, b: u64) {
        self.log = None;
        let choice = match a % 3 {
            0 => Choice::nothing(),
            1 => Choice::everything(),
            _ => Choice { data: Keep::Random(b), names: Keep::Random(a), ..Choice::nothing() },
        };
        self.disk.crash(&choice);
        if self.marks_dropped {
            self.is_over = true;
            return drop(self.open());
        }
        self.reopen();
        let mut outcomes = Vec::new();
        for model in [self.model.clone()].into_iter().chain(self.before_fault.clone()) {
            for start in [model.start, self.model.start, self.start_kept] {
                outcomes.extend(self.after_power_loss(&model, start));
            }
        }
        self.take_over(&outcomes, "a power loss");
        self.flushed = self.flushed.min(self.model.end);
    }

    /// What a power loss may leave of a log that begins at `start`: all that was flushed, and a prefix of the rest.
    fn after_power_loss(&self, model: &Model, start: u64) -> Outcomes {
        let floor = self.flushed;
        let mut ends: Vec<u64> = model.batch_ends().filter(|end| *end >= floor).collect();
        // Where a cut has left a gap, the end may be that of the last batch again.
        let kept = model.cut(floor, floor).rows.last().map_or(start, |row| row.batch.1 + 1);
        let first = model.rows.iter().find(|row| row.batch.1 >= floor).map_or(kept, |row| row.batch.0);
        // How far a log without records reaches behind its last one may be forgotten.
        ends.extend(kept..=floor.max(first).max(start));
        ends.push(model.end);
        ends.iter().map(|end| Model { start, ..model.cut(*end, (*end).max(start)) }).collect()
    }

    /// All but the log files and the flushed marks can be made again from the log files.
    fn damage_and_open(&mut self, a: u64, b: u64) {
        if b & 1 == 0 {
            let log = self.log.take().expect("the log is open between two operations");
            let _ = log.close();
        }
        self.log = None;
        let endings = [".index", ".timeindex", ".txnindex", ".snapshot", ".sums", "leader-epoch-checkpoint"];
        let ending = endings[a as usize % endings.len()];
        let all = b & 2 == 0;
        let is_flushed = self.flushed == self.model.end;
        if ending == ".sums" && (self.garbled || !is_flushed) {
            return self.open_or_retry();
        }
        self.unsummed |= ending == ".sums";
        let contents = self.disk.contents();
        let names: Vec<&String> = contents.keys().filter(|name| name.ends_with(ending)).collect();
        // What is noted of epochs behind the mark has no checksum.
        let is_summed = |name: &str| {
            let sums = name.rsplit_once('.').map(|(base, _)| format!("{base}.sums"));
            let has_sums = sums.is_some_and(|sums| contents.get(&sums).is_some_and(|bytes| !bytes.is_empty()));
            match ending {
                "leader-epoch-checkpoint" => is_flushed,
                _ => !ending.ends_with("index") || (has_sums && !self.unsummed),
            }
        };
        let chosen = names.len().checked_sub(1).map(|last| (b >> 3) as usize % (last + 1));
        for (number, name) in names.iter().enumerate().filter(|(number, _)| all || Some(*number) == chosen) {
            let mut bytes = contents[*name].clone();
            match (b >> 2 & 1, bytes.len()) {
                (garble, len) if garble == 0 || len == 0 || !is_summed(name) => {
                    self.disk.vanish(name).expect("it is there");
                    continue;
                }
                (_, len) => {
                    self.garbled |= ending.ends_with("index");
                    bytes[(a as usize + number) * 7 % len] ^= 1 << (a & 7);
                }
            }
            self.disk.put(name, bytes).expect("it is there");
        }
        self.open_or_retry();
    }

    fn read_at(&mut self, a: u64, b: u64, fault: bool) {
        let Model { start, end, .. } = self.model;
        let from = (start + end.saturating_sub(start) * a / 250).saturating_sub(u64::from(a == 7));
        let isolation = [Isolation::LogEnd, Isolation::HighWatermark, Isolation::ReadCommitted][b as usize % 3];
        let limit = 1 + (b as u32 & 0x7c) * 4;
        let ceiling = self.log().log().ceiling(isolation).get();
        let fetched = match self.log().read(Offset::new(from), limit, isolation) {
            Ok(fetched) => fetched,
            Err(FetchError::Range(_)) => return assert!(from < start || from > end, "{from} is within {start}..{end}"),
            Err(FetchError::Fault(ReadFault::Disk(_))) if fault => return,
            Err(other) => panic!("{other}"),
        };
        assert!((start..=end).contains(&from));
        let rows = rows_of(&fetched.batches);
        let size: u32 = fetched.batches.iter().map(|batch| batch.size()).sum();
        assert!(fetched.batches.len() <= 1 || size <= limit, "{size} bytes, at most {limit} were asked for");
        let expected =
            self.model.rows.iter().filter(|row| from < ceiling && row.batch.1 >= from && row.batch.0 < ceiling);
        let is_sure = |row: &&Row| row.offset >= self.unseen_below && !self.model.compacted.contains(&row.offset);
        let expected: Vec<&Row> = expected.filter(is_sure).collect();
        let sure: Vec<&Row> = rows.iter().filter(is_sure).collect();
        assert!(expected.starts_with(&sure), "read {sure:?}, there is {expected:?}");
        let got_on = !fetched.batches.is_empty() || expected.is_empty();
        assert!(got_on, "nothing at {from}, there is {expected:?}");
    }

    /// The answer by date is that of a look at every record.
    fn look_up(&mut self, millis: i64, fault: bool) {
        let seen = if fault { None } else { Some(self.see()) };
        let found = self.log().offset_for_timestamp(TimeQuery::At(Timestamp::from_millis(millis)));
        match (found, seen) {
            (Ok(found), Some(seen)) => {
                let expected = seen.rows.iter().find(|row| row.timestamp >= millis).map(|row| row.offset);
                assert_eq!(found.map(|found| found.offset.get()), expected, "the first record of {millis} or later");
            }
            (Ok(_), None) | (Err(FetchError::Fault(ReadFault::Disk(_))), None) => {}
            (Err(other), _) => panic!("{other}"),
        }
    }

    /// All that the log has, read through.
    fn see(&mut self) -> Seen {
        let log = self.log();
        let (start, end) = (log.log().log_start_offset(), log.log().log_end_offset());
        let (mut rows, mut from) = (Vec::new(), start);
        loop {
            let fetched = log.read(from, 150, Isolation::LogEnd).unwrap_or_else(|error| panic!("at {from}: {error}"));
            let Some(last) = fetched.batches.last() else { break };
            assert!(last.next_offset() > from, "a reader gets on");
            from = last.next_offset();
            rows.extend(rows_of(&fetched.batches));
        }
        rows.retain(|row| row.offset >= start.get());
        Seen { start: start.get(), end: end.get(), rows }
    }

    fn compare(&mut self) {
        let seen = self.see();
        if let Err(reason) = self.model.explains(&seen) {
            panic!("{reason}\nmodel {:#?}\nlog {seen:#?}", self.model);
        }
        let log = self.log().log();
        let (start, high_watermark, end) = (log.log_start_offset(), log.high_watermark(), log.log_end_offset());
        assert!(start <= high_watermark && high_watermark <= end, "{start} {high_watermark} {end}");
        assert!(log.flushed() <= log.written() && log.written() <= end);
        self.compare_producers();
        self.look_up(NOW + (self.next_value as i64 * 37) % 700, false);
        self.look_up(seen.rows.last().map_or(NOW, |row| row.timestamp), false);
    }

    /// Of every producer with a batch in the log that compaction has to keep, at least its last sequence is known.
    fn compare_producers(&mut self) {
        let mut last = BTreeMap::new();
        for row in self.model.rows.iter().filter(|row| row.offset >= self.model.start) {
            let Some((id, sequence)) = row.producer else { continue };
            // A compaction may take a batch because a later one tells of the producer, and a cut that one.
            let batch = self.model.rows.iter().filter(|other| other.batch == row.batch);
            let is_sure =
                batch.clone().any(|row| row.offset >= self.unseen_below && !self.model.compacted.contains(&row.offset));
            last.insert(id, (sequence, is_sure));
        }
        for (id, (sequence, is_sure)) in last {
            let id = ProducerId::new(id).expect("a small number");
            let entry = self.log().log().producers().entry(id);
            let known = entry.and_then(|entry| entry.last_sequence()).map(Sequence::get);
            assert!(known == Some(sequence) || !is_sure, "producer {}: {known:?}, its last is {sequence}", id.get());
        }
    }
}

/// The records of batches, as the model has them.
fn rows_of(batches: &[ottla::record::Entry]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let stored = batch.as_batch().expect("nothing old is appended");
        let range = (stored.base_offset().get(), stored.last_offset().get());
        let records = batch.records(DecompressLimit::default()).expect("whole records");
        for record in records.iter() {
            let record = record.expect("whole records");
            let id = stored.producer().map(|stamp| stamp.id.get());
            rows.push(Row {
                offset: record.offset.get(),
                batch: range,
                timestamp: record.timestamp.as_millis(),
                key: record.key.map(|key| key[0]),
                value: String::from_utf8(record.value.expect("no tombstones here").to_vec()).expect("digits"),
                producer: id.zip(record.sequence.map(Sequence::get)),
            });
        }
    }
    rows
}
