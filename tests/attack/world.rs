//! A log under a workload, and what each step must leave.

use ottla::disk::{
    AppendFault, DiskError, HighWatermarkRule, LogFile, MemDisk, OpenError, OpenOptions, TrimFault, TruncateFault,
};
use ottla::epoch::{ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicPartition};
use ottla::log::{Appended, LogConfig, MarkerRules};
use ottla::offset::Offset;
use ottla::record::{
    Batch, BatchBuilder, Codec, NewRecord, Origin, ProducerStamp, TransactionMarker, TransactionResult,
};
use ottla::time::Timestamp;

use crate::model::{Row, Side, State};
use crate::script::Step;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) fn partition() -> TopicPartition {
    TopicPartition::parse("t-0").unwrap()
}

/// Tiny segments, an index entry for every other batch, and nothing read from memory.
pub(crate) fn options(high_watermark: HighWatermarkRule) -> OpenOptions {
    OpenOptions {
        config: LogConfig {
            segment_bytes: 500,
            index_interval_bytes: 100,
            tail_cache_bytes: 0,
            retention_bytes: Some(900),
            retention_ms: None,
            ..LogConfig::default()
        },
        high_watermark,
        ..OpenOptions::default()
    }
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Append(AppendFault),
    Disk(DiskError),
    Truncate(TruncateFault),
    Trim(TrimFault),
    Open(OpenError),
}

/// A log under a workload.
pub(crate) struct World {
    pub(crate) disk: MemDisk,
    pub(crate) log: Option<LogFile<MemDisk>>,
    pub(crate) options: OpenOptions,
    /// What the log should hold, after each step and in the middle of it.
    pub(crate) history: Vec<State>,
    /// Makes every value another one.
    next_value: u64,
}

impl World {
    /// An empty log on a disk; nothing is opened yet.
    pub(crate) fn new(disk: MemDisk, options: OpenOptions) -> Self {
        Self { disk, log: None, options, history: vec![State::empty()], next_value: 0 }
    }

    /// Opens the log.
    pub(crate) fn open(&mut self) -> Result<(), Fault> {
        let opened = LogFile::open(self.disk.clone(), &partition(), self.options.clone(), NOW);
        self.log = Some(opened.map_err(Fault::Open)?.0);
        Ok(())
    }

    pub(crate) fn log(&mut self) -> &mut LogFile<MemDisk> {
        self.log.as_mut().expect("the log is open")
    }

    pub(crate) fn state(&self) -> &State {
        self.history.last().expect("there is a first state")
    }

