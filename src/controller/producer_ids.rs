//! Producer ids are handed out in blocks, and never twice.

use crate::controller::Controller;
use crate::controller::change::Change;
use crate::controller::records::ProducerIdsRecord;
use crate::id::{BrokerId, ProducerId};
use crate::message::ErrorCode;

/// Ids that one broker may give to producers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProducerIdBlock {
    /// The first of them.
    pub first: ProducerId,
    /// How many there are.
    pub count: u32,
}

/// Why no producer ids were handed out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerIdsError {
    /// The broker is registered under another epoch: it has been started anew, or is another one of the same number.
    #[error("broker {} is registered with epoch {registered}, not {found}", broker.get())]
    StaleBrokerEpoch {
        /// The broker.
        broker: BrokerId,
        /// The epoch of its registration.
        registered: i64,
        /// The one that it gave.
        found: i64,
    },
    /// All ids have been used.
    #[error("no producer ids are left above {next}")]
    Exhausted {
        /// The first that has not been handed out.
        next: ProducerId,
    },
}

impl ProducerIdsError {
    /// Kafka's code for it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::StaleBrokerEpoch { .. } => ErrorCode::StaleBrokerEpoch,
            Self::Exhausted { .. } => ErrorCode::UnknownServerError,
        }
    }
}

impl Controller {
    /// How many ids are in a block.
    pub const PRODUCER_ID_BLOCK: u32 = 1000;

    /// Decides to hand out the next block of producer ids to `broker`, above all that were handed out and above `in_use`,
    /// the largest that is known to be in use: Kafka loses records of a producer whose id was given to two.
    ///
    /// The block may be used when the change is committed, and not before.
    ///
    /// # Errors
    ///
    /// [`ProducerIdsError`]. `broker_epoch` is compared if the broker is registered; `None` asks for no comparison.
    pub fn decide_producer_ids(
        &self,
        broker: BrokerId,
        broker_epoch: Option<i64>,
        in_use: Option<ProducerId>,
    ) -> Result<(ProducerIdBlock, Change), ProducerIdsError> {
        let registered = self.registered_epoch(broker);
        if let (Some(registered), Some(found)) = (registered, broker_epoch)
            && registered != found
        {
            return Err(ProducerIdsError::StaleBrokerEpoch { broker, registered, found });
        }
        let next = self.latest().next_producer_id();
        let exhausted = ProducerIdsError::Exhausted { next };
        let first = self.first_free_producer_id(in_use).ok_or(exhausted)?;
        let end = first.get().checked_add(Self::PRODUCER_ID_BLOCK.into()).ok_or(exhausted)?;
        let record = self.producer_ids_record(broker, registered.or(broker_epoch), end);
        Ok((ProducerIdBlock { first, count: Self::PRODUCER_ID_BLOCK }, Change::new(vec![record.into()])))
    }

    /// Decides to count all ids up to `in_use` as handed out, as when a directory is opened and producers are found in
    /// its logs. Empty if they are so already.
    ///
    /// # Errors
    ///
    /// [`ProducerIdsError::Exhausted`] if none would be left.
    pub fn decide_producer_ids_in_use(&self, broker: BrokerId, in_use: ProducerId) -> Result<Change, ProducerIdsError> {
        let next = self.latest().next_producer_id();
        if next > in_use {
            return Ok(Change::default());
        }
        let first = self.first_free_producer_id(Some(in_use)).ok_or(ProducerIdsError::Exhausted { next })?;
        let record = self.producer_ids_record(broker, self.registered_epoch(broker), first.get());
        Ok(Change::new(vec![record.into()]))
    }

    /// The first id of a block of which none was handed out and none is in use.
    fn first_free_producer_id(&self, in_use: Option<ProducerId>) -> Option<ProducerId> {
        let above = in_use.map_or(Some(0), |id| id.get().checked_add(1))?;
        let free = above.max(self.latest().next_producer_id().get());
        let block = i64::from(Self::PRODUCER_ID_BLOCK);
        let rounded = free.checked_add(block - 1)? / block * block;
        ProducerId::new(rounded)
    }

    fn registered_epoch(&self, broker: BrokerId) -> Option<i64> {
        let mut brokers = self.latest().brokers();
        brokers.find(|registered| registered.broker_id == broker.get() as i32).map(|registered| registered.broker_epoch)
    }

    fn producer_ids_record(&self, broker: BrokerId, epoch: Option<i64>, next_producer_id: i64) -> ProducerIdsRecord {
        ProducerIdsRecord {
            broker_id: broker.get() as i32,
            broker_epoch: epoch.unwrap_or(-1),
            next_producer_id,
            ..ProducerIdsRecord::default()
        }
    }
}
