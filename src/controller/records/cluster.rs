//! Records of the cluster itself: features, brokers, controllers, producer ids, transactions of metadata.

use super::schema::message;
use crate::controller::uuid::Uuid;

message! {
    /// A feature has a level from here on.
    pub struct FeatureLevelRecord {
        /// Its name.
        name: String, 0..;
        /// The level; 0 takes the feature away.
        feature_level: i16, 0..;
    }
    tagged {}
}

message! {
    /// Where a broker or a controller listens.
    pub struct EndPoint {
        /// The listener's name.
        name: String, 0..;
        /// The host.
        host: String, 0..;
        /// The port.
        port: u16, 0..;
        /// 0 plaintext, 1 SSL, 2 SASL plaintext, 3 SASL SSL.
        security_protocol: i16, 0..;
    }
    tagged {}
}

message! {
    /// Which levels of a feature a node can have.
    pub struct SupportedFeature {
        /// Its name.
        name: String, 0..;
        /// The smallest.
        min: i16, 0..;
        /// The largest.
        max: i16, 0..;
    }
    tagged {}
}

message! {
    /// A broker has come up.
    pub struct RegisterBrokerRecord {
        /// Which.
        broker_id: i32, 0..;
        /// Whether it came from ZooKeeper; no longer written.
        is_migrating_zk_broker: bool, 2..;
        /// This run of it.
        incarnation_id: Uuid, 0..;
        /// The number of its registration: an offset of this log.
        broker_epoch: i64, 0..;
        /// Where it listens.
        end_points: Vec<EndPoint>, 0..;
        /// What it can do.
        features: Vec<SupportedFeature>, 0..;
        /// Where it stands.
        rack: Option<String>, 0..;
        /// Whether it may not lead.
        fenced: bool, 0..;
        /// Whether it is going down.
        in_controlled_shutdown: bool, 1..;
    }
    tagged {
        /// Its log directories.
        0 => log_dirs: Vec<Uuid> = Vec::new(), 3..;
        /// Those that take no new partitions.
        1 => cordoned_log_dirs: Option<Vec<Uuid>> = None, 4..;
    }
}

message! {
    /// A broker is gone for good.
    pub struct UnregisterBrokerRecord {
        /// Which.
        broker_id: i32, 0..;
        /// Its registration.
        broker_epoch: i64, 0..;
    }
    tagged {}
}

message! {
    /// A broker may not lead. Only in logs below metadata version 6.
    pub struct FenceBrokerRecord {
        /// Which.
        id: i32, 0..;
        /// Its registration.
        epoch: i64, 0..;
    }
    tagged {}
}

message! {
    /// A broker may lead. Only in logs below metadata version 6.
    pub struct UnfenceBrokerRecord {
        /// Which.
        id: i32, 0..;
        /// Its registration.
        epoch: i64, 0..;
    }
    tagged {}
}

message! {
    /// A broker's registration changes.
    pub struct BrokerRegistrationChangeRecord {
        /// Which.
        broker_id: i32, 0..;
        /// Its registration.
        broker_epoch: i64, 0..;
    }
    tagged {
        /// 1 it is fenced, −1 it is not, 0 nothing changes.
        0 => fenced: i8 = 0, 0..;
        /// 1 it is going down, 0 nothing changes.
        1 => in_controlled_shutdown: i8 = 0, 1..;
        /// Its log directories; none if nothing changes.
        2 => log_dirs: Vec<Uuid> = Vec::new(), 2..;
        /// Those that take no new partitions; null if nothing changes.
        3 => cordoned_log_dirs: Option<Vec<Uuid>> = None, 3..;
    }
}

impl BrokerRegistrationChangeRecord {
    /// The smallest version that holds what is given, which is what Kafka writes.
    pub(super) fn version(&self) -> i16 {
        match self {
            Self { cordoned_log_dirs: Some(_), .. } => 3,
            Self { log_dirs, .. } if !log_dirs.is_empty() => 2,
            Self { in_controlled_shutdown, .. } if *in_controlled_shutdown != 0 => 1,
            Self { .. } => 0,
        }
    }
}

message! {
    /// A controller has come up.
    pub struct RegisterControllerRecord {
        /// Which.
        controller_id: i32, 0..;
        /// This run of it.
        incarnation_id: Uuid, 0..;
        /// Whether it could migrate from ZooKeeper.
        zk_migration_ready: bool, 0..;
        /// Where it listens.
        end_points: Vec<EndPoint>, 0..;
        /// What it can do.
        features: Vec<SupportedFeature>, 0..;
    }
    tagged {}
}

message! {
    /// A block of producer ids was handed out.
    pub struct ProducerIdsRecord {
        /// To whom.
        broker_id: i32, 0..;
        /// Its registration.
        broker_epoch: i64, 0..;
        /// The first id that has not been handed out.
        next_producer_id: i64, 0..;
    }
    tagged {}
}

message! {
    /// How far a migration from ZooKeeper has come. Ignored.
    pub struct ZkMigrationStateRecord {
        /// How far.
        zk_migration_state: i8, 0..;
    }
    tagged {}
}

message! {
    /// Nothing, written while idle.
    pub struct NoOpRecord {}
    tagged {}
}

message! {
    /// What follows counts only when it ends.
    pub struct BeginTransactionRecord {}
    tagged {
        /// What it is about.
        0 => name: Option<String> = None, 0..;
    }
}

message! {
    /// What followed the beginning counts.
    pub struct EndTransactionRecord {}
    tagged {}
}

message! {
    /// What followed the beginning does not count.
    pub struct AbortTransactionRecord {}
    tagged {
        /// Why.
        0 => reason: Option<String> = None, 0..;
    }
}
