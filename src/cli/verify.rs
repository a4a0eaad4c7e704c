//! `ottla verify`: whether every byte of a log directory is as it should be.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::dump::{BatchFormat, dump_source};
use crate::cli::finding::{CliError, Finding};
use crate::cli::kind::FileKind;
use crate::cli::log_view::{LogView, Seen, Wants, small};
use crate::cli::paths::{self, Named};
use crate::cli::printer::{Form, Records};
use crate::cli::progress::Progress;
use crate::cli::source::Source;
use crate::disk::{MARKS_FILE, Marks, Sums};
use crate::epoch::LeaderEpoch;
use crate::id::TopicPartition;
use crate::log::{FileName, OffsetEntry, OffsetIndexView};
use crate::offset::Offset;
use crate::record::{DecompressLimit, Entry};

/// Reads every byte of a log directory and says what is not as it should be.
///
/// Writes nothing, takes no lock, and may run beside a live writer. A last write that is under way, or was cut short by a
/// crash before it was flushed, is named but is no damage: the next opening cuts it off.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The log directory.
    dir: PathBuf,
}

impl VerifyArgs {
    /// Prints a line for each partition, and one for each thing that is wrong.
    ///
    /// # Errors
    ///
    /// [`CliError`] if the directory cannot be read or `out` fails. A single file that cannot be read is told to `note`.
    pub fn run(&self, mut out: impl Write, note: &mut dyn FnMut(&dyn Display)) -> Result<Finding, CliError> {
        let mut finding = Finding::Clean;
        let files = paths::files(&self.dir)?;
        for file in &files {
            match small_file(file) {
                Ok(wrong) => {
                    for wrong in wrong {
                        finding = finding.max(Finding::Damage);
                        writeln!(out, "DAMAGED {}: {wrong}", file.path.display()).map_err(CliError::Output)?;
                    }
                }
                Err(error) => {
                    finding = Finding::Unreadable;
                    note(&error);
                }
            }
        }
        let mut named = partitions(&files);
        let mut root = self.dir.as_path();
        let itself = self.dir.file_name().and_then(|name| TopicPartition::parse(name.to_str()?).ok());
        if let (true, Some(partition), Some(parent)) = (named.is_empty(), itself, self.dir.parent()) {
            // A partition's own directory was named.
            (root, named) = (parent, vec![partition]);
        }
        for partition in named {
            let mut checking = Checking::new(LogView::open(root, &partition)?);
            checking.run(&partition, &mut out)?;
            finding = finding.max(checking.finding);
        }
        out.flush().map_err(CliError::Output)?;
        Ok(finding)
    }
}

