//! What storage does not look into, kept so that a snapshot loses nothing: users, tokens, quotas, access control.

use std::collections::BTreeMap;

use crate::controller::records::{
    AccessControlEntryRecord, ClientQuotaRecord, DelegationTokenRecord, MetadataRecord, UserScramCredentialRecord,
};
use crate::controller::uuid::Uuid;

/// Whom a quota is for, in any order, and what it bounds.
type QuotaKey = (BTreeMap<String, Option<String>>, String);

/// The latest record of each thing, without those that were removed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Kept {
    quotas: BTreeMap<QuotaKey, ClientQuotaRecord>,
    entries: BTreeMap<Uuid, AccessControlEntryRecord>,
    credentials: BTreeMap<(String, i8), UserScramCredentialRecord>,
    tokens: BTreeMap<String, DelegationTokenRecord>,
}

impl Kept {
    pub(super) fn quota(&mut self, record: &ClientQuotaRecord) {
        let entity = record.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone()));
        let key = (entity.collect(), record.key.clone());
        if record.remove {
            self.quotas.remove(&key);
        } else {
            self.quotas.insert(key, record.clone());
        }
    }

    pub(super) fn entry(&mut self, record: &AccessControlEntryRecord) {
        self.entries.insert(record.id, record.clone());
    }

    pub(super) fn remove_entry(&mut self, id: Uuid) {
        self.entries.remove(&id);
    }

    pub(super) fn credential(&mut self, record: &UserScramCredentialRecord) {
        self.credentials.insert((record.name.clone(), record.mechanism), record.clone());
    }

    pub(super) fn remove_credential(&mut self, name: &str, mechanism: i8) {
        self.credentials.remove(&(name.to_owned(), mechanism));
    }

    pub(super) fn token(&mut self, record: &DelegationTokenRecord) {
        self.tokens.insert(record.token_id.clone(), record.clone());
    }

    pub(super) fn remove_token(&mut self, id: &str) {
        self.tokens.remove(id);
    }

    pub(super) fn quotas(&self) -> impl Iterator<Item = MetadataRecord> {
        self.quotas.values().cloned().map(MetadataRecord::from)
    }

    /// All but the quotas, in the order of Kafka's snapshots.
    pub(super) fn others(&self) -> impl Iterator<Item = MetadataRecord> {
        let entries = self.entries.values().cloned().map(MetadataRecord::from);
        let credentials = self.credentials.values().cloned().map(MetadataRecord::from);
        let tokens = self.tokens.values().cloned().map(MetadataRecord::from);
        entries.chain(credentials).chain(tokens)
    }
}
