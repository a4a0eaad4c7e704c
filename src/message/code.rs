//! Kafka's error codes: number, name, meaning, and whether asking again may help.
//!
//! The table stands here once; the doc of each code is what [`ErrorCode::meaning`] says. Numbers, names and what may be
//! retried are those of Kafka 4.3's protocol documentation.

use std::fmt;

/// A number that no code is known for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnknownCode(i16);

impl UnknownCode {
    /// The plain number.
    pub const fn get(self) -> i16 {
        self.0
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $name:literal, $retry:ident;)+) => {
        /// Why a request was refused, in Kafka's numbers. There is no code for "no error": that is `Ok`, or `None`.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)+
            /// A code that is not known here, from a peer that is newer.
            Unknown(UnknownCode),
        }

        impl ErrorCode {
            /// Every code that is known, in order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code of this number; `None` for 0, which means that nothing went wrong.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    0 => None,
                    $($code => Some(Self::$variant),)+
                    code => Some(Self::Unknown(UnknownCode(code))),
                }
            }

            /// The number.
            pub const fn code(self) -> i16 {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Unknown(UnknownCode(code)) => code,
                }
            }

            /// Kafka's name for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Unknown(_) => "UNKNOWN",
                }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                let meaning = match self {
                    $(Self::$variant => concat!($($doc),+),)+
                    Self::Unknown(_) => "A code that is not known here.",
                };
                meaning.trim_start()
            }

            /// Whether the same request may succeed if it is sent again, perhaps to another broker. An unknown code is
            /// taken for final.
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$variant => matches!(Retry::$retry, Retry::Retry),)+
                    Self::Unknown(_) => false,
                }
            }
        }
    };
}

/// Whether asking again may help.
enum Retry {
    Retry,
    Final,
}

