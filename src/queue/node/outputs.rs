//! What a node wants, sorted for those who do it.
//!
//! - Always true: what is to be done to a partition's files stands in its lanes before the lock of the node is released, so
//!   its order is that in which it came out.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::broker::{Body, Broker, DiskReport, DiskWish, Input, Opening, Output, RequestId, SnapshotJob};
use crate::controller::{AdoptRefusal, Adopted};
use crate::disk::Disk;
use crate::id::{TopicId, TopicPartition};
use crate::log::{self, Sync};
use crate::message::{Detail, RequestError, Response};
use crate::partition::{CompactError, Reign, TimeSearch, Waiter};
use crate::queue::client::{OnAnswer, Stopped};
use crate::queue::node::absent::{Absent, OpenedAgain};
use crate::queue::node::notes::Notes;
use crate::queue::node::slot::{Job, Slot};
use crate::queue::op_queue::{Item, Turn};
use crate::time::Instant;

/// What the metadata has taken over, and what it has not.
pub(crate) type AdoptionResult = (Result<Vec<Adopted>, RequestError>, Vec<(TopicPartition, AdoptRefusal)>);

/// The broker, and what must change with it under one lock.
#[derive(Debug)]
pub(crate) struct Core<D: Disk> {
    pub(super) broker: Broker,
    pub(super) slots: BTreeMap<TopicPartition, Arc<Slot<D>>>,
    pub(super) askers: Askers,
    /// Who leads what was opened; to be looked at by whoever opens the node.
    pub(super) led: Vec<(TopicPartition, Result<Reign, RequestError>)>,
    /// Whether the metadata has what it needs first.
    pub(super) started: Option<Result<(), RequestError>>,
    /// Partitions that found no space, and are to be tried again.
    pub(super) absent: BTreeMap<TopicPartition, Absent>,
    /// Those of them that are open now, until it is said who leads them.
    pub(super) opened_again: BTreeMap<TopicPartition, OpenedAgain<D>>,
    /// A round of that is under way.
    pub(super) is_trying_again: bool,
    /// What has come of the adoption; to be taken by whoever opens the node.
    pub(super) adopted: Option<AdoptionResult>,
    /// What became of partitions that were to be hosted and were not.
    pub(super) not_hosted: Vec<(TopicPartition, String)>,
    /// How many partitions are being made or removed.
    pub(super) changing: usize,
    /// Which partition is being compacted.
    pub(super) compacting: Option<TopicPartition>,
    /// What has become of a compacted segment; to be taken by whoever has given it, under the same lock.
    pub(super) replaced: Option<Result<(), CompactError>>,
    /// What nobody waits to be told.
    pub(super) notes: Notes,
    /// How many threads wait for something to change here.
    pub(super) watchers: usize,
    /// Nothing is asked any more, and whoever asks is told so.
    pub(super) is_stopped: bool,
    /// A fault of ours, after which nothing is done.
    pub(super) broken: Option<String>,
}

/// Who waits for which answer.
#[derive(Default)]
pub(super) struct Askers {
    next: u64,
    waiting: BTreeMap<RequestId, OnAnswer>,
}

impl std::fmt::Debug for Askers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Askers").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Askers {
    pub(super) fn note(&mut self, on_answer: OnAnswer) -> RequestId {
        self.next += 1;
        let id = RequestId(self.next);
        self.waiting.insert(id, on_answer);
        id
    }

    /// A number under which nobody waits.
    pub(super) fn nobody(&mut self) -> RequestId {
        self.next += 1;
        RequestId(self.next)
    }

    pub(super) fn take(&mut self, id: RequestId) -> Option<OnAnswer> {
        self.waiting.remove(&id)
    }

    pub(super) fn take_all(&mut self) -> Vec<OnAnswer> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }
}

/// What is to be done once the lock of the node is released.
#[derive(Debug)]
pub(super) struct Todo<D: Disk> {
    pub(super) answers: Vec<Answer>,
    pub(super) turns: Vec<SlotTurn<D>>,
    pub(super) tasks: Vec<Task<D>>,
    /// Segments that went to make room, by their bytes: to be told.
    pub(super) dropped: Vec<(TopicPartition, u64)>,
    /// The node wants to be woken soon.
    pub(super) again: bool,
}

