//! Finishing, or undoing, what was under way when the process died (semantics 2, steps 1 and 2).
//!
//! - May use: the list of what is there, `swap`, and `log`'s scan for what Kafka left.
//! - Always true: what is complete takes its place and what is not goes; cut short, the next opening does the same again.

use std::collections::BTreeSet;

use crate::disk::open::files::{Files, Unfinished};
use crate::disk::report::{Leftover, LeftoverAction, RecoveryReport};
use crate::disk::segment_file::scan_file;
use crate::disk::small::read_if_there;
use crate::disk::swap::{self, Replaces};
use crate::disk::{Disk, DiskError, DiskFile, DiskPath, OpenHow};
use crate::log::{EpochCache, EpochsFrom, FileName, Indexes, ProducerState, ScanStart, TxnIndex, UnknownProducer};
use crate::offset::Offset;

/// Removes what was to go and what was only begun; gives what was complete its place.
pub(crate) fn finish<D: Disk>(
    disk: &D,
    dir: &DiskPath,
    files: &mut Files,
    report: &mut RecoveryReport,
) -> Result<(), DiskError> {
    // A note of ours that has lost its `.swap`: Kafka has finished what it was about.
    let notes: Vec<FileName> =
        files.others.keys().filter(|name| matches!(name, FileName::Replaces(_))).copied().collect();
    if files.unfinished.is_empty() && notes.is_empty() {
        return Ok(());
    }
    let mut leftovers = Leftovers { disk, dir, report };
    leftovers.remove_all(notes.iter().map(FileName::to_string).collect())?;
    for kind in [Unfinished::Deleted, Unfinished::Temporary] {
        leftovers.remove_all(files.unfinished.remove(&kind).unwrap_or_default())?;
    }
    let cleaned = files.unfinished.remove(&Unfinished::Cleaned).unwrap_or_default();
    let mut swaps = files.unfinished.remove(&Unfinished::Swap).unwrap_or_default();
    // What is not complete is undone whole: of a segment that was being split, the parts above it too.
    if let Some(incomplete) = cleaned.iter().filter_map(|name| base_of(name)).min() {
        let undone: BTreeSet<String> = swaps.iter().filter(|name| base_of(name) >= Some(incomplete)).cloned().collect();
        swaps.retain(|name| base_of(name) < Some(incomplete));
        if !undone.is_empty() {
            // The one tells that the others do not count, so it must not go first.
            leftovers.remove_all(undone)?;
            disk.sync_dir(dir)?;
        }
    }
    leftovers.remove_all(cleaned)?;
    leftovers.install(files, swaps)?;
    disk.sync_dir(dir)?;
    *files = Files::list(disk, dir, &mut RecoveryReport { foreign: Vec::new(), ..report.clone() })?;
    Ok(())
}

struct Leftovers<'a, D> {
    disk: &'a D,
    dir: &'a DiskPath,
    report: &'a mut RecoveryReport,
}

impl<D: Disk> Leftovers<'_, D> {
    fn remove_all(&mut self, names: BTreeSet<String>) -> Result<(), DiskError> {
        for name in names {
            self.disk.remove(&self.dir.entry(&name))?;
            self.report.leftovers.push(Leftover { name, action: LeftoverAction::Removed });
        }
        Ok(())
    }

    /// Puts complete segments in their place, the lowest first.
    fn install(&mut self, files: &Files, swaps: BTreeSet<String>) -> Result<(), DiskError> {
        let of_base = |base: Offset| swaps.iter().filter(move |name| base_of(name) == Some(base));
        let is_log = |name: &&String| matches!(Unfinished::parse(name), Some((_, FileName::Log(_))));
        let bases: BTreeSet<Offset> = swaps.iter().filter(is_log).filter_map(|name| base_of(name)).collect();
        for base in &bases {
            let (end, has_txn_index) = match self.note(*base)? {
                Some(note) => (note.end, note.has_txn_index),
                // Kafka's: what begins below the offset behind its last batch is replaced.
                None => (self.next_offset(*base)?, swaps.contains(&format!("{}.swap", FileName::TxnIndex(*base)))),
            };
            let logs: Vec<FileName> = files.logs.keys().map(|base| FileName::Log(*base)).collect();
            let mut replaced = swap::bases_between(files.others.keys().chain(&logs), *base, end);
            // One that waits for its own place replaces others itself.
            replaced.retain(|other| !bases.contains(other));
            swap::install(self.disk, self.dir, *base, replaced, has_txn_index)?;
            let installed = |name: &String| Leftover { name: name.clone(), action: LeftoverAction::Installed };
            self.report.leftovers.extend(of_base(*base).map(installed));
        }
        // Beside batches that have their place already nothing is missing.
        let stray = swaps.iter().filter(|name| base_of(name).is_none_or(|base| !bases.contains(&base)));
        self.remove_all(stray.cloned().collect())
    }

    /// What is noted about the compacted segment at `base`.
    fn note(&self, base: Offset) -> Result<Option<Replaces>, DiskError> {
        let bytes = read_if_there(self.disk, &swap::swap_path(self.dir, FileName::Replaces(base)))?;
        Ok(bytes.and_then(|bytes| Replaces::parse(&bytes)))
    }

    /// The offset behind the last batch of a complete segment.
    fn next_offset(&self, base: Offset) -> Result<Offset, DiskError> {
        let path = self.dir.entry(format!("{}.swap", FileName::Log(base)));
        let file = self.disk.open(&path, OpenHow::Read)?;
        let len = u32::try_from(file.len()?).unwrap_or(u32::MAX);
        let start = ScanStart {
            base,
            position: 0,
            next: base,
            flushed: Offset::MAX,
            flushed_position: u32::MAX,
            max: crate::log::MaxTimestamp::none(base),
            first_timestamp: None,
            indexes: Indexes::new(base, 24),
            aborted: TxnIndex::new(base),
            epochs: EpochCache::default(),
            epochs_from: EpochsFrom::Batches,
            seen_epoch: None,
            log_start_offset: Offset::ZERO,
            producers: ProducerState::new(base, UnknownProducer::default()),
            index_interval_bytes: u32::MAX,
            replay_from: Offset::MAX,
            stop_at: Offset::MAX,
            limit: Offset::MAX,
        };
        Ok(scan_file(&file, start, len)?.next)
    }
}

fn base_of(name: &str) -> Option<Offset> {
    Unfinished::parse(name).and_then(|(_, name)| name.base_offset())
}
