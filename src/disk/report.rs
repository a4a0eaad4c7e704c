//! What an opening has found and done.

use std::ffi::OsString;
use std::fmt;

use crate::id::TopicPartition;
use crate::log::{BadRange, FileName, Why};
use crate::offset::Offset;

/// What the opening of one log has found, and what it did about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecoveryReport {
    /// Which log.
    pub partition: TopicPartition,
    /// Whether the log was closed properly before.
    pub shutdown: Shutdown,
    /// Up to which offset all was known to be on disk before anything was read.
    pub flushed: Offset,
    /// The first readable offset.
    pub log_start_offset: Offset,
    /// Where the log ends now.
    pub log_end_offset: Offset,
    /// How many segments there are.
    pub segments: usize,
    /// How many bytes of batches were read and checked.
    pub scanned_bytes: u64,
    /// The torn tail, if there was one: cut off.
    pub torn: Option<TornTail>,
    /// What is corrupt below the flushed mark: left as it is, never served.
    pub corrupt: Vec<CorruptRange>,
    /// Segments that came behind a torn tail, or below the log start, and were removed.
    pub removed_segments: Vec<Offset>,
    /// Files that were missing, stale or garbage, and were made again.
    pub rebuilt: Vec<FileName>,
    /// Leftovers of a compaction, a deletion or a replacement that was cut short, and what became of them.
    pub leftovers: Vec<Leftover>,
    /// What is none of ours, and was left alone.
    pub foreign: Vec<OsString>,
}

/// How the log was left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shutdown {
    /// There was nothing: the log is new.
    New,
    /// It was closed, and what is there is what was closed.
    Clean,
    /// It says that it was closed, but what is there is something else.
    CleanButChanged,
    /// It was not closed.
    Unclean,
}

/// A torn tail: bytes that had not been flushed, and that hold no whole batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TornTail {
    /// The base of the segment.
    pub segment: Offset,
    /// Where the file was cut.
    pub position: u32,
    /// How many bytes went.
    pub bytes: u64,
    /// What was wrong with the first of them.
    pub why: Why,
}

/// A range that had been flushed and holds no good batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CorruptRange {
    /// The base of the segment.
    pub segment: Offset,
    /// Where in its file, and which offsets.
    pub range: BadRange,
}

/// Something that was cut short, found at an opening.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leftover {
    /// The file.
    pub name: String,
    /// What became of it.
    pub action: LeftoverAction,
}

/// What became of a leftover.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeftoverAction {
    /// It was removed.
    Removed,
    /// It was complete, and now has its name.
    Installed,
}

impl RecoveryReport {
    /// The report of an opening that has found nothing yet.
    pub(crate) fn blank(partition: &TopicPartition) -> Self {
        Self {
            partition: partition.clone(),
            shutdown: Shutdown::New,
            flushed: Offset::ZERO,
            log_start_offset: Offset::ZERO,
            log_end_offset: Offset::ZERO,
            segments: 0,
            scanned_bytes: 0,
            torn: None,
            corrupt: Vec::new(),
            removed_segments: Vec::new(),
            rebuilt: Vec::new(),
            leftovers: Vec::new(),
            foreign: Vec::new(),
        }
    }

    /// Whether all is as it was left: nothing lost, nothing corrupt, nothing made again.
    pub fn is_clean(&self) -> bool {
        let untouched = self.torn.is_none() && self.corrupt.is_empty() && self.removed_segments.is_empty();
        untouched && self.rebuilt.is_empty() && matches!(self.shutdown, Shutdown::New | Shutdown::Clean)
    }

    /// Whether data that had been flushed is damaged.
    pub fn is_damaged(&self) -> bool {
        !self.corrupt.is_empty()
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, log_start_offset, log_end_offset, segments, scanned_bytes, .. } = self;
        write!(f, "{partition}: offsets {log_start_offset} to {log_end_offset} in {segments} segments")?;
        write!(
            f,
            ", {} shutdown, {scanned_bytes} bytes checked",
            match self.shutdown {
                Shutdown::New => "no",
                Shutdown::Clean => "clean",
                Shutdown::CleanButChanged => "clean but changed",
                Shutdown::Unclean => "unclean",
            }
        )?;
        if let Some(torn) = &self.torn {
            let TornTail { segment, position, bytes, why } = torn;
            write!(f, "; torn tail of {bytes} bytes cut at byte {position} of segment {segment} ({why})")?;
        }
        for CorruptRange { segment, range } in &self.corrupt {
            write!(
                f,
                "; CORRUPT: bytes {} to {} of segment {segment}, from offset {}",
                range.from, range.to, range.first_offset
            )?;
            match range.next_offset {
                Some(next) => write!(f, " to {next} ({})", range.why)?,
                None => write!(f, " on ({})", range.why)?,
            }
        }
        for segment in &self.removed_segments {
            write!(f, "; segment {segment} removed")?;
        }
        for name in &self.rebuilt {
            write!(f, "; {name} made again")?;
        }
        for leftover in &self.leftovers {
            let done = match leftover.action {
                LeftoverAction::Removed => "removed",
                LeftoverAction::Installed => "installed",
            };
            write!(f, "; {} {done}", leftover.name)?;
        }
        for name in &self.foreign {
            write!(f, "; {} left alone", name.display())?;
        }
        Ok(())
    }
}
