//! What was planned before the log changed, and is read behind it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::broker::{Body, DiskReport, Input};
use crate::disk::{Disk, DiskPath, MemDisk};
use crate::id::TopicPartition;
use crate::log::{DiskOp, FileId, OpFailure, OpSeq, Part, SegmentFiles};
use crate::message::{
    Acks, CreateTopics, DeleteBefore, DeleteRecords, DeleteTopics, Detail, Durability, ErrorCode, Fetch,
    FetchPartition, Fetched, IsolationLevel, NewTopic, Produce, ProducePartition, Request, RequestError, Response,
    TopicConfig, TopicRef, Trial,
};
use crate::offset::Offset;
use crate::partition::{ListOffsets, ListedOffset, OffsetSpec, TimeSearch};
use crate::queue::builder::QueueBuilder;
use crate::queue::client::Client;
use crate::queue::completion::Completion;
use crate::queue::node::Node;
use crate::queue::node::slot::Job;
use crate::queue::op_queue::Batch;
use crate::queue::opening::{OpeningOptions, TakeOver, open};
use crate::queue::producer::{ProducerConfig, Record};
use crate::record::{BatchBuilder, Codec, Entry, NewRecord};
use crate::time::Timestamp;

const RECORDS: u64 = 6;

fn orders() -> TopicPartition {
    TopicPartition::parse("orders-0").unwrap()
}

/// A node with a partition of six records, one in each segment, of which none is in memory.
fn node_on(disk: &MemDisk) -> Arc<Node<MemDisk>> {
    node_with(disk, 900_000)
}

/// A node with a partition of six records of this size, each a batch, in segments of a mebibyte.
fn node_with(disk: &MemDisk, value_bytes: usize) -> Arc<Node<MemDisk>> {
    let queue = QueueBuilder::default().open_on(vec![disk.clone()]).unwrap();
    let config = TopicConfig::default().with_segment_bytes(1 << 20);
    queue.create_topic("orders", 1, config).unwrap();
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    for number in 1..=RECORDS {
        let value = vec![b'x'; value_bytes];
        let record = Record::to("orders").value(value.as_slice()).timestamp(Timestamp::from_millis(number as i64 * 10));
        drop(producer.send(record).unwrap());
        producer.flush().unwrap();
    }
    drop(producer);
    assert!(queue.close().is_clean());
    let (names, take_over) = (vec![String::new()], TakeOver::IfCertain);
    let options = OpeningOptions { names, take_over, ..OpeningOptions::quiet() };
    open(vec![disk.clone()], options, Timestamp::from_millis(0)).unwrap().0
}

fn ask(node: &Node<MemDisk>, request: Request) -> Response<Body> {
    let completion = Arc::new(Completion::new());
    let told = Arc::clone(&completion);
    node.ask(
        request,
        Box::new(move |answer| {
            told.set(answer);
        }),
    );
    node.pool.help();
    completion.wait().unwrap()
}

/// A read that is planned and not done.
fn planned(node: &Node<MemDisk>, from: u64) -> Fetched<Body> {
    let partitions = vec![FetchPartition::new(orders(), Offset::new(from))];
    let isolation = IsolationLevel::ReadUncommitted;
    let fetch = Fetch { isolation, bytes_min: 0, bytes_max: 1 << 20, wait_max_ms: 0, partitions };
    let Response::Fetch(mut answers) = ask(node, Request::Fetch(fetch)) else { panic!("another answer") };
    let fetched = answers.remove(0).result.unwrap();
    assert!(matches!(fetched.body, Body::File(_)), "{:?}", fetched.body);
    fetched
}

fn search(node: &Node<MemDisk>, spec: OffsetSpec) -> TimeSearch {
    let query = ListOffsets { spec, isolation: crate::log::Isolation::HighWatermark, leader_epoch: None };
    let core = node.core.lock();
    match core.broker.partition(&orders()).unwrap().list_offsets(&query).unwrap() {
        ListedOffset::Search(search) => search,
        ListedOffset::Known { .. } => panic!("nothing to look for"),
    }
}

/// Removes all in front of an offset, files and all.
fn delete_before(node: &Node<MemDisk>, offset: u64) {
    let partitions = vec![(orders(), DeleteBefore::Offset(Offset::new(offset)))];
    let Response::DeleteRecords(answers) =
        ask(node, Request::DeleteRecords(DeleteRecords { partitions, timeout_ms: 1000 }))
    else {
        panic!("another answer");
    };
    assert!(answers.iter().all(|answer| answer.result.is_ok()));
    node.give(Input::Upkeep { partition: orders(), date: Timestamp::from_millis(0) });
    node.wait_for(|core| core.slots[&orders()].lanes.is_idle()).unwrap();
}

