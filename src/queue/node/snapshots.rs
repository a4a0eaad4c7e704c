//! Writing a snapshot of the metadata, and removing those that are older than the one before it.
//!
//! - Must not know: when, and what becomes of the log.
//! - Always true: under a snapshot's name stands all of it, durable, or nothing; at any crash the one before it is there too;
//!   what somebody else has named is left alone.

use crate::broker::{Input, SnapshotJob};
use crate::controller::{Snapshot, SnapshotId};
use crate::disk::small::{gone_is_fine, replace_through};
use crate::disk::{Disk, DiskError, DiskPath};
use crate::queue::node::Node;

/// Behind the name of what is being written, as Kafka has it, which takes no notice of such a file but to remove it.
const UNFINISHED: &str = ".part";

impl<D: Disk> Node<D> {
    /// Does the job and says what has come of it, unless the partition has been closed meanwhile.
    pub(super) fn snapshot(&self, job: &SnapshotJob) {
        let Some(slot) = self.core.lock().slots.get(&job.partition).cloned() else { return };
        // The lock of the directory stays held until whoever runs this lets go of the node.
        let disk = slot.dir.lock().disk().clone();
        let dir = DiskPath::root().entry(&job.partition);
        let input = match write(&disk, &dir, job) {
            Ok(()) => {
                // What cannot be removed now goes behind the next snapshot.
                let _ = remove_older(&disk, &dir, job);
                Input::Snapshotted { date: self.clock.date() }
            }
            Err(why) => {
                self.core.lock().notes.snapshot_failed(job.id, why);
                Input::NotSnapshotted
            }
        };
        self.give(input);
    }
}

fn write<D: Disk>(disk: &D, dir: &DiskPath, job: &SnapshotJob) -> Result<(), String> {
    let bytes = Snapshot::write(&job.image, job.id.epoch, job.last_contained_log_timestamp);
    let bytes = bytes.map_err(|error| error.to_string())?;
    let name = job.id.to_string();
    let unfinished = dir.entry(format!("{name}{UNFINISHED}"));
    replace_through(disk, dir, &name, &unfinished, &bytes).map_err(|error| {
        // Its space is given back: the disk may be full.
        let _ = disk.remove(&unfinished);
        error.to_string()
    })
}

/// Removes what is older than the snapshot before this one, and what an earlier process was writing when it was killed.
fn remove_older<D: Disk>(disk: &D, dir: &DiskPath, job: &SnapshotJob) -> Result<(), DiskError> {
    for entry in disk.list(dir)? {
        let Some(name) = entry.name.to_str() else { continue };
        let is_older = |id: SnapshotId| id.is_state() && job.before.is_some_and(|before| id < before);
        let is_unfinished = name.strip_suffix(UNFINISHED).and_then(SnapshotId::parse).is_some();
        if is_unfinished || SnapshotId::parse(name).is_some_and(is_older) {
            gone_is_fine(disk.remove(&dir.entry(name)))?;
        }
    }
    Ok(())
}
