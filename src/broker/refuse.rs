//! Answering what this node does not do, so that the asker can turn to one that does.

use crate::controller::METADATA_TOPIC;
use crate::coordinator::offsets;
use crate::id::TopicPartition;
use crate::message::{Answer, ErrorCode, RequestError};

/// The same refusal for each.
pub(super) fn refuse_all<K, T>(of: impl IntoIterator<Item = K>, why: &RequestError) -> Vec<Answer<K, T>> {
    of.into_iter().map(|of| Answer::refused(of, why.clone())).collect()
}

/// Groups have no coordinator on this node.
pub(super) fn no_coordinator() -> RequestError {
    RequestError::because(ErrorCode::CoordinatorNotAvailable, "this node coordinates no groups")
}

/// Metadata has no controller on this node.
pub(super) fn no_controller() -> RequestError {
    RequestError::because(ErrorCode::NotController, "this node is not the controller")
}

/// What Kafka's own machines write, and nobody else.
const INTERNAL: [&str; 4] = [METADATA_TOPIC, offsets::TOPIC, "__transaction_state", "__share_group_state"];

/// Clients may read the partitions that the controller and the coordinators write, and change them by asking those only
/// (semantics 1.1).
pub(super) fn for_clients(partition: &TopicPartition) -> Result<(), RequestError> {
    if INTERNAL.contains(&partition.topic().as_str()) {
        let why = format_args!("{partition} is written by its controller or coordinator only");
        return Err(RequestError::because(ErrorCode::InvalidTopicException, why));
    }
    Ok(())
}

/// The partition is not here.
pub(super) fn unknown_partition(partition: &TopicPartition) -> RequestError {
    RequestError::because(ErrorCode::UnknownTopicOrPartition, format_args!("{partition} is not on this node"))
}
