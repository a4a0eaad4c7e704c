//! Deleting a log: its directory stands aside under another name first, so that a crash leaves all of it or none.
//!
//! - May use: its siblings.
//! - Always true: what stands aside as deleted is removed by the next opening of the directory at the latest.

use std::ffi::OsStr;

use crate::disk::dirs::{Aside, DirName};
use crate::disk::log_dir::LogDir;
use crate::disk::small::gone_is_fine;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath, EntryKind, MarksError};
use crate::id::TopicPartition;

impl<D: Disk> LogDir<D> {
    /// Deletes the log of `partition`, which nobody drives any more, with all its records. Once this returns a log of the
    /// same name may be made; the space is given back as far as no reader holds the files. `id` tells its directory from that
    /// of another of the same name which is being deleted. A full disk does not keep it from that.
    ///
    /// # Errors
    ///
    /// The disk's. Then the log may still be there, whole, or be gone for whoever looks for its name.
    pub fn delete_log(&mut self, partition: &TopicPartition, id: u128) -> Result<(), DiskError> {
        // First, and durably: a mark without its log would tell of segments that are missing. What Kafka's files say takes space
        // to be written anew, which this is about to give back: until then what stands aside shows that it is not so.
        self.forget_mark_of(partition)?;
        without_space_later(self.forget_checkpoints(partition))?;
        let root = DiskPath::root();
        let aside = root.entry(DirName::aside(partition, id, Aside::Delete));
        match self.disk().rename(&root.entry(partition), &aside) {
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(()),
            outcome => outcome?,
        }
        // Before another log takes the name.
        self.disk().sync_dir(&root)?;
        self.remove_aside(&aside, partition)
    }

    /// Removes what stands aside as deleted; its directory last, when nothing is known of its log any more.
    fn remove_aside(&mut self, aside: &DiskPath, partition: &TopicPartition) -> Result<(), DiskError> {
        remove_within(self.disk(), aside)?;
        if !self.has_directory(partition)? {
            self.forget_checkpoints(partition)?;
        }
        gone_is_fine(self.disk().remove(aside))
    }

    fn has_directory(&self, partition: &TopicPartition) -> Result<bool, DiskError> {
        match self.disk().list(&DiskPath::root().entry(partition)) {
            Err(error) if error.kind == DiskErrorKind::NotFound => Ok(false),
            listed => listed.map(|_| true),
        }
    }

    /// Moves the directory of `partition`, which nobody drives, aside as one that nobody knows. All of it stays, and another log
    /// may take the name.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub fn move_stray(&mut self, partition: &TopicPartition, id: u128) -> Result<(), DiskError> {
        self.forget(partition)?;
        let root = DiskPath::root();
        self.disk().rename(&root.entry(partition), &root.entry(DirName::aside(partition, id, Aside::Stray)))?;
        self.disk().sync_dir(&root)
    }

    /// Removes what an earlier process was about to delete. Answers how many directories there were.
    ///
    /// # Errors
    ///
    /// The disk's; what could not be removed stays for the next time.
    pub fn finish_deletions(&mut self) -> Result<usize, DiskError> {
        let root = DiskPath::root();
        let mut removed = 0;
        for entry in self.disk().list(&root)? {
            let is_dir = entry.kind == EntryKind::Dir;
            let name = entry.name.to_str().and_then(|name| DirName::parse(name).ok());
            if is_dir && let Some(DirName::Aside { partition, why: Aside::Delete, .. }) = name {
                self.remove_aside(&root.entry(Display(&entry.name)), &partition)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Nothing is known of the log any more.
    pub(crate) fn forget(&mut self, partition: &TopicPartition) -> Result<(), DiskError> {
        self.forget_mark_of(partition)?;
        self.forget_checkpoints(partition)
    }

    fn forget_mark_of(&mut self, partition: &TopicPartition) -> Result<(), DiskError> {
        match self.forget_mark(partition) {
            Ok(()) => self.sync_marks(),
            Err(MarksError::Disk(error)) => Err(error),
            // There was none.
            Err(_) => Ok(()),
        }
    }
}

/// What found no space is done when there is some.
fn without_space_later(outcome: Result<(), DiskError>) -> Result<(), DiskError> {
    match outcome {
        Err(error) if error.kind == DiskErrorKind::NoSpace => Ok(()),
        outcome => outcome,
    }
}

/// A name that was read from a directory, as text: it was parsed, so it is text.
struct Display<'a>(&'a OsStr);

impl std::fmt::Display for Display<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_string_lossy())
    }
}