    /// Performs one step, and notes what must be there if it succeeds. A batch that the log refuses by rule is no fault.
    pub(crate) fn perform(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Append { producer, records } => self.append(producer, records)?,
            Step::Transactional { producer, records } => self.append_transactional(producer, records)?,
            Step::Marker { producer, commit } => self.append_marker(producer, commit)?,
            Step::Replicate { batches, gap } => self.replicate(batches, gap)?,
            Step::Epoch => {
                let next = self.log().leader_epoch().next().unwrap();
                self.log().begin_epoch(next).map_err(Fault::Disk)?;
            }
            Step::Flush => {
                let flushed = self.log().flush().map_err(Fault::Disk)?;
                assert_eq!(flushed, self.log().log().log_end_offset(), "a flush flushes all");
            }
            Step::Roll => drop(self.log().roll(NOW).map_err(Fault::Disk)?),
            Step::Truncate { back } => self.truncate(back)?,
            Step::Restart { ahead } => self.restart(ahead)?,
            Step::Trim { eighths } => self.trim(eighths)?,
            Step::Retain => self.retain()?,
            Step::Advance { eighths } => {
                let (start, end) = self.ends();
                self.log().advance_high_watermark(Offset::new(start + (end - start) * u64::from(eighths) / 8));
            }
            Step::Close => {
                let log = self.log.take().expect("the log is open");
                drop(log.close().map_err(Fault::Disk)?);
                self.open()?;
            }
            Step::Die => {
                self.log = None;
                self.open()?;
            }
        }
        self.settle();
        Ok(())
    }

    fn ends(&mut self) -> (u64, u64) {
        let log = self.log().log();
        (log.log_start_offset().get(), log.log_end_offset().get())
    }

    /// What the step has left is known in full now.
    fn settle(&mut self) {
        let (start, end) = self.ends();
        let side = Side::of(self.log().log());
        let state = self.history.last_mut().expect("there is a first state");
        assert_eq!((state.start, state.end), (start, end), "the log's ends, the model's on the left");
        state.side = Some(side);
    }

    fn values(&mut self, records: u8) -> Vec<String> {
        (0..records.max(1))
            .map(|_| {
                self.next_value += 1;
                format!("value {:>1$}", self.next_value, 5 + (self.next_value * 7 % 40) as usize)
            })
            .collect()
    }

    fn batch(&mut self, records: u8, producer: Option<ProducerStamp>, transactional: bool) -> Batch {
        let values = self.values(records);
        let mut builder = BatchBuilder::new(Codec::None);
        if let Some(producer) = producer {
            builder = builder.producer(producer);
        }
        if transactional {
            builder = builder.transactional();
        }
        for value in &values {
            builder.push(&NewRecord::new(NOW, None, Some(value.as_bytes()))).unwrap();
        }
        builder.build().unwrap()
    }

    /// The producer with the sequence that comes next.
    fn stamp(&mut self, id: i64) -> ProducerStamp {
        let id = ProducerId::new(id).unwrap();
        let entry = self.log().log().producers().entry(id);
        let last = entry.and_then(|entry| entry.last_sequence());
        let epoch = entry.and_then(|entry| entry.epoch()).unwrap_or(ProducerEpoch::ZERO);
        let next = last.map_or(Sequence::ZERO, |last| last.advance(1));
        ProducerStamp { id, epoch: Some(epoch), base_sequence: Some(next) }
    }

    fn append(&mut self, producer: Option<u8>, records: u8) -> Result<(), Fault> {
        let stamp = producer.map(|id| self.stamp(i64::from(id)));
        let batch = self.batch(records, stamp, false);
        let outcome = self.log().append(NOW, &batch);
        self.note(&batch, outcome)
    }

    fn append_transactional(&mut self, producer: u8, records: u8) -> Result<(), Fault> {
        let stamp = self.stamp(100 + i64::from(producer));
        let batch = self.batch(records, Some(stamp), true);
        let outcome = self.log().append(NOW, &batch);
        self.note(&batch, outcome)
    }

    fn append_marker(&mut self, producer: u8, commit: bool) -> Result<(), Fault> {
        let result = if commit { TransactionResult::Commit } else { TransactionResult::Abort };
        let marker = TransactionMarker { result, coordinator_epoch: 1 };
        let stamp = self.stamp(100 + i64::from(producer));
        let batch = marker.to_batch(stamp.id, stamp.epoch.unwrap(), NOW).unwrap();
        let outcome = self.log().append_from(NOW, &batch, Origin::Coordinator, MarkerRules::default());
        self.note(&batch, outcome)
    }

    fn note(&mut self, batch: &Batch, outcome: Result<Appended, AppendFault>) -> Result<(), Fault> {
        match outcome {
            Ok(appended) => {
                assert!(!appended.duplicate, "every batch of the script is new");
                let epoch = self.log().leader_epoch();
                let stored = batch.stamped(appended.base_offset, Some(epoch)).unwrap();
                self.push(&stored);
                Ok(())
            }
            Err(fault) => Err(Fault::Append(fault)),
        }
    }

    fn push(&mut self, stored: &Batch) {
        let mut state = self.state().clone();
        state.rows.push(Row::of(stored));
        (state.end, state.side) = (stored.next_offset().get(), None);
        self.history.push(state);
    }

    fn replicate(&mut self, batches: u8, gap: u8) -> Result<(), Fault> {
        let epoch = self.log().leader_epoch();
        let mut next = self.ends().1 + u64::from(gap);
        let mut told = Vec::new();
        for _ in 0..batches {
            let batch = self.batch(1, None, false).stamped(Offset::new(next), Some(epoch)).unwrap();
            next = batch.next_offset().get();
            told.push(batch);
        }
        self.log().replicate(NOW, &told, epoch).map_err(Fault::Append)?;
        if let (Some(first), true) = (told.first(), gap > 0) {
            // A roll comes first, and takes the log end to where the batch will begin.
            let end = first.base_offset().get();
            self.history.push(State { end, side: None, ..self.state().clone() });
        }
        told.iter().for_each(|batch| self.push(batch));
        Ok(())
    }

    fn truncate(&mut self, back: u8) -> Result<(), Fault> {
        // Never below the log start: what was trimmed away could come back in between, and nobody asks for that.
        let (start, end) = self.ends();
        let to = end.saturating_sub(u64::from(back)).max(start);
        if !self.log().truncate_to(Offset::new(to), NOW).map_err(Fault::Truncate)? {
            return Ok(());
        }
        // On the way every batch that goes may be the last one gone.
        let mut state = State { side: None, ..self.state().clone() };
        while state.rows.last().is_some_and(|row| row.last >= to) {
            state.rows.pop();
            state.end = state.rows_end().max(to);
            state.start = state.start.min(to);
            self.history.push(state.clone());
        }
        self.history.push(State { start: state.start.min(to), end: to, ..state });
        Ok(())
    }

    fn restart(&mut self, ahead: u8) -> Result<(), Fault> {
        let at = self.ends().1 + u64::from(ahead);
        self.log().truncate_fully_and_start_at(Offset::new(at), NOW).map_err(Fault::Truncate)?;
        self.history.push(State { start: at, end: at, ..State::empty() });
        Ok(())
    }

    fn trim(&mut self, eighths: u8) -> Result<(), Fault> {
        let start = self.ends().0;
        let high_watermark = self.log().log().high_watermark().get();
        let to = start + (high_watermark - start) * u64::from(eighths) / 8;
        if self.log().trim_to(Offset::new(to)).map_err(Fault::Trim)? {
            self.history.push(State { start: to, side: None, ..self.state().clone() });
        }
        Ok(())
    }

    fn retain(&mut self) -> Result<(), Fault> {
        let gone = self.log().retain(NOW).map_err(Fault::Disk)?;
        let (start, end) = self.ends();
        let high_watermark = self.log().log().high_watermark().get();
        assert!(start <= high_watermark, "nothing at or above the high watermark goes");
        if !gone.is_empty() {
            self.history.push(State { start, end, side: None, ..self.state().clone() });
        }
        Ok(())
    }
}
