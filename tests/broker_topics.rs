//! One node that is its own controller, driven by hand: topics are decided, appended, committed, and then there.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "broker/hand.rs"]
#[expect(unreachable_pub, reason = "a test has no outside")]
#[expect(dead_code, reason = "another test uses the rest")]
mod hand;

use hand::{Hand, at, produce};
use ottla::broker::{DiskReport, DiskWish, Input, RequestId};
use ottla::controller::{Opened, Shutdown, Uuid};
use ottla::id::{ProducerId, TopicName};
use ottla::log::{Effect, LogConfig, UnknownProducer};
use ottla::message::{
    Acks, AlterConfigs, ConfigChange, ConfigOperation, CreatePartitions, CreateTopics, CreatedTopic, DeleteBefore,
    DeleteRecords, DeleteTopics, DescribeConfigs, DescribeTopics, Detail, Durability, ErrorCode, MorePartitions,
    NewTopic, Request, RequestError, Response, TopicConfig, TopicRef, Trial,
};
use ottla::partition::StopReason;
use ottla::record::Checked;

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn create(topics: &[(&str, u32)], trial: Trial) -> Request<Checked> {
    let topics = topics.iter().map(|(topic, partitions)| NewTopic::new(name(topic)).partitions(*partitions));
    Request::CreateTopics(CreateTopics { topics: topics.collect(), timeout_ms: 0, trial })
}

fn created(hand: &mut Hand, id: RequestId) -> Vec<Result<CreatedTopic, RequestError>> {
    let Response::CreateTopics(answers) = hand.answer(id) else { panic!("not a creation") };
    answers.into_iter().map(|answer| answer.result).collect()
}

/// Of the topic `orders`.
fn delete() -> Request<Checked> {
    Request::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name(name("orders"))], timeout_ms: 0 })
}

fn alter(topic: &str, key: &str, operation: ConfigOperation) -> Request<Checked> {
    let topics = vec![(name(topic), vec![ConfigChange { key: key.to_owned(), operation }])];
    Request::AlterConfigs(AlterConfigs { topics, trial: Trial::Do })
}

fn with_topic(topic: &str, partitions: u32) -> Hand {
    let mut hand = Hand::controlling();
    let id = hand.ask(create(&[(topic, partitions)], Trial::Do));
    hand.open_all();
    assert!(created(&mut hand, id)[0].is_ok());
    hand
}

#[test]
fn a_topic_is_answered_when_it_is_committed_and_can_be_used() {
    let mut hand = Hand::controlling();
    let id = hand.ask(create(&[("orders", 2)], Trial::Do));
    assert!(hand.broker.image().unwrap().topic(&name("orders")).is_none(), "it is not committed yet");
    hand.work();
    assert!(hand.broker.image().unwrap().topic(&name("orders")).is_some());
    assert!(!hand.answers.contains_key(&id), "its partitions are not there yet");
    assert_eq!(hand.openings.len(), 2);
    hand.open_all();
    let topic = created(&mut hand, id).remove(0).unwrap();
    assert_eq!((topic.partitions, topic.replication_factor), (2, 1));
    let id = hand.ask(produce(Acks::All, Durability::Flushed, &[("orders-0", "a"), ("orders-1", "b")]));
    hand.work();
    assert!(
        matches!(hand.answer(id), Response::Produce(answers) if answers.iter().all(|answer| answer.result.is_ok()))
    );
}

#[test]
fn topics_of_one_request_are_decided_one_by_one_and_answered_together() {
    let mut hand = Hand::controlling();
    let id = hand.ask(create(&[("a", 1), ("b", 0), ("a", 1), ("c", 1)], Trial::Do));
    for _ in 0..4 {
        hand.open_all();
    }
    let codes: Vec<_> = created(&mut hand, id).into_iter().map(|result| result.err().map(|error| error.code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::InvalidPartitions), Some(ErrorCode::TopicAlreadyExists), None]);
}

#[test]
fn ctl_14_a_name_that_collides_is_refused_and_nothing_has_changed() {
    let mut hand = with_topic("a_b", 1);
    let before = hand.broker.image().unwrap().clone();
    let id = hand.ask(create(&[("a.b", 1)], Trial::Do));
    assert_eq!(created(&mut hand, id)[0].as_ref().unwrap_err().code, ErrorCode::InvalidTopicException);
    assert_eq!(*hand.broker.image().unwrap(), before);
}

