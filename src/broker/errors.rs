//! Refusals of the machines, as Kafka's codes. The facts go along as text, and where an asker can act on them, as such.

use crate::id::TopicPartition;
use crate::log::{AppendError, ProducerError, ReadError};
use crate::message::{AtSpaceBound, BoundReached, Detail, ErrorCode, FullDisk, RequestError};
use crate::partition::{
    DeleteRecordsError, EpochError, ListOffsetsError, PartitionFetchError, ProduceError, StopReason,
};

pub(super) fn produce(partition: &TopicPartition, error: &ProduceError) -> RequestError {
    let full = |code| {
        let full = FullDisk { partition: partition.clone(), directory: None };
        RequestError::because(code, error).with(Detail::DiskFull(Box::new(full)))
    };
    let code = match error {
        ProduceError::Stopped(reason) | ProduceError::StoppedMeanwhile { reason, .. } => stopped_code(*reason),
        ProduceError::Epoch(error) => epoch_code(*error),
        ProduceError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
        ProduceError::NotEnoughReplicasMeanwhile { .. } => ErrorCode::NotEnoughReplicasAfterAppend,
        ProduceError::UnexpectedOffset { log_end_offset, .. } => {
            return RequestError::because(ErrorCode::InvalidRequest, error).with(Detail::LogEnd(*log_end_offset));
        }
        ProduceError::Append(AppendError::Poisoned { .. }) | ProduceError::Poisoned { .. } => {
            return RequestError::because(ErrorCode::KafkaStorageError, error).with(Detail::Poisoned);
        }
        ProduceError::Append(AppendError::Stalled) | ProduceError::Full { .. } => {
            return full(ErrorCode::KafkaStorageError);
        }
        ProduceError::FullMeanwhile { .. } => return full(ErrorCode::RequestTimedOut),
        ProduceError::Append(error) => append_code(error),
        ProduceError::NotReserved { .. } => ErrorCode::KafkaStorageError,
        ProduceError::NotAppendedInTime | ProduceError::TimedOut { .. } => ErrorCode::RequestTimedOut,
    };
    RequestError::because(code, error)
}

/// Where producers may wait for space, or segments that are not committed yet may go soon, trying again helps.
pub(super) fn no_space(reached: BoundReached) -> RequestError {
    let is_final = reached.bound.at_bound == AtSpaceBound::Fail || !reached.may_ever_fit();
    let code = if is_final { ErrorCode::PolicyViolation } else { ErrorCode::ThrottlingQuotaExceeded };
    RequestError::because(code, &reached).with(Detail::SpaceBound(Box::new(reached)))
}

pub(super) fn fetch(error: &PartitionFetchError) -> RequestError {
    match error {
        PartitionFetchError::Epoch(error) => RequestError::because(epoch_code(*error), error),
        PartitionFetchError::Stopped(reason) => stopped(*reason),
        PartitionFetchError::Range(ReadError::OutOfRange { log_start_offset, log_end_offset, .. }) => {
            let detail = Detail::Range { log_start_offset: *log_start_offset, end: *log_end_offset };
            RequestError::because(ErrorCode::OffsetOutOfRange, error).with(detail)
        }
    }
}

pub(super) fn list_offsets(error: &ListOffsetsError) -> RequestError {
    let code = match error {
        ListOffsetsError::Epoch(error) => epoch_code(*error),
        ListOffsetsError::Stopped(reason) => stopped_code(*reason),
        ListOffsetsError::NotAvailable { .. } => ErrorCode::OffsetNotAvailable,
    };
    RequestError::because(code, error)
}

pub(super) fn delete_records(error: &DeleteRecordsError) -> RequestError {
    let code = match error {
        DeleteRecordsError::Stopped(reason) => stopped_code(*reason),
        DeleteRecordsError::Policy { .. } => ErrorCode::PolicyViolation,
        DeleteRecordsError::Poisoned { .. } => ErrorCode::KafkaStorageError,
        DeleteRecordsError::OutOfRange { log_start_offset, high_watermark, .. } => {
            let detail = Detail::Range { log_start_offset: *log_start_offset, end: *high_watermark };
            return RequestError::because(ErrorCode::OffsetOutOfRange, error).with(detail);
        }
    };
    RequestError::because(code, error)
}

pub(super) fn stopped(reason: StopReason) -> RequestError {
    RequestError::because(stopped_code(reason), reason)
}

const fn stopped_code(reason: StopReason) -> ErrorCode {
    match reason {
        StopReason::Resigned | StopReason::Closed => ErrorCode::NotLeaderOrFollower,
        StopReason::Deleted => ErrorCode::UnknownTopicOrPartition,
    }
}

const fn epoch_code(error: EpochError) -> ErrorCode {
    match error {
        EpochError::Fenced { .. } => ErrorCode::FencedLeaderEpoch,
        EpochError::Unknown { .. } => ErrorCode::UnknownLeaderEpoch,
    }
}

const fn append_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::TooLargeForSegment { .. } => ErrorCode::RecordListTooLarge,
        AppendError::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        AppendError::Producer(error) => producer_code(error),
        AppendError::Batch(_) => ErrorCode::CorruptMessage,
        AppendError::Stalled | AppendError::Poisoned { .. } => ErrorCode::KafkaStorageError,
        AppendError::OffsetsExhausted { .. }
        | AppendError::UnexpectedOffset { .. }
        | AppendError::OutOfOrderOffsets { .. }
        | AppendError::OffsetsTooFarApart { .. } => ErrorCode::InvalidRecord,
    }
}

const fn producer_code(error: &ProducerError) -> ErrorCode {
    match error {
        ProducerError::ProducerFenced { .. } => ErrorCode::InvalidProducerEpoch,
        ProducerError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        ProducerError::UnknownProducer { .. } => ErrorCode::UnknownProducerId,
        ProducerError::MissingSequence { .. } => ErrorCode::InvalidRecord,
        ProducerError::OutsideTransaction { .. } => ErrorCode::InvalidTxnState,
        ProducerError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
    }
}
