//! One partition's log, as a state machine.
//!
//! A log is a list of segments, each a file of batches with its indexes. [`Log`] decides what is appended, rolled,
//! cut, kept and served, and performs none of it: every input leaves [`Effect`]s, whose results come back as
//! [`Log::done`], [`Log::synced`] and their failing twins. The disk is one more acknowledger of an offset, like a
//! follower: nobody outside a log sees past [`Log::written`].
//!
//! - May use: `offset`, `epoch`, `id`, `time`, `record`.
//! - Must not know: files, threads, clocks, replication, the wire format.
//! - Always true (I-S4): `log_start_offset <= high_watermark <= log_end_offset`; `flushed <= written <=
//!   log_end_offset`; segments follow each other without overlap, and the last one is the active one; leader epochs
//!   never fall with the offset; the log start never goes back but in a truncation.
//!
//! What must read — opening, truncation below what is in memory, search by time, compaction — are leaves fed with
//! bytes by a driver: `scan` and [`clean`] are two. Their results enter the log as one input.

mod acknowledged;
mod append;
mod checkpoint;
pub mod clean;
mod config;
mod emit;
mod entries;
mod epochs;
mod facts;
mod flush;
mod index;
mod indexes;
mod mark;
mod marker;
mod op;
mod preview;
mod producers;
mod read;
mod recovered;
mod replaced;
mod retention;
mod roll;
mod scan;
mod segment;
mod snapshot;
mod tail;
#[cfg(test)]
mod tests;
mod time_index;
mod truncate;
mod txn_index;
mod unsynced;

pub use checkpoint::{
    CheckpointError, CleanShutdown, DirectoryId, MetaProperties, MetaVersion, OffsetCheckpoint, PartitionMetadata,
};
use std::collections::{BTreeMap, BTreeSet};

use acknowledged::Acknowledged;
pub use append::{AppendDecision, AppendError, Appended, Change};
pub use config::{Cleanup, ConfigError, LogConfig};
pub use entries::IndexError;
pub use epochs::{EpochCache, EpochEntry};
pub use index::{OffsetEntry, OffsetIndex, OffsetIndexView};
pub use indexes::{Indexes, MaxTimestamp};
pub use mark::FlushedMark;
pub use op::{DiskOp, Effect, FileId, FileName, OpSeq, Part, Remove, Sync, SyncId};
pub use producers::{
    BatchMeta, CompletedTxn, Content, Marker, MarkerRules, Outcome, ProducerBatch, ProducerChange, ProducerEntry,
    ProducerError, ProducerState, ProducerUndo, UnknownProducer, Verdict,
};
pub use read::{Isolation, Reach, ReadError, ReadPlan, Span, SpanFacts};
pub use recovered::{IndexFiles, Recovered, RecoveredSegment};
pub use replaced::{ReplaceError, Replacement};
pub use retention::{Breach, TrimError};
pub use scan::{BadRange, EpochsFrom, Fed, Scan, ScanStart, Scanned, Why};
pub(crate) use scan::{base_of, negative_epoch};
use segment::Segment;
pub use segment::{SegmentFacts, SegmentFiles, SegmentInfo};
pub use snapshot::{ProducerSnapshot, SnapshotError};
use tail::Tail;
pub use time_index::{TimeEntry, TimeIndex, TimeIndexView};
pub use truncate::{Cut, CutFacts, TruncateError};
pub use txn_index::{AbortedTxn, TxnIndex};
use unsynced::Unsynced;

use crate::epoch::LeaderEpoch;
use crate::offset::Offset;
use crate::time::Timestamp;

/// One partition's log (see the [room](self)).
///
/// Every method that changes the log appends to `out` what the driver has to do, in order.
#[derive(Debug)]
pub struct Log {
    config: LogConfig,
    /// By base offset; never empty. The last one is active.
    segments: BTreeMap<Offset, Segment>,
    /// What the files of all segments but the active one have.
    sealed_bytes: u64,
    tail: Tail,
    epochs: EpochCache,
    producers: ProducerState,
    acknowledged: Acknowledged,
    log_start_offset: Offset,
    log_end_offset: Offset,
    high_watermark: Offset,
    health: Health,
    next_file: u64,
    next_op: u64,
    /// What no flush has covered yet.
    unsynced: Unsynced,
    /// The op up to which a flush is asked for, until it begins.
    flush_wanted: Option<OpSeq>,
    /// The offsets of the producer snapshots there are.
    snapshots: BTreeSet<Offset>,
    /// Bytes appended since the last of them.
    since_snapshot: u64,
    /// What was true when the whole log was last flushed.
    last_mark: Option<FlushedMark>,
    jitter_seed: u64,
}

