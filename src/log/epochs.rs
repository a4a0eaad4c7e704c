//! Where each leader epoch begins in a log.
//!
//! A follower asks with it where its leader's history and its own part ways; recovery and append keep it up to date
//! (semantics.md, section 4). Its file is `leader-epoch-checkpoint`.
//!
//! - May use: `epoch`, `offset`, and its sibling `checkpoint`.
//! - Must not know: files, batches, who leads.
//! - Always true: epochs and start offsets both rise strictly.

use std::sync::OnceLock;

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
#[derive(Clone, Debug, Default)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
    /// Of all entries, if it was asked for since they are what they are: each flush asks.
    checksum: OnceLock<u32>,
}

impl Eq for EpochCache {}

impl PartialEq for EpochCache {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
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
        self.checksum.take();
        self.entries.push(EpochEntry { epoch, start_offset: start });
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
        if changed {
            self.checksum.take();
            self.entries.truncate(kept);
        }
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
        self.checksum.take();
        self.entries.drain(..holder);
        self.entries[0].start_offset = start;
        true
    }

    /// The CRC-32 that a file of the epochs that begin in front of `end` has.
    pub fn checksum_below(&self, end: Offset) -> u32 {
        if self.last().is_none_or(|last| last.start_offset < end) {
            return *self.checksum.get_or_init(|| crc32fast::hash(&self.encode()));
        }
        let mut known = self.clone();
        known.truncate_from_end(end);
        crc32fast::hash(&known.encode())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.checksum.take();
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
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const fn epoch(number: u32) -> LeaderEpoch {
        LeaderEpoch::new(number)
    }

    fn at(offset: u64) -> Offset {
        Offset::new(offset)
    }

    fn cache_of(pairs: &[(u32, u64)]) -> EpochCache {
        let mut cache = EpochCache::new();
        for (number, start) in pairs {
            cache.assign(epoch(*number), at(*start));
        }
        cache
    }

    fn pairs(cache: &EpochCache) -> Vec<(u32, u64)> {
        cache.entries().iter().map(|entry| (entry.epoch.get(), entry.start_offset.get())).collect()
    }

    #[test]
    fn epo_01_the_latest_epoch_ends_with_the_log() {
        assert_eq!(cache_of(&[(2, 6)]).end_offset_for(Some(epoch(2)), at(9)), Some((epoch(2), at(9))));
    }

    #[test]
    fn epo_02_an_epoch_that_is_not_known_ends_as_the_known_one_before_it() {
        let cache = cache_of(&[(2, 6), (5, 12)]);
        for asked in 2..5 {
            assert_eq!(cache.end_offset_for(Some(epoch(asked)), at(20)), Some((epoch(2), at(12))), "{asked}");
        }
        assert_eq!(cache.end_offset_for(Some(epoch(1)), at(20)), Some((epoch(1), at(6))), "before the first");
    }

    #[test]
    fn epo_03_no_epoch_and_a_later_one_have_no_end() {
        let cache = cache_of(&[(2, 6), (5, 12)]);
        assert_eq!(cache.end_offset_for(None, at(20)), None);
        assert_eq!(cache.end_offset_for(Some(epoch(9)), at(20)), None);
        assert_eq!(EpochCache::new().end_offset_for(Some(epoch(0)), at(20)), None);
    }

    #[test]
    fn epo_04_an_epoch_keeps_the_start_it_has() {
        let mut cache = cache_of(&[(2, 6)]);
        assert!(!cache.assign(epoch(2), at(7)));
        assert!(!cache.assign(epoch(2), at(6)));
        assert_eq!(pairs(&cache), [(2, 6)]);
        assert!(cache.assign(epoch(2), at(5)), "an earlier start is news");
        assert_eq!(pairs(&cache), [(2, 5)]);
    }

    #[test]
    fn epo_05_the_file_reads_back_to_the_same_epochs() {
        let cache = cache_of(&[(0, 0), (2, 106)]);
        assert_eq!(cache.encode(), b"0\n2\n0 0\n2 106\n");
        assert_eq!(EpochCache::parse(&cache.encode()), Ok(cache));
        assert_eq!(EpochCache::parse(&EpochCache::new().encode()), Ok(EpochCache::new()));
    }

    #[test]
    fn epo_06_truncation_at_the_start_of_an_epoch_drops_it() {
        let all = [(2, 6), (3, 8), (4, 11)];
        for (end, kept) in [(12, 3), (11, 2), (9, 2), (8, 1), (7, 1), (6, 0), (0, 0)] {
            let mut cache = cache_of(&all);
            assert_eq!(cache.truncate_from_end(at(end)), kept < 3, "at {end}");
            assert_eq!(pairs(&cache), &all[..kept], "at {end}");
        }
    }

    #[test]
    fn truncation_of_the_front_lets_the_epoch_that_holds_the_start_begin_there() {
        let all = [(2, 6), (3, 8), (4, 11)];
        let table: [(u64, &[(u32, u64)]); 6] = [
            (5, &all),
            (6, &all),
            (7, &[(2, 7), (3, 8), (4, 11)]),
            (8, &[(3, 8), (4, 11)]),
            (10, &[(3, 10), (4, 11)]),
            (20, &[(4, 20)]),
        ];
        for (start, left) in table {
            let mut cache = cache_of(&all);
            assert_eq!(cache.truncate_from_start(at(start)), left != all, "at {start}");
            assert_eq!(pairs(&cache), left, "at {start}");
        }
        assert!(!EpochCache::new().truncate_from_start(at(3)));
    }

    #[test]
    fn an_epoch_that_contradicts_others_replaces_them() {
        let mut cache = cache_of(&[(1, 1), (3, 5), (7, 9)]);
        assert!(cache.assign(epoch(2), at(20)), "an epoch that goes back");
        assert_eq!(pairs(&cache), [(1, 1), (2, 20)]);
        assert!(cache.assign(epoch(4), at(1)), "a start that goes back");
        assert_eq!(pairs(&cache), [(4, 1)]);
    }

    #[test]
    fn the_epoch_of_an_offset_is_the_one_that_began_last_before_it() {
        let cache = cache_of(&[(2, 6), (5, 12)]);
        let found = |offset| cache.epoch_for(at(offset)).map(LeaderEpoch::get);
        assert_eq!([found(5), found(6), found(11), found(12), found(99)], [None, Some(2), Some(2), Some(5), Some(5)]);
    }

    #[test]
    fn a_file_that_contradicts_itself_is_read_in_order() {
        let read = EpochCache::parse(b"0\n4\n1 10\n2 20\n2 15\n0 30\n").unwrap();
        assert_eq!(pairs(&read), [(0, 30)]);
    }

    proptest! {
        /// Whatever is assigned and cut, the cache stays in order and answers as a walk over its list does.
        #[test]
        fn a_cache_is_a_list_in_order(
            steps in vec((0u8..5, 0u32..12, 0u64..40), 0..30), asked in 0u32..14, offset in 0u64..50,
        ) {
            let mut cache = EpochCache::new();
            for (step, number, offset) in steps {
                let before = cache.clone();
                let changed = match step {
                    0 => cache.truncate_from_end(at(offset)),
                    1 => cache.truncate_from_start(at(offset)),
                    2 if number == 0 => {
                        cache.clear();
                        !before.is_empty()
                    }
                    _ => cache.assign(epoch(number), at(offset)),
                };
                prop_assert_eq!(changed, cache != before, "what is said to be unchanged need not be written");
                let list = pairs(&cache);
                prop_assert!(list.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
                for end in [offset, 1000] {
                    let below: Vec<_> = list.iter().copied().filter(|entry| entry.1 < end).collect();
                    prop_assert_eq!(cache.checksum_below(at(end)), crc32fast::hash(&cache_of(&below).encode()));
                }
            }
            let list = pairs(&cache);
            let found = cache.epoch_for(at(offset)).map(LeaderEpoch::get);
            prop_assert_eq!(found, list.iter().rfind(|entry| entry.1 <= offset).map(|entry| entry.0));
            let known = list.iter().rfind(|entry| entry.0 <= asked).map_or(asked, |entry| entry.0);
            let higher = list.iter().find(|entry| entry.0 > asked).map(|entry| entry.1);
            let latest = list.last().is_some_and(|entry| entry.0 == asked);
            let end = if latest { Some(1000) } else { higher };
            let expected = end.map(|end| (epoch(known), at(end)));
            prop_assert_eq!(cache.end_offset_for(Some(epoch(asked)), at(1000)), expected);
            prop_assert_eq!(EpochCache::parse(&cache.encode()), Ok(cache));
        }
    }
}
