//! `ottla dump`: what is in the files of a log directory.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::dump_07::dump_messages;
use crate::cli::dump_batch::dump_batches;
use crate::cli::dump_index::dump_index;
use crate::cli::dump_state::dump_state;
use crate::cli::finding::{CliError, Finding};
use crate::cli::kind::FileKind;
use crate::cli::paths::{self, Named};
use crate::cli::printer::{Form, Printer, Records};
use crate::cli::progress::Progress;
use crate::cli::source::Source;

/// Shows what is in files of a log directory, or in all files of a directory.
///
/// Writes nothing, and may look at a log that is being written to. What is damaged is shown as such, by its exact
/// range, and the exit code is then 1.
#[derive(Args, Clone, Debug)]
pub struct DumpArgs {
    /// A file of a log directory, or a directory.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// A JSON object per line: one for each batch of a `.log` file, one for each entry of other files.
    #[arg(long)]
    json: bool,
    /// Shows each batch's records too; `--json` always does.
    #[arg(long)]
    records: bool,
    /// The format of the batches, where bytes do not say it themselves.
    #[arg(long, value_enum, default_value_t = BatchFormat::Kafka)]
    format: BatchFormat,
}

/// How batches are laid out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum BatchFormat {
    /// As since Kafka 0.8: the bytes themselves say which format they have.
    Kafka,
    /// As before Kafka 0.8: no offsets, no keys, files named `.kafka`.
    #[value(name = "0.7")]
    Before08,
}

impl DumpArgs {
    fn form(&self) -> Form {
        let records = if self.records { Records::Shown } else { Records::Hidden };
        if self.json { Form::Json } else { Form::Text { records } }
    }

    /// Prints all that is asked for. A file that cannot be read is told to `on_error`, and the others are still shown.
    ///
    /// # Errors
    ///
    /// [`CliError::Output`] if `out` fails.
    pub fn run(&self, out: impl Write, on_error: &mut dyn FnMut(&dyn Display)) -> Result<Finding, CliError> {
        let mut out = Output { inner: out, has_failed: false };
        let mut finding = Finding::Clean;
        for path in &self.paths {
            let files = match paths::files(path) {
                Ok(files) => files,
                Err(error) => {
                    on_error(&error);
                    finding = Finding::Unreadable;
                    continue;
                }
            };
            for file in files {
                match self.run_on(&file, &mut out) {
                    Ok(here) => finding = finding.max(here),
                    Err(error @ CliError::Output(_)) => return Err(error),
                    Err(error) => {
                        on_error(&error);
                        finding = Finding::Unreadable;
                    }
                }
            }
        }
        out.flush().map_err(CliError::Output)?;
        Ok(finding)
    }

    fn run_on<W: Write>(&self, named: &Named, out: &mut Output<W>) -> Result<Finding, CliError> {
        let file = paths::open(&named.path)?;
        let mut progress = Progress::new(&named.shown, io::stdout().is_terminal());
        dump_source(&file, &named.shown, self.form(), self.format, out, &mut progress)
            .map_err(|source| out.blame(source, &named.path))
    }
}

/// Prints what is in a file of this name and these bytes.
///
/// # Errors
///
/// What `out` reports. Bytes are never an error, whatever they are.
pub fn dump_bytes(
    name: &str,
    bytes: &[u8],
    form: Form,
    format: BatchFormat,
    out: &mut impl Write,
) -> io::Result<Finding> {
    dump_source(&bytes, name, form, format, out, &mut Progress::hidden())
}

/// Prints what is in one file, whose name says what it holds.
///
/// # Errors
///
/// What `source` or `out` reports. Bytes are never an error, whatever they are.
pub(crate) fn dump_source(
    source: &impl Source,
    name: &str,
    form: Form,
    format: BatchFormat,
    out: &mut impl Write,
    progress: &mut Progress,
) -> io::Result<Finding> {
    let mut printer = Printer { out, form, file: name };
    let on_progress = |position, end| progress.at(position, end);
    match (FileKind::of(name), format) {
        (FileKind::Batches { base_offset }, BatchFormat::Kafka) => {
            dump_batches(base_offset, source, &mut printer, on_progress)
        }
        (FileKind::Index { kind, base_offset }, _) => dump_index(kind, base_offset, source, &mut printer),
        (FileKind::Messages07 { base_position }, _) => dump_messages(base_position, source, &mut printer, on_progress),
        (FileKind::Batches { .. } | FileKind::Other, BatchFormat::Before08) => {
            dump_messages(0, source, &mut printer, on_progress)
        }
        (kind, _) => dump_state(kind, source, &mut printer),
    }
}

/// An output that remembers whether it was the one that failed.
struct Output<W> {
    inner: W,
    has_failed: bool,
}

impl<W> Output<W> {
    /// Whose fault an error was.
    fn blame(&self, source: io::Error, path: &Path) -> CliError {
        if self.has_failed { CliError::Output(source) } else { CliError::Read { path: path.to_owned(), source } }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).inspect_err(|_| self.has_failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().inspect_err(|_| self.has_failed = true)
    }
}
