//! Waiting for the node to have come somewhere: for whoever opens or closes it.

use crate::controller::Image;
use crate::disk::{Disk, DiskError};
use crate::id::{TopicId, TopicPartition};
use crate::log::Health;
use crate::message::RequestError;
use crate::offset::Offset;
use crate::partition::Reign;
use crate::queue::node::outputs::{AdoptionResult, Core};
use crate::queue::node::{Node, Notes};
use crate::queue::sync::WaitUntil;
use crate::queue::sync::atomic::Ordering::SeqCst;
use crate::queue::usage::{DiskUse, MemoryUse};

impl<D: Disk> Node<D> {
    /// Waits until it is so, and does tasks meanwhile.
    ///
    /// # Errors
    ///
    /// Why the node will never come there.
    pub(crate) fn wait_for(&self, is_so: impl Fn(&Core<D>) -> bool) -> Result<(), String> {
        self.wait_for_some(|core| is_so(core).then_some(()))
    }

    /// Waits until there is something, and does tasks meanwhile.
    ///
    /// # Errors
    ///
    /// Why there never will be.
    pub(crate) fn wait_for_some<T>(&self, find: impl FnMut(&mut Core<D>) -> Option<T>) -> Result<T, String> {
        self.watching.fetch_add(1, SeqCst);
        let found = self.watch(find);
        self.watching.fetch_sub(1, SeqCst);
        found
    }

    fn watch<T>(&self, mut find: impl FnMut(&mut Core<D>) -> Option<T>) -> Result<T, String> {
        loop {
            while self.pool.help() {}
            let mut core = self.core.lock();
            if let Some(found) = find(&mut core) {
                return Ok(found);
            }
            if let Some(why) = &core.broken {
                return Err(why.clone());
            }
            core.watchers += 1;
            self.changed.wait_maybe_until(&mut core, None);
            core.watchers -= 1;
        }
    }

    /// Waits until all of a partition is on disk.
    ///
    /// # Errors
    ///
    /// Why it never will be.
    pub(crate) fn wait_for_flush(&self, partition: &TopicPartition) -> Result<(), String> {
        self.wait_for_some(|core| {
            let log = core.broker.partition(partition)?.log();
            match log.health() {
                Health::Poisoned { why } => Some(Err(why.clone())),
                Health::Stalled => Some(Err("no space was left".to_owned())),
                Health::Good => (log.flushed() == log.log_end_offset()).then_some(Ok(())),
            }
        })?
    }

    /// Deletes the files of a partition that is not hosted.
    pub(crate) fn delete_log(&self, dir: usize, partition: &TopicPartition) -> Result<(), DiskError> {
        // The name of what stands aside must not be taken: there may be one of an earlier partition of this name.
        let id = u128::from(self.chance());
        self.dirs[dir].lock().delete_log(partition, id)
    }

    /// Looks at the metadata as it is now.
    pub(crate) fn with_image<T>(&self, look: impl FnOnce(&Image) -> T) -> T {
        let core = self.core.lock();
        look(core.broker.image().unwrap_or(&Image::default()))
    }

    /// What the partitions take of the disks.
    pub(crate) fn disk_use(&self) -> DiskUse {
        DiskUse::of(&self.core.lock().broker)
    }

    /// What is in memory. The slots' locks are taken with no other held.
    pub(crate) fn memory_use(&self) -> MemoryUse {
        let (cached, slots) = {
            let core = self.core.lock();
            let logs = core.broker.partitions().filter_map(|partition| core.broker.partition(partition));
            let cached = logs.map(|host| host.log().cached_bytes()).sum();
            (cached, core.slots.values().cloned().collect::<Vec<_>>())
        };
        MemoryUse {
            producers: self.clocked().iter().map(|one| one.memory()).sum(),
            batches: self.live.bytes(),
            cached,
            read: slots.iter().map(|slot| slot.read_bytes()).sum(),
            held: self.budget.as_ref().map_or(0, |budget| budget.held()),
            held_max: self.budget.as_ref().map(|budget| budget.bytes_max()),
        }
    }

    /// How many directories there are.
    pub(crate) fn dirs(&self) -> usize {
        self.dirs.len()
    }

    /// The partitions that have a directory in this one.
    pub(crate) fn partitions_in(&self, dir: usize) -> Result<Vec<TopicPartition>, DiskError> {
        self.dirs[dir].lock().partitions()
    }

    /// The topic that the files of a partition belong to, if they say so.
    pub(crate) fn topic_id_of(&self, dir: usize, partition: &TopicPartition) -> Result<Option<TopicId>, String> {
        self.dirs[dir].lock().topic_id_of(partition).map_err(|error| error.to_string())
    }

    /// The farthest offset that a directory's own files tell of a partition.
    pub(crate) fn noted_end(&self, dir: usize, partition: &TopicPartition) -> Option<Offset> {
        self.dirs[dir].lock().noted_end(partition)
    }

    /// What went wrong so far and had nobody to be told.
    pub(crate) fn take_notes(&self) -> Notes {
        std::mem::take(&mut self.core.lock().notes)
    }

    /// Partitions that were opened and could not be hosted, and why.
    pub(crate) fn take_not_hosted(&self) -> Vec<(TopicPartition, String)> {
        std::mem::take(&mut self.core.lock().not_hosted)
    }
}

impl<D: Disk> Core<D> {
    /// Whether the metadata has what it needs first, or why not.
    pub(crate) fn take_started(&mut self) -> Option<Result<(), RequestError>> {
        self.started.take()
    }

    pub(crate) fn take_adopted(&mut self) -> Option<AdoptionResult> {
        self.adopted.take()
    }

    /// Who leads the partitions that were opened, once that is decided for all of them.
    pub(crate) fn take_led(&mut self, count: usize) -> Option<Vec<(TopicPartition, Result<Reign, RequestError>)>> {
        (self.led.len() >= count).then(|| std::mem::take(&mut self.led))
    }
}
