//! Fetching: what a reader may see, and waiting until there is enough of it.

use crate::epoch::LeaderEpoch;
use crate::log::{AbortedTxn, Isolation, Reach, ReadError, ReadPlan, Span};
use crate::offset::Offset;
use crate::partition::waits::Goal;
use crate::partition::{Effect, EpochError, Partition, StopReason, Waiter};
use crate::record::{Batch, Header};
use crate::time::Instant;

/// What a reader asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fetch {
    /// Who asks.
    pub waiter: Waiter,
    /// The first offset it wants.
    pub from: Offset,
    /// At most this many bytes of whole batches, but at least one batch.
    pub bytes_max: u32,
    /// It waits until there are so many, or as many as `bytes_max`. With 0 it does not wait.
    pub bytes_min: u32,
    /// Until when it waits; `None` for as long as it takes. Then it gets what there is, be it nothing.
    pub deadline: Option<Instant>,
    /// How far it may see.
    pub isolation: Isolation,
    /// In which reign the asker believes this node to be, if it has an opinion.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The reign of the last batch it has, if it wants to be told where its history and this one part.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// What there is to read, and where the log stood.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The batches, or where they are: nothing was read.
    pub plan: ReadPlan,
    /// Under [`Isolation::ReadCommitted`]: transactions whose records among these do not count. It may name more.
    pub aborted: Vec<AbortedTxn>,
    /// The asker's history is another: up to where it is the same. Then there is nothing to read.
    pub diverging: Option<EpochEnd>,
    /// The first readable offset.
    pub log_start_offset: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The last stable offset.
    pub last_stable_offset: Offset,
    /// The end of the log.
    pub log_end_offset: Offset,
}

/// Where a reign ended in this log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EpochEnd {
    /// The reign.
    pub epoch: LeaderEpoch,
    /// The offset behind its last record.
    pub end_offset: Offset,
}

