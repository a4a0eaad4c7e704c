//! Two partitions driven by hand: one thread, no queue, every step in sight.
//!
//! ```sh
//! cargo run --release --example drive_by_hand -- [DIR]
//! ```
//!
//! A [`Broker`] is a state machine. What happens goes in by `handle`, what is to be done comes out by `poll_output`, and
//! this program does it: it writes, flushes and reads files, and tells the broker what has come of it. An error of the disk
//! ends it; the next run opens the logs as after a crash.
#![expect(clippy::disallowed_methods, reason = "the directory has to be made")]
#![expect(clippy::wildcard_enum_match_arm, reason = "all else that may come out is not asked for here")]
use std::collections::BTreeMap;
use std::error::Error;

use ottla::broker::{Body, Broker, DiskReport, DiskWish, Host, Input, Output, RequestId};
use ottla::disk::{FileDisk, LogDir, LogDriver, OpenOptions, OpenedLog, Shutdown};
use ottla::epoch::LeaderEpoch;
use ottla::id::{BrokerId, TopicPartition};
use ottla::log::{Closing, Effect};
use ottla::message::{Acks, Durability, Fetch, FetchPartition, IsolationLevel, Produce, ProducePartition};
use ottla::message::{Request, Response};
use ottla::offset::Offset;
use ottla::partition::{Found, PartitionConfig, PartitionFacts, Reign, StopReason};
use ottla::record::{BatchBuilder, Checked, Codec, DecompressLimit, Entry, NewRecord, Rules};
use ottla::time::{Instant, Timestamp};

type Done<T> = Result<T, Box<dyn Error>>;

/// Time is given: a program with a clock would ask it.
const NOW: Instant = Instant::ZERO;
const DATE: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The broker, and the files of its partitions.
struct Node {
    broker: Broker,
    dir: LogDir<FileDisk>,
    drivers: BTreeMap<TopicPartition, LogDriver<FileDisk>>,
}

impl Node {
    /// Opens a partition, whatever has happened to it before, and has the broker lead it.
    fn host(&mut self, partition: &TopicPartition) -> Done<()> {
        let OpenedLog { log, effects, driver, report } = self.dir.open_log(partition, &OpenOptions::default(), DATE)?;
        println!("{partition}: {:?}, offsets {} to {}", report.shutdown, log.log_start_offset(), log.log_end_offset());
        let is_whole = matches!(report.shutdown, Shutdown::New | Shutdown::Clean);
        let found = if is_whole { Found::Whole } else { Found::Unsettled };
        let latest = log.epochs().latest().unwrap_or(LeaderEpoch::ZERO);
        // After a crash a new reign begins, so that what was lost and what takes its place can be told apart.
        let epoch = if is_whole { Some(latest) } else { latest.next() }.ok_or("the leader epochs are used up")?;
        let (broker, partition) = (BrokerId::new(1), partition.clone());
        let facts = PartitionFacts { partition: partition.clone(), topic_id: None, broker, found };
        let (reign, config) = (Reign::alone(broker, epoch), PartitionConfig::default());
        self.drivers.insert(partition.clone(), driver);
        self.broker.handle(NOW, Input::Host(Box::new(Host { log, facts, reign, config })));
        for effect in effects {
            self.perform(&partition, DiskWish::Log(effect))?;
        }
        self.drain().map(drop)
    }

    fn ask(&mut self, request: Request<Checked>) -> Done<Response<Body>> {
        self.broker.handle(NOW, Input::Request { id: RequestId(1), date: DATE, request });
        Ok(self.drain()?.ok_or("no answer")?)
    }

