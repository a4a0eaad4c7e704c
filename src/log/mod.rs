//! One partition's log, as a state machine.

mod acknowledged;
mod config;
mod mark;
mod op;

pub use config::{Cleanup, ConfigError, LogConfig, TopicCodec};
pub use mark::FlushedMark;
pub use op::{DiskOp, FileId, FileName, OpSeq, Part, Remove, Sync, SyncId};
