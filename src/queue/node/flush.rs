//! Flushes: each by itself, or many of them by one call to the file system.

use std::sync::Arc;

use crate::broker::DiskReport;
use crate::disk::{Disk, SyncJob};
use crate::log::Sync;
use crate::queue::builder::FlushScope;
use crate::queue::node::Node;
use crate::queue::node::outputs::{Task, Todo};
use crate::queue::node::slot::Slot;
use crate::queue::sync::Mutex;
use crate::queue::sync::atomic::Ordering::AcqRel;
use crate::queue::telemetry::{self, Stopwatch};

/// From how many on flushes are performed together: below, one after the other is as fast.
const TOGETHER_MIN: usize = 8;
/// How many reports the node is given under its lock at a time.
const REPORTS_MAX: usize = 64;

/// A flush that is asked for.
type Asked<D> = (Arc<Slot<D>>, Box<Sync>);

/// Flushes that wait for somebody to perform them, where they may be performed together.
#[derive(Debug)]
pub(super) struct Flushes<D: Disk> {
    scope: FlushScope,
    waiting: Mutex<Vec<Asked<D>>>,
}

impl<D: Disk> Flushes<D> {
    pub(super) fn new(scope: FlushScope) -> Self {
        Self { scope, waiting: Mutex::new(Vec::new()) }
    }

    /// What is to be done for a task: of one that is a flush, perhaps, to see to those that wait.
    pub(super) fn gather(&self, task: Task<D>) -> Task<D> {
        match (self.scope, task) {
            (FlushScope::FileSystem, Task::Flush(slot, sync)) => {
                self.waiting.lock().push((slot, sync));
                Task::Flushes
            }
            (_, task) => task,
        }
    }

    /// All of them if they are many, else the one that waits for the longest.
    fn take(&self) -> Vec<Asked<D>> {
        let mut waiting = self.waiting.lock();
        let count = if waiting.len() < TOGETHER_MIN { waiting.len().min(1) } else { waiting.len() };
        waiting.drain(..count).collect()
    }
}

impl<D: Disk> Node<D> {
    /// Flushes, reports it, and notes what is flushed.
    pub(super) fn flush(&self, slot: &Arc<Slot<D>>, sync: &Sync) {
        let (_span, begun) = (telemetry::flushing(&slot.partition), Stopwatch::start());
        let Some(report) = slot.flush(sync) else { return };
        self.flushed(&begun, &[(Arc::clone(slot), report)]);
    }

    /// Performs flushes that wait; nothing if somebody has taken them all.
    pub(super) fn flush_waiting(&self) {
        let mut waiting = self.flushes.take();
        if let [(slot, sync)] = &waiting[..] {
            return self.flush(slot, sync);
        }
        while let Some((first, _)) = waiting.first() {
            let dir = Arc::clone(&first.dir);
            let (of_dir, others) = waiting.into_iter().partition(|(slot, _)| Arc::ptr_eq(&slot.dir, &dir));
            self.flush_together(of_dir);
            waiting = others;
        }
    }

    /// Performs flushes of one directory.
    fn flush_together(&self, asked: Vec<Asked<D>>) {
        let begun = Stopwatch::start();
        let (mut slots, mut jobs, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, sync) in asked {
            match slot.begin_flush(&sync) {
                Some(Ok(job)) => {
                    jobs.push(job);
                    slots.push((slot, sync));
                }
                Some(Err(failed)) => reports.push((slot, failed)),
                None => {}
            }
        }
        let results = SyncJob::perform_all(&jobs);
        for (((slot, sync), job), result) in slots.into_iter().zip(jobs).zip(results) {
            let report = slot.end_flush(&sync, job, result);
            reports.push((slot, report));
        }
        for reports in reports.chunks(REPORTS_MAX) {
            self.flushed(&begun, reports);
        }
    }

