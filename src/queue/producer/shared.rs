//! What all handles of a producer share, and how its lanes are driven.
//!
//! Whoever changes a lane then [drives](Shared::drive) it: takes what may be sent, builds it, hands it over, tells what has
//! become of it. So the threads of those who send do the work, and the node's threads when answers and deadlines come.
//!
//! - May use: the newtypes, `producer`, `message`, `client` and `permits` of its room, and its siblings.
//! - Must not know: threads, files.
//! - Always true: with no lane's lock held by a thread, its lanes' deadlines are noted, and their spare bytes given back; a
//!   lock of a lane is never held while the node, a callback or another lane is called.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::id::{TopicName, TopicPartition};
use crate::message::{Acks, ErrorCode};
use crate::producer::{LaneId, Outgoing, Unbuilt, WhenFull};
use crate::queue::client::{Client, Clocked};
use crate::queue::permits::Permits;
use crate::queue::producer::config::ProducerConfig;
use crate::queue::producer::due::Due;
use crate::queue::producer::fault::SendFault;
use crate::queue::producer::identity::Identity;
use crate::queue::producer::lane::{LaneState, PartitionLane, Step};
use crate::queue::producer::ticket::BatchTickets;
use crate::queue::producer::topics::{Picker, TopicLanes, Topics};
use crate::queue::sync::{Mutex, MutexGuard};
use crate::queue::telemetry;
use crate::record::BuildError;
use crate::time::Instant;

/// What all handles of a producer share.
#[derive(Debug)]
pub(super) struct Shared {
    me: Weak<Self>,
    pub(super) client: Arc<dyn Client>,
    pub(super) config: ProducerConfig,
    pub(super) topics: Topics,
    pub(super) identity: Identity,
    /// The memory for records.
    pub(super) memory: Permits,
    /// When to look at which lane.
    deadlines: Due,
    /// Which lane has the oldest batch that was never sent. Only kept if that is to be dropped.
    pub(super) oldest: Due,
    lanes: Mutex<Vec<Arc<PartitionLane>>>,
    seed: u64,
    /// No more records are taken.
    closed: AtomicBool,
    /// Lanes that are made now are shut from the beginning.
    shut: AtomicBool,
    /// How many batches have tickets that were not told everything.
    untold: AtomicUsize,
    /// Itself, from when the last handle is dropped until all is told.
    keep: Mutex<Option<Arc<Self>>>,
}

