//! What both logs are asked, and what they answer, in words that belong to neither.

use std::fmt;

use crate::oracle::Refusal;
use crate::script::Settings;

/// A log under test: Kafka's or ours.
pub trait Subject {
    /// Does what is asked at the time `now`, in milliseconds since the Unix epoch.
    fn perform(&mut self, now: i64, request: &Request) -> Answer;
    /// What an open log says of itself.
    fn state(&mut self) -> State;
}

/// One thing to do, nothing relative in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Opens the log, which is closed.
    Open(Box<Opening>),
    /// Closes it in order.
    Close,
    /// Lets go of it, as a process does that is killed.
    Kill,
    /// Appends as leader: the log gives the offsets.
    Append {
        bytes: Vec<u8>,
        epoch: i32,
        origin: Origin,
        transaction_version: i16,
    },
    /// Appends as follower: the batches come with their offsets.
    Replicate {
        bytes: Vec<u8>,
        epoch: i32,
    },
    Read {
        from: i64,
        bytes_max: i32,
        isolation: Isolation,
    },
    AdvanceHighWatermark {
        to: i64,
    },
    /// A new leader's first deed: its epoch begins at the log end.
    AssignEpoch {
        epoch: i32,
    },
    TrimTo {
        to: i64,
    },
    TruncateTo {
        to: i64,
    },
    StartAt {
        to: i64,
    },
    Roll,
    Flush,
    Retain,
    Compact,
    ExpireProducers,
    Configure(Settings),
    OffsetForTimestamp {
        timestamp: i64,
    },
    EndOfEpoch {
        epoch: i32,
    },
}

/// What an open needs to know that a log's own files do not say in Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    pub settings: Settings,
    pub clean: bool,
    pub recovery_point: i64,
    pub log_start: i64,
    pub high_watermark: i64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    Client,
    Coordinator,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Isolation {
    LogEnd,
    HighWatermark,
    Committed,
}

/// What came of a request.
#[derive(Clone, PartialEq)]
pub enum Answer {
    Done,
    /// First and last offset, −1 if nothing was appended; the append time under LogAppendTime, else −1.
    Appended {
        first: i64,
        last: i64,
        append_time: i64,
    },
    /// The bytes that were read, and for committed reads the aborted transactions: producer, first offset.
    Batches {
        bytes: Vec<u8>,
        aborted: Option<Vec<(i64, i64)>>,
    },
    /// Offset, timestamp and leader epoch of what was searched for.
    Found(Option<(i64, i64, Option<i64>)>),
    /// The epoch and where it ends.
    EpochEnd(i64, i64),
    /// How many segments went.
    Deleted(i64),
    /// What compaction read: from, to (exclusive); `None` if there was nothing worth it.
    Compacted(Option<(i64, i64)>),
    Refused(Refusal),
}

/// What an open log says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State {
    pub log_start: i64,
    pub log_end: i64,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub recovery_point: i64,
    pub first_unstable: Option<i64>,
    /// Base offset and bytes of each segment.
    pub segments: Vec<(i64, i64)>,
    /// Epoch and first offset.
    pub epochs: Vec<(i64, i64)>,
    /// By id.
    pub producers: Vec<Producer>,
}

/// What a log remembers of a producer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i64,
    pub coordinator_epoch: i64,
    pub last_timestamp: i64,
    pub transaction_from: Option<i64>,
    /// First and last sequence, first and last offset, timestamp; the latest last.
    pub batches: Vec<[i64; 5]>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Appended { first, last, append_time } => write!(f, "appended {first}..={last} at {append_time}"),
            Self::Batches { bytes, aborted } => write!(f, "{} aborted {aborted:?}", Outline(bytes)),
            Self::Found(found) => write!(f, "found {found:?}"),
            Self::EpochEnd(epoch, end) => write!(f, "epoch {epoch} ends at {end}"),
            Self::Deleted(count) => write!(f, "deleted {count}"),
            Self::Compacted(range) => write!(f, "compacted {range:?}"),
            Self::Refused(refusal) => write!(f, "refused: {refusal:?}"),
        }
    }
}

/// The batches in some bytes: where each begins and ends, what is left over.
pub struct Outline<'a>(pub &'a [u8]);

impl fmt::Display for Outline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes:", self.0.len())?;
        let mut at = 0;
        for size in whole_batches(self.0) {
            let bytes = &self.0[at..at + size];
            let base = number(bytes, 0, 8);
            write!(f, " {base}..={}", base + number(bytes, 23, 4))?;
            at += size;
        }
        if at < self.0.len() { write!(f, " and {} more", self.0.len() - at) } else { Ok(()) }
    }
}

/// The sizes of the whole batches at the front of `bytes`.
pub fn whole_batches(bytes: &[u8]) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut rest = bytes;
    while rest.len() >= 61 {
        let size = usize::try_from(number(rest, 8, 4) + 12).unwrap_or(usize::MAX);
        if !(61..=rest.len()).contains(&size) {
            break;
        }
        sizes.push(size);
        rest = &rest[size..];
    }
    sizes
}

/// The signed big-endian number of `width` bytes at `at`.
pub fn number(bytes: &[u8], at: usize, width: usize) -> i64 {
    let negative = bytes[at] & 0x80 != 0;
    let start: i64 = if negative { -1 } else { 0 };
    bytes[at..at + width].iter().fold(start, |sum, byte| sum << 8 | i64::from(*byte))
}
