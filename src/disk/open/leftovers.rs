//! Finishing, or undoing, what was under way when the process died (semantics 2, steps 1 and 2).

use std::collections::BTreeSet;

use crate::disk::open::files::{Files, Unfinished};
use crate::disk::open::segments::scan_file;
use crate::disk::report::{Leftover, LeftoverAction, RecoveryReport};
use crate::disk::{Disk, DiskError, DiskFile, DiskPath, OpenHow};
use crate::log::{EpochCache, FileName, Indexes, ProducerState, ScanStart, TxnIndex, UnknownProducer};
use crate::offset::Offset;

/// Removes what was to go and what was only begun; gives what was complete its place.
pub(crate) fn finish<D: Disk>(
    disk: &D,
    dir: &DiskPath,
    files: &mut Files,
    report: &mut RecoveryReport,
) -> Result<(), DiskError> {
    if files.unfinished.is_empty() {
        return Ok(());
    }
    let mut leftovers = Leftovers { disk, dir, report };
    for kind in [Unfinished::Deleted, Unfinished::Temporary] {
        leftovers.remove_all(files.unfinished.remove(&kind).unwrap_or_default())?;
    }
    let cleaned = files.unfinished.remove(&Unfinished::Cleaned).unwrap_or_default();
    let mut swaps = files.unfinished.remove(&Unfinished::Swap).unwrap_or_default();
    // A segment that was being split leaves parts with a `.swap` above one that was never complete.
    if let Some(incomplete) = cleaned.iter().filter_map(|name| base_of(name)).min() {
        let undone = swaps.iter().filter(|name| base_of(name) >= Some(incomplete)).cloned().collect();
        leftovers.remove_all(undone)?;
        swaps.retain(|name| base_of(name) < Some(incomplete));
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

    /// Puts complete segments in their place: what they replace goes first.
    fn install(&mut self, files: &mut Files, swaps: BTreeSet<String>) -> Result<(), DiskError> {
        let logs: BTreeSet<Offset> = swaps
            .iter()
            .filter_map(|name| match Unfinished::parse(name) {
                Some((_, FileName::Log(base))) => Some(base),
                _ => None,
            })
            .collect();
        let mut end = Offset::ZERO;
        for base in &logs {
            end = end.max(self.next_offset(*base)?);
        }
        if let Some(first) = logs.first() {
            let replaced: Vec<Offset> = files.logs.range(*first..end).map(|(base, _)| *base).collect();
            for base in replaced.into_iter().rev() {
                files.remove_segment(self.disk, self.dir, base)?;
            }
        }
        for name in swaps.into_iter().rev() {
            let base = base_of(&name);
            let Some((_, target)) = Unfinished::parse(&name) else { continue };
            if !base.is_some_and(|base| logs.contains(&base)) {
                // Beside batches that have their place already an index is made again.
                self.disk.remove(&self.dir.entry(&name))?;
                self.report.leftovers.push(Leftover { name, action: LeftoverAction::Removed });
                continue;
            }
            self.disk.rename(&self.dir.entry(&name), &self.dir.entry(target))?;
            self.report.leftovers.push(Leftover { name, action: LeftoverAction::Installed });
        }
        Ok(())
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
            max: crate::log::MaxTimestamp::none(base),
            first_timestamp: None,
            indexes: Indexes::new(base, 24),
            aborted: TxnIndex::new(base),
            epochs: EpochCache::default(),
            producers: ProducerState::new(base, UnknownProducer::default()),
            index_interval_bytes: u32::MAX,
            replay_from: Offset::MAX,
            stop_at: Offset::MAX,
        };
        Ok(scan_file(&file, start, len)?.next)
    }
}

fn base_of(name: &str) -> Option<Offset> {
    Unfinished::parse(name).and_then(|(_, name)| name.base_offset())
}
