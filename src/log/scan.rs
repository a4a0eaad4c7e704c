//! Checking one segment, batch by batch: a leaf that is fed with bytes.
//!
//! The same bytes, however cut into chunks, give the same result. On the way everything is rebuilt that Kafka keeps
//! beside the batches: indexes, aborted transactions, leader epochs, producers (semantics 2).
//!
//! **A torn tail is not corruption.** Where flushed offsets should follow, a bad batch is corruption: its range is noted,
//! the scan goes on with the next good batch, and nothing is cut. Where all that was flushed has been seen, the first
//! bad batch is a torn tail: it goes with all that follows it.
//!
//! - May use: `record`, and the leaves of `log`.
//! - Must not know: files. Whoever feeds it does.

use bytes::Bytes;

use crate::epoch::LeaderEpoch;
use crate::log::epochs::EpochCache;
use crate::log::indexes::{Indexes, MaxTimestamp};
use crate::log::marker::facts_of;
use crate::log::producers::{CompletedTxn, MarkerRules, ProducerState, Verdict};
use crate::log::txn_index::TxnIndex;
use crate::offset::Offset;
use crate::record::{Batch, BatchError, Entry, Header, Origin};
use crate::time::Timestamp;

/// Where a scan begins, and with what.
#[derive(Clone, Debug)]
pub struct ScanStart {
    /// The segment's base offset.
    pub base: Offset,
    /// The first byte to look at: 0, or where a batch begins below which all is known.
    pub position: u32,
    /// The offset behind the last batch in front of `position`; the base at 0.
    pub next: Offset,
    /// All below this offset was flushed: nothing of it is ever cut.
    pub flushed: Offset,
    /// Nothing from this byte on was flushed, whatever the offsets: a truncation may let a log end behind its last batch.
    pub flushed_position: u32,
    /// What is known of the bytes in front of `position`.
    pub max: MaxTimestamp,
    /// The largest timestamp of the segment's first batch, if that lies in front of `position`.
    pub first_timestamp: Option<Timestamp>,
    /// The indexes of the bytes in front of `position`.
    pub indexes: Indexes,
    /// The transactions aborted in front of `position`.
    pub aborted: TxnIndex,
    /// The leader epochs as they were noted, also those that begin behind `position`: one may begin where no batch does.
    /// Batches that tell of later ones add them.
    pub epochs: EpochCache,
    /// Who noted them.
    pub epochs_from: EpochsFrom,
    /// The epoch of the last batch in front of `position` that counts, if it is known.
    pub seen_epoch: Option<LeaderEpoch>,
    /// The first readable offset: of batches that end below it the epochs do not count.
    pub log_start_offset: Offset,
    /// The producers in front of `position`.
    pub producers: ProducerState,
    /// `index_interval_bytes`.
    pub index_interval_bytes: u32,
    /// Only batches that begin here or later are shown to the producers: those in front are in their state already.
    pub replay_from: Offset,
    /// The scan ends in front of the first batch that ends above this.
    pub stop_at: Offset,
    /// Where the next segment begins: a batch that reaches there is not what was written.
    pub limit: Offset,
}

/// Where the leader epochs come from that a scan begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EpochsFrom {
    /// A file of ottla's. Each was noted before its first batch was written: a batch of an earlier one is what a truncation
    /// had cut off.
    Ottla,
    /// A file of Kafka's, which may be behind the batches.
    Kafka,
    /// Batches alone.
    Batches,
}

impl ScanStart {
    /// Notes where the batch's leader epoch begins, if that is news.
    fn note_epoch(&mut self, batch: &Batch) {
        let Some(epoch) = batch.leader_epoch() else { return };
        let known = self.epochs.epoch_for(batch.base_offset());
        // Trimming a log to its end and cutting it there leaves no reign, and the next may be an earlier one.
        let counts = batch.last_offset() >= self.log_start_offset;
        let alone = self.epochs_from == EpochsFrom::Batches;
        let first = counts && alone && self.seen_epoch.is_none();
        if (counts || alone) && known < Some(epoch) || first && known != Some(epoch) {
            self.epochs.assign(epoch, batch.base_offset());
        }
        if counts {
            self.seen_epoch = self.seen_epoch.max(Some(epoch));
        }
    }

