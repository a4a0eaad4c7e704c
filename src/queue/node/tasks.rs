//! What takes a while: done by the pool, or by whoever helps it.

use std::sync::Arc;

use crate::broker::{Host, Input, Opening};
use crate::disk::{Disk, DiskErrorKind, LogDir, OpenError, OpenOptions, OpenedLog, Shutdown};
use crate::id::{TopicId, TopicPartition};
use crate::log::{Closing, LogConfig};
use crate::partition::{Found, PartitionConfig, PartitionFacts, Reign};
use crate::queue::node::absent::Absent;
use crate::queue::node::outputs::{Task, Todo};
use crate::queue::node::slot::Slot;
use crate::queue::node::{Node, NotOpened};
use crate::queue::pool::Panic;

impl<D: Disk> Node<D> {
    /// Does one task.
    pub(super) fn run(&self, task: Task<D>) {
        match task {
            Task::Turn(turn) => {
                let mut todo = Todo::default();
                self.take_turn(turn, &mut todo);
                self.finish(todo);
            }
            Task::Flush(slot, sync) => self.flush(&slot, &sync),
            Task::Flushes => self.flush_waiting(),
            Task::NoteMark(slot) => self.note_mark(&slot),
            Task::Find { waiter, partition, search } => {
                self.give(Input::Found { waiter, result: self.find(&partition, &search) });
            }
            Task::Open(opening) => {
                self.open(*opening);
                self.has_changed();
            }
            Task::Delete(partition) => {
                self.delete(&partition);
                self.has_changed();
            }
            Task::Load { waiter, partition, body } => self.load(waiter, &partition, body),
            Task::OpenAbsent => self.open_absent(),
            Task::HostAgain(partition, again, led) => {
                self.host_again(partition, *again, led);
                self.has_changed();
            }
            Task::Snapshot(job) => self.snapshot(&job),
            Task::Finish(todo) => self.finish(*todo),
            Task::Wake => self.give(Input::Wake),
        }
    }

    /// A partition is there, or gone, or will be neither.
    fn has_changed(&self) {
        self.core.lock().changing -= 1;
        self.has_become_idle();
    }

