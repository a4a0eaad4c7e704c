//! What a log must be: the plain list of its batches.

use ottla::disk::{FetchError, LogFile, MemDisk};
use ottla::log::{AbortedTxn, Isolation, Log};
use ottla::offset::Offset;
use ottla::record::{Batch, Entry};

/// One batch, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) base: u64,
    pub(crate) last: u64,
    pub(crate) epoch: Option<u32>,
    pub(crate) producer: Option<i64>,
    pub(crate) payload: u32,
}

impl Row {
    pub(crate) fn of(batch: &Batch) -> Self {
        Self {
            base: batch.base_offset().get(),
            last: batch.last_offset().get(),
            epoch: batch.leader_epoch().map(|epoch| epoch.get()),
            producer: batch.producer().map(|stamp| stamp.id.get()),
            payload: crc32fast::hash(&batch.payload()),
        }
    }
}

/// A producer: id, epoch, last sequence, where its open transaction begins.
pub(crate) type ProducerRow = (i64, Option<i16>, Option<i32>, Option<u64>);

/// What is known beside the batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) producers: Vec<ProducerRow>,
    pub(crate) aborted: Vec<AbortedTxn>,
}

impl Side {
    pub(crate) fn of(log: &Log) -> Self {
        let producers = log.producers().entries().map(|(id, entry)| {
            let epoch = entry.epoch().map(|epoch| epoch.get());
            let last = entry.last_sequence().map(|sequence| sequence.get());
            (id.get(), epoch, last, entry.open_transaction().map(Offset::get))
        });
        let producers = producers.collect();
        Self { producers, aborted: log.aborted(log.log_start_offset(), Offset::MAX) }
    }
}

/// A log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) rows: Vec<Row>,
    /// Not known in the middle of a step.
    pub(crate) side: Option<Side>,
}

impl State {
    pub(crate) fn empty() -> Self {
        Self { start: 0, end: 0, rows: Vec::new(), side: None }
    }

    /// The batches of which anything is readable if the log starts at `start`.
    pub(crate) fn rows_from(&self, start: u64) -> &[Row] {
        &self.rows[self.rows.partition_point(|row| row.last < start)..]
    }

    /// The end of the last batch, or the log's if there is none.
    pub(crate) fn rows_end(&self) -> u64 {
        self.rows.last().map_or(self.end, |row| row.last + 1)
    }

    /// Everything that a log says it has.
    pub(crate) fn read(log: &mut LogFile<MemDisk>) -> Result<Self, FetchError> {
        let mut rows = Vec::new();
        let mut from = log.log().log_start_offset();
        loop {
            let fetched = log.read(from, 1 << 16, Isolation::LogEnd)?;
            let Some(last) = fetched.batches.last() else { break };
            from = last.next_offset();
            rows.extend(fetched.batches.iter().filter_map(Entry::as_batch).map(Row::of));
        }
        let log = log.log();
        let (start, end) = (log.log_start_offset().get(), log.log_end_offset().get());
        Ok(Self { start, end, rows, side: Some(Side::of(log)) })
    }
}
