//! The `ottla` command. All of it is in the library, in `ottla::cli`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    ottla::cli::Cli::parse().run()
}
