//! `ottla read`: the records of a partition, a line each.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::cli::dump_batch::write_record;
use crate::cli::finding::{CliError, Finding};
use crate::cli::log_view::{LogView, Seen, Wants};
use crate::cli::progress::Progress;
use crate::id::{ProducerId, TopicPartition};
use crate::offset::Offset;
use crate::record::{ControlRecord, DecompressLimit, Entry, Record, TransactionResult};
use crate::time::Timestamp;

/// Prints the records of a partition, a line for each: its value's bytes.
///
/// Writes nothing, takes no lock, and may read beside a live writer. Records that are damaged are named on standard error
/// by file and range, all others are printed, and the exit code is then 1. A last write that is under way, or was cut
/// short by a crash before it was flushed, is no damage.
#[derive(Args, Clone, Debug)]
pub struct ReadArgs {
    /// The log directory.
    dir: PathBuf,
    /// The partition, as its directory is named: TOPIC-NUMBER.
    #[arg(value_name = "TOPIC-PARTITION", value_parser = named_partition)]
    partition: TopicPartition,
    /// Where to begin: an offset, `earliest`, `latest`, or `@` and milliseconds since 1970 for the first record of that
    /// date or later.
    #[arg(long, default_value = "earliest", value_name = "OFFSET|earliest|latest|@TIMESTAMP_MS")]
    from: Start,
    /// Stop after so many records.
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// A JSON object per record: offset, timestamp, key, value, headers.
    #[arg(long)]
    json: bool,
    /// Prints each record's key, if it has one, and this text before its value.
    #[arg(long, value_name = "S")]
    key_separator: Option<String>,
    /// Which records of transactions are printed.
    #[arg(long, value_enum, default_value_t = ReadIsolation::ReadUncommitted)]
    isolation: ReadIsolation,
}

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum ReadIsolation {
    /// All.
    ReadUncommitted,
    /// Those that were committed, up to the first transaction that is still open.
    ReadCommitted,
}

/// The partition of this name.
pub(crate) fn named_partition(text: &str) -> Result<TopicPartition, String> {
    TopicPartition::parse(text).map_err(|error| error.to_string())
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    Earliest,
    Latest,
    At(Offset),
    Date(Timestamp),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected an offset, `earliest`, `latest` or `@` and milliseconds".to_owned();
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => match text.strip_prefix('@') {
                Some(date) => {
                    date.parse().map(|millis| Self::Date(Timestamp::from_millis(millis))).map_err(|_| wrong())
                }
                None => text.parse().ok().and_then(Offset::from_i64).map(Self::At).ok_or_else(wrong),
            },
        }
    }
}

impl ReadArgs {
    /// Prints the records.
    ///
    /// # Errors
    ///
    /// [`CliError`] if a file cannot be read, `out` fails, or the offset is not there.
    pub fn run(&self, mut out: impl Write, note: &mut dyn FnMut(&dyn Display)) -> Result<Finding, CliError> {
        let view = LogView::open(&self.dir, &self.partition)?;
        let start = view.log_start_offset();
        let from = match self.from {
            Start::Latest => return Ok(Finding::Clean),
            Start::Earliest | Start::Date(_) => start,
            Start::At(offset) if offset < start => return Err(CliError::BelowStart { requested: offset, start }),
            Start::At(offset) => offset,
        };
        let fates = match self.isolation {
            ReadIsolation::ReadUncommitted => None,
            ReadIsolation::ReadCommitted => Some(Fates::of(&view)?),
        };
        let mut reading = Reading { args: self, from, left: self.max.unwrap_or(u64::MAX), date: self.date(), fates };
        let mut finding = Finding::Clean;
        if reading.left > 0 {
            let mut progress = Progress::new(&self.partition.to_string(), io::stdout().is_terminal());
            let visit = |seen| match seen {
                Seen::Batch { entry, .. } => reading.print(&entry, &mut out, &mut finding, note),
                Seen::Damaged { path, position, size, damage, is_torn_tail } => {
                    if !is_torn_tail {
                        finding = Finding::Damage;
                    }
                    let what = if is_torn_tail { "torn tail" } else { "damaged" };
                    note(&format_args!(
                        "{}: {what}: bytes {position} to {}: {damage}",
                        path.display(),
                        position + size
                    ));
                    Ok(Wants::More)
                }
            };
            view.visit(from, visit, |position, end| progress.at(position, end))?;
        }
        out.flush().map_err(CliError::Output)?;
        Ok(finding)
    }

    fn date(&self) -> Option<Timestamp> {
        match self.from {
            Start::Date(date) => Some(date),
            Start::Earliest | Start::Latest | Start::At(_) => None,
        }
    }
}

