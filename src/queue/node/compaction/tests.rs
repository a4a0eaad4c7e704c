//! The compactor on a node whose upkeep never comes by itself, so that nothing is noted beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::broker::Body;
use crate::disk::compact::{self, CompactFault, Site};
use crate::disk::mem::{Applied, Choice, Keep};
use crate::disk::{LogFile, MemDisk, OpenOptions};
use crate::id::TopicPartition;
use crate::log::Isolation;
use crate::message::{
    Acks, AlterConfigs, ConfigChange, ConfigOperation, Durability, Produce, ProducePartition, Request, Response,
    TopicConfig, Trial,
};
use crate::offset::Offset;
use crate::queue::builder::QueueBuilder;
use crate::queue::client::Client;
use crate::queue::completion::Completion;
use crate::queue::node::Node;
use crate::queue::node::slot::Slot;
use crate::queue::opening::{OpeningOptions, open};
use crate::queue::producer::{ProducerConfig, Record};
use crate::queue::sync::atomic::Ordering::Release;
use crate::record::{BatchBuilder, Codec, NewRecord};
use crate::time::Timestamp;

const KEYS: u64 = 6;
/// More names than are made or removed between two syncs of a directory.
const NAMES_MAX: usize = 16;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn prices() -> TopicPartition {
    TopicPartition::parse("prices-0").unwrap()
}

fn setting(key: &str, value: &str) -> ConfigChange {
    ConfigChange { key: key.to_owned(), operation: ConfigOperation::Set(value.to_owned()) }
}

/// A queue that was closed: the first value of each key, two in a segment. All of it is on disk, and marked.
fn closed_queue() -> MemDisk {
    let disk = MemDisk::new();
    let queue = QueueBuilder::default().open_on(vec![disk.clone()]).unwrap();
    queue.create_topic("prices", 1, TopicConfig::default()).unwrap();
    let changes =
        [("internal.segment.bytes", "4000"), ("min.cleanable.dirty.ratio", "0.01"), ("cleanup.policy", "compact")];
    queue.alter_config("prices", changes.map(|(key, value)| setting(key, value)).to_vec()).unwrap();
    let producer = queue.producer(ProducerConfig::default()).unwrap();
    for key in 0..KEYS {
        let (key, value) = (key.to_string(), value_of(1));
        producer.send_and_wait(Record::to("prices").key(key.as_bytes()).value(&value[..])).unwrap();
    }
    drop(producer);
    assert!(queue.close().is_clean());
    disk
}

fn value_of(round: u8) -> Vec<u8> {
    vec![round; 1500]
}

/// A node on it that does nothing by itself.
fn node_on(disk: &MemDisk) -> Arc<Node<MemDisk>> {
    let options = OpeningOptions::quiet();
    open(vec![disk.clone()], options, NOW).unwrap().0
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
    completion.wait().unwrap()
}

/// Another value of each key, written and not flushed.
fn overwrite(node: &Node<MemDisk>) {
    for key in 0..KEYS {
        let (key, value) = (key.to_string(), value_of(2));
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(&NewRecord::new(NOW, Some(key.as_bytes()), Some(&value))).unwrap();
        let part = ProducePartition { partition: prices(), batch: batch.build().unwrap(), expected_offset: None };
        let (acks, durability) = (Acks::All, Durability::Written);
        let produce = Produce { acks, durability, timeout_ms: 30_000, partitions: vec![part] };
        let Response::Produce(told) = ask(node, Request::Produce(produce)) else { panic!("another answer") };
        told[0].result.as_ref().unwrap();
    }
}

fn alter(node: &Node<MemDisk>, change: ConfigChange) {
    let topics = vec![(prices().topic().clone(), vec![change])];
    let request = Request::AlterConfigs(AlterConfigs { topics, trial: Trial::Do });
    let Response::AlterConfigs(told) = ask(node, request) else { panic!("another answer") };
    told[0].result.as_ref().unwrap();
}

/// The keys that the next opening finds.
fn keys_on(image: &MemDisk) -> Vec<u64> {
    let (mut log, report) = LogFile::open(image.clone(), &prices(), OpenOptions::default(), NOW).unwrap();
    assert!(report.corrupt.is_empty(), "{report:?}");
    let (mut keys, mut next) = (BTreeSet::new(), Offset::ZERO);
    while next < log.log().log_end_offset() {
        for entry in log.read(next, 1, Isolation::LogEnd).unwrap().batches {
            next = entry.next_offset();
            for record in entry.records(crate::record::DecompressLimit::default()).unwrap().iter() {
                keys.insert(std::str::from_utf8(record.unwrap().key.unwrap()).unwrap().parse().unwrap());
            }
        }
    }
    keys.into_iter().collect()
}

/// What a power loss may leave: all, or of what was not synced nothing but some names, in any order.
fn losses() -> impl Iterator<Item = Choice> {
    let some = (0..NAMES_MAX).flat_map(|name| [Keep::Only(name), Keep::AllBut(name), Keep::After(name)]);
    let names = some.chain([Keep::Nothing, Keep::Everything]);
    names.map(|names| Choice { names, ..Choice::nothing() }).chain([Choice::everything()])
}

#[test]
fn cln_10_a_power_loss_at_any_call_of_a_compaction_leaves_a_log_that_opens_with_all_keys() {
    let closed = closed_queue();
    let (mut calls, mut seen) = (0, BTreeSet::new());
    loop {
        let disk = closed.copy();
        let node = node_on(&disk);
        overwrite(&node);
        // All that is sealed becomes one segment, also the one that the durable mark names.
        alter(&node, setting("internal.segment.bytes", "1048576"));
        node.wait_for(|core| core.slots.values().all(|slot| slot.lanes.is_idle())).unwrap();
        disk.stop_at(disk.calls() + calls, Applied::After);
        node.compact_round();
        for choice in losses() {
            let image = disk.image(&choice);
            if seen.insert(image.digest()) {
                assert_eq!(keys_on(&image), (0..KEYS).collect::<Vec<_>>(), "{calls} calls, {choice:?}");
            }
        }
        if !disk.is_stopped() {
            let log = node.core.lock().broker.partition(&prices()).unwrap().log().segments().count();
            assert!(log <= 2, "{log} segments: it was compacted");
            break;
        }
        calls += 1;
    }
    assert!(calls > 20, "{calls}");
}

type End = fn(&Node<MemDisk>, &Slot<MemDisk>);

#[test]
fn a_compaction_that_is_to_end_writes_nothing_more() {
    let closed = closed_queue();
    let ends: [End; 2] = [|node, _| node.compactor.end(), |_, slot| slot.ends_compaction.store(true, Release)];
    for (number, end) in ends.into_iter().enumerate() {
        let disk = closed.copy();
        let node = node_on(&disk);
        overwrite(&node);
        let slot = Arc::clone(&node.core.lock().slots[&prices()]);
        let active = node.core.lock().broker.partition(&prices()).unwrap().log().active_segment().base_offset;
        let mut work = node.work(&slot).unwrap();
        work.settle(active).unwrap();
        // Nobody else writes any more.
        node.pool.close();
        let writes = |act: &mut dyn FnMut()| {
            let before = disk.writes();
            act();
            disk.writes() - before
        };
        let settling = writes(&mut || work.settle(active).unwrap());
        end(&node, &slot);
        let ended = writes(&mut || {
            assert_eq!(compact::compact_if_due(&mut work, NOW), Err(CompactFault::Stopped), "{number}");
        });
        assert_eq!(ended, settling, "{number}");
    }
}
