//! A persistent delay queue: records wait in a topic until their time has come, also over a restart.
//!
//! ```sh
//! cargo run --release --example delay_queue
//! ```
//!
//! Each record says in a header when it is to be handed out. A consumer reads all of them at once, and a [`TimingWheel`]
//! keeps them until then. They are acknowledged in the order in which they are handed out, which is not that of the topic: the
//! consumer's ledger commits the lowest gap, and what was handed out above it is noted in a second topic. Halfway through
//! everything is dropped as by a kill, and opened again: who has noted it is not handed anything twice.
//!
//! In the end it prints how late the records came; those that came due in between count from the opening on.
#![expect(clippy::disallowed_methods, reason = "a program asks the clock and starts threads")]
#![expect(clippy::disallowed_types, reason = "a program asks the clock")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant as Clock, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use ottla::consumer::OffsetReset;
use ottla::id::TopicPartition;
use ottla::message::{OffsetSpec, TopicConfig};
use ottla::queue::{Consumer, ConsumerConfig, OwnedRecord, Producer, ProducerConfig, Record, TopicProducer};
use ottla::time::Instant;
use ottla::{Queue, TimingWheel};

type Done<T> = Result<T, Box<dyn Error>>;

const WAITING: &str = "waiting";
const HANDED_OUT: &str = "handed-out";
/// The header that says when: milliseconds since 1970.
const DUE: &str = "due";
/// How many records there are, and within which time they are due.
const COUNT: usize = 5000;
const WITHIN_MS: u64 = 4000;
const COMMIT_EVERY: Duration = Duration::from_millis(250);

fn main() -> Done<()> {
    let dir = tempfile::tempdir()?;
    let bar = ProgressBar::new(COUNT as u64).with_style(ProgressStyle::with_template("{wide_bar} {pos}/{len}")?);
    let (mut seen, mut lateness) = (BTreeSet::new(), Histogram::default());

    let mut queue = DelayQueue::open(dir.path())?;
    let sending = queue.producer.clone();
    let sender = std::thread::spawn(move || send(&sending));
    while seen.len() < COUNT / 2 {
        queue.hand_out(&mut seen, &mut lateness)?;
        bar.set_position(seen.len() as u64);
    }
    sender.join().map_err(|_| "the sender panicked")??;
    // What was handed out is noted, and then all is dropped: nothing is closed, and nothing more is committed.
    queue.producer.flush()?;
    drop(queue);
    bar.suspend(|| println!("dropped when {} of {COUNT} records were handed out", seen.len()));

    let mut queue = DelayQueue::open(dir.path())?;
    while seen.len() < COUNT {
        queue.hand_out(&mut seen, &mut lateness)?;
        bar.set_position(seen.len() as u64);
    }
    bar.finish_and_clear();
    queue.producer.flush()?;
    queue.consumer.commit_acknowledged()?;
    println!("each of {COUNT} records was handed out once, none before its time\n");
    println!("lateness, from its time until a record is in the hands of this program:");
    lateness.print();
    let closed = queue.queue.close();
    if closed.is_clean() { Ok(()) } else { Err(closed.to_string().into()) }
}

/// Sends records that are due at random within the time.
fn send(producer: &Producer) -> Result<(), String> {
    let (mut random, begin) = (0x9e37_79b9_7f4a_7c15_u64, unix_ms());
    for number in 0..COUNT {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (value, due) = (format!("job {number}"), (begin + random % WITHIN_MS).to_string());
        let record = Record::to(WAITING).value(value.as_bytes()).header(DUE, due.as_str());
        // The flush tells what has become of all of them.
        drop(producer.send(record).map_err(|error| error.to_string())?);
    }
    producer.flush().map_err(|error| error.to_string())
}

struct DelayQueue {
    queue: Queue,
    producer: Producer,
    notes: TopicProducer,
    consumer: Consumer,
    wheel: TimingWheel<OwnedRecord>,
    /// What an earlier life has handed out.
    before: BTreeSet<(u32, u64)>,
    /// When this life began, by both clocks.
    began: (Clock, u64),
    committed: Clock,
}

