//! Asking the node what the positions want to know, and bringing them the answers.
//!
//! All that can be asked at one time for batches travels in one fetch, which waits at the node. A partition that is asked
//! about again while others still wait gets a fetch of its own, so that a busy partition never waits for idle ones. No two
//! open questions ask about the same partition, hence there are never more of them than partitions.
//!
//! - May use: `client`, `consumer`, `message`, and its sibling `inbox`.
//! - Must not know: who waits, and for how long.
//! - Always true: each partition that was asked about is answered, whatever the node says; an answer that nobody wants any
//!   more is cancelled or thrown away, and never read from a file.

mod answers;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::broker::{Body, RequestId};
use crate::consumer::{Ask, AskFor, AskId, Positions};
use crate::id::{GroupId, TopicPartition};
use crate::message::{
    Fetch, FetchPartition, Fetched, ListOffsets, ListPartition, OffsetFetch, OffsetSpec, Pending, Request, Response,
};
use crate::offset::Offset;
use crate::queue::client::{Client, Stopped};
use crate::queue::consumer::config::{ConsumerConfig, millis};
use crate::queue::consumer::inbox::{Arrival, Inbox, Question};
use crate::queue::consumer::room::{Room, Shortage};
use crate::time::Instant;

/// How long nothing may be asked before it is asked whether the queue is still there.
const PROBE_MS: u64 = 1000;

/// The positions of a consumer and its open questions to the node.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) positions: Positions,
    client: Arc<dyn Client>,
    inbox: Arc<Inbox>,
    group: Option<GroupId>,
    limits: Limits,
    open: BTreeMap<Question, Open>,
    next_question: u64,
    /// Answers that take some reading, in the order in which they came.
    unread: VecDeque<(AskId, Fetched<Body>)>,
    /// One of them comes before what was read already, for that has told of something wrong.
    is_unread_first: bool,
    room: Room,
    /// Answers as they came, between taking them and looking at them.
    arrivals: Vec<Arrival>,
    /// What a caller waits for has come.
    called: Option<(Question, Result<Response<Body>, Stopped>)>,
    next_probe: Instant,
    pub(super) is_stopped: bool,
}

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
struct Limits {
    isolation: crate::message::IsolationLevel,
    bytes_min: u32,
    bytes_max: u32,
    partition_bytes_max: u32,
    wait_max_ms: u32,
}

/// A question that is not answered.
#[derive(Debug)]
struct Open {
    request: RequestId,
    what: What,
}

/// What was asked.
#[derive(Debug)]
enum What {
    /// Batches, in this order.
    Batches(Vec<Asked>),
    /// Offsets, in this order.
    Offsets(Vec<Asked>),
    /// What the group has committed, in this order.
    Committed(Vec<Asked>),
    /// Somebody waits for the answer.
    Call,
    /// Whether the queue is there.
    Probe,
}

/// One partition of a question.
#[derive(Debug)]
struct Asked {
    id: AskId,
    partition: TopicPartition,
}

impl Asking {
    pub(super) fn new(client: Arc<dyn Client>, group: Option<GroupId>, config: &ConsumerConfig) -> Self {
        let limits = Limits {
            isolation: config.isolation,
            // A fetch that is answered with nothing at once would be asked again without end.
            bytes_min: config.fetch_bytes_min.max(1),
            bytes_max: config.fetch_bytes_max,
            partition_bytes_max: config.partition_bytes_max,
            wait_max_ms: u32::try_from(millis(config.fetch_wait_max)).unwrap_or(u32::MAX).max(1),
        };
        let inbox = Arc::default();
        let room = Room::new(client.budget(), &inbox);
        let mut positions = Positions::new(config.positions());
        room.meter().into_iter().for_each(|meter| positions.count_with(meter));
        Self {
            positions,
            client,
            inbox,
            group,
            limits,
            open: BTreeMap::new(),
            next_question: 0,
            unread: VecDeque::new(),
            is_unread_first: false,
            room,
            arrivals: Vec::new(),
            called: None,
            next_probe: Instant::ZERO,
            is_stopped: false,
        }
    }

    pub(super) fn client(&self) -> &Arc<dyn Client> {
        &self.client
    }

    pub(super) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(super) fn group(&self) -> Option<&GroupId> {
        self.group.as_ref()
    }

    /// Asks what the positions want to know now.
    pub(super) fn ask(&mut self, now: Instant) {
        let asks = self.positions.plan(now);
        if asks.is_empty() {
            return;
        }
        let (mut fetch, mut list, mut resume) = (Vec::new(), Vec::new(), Vec::new());
        for ask in asks {
            match ask.what {
                AskFor::Batches(from) => fetch.push((ask, from)),
                AskFor::Offset(spec) => list.push((ask, spec)),
                AskFor::Committed => resume.push(ask),
            }
        }
        self.ask_committed(now, resume);
        self.ask_offsets(list);
        self.ask_batches(fetch);
    }

