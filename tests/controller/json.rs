//! Records as Kafka's tool prints them. Tagged fields are printed when they are not the default.

use ottla::controller::Uuid;
use ottla::controller::records::{EndPoint, MetadataRecord, SupportedFeature};
use serde_json::{Map, Value, json};

/// One record: its type, version and fields. Kinds that the golden log does not have are not known here.
pub(crate) fn of(record: &MetadataRecord) -> Value {
    let (kind, plain, tagged) = match record {
        MetadataRecord::BeginTransaction(begin) => {
            ("BEGIN_TRANSACTION_RECORD", json!({}), vec![("name", begin.name.as_ref().map(|name| json!(name)))])
        }
        MetadataRecord::EndTransaction(_) => ("END_TRANSACTION_RECORD", json!({}), vec![]),
        MetadataRecord::NoOp(_) => ("NO_OP_RECORD", json!({}), vec![]),
        MetadataRecord::FeatureLevel(feature) => {
            ("FEATURE_LEVEL_RECORD", json!({"name": feature.name, "featureLevel": feature.feature_level}), vec![])
        }
        MetadataRecord::Topic(topic) => {
            ("TOPIC_RECORD", json!({"name": topic.name, "topicId": id(&topic.topic_id)}), vec![])
        }
        MetadataRecord::ClearElr(clear) => ("CLEAR_ELR_RECORD", json!({"topicName": clear.topic_name}), vec![]),
        MetadataRecord::Config(config) => (
            "CONFIG_RECORD",
            json!({"resourceType": config.resource_type, "resourceName": config.resource_name,
                   "name": config.name, "value": config.value}),
            vec![],
        ),
        MetadataRecord::ProducerIds(block) => (
            "PRODUCER_IDS_RECORD",
            json!({"brokerId": block.broker_id, "brokerEpoch": block.broker_epoch,
                   "nextProducerId": block.next_producer_id}),
            vec![],
        ),
        MetadataRecord::Partition(partition) => (
            "PARTITION_RECORD",
            json!({"partitionId": partition.partition_id, "topicId": id(&partition.topic_id),
                   "replicas": partition.replicas, "isr": partition.isr,
                   "removingReplicas": partition.removing_replicas, "addingReplicas": partition.adding_replicas,
                   "leader": partition.leader, "leaderEpoch": partition.leader_epoch,
                   "partitionEpoch": partition.partition_epoch, "directories": ids(&partition.directories)}),
            vec![
                ("leaderRecoveryState", unless(partition.leader_recovery_state, 0)),
                ("eligibleLeaderReplicas", partition.eligible_leader_replicas.as_ref().map(|ids| json!(ids))),
                ("lastKnownElr", partition.last_known_elr.as_ref().map(|ids| json!(ids))),
            ],
        ),
        MetadataRecord::PartitionChange(change) => (
            "PARTITION_CHANGE_RECORD",
            json!({"partitionId": change.partition_id, "topicId": id(&change.topic_id)}),
            vec![
                ("isr", change.isr.as_ref().map(|ids| json!(ids))),
                ("leader", unless(change.leader, -2)),
                ("replicas", change.replicas.as_ref().map(|ids| json!(ids))),
                ("leaderRecoveryState", unless(change.leader_recovery_state, -1)),
                ("eligibleLeaderReplicas", change.eligible_leader_replicas.as_ref().map(|ids| json!(ids))),
                ("lastKnownElr", change.last_known_elr.as_ref().map(|ids| json!(ids))),
                ("directories", change.directories.as_ref().map(|all| ids(all))),
            ],
        ),
        MetadataRecord::BrokerRegistrationChange(change) => (
            "BROKER_REGISTRATION_CHANGE_RECORD",
            json!({"brokerId": change.broker_id, "brokerEpoch": change.broker_epoch}),
            vec![
                ("fenced", unless(change.fenced, 0)),
                ("inControlledShutdown", unless(change.in_controlled_shutdown, 0)),
                ("logDirs", (!change.log_dirs.is_empty()).then(|| ids(&change.log_dirs))),
                ("cordonedLogDirs", change.cordoned_log_dirs.as_ref().map(|all| ids(all))),
            ],
        ),
        MetadataRecord::RegisterBroker(broker) => (
            "REGISTER_BROKER_RECORD",
            json!({"brokerId": broker.broker_id, "isMigratingZkBroker": broker.is_migrating_zk_broker,
                   "incarnationId": id(&broker.incarnation_id), "brokerEpoch": broker.broker_epoch,
                   "endPoints": end_points(&broker.end_points), "features": features(&broker.features),
                   "rack": broker.rack, "fenced": broker.fenced,
                   "inControlledShutdown": broker.in_controlled_shutdown}),
            vec![
                ("logDirs", (!broker.log_dirs.is_empty()).then(|| ids(&broker.log_dirs))),
                ("cordonedLogDirs", broker.cordoned_log_dirs.as_ref().map(|all| ids(all))),
            ],
        ),
        MetadataRecord::RegisterController(controller) => (
            "REGISTER_CONTROLLER_RECORD",
            json!({"controllerId": controller.controller_id, "incarnationId": id(&controller.incarnation_id),
                   "zkMigrationReady": controller.zk_migration_ready,
                   "endPoints": end_points(&controller.end_points), "features": features(&controller.features)}),
            vec![],
        ),
        other => panic!("{} is not in the golden log", other.name()),
    };
    let mut data: Map<String, Value> = plain.as_object().unwrap().clone();
    data.extend(tagged.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    json!({"type": kind, "version": record.version(), "data": data})
}

fn unless<T: PartialEq + Into<i64>>(value: T, default: T) -> Option<Value> {
    (value != default).then(|| json!(value.into()))
}

fn id(id: &Uuid) -> Value {
    json!(id.to_string())
}

fn ids(all: &[Uuid]) -> Value {
    all.iter().map(id).collect()
}

fn end_points(all: &[EndPoint]) -> Value {
    let one = |end: &EndPoint| json!({"name": end.name, "host": end.host, "port": end.port, "securityProtocol": end.security_protocol});
    all.iter().map(one).collect()
}

fn features(all: &[SupportedFeature]) -> Value {
    let one = |feature: &SupportedFeature| json!({"name": feature.name, "minSupportedVersion": feature.min, "maxSupportedVersion": feature.max});
    all.iter().map(one).collect()
}