/// Whoever waits for an answer that is left in it is told that there will be none.
impl<D: Disk> Drop for Todo<D> {
    fn drop(&mut self) {
        for answer in self.answers.drain(..) {
            let _ = catch_unwind(AssertUnwindSafe(|| (answer.on_answer)(Err(Stopped))));
        }
    }
}

impl<D: Disk> Default for Todo<D> {
    fn default() -> Self {
        Self { answers: Vec::new(), turns: Vec::new(), tasks: Vec::new(), dropped: Vec::new(), again: false }
    }
}

/// An answer, and who is to be told.
pub(super) struct Answer {
    pub(super) on_answer: OnAnswer,
    pub(super) response: Result<Response<Body>, Stopped>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("response", &self.response).finish_non_exhaustive()
    }
}

/// The right, and the duty, to do what stands in a partition's lanes.
#[derive(Debug)]
pub(super) struct SlotTurn<D: Disk> {
    pub(super) slot: Arc<Slot<D>>,
    pub(super) turn: Turn<Job>,
}

/// Something that takes a while, for a thread of the pool or whoever helps it.
#[derive(Debug)]
pub(super) enum Task<D: Disk> {
    /// A turn that was passed on.
    Turn(SlotTurn<D>),
    /// A flush.
    Flush(Arc<Slot<D>>, Box<Sync>),
    /// Flushes that wait to be performed together.
    Flushes,
    /// What is flushed of a partition is to be noted.
    NoteMark(Arc<Slot<D>>),
    /// A record that is looked for by its date.
    Find { waiter: Waiter, partition: TopicPartition, search: Box<TimeSearch> },
    /// A piece of what the coordinator has to know.
    Load { waiter: Waiter, partition: TopicPartition, body: Body },
    /// A partition that is to be made.
    Open(Box<Opening>),
    /// A partition whose files are to go.
    Delete(TopicPartition),
    /// Partitions that found no space are to be tried again.
    OpenAbsent,
    /// One of them is open, and it is known who leads it.
    HostAgain(TopicPartition, Box<OpenedAgain<D>>, Result<Reign, RequestError>),
    /// A snapshot of the metadata that is to be written.
    Snapshot(Box<SnapshotJob>),
    /// What came out of the node where nothing of it was done.
    Finish(Box<Todo<D>>),
    /// The node wants to be woken.
    Wake,
}

impl<D: Disk> Core<D> {
    pub(super) fn new(broker: Broker) -> Self {
        Self {
            broker,
            slots: BTreeMap::new(),
            askers: Askers::default(),
            led: Vec::new(),
            started: None,
            absent: BTreeMap::new(),
            opened_again: BTreeMap::new(),
            is_trying_again: false,
            adopted: None,
            not_hosted: Vec::new(),
            changing: 0,
            compacting: None,
            replaced: None,
            notes: Notes::default(),
            watchers: 0,
            is_stopped: false,
            broken: None,
        }
    }

    /// Gives the node what has happened, and sorts what it wants.
    pub(super) fn give(&mut self, now: Instant, input: Input, todo: &mut Todo<D>) {
        if self.broken.is_some() {
            return;
        }
        self.broker.handle(now, input);
        while let Some(output) = self.broker.poll_output() {
            self.take(output, todo);
        }
    }