    fn ask_batches(&mut self, asks: Vec<(Ask, Offset)>) {
        if asks.is_empty() {
            return;
        }
        let bytes_max = self.limits.partition_bytes_max;
        let wanted = asks
            .iter()
            .map(|(ask, from)| FetchPartition { bytes_max, ..FetchPartition::new(ask.partition.clone(), *from) });
        let request = Request::Fetch(self.fetch(wanted.collect()));
        self.put(request, What::Batches(asks.into_iter().map(|(ask, _)| Asked::from(ask)).collect()));
    }

    fn fetch(&self, partitions: Vec<FetchPartition>) -> Fetch {
        let Limits { isolation, bytes_min, bytes_max, wait_max_ms, .. } = self.limits;
        Fetch { isolation, bytes_min, bytes_max, wait_max_ms, partitions }
    }

    fn ask_offsets(&mut self, asks: Vec<(Ask, OffsetSpec)>) {
        if asks.is_empty() {
            return;
        }
        let wanted = asks.iter().map(|(ask, spec)| ListPartition {
            partition: ask.partition.clone(),
            at: *spec,
            current_leader_epoch: None,
        });
        let request =
            Request::ListOffsets(ListOffsets { isolation: self.limits.isolation, partitions: wanted.collect() });
        self.put(request, What::Offsets(asks.into_iter().map(|(ask, _)| Asked::from(ask)).collect()));
    }

    fn ask_committed(&mut self, now: Instant, asks: Vec<Ask>) {
        if asks.is_empty() {
            return;
        }
        // Without a group nothing was committed.
        let Some(group) = self.group.clone() else {
            return asks.into_iter().for_each(|ask| self.positions.resumed(now, ask.id, Ok(None)));
        };
        let partitions = asks.iter().map(|ask| ask.partition.clone()).collect();
        // An offset that a transaction is about to commit is waited for, or its records would be handed out twice.
        let request =
            Request::OffsetFetch(OffsetFetch { group, partitions: Some(partitions), pending: Pending::Refuse });
        self.put(request, What::Committed(asks.into_iter().map(Asked::from).collect()));
    }

    /// Asks something that a caller waits for.
    pub(super) fn call(&mut self, request: Request) -> Question {
        self.called = None;
        self.put(request, What::Call)
    }

    /// The answer to a call, once it is here.
    pub(super) fn take_called(&mut self, question: Question) -> Option<Result<Response<Body>, Stopped>> {
        let (of, answer) = self.called.take()?;
        (of == question).then_some(answer)
    }

    /// Asks whether the queue is there, if nothing that is open would tell. Nobody waits for a queue that has gone.
    pub(super) fn maybe_probe(&mut self, now: Instant) {
        if !self.open.is_empty() || now < self.next_probe {
            return;
        }
        self.next_probe = now.after(PROBE_MS);
        let nothing = self.fetch(Vec::new());
        self.put(Request::Fetch(nothing), What::Probe);
    }

    /// When to ask, or to ask again, if nothing comes before.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let probe = self.open.is_empty().then_some(self.next_probe);
        self.positions.next_deadline(now).into_iter().chain(probe).min()
    }

    fn put(&mut self, request: Request, what: What) -> Question {
        self.next_question += 1;
        let question = Question(self.next_question);
        // The answer may be there before this returns; it waits in the inbox until it is taken.
        let request = self.client.ask(request, self.inbox.on_answer(question));
        self.open.insert(question, Open { request, what });
        question
    }

    /// How short of memory it is, if it could have fetched more.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        self.room.shortage()
    }

    /// Takes back the questions that nobody wants an answer to any more, after positions have been moved by hand.
    pub(super) fn cancel_stale(&mut self) {
        let (positions, client) = (&self.positions, &self.client);
        self.open.retain(|_, open| {
            let is_stale = open.what.is_stale(positions);
            if is_stale {
                client.cancel(open.request);
            }
            !is_stale
        });
        self.unread.retain(|(id, _)| positions.is_open(*id));
        self.room.forget_shortage();
        self.look_for_room();
    }

    pub(super) fn cancel(&mut self, question: Question) {
        if let Some(open) = self.open.remove(&question) {
            self.client.cancel(open.request);
        }
    }

    pub(super) fn cancel_all(&mut self) {
        for (_, open) in std::mem::take(&mut self.open) {
            self.client.cancel(open.request);
        }
    }
}

impl What {
    fn is_stale(&self, positions: &Positions) -> bool {
        match self {
            Self::Batches(asked) | Self::Offsets(asked) | Self::Committed(asked) => {
                !asked.iter().any(|asked| positions.is_open(asked.id))
            }
            Self::Call | Self::Probe => false,
        }
    }
}

impl From<Ask> for Asked {
    fn from(ask: Ask) -> Self {
        Self { id: ask.id, partition: ask.partition }
    }
}
