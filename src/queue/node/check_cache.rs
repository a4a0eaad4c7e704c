//! What is known of topics, beside the lock of the node: who sends looks here for each batch.
//!
//! - Always true: what is found here was true at the number of the metadata that it is kept with; an older one is looked up
//!   anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::TopicName;
use crate::queue::client::TopicFacts;
use crate::queue::sync::Mutex;
use crate::queue::sync::atomic::AtomicU64;
use crate::queue::sync::atomic::Ordering::{Acquire, Release};
use crate::record::Rules;

/// What was looked up of topics.
#[derive(Debug, Default)]
pub(super) struct CheckCache {
    /// How far the metadata has come.
    metadata: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    metadata: u64,
    topics: BTreeMap<TopicName, (Arc<TopicFacts>, Rules)>,
}

impl CheckCache {
    /// The metadata has come so far.
    pub(super) fn note(&self, metadata: u64) {
        if self.metadata.load(Acquire) != metadata {
            self.metadata.store(metadata, Release);
        }
    }

    /// What is known of a topic; `look_up` finds it in the metadata as it is now.
    pub(super) fn find(
        &self,
        name: &TopicName,
        look_up: impl FnOnce() -> Option<(Arc<TopicFacts>, Rules)>,
    ) -> Option<(Arc<TopicFacts>, Rules)> {
        let metadata = self.metadata.load(Acquire);
        {
            let known = self.known.lock();
            if known.metadata == metadata
                && let Some(found) = known.topics.get(name)
            {
                return Some(found.clone());
            }
        }
        let found = look_up()?;
        let mut known = self.known.lock();
        if known.metadata < metadata {
            *known = Known { metadata, topics: BTreeMap::new() };
        }
        if known.metadata == metadata {
            known.topics.insert(name.clone(), found.clone());
        }
        Some(found)
    }
}
