//! Records that storage keeps and does not look into: tokens, credentials, quotas, access control.

use bytes::Bytes;

use super::schema::message;
use super::wire::Double;
use crate::controller::uuid::Uuid;

message! {
    /// A delegation token.
    pub struct DelegationTokenRecord {
        /// Whose it is.
        owner: String, 0..;
        /// Who asked for it.
        requester: String, 0..;
        /// Who may renew it.
        renewers: Vec<String>, 0..;
        /// When it was issued, in milliseconds since the Unix epoch.
        issue_timestamp: i64, 0..;
        /// When it ends at the latest.
        max_timestamp: i64, 0..;
        /// When it ends unless renewed.
        expiration_timestamp: i64, 0..;
        /// Its id.
        token_id: String, 0..;
    }
    tagged {}
}

message! {
    /// A delegation token is gone.
    pub struct RemoveDelegationTokenRecord {
        /// Its id.
        token_id: String, 0..;
    }
    tagged {}
}

message! {
    /// A user's credential.
    pub struct UserScramCredentialRecord {
        /// The user.
        name: String, 0..;
        /// 1 SHA-256, 2 SHA-512.
        mechanism: i8, 0..;
        /// The salt.
        salt: Bytes, 0..;
        /// The key to compare with.
        stored_key: Bytes, 0..;
        /// The server's own key.
        server_key: Bytes, 0..;
        /// How often it was hashed.
        iterations: i32, 0..;
    }
    tagged {}
}

message! {
    /// A user's credential is gone.
    pub struct RemoveUserScramCredentialRecord {
        /// The user.
        name: String, 0..;
        /// The mechanism.
        mechanism: i8, 0..;
    }
    tagged {}
}

message! {
    /// One part of what a quota is for.
    pub struct QuotaEntity {
        /// User, client id or address.
        entity_type: String, 0..;
        /// Which; null is the default of the type.
        entity_name: Option<String>, 0..;
    }
    tagged {}
}

message! {
    /// A quota is set, or removed.
    pub struct ClientQuotaRecord {
        /// Whom it is for.
        entity: Vec<QuotaEntity>, 0..;
        /// What it bounds.
        key: String, 0..;
        /// The bound.
        value: Double, 0..;
        /// Whether it is removed.
        remove: bool, 0..;
    }
    tagged {}
}

message! {
    /// Who may do what.
    pub struct AccessControlEntryRecord {
        /// The entry's id.
        id: Uuid, 0..;
        /// What kind of thing.
        resource_type: i8, 0..;
        /// Which, or the beginning of its name.
        resource_name: String, 0..;
        /// How the name is compared.
        pattern_type: i8, 0..;
        /// Who.
        principal: String, 0..;
        /// From where.
        host: String, 0..;
        /// What.
        operation: i8, 0..;
        /// Whether it is allowed or denied.
        permission_type: i8, 0..;
    }
    tagged {}
}

message! {
    /// An access control entry is gone.
    pub struct RemoveAccessControlEntryRecord {
        /// The entry's id.
        id: Uuid, 0..;
    }
    tagged {}
}
