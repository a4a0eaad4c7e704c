//! What becomes of a record: its ticket, and the outcome that names it.

use crate::message::{BoundReached, Detail, FullDisk, RequestError};
use crate::offset::Offset;
use crate::producer::lane::{BatchId, LaneId};
use crate::record::BuildError;
use crate::time::{Instant, Timestamp};

/// The handle of one record: it is the `index`th of a batch. Nothing is kept for it: a batch knows how many it has.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket {
    /// The lane of its partition.
    pub lane: LaneId,
    /// The batch that it was put into. Numbers rise, and are those of its lane.
    pub batch: BatchId,
    /// Which record of that batch, counted from 0.
    pub index: u32,
}

/// A row of tickets of one batch.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Tickets {
    /// The lane of their partition.
    pub lane: LaneId,
    /// The batch that the records were put into.
    pub batch: BatchId,
    /// The first of them; not 0 behind the first piece of a batch that was split.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Tickets {
    /// Which of these records the ticket is, counted from 0.
    pub fn position(&self, ticket: Ticket) -> Option<u32> {
        let is_here = ticket.lane == self.lane && ticket.batch == self.batch;
        ticket.index.checked_sub(self.first).filter(|position| is_here && *position < self.count)
    }

    /// The tickets, in order.
    pub fn iter(&self) -> impl Iterator<Item = Ticket> + use<> {
        let (lane, batch) = (self.lane, self.batch);
        (self.first..self.first + self.count).map(move |index| Ticket { lane, batch, index })
    }
}

/// Where a record was put, to begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pushed {
    /// Its handle.
    pub ticket: Ticket,
    /// How many bytes it takes.
    pub bytes: u32,
    /// Whether more fit beside it.
    pub room: Room,
}

/// Whether a batch takes more records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Room {
    /// It does.
    Left,
    /// It is full.
    None,
}

/// What has become of a row of records. Each ticket is in exactly one outcome.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// Which records.
    pub tickets: Tickets,
    /// What has become of them.
    pub result: Result<Delivered, SendError>,
}

impl Outcome {
    /// Where the record of this ticket stands, if it was delivered and its offset is known.
    pub fn offset_of(&self, ticket: Ticket) -> Option<Offset> {
        let position = self.tickets.position(ticket)?;
        let base = self.result.as_ref().ok()?.base_offset?;
        Some(base.advance(u64::from(position)))
    }
}

/// Where records were put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delivered {
    /// The offset of the first of them; the others follow. `None` if they are known to be there, but not where.
    pub base_offset: Option<Offset>,
    /// The date that the leader gave them, if it did.
    pub log_append_time: Option<Timestamp>,
}

/// Why records were not delivered, or are not known to be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The broker refused them, and sending them again would not help, or has not.
    #[error("refused: {error}; {known}")]
    Refused {
        /// The last refusal.
        error: RequestError,
        /// What is known of them.
        known: Known,
    },
    /// The batch could not be built, so they are not there.
    #[error("cannot be built: {0}")]
    Build(#[from] BuildError),
    /// Their time was over.
    #[error("not delivered in {timeout_ms} ms; {known}")]
    Expired {
        /// How long they had.
        timeout_ms: u64,
        /// What is known of them.
        known: Known,
    },
    /// The disk is full, and was so until their time was over or they had been sent as often as they may. The queue goes on for
    /// everyone else, and takes records for this partition again once there is space.
    #[error("{disk}; {known}")]
    DiskFull {
        /// Which disk.
        disk: Box<FullDisk>,
        /// What is known of them.
        known: Known,
    },
    /// A bound on space has left none for them. Where it lets producers wait, it was so until their time was over or they had
    /// been sent as often as they may.
    #[error("{bound}; {known}")]
    SpaceBound {
        /// Which bound.
        bound: Box<BoundReached>,
        /// What is known of them.
        known: Known,
    },
    /// Newer records have taken their room, as the producer is configured. They were never sent.
    #[error("dropped to make room for newer records")]
    Dropped,
    /// The producer was closed.
    #[error("the producer was closed; {known}")]
    Closed {
        /// What is known of them.
        known: Known,
    },
}

impl SendError {
    /// The error of records for which there was no space, if that is what `detail` says.
    pub(super) fn for_want_of_space(detail: &Detail, known: Known) -> Option<Self> {
        match detail {
            Detail::DiskFull(disk) => Some(Self::DiskFull { disk: disk.clone(), known }),
            Detail::SpaceBound(bound) => Some(Self::SpaceBound { bound: bound.clone(), known }),
            Detail::None
            | Detail::Range { .. }
            | Detail::LogEnd(_)
            | Detail::Records(_)
            | Detail::Leader { .. }
            | Detail::Poisoned
            | Detail::NotOpened(_) => None,
        }
    }
}

/// What is known of records that nobody has acknowledged.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Known {
    /// They were never sent, or every answer said that they were refused: they are not there.
    #[error("they were not written")]
    NotWritten,
    /// They were sent, and no answer says that they are not there: they may be.
    #[error("they may have been written")]
    Unknown,
}

/// Why a record was not taken. All is as before, except that batches may be on their way sooner.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The record is larger than the producer takes, or than all of its memory.
    #[error("a record of {bytes} bytes in its batch is larger than {max}")]
    TooLarge {
        /// How large it is, in a batch of its own.
        bytes: u64,
        /// How large it may be.
        max: u64,
    },
    /// There is no room, and there will be none without waiting. Come back after the next outcome, until the deadline.
    #[error("{used} of {max} bytes are in use; wait for room")]
    MustWait {
        /// How many bytes are in use.
        used: u64,
        /// How many there are.
        max: u64,
        /// Until when to wait, seen from now.
        deadline: Instant,
    },
    /// There is no room.
    #[error("{used} of {max} bytes are in use")]
    Full {
        /// How many bytes are in use.
        used: u64,
        /// How many there are.
        max: u64,
    },
    /// The producer was closed.
    #[error("the producer was closed")]
    Closed,
}
