//! Splitting a batch that its topic finds too large.

use crate::producer::lane::{Kept, Lane, Sent, SentState};
use crate::producer::outcome::Tickets;
use crate::record::Batch;
use crate::time::Instant;

impl Lane {
    /// Puts two pieces in the place of a batch, with half of its records each. Together they have its tickets, its sequences
    /// and its bytes, and a piece that is too large still is split again.
    ///
    /// Nothing is read or compressed yet: a piece is cut out when it is [built](crate::producer::Unbuilt::build).
    pub(super) fn split(&mut self, now: Instant, index: usize, batch: &Batch) {
        let Some(whole) = self.sent.remove(index) else { return };
        let (front_count, front_bytes) = (whole.tickets.count.div_ceil(2), whole.bytes.div_ceil(2));
        let front = (0, front_count, front_bytes);
        let back = (front_count, whole.tickets.count - front_count, whole.bytes - front_bytes);
        for (place, (from, count, bytes)) in [front, back].into_iter().enumerate() {
            let piece = Sent {
                id: self.next_id(),
                tickets: Tickets { first: whole.tickets.first + from, count, ..whole.tickets },
                base_sequence: whole.base_sequence.advance(from),
                created: whole.created,
                bytes,
                failures: whole.failures,
                may_be_written: whole.may_be_written,
                state: SentState::Waiting { until: now, kept: Kept::PartOf { batch: batch.clone(), from } },
            };
            self.sent.insert(index + place, piece);
        }
    }
}