fn offsets(read: Result<Fetched<Vec<Entry>>, RequestError>) -> Vec<u64> {
    read.unwrap().body.iter().map(|entry| entry.next_offset().get() - 1).collect()
}

fn log_of(base: u64) -> DiskPath {
    DiskPath::root().entry(orders()).entry(format!("{base:020}.log"))
}

/// Deletes the topic, and makes another of the same name with as many records.
fn make_anew(node: &Node<MemDisk>) {
    let name = orders().topic().clone();
    let delete = DeleteTopics { topics: vec![TopicRef::Name(name.clone())], timeout_ms: 0 };
    assert!(matches!(ask(node, Request::DeleteTopics(delete)), Response::DeleteTopics(told) if told[0].result.is_ok()));
    node.wait_for(|core| !core.slots.contains_key(&orders())).unwrap();
    let config = TopicConfig::default().with_segment_bytes(1 << 20);
    let topics = vec![NewTopic { config, ..NewTopic::new(name).partitions(1) }];
    let create = CreateTopics { topics, timeout_ms: 0, trial: Trial::Do };
    assert!(matches!(ask(node, Request::CreateTopics(create)), Response::CreateTopics(told) if told[0].result.is_ok()));
    for _ in 0..RECORDS {
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(&NewRecord::new(Timestamp::from_millis(10), None, Some(&vec![b'y'; 900_000]))).unwrap();
        let part = ProducePartition { partition: orders(), batch: batch.build().unwrap(), expected_offset: None };
        let (acks, durability) = (Acks::All, Durability::Written);
        let produce = Produce { acks, durability, timeout_ms: 30_000, partitions: vec![part] };
        let Response::Produce(told) = ask(node, Request::Produce(produce)) else { panic!("another answer") };
        told[0].result.as_ref().unwrap();
    }
}

#[test]
fn what_was_planned_in_a_topic_is_not_looked_for_in_the_next_of_its_name() {
    let node = node_on(&MemDisk::new());
    let read = [planned(&node, 0), planned(&node, 3)];
    let search = [OffsetSpec::At(Timestamp::from_millis(0)), OffsetSpec::MaxTimestamp].map(|spec| search(&node, spec));
    make_anew(&node);
    for read in read {
        let told = node.read(read).map(|read| read.body.len()).map_err(|error| error.code);
        assert_eq!(told, Err(ErrorCode::UnknownTopicOrPartition));
    }
    for search in search {
        let told = node.find(&orders(), &search).map_err(|error| error.code);
        assert_eq!(told, Err(ErrorCode::UnknownTopicOrPartition));
    }
}

#[test]
fn a_read_that_was_planned_before_its_segment_went_is_told_where_the_log_begins() {
    let disk = MemDisk::new();
    let node = node_on(&disk);
    let (gone, there) = (planned(&node, 1), planned(&node, 4));
    delete_before(&node, 3);
    assert!(!disk.contents().contains_key(&log_of(1).to_string()));
    let error = node.read(gone).unwrap_err();
    let range = Detail::Range { log_start_offset: Offset::new(3), end: Offset::new(RECORDS) };
    assert_eq!((error.code, error.detail), (ErrorCode::OffsetOutOfRange, range));
    assert_eq!(offsets(node.read(there)), [4]);
}

#[test]
fn a_search_that_was_planned_before_a_segment_went_finds_what_is_left() {
    let disk = MemDisk::new();
    let node = node_on(&disk);
    let at = |millis| OffsetSpec::At(Timestamp::from_millis(millis));
    let searches = [search(&node, at(0)), search(&node, at(50)), search(&node, OffsetSpec::MaxTimestamp)];
    delete_before(&node, 3);
    let found = searches.map(|search| node.find(&orders(), &search).unwrap().unwrap().offset.get());
    assert_eq!(found, [3, 4, 5]);
}

#[test]
fn a_file_that_is_lost_is_told_as_a_failure_of_the_disk() {
    let disk = MemDisk::new();
    let node = node_on(&disk);
    let planned = planned(&node, 1);
    let search = search(&node, OffsetSpec::At(Timestamp::from_millis(0)));
    for base in [0, 1] {
        disk.remove(&log_of(base)).unwrap();
    }
    let codes = [node.read(planned).unwrap_err().code, node.find(&orders(), &search).unwrap_err().code];
    assert_eq!(codes, [ErrorCode::KafkaStorageError; 2]);
}

