//! Index files, entry by entry, as they stand: also those that no log would load.

use std::io::{self, Write};

use crate::cli::finding::Finding;
use crate::cli::printer::{Printer, Value};
use crate::cli::source::{Source, Windowed};
use crate::offset::Offset;

/// Which of the three kinds of index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum IndexKind {
    Offsets,
    Times,
    Transactions,
}

impl IndexKind {
    fn entry_bytes(self) -> usize {
        match self {
            Self::Offsets => 8,
            Self::Times => 12,
            Self::Transactions => 34,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Offsets => "offset index",
            Self::Times => "time index",
            Self::Transactions => "aborted transactions",
        }
    }

    /// Whether space is taken in advance for such files, so that one in use ends in zeros.
    fn is_preallocated(self) -> bool {
        match self {
            Self::Offsets | Self::Times => true,
            Self::Transactions => false,
        }
    }
}

/// An entry as it stands, and what must rise from one entry to the next: the first column strictly, the second at least
/// not falling.
struct Entry {
    fields: Vec<(&'static str, Value<'static>)>,
    rises: (i64, i64),
    damage: Option<&'static str>,
}

/// Prints the entries. Offsets in the file are relative to `base`.
pub(crate) fn dump_index<S: Source, W: Write>(
    kind: IndexKind,
    base: Offset,
    source: &S,
    printer: &mut Printer<'_, W>,
) -> io::Result<Finding> {
    printer.heading(kind.words())?;
    let mut finding = Finding::Clean;
    let mut bytes = Windowed::new(source);
    let end = bytes.len()?;
    let mut position = 0;
    let mut last = None;
    while position < end {
        let entry = bytes.bytes(position, kind.entry_bytes())?;
        if entry.is_empty() {
            break;
        }
        if kind.is_preallocated() && is_unused(&mut bytes, position, &entry, end)? {
            unused(printer, position, end)?;
            break;
        }
        let count = entry.len();
        let entry = if count == kind.entry_bytes() { decode(kind, base, &entry) } else { cut_off(position, count) };
        let falls = last.is_some_and(|(first, second)| entry.rises.0 <= first || entry.rises.1 < second);
        match entry.damage.or(falls.then_some("not above the entry before it")) {
            Some(damage) => {
                finding = Finding::Damage;
                printer.damaged(&entry.fields, damage)?;
            }
            None => {
                last = Some(entry.rises);
                printer.row(&entry.fields)?;
            }
        }
        position += count as u64;
    }
    Ok(finding)
}

/// Whether there is nothing but zeros from here on. A single entry of zeros says that the record at the base offset has
/// the timestamp 0.
fn is_unused(bytes: &mut Windowed<'_, impl Source>, from: u64, entry: &[u8], end: u64) -> io::Result<bool> {
    if entry.iter().any(|byte| *byte != 0) || (from == 0 && end <= entry.len() as u64) {
        return Ok(false);
    }
    let mut position = from;
    while position < end {
        let more = bytes.bytes(position, 64 << 10)?;
        if more.is_empty() {
            break;
        }
        if more.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        position += more.len() as u64;
    }
    Ok(true)
}

fn unused<W: Write>(printer: &mut Printer<'_, W>, position: u64, end: u64) -> io::Result<()> {
    printer.row(&[("position", number(position)), ("unused_bytes", number(end - position))])
}

fn cut_off(position: u64, count: usize) -> Entry {
    Entry {
        fields: vec![("position", number(position)), ("size", number(count as u64))],
        rises: (i64::MAX, i64::MAX),
        damage: Some("the file ends inside an entry"),
    }
}

fn decode(kind: IndexKind, base: Offset, bytes: &[u8]) -> Entry {
    match kind {
        IndexKind::Offsets => {
            let (relative, position) = (int(bytes, 0), int(bytes, 4));
            let offset = base.as_i64().saturating_add(relative.into());
            Entry {
                fields: vec![("offset", Value::Number(offset)), ("position", Value::Number(position.into()))],
                rises: (offset, position.into()),
                damage: (relative < 0 || position < 0).then_some("negative"),
            }
        }
        IndexKind::Times => {
            let (timestamp, relative) = (long(bytes, 0), int(bytes, 8));
            let offset = base.as_i64().saturating_add(relative.into());
            Entry {
                fields: vec![("timestamp", Value::Number(timestamp)), ("offset", Value::Number(offset))],
                rises: (timestamp, offset),
                damage: (relative < 0).then_some("negative"),
            }
        }
        IndexKind::Transactions => decode_aborted(bytes),
    }
}

fn decode_aborted(bytes: &[u8]) -> Entry {
    let version = i16::from_be_bytes([bytes[0], bytes[1]]);
    let [producer_id, first, last, stable] = [2, 10, 18, 26].map(|at| long(bytes, at));
    let damage = match version {
        0 if producer_id < 0 || first < 0 || stable < 0 => Some("negative"),
        0 if last < first => Some("ends before it begins"),
        0 => None,
        _ => Some("version not known"),
    };
    Entry {
        fields: vec![
            ("version", Value::Number(version.into())),
            ("producer_id", Value::Number(producer_id)),
            ("first_offset", Value::Number(first)),
            ("last_offset", Value::Number(last)),
            ("last_stable_offset", Value::Number(stable)),
        ],
        // The stable offset may fall: a transaction that began earlier may end later.
        rises: (last, 0),
        damage,
    }
}

fn int(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(-1, |bytes| i32::from_be_bytes(*bytes))
}

fn long(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(-1, |bytes| i64::from_be_bytes(*bytes))
}

fn number(value: u64) -> Value<'static> {
    Value::Number(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::Form;

    fn dumped(kind: IndexKind, base: u64, bytes: &[u8]) -> (Finding, String) {
        let mut out = Vec::new();
        let mut printer = Printer { out: &mut out, form: Form::Json, file: "f" };
        let finding = dump_index(kind, Offset::new(base), &bytes, &mut printer).unwrap();
        (finding, String::from_utf8(out).unwrap())
    }

    #[test]
    fn entries_are_shown_and_the_space_behind_them_is_unused() {
        let mut bytes = vec![0, 0, 0, 79, 0, 0, 0x3f, 0xde];
        bytes.extend([0; 16]);
        let (finding, text) = dumped(IndexKind::Offsets, 100, &bytes);
        assert_eq!(finding, Finding::Clean);
        let expected =
            "{\"file\":\"f\",\"offset\":179,\"position\":16350}\n{\"file\":\"f\",\"position\":8,\"unused_bytes\":16}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_single_time_entry_of_zeros_is_an_entry() {
        let (finding, text) = dumped(IndexKind::Times, 5, &[0; 12]);
        assert_eq!((finding, text.as_str()), (Finding::Clean, "{\"file\":\"f\",\"timestamp\":0,\"offset\":5}\n"));
    }

    #[test]
    fn entries_that_fall_and_a_cut_entry_are_damage() {
        let bytes = [0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 1];
        let (finding, text) = dumped(IndexKind::Offsets, 0, &bytes);
        assert_eq!(finding, Finding::Damage);
        assert_eq!(text.matches("\"valid\":false").count(), 2);
        assert!(text.contains("the file ends inside an entry"));
    }
}
