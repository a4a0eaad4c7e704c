//! Retention: which segments go, oldest first, and moving the log start.

use crate::log::Log;
use crate::log::op::Effect;
use crate::log::segment::{Segment, SegmentInfo};
use crate::offset::Offset;
use crate::time::Timestamp;

/// Why a segment went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Breach {
    /// It lies wholly below the log start.
    LogStart,
    /// The log was larger than `retention_bytes`.
    Size,
    /// Its latest record was older than `retention_ms`.
    Time,
    /// Somebody needs its space, and it was the oldest.
    Space,
}

/// Why the log start was not moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("log start {to} would lie past the high watermark {high_watermark}")]
pub struct TrimError {
    /// Where it should have gone.
    pub to: Offset,
    /// The furthest it may go.
    pub high_watermark: Offset,
}

impl Log {
    /// Moves the log start to `to`: what lies below is not served any more. Whole segments below it are removed by the
    /// next [`Log::retain`]. A target at or below the log start changes nothing. Answers whether it moved.
    ///
    /// # Errors
    ///
    /// [`TrimError`] if `to` lies past the high watermark.
    pub fn trim_to(&mut self, to: Offset, out: &mut Vec<Effect>) -> Result<bool, TrimError> {
        if to > self.high_watermark {
            return Err(TrimError { to, high_watermark: self.high_watermark });
        }
        if to <= self.log_start_offset {
            return Ok(false);
        }
        self.log_start_offset = to;
        if self.epochs.truncate_from_start(to) {
            self.write_epochs(out);
        }
        self.producers.trim_to(to);
        self.check();
        Ok(true)
    }

    /// Removes what retention by log start, size and time lets go, in this order (semantics 6), oldest first, and moves
    /// the log start to what stays. If nothing stays, a new segment is begun. Answers the bases of what went, and why.
    pub fn retain(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> Vec<(Offset, Breach)> {
        let mut gone = self.remove_while(Breach::LogStart, now, out, |log, _, next| {
            next.is_some_and(|base| base <= log.log_start_offset)
        });
        if self.config.cleanup.deletes() {
            if let Some(keep) = self.config.retention_bytes {
                let mut excess = self.size().checked_sub(keep);
                gone.extend(self.remove_while(Breach::Size, now, out, |_, segment, _| {
                    let left = excess.and_then(|excess| excess.checked_sub(u64::from(segment.size)));
                    if left.is_some() {
                        excess = left;
                    }
                    left.is_some()
                }));
            }
            if let Some(keep_ms) = self.config.retention_ms {
                gone.extend(self.remove_while(Breach::Time, now, out, |_, segment, _| {
                    let age = i128::from(now.as_millis()) - i128::from(segment.largest_timestamp().as_millis());
                    age > i128::from(keep_ms)
                }));
            }
        }
        self.check();
        gone
    }

    /// The oldest segment, if it may go for its space: nothing of it lies above the high watermark, and it has something.
    pub fn oldest_removable(&self) -> Option<SegmentInfo> {
        let mut bases = self.segments.values();
        let oldest = bases.next()?;
        let upper = bases.next().map_or(self.log_end_offset, |next| next.base);
        let may_go = self.high_watermark >= upper && oldest.size > 0 && self.config.cleanup.deletes();
        may_go.then(|| SegmentInfo::from(oldest))
    }

    /// Removes the oldest segment for its space, and moves the log start to what stays. If it was the only one, a new one is
    /// begun. Answers which it was, and how many bytes its files had; `None` if [`Log::oldest_removable`] has none.
    pub fn remove_oldest(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> Option<(SegmentInfo, u64)> {
        let oldest = self.oldest_removable()?;
        let before = self.disk_bytes();
        self.remove_while(Breach::Space, now, out, |_, segment, _| segment.base == oldest.base_offset);
        self.check();
        Some((oldest, before.saturating_sub(self.disk_bytes())))
    }

    /// Removes segments from the oldest on while `goes` says so; never one that ends above the high watermark, nor an
    /// empty active one.
    fn remove_while(
        &mut self,
        breach: Breach,
        now: Timestamp,
        out: &mut Vec<Effect>,
        mut goes: impl FnMut(&Self, &Segment, Option<Offset>) -> bool,
    ) -> Vec<(Offset, Breach)> {
        let mut gone = Vec::new();
        let mut segments = self.segments.values().peekable();
        while let Some(segment) = segments.next() {
            let next = segments.peek().map(|next| next.base);
            let upper = next.unwrap_or(self.log_end_offset);
            let empty_active = next.is_none() && segment.size == 0;
            if self.high_watermark < upper || empty_active || !goes(self, segment, next) {
                break;
            }
            gone.push((segment.base, breach));
        }
        if gone.len() == self.segments.len() {
            self.roll_at(self.log_end_offset, now, out);
        }
        for (base, _) in &gone {
            self.remove_segment(*base, out);
            self.remove_snapshots(|offset| offset == *base, out);
        }
        if !gone.is_empty() {
            self.recount();
        }
        self.begin_at_first_segment(out);
        gone
    }

    fn begin_at_first_segment(&mut self, out: &mut Vec<Effect>) {
        let first = self.segments.keys().next().copied().unwrap_or(self.log_start_offset);
        if first > self.log_start_offset {
            // Never past the high watermark: only what ends at or below it goes.
            let moved = self.trim_to(first, out);
            debug_assert!(moved.is_ok(), "{moved:?}");
        }
    }
}
