//! Readers of what goes away or rots: retention and readers in the same segments, and a bit that has turned.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::{OffsetReset, PollError};
use ottla::disk::MemDisk;
use ottla::id::TopicPartition;
use ottla::message::{ErrorCode, OffsetSpec, TopicConfig};
use ottla::offset::Offset;
use ottla::queue::{ConsumeError, ConsumerConfig, ProducerConfig, Record};
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

#[test]
fn what_rots_in_a_file_is_told_by_its_place_is_never_served_and_all_else_is_read() {
    let disk = MemDisk::new();
    let open = || Queue::builder().open_on(vec![disk.clone()]).unwrap();
    let queue = open();
    queue.create_topic("orders", 2, TopicConfig::default()).unwrap();
    let producer = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    for value in ["first", "second", "third"] {
        for partition in 0..2 {
            producer.send_and_wait(Record::to("orders").partition(partition).value(value)).unwrap();
        }
    }
    drop(producer);
    assert!(queue.close().is_clean());
    let path = "orders-0/00000000000000000000.log";
    let bytes = disk.contents()[path].clone();
    let at = bytes.windows(6).position(|window| window == b"second").unwrap() as u64;
    disk.flip_bit(path, at, 3).unwrap();

    let queue = open();
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let rotten = TopicPartition::parse("orders-0").unwrap();
    let (mut read, mut told) = (Vec::new(), Vec::new());
    while read.len() < 5 {
        match consumer.poll(LONG) {
            Ok(records) => read.extend(records.iter().map(|record| {
                let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
                (record.partition(), record.offset().get(), value)
            })),
            Err(error) => {
                told.push(error);
                // Whoever has seen it goes on behind it.
                consumer.seek(&rotten, Offset::new(2)).unwrap();
            }
        }
    }
    read.sort();
    let sound: Vec<_> = [(0, 0, "first"), (0, 2, "third"), (1, 0, "first"), (1, 1, "second"), (1, 2, "third")]
        .map(|(partition, offset, value)| (partition, offset, value.to_owned()))
        .to_vec();
    assert_eq!(read, sound);
    let [ConsumeError::Partition(PollError::Refused { partition, error })] = &told[..] else { panic!("{told:?}") };
    assert_eq!((partition, error.code), (&rotten, ErrorCode::CorruptMessage));
    let text = error.to_string();
    assert!(text.contains("offset 1"), "{text}");
    let report = queue.close();
    assert!(report.is_clean(), "{report}");
}