/// A read under way.
struct Reading<'a> {
    args: &'a ReadArgs,
    from: Offset,
    left: u64,
    /// Nothing is printed before the first record of this date or later.
    date: Option<Timestamp>,
    fates: Option<Fates>,
}

impl Reading<'_> {
    fn print(
        &mut self,
        entry: &Entry,
        out: &mut impl Write,
        finding: &mut Finding,
        note: &mut dyn FnMut(&dyn Display),
    ) -> Result<Wants, CliError> {
        if let Some(fates) = &self.fates {
            if entry.last_offset() >= fates.last_stable_offset {
                return Ok(Wants::Enough);
            }
            if fates.is_aborted(entry) {
                return Ok(Wants::More);
            }
        }
        if entry.is_control() || self.date.is_some_and(|date| entry.max_timestamp() < date) {
            return Ok(Wants::More);
        }
        let mut damaged = |error: &dyn Display| {
            *finding = Finding::Damage;
            note(&format_args!("batch up to offset {}: {error}", entry.last_offset()));
        };
        let records = match entry.records(DecompressLimit::default()) {
            Ok(records) => records,
            Err(error) => {
                damaged(&error);
                return Ok(Wants::More);
            }
        };
        for record in records.iter() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    damaged(&error);
                    break;
                }
            };
            if record.offset < self.from || self.date.is_some_and(|date| record.timestamp < date) {
                continue;
            }
            self.date = None;
            self.args.line(&record, out).map_err(CliError::Output)?;
            self.left -= 1;
            if self.left == 0 {
                return Ok(Wants::Enough);
            }
        }
        Ok(Wants::More)
    }
}

impl ReadArgs {
    fn line(&self, record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            write_record(record, out)?;
            return out.write_all(b"\n");
        }
        if let (Some(separator), Some(key)) = (&self.key_separator, record.key) {
            out.write_all(key)?;
            out.write_all(separator.as_bytes())?;
        }
        out.write_all(record.value.unwrap_or_default())?;
        out.write_all(b"\n")
    }
}

/// What became of each transaction, found by reading the log once: its indexes may be missing or stale.
struct Fates {
    /// For each producer, the offsets of its markers, and whether each aborted.
    markers: BTreeMap<ProducerId, Vec<(Offset, TransactionResult)>>,
    /// Where the first open transaction begins, or the end of the log as it was.
    last_stable_offset: Offset,
}

impl Fates {
    fn of(view: &LogView) -> Result<Self, CliError> {
        let mut markers: BTreeMap<ProducerId, Vec<(Offset, TransactionResult)>> = BTreeMap::new();
        let mut open: BTreeMap<ProducerId, Offset> = BTreeMap::new();
        let mut end = view.log_start_offset();
        let visit = |seen| {
            let Seen::Batch { entry, .. } = seen else { return Ok(Wants::More) };
            end = entry.next_offset();
            let (Some(producer), Some(batch)) = (entry.producer(), entry.as_batch()) else { return Ok(Wants::More) };
            if !entry.is_transactional() {
                return Ok(Wants::More);
            }
            if !entry.is_control() {
                open.entry(producer.id).or_insert(batch.base_offset());
            } else if let Some(result) = result_of(&entry) {
                open.remove(&producer.id);
                markers.entry(producer.id).or_default().push((entry.last_offset(), result));
            }
            Ok(Wants::More)
        };
        view.visit(view.log_start_offset(), visit, |_, _| {})?;
        let last_stable_offset = open.values().copied().min().unwrap_or(end);
        Ok(Self { markers, last_stable_offset })
    }

    /// Whether the transaction that the batch belongs to was aborted: its producer's next marker says so.
    fn is_aborted(&self, entry: &Entry) -> bool {
        let Some(producer) = entry.producer().filter(|_| entry.is_transactional() && !entry.is_control()) else {
            return false;
        };
        let markers = self.markers.get(&producer.id).map_or(&[][..], Vec::as_slice);
        let next = markers.partition_point(|(offset, _)| *offset <= entry.last_offset());
        markers.get(next).is_some_and(|(_, result)| *result == TransactionResult::Abort)
    }
}

/// What a batch of one marker says; none if it is another kind of control batch, or cannot be read.
fn result_of(entry: &Entry) -> Option<TransactionResult> {
    let records = entry.records(DecompressLimit::default()).ok()?;
    let record = records.iter().next()?.ok()?;
    match ControlRecord::parse(&record).ok()? {
        ControlRecord::Marker(marker) => Some(marker.result),
        ControlRecord::Other(_) => None,
    }
}