#[test]
fn what_is_only_tried_is_checked_and_answered_and_not_done() {
    let mut hand = Hand::controlling();
    let id = hand.ask(create(&[("orders", 3), ("orders", 0)], Trial::ValidateOnly));
    let answers = created(&mut hand, id);
    assert_eq!(answers[0].as_ref().unwrap().partitions, 3);
    assert!(answers[1].is_err());
    hand.work();
    assert!(hand.broker.image().unwrap().topic(&name("orders")).is_none());
}

#[test]
fn a_deleted_topic_is_gone_for_those_who_wait_there_and_for_those_who_come() {
    let mut hand = with_topic("orders", 1);
    let waits = hand.ask(produce(Acks::All, Durability::Flushed, &[("orders-0", "a")]));
    let topics = vec![TopicRef::Name(name("orders")), TopicRef::Name(name("nothing"))];
    let id = hand.ask(Request::DeleteTopics(DeleteTopics { topics, timeout_ms: 0 }));
    // Nothing of the topic's own is done: only the metadata is written.
    let (orders, metadata) = std::mem::take(&mut hand.wishes).into_iter().partition(|(of, _)| *of == at("orders-0"));
    hand.wishes = metadata;
    hand.work();
    let Response::DeleteTopics(answers) = hand.answer(id) else { panic!() };
    let codes: Vec<_> = answers.into_iter().map(|answer| answer.result.err().map(|error| error.code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::UnknownTopicOrPartition)]);
    assert!(matches!(hand.answer(waits), Response::Produce(answers) if answers[0].result.is_err()));
    assert_eq!(hand.deleted, [at("orders-0")]);
    hand.wishes = orders;
    hand.work();
    hand.give(Input::Release(at("orders-0")));
    let Response::Produce(answers) = hand.answer_now(produce(Acks::All, Durability::Written, &[("orders-0", "b")]))
    else {
        panic!()
    };
    assert_eq!(answers[0].result.as_ref().unwrap_err().code, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn partitions_are_added_behind_those_that_are_there() {
    let mut hand = with_topic("orders", 1);
    let more = |total| {
        let topics = vec![MorePartitions { name: name("orders"), total, assignment: None }];
        Request::CreatePartitions(CreatePartitions { topics, timeout_ms: 0, trial: Trial::Do })
    };
    let id = hand.ask(more(3));
    hand.open_all();
    assert!(matches!(hand.answer(id), Response::CreatePartitions(answers) if answers[0].result.is_ok()));
    let there: Vec<_> = hand.broker.partitions().filter(|partition| *partition.topic() == name("orders")).collect();
    assert_eq!(there, [&at("orders-0"), &at("orders-1"), &at("orders-2")]);
    let refused = hand.answer_now(more(2));
    assert!(matches!(refused, Response::CreatePartitions(answers) if answers[0].result.is_err()));
}

#[test]
fn a_setting_that_is_changed_counts_from_then_on() {
    let mut hand = with_topic("orders", 1);
    let id = hand.ask(alter("orders", "max.message.bytes", ConfigOperation::Set("1234".to_owned())));
    hand.work();
    assert!(matches!(hand.answer(id), Response::AlterConfigs(answers) if answers[0].result.is_ok()));
    let config = hand.broker.partition(&at("orders-0")).unwrap().log().config().clone();
    // Who leads refuses a first batch behind a gap, whatever the topic says.
    let unknown_producer = UnknownProducer::Refuse;
    assert_eq!(config, LogConfig { max_message_bytes: 1234, unknown_producer, ..LogConfig::default() });
    let keys = Some(vec!["max.message.bytes".to_owned()]);
    let describe = DescribeConfigs { topics: vec![(name("orders"), keys), (name("nothing"), None)] };
    let Response::DescribeConfigs(answers) = hand.answer_now(Request::DescribeConfigs(describe)) else { panic!() };
    let entries = answers[0].result.as_ref().unwrap();
    assert_eq!((entries.len(), entries[0].value.as_str()), (1, "1234"));
    assert!(answers[1].result.is_err());

    let bad = hand.answer_now(alter("orders", "max.message.bytes", ConfigOperation::Set("many".to_owned())));
    let Response::AlterConfigs(answers) = bad else { panic!() };
    assert_eq!(answers[0].result.as_ref().unwrap_err().code, ErrorCode::InvalidConfig);
    // What is so already takes no record, and is answered at once.
    let same = alter("orders", "max.message.bytes", ConfigOperation::Set("1234".to_owned()));
    assert!(matches!(hand.answer_now(same), Response::AlterConfigs(answers) if answers[0].result.is_ok()));
}

#[test]
fn topics_are_described_as_they_are_committed() {
    let mut hand = with_topic("orders", 2);
    let Response::DescribeTopics(all) = hand.answer_now(Request::DescribeTopics(DescribeTopics::default())) else {
        panic!()
    };
    assert_eq!((all.cluster_id.as_str(), all.topics.len()), ("a cluster", 1));
    let topic = all.topics[0].result.as_ref().unwrap();
    assert_eq!((topic.partitions.len(), topic.partitions[1].leader.map(|leader| leader.get())), (2, Some(1)));
    let topics = Some(vec![TopicRef::Id(topic.id), TopicRef::Name(name("nothing"))]);
    let Response::DescribeTopics(some) = hand.answer_now(Request::DescribeTopics(DescribeTopics { topics })) else {
        panic!()
    };
    assert_eq!(some.topics[0].result.as_ref().unwrap().name, name("orders"));
    assert_eq!(some.topics[1].result.as_ref().unwrap_err().code, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn a_producer_id_is_given_once() {
    let mut hand = Hand::controlling();
    let mut given = Vec::new();
    for _ in 0..2_500 {
        let id = hand.ask(Request::InitProducerId(Default::default()));
        hand.work();
        let Response::InitProducerId(identity) = hand.answer(id) else { panic!() };
        given.push(identity.unwrap().id);
    }
    assert!(given.is_sorted_by(|one, other| one < other));
    assert!(hand.broker.image().unwrap().next_producer_id() > *given.last().unwrap());
}

#[test]
fn ids_of_producers_in_logs_that_were_opened_are_not_given_again() {
    let mut hand = Hand::controlling();
    let given = |hand: &mut Hand| {
        let id = hand.ask(Request::InitProducerId(Default::default()));
        hand.work();
        let Response::InitProducerId(identity) = hand.answer(id) else { panic!() };
        identity.map(|identity| identity.id.get())
    };
    let opens = |hand: &mut Hand, last_producer_id| {
        let (partition, directory, shutdown) = (at("adopted-0"), Uuid::MIGRATING, Shutdown::Clean);
        let opened = vec![Opened { partition, directory, last_epoch: None, shutdown, last_producer_id }];
        hand.give(Input::Lead { opened, date: hand::DATE });
        hand.work();
    };
    assert_eq!(given(&mut hand), Ok(0));
    // Within the block that this node gives from, and behind it.
    opens(&mut hand, ProducerId::new(7));
    assert_eq!(given(&mut hand), Ok(8));
    opens(&mut hand, ProducerId::new(5_432));
    assert_eq!(hand.broker.image().unwrap().next_producer_id().get(), 6_000, "that is in the metadata");
    assert_eq!(given(&mut hand), Ok(6_000));
    opens(&mut hand, None);
    assert_eq!(given(&mut hand), Ok(6_001));
    // A number that leaves none: who asks is told so, and who leads has nothing to do with it.
    opens(&mut hand, ProducerId::new(i64::MAX));
    assert_eq!(hand.led.len(), 4);
    assert!(given(&mut hand).is_err());
}

#[test]
fn who_leads_what_was_opened_is_decided_and_told() {
    let mut hand = with_topic("orders", 1);
    let opened = |partition| Opened {
        partition,
        directory: Uuid::MIGRATING,
        last_epoch: None,
        shutdown: Shutdown::Unclean,
        last_producer_id: None,
    };
    let before = hand.broker.image().unwrap().partition(&at("orders-0")).unwrap().leader_epoch;
    hand.give(Input::Lead { opened: vec![opened(at("orders-0")), opened(at("nothing-0"))], date: hand::DATE });
    hand.work();
    let led = std::mem::take(&mut hand.led);
    assert_eq!(led[0].1.as_ref().unwrap().leader_epoch, before.next().unwrap(), "it was not closed: a new reign");
    assert!(led[1].1.is_err());
}

#[test]
fn metadata_that_cannot_be_written_is_told_and_nothing_more_is_decided() {
    let mut hand = Hand::controlling();
    let id = hand.ask(create(&[("orders", 1)], Trial::Do));
    while let Some((partition, wish)) = hand.wishes.pop_front() {
        if let DiskWish::Log(Effect::Sync(sync)) = wish {
            let report = DiskReport::SyncFailed(sync.id, "the disk is gone".to_owned());
            hand.give(Input::Disk { partition, report });
        } else {
            hand.wishes.push_front((partition, wish));
            hand.step();
        }
    }
    assert_eq!(created(&mut hand, id)[0].as_ref().unwrap_err().code, ErrorCode::KafkaStorageError);
    let id = hand.ask(create(&[("others", 1)], Trial::Do));
    assert_eq!(created(&mut hand, id)[0].as_ref().unwrap_err().code, ErrorCode::KafkaStorageError);
    assert_eq!(hand.broker.image().unwrap().topic_count(), 0);
}

#[test]
fn a_topic_keeps_the_settings_it_was_created_with() {
    let mut hand = Hand::controlling();
    let config = TopicConfig::default().with_retention_ms(Some(60_000)).with_min_insync_replicas(1);
    let topics = vec![NewTopic::new(name("orders")).config(config.clone())];
    let id = hand.ask(Request::CreateTopics(CreateTopics { topics, timeout_ms: 0, trial: Trial::Do }));
    hand.open_all();
    assert_eq!(created(&mut hand, id).remove(0).unwrap().config, config);
    assert_eq!(hand.broker.partition(&at("orders-0")).unwrap().log().config().retention_ms, Some(60_000));
}

#[test]
fn what_one_partition_wants_of_its_disk_is_not_taken_for_another_s() {
    let mut hand = Hand::controlling();
    let config = TopicConfig::default().with_index_interval_bytes(1);
    let topics = vec![NewTopic::new(name("orders")).partitions(2).config(config)];
    hand.ask(Request::CreateTopics(CreateTopics { topics, timeout_ms: 0, trial: Trial::Do }));
    hand.open_all();
    for _ in 0..5 {
        hand.ask(produce(Acks::Leader, Durability::Written, &[("orders-1", "a")]));
        hand.work();
    }
    hand.ask(alter("orders", "flush.messages", ConfigOperation::Set("1".to_owned())));
    while let Some((partition, _)) = hand.wishes.front() {
        assert_ne!(*partition, at("orders-0"), "nothing was appended there");
        hand.step();
    }
    let log = hand.broker.partition(&at("orders-1")).unwrap().log();
    assert_eq!(log.flushed(), log.log_end_offset());
}

#[test]
fn clients_do_not_write_to_the_metadata() {
    let mut hand = with_topic("orders", 1);
    let metadata = "__cluster_metadata-0";
    let before = hand.broker.partition(&at(metadata)).unwrap().log().log_end_offset();
    let Response::Produce(answers) = hand.answer_now(produce(Acks::All, Durability::Written, &[(metadata, "a")]))
    else {
        panic!()
    };
    assert_eq!(answers[0].result.as_ref().unwrap_err().code, ErrorCode::InvalidTopicException);
    let partitions = vec![(at(metadata), DeleteBefore::HighWatermark)];
    let deleted = hand.answer_now(Request::DeleteRecords(DeleteRecords { timeout_ms: 0, partitions }));
    assert!(matches!(deleted, Response::DeleteRecords(answers) if answers[0].result.is_err()));
    hand.work();
    let log = hand.broker.partition(&at(metadata)).unwrap().log();
    assert_eq!((log.log_start_offset().get(), log.log_end_offset()), (0, before));
}

#[test]
fn a_topic_created_again_is_opened_once_the_old_one_is_released() {
    let mut hand = with_topic("orders", 1);
    hand.ask(delete());
    hand.work();
    let id = hand.ask(create(&[("orders", 1)], Trial::Do));
    hand.work();
    assert!(hand.openings.is_empty() && !hand.answers.contains_key(&id), "the old one is still there");
    hand.give(Input::Release(at("orders-0")));
    assert_eq!(hand.openings.len(), 1);
    hand.open_all();
    assert!(created(&mut hand, id)[0].is_ok());
    let id = hand.ask(produce(Acks::All, Durability::Written, &[("orders-0", "a")]));
    hand.work();
    assert!(matches!(hand.answer(id), Response::Produce(answers) if answers[0].result.is_ok()));
}

#[test]
fn a_name_is_not_taken_while_it_is_being_deleted_also_where_nothing_was_made_yet() {
    let mut hand = Hand::controlling();
    for _ in 0..2 {
        hand.ask(create(&[("orders", 1)], Trial::Do));
        hand.work();
        hand.ask(delete());
        hand.work();
    }
    let id = hand.ask(create(&[("orders", 1)], Trial::Do));
    hand.work();
    assert_eq!((hand.openings.len(), hand.deleted.len()), (1, 2), "only the first was to be opened");
    hand.openings.clear();
    for _ in 0..2 {
        assert!(hand.openings.is_empty() && !hand.answers.contains_key(&id), "a deletion is under way");
        hand.give(Input::Release(at("orders-0")));
    }
    hand.open_all();
    assert!(created(&mut hand, id)[0].is_ok());
}

#[test]
fn nothing_is_decided_before_the_metadata_has_begun() {
    let mut hand = Hand::not_started();
    let id = hand.ask(create(&[("orders", 1)], Trial::Do));
    hand.open_all();
    assert!(created(&mut hand, id)[0].is_ok());
    assert!(hand.broker.image().unwrap().metadata_version().is_some());
}

#[test]
fn whether_a_partition_is_led_is_told_also_if_that_could_not_be_decided() {
    let mut hand = with_topic("orders", 1);
    hand.give(Input::Stop { partition: at("__cluster_metadata-0"), reason: StopReason::Resigned });
    let opened = Opened {
        partition: at("orders-0"),
        directory: Uuid::MIGRATING,
        last_epoch: None,
        shutdown: Shutdown::Unclean,
        last_producer_id: None,
    };
    hand.give(Input::Lead { opened: vec![opened], date: hand::DATE });
    hand.work();
    assert!(hand.led.len() == 1 && hand.led[0].1.is_err());
}

#[test]
fn a_partition_that_is_not_here_is_deleted_with_its_topic_and_not_opened_by_a_setting() {
    let mut hand = with_topic("orders", 1);
    hand.give(Input::Stop { partition: at("orders-0"), reason: StopReason::Resigned });
    hand.work();
    hand.give(Input::Release(at("orders-0")));
    let id = hand.ask(alter("orders", "flush.messages", ConfigOperation::Set("1".to_owned())));
    hand.work();
    assert!(hand.openings.is_empty() && hand.answers.contains_key(&id));
    hand.ask(delete());
    hand.work();
    assert_eq!(hand.deleted, [at("orders-0")]);
}

#[test]
fn a_partition_that_is_opened_while_its_topic_is_altered_gets_the_settings_of_now() {
    let mut hand = with_topic("orders", 1);
    let topic_id = hand.broker.image().unwrap().topic(&name("orders")).unwrap().id();
    let another = ottla::id::TopicId::from_bytes([7; 16]).unwrap();
    for (round, (of, expected)) in [(topic_id, Some(1)), (another, None)].into_iter().enumerate() {
        hand.release("orders-0");
        if round == 0 {
            hand.ask(alter("orders", "flush.messages", ConfigOperation::Set("1".to_owned())));
            hand.work();
        }
        hand.host_of("orders-0", LogConfig::default(), Some(of));
        hand.work();
        assert_eq!(hand.broker.partition(&at("orders-0")).unwrap().log().config().flush_messages, expected);
    }
}

#[test]
fn a_partition_that_cannot_be_opened_is_told_and_holds_up_nobody() {
    let mut hand = Hand::controlling();
    let stuck = hand.ask(create(&[("orders", 1)], Trial::Do));
    hand.work();
    let other = hand.ask(Request::InitProducerId(Default::default()));
    hand.work();
    assert!(hand.answers.contains_key(&other) && !hand.answers.contains_key(&stuck));
    let why = RequestError::because(ErrorCode::KafkaStorageError, "the disk is gone");
    hand.give(Input::NotOpened { partition: at("orders-0"), error: why.clone() });
    let told = why.clone().with(Detail::NotOpened(Box::new(at("orders-0"))));
    assert_eq!(created(&mut hand, stuck)[0].as_ref().unwrap_err(), &told);
    let produced = |hand: &mut Hand| {
        let request = produce(Acks::All, Durability::Written, &[("orders-0", "value")]);
        let Response::Produce(answers) = hand.answer_now(request) else { panic!("it is another answer") };
        answers.into_iter().next().unwrap().result.unwrap_err()
    };
    assert_eq!(produced(&mut hand), why, "whoever asks for it is told why");
    hand.ask(delete());
    hand.work();
    hand.release("orders-0");
    assert_eq!(produced(&mut hand).code, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn a_number_that_is_used_again_after_a_cancellation_gets_its_own_answer() {
    let mut hand = Hand::controlling();
    let date = hand::DATE;
    let (id, first) = (RequestId(77), create(&[("a", 1), ("b", 1)], Trial::Do));
    hand.give(Input::Request { id, date, request: first });
    hand.give(Input::Request { id, date, request: create(&[("x", 1)], Trial::Do) });
    assert_eq!(std::mem::take(&mut hand.rejected), [id], "it is not answered yet");
    hand.give(Input::Cancel(id));
    hand.give(Input::Request { id, date, request: create(&[("c", 0), ("d", 1), ("e", 1)], Trial::Do) });
    for _ in 0..6 {
        hand.open_all();
    }
    let codes: Vec<_> = created(&mut hand, id).into_iter().map(|result| result.err().map(|error| error.code)).collect();
    assert_eq!(codes, [Some(ErrorCode::InvalidPartitions), None, None]);
    assert!(hand.broker.image().unwrap().topic(&name("b")).is_some(), "what was begun goes on");
}
