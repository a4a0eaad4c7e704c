//! How producers and consumers see the node.

use std::sync::{Arc, Weak};

use crate::broker::{Body, Input, RequestId, settings};
use crate::disk::Disk;
use crate::id::TopicName;
use crate::message::{
    Acks, Fetched, PartitionAnswer, Produce, ProducePartition, Produced, Request, RequestError, Response, TopicConfig,
};
use crate::queue::budget::Budget;
use crate::queue::client::{Client, Clocked, OnAnswer, Stopped, TopicFacts};
use crate::queue::node::outputs::Todo;
use crate::queue::node::{Node, checks};
use crate::queue::telemetry::{self, Stopwatch};
use crate::record::{Batch, Checked, Entry, Rules};
use crate::time::{Instant, Timestamp};

impl<D: Disk> Client for Node<D> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn date(&self) -> Timestamp {
        self.clock.date()
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        self.budget.clone()
    }

    fn ask(&self, request: Request, on_answer: OnAnswer) -> RequestId {
        match without_batches(request) {
            Ok(other) => self.put(other, on_answer),
            Err(produce) => self.produce(produce, on_answer),
        }
    }

    fn cancel(&self, id: RequestId) {
        let _errand = self.errand();
        let mut todo = Todo::default();
        let asker = {
            let mut core = self.core.lock();
            core.give(self.clock.now(), Input::Cancel(id), &mut todo);
            self.was_given(&mut core);
            core.askers.take(id)
        };
        // Outside of the lock: whatever it holds may do anything when it is dropped.
        drop(asker);
        self.finish(todo);
    }

    fn read(&self, fetched: Fetched<Body>) -> Result<Fetched<Vec<Entry>>, RequestError> {
        let read = match &fetched.body {
            Body::File(from) => {
                let (_span, begun) = (telemetry::reading(&from.partition), Stopwatch::start());
                let read = self.read_body(fetched);
                telemetry::read_files(&begun);
                read
            }
            Body::Nothing | Body::Batches(_) => self.read_body(fetched),
        };
        if let Ok(read) = &read {
            telemetry::handed_out(&read.body);
        }
        read
    }

    fn topic(&self, name: &TopicName) -> Option<Arc<TopicFacts>> {
        self.facts(name).map(|(facts, _)| facts)
    }

    fn clock(&self, clocked: Weak<dyn Clocked>) {
        self.clocked.lock().push(clocked);
    }

    fn hurry(&self, at: Instant) {
        self.alarm.hurry(at);
    }

    fn ask_and_help(&self, ask: &mut dyn FnMut()) {
        self.pool.give_and_help(ask);
    }

    fn help(&self) -> bool {
        self.pool.help()
    }
}

impl<D: Disk> Node<D> {
    fn facts(&self, name: &TopicName) -> Option<(Arc<TopicFacts>, Rules)> {
        self.checks.find(name, || {
            let core = self.core.lock();
            let image = core.broker.image()?;
            let topic = image.topic(name)?;
            let pairs = image.topic_config(name).cloned().unwrap_or_default();
            // What cannot be read of them has its default, as it has for the log.
            let (config, _) = TopicConfig::read_pairs(&pairs);
            let rules = checks::rules(&settings::log_config(&config));
            let facts = TopicFacts { id: topic.id(), partitions: topic.partition_count(), config };
            Some((Arc::new(facts), rules))
        })
    }

    fn rules_of(&self, part: &ProducePartition<Batch>) -> Rules {
        self.facts(part.partition.topic()).map(|(_, rules)| rules).unwrap_or_default()
    }

    fn produce(&self, request: Produce<Batch>, on_answer: OnAnswer) -> RequestId {
        let acks = request.acks;
        let checked = checks::check(request, self.clock.date(), |part| self.rules_of(part));
        let checked = checked.kept(|bytes| self.live.count(bytes));
        let refused = checked.refused;
        let on_answer: OnAnswer = if refused.is_empty() { on_answer } else { with_refusals(on_answer, refused) };
        if checked.produce.partitions.is_empty() {
            on_answer(Ok(Response::Produce(Vec::new())));
            return self.core.lock().askers.nobody();
        }
        let request = Request::Produce(checked.produce);
        if acks != Acks::None {
            return self.put(request, on_answer);
        }
        let id = self.put_for_nobody(request);
        on_answer(if id.is_some() { Ok(Response::Produce(Vec::new())) } else { Err(Stopped) });
        id.unwrap_or(RequestId(0))
    }

    /// Asks the broker.
    pub(crate) fn put(&self, request: Request<Checked>, on_answer: OnAnswer) -> RequestId {
        let _errand = self.errand();
        let mut todo = Todo::default();
        let mut core = self.core.lock();
        if core.is_stopped {
            let id = core.askers.nobody();
            drop(core);
            on_answer(Err(Stopped));
            return id;
        }
        let id = core.askers.note(on_answer);
        core.give(self.clock.now(), Input::Request { id, date: self.clock.date(), request }, &mut todo);
        self.was_given(&mut core);
        drop(core);
        self.finish(todo);
        id
    }

    /// Asks the broker for something that has no answer; `None` if it takes no more questions.
    fn put_for_nobody(&self, request: Request<Checked>) -> Option<RequestId> {
        let _errand = self.errand();
        let mut todo = Todo::default();
        let id = {
            let mut core = self.core.lock();
            if core.is_stopped {
                return None;
            }
            let id = core.askers.nobody();
            core.give(self.clock.now(), Input::Request { id, date: self.clock.date(), request }, &mut todo);
            self.was_given(&mut core);
            id
        };
        self.finish(todo);
        Some(id)
    }
}

fn with_refusals(on_answer: OnAnswer, refused: Vec<(usize, PartitionAnswer<Produced>)>) -> OnAnswer {
    Box::new(move |answer| on_answer(answer.map(|response| checks::merge(response, refused))))
}

/// The same request, of another type; but for a produce, which alone has batches.
fn without_batches(request: Request) -> Result<Request<Checked>, Produce<Batch>> {
    Ok(match request {
        Request::Produce(produce) => return Err(produce),
        Request::Fetch(request) => Request::Fetch(request),
        Request::ListOffsets(request) => Request::ListOffsets(request),
        Request::DeleteRecords(request) => Request::DeleteRecords(request),
        Request::CreateTopics(request) => Request::CreateTopics(request),
        Request::DeleteTopics(request) => Request::DeleteTopics(request),
        Request::CreatePartitions(request) => Request::CreatePartitions(request),
        Request::AlterConfigs(request) => Request::AlterConfigs(request),
        Request::DescribeConfigs(request) => Request::DescribeConfigs(request),
        Request::DescribeTopics(request) => Request::DescribeTopics(request),
        Request::InitProducerId(request) => Request::InitProducerId(request),
        Request::OffsetCommit(request) => Request::OffsetCommit(request),
        Request::OffsetFetch(request) => Request::OffsetFetch(request),
    })
}
