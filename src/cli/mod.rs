//! The `ottla` command: lines into a log, records out of it, and a look into log directories in any state.
//!
//! What only shows works beside a live writer, writes nothing, and takes any bytes: damage is shown, never a panic. Every
//! command ends with 0 if all is clean, 1 if it found damage, 2 if it was used wrongly, 3 if a file could not be read
//! or written. A reader that stops reading (`ottla dump .. | head`) ends it quietly.
//!
//! - May use: everything. Nobody uses it but `src/bin/ottla`.
//! - Must not know: how a log decides; it shows and asks.
//! - Always true: memory is bounded whatever a file says of its own size.

mod append;
mod columns;
mod compact;
mod dump;
mod dump_07;
mod dump_batch;
mod dump_index;
mod dump_state;
mod finding;
mod hidden;
mod json;
mod kind;
mod log_view;
mod metadata;
mod paths;
mod printer;
mod progress;
mod read;
mod repair;
mod source;
mod stat;
mod survey;
mod topics;
mod verify;
mod walk;
mod world;

use std::fmt::Display;
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use append::AppendArgs;
pub use compact::CompactArgs;
pub use dump::{BatchFormat, DumpArgs, dump_bytes};
pub use finding::{CliError, Finding};
pub use printer::{Form, Records};
pub use read::ReadArgs;
pub use repair::RepairArgs;
pub use stat::StatArgs;
pub use topics::TopicsArgs;
pub use verify::VerifyArgs;

/// Apache Kafka's storage engine: appends to logs, reads them, and looks into log directories.
#[derive(Clone, Debug, Parser)]
#[command(name = "ottla", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Append(AppendArgs),
    Compact(CompactArgs),
    Dump(DumpArgs),
    Read(ReadArgs),
    Verify(VerifyArgs),
    Repair(RepairArgs),
    Topics(TopicsArgs),
    Stat(StatArgs),
}

impl Cli {
    /// Does what was asked for, with the process's own input and output.
    pub fn run(self) -> ExitCode {
        let out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
        let done = match &self.command {
            Command::Append(args) => {
                let input = BufReader::with_capacity(256 << 10, io::stdin().lock());
                args.run(input, world::input_size(), out, &mut complain)
            }
            Command::Compact(args) => args.run(out, &mut complain),
            Command::Dump(args) => args.run(out, &mut complain),
            Command::Read(args) => args.run(out, &mut complain),
            Command::Verify(args) => args.run(out, &mut complain),
            Command::Repair(args) => args.run(out, &mut complain),
            Command::Topics(args) => args.run(out, &mut complain),
            Command::Stat(args) => args.run(out, io::stdout().is_terminal(), &mut complain),
        };
        match done {
            Ok(finding) => finding.into(),
            Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                Finding::Unreadable.into()
            }
        }
    }
}

fn complain(error: &dyn Display) {
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "ottla: {error}");
}
