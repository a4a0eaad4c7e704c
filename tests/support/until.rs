//! Waiting for what happens on another thread, without a time that it has to take.

use std::time::Duration;

/// Looks again and again until `is_so`.
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a wait of a test has an end")]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let ends = std::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(std::time::Instant::now() < ends, "waited in vain until {what}");
        std::thread::yield_now();
    }
}