/// Whether a log can go on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// All is well.
    Good,
    /// A write found no space and is tried again; until it has succeeded nothing more is appended.
    Stalled,
    /// A write or a flush has failed. Nothing is appended any more; what is written is still served.
    Poisoned {
        /// What failed.
        why: String,
    },
}

/// Whether a mark is the last one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closing {
    /// The log goes on.
    Open,
    /// The log is closed: nothing comes behind the mark.
    Closed,
}

/// Why an op failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OpFailure {
    /// There is no space. The driver keeps the op and all behind it, and tries again later.
    NoSpace,
    /// Anything else, in words for the one who must act.
    Failed(String),
}

impl Log {
    /// A log without records that begins at `start`, and whose files are yet to be made.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the settings make no sense.
    pub fn new(config: LogConfig, start: Offset, now: Timestamp, out: &mut Vec<Effect>) -> Result<Self, ConfigError> {
        config.check()?;
        let mut log = Self::without_segments(config, start);
        log.add_segment(start, now, out);
        log.check();
        Ok(log)
    }

    fn without_segments(config: LogConfig, start: Offset) -> Self {
        Self {
            config,
            segments: BTreeMap::new(),
            sealed_bytes: 0,
            tail: Tail::default(),
            epochs: EpochCache::default(),
            producers: ProducerState::new(start, UnknownProducer::default()),
            acknowledged: Acknowledged::new(start, start),
            log_start_offset: start,
            log_end_offset: start,
            high_watermark: start,
            health: Health::Good,
            next_file: 0,
            next_op: 0,
            unsynced: Unsynced::default(),
            flush_wanted: None,
            snapshots: BTreeSet::new(),
            since_snapshot: 0,
            last_mark: None,
            jitter_seed: 0,
        }
    }

    /// Changes the settings, from the next append, roll, retention or compaction on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if they make no sense; the old ones stay.
    pub fn configure(&mut self, config: LogConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Raises the high watermark to `to`, at most what is written. It never goes back here.
    pub fn advance_high_watermark(&mut self, to: Offset) {
        let to = to.min(self.written());
        if to > self.high_watermark {
            self.set_high_watermark(to);
        }
        self.check();
    }

    /// Notes the beginning of a leader's reign at the end of the log, also if it never appends.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch, out: &mut Vec<Effect>) {
        self.assign_epoch(epoch, self.log_end_offset, out);
    }

    /// All ops up to `last` are performed. Of a poisoned log this is not believed any more.
    pub fn done(&mut self, last: OpSeq, out: &mut Vec<Effect>) {
        match self.health {
            // Behind an op that failed nothing counts: it may rest on what is not there.
            Health::Poisoned { .. } => return,
            Health::Stalled => self.health = Health::Good,
            Health::Good => {}
        }
        self.acknowledged.done(last);
        self.tail.evict(self.acknowledged.written(), self.config.tail_cache_bytes);
        self.maybe_sync(out);
        self.check();
    }

    /// The op `op`, and so every op behind it, was not performed.
    pub fn failed(&mut self, op: OpSeq, why: OpFailure) {
        match why {
            OpFailure::NoSpace if self.is_good() => self.health = Health::Stalled,
            OpFailure::NoSpace => {}
            OpFailure::Failed(why) => self.poison(format!("op {}: {why}", op.0)),
        }
    }

    /// How many bytes were appended since the log was opened, less those that were cut off again. A truncation that had to
    /// read begins anew.
    pub fn appended_bytes(&self) -> u64 {
        self.tail.pushed_bytes()
    }

    /// How much space the next append of `bytes` bytes needs to have reserved in the active segment, if it has not.
    pub fn reservation(&self, bytes: u32) -> Option<(FileId, u32)> {
        let active = self.active();
        let needed = active.size.saturating_add(bytes);
        (needed > active.reserved).then_some((active.files.log, needed))
    }

    /// Space is reserved in `file` up to `len` bytes.
    pub fn reserved(&mut self, file: FileId, len: u32) {
        if let Some(segment) = self.segments.values_mut().rev().find(|segment| segment.files.log == file) {
            segment.reserved = segment.reserved.max(len);
        }
    }

