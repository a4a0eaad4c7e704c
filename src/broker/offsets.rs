//! Carrying questions for offsets to their partitions, and wishes to move log starts.

use crate::broker::asked::{Gather, Pending};
use crate::broker::fetch::isolation;
use crate::broker::io::{Output, RequestId};
use crate::broker::refuse::for_clients;
use crate::broker::{Broker, errors};
use crate::message::{self, DeleteBefore, ListPartition, RequestError};
use crate::offset::Offset;
use crate::partition::{self, DeleteTo, ListedOffset, Waiter};

impl Broker {
    pub(super) fn on_list_offsets(&mut self, id: RequestId, request: &message::ListOffsets) {
        let names = request.partitions.iter().map(|part| part.partition.clone());
        let key = self.asked.pend(id, Pending::ListOffsets(Gather::new(names)));
        for (index, part) in request.partitions.iter().enumerate() {
            let waiter = self.asked.wait(key, index, &part.partition);
            match self.list_offset(request.isolation, part) {
                Ok(ListedOffset::Known { offset, leader_epoch }) => {
                    let known = message::ListedOffset { offset, timestamp: None, leader_epoch };
                    self.on_found(waiter, Ok(Some(known)));
                }
                Ok(ListedOffset::Search(search)) => {
                    let partition = part.partition.clone();
                    self.outputs.push_back(Output::Find { waiter, partition, search });
                }
                Err(error) => self.on_found(waiter, Err(error)),
            }
        }
        self.maybe_respond(key);
    }

    fn list_offset(&self, level: message::IsolationLevel, part: &ListPartition) -> Result<ListedOffset, RequestError> {
        let host = self.hosts.get(&part.partition).ok_or_else(|| self.not_here(&part.partition))?;
        let query = partition::ListOffsets {
            spec: spec(part.at),
            isolation: isolation(level),
            leader_epoch: part.current_leader_epoch,
        };
        host.list_offsets(&query).map_err(|error| errors::list_offsets(&error))
    }

    pub(super) fn on_found(&mut self, waiter: Waiter, result: Result<Option<message::ListedOffset>, RequestError>) {
        let Some(wait) = self.asked.get(waiter) else { return };
        let (key, index) = (wait.request, wait.index);
        // Whoever waits for something else is not found by this.
        let Some(Pending::ListOffsets(gather)) = self.asked.pending_mut(key) else { return };
        gather.answer(index, result);
        self.forget(waiter);
        self.maybe_respond(key);
    }

    pub(super) fn on_delete_records(&mut self, id: RequestId, request: message::DeleteRecords) {
        let names = request.partitions.iter().map(|(partition, _)| partition.clone());
        let key = self.asked.pend(id, Pending::DeleteRecords(Gather::new(names)));
        for (index, (partition, before)) in request.partitions.into_iter().enumerate() {
            let waiter = self.asked.wait(key, index, &partition);
            let result = match (for_clients(&partition), self.hosts.get_mut(&partition)) {
                (Err(error), _) => Err(error),
                (Ok(()), Some(host)) => delete_records(host, before, &mut self.effects),
                (Ok(()), None) => Err(self.not_here(&partition)),
            };
            self.carry(&partition);
            match result {
                Ok(log_start_offset) => self.answer_when_marked(waiter, &partition, log_start_offset),
                Err(error) => self.on_deleted_records(waiter, Err(error)),
            }
        }
        self.maybe_respond(key);
    }
}

fn delete_records(
    host: &mut partition::Partition,
    before: DeleteBefore,
    effects: &mut Vec<partition::Effect>,
) -> Result<Offset, RequestError> {
    let to = match before {
        DeleteBefore::HighWatermark => DeleteTo::HighWatermark,
        DeleteBefore::Offset(offset) => DeleteTo::Offset(offset),
    };
    host.delete_records(to, effects).map_err(|error| errors::delete_records(&error))
}

const fn spec(spec: message::OffsetSpec) -> partition::OffsetSpec {
    match spec {
        message::OffsetSpec::Earliest => partition::OffsetSpec::Earliest,
        message::OffsetSpec::Latest => partition::OffsetSpec::Latest,
        message::OffsetSpec::MaxTimestamp => partition::OffsetSpec::MaxTimestamp,
        message::OffsetSpec::At(timestamp) => partition::OffsetSpec::At(timestamp),
    }
}
