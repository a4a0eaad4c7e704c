//! Where each leader epoch begins in a log.
//!
//! A follower asks with it where its leader's history and its own part ways; recovery and append keep it up to date
//! (semantics.md, section 4). Its file is `leader-epoch-checkpoint`.
//!
//! - May use: `epoch`, `offset`, and its sibling `checkpoint`.
//! - Must not know: files, batches, who leads.
//! - Always true: epochs and start offsets both rise strictly.

use crate::epoch::LeaderEpoch;
use crate::offset::Offset;

/// Where one leader epoch begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset of the first record appended in it, or that it would have had.
    pub start_offset: Offset,
}

/// Where each leader epoch begins, ascending.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// A cache that knows no epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `epoch` begins at `start`; says whether that changed anything, so that the file must be written.
    ///
    /// The latest epoch keeps the start it has, unless the new one is earlier. What contradicts the new entry, an
    /// epoch not smaller or a start not smaller, is forgotten.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if self.last().is_some_and(|last| last.epoch == epoch && last.start_offset <= start) {
            return false;
        }
        while self.last().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset: start });
        self.check();
        true
    }

    /// Up to where the log agrees with one whose latest epoch is `epoch`: the largest known epoch not above it and its
    /// end, exclusive. `log_end` ends the latest epoch. `None` where Kafka answers (−1, −1).
    ///
    /// For an epoch before the first known one the answer names the epoch asked for, and the start of the first.
    pub fn end_offset_for(&self, epoch: Option<LeaderEpoch>, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let epoch = epoch?;
        if self.latest() == Some(epoch) {
            return Some((epoch, log_end));
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(higher)?.start_offset;
        let known = self.entries[..higher].last().map_or(epoch, |entry| entry.epoch);
        Some((known, end))
    }

    /// The latest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.last().map(|entry| entry.epoch)
    }

    /// The earliest entry.
    pub fn first(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// The latest entry.
    pub fn last(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The epoch that the record at `offset` was, or would be, appended in.
    pub fn epoch_for(&self, offset: Offset) -> Option<LeaderEpoch> {
        let behind = self.entries.partition_point(|entry| entry.start_offset <= offset);
        self.entries[..behind].last().map(|entry| entry.epoch)
    }

    /// Forgets the epochs that begin at or after `end`; says whether there were any.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// Forgets the epochs that end at or before `start`, and lets the one that holds it begin there; says whether that
    /// changed anything.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let behind = self.entries.partition_point(|entry| entry.start_offset <= start);
        let Some(holder) = behind.checked_sub(1) else { return false };
        if holder == 0 && self.entries[0].start_offset == start {
            return false;
        }
        self.entries.drain(..holder);
        self.entries[0].start_offset = start;
        self.check();
        true
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// All entries, ascending.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// Whether no epoch is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Both columns rise strictly.
    fn check(&self) {
        debug_assert!(self.entries.is_sorted_by(|a, b| a.epoch < b.epoch && a.start_offset < b.start_offset));
    }
}
