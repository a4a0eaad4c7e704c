//! A partition that a node leads, on a disk that does what it is told to when it is told to.

use ottla::epoch::LeaderEpoch;
use ottla::id::{BrokerId, TopicPartition};
use ottla::log::{
    Appended, DiskOp, Effect as DiskEffect, FileId, FileName, Isolation, Log, LogConfig, OpSeq, ReadPlan, SyncId,
};
use ottla::offset::Offset;
use ottla::partition::{
    Acks, DiskWish, Durability, Effect, Fetch, Fetched, Found, Partition, PartitionConfig, PartitionFacts,
    PartitionFetchError, Produce, ProduceError, Reign, Waiter,
};
use ottla::record::{Batch, Origin, Rules};
use ottla::time::Instant;

use crate::support::{NOW, at, batch};

pub(crate) const THIS: BrokerId = BrokerId::new(1);
pub(crate) const NEVER: Option<Instant> = None;

/// What one asker was told.
#[derive(Debug)]
pub(crate) enum Answer {
    Produced(Result<Appended, ProduceError>),
    Fetched(Result<Fetched, PartitionFetchError>),
}

/// What was asked to be noted about the log, beside its records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Noted {
    /// That all in front of this offset is flushed, durably.
    Mark(u64),
    /// Where reigns begin.
    Reigns,
}

pub(crate) struct Node {
    pub(crate) partition: Partition,
    pub(crate) out: Vec<Effect>,
    pub(crate) answers: Vec<(u64, Answer)>,
    /// Deadlines that the driver was told and not told to forget.
    pub(crate) timers: Vec<(u64, u64)>,
    /// When the driver is to look whether a flush is due.
    pub(crate) flush_alarms: Vec<u64>,
    pub(crate) refused: Vec<ProduceError>,
    pub(crate) noted: Vec<Noted>,
    ops: Vec<OpSeq>,
    reserves: Vec<(FileId, u32)>,
    syncs: Vec<SyncId>,
    next_waiter: u64,
}

pub(crate) fn facts() -> PartitionFacts {
    let partition = TopicPartition::parse("t-0").unwrap();
    PartitionFacts { partition, topic_id: None, broker: THIS, found: Found::Whole }
}

pub(crate) fn reign(epoch: u32) -> Reign {
    Reign::alone(THIS, LeaderEpoch::new(epoch))
}

/// A reign over three replicas.
pub(crate) fn reign_over_three(isr: &[u32]) -> Reign {
    let set = |ids: &[u32]| ids.iter().map(|id| BrokerId::new(*id)).collect();
    Reign { replicas: set(&[1, 2, 3]), isr: set(isr), ..reign(0) }
}

impl Node {
    pub(crate) fn new(log: LogConfig) -> Self {
        Self::with(log, PartitionConfig::default(), reign(0))
    }

    /// Its first segment is there, and has space.
    pub(crate) fn with(log: LogConfig, config: PartitionConfig, reign: Reign) -> Self {
        let mut effects = Vec::new();
        let log = Log::new(log, Offset::ZERO, NOW, &mut effects).unwrap();
        let mut node = Self::lead(log, config, reign);
        node.out.splice(0..0, effects.into_iter().map(Effect::from));
        let (file, len) = (node.partition.log().active_segment().files.log, 1 << 20);
        node.partition.reserved(file, len, &mut node.out);
        node.settle();
        node
    }

