//! The limit of memory: what a record takes, who waits for it, and who makes room.
//!
//! A lane holds a few more bytes than its records have, so that most records change no number that other threads change.
//!
//! - May use: `producer`, `client` and `permits` of its room, and its siblings.
//! - Must not know: what is in the records.
//! - Always true: nobody is refused while a lane holds spare bytes; a lane without records holds none.

use std::sync::Arc;
use std::time::Duration;

use crate::producer::WhenFull;
use crate::queue::permits::TakeError;
use crate::queue::producer::fault::SendFault;
use crate::queue::producer::lane::LaneState;
use crate::queue::producer::shared::Shared;
use crate::queue::producer::ticket::deadline_in;
use crate::queue::sync::Deadline;
use crate::queue::telemetry::{self, Stopwatch};

impl Shared {
    /// Whether a record of this size could ever be taken.
    pub(super) fn check_size(&self, bytes: u64) -> Result<(), SendFault> {
        let gathering = &self.config.gathering;
        let max = gathering.memory_bytes.min(u64::from(gathering.record_bytes_max));
        if bytes > max { Err(SendFault::TooLarge { bytes, max }) } else { Ok(()) }
    }

    /// Sees to it that the lane holds `bytes` to spare, if that needs no waiting.
    pub(super) fn spare(&self, state: &mut LaneState, bytes: u64) -> bool {
        let room = state.room();
        if room >= bytes {
            return true;
        }
        for wanted in [self.spare_max().max(bytes) - room, bytes - room] {
            if self.memory.try_take(wanted as usize) {
                state.held += wanted;
                return true;
            }
        }
        false
    }

    /// Takes from the lane what it need not hold.
    pub(super) fn take_spare(&self, state: &mut LaneState) -> u64 {
        let max = if state.machine.bytes() == 0 { 0 } else { self.spare_max() };
        let spare = state.room().saturating_sub(max);
        state.held -= spare;
        spare
    }

    pub(super) fn give(&self, bytes: u64) {
        if bytes > 0 {
            self.memory.give(bytes as usize);
        }
    }

    /// How much a lane holds to spare: little beside the limit.
    fn spare_max(&self) -> u64 {
        let gathering = &self.config.gathering;
        (gathering.memory_bytes / 256).min(u64::from(gathering.batch_bytes))
    }

    /// Takes `bytes` for a record, by making room or waiting for it, as the producer is configured. No lock is held.
    pub(super) fn make_room(self: &Arc<Self>, bytes: u64) -> Result<(), SendFault> {
        self.reclaim();
        let wanted = bytes as usize;
        match self.config.gathering.when_full {
            WhenFull::DropOldest => {
                while !self.memory.try_take(wanted) {
                    if !self.drop_oldest() {
                        self.flush();
                        return if self.memory.try_take(wanted) { Ok(()) } else { Err(self.full()) };
                    }
                }
            }
            WhenFull::Fail => {
                if !self.memory.try_take(wanted) {
                    self.flush();
                    return if self.memory.try_take(wanted) { Ok(()) } else { Err(self.full()) };
                }
            }
            WhenFull::Block { wait_max_ms } => {
                let begun = Stopwatch::start();
                let waited = self.wait_for_room(wanted, Duration::from_millis(wait_max_ms));
                telemetry::waited_for_memory(&begun);
                return waited;
            }
        }
        Ok(())
    }

    fn wait_for_room(self: &Arc<Self>, wanted: usize, waited: Duration) -> Result<(), SendFault> {
        let deadline = deadline_in(waited);
        self.flush();
        loop {
            if self.memory.try_take(wanted) {
                return Ok(());
            }
            if !self.client.help() {
                break;
            }
        }
        self.take_until(wanted, deadline).map_err(|error| match error {
            TakeError::TimedOut { .. } => {
                SendFault::TimedOut { waited, used: self.memory.used() as u64, max: self.config.gathering.memory_bytes }
            }
            TakeError::TooLarge { .. } => self.full(),
            TakeError::Closed => SendFault::Closed,
        })
    }

    fn take_until(&self, wanted: usize, deadline: Option<Deadline>) -> Result<(), TakeError> {
        match deadline {
            Some(deadline) => self.memory.take_until(wanted, deadline),
            None => self.memory.take(wanted),
        }
    }

    fn full(&self) -> SendFault {
        if self.is_closed() {
            return SendFault::Closed;
        }
        SendFault::Full { used: self.memory.used() as u64, max: self.config.gathering.memory_bytes }
    }

    /// Has all lanes give back what they hold to spare.
    fn reclaim(&self) {
        for lane in self.all_lanes() {
            let mut state = lane.lock();
            let spare = state.room();
            state.held -= spare;
            drop(state);
            self.give(spare);
        }
    }

    /// Drops the oldest batch that was never sent. Answers whether there was one.
    fn drop_oldest(self: &Arc<Self>) -> bool {
        while let Some(id) = self.oldest.take_first() {
            let Some(lane) = self.lane_of(id) else { continue };
            let mut state = lane.lock();
            let (noted, oldest) = (state.noted_oldest.take(), state.machine.oldest_unsent());
            if oldest.is_some() && oldest == noted {
                let LaneState { machine, outcomes, .. } = &mut *state;
                machine.drop_oldest(outcomes);
                self.drive(&lane, state, self.client.now());
                return true;
            }
            // Its oldest was sent meanwhile: it stands further back, or nowhere.
            self.oldest.note(id, &mut state.noted_oldest, oldest);
        }
        false
    }
}
