//! `ottla append`, as a user runs it, and the same lines out again by `ottla read`.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn spawned(command: &str, dir: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ottla"))
        .args([command, dir.to_str().unwrap(), "lines-0"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn append(dir: &Path, input: &[u8], more: &[&str]) -> Output {
    let mut child = spawned("append", dir, more);
    let mut stdin = child.stdin.take().unwrap();
    // It may stop before it has read all.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn read(dir: &Path, more: &[&str]) -> Vec<u8> {
    let done = spawned("read", dir, more).wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// Lines with every byte but the line end, some empty, some long.
fn lines(count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..count {
        let byte = (number % 256) as u8;
        let length = if number.is_multiple_of(97) { 3000 } else { number as usize % 60 };
        bytes.extend(std::iter::repeat_n(if byte == b'\n' { b'-' } else { byte }, length));
        bytes.push(b'\n');
    }
    bytes
}

#[test]
fn what_goes_in_as_lines_comes_out_as_the_same_bytes_with_every_codec_and_flush() {
    let input = lines(3000);
    for (codec, flush, batch) in [
        ("none", "end", "65536"),
        ("gzip", "every", "65536"),
        ("snappy", "10000", "1000"),
        ("lz4", "end", "1"),
        ("zstd", "every", "20000"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let args = ["--codec", codec, "--flush", flush, "--batch-bytes", batch, "--segment-bytes", "20000"];
        let done = append(dir.path(), &input, &args);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(read(dir.path(), &[]) == input, "{codec}");
    }
}

#[test]
fn a_last_line_without_its_end_is_a_record_and_nothing_is_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(append(dir.path(), b"", &[]).status.success());
    assert_eq!(read(dir.path(), &[]), b"");
    let done = append(dir.path(), b"\n\nlast", &["--acks"]);
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "ACK 2\n");
    assert_eq!(read(dir.path(), &[]), b"\n\nlast\n");
}

#[test]
fn keys_are_split_from_values_at_the_first_separator_and_joined_again() {
    let dir = tempfile::tempdir().unwrap();
    let input = b"k::v\n::empty key\nno key\na::b::c\n";
    assert!(append(dir.path(), input, &["--key-separator", "::"]).status.success());
    assert_eq!(read(dir.path(), &["--key-separator", "::"]), input);
    assert_eq!(read(dir.path(), &[]), b"v\nempty key\nno key\nb::c\n");
}

#[test]
fn a_killed_append_has_kept_every_acknowledged_line_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let input: Vec<String> = (0..20_000).map(|number| format!("line {number}\n")).collect();
    let args = ["--acks", "--batch-bytes", "500", "--flush", "every"];
    let mut child = spawned("append", dir.path(), &args);
    let mut stdin = child.stdin.take().unwrap();
    let all = input.concat();
    let feeding = {
        let all = all.clone();
        // It is killed before it has read all.
        #[expect(clippy::disallowed_methods, reason = "a pipe is fed while its other end is watched")]
        std::thread::spawn(move || drop(stdin.write_all(all.as_bytes())))
    };
    let mut acknowledged = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().take(20) {
        acknowledged = line.unwrap().strip_prefix("ACK ").unwrap().parse().unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    feeding.join().unwrap();

    let kept = String::from_utf8(read(dir.path(), &[])).unwrap();
    let count = kept.lines().count();
    assert!(count > acknowledged, "{count} lines kept, up to {acknowledged} were acknowledged");
    assert!(count < input.len(), "killed too late to show anything");
    assert!(all.starts_with(&kept));

    let rest = input[count..].concat();
    let done = append(dir.path(), rest.as_bytes(), &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(read(dir.path(), &[]) == all.as_bytes());
}

#[test]
fn a_second_writer_is_told_so_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = spawned("append", dir.path(), &["--acks"]);
    let mut stdin = first.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    let mut acks = BufReader::new(first.stdout.take().unwrap());
    let mut ack = String::new();
    acks.read_line(&mut ack).unwrap();
    assert_eq!(ack, "ACK 0\n", "a line is not held back while more is waited for");

    let second = append(dir.path(), b"two\n", &[]);
    assert_eq!(second.status.code(), Some(3));
    assert!(String::from_utf8(second.stderr).unwrap().contains("already open"));
    assert_eq!(read(dir.path(), &[]), b"one\n", "reading needs no lock");
    drop(stdin);
    assert!(first.wait().unwrap().success());
}

#[test]
fn a_line_longer_than_any_batch_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut input = b"short\n".to_vec();
    input.resize(input.len() + (64 << 20), b'x');
    let done = append(dir.path(), &input, &[]);
    assert_eq!(done.status.code(), Some(3));
    assert!(String::from_utf8(done.stderr).unwrap().starts_with("ottla: line 2 is longer than "));
}

#[test]
fn a_compaction_keeps_the_latest_of_each_key_and_refuses_to_lose_what_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let input: String = (0..1000).map(|number| format!("key-{}=value {number}\n", number % 10)).collect();
    let keyed = ["--key-separator", "=", "--batch-bytes", "500"];
    assert!(append(dir.path(), input.as_bytes(), &keyed).status.success());
    let done = spawned("compact", dir.path(), &[]).wait_with_output().unwrap();
    let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    assert!(done.status.success(), "{said}");
    assert!(said.starts_with("lines-0: 10 records of 1000 left, "), "{said}");
    let latest: String = (990..1000).map(|number| format!("key-{}=value {number}\n", number % 10)).collect();
    assert_eq!(String::from_utf8(read(dir.path(), &["--key-separator", "="])).unwrap(), latest);

    assert!(append(dir.path(), b"no key\n", &[]).status.success());
    let done = spawned("compact", dir.path(), &[]).wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(said, "ottla: the record at offset 1000 has no key and would be lost\n");
    assert!(read(dir.path(), &[]).ends_with(b"no key\n"));
}
