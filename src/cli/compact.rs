//! `ottla compact`: keeps only the latest record of each key.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::finding::{CliError, Finding};
use crate::cli::log_view::{LogView, Seen, Wants};
use crate::cli::read::named_partition;
use crate::cli::world;
use crate::disk::{FileDisk, LogFile, OpenOptions};
use crate::id::TopicPartition;
use crate::log::{Cleanup, LogConfig};
use crate::offset::Offset;
use crate::record::DecompressLimit;

/// Compacts a partition: of the records of each key only the latest is kept.
///
/// Begins a new segment first, so that all that is there now is compacted. Records of open transactions stay, and so do,
/// for a day, tombstones and the markers of transactions. A partition with records that have no key is refused, since
/// they would be lost. Nobody else may have the directory open.
#[derive(Args, Clone, Debug)]
pub struct CompactArgs {
    /// The log directory.
    dir: PathBuf,
    /// The partition, as its directory is named: TOPIC-NUMBER.
    #[arg(value_name = "TOPIC-PARTITION", value_parser = named_partition)]
    partition: TopicPartition,
}

impl CompactArgs {
    /// Compacts, and prints what became of the log.
    ///
    /// # Errors
    ///
    /// [`CliError`]. Every record that counts is still there.
    pub fn run(&self, mut out: impl Write, note: &mut dyn FnMut(&dyn Display)) -> Result<Finding, CliError> {
        let now = world::now();
        // A look first: opening would make a partition that is not there.
        LogView::open(&self.dir, &self.partition)?;
        let config = LogConfig { cleanup: Cleanup::Compact, ..LogConfig::default() };
        let options = OpenOptions { config, ..OpenOptions::default() };
        let (mut log, report) = LogFile::open(FileDisk::open(&self.dir)?, &self.partition, options, now)?;
        if !report.is_clean() {
            note(&report);
        }
        // With the lock in hand nobody appends between this look and the compaction.
        if let Some(offset) = self.first_without_key()? {
            log.close()?;
            return Err(CliError::WithoutKey { offset });
        }
        if log.log().active_segment().size > 0 {
            log.roll(now)?;
        }
        let done = log.compact_anyway(now)?;
        log.close()?;
        writeln!(
            out,
            "{}: {} records of {} left, {} bytes of {}, {} segments of {}",
            self.partition,
            done.records_after,
            done.records_before,
            done.bytes_after,
            done.bytes_before,
            done.segments_after,
            done.segments_before
        )
        .map_err(CliError::Output)?;
        if done.map_full {
            writeln!(out, "there were more keys than fit into memory: run it again for the rest")
                .map_err(CliError::Output)?;
        }
        out.flush().map_err(CliError::Output)?;
        Ok(if report.is_damaged() { Finding::Damage } else { Finding::Clean })
    }

    /// The first record that has no key, transactions' markers aside.
    fn first_without_key(&self) -> Result<Option<Offset>, CliError> {
        let view = LogView::open(&self.dir, &self.partition)?;
        let mut found = None;
        let visit = |seen| {
            let Seen::Batch { entry, .. } = seen else { return Ok(Wants::More) };
            if entry.is_control() {
                return Ok(Wants::More);
            }
            // What cannot be read is not compacted over: the compaction says so itself.
            if let Ok(records) = entry.records(DecompressLimit::default()) {
                let mut records = records.iter().map_while(Result::ok);
                found = records.find(|record| record.key.is_none()).map(|record| record.offset);
            }
            Ok(if found.is_some() { Wants::Enough } else { Wants::More })
        };
        view.visit(view.log_start_offset(), visit, |_, _| {})?;
        Ok(found)
    }
}
