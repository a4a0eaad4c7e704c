//! Choosing: from where to where a log can be compacted, and whether that is worth it.

use crate::log::LogConfig;
use crate::offset::Offset;
use crate::time::Timestamp;

/// What the choice looks at in one segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DirtySegment {
    /// Its base offset.
    pub base: Offset,
    /// How many bytes of batches it has.
    pub size: u32,
    /// Its largest timestamp; where no record has one, when its file was last written to.
    pub largest_timestamp: Timestamp,
    /// The largest timestamp of its first batch, if it is known. Only that of dirty segments counts.
    pub first_timestamp: Option<Timestamp>,
}

/// What the choice looks at in one log.
#[derive(Clone, Copy, Debug)]
pub struct DirtyLog<'a> {
    /// Up to where it was compacted, by the `cleaner-offset-checkpoint`.
    pub cleaned: Option<Offset>,
    /// The first readable offset.
    pub log_start_offset: Offset,
    /// The end of what no open transaction precedes.
    pub last_stable_offset: Offset,
    /// The end of the log.
    pub log_end_offset: Offset,
    /// Its segments, oldest first; the last one is active.
    pub segments: &'a [DirtySegment],
}

/// What compaction finds to do in a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dirt {
    /// The first offset that was not compacted yet.
    pub first_dirty: Offset,
    /// The first offset that cannot be compacted: the base of a segment.
    pub first_uncleanable: Offset,
    /// Bytes in segments that begin below the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes in segments with offsets between the two.
    pub cleanable_bytes: u64,
    /// The checkpoint was outside the log and counts for nothing: the first dirty offset is the log start (CLN-08).
    pub reset: bool,
    /// For how long something dirty has been older than `max_compaction_lag_ms`; 0 if nothing is.
    pub overdue_ms: u64,
}

impl Dirt {
    /// Looks at a log at the time `now`.
    pub fn of(log: &DirtyLog<'_>, config: &LogConfig, now: Timestamp) -> Self {
        let start = log.log_start_offset;
        let valid = log.cleaned.is_none_or(|cleaned| (start..=log.log_end_offset).contains(&cleaned));
        let first_dirty = log.cleaned.filter(|_| valid).unwrap_or(start);
        let bound = log.uncleanable(first_dirty, config, now);
        // Whole segments only: what holds the bound is left alone with all that follows it.
        let first_uncleanable = log.base_at(bound).unwrap_or(bound);
        let sum = |segments: &[DirtySegment]| segments.iter().map(|segment| u64::from(segment.size)).sum();
        Self {
            first_dirty,
            first_uncleanable,
            clean_bytes: sum(log.below(first_dirty)),
            cleanable_bytes: sum(log.between(first_dirty, first_uncleanable)),
            reset: !valid,
            overdue_ms: log.overdue_ms(first_dirty, config, now),
        }
    }

    /// The share of the bytes that was not compacted yet; 0 of nothing.
    pub fn ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 { 0.0 } else { self.cleanable_bytes as f64 / total as f64 }
    }

    /// Whether compacting is worth it: the dirty share exceeds `min_cleanable_dirty_ratio`, or it must not wait longer.
    pub fn is_due(&self, config: &LogConfig) -> bool {
        let must = self.overdue_ms > 0 && self.cleanable_bytes > 0;
        must || self.ratio() > config.min_cleanable_dirty_ratio
    }
}

/// Of the logs that are due, the one with the largest dirty share; of several, the last (CLN-07).
pub fn dirtiest<'a, T>(logs: impl IntoIterator<Item = (T, Dirt, &'a LogConfig)>) -> Option<(T, Dirt)> {
    let due = logs.into_iter().filter(|(_, dirt, config)| config.cleanup.compacts() && dirt.is_due(config));
    due.map(|(log, dirt, _)| (log, dirt)).max_by(|(_, a), (_, b)| a.ratio().total_cmp(&b.ratio()))
}

impl DirtyLog<'_> {
    fn active_base(&self) -> Offset {
        self.segments.last().map_or(self.log_end_offset, |active| active.base)
    }

    /// The first offset that must be left alone: of an open transaction, of the active segment, of a segment with a
    /// record younger than `min_compaction_lag_ms`.
    fn uncleanable(&self, first_dirty: Offset, config: &LogConfig, now: Timestamp) -> Offset {
        let bound = self.last_stable_offset.min(self.active_base());
        if config.min_compaction_lag_ms == 0 {
            return bound;
        }
        let lag = i128::from(config.min_compaction_lag_ms);
        let young = |segment: &&DirtySegment| {
            i128::from(segment.largest_timestamp.as_millis()) > i128::from(now.as_millis()) - lag
        };
        let first_young = self.dirty_sealed(first_dirty).iter().find(young);
        first_young.map_or(bound, |segment| bound.min(segment.base))
    }

    fn overdue_ms(&self, first_dirty: Offset, config: &LogConfig, now: Timestamp) -> u64 {
        let dated = self.dirty_sealed(first_dirty).iter().filter_map(|segment| segment.first_timestamp);
        let Some(earliest) = dated.filter(|first| first.as_millis() > 0).min() else { return 0 };
        let age = i128::from(now.as_millis()) - i128::from(earliest.as_millis());
        let overdue = age - i128::from(config.max_compaction_lag_ms);
        u64::try_from(overdue.max(0)).unwrap_or(u64::MAX)
    }

    fn dirty_sealed(&self, first_dirty: Offset) -> &[DirtySegment] {
        self.between(first_dirty, self.active_base())
    }

    /// The segments that begin below `to`.
    fn below(&self, to: Offset) -> &[DirtySegment] {
        &self.segments[..self.segments.partition_point(|segment| segment.base < to)]
    }

    /// The segments with offsets from `from` to `to` (exclusive).
    fn between(&self, from: Offset, to: Offset) -> &[DirtySegment] {
        if from >= to {
            return &[];
        }
        let below = self.below(to);
        &below[below.partition_point(|segment| segment.base <= from).saturating_sub(1)..]
    }

    /// The base of the segment that holds `offset`.
    fn base_at(&self, offset: Offset) -> Option<Offset> {
        let behind = self.segments.partition_point(|segment| segment.base <= offset);
        self.segments.get(behind.saturating_sub(1)).map(|segment| segment.base)
    }
}