codes! {
    /// The server failed in a way that it has no code for.
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", Final;
    /// The offset is below the log start or above the log end.
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", Final;
    /// A batch does not match its checksum, or is not a batch.
    CorruptMessage = 2, "CORRUPT_MESSAGE", Retry;
    /// The topic or the partition is not known here.
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", Retry;
    /// The size that was asked for is not possible.
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", Final;
    /// The partition has no leader at the moment.
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", Retry;
    /// This broker does not lead the partition, or has no replica of it.
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", Retry;
    /// What was asked for has not happened in time. It may happen yet.
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", Retry;
    /// The broker is not there.
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", Final;
    /// The replica is not there.
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", Retry;
    /// A batch is larger than the topic takes.
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", Final;
    /// The controller that asks has been replaced.
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", Final;
    /// The text beside a committed offset is too long.
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", Final;
    /// The connection broke before the answer came.
    NetworkException = 13, "NETWORK_EXCEPTION", Retry;
    /// The coordinator is still reading its state.
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", Retry;
    /// There is no coordinator at the moment.
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", Retry;
    /// This broker is not the coordinator.
    NotCoordinator = 16, "NOT_COORDINATOR", Retry;
    /// The name is not one for a topic, or may not be used like this.
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", Final;
    /// The batches do not fit a segment.
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", Final;
    /// Too few replicas are in sync. Nothing was written.
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", Retry;
    /// The batch was written, but too few replicas are in sync now.
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retry;
    /// The acknowledgement asked for is none of 0, 1 and all.
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", Final;
    /// The group is at another generation.
    IllegalGeneration = 22, "ILLEGAL_GENERATION", Final;
    /// The member shares no protocol with its group.
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", Final;
    /// The group id is empty or cannot be used.
    InvalidGroupId = 24, "INVALID_GROUP_ID", Final;
    /// The group has no such member.
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", Final;
    /// The session timeout is outside what is allowed.
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", Final;
    /// The group is rebalancing, so the member has to join again.
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", Final;
    /// The offsets to commit take too many bytes.
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", Final;
    /// Not allowed for this topic.
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", Final;
    /// Not allowed for this group.
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", Final;
    /// Not allowed in this cluster.
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", Final;
    /// The date of a record is too far from the broker's.
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", Final;
    /// The mechanism of authentication is not known here.
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", Final;
    /// The request does not fit the state of authentication.
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", Final;
    /// The version of the request is not known here.
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", Final;
    /// There is a topic of this name.
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", Final;
    /// The count of partitions is not possible.
    InvalidPartitions = 37, "INVALID_PARTITIONS", Final;
    /// The replication factor is below 1, or above the count of brokers.
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", Final;
    /// The assignment of replicas to brokers is not possible.
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", Final;
    /// A setting is not known, or its value is not allowed.
    InvalidConfig = 40, "INVALID_CONFIG", Final;
    /// This broker is not the controller.
    NotController = 41, "NOT_CONTROLLER", Retry;
    /// The request contradicts itself, or the protocol.
    InvalidRequest = 42, "INVALID_REQUEST", Final;
    /// The batches' format does not allow it.
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", Final;
    /// A policy forbids it.
    PolicyViolation = 44, "POLICY_VIOLATION", Final;
    /// A batch of an idempotent producer does not follow its last one.
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", Final;
    /// The batch has been written before.
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", Final;
    /// The producer's epoch is an older one.
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", Final;
    /// The transaction is in a state that does not allow it.
    InvalidTxnState = 48, "INVALID_TXN_STATE", Final;
    /// The producer id does not belong to the transactional id.
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", Final;
    /// The timeout of the transaction is longer than allowed.
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", Final;
    /// The transaction before this one is still being finished.
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", Retry;
    /// The transaction coordinator that asks has been replaced.
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", Final;
    /// Not allowed for this transactional id.
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Final;
    /// Security is switched off here.
    SecurityDisabled = 54, "SECURITY_DISABLED", Final;
    /// It was not tried, because something else in the request failed.
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", Final;
    /// The disk of the log has failed.
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", Retry;
    /// The broker has no such log directory.
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", Final;
    /// The client could not be authenticated.
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", Final;
    /// Nothing is known of the producer any more.
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", Final;
    /// The partition is being reassigned.
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", Final;
    /// Delegation tokens are switched off here.
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", Final;
    /// There is no such delegation token.
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", Final;
    /// The delegation token belongs to someone else.
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", Final;
    /// The connection does not allow requests for delegation tokens.
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", Final;
    /// Not allowed for this delegation token.
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", Final;
    /// The delegation token has expired.
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", Final;
    /// The kind of principal is not supported.
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", Final;
    /// The group has members.
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", Final;
    /// There is no such group.
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", Final;
    /// The fetch session is not known.
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", Retry;
    /// The fetch session is at another epoch.
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", Retry;
    /// The leader has no listener like the one that was asked.
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", Retry;
    /// Deleting topics is switched off here.
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", Final;
    /// The leader epoch of the request is an older one.
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", Retry;
    /// The leader epoch of the request is newer than what this broker knows.
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", Retry;
    /// The codec is not supported for this request.
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", Final;
    /// The broker has registered anew since.
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", Final;
    /// A new leader does not know yet how far its predecessor had come.
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", Retry;
    /// The member has to join again with the id that it was given.
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", Final;
    /// The preferred leader cannot lead at the moment.
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", Retry;
    /// The group takes no more members.
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", Final;
    /// Another member has taken over the instance id.
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", Final;
    /// No replica that may lead is there.
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", Retry;
    /// The partition has the leader that was asked for.
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", Retry;
    /// The partition is not being reassigned.
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", Final;
    /// Members of the group are subscribed to the topic.
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", Final;
    /// A record breaks a rule of its topic or of its format.
    InvalidRecord = 87, "INVALID_RECORD", Final;
    /// A transaction that would commit an offset is not finished.
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", Retry;
    /// A quota is used up.
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", Retry;
    /// Another producer has taken over the transactional id.
    ProducerFenced = 90, "PRODUCER_FENCED", Final;
    /// There is no such resource.
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", Final;
    /// The request names a resource twice.
    DuplicateResource = 92, "DUPLICATE_RESOURCE", Final;
    /// The credential is not good enough.
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", Final;
    /// The set of voters is another one here.
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", Final;
    /// The change is based on an older state.
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", Final;
    /// The feature cannot be set to this level.
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", Final;
    /// A forwarded principal cannot be read.
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", Final;
    /// There is no such snapshot.
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", Final;
    /// The position lies outside of the snapshot.
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", Final;
    /// No topic of this id is known here.
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", Retry;
    /// Another broker is registered under this number.
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", Final;
    /// No broker is registered under this number.
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", Final;
    /// The log belongs to another topic of the same name.
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", Retry;
    /// The request is meant for another cluster.
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", Final;
    /// There is no such transactional id.
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", Final;
    /// The fetch session names topics in another way.
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", Retry;
    /// The replica may not become part of the in-sync replicas.
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", Final;
    /// The change was made, and another broker leads now.
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", Final;
    /// The offset has gone to remote storage.
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", Final;
    /// The member's epoch is an older one.
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", Final;
    /// The instance id is in use by a member that has not left.
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", Final;
    /// The assignor is not known here.
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", Final;
    /// The member has to learn its new epoch first.
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", Final;
    /// The request came to the wrong kind of endpoint.
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", Final;
    /// The kind of endpoint is not known here.
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", Final;
    /// There is no such controller.
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", Final;
    /// The subscription of a client's telemetry is an older one.
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", Final;
    /// The telemetry takes too many bytes.
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", Final;
    /// The broker's registration is not possible.
    InvalidRegistration = 119, "INVALID_REGISTRATION", Final;
    /// The transaction cannot go on and has to be aborted.
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", Final;
    /// The record is not held by who acknowledges it.
    InvalidRecordState = 121, "INVALID_RECORD_STATE", Final;
    /// The share session is not known.
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", Retry;
    /// The share session is at another epoch.
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", Retry;
    /// The state epoch of the share group is another one.
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", Final;
    /// The voter is known by another key.
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", Final;
    /// The voter is one already.
    DuplicateVoter = 126, "DUPLICATE_VOTER", Final;
    /// There is no such voter.
    VoterNotFound = 127, "VOTER_NOT_FOUND", Final;
    /// The pattern cannot be read.
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", Final;
    /// The client has to ask the first servers again.
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", Final;
    /// The topology is not possible.
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", Final;
    /// The epoch of the topology is not possible.
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", Final;
    /// The epoch of the topology is an older one.
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", Final;
    /// No more share sessions are possible.
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", Retry;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_there_is_gives_a_code_that_gives_the_number_back() {
        assert_eq!(ErrorCode::from_code(0), None);
        for code in (i16::MIN..=i16::MAX).filter(|code| *code != 0) {
            assert_eq!(ErrorCode::from_code(code).map(ErrorCode::code), Some(code));
        }
    }

    #[test]
    fn the_known_codes_are_minus_one_and_1_to_133_each_with_a_name_and_a_meaning_of_its_own() {
        let codes: Vec<i16> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        let expected: Vec<i16> = [-1].into_iter().chain(1..=133).collect();
        assert_eq!(codes, expected);
        let names: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), codes.len());
        for code in ErrorCode::ALL {
            assert!(code.meaning().ends_with('.'), "{code}: {:?}", code.meaning());
            let spelled: String = code
                .name()
                .split('_')
                .flat_map(|word| {
                    let (first, rest) = word.split_at(1);
                    [first.to_owned(), rest.to_lowercase()]
                })
                .collect();
            assert_eq!(format!("{code:?}"), spelled, "the variant is the name");
        }
    }

    #[test]
    fn what_may_be_retried_is_what_kafka_says() {
        let retriable: Vec<i16> =
            ErrorCode::ALL.iter().filter(|code| code.is_retriable()).map(|code| code.code()).collect();
        let expected = [
            2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89, 100, 103,
            106, 122, 123, 133,
        ];
        assert_eq!(retriable, expected);
        assert!(!ErrorCode::from_code(999).unwrap().is_retriable());
    }

    #[test]
    fn a_code_prints_as_its_name_and_number() {
        assert_eq!(ErrorCode::NotEnoughReplicas.to_string(), "NOT_ENOUGH_REPLICAS (19)");
        assert_eq!(ErrorCode::from_code(999).unwrap().to_string(), "UNKNOWN (999)");
    }
}
