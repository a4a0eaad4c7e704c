//! Endless reading, record by record.

use crate::queue::consumer::{ConsumeError, Consumer, OwnedRecord};
use crate::time::Instant;

/// Hands out records as they come, see [`Consumer::tail`].
#[derive(Debug)]
pub struct Tail<'a> {
    consumer: &'a mut Consumer,
    has_ended: bool,
}

impl Consumer {
    /// Hands out record after record, and waits for the next one without an end. It ends when the queue is closed, or by
    /// [`Wakeup::wakeup`](super::Wakeup::wakeup); any other error is an item, behind which it goes on.
    ///
    /// While as many records as may be are not acknowledged, it waits for an [`Acknowledger`](super::Acknowledger). If there
    /// is none, that would have no end: it gives [`ConsumeError::Unacknowledged`].
    ///
    /// The position moves over a record when the record is given out, so a loop that is left early can commit.
    pub fn tail(&mut self) -> Tail<'_> {
        Tail { consumer: self, has_ended: false }
    }

    /// The same as [`Consumer::tail`].
    pub fn iter(&mut self) -> Tail<'_> {
        self.tail()
    }

    fn next_record(&mut self) -> Result<OwnedRecord, ConsumeError> {
        loop {
            if let Some(records) = self.turn(1)?
                && let Some(record) = records.into_iter().next()
            {
                return Ok(record);
            }
            self.check_stuck()?;
            self.wait_for_turn(Instant::MAX);
        }
    }
}

impl Iterator for Tail<'_> {
    type Item = Result<OwnedRecord, ConsumeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.consumer.next_record();
        self.has_ended = matches!(next, Err(ConsumeError::Closed | ConsumeError::WokenUp));
        (!self.has_ended).then_some(next)
    }
}

impl std::iter::FusedIterator for Tail<'_> {}
