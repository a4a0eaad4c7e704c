//! What a test may do to a [`MemDisk`](super::MemDisk): stop it, fail it, fill it, wear it out.

use crate::disk::{DiskCall, DiskErrorKind};

use super::random::Random;

/// How much of the call at which the process stops has been done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Applied {
    /// Nothing.
    Before,
    /// All of it; only the caller never learns.
    After,
    /// The first so many bytes of a write; nothing of any other call.
    Partly(usize),
}

/// How often a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fails {
    /// That call alone.
    Once,
    /// That call and all after it.
    FromThenOn,
}

/// What a failed sync does to the bytes it was to make durable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FailedSync {
    /// They stay pending, and a later sync writes them.
    #[default]
    Keeps,
    /// They count as written and are not, as on Linux: a later sync succeeds without them, and until the cache is
    /// evicted they can still be read.
    Drops,
    /// As `Drops`, and the cache is evicted at once, so that reads see the old bytes.
    DropsAndEvicts,
}

/// When a full disk says so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Allocation {
    /// At the write.
    #[default]
    AtWrite,
    /// Only at the sync, as with delayed allocation.
    AtSync,
}

/// How many bytes one read or write moves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Transfers {
    /// All that were asked for.
    #[default]
    Whole,
    /// From one to all of them, chosen by this seed.
    Short(u64),
}

/// Whether the disk takes changes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Access {
    /// It does.
    #[default]
    ReadWrite,
    /// It was mounted read-only.
    ReadOnly,
}

#[derive(Clone, Debug)]
pub(super) struct Faults {
    stop: Option<(u64, Applied)>,
    stopped: bool,
    fail: Vec<(u64, DiskErrorKind, Fails)>,
    pub(super) failed_sync: FailedSync,
    pub(super) capacity: Option<u64>,
    pub(super) allocation: Allocation,
    pub(super) access: Access,
    short: Option<Random>,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self {
            stop: None,
            stopped: false,
            fail: Vec::new(),
            failed_sync: FailedSync::default(),
            capacity: None,
            allocation: Allocation::default(),
            access: Access::default(),
            short: None,
        }
    }

    /// What is left of them for the next process: the disk is as full and as old as before, but nothing is planned.
    pub(super) fn unplanned(&self) -> Self {
        Self { stop: None, stopped: false, fail: Vec::new(), ..self.clone() }
    }

    pub(super) fn plan_stop(&mut self, call: u64, applied: Applied) {
        self.stop = Some((call, applied));
    }

    pub(super) fn plan_failure(&mut self, call: u64, kind: DiskErrorKind, fails: Fails) {
        self.fail.push((call, kind, fails));
    }

    pub(super) fn set_transfers(&mut self, transfers: Transfers) {
        self.short = match transfers {
            Transfers::Whole => None,
            Transfers::Short(seed) => Some(Random::new(seed)),
        };
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// How call number `number` is to go.
    pub(super) fn verdict(&mut self, number: u64) -> Verdict {
        if let Some((at, applied)) = self.stop
            && number >= at
        {
            self.stopped = true;
            return match applied {
                _ if number > at => Verdict::Fail(DiskErrorKind::Stopped),
                Applied::Before => Verdict::Fail(DiskErrorKind::Stopped),
                Applied::After => Verdict::DoAndStop(usize::MAX),
                Applied::Partly(bytes) => Verdict::DoAndStop(bytes),
            };
        }
        let failure = self.fail.iter().find(|(at, _, fails)| match fails {
            Fails::Once => number == *at,
            Fails::FromThenOn => number >= *at,
        });
        failure.map_or(Verdict::Do, |(_, kind, _)| Verdict::Fail(kind.clone()))
    }

    /// How many of `wanted` bytes a call moves.
    pub(super) fn transfer(&mut self, wanted: usize) -> usize {
        match &mut self.short {
            Some(random) if wanted > 0 => random.up_to(wanted),
            _ => wanted,
        }
    }
}

/// How one call is to go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Do,
    /// Do it (at most so many bytes of a write), then be dead before the caller hears of it.
    DoAndStop(usize),
    Fail(DiskErrorKind),
}

impl Verdict {
    /// Whether a call that is no write has any effect at all.
    pub(super) fn does(&self) -> bool {
        match self {
            Self::Do => true,
            Self::DoAndStop(bytes) => *bytes == usize::MAX,
            Self::Fail(_) => false,
        }
    }
}

/// Whether `call` changes anything.
pub(super) fn is_change(call: DiskCall) -> bool {
    match call {
        DiskCall::Rename
        | DiskCall::Remove
        | DiskCall::MakeDir
        | DiskCall::Write
        | DiskCall::Reserve
        | DiskCall::SetLen
        | DiskCall::SetModified => true,
        DiskCall::Open
        | DiskCall::SyncDir
        | DiskCall::SyncAll
        | DiskCall::List
        | DiskCall::Lock
        | DiskCall::FreeSpace
        | DiskCall::Read
        | DiskCall::Len
        | DiskCall::Sync
        | DiskCall::Map => false,
    }
}
