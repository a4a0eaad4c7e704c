//! How a queue is opened, where the defaults are not wanted.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::broker::SpaceConfig;
use crate::controller::SnapshotRules;
use crate::disk::{Disk, FileDisk, OpenError};
use crate::id::TopicName;
use crate::message::{AtSpaceBound, SpaceBound};
use crate::queue::Queue;
use crate::queue::node::{Clock, ends, wait_for_an_end};
use crate::queue::opening::{OpeningOptions, QueueOpenError, TakeOver, open};
use crate::queue::telemetry;

/// How a queue is opened. Without any directory there is nothing to open.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::num::NonZeroUsize;
/// let eight = NonZeroUsize::new(8).unwrap();
/// let queue = ottla::Queue::builder().directory("/disk1/queue").directory("/disk2/queue").threads(eight).open()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct QueueBuilder {
    directories: Vec<PathBuf>,
    threads: usize,
    open_files_max: usize,
    upkeep_interval: Duration,
    snapshots: SnapshotRules,
    take_over: TakeOver,
    space: SpaceConfig,
    flush_scope: FlushScope,
    consumer_memory_bytes_max: Option<u64>,
}

/// What a flush makes durable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FlushScope {
    /// The files of the partition that is flushed: one call for each.
    #[default]
    File,
    /// Where many partitions wait to be flushed at once, all of the file system that they are on: one call for all of them,
    /// which also waits for whatever other programs have written there. So this is for a file system of the queue's own. It
    /// is done where a success of that call says as much as those of the files: on ext4 and XFS, of Linux 5.8 or later;
    /// elsewhere, and where the call fails, it is as with [`FlushScope::File`].
    FileSystem,
}

impl Default for QueueBuilder {
    fn default() -> Self {
        Self {
            directories: Vec::new(),
            threads: 4,
            open_files_max: 64,
            upkeep_interval: Duration::from_secs(30),
            snapshots: SnapshotRules::default(),
            take_over: TakeOver::IfCertain,
            space: SpaceConfig::default(),
            flush_scope: FlushScope::File,
            consumer_memory_bytes_max: None,
        }
    }
}

