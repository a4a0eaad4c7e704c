//! Damage that no batch shows and sums see: a wrong bit among those that no batch's checksum covers, and a lost end.
//!
//! - Always true: only sums that an opening would go by are believed. What Kafka, or a compaction that was cut short, has
//!   put in the place of what was summed up is not damaged.

use std::ops::Range;

use crate::cli::finding::CliError;
use crate::cli::world;
use crate::disk::{
    BadBlock, Disk, DiskError, DiskErrorKind, DiskFile, DiskPath, FileDisk, LogFile, OpenHow, OpenOptions, OverlayDisk,
    Sums,
};
use crate::id::TopicPartition;
use crate::log::FileName;
use crate::offset::Offset;

/// A block of a segment that is not what was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hidden {
    /// The base of the segment.
    pub(crate) segment: Offset,
    /// The block.
    pub(crate) block: BadBlock,
    /// The bit that accounts for it, if one does: which byte of the segment it is in, and which it is.
    pub(crate) bit: Option<(u32, u8)>,
}

/// The bytes in front of a batch that its checksum leaves open.
pub(crate) const OPEN_BYTES: u64 = 17;

/// Those of `blocks`, which are in order, that hold any of these bytes.
pub(crate) fn met(blocks: &[Hidden], segment: Offset, from: u64, to: u64) -> Range<usize> {
    let first = blocks.partition_point(|bad| (bad.segment, u64::from(bad.block.to)) <= (segment, from));
    let behind = blocks.partition_point(|bad| (bad.segment, u64::from(bad.block.from)) < (segment, to));
    first..behind.max(first)
}

/// What the sums of a log's segments see, in order.
#[derive(Debug, Default)]
pub(crate) struct BySums {
    /// The blocks that differ, whatever the reason.
    pub(crate) blocks: Vec<Hidden>,
    /// Bytes that are not there any more at the ends of segments.
    pub(crate) missing: Vec<(Offset, Range<u64>)>,
}

/// Compares a log with its sums.
pub(crate) fn by_sums(disk: &FileDisk, partition: &TopicPartition) -> Result<BySums, CliError> {
    // What an opening would make of the directory, without touching it.
    let opened = OverlayDisk::new(disk.clone());
    let Ok((log, _)) = LogFile::open(opened.clone(), partition, OpenOptions::default(), world::now()) else {
        return Ok(BySums::default());
    };
    let dir = DiskPath::root().entry(partition);
    let mut found = BySums::default();
    for segment in log.log().segments().map(|segment| segment.base_offset) {
        let Some(sums) = read(&opened, &dir.entry(FileName::Sums(segment)))?.and_then(|bytes| Sums::parse(&bytes).ok())
        else {
            continue;
        };
        let path = dir.entry(FileName::Log(segment));
        let (file, seen) = (disk.open(&path, OpenHow::Read)?, opened.open(&path, OpenHow::Read)?);
        let len = file.len()?;
        if len < u64::from(sums.log_len()) && len == seen.len()? {
            found.missing.push((segment, len..u64::from(sums.log_len())));
        }
        for block in 0..sums.block_count() {
            let range = sums.range(block);
            let bytes = [read_at(&file, range.start, range.len())?, read_at(&seen, range.start, range.len())?];
            // One that is not there whole is missing, and one that an opening changes is something else.
            if bytes[0].len() < range.len() || bytes[0] != bytes[1] {
                continue;
            }
            if let Err(block) = sums.check(block, &bytes[0]) {
                found.blocks.push(Hidden { segment, block, bit: block.flipped_bit() });
            }
        }
    }
    Ok(found)
}

/// A small file; `None` if it is not there.
fn read<D: Disk>(disk: &D, path: &DiskPath) -> Result<Option<Vec<u8>>, DiskError> {
    match disk.open(path, OpenHow::Read) {
        Ok(file) => {
            let len = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(SUMS_BYTES_MAX);
            read_at(&file, 0, len).map(Some)
        }
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// No file of sums is larger.
const SUMS_BYTES_MAX: usize = 1 << 20;

fn read_at<F: DiskFile>(file: &F, position: u32, len: usize) -> Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; len];
    let read = file.read_full(u64::from(position), &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
