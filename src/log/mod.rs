//! One partition's log, as a state machine.

mod op;

pub use op::{DiskOp, FileId, FileName, OpSeq, Part, Remove, Sync, SyncId};
