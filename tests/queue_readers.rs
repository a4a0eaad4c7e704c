//! Readers of what goes away: retention and readers in the same segments.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::disk::MemDisk;
use ottla::id::TopicPartition;
use ottla::message::{OffsetSpec, TopicConfig};
use ottla::queue::{ConsumerConfig, ProducerConfig, Record};
use ottla::time::Timestamp;

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);
const RECORDS: u64 = 80;
const READERS: usize = 2;

/// Ends what others do, however it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Reads from the front until it has seen the end of all, again and again from the front as it is then.
fn read_from_the_front(queue: &Queue, is_over: &AtomicBool) -> u64 {
    let mut reads = 0;
    loop {
        let last_round = is_over.load(Relaxed);
        let config = ConsumerConfig::default().reset(OffsetReset::Earliest).fetch_bytes_max(1);
        let mut consumer = queue.consumer(&config).unwrap();
        consumer.subscribe(["orders"]).unwrap();
        let mut next = 0;
        while next < RECORDS && (last_round || next < RECORDS / 2) {
            // A reader that falls behind retention goes on at the log start: nothing else may come of it.
            let records = consumer.poll(LONG).unwrap();
            assert!(!records.is_empty(), "nothing comes behind {next}");
            for record in records.iter() {
                let offset = record.offset().get();
                assert!(offset >= next, "{offset} behind {next}");
                assert_eq!(record.timestamp(), Timestamp::from_millis(offset as i64));
                (next, reads) = (offset + 1, reads + 1);
            }
        }
        if last_round {
            return reads;
        }
    }
}

/// Asks for dates until all is sent: what is found is there, or was.
fn search(queue: &Queue, is_over: &AtomicBool) {
    let partition = TopicPartition::parse("orders-0").unwrap();
    while !is_over.load(Relaxed) {
        let at = OffsetSpec::At(Timestamp::from_millis(0));
        let found = queue.offset(&partition, at).unwrap();
        assert!(found.is_none_or(|found| found.timestamp == Some(Timestamp::from_millis(found.offset.get() as i64))));
    }
}

#[test]
fn who_reads_what_retention_removes_goes_on_at_the_log_start_and_is_told_of_no_failure() {
    let queue = Queue::builder().upkeep_interval(Duration::from_millis(1)).open_on(vec![MemDisk::new()]).unwrap();
    // More than is kept in memory, so that readers at the front need files.
    let config =
        TopicConfig::default().with_segment_bytes(1 << 20).with_retention_bytes(Some(6 << 20)).with_retention_ms(None);
    queue.create_topic("orders", 1, config).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| read_from_the_front(&queue, &is_over))).collect();
        scope.spawn(|| search(&queue, &is_over));
        // However this thread ends, the others do too.
        let _over = Over(&is_over);
        let producer = queue.producer(ProducerConfig::default()).unwrap();
        for offset in 0..RECORDS {
            let value = vec![0; 500_000];
            let record = Record::to("orders").value(value.as_slice()).timestamp(Timestamp::from_millis(offset as i64));
            drop(producer.send(record).unwrap());
            producer.flush().unwrap();
        }
        is_over.store(true, Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert!(queue.close().is_clean());
}
