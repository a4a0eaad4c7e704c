//! Lines of a checkpoint, and the frame that most of them have: a version, a count, an entry for each line.

use crate::log::checkpoint::{CheckpointError, cut};

/// One line of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Its number, from one.
    pub(super) number: usize,
    bytes: &'a [u8],
}

/// The lines of a file. What ends a line is `\n`, or `\r\n`; behind the last one may be nothing.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let content = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let lines = content.split(|byte| *byte == b'\n').enumerate();
    // Splitting nothing gives one empty piece, but an empty file has no line.
    lines.map(|(at, bytes)| Line { number: at + 1, bytes }).take(if bytes.is_empty() { 0 } else { usize::MAX })
}

/// The entries of a file with a version, a count, and a line of `N` columns for each.
///
/// An empty file has none, nor has one that ends behind its version. The count is compared with the lines before any
/// of them is read, and nothing is reserved for it.
pub(super) fn entries<const N: usize>(
    bytes: &[u8],
) -> Result<impl Iterator<Item = Result<Row<'_, N>, CheckpointError>>, CheckpointError> {
    let mut head = lines(bytes);
    if let Some(version) = head.next() {
        let found = version.columns::<1>()?.number(0, "version")?;
        if found != 0 {
            return Err(CheckpointError::Version { line: version.number, found, known: "0" });
        }
    }
    if let Some(count) = head.next() {
        let expected = count.columns::<1>()?.number(0, "count of entries")?;
        let found = head.count();
        if usize::try_from(expected) != Ok(found) {
            return Err(CheckpointError::Count { expected, found });
        }
    }
    Ok(lines(bytes).skip(2).map(|line| line.columns()))
}

/// The frame of `rows`, each without its line end.
pub(super) fn encode(rows: impl ExactSizeIterator<Item = String>) -> Vec<u8> {
    let mut text = format!("0\n{}\n", rows.len());
    for row in rows {
        text.push_str(&row);
        text.push('\n');
    }
    text.into_bytes()
}

impl<'a> Line<'a> {
    /// The line as text, without a carriage return at its end.
    pub(super) fn text(&self) -> Result<&'a str, CheckpointError> {
        let bytes = self.bytes.strip_suffix(b"\r").unwrap_or(self.bytes);
        std::str::from_utf8(bytes).map_err(|_| CheckpointError::NotText { line: self.number })
    }

    /// The line's columns, which any run of white space separates.
    fn columns<const N: usize>(&self) -> Result<Row<'a, N>, CheckpointError> {
        let mut columns = [""; N];
        let mut found = 0;
        for column in self.text()?.split(is_space).filter(|column| !column.is_empty()) {
            if let Some(slot) = columns.get_mut(found) {
                *slot = column;
            }
            found += 1;
        }
        if found != N {
            return Err(CheckpointError::Columns { line: self.number, expected: N, found });
        }
        Ok(Row { line: self.number, columns })
    }
}

/// White space as Java's regular expressions see it, who count the vertical tab.
fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\x0b' | '\x0c' | '\r')
}

/// A line with its columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a, const N: usize> {
    /// The line's number, from one.
    pub(super) line: usize,
    /// Its columns.
    pub(super) columns: [&'a str; N],
}

impl<const N: usize> Row<'_, N> {
    /// The number in a column.
    pub(super) fn number(&self, column: usize, expected: &'static str) -> Result<i64, CheckpointError> {
        number(self.line, self.columns[column], expected)
    }

    /// What `read` makes of the number in a column.
    pub(super) fn read<T>(
        &self,
        column: usize,
        expected: &'static str,
        read: impl Fn(i64) -> Option<T>,
    ) -> Result<T, CheckpointError> {
        let found = self.columns[column];
        let refused = || CheckpointError::Number { line: self.line, expected, found: cut(found) };
        read(self.number(column, expected)?).ok_or_else(refused)
    }
}

/// The number `text`.
pub(super) fn number(line: usize, text: &str, expected: &'static str) -> Result<i64, CheckpointError> {
    text.parse().map_err(|_| CheckpointError::Number { line, expected, found: cut(text) })
}
