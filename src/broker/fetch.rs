//! Carrying a fetch to its partitions: what they have together has to be enough, or it waits at all of them.

use crate::broker::asked::{Key, Pending};
use crate::broker::io::{Body, FileRead, RequestId};
use crate::broker::{Broker, Due, errors};
use crate::id::TopicPartition;
use crate::log::{Isolation, ReadPlan};
use crate::message::{
    self, AbortedTransaction, Answer, FetchPartition, Fetched, IsolationLevel, PartitionAnswer, Response,
};
use crate::offset::Offset;
use crate::partition::{self, PartitionFetchError, Waiter};
use crate::time::Instant;
use crate::timer::TimerId;

/// A fetch that waits.
#[derive(Clone, Debug)]
pub(super) struct FetchPending {
    fetch: message::Fetch,
    deadline: Instant,
    timer: TimerId,
}

/// What has come of waiting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Parked {
    Waits,
    /// A partition has more than was found, and what was found is all that fits.
    IsServed,
}

/// What a look at all partitions has brought.
struct Look {
    answers: Vec<PartitionAnswer<Fetched<Body>>>,
    bytes: u64,
    /// How much each partition had, in the order of the request.
    each: Vec<u32>,
    failed: bool,
}

impl Broker {
    pub(super) fn on_fetch(&mut self, now: Instant, id: RequestId, fetch: message::Fetch) {
        let deadline = now.after(u64::from(fetch.wait_max_ms));
        // More than may be answered is not waited for.
        let fetch = message::Fetch { bytes_min: fetch.bytes_min.min(fetch.bytes_max), ..fetch };
        let look = self.look(&fetch);
        if is_enough(&fetch, &look) || deadline <= now {
            return self.respond(id, Response::Fetch(look.answers));
        }
        let key = self.asked.next_key();
        let timer = self.wheel.insert(deadline, Due::Fetch(key));
        self.wait_or_serve(now, (key, id), FetchPending { fetch, deadline, timer }, look);
    }

    /// One of the partitions where a fetch waits has more, or something to say.
    pub(super) fn on_fetched(&mut self, waiter: Waiter) {
        if let Some(wait) = self.forget(waiter) {
            self.woken.insert(wait.request);
        }
    }

    /// Looks again for a fetch that was woken, or whose time is over.
    pub(super) fn retry(&mut self, now: Instant, key: Key) {
        if !matches!(self.asked.pending(key), Some(Pending::Fetch(_))) {
            return;
        }
        let Some((id, Pending::Fetch(pending))) = self.asked.take(key) else { return };
        self.unpark(key);
        let look = self.look(&pending.fetch);
        self.wait_or_serve(now, (key, id), pending, look);
    }

    /// Answers if there is enough, or the time is over, or a partition says that there is more than fits; else it waits.
    fn wait_or_serve(&mut self, now: Instant, (key, id): (Key, RequestId), pending: FetchPending, look: Look) {
        let is_over = pending.deadline <= now;
        if !is_enough(&pending.fetch, &look) && !is_over && self.park(now, key, &pending.fetch, &look) == Parked::Waits
        {
            return self.asked.put(key, id, Pending::Fetch(pending));
        }
        self.drop_fetch(key, &pending);
        self.respond(id, Response::Fetch(look.answers));
    }

    /// Nobody waits for the fetch any more.
    pub(super) fn drop_fetch(&mut self, key: Key, pending: &FetchPending) {
        self.wheel.cancel(pending.timer);
        self.unpark(key);
    }

    /// What all partitions have now. The first that has anything gives a batch however large, the others what there is
    /// still room for.
    fn look(&self, fetch: &message::Fetch) -> Look {
        let mut look = Look { answers: Vec::new(), bytes: 0, each: Vec::new(), failed: false };
        for part in &fetch.partitions {
            let left = u64::from(fetch.bytes_max).saturating_sub(look.bytes).min(u64::from(part.bytes_max)) as u32;
            let found = self.look_at(fetch, part, left);
            let result = match found {
                Ok(found) => {
                    // Only the first batch of all may be larger than there is room for.
                    let (body, bytes) = self.body(&part.partition, &found, isolation(fetch.isolation));
                    let fits = look.bytes == 0 || (bytes <= left && left > 0);
                    let (body, bytes) = if fits { (body, bytes) } else { (Body::Nothing, 0) };
                    look.bytes += u64::from(bytes);
                    look.each.push(bytes);
                    look.failed |= found.diverging.is_some();
                    Ok(fetched(&found, body))
                }
                Err(error) => {
                    look.failed = true;
                    look.each.push(0);
                    Err(error)
                }
            };
            look.answers.push(Answer { of: part.partition.clone(), result });
        }
        look
    }