    /// Reports flushes, and has somebody note what is flushed: whoever has flushed may wait for what he was just told.
    fn flushed(&self, begun: &Stopwatch, reports: &[(Arc<Slot<D>>, DiskReport)]) {
        let mut todo = Todo::default();
        {
            let now = self.clock.now();
            let mut core = self.core.lock();
            for (slot, report) in reports {
                telemetry::flushed(begun, matches!(report, DiskReport::SyncFailed(..)));
                core.report(now, slot, report.clone(), &mut todo);
            }
            self.was_given(&mut core);
        }
        self.finish(todo);
        for (slot, _) in reports {
            if !slot.is_mark_due.swap(true, AcqRel) {
                self.pass_on(Task::NoteMark(Arc::clone(slot)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::mem::{Choice, Fails};
    use crate::disk::{DiskErrorKind, MemDisk};
    use crate::id::{TopicName, TopicPartition};
    use crate::message::{
        Acks, CreateTopics, Durability, NewTopic, Produce, ProducePartition, Request, Response, Trial,
    };
    use crate::queue::client::Client;
    use crate::queue::opening::{OpeningOptions, open};
    use crate::queue::sync::atomic::Ordering::Release;
    use crate::record::{BatchBuilder, Codec, NewRecord};
    use crate::time::Timestamp;

    const COUNT: u32 = 20;

    /// A node without threads, so that all that it has to do is done here.
    fn node_on(disk: &MemDisk, flush_scope: FlushScope) -> Arc<Node<MemDisk>> {
        let options = OpeningOptions { threads: 0, flush_scope, ..OpeningOptions::quiet() };
        let node = open(vec![disk.clone()], options, Timestamp::from_millis(0)).unwrap().0;
        let topics = vec![NewTopic::new(TopicName::new("orders").unwrap()).partitions(COUNT)];
        let request = CreateTopics { topics, timeout_ms: 0, trial: Trial::Do };
        let answers = ask(&node, Request::CreateTopics(request));
        while node.pool.help() {}
        assert_eq!(answers.lock().len(), 1);
        node
    }

    type Answers = Arc<Mutex<Vec<Response<crate::broker::Body>>>>;

    fn ask(node: &Node<MemDisk>, request: Request) -> Answers {
        let answers = Answers::default();
        let told = Arc::clone(&answers);
        node.ask(request, Box::new(move |answer| told.lock().extend(answer)));
        answers
    }

    /// A record in each partition, written and not flushed.
    fn ask_for_flushes(node: &Node<MemDisk>) -> Vec<Answers> {
        // What the first of all records brings with it is over.
        let first = ask_for_records(node);
        while node.pool.help() {}
        assert_eq!(flushed(&first), COUNT as usize);
        let answers = ask_for_records(node);
        assert!(answers.iter().all(|answers| answers.lock().is_empty()), "nothing is flushed");
        // Nothing but the flushes is to be seen in the count of calls.
        node.core.lock().slots.values().for_each(|slot| slot.is_mark_due.store(true, Release));
        answers
    }

    fn ask_for_records(node: &Node<MemDisk>) -> Vec<Answers> {
        let ask_for = |number| {
            let mut batch = BatchBuilder::new(Codec::None);
            batch.push(&NewRecord::new(Timestamp::from_millis(0), None, Some(b"value"))).unwrap();
            let partition = TopicPartition::parse(&format!("orders-{number}")).unwrap();
            let partitions = vec![ProducePartition { partition, batch: batch.build().unwrap(), expected_offset: None }];
            let produce = Produce { acks: Acks::All, durability: Durability::Flushed, timeout_ms: 1000, partitions };
            ask(node, Request::Produce(produce))
        };
        (0..COUNT).map(ask_for).collect()
    }

    fn flushed(answers: &[Answers]) -> usize {
        let is_flushed = |answers: &&Answers| match &answers.lock()[..] {
            [Response::Produce(answers)] => answers[0].result.is_ok(),
            other => panic!("{other:?}"),
        };
        answers.iter().filter(is_flushed).count()
    }

    /// The partitions' files of records.
    fn logs_of(disk: &MemDisk) -> Vec<Vec<u8>> {
        let is_log = |path: &String| path.starts_with("orders-") && path.ends_with(".log");
        disk.contents().into_iter().filter(|(path, _)| is_log(path)).map(|(_, bytes)| bytes).collect()
    }

    /// How many calls the disk gets for flushes that wait, and how many of them succeed.
    fn calls_for_flushes(flush_scope: FlushScope, fails: Option<Fails>) -> (u64, usize) {
        let disk = MemDisk::new();
        let node = node_on(&disk, flush_scope);
        let answers = ask_for_flushes(&node);
        let before = disk.calls();
        if let Some(fails) = fails {
            let kind = DiskErrorKind::Io { code: Some(5), message: "a bad sector".to_owned() };
            disk.fail_at(before, kind, fails);
        }
        while node.pool.help() {}
        let calls = disk.calls() - before;
        if fails != Some(Fails::FromThenOn) {
            assert!(logs_of(&disk.image(&Choice::nothing())) == logs_of(&disk), "something would be lost");
        }
        (calls, flushed(&answers))
    }

    #[test]
    fn flushes_that_wait_together_are_one_call() {
        let all = COUNT as usize;
        assert_eq!(calls_for_flushes(FlushScope::FileSystem, None), (1, all));
        let (calls, flushed) = calls_for_flushes(FlushScope::File, None);
        assert!(calls >= u64::from(COUNT) && flushed == all, "{calls}");
    }

    #[test]
    fn where_flushing_together_fails_each_is_flushed_by_itself_and_says_what_fails() {
        let all = COUNT as usize;
        let (calls, flushed) = calls_for_flushes(FlushScope::FileSystem, Some(Fails::Once));
        assert!(calls > u64::from(COUNT) && flushed == all, "{calls}");
        assert_eq!(calls_for_flushes(FlushScope::FileSystem, Some(Fails::FromThenOn)).1, 0);
    }

    #[test]
    fn few_flushes_are_not_worth_a_whole_file_system() {
        let flushes: Flushes<MemDisk> = Flushes::new(FlushScope::FileSystem);
        assert!(flushes.take().is_empty());
        let node = node_on(&MemDisk::new(), FlushScope::FileSystem);
        let answers = ask_for_flushes(&node);
        let mut waiting = std::mem::take(&mut *node.flushes.waiting.lock());
        waiting.truncate(TOGETHER_MIN - 1);
        node.flushes.waiting.lock().append(&mut waiting);
        assert_eq!(node.flushes.take().len(), 1);
        drop(answers);
    }
}
