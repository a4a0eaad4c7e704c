//! Batches that are compressed, and what becomes of what they hold.

use std::time::Duration;

use super::*;
use crate::consumer::{Pause, PollError};
use crate::record::{BatchBuilder, Codec, DecompressLimit, NewRecord};
use crate::time::Timestamp;

#[test]
fn what_is_decompressed_counts_as_long_as_any_record_of_it_is_kept() {
    let value = vec![b'x'; 100_000];
    let mut builder = BatchBuilder::new(Codec::Snappy);
    for _ in 0..2 {
        builder.push(&NewRecord::new(Timestamp::from_millis(0), None, Some(&value))).unwrap();
    }
    let node = Node::with(1);
    node.append_batch("t-0", builder.build().unwrap());
    let budget = node.bound_memory(150_000);
    let mut consumer = reading(&node, ConsumerConfig::default().records_max(1));
    let first = keep(&mut consumer);
    let held = budget.held();
    assert!(held > 200_000 && held < 250_000, "{held}");
    drop(keep(&mut consumer));
    node.append("t-0", &["next"]);
    assert!(matches!(poll_error(&mut consumer), ConsumeError::MemoryBound { .. }));
    drop(first);
    assert_eq!(budget.held(), 0);
    assert_eq!(poll(&mut consumer), ["next"]);
}

#[test]
fn a_batch_that_cannot_be_read_holds_up_none_that_is_in_a_file() {
    let node = Node::with(2);
    let mut builder = BatchBuilder::new(Codec::Snappy);
    builder.push(&NewRecord::new(Timestamp::from_millis(0), None, Some(&[b'x'; 1000]))).unwrap();
    node.append_batch("t-0", builder.build().unwrap());
    let config = ConsumerConfig::default().decompress_limit(DecompressLimit(10));
    let mut consumer = consumer(&node, config);
    consumer.subscribe(["t"]).unwrap();
    assert!(matches!(poll_error(&mut consumer), ConsumeError::Partition(PollError::Corrupt { .. })));
    node.move_to_files();
    node.append("t-1", &["b"]);
    let mut told = 0;
    let found = loop {
        match consumer.poll(Duration::ZERO) {
            Ok(records) if records.is_empty() => {}
            Ok(records) => break values(&records),
            Err(_) => told += 1,
        }
        assert!(told < 5, "the other partition is held up");
    };
    assert_eq!(found, ["b"]);
    consumer.pause(&partition("t-0")).unwrap();
    assert_eq!(consumer.asking.positions.pause(&partition("t-0")), Some(Pause::Paused));
}