    /// A task has panicked: a fault of ours, or of a function that somebody gave us. What it was about is not known, so
    /// nothing more is promised of this node.
    pub(super) fn on_panic(&self, panic: &Panic) {
        let why = panic.downcast_ref::<&str>().map(|why| (*why).to_owned());
        let why = why.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned());
        self.break_down(&why);
    }

    /// Makes the log of a partition and has the node host it.
    fn open(&self, opening: Opening) {
        let Opening { partition, topic_id, directory, log, config, reign } = opening;
        let dir = self.dir_of(directory);
        let facts = PartitionFacts {
            partition: partition.clone(),
            topic_id: Some(topic_id),
            broker: self.options.broker,
            found: Found::Whole,
        };
        match self.make_log(dir, &partition, log, topic_id) {
            Ok(Some(opened)) => self.host(dir, opened, facts, reign, config),
            Ok(None) => {}
            Err(why) => {
                let mut todo = Todo::default();
                {
                    let mut core = self.core.lock();
                    // Or one that is made under this name now would count as failed.
                    if core.is_of(&partition, topic_id) {
                        if matches!(why, NotOpened::DiskFull(_)) {
                            core.absent.insert(partition.clone(), Absent { dir, topic_id });
                        }
                        let error = why.to_request_error();
                        core.give(self.clock.now(), Input::NotOpened { partition, error }, &mut todo);
                        self.was_given(&mut core);
                    }
                }
                self.finish(todo);
            }
        }
    }

    /// Makes a partition's log, unless its topic has gone meanwhile: whoever deletes it comes behind this, or has been here.
    fn make_log(
        &self,
        dir: usize,
        partition: &TopicPartition,
        config: LogConfig,
        topic_id: TopicId,
    ) -> Result<Option<OpenedLog<D>>, NotOpened> {
        self.move_strays(partition, topic_id).map_err(NotOpened::Log)?;
        let mut locked = self.dirs[dir].lock();
        if !self.core.lock().is_of(partition, topic_id) {
            return Ok(None);
        }
        let opened = self.open_log_in(&mut locked, partition, config, Some(topic_id));
        opened.map(Some).map_err(|error| NotOpened::log(&error, partition, &self.name_of(dir)))
    }

    pub(super) fn name_of(&self, dir: usize) -> String {
        self.options.names.get(dir).cloned().unwrap_or_else(|| format!("directory {dir}"))
    }

    /// Opens a log in the directory of this number.
    pub(crate) fn open_log(
        &self,
        dir: usize,
        partition: &TopicPartition,
        config: LogConfig,
        topic_id: Option<TopicId>,
    ) -> Result<OpenedLog<D>, NotOpened> {
        let opened = self.open_log_in(&mut self.dirs[dir].lock(), partition, config, topic_id);
        opened.map_err(|error| NotOpened::log(&error, partition, &self.name_of(dir)))
    }

    pub(super) fn open_log_in(
        &self,
        dir: &mut LogDir<D>,
        partition: &TopicPartition,
        config: LogConfig,
        topic_id: Option<TopicId>,
    ) -> Result<OpenedLog<D>, OpenError> {
        let options =
            OpenOptions { config, topic_id, open_files_max: self.options.open_files_max, ..OpenOptions::default() };
        let opened = dir.open_log(partition, &options, self.clock.date())?;
        // From the beginning, what is missing in front of a segment shows as a hole; and what Kafka has closed is not doubted
        // again after a kill.
        let is_new = opened.report.shutdown == Shutdown::New;
        if is_new || (opened.report.shutdown == Shutdown::Clean && dir.mark_of(partition).is_none()) {
            let noted = dir.note_mark(partition, &opened.log.mark(Closing::Open)).and_then(|()| dir.sync_marks());
            match noted {
                Err(error) if error.kind != DiskErrorKind::NoSpace => {
                    return Err(OpenError::Disk { partition: partition.clone(), error });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(opened)
    }

    /// Moves aside what stands under the name of a partition and belongs to another topic: one of the same name that was
    /// deleted, whose files a process has left behind. Nothing of it is removed.
    fn move_strays(&self, partition: &TopicPartition, topic_id: TopicId) -> Result<(), String> {
        for dir in &self.dirs {
            let mut dir = dir.lock();
            let found = dir.topic_id_of(partition).map_err(|error| error.to_string())?;
            if found.is_some_and(|found| found != topic_id) && self.core.lock().is_of(partition, topic_id) {
                dir.move_stray(partition, u128::from(self.chance())).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Has the node hold and lead a partition whose log is open. If its topic has been deleted since, nothing is left of it.
    pub(crate) fn host(
        &self,
        dir: usize,
        opened: OpenedLog<D>,
        facts: PartitionFacts,
        reign: Reign,
        config: PartitionConfig,
    ) {
        let _errand = self.errand();
        let OpenedLog { log, effects, driver, .. } = opened;
        let partition = facts.partition.clone();
        let directory = self.name_of(dir);
        let place = (Arc::clone(&self.dirs[dir]), directory);
        let slot = Arc::new(Slot::new(partition.clone(), place, driver, Arc::clone(&self.lost)));
        let mut todo = Todo::default();
        {
            let mut core = self.core.lock();
            if let Some(topic_id) = facts.topic_id.filter(|id| !core.is_of(&partition, *id)) {
                drop(core);
                drop(slot.take_driver());
                return self.remove_ghost(dir, &partition, topic_id);
            }
            core.slots.insert(partition.clone(), slot);
            for effect in effects {
                core.perform(&partition, effect, &mut todo);
            }
            core.give(self.clock.now(), Input::Host(Box::new(Host { log, facts, reign, config })), &mut todo);
            self.was_given(&mut core);
        }
        self.finish(todo);
    }

    /// Removes the files of a partition that no topic has, unless somebody else has the name by now.
    fn remove_ghost(&self, dir: usize, partition: &TopicPartition, topic_id: TopicId) {
        let id = u128::from(self.chance());
        let removed = {
            let mut dir = self.dirs[dir].lock();
            match dir.topic_id_of(partition) {
                Ok(Some(found)) if found == topic_id => {
                    dir.delete_log(partition, id).map_err(|error| error.to_string())
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        };
        if let Err(why) = removed {
            self.core.lock().notes.deletion_failed(partition.clone(), why);
            self.give(Input::FilesLeft);
        }
    }

    /// Removes the files of a partition and then forgets it, so that one of the same name finds its place empty.
    fn delete(&self, partition: &TopicPartition) {
        let slot = self.core.lock().slots.get(partition).cloned();
        let dirs = match &slot {
            Some(slot) => {
                self.end_compaction(slot);
                drop(slot.take_driver());
                vec![Arc::clone(&slot.dir)]
            }
            None => self.dirs.clone(),
        };
        let mut failed = None;
        for dir in dirs {
            // The name of what stands aside must not be taken: there may be one of an earlier partition of this name.
            let id = u128::from(self.chance());
            failed = dir.lock().delete_log(partition, id).err().or(failed);
        }
        let mut todo = Todo::default();
        {
            let mut core = self.core.lock();
            core.slots.remove(partition);
            if let Some(error) = failed {
                core.notes.deletion_failed(partition.clone(), error.to_string());
                core.give(self.clock.now(), Input::FilesLeft, &mut todo);
            }
            core.give(self.clock.now(), Input::Release(partition.clone()), &mut todo);
            self.was_given(&mut core);
        }
        self.finish(todo);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DiskPath, MemDisk};
    use crate::id::TopicName;
    use crate::message::{CreateTopics, DeleteTopics, NewTopic, Request, Response, TopicRef, Trial};
    use crate::queue::client::Client;
    use crate::queue::opening::{self, OpeningOptions};
    use crate::queue::sync::Mutex;
    use crate::time::Timestamp;
    use std::sync::Arc;

    fn open_node(disk: &MemDisk) -> Arc<Node<MemDisk>> {
        let names = vec!["disk 0".to_owned()];
        let take_over = opening::TakeOver::IfCertain;
        let options = OpeningOptions { names, take_over, ..OpeningOptions::quiet() };
        opening::open(vec![disk.clone()], options, Timestamp::from_millis(0)).unwrap().0
    }

    fn ask(node: &Arc<Node<MemDisk>>, request: Request) -> Response<crate::broker::Body> {
        let answered = Arc::new(Mutex::new(None));
        let told = Arc::clone(&answered);
        node.ask(request, Box::new(move |answer| *told.lock() = answer.ok()));
        node.wait_for_some(|_| answered.lock().take()).unwrap()
    }

    fn name() -> TopicName {
        TopicName::new("orders").unwrap()
    }

    fn create(node: &Arc<Node<MemDisk>>) -> TopicId {
        let topics = vec![NewTopic::new(name()).partitions(1)];
        let request = CreateTopics { topics, timeout_ms: 0, trial: Trial::Do };
        let Response::CreateTopics(answers) = ask(node, Request::CreateTopics(request)) else { panic!() };
        answers.into_iter().next().unwrap().result.unwrap().id
    }

    fn delete(node: &Arc<Node<MemDisk>>) {
        let request = DeleteTopics { topics: vec![TopicRef::Name(name())], timeout_ms: 0 };
        ask(node, Request::DeleteTopics(request));
        node.wait_for(|core| core.slots.len() == 1).unwrap();
    }

    fn opening_of(node: &Arc<Node<MemDisk>>, topic_id: TopicId) -> Opening {
        Opening {
            partition: TopicPartition::parse("orders-0").unwrap(),
            topic_id,
            directory: None,
            log: LogConfig::default(),
            config: PartitionConfig::default(),
            reign: Reign::alone(node.options.broker, crate::epoch::LeaderEpoch::ZERO),
        }
    }

    fn directories(disk: &MemDisk) -> Vec<String> {
        let entries = disk.list(&DiskPath::root()).unwrap();
        let names = entries.iter().filter_map(|entry| entry.name.to_str().map(str::to_owned));
        names.filter(|name| name.starts_with("orders")).collect()
    }

    #[test]
    fn a_partition_whose_topic_goes_while_it_is_made_leaves_nothing() {
        let disk = MemDisk::new();
        let node = open_node(&disk);
        let topic_id = create(&node);
        delete(&node);
        // Its deletion has overtaken all of it.
        node.open(opening_of(&node, topic_id));
        assert!(directories(&disk).is_empty() && node.core.lock().slots.len() == 1);
        // Its deletion has found the name free, and then it was there.
        let Opening { partition, log, config, reign, .. } = opening_of(&node, topic_id);
        let opened = node.open_log(0, &partition, log, Some(topic_id)).unwrap();
        assert_eq!(directories(&disk), ["orders-0"]);
        let facts =
            PartitionFacts { partition, topic_id: Some(topic_id), broker: node.options.broker, found: Found::Whole };
        node.host(0, opened, facts, reign, config);
        assert!(directories(&disk).is_empty() && node.core.lock().slots.len() == 1);
    }

    #[test]
    fn a_partition_that_found_no_space_is_not_made_when_its_topic_has_gone() {
        let disk = MemDisk::new();
        let node = open_node(&disk);
        let topic_id = create(&node);
        delete(&node);
        node.try_again(0, TopicPartition::parse("orders-0").unwrap(), topic_id);
        assert!(node.begins_round() && !node.begins_round(), "one at a time");
        node.open_absent();
        assert!(directories(&disk).is_empty() && !node.begins_round());
    }

    #[test]
    fn a_partition_that_comes_too_late_does_nothing_to_its_namesake() {
        let disk = MemDisk::new();
        let node = open_node(&disk);
        let topic_id = create(&node);
        delete(&node);
        let namesake = create(&node);
        node.open(opening_of(&node, topic_id));
        let partition = TopicPartition::parse("orders-0").unwrap();
        assert_eq!(node.topic_id_of(0, &partition), Ok(Some(namesake)));
        assert_eq!(directories(&disk), ["orders-0"]);
        node.remove_ghost(0, &partition, topic_id);
        assert_eq!(directories(&disk), ["orders-0"]);
        assert!(node.core.lock().broker.partition(&partition).is_some());
    }
}
