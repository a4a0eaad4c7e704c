//! `ottla repair`: makes a log whose flushed bytes are damaged readable again, at the price it names.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use clap::Args;

use crate::cli::finding::{CliError, Finding};
use crate::cli::hidden::{BySums, Hidden, OPEN_BYTES, by_sums, met};
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
/// Where no batch looks damaged but the checksum of a block says that it is, a single wrong bit is put right; if there
/// are more, all batches that begin in the block go, since nothing tells which are good.
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

/// A stretch of a segment that has to go.
#[derive(Clone, Copy, Debug)]
struct Loss {
    segment: Offset,
    from: u64,
    to: u64,
    /// What takes its place, where that is known: then it is a single byte.
    with: Option<u8>,
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
            let view = LogView::open(&self.dir, &partition)?;
            let mut by_sums = by_sums(&disk, &partition)?;
            keep_hidden(&view, &mut by_sums.blocks)?;
            let losses = losses(&view, &by_sums, &partition, &mut out)?;
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
        // What is as it was written again is believed again.
        if losses.iter().any(|loss| loss.with.is_none()) {
            forget_marks(disk, partition)?;
        }
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
            // What is as it was written again needs nothing else to be.
            let is_cut = losses.iter().any(|loss| loss.segment == base && loss.with.is_none());
            for derived in derived.into_iter().filter(|_| is_cut) {
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
        let first = losses.iter().filter(|loss| loss.with.is_none()).map(|loss| loss.segment).min();
        for entry in disk.list(&dir)? {
            match entry.name.to_str().and_then(FileName::parse) {
                Some(snapshot @ FileName::Snapshot(offset)) if first.is_some_and(|first| offset > first) => {
                    set_aside(disk, &dir, snapshot, out)?;
                }
                Some(_) | None => {}
            }
        }
        Ok(disk.sync_dir(&dir)?)
    }
}

/// Of the blocks that differ from their sums, keeps those of which each batch looks good.
fn keep_hidden(view: &LogView, hidden: &mut Vec<Hidden>) -> Result<(), CliError> {
    if hidden.is_empty() {
        return Ok(());
    }
    // A wrong bit that a good batch's checksum covers is none.
    let mut confirmed = BTreeSet::new();
    let visit = |seen| {
        match seen {
            Seen::Batch { segment, position, .. } => {
                let open = position..position + OPEN_BYTES;
                let is_open = |(at, _): (u32, u8)| open.contains(&u64::from(at));
                let bad = &hidden[met(hidden, segment, open.start, open.end)];
                confirmed
                    .extend(bad.iter().filter_map(|bad| bad.bit).filter(|bit| is_open(*bit)).map(|bit| (segment, bit)));
            }
            Seen::Damaged { path, position, size, .. } => {
                if let Some(segment) = path_base(&path.to_string_lossy()) {
                    hidden.drain(met(hidden, segment, position, position + size));
                }
            }
        }
        Ok(Wants::More)
    };
    view.visit(Offset::ZERO, visit, |_, _| {})?;
    for bad in hidden {
        bad.bit = bad.bit.filter(|bit| confirmed.contains(&(bad.segment, *bit)));
    }
    Ok(())
}

/// What was found so far.
#[derive(Default)]
struct Losses {
    all: Vec<Loss>,
    /// What is to be told of those behind which no good batch was seen yet.
    open: Vec<(PathBuf, u64, u64, String)>,
}

impl Losses {
    /// Another stretch; what follows directly on one of the same kind belongs to it.
    fn add(&mut self, segment: Offset, path: PathBuf, from: u64, to: u64, what: String) {
        match (self.all.last_mut(), self.open.last_mut()) {
            (Some(last), Some(open)) if last.segment == segment && last.to == from && open.3 == what => {
                (last.to, open.2) = (to, to);
            }
            _ => {
                self.all.push(Loss { segment, from, to, with: None });
                self.open.push((path, from, to, what));
            }
        }
    }

    /// The end of a segment that is not there any more: what vouches for it must go, or it is missed for ever.
    fn add_missing(&mut self, view: &LogView, segment: Offset, bytes: &Range<u64>) {
        let path = view.path_of(FileName::Log(segment));
        self.add(segment, path, bytes.start, bytes.end, "the file ends in front of them".to_owned());
    }

