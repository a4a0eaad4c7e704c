//! One partition on one node, as a state machine: who may append, who may read how far, who waits for what.
//!
//! A [`Partition`] owns one [`Log`] and adds what a log does not know: that it leads, in which reign, which replicas it
//! waits for, and the askers. The disk is one more acknowledger of an offset, like a follower: the high watermark is the
//! least end that all in-sync replicas have acknowledged, and on a node alone that is what its own disk has said.
//!
//! Whoever cannot be answered at once is an entry in a list that is ordered by what it waits for: an append waits for its
//! end to be written, flushed or committed, a fetch for an offset to become readable. So what has come is answered by
//! taking entries off the front, and 10,000 who wait for something else cost nothing.
//!
//! - May use: `offset`, `epoch`, `id`, `time`, `record`, `log`.
//! - Must not know: files, threads, clocks, the wheel that its deadlines are on, messages and their error codes, other
//!   partitions.
//! - Always true: `log_start_offset <= high_watermark <= written`; the high watermark of a leader never goes back; nobody
//!   is shown what lies behind the bound of its isolation; each asker is answered once, and after
//!   [`stop`](Partition::stop) nobody is left waiting; no append is decided before the one in front of it.

mod effect;
mod facts;
mod fetch;
mod flush_timer;
mod offsets;
mod produce;
mod produce_error;
mod reign_mark;
mod reports;
mod role;
mod room;
mod space;
mod upkeep;
mod waits;

pub use effect::{DiskWish, Effect};
pub use facts::{
    Acks, Durability, EpochError, Found, LeadError, PartitionConfig, PartitionFacts, Reign, StopReason, Waiter,
};
pub use fetch::{EpochEnd, Fetch, Fetched, PartitionFetchError};
pub use offsets::{ListOffsets, ListOffsetsError, ListedOffset, OffsetSpec, TimeSearch};
pub use produce::Produce;
pub use produce_error::{ProduceError, Reached, Unfinished};
pub use space::{DroppedSegment, Foreseen, Growth, INDEX_GROWTH_MAX, Oldest, PartitionSpace};
pub use upkeep::{CompactError, DeleteRecordsError, DeleteTo};

use flush_timer::FlushTimer;
use role::{Leader, Role};
use room::Room;
use waits::{FetchWaits, Held, Level, ProduceWaits};

use crate::epoch::LeaderEpoch;
use crate::log::{self, Health, Log};
use crate::offset::Offset;
use crate::time::Instant;

/// One partition on one node (see the [room](self)).
///
/// Every method that changes it appends to `out` what the driver has to do, in order.
#[derive(Debug)]
pub struct Partition {
    facts: PartitionFacts,
    config: PartitionConfig,
    log: Log,
    role: Role,
    /// What the opening has found may not be on disk yet.
    unsettled: bool,
    /// A reign whose beginning the log does not know yet.
    unnoted: Option<LeaderEpoch>,
    /// Up to where the last [`DiskWish::Mark`] says that all is on disk, or an earlier life of the log did.
    marked_end: Offset,
    held: Held,
    room: Room,
    produces: ProduceWaits,
    fetches: FetchWaits,
    flush_asked: bool,
    unflushed_records: u64,
    flush_timer: FlushTimer,
    /// More is due than one call answers.
    is_behind: bool,
    /// Kept so that not every call allocates one.
    effects: Vec<log::Effect>,
}

impl Partition {
    /// The partition whose log this is, on the node that leads it (semantics 8.1).
    ///
    /// # Errors
    ///
    /// [`LeadError`] if the log knows a later reign, or this node is not in sync.
    pub fn lead(
        log: Log,
        facts: PartitionFacts,
        reign: Reign,
        config: PartitionConfig,
        out: &mut Vec<Effect>,
    ) -> Result<Self, LeadError> {
        let mut partition = Self {
            unsettled: facts.found == Found::Unsettled,
            unnoted: None,
            marked_end: log.log_start_offset(),
            facts,
            config,
            log,
            role: Role::Stopped(StopReason::Resigned),
            held: Held::default(),
            room: Room::default(),
            produces: ProduceWaits::default(),
            fetches: FetchWaits::default(),
            flush_asked: false,
            unflushed_records: 0,
            flush_timer: FlushTimer::default(),
            is_behind: false,
            effects: Vec::new(),
        };
        partition.become_leader(reign, out)?;
        Ok(partition)
    }

