//! The two clocks of a node: one for deadlines, one for dates.
//!
//! - Always true: the one for deadlines never goes back.

use std::time::Duration;

use crate::queue::sync::Deadline;
use crate::time::{Instant, Timestamp};

/// The clocks of one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Deadline,
}

#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is where the time comes from")]
impl Clock {
    /// Deadlines count from now.
    pub(crate) fn start() -> Self {
        Self { origin: Deadline::now() }
    }

    /// How much time has passed, in whole milliseconds.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When it will be `at`, as the operating system counts; `None` if that is never.
    pub(crate) fn at(&self, at: Instant) -> Option<Deadline> {
        self.origin.checked_add(Duration::from_millis(at.as_millis()))
    }

    /// The time of day. A clock that was set to before 1970 counts as that.
    pub(crate) fn date(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
