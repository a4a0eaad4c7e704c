//! `ottla verify` and `ottla repair`, as a user runs them.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "log directories are files")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn run(args: &[&str], input: &[u8]) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// Every file below a directory, with its bytes.
fn image(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(image(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.insert(path, bytes);
        }
    }
    files
}

/// A closed log of 3,000 lines in several segments, and its directory.
fn log() -> tempfile::TempDir {
    log_with(&[])
}

fn log_with(more: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..3000).map(|number| format!("line {number}\n")).collect();
    let args = ["--batch-bytes", "1000", "--segment-bytes", "20000"];
    let to = ["append", dir.path().to_str().unwrap(), "t-0"];
    let (code, text) = run(&[&to[..], &args, more].concat(), lines.as_bytes());
    assert_eq!(code, 0, "{text}");
    dir
}

/// The segments, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = image(&dir.join("t-0"));
    files.into_keys().filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}

#[test]
fn directories_written_by_kafka_verify_as_clean_and_are_not_touched() {
    for dir in ["kafka-4.3/clean", "kafka-4.3/killed", "kafka-2.8/clean"] {
        let before = image(&golden(dir));
        let (code, text) = run(&["verify", golden(dir).to_str().unwrap()], b"");
        assert_eq!((code, text.contains("DAMAGED")), (0, false), "{text}");
        assert!(image(&golden(dir)) == before);
    }
}

#[test]
fn what_was_appended_verifies_as_clean_and_there_is_nothing_to_repair() {
    let dir = log();
    let path = dir.path().to_str().unwrap();
    let (code, text) = run(&["verify", path], b"");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("t-0: offsets 0 to 3000, "), "{text}");
    assert!(text.ends_with(" 3000 records: clean\n"), "{text}");
    let before = image(dir.path());
    assert_eq!(run(&["repair", path], b""), (0, "t-0: nothing to repair\n".to_owned()));
    assert_eq!(run(&["repair", path, "--write"], b""), (0, "t-0: nothing to repair\n".to_owned()));
    assert!(image(dir.path()) == before, "a repair of nothing changes nothing");
}

#[test]
fn a_flipped_bit_anywhere_in_a_sealed_segment_is_found() {
    let dir = log();
    let segment = &segments(dir.path())[0];
    let whole = fs::read(segment).unwrap();
    for at in [0, 5, 9, 13, 16, 18, 30, 60, 100, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(segment, &bytes).unwrap();
        let (code, text) = run(&["verify", dir.path().to_str().unwrap()], b"");
        assert_eq!(code, 1, "byte {at}: {text}");
        assert!(text.contains("DAMAGED"), "{text}");
    }
}

#[test]
fn a_repair_names_what_is_lost_keeps_the_old_files_and_leaves_all_else_readable() {
    let dir = log();
    let path = dir.path().to_str().unwrap();
    let segment = segments(dir.path())[1].clone();
    let mut bytes = fs::read(&segment).unwrap();
    // Within the records of the first batch.
    bytes[200] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (_, before) = run(&["read", path, "t-0"], b"");

    let untouched = image(dir.path());
    let (code, text) = run(&["repair", path], b"");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("would be lost\n") && text.ends_with("nothing was changed; --write repairs\n"), "{text}");
    assert!(image(dir.path()) == untouched);

    let (code, text) = run(&["repair", path, "--write"], b"");
    assert_eq!(code, 1, "{text}");
    let aside = PathBuf::from(format!("{}.damaged-1", segment.display()));
    assert!(fs::read(&aside).unwrap() == bytes, "the old file is kept");

    let (code, text) = run(&["verify", path], b"");
    assert_eq!(code, 0, "{text}");
    let (code, after) = run(&["read", path, "t-0"], b"");
    assert_eq!(code, 0, "{after}");
    let readable: Vec<&str> = before.lines().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(after.lines().collect::<Vec<_>>(), readable);
    assert!((2800..3000).contains(&readable.len()), "{} lines left", readable.len());

    // Life goes on behind the end, not in the gap.
    assert_eq!(run(&["append", path, "t-0"], b"next\n").0, 0);
    let (_, last) = run(&["read", path, "t-0", "--json", "--from", "3000"], b"");
    assert!(last.starts_with("{\"offset\":3000,"), "{last}");
}

/// The bytes of a batch that no checksum of a batch covers, but for its length and magic, which show by themselves.
const HIDDEN: [usize; 4] = [0, 7, 12, 15];