impl QueueBuilder {
    /// Adds a log directory, which is made if it is not there. A new partition goes to the one with the fewest partitions. The
    /// metadata is in the first, unless one of them has it already.
    #[must_use]
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.directories.push(path.as_ref().to_owned());
        self
    }

    /// How many threads flush, search and open files: 4 by default. One more keeps the time, and one
    /// compacts.
    #[must_use]
    pub fn threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: threads.get(), ..self }
    }

    /// How many files of a partition are open at a time, but for those that were written to and not flushed: 64 by default.
    #[must_use]
    pub fn open_files_max(self, files: NonZeroUsize) -> Self {
        Self { open_files_max: files.get(), ..self }
    }

    /// How often retention is looked after, whether a compaction is due, and what found no space when the queue was opened:
    /// every 30 seconds by default.
    #[must_use]
    pub fn upkeep_interval(self, interval: Duration) -> Self {
        Self { upkeep_interval: interval, ..self }
    }

    /// What a flush makes durable: the files of its partition by default.
    #[must_use]
    pub fn flush_scope(self, flush_scope: FlushScope) -> Self {
        Self { flush_scope, ..self }
    }

    /// After how many bytes of new records the metadata is written as a snapshot: 20 MiB by default, as with Kafka's
    /// `metadata.log.max.record.bytes.between.snapshots`. Two snapshots are kept, and the log of the metadata from the older one
    /// on, so this bounds what the metadata takes of the disk: about twice as many bytes, and two snapshots. It is looked at
    /// whenever retention is ([`upkeep_interval`](Self::upkeep_interval)).
    #[must_use]
    pub fn metadata_snapshot_bytes(mut self, bytes: NonZeroU64) -> Self {
        self.snapshots.bytes = bytes.get();
        self
    }

    /// After what time it is written as a snapshot also with fewer new records, if there are any: an hour by default, as with
    /// Kafka's `metadata.log.max.snapshot.interval.ms`.
    #[must_use]
    pub fn metadata_snapshot_interval(mut self, interval: Duration) -> Self {
        self.snapshots.age_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Has the partitions taken over, for this one opening, also where there is no metadata and something says that it is only missing
    /// ([`QueueOpenError::MetadataMissing`]). Their topics lose their settings, and those that are not in these directories are
    /// lost. Where there is metadata, as there is from then on, this changes nothing.
    #[must_use]
    pub fn take_over(self) -> Self {
        Self { take_over: TakeOver::Confirmed, ..self }
    }

    /// How many bytes all topics together may take of the disks, and what becomes of a batch that would take more; there is no
    /// bound by default. It holds over reopenings only as long as it is given again.
    ///
    /// Segments and their index files count, to the byte, also those of the queue's own topics; what goes at once with
    /// retention, compaction, deleted records or a deleted topic counts no more. The bound is never exceeded by records of
    /// topics. What the queue writes for itself is never refused and never dropped: how far groups have come, and the metadata;
    /// so these alone may exceed it, and so may the last entry of an index (12 bytes) when a segment ends. Space is reserved
    /// ahead of what is appended, as much again as a segment has, 64 KiB at least and 16 MiB at most for each partition:
    /// leave room for that beside the bound. A queue that takes more when it is opened keeps what it has until a batch comes.
    ///
    /// With [`AtSpaceBound::Block`] and [`AtSpaceBound::Fail`] a producer is told
    /// [`SendError::SpaceBound`](crate::producer::SendError::SpaceBound), the former once its delivery timeout is over or its
    /// retries are; with [`Acks::None`](crate::message::Acks::None) nobody is told, and what is refused is lost, with either.
    /// With [`AtSpaceBound::DropOldest`] whole segments go, those first whose latest record is the oldest, and one
    /// that still grows only if there is no other: so let a topic's segments be much smaller than the bound. They go only once
    /// all of them is committed, and never of a topic that compacts what it has; until one may go, it is as with `Block`.
    /// Nothing goes for a batch that is refused for another reason, the other bound included, or that is there already.
    /// [`Queue::disk_use`] counts what went. A consumer that stood there is told that its position is out of range, or goes on
    /// as it is configured.
    #[must_use]
    pub fn disk_bytes_max(mut self, bytes: u64, at_bound: AtSpaceBound) -> Self {
        self.space.total = Some(SpaceBound { bytes_max: bytes, at_bound });
        self
    }

    /// The same for one topic, which need not be there yet. Its own bound is looked at first, then that of all topics.
    #[must_use]
    pub fn topic_disk_bytes_max(mut self, topic: TopicName, bytes: u64, at_bound: AtSpaceBound) -> Self {
        self.space.topics.insert(topic, SpaceBound { bytes_max: bytes, at_bound });
        self
    }

    /// How many bytes of records all consumers and the program together may have; there is no bound by default.
    ///
    /// An answer to a fetch counts from when a consumer takes it until the last of its records is let go of, by the consumer and
    /// by the program, also where a cache of the queue has the same bytes, or a file is mapped; and what is decompressed counts
    /// beside it. While another answer would make it too much, consumers fetch nothing: a
    /// [`poll`](crate::queue::Consumer::poll) whose time is over then tells
    /// [`ConsumeError::MemoryBound`](crate::queue::ConsumeError::MemoryBound), a tail, a stream and a future wait for room, and
    /// all go on at once when enough was let go of. A partition that is paused is fetched again if room is made of what it had.
    ///
    /// A consumer of which neither it nor the program has any record may always take one answer of one partition
    /// ([`partition_bytes_max`](crate::queue::ConsumerConfig::partition_bytes_max), or a batch if that is larger), so that none
    /// starves because somebody else keeps records. Therefore as much is held at most: this bound, one answer for each
    /// consumer, and what the batches decompress to whose records a poll hands out, for they were fetched before.
    /// [`Queue::memory_use`] tells how much it is. What producers have is bounded by each producer's own
    /// [`memory_bytes`](crate::queue::ProducerConfig::memory_bytes), and the caches by 4 MiB for each partition.
    #[must_use]
    pub fn consumer_memory_bytes_max(self, bytes: u64) -> Self {
        Self { consumer_memory_bytes_max: Some(bytes), ..self }
    }

    /// Opens the queue: whatever happened before is put right or reported ([`Queue::report`]).
    ///
    /// # Errors
    ///
    /// [`QueueOpenError`]. Nothing was lost by trying.
    pub fn open(self) -> Result<Queue, QueueOpenError> {
        let mut disks = Vec::with_capacity(self.directories.len());
        for path in &self.directories {
            let told = |why: &dyn std::fmt::Display| QueueOpenError::Path {
                path: path.display().to_string(),
                why: why.to_string(),
            };
            make(path).map_err(|error| told(&error))?;
            disks.push(FileDisk::open(path).map_err(|error| told(&error))?);
        }
        let names = self.directories.iter().map(|path| path.display().to_string()).collect();
        self.open_named(disks, names)
    }

    /// As [`QueueBuilder::open`], on disks of one's own making: [`MemDisk`](crate::disk::MemDisk) in a test. The directories
    /// that were added are not looked at.
    ///
    /// # Errors
    ///
    /// As [`QueueBuilder::open`].
    pub fn open_on<D: Disk>(self, disks: Vec<D>) -> Result<Queue, QueueOpenError> {
        let names = (0..disks.len()).map(|number| format!("disk {number}")).collect();
        self.open_named(disks, names)
    }

    fn open_named<D: Disk>(self, disks: Vec<D>, names: Vec<String>) -> Result<Queue, QueueOpenError> {
        let _span = telemetry::opening();
        let options = OpeningOptions {
            names,
            space: self.space,
            threads: self.threads,
            open_files_max: self.open_files_max,
            upkeep_interval_ms: u64::try_from(self.upkeep_interval.as_millis()).unwrap_or(u64::MAX).max(1),
            snapshots: self.snapshots,
            take_over: self.take_over,
            flush_scope: self.flush_scope,
            consumer_memory_bytes_max: self.consumer_memory_bytes_max,
        };
        loop {
            let before = ends();
            match open(disks.clone(), options.clone(), Clock::start().date()) {
                // A queue of this process that was dropped may have a thread busy with it yet.
                Err(QueueOpenError::Open(OpenError::AlreadyOpen)) if wait_for_an_end(before) => {}
                opened => return opened.map(|(node, report)| Queue::of(node, Arc::new(report))),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a log directory is made before there is a disk to reach it through")]
fn make(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}