    /// Gives the node what has come of a slot's disk; not any more if the partition has another by now.
    pub(super) fn report(&mut self, now: Instant, slot: &Arc<Slot<D>>, report: DiskReport, todo: &mut Todo<D>) {
        if self.slots.get(&slot.partition).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            self.give(now, Input::Disk { partition: slot.partition.clone(), report }, todo);
        }
    }

    fn take(&mut self, output: Output, todo: &mut Todo<D>) {
        match output {
            Output::Disk { partition, wish } => self.enqueue(&partition, wish, todo),
            Output::Respond { id, mut response } => {
                self.name_full_disks(&mut response);
                let asker = self.askers.take(id);
                todo.answers.extend(asker.map(|on_answer| Answer { on_answer, response: Ok(response) }));
            }
            Output::Rejected(id) => {
                let asker = self.askers.take(id);
                todo.answers.extend(asker.map(|on_answer| Answer { on_answer, response: Err(Stopped) }));
            }
            Output::Refused { .. } => self.notes.refuse(),
            Output::Find { waiter, partition, search } => {
                todo.tasks.push(Task::Find { waiter, partition, search: Box::new(search) });
            }
            Output::Load { waiter, partition, body } => todo.tasks.push(Task::Load { waiter, partition, body }),
            Output::Skipped { partition, skipped } => self.notes.skip(partition, skipped),
            Output::Dropped { partition, segment } => todo.dropped.push((partition, segment.bytes)),
            Output::Replaced { result, .. } => self.replaced = Some(result),
            Output::NotHosted { partition, error } => self.not_hosted.push((partition, error.to_string())),
            Output::Open(opening) => {
                self.changing += 1;
                todo.tasks.push(Task::Open(opening));
            }
            Output::Started(result) => self.started = Some(result),
            Output::Adopted { result, refused } => self.adopted = Some((result, refused)),
            Output::Led { partition, result } => match self.opened_again.remove(&partition) {
                None => self.led.push((partition, result)),
                Some(again) => {
                    self.changing += 1;
                    todo.tasks.push(Task::HostAgain(partition, Box::new(again), result));
                }
            },
            Output::Delete(partition) => {
                self.changing += 1;
                todo.tasks.push(Task::Delete(partition));
            }
            Output::Snapshot(job) => todo.tasks.push(Task::Snapshot(job)),
            Output::Again => todo.again = true,
        }
    }

    /// Says of each full disk which one it is, which the broker does not know.
    fn name_full_disks(&self, response: &mut Response<Body>) {
        if let Response::InitProducerId(Err(error)) = response {
            self.name_full_disk(error);
        }
        let Response::Produce(answers) = response else { return };
        for answer in answers {
            if let Err(error) = &mut answer.result {
                self.name_full_disk(error);
            }
        }
    }

    fn name_full_disk(&self, error: &mut RequestError) {
        if let Detail::DiskFull(disk) = &mut error.detail {
            let known = self.slots.get(&disk.partition).map(|slot| slot.directory.clone());
            disk.directory = known.or_else(|| disk.directory.take());
        }
    }

    /// The files of a partition, if they are still those of this topic.
    pub(super) fn slot_of(&self, partition: &TopicPartition, topic_id: Option<TopicId>) -> Option<Arc<Slot<D>>> {
        self.broker.partition_of(partition, topic_id)?;
        self.slots.get(partition).cloned()
    }

    /// Whether a partition's name belongs to this topic now. Without metadata nobody says otherwise.
    pub(super) fn is_of(&self, partition: &TopicPartition, topic_id: TopicId) -> bool {
        let Some(image) = self.broker.image() else { return true };
        image.topic(partition.topic()).is_some_and(|topic| topic.id() == topic_id)
    }

    /// Has an effect of a log performed that did not come from the broker: what its opening asks for.
    pub(super) fn perform(&self, partition: &TopicPartition, effect: log::Effect, todo: &mut Todo<D>) {
        self.enqueue(partition, DiskWish::Log(effect), todo);
    }

    fn enqueue(&self, partition: &TopicPartition, wish: DiskWish, todo: &mut Todo<D>) {
        let Some(slot) = self.slots.get(partition) else { return };
        let item = match wish {
            DiskWish::Log(log::Effect::Op(seq, op)) => Item::Ordered(Job::Op(seq, op)),
            DiskWish::Reserve { file, needed, wanted } => Item::Ordered(Job::Reserve { file, needed, wanted }),
            DiskWish::Log(log::Effect::Remove(remove)) => Item::Free(Job::Remove(remove)),
            DiskWish::Mark(mark) => Item::Free(Job::Mark(mark)),
            DiskWish::Log(log::Effect::Sync(sync)) => {
                return todo.tasks.push(Task::Flush(Arc::clone(slot), Box::new(sync)));
            }
        };
        let turn = slot.lanes.enqueue([item]);
        todo.turns.extend(turn.map(|turn| SlotTurn { slot: Arc::clone(slot), turn }));
    }
}