/// Why a fetch was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionFetchError {
    /// The asker believes in another reign.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// This node does not lead the partition.
    #[error(transparent)]
    Stopped(#[from] StopReason),
    /// The offset is not there, with both ends.
    #[error(transparent)]
    Range(#[from] ReadError),
}

/// The smallest batch there is has so many bytes: to wait for fewer is to wait for any.
const BATCH_BYTES_MIN: u32 = Header::BYTES as u32;

impl Partition {
    /// Answers with what there is to read from an offset on, by [`Effect::Fetched`]: at once if that is enough, or an
    /// error, or where the asker's history is another; else as soon as it is enough, the log start has passed the offset,
    /// the reign ends, or the log is poisoned; at the latest when [`expire`](Self::expire) says so.
    ///
    /// How much there is is known without reading: exactly from the high watermark on and as far back as the log has its
    /// bytes in memory. Further back any batch is taken for enough, so a fetch from there may be answered with less than it
    /// has asked for, and never waits for longer than it must.
    ///
    /// # Panics
    ///
    /// If the waiter waits already.
    pub fn fetch(&mut self, now: Instant, fetch: Fetch, out: &mut Vec<Effect>) {
        let waiter = fetch.waiter;
        assert!(!self.is_waiting(waiter), "{waiter:?} waits already");
        let is_over = fetch.deadline.is_some_and(|deadline| deadline <= now);
        match self.check_fetch(&fetch) {
            Ok(None) if !is_over && !self.is_enough(&fetch) => {
                if let Some(deadline) = fetch.deadline {
                    out.push(Effect::Wait { waiter, deadline });
                }
                self.fetches.insert(fetch, self.goal(&fetch));
            }
            Ok(_) | Err(_) => out.push(Effect::Fetched { waiter, answer: self.look(&fetch) }),
        }
        self.check();
    }

    /// Plans on behind a place in a file in which a reader has found nothing: compaction, or a gap. `None`: there is nothing
    /// behind it either. If another segment has its place by now, or none, this is [`fetch_again`](Self::fetch_again): what
    /// was behind it may be in front of where it ends.
    ///
    /// # Errors
    ///
    /// [`PartitionFetchError`].
    pub fn fetch_behind(&self, span: &Span, isolation: Isolation) -> Result<Option<Fetched>, PartitionFetchError> {
        if !self.log.has_still(span) {
            return self.fetch_again(span, isolation).map(Some);
        }
        Ok(match self.log.plan_behind(span) {
            ReadPlan::Nothing => None,
            plan @ (ReadPlan::Cached(_) | ReadPlan::File(_)) => Some(self.fetched(span.from, plan, isolation)),
        })
    }

    /// Plans a read again whose file is gone: retention or a compaction has been there since it was planned.
    ///
    /// # Errors
    ///
    /// [`PartitionFetchError`]: what was wanted may lie in front of the log start by now.
    pub fn fetch_again(&self, span: &Span, isolation: Isolation) -> Result<Fetched, PartitionFetchError> {
        self.leader()?;
        let plan = self.log.plan_read(span.from, span.bytes_max, isolation)?;
        Ok(self.fetched(span.from, plan, isolation))
    }

    /// What is wrong with a fetch, in the order of semantics 5.1, or where its history parts from this one.
    fn check_fetch(&self, fetch: &Fetch) -> Result<Option<EpochEnd>, PartitionFetchError> {
        self.leader()?.check_epoch(fetch.leader_epoch)?;
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        let out_of_range =
            ReadError::OutOfRange { requested: fetch.from, log_start_offset: start, log_end_offset: end };
        if let Some(last) = fetch.last_fetched_epoch {
            let known = self.log.epochs().end_offset_for(Some(last), end).ok_or(out_of_range)?;
            let (epoch, end_offset) = known;
            if fetch.from >= start && (epoch < last || end_offset < fetch.from) {
                return Ok(Some(EpochEnd { epoch, end_offset }));
            }
        }
        if fetch.from < start || fetch.from > end { Err(out_of_range.into()) } else { Ok(None) }
    }

    /// What there is now, whether or not it is enough.
    ///
    /// # Errors
    ///
    /// [`PartitionFetchError`].
    pub fn look(&self, fetch: &Fetch) -> Result<Fetched, PartitionFetchError> {
        let diverging = self.check_fetch(fetch)?;
        let plan = match diverging {
            Some(_) => ReadPlan::Nothing,
            None => self.log.plan_read(fetch.from, fetch.bytes_max, fetch.isolation)?,
        };
        Ok(Fetched { diverging, ..self.fetched(fetch.from, plan, fetch.isolation) })
    }

    fn fetched(&self, from: Offset, plan: ReadPlan, isolation: Isolation) -> Fetched {
        let upper = match &plan {
            ReadPlan::Nothing => None,
            ReadPlan::Cached(batches) => batches.last().map(Batch::next_offset),
            // A plan stays within its segment. What it leaves out of it only adds transactions to the list.
            ReadPlan::File(span) => Some(span.ceiling.min(span.segment_next)),
        };
        let aborted = match upper {
            Some(upper) if isolation == Isolation::ReadCommitted => self.log.aborted(from, upper),
            Some(_) | None => Vec::new(),
        };
        Fetched {
            plan,
            aborted,
            diverging: None,
            log_start_offset: self.log.log_start_offset(),
            high_watermark: self.log.high_watermark(),
            last_stable_offset: self.log.last_stable_offset(),
            log_end_offset: self.log.log_end_offset(),
        }
    }

    fn is_enough(&self, fetch: &Fetch) -> bool {
        match self.goal(fetch) {
            _ if fetch.bytes_min == 0 => true,
            Goal::Appended(_) => false,
            Goal::Readable(isolation, end) => end <= self.log.ceiling(isolation),
        }
    }

    /// What has to be so for the fetch to be worth an answer.
    fn goal(&self, fetch: &Fetch) -> Goal {
        let bytes = fetch.bytes_min.min(fetch.bytes_max);
        if bytes <= BATCH_BYTES_MIN {
            return Goal::Readable(fetch.isolation, fetch.from.advance(1));
        }
        match self.log.reach(fetch.from, u64::from(bytes)) {
            Reach::Offset(end) => Goal::Readable(fetch.isolation, end),
            Reach::Missing(bytes) => Goal::Appended(self.log.appended_bytes().saturating_add(bytes)),
        }
    }

    /// Answers the fetches for which there is enough now.
    pub(super) fn serve_fetches(&mut self, left: &mut usize, out: &mut Vec<Effect>) {
        while *left > 0
            && let Some(grown) = self.fetches.first_grown(self.log.appended_bytes())
        {
            *left -= 1;
            let goal = self.goal(&grown);
            self.fetches.set_goal(grown.waiter, goal);
        }
        while *left > 0
            && let Some(fetch) =
                self.fetches.pop_due(self.log.log_start_offset(), |isolation| self.log.ceiling(isolation))
        {
            *left -= 1;
            if fetch.deadline.is_some() {
                out.push(Effect::Settled { waiter: fetch.waiter });
            }
            out.push(Effect::Fetched { waiter: fetch.waiter, answer: self.look(&fetch) });
        }
    }

    /// The deadline of a fetch has passed: it gets what there is.
    pub(super) fn expire_fetch(&mut self, now: Instant, waiter: Waiter, out: &mut Vec<Effect>) {
        match self.fetches.get(waiter).and_then(|fetch| fetch.deadline) {
            Some(deadline) if deadline > now => out.push(Effect::Wait { waiter, deadline }),
            Some(_) => {
                if let Some(fetch) = self.fetches.remove(waiter) {
                    out.push(Effect::Fetched { waiter, answer: self.look(&fetch) });
                }
            }
            None => {}
        }
    }
}
