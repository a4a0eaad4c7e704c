//! Performing what a log asks for, for a single caller: the three lanes, one behind the other.

use std::collections::VecDeque;

use crate::disk::files::Files;
use crate::disk::{Disk, DiskError, DiskErrorKind};
use crate::log::{Effect, Log, OpFailure, OpSeq, Sync};

/// The effects of one log, in order. What found no space waits in front for the next try.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    waiting: VecDeque<Effect>,
    /// What has failed for good: nothing is performed after it, and whoever asks is told again.
    broken: Option<DiskError>,
}

/// What came of performing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Performed {
    /// Whether a flush has succeeded.
    pub(crate) flushed: bool,
}

impl Lanes {
    /// Whether something waits for space.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Performs what waits, then `effects`, then whatever the log asks for in answer.
    ///
    /// # Errors
    ///
    /// The first call that failed. After "no space" the op and all behind it wait; after anything else the log is
    /// poisoned, nothing waits, and every later call gets the same error.
    pub(crate) fn run<D: Disk>(
        &mut self,
        files: &mut Files<D>,
        log: &mut Log,
        effects: Vec<Effect>,
    ) -> Result<Performed, DiskError> {
        self.check()?;
        self.waiting.extend(effects);
        let mut performed = Performed::default();
        let mut answers = Vec::new();
        while let Some(effect) = self.waiting.pop_front() {
            match &effect {
                Effect::Op(seq, op) => match files.perform(op) {
                    Ok(()) => log.done(*seq, &mut answers),
                    Err(error) if error.kind == DiskErrorKind::NoSpace => {
                        let seq = *seq;
                        log.failed(seq, OpFailure::NoSpace);
                        self.waiting.push_front(effect);
                        match self.remove_before(files, seq)? {
                            0 => return Err(error),
                            _ => continue,
                        }
                    }
                    Err(error) => {
                        log.failed(*seq, OpFailure::Failed(error.to_string()));
                        return Err(self.break_off(error));
                    }
                },
                Effect::Sync(sync) => match flush(files, sync) {
                    Ok(()) => {
                        performed.flushed = true;
                        log.synced(sync.id, &mut answers);
                    }
                    Err(error) => {
                        log.sync_failed(sync.id, &error.to_string());
                        return Err(self.break_off(error));
                    }
                },
                Effect::Remove(remove) => files.remove(remove)?,
            }
            self.waiting.extend(answers.drain(..));
        }
        Ok(performed)
    }

    /// Performs the removals that need not wait for `op`, so that it may find space. Answers how many there were.
    fn remove_before<D: Disk>(&mut self, files: &mut Files<D>, op: OpSeq) -> Result<usize, DiskError> {
        let is_free = |effect: &Effect| matches!(effect, Effect::Remove(remove) if remove.after < op);
        let (free, waiting): (VecDeque<Effect>, _) = self.waiting.drain(..).partition(is_free);
        self.waiting = waiting;
        let count = free.len();
        for effect in free {
            if let Effect::Remove(remove) = effect {
                files.remove(&remove)?;
            }
        }
        Ok(count)
    }

    /// Whether anything is performed any more; otherwise what has failed for good.
    pub(crate) fn check(&self) -> Result<(), DiskError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Performs nothing any more: what has failed leaves the files behind what the log believes.
    pub(crate) fn break_off(&mut self, error: DiskError) -> DiskError {
        self.waiting.clear();
        self.broken = Some(error.clone());
        error
    }
}

/// One flush, while nothing else goes on.
fn flush<D: Disk>(files: &mut Files<D>, sync: &Sync) -> Result<(), DiskError> {
    let job = files.begin_sync(sync)?;
    job.perform()?;
    files.end_sync(job);
    Ok(())
}
