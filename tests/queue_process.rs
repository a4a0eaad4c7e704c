//! The queue on real files, whose process is killed at any moment, and beside which other processes look.
//!
//! The child is this very test binary, told by the environment to run one of the tests that are marked as a child's. It prints
//! each acknowledgement; the parent kills it after a number of them that chance has given, so nobody sleeps.
//!
//! More rounds: `OTTLA_KILL_ROUNDS=1000 cargo test --release --test queue_process`. Another course of chance:
//! `OTTLA_KILL_SEED=7`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/random.rs"]
mod random;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::disk::OpenError;
use ottla::id::TopicPartition;
use ottla::message::{OffsetSpec, TopicConfig};
use ottla::queue::{ConsumerConfig, ProducerConfig, QueueOpenError, Record, SendTicket};

use random::Random;

const TOPIC: &str = "numbers";
const PARTITIONS: u32 = 4;
/// Where a child finds its directory, and the parent says that it is a child.
const DIR: &str = "OTTLA_TEST_DIR";
/// Which life of the queue this is: it is part of each value.
const ROUND: &str = "OTTLA_TEST_ROUND";
/// What a child says before it begins.
const READY: &str = "ready";
/// How many records may be on their way.
const TICKETS_MAX: usize = 200;

/// Where each acknowledged value stands.
type Acknowledged = BTreeMap<(u32, u64), String>;

#[test]
fn whatever_was_acknowledged_before_a_kill_is_in_its_place_and_nothing_is_twice() {
    let rounds: u64 = number("OTTLA_KILL_ROUNDS", 20);
    let mut random = Random::new(number("OTTLA_KILL_SEED", 1));
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::new();
    for round in 0..rounds {
        // Often very early, while the queue is being opened or its topic made.
        let few = [2, 20, 2000][random.below(3) as usize];
        let after = random.below(few);
        let (mut child, mut lines) = start("child_that_produces", dir.path(), round);
        let before = acknowledged.len();
        for _ in 0..after {
            let Some(line) = lines.next() else { break };
            note(&line.unwrap(), &mut acknowledged);
        }
        child.kill().unwrap();
        // What it had said before it died counts too; the last line may be torn.
        lines.map_while(Result::ok).for_each(|line| note(&line, &mut acknowledged));
        child.wait().unwrap();
        assert!(acknowledged.len() as u64 >= before as u64 + after, "round {round}: the child ended by itself");
        check(dir.path(), &acknowledged, round);
    }
}

/// Opens the queue and reads all of it.
fn check(dir: &Path, acknowledged: &Acknowledged, round: u64) {
    let queue = Queue::open(dir).unwrap();
    let report = queue.report();
    assert!(report.failed.is_empty(), "round {round}: {report}");
    assert!(report.partitions.iter().all(|one| one.corrupt.is_empty()), "round {round}: {report}");
    let Ok(ends) = (0..PARTITIONS).map(|partition| end_of(&queue, partition)).collect::<Result<Vec<u64>, _>>() else {
        // It was killed before there was a topic.
        assert!(acknowledged.is_empty(), "round {round}: the topic is gone");
        return;
    };
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    let mut found: BTreeMap<(u32, u64), String> = BTreeMap::new();
    let mut seen: BTreeMap<String, (u32, u64)> = BTreeMap::new();
    while (found.len() as u64) < ends.iter().sum() {
        let records = consumer.poll(Duration::from_secs(30)).unwrap();
        assert!(!records.is_empty(), "round {round}: {} of {ends:?} records came", found.len());
        for record in records.iter() {
            let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
            let at = (record.partition(), record.offset().get());
            if let Some(first) = seen.insert(value.clone(), at) {
                panic!("round {round}: {value} is at {first:?} and at {at:?}");
            }
            found.insert(at, value);
        }
    }
    for (at, value) in acknowledged {
        assert_eq!(found.get(at), Some(value), "round {round}: what was acknowledged at {at:?}");
    }
    assert!(queue.close().is_clean(), "round {round}");
}

/// Notes a line of the child's, if it is whole.
fn note(line: &str, acknowledged: &mut Acknowledged) {
    let mut words = line.split(' ');
    let (Some("ack"), Some(partition), Some(offset), Some(value), Some(".")) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return;
    };
    let at = (partition.parse().unwrap(), offset.parse().unwrap());
    let before = acknowledged.insert(at, value.to_owned());
    assert_eq!(before, None, "{at:?} was acknowledged twice");
}

/// Produces without an end, and prints each acknowledgement.
#[test]
fn child_that_produces() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let round = number(ROUND, 0);
    say(&format!("\n{READY}"));
    let queue = Queue::open(dir).unwrap();
    if queue.topics().unwrap().is_empty() {
        // Small segments, so that kills come into rolls too.
        let config = TopicConfig::default().with_segment_bytes(50_000);
        queue.create_topic(TOPIC, PARTITIONS, config).unwrap();
    }
    let producer = queue.producer(ProducerConfig::default().batch_bytes(1000)).unwrap();
    let mut tickets: VecDeque<(SendTicket, String)> = VecDeque::new();
    for number in 0_u64.. {
        let value = format!("{round}/{number}");
        let record = Record::to(TOPIC).partition(number as u32 % PARTITIONS).value(value.as_bytes());
        let ticket = producer.send(record).unwrap();
        tickets.push_back((ticket, value));
        if tickets.len() > TICKETS_MAX {
            let (ticket, value) = tickets.pop_front().unwrap();
            let placed = ticket.wait().unwrap();
            say(&format!("ack {} {} {value} .", placed.partition.partition(), placed.offset.unwrap()));
        }
    }
}

#[test]
fn a_second_process_is_refused_while_the_first_lives_and_may_look() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut lines) = start("child_that_produces", dir.path(), 0);
    for _ in 0..10 {
        lines.next().unwrap().unwrap();
    }
    // This process is the second one.
    let refused = Queue::open(dir.path()).unwrap_err();
    assert!(matches!(refused, QueueOpenError::Open(OpenError::AlreadyOpen)), "{refused}");
    look(dir.path());
    child.kill().unwrap();
    drop(lines);
    child.wait().unwrap();
    let queue = Queue::open(dir.path()).unwrap();
    assert_eq!(queue.topics().unwrap()[0].name.as_str(), TOPIC);
}

/// What `ottla topics` says beside the living queue.
#[cfg(feature = "cli")]
fn look(dir: &Path) {
    let look =
        Command::new(env!("CARGO_BIN_EXE_ottla")).arg("topics").arg(dir).arg(TOPIC).arg("--json").output().unwrap();
    assert!(look.status.success(), "{}", String::from_utf8_lossy(&look.stderr));
    let lines = String::from_utf8(look.stdout).unwrap();
    let described: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(described[0]["partitions"], PARTITIONS);
    assert!(described[0]["offsets"].as_u64().unwrap() > 10, "{}", described[0]);
}

#[cfg(not(feature = "cli"))]
fn look(_: &Path) {}

fn end_of(queue: &Queue, partition: u32) -> Result<u64, ottla::queue::AdminError> {
    let partition = TopicPartition::parse(&format!("{TOPIC}-{partition}")).unwrap();
    Ok(queue.offset(&partition, OffsetSpec::Latest)?.map_or(0, |end| end.offset.get()))
}

/// Starts one of the tests of this file as a child. What it says comes in lines.
fn start(test: &str, dir: &Path, round: u64) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // What the test harness says first.
    while lines.next().unwrap().unwrap() != READY {}
    (child, lines)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever does not listen any more is about to kill us.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}
