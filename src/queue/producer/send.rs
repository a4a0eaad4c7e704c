//! Taking a record: to its partition, into its batch.
//!
//! - May use: the newtypes, `record`, `producer`, and its siblings.
//! - Must not know: how batches are sent.
//! - Always true: a record that was taken is in a batch with tickets; one that was not has changed nothing but that batches may
//!   be on their way sooner.

use std::sync::Arc;

use crate::offset::Offset;
use crate::producer::{PushError, Pushed, Room, bytes_alone_max};
use crate::queue::producer::fault::SendFault;
use crate::queue::producer::lane::{Begun, LaneState, PartitionLane};
use crate::queue::producer::record::Record;
use crate::queue::producer::shared::Shared;
use crate::queue::producer::ticket::SendTicket;
use crate::queue::producer::topics::TopicLanes;
use crate::record::NewRecord;

/// How soon a record's batch is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pace {
    /// When it has waited for others as long as the configuration says.
    Linger,
    /// As soon as that is possible.
    AtOnce,
}

/// A record on its way into a batch.
#[derive(Clone, Copy, Debug)]
struct Entering<'a> {
    record: NewRecord<'a>,
    expected_offset: Option<Offset>,
    pace: Pace,
}

impl Shared {
    /// Takes a record for a topic.
    pub(super) fn send(
        self: &Arc<Self>,
        topic: &TopicLanes,
        record: &Record<'_>,
        pace: Pace,
    ) -> Result<SendTicket, SendFault> {
        let entering = Entering {
            record: NewRecord {
                timestamp: record.timestamp.unwrap_or_else(|| self.client.date()),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &record.headers,
            },
            expected_offset: record.expected_offset,
            pace,
        };
        let lane = self.lane_for(topic, record)?;
        let (ticket, pushed) = self.push(topic, lane, &entering)?;
        if record.partition.is_none() {
            topic.appended(entering.record.key, lane.partition.partition(), &pushed);
        }
        Ok(ticket)
    }

    /// The lane of the partition that the record names, or of one that is picked.
    fn lane_for<'a>(&self, topic: &'a TopicLanes, record: &Record<'_>) -> Result<&'a Arc<PartitionLane>, SendFault> {
        if topic.partitions().is_none() {
            self.look_up(topic);
        }
        let Some(partitions) = topic.partitions() else {
            return Err(SendFault::UnknownTopic { topic: topic.name.clone() });
        };
        let number = record.partition.unwrap_or_else(|| topic.pick(record.key.as_deref(), partitions));
        if number >= partitions.get() {
            // There may be more by now.
            self.look_up(topic);
        }
        let partitions = topic.partitions().map_or(0, |partitions| partitions.get());
        let lane = if number < partitions { self.lane(topic, number) } else { None };
        lane.ok_or_else(|| SendFault::NoSuchPartition { topic: topic.name.clone(), partition: number, partitions })
    }

    fn push(
        self: &Arc<Self>,
        topic: &TopicLanes,
        lane: &Arc<PartitionLane>,
        entering: &Entering<'_>,
    ) -> Result<(SendTicket, Pushed), SendFault> {
        let bytes = bytes_alone_max(&entering.record);
        self.check_size(bytes)?;
        let mut state = lane.lock();
        if !self.spare(&mut state, bytes) {
            drop(state);
            self.make_room(bytes)?;
            state = lane.lock();
            state.held += bytes;
        }
        let taken = self.enter(&mut state, lane, entering);
        let (ticket, pushed, begun) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                // What was held for it is given back.
                self.drive(lane, state, self.client.now());
                return Err(error.into());
            }
        };
        let is_awaited = self.memory.is_awaited();
        if is_awaited {
            // Somebody waits for the memory that lingers here.
            state.machine.flush();
        }
        let may_go = pushed.room == Room::None || begun == Begun::Now || is_awaited;
        if entering.pace == Pace::AtOnce {
            // Whoever sends so waits next.
            let (mut state, now) = (Some(state), self.client.now());
            self.client.ask_and_help(&mut || {
                if let Some(state) = state.take() {
                    self.drive(lane, state, now);
                }
            });
        } else if may_go {
            self.drive(lane, state, self.client.now());
        } else {
            drop(state);
        }
        if begun == Begun::Now {
            self.look_up(topic);
        }
        Ok((ticket, pushed))
    }

    /// Encodes the record into a batch.
    fn enter(
        &self,
        state: &mut LaneState,
        lane: &PartitionLane,
        entering: &Entering<'_>,
    ) -> Result<(SendTicket, Pushed, Begun), PushError> {
        let Entering { record, expected_offset, pace } = entering;
        let (pushed, begun) = match expected_offset {
            None => state.push(lane, &self.client, record)?,
            Some(offset) => state.push_expecting(lane, &self.client, record, *offset)?,
        };
        if begun == Begun::Now {
            self.has_begun();
        }
        if *pace == Pace::AtOnce {
            state.machine.hasten();
        }
        // A record that was taken is in the batch that was begun last.
        let batch = state.newest().ok_or(PushError::Closed)?;
        Ok((SendTicket::new(batch, pushed.ticket.index, record.timestamp), pushed, begun))
    }
}
