//! The queue beside raw baselines, in the same run: `cargo bench --bench queue [-- NAME...]`.
//!
//! Absolute times on a shared machine mean nothing; each line is a ratio to a raw call on the same disk, the two taking
//! turns, and the median of several rounds. Nothing here fails on a time.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench measures real time and compares with raw files, and has nobody to return an error to"
)]

#[path = "support/table.rs"]
mod table;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::message::{Durability, TopicConfig};
use ottla::queue::{Consumer, ConsumerConfig, FlushScope, Producer, ProducerConfig, Record};

use table::{row_rate, row_time, run, timed};

const ROUNDS: usize = 5;
/// As large as batches may get where nobody waits for a record.
const BATCH_BYTES: u32 = 256 << 10;
/// How many records are handed from a producer to a consumer, one at a time.
const HANDED: usize = 2000;
/// How long a poll waits for what must come.
const LONG: Duration = Duration::from_secs(30);

fn main() {
    run(&[
        ("send", send),
        ("flushed", flushed),
        ("callers", callers),
        ("tail", tail),
        ("consume", consume),
        ("trickle", trickle),
    ]);
}

/// Records until all are written, by one thread and by two on two partitions, beside a `write` for each record: as many bytes
/// each, for the kernel does not only copy them.
fn send() {
    for (bytes, count) in [(100, 2_000_000u64), (1 << 10, 400_000)] {
        let value = vec![b'v'; bytes];
        let (mut one, mut two, mut raw_one, mut raw_two) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            one.push(sent(&value, count, 1));
            two.push(sent(&value, count, 2));
            raw_one.push(written(&value, count, 1));
            raw_two.push(written(&value, count, 2));
        }
        row_rate(
            &format!("send {bytes} B records, one thread, until written"),
            "one `write` a record",
            &one,
            &raw_one,
            per_second,
        );
        row_rate(
            &format!("send {bytes} B records, two threads on two partitions"),
            "one thread",
            &two,
            &one,
            per_second,
        );
        row_rate(&format!("`write` {bytes} B, two threads to two files"), "one thread", &raw_two, &raw_one, per_second);
    }
}

/// Writes a second, of threads that have a file each.
fn written(value: &[u8], count: u64, threads: u64) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let mut file = File::create(dir.path().join(thread.to_string())).unwrap();
            scope.spawn(move || (0..count / threads).for_each(|_| file.write_all(value).unwrap()));
        }
    });
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Records a second, until all of them are written.
fn sent(value: &[u8], count: u64, threads: u32) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path()).unwrap();
    queue.create_topic("t", threads, TopicConfig::default()).unwrap();
    let config = ProducerConfig::default().durability(Durability::Written).batch_bytes(BATCH_BYTES);
    let barrier = Barrier::new(threads as usize + 1);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let producer = queue.producer(config.clone()).unwrap();
            let barrier = &barrier;
            scope.spawn(move || {
                let topic = producer.topic("t").unwrap();
                barrier.wait();
                for _ in 0..count / u64::from(threads) {
                    drop(topic.send(Record::new().partition(thread).value(value)).unwrap());
                }
                producer.flush().unwrap();
                barrier.wait();
            });
        }
        barrier.wait();
        let begun = Instant::now();
        barrier.wait();
        count as f64 / begun.elapsed().as_secs_f64()
    })
}

/// One caller that waits for each record to be on disk, beside `pwrite` and `fdatasync` on a growing file.
fn flushed() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path().join("queue")).unwrap();
    queue.create_topic("t", 1, TopicConfig::default()).unwrap();
    let producer = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let file = File::create(dir.path().join("raw")).unwrap();
    let value = [b'v'; 1000];
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for number in 0..600u64 {
        ours.push(timed(|| drop(producer.send_and_wait(Record::to("t").value(&value)).unwrap())));
        raw.push(timed(|| {
            file.write_all_at(&value, number * value.len() as u64).unwrap();
            file.sync_data().unwrap();
        }));
    }
    row_time("flushed acknowledgement, one caller, p50", "`pwrite` + `fdatasync`, growing file", &ours, &raw);
}

/// 64 callers that wait for their records to be on disk, beside one.
fn callers() {
    let (mut many, mut one) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        one.push(acknowledged(1));
        many.push(acknowledged(64));
    }
    row_rate("flushed acknowledgements, 64 callers", "one caller", &many, &one, per_second);
}

fn acknowledged(callers: usize) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path()).unwrap();
    queue.create_topic("t", 1, TopicConfig::default()).unwrap();
    let producer = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    producer.send_and_wait(Record::to("t").value(&[b'v'; 100])).unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
    });
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// From the send of a record to its value in the hands of a consumer that waits for it, and of one that polls without waiting;
/// beside the same through a channel. The one who sends stays awake in between, as does the core that it has.
fn tail() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path()).unwrap();
    queue.create_topic("t", 1, TopicConfig::default()).unwrap();
    let config = ProducerConfig::default().durability(Durability::Written).linger(Duration::ZERO);
    let producer = queue.producer(config).unwrap();
    for (name, waits) in [("parked", LONG), ("polling", Duration::ZERO)] {
        let raw = handed_through_a_channel(waits);
        let ours = handed_through(&queue, &producer, waits);
        row_time(&format!("producer to {name} consumer, p50"), &format!("a channel to a {name} thread"), &ours, &raw);
    }
}

