//! Snapshots: the image in a file, so that the log in front of it can go.
//!
//! The file is Kafka's `.checkpoint`: ordinary batches with offsets of their own, from 0, in the epoch of the name; a
//! control batch with the header first, one with the footer last, and in between the records that give the image.
//!
//! - May use: the newtypes, `record`, and its siblings `image`, `records` and `replayer`.
//! - Must not know: files; it is given names and bytes, and gives bytes back.
//! - Always true: an image that was written reads back equal; every byte that is read lies under a checksum.

mod begin;
mod choose;
mod due;
mod name;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::controller::image::{Image, ReplayError};
use crate::controller::records::{
    MetadataError, MetadataRecord, QuorumRecord, QuorumRecordError, SnapshotFooterRecord, SnapshotHeaderRecord,
};
use crate::epoch::LeaderEpoch;
use crate::offset::Offset;
use crate::record::{Batch, BatchBuilder, BatchError, BuildError, Codec, DecompressLimit, NewRecord, RecordError};
use crate::time::Timestamp;

pub use begin::{BeginError, Begun};
pub use choose::{ChooseError, LogEnds, Reading, choose};
pub use due::{SnapshotRules, SnapshotSource, Snapshots};
pub use name::SnapshotId;

/// How many bytes of records a batch of a snapshot has at most, unless one record alone has more.
const BATCH_BYTES: usize = 1 << 20;

/// What stands in a snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// The date of the last batch that it stands for.
    pub last_contained_log_timestamp: Timestamp,
    /// The records, in order.
    pub records: Vec<MetadataRecord>,
    /// Whether its end was found.
    pub ending: Ending,
}

/// How a snapshot ends.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Ending {
    /// With a footer.
    Footer,
    /// Without one, so perhaps too early. Kafka takes it; whoever has an older snapshot and the log behind that may rather
    /// want those.
    Missing,
}

/// Why bytes are no snapshot.
///
/// An older snapshot, and the log behind it, say the same if they are still there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A batch is cut off, or its checksum is wrong.
    #[error("at byte {position}: {source}")]
    Batch {
        /// Where the batch begins.
        position: usize,
        /// What is wrong.
        source: BatchError,
    },
    /// The records of a batch cannot be read.
    #[error("the batch at byte {position}: {source}")]
    Records {
        /// Where the batch begins.
        position: usize,
        /// What is wrong.
        source: RecordError,
    },
    /// A record has no value, or a control record no key.
    #[error("the batch at byte {position} has a record without a value")]
    NoValue {
        /// Where the batch begins.
        position: usize,
    },
    /// A record that is none.
    #[error("the batch at byte {position}: {source}")]
    Decode {
        /// Where the batch begins.
        position: usize,
        /// What is wrong.
        source: MetadataError,
    },
    /// A control record that is none.
    #[error("the batch at byte {position}: {source}")]
    Control {
        /// Where the batch begins.
        position: usize,
        /// What is wrong.
        source: QuorumRecordError,
    },
    /// It does not end with a footer, so it may end too early.
    #[error("it does not end with the footer of a snapshot")]
    NoFooter,
    /// It does not begin with a header.
    #[error("it does not begin with the header of a snapshot")]
    NoHeader,
    /// Something follows the footer.
    #[error("the batch at byte {position} follows the footer")]
    BehindFooter {
        /// Where the batch begins.
        position: usize,
    },
    /// A record that does not fit those in front of it.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl Snapshot {
    /// Reads the bytes of a `.checkpoint` file, `bootstrap.checkpoint` too.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`].
    pub fn parse(bytes: &Bytes) -> Result<Self, SnapshotError> {
        let mut reader = Reader::default();
        let mut position = 0;
        while position < bytes.len() {
            let rest = bytes.slice(position..);
            let batch = Batch::parse(&rest).map_err(|source| SnapshotError::Batch { position, source })?;
            reader.batch(&batch, position)?;
            position += batch.size() as usize;
        }
        let header = reader.header.ok_or(SnapshotError::NoHeader)?;
        let last_contained_log_timestamp = Timestamp::from_millis(header.last_contained_log_timestamp);
        Ok(Self { last_contained_log_timestamp, records: reader.records, ending: reader.ending })
    }

    /// The image that the records give.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Replay`] if they do not fit together, or lack the metadata version.
    pub fn image(&self) -> Result<Image, SnapshotError> {
        let mut image = Image::default();
        for (index, record) in self.records.iter().enumerate() {
            image.replay(record, Offset::new(index as u64))?;
        }
        if image.metadata_version().is_none() && !image.is_empty() {
            return Err(ReplayError::NoMetadataVersion.into());
        }
        Ok(image)
    }

    /// The bytes of a snapshot of `image`, in the epoch of its name; `timestamp` is the date of the last batch of the log
    /// that it stands for.
    ///
    /// The end of its name must be the end of a batch, or Kafka replays that batch twice and dies of it.
    ///
    /// # Errors
    ///
    /// [`BuildError`], none in practice: batches stay far from their limits.
    pub fn write(image: &Image, epoch: LeaderEpoch, timestamp: Timestamp) -> Result<Bytes, BuildError> {
        let mut writer = Writer { epoch, timestamp, next: Offset::ZERO, out: Vec::new() };
        let last_contained_log_timestamp = timestamp.as_millis();
        let header = SnapshotHeaderRecord { last_contained_log_timestamp, ..SnapshotHeaderRecord::default() };
        writer.control(&QuorumRecord::SnapshotHeader(header))?;
        let mut batch = BatchBuilder::new(Codec::None);
        for record in image.to_records() {
            let value = record.to_bytes();
            if !batch.is_empty() && batch.size() + value.len() > BATCH_BYTES {
                writer.batch(std::mem::replace(&mut batch, BatchBuilder::new(Codec::None)))?;
            }
            batch.push(&NewRecord::new(timestamp, None, Some(&value)))?;
        }
        if !batch.is_empty() {
            writer.batch(batch)?;
        }
        writer.control(&QuorumRecord::SnapshotFooter(SnapshotFooterRecord::default()))?;
        Ok(writer.out.into())
    }
}

