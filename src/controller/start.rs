//! How a log of metadata begins, and goes on after it broke off.

use crate::controller::Controller;
use crate::controller::change::Change;
use crate::controller::create::config_record;
use crate::controller::image::{Resource, feature_record, of_new_cluster};
use crate::controller::records::{AbortTransactionRecord, MetadataRecord};

impl Controller {
    /// Decides what must be appended before anything else; empty if nothing must.
    ///
    /// A log that has not begun gets the features of a new cluster of Kafka 4.3, metadata version first: without it Kafka
    /// does not start. A transaction that was left open is aborted, or all that is appended would be part of it.
    pub fn decide_start(&self) -> Change {
        let mut records = Vec::new();
        if self.open_transaction().is_some() {
            let reason = Some("the controller was started anew".to_owned());
            records.push(AbortTransactionRecord { reason, ..AbortTransactionRecord::default() }.into());
        }
        if self.latest().metadata_version().is_none() {
            records.extend(new_cluster());
        }
        Change::new(records)
    }
}

/// The records of a new cluster, as Kafka 4.3 formats one.
fn new_cluster() -> impl Iterator<Item = MetadataRecord> {
    let features = of_new_cluster().map(|(name, level)| feature_record(name, level));
    // Eligible leader replicas rest on how many must be in sync, so Kafka writes that down with them.
    let min_isr = config_record(&Resource::CLUSTER, "min.insync.replicas", Some("1".to_owned()));
    features.chain(std::iter::once(min_isr))
}
