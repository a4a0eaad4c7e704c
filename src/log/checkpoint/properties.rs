//! Java's properties: a key and a value on a line, with its escapes, comments and continued lines.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::log::checkpoint::CheckpointError;

/// Reads all properties. Bytes are Latin-1, as for Java; of two lines with one key the later counts.
pub(super) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, String>, CheckpointError> {
    let mut properties = BTreeMap::new();
    let mut lines = natural_lines(bytes).enumerate();
    while let Some((at, line)) = lines.next() {
        let line = trim_start(line);
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"!") {
            continue;
        }
        let mut logical = line.to_vec();
        while ends_in_backslash(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.extend_from_slice(trim_start(next));
        }
        let (key, value) = split(&logical);
        let unescape = |bytes| unescape(bytes).ok_or(CheckpointError::Escape { line: at + 1 });
        properties.insert(unescape(key)?, unescape(value)?);
    }
    Ok(properties)
}

/// Writes one property. What is not printable ASCII is escaped, so that any reader reads the same.
pub(super) fn push(text: &mut String, key: &str, value: &str) {
    for letter in key.chars() {
        if letter == ' ' {
            text.push('\\');
        }
        push_escaped(text, letter);
    }
    text.push('=');
    if value.starts_with(' ') {
        text.push('\\');
    }
    for letter in value.chars() {
        push_escaped(text, letter);
    }
    text.push('\n');
}

fn push_escaped(text: &mut String, letter: char) {
    match letter {
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\x0c' => text.push_str("\\f"),
        '=' | ':' | '#' | '!' | '\\' => text.extend(['\\', letter]),
        ' '..='~' => text.push(letter),
        _ => {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` does not fail.
                let _ = write!(text, "\\u{unit:04X}");
            }
        }
    }
}

/// Lines as they stand in the file; `\n`, `\r` and `\r\n` end one.
fn natural_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').flat_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.split(|byte| *byte == b'\r')
    })
}

fn trim_start(line: &[u8]) -> &[u8] {
    let blank = line.iter().take_while(|byte| is_blank(**byte)).count();
    &line[blank..]
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

/// Whether the line's end is escaped: an odd number of backslashes.
fn ends_in_backslash(line: &[u8]) -> bool {
    line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The key and the value, both still escaped: apart by blanks, and one `=` or `:` among them.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let ends_key = |byte: &u8| {
        let ends = !escaped && (is_blank(*byte) || matches!(byte, b'=' | b':'));
        escaped = !escaped && *byte == b'\\';
        ends
    };
    let key_len = line.iter().position(ends_key).unwrap_or(line.len());
    let (key, rest) = line.split_at(key_len);
    let rest = trim_start(rest);
    let value = rest.strip_prefix(b"=").or_else(|| rest.strip_prefix(b":")).unwrap_or(rest);
    (key, trim_start(value))
}

/// `None` for a `\u` without four hexadecimal digits, or for half a surrogate pair.
fn unescape(bytes: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::new();
    let mut bytes = bytes.iter().copied();
    while let Some(byte) = bytes.next() {
        let unit = match byte {
            b'\\' => match bytes.next() {
                Some(b'u') => code_unit(&mut bytes)?,
                Some(b't') => u16::from(b'\t'),
                Some(b'n') => u16::from(b'\n'),
                Some(b'r') => u16::from(b'\r'),
                Some(b'f') => 0x0c,
                Some(other) => u16::from(other),
                None => break,
            },
            plain => u16::from(plain),
        };
        units.push(unit);
    }
    String::from_utf16(&units).ok()
}

fn code_unit(bytes: &mut impl Iterator<Item = u8>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = char::from(bytes.next()?).to_digit(16)?;
        unit = (unit << 4) | u16::try_from(digit).ok()?;
    }
    Some(unit)
}
