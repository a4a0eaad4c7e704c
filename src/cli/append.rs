//! `ottla append`: a record for each line of standard input.

use std::fmt::Display;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::cli::finding::{CliError, Finding};
use crate::cli::progress::Progress;
use crate::cli::read::named_partition;
use crate::cli::world;
use crate::disk::{FileDisk, LogFile, OpenOptions};
use crate::id::TopicPartition;
use crate::log::LogConfig;
use crate::offset::Offset;
use crate::record::{BatchBuilder, Codec, NewRecord};

/// Appends a record to a partition for each line of standard input: the line's bytes, without the line end.
///
/// Makes the log directory and the partition if they are not there, and puts right whatever a crash has left. A last
/// line without a line end is a record too.
#[derive(Args, Clone, Debug)]
pub struct AppendArgs {
    /// The log directory.
    dir: PathBuf,
    /// The partition, as its directory is named: TOPIC-NUMBER.
    #[arg(value_name = "TOPIC-PARTITION", value_parser = named_partition)]
    partition: TopicPartition,
    /// What stands before the first S is the record's key; without an S the record has none.
    #[arg(long, value_name = "S", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,
    /// How batches are compressed.
    #[arg(long, value_enum, default_value_t = CodecName::None)]
    codec: CodecName,
    /// A batch is appended before its records grow past this, and whenever the input has to be waited for.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10, value_parser = clap::value_parser!(u32).range(1..=BATCH_BYTES_MAX as i64))]
    batch_bytes: u32,
    /// A segment is begun before the last one would grow past this.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1024..=2_147_483_647))]
    segment_bytes: Option<u32>,
    /// When what was appended is brought to disk, so that it survives a power loss: after every batch, at the end, or
    /// after so many bytes of lines.
    #[arg(long, value_name = "every|end|BYTES", default_value = "end")]
    flush: Flush,
    /// Prints `ACK <last offset>` when a batch is as durable as --flush makes it: with `every` or BYTES once it is on
    /// disk; with `end` once it is written, which survives the end of the process, however sudden, but not of the power.
    #[arg(long)]
    acks: bool,
}

/// The largest batch, and so the longest line.
const BATCH_BYTES_MAX: u32 = 64 << 20;

/// What a batch of one record takes beside the record: more than its header and the longest of each varint.
const OVERHEAD_BYTES_MAX: u32 = 128;

/// How a batch is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum CodecName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<CodecName> for Codec {
    fn from(name: CodecName) -> Self {
        match name {
            CodecName::None => Self::None,
            CodecName::Gzip => Self::Gzip,
            CodecName::Snappy => Self::Snappy,
            CodecName::Lz4 => Self::Lz4,
            CodecName::Zstd => Self::Zstd,
        }
    }
}

/// When to flush.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flush {
    Every,
    End,
    Bytes(u64),
}

impl FromStr for Flush {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "every" => Ok(Self::Every),
            "end" => Ok(Self::End),
            _ => match text.parse() {
                Ok(bytes) if bytes > 0 => Ok(Self::Bytes(bytes)),
                Ok(_) | Err(_) => Err("expected `every`, `end` or a number of bytes".to_owned()),
            },
        }
    }
}

impl AppendArgs {
    /// Appends every line of `input`; `size` is how many bytes it will have, where that is known.
    ///
    /// # Errors
    ///
    /// [`CliError`]. What was acknowledged before stays appended.
    pub fn run(
        &self,
        input: impl BufRead,
        size: Option<u64>,
        acks: impl Write,
        note: &mut dyn FnMut(&dyn Display),
    ) -> Result<Finding, CliError> {
        let disk = world::make_log_dir(&self.dir)?;
        let (log, report) = LogFile::open(disk, &self.partition, self.options(), world::now())?;
        if !report.is_clean() {
            note(&report);
        }
        let progress = Progress::always(&self.partition.to_string());
        let mut appending = Appending { args: self, log, acks, batch: None, unflushed: 0, taken: 0, size, progress };
        appending.take_all(input)?;
        appending.log.close()?;
        Ok(if report.is_damaged() { Finding::Damage } else { Finding::Clean })
    }

    fn options(&self) -> OpenOptions {
        let default = LogConfig::default();
        let segment_bytes = self.segment_bytes.unwrap_or(default.segment_bytes);
        let max_message_bytes = BATCH_BYTES_MAX.saturating_add(OVERHEAD_BYTES_MAX);
        OpenOptions { config: LogConfig { segment_bytes, max_message_bytes, ..default }, ..OpenOptions::default() }
    }

    /// How large a batch may grow. It has to fit a segment, also if compressing it makes it larger.
    fn batch_bytes(&self) -> u32 {
        self.segment_bytes.map_or(self.batch_bytes, |segment| self.batch_bytes.min(segment - segment / 16))
    }