    /// Shows the batch to the producers' state, unless that knows it, as a follower would: what a leader has once
    /// accepted is not refused now.
    fn replay(&mut self, batch: &Batch) {
        if batch.base_offset() < self.replay_from {
            return;
        }
        let facts = facts_of(batch, MarkerRules::default());
        let Ok(Verdict::Append(change)) = self.producers.check([facts], Origin::Replication) else { return };
        for aborted in change.completed().iter().filter_map(CompletedTxn::aborted) {
            // A marker repeated by a damaged file adds nothing.
            let _ = self.aborted.append(&aborted);
        }
        self.producers.apply(change);
    }
}

/// Checks one segment. Feed it until it says [`Fed::End`], then take what it found with [`Scan::finish`].
#[derive(Clone, Debug)]
pub struct Scan {
    state: ScanStart,
    at: u32,
    /// Set while the next good batch behind a corrupt one is looked for.
    seeking: Option<Corrupt>,
    bad: Vec<BadRange>,
    cut: Option<(u32, Why)>,
    batches: u64,
    /// Bytes asked for to see whether a header belongs to a batch.
    sought_again: u64,
}

#[derive(Clone, Copy, Debug)]
struct Corrupt {
    from: u32,
    why: Why,
}

/// What a scan wants next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fed {
    /// The file's bytes from `from` on, at least `min` of them unless the file ends before.
    More {
        /// The position of the first byte wanted.
        from: u32,
        /// How many are needed to get on.
        min: u32,
    },
    /// Nothing: the scan is at its end.
    End,
}

/// A range of a segment that holds no good batch although it was flushed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadRange {
    /// Its first byte.
    pub from: u32,
    /// The byte behind it.
    pub to: u32,
    /// The offset that should come first in it.
    pub first_offset: Offset,
    /// The offset of the first record behind it; `None` if no good batch follows.
    pub next_offset: Option<Offset>,
    /// What is wrong with its first batch.
    pub why: Why,
}

/// What is wrong with a batch in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The file ends inside it.
    #[error("the file ends inside a batch of {needed} bytes, after {found}")]
    Torn {
        /// How long the batch is.
        needed: u64,
        /// How much of it is there.
        found: u64,
    },
    /// There are zeros where a batch should be: space that was reserved, or never reached the disk.
    #[error("zeros instead of a batch")]
    Zeros,
    /// It is no batch.
    #[error(transparent)]
    Batch(BatchError),
    /// Its offsets begin below the end of the batch in front of it.
    #[error("batch begins at offset {found}, the one in front of it ends at {expected}")]
    OffsetsGoBack {
        /// The offset behind the batch in front.
        expected: Offset,
        /// Its own first offset, or its last if it has an old format.
        found: Offset,
    },
    /// Its offsets do not fit the segment.
    #[error("offset {found} is too far from the segment's base {base}")]
    OffsetOutOfRange {
        /// The segment's base.
        base: Offset,
        /// Its last offset.
        found: Offset,
    },
    /// Its leader epoch is older than that of a batch in front of it.
    #[error("leader epoch {found} behind epoch {latest}")]
    EpochGoesBack {
        /// The latest epoch in front.
        latest: LeaderEpoch,
        /// Its own.
        found: LeaderEpoch,
    },
    /// Its leader epoch is negative, and not the -1 that stands for none.
    #[error("leader epoch {found}")]
    EpochNegative {
        /// What it says.
        found: i32,
    },
    /// A side file has another checksum for these bytes.
    #[error("block checksum is {computed:#010x}, noted was {stored:#010x}")]
    Block {
        /// What was noted.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
}

/// What a scan has found.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// The segment's base offset.
    pub base: Offset,
    /// The byte behind the last good batch: what the file is to be cut to.
    pub size: u32,
    /// The offset behind the last good batch.
    pub next: Offset,
    /// The largest timestamp.
    pub max: MaxTimestamp,
    /// The largest timestamp of the first batch.
    pub first_timestamp: Option<Timestamp>,
    /// The indexes, as Kafka's recovery would write them.
    pub indexes: Indexes,
    /// The aborted transactions.
    pub aborted: TxnIndex,
    /// The leader epochs, those of earlier segments included.
    pub epochs: EpochCache,
    /// The epoch of the last batch that counts.
    pub seen_epoch: Option<LeaderEpoch>,
    /// The producers at the end.
    pub producers: ProducerState,
    /// The ranges that are corrupt although they were flushed.
    pub bad: Vec<BadRange>,
    /// Where a torn tail begins, and what is wrong there.
    pub cut: Option<(u32, Why)>,
    /// How many batches were checked.
    pub batches: u64,
}

