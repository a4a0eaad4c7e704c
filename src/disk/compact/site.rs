//! Where a compaction works: a log that its caller alone has, or one that others go on with meanwhile.

use crate::disk::compact::CompactFault;
use crate::disk::{Disk, DiskError, LogDir, LogDriver, OpenOptions};
use crate::id::TopicPartition;
use crate::log::{Log, Replacement};
use crate::offset::Offset;

/// What a compaction asks of the log it works on, and of its files. Nothing is kept from one question to the next, so there
/// may be a lock around each: the reading and writing in between goes on without any.
pub(crate) trait Site {
    /// The disk of the log's directory.
    type Disk: Disk;

    /// Which log it is.
    fn partition(&self) -> &TopicPartition;

    /// The settings, those of the log too, as they were when the compaction began.
    fn options(&self) -> &OpenOptions;

    /// The disk, to write what is to take the place of segments.
    fn disk(&self) -> Self::Disk;

    /// Looks at the log.
    fn with_log<T>(&mut self, look: impl FnOnce(&Log) -> T) -> Result<T, DiskError>;

    /// Asks for handles and what is known of files.
    fn with_driver<T>(
        &mut self,
        ask: impl FnOnce(&mut LogDriver<Self::Disk>) -> Result<T, DiskError>,
    ) -> Result<T, DiskError>;

    /// Asks the log directory.
    fn with_dir<T>(&mut self, ask: impl FnOnce(&mut LogDir<Self::Disk>) -> T) -> T;

    /// Sees to it that all segments below `to` are on disk, and that the flushed mark names none of them.
    fn settle(&mut self, to: Offset) -> Result<(), CompactFault>;

    /// Whether it is to end here; asked for each batch. What is begun is undone.
    fn is_stopped(&self) -> bool;

    /// Has the log put a compacted segment in its place.
    fn replace(&mut self, replacement: Replacement) -> Result<(), Unplaced>;

    /// Something is left that the next opening would take for good: nothing may change before it.
    fn give_up(&mut self, why: String);
}

/// Why a compacted segment is not in its place.
#[derive(Debug)]
pub(crate) enum Unplaced {
    /// The log does not want it: it is to be thrown away.
    Refused(CompactFault),
    /// The log has it, and the disk failed to: the next opening goes on with it.
    Later(CompactFault),
}
