//! What a command found, and the number it leaves the shell with.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::disk::{AppendFault, CompactFault, DiskError, MarksError, OpenError};
use crate::id::TopicName;
use crate::offset::Offset;
use crate::record::BuildError;

/// What a command that ran to its end found.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Finding {
    /// All was as it should be.
    #[default]
    Clean,
    /// Something is damaged; the output says what and where.
    Damage,
    /// Something could not be read; standard error says what.
    Unreadable,
}

impl From<Finding> for ExitCode {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::Clean => Self::SUCCESS,
            Finding::Damage => Self::from(1),
            Finding::Unreadable => Self::from(3),
        }
    }
}

/// Why a command stopped before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// A file or directory could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words for it.
        source: io::Error,
    },
    /// The offset to read from is not there any more.
    #[error("offset {requested} lies below the log start {start}")]
    BelowStart {
        /// The offset asked for.
        requested: Offset,
        /// The first one that can be read.
        start: Offset,
    },
    /// There is no topic of this name.
    #[error("there is no topic {name}")]
    NoTopic {
        /// The name asked for.
        name: TopicName,
    },
    /// Standard input could not be read.
    #[error("standard input: {0}")]
    Input(io::Error),
    /// A line does not fit the largest batch. The lines before it may have been appended.
    #[error("line {number} is longer than {most} bytes")]
    LineTooLong {
        /// Which, from one.
        number: u64,
        /// How long a line may be.
        most: usize,
    },
    /// Nobody hears the acknowledgements any more.
    #[error("acknowledging: {0}")]
    Acknowledge(io::Error),
    /// The log could not be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// A batch could not be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A batch could not be appended.
    #[error(transparent)]
    Append(Box<AppendFault>),
    /// A record has no key, and a compaction would lose it.
    #[error("the record at offset {offset} has no key and would be lost")]
    WithoutKey {
        /// The first such record.
        offset: Offset,
    },
    /// The log could not be compacted.
    #[error(transparent)]
    Compact(Box<CompactFault>),
    /// The flushed marks cannot be understood.
    #[error(transparent)]
    Marks(Box<MarksError>),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Standard output took no more.
    #[error("standard output: {0}")]
    Output(io::Error),
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<CompactFault> for CliError {
    fn from(error: CompactFault) -> Self {
        Self::Compact(Box::new(error))
    }
}

impl From<AppendFault> for CliError {
    fn from(error: AppendFault) -> Self {
        Self::Append(Box::new(error))
    }
}

impl CliError {
    /// Whether the one who read our output simply stopped reading, which is no error: `ottla dump .. | head`.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
