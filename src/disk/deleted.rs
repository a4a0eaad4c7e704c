//! Files that are deleted and stay for a while under another name, as Kafka's do.
//!
//! Nobody here needs them: readers hold handles, not names. They are for those who look into the directory from outside.
//!
//! - Always true: a name with `.deleted` is removed by the next opening at the latest.

use std::collections::BTreeMap;

use crate::disk::small::gone_is_fine;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskPath};
use crate::log::FileName;
use crate::time::Timestamp;

/// The files of one log that stay as `.deleted`.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    delay_ms: u64,
    /// Since when each is known to be there; `None` until someone says what time it is.
    since: BTreeMap<FileName, Option<Timestamp>>,
}

impl Deleted {
    /// With a delay of 0 files go at once.
    pub(crate) fn new(delay_ms: u64) -> Self {
        Self { delay_ms, since: BTreeMap::new() }
    }

    /// Deletes a file, which may be gone already.
    pub(crate) fn delete<D: Disk>(&mut self, disk: &D, dir: &DiskPath, name: FileName) -> Result<(), DiskError> {
        if self.delay_ms == 0 {
            return gone_is_fine(disk.remove(&dir.entry(name)));
        }
        match disk.rename(&dir.entry(name), &renamed(dir, name)) {
            Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
            outcome => {
                self.since.insert(name, None);
                outcome
            }
        }
    }

    /// Removes those whose delay is over. Answers how many went.
    pub(crate) fn remove_due<D: Disk>(&mut self, disk: &D, dir: &DiskPath, now: Timestamp) -> Result<usize, DiskError> {
        let delay = i128::from(self.delay_ms);
        let mut due = Vec::new();
        for (name, since) in &mut self.since {
            let since = since.get_or_insert(now);
            if i128::from(now.as_millis()) - i128::from(since.as_millis()) >= delay {
                due.push(*name);
            }
        }
        for name in &due {
            gone_is_fine(disk.remove(&renamed(dir, *name)))?;
            self.since.remove(name);
        }
        Ok(due.len())
    }
}

fn renamed(dir: &DiskPath, name: FileName) -> DiskPath {
    dir.entry(format!("{name}.deleted"))
}