/// How many bytes to ask for at a time.
const CHUNK: u32 = 1 << 20;
/// The largest batch that is looked for behind a corrupt one: every header that could be one costs a read of all of it.
const SOUGHT_BYTES_MAX: u64 = 64 << 20;
/// How many bytes are read again, at most, for such headers that were none.
const SOUGHT_AGAIN_BYTES_MAX: u64 = 4 << 30;

impl Scan {
    /// A scan that begins at `start`.
    pub fn new(start: ScanStart) -> Self {
        let at = start.position;
        Self { state: start, at, seeking: None, bad: Vec::new(), cut: None, batches: 0, sought_again: 0 }
    }

    /// What to feed first.
    pub fn begin(&self) -> Fed {
        Fed::More { from: self.at, min: CHUNK }
    }

    /// Checks `chunk`, which starts at the position last asked for. `len` is the length of the file, always the same.
    pub fn feed(&mut self, chunk: &Bytes, len: u32) -> Fed {
        let start = self.at;
        while self.at < len {
            let seen = (self.at - start) as usize;
            let rest = chunk.slice(seen.min(chunk.len())..);
            let whole = u64::from(self.at) + rest.len() as u64 >= u64::from(len);
            let step = if self.seeking.is_some() { self.seek(&rest, whole, len) } else { self.take(&rest, whole, len) };
            if let Some(fed) = step {
                return fed;
            }
        }
        self.end_seeking(None);
        Fed::End
    }

    /// What was found. Bytes not fed count as not there.
    pub fn finish(mut self) -> Scanned {
        self.end_seeking(None);
        let state = self.state;
        let mut indexes = state.indexes;
        // As Kafka's recovery does.
        indexes.seal(state.max);
        indexes.reopened();
        // Corrupt ranges stay in the file, so the segment ends behind them.
        let bad_end = self.bad.last().map_or(0, |bad| bad.to);
        let size = self.at.max(bad_end);
        Scanned {
            base: state.base,
            size,
            next: state.next,
            max: state.max,
            first_timestamp: state.first_timestamp,
            indexes,
            aborted: state.aborted,
            epochs: state.epochs,
            seen_epoch: state.seen_epoch,
            producers: state.producers,
            bad: self.bad,
            cut: self.cut,
            batches: self.batches,
        }
    }

    /// Checks the batch at the front of `rest`. `None`: go on with what is left of the chunk.
    fn take(&mut self, rest: &Bytes, whole: bool, len: u32) -> Option<Fed> {
        match Entry::parse(rest) {
            Ok(entry) if entry.next_offset() > self.state.stop_at => Some(Fed::End),
            Ok(entry) => match self.check(&entry) {
                Ok(()) => {
                    self.accept(&entry);
                    None
                }
                Err(why) => self.reject(why),
            },
            Err(BatchError::Incomplete { needed, found }) if !whole => {
                // `needed` comes from a length field: capped by the file, or two bytes of rot ask for 2 GiB.
                let left = u64::from(len - self.at);
                if needed > left {
                    return self.reject(Why::Torn { needed, found: left });
                }
                debug_assert!(found < needed);
                Some(Fed::More { from: self.at, min: (needed.min(left) as u32).max(CHUNK) })
            }
            Err(BatchError::Incomplete { needed, found }) => self.reject(Why::Torn { needed, found }),
            Err(_) if rest.iter().take(Header::BYTES).all(|byte| *byte == 0) => self.reject(Why::Zeros),
            Err(error) => self.reject(Why::Batch(error)),
        }
    }

    fn check(&self, entry: &Entry) -> Result<(), Why> {
        let state = &self.state;
        let first = base_of(entry);
        if first < state.next {
            return Err(Why::OffsetsGoBack { expected: state.next, found: first });
        }
        if entry.last_offset().relative_to(state.base).is_none() {
            return Err(Why::OffsetOutOfRange { base: state.base, found: entry.last_offset() });
        }
        if entry.next_offset() > state.limit {
            return Err(Why::OffsetsGoBack { expected: entry.next_offset(), found: state.limit });
        }
        if let Some(found) = negative_epoch(entry) {
            return Err(Why::EpochNegative { found });
        }
        let noted = state.epochs.epoch_for(first).filter(|_| state.epochs_from == EpochsFrom::Ottla);
        match (entry.leader_epoch(), state.seen_epoch.max(noted)) {
            (Some(found), Some(latest)) if found < latest => Err(Why::EpochGoesBack { latest, found }),
            _ => Ok(()),
        }
    }