fn handed_through_a_channel(waits: Duration) -> Vec<f64> {
    let (sender, receiver) = std::sync::mpsc::channel::<Instant>();
    let handed = std::thread::spawn(move || {
        let mut times = Vec::new();
        while times.len() < HANDED {
            if let Ok(sent) = receiver.recv_timeout(waits) {
                times.push(sent.elapsed().as_secs_f64());
            }
        }
        times
    });
    for _ in 0..HANDED {
        pause();
        sender.send(Instant::now()).unwrap();
    }
    handed.join().unwrap()
}

fn handed_through(queue: &Queue, producer: &Producer, waits: Duration) -> Vec<f64> {
    let origin = Instant::now();
    let mut consumer = reader(queue, OffsetReset::Latest);
    while consumer.position(&ottla::id::TopicPartition::parse("t-0").unwrap()).is_none() {
        let _ = consumer.poll(Duration::from_millis(10)).unwrap();
    }
    let ready = Arc::new(Barrier::new(2));
    let begin = Arc::clone(&ready);
    let handed = std::thread::spawn(move || {
        begin.wait();
        let mut times = Vec::new();
        while times.len() < HANDED {
            for record in consumer.poll(waits).unwrap().iter() {
                let sent = u64::from_le_bytes(record.value().unwrap().try_into().unwrap());
                times.push(origin.elapsed().saturating_sub(Duration::from_nanos(sent)).as_secs_f64());
            }
        }
        times
    });
    ready.wait();
    for _ in 0..HANDED {
        pause();
        let now = (origin.elapsed().as_nanos() as u64).to_le_bytes();
        drop(producer.send(Record::to("t").value(&now)).unwrap());
    }
    handed.join().unwrap()
}

fn pause() {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(200) {
        std::hint::spin_loop();
    }
}

/// Every record of sealed segments, beside a `pread` loop over the same files.
fn consume() {
    let (dir, count) = (tempfile::tempdir().unwrap(), 2_000_000u64);
    let config = TopicConfig::default().with_segment_bytes(32 << 20);
    let queue = Queue::open(dir.path()).unwrap();
    queue.create_topic("t", 1, config).unwrap();
    let producer = queue.producer(ProducerConfig::default().batch_bytes(BATCH_BYTES)).unwrap();
    let topic = producer.topic("t").unwrap();
    for _ in 0..count {
        drop(topic.send(Record::new().value(&[b'v'; 100])).unwrap());
    }
    producer.flush().unwrap();
    drop((topic, producer));
    let _ = queue.close();
    let queue = Queue::open(dir.path()).unwrap();
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut consumer = reader(&queue, OffsetReset::Earliest);
        let (begun, mut found) = (Instant::now(), 0);
        while found < count {
            found += consumer
                .poll(LONG)
                .unwrap()
                .iter()
                .map(|record| record.value().map_or(0, |value| value.len().min(1) as u64))
                .sum::<u64>();
        }
        ours.push(count as f64 / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        read_files(&dir.path().join("t-0"));
        raw.push(count as f64 / begun.elapsed().as_secs_f64());
    }
    row_rate(
        "consume 100 B records from sealed segments",
        "`pread` of their files, 1 MiB at a time",
        &ours,
        &raw,
        per_second,
    );
}

fn read_files(dir: &Path) {
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let (file, mut at) = (File::open(path).unwrap(), 0);
            loop {
                match file.read_at(&mut buffer, at).unwrap() {
                    0 => break,
                    read => at += read as u64,
                }
            }
        }
    }
    std::hint::black_box(&buffer);
}

/// 1,000 partitions, each with a record now and then that is to be on disk: flushed by their files, and all together.
fn trickle() {
    let (mut by_file, mut together, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        by_file.push(trickled(FlushScope::File));
        together.push(trickled(FlushScope::FileSystem));
        raw.push(synced(400));
    }
    let what = "flushed records over 1,000 partitions";
    row_rate(what, "`pwrite` + `fdatasync`, one file", &by_file, &raw, per_second);
    row_rate(&format!("{what}, by `syncfs`"), "by `fdatasync`", &together, &by_file, per_second);
}

/// Records a second.
fn trickled(flush_scope: FlushScope) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::builder().directory(dir.path()).flush_scope(flush_scope).open().unwrap();
    queue.create_topic("t", 1000, TopicConfig::default()).unwrap();
    let producer = queue.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let topic = producer.topic("t").unwrap();
    let begun = Instant::now();
    let send = |number: u32| topic.send(Record::new().partition(number % 1000).value(b"v")).unwrap();
    let tickets: Vec<_> = (0..4000).map(send).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    4000.0 / begun.elapsed().as_secs_f64()
}

/// Syncs a second of one file.
fn synced(count: u64) -> f64 {
    let file = tempfile::tempfile().unwrap();
    let begun = Instant::now();
    for number in 0..count {
        file.write_all_at(b"v", number).unwrap();
        file.sync_data().unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

fn reader(queue: &Queue, reset: OffsetReset) -> Consumer {
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(reset)).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn per_second(rate: f64) -> String {
    if rate >= 1e6 { format!("{:.2} M /s", rate / 1e6) } else { format!("{:.1} k /s", rate / 1e3) }
}
