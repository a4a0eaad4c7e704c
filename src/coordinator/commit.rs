//! Deciding what a commit becomes.

use crate::coordinator::Coordinator;
use crate::coordinator::offsets::{GroupPartition, OffsetValue, OffsetsError, check_metadata};
use crate::id::{TopicId, TopicPartition};
use crate::message::{CommitPartition, ErrorCode, OffsetCommit, RequestError};
use crate::offset::Offset;
use crate::record::{Batch, BatchBuilder, BatchError, BuildError, Codec, NewRecord};
use crate::time::Timestamp;

/// Records that were decided together, to be appended as one batch.
#[derive(Clone, Debug)]
#[must_use = "a commit counts when it was appended and committed"]
pub struct Commit {
    batch: Batch,
    keys: Vec<GroupPartition>,
}

/// What was decided about a commit.
#[derive(Clone, Debug)]
#[must_use = "the commit is to be appended"]
pub struct Decided {
    /// What is to be appended, if anything.
    pub commit: Option<Commit>,
    /// Why a partition of the request is not part of it, for those that are not, by their place in the request.
    pub refused: Vec<(usize, RequestError)>,
}

impl Commit {
    /// The batch.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Which groups and partitions it is about.
    pub fn keys(&self) -> &[GroupPartition] {
        &self.keys
    }

    /// The same, where it stands in the log.
    pub(super) fn stamped(self, base_offset: Offset) -> Result<Self, BatchError> {
        Ok(Self { batch: self.batch.stamped(base_offset, None)?, keys: self.keys })
    }
}

impl Coordinator {
    /// Decides what a commit becomes whose group is in this partition. `topic_of` knows the topics: it answers with the id of
    /// that which a partition belongs to, `None` if there is no such partition.
    ///
    /// Groups have no members here, so a commit of one is refused; Kafka has forgotten its own by the time that it leaves a
    /// directory to somebody else.
    pub fn decide_commit(
        &self,
        partition: u32,
        date: Timestamp,
        request: &OffsetCommit,
        topic_of: impl Fn(&TopicPartition) -> Option<TopicId>,
    ) -> Decided {
        let mut decided = Decided { commit: None, refused: Vec::new() };
        let mut builder = Records::default();
        for (index, part) in request.partitions.iter().enumerate() {
            let checked = self.check_commit(partition, request, part, &topic_of);
            let added = checked.and_then(|topic_id| {
                let at = GroupPartition { group: request.group.clone(), partition: part.partition.clone() };
                let value = OffsetValue {
                    committed: part.committed.clone(),
                    commit_timestamp: date,
                    expire_timestamp: None,
                    topic_id: Some(topic_id),
                };
                builder.set(date, at, &value)
            });
            if let Err(error) = added {
                decided.refused.push((index, error));
            }
        }
        decided.commit = builder.finish();
        decided
    }

    fn check_commit(
        &self,
        partition: u32,
        request: &OffsetCommit,
        part: &CommitPartition,
        topic_of: &impl Fn(&TopicPartition) -> Option<TopicId>,
    ) -> Result<TopicId, RequestError> {
        if request.member.is_some() {
            let is_known = self.shard(partition).is_some_and(|shard| shard.knows(&request.group));
            let code = if is_known { ErrorCode::UnknownMemberId } else { ErrorCode::GroupIdNotFound };
            return Err(RequestError::because(code, "the group has no members here"));
        }
        let unknown = || format!("there is no partition {}", part.partition);
        let topic_id = topic_of(&part.partition)
            .ok_or_else(|| RequestError::because(ErrorCode::UnknownTopicOrPartition, unknown()))?;
        check_metadata(&part.committed, self.config.metadata_max)?;
        Ok(topic_id)
    }
}

/// A batch under construction.
#[derive(Debug)]
pub(super) struct Records {
    builder: BatchBuilder,
    keys: Vec<GroupPartition>,
    count: usize,
}

impl Default for Records {
    fn default() -> Self {
        Self { builder: BatchBuilder::new(Codec::None), keys: Vec::new(), count: 0 }
    }
}

impl Records {
    /// How far a group has come.
    pub(super) fn set(&mut self, date: Timestamp, at: GroupPartition, value: &OffsetValue) -> Result<(), RequestError> {
        let key = at.to_key().map_err(|error| too_long(ErrorCode::InvalidGroupId, &error))?;
        let value = value.to_bytes().map_err(|error| too_long(ErrorCode::OffsetMetadataTooLarge, &error))?;
        self.push(date, &key, Some(&value))?;
        self.keys.push(at);
        Ok(())
    }

    /// That is taken back.
    pub(super) fn forget(&mut self, date: Timestamp, at: GroupPartition) -> Result<(), RequestError> {
        let key = at.to_key().map_err(|error| too_long(ErrorCode::InvalidGroupId, &error))?;
        self.push(date, &key, None)?;
        self.keys.push(at);
        Ok(())
    }

    pub(super) fn push(&mut self, date: Timestamp, key: &[u8], value: Option<&[u8]>) -> Result<(), RequestError> {
        let pushed = self.builder.push(&NewRecord::new(date, Some(key), value));
        pushed.map_err(|error: BuildError| RequestError::because(ErrorCode::InvalidCommitOffsetSize, error))?;
        self.count += 1;
        Ok(())
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The batch; `None` if nothing is in it.
    pub(super) fn finish(self) -> Option<Commit> {
        // Records without compression that were taken one by one can be built.
        let batch = if self.count > 0 { self.builder.build().ok() } else { None };
        batch.map(|batch| Commit { batch, keys: self.keys })
    }
}

fn too_long(code: ErrorCode, error: &OffsetsError) -> RequestError {
    RequestError::because(code, error)
}

/// What the asker is told when its commit could not be appended, or it is not known whether it counts (semantics 11).
pub fn write_error(error: &RequestError) -> RequestError {
    const NOT_AVAILABLE: [ErrorCode; 4] = [
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut,
    ];
    const ELSEWHERE: [ErrorCode; 2] = [ErrorCode::NotLeaderOrFollower, ErrorCode::KafkaStorageError];
    const TOO_LARGE: [ErrorCode; 2] = [ErrorCode::MessageTooLarge, ErrorCode::RecordListTooLarge];
    let code = if NOT_AVAILABLE.contains(&error.code) {
        ErrorCode::CoordinatorNotAvailable
    } else if ELSEWHERE.contains(&error.code) {
        ErrorCode::NotCoordinator
    } else if TOO_LARGE.contains(&error.code) {
        ErrorCode::InvalidCommitOffsetSize
    } else {
        error.code
    };
    RequestError::because(code, error)
}
