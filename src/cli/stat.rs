//! `ottla stat`: what each partition takes of the disk, and how fast it grows.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::BinaryBytes;

use crate::cli::columns::columns;
use crate::cli::finding::{CliError, Finding};
use crate::cli::json::Object;
use crate::cli::log_view::Noted;
use crate::cli::survey::{Survey, partitions};
use crate::cli::world::{self, Clock};
use crate::id::TopicPartition;

/// Shows what each partition of a log directory takes of the disk, with a bar beside the largest one.
///
/// Writes nothing, takes no lock, and may look beside a live queue. With --watch it looks again and again, until it is
/// interrupted, and says how many records and bytes a second came since the look before.
#[derive(Args, Clone, Debug)]
pub struct StatArgs {
    /// The log directory.
    dir: PathBuf,
    /// Look again and again.
    #[arg(long)]
    watch: bool,
    /// How long to wait between two looks.
    #[arg(long, default_value_t = 1000, value_name = "MS", requires = "watch")]
    interval_ms: u64,
    /// Stop after so many looks.
    #[arg(long, value_name = "N", requires = "watch")]
    count: Option<u64>,
    /// A JSON object per partition and look.
    #[arg(long)]
    json: bool,
}

/// How wide the bar of the largest partition is.
const BAR_WIDTH: u64 = 20;

/// Clears a terminal, and goes on at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// A look at a log directory.
struct Look {
    at: Duration,
    surveys: BTreeMap<TopicPartition, Survey>,
}

/// What came in a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Rates {
    records: u64,
    bytes: u64,
}

impl StatArgs {
    /// Prints the looks; on a terminal each takes the place of the one before it.
    ///
    /// # Errors
    ///
    /// [`CliError`] if the directory cannot be read or `out` fails. A single log that cannot be looked at is told to `note`.
    pub fn run(
        &self,
        mut out: impl Write,
        is_terminal: bool,
        note: &mut dyn FnMut(&dyn Display),
    ) -> Result<Finding, CliError> {
        let clock = Clock::start();
        let mut finding = Finding::Clean;
        let mut before = None;
        let looks = if self.watch { self.count.unwrap_or(u64::MAX) } else { 1 };
        for number in 0..looks {
            if number > 0 {
                world::pause(Duration::from_millis(self.interval_ms));
            }
            let look = self.look(&clock, &mut finding, note)?;
            let clears = self.watch && is_terminal && !self.json;
            self.print(&look, before.as_ref(), if clears { CLEAR } else { "" }, &mut out)
                .and_then(|()| out.flush())
                .map_err(CliError::Output)?;
            before = Some(look);
        }
        Ok(finding)
    }

    fn look(&self, clock: &Clock, finding: &mut Finding, note: &mut dyn FnMut(&dyn Display)) -> Result<Look, CliError> {
        let mut surveys = BTreeMap::new();
        let noted = Noted::read(&self.dir)?;
        for partition in partitions(&self.dir)? {
            match Survey::of_partition(&self.dir, &partition, &noted) {
                Ok(Some(survey)) if !survey.segments.is_empty() => {
                    if let Some(damage) = &survey.damage {
                        *finding = (*finding).max(Finding::Damage);
                        note(&format_args!("DAMAGED {damage}"));
                    }
                    surveys.insert(partition, survey);
                }
                Ok(_) => {}
                Err(error) => {
                    *finding = Finding::Unreadable;
                    note(&error);
                }
            }
        }
        Ok(Look { at: clock.elapsed(), surveys })
    }

    fn print(&self, look: &Look, before: Option<&Look>, begin: &str, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            return look.json(before, out);
        }
        write!(out, "{begin}")?;
        look.text(before, out)?;
        if let Some(free) = world::free_space(&self.dir) {
            write!(out, ", {} free", BinaryBytes(free))?;
        }
        writeln!(out)
    }
}

impl Look {
    /// What came of a partition since the look before; `None` if there is nothing to compare with.
    fn rates(&self, partition: &TopicPartition, before: Option<&Self>) -> Option<Rates> {
        let (now, before) = (self.surveys.get(partition)?, before?);
        let (then, time) = (before.surveys.get(partition)?, self.at.checked_sub(before.at)?);
        let records = now.log_end_offset.get().saturating_sub(then.log_end_offset.get());
        Some(Rates { records: per_second(records, time)?, bytes: per_second(now.appended_since(then), time)? })
    }