    pub(crate) fn lead(log: Log, config: PartitionConfig, reign: Reign) -> Self {
        let mut out = Vec::new();
        let partition = Partition::lead(log, facts(), reign, config, &mut out).unwrap();
        Self {
            partition,
            out,
            answers: Vec::new(),
            timers: Vec::new(),
            flush_alarms: Vec::new(),
            refused: Vec::new(),
            noted: Vec::new(),
            ops: Vec::new(),
            reserves: Vec::new(),
            syncs: Vec::new(),
            next_waiter: 0,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.partition.log().log_end_offset().get()
    }

    pub(crate) fn high_watermark(&self) -> u64 {
        self.partition.high_watermark().get()
    }

    /// One record; answers who asked.
    pub(crate) fn produce(&mut self, acks: Acks) -> u64 {
        self.produce_batch(&batch(&["value"]), acks)
    }

    pub(crate) fn produce_batch(&mut self, batch: &Batch, acks: Acks) -> u64 {
        self.ask(batch, Origin::Client, |produce| produce.acks = acks)
    }

    pub(crate) fn ask(&mut self, batch: &Batch, origin: Origin, change: impl FnOnce(&mut Produce)) -> u64 {
        let batch = batch.check(&Rules { origin, ..Rules::default() }, NOW).unwrap();
        let mut produce = Produce {
            waiter: self.waiter(),
            batch,
            acks: Acks::All,
            durability: Durability::Written,
            deadline: NEVER,
            expected_offset: None,
            leader_epoch: None,
        };
        change(&mut produce);
        self.partition.produce(Instant::ZERO, NOW, produce, &mut self.out);
        self.take();
        self.next_waiter
    }

    pub(crate) fn fetch(&mut self, from: u64, bytes_min: u32, isolation: Isolation) -> u64 {
        self.fetch_by(from, bytes_min, |fetch| fetch.isolation = isolation)
    }

    pub(crate) fn fetch_by(&mut self, from: u64, bytes_min: u32, change: impl FnOnce(&mut Fetch)) -> u64 {
        let mut fetch = Fetch {
            waiter: self.waiter(),
            from: at(from),
            bytes_max: 1 << 20,
            bytes_min,
            deadline: NEVER,
            isolation: Isolation::HighWatermark,
            leader_epoch: None,
            last_fetched_epoch: None,
        };
        change(&mut fetch);
        self.partition.fetch(Instant::ZERO, fetch, &mut self.out);
        self.take();
        self.next_waiter
    }

    fn waiter(&mut self) -> Waiter {
        self.next_waiter += 1;
        Waiter(self.next_waiter)
    }

    pub(crate) fn expire(&mut self, now: u64, waiter: u64) {
        self.timers.retain(|(timer, _)| *timer != waiter);
        self.partition.expire(Instant::from_millis(now), Waiter(waiter), &mut self.out);
        self.take();
    }

    pub(crate) fn flush_if_due(&mut self, now: u64) {
        self.partition.flush_if_due(Instant::from_millis(now), &mut self.out);
        self.take();
    }

    /// Whether a flush is under way.
    pub(crate) fn is_syncing(&self) -> bool {
        !self.syncs.is_empty()
    }

    /// The ops that are to be done, oldest first.
    pub(crate) fn pending_ops(&self) -> &[OpSeq] {
        &self.ops
    }

    /// All that was asked of the disk is done, but for flushes.
    pub(crate) fn write(&mut self) {
        while !self.ops.is_empty() || !self.reserves.is_empty() || !self.out.is_empty() {
            self.take();
            if let Some(last) = self.ops.drain(..).next_back() {
                self.partition.done(last, &mut self.out);
            }
            for (file, len) in std::mem::take(&mut self.reserves) {
                self.partition.reserved(file, len, &mut self.out);
            }
            self.take();
        }
    }

    /// The flush that is under way succeeds.
    pub(crate) fn sync(&mut self) {
        for id in std::mem::take(&mut self.syncs) {
            self.partition.synced(id, &mut self.out);
        }
        self.take();
    }

    pub(crate) fn sync_fails(&mut self) {
        let id = self.syncs.pop().unwrap();
        self.partition.sync_failed(id, "EIO", &mut self.out);
        self.take();
    }

    /// All that was asked of the disk is done.
    pub(crate) fn settle(&mut self) {
        self.write();
        while !self.syncs.is_empty() {
            self.sync();
            self.write();
        }
    }

    /// Sorts what came out.
    pub(crate) fn take(&mut self) {
        for effect in std::mem::take(&mut self.out) {
            match effect {
                Effect::Disk(DiskWish::Log(DiskEffect::Op(seq, DiskOp::Reserve { .. }))) => panic!("{seq:?}"),
                Effect::Disk(DiskWish::Log(DiskEffect::Op(seq, op))) => {
                    self.ops.push(seq);
                    if matches!(op, DiskOp::Replace { name: FileName::LeaderEpochs, .. }) {
                        self.noted.push(Noted::Reigns);
                    }
                }
                Effect::Disk(DiskWish::Log(DiskEffect::Sync(sync))) => self.syncs.push(sync.id),
                Effect::Disk(DiskWish::Log(DiskEffect::Remove(_))) => {}
                Effect::Disk(DiskWish::Mark(mark)) => self.noted.push(Noted::Mark(mark.offset.get())),
                Effect::Disk(DiskWish::Reserve { file, wanted, .. }) => self.reserves.push((file, wanted)),
                Effect::Produced { waiter, result } => self.answers.push((waiter.0, Answer::Produced(result))),
                Effect::Fetched { waiter, answer } => self.answers.push((waiter.0, Answer::Fetched(answer))),
                Effect::Refused { error, .. } => self.refused.push(error),
                Effect::Wait { waiter, deadline } => self.timers.push((waiter.0, deadline.as_millis())),
                Effect::Settled { waiter } => self.timers.retain(|(timer, _)| *timer != waiter.0),
                Effect::FlushBy { deadline } => self.flush_alarms.push(deadline.as_millis()),
                Effect::Again => self.partition.proceed(&mut self.out),
            }
        }
        if !self.out.is_empty() {
            self.take();
        }
    }

    /// What `waiter` was told, once; none if it still waits.
    pub(crate) fn answer(&mut self, waiter: u64) -> Option<Answer> {
        let at = self.answers.iter().position(|(asked, _)| *asked == waiter)?;
        Some(self.answers.remove(at).1)
    }

    /// The offset that `waiter` was given; none if it still waits.
    pub(crate) fn produced(&mut self, waiter: u64) -> Option<Result<u64, ProduceError>> {
        match self.answer(waiter)? {
            Answer::Produced(result) => Some(result.map(|appended| appended.base_offset.get())),
            Answer::Fetched(answer) => panic!("{answer:?}"),
        }
    }

    pub(crate) fn fetched(&mut self, waiter: u64) -> Option<Result<Fetched, PartitionFetchError>> {
        match self.answer(waiter)? {
            Answer::Fetched(answer) => Some(answer),
            Answer::Produced(result) => panic!("{result:?}"),
        }
    }

    /// The offsets of the batches that `waiter` was given; none if it still waits.
    pub(crate) fn offsets(&mut self, waiter: u64) -> Option<Vec<u64>> {
        Some(offsets(&self.fetched(waiter)?.unwrap()))
    }
}

/// Where the batches begin that were served from memory.
pub(crate) fn offsets(fetched: &Fetched) -> Vec<u64> {
    match &fetched.plan {
        ReadPlan::Nothing => Vec::new(),
        ReadPlan::Cached(batches) => batches.iter().map(|batch| batch.base_offset().get()).collect(),
        ReadPlan::File(span) => panic!("{span:?}"),
    }
}
