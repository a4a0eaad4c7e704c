//! Splitting a batch that its topic finds too large.

use crate::producer::lane::{Lane, Sent, SentState};
use crate::producer::outcome::Tickets;
use crate::record::{Batch, BatchBuilder, BuildError, DecompressLimit, RecordError};
use crate::time::Instant;

/// Why a batch of our own could not be split.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum SplitError {
    #[error(transparent)]
    Read(#[from] RecordError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Lane {
    /// Puts pieces in the place of a batch: of at most half of its bytes, or at least of half of its records. Together they
    /// have its tickets and its sequences, and a piece that is too large still is split again.
    pub(super) fn split(&mut self, now: Instant, index: usize, batch: &Batch) -> Result<(), SplitError> {
        let mut pieces = Vec::new();
        let whole = &self.sent[index];
        let records_max = whole.tickets.count.div_ceil(2);
        let records = batch.records(DecompressLimit(usize::MAX))?;
        let mut builder = self.piece_builder();
        for record in records.iter() {
            builder.push_record_at(builder.record_count(), &record?)?;
            if builder.record_count() == records_max || builder.size() as u64 * 2 >= whole.bytes {
                pieces.push(std::mem::replace(&mut builder, self.piece_builder()));
            }
        }
        if !builder.is_empty() {
            pieces.push(builder);
        }
        self.replace(now, index, pieces)?;
        Ok(())
    }

    fn piece_builder(&self) -> BatchBuilder {
        let builder = BatchBuilder::new(self.config.codec);
        match self.config.level {
            Some(level) => builder.level(level),
            None => builder,
        }
    }

    fn replace(&mut self, now: Instant, index: usize, pieces: Vec<BatchBuilder>) -> Result<(), BuildError> {
        let built: Vec<(u64, Batch)> = pieces
            .into_iter()
            .map(|piece| Ok((piece.size() as u64, piece.build()?)))
            .collect::<Result<_, BuildError>>()?;
        let Some(whole) = self.sent.remove(index) else { return Ok(()) };
        self.bytes = self.bytes.saturating_sub(whole.bytes);
        let (mut first, mut base_sequence) = (whole.tickets.first, whole.base_sequence);
        for (place, (bytes, batch)) in built.into_iter().enumerate() {
            let tickets = Tickets { first, count: batch.record_count(), ..whole.tickets };
            let id = self.next_id();
            self.bytes += bytes;
            let piece = Sent {
                id,
                tickets,
                base_sequence,
                created: whole.created,
                bytes,
                failures: whole.failures,
                may_be_written: whole.may_be_written,
                state: SentState::Waiting { until: now, batch },
            };
            self.sent.insert(index + place, piece);
            first += tickets.count;
            base_sequence = base_sequence.advance(tickets.count);
        }
        Ok(())
    }
}
