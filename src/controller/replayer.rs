//! Replaying a log of metadata: batches in order, with their transactions, into an image.
//!
//! - May use: the newtypes, `record`, `image`, `records`.
//! - Must not know: where the batches come from.
//! - Always true: a batch counts whole or not at all; what a transaction holds counts only when it has ended.

use crate::controller::image::{Image, ReplayError, ReplayFault};
use crate::controller::records::MetadataRecord;
use crate::epoch::LeaderEpoch;
use crate::offset::Offset;
use crate::record::{DecompressLimit, Entry};
use crate::time::Timestamp;

/// Records with their offsets.
type Numbered = Vec<(Offset, MetadataRecord)>;

/// A transaction that has begun and not ended.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Transaction {
    begun: Offset,
    records: Numbered,
}

/// Is fed the batches of a metadata log in order, and has the image of them.
///
/// After an error it is of no more use: [`Replayer::finish`] gives the same error again. So no half of a batch is ever
/// seen, and none has to be taken back. Who may have to goes on from a clone, which costs little.
#[derive(Clone, Debug, Default)]
pub struct Replayer {
    image: Image,
    transaction: Option<Transaction>,
    /// Where the snapshot ended that this began with.
    begin: Offset,
    /// Behind the last batch.
    end: Offset,
    /// The date of the last batch.
    last_timestamp: Option<Timestamp>,
    /// Its reign.
    last_epoch: Option<LeaderEpoch>,
    /// How many bytes of batches were replayed.
    bytes: u64,
    failed: Option<ReplayError>,
}

/// What a log of metadata amounts to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replayed {
    /// The image of all that has ended.
    pub image: Image,
    /// The offset behind the last batch.
    pub end: Offset,
    /// The date of the last batch, if there was one.
    pub last_timestamp: Option<Timestamp>,
    /// Where a transaction began that did not end. What is in it does not count. Whoever writes on must abort it first
    /// ([`Controller::decide_start`](crate::controller::Controller::decide_start)), or all that follows is part of it.
    pub open_transaction: Option<Offset>,
}

impl Replayer {
    /// Of a log that begins at offset 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a log whose records below `end` are in `image`, that of a snapshot. Batches below `end` are skipped.
    pub fn from_snapshot(image: Image, end: Offset) -> Self {
        Self { image, begin: end, end, ..Self::default() }
    }

    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    /// The offset behind the last batch.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Where a transaction began that has not ended.
    pub(super) fn open_transaction(&self) -> Option<Offset> {
        self.transaction.as_ref().map(|transaction| transaction.begun)
    }

    pub(super) fn last_timestamp(&self) -> Option<Timestamp> {
        self.last_timestamp
    }

    pub(super) fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.last_epoch
    }

    /// How many bytes of batches were replayed, those of a snapshot apart.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Replays the next batch of the log.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]; the same again, once there was one.
    pub fn push(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let result = self.replay(entry);
        self.failed = result.clone().err();
        result
    }

    fn replay(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        let magic = entry.magic();
        let batch = entry.as_batch().ok_or(ReplayError::Magic { at: entry.last_offset(), magic })?;
        let (base_offset, last_offset) = (batch.base_offset(), batch.last_offset());
        if last_offset < self.begin {
            return Ok(());
        }
        if base_offset < self.begin {
            return Err(ReplayError::InsideBatch { end: self.begin, base_offset, last_offset });
        }
        if base_offset != self.end {
            return Err(ReplayError::Gap { expected: self.end, found: base_offset });
        }
        if !batch.is_control() {
            records(entry, base_offset)?.into_iter().try_for_each(|(at, record)| self.replay_one(at, record))?;
        }
        self.end = batch.next_offset();
        self.last_timestamp = Some(batch.max_timestamp());
        self.last_epoch = batch.leader_epoch();
        self.bytes = self.bytes.saturating_add(u64::from(batch.size()));
        Ok(())
    }

    /// The image, and what is left open.
    ///
    /// # Errors
    ///
    /// The one that [`Replayer::push`] has given, if it has; [`ReplayError::NoMetadataVersion`] if there were records, but
    /// none of that feature: Kafka does not start then. A log without any record is no error; it is one that has not
    /// begun ([`Image::is_empty`]).
    pub fn finish(self) -> Result<Replayed, ReplayError> {
        self.check()?;
        let open_transaction = self.open_transaction();
        Ok(Replayed { image: self.image, end: self.end, last_timestamp: self.last_timestamp, open_transaction })
    }

    /// Whether one can go on from here.
    pub(super) fn check(&self) -> Result<(), ReplayError> {
        match &self.failed {
            Some(failed) => Err(failed.clone()),
            None if self.image.metadata_version().is_none() && !self.image.is_empty() => {
                Err(ReplayError::NoMetadataVersion)
            }
            None => Ok(()),
        }
    }

    fn replay_one(&mut self, at: Offset, record: MetadataRecord) -> Result<(), ReplayError> {
        let name = record.name();
        let refused = |fault| Err(ReplayError::Record { at, record: name, fault });
        match (record, self.transaction.take()) {
            (MetadataRecord::BeginTransaction(_), None) => {
                self.transaction = Some(Transaction { begun: at, records: Vec::new() });
                Ok(())
            }
            (MetadataRecord::BeginTransaction(_), Some(open)) => {
                refused(ReplayFault::OpenTransaction { begun: open.begun })
            }
            (MetadataRecord::EndTransaction(_), Some(transaction)) => {
                transaction.records.iter().try_for_each(|(at, record)| self.image.replay(record, *at))
            }
            (MetadataRecord::AbortTransaction(_), Some(_)) => Ok(()),
            (record, Some(mut transaction)) => {
                transaction.records.push((at, record));
                self.transaction = Some(transaction);
                Ok(())
            }
            (record, None) => self.image.replay(&record, at),
        }
    }
}

fn records(entry: &Entry, at: Offset) -> Result<Numbered, ReplayError> {
    let read = entry.records(DecompressLimit::default()).map_err(|source| ReplayError::Records { at, source })?;
    let mut records = Vec::new();
    for record in read.iter() {
        let record = record.map_err(|source| ReplayError::Records { at, source })?;
        let at = record.offset;
        let value = record.value.ok_or(ReplayError::NoValue { at })?;
        let decoded = MetadataRecord::decode(value).map_err(|source| ReplayError::Decode { at, source })?;
        records.push((at, decoded));
    }
    Ok(records)
}
