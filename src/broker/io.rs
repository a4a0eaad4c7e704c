//! What goes into a node and what comes out of it.

use crate::broker::snapshots::SnapshotJob;
use crate::controller::{AdoptRefusal, Adopted, Found, Opened, Snapshots, Uuid};
use crate::coordinator::Skipped;
use crate::id::{TopicId, TopicPartition};
use crate::log::{FileId, Isolation, Log, LogConfig, OpFailure, OpSeq, Replacement, Span, SpanFacts, SyncId};
use crate::message::{ListedOffset, Request, RequestError, Response};
use crate::offset::Offset;
use crate::partition::{
    CompactError, DiskWish, DroppedSegment, LeadError, PartitionConfig, PartitionFacts, Reign, StopReason, TimeSearch,
    Waiter,
};
use crate::record::{Batch, Checked, Entry};
use crate::time::Timestamp;

/// The asker's number for a request. One that is not answered yet is not to be used again, unless it was cancelled.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// What happens to a node.
#[derive(Debug)]
pub enum Input {
    /// Somebody asks for something. It is answered by [`Output::Respond`] with the same number, once; a produce that wants
    /// no acknowledgement never is.
    Request {
        /// The asker's number for it.
        id: RequestId,
        /// The time of day, for the records of a produce.
        date: Timestamp,
        /// What is asked for. Batches were checked outside.
        request: Request<Checked>,
    },
    /// Whoever asked this has gone: nobody waits for the answer. What was appended stays.
    Cancel(RequestId),
    /// This node holds and leads a partition from now on.
    Host(Box<Host>),
    /// It does so no more: who waits to append or to read is told why. [`StopReason::Closed`] also has all that is in memory written and
    /// flushed first. The partition stays, for its reports, until it is released.
    Stop {
        /// Which one.
        partition: TopicPartition,
        /// Why.
        reason: StopReason,
    },
    /// The partition is forgotten. Whoever still waits is answered first, all at once. No report of its disk may come after
    /// this: it would be taken for one of the next partition of this name.
    Release(TopicPartition),
    /// What has come of an [`Output::Disk`].
    Disk {
        /// Of which partition.
        partition: TopicPartition,
        /// What has come of it.
        report: DiskReport,
    },
    /// What an [`Output::Find`] has found.
    Found {
        /// Its number.
        waiter: Waiter,
        /// The record, or none; or why it could not be looked for.
        result: Result<Option<ListedOffset>, RequestError>,
    },
    /// What an [`Output::Load`] has read.
    Loaded {
        /// Its number.
        waiter: Waiter,
        /// What was there, in order; empty if nothing was.
        entries: Vec<Entry>,
        /// Where to go on if what is in front of that, and behind the entries, cannot be read; it is given up. `None` to go
        /// on behind the entries.
        next: Option<Offset>,
    },
    /// What an [`Output::Load`] wants is not there any more: retention or a compaction has been there. It is planned again.
    LoadAgain {
        /// Its number.
        waiter: Waiter,
    },
    /// What an [`Output::Load`] wants cannot be read, nor anything behind it.
    NotLoaded {
        /// Its number.
        waiter: Waiter,
        /// Why.
        why: String,
    },
    /// Time to let go of what retention does not keep, of producers that have long been idle, and of offsets that groups
    /// have committed long ago.
    Upkeep {
        /// Of which partition.
        partition: TopicPartition,
        /// The time of day.
        date: Timestamp,
    },
    /// A segment was compacted: it is to take the place of those it was made of. [`Output::Replaced`] says what has become of
    /// that, if the partition is here.
    Replace {
        /// Of which partition.
        partition: TopicPartition,
        /// The segment.
        replacement: Box<Replacement>,
    },
    /// All that is appended to the partition so far is to be brought to disk.
    Flush(TopicPartition),
    /// This node is the controller, and its metadata partition is here: what the log of metadata needs first is appended.
    Start {
        /// The time of day.
        date: Timestamp,
    },
    /// These partitions have a directory here, and the metadata knows nothing of them: it is to take them over.
    /// [`Output::Adopted`] says which ones it has.
    Adopt {
        /// Which ones, and how they were found.
        found: Vec<Found>,
        /// The time of day.
        date: Timestamp,
    },
    /// The logs of these partitions are open. The controller decides who leads them; [`Output::Led`] says it for each.
    Lead {
        /// Which ones, and how they were found.
        opened: Vec<Opened>,
        /// The time of day.
        date: Timestamp,
    },
    /// A partition of an [`Output::Open`] could not be opened: who waits for it is told so, and whoever asks for it is refused
    /// by this error, until it is hosted ([`Input::Lead`]) or deleted.
    NotOpened {
        /// Which one.
        partition: TopicPartition,
        /// Why.
        error: RequestError,
    },
    /// A partition that the metadata places here could not be opened: whoever asks for it is refused by this error, until it is
    /// hosted or deleted.
    Absent {
        /// Which one.
        partition: TopicPartition,
        /// Why.
        error: RequestError,
    },
    /// From now on the metadata is written as a snapshot now and then ([`Output::Snapshot`]), and its log does not grow for
    /// ever. To be given when all is removed that the log says was deleted.
    WriteSnapshots(Box<Snapshots>),
    /// The snapshot of an [`Output::Snapshot`] is written and durable.
    Snapshotted {
        /// The time of day.
        date: Timestamp,
    },
    /// The snapshot of an [`Output::Snapshot`] could not be written. It is due again at the next [`Input::Upkeep`] of the
    /// metadata.
    NotSnapshotted,
    /// Files of a deleted topic could not be removed. The metadata's log stays whole, so that the next opening tries again.
    FilesLeft,
    /// Time has passed, or [`Output::Again`] has asked for it.
    Wake,
}

