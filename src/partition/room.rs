//! Space is had before it is used: what finds none is refused before anything has changed.

use crate::log::{FileId, OpFailure};
use crate::partition::produce_error::ProduceError;
use crate::partition::{DiskWish, Effect, Partition};

/// How much space is asked for at least, and at most, beyond what is needed.
const AHEAD_BYTES_MIN: u32 = 64 << 10;
const AHEAD_BYTES_MAX: u32 = 16 << 20;

/// Whether an append may go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Readiness {
    Ready,
    /// The disk has to do something first, and has been asked to.
    NotYet,
}

/// What has become of the last wish for space.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum Wish {
    #[default]
    None,
    Asked,
    /// What waits and needs as much is refused too.
    Refused {
        needed: u32,
        why: OpFailure,
    },
}

/// Space for what comes next.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    wish: Wish,
    /// The last wish was refused: nobody asks for more than is needed.
    scarce: bool,
}

impl Room {
    /// Nothing waits any more: who comes next may ask anew.
    pub(super) fn forget_refusal(&mut self) {
        if matches!(self.wish, Wish::Refused { .. }) {
            self.wish = Wish::None;
        }
    }
}

impl Partition {
    /// Space is reserved in `file` up to `len` bytes.
    pub fn reserved(&mut self, file: FileId, len: u32, out: &mut Vec<Effect>) {
        self.log.reserved(file, len);
        self.room = Room::default();
        self.proceed(out);
    }

    /// A wish for space up to `needed` bytes was not granted. What needs as much is refused, and nothing else has changed.
    pub fn reserve_failed(&mut self, needed: u32, why: OpFailure, out: &mut Vec<Effect>) {
        self.room = Room { wish: Wish::Refused { needed, why }, scarce: true };
        self.proceed(out);
    }

    /// Sees to it that the active segment has space for `bytes` bytes.
    pub(super) fn make_room(&mut self, bytes: u32, out: &mut Vec<Effect>) -> Result<Readiness, ProduceError> {
        let Some((file, needed)) = self.log.reservation(bytes) else { return Ok(Readiness::Ready) };
        match &self.room.wish {
            Wish::Refused { needed: refused, why } if needed >= *refused => return Err(refusal(bytes, why)),
            Wish::None | Wish::Refused { .. } => self.ask(file, needed, out),
            Wish::Asked => {}
        }
        Ok(Readiness::NotYet)
    }

    /// Asks for more while there is still some, so that nobody has to wait for it.
    pub(super) fn make_room_ahead(&mut self, out: &mut Vec<Effect>) {
        if self.room.scarce || self.room.wish != Wish::None {
            return;
        }
        let size = self.log.active_segment().size;
        let left = self.log.config().segment_bytes.saturating_sub(size);
        let soon = (size.clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX) / 4).min(left);
        if let Some((file, needed)) = self.log.reservation(soon) {
            self.ask(file, needed, out);
        }
    }

    fn ask(&mut self, file: FileId, needed: u32, out: &mut Vec<Effect>) {
        // As much again as there is: a partition that has little takes little of the disk.
        let ahead = needed.clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);
        let wanted = needed.saturating_add(ahead).min(self.log.config().segment_bytes.max(needed));
        self.room.wish = Wish::Asked;
        out.push(Effect::Disk(DiskWish::Reserve { file, needed, wanted }));
    }
}

fn refusal(bytes: u32, why: &OpFailure) -> ProduceError {
    match why {
        OpFailure::NoSpace => ProduceError::Full { bytes },
        OpFailure::Failed(why) => ProduceError::NotReserved { bytes, why: why.clone() },
    }
}
