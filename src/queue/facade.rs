//! [`Queue`]: the handle of an open node.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::Disk;
use crate::producer::ConfigError;
use crate::queue::builder::QueueBuilder;
use crate::queue::client::Client;
use crate::queue::consumer::{Consumer, ConsumerConfig, ConsumerConfigError};
use crate::queue::node::{Closed, Handle, Node, Notes};
use crate::queue::opening::{OpeningReport, QueueOpenError, metadata_partition};
use crate::queue::producer::{Producer, ProducerConfig};
use crate::queue::telemetry;
use crate::queue::usage::{DiskUse, MemoryUse};

/// An open queue: topics of records, kept in the directories it was opened on. A clone is another handle of the same.
///
/// It stays open as long as there is any handle of it: a [`Queue`], a [`Producer`] or a [`Consumer`]. [`Queue::close`] ends it
/// in order; when the last handle is dropped instead it ends as by a kill: nothing that was acknowledged is lost, and the
/// next opening reads more. Dropping never waits.
///
/// See the [room](crate::queue) for an example.
#[derive(Clone)]
pub struct Queue {
    pub(super) client: Arc<dyn Client>,
    end: Arc<dyn End>,
    report: Arc<OpeningReport>,
}

/// How a node is ended, whatever its disk.
trait End: Send + Sync {
    fn close(&self) -> (Vec<Closed>, Notes);
    fn disk_use(&self) -> DiskUse;
    fn memory_use(&self) -> MemoryUse;
}

impl<D: Disk> End for Handle<D> {
    fn close(&self) -> (Vec<Closed>, Notes) {
        Self::close(self, &metadata_partition())
    }

    fn disk_use(&self) -> DiskUse {
        self.node().disk_use()
    }

    fn memory_use(&self) -> MemoryUse {
        self.node().memory_use()
    }
}

impl Queue {
    pub(super) fn of<D: Disk>(node: Arc<Node<D>>, report: Arc<OpeningReport>) -> Self {
        let handle = Handle::new(node);
        let client: Arc<dyn Client> = Arc::<Handle<D>>::clone(&handle);
        Self { client, end: handle, report }
    }

    /// Opens the queue in a directory, which is made if it is not there, and locks it. Nothing has to be configured.
    ///
    /// # Errors
    ///
    /// [`QueueOpenError`]. Nothing was lost by trying.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, QueueOpenError> {
        Self::builder().directory(directory).open()
    }

    /// To open it on several directories, or with other limits.
    pub fn builder() -> QueueBuilder {
        QueueBuilder::default()
    }

    /// What the opening has found.
    pub fn report(&self) -> &OpeningReport {
        &self.report
    }

    /// A producer: a clone of it sends through the same batches.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if its configuration makes no sense.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, ConfigError> {
        Producer::new(Arc::clone(&self.client), config)
    }

    /// A consumer, which reads nothing yet: see [`Consumer::subscribe`] and [`Consumer::assign`].
    ///
    /// # Errors
    ///
    /// [`ConsumerConfigError`] if its configuration makes no sense.
    pub fn consumer(&self, config: &ConsumerConfig) -> Result<Consumer, ConsumerConfigError> {
        Consumer::new(Arc::clone(&self.client), config)
    }

    /// What the queue takes of its disks, and what was dropped to keep it within its bounds. It looks at each partition, not at
    /// files.
    pub fn disk_use(&self) -> DiskUse {
        self.end.disk_use()
    }

    /// What of the queue's records is in memory, and what bounds it: see [`MemoryUse`].
    pub fn memory_use(&self) -> MemoryUse {
        self.end.memory_use()
    }

    /// Ends the queue in order: what was appended is written and flushed, and each log closed, so that the next opening need
    /// not read it. Whoever waits for anything is told that the queue is closed; records that a producer still gathers are
    /// not sent: [`Producer::flush`] them before. Takes as long as the disk takes.
    ///
    /// The directories may be opened again when it returns, also where handles of this queue are left: they are told that it is
    /// closed. A second close, through another handle, finds nothing to close.
    pub fn close(self) -> CloseReport {
        let _span = telemetry::closing();
        let (partitions, notes) = self.end.close();
        CloseReport { partitions, notes }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("cluster_id", &self.report.cluster_id).finish_non_exhaustive()
    }
}

/// What the close of a queue has come to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "it says what is not on disk"]
pub struct CloseReport {
    /// Each partition, that of the metadata last.
    pub partitions: Vec<Closed>,
    /// What went wrong before and had nobody to be told.
    pub notes: Notes,
}

impl CloseReport {
    /// Whether all that was appended is on disk and each log is closed.
    pub fn is_clean(&self) -> bool {
        self.partitions.iter().all(|closed| closed.why.is_none())
    }
}

impl fmt::Display for CloseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} partitions closed", self.partitions.iter().filter(|closed| closed.why.is_none()).count())?;
        for Closed { partition, log_end_offset, flushed, why } in &self.partitions {
            if let Some(why) = why {
                write!(f, "\n{partition}: not closed at offset {log_end_offset}, on disk up to {flushed}: {why}")?;
            }
        }
        let Notes { deletions_failed, compactions_failed, skipped, refused, snapshots_failed, unnamed } = &self.notes;
        for (partition, why) in deletions_failed {
            write!(f, "\n{partition}: deleted, but its files are left: {why}")?;
        }
        for (partition, why) in compactions_failed {
            write!(f, "\n{partition}: not compacted: {why}")?;
        }
        for (partition, skipped) in skipped {
            write!(f, "\n{partition}: committed offsets at offset {} cannot be read: {}", skipped.offset, skipped.why)?;
        }
        for (id, why) in snapshots_failed {
            write!(f, "\nthe metadata could not be written as snapshot {id}: {why}")?;
        }
        if *refused > 0 {
            write!(f, "\n{refused} batches were refused that wanted no answer")?;
        }
        if *unnamed > 0 {
            write!(f, "\n{unnamed} more of these")?;
        }
        Ok(())
    }
}

/// How long a question about topics may take on the node's side.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