/// A partition that a node is to hold.
#[derive(Debug)]
pub struct Host {
    /// Its log, as its opening has left it.
    pub log: Log,
    /// Which partition it is.
    pub facts: PartitionFacts,
    /// The reign in which this node leads it.
    pub reign: Reign,
    /// Its settings.
    pub config: PartitionConfig,
}

/// What a node wants of its driver.
#[derive(Clone, Debug)]
pub enum Output {
    /// Do this to the files of a partition, and report it by [`Input::Disk`]. Those of one partition are put into its lanes
    /// in the order in which they come out.
    Disk {
        /// Of which partition.
        partition: TopicPartition,
        /// What to do.
        wish: DiskWish,
    },
    /// The number of a request is that of another, which is not answered yet. It was not taken; the other one goes on.
    Rejected(RequestId),
    /// Answer the asker.
    Respond {
        /// Its number.
        id: RequestId,
        /// The answer.
        response: Response<Body>,
    },
    /// A produce that wants no answer was refused. To be counted.
    Refused {
        /// Where.
        partition: TopicPartition,
        /// Why.
        error: RequestError,
    },
    /// Look for a record by its date, in the files, and report by [`Input::Found`].
    Find {
        /// The number of this.
        waiter: Waiter,
        /// In which partition.
        partition: TopicPartition,
        /// Where and what. [`Broker::span_facts`](super::Broker::span_facts) has what it takes to read there.
        search: TimeSearch,
    },
    /// Read this piece of a partition that a coordinator has to know, and report by [`Input::Loaded`] or
    /// [`Input::NotLoaded`]. Commits of its groups are refused until all pieces are read.
    Load {
        /// The number of this.
        waiter: Waiter,
        /// Of which partition.
        partition: TopicPartition,
        /// The batches, or where they are.
        body: Body,
    },
    /// Records of a partition that a coordinator has to know could not be read. To be told.
    Skipped {
        /// In which partition.
        partition: TopicPartition,
        /// Which, and why.
        skipped: Skipped,
    },
    /// Write this snapshot of the metadata, and report by [`Input::Snapshotted`]. It takes no lock: nothing of it changes.
    Snapshot(Box<SnapshotJob>),
    /// A segment has gone to make room for others. To be told.
    Dropped {
        /// Of which partition.
        partition: TopicPartition,
        /// Which one.
        segment: DroppedSegment,
    },
    /// What has become of an [`Input::Replace`]: it comes with the outputs of that input.
    Replaced {
        /// Of which partition.
        partition: TopicPartition,
        /// Why the segment is to be thrown away, if it is.
        result: Result<(), CompactError>,
    },
    /// The partition could not be taken, and its log was dropped.
    NotHosted {
        /// Which one.
        partition: TopicPartition,
        /// Why.
        error: NotHosted,
    },
    /// Make a partition's log, and give it by [`Input::Host`]; or say [`Input::NotOpened`]. If its topic has gone meanwhile
    /// ([`Broker::image`](super::Broker::image)), nothing is to be left of it, and nobody waits to be told.
    Open(Box<Opening>),
    /// What has become of an [`Input::Start`]: the metadata has what it needs first, or why not.
    Started(Result<(), RequestError>),
    /// What has become of an [`Input::Adopt`].
    Adopted {
        /// The partitions that the metadata has now, or why it has none of them.
        result: Result<Vec<Adopted>, RequestError>,
        /// Those that it did not take, and why.
        refused: Vec<(TopicPartition, AdoptRefusal)>,
    },
    /// Who leads a partition of [`Input::Lead`] was decided.
    Led {
        /// Which partition.
        partition: TopicPartition,
        /// In which reign this node leads it, or why it does not.
        result: Result<Reign, RequestError>,
    },
    /// The partition is deleted: remove its files, once all that it asked for is done, and release it if it was hosted.
    Delete(TopicPartition),
    /// There is more to do than one input may: give it [`Input::Wake`] soon.
    Again,
}