impl Shared {
    pub(super) fn new(client: Arc<dyn Client>, config: ProducerConfig) -> Arc<Self> {
        let memory = usize::try_from(config.gathering.memory_bytes).unwrap_or(usize::MAX);
        let seed = config.seed.unwrap_or_else(|| client.date().as_millis().cast_unsigned());
        let shared = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            client,
            config,
            topics: Topics::new(),
            identity: Identity::new(),
            memory: Permits::new(memory),
            deadlines: Due::new(),
            oldest: Due::new(),
            lanes: Mutex::new(Vec::new()),
            seed,
            closed: AtomicBool::new(false),
            shut: AtomicBool::new(false),
            untold: AtomicUsize::new(0),
            keep: Mutex::new(None),
        });
        let clocked: Weak<dyn Clocked> = Weak::clone(&shared.me) as Weak<dyn Clocked>;
        shared.client.clock(clocked);
        shared.ask_identity();
        shared
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Takes no more records: who waits for memory is told so.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.memory.close();
    }

    /// The topic of this name. If it was not met, the node is asked.
    pub(super) fn topic(&self, name: &str) -> Result<&Arc<TopicLanes>, SendFault> {
        if let Some(known) = self.topics.find(name) {
            return Ok(known);
        }
        let name = TopicName::new(name)?;
        let Some(facts) = self.client.topic(&name) else { return Err(SendFault::UnknownTopic { topic: name }) };
        // Made before any lock is taken: a partitioner may be somebody else's.
        let picker = Picker::new(&self.config.partitioning, &name, self.seed, self.config.gathering.batch_bytes);
        let topic = self.topics.find_or_add(TopicLanes::new(name, picker));
        topic.has_partitions(facts.partitions);
        Ok(topic)
    }

    /// Looks up how many partitions the topic has by now.
    pub(super) fn look_up(&self, topic: &TopicLanes) {
        topic.has_partitions(self.client.topic(&topic.name).map_or(0, |facts| facts.partitions));
    }

    /// Whether a refusal means that there is no such partition, and not only that it is not there yet.
    pub(super) fn is_gone(&self, partition: &TopicPartition, code: ErrorCode) -> bool {
        if !matches!(code, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) {
            return false;
        }
        let Some(topic) = self.topics.find(partition.topic().as_str()) else { return false };
        self.look_up(topic);
        topic.partitions().is_none_or(|partitions| partition.partition() >= partitions.get())
    }

    /// The lane of a partition, which is made if there is none.
    pub(super) fn lane<'a>(&self, topic: &'a TopicLanes, number: u32) -> Option<&'a Arc<PartitionLane>> {
        if let Some(known) = topic.lanes.find(number) {
            return Some(known);
        }
        let partition = TopicPartition::new(topic.name.clone(), number).ok()?;
        topic.lanes.find_or_make(number, || self.new_lane(partition))
    }

    fn new_lane(&self, partition: TopicPartition) -> Arc<PartitionLane> {
        let mut lanes = self.lanes.lock();
        let id = LaneId::new(lanes.len() as u32);
        let lane = Arc::new(PartitionLane::new(id, partition, self.config.gathering));
        if self.shut.load(Ordering::SeqCst) {
            lane.lock().shut();
        }
        lanes.push(Arc::clone(&lane));
        lane
    }

    pub(super) fn lane_of(&self, id: LaneId) -> Option<Arc<PartitionLane>> {
        self.lanes.lock().get(id.get() as usize).map(Arc::clone)
    }

    /// All lanes that there are now.
    pub(super) fn all_lanes(&self) -> Vec<Arc<PartitionLane>> {
        self.lanes.lock().clone()
    }

    /// Changes a lane, and drives it.
    pub(super) fn in_lane(
        self: &Arc<Self>,
        lane: &Arc<PartitionLane>,
        now: Instant,
        change: impl FnOnce(&mut LaneState),
    ) {
        let mut state = lane.lock();
        change(&mut state);
        self.drive(lane, state, now);
    }

    /// Does what there is to do for a lane, and notes when there will be more.
    pub(super) fn drive<'a>(
        self: &Arc<Self>,
        lane: &'a Arc<PartitionLane>,
        mut state: MutexGuard<'a, LaneState>,
        now: Instant,
    ) {
        let mut wants_identity;
        loop {
            wants_identity = state.machine.needs_identity() && state.identify(self.identity.known());
            let Some(step) = state.step(now) else { break };
            let spare = self.take_spare(&mut state);
            drop(state);
            self.give(spare);
            self.perform(lane, step);
            state = lane.lock();
        }
        let spare = self.take_spare(&mut state);
        let earlier = self.note(lane, &mut state);
        drop(state);
        self.give(spare);
        if let Some(earlier) = earlier {
            self.client.hurry(earlier);
        }
        if wants_identity {
            self.ask_identity();
        }
    }

    fn perform(self: &Arc<Self>, lane: &Arc<PartitionLane>, step: Step) {
        match step {
            Step::Hand(outgoing, expected_offset) => {
                let _handing = Handing(lane);
                self.hand(lane, outgoing, expected_offset);
            }
            Step::Build(unbuilt) => {
                let (id, built) = (unbuilt.id(), self.build(unbuilt));
                lane.lock().built(id, built);
            }
            Step::Tell(tickets, settled) => {
                telemetry::given_up(settled.given_up());
                tickets.settle(settled);
                lane.lock().told();
                self.has_told();
            }
        }
    }

    fn build(&self, unbuilt: Unbuilt) -> Result<Outgoing, BuildError> {
        match self.config.acks {
            Acks::None => unbuilt.anonymous().build(),
            Acks::Leader | Acks::All => unbuilt.build(),
        }
    }

    /// Notes when to look at the lane again. Answers with that moment if it is earlier than what was noted.
    fn note(&self, lane: &PartitionLane, state: &mut LaneState) -> Option<Instant> {
        lane.count_queued(state);
        if self.config.gathering.when_full == WhenFull::DropOldest {
            self.oldest.note(lane.id, &mut state.noted_oldest, state.machine.oldest_unsent());
        }
        let deadline = state.machine.next_deadline();
        if self.deadlines.note(lane.id, &mut state.noted_deadline, deadline) { deadline } else { None }
    }

    /// A batch with tickets was begun.
    pub(super) fn has_begun(&self) {
        self.untold.fetch_add(1, Ordering::SeqCst);
    }

    fn has_told(&self) {
        if self.untold.fetch_sub(1, Ordering::SeqCst) == 1 && self.closed.load(Ordering::SeqCst) {
            let kept = self.keep.lock().take();
            drop(kept);
        }
    }

    /// Makes all batches ready and sends what may be sent. Answers with the tickets of all records so far that have no outcome.
    pub(super) fn flush(self: &Arc<Self>) -> Vec<Arc<BatchTickets>> {
        let (mut untold, now) = (Vec::new(), self.client.now());
        for lane in self.all_lanes() {
            self.in_lane(&lane, now, |state| {
                state.machine.flush();
                untold.extend(state.untold());
            });
        }
        untold
    }

    /// Ends all: whatever has no outcome is given up.
    pub(super) fn stop(self: &Arc<Self>) {
        self.close();
        self.shut.store(true, Ordering::SeqCst);
        self.memory.close();
        let now = self.client.now();
        for lane in self.all_lanes() {
            self.in_lane(&lane, now, LaneState::shut);
        }
    }

    /// The last handle is gone: what is there is sent, and nobody waits for it.
    pub(super) fn abandon(self: &Arc<Self>) {
        self.close();
        *self.keep.lock() = Some(Arc::clone(self));
        self.flush();
        if self.untold.load(Ordering::SeqCst) == 0 {
            let kept = self.keep.lock().take();
            drop(kept);
        }
    }
}

impl Clocked for Shared {
    fn next_deadline(&self) -> Option<Instant> {
        [self.deadlines.first(), self.identity.next_deadline()].into_iter().flatten().min()
    }

    fn wake(&self, now: Instant) {
        let Some(shared) = self.me.upgrade() else { return };
        if self.identity.next_deadline().is_some_and(|at| at <= now) {
            shared.ask_identity();
        }
        for id in self.deadlines.take_until(now) {
            let Some(lane) = self.lane_of(id) else { continue };
            shared.in_lane(&lane, now, |state| state.noted_deadline = None);
        }
    }

    fn memory(&self) -> u64 {
        self.memory.used() as u64
    }

    fn stopped(&self) {
        if let Some(shared) = self.me.upgrade() {
            shared.stop();
        }
    }
}

/// The role of the one who hands over, given back also in a panic.
struct Handing<'a>(&'a PartitionLane);

impl Drop for Handing<'_> {
    fn drop(&mut self) {
        self.0.lock().handed();
    }
}
