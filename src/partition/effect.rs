//! What a partition wants of its driver.

use crate::log::{self, Appended, FileId, FlushedMark};
use crate::partition::Waiter;
use crate::partition::fetch::{Fetched, PartitionFetchError};
use crate::partition::produce_error::ProduceError;
use crate::time::Instant;

/// What a partition wants of its driver, which takes the effects in the order in which they come out.
///
/// `Disk` of one partition is put into its lanes before the lock under which it came out is released. All others may be
/// carried out at any time after, but those that name one waiter in their order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Do it to the partition's files.
    Disk(DiskWish),
    /// Tell the asker what has become of its produce.
    Produced {
        /// Who asked.
        waiter: Waiter,
        /// Where its records are, at the durability it asked for; or why it cannot be said that they are.
        result: Result<Appended, ProduceError>,
    },
    /// A produce that wants no answer was refused. To be counted.
    Refused {
        /// Who asked.
        waiter: Waiter,
        /// Why.
        error: ProduceError,
    },
    /// Tell the asker what there is to read.
    Fetched {
        /// Who asked.
        waiter: Waiter,
        /// Where it is, or why there is none.
        answer: Result<Fetched, PartitionFetchError>,
    },
    /// The asker waits: call [`expire`](crate::partition::Partition::expire) once `deadline` has passed.
    Wait {
        /// Who waits.
        waiter: Waiter,
        /// Until when.
        deadline: Instant,
    },
    /// The deadline of this waiter is not needed any more.
    Settled {
        /// Who waited.
        waiter: Waiter,
    },
    /// What was appended is to be on its way to disk by then: call
    /// [`flush_if_due`](crate::partition::Partition::flush_if_due) once `deadline` has passed. Earlier ones count too.
    FlushBy {
        /// By when.
        deadline: Instant,
    },
    /// More is to be done than one call may do: call [`proceed`](crate::partition::Partition::proceed) soon.
    Again,
}

/// What is to be done to the files of a partition.
#[derive(Clone, Debug)]
pub enum DiskWish {
    /// Perform it as its lane demands (see [`log::Effect`]), then report [`done`](crate::partition::Partition::done),
    /// [`failed`](crate::partition::Partition::failed), [`synced`](crate::partition::Partition::synced) or
    /// [`sync_failed`](crate::partition::Partition::sync_failed). After a flush that has succeeded, write the
    /// [`mark`](log::Log::mark) of the log too: that one may trail.
    Log(log::Effect),
    /// In the place of lane 1 where it came out, behind the ops in front of it: give `file` blocks up to `wanted` bytes,
    /// or, if there is no space for that, up to `needed`; its length stays. Then report
    /// [`reserved`](crate::partition::Partition::reserved), or else
    /// [`reserve_failed`](crate::partition::Partition::reserve_failed) and go on with the ops behind it.
    Reserve {
        /// Which file.
        file: FileId,
        /// How long it is about to become.
        needed: u32,
        /// How much would be good to have.
        wanted: u32,
    },
    /// Write this flushed mark into both of its copies, durably, before anything that came out behind it is performed. It
    /// waits for nothing in the lanes: space may have to be made by what comes behind it. If there is no space for it, go on
    /// without; if it fails otherwise, report [`mark_failed`](crate::partition::Partition::mark_failed) and perform
    /// nothing more.
    Mark(Box<FlushedMark>),
}

impl From<log::Effect> for Effect {
    fn from(effect: log::Effect) -> Self {
        Self::Disk(DiskWish::Log(effect))
    }
}