#[test]
fn a_wrong_bit_that_only_a_block_sum_sees_is_put_right_and_nothing_is_lost() {
    for (number, at) in HIDDEN.into_iter().enumerate() {
        let dir = log();
        let path = dir.path().to_str().unwrap();
        let segment = segments(dir.path())[number % 3].clone();
        let whole = fs::read(&segment).unwrap();
        let mut bytes = whole.clone();
        // In the header of the second batch.
        let second = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
        bytes[second + at] ^= 0x20;
        fs::write(&segment, &bytes).unwrap();
        let untouched = image(dir.path());
        let (code, text) = run(&["repair", path], b"");
        let named = format!("byte {}: bit 5 is wrong and would be put right; nothing would be lost\n", second + at);
        assert!(code == 1 && text.contains(&named), "byte {at}: {text}");
        assert!(text.ends_with("nothing was changed; --write repairs\n"), "{text}");
        assert!(image(dir.path()) == untouched, "byte {at}");

        let (code, text) = run(&["repair", path, "--write"], b"");
        assert_eq!(code, 1, "byte {at}: {text}");
        assert!(fs::read(&segment).unwrap() == whole, "byte {at}: it is what was written");
        assert!(fs::read(format!("{}.damaged-1", segment.display())).unwrap() == bytes, "the old file is kept");
        let aside = image(dir.path()).into_keys().filter(|name| name.to_string_lossy().contains(".damaged-")).count();
        assert_eq!(aside, 1, "byte {at}: nothing else was set aside");
        assert!(fs::read(segment.with_extension("sums")).is_ok(), "byte {at}: it is summed up as before");
        assert_eq!(run(&["verify", path], b"").0, 0, "byte {at}");
        let (code, text) = run(&["read", path, "t-0"], b"");
        assert_eq!((code, text.lines().count()), (0, 3000), "byte {at}");
    }
}

#[test]
fn of_a_block_with_several_wrong_bits_in_headers_the_batches_are_named_and_kept_aside() {
    let dir = log();
    let path = dir.path().to_str().unwrap();
    let segment = segments(dir.path())[1].clone();
    let base: u64 = segment.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let next: u64 = segments(dir.path())[2].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[15] ^= 1;
    bytes[14] ^= 0x10;
    fs::write(&segment, &bytes).unwrap();
    let (code, text) = run(&["repair", path], b"");
    let named = format!("offsets {base} to {next} would be lost\n");
    assert!(code == 1 && text.contains("a wrong bit in a header") && text.contains(&named), "{text}");

    let (code, text) = run(&["repair", path, "--write"], b"");
    assert_eq!(code, 1, "{text}");
    assert!(fs::read(format!("{}.damaged-1", segment.display())).unwrap() == bytes, "the old file is kept");
    let (code, text) = run(&["verify", path], b"");
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&["read", path, "t-0"], b"");
    assert_eq!((code, text.lines().count() as u64), (0, 3000 - (next - base)), "{text}");
    assert_eq!(run(&["repair", path], b""), (0, "t-0: nothing to repair\n".to_owned()));
}

#[test]
fn a_sealed_segment_that_has_lost_its_end_is_named_and_once_repaired_compacted() {
    let dir = log_with(&["--key-separator", " "]);
    let path = dir.path().to_str().unwrap();
    let segment = segments(dir.path())[1].clone();
    let base: u64 = segment.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let next: u64 = segments(dir.path())[2].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let bytes = fs::read(&segment).unwrap();
    // Of its batches the first is left, whole.
    let first = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let count = u64::from(u32::from_be_bytes(bytes[57..61].try_into().unwrap()));
    fs::write(&segment, &bytes[..first]).unwrap();
    let (code, text) = run(&["compact", path, "t-0"], b"");
    assert!(code != 0 && text.contains("the file ends inside"), "nothing is compacted over it: {text}");

    let (code, text) = run(&["repair", path], b"");
    let named = format!("bytes {first} to {} (the file ends in front of them): offsets", bytes.len());
    let lost = format!("offsets {} to {next} would be lost\n", base + count);
    assert!(code == 1 && text.contains(&named) && text.contains(&lost), "{text}");
    let (code, text) = run(&["repair", path, "--write"], b"");
    assert_eq!(code, 1, "{text}");
    for command in [&["verify", path][..], &["repair", path], &["compact", path, "t-0"], &["verify", path]] {
        let (code, text) = run(command, b"");
        assert_eq!(code, 0, "{command:?}: {text}");
    }
}

#[test]
fn sums_that_an_opening_does_not_go_by_condemn_nothing() {
    let dir = log();
    let segment = segments(dir.path())[1].clone();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[15] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    // Without our marks whoever had the directory last may have changed it, and meant to.
    fs::remove_file(dir.path().join(ottla::disk::MARKS_FILE)).unwrap();
    assert_eq!(run(&["repair", dir.path().to_str().unwrap()], b""), (0, "t-0: nothing to repair\n".to_owned()));
}

#[test]
fn a_repair_beside_a_writer_is_refused() {
    let dir = log();
    let path = dir.path().to_str().unwrap();
    let mut writer = Command::new(env!("CARGO_BIN_EXE_ottla"))
        .args(["append", path, "t-0", "--acks"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    stdin.write_all(b"one more\n").unwrap();
    let mut ack = [0; 4];
    std::io::Read::read_exact(&mut writer.stdout.take().unwrap(), &mut ack).unwrap();
    let (code, text) = run(&["repair", path, "--write"], b"");
    assert_eq!(code, 3);
    assert!(text.contains("already open"), "{text}");
    let (code, text) = run(&["verify", path], b"");
    assert_eq!(code, 0, "{text}");
    drop(stdin);
    writer.wait().unwrap();
}