    /// Tells of all that is open, at what price.
    fn tell(&mut self, out: &mut impl Write, price: impl Display) -> Result<(), CliError> {
        for (path, from, to, what) in self.open.drain(..) {
            writeln!(out, "{}: bytes {from} to {to} ({what}): {price}", path.display()).map_err(CliError::Output)?;
        }
        Ok(())
    }
}

/// Tells what of a partition is damaged. A torn tail is named too, but is no loss of what was flushed.
fn losses(
    view: &LogView,
    by_sums: &BySums,
    partition: &TopicPartition,
    out: &mut impl Write,
) -> Result<Vec<Loss>, CliError> {
    let (restored, hidden) = restored(view, &by_sums.blocks, out)?;
    let mut missing = by_sums.missing.iter().peekable();
    let mut losses = Losses::default();
    let mut next = view.log_start_offset();
    let mut segment = Offset::ZERO;
    let visit = |seen| {
        match seen {
            Seen::Batch { segment: base, position, entry } => {
                segment = base;
                while let Some((front, bytes)) = missing.next_if(|(front, _)| *front < base) {
                    losses.add_missing(view, *front, bytes);
                }
                if let Some(bad) = hidden[met(&hidden, base, position, position + OPEN_BYTES)].first() {
                    let (path, end) = (view.path_of(FileName::Log(base)), position + u64::from(entry.size()));
                    let what = format!("a wrong bit in a header between bytes {} and {}", bad.block.from, bad.block.to);
                    losses.add(base, path, position, end, what);
                    return Ok(Wants::More);
                }
                let first = entry.base_offset(Default::default()).unwrap_or(entry.last_offset());
                losses.tell(out, format_args!("offsets {next} to {first} would be lost"))?;
                next = entry.next_offset();
            }
            Seen::Damaged { path, position, size, damage, is_torn_tail } => {
                let end = position + size;
                if is_torn_tail {
                    let path = path.display();
                    writeln!(out, "{path}: torn tail, bytes {position} to {end}; the next opening cuts it off")
                        .map_err(CliError::Output)?;
                } else {
                    let base = path_base(&path.to_string_lossy()).unwrap_or(segment);
                    losses.add(base, path, position, end, damage.to_string());
                }
            }
        }
        Ok(Wants::More)
    };
    view.visit(Offset::ZERO, visit, |_, _| {})?;
    for (front, bytes) in missing {
        losses.add_missing(view, *front, bytes);
    }
    losses.tell(out, format_args!("all from offset {next} on would be lost"))?;
    let mut all = losses.all;
    all.extend(restored);
    all.sort_by_key(|loss| (loss.segment, loss.from));
    if all.is_empty() {
        writeln!(out, "{partition}: nothing to repair").map_err(CliError::Output)?;
    }
    Ok(all)
}

/// Where the sum of a block says which bit is wrong, nothing is lost. Answers those, and the blocks where it does not.
fn restored(view: &LogView, hidden: &[Hidden], out: &mut impl Write) -> Result<(Vec<Loss>, Vec<Hidden>), CliError> {
    let (mut restored, mut others) = (Vec::new(), Vec::new());
    for bad in hidden {
        let Some((position, bit)) = bad.bit else {
            others.push(*bad);
            continue;
        };
        let path = view.path_of(FileName::Log(bad.segment));
        let mut byte = [0];
        let read = paths::open(&path)?.read_at(position.into(), &mut byte);
        read.map_err(|source| CliError::Read { path: path.clone(), source })?;
        let (from, with) = (u64::from(position), Some(byte[0] ^ 1 << bit));
        restored.push(Loss { segment: bad.segment, from, to: from + 1, with });
        let path = path.display();
        writeln!(out, "{path}: byte {position}: bit {bit} is wrong and would be put right; nothing would be lost")
            .map_err(CliError::Output)?;
    }
    Ok((restored, others))
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

/// Writes a segment to a new file, without what has to go, and brings it to disk.
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
    for (bad_from, bad_to, with) in losses.map(|loss| (loss.from, loss.to, loss.with)).chain([(end, end, None)]) {
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
        // A byte within what is gone already goes with it.
        if let Some(byte) = with.filter(|_| from == bad_from) {
            file.write_full(written, &[byte])?;
            written += 1;
        }
        from = from.max(bad_to);
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
