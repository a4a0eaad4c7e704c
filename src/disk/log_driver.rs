//! Driving a log that somebody else holds: its ops performed, its spans read.
//!
//! Where a [`Log`] stands behind a lock, what it asks for is performed outside of it, by this; where one caller does
//! everything, [`LogFile`](crate::disk::LogFile) is both together. A driver knows the files and nothing of the log but what
//! it is told, so it needs no lock that the log needs.
//!
//! - Must not know: which op comes when, and what becomes of the log when one fails. That is for its holder, by the
//!   contract of [`Effect`].

use std::sync::Arc;

use bytes::Bytes;

use crate::disk::files::Files;
use crate::disk::handles::Handle;
use crate::disk::log_file::ReadMode;
use crate::disk::pool::Pool;
use crate::disk::reader::{Hint, ReadFault, Source, read_span};
use crate::disk::report::RecoveryReport;
use crate::disk::sums::FileSum;
use crate::disk::sync_job::SyncJob;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskFile};
use crate::log::{
    DiskOp, Effect, FileId, FileName, Log, OffsetIndexView, Remove, SegmentInfo, Span, SpanFacts, Sync, TimeIndexView,
};
use crate::offset::Offset;
use crate::record::Entry;
use crate::time::Timestamp;

/// A log as an opening has left it, and who drives it.
#[derive(Debug)]
pub struct OpenedLog<D: Disk> {
    /// The log.
    pub log: Log,
    /// What it asks for first, to be performed in order before anything else.
    pub effects: Vec<Effect>,
    /// Who performs it.
    pub driver: LogDriver<D>,
    /// What was found.
    pub report: RecoveryReport,
}

/// Performs what one log asks for, and reads its files.
#[derive(Debug)]
pub struct LogDriver<D: Disk> {
    pub(super) files: Files<D>,
    pool: Pool,
    read_mode: ReadMode,
}

impl<D: Disk> LogDriver<D> {
    pub(super) fn new(files: Files<D>, read_mode: ReadMode) -> Self {
        Self { files, pool: Pool::default(), read_mode }
    }

    /// Performs one op of lane 1, whole. The ops of a log are performed in order.
    ///
    /// # Errors
    ///
    /// The disk's. After "no space" the op may be tried again; after anything else nothing may be performed any more.
    pub fn perform(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        self.files.perform(op)
    }

