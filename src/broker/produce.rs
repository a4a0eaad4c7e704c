//! Carrying a produce to its partitions, and their answers back.

use crate::broker::asked::{Gather, Key, Pending};
use crate::broker::io::{Output, RequestId};
use crate::broker::refuse::for_clients;
use crate::broker::{Broker, errors};
use crate::id::TopicPartition;
use crate::log::Appended;
use crate::message::{self, Produced, RequestError, Response};
use crate::partition::{self, ProduceError, Waiter};
use crate::record::Checked;
use crate::time::{Instant, Timestamp};

impl Broker {
    pub(super) fn on_produce(
        &mut self,
        now: Instant,
        date: Timestamp,
        id: RequestId,
        request: message::Produce<Checked>,
    ) {
        let mut key = None;
        let acks = acks(request.acks);
        let wants_answer = acks != partition::Acks::None;
        let deadline = wants_answer.then(|| now.after(u64::from(request.timeout_ms)));
        if wants_answer {
            let names = request.partitions.iter().map(|part| part.partition.clone());
            key = Some(self.asked.pend(id, Pending::Produce(Gather::new(names))));
        }
        for (index, part) in request.partitions.into_iter().enumerate() {
            let waiter = match key {
                Some(key) => self.asked.wait(key, index, &part.partition),
                None => self.asked.number(),
            };
            let refusal = match for_clients(&part.partition) {
                Ok(()) if self.hosts.contains_key(&part.partition) => None,
                Ok(()) => Some(self.not_here(&part.partition)),
                Err(refusal) => Some(refusal),
            };
            if let Some(refusal) = refusal {
                self.refuse_produce(waiter, &part.partition, acks, refusal);
                continue;
            }
            let produce = partition::Produce {
                waiter,
                batch: part.batch,
                acks,
                durability: durability(request.durability),
                deadline,
                expected_offset: part.expected_offset,
                leader_epoch: None,
            };
            if let Err(reached) = self.make_space(date, &part.partition, &produce) {
                self.refuse_produce(waiter, &part.partition, acks, errors::no_space(reached));
                continue;
            }
            self.with_host(&part.partition, |host, effects| host.produce(now, date, produce, effects));
        }
        if let Some(key) = key {
            self.maybe_respond(key);
        }
    }

    fn refuse_produce(
        &mut self,
        waiter: Waiter,
        partition: &TopicPartition,
        acks: partition::Acks,
        error: RequestError,
    ) {
        if acks == partition::Acks::None {
            self.outputs.push_back(Output::Refused { partition: partition.clone(), error });
        } else {
            self.answer_produce(waiter, Err(error));
        }
    }

    pub(super) fn on_produced(&mut self, waiter: Waiter, result: Result<Appended, ProduceError>) {
        let Some(result) = self.on_metadata(waiter, result) else { return };
        let Some(result) = self.on_offsets(waiter, result) else { return };
        let answer = match result {
            Ok(appended) => Ok(Produced {
                base_offset: appended.base_offset,
                log_append_time: appended.append_time,
                log_start_offset: appended.log_start_offset,
            }),
            Err(error) => {
                let Some(wait) = self.asked.get_mut(waiter) else { return };
                Err(errors::produce(&wait.partition, &error))
            }
        };
        self.answer_produce(waiter, answer);
    }

    fn answer_produce(&mut self, waiter: Waiter, answer: Result<Produced, RequestError>) {
        // Whoever wants no answer is not in the list.
        let Some(wait) = self.forget(waiter) else { return };
        if let Some(Pending::Produce(gather)) = self.asked.pending_mut(wait.request) {
            gather.answer(wait.index, answer);
        }
        self.maybe_respond(wait.request);
    }

    /// Answers a request whose partitions have all answered.
    pub(super) fn maybe_respond(&mut self, key: Key) {
        let is_complete = match self.asked.pending(key) {
            Some(Pending::Produce(gather)) => gather.is_complete(),
            Some(Pending::ListOffsets(gather)) => gather.is_complete(),
            Some(Pending::CreateTopics(gather)) => gather.is_complete(),
            Some(Pending::DeleteTopics(gather)) => gather.is_complete(),
            Some(Pending::CreatePartitions(gather) | Pending::AlterConfigs(gather)) => gather.is_complete(),
            Some(Pending::OffsetCommit(gather)) => gather.is_complete(),
            Some(Pending::DeleteRecords(gather)) => gather.is_complete(),
            Some(Pending::Fetch(_) | Pending::InitProducerId) | None => false,
        };
        if !is_complete {
            return;
        }
        let Some((id, pending)) = self.asked.take(key) else { return };
        let response = match pending {
            Pending::Produce(gather) => Response::Produce(gather.finish()),
            Pending::ListOffsets(gather) => Response::ListOffsets(gather.finish()),
            Pending::CreateTopics(gather) => Response::CreateTopics(gather.finish()),
            Pending::DeleteTopics(gather) => Response::DeleteTopics(gather.finish()),
            Pending::CreatePartitions(gather) => Response::CreatePartitions(gather.finish()),
            Pending::AlterConfigs(gather) => Response::AlterConfigs(gather.finish()),
            Pending::OffsetCommit(gather) => Response::OffsetCommit(gather.finish()),
            Pending::DeleteRecords(gather) => Response::DeleteRecords(gather.finish()),
            Pending::Fetch(_) | Pending::InitProducerId => return,
        };
        self.outputs.push_back(Output::Respond { id, response });
    }
}

const fn acks(acks: message::Acks) -> partition::Acks {
    match acks {
        message::Acks::None => partition::Acks::None,
        message::Acks::Leader => partition::Acks::Leader,
        message::Acks::All => partition::Acks::All,
    }
}

const fn durability(durability: message::Durability) -> partition::Durability {
    match durability {
        message::Durability::Written => partition::Durability::Written,
        message::Durability::Flushed => partition::Durability::Flushed,
    }
}
