//! A queue at work for a while: what it takes of memory, threads and open files stays flat.
//!
//! Producers, consumers that acknowledge in any order, topics made and deleted, retention that removes segments, handles of
//! producers and consumers made and dropped. It looks into `/proc/self` all the time; the first quarter is the warm-up, and the
//! most that was taken in the last quarter is compared with the most in the second. `OTTLA_SOAK_SECONDS` says how long it
//! takes: 60 by default; in less than 30 the warm-up is too short.
//!
//! ```sh
//! cargo test --release --test queue_soak -- --ignored --nocapture
//! ```

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "a soak takes time and looks into /proc")]
#![expect(clippy::disallowed_types, reason = "a soak takes time")]

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::message::TopicConfig;
use ottla::queue::{ConsumeError, ConsumerConfig, ProducerConfig, Record};

/// How much more memory there may be in the end than after the warm-up: what an allocator keeps moves by as much.
const MORE_KIB_MAX: u64 = 32 << 10;
/// Segments and topics come and go, and their files with them, so two quarters need not have seen the same most.
const MORE_FILES_MAX: u64 = 20;
const MORE_THREADS_MAX: u64 = 0;
/// What retention leaves of each partition of the lasting topic.
const RETENTION_BYTES: u64 = 4 << 20;
/// How often it looks.
const LOOKS: u32 = 40;
const LONG: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    resident_kib: u64,
    threads: u64,
    files: u64,
}

impl Taken {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let files = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        Self { resident_kib: field("VmRSS:"), threads: field("Threads:"), files }
    }

    /// The larger of each.
    fn max(self, other: Self) -> Self {
        Self {
            resident_kib: self.resident_kib.max(other.resident_kib),
            threads: self.threads.max(other.threads),
            files: self.files.max(other.files),
        }
    }
}

/// What the threads of the soak share.
struct Soak<'a> {
    queue: &'a Queue,
    is_over: AtomicBool,
    produced: AtomicU64,
    consumed: AtomicU64,
    topics: AtomicU64,
}

#[test]
#[ignore = "takes as long as it is told, a minute by default: .ci/run runs it, in release"]
fn memory_threads_and_open_files_stay_flat() {
    let seconds = std::env::var("OTTLA_SOAK_SECONDS").map_or(60, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::builder().directory(dir.path()).upkeep_interval(Duration::from_millis(200)).open().unwrap();
    let lasting = TopicConfig::default().with_segment_bytes(1 << 20).with_retention_bytes(Some(RETENTION_BYTES));
    queue.create_topic("lasting", 4, lasting).unwrap();
    let soak = Soak {
        queue: &queue,
        is_over: AtomicBool::new(false),
        produced: AtomicU64::new(0),
        consumed: AtomicU64::new(0),
        topics: AtomicU64::new(0),
    };
    let (first, last) = std::thread::scope(|scope| {
        // Whatever ends this, a failed assertion too, ends the others.
        let _over = Over(&soak.is_over);
        scope.spawn(|| soak.produce(0));
        scope.spawn(|| soak.produce(1));
        scope.spawn(|| soak.consume());
        scope.spawn(|| soak.make_and_delete());
        let began = Instant::now();
        let (mut first, mut last) = (Taken::default(), Taken::default());
        for look in 1..=LOOKS {
            std::thread::sleep((time * look / LOOKS).saturating_sub(began.elapsed()));
            let taken = Taken::now();
            println!("{:>4} s  {taken:?}, {soak}", began.elapsed().as_secs());
            match look * 4 / LOOKS {
                1 => first = first.max(taken),
                3.. => last = last.max(taken),
                _ => {}
            }
        }
        (first, last)
    });
    assert!(queue.clone().close().is_clean());
    assert!(last.resident_kib <= first.resident_kib + MORE_KIB_MAX, "memory: {first:?}, then {last:?}");
    assert!(last.threads <= first.threads + MORE_THREADS_MAX, "threads: {first:?}, then {last:?}");
    assert!(last.files <= first.files + MORE_FILES_MAX, "open files: {first:?}, then {last:?}");
    assert!(soak.topics.load(Ordering::Relaxed) > 0 && soak.consumed.load(Ordering::Relaxed) > 0, "{soak}");
}

impl Soak<'_> {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Sends to the lasting topic, each time by a producer of its own.
    fn produce(&self, seed: u8) {
        while self.goes_on() {
            let producer = self.queue.producer(ProducerConfig::default()).unwrap();
            for number in 0..20_000_u32 {
                let key = number.to_be_bytes();
                let record = Record::to("lasting").key(&key).value(vec![seed; 100]);
                // The flush tells what has become of all of them.
                drop(producer.send(record).unwrap());
                self.produced.fetch_add(1, Ordering::Relaxed);
            }
            producer.flush().unwrap();
        }
    }

    /// Reads the lasting topic by a group, acknowledges backwards, commits; each time as a new consumer.
    fn consume(&self) {
        while self.goes_on() {
            let config = ConsumerConfig::group("soak").reset(OffsetReset::Earliest).unacknowledged_max(10_000);
            let mut consumer = self.queue.consumer(&config).unwrap();
            consumer.subscribe(["lasting"]).unwrap();
            for _ in 0..200 {
                // It ends with the soak: nothing comes any more then.
                let records = consumer.poll(Duration::from_secs(1)).unwrap();
                self.consumed.fetch_add(records.len(), Ordering::Relaxed);
                let receipts: Vec<_> = records.iter().map(|record| record.receipt()).collect();
                for receipt in receipts.iter().rev() {
                    consumer.ack(receipt);
                }
                if !self.goes_on() {
                    break;
                }
            }
            consumer.commit_acknowledged().unwrap();
        }
    }

    /// Makes a topic, uses it, and deletes it while somebody reads it.
    fn make_and_delete(&self) {
        for number in 0_u64.. {
            if !self.goes_on() {
                return;
            }
            let name = format!("passing-{number}");
            self.queue.create_topic(&name, 3, TopicConfig::default()).unwrap();
            let producer = self.queue.producer(ProducerConfig::default()).unwrap();
            let mut consumer = self.queue.consumer(&ConsumerConfig::default()).unwrap();
            consumer.subscribe([&name]).unwrap();
            producer.send_and_wait(Record::to(&name).value("one")).unwrap();
            assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
            self.queue.delete_topic(&name).unwrap();
            let after = consumer.poll(Duration::ZERO);
            assert!(!matches!(after, Err(ConsumeError::Closed)), "another topic was deleted, and that is all");
            self.topics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Display for Soak<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [produced, consumed, topics] =
            [&self.produced, &self.consumed, &self.topics].map(|count| count.load(Ordering::Relaxed));
        write!(f, "{produced} produced, {consumed} consumed, {topics} topics made and deleted")
    }
}

/// Says that the soak is over when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
