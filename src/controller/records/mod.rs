//! Metadata records: every kind that Kafka 4.3 has, in its own bytes (metadata.md, sections 1 and 2).
//!
//! The value of a record of `__cluster_metadata-0` is a frame (version 1, the kind's key, the record's version) and the
//! fields in Kafka's compact types, tagged ones last. [`MetadataRecord::decode`] reads every version that is still read,
//! [`MetadataRecord::encode`] writes the one that Kafka 4.3 writes. A record holds the numbers as they stand, −1 for
//! nobody included; what they mean is the image's to say.
//!
//! - May use: the newtypes and `record`.
//! - Must not know: the image; what order of records makes sense; files.
//! - Always true: decoding never panics and never allocates for what a length claims, only for what is there; what was
//!   decoded is encoded to a record that decodes to the same, with tagged fields of the future kept.

mod cluster;
mod control;
mod schema;
mod security;
mod topics;
mod wire;

#[cfg(test)]
mod tests;

pub use cluster::{
    AbortTransactionRecord, BeginTransactionRecord, BrokerRegistrationChangeRecord, EndPoint, EndTransactionRecord,
    FeatureLevelRecord, FenceBrokerRecord, NoOpRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RegisterControllerRecord, SupportedFeature, UnfenceBrokerRecord, UnregisterBrokerRecord, ZkMigrationStateRecord,
};
pub use control::{
    KraftVersionRange, KraftVersionRecord, KraftVotersRecord, LeaderChangeRecord, QuorumRecord, QuorumRecordError,
    SnapshotFooterRecord, SnapshotHeaderRecord, Voter, VoterDescription, VoterEndPoint,
};
pub use schema::UnknownTags;
pub use security::{
    AccessControlEntryRecord, ClientQuotaRecord, DelegationTokenRecord, QuotaEntity, RemoveAccessControlEntryRecord,
    RemoveDelegationTokenRecord, RemoveUserScramCredentialRecord, UserScramCredentialRecord,
};
pub use topics::{
    ClearElrRecord, ConfigRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};
pub use wire::{Double, FieldFault, TEXT_BYTES_MAX};

use wire::{Input, Wire, put_uvarint};

/// The only version of the frame around a record.
const FRAME_VERSION: u32 = 1;

/// Why bytes are no metadata record. A log that has one cannot be replayed past it: Kafka does not start on it either.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The three numbers in front of the record do not parse.
    #[error("the frame of a metadata record, at byte {position}: {fault}")]
    Frame {
        /// Where.
        position: usize,
        /// What is wrong.
        fault: FieldFault,
    },
    /// A frame of the future, or of no time.
    #[error("a metadata record has frame version {found}, 1 is known")]
    FrameVersion {
        /// The version.
        found: u32,
    },
    /// A kind of record that Kafka 4.3 does not have. A newer Kafka may have written it.
    #[error("metadata record of unknown kind {key}, version {version}")]
    UnknownKey {
        /// The kind's key.
        key: u32,
        /// The record's version.
        version: u32,
    },
    /// The version exceeds its signed field.
    #[error("metadata record of kind {key} has version {version}")]
    Version {
        /// The kind's key.
        key: u32,
        /// The record's version.
        version: u32,
    },
    /// A field does not parse.
    #[error("metadata record of kind {key}, version {version}, at byte {position}: {fault}")]
    Field {
        /// The kind's key.
        key: u16,
        /// The record's version.
        version: i16,
        /// Where in the value.
        position: usize,
        /// What is wrong.
        fault: FieldFault,
    },
}

