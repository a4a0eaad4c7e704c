//! Lines of a file through a durable queue whose process is killed in the middle.
//!
//! ```sh
//! cargo run --release --example durable_queue -- [FILE] [--dir DIR]
//! ```
//!
//! Each line becomes a record of the topic `lines`, keyed by its first word; without a file it is the sources of this project.
//! A child process produces them and says which were acknowledged; halfway through it is killed and started again. It asks
//! the queue how far each partition has come, and goes on there. Then everything is consumed and compared: nothing that was
//! acknowledged may be missing, nothing may be there twice, and each partition must have its lines in order.
//!
//! With `--dir` the queue is left there, in a directory that is new or empty, for a look: `ottla topics DIR`.
#![expect(clippy::disallowed_methods, reason = "a program reads files and asks the clock")]
#![expect(clippy::disallowed_types, reason = "a program asks the clock")]

use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::id::TopicPartition;
use ottla::message::{OffsetSpec, TopicConfig};
use ottla::producer::partition_of_key;
use ottla::queue::{ConsumerConfig, Placed, ProducerConfig, Record};

type Done<T> = Result<T, Box<dyn Error>>;

const TOPIC: &str = "lines";
const PARTITIONS: NonZeroU32 = NonZeroU32::new(4).unwrap();
/// What the parent calls its child with.
const CHILD: &str = "--produce-until-killed";

fn main() -> Done<()> {
    let mut args: VecDeque<String> = std::env::args().skip(1).collect();
    if args.front().is_some_and(|first| first == CHILD) {
        let [_, dir, file] = args.make_contiguous() else {
            return Err("the child takes a directory and a file".into());
        };
        return produce(Path::new(dir), Path::new(file));
    }
    let (mut file, mut dir) = (None, None);
    while let Some(arg) = args.pop_front() {
        match arg.as_str() {
            "--dir" => dir = Some(PathBuf::from(args.pop_front().ok_or("--dir takes a directory")?)),
            _ if file.is_none() && !arg.starts_with("--") => file = Some(PathBuf::from(arg)),
            _ => return Err(format!("usage: durable_queue [FILE] [--dir DIR], not {arg:?}").into()),
        }
    }
    let scratch = tempfile::tempdir()?;
    let file = match file {
        Some(file) => file,
        None => sources(&scratch.path().join("sources.txt"))?,
    };
    let dir = dir.unwrap_or_else(|| scratch.path().join("queue"));
    if std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty: what is there would count as lines of this run", dir.display()).into());
    }
    let input = std::fs::read(&file)?;
    let lines: Vec<&[u8]> = lines(&input).collect();
    println!("{} lines, {} bytes of {}", lines.len(), input.len(), file.display());

    let began = Instant::now();
    let (acknowledged, killed) = run_and_kill(&dir, &file, lines.len())?;
    let produced = began.elapsed();
    let began = Instant::now();
    check(&dir, &lines, &acknowledged)?;
    let consumed = began.elapsed();
    let rate = |time: Duration| lines.len() as f64 / time.as_secs_f64().max(1e-9) / 1000.0;
    println!("nothing acknowledged is missing, nothing is twice, each partition is in order");
    let killed = if killed { "killed once" } else { "done before it could be killed" };
    println!("produced, flushed, {killed}: {:.0} k lines/s", rate(produced));
    println!("opened, consumed and compared:  {:.0} k lines/s", rate(consumed));
    Ok(())
}

fn bar(count: usize) -> Done<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}")?;
    Ok(ProgressBar::new(count as u64).with_style(style))
}

/// Has a child produce everything, kills it once when half is acknowledged, and starts it again. Answers what was
/// acknowledged, partitions and offsets, and whether it was killed: one that has little to do may be done before.
fn run_and_kill(dir: &Path, file: &Path, count: usize) -> Done<(Vec<(u32, u64)>, bool)> {
    let bar = bar(count)?;
    let mut was_killed = false;
    let mut acknowledged = Vec::with_capacity(count);
    for run in 1.. {
        bar.set_message(format!("process {run}"));
        let mut child = start(dir, file)?;
        let stdout = child.stdout.take().ok_or("the child has no output")?;
        let (mut is_killed, mut stdout, mut line) = (false, BufReader::new(stdout), String::new());
        // What has no end is what it was killed in.
        while stdout.read_line(&mut line)? > 0 && line.ends_with('\n') {
            let (partition, offset) = line.trim_end().split_once(' ').ok_or("the child says something else")?;
            acknowledged.push((partition.parse()?, offset.parse()?));
            line.clear();
            bar.set_position(acknowledged.len() as u64);
            if run == 1 && acknowledged.len() >= count / 2 && !is_killed {
                // SIGKILL, or what the system has for it: no destructor runs.
                child.kill()?;
                is_killed = true;
            }
        }
        let status = child.wait()?;
        if is_killed && !status.success() {
            was_killed = true;
            bar.suspend(|| println!("killed when {} lines were acknowledged", acknowledged.len()));
            continue;
        }
        bar.finish_and_clear();
        return if status.success() {
            Ok((acknowledged, was_killed))
        } else {
            Err(format!("the child failed: {status}").into())
        };
    }
    Err("there is always another run".into())
}