    /// Does all that the broker wants, until it wants nothing more.
    fn drain(&mut self) -> Done<Option<Response<Body>>> {
        let mut answer = None;
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Disk { partition, wish } => self.perform(&partition, wish)?,
                Output::Respond { response, .. } => answer = Some(response),
                other => return Err(format!("nobody has asked for this: {other:?}").into()),
            }
        }
        Ok(answer)
    }

    /// Does one thing to the files of a partition, and reports it.
    fn perform(&mut self, partition: &TopicPartition, wish: DiskWish) -> Done<()> {
        let driver = self.drivers.get_mut(partition).ok_or("no such partition")?;
        let report = match wish {
            DiskWish::Log(Effect::Op(seq, op)) => driver.perform(&op).map(|()| DiskReport::Done(seq))?,
            DiskWish::Log(Effect::Sync(sync)) => {
                let job = driver.begin_sync(&sync)?;
                job.perform()?; // Another thread could do this, while this one goes on writing.
                driver.end_sync(job);
                DiskReport::Synced(sync.id)
            }
            DiskWish::Log(Effect::Remove(remove)) => return Ok(driver.remove(&remove)?),
            DiskWish::Reserve { file, needed, wanted } => {
                DiskReport::Reserved(file, driver.reserve(file, needed, wanted)?)
            }
            DiskWish::Mark(mark) => self.dir.settle_mark(partition, &mark).map(|()| DiskReport::Marked)?,
        };
        self.broker.handle(NOW, Input::Disk { partition: partition.clone(), report });
        let log = self.broker.partition(partition).ok_or("no such partition")?.log();
        Ok(self.dir.note_mark(partition, &log.mark(Closing::Open))?)
    }

    /// Reads what a fetch was answered with.
    fn read(&mut self, body: Body) -> Done<Vec<Entry>> {
        match body {
            Body::Nothing => Ok(Vec::new()),
            Body::Batches(batches) => Ok(batches.into_iter().map(Entry::Batch).collect()),
            Body::File(read) => {
                let driver = self.drivers.get_mut(&read.partition).ok_or("no such partition")?;
                Ok(driver.read(&read.span, &read.facts)?)
            }
        }
    }
}

fn main() -> Done<()> {
    let scratch = tempfile::tempdir()?;
    let dir = std::env::args().nth(1).map_or_else(|| scratch.path().join("data"), Into::into);
    std::fs::create_dir_all(&dir)?;
    let mut node = Node { broker: Broker::new(), dir: LogDir::open(FileDisk::open(&dir)?)?, drivers: BTreeMap::new() };
    for (number, name) in ["orders-0", "orders-1"].into_iter().enumerate() {
        let partition = TopicPartition::parse(name)?;
        node.host(&partition)?;

        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(&NewRecord::new(DATE, None, Some(format!("order {number}").as_bytes())))?;
        let batch = batch.build()?.check(&Rules::default(), DATE)?;
        let partitions = vec![ProducePartition { partition: partition.clone(), batch, expected_offset: None }];
        let produce = Produce { acks: Acks::All, durability: Durability::Flushed, timeout_ms: 1_000, partitions };
        node.ask(Request::Produce(produce))?;

        let partitions = vec![FetchPartition::new(partition.clone(), Offset::ZERO)];
        let isolation = IsolationLevel::ReadUncommitted;
        let fetch = Fetch { isolation, bytes_min: 1, bytes_max: 1 << 20, wait_max_ms: 0, partitions };
        let Response::Fetch(answers) = node.ask(Request::Fetch(fetch))? else { return Err("not a fetch".into()) };
        for answer in answers {
            for entry in node.read(answer.result?.body)? {
                for record in entry.records(DecompressLimit::default())?.iter() {
                    let record = record?;
                    println!("  offset {}: {}", record.offset, record.value.unwrap_or_default().escape_ascii());
                }
            }
        }

        node.broker.handle(NOW, Input::Stop { partition: partition.clone(), reason: StopReason::Closed });
        node.drain()?;
        let driver = node.drivers.remove(&partition).ok_or("no such partition")?;
        node.dir.close_log(node.broker.partition(&partition).ok_or("closed")?.log(), driver, &partition)?;
    }
    Ok(())
}
