//! The command line on any bytes.

use ottla::cli::{BatchFormat, Form, Records, dump_bytes};

/// The names that decide how bytes are looked at.
const NAMES: [&str; 12] = [
    "00000000000000000000.log",
    "00000000000000000000.index",
    "00000000000000000000.timeindex",
    "00000000000000000000.txnindex",
    "00000000000000000000.snapshot",
    "00000000000000000000.kafka",
    "leader-epoch-checkpoint",
    "recovery-point-offset-checkpoint",
    "partition.metadata",
    "meta.properties",
    ".kafka_cleanshutdown",
    "00000000000000000000-0000000000.checkpoint",
];

/// Whatever a file holds, a dump ends, prints whole lines, and prints the same again. The first byte picks the name.
pub fn dump_any(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let dumped = |form| {
        let mut out = Vec::new();
        let finding = dump_bytes(name, bytes, form, BatchFormat::Kafka, &mut out).expect("a vector takes everything");
        (finding, out)
    };
    let (finding, lines) = dumped(Form::Json);
    let lines = String::from_utf8(lines).expect("JSON is text");
    assert!(lines.is_empty() || lines.ends_with("}\n"));
    assert!(lines.lines().all(|line| line.starts_with("{\"file\":\"")), "{lines}");
    let (again, text) = dumped(Form::Text { records: Records::Shown });
    assert_eq!(finding, again);
    assert!(String::from_utf8(text).is_ok());
    assert_eq!(dumped(Form::Json).1, lines.as_bytes());
}
