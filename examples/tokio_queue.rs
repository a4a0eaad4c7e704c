//! A queue in a tokio program: one task sends the lines of a file and awaits their tickets, another reads them as a stream.
//!
//! ```sh
//! cargo run --release --features async --example tokio_queue -- [FILE]
//! ```
//!
//! Both tasks share one thread: whoever has to wait gives it to the other. The queue has threads of its own for the disk, and
//! wakes a task by its waker, so it needs no runtime of a kind. What asks the disk and waits (opening, making a topic, closing)
//! goes where tokio wants what blocks. Without a file the lines are those of this one. In the end it compares what was read
//! with what was sent.
#![expect(clippy::disallowed_methods, reason = "a program reads files")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_core::Stream;
use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::message::TopicConfig;
use ottla::offset::Offset;
use ottla::queue::{Consumer, ConsumerConfig, Placed, Producer, ProducerConfig, Record, SendTicket};

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;
/// What stands where, by the number of the partition.
type Lines = BTreeMap<(u32, Offset), Vec<u8>>;

const TOPIC: &str = "lines";
/// How many records may be on their way, and how many bytes they may have together, unless it is one alone: what is sent stays
/// far below the producer's limit of memory, so no send waits for it.
const UNDER_WAY_MAX: usize = 1000;
const BYTES_UNDER_WAY_MAX: usize = 4 << 20;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(300);

fn main() -> Done<()> {
    let text = match std::env::args_os().nth(1) {
        Some(file) => std::fs::read(file)?,
        None => include_bytes!("tokio_queue.rs").to_vec(),
    };
    let lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async { tokio::time::timeout(LIMIT, run(lines)).await? })
}

async fn run(lines: Vec<Vec<u8>>) -> Done<()> {
    let count = lines.len();
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_owned();
    let queue = tokio::task::spawn_blocking(move || open(path)).await??;
    let consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest))?;
    let reading = tokio::spawn(read(consumer, count));
    let sending = tokio::spawn(send(queue.producer(ProducerConfig::default())?, lines));
    let (sent, found) = (sending.await??, reading.await??);
    if sent != found {
        return Err("what was read is not what was sent".into());
    }
    let closed = tokio::task::spawn_blocking(move || queue.close()).await?;
    if !closed.is_clean() {
        return Err(closed.to_string().into());
    }
    println!("{count} lines sent, on disk, and read as they were sent");
    Ok(())
}

fn open(path: PathBuf) -> Done<Queue> {
    let queue = Queue::open(path)?;
    queue.create_topic(TOPIC, 4, TopicConfig::default())?;
    Ok(queue)
}

/// Sends each line, and notes where it stands once it is on disk.
async fn send(producer: Producer, lines: Vec<Vec<u8>>) -> Done<Lines> {
    let (mut sent, mut under_way) = (Lines::new(), VecDeque::<(SendTicket, Vec<u8>)>::new());
    let mut bytes = 0;
    for line in lines {
        while (under_way.len() == UNDER_WAY_MAX || bytes + line.len() > BYTES_UNDER_WAY_MAX)
            && let Some((ticket, first)) = under_way.pop_front()
        {
            bytes -= first.len();
            note(&mut sent, ticket, first).await?;
        }
        bytes += line.len();
        let first_word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let ticket = producer.send(Record::to(TOPIC).key(first_word).value(line.as_slice()))?;
        under_way.push_back((ticket, line));
    }
    for (ticket, line) in under_way {
        note(&mut sent, ticket, line).await?;
    }
    Ok(sent)
}

async fn note(sent: &mut Lines, ticket: SendTicket, line: Vec<u8>) -> Done<()> {
    let Placed { partition, offset, .. } = ticket.await?;
    let twice = sent.insert((partition.partition(), offset.ok_or("it is not known where a line stands")?), line);
    if twice.is_some() { Err("two lines stand in the same place".into()) } else { Ok(()) }
}

/// Reads until there are as many lines as were sent.
async fn read(mut consumer: Consumer, count: usize) -> Done<Lines> {
    consumer.subscribe([TOPIC])?;
    let mut found = Lines::new();
    let mut records = pin!(consumer.stream());
    while found.len() < count {
        let record = poll_fn(|context| records.as_mut().poll_next(context)).await.ok_or("the queue was closed")??;
        let place = (record.partition(), record.offset());
        found.insert(place, record.value().unwrap_or_default().to_vec());
    }
    Ok(found)
}
