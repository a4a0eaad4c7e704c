//! Records of topics, partitions and configurations.

use super::schema::message;
use crate::controller::uuid::Uuid;

message! {
    /// A topic begins. Its partitions follow.
    pub struct TopicRecord {
        /// Its name.
        name: String, 0..;
        /// Its id.
        topic_id: Uuid, 0..;
    }
    tagged {}
}

message! {
    /// A partition, whole. It takes the place of one of the same number.
    pub struct PartitionRecord {
        /// Its number within the topic.
        partition_id: i32, 0..;
        /// The topic.
        topic_id: Uuid, 0..;
        /// The brokers that hold it, the preferred leader first.
        replicas: Vec<i32>, 0..;
        /// Those in sync.
        isr: Vec<i32>, 0..;
        /// Those that a reassignment takes away.
        removing_replicas: Vec<i32>, 0..;
        /// Those that a reassignment adds.
        adding_replicas: Vec<i32>, 0..;
        /// Who leads; −1 is nobody.
        leader: i32, 0..;
        /// The reign.
        leader_epoch: i32, 0..;
        /// Counts the changes.
        partition_epoch: i32, 0..;
        /// The log directory of each replica; empty in version 0.
        directories: Vec<Uuid>, 1..;
    }
    tagged {
        /// 1 while the leader recovers from an unclean election.
        0 => leader_recovery_state: i8 = 0, 0..;
        /// Those out of sync that have all that was committed; none is as good as null.
        1 => eligible_leader_replicas: Option<Vec<i32>> = None, 2..;
        /// The last that were eligible.
        2 => last_known_elr: Option<Vec<i32>> = None, 2..;
    }
}

message! {
    /// A partition changes: what is given takes the place of what was.
    ///
    /// Each adds 1 to the partition epoch, and to the leader epoch if `leader` is given at all.
    pub struct PartitionChangeRecord {
        /// The partition's number within the topic.
        partition_id: i32, 0..;
        /// The topic.
        topic_id: Uuid, 0..;
    }
    tagged {
        /// Those in sync.
        0 => isr: Option<Vec<i32>> = None, 0..;
        /// Who leads; −1 is nobody, −2 ([`PartitionChangeRecord::LEADER_KEPT`]) that nothing changes.
        1 => leader: i32 = PartitionChangeRecord::LEADER_KEPT, 0..;
        /// The brokers that hold it.
        2 => replicas: Option<Vec<i32>> = None, 0..;
        /// Those that a reassignment takes away.
        3 => removing_replicas: Option<Vec<i32>> = None, 0..;
        /// Those that a reassignment adds.
        4 => adding_replicas: Option<Vec<i32>> = None, 0..;
        /// 1 while the leader recovers, 0 when it has, −1 if nothing changes.
        5 => leader_recovery_state: i8 = -1, 0..;
        /// Those out of sync that have all that was committed.
        6 => eligible_leader_replicas: Option<Vec<i32>> = None, 2..;
        /// The last that were eligible.
        7 => last_known_elr: Option<Vec<i32>> = None, 2..;
        /// The log directory of each replica.
        8 => directories: Option<Vec<Uuid>> = None, 1..;
    }
}

impl PartitionChangeRecord {
    /// What `leader` is where the reign goes on.
    pub const LEADER_KEPT: i32 = -2;
}

message! {
    /// One key of a configuration is set, or deleted.
    pub struct ConfigRecord {
        /// What is configured: see [`ResourceType`](crate::controller::ResourceType).
        resource_type: i8, 0..;
        /// Which one; empty for what all brokers have in common.
        resource_name: String, 0..;
        /// The key.
        name: String, 0..;
        /// The value; null deletes the key.
        value: Option<String>, 0..;
    }
    tagged {}
}

message! {
    /// A topic goes, its partitions and its configuration with it.
    pub struct RemoveTopicRecord {
        /// The topic.
        topic_id: Uuid, 0..;
    }
    tagged {}
}

message! {
    /// Nobody out of sync is eligible any more.
    pub struct ClearElrRecord {
        /// In which topic; empty for all of them.
        topic_name: String, 0..;
    }
    tagged {}
}