/// All kinds of records: key, name, struct, the version that is written.
macro_rules! metadata_records {
    ($($(#[$about:meta])* $key:literal => $name:ident($record:ident), $version:literal;)*) => {
        /// One record of cluster metadata.
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum MetadataRecord {
            $($(#[$about])* $name($record),)*
        }

        impl MetadataRecord {
            /// The number of the kind.
            pub const fn key(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $key,)*
                }
            }

            /// The name of the kind.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            const fn newest_version(&self) -> i16 {
                match self {
                    $(Self::$name(_) => $version,)*
                }
            }

            /// Takes the fields; `None` for a kind that is not known.
            fn take(key: u32, version: i16, input: &mut Input<'_>) -> Option<Result<Self, FieldFault>> {
                match key {
                    $($key => Some($record::take(input, version).map(Self::$name)),)*
                    _ => None,
                }
            }

            fn put(&self, out: &mut Vec<u8>, version: i16) {
                match self {
                    $(Self::$name(record) => record.put(out, version),)*
                }
            }
        }

        $(
            impl From<$record> for MetadataRecord {
                fn from(record: $record) -> Self {
                    Self::$name(record)
                }
            }
        )*
    };
}

metadata_records! {
    /// A broker has come up.
    0 => RegisterBroker(RegisterBrokerRecord), 4;
    /// A broker is gone for good.
    1 => UnregisterBroker(UnregisterBrokerRecord), 0;
    /// A topic begins.
    2 => Topic(TopicRecord), 0;
    /// A partition, whole.
    3 => Partition(PartitionRecord), 2;
    /// One key of a configuration.
    4 => Config(ConfigRecord), 0;
    /// A partition changes.
    5 => PartitionChange(PartitionChangeRecord), 2;
    /// A broker may not lead; in old logs.
    7 => FenceBroker(FenceBrokerRecord), 0;
    /// A broker may lead; in old logs.
    8 => UnfenceBroker(UnfenceBrokerRecord), 0;
    /// A topic goes.
    9 => RemoveTopic(RemoveTopicRecord), 0;
    /// A delegation token.
    10 => DelegationToken(DelegationTokenRecord), 0;
    /// A user's credential.
    11 => UserScramCredential(UserScramCredentialRecord), 0;
    /// A feature's level.
    12 => FeatureLevel(FeatureLevelRecord), 0;
    /// A quota is set or removed.
    14 => ClientQuota(ClientQuotaRecord), 0;
    /// Producer ids were handed out.
    15 => ProducerIds(ProducerIdsRecord), 0;
    /// A broker's registration changes.
    17 => BrokerRegistrationChange(BrokerRegistrationChangeRecord), 3;
    /// Who may do what.
    18 => AccessControlEntry(AccessControlEntryRecord), 0;
    /// An access control entry is gone.
    19 => RemoveAccessControlEntry(RemoveAccessControlEntryRecord), 0;
    /// Nothing.
    20 => NoOp(NoOpRecord), 0;
    /// How far a migration from ZooKeeper has come.
    21 => ZkMigrationState(ZkMigrationStateRecord), 0;
    /// A user's credential is gone.
    22 => RemoveUserScramCredential(RemoveUserScramCredentialRecord), 0;
    /// A transaction of metadata begins.
    23 => BeginTransaction(BeginTransactionRecord), 0;
    /// It ends.
    24 => EndTransaction(EndTransactionRecord), 0;
    /// It is given up.
    25 => AbortTransaction(AbortTransactionRecord), 0;
    /// A delegation token is gone.
    26 => RemoveDelegationToken(RemoveDelegationTokenRecord), 0;
    /// A controller has come up.
    27 => RegisterController(RegisterControllerRecord), 0;
    /// Nobody out of sync is eligible any more.
    28 => ClearElr(ClearElrRecord), 0;
}

impl MetadataRecord {
    /// Reads the value of a record of the metadata log.
    ///
    /// A version above the newest that is known is read as that one, as Kafka does: versions are no guard.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] with the kind, its version and the position as far as they are known.
    pub fn decode(value: &[u8]) -> Result<Self, MetadataError> {
        let mut input = Input::new(value);
        let [frame, key, version] = take_frame(&mut input)?;
        if frame != FRAME_VERSION {
            return Err(MetadataError::FrameVersion { found: frame });
        }
        let number = i16::try_from(version).map_err(|_| MetadataError::Version { key, version })?;
        let taken = Self::take(key, number, &mut input).ok_or(MetadataError::UnknownKey { key, version })?;
        let record = taken.and_then(|record| input.finish().map(|()| record));
        record.map_err(|fault| MetadataError::Field {
            key: key as u16,
            version: number,
            position: input.position(),
            fault,
        })
    }

    /// Appends the value as Kafka 4.3 writes it at metadata version 30.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let version = self.version();
        for number in [FRAME_VERSION, u32::from(self.key()), version as u32] {
            put_uvarint(out, number);
        }
        self.put(out, version);
    }

    /// The value as Kafka 4.3 writes it at metadata version 30.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// The version that is written.
    pub fn version(&self) -> i16 {
        if let Self::BrokerRegistrationChange(change) = self { change.version() } else { self.newest_version() }
    }
}

fn take_frame(input: &mut Input<'_>) -> Result<[u32; 3], MetadataError> {
    let mut numbers = [0; 3];
    for number in &mut numbers {
        let position = input.position();
        *number = input.uvarint().map_err(|fault| MetadataError::Frame { position, fault })?;
    }
    Ok(numbers)
}
