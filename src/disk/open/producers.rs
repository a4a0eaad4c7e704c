//! The producers at an opening: from the newest snapshot that is any good, and from the batches behind it.
//!
//! - May use: the opening's own files, and `log`'s scan.
//! - Always true: no file is changed here; a snapshot that is garbage is noted, and one older is taken, or all is read.

use crate::disk::open::Opening;
use crate::disk::open::files::Files;
use crate::disk::open::segments::Found;
use crate::disk::segment_file::scan_file;
use crate::disk::small::read_small;
use crate::disk::{Disk, DiskError, DiskFile, OpenHow};
use crate::log::{FileName, ProducerSnapshot, UnknownProducer};
use crate::offset::Offset;

impl<D: Disk> Opening<'_, D> {
    /// The producers at `at` or later: from the newest good snapshot up to `newest`, brought up to `at` by reading.
    pub(crate) fn load_producers(
        &self,
        files: &Files,
        at: Offset,
        newest: Offset,
        found: &mut Found,
    ) -> Result<(), DiskError> {
        let loaded = self.load_snapshot(files, newest, found)?;
        let known_empty = self.known.mark.is_some_and(|mark| mark.snapshot_offset.is_none() && at == mark.next_offset);
        // Kafka's rule: a log that was closed without any snapshot has no producers.
        let never_any = self.known.mark.is_none() && self.known.clean && files.snapshots.is_empty();
        found.replay_from = match loaded {
            Some(offset) => offset,
            None if known_empty || never_any => at,
            // From the first byte that there is: a transaction may be open since before the log start.
            None => files.logs.first_key_value().map_or(self.known.start(), |(base, _)| *base),
        };
        if found.replay_from < at {
            self.replay_producers(files, at, found)?;
            found.replay_from = at;
        }
        found.producers.advance_end(at);
        Ok(())
    }

    /// Snapshots that nothing was read from stay only if they can be.
    pub(super) fn look_at_snapshots_behind(
        &self,
        newest: Offset,
        files: &Files,
        found: &mut Found,
    ) -> Result<(), DiskError> {
        for offset in files.snapshots.iter().filter(|offset| **offset > newest) {
            let bytes = read_small(self.disk, &self.dir.entry(FileName::Snapshot(*offset)))?;
            if ProducerSnapshot::parse(&bytes).is_err() {
                found.bad_snapshots.insert(*offset);
            }
        }
        Ok(())
    }

    /// The producers of the newest good snapshot up to `newest`. Answers which that is, if there is any.
    fn load_snapshot(&self, files: &Files, newest: Offset, found: &mut Found) -> Result<Option<Offset>, DiskError> {
        for offset in files.snapshots.range(..=newest).rev() {
            let bytes = read_small(self.disk, &self.dir.entry(FileName::Snapshot(*offset)))?;
            let Ok(snapshot) = ProducerSnapshot::parse(&bytes) else {
                found.bad_snapshots.insert(*offset);
                continue;
            };
            let expiry = self.config.producer_id_expiration_ms;
            found.producers = snapshot.into_state(*offset, UnknownProducer::default(), self.now, expiry);
            return Ok(Some(*offset));
        }
        Ok(None)
    }

    /// Reads what lies below `at` and is new to the producers, for them alone.
    fn replay_producers(&self, files: &Files, at: Offset, found: &mut Found) -> Result<(), DiskError> {
        let floor = files.logs.range(..=found.replay_from).next_back().map_or(found.replay_from, |(base, _)| *base);
        for base in files.logs.range(floor..at).map(|(base, _)| *base) {
            let file = self.disk.open(&self.dir.entry(FileName::Log(base)), OpenHow::Read)?;
            let len = u32::try_from(file.len()?).unwrap_or(u32::MAX);
            found.producers = scan_file(&file, self.start_up_to(base, at, found), len)?.producers;
        }
        Ok(())
    }
}