    fn text(&self, before: Option<&Self>, out: &mut impl Write) -> io::Result<()> {
        let largest = self.surveys.values().map(|survey| survey.disk_bytes).max().unwrap_or(0);
        let mut rows = vec![["PARTITION", "", "ON DISK", "OFFSETS", "RECORDS/s", "BYTES/s"].map(str::to_owned)];
        rows.extend(self.surveys.iter().map(|(partition, survey)| {
            let rates = self.rates(partition, before);
            [
                partition.to_string(),
                bar(survey.disk_bytes, largest),
                BinaryBytes(survey.disk_bytes).to_string(),
                survey.offsets().to_string(),
                rates.map_or_else(|| "-".to_owned(), |rates| rates.records.to_string()),
                rates.map_or_else(|| "-".to_owned(), |rates| BinaryBytes(rates.bytes).to_string()),
            ]
        }));
        columns(out, &rows)?;
        let total = self.surveys.values().map(|survey| survey.disk_bytes).sum();
        write!(out, "{} partitions, {} on disk", self.surveys.len(), BinaryBytes(total))
    }

    fn json(&self, before: Option<&Self>, out: &mut impl Write) -> io::Result<()> {
        for (partition, survey) in &self.surveys {
            let rates = self.rates(partition, before);
            let mut object = Object::begin(out)?;
            object.field("partition", partition.to_string().as_str())?;
            object.field("log_start_offset", survey.log_start_offset.get())?;
            object.field("log_end_offset", survey.log_end_offset.get())?;
            object.field("segments", survey.segments.len())?;
            object.field("bytes", survey.bytes())?.field("disk_bytes", survey.disk_bytes)?;
            object.field("records_per_second", rates.map(|rates| rates.records))?;
            object.field("bytes_per_second", rates.map(|rates| rates.bytes))?;
            object.end()?;
            writeln!(out)?;
        }
        Ok(())
    }
}

/// `None` if no time has passed.
fn per_second(count: u64, time: Duration) -> Option<u64> {
    let rate = (u128::from(count) * 1_000_000).checked_div(time.as_micros())?;
    Some(u64::try_from(rate).unwrap_or(u64::MAX))
}

/// A bar for a part of the largest: any part at all is seen.
fn bar(part: u64, largest: u64) -> String {
    let filled = (u128::from(part) * u128::from(BAR_WIDTH)).div_ceil(u128::from(largest.max(1)));
    (0..u128::from(BAR_WIDTH)).map(|at| if at < filled { '█' } else { '░' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Offset;

    fn look(at_ms: u64, partitions: &[(&str, u64, u64)]) -> Look {
        let surveys = partitions.iter().map(|(name, end, bytes)| {
            let survey = Survey {
                log_end_offset: Offset::new(*end),
                segments: [(Offset::ZERO, *bytes)].into(),
                disk_bytes: *bytes,
                ..Survey::default()
            };
            (TopicPartition::parse(name).unwrap(), survey)
        });
        Look { at: Duration::from_millis(at_ms), surveys: surveys.collect() }
    }

    #[test]
    fn a_rate_is_what_came_between_two_looks_by_the_time_between_them() {
        let before = look(1000, &[("a-0", 100, 5000)]);
        let now = look(3000, &[("a-0", 600, 9000), ("new-0", 10, 10)]);
        let rates = |name: &str, before: Option<&Look>| now.rates(&TopicPartition::parse(name).unwrap(), before);
        assert_eq!(rates("a-0", Some(&before)), Some(Rates { records: 250, bytes: 2000 }));
        assert_eq!(rates("a-0", None), None);
        assert_eq!(rates("new-0", Some(&before)), None, "it was not there before");
        assert_eq!(rates("a-0", Some(&look(3000, &[("a-0", 1, 1)]))), None, "no time has passed");
        assert_eq!(rates("a-0", Some(&look(0, &[("a-0", 900, 9000)]))), Some(Rates { records: 0, bytes: 0 }));
    }

    #[test]
    fn a_look_is_printed_in_columns_with_a_bar_beside_the_largest() {
        let before = look(0, &[("a-0", 0, 0), ("b-10", 0, 0)]);
        let mut out = Vec::new();
        look(1000, &[("a-0", 7, 2048), ("b-10", 0, 1)]).text(Some(&before), &mut out).unwrap();
        let expected = "\
            PARTITION                         ON DISK  OFFSETS  RECORDS/s   BYTES/s\n\
            a-0        ████████████████████  2.00 KiB        7          7  2.00 KiB\n\
            b-10       █░░░░░░░░░░░░░░░░░░░       1 B        0          0       1 B\n\
            2 partitions, 2.00 KiB on disk";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(bar(0, 0), "░".repeat(20));
    }
}
