//! A batch that has been taken, before and after it is built.

use crate::producer::lane::BatchId;
use crate::producer::outcome::Tickets;
use crate::record::{Batch, BatchBuilder, BuildError, DecompressLimit, ProducerStamp};

/// A batch that may be sent once it is built. Building it compresses, and counts the checksum: do so outside of locks.
#[derive(Debug)]
#[must_use]
pub struct Unbuilt {
    id: BatchId,
    tickets: Tickets,
    /// Who writes; nobody if that is not to be told.
    stamp: Option<ProducerStamp>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    New(Box<BatchBuilder>),
    Again(Batch),
    /// To be cut out of a batch: its records from this one on.
    Part {
        batch: Batch,
        from: u32,
        builder: Box<BatchBuilder>,
    },
}

/// A batch to be sent. Bring back its number with what has become of it, and after a failure the batch too.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outgoing {
    /// Its number.
    pub id: BatchId,
    /// Whose records are in it.
    pub tickets: Tickets,
    /// The batch, with its producer and sequence.
    pub batch: Batch,
}

impl Unbuilt {
    pub(super) fn new(id: BatchId, tickets: Tickets, builder: BatchBuilder, stamp: ProducerStamp) -> Self {
        Self { id, tickets, stamp: Some(stamp), body: Body::New(Box::new(builder)) }
    }

    pub(super) fn again(id: BatchId, tickets: Tickets, batch: Batch, stamp: ProducerStamp) -> Self {
        Self { id, tickets, stamp: Some(stamp), body: Body::Again(batch) }
    }

    pub(super) fn part(
        id: BatchId,
        tickets: Tickets,
        (batch, from): (Batch, u32),
        builder: BatchBuilder,
        stamp: ProducerStamp,
    ) -> Self {
        Self { id, tickets, stamp: Some(stamp), body: Body::Part { batch, from, builder: Box::new(builder) } }
    }

    /// Its number.
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// Whose records are in it.
    pub fn tickets(&self) -> Tickets {
        self.tickets
    }

    /// Leaves out the producer and the sequence. For a batch whose acknowledgement nobody waits for: it is never sent again,
    /// and if it gets lost those behind it are not to be refused for the gap.
    pub fn anonymous(self) -> Self {
        Self { stamp: None, ..self }
    }

    /// Builds the batch. One that is sent again as it was is not touched.
    ///
    /// # Errors
    ///
    /// [`BuildError`], to be brought back by [`Lane::not_built`](crate::producer::Lane::not_built).
    pub fn build(self) -> Result<Outgoing, BuildError> {
        let batch = match (self.body, self.stamp) {
            (Body::New(builder), stamp) => stamped(*builder, stamp).build()?,
            (Body::Part { batch, from, builder }, stamp) => {
                stamped(cut(&batch, from, self.tickets.count, *builder)?, stamp).build()?
            }
            (Body::Again(batch), None) => batch,
            (Body::Again(batch), Some(stamp)) if batch.producer() == Some(stamp) => batch,
            (Body::Again(batch), Some(stamp)) => {
                let size = u64::from(batch.size());
                batch.with_producer(stamp).map_err(|_| BuildError::TooLarge { size })?
            }
        };
        Ok(Outgoing { id: self.id, tickets: self.tickets, batch })
    }
}

fn stamped(builder: BatchBuilder, stamp: Option<ProducerStamp>) -> BatchBuilder {
    match stamp {
        Some(stamp) => builder.producer(stamp),
        None => builder,
    }
}

/// So many records of a batch, from the one at `from` on.
fn cut(batch: &Batch, from: u32, count: u32, mut builder: BatchBuilder) -> Result<BatchBuilder, BuildError> {
    let records = batch.records(DecompressLimit(usize::MAX))?;
    for record in records.iter().skip(from as usize).take(count as usize) {
        builder.push_record_at(builder.record_count(), &record?)?;
    }
    Ok(builder)
}