    /// Key and value of a line.
    fn split<'a>(&self, line: &'a [u8]) -> (Option<&'a [u8]>, &'a [u8]) {
        let Some(separator) = &self.key_separator else { return (None, line) };
        let separator = separator.as_bytes();
        match line.windows(separator.len()).position(|window| window == separator) {
            Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
            None => (None, line),
        }
    }
}

/// An append under way.
struct Appending<'a, W> {
    args: &'a AppendArgs,
    log: LogFile<FileDisk>,
    acks: W,
    /// The batch that takes records, if it has any.
    batch: Option<BatchBuilder>,
    /// How many bytes of lines were appended since the last flush.
    unflushed: u64,
    /// How many bytes of input were read, of how many if known.
    taken: u64,
    size: Option<u64>,
    progress: Progress,
}

impl<W: Write> Appending<'_, W> {
    fn take_all(&mut self, mut input: impl BufRead) -> Result<(), CliError> {
        let mut line = Vec::new();
        let mut number = 0_u64;
        loop {
            number += 1;
            line.clear();
            let waits = read_line(&mut input, &mut line, number)?;
            if line.is_empty() {
                break;
            }
            self.taken += line.len() as u64;
            let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
            self.add(bytes)?;
            if waits {
                // Whoever writes to us may not write more for a long time.
                self.send()?;
            }
        }
        self.send()?;
        if self.unflushed > 0 && self.args.flush != Flush::End {
            self.flush_and_acknowledge()?;
        }
        Ok(())
    }

    /// Adds a record to the batch, which is sent before if it would grow too large.
    fn add(&mut self, line: &[u8]) -> Result<(), CliError> {
        let (key, value) = self.args.split(line);
        let record = NewRecord::new(world::now(), key, Some(value));
        let is_full = self
            .batch
            .as_ref()
            .is_some_and(|batch| batch.size() as u64 + batch.size_of(&record) > u64::from(self.args.batch_bytes()));
        if is_full {
            self.send()?;
        }
        let new = || BatchBuilder::with_capacity(self.args.codec.into(), self.args.batch_bytes() as usize);
        self.batch.get_or_insert_with(new).push(&record)?;
        self.unflushed += line.len() as u64 + 1;
        Ok(())
    }

    /// Appends the batch, and flushes and acknowledges as asked for.
    fn send(&mut self) -> Result<(), CliError> {
        let Some(batch) = self.batch.take() else { return Ok(()) };
        let appended = self.log.append(world::now(), &batch.build()?)?;
        self.progress.at(self.taken, self.size.unwrap_or(0));
        match self.args.flush {
            Flush::Every => self.flush_and_acknowledge(),
            Flush::Bytes(bytes) if self.unflushed >= bytes => self.flush_and_acknowledge(),
            Flush::Bytes(_) => Ok(()),
            Flush::End => self.acknowledge(appended.last_offset),
        }
    }

    fn flush_and_acknowledge(&mut self) -> Result<(), CliError> {
        let flushed = self.log.flush()?;
        self.unflushed = 0;
        match flushed.get() {
            0 => Ok(()),
            _ => self.acknowledge(flushed.retreat(1)),
        }
    }

    fn acknowledge(&mut self, last: Offset) -> Result<(), CliError> {
        if !self.args.acks {
            return Ok(());
        }
        writeln!(self.acks, "ACK {last}").and_then(|()| self.acks.flush()).map_err(CliError::Acknowledge)
    }
}

/// Reads a line with its end. Answers whether reading more may have to wait.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, CliError> {
    let most = (BATCH_BYTES_MAX - OVERHEAD_BYTES_MAX) as usize;
    loop {
        let held = match input.fill_buf() {
            Ok(held) => held,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CliError::Input(error)),
        };
        if held.is_empty() {
            return Ok(false);
        }
        let end = held.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(held.len(), |at| at + 1);
        if line.len() + count > most {
            return Err(CliError::LineTooLong { number, most });
        }
        line.extend_from_slice(&held[..count]);
        let is_drained = count == held.len();
        input.consume(count);
        if end.is_some() {
            return Ok(is_drained);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whole_and_the_last_needs_no_end() {
        let mut input = io::BufReader::with_capacity(3, &b"ab\n\nlonger\nx"[..]);
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            read_line(&mut input, &mut line, 1).unwrap();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        assert_eq!(lines, [&b"ab\n"[..], b"\n", b"longer\n", b"x"]);
    }

    #[test]
    fn flush_takes_two_words_and_a_number() {
        assert_eq!("every".parse(), Ok(Flush::Every));
        assert_eq!("end".parse(), Ok(Flush::End));
        assert_eq!("4096".parse(), Ok(Flush::Bytes(4096)));
        assert!("0".parse::<Flush>().is_err());
        assert!("never".parse::<Flush>().is_err());
    }
}