/// A partition that is to be made.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Which one.
    pub partition: TopicPartition,
    /// The id of its topic, to stand in its directory before its first record does.
    pub topic_id: TopicId,
    /// The log directory that it is to lie in.
    pub directory: Option<Uuid>,
    /// The settings of its log.
    pub log: LogConfig,
    /// Its other settings.
    pub config: PartitionConfig,
    /// The reign in which this node leads it.
    pub reign: Reign,
}

/// Why a partition was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotHosted {
    /// It cannot be led.
    #[error(transparent)]
    Lead(#[from] LeadError),
    /// It is here already.
    #[error("the partition is here already")]
    Twice,
}

/// What has come of a [`DiskWish`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DiskReport {
    /// All ops up to this one are performed.
    Done(OpSeq),
    /// This op was not, nor any behind it.
    Failed(OpSeq, OpFailure),
    /// The flush has succeeded.
    Synced(SyncId),
    /// The flush has failed, and why.
    SyncFailed(SyncId, String),
    /// Space is reserved up to so many bytes.
    Reserved(FileId, u32),
    /// Not even what was needed could be reserved.
    ReserveFailed(u32, OpFailure),
    /// The next [`DiskWish::Mark`] is durable: each is reported, in their order. Whoever has deleted records waits for it.
    Marked,
    /// There was no space for the next [`DiskWish::Mark`]; it goes on without.
    NotMarked,
    /// A mark could not be written, for another reason than that there is no space.
    MarkFailed(String),
    /// Something that was begun beside the log can neither be ended nor undone, and why.
    GaveUp(String),
}

/// What a fetch is answered with: the batches, or where they are.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing to read.
    Nothing,
    /// The very batches that were appended.
    Batches(Vec<Batch>),
    /// To be read by whoever is answered, with no lock held.
    File(Box<FileRead>),
}

/// A read that is planned and not done.
#[derive(Clone, Debug)]
pub struct FileRead {
    /// From which partition.
    pub partition: TopicPartition,
    /// Of which topic: it is not read from another of the same name that was made since.
    pub topic_id: Option<TopicId>,
    /// From which place. If it turns out to hold nothing, [`Broker::fetch_behind`](super::Broker::fetch_behind) plans on; if
    /// it is not there any more, [`Broker::fetch_again`](super::Broker::fetch_again) plans again.
    pub span: Span,
    /// What it takes to read it.
    pub facts: SpanFacts,
    /// How far the reader may see.
    pub isolation: Isolation,
}

impl FileRead {
    /// So many offsets a reader tries that looks for the end of what is corrupt.
    const CORRUPT_OFFSETS_MAX: u64 = 1024;

    /// Where a reader goes on that gives up what is corrupt: the batch at `offset`, of which nobody knows how long it is. One
    /// offset further; and, if that has not helped for long, behind the segment.
    pub fn behind_corrupt(&self, offset: Offset) -> Offset {
        let from = self.span.from.max(offset);
        let is_near = from.since(offset).is_some_and(|tried| tried < Self::CORRUPT_OFFSETS_MAX);
        if is_near { from.advance(1) } else { self.span.segment_next.max(from) }
    }
}
