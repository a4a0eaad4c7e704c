//! One partition's log, as a state machine.

mod acknowledged;
mod checkpoint;
mod config;
mod epochs;
mod index;
mod mark;
mod op;
mod producers;
mod snapshot;
mod time_index;
mod txn_index;

pub use checkpoint::{
    CheckpointError, CleanShutdown, DirectoryId, MetaProperties, MetaVersion, OffsetCheckpoint, PartitionMetadata,
};
pub use config::{Cleanup, ConfigError, LogConfig, TopicCodec};
pub use epochs::{EpochCache, EpochEntry};
pub use index::{IndexError, OffsetEntry, OffsetIndex, OffsetIndexView};
pub use mark::FlushedMark;
pub use op::{DiskOp, FileId, FileName, OpSeq, Part, Remove, Sync, SyncId};
pub use producers::{
    BatchMeta, CompletedTxn, Content, Marker, MarkerRules, Outcome, ProducerBatch, ProducerChange, ProducerEntry,
    ProducerError, ProducerState, ProducerUndo, UnknownProducer, Verdict,
};
pub use snapshot::{ProducerSnapshot, SnapshotError};
pub use time_index::{TimeEntry, TimeIndex, TimeIndexView};
pub use txn_index::{AbortedTxn, TxnIndex};
