//! What takes a while: done by the pool, or by whoever helps it.

use std::sync::Arc;

use crate::broker::{Host, Input, Opening};
use crate::disk::{Disk, DiskErrorKind, OpenOptions, OpenedLog, Shutdown};
use crate::id::{TopicId, TopicPartition};
use crate::log::{Closing, LogConfig};
use crate::partition::{Found, PartitionConfig, PartitionFacts, Reign};
use crate::queue::node::Node;
use crate::queue::node::outputs::{Task, Todo};
use crate::queue::node::slot::Slot;
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
            Task::NoteMark(slot) => self.note_mark(&slot),
            Task::Find { waiter, partition, search } => {
                self.give(Input::Found { waiter, result: self.find(&partition, &search) });
            }
            Task::Open(opening) => self.open(*opening),
            Task::Delete(partition) => self.delete(&partition),
            Task::Load { waiter, partition, body } => self.load(waiter, &partition, body),
            Task::Wake => self.give(Input::Wake),
        }
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
        let moved = self.move_strays(&partition, topic_id);
        match moved.and_then(|()| self.open_log(dir, &partition, log, Some(topic_id))) {
            Ok(opened) => self.host(dir, opened, facts, reign, config),
            Err(why) => self.give(Input::NotOpened { partition, why }),
        }
    }

    /// Opens a log in the directory of this number.
    pub(crate) fn open_log(
        &self,
        dir: usize,
        partition: &TopicPartition,
        config: LogConfig,
        topic_id: Option<TopicId>,
    ) -> Result<OpenedLog<D>, String> {
        let options =
            OpenOptions { config, topic_id, open_files_max: self.options.open_files_max, ..OpenOptions::default() };
        let mut dir = self.dirs[dir].lock();
        let opened = dir.open_log(partition, &options, self.clock.date()).map_err(|error| error.to_string())?;
        // From the beginning, what is missing in front of a segment shows as a hole; and what Kafka has closed is not doubted
        // again after a kill.
        let is_new = opened.report.shutdown == Shutdown::New;
        if is_new || (opened.report.shutdown == Shutdown::Clean && dir.mark_of(partition).is_none()) {
            let noted = dir.note_mark(partition, &opened.log.mark(Closing::Open)).and_then(|()| dir.sync_marks());
            match noted {
                Err(error) if error.kind != DiskErrorKind::NoSpace => return Err(error.to_string()),
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
            if found.is_some_and(|found| found != topic_id) {
                dir.move_stray(partition, u128::from(self.chance())).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Has the node hold and lead a partition whose log is open.
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
        let directory = self.options.names.get(dir).cloned().unwrap_or_else(|| format!("directory {dir}"));
        let place = (Arc::clone(&self.dirs[dir]), directory);
        let slot = Arc::new(Slot::new(partition.clone(), place, driver, Arc::clone(&self.lost)));
        let mut todo = Todo::default();
        {
            let mut core = self.core.lock();
            core.slots.insert(partition.clone(), slot);
            for effect in effects {
                core.perform(&partition, effect, &mut todo);
            }
            core.give(self.clock.now(), Input::Host(Box::new(Host { log, facts, reign, config })), &mut todo);
            self.was_given(&mut core);
        }
        self.finish(todo);
    }

    /// Removes the files of a partition and then forgets it, so that one of the same name finds its place empty.
    fn delete(&self, partition: &TopicPartition) {
        let slot = self.core.lock().slots.get(partition).cloned();
        let dirs = match &slot {
            Some(slot) => {
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
            core.deletions_failed.extend(failed.map(|error| (partition.clone(), error.to_string())));
            core.give(self.clock.now(), Input::Release(partition.clone()), &mut todo);
            self.was_given(&mut core);
        }
        self.finish(todo);
    }
}
