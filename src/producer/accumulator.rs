//! All lanes of one producer, and one limit of memory for them.
//!
//! - May use: the newtypes, `record`, `message`, and its siblings.
//! - Must not know: brokers, threads, clocks.
//! - Always true: `used` is what the lanes have together, and at most the limit; a lane whose deadline has come is looked
//!   at before a later one, and none is looked at in vain.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::TopicPartition;
use crate::message::{Produced, ProducerIdentity, RequestError};
use crate::producer::config::{AccumulatorConfig, ConfigError, WhenFull};
use crate::producer::lane::{BatchId, Lane, LaneId, Unbuilt, bytes_alone_max};
use crate::producer::outcome::{Outcome, PushError, Pushed, Room};
use crate::record::{Batch, BuildError, NewRecord};
use crate::time::Instant;

/// Gathers records into batches, a lane for each partition, within one limit of memory.
///
/// `out` gets the outcomes: drain it after each call. A [`LaneId`] is good for the accumulator that gave it; with another
/// one all methods that take it panic.
#[derive(Debug)]
pub struct Accumulator {
    config: AccumulatorConfig,
    identity: Option<ProducerIdentity>,
    names: BTreeMap<TopicPartition, LaneId>,
    lanes: Vec<Entry>,
    /// When to look at which lane.
    deadlines: BTreeSet<(Instant, LaneId)>,
    /// The lanes that have something to drop, those with the oldest first.
    droppable: BTreeSet<(Instant, LaneId)>,
    used: u64,
}