    /// Gives `file` blocks up to `wanted` bytes, or, if there is no space for that, up to `needed`. Answers up to where. Its
    /// length stays.
    ///
    /// # Errors
    ///
    /// The disk's: "no space" if there is not even enough for `needed`. Nothing has changed then.
    pub fn reserve(&mut self, file: FileId, needed: u32, wanted: u32) -> Result<u32, DiskError> {
        let handle = self.handle(file)?;
        match handle.file.reserve(u64::from(wanted)) {
            Ok(()) => Ok(wanted),
            Err(error) if error.kind == DiskErrorKind::NoSpace && wanted > needed => {
                handle.file.reserve(u64::from(needed)).map(|()| needed)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the job of a flush, which is performed without this driver: writes may go on beside it. It covers what was
    /// performed before.
    ///
    /// # Errors
    ///
    /// The disk's; then the flush has failed.
    pub fn begin_sync(&mut self, sync: &Sync) -> Result<SyncJob<D>, DiskError> {
        self.files.begin_sync(sync)
    }

    /// The job has succeeded.
    pub fn end_sync(&mut self, job: SyncJob<D>) {
        self.files.end_sync(job);
    }

    /// Removes what the log does not need any more.
    ///
    /// # Errors
    ///
    /// The disk's; the file may still be there.
    pub fn remove(&mut self, remove: &Remove) -> Result<(), DiskError> {
        self.files.remove(remove)
    }

    /// Reads whole batches of a span that the log has planned. Every byte's checksum has been verified. An empty answer
    /// says that this segment has nothing there: the log plans on behind it.
    ///
    /// # Errors
    ///
    /// [`ReadFault`]. Other offsets may still be readable.
    pub fn read(&mut self, span: &Span, facts: &SpanFacts) -> Result<Vec<Entry>, ReadFault> {
        let hint = self.hint(span, facts)?;
        let handle = self.handle(span.file)?;
        // What may still be cut still has its indexes in memory.
        let map = match self.read_mode {
            ReadMode::Map if facts.index.is_some() => self.files.map(span.file, span.end)?,
            ReadMode::Map | ReadMode::Read => None,
        };
        let pool = self.pool.clone();
        let sums = self.files.known_sums(span.segment)?;
        let source = Source { file: &handle.file, map: map.as_ref(), pool: &pool };
        read_span(&source, span, hint, &facts.epochs, sums)
    }

    /// How many files are open now. What was written to and not flushed stays open.
    pub fn open_files(&self) -> usize {
        self.files.handles.open_files()
    }

    /// How many bytes of buffers readers hold: what they were served from files and have not dropped yet.
    pub fn live_bytes(&self) -> usize {
        self.pool.live_bytes()
    }

    pub(super) fn handle(&mut self, file: FileId) -> Result<Arc<Handle<D::File>>, DiskError> {
        self.files.handles.handle(file)
    }

    /// From where in a segment to walk: what its index says. Whatever it says is only a hint.
    fn hint(&mut self, span: &Span, facts: &SpanFacts) -> Result<Hint, DiskError> {
        let start = Hint { position: 0, offset: span.segment };
        if span.from <= span.segment {
            return Ok(start);
        }
        let (offset, position) = match (facts.hint, facts.index) {
            (Some(hint), _) => hint,
            (None, Some(file)) => {
                let bytes = self.index_bytes(span.segment, file)?;
                OffsetIndexView::new(span.segment, &bytes).map_or((span.segment, 0), |view| view.lookup(span.from))
            }
            (None, None) => return Ok(start),
        };
        Ok(if position < span.end { Hint { position, offset } } else { start })
    }

    /// What the time index of a sealed segment says: the last of its entries that is not behind this date.
    pub(crate) fn time_lookup(
        &mut self,
        segment: &SegmentInfo,
        wanted: Timestamp,
    ) -> Result<(Timestamp, Offset), DiskError> {
        let base = segment.base_offset;
        let bytes = self.index_bytes(base, segment.files.time_index)?;
        Ok(TimeIndexView::new(base, &bytes).map_or((Timestamp::NONE, base), |view| view.lookup(wanted)))
    }

    /// The bytes of a sealed segment's index; none if it is not there, since it is only a cache.
    pub(super) fn index_bytes(&mut self, base: Offset, file: FileId) -> Result<Bytes, DiskError> {
        if let Some(bytes) = self.files.index(file) {
            return Ok(bytes);
        }
        let Ok(handle) = self.files.handles.handle(file) else { return Ok(Bytes::new()) };
        let len = handle.file.len()?.min(u64::from(u32::MAX >> 1));
        let bytes = match handle.file.map(len)? {
            Some(map) => map,
            None => {
                let mut bytes = vec![0; len as usize];
                let read = handle.file.read_full(0, &mut bytes)?;
                bytes.truncate(read);
                bytes.into()
            }
        };
        let bytes = if self.is_as_sealed(base, handle.name, &bytes)? { bytes } else { Bytes::new() };
        self.files.keep_index(file, bytes.clone());
        Ok(bytes)
    }

    /// Whether an index file is the one that was there when its segment was sealed, if that was noted.
    fn is_as_sealed(&mut self, base: Offset, name: FileName, bytes: &[u8]) -> Result<bool, DiskError> {
        let Some(known) = self.files.known_sums(base)? else { return Ok(true) };
        let indexes = known.sums().indexes();
        let noted = if matches!(name, FileName::TimeIndex(_)) { indexes.time_index } else { indexes.offset_index };
        Ok(FileSum::of(bytes) == noted)
    }
}