impl DelayQueue {
    /// Opens the queue. It reads ahead by at most so many that wait: what is due behind those would come late.
    fn open(dir: &Path) -> Done<Self> {
        let queue = Queue::open(dir)?;
        if queue.topics()?.is_empty() {
            queue.create_topic(WAITING, 4, TopicConfig::default())?;
            queue.create_topic(HANDED_OUT, 1, TopicConfig::default())?;
        }
        let producer = queue.producer(ProducerConfig::default())?;
        let mut consumer =
            queue.consumer(&ConsumerConfig::group("delay-queue").unacknowledged_max(2 * COUNT as u64))?;
        consumer.subscribe([WAITING])?;
        let (notes, before) = (producer.topic(HANDED_OUT)?, notes(&queue)?);
        let began = (Clock::now(), unix_ms());
        Ok(Self { queue, producer, notes, consumer, wheel: TimingWheel::new(), before, began, committed: began.0 })
    }

    /// Waits until something is due or new, and hands out what is due.
    fn hand_out(&mut self, seen: &mut BTreeSet<Vec<u8>>, lateness: &mut Histogram) -> Done<()> {
        let next = self.wheel.next_deadline().map_or(COMMIT_EVERY, |due| Duration::from_millis(due.as_millis()));
        let wait = next.saturating_sub(self.began.0.elapsed()).min(COMMIT_EVERY);
        for record in self.consumer.poll(wait)?.iter() {
            if self.before.remove(&(record.partition(), record.offset().get())) {
                self.consumer.ack(&record.receipt());
                continue;
            }
            let due = due_ms(record.headers().last(DUE))?.saturating_sub(self.began.1);
            self.wheel.insert(Instant::from_millis(due), record.to_owned());
        }
        let (now, mut due) = (self.began.0.elapsed(), Vec::new());
        self.wheel.advance(Instant::from_millis(now.as_millis() as u64), &mut due);
        for record in due {
            let at = due_ms(record.headers().last(DUE))?.saturating_sub(self.began.1);
            lateness.add(now.checked_sub(Duration::from_millis(at)).ok_or("a record came early")?);
            if !seen.insert(record.value().unwrap_or_default().to_vec()) {
                return Err(format!("{} at offset {} came twice", record.topic_partition(), record.offset()).into());
            }
            let (receipt, acknowledger) = (record.receipt().clone(), self.consumer.acknowledger().ok_or("no ledger")?);
            let note = format!("{} {}", record.partition(), record.offset());
            // It counts as acknowledged when the note is on disk.
            self.notes.send(Record::new().value(note.as_bytes()))?.on_done(move |placed| {
                if placed.is_ok() {
                    acknowledger.ack(&receipt);
                }
            });
        }
        if self.committed.elapsed() >= COMMIT_EVERY {
            self.consumer.commit_acknowledged()?;
            self.committed = Clock::now();
        }
        Ok(())
    }
}

/// What was handed out, as it was noted.
fn notes(queue: &Queue) -> Done<BTreeSet<(u32, u64)>> {
    let end = queue.offset(&TopicPartition::parse(&format!("{HANDED_OUT}-0"))?, OffsetSpec::Latest)?;
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest))?;
    consumer.subscribe([HANDED_OUT])?;
    let (mut found, end) = (BTreeSet::new(), end.map_or(0, |end| end.offset.get()));
    while (found.len() as u64) < end {
        for record in consumer.poll(Duration::from_secs(10))?.iter() {
            let note = std::str::from_utf8(record.value().unwrap_or_default())?;
            let (partition, offset) = note.split_once(' ').ok_or("no note")?;
            found.insert((partition.parse()?, offset.parse()?));
        }
    }
    Ok(found)
}

fn due_ms(header: Option<Option<&[u8]>>) -> Done<u64> {
    Ok(std::str::from_utf8(header.flatten().ok_or("a record does not say when it is due")?)?.parse()?)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// How many came how late: below 64 µs, 128 µs, and so on, each twice the one before.
#[derive(Default)]
struct Histogram([usize; 20]);

impl Histogram {
    const FIRST_MICROS: u64 = 64;

    fn add(&mut self, late: Duration) {
        let row = u64::BITS - (late.as_micros() as u64 / Self::FIRST_MICROS).leading_zeros();
        self.0[(row as usize).min(self.0.len() - 1)] += 1;
    }

    fn print(&self) {
        let most = self.0.iter().copied().max().unwrap_or(0).max(1);
        let last = self.0.iter().rposition(|count| *count > 0).unwrap_or(0);
        for (row, count) in self.0.iter().enumerate().take(last + 1) {
            let limit = format!("{:?}", Duration::from_micros(Self::FIRST_MICROS << row));
            println!("  below {limit:>9} {count:>8} {}", "#".repeat((count * 50).div_ceil(most)));
        }
    }
}