/// Takes the batches of a snapshot, header and footer in their places.
#[derive(Debug)]
struct Reader {
    header: Option<SnapshotHeaderRecord>,
    records: Vec<MetadataRecord>,
    ending: Ending,
}

impl Default for Reader {
    fn default() -> Self {
        Self { header: None, records: Vec::new(), ending: Ending::Missing }
    }
}

impl Reader {
    fn batch(&mut self, batch: &Batch, position: usize) -> Result<(), SnapshotError> {
        let failed = |source| SnapshotError::Records { position, source };
        let records = batch.records(DecompressLimit::default()).map_err(failed)?;
        for record in records.iter() {
            let record = record.map_err(failed)?;
            let value = record.value.ok_or(SnapshotError::NoValue { position })?;
            if self.ending == Ending::Footer {
                return Err(SnapshotError::BehindFooter { position });
            }
            if batch.is_control() {
                let key = record.key.ok_or(SnapshotError::NoValue { position })?;
                let read = QuorumRecord::decode(key, value);
                self.control(read.map_err(|source| SnapshotError::Control { position, source })?);
            } else if self.header.is_none() {
                return Err(SnapshotError::NoHeader);
            } else {
                let read = MetadataRecord::decode(value);
                self.records.push(read.map_err(|source| SnapshotError::Decode { position, source })?);
            }
        }
        Ok(())
    }

    fn control(&mut self, record: QuorumRecord) {
        match record {
            QuorumRecord::SnapshotHeader(header) => self.header = Some(header),
            QuorumRecord::SnapshotFooter(_) => self.ending = Ending::Footer,
            // Who votes is not the image's to know.
            QuorumRecord::LeaderChange(_) | QuorumRecord::KraftVersion(_) | QuorumRecord::KraftVoters(_) => {}
        }
    }
}

/// Gives batches their places.
#[derive(Debug)]
struct Writer {
    epoch: LeaderEpoch,
    timestamp: Timestamp,
    next: Offset,
    out: Vec<u8>,
}

impl Writer {
    fn control(&mut self, record: &QuorumRecord) -> Result<(), BuildError> {
        let mut batch = BatchBuilder::new(Codec::None).control();
        batch.push(&NewRecord::new(self.timestamp, Some(&record.key()), Some(&record.value())))?;
        self.batch(batch)
    }

    fn batch(&mut self, batch: BatchBuilder) -> Result<(), BuildError> {
        let batch = batch.build()?;
        let size = u64::from(batch.size());
        let batch = batch.stamped(self.next, Some(self.epoch)).map_err(|_| BuildError::TooLarge { size })?;
        self.next = batch.next_offset();
        self.out.extend_from_slice(&batch.to_bytes());
        Ok(())
    }
}
