//! A real file goes into a log line by line, the writer is killed in the middle (`kill -9`), goes on at the last durable
//! line, and everything is read back and compared.
//!
//! ```sh
//! cargo run --release --features cli --example crash_demo -- [FILE]
//! ```
//!
//! Without a FILE it makes one of 500,000 lines. The writer and the readers are the `ottla` command, in processes of
//! their own.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a demonstration handles real files and processes"
)]

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use clap::Parser as _;

/// The first argument of a process that is to be the `ottla` command.
const BE_OTTLA: &str = "--be-ottla";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if first.as_deref().is_some_and(|first| first == BE_OTTLA) {
        let command = std::iter::once("ottla".into()).chain(args);
        return Ok(ottla::cli::Cli::parse_from(command).run());
    }
    let scratch = tempfile_dir()?;
    let input = match first {
        Some(path) => PathBuf::from(path),
        None => made_up(&scratch.join("lines.txt"))?,
    };
    let done = demonstrate(&input, &scratch.join("log"));
    std::fs::remove_dir_all(&scratch)?;
    done
}

fn demonstrate(input: &Path, dir: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let (lines, bytes) = measure(input)?;
    println!("{}: {lines} lines, {bytes} bytes", input.display());

    let batch_bytes = (bytes / 1000).clamp(256, 64 << 10).to_string();
    let mut writer = ottla("append", dir)
        .args(["--acks", "--flush", "every", "--batch-bytes", &batch_bytes])
        .stdin(File::open(input)?)
        .stdout(Stdio::piped())
        .spawn()?;
    let acknowledged = kill_in_the_middle(&mut writer, lines / 2)?;
    println!("killed the writer after it had acknowledged {acknowledged} lines as flushed to disk");

    let kept = count_lines(BufReader::new(reader(dir)?.stdout.take().ok_or("no output")?))?;
    println!("{kept} lines are in the log");
    if kept < acknowledged {
        println!("LOST: {} acknowledged lines", acknowledged - kept);
        return Ok(ExitCode::FAILURE);
    }

    println!("going on with line {}", kept + 1);
    let mut rest = File::open(input)?;
    rest.seek(SeekFrom::Start(position_of_line(input, kept)?))?;
    if !ottla("append", dir).stdin(rest).status()?.success() {
        return Err("the second writer failed".into());
    }

    let mut read = BufReader::new(reader(dir)?.stdout.take().ok_or("no output")?);
    if is_same(&mut BufReader::new(File::open(input)?), &mut read)? {
        println!("read back: the same {lines} lines, byte for byte");
        Ok(ExitCode::SUCCESS)
    } else {
        println!("DIFFERENT: what was read back is not what went in");
        Ok(ExitCode::FAILURE)
    }
}

/// This very program, as the `ottla` command.
fn ottla(command: &str, dir: &Path) -> Command {
    let mut this = Command::new(std::env::current_exe().unwrap_or_else(|_| "ottla".into()));
    this.arg(BE_OTTLA).arg(command).arg(dir).arg("lines-0");
    this
}

fn reader(dir: &Path) -> io::Result<Child> {
    ottla("read", dir).stdout(Stdio::piped()).spawn()
}

/// Kills the writer as soon as it has acknowledged `enough` lines. Answers how many it had acknowledged.
fn kill_in_the_middle(writer: &mut Child, enough: u64) -> Result<u64, Box<dyn Error>> {
    let mut acknowledged = 0;
    let mut acks = BufReader::new(writer.stdout.take().ok_or("no output")?).lines();
    while let Some(line) = acks.next().transpose()? {
        let last: u64 = line.strip_prefix("ACK ").ok_or("not an acknowledgement")?.parse()?;
        acknowledged = last + 1;
        if acknowledged >= enough {
            writer.kill()?;
            break;
        }
    }
    // What it had said before it died counts too.
    for line in acks {
        if let Some(Ok(last)) = line?.strip_prefix("ACK ").map(str::parse::<u64>) {
            acknowledged = last + 1;
        }
    }
    writer.wait()?;
    Ok(acknowledged)
}

fn measure(path: &Path) -> io::Result<(u64, u64)> {
    Ok((count_lines(BufReader::new(File::open(path)?))?, std::fs::metadata(path)?.len()))
}

/// A last line without an end counts.
fn count_lines(mut input: impl BufRead) -> io::Result<u64> {
    let mut lines = 0;
    while skip_line(&mut input)? > 0 {
        lines += 1;
    }
    Ok(lines)
}

fn position_of_line(path: &Path, line: u64) -> io::Result<u64> {
    let mut input = BufReader::new(File::open(path)?);
    let mut position = 0;
    for _ in 0..line {
        position += skip_line(&mut input)?;
    }
    Ok(position)
}

fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    input.skip_until(b'\n').map(|bytes| bytes as u64)
}

/// Whether both have the same bytes, but for the end of the last line.
fn is_same(one: &mut impl BufRead, other: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        if left.is_empty() {
            let mut rest = Vec::new();
            other.take(2).read_to_end(&mut rest)?;
            return Ok(rest.is_empty() || rest == b"\n");
        }
        let count = left.len().min(right.len());
        if count == 0 || left[..count] != right[..count] {
            return Ok(false);
        }
        one.consume(count);
        other.consume(count);
    }
}

fn tempfile_dir() -> io::Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("ottla-crash-demo-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn made_up(path: &Path) -> io::Result<PathBuf> {
    let mut file = BufWriter::new(File::create(path)?);
    for number in 1..=500_000_u32 {
        writeln!(file, "line {number}: {:032x}", u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060))?;
    }
    file.flush()?;
    Ok(path.to_owned())
}