    /// Begins a reign, or takes over a later decision about this one. A new reign begins at the log end, which its leader
    /// notes in the log before anything is appended, and once what an opening has found is on disk; fetches that wait get what there is, or an error if they believe in
    /// another reign, and produces wait on.
    ///
    /// # Errors
    ///
    /// [`LeadError`]; then nothing has changed.
    pub fn become_leader(&mut self, reign: Reign, out: &mut Vec<Effect>) -> Result<(), LeadError> {
        self.check_reign(&reign)?;
        let epoch = reign.leader_epoch;
        let before = match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Stopped(_) => None,
        };
        let same = before.filter(|before| before.epoch() == epoch);
        let (epoch_start, is_new) = match (same, self.log.epochs().last()) {
            (Some(same), _) => (same.epoch_start, false),
            (None, Some(last)) if last.epoch == epoch => (last.start_offset, true),
            (None, _) => (self.log.log_end_offset(), true),
        };
        self.role = Role::Leader(Leader::new(self.facts.broker, reign, epoch_start, before));
        if is_new {
            self.unnoted = Some(epoch);
            self.note_reign(out);
            self.fetches.end_all();
        }
        self.proceed(out);
        Ok(())
    }

    fn check_reign(&self, reign: &Reign) -> Result<(), LeadError> {
        let (found, broker) = (reign.leader_epoch, self.facts.broker);
        match &self.role {
            Role::Stopped(reason @ (StopReason::Closed | StopReason::Deleted)) => return Err((*reason).into()),
            Role::Leader(leader) if reign.partition_epoch < leader.reign.partition_epoch => {
                let (found, current) = (reign.partition_epoch, leader.reign.partition_epoch);
                return Err(LeadError::Stale { found, current });
            }
            Role::Stopped(StopReason::Resigned) | Role::Leader(_) => {}
        }
        match self.log.epochs().latest() {
            Some(current) if found < current => Err(LeadError::Fenced { found, current }),
            _ if !reign.isr.contains(&broker) || !reign.isr.is_subset(&reign.replicas) => {
                Err(LeadError::NotInSync { broker })
            }
            _ => Ok(()),
        }
    }

    /// Leads no more: every wait ends with an error that says why, at once or in the next calls of
    /// [`proceed`](Self::proceed). What was appended stays.
    pub fn stop(&mut self, reason: StopReason, out: &mut Vec<Effect>) {
        self.role = Role::Stopped(reason);
        self.fetches.end_all();
        self.proceed(out);
    }

    /// Stops, and has all that is in memory only written and flushed. The log may be closed once
    /// [`Log::is_settled`] says so and its [`mark`](Log::mark) is clean.
    pub fn close(&mut self, out: &mut Vec<Effect>) {
        if !matches!(self.log.health(), Health::Poisoned { .. }) {
            self.with_log(out, Log::write_out);
        }
        self.flush_asked = true;
        self.stop(StopReason::Closed, out);
    }

    /// The deadline of `waiter` has passed: it is answered with what there is, or with an error that says what it was given.
    /// Too early it is told to wait on; too late, nothing happens.
    pub fn expire(&mut self, now: Instant, waiter: Waiter, out: &mut Vec<Effect>) {
        self.expire_produce(now, waiter, out);
        self.expire_fetch(now, waiter, out);
        self.check();
    }

    /// Forgets one that waits, without an answer and without [`Effect::Settled`]: the asker has gone, and its deadline is not
    /// needed any more. A batch of it that was appended stays. Answers whether it was waiting.
    pub fn cancel(&mut self, waiter: Waiter) -> bool {
        let held = self.held.remove(waiter).is_some();
        let produce = self.produces.remove(waiter).is_some();
        let fetch = self.fetches.remove(waiter).is_some();
        held || produce || fetch
    }

    /// Which partition this is.
    pub fn facts(&self) -> &PartitionFacts {
        &self.facts
    }

    /// The settings that are not the log's.
    pub fn config(&self) -> &PartitionConfig {
        &self.config
    }

    /// The log: its ends, segments, epochs, producers and health.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The reign, if this node leads.
    pub fn reign(&self) -> Option<&Reign> {
        self.leader().ok().map(|leader| &leader.reign)
    }

    /// The number of the reign, if this node leads.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.reign().map(|reign| reign.leader_epoch)
    }

    /// The end of what is committed.
    pub fn high_watermark(&self) -> Offset {
        self.log.high_watermark()
    }

    /// How many wait for an answer.
    pub fn waiting(&self) -> usize {
        self.held.len() + self.produces.len() + self.fetches.len()
    }

    /// Whether `waiter` waits for an answer.
    pub fn is_waiting(&self, waiter: Waiter) -> bool {
        self.held.get(waiter).is_some() || self.produces.get(waiter).is_some() || self.fetches.get(waiter).is_some()
    }

    fn leader(&self) -> Result<&Leader, StopReason> {
        match &self.role {
            Role::Leader(leader) => Ok(leader),
            Role::Stopped(reason) => Err(*reason),
        }
    }

    fn with_log<T>(&mut self, out: &mut Vec<Effect>, step: impl FnOnce(&mut Log, &mut Vec<log::Effect>) -> T) -> T {
        let answer = step(&mut self.log, &mut self.effects);
        out.extend(self.effects.drain(..).map(Effect::from));
        answer
    }

    /// What always holds; run after every step.
    fn check(&self) {
        let log = &self.log;
        assert!(log.high_watermark() <= log.written(), "the high watermark is past what is written");
        assert!(log.last_stable_offset() <= log.high_watermark(), "what is stable is not committed");
        if self.is_behind {
            return;
        }
        for (level, reached) in
            [(Level::Written, log.written()), (Level::Flushed, log.flushed()), (Level::Committed, log.high_watermark())]
        {
            assert!(self.produces.first(level).is_none_or(|end| end > reached), "a produce waits for what is there");
        }
        if matches!(self.role, Role::Stopped(_)) {
            assert!(self.waiting() == 0, "somebody waits for a partition that was stopped");
        }
    }
}