fn start(dir: &Path, file: &Path) -> Done<Child> {
    let program = std::env::current_exe()?;
    Ok(Command::new(program).arg(CHILD).arg(dir).arg(file).stdout(Stdio::piped()).spawn()?)
}

/// The child: goes on where each partition ends, and prints what is acknowledged.
fn produce(dir: &Path, file: &Path) -> Done<()> {
    let queue = Queue::open(dir)?;
    if !queue.topics()?.iter().any(|topic| topic.name.as_str() == TOPIC) {
        queue.create_topic(TOPIC, PARTITIONS.get(), TopicConfig::default())?;
    }
    // A partition has its lines in order, so how many there are says which are there.
    let mut there = (0..PARTITIONS.get()).map(|partition| end_of(&queue, partition)).collect::<Done<Vec<u64>>>()?;
    let producer = queue.producer(ProducerConfig::default().batch_bytes(64 << 10))?;
    let lines_of = producer.topic(TOPIC)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut tickets = VecDeque::new();
    let input = std::fs::read(file)?;
    for line in lines(&input) {
        let left = &mut there[partition_of(line) as usize];
        if *left > 0 {
            *left -= 1;
            continue;
        }
        tickets.push_back(lines_of.send(Record::new().key(key(line)).value(line))?);
        while let Some(placed) = tickets.front().and_then(|ticket| ticket.try_get()) {
            let placed = placed?;
            say(&mut out, &placed)?;
            tickets.pop_front();
        }
    }
    producer.flush()?;
    for ticket in tickets {
        say(&mut out, &ticket.wait()?)?;
    }
    out.flush()?;
    let closed = queue.close();
    if closed.is_clean() { Ok(()) } else { Err(closed.to_string().into()) }
}

fn say(out: &mut impl Write, placed: &Placed) -> Done<()> {
    let offset = placed.offset.ok_or("acknowledged, and not said where")?;
    Ok(writeln!(out, "{} {offset}", placed.partition.partition())?)
}

fn end_of(queue: &Queue, partition: u32) -> Done<u64> {
    let partition = TopicPartition::parse(&format!("{TOPIC}-{partition}"))?;
    let end = queue.offset(&partition, OffsetSpec::Latest)?;
    Ok(end.map_or(0, |end| end.offset.get()))
}

/// Consumes everything and compares it with the file.
fn check(dir: &Path, lines: &[&[u8]], acknowledged: &[(u32, u64)]) -> Done<()> {
    let queue = Queue::open(dir)?;
    let mut expected: Vec<VecDeque<&[u8]>> = vec![VecDeque::new(); PARTITIONS.get() as usize];
    for line in lines {
        expected[partition_of(line) as usize].push_back(line);
    }
    let ends: Vec<u64> = expected.iter().map(|lines| lines.len() as u64).collect();
    if let Some((partition, offset)) =
        acknowledged.iter().find(|(partition, offset)| *offset >= ends[*partition as usize])
    {
        return Err(
            format!("offset {offset} of partition {partition} was acknowledged, and is behind its last line").into()
        );
    }
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest))?;
    consumer.subscribe([TOPIC])?;
    let (mut left, bar) = (lines.len(), bar(lines.len())?.with_message("consuming"));
    while left > 0 {
        let records = consumer.poll(Duration::from_secs(30))?;
        if records.is_empty() {
            return Err(format!("{left} lines are missing").into());
        }
        for record in records.iter() {
            let next = expected[record.partition() as usize].pop_front();
            if next != record.value() {
                let (partition, offset) = (record.topic_partition(), record.offset());
                return Err(format!("{partition} has another line at offset {offset}").into());
            }
            left -= 1;
        }
        bar.set_position((lines.len() - left) as u64);
    }
    bar.finish_and_clear();
    if consumer.poll(Duration::from_millis(100))?.is_empty() {
        Ok(())
    } else {
        Err("there is more than there should be".into())
    }
}

/// The lines of any bytes, without their ends.
fn lines(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = input.strip_suffix(b"\n").unwrap_or(input);
    whole.split(|byte| *byte == b'\n')
}

/// The first word, perhaps empty.
fn key(line: &[u8]) -> &[u8] {
    line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()).unwrap_or_default()
}

fn partition_of(line: &[u8]) -> u32 {
    partition_of_key(key(line), PARTITIONS)
}

/// All sources of this project, one behind the other.
fn sources(into: &Path) -> Done<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        let mut entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Done<Vec<PathBuf>>>()?;
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else {
                all.extend(std::fs::read(path)?);
            }
        }
    }
    std::fs::write(into, all)?;
    Ok(into.to_owned())
}
