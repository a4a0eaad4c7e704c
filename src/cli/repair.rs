//! `ottla repair`: makes a log whose flushed bytes are damaged readable again, at the price it names.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::finding::{CliError, Finding};
use crate::cli::log_view::{LogView, Seen, Wants};
use crate::cli::paths;
use crate::cli::source::Source;
use crate::cli::verify::partitions;
use crate::cli::world;
use crate::disk::{
    Disk, DiskError, DiskErrorKind, DiskFile, DiskPath, Entry, EntryKind, FileDisk, LogFile, MarkFile, MarksError,
    OpenError, OpenHow, OpenOptions,
};
use crate::id::TopicPartition;
use crate::log::{FileName, OffsetCheckpoint};
use crate::offset::Offset;

/// Says exactly which bytes of a log directory would have to go so that all others can be read, and lets them go.
///
/// Changes nothing without `--write`. With it each damaged segment is replaced by one without the damaged bytes; the old
/// files are kept beside it, with `.damaged-1` or a higher number behind their names, which neither ottla nor Kafka
/// takes for theirs. Nobody else may have the directory open. The exit code is 1 if there was damage.
#[derive(Args, Clone, Debug)]
pub struct RepairArgs {
    /// The log directory.
    dir: PathBuf,
    /// Does it.
    #[arg(long)]
    write: bool,
}

/// A stretch of a segment that is no batch.
struct Loss {
    segment: Offset,
    from: u64,
    to: u64,
}

/// How much is copied at a time.
const COPY_BYTES: usize = 1 << 20;

impl RepairArgs {
    /// Prints what is lost, partition by partition, and repairs it if asked to.
    ///
    /// # Errors
    ///
    /// [`CliError`]. The old files are in place, or beside it.
    pub fn run(&self, mut out: impl Write, _note: &mut dyn FnMut(&dyn Display)) -> Result<Finding, CliError> {
        let files = paths::files(&self.dir)?;
        let disk = FileDisk::open(&self.dir)?;
        // Held while anything is looked at to be changed.
        let held = if self.write { Some(lock(&disk)?) } else { None };
        let mut damaged = Vec::new();
        for partition in partitions(&files) {
            let losses = losses(&LogView::open(&self.dir, &partition)?, &partition, &mut out)?;
            if self.write && !losses.is_empty() {
                self.cut_out(&disk, &partition, &losses, &mut out)?;
            }
            if !losses.is_empty() {
                damaged.push(partition);
            }
        }
        // The lock goes; whoever opens the logs next takes it again.
        drop(held);
        if self.write {
            for partition in &damaged {
                let (log, report) = LogFile::open(disk.clone(), partition, OpenOptions::default(), world::now())?;
                writeln!(out, "repaired: {report}").map_err(CliError::Output)?;
                log.close()?;
            }
        } else if !damaged.is_empty() {
            writeln!(out, "nothing was changed; --write repairs").map_err(CliError::Output)?;
        }
        out.flush().map_err(CliError::Output)?;
        Ok(if damaged.is_empty() { Finding::Clean } else { Finding::Damage })
    }

    /// Replaces each damaged segment by one without the damage, and has all that is derived from it made again.
    fn cut_out(
        &self,
        disk: &FileDisk,
        partition: &TopicPartition,
        losses: &[Loss],
        out: &mut impl Write,
    ) -> Result<(), CliError> {
        let dir = DiskPath::root().entry(partition);
        forget_marks(disk, partition)?;
        let mut segments: Vec<Offset> = losses.iter().map(|loss| loss.segment).collect();
        segments.dedup();
        for base in segments {
            let name = FileName::Log(base);
            let temporary = dir.entry(format_args!("{name}.repairing"));
            let of_segment = losses.iter().filter(|loss| loss.segment == base);
            let source = paths::open(&self.dir.join(partition.to_string()).join(name.to_string()))?;
            copy_without(&source, disk, &temporary, of_segment)?;
            // What is derived first: if this is cut short, it is made again from whichever log is there. The log itself
            // is copied, so that there is one at every moment.
            let derived = [
                FileName::OffsetIndex(base),
                FileName::TimeIndex(base),
                FileName::TxnIndex(base),
                FileName::Sums(base),
            ];
            for derived in derived {
                set_aside(disk, &dir, derived, out)?;
            }
            let aside = aside_name(disk, &dir, name)?;
            copy_without(&source, disk, &dir.entry(&aside), std::iter::empty())?;
            writeln!(out, "kept {dir}/{name} as {aside}").map_err(CliError::Output)?;
            disk.sync_dir(&dir)?;
            disk.rename(&temporary, &dir.entry(name))?;
            disk.sync_dir(&dir)?;
        }
        // What was known of producers at a later point may rest on what is gone.
        let first = losses.iter().map(|loss| loss.segment).min().unwrap_or(Offset::ZERO);
        for entry in disk.list(&dir)? {
            match entry.name.to_str().and_then(FileName::parse) {
                Some(snapshot @ FileName::Snapshot(offset)) if offset > first => set_aside(disk, &dir, snapshot, out)?,
                Some(_) | None => {}
            }
        }
        Ok(disk.sync_dir(&dir)?)
    }
}

