//! What a log asks its driver to do to files.

use std::fmt;

use bytes::Bytes;

use crate::log::segment::{SegmentFacts, SegmentFiles};
use crate::offset::Offset;
use crate::record::Stamp;

/// Names one file over the life of a log. Never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FileId(pub u64);

/// The place of an op in the order of its log's ops.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpSeq(pub u64);

/// Names one flush.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SyncId(pub u64);

/// The name of a file within a partition's directory (format.md, section 5).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FileName {
    /// Batches, one behind the other.
    Log(Offset),
    /// The sparse offset index.
    OffsetIndex(Offset),
    /// The sparse time index.
    TimeIndex(Offset),
    /// The aborted transactions.
    TxnIndex(Offset),
    /// The producers' state before this offset.
    Snapshot(Offset),
    /// Our own: checksums of a sealed segment's blocks and index files.
    Sums(Offset),
    /// Our own, only ever with `.swap`: what a compacted segment replaces.
    Replaces(Offset),
    /// Where each leader epoch begins.
    LeaderEpochs,
    /// The topic's id.
    PartitionMetadata,
}

impl FileName {
    /// The file of this name, `None` if it is none of a log's own.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "leader-epoch-checkpoint" => return Some(Self::LeaderEpochs),
            "partition.metadata" => return Some(Self::PartitionMetadata),
            _ => {}
        }
        let (digits, kind) = name.split_once('.')?;
        if digits.len() != 20 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let base = Offset::from_i64(digits.parse().ok()?)?;
        match kind {
            "log" => Some(Self::Log(base)),
            "index" => Some(Self::OffsetIndex(base)),
            "timeindex" => Some(Self::TimeIndex(base)),
            "txnindex" => Some(Self::TxnIndex(base)),
            "snapshot" => Some(Self::Snapshot(base)),
            "sums" => Some(Self::Sums(base)),
            "replaces" => Some(Self::Replaces(base)),
            _ => None,
        }
    }

    /// The offset in the name.
    pub fn base_offset(self) -> Option<Offset> {
        match self {
            Self::Log(base)
            | Self::OffsetIndex(base)
            | Self::TimeIndex(base)
            | Self::TxnIndex(base)
            | Self::Snapshot(base)
            | Self::Sums(base)
            | Self::Replaces(base) => Some(base),
            Self::LeaderEpochs | Self::PartitionMetadata => None,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(base) => write!(f, "{:020}.log", base.get()),
            Self::OffsetIndex(base) => write!(f, "{:020}.index", base.get()),
            Self::TimeIndex(base) => write!(f, "{:020}.timeindex", base.get()),
            Self::TxnIndex(base) => write!(f, "{:020}.txnindex", base.get()),
            Self::Snapshot(base) => write!(f, "{:020}.snapshot", base.get()),
            Self::Sums(base) => write!(f, "{:020}.sums", base.get()),
            Self::Replaces(base) => write!(f, "{:020}.replaces", base.get()),
            Self::LeaderEpochs => f.write_str("leader-epoch-checkpoint"),
            Self::PartitionMetadata => f.write_str("partition.metadata"),
        }
    }
}

/// A piece of one positional write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// A batch: its stamp, then the shared bytes behind it.
    Batch(Stamp, Bytes),
    /// Plain bytes: index entries.
    Bytes(Bytes),
}

/// What a driver must do to the files of one log.
///
/// Lane 1: in the order of [`OpSeq`], one at a time, each whole (loop over short writes). Report `done(last)` for any
/// run of them; at the first that fails, report `failed(op, why)` and perform none after it. Ops of different logs have
/// no order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DiskOp {
    /// A new, empty file; one of that name left from earlier is replaced. Its name is durable after the next [`Sync`]
    /// with `directory`.
    Create {
        /// The file's number from now on.
        file: FileId,
        /// Its name.
        name: FileName,
    },
    /// Gives the file blocks up to `len` without changing its length. "No space" here leaves nothing half done.
    Reserve {
        /// Which file.
        file: FileId,
        /// Up to where, in bytes.
        len: u32,
    },
    /// One positional write of all parts, one behind the other. The bytes are shared with readers: never patched.
    Write {
        /// Which file.
        file: FileId,
        /// Where the first part begins, in bytes.
        position: u32,
        /// What to write.
        parts: Vec<Part>,
    },
    /// Raises the handle's `cuts`, then shortens the file, then raises it again. Never a mapped file. What side files
    /// say of the bytes that went is forgotten.
    Truncate {
        /// Which file.
        file: FileId,
        /// What is left, in bytes.
        len: u32,
    },
    /// The segment will not grow any more: gives back what is reserved behind its end, and notes the checksums of its
    /// blocks and of its index files.
    Seal {
        /// Which segment.
        base: Offset,
        /// Its batches.
        file: FileId,
        /// How long they are, in bytes.
        len: u32,
        /// What is true of its batches.
        facts: SegmentFacts,
        /// Length and CRC-32 of the offset index, the time index and the transaction index.
        indexes: [(u32, u32); 3],
    },
    /// Puts a compacted segment, which stands under its names with `.swap`, in the place of others: removes the files
    /// of the segments it replaces, then renames its own. A crash in between is finished by the next opening.
    ///
    /// All that it is about is on disk, so it may also be performed ahead of ops that wait for space; it is reported in its
    /// order all the same.
    Swap {
        /// The base of the compacted segment, which is that of the first one it replaces.
        base: Offset,
        /// The numbers of its files from now on.
        files: SegmentFiles,
        /// The bases of the segments that it replaces.
        replaces: Vec<Offset>,
    },
    /// A small file, written whole and not synced: its content carries its own checksum, and it can be made again.
    Put {
        /// Its name.
        name: FileName,
        /// All of its content.
        bytes: Bytes,
    },
    /// A small file, replaced whole: temporary name, write, sync, rename, sync of the directory.
    Replace {
        /// Its name.
        name: FileName,
        /// All of its content.
        bytes: Bytes,
    },
}

/// Lane 2: at most one at a time for each log, emitted only when all it covers is done.
///
/// Sync every file **on the description that wrote it**, and the directory if asked; then report `synced(id)`. Any
/// error: `sync_failed(id)`, never a second try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sync {
    /// To name in the answer.
    pub id: SyncId,
    /// Whose data to sync.
    pub files: Vec<FileId>,
    /// Whether names changed since the last flush.
    pub directory: bool,
}

/// Lane 3: no order with later ops, so that space can be given back while lane 1 waits for space.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remove {
    /// What to remove, unless the name has been given to another file since. Readers that hold it keep its bytes.
    pub name: FileName,
    /// Its number, if it has one, to be forgotten.
    pub file: Option<FileId>,
    /// The op after which it may go.
    pub after: OpSeq,
}

/// What a log wants its driver to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Lane 1: perform in order, then report [`Log::done`](crate::log::Log::done).
    Op(OpSeq, DiskOp),
    /// Lane 2: sync, then report [`Log::synced`](crate::log::Log::synced).
    Sync(Sync),
    /// Lane 3: remove, whenever.
    Remove(Remove),
}