    fn look_at(
        &self,
        fetch: &message::Fetch,
        part: &FetchPartition,
        bytes_max: u32,
    ) -> Result<partition::Fetched, message::RequestError> {
        let host = self.hosts.get(&part.partition).ok_or_else(|| self.not_here(&part.partition))?;
        let question = question(Waiter(0), fetch, part, bytes_max);
        host.look(&question).map_err(|error: PartitionFetchError| errors::fetch(&error))
    }

    pub(super) fn body(
        &self,
        partition: &TopicPartition,
        found: &partition::Fetched,
        isolation: Isolation,
    ) -> (Body, u32) {
        match &found.plan {
            ReadPlan::Nothing => (Body::Nothing, 0),
            ReadPlan::Cached(batches) => {
                let bytes = batches.iter().map(|batch| u64::from(batch.size())).sum::<u64>();
                (Body::Batches(batches.clone()), u32::try_from(bytes).unwrap_or(u32::MAX))
            }
            ReadPlan::File(span) => {
                let Some(host) = self.hosts.get(partition) else { return (Body::Nothing, 0) };
                let (topic_id, facts) = (host.facts().topic_id, host.log().span_facts(span));
                // What is in a file is taken for as much as was asked for: who reads it will see.
                let bytes = span.bytes_max.min(span.end - span.position.min(span.end));
                let (partition, span) = (partition.clone(), *span);
                (Body::File(Box::new(FileRead { partition, topic_id, span, facts, isolation })), bytes)
            }
        }
    }

    /// Waits at every partition until it has more than now. With one alone it is known how much more is enough.
    fn park(&mut self, now: Instant, key: Key, fetch: &message::Fetch, look: &Look) -> Parked {
        let is_alone = fetch.partitions.len() == 1;
        for (index, part) in fetch.partitions.iter().enumerate() {
            let more = look.each.get(index).map_or(1, |bytes| bytes.saturating_add(1));
            let bytes_min = if is_alone { fetch.bytes_min } else { more };
            let waiter = self.asked.wait(key, index, &part.partition);
            let question =
                partition::Fetch { bytes_min, ..question(waiter, fetch, part, fetch.bytes_max.max(bytes_min)) };
            match self.hosts.get_mut(&part.partition) {
                Some(host) => host.fetch(now, question, &mut self.effects),
                None => drop(self.asked.remove(waiter)),
            }
            self.carry(&part.partition);
        }
        if self.woken.remove(&key) { Parked::IsServed } else { Parked::Waits }
    }

    fn unpark(&mut self, key: Key) {
        for waiter in self.asked.waiters_of(key) {
            if let Some(wait) = self.forget(waiter)
                && let Some(host) = self.hosts.get_mut(&wait.partition)
            {
                host.cancel(waiter);
            }
        }
    }
}

/// Whether there is nothing to wait for.
fn is_enough(fetch: &message::Fetch, look: &Look) -> bool {
    look.bytes >= u64::from(fetch.bytes_min) || look.failed || fetch.partitions.is_empty()
}

fn question(waiter: Waiter, fetch: &message::Fetch, part: &FetchPartition, bytes_max: u32) -> partition::Fetch {
    partition::Fetch {
        waiter,
        from: part.fetch_offset,
        bytes_max,
        bytes_min: 0,
        deadline: None,
        isolation: isolation(fetch.isolation),
        leader_epoch: part.current_leader_epoch,
        last_fetched_epoch: None,
    }
}

/// Everything that is written from an offset on, whoever may see it.
pub(super) fn at_log_end(from: Offset, bytes_max: u32) -> partition::Fetch {
    partition::Fetch {
        waiter: Waiter(0),
        from,
        bytes_max,
        bytes_min: 0,
        deadline: None,
        isolation: Isolation::LogEnd,
        leader_epoch: None,
        last_fetched_epoch: None,
    }
}

pub(super) fn fetched(found: &partition::Fetched, body: Body) -> Fetched<Body> {
    let aborted = found
        .aborted
        .iter()
        .map(|aborted| AbortedTransaction { first_offset: aborted.first_offset, producer_id: aborted.producer_id });
    Fetched {
        high_watermark: found.high_watermark,
        last_stable_offset: found.last_stable_offset,
        log_start_offset: found.log_start_offset,
        aborted: aborted.collect(),
        body,
    }
}

pub(super) const fn isolation(level: IsolationLevel) -> Isolation {
    match level {
        IsolationLevel::ReadUncommitted => Isolation::HighWatermark,
        IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
    }
}