#[test]
fn a_compacted_segment_takes_its_place_ahead_of_what_waits_for_space_and_is_told_in_its_order() {
    let disk = MemDisk::new();
    let node = node_on(&disk);
    let slot = Arc::clone(&node.core.lock().slots[&orders()]);
    let segments: Vec<_> = node.core.lock().broker.partition(&orders()).unwrap().log().segments().collect();
    for name in ["log", "index", "timeindex"] {
        disk.put(&format!("orders-0/00000000000000000000.{name}.swap"), "").unwrap();
    }
    let active = segments.last().unwrap();
    let bytes = Bytes::from(vec![b'x'; 1 << 16]);
    let write = DiskOp::Write { file: active.files.log, position: active.size, parts: vec![Part::Bytes(bytes)] };
    let numbered = |number: u64| FileId(1000 + number);
    let files = SegmentFiles { log: numbered(0), index: numbered(1), time_index: numbered(2), txn_index: None };
    let replaces = vec![segments[0].base_offset, segments[1].base_offset];
    let swap = DiskOp::Swap { base: Offset::ZERO, files, replaces };
    let (first, second) = (OpSeq(u64::MAX - 1), OpSeq(u64::MAX));
    disk.set_capacity(Some(disk.held()));
    let perform =
        |ordered| slot.perform(Batch { free: VecDeque::new(), ordered }, |mark| node.settle_mark(&slot, mark));
    let performed = perform(VecDeque::from([Job::Op(first, write), Job::Op(second, swap)]));
    assert!(matches!(performed.reports[..], [DiskReport::Failed(op, OpFailure::NoSpace)] if op == first));
    assert!(slot.has_swapped(second) && performed.freed && !performed.broken);
    assert!(disk.contents().keys().all(|name| !name.ends_with(".swap")));
    disk.set_capacity(None);
    let again = perform(performed.left);
    assert!(matches!(again.reports[..], [DiskReport::Done(op)] if op == second), "{again:?}");
    assert!(again.left.is_empty());
}

#[test]
fn a_mark_is_not_told_as_noted_once_its_partition_is_broken_off() {
    let node = node_on(&MemDisk::new());
    let slot = Arc::clone(&node.core.lock().slots[&orders()]);
    let mark = node.current_mark(&slot).unwrap();
    let perform = || {
        let batch = Batch { free: VecDeque::from([Job::Mark(Box::new(mark))]), ordered: VecDeque::new() };
        slot.perform(batch, |mark| node.settle_mark(&slot, mark))
    };
    let noted = perform();
    assert!(matches!(noted.reports[..], [DiskReport::Marked]) && !noted.broken, "{noted:?}");
    slot.lanes.break_off();
    let broken_off = perform();
    assert!(broken_off.reports.is_empty() && broken_off.broken, "{broken_off:?}");
}

/// Of which a segment takes three.
const THREE_IN_A_SEGMENT: usize = 300_000;

#[test]
fn a_search_by_date_does_not_read_what_the_time_index_says_lies_in_front() {
    let disk = MemDisk::new();
    let node = node_with(&disk, THREE_IN_A_SEGMENT);
    for base in [0, 3] {
        disk.corrupt(&log_of(base).to_string(), 1000, b"rot").unwrap();
    }
    let find = |spec| node.find(&orders(), &search(&node, spec));
    let at = |millis| OffsetSpec::At(Timestamp::from_millis(millis));
    let offset = |spec| find(spec).unwrap().map(|found| found.offset.get());
    assert_eq!((offset(at(21)), offset(at(30)), offset(at(60))), (Some(2), Some(2), Some(5)));
    assert_eq!((offset(OffsetSpec::MaxTimestamp), offset(at(61))), (Some(5), None));
    assert!(find(at(10)).is_err() && find(at(40)).is_err(), "it lies there");
}

#[test]
fn a_time_index_that_lies_costs_time_and_nothing_else() {
    let disk = MemDisk::new();
    let node = node_with(&disk, THREE_IN_A_SEGMENT);
    let index = log_of(0).to_string().replace(".log", ".timeindex");
    let lie: Vec<u8> = [[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2]].concat();
    disk.put(&index, lie).unwrap();
    let found = |millis| node.find(&orders(), &search(&node, OffsetSpec::At(Timestamp::from_millis(millis)))).unwrap();
    assert_eq!(found(11).unwrap().offset.get(), 1);
}

#[test]
fn the_latest_record_that_counts_is_found_also_where_a_later_one_does_not_count() {
    let disk = MemDisk::new();
    let node = node_with(&disk, THREE_IN_A_SEGMENT);
    let all = search(&node, OffsetSpec::At(Timestamp::from_millis(0)));
    let segments = all.segments[..1].to_vec();
    let search = TimeSearch { spec: OffsetSpec::MaxTimestamp, ceiling: Offset::new(2), segments, ..all };
    let found = node.find(&orders(), &search).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp), (Offset::new(1), Some(Timestamp::from_millis(20))));
}