    fn accept(&mut self, entry: &Entry) {
        let state = &mut self.state;
        let (last, size) = (entry.last_offset(), entry.size());
        state.max.raise(entry.max_timestamp(), last);
        state.first_timestamp.get_or_insert(entry.max_timestamp());
        state.indexes.batch_appended(last, self.at, size, state.max, state.index_interval_bytes);
        if let Some(batch) = entry.as_batch() {
            state.note_epoch(batch);
            state.replay(batch);
        }
        state.producers.advance_end(entry.next_offset());
        state.next = entry.next_offset();
        // `size` is at most what is left of the file, whose length fits.
        self.at += size;
        self.batches += 1;
    }

    fn reject(&mut self, why: Why) -> Option<Fed> {
        if self.state.next >= self.state.flushed || self.at >= self.state.flushed_position {
            self.cut = Some((self.at, why));
            return Some(Fed::End);
        }
        self.seeking = Some(Corrupt { from: self.at, why });
        self.at += 1;
        None
    }

    /// Looks for the next good batch in `rest`. `None`: go on with what is left of the chunk.
    fn seek(&mut self, rest: &Bytes, whole: bool, len: u32) -> Option<Fed> {
        for skipped in 0..rest.len() {
            let here = rest.slice(skipped..);
            if here.len() < Header::BYTES && !whole {
                return Some(Fed::More { from: self.at, min: CHUNK });
            }
            match self.candidate(&here, len) {
                Candidate::No => self.at += 1,
                Candidate::Good(offset) => {
                    self.end_seeking(Some(offset));
                    return None;
                }
                Candidate::Needs(min) => {
                    self.sought_again += u64::from(min);
                    return Some(Fed::More { from: self.at, min: min.max(CHUNK) });
                }
            }
        }
        (!whole).then_some(Fed::More { from: self.at, min: CHUNK })
    }

    fn candidate(&self, here: &Bytes, len: u32) -> Candidate {
        match Entry::parse(here) {
            Ok(entry) if self.check(&entry).is_ok() => Candidate::Good(base_of(&entry)),
            Err(BatchError::Incomplete { needed, found }) => {
                let fits = found >= Header::BYTES as u64
                    && needed > here.len() as u64
                    && needed <= u64::from(len - self.at).min(SOUGHT_BYTES_MAX)
                    && self.sought_again <= SOUGHT_AGAIN_BYTES_MAX
                    && self.is_plausible(here);
                if fits { Candidate::Needs(needed as u32) } else { Candidate::No }
            }
            Ok(_) | Err(_) => Candidate::No,
        }
    }

    /// Whether the header at the front could belong here, so that it is worth reading all of its batch.
    fn is_plausible(&self, here: &Bytes) -> bool {
        let Some(header) = here.first_chunk::<{ Header::BYTES }>().map(Header::decode) else { return false };
        let reach = |offset: Offset| offset >= self.state.next && offset.relative_to(self.state.base).is_some();
        header.magic == 2 && Offset::from_i64(header.base_offset).is_some_and(reach) && !header.attributes.has_unknown()
    }

    fn end_seeking(&mut self, next_offset: Option<Offset>) {
        if let Some(Corrupt { from, why }) = self.seeking.take() {
            self.bad.push(BadRange { from, to: self.at, first_offset: self.state.next, next_offset, why });
        }
    }
}

/// The first offset of an entry; of an old format, whose first offset takes decompression to know, the last one.
pub(crate) fn base_of(entry: &Entry) -> Offset {
    entry.as_batch().map_or_else(|| entry.last_offset(), Batch::base_offset)
}

/// A leader epoch that nobody writes: negative, and not -1.
pub(crate) fn negative_epoch(entry: &Entry) -> Option<i32> {
    entry.as_batch().map(|batch| batch.header().leader_epoch).filter(|epoch| *epoch < -1)
}

enum Candidate {
    No,
    Good(Offset),
    Needs(u32),
}
