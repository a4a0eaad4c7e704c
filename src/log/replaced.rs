//! Compacted segments taking the place of the ones they were made of.

use crate::log::indexes::Written;
use crate::log::op::{DiskOp, Effect};
use crate::log::recovered::RecoveredSegment;
use crate::log::segment::{Segment, SegmentFiles};
use crate::log::{FileId, Log};
use crate::offset::Offset;

/// A compacted segment, complete and synced under its names with `.swap`.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The segments it was made of, as they were read: base offset and batches' file, oldest first.
    pub inputs: Vec<(Offset, FileId)>,
    /// What it is. Its base is that of the first input.
    pub output: RecoveredSegment,
}

/// Why a compacted segment was refused. The log is untouched.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// A segment it was made of is gone, was cut, or grows.
    #[error("the segment at {segment} is not what the compaction has read any more")]
    Stale {
        /// The base of that segment.
        segment: Offset,
    },
    /// A segment it was made of ends above the last stable offset.
    #[error("the segment at {segment} ends above the last stable offset {last_stable_offset}")]
    Unstable {
        /// The base of that segment.
        segment: Offset,
        /// The end of what no open transaction precedes.
        last_stable_offset: Offset,
    },
    /// It has other offsets than what it was made of.
    #[error("compacted segment from {base} to {next} does not fit in the place of its inputs")]
    Misfit {
        /// Its base.
        base: Offset,
        /// The offset behind its last batch.
        next: Offset,
    },
}

impl Log {
    /// Puts a compacted segment in the place of the ones it was made of. Readers of those keep their bytes.
    ///
    /// # Errors
    ///
    /// [`ReplaceError`] if the inputs are no longer current; then the output is to be thrown away.
    pub fn replace(&mut self, replacement: Replacement, out: &mut Vec<Effect>) -> Result<(), ReplaceError> {
        self.check_current(&replacement)?;
        let Replacement { inputs, output } = replacement;
        let mut end = output.next;
        for (base, _) in &inputs {
            let Some(gone) = self.segments.remove(base) else { continue };
            end = end.max(gone.next);
            self.forget_unsynced(gone.files);
        }
        self.last_mark = self.last_mark.filter(|last| inputs.iter().all(|(base, _)| *base != last.segment));
        self.tail.uncache_below(end);
        let has_aborted = !output.aborted.is_empty();
        let files = SegmentFiles {
            log: self.new_file(),
            index: self.new_file(),
            time_index: self.new_file(),
            txn_index: has_aborted.then(|| self.new_file()),
        };
        let segment = Segment {
            base: output.base,
            next: output.next,
            size: output.size,
            files,
            max: output.max,
            first_timestamp: output.first_timestamp,
            created: output.created,
            modified: output.modified,
            jitter_ms: 0,
            index_interval_bytes: self.config.index_interval_bytes,
            reserved: output.size,
            indexes: None,
            index_bytes: output.index_bytes(),
            aborted_written: Written::all_of(output.aborted.as_bytes()),
            aborted: output.aborted,
            last_op: None,
        };
        self.segments.insert(output.base, segment);
        self.recount();
        let replaces = inputs.iter().map(|(base, _)| *base).collect();
        let swapped = self.emit(DiskOp::Swap { base: output.base, files, replaces }, out);
        if let Some(segment) = self.segments.get_mut(&output.base) {
            segment.last_op = Some(swapped);
        }
        let gone = |offset| inputs.iter().skip(1).any(|(base, _)| *base == offset);
        self.remove_snapshots(gone, out);
        self.check();
        Ok(())
    }

    fn check_current(&self, replacement: &Replacement) -> Result<(), ReplaceError> {
        let output = &replacement.output;
        let misfit = ReplaceError::Misfit { base: output.base, next: output.next };
        let first = replacement.inputs.first().ok_or(misfit)?;
        let active = self.active().base;
        let mut next = first.0;
        let mut current = self.segments.range(first.0..);
        for (base, file) in &replacement.inputs {
            match current.next() {
                Some((known, segment)) if known == base && segment.files.log == *file && *base != active => {
                    next = segment.next;
                }
                _ => return Err(ReplaceError::Stale { segment: *base }),
            }
        }
        let last_stable_offset = self.last_stable_offset();
        if next > last_stable_offset {
            let segment = replacement.inputs.last().map_or(first.0, |last| last.0);
            return Err(ReplaceError::Unstable { segment, last_stable_offset });
        }
        if output.base != first.0 || output.next > next {
            return Err(misfit);
        }
        Ok(())
    }
}