    /// Forgets producers that have written nothing for `producer_id_expiration_ms` and have no transaction open.
    pub fn expire_producers(&mut self, now: Timestamp) {
        self.producers.expire(now, self.config.producer_id_expiration_ms);
    }

    /// Writes all that is kept in memory, so that the files say what the log is; a flush is still to be asked for.
    pub fn write_out(&mut self, out: &mut Vec<Effect>) {
        let active = self.active_mut();
        let max = active.max;
        if let Some(indexes) = active.indexes.as_mut() {
            indexes.seal(max);
        }
        self.write_index_entries(out);
        self.producers.advance_end(self.log_end_offset);
        self.take_snapshot(out);
    }

    /// What the driver notes of the active segment when the log is closed, as it does of one that is sealed.
    pub fn seal_for_close(&self) -> DiskOp {
        self.seal_op(self.active(), self.log_end_offset)
    }

    /// Whether offsets are missing in front of any segment above `base`.
    pub(crate) fn has_gap_above(&self, base: Offset) -> bool {
        let later = self.segments.values().rev().take_while(|segment| segment.base > base);
        let in_front = self.segments.values().rev().skip(1);
        later.zip(in_front).any(|(segment, before)| before.next < segment.base)
    }

    /// The producer snapshots at `from` or later.
    pub(crate) fn snapshots_from(&self, from: Offset) -> impl Iterator<Item = Offset> {
        self.snapshots.range(from..).copied()
    }

    /// The indexes of a segment, if they are in memory.
    pub(crate) fn indexes_of(&self, base: Offset) -> Option<&Indexes> {
        self.segments.get(&base).and_then(|segment| segment.indexes.as_ref())
    }

    /// Takes no more: what the driver has left behind must be put right by an opening first.
    pub(crate) fn give_up(&mut self, why: String) {
        self.poison(why);
    }

    fn is_good(&self) -> bool {
        self.health == Health::Good
    }

    fn poison(&mut self, why: String) {
        if !matches!(self.health, Health::Poisoned { .. }) {
            self.health = Health::Poisoned { why };
        }
    }

    fn active(&self) -> &Segment {
        self.segments.values().next_back().expect("a log always has a segment")
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.values_mut().next_back().expect("a log always has a segment")
    }

    fn set_high_watermark(&mut self, to: Offset) {
        let from = std::mem::replace(&mut self.high_watermark, to);
        self.producers.marker_replicated(to);
        self.tail.committed(to);
        self.forget_settled_indexes(from);
    }

    /// Forgets the indexes of the sealed segments that end at or above `from`, up to the high watermark: what ends at or
    /// below that is never cut again, so it will not grow again either.
    fn forget_settled_indexes(&mut self, from: Offset) {
        let active = self.active().base;
        let first = self.segments.range(..from).next_back().map_or(from, |(base, _)| *base);
        let settled = self.segments.range_mut(first..active).map(|(_, segment)| segment);
        for segment in settled.take_while(|segment| segment.next <= self.high_watermark) {
            segment.forget_indexes();
        }
    }

    /// Segments have come, gone or been replaced.
    fn recount(&mut self) {
        self.sealed_bytes = self.bytes_of_sealed();
    }

    fn bytes_of_sealed(&self) -> u64 {
        self.segments.values().rev().skip(1).map(Segment::disk_bytes).sum()
    }

    /// What always holds; run after every step.
    fn check(&self) {
        assert!(self.log_start_offset <= self.high_watermark, "the high watermark is below the log start");
        assert!(self.high_watermark <= self.log_end_offset, "the high watermark is past the log end");
        assert!(self.flushed() <= self.written(), "more is flushed than written");
        assert!(self.written() <= self.log_end_offset, "more is written than appended");
        assert!(self.active().base <= self.log_end_offset, "the active segment begins past the log end");
        debug_assert_eq!(self.sealed_bytes, self.bytes_of_sealed(), "a sealed segment has changed and was not counted");
        debug_assert!(
            self.segments.values().zip(self.segments.values().skip(1)).all(|(a, b)| a.next <= b.base),
            "segments overlap"
        );
        debug_assert!(
            self.segments
                .values()
                .rev()
                .skip(1)
                .all(|sealed| sealed.next > self.high_watermark || sealed.indexes.is_none()),
            "a settled segment has kept its indexes"
        );
    }
}
