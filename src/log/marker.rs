//! What the producers' state is told about a batch: the facts of its header, and of its marker if it is one.

use crate::epoch::LeaderEpoch;
use crate::log::producers::{Marker, MarkerRules, Outcome, ProducerBatch};
use crate::record::{Batch, ControlRecord, DecompressLimit, TransactionResult};

/// The facts of a batch that has its offsets. A control batch that says nothing readable counts as no marker, and as
/// one that compaction has emptied: it changes nothing.
pub(crate) fn facts_of(batch: &Batch, rules: MarkerRules) -> ProducerBatch {
    let marker = if batch.is_control() && batch.producer().is_some() { marker_of(batch, rules) } else { None };
    ProducerBatch::new(batch, marker)
}

fn marker_of(batch: &Batch, rules: MarkerRules) -> Option<Marker> {
    let records = batch.records(DecompressLimit::default()).ok()?;
    let record = records.iter().next()?.ok()?;
    let ControlRecord::Marker(marker) = ControlRecord::parse(&record).ok()? else { return None };
    let outcome = match marker.result {
        TransactionResult::Commit => Outcome::Commit,
        TransactionResult::Abort => Outcome::Abort,
    };
    let coordinator_epoch = LeaderEpoch::from_i32(marker.coordinator_epoch);
    Some(Marker { outcome, coordinator_epoch, timestamp: record.timestamp, rules })
}