#[derive(Debug)]
struct Entry {
    partition: TopicPartition,
    lane: Lane,
    /// What stands in `deadlines` and in `droppable`, and is counted in `used`.
    noted: Noted,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Noted {
    deadline: Option<Instant>,
    oldest_unsent: Option<Instant>,
    bytes: u64,
}

impl Accumulator {
    /// An accumulator without lanes.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration makes no sense, or this build does not have the codec.
    pub fn new(config: AccumulatorConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            identity: None,
            names: BTreeMap::new(),
            lanes: Vec::new(),
            deadlines: BTreeSet::new(),
            droppable: BTreeSet::new(),
            used: 0,
        })
    }

    /// The lane of a partition, which is made if there is none.
    pub fn lane(&mut self, partition: &TopicPartition) -> LaneId {
        if let Some(known) = self.names.get(partition) {
            return *known;
        }
        let id = LaneId::new(self.lanes.len() as u32);
        let mut lane = Lane::new(id, self.config);
        if let Some(identity) = self.identity {
            lane.identify(identity);
        }
        self.lanes.push(Entry { partition: partition.clone(), lane, noted: Noted::default() });
        self.names.insert(partition.clone(), id);
        id
    }

    /// The partition of a lane.
    pub fn partition(&self, lane: LaneId) -> &TopicPartition {
        &self.lanes[lane.get() as usize].partition
    }

    /// Tells who writes. Nothing is sent before.
    pub fn identify(&mut self, identity: ProducerIdentity) {
        self.identity = Some(identity);
        self.for_all(|lane| lane.identify(identity));
    }

    /// Whether a lane has something to send and nobody to send it as: ask for a producer id.
    pub fn needs_identity(&self) -> bool {
        self.lanes.iter().any(|entry| entry.lane.needs_identity())
    }

    /// Encodes a record into a batch of its lane.
    ///
    /// # Errors
    ///
    /// [`PushError`]. If there is no room, batches under construction have become ready, so that there will be.
    pub fn push(
        &mut self,
        now: Instant,
        lane: LaneId,
        record: &NewRecord<'_>,
        out: &mut Vec<Outcome>,
    ) -> Result<Pushed, PushError> {
        self.make_room(now, bytes_alone_max(record), out)?;
        let entry = &mut self.lanes[lane.get() as usize];
        let pushed = entry.lane.push(now, record)?;
        if pushed.ticket.index > 0 && pushed.room == Room::Left {
            // One more in a batch that others have begun changes no deadline.
            entry.noted.bytes += u64::from(pushed.bytes);
            self.used += u64::from(pushed.bytes);
        } else {
            self.in_lane(lane, |_| ());
        }
        Ok(pushed)
    }

    fn make_room(&mut self, now: Instant, bytes: u64, out: &mut Vec<Outcome>) -> Result<(), PushError> {
        let max = self.config.memory_bytes;
        if bytes > max {
            return Err(PushError::TooLarge { bytes, max });
        }
        while self.used + bytes > max {
            let used = self.used;
            let oldest = self.droppable.first().copied();
            match (self.config.when_full, oldest) {
                (WhenFull::DropOldest, Some((_, lane))) => {
                    self.in_lane(lane, |lane| lane.drop_oldest(out));
                }
                (WhenFull::Block { wait_max_ms }, _) => {
                    self.flush();
                    return Err(PushError::MustWait { used, max, deadline: now.after(wait_max_ms) });
                }
                (WhenFull::DropOldest | WhenFull::Fail, _) => {
                    self.flush();
                    return Err(PushError::Full { used, max });
                }
            }
        }
        Ok(())
    }

    /// Takes the next batch that may be sent now, and gives up what was not delivered in time.
    pub fn take(&mut self, now: Instant, out: &mut Vec<Outcome>) -> Option<Unbuilt> {
        while let Some((deadline, lane)) = self.deadlines.first().copied() {
            if deadline > now {
                return None;
            }
            let taken = self.in_lane(lane, |lane| {
                lane.expire(now, out);
                lane.take(now)
            });
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// When to call [`Accumulator::take`] again, unless something happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The batch was appended.
    pub fn acknowledged(&mut self, lane: LaneId, id: BatchId, produced: &Produced, out: &mut Vec<Outcome>) {
        self.in_lane(lane, |lane| lane.acknowledged(id, produced, out));
    }

    /// The batch was not appended, or that is not known.
    pub fn failed(
        &mut self,
        now: Instant,
        lane: LaneId,
        (id, batch): (BatchId, Batch),
        error: RequestError,
        out: &mut Vec<Outcome>,
    ) {
        self.in_lane(lane, |lane| lane.failed(now, id, batch, error, out));
    }

    /// The batch could not be built.
    pub fn not_built(&mut self, lane: LaneId, id: BatchId, error: BuildError, out: &mut Vec<Outcome>) {
        self.in_lane(lane, |lane| lane.not_built(id, error, out));
    }

    /// Makes all batches ready. Answers with those to wait for: all records so far have their outcome when
    /// [`Accumulator::is_settled`] says so of each.
    pub fn flush(&mut self) -> Vec<(LaneId, BatchId)> {
        let mut last = Vec::new();
        for number in 0..self.lanes.len() {
            let lane = LaneId::new(number as u32);
            last.extend(self.in_lane(lane, Lane::flush).map(|batch| (lane, batch)));
        }
        last
    }

    /// Whether all records of the lane up to those of `batch` have their outcome.
    pub fn is_settled(&self, lane: LaneId, batch: BatchId) -> bool {
        self.lanes[lane.get() as usize].lane.is_settled(batch)
    }

    /// Takes no more records, and gives up all that have no outcome.
    pub fn close(&mut self, out: &mut Vec<Outcome>) {
        self.for_all(|lane| lane.close(out));
    }

    /// How many bytes of records are here or on their way.
    pub fn used(&self) -> u64 {
        self.used
    }

    fn for_all(&mut self, mut change: impl FnMut(&mut Lane)) {
        for number in 0..self.lanes.len() {
            self.in_lane(LaneId::new(number as u32), &mut change);
        }
    }

    /// Changes a lane, and notes what has become of it.
    fn in_lane<T>(&mut self, id: LaneId, change: impl FnOnce(&mut Lane) -> T) -> T {
        let Entry { lane, noted, .. } = &mut self.lanes[id.get() as usize];
        let result = change(lane);
        let now = Noted { deadline: lane.next_deadline(), oldest_unsent: lane.oldest_unsent(), bytes: lane.bytes() };
        let before = std::mem::replace(noted, now);
        self.used = self.used - before.bytes + now.bytes;
        renote(&mut self.deadlines, id, before.deadline, now.deadline);
        renote(&mut self.droppable, id, before.oldest_unsent, now.oldest_unsent);
        result
    }
}

fn renote(noted: &mut BTreeSet<(Instant, LaneId)>, lane: LaneId, before: Option<Instant>, now: Option<Instant>) {
    if before == now {
        return;
    }
    if let Some(before) = before {
        noted.remove(&(before, lane));
    }
    if let Some(now) = now {
        noted.insert((now, lane));
    }
}
