//! Forgetting: offsets that nobody has committed for long, and those of topics that are gone.

use std::collections::BTreeSet;

use crate::coordinator::Coordinator;
use crate::coordinator::commit::{Commit, Records};
use crate::coordinator::group::GroupSummary;
use crate::coordinator::offsets::{GroupPartition, OffsetValue, group_key};
use crate::coordinator::shard::Shard;
use crate::id::{GroupId, TopicName};
use crate::time::Timestamp;

/// How many records one batch takes back at most. The rest of what has expired is left to the next sweep.
const TOMBSTONES_MAX: usize = 1000;

impl Coordinator {
    /// Decides to take back offsets that have expired, and groups of which nothing is left (semantics 11.5); `None` if there
    /// are none. Whose key is in flight, or in a transaction, has not expired.
    pub fn decide_expire(&self, partition: u32, date: Timestamp) -> Option<Commit> {
        let (shard, retention_ms) = (self.shard(partition)?, self.config.retention_ms);
        let in_flight: BTreeSet<&GroupPartition> = shard.in_flight().collect();
        let mut records = Records::default();
        let known: BTreeSet<&GroupId> = shard.offsets.groups().chain(shard.groups.keys()).collect();
        for group in known {
            let summary = shard.groups.get(group);
            if summary == Some(&GroupSummary::HasMembers) {
                continue;
            }
            let mut is_left =
                in_flight.iter().any(|at| at.group == *group) || shard.unstable_of(group).next().is_some();
            for (at, value) in shard.offsets.of_group(group) {
                let at = GroupPartition { group: group.clone(), partition: at.clone() };
                let may_go = !in_flight.contains(&at) && !shard.is_unstable(&at);
                if records.len() >= TOMBSTONES_MAX {
                    return records.finish();
                }
                // A key that was read can be written.
                let goes =
                    may_go && has_expired(value, summary, retention_ms, date) && records.forget(date, at).is_ok();
                is_left |= !goes;
            }
            if let (false, Some(GroupSummary::Empty { .. }), Ok(key)) = (is_left, summary, group_key(group)) {
                // As above.
                let _ = records.push(date, &key, None);
            }
        }
        records.finish()
    }

    /// Takes back all that groups have committed in a topic, also what is in flight.
    pub(super) fn decide_forget(&self, partition: u32, date: Timestamp, topic: &TopicName) -> Vec<Commit> {
        let Some(shard) = self.shard(partition) else { return Vec::new() };
        let keys: Vec<GroupPartition> = keys_of_topic(shard, topic).into_iter().collect();
        let batch = |keys: &[GroupPartition]| {
            let mut records = Records::default();
            for key in keys {
                // A key that was read or written once is not too long.
                let _ = records.forget(date, key.clone());
            }
            records.finish()
        };
        keys.chunks(TOMBSTONES_MAX).filter_map(batch).collect()
    }
}

fn keys_of_topic(shard: &Shard, topic: &TopicName) -> BTreeSet<GroupPartition> {
    let in_flight = shard.in_flight().filter(|at| at.partition.topic() == topic).cloned();
    shard.offsets.of_topic(topic).into_iter().chain(in_flight).collect()
}

/// Whether an offset may be forgotten: so long after it was committed, and after the group's last member has left.
fn has_expired(value: &OffsetValue, group: Option<&GroupSummary>, retention_ms: Option<u64>, date: Timestamp) -> bool {
    if let Some(expires) = value.expire_timestamp {
        return date >= expires;
    }
    let Some(retention_ms) = retention_ms else { return false };
    let base = match group {
        Some(GroupSummary::Empty { since: Some(since) }) => value.commit_timestamp.max(*since),
        Some(GroupSummary::Empty { since: None } | GroupSummary::HasMembers) | None => value.commit_timestamp,
    };
    let age = date.as_millis().saturating_sub(base.as_millis());
    u64::try_from(age).is_ok_and(|age| age >= retention_ms)
}
