//! Answering how far a group has come.

use std::collections::BTreeSet;

use crate::coordinator::Coordinator;
use crate::coordinator::offsets::{GroupPartition, OffsetValue};
use crate::coordinator::shard::Shard;
use crate::id::{TopicId, TopicName, TopicPartition};
use crate::message::{Answer, Committed, ErrorCode, OffsetFetch, PartitionAnswer, Pending, RequestError};

impl Coordinator {
    /// How far a group has come that is in this partition: what is committed and replayed. `topic_id` knows the topics that
    /// there are.
    pub fn fetch(
        &self,
        partition: u32,
        request: &OffsetFetch,
        topic_id: impl Fn(&TopicName) -> Option<TopicId>,
    ) -> Vec<PartitionAnswer<Option<Committed>>> {
        let Some(shard) = self.shard(partition) else { return Vec::new() };
        let asked = request.partitions.clone().unwrap_or_else(|| all_of(shard, request));
        let answer = |at: TopicPartition| {
            let of = GroupPartition { group: request.group.clone(), partition: at.clone() };
            if request.pending == Pending::Refuse && shard.is_unstable(&of) {
                let why = "a transaction that would commit an offset is not finished";
                return Answer::refused(at, RequestError::because(ErrorCode::UnstableOffsetCommit, why));
            }
            let value = shard.offsets.committed(&of.group, &at);
            let value = value.filter(|value| !is_of_another(value, topic_id(at.topic())));
            Answer::done(at, value.map(|value| value.committed.clone()))
        };
        let is_asked = |answer: &PartitionAnswer<Option<Committed>>| {
            request.partitions.is_some() || !matches!(answer.result, Ok(None))
        };
        asked.into_iter().map(answer).filter(is_asked).collect()
    }
}

/// Wherever a group has committed something, or a transaction would.
fn all_of(shard: &Shard, request: &OffsetFetch) -> Vec<TopicPartition> {
    let committed = shard.offsets.of_group(&request.group).map(|(at, _)| at);
    let unstable = shard.unstable_of(&request.group).map(|of| &of.partition);
    let all: BTreeSet<TopicPartition> = committed.chain(unstable).cloned().collect();
    all.into_iter().collect()
}

/// Whether it was committed in a topic of the same name that is there no more.
fn is_of_another(value: &OffsetValue, current: Option<TopicId>) -> bool {
    matches!((value.topic_id, current), (Some(committed), Some(current)) if committed != current)
}