/// Removes all that is in a directory.
fn remove_within<D: Disk>(disk: &D, dir: &DiskPath) -> Result<(), DiskError> {
    for entry in disk.list(dir)? {
        let path = dir.entry(Display(&entry.name));
        if entry.kind == EntryKind::Dir {
            remove_within(disk, &path)?;
        }
        gone_is_fine(disk.remove(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{MemDisk, OpenOptions, OpenedLog};
    use crate::log::Effect;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// A log that has been written, and nothing drives any more.
    fn made(disk: &MemDisk, name: &str) -> (LogDir<MemDisk>, TopicPartition) {
        let mut dir = LogDir::open(disk.clone()).unwrap();
        let partition = TopicPartition::parse(name).unwrap();
        let OpenedLog { log, effects, mut driver, .. } =
            dir.open_log(&partition, &OpenOptions::default(), NOW).unwrap();
        for effect in effects {
            if let Effect::Op(_, op) = effect {
                driver.perform(&op).unwrap();
            }
        }
        dir.close_log(&log, driver, &partition).unwrap();
        (dir, partition)
    }

    fn names(disk: &MemDisk) -> Vec<String> {
        let entries = disk.list(&DiskPath::root()).unwrap();
        entries.iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_deleted_log_leaves_nothing_and_its_name_is_free() {
        let disk = MemDisk::new();
        let (mut dir, partition) = made(&disk, "orders-0");
        dir.delete_log(&partition, 7).unwrap();
        assert!(!names(&disk).iter().any(|name| name.starts_with("orders-0")), "{:?}", names(&disk));
        let opened = dir.open_log(&partition, &OpenOptions::default(), NOW).unwrap();
        assert_eq!(opened.report.shutdown, crate::disk::Shutdown::New);
    }

    /// What Kafka's files say of a log.
    fn said(disk: &MemDisk, partition: &str) -> bool {
        let contents = disk.contents();
        let mut checkpoints = contents.iter().filter(|(path, _)| path.ends_with("-checkpoint") && !path.contains('/'));
        let (topic, number) = partition.rsplit_once('-').unwrap();
        checkpoints.any(|(_, text)| String::from_utf8_lossy(text).contains(&format!("{topic} {number} ")))
    }

    #[test]
    fn a_log_is_deleted_on_a_full_disk_too_and_nothing_is_said_of_it() {
        let disk = MemDisk::new();
        let (mut dir, partition) = made(&disk, "orders-0");
        assert!(said(&disk, "orders-0"));
        disk.set_capacity(Some(disk.held()));
        dir.delete_log(&partition, 7).unwrap();
        assert!(!names(&disk).iter().any(|name| name.starts_with("orders-0")), "{:?}", names(&disk));
        assert!(!said(&disk, "orders-0"));
    }

    #[test]
    fn a_crash_at_any_call_of_a_deletion_leaves_all_of_the_log_or_none() {
        for is_full in [false, true] {
            crash_at_any_call_of_a_deletion(is_full);
        }
    }

    fn crash_at_any_call_of_a_deletion(is_full: bool) {
        for call in 0.. {
            let disk = MemDisk::new();
            let (mut dir, partition) = made(&disk, "orders-0");
            disk.set_capacity(is_full.then(|| disk.held()));
            let io = DiskErrorKind::Io { code: Some(5), message: "Input/output error".to_owned() };
            disk.fail_at(disk.calls() + call, io, crate::disk::mem::Fails::Once);
            let outcome = dir.delete_log(&partition, 7);
            disk.plan_nothing();
            drop(dir);
            disk.kill();
            let mut dir = LogDir::open(disk.clone()).unwrap();
            dir.finish_deletions().unwrap();
            let names = names(&disk);
            assert!(!names.iter().any(|name| name.ends_with("-delete")), "{call}: {names:?}");
            assert!(names.contains(&"orders-0".to_owned()) || !said(&disk, "orders-0"), "{call}: {names:?}");
            disk.set_capacity(None);
            let opened = dir.open_log(&partition, &OpenOptions::default(), NOW).unwrap();
            assert!(opened.report.corrupt.is_empty(), "{call}: {}", opened.report);
            if outcome.is_ok() {
                return;
            }
        }
    }
}