/// Tells what of a partition is damaged. A torn tail is named too, but is no loss of what was flushed.
fn losses(view: &LogView, partition: &TopicPartition, out: &mut impl Write) -> Result<Vec<Loss>, CliError> {
    let mut losses = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut next = view.log_start_offset();
    let mut segment = Offset::ZERO;
    let visit = |seen| {
        match seen {
            Seen::Batch { segment: base, entry, .. } => {
                let first = entry.base_offset(Default::default()).unwrap_or(entry.last_offset());
                for what in open.drain(..) {
                    writeln!(out, "{what}: offsets {next} to {first} would be lost").map_err(CliError::Output)?;
                }
                segment = base;
                next = entry.next_offset();
            }
            Seen::Damaged { path, position, size, damage, is_torn_tail } => {
                let (path, end) = (path.display(), position + size);
                if is_torn_tail {
                    writeln!(out, "{path}: torn tail, bytes {position} to {end}; the next opening cuts it off")
                        .map_err(CliError::Output)?;
                } else {
                    open.push(format!("{path}: bytes {position} to {end} ({damage})"));
                    let base = path_base(&path.to_string()).unwrap_or(segment);
                    losses.push(Loss { segment: base, from: position, to: end });
                }
            }
        }
        Ok(Wants::More)
    };
    view.visit(Offset::ZERO, visit, |_, _| {})?;
    for what in open {
        writeln!(out, "{what}: all from offset {next} on would be lost").map_err(CliError::Output)?;
    }
    if losses.is_empty() {
        writeln!(out, "{partition}: nothing to repair").map_err(CliError::Output)?;
    }
    Ok(losses)
}

/// The base offset in the name of a segment's file.
fn path_base(path: &str) -> Option<Offset> {
    FileName::parse(path.rsplit('/').next()?)?.base_offset()
}

/// Nothing is known any more to be flushed or closed: the next opening reads all of the log.
fn forget_marks(disk: &FileDisk, partition: &TopicPartition) -> Result<(), CliError> {
    let mut marks = MarkFile::open(disk.clone()).map_err(CliError::from_marks)?;
    marks.remove(partition).map_err(CliError::from_marks)?;
    marks.sync()?;
    let root = DiskPath::root();
    let path = root.entry("recovery-point-offset-checkpoint");
    let entries = disk.list(&root)?;
    let is_there = |name: &str| entries.iter().any(|entry| entry.name == *name);
    if is_there(".kafka_cleanshutdown") {
        disk.remove(&root.entry(".kafka_cleanshutdown"))?;
        disk.sync_dir(&root)?;
    }
    if is_there("recovery-point-offset-checkpoint") {
        let file = disk.open(&path, OpenHow::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
        file.read_full(0, &mut bytes)?;
        if let Ok(mut points) = OffsetCheckpoint::parse(&bytes)
            && points.offsets.remove(partition).is_some()
        {
            replace(disk, "recovery-point-offset-checkpoint", &points.encode())?;
        }
    }
    Ok(())
}

fn replace(disk: &FileDisk, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let root = DiskPath::root();
    let temporary = root.entry(format_args!("{name}.tmp"));
    let file = disk.open(&temporary, OpenHow::Replace)?;
    file.write_full(0, bytes)?;
    file.sync()?;
    disk.rename(&temporary, &root.entry(name))?;
    disk.sync_dir(&root)
}

/// Writes the good bytes of a segment to a new file, and brings it to disk.
fn copy_without<'a>(
    source: &impl Source,
    disk: &FileDisk,
    to: &DiskPath,
    losses: impl Iterator<Item = &'a Loss>,
) -> Result<(), CliError> {
    let file = disk.open(to, OpenHow::Replace)?;
    let failed = |source| CliError::Read { path: to.as_str().into(), source };
    let end = source.len().map_err(failed)?;
    let (mut from, mut written) = (0, 0);
    for (bad_from, bad_to) in losses.map(|loss| (loss.from, loss.to)).chain([(end, end)]) {
        while from < bad_from {
            let count = usize::try_from(bad_from - from).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            let mut bytes = vec![0; count];
            let read = source.read_at(from, &mut bytes).map_err(failed)?;
            if read == 0 {
                break;
            }
            file.write_full(written, &bytes[..read])?;
            from += read as u64;
            written += read as u64;
        }
        from = bad_to;
    }
    Ok(file.sync()?)
}

/// Keeps a file under a name that nobody takes for a log's. Nothing happens if it is not there.
fn set_aside(disk: &FileDisk, dir: &DiskPath, name: FileName, out: &mut impl Write) -> Result<(), CliError> {
    let is_ours = |entry: &Entry| entry.name == *name.to_string() && matches!(entry.kind, EntryKind::File { .. });
    if !disk.list(dir)?.iter().any(is_ours) {
        return Ok(());
    }
    let aside = aside_name(disk, dir, name)?;
    disk.rename(&dir.entry(name), &dir.entry(&aside))?;
    writeln!(out, "kept {dir}/{name} as {aside}").map_err(CliError::Output)
}

/// A name to keep a file under, which nothing has yet.
fn aside_name(disk: &FileDisk, dir: &DiskPath, name: FileName) -> Result<String, CliError> {
    let entries = disk.list(dir)?;
    let is_taken = |name: &String| entries.iter().any(|entry| entry.name == **name);
    let aside = (1_u32..).map(|number| format!("{name}.damaged-{number}")).find(|name| !is_taken(name));
    Ok(aside.unwrap_or_else(|| format!("{name}.damaged")))
}

/// Takes the lock of the log directory.
fn lock(disk: &FileDisk) -> Result<<FileDisk as Disk>::Lock, CliError> {
    disk.lock(&DiskPath::root().entry(".lock")).map_err(|error| {
        if error.kind == DiskErrorKind::AlreadyLocked { OpenError::AlreadyOpen.into() } else { error.into() }
    })
}

impl CliError {
    fn from_marks(error: MarksError) -> Self {
        match error {
            MarksError::Disk(error) => Self::Disk(error),
            other @ (MarksError::UnsupportedFormat { .. } | MarksError::Full { .. }) => Self::Marks(Box::new(other)),
        }
    }
}