/// The partitions that these files belong to.
pub(crate) fn partitions(files: &[Named]) -> Vec<TopicPartition> {
    let mut found: Vec<TopicPartition> = files
        .iter()
        .filter_map(|file| {
            let (dir, name) = file.shown.split_once('/')?;
            FileName::parse(name)?;
            TopicPartition::parse(dir).ok()
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// What is wrong with a file that is not one of batches.
fn small_file(file: &Named) -> Result<Vec<String>, CliError> {
    let name = file.shown.rsplit('/').next().unwrap_or_default();
    // What a deletion or a compaction left half done is no part of the log.
    let is_leftover = [".deleted", ".cleaned", ".swap"].iter().any(|end| name.ends_with(end));
    if is_leftover || matches!(FileKind::of(name), FileKind::Batches { .. } | FileKind::Messages07 { .. }) {
        return Ok(Vec::new());
    }
    if name == MARKS_FILE {
        return Ok(match Marks::parse(&small(&file.path)?) {
            Ok(marks) => marks.bad().iter().map(|bad| format!("{bad:?}")).collect(),
            Err(error) => vec![error.to_string()],
        });
    }
    if let Some(FileName::Sums(base)) = FileName::parse(name) {
        return sums(&file.path, base);
    }
    let source = paths::open(&file.path)?;
    let mut wrong = DamagedLines::default();
    let form = Form::Text { records: Records::Hidden };
    dump_source(&source, &file.shown, form, BatchFormat::Kafka, &mut wrong, &mut Progress::hidden())
        .map_err(|source| CliError::Read { path: file.path.clone(), source })?;
    Ok(wrong.lines)
}

/// Compares the blocks of a segment with their sums.
fn sums(path: &Path, base: Offset) -> Result<Vec<String>, CliError> {
    let sums = match Sums::parse(&small(path)?) {
        Ok(sums) => sums,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    let log_path = path.with_file_name(FileName::Log(base).to_string());
    let log = paths::open(&log_path)?;
    let mut wrong = Vec::new();
    for block in 0..sums.block_count() {
        let range = sums.range(block);
        let mut bytes = vec![0; range.len()];
        let read = log.read_at(range.start.into(), &mut bytes);
        let read = read.map_err(|source| CliError::Read { path: log_path.clone(), source })?;
        if sums.check(block, &bytes[..read]).is_err() {
            wrong.push(format!("bytes {} to {} of {} do not match it", range.start, range.end, log_path.display()));
        }
    }
    Ok(wrong)
}

/// Keeps the lines of a dump that tell of damage, up to a number of them.
#[derive(Default)]
struct DamagedLines {
    line: Vec<u8>,
    lines: Vec<String>,
}

/// As many lines of one file as are kept.
const LINES_MAX: usize = 100;

impl Write for DamagedLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            if line.contains("DAMAGED: ") && self.lines.len() < LINES_MAX {
                self.lines.push(line.trim().to_owned());
            }
            self.line.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One partition under check.
struct Checking {
    view: LogView,
    finding: Finding,
    segments: u64,
    batches: u64,
    records: u64,
    /// The segment being read, and what its index says of what is still to come, last entry first.
    segment: Option<Offset>,
    index: Vec<OffsetEntry>,
    next_offset: Offset,
    epoch: Option<LeaderEpoch>,
}

impl Checking {
    fn new(view: LogView) -> Self {
        Self {
            view,
            finding: Finding::Clean,
            segments: 0,
            batches: 0,
            records: 0,
            segment: None,
            index: Vec::new(),
            next_offset: Offset::ZERO,
            epoch: None,
        }
    }

    fn run(&mut self, partition: &TopicPartition, out: &mut impl Write) -> Result<(), CliError> {
        // The view is only lent, so that the checks may change the rest.
        let view = self.view.clone();
        let mut progress = Progress::new(&partition.to_string(), io::stdout().is_terminal());
        let visit = |seen| {
            match seen {
                Seen::Batch { segment, position, entry } => {
                    for wrong in self.batch(segment, position, &entry)? {
                        self.finding = self.finding.max(Finding::Damage);
                        let path = self.view.path_of(FileName::Log(segment));
                        let line = format_args!("DAMAGED {}: at byte {position}: {wrong}", path.display());
                        writeln!(out, "{line}").map_err(CliError::Output)?;
                    }
                }
                Seen::Damaged { path, position, size, damage, is_torn_tail } => {
                    let word = if is_torn_tail { "TORN" } else { "DAMAGED" };
                    if !is_torn_tail {
                        self.finding = self.finding.max(Finding::Damage);
                    }
                    let (path, end, from) = (path.display(), position + size, self.next_offset);
                    writeln!(out, "{word} {path}: bytes {position} to {end}, from offset {from} on: {damage}")
                        .map_err(CliError::Output)?;
                }
            }
            Ok(Wants::More)
        };
        view.visit(Offset::ZERO, visit, |position, end| progress.at(position, end))?;
        drop(progress);
        let (start, end) = (view.log_start_offset(), self.next_offset.max(view.log_start_offset()));
        let word = if self.finding == Finding::Clean { "clean" } else { "DAMAGED" };
        let Self { segments, batches, records, .. } = self;
        writeln!(
            out,
            "{partition}: offsets {start} to {end}, {segments} segments, {batches} batches, {records} records: {word}"
        )
        .map_err(CliError::Output)
    }

    /// What is wrong with a batch, and with its place among the others.
    fn batch(&mut self, segment: Offset, position: u64, entry: &Entry) -> Result<Vec<String>, CliError> {
        let mut wrong = Vec::new();
        if self.segment != Some(segment) {
            self.begin(segment, &mut wrong)?;
        }
        self.batches += 1;
        match entry.base_offset(DecompressLimit::default()) {
            Ok(base) if base < self.next_offset => {
                wrong.push(format!("offset {base} does not come behind {}", self.next_offset));
            }
            Ok(_) => {}
            Err(error) => wrong.push(error.to_string()),
        }
        if entry.leader_epoch() < self.epoch {
            wrong.push("its leader epoch is older than that of the batch before it".to_owned());
        }
        match entry.records(DecompressLimit::default()) {
            Ok(records) => {
                for record in records.iter() {
                    match record {
                        Ok(_) => self.records += 1,
                        Err(error) => wrong.push(error.to_string()),
                    }
                }
            }
            Err(error) => wrong.push(error.to_string()),
        }
        while let Some(indexed) = self.index.pop_if(|indexed| u64::from(indexed.position) <= position) {
            if u64::from(indexed.position) < position {
                wrong.push(format!("the offset index names byte {}, where no batch begins", indexed.position));
            }
        }
        self.next_offset = self.next_offset.max(entry.next_offset());
        self.epoch = self.epoch.max(entry.leader_epoch());
        Ok(wrong)
    }

    /// A new segment: takes its index.
    fn begin(&mut self, segment: Offset, wrong: &mut Vec<String>) -> Result<(), CliError> {
        if let Some(indexed) = self.index.pop() {
            wrong.push(format!("the index of the segment before it names byte {}, past its end", indexed.position));
        }
        self.segments += 1;
        self.segment = Some(segment);
        let bytes = self.view.index(segment)?;
        // What is wrong with the index by itself was told already.
        let view = OffsetIndexView::new(segment, &bytes).ok().filter(|view| view.check().is_ok());
        self.index = view.map(|view| view.entries().rev().collect()).unwrap_or_default();
        Ok(())
    }
}
