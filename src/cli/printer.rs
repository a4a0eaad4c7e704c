//! What a dump prints: for people a heading and lines below it, for programs a JSON object per line.

use std::io::{self, Write};

use crate::cli::json::{Json, Object};

/// For whom the output is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// For people.
    Text {
        /// Whether the records of each batch are shown below it.
        records: Records,
    },
    /// For programs: a JSON object per line.
    Json,
}

/// Whether people see records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Records {
    /// Each on a line below its batch.
    Shown,
    /// Only the batches.
    Hidden,
}

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Number(i64),
    Text(&'a str),
    None,
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Value::None, Value::Number)
    }
}

impl Json for Value<'_> {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Value::Number(number) => number.write(out),
            Value::Text(text) => text.write(out),
            Value::None => None::<i64>.write(out),
        }
    }
}

/// Prints what is in one file.
pub(crate) struct Printer<'a, W> {
    pub(crate) out: &'a mut W,
    pub(crate) form: Form,
    /// The file's name as it is shown.
    pub(crate) file: &'a str,
}

impl<W: Write> Printer<'_, W> {
    /// The line above all others of a file, for people.
    pub(crate) fn heading(&mut self, what: &str) -> io::Result<()> {
        match self.form {
            Form::Text { .. } => {
                text(self.out, self.file.as_bytes())?;
                writeln!(self.out, ": {what}")
            }
            Form::Json => Ok(()),
        }
    }

    /// One entry.
    pub(crate) fn row(&mut self, fields: &[(&str, Value<'_>)]) -> io::Result<()> {
        self.line(fields, None)
    }

    /// One entry, or some bytes, that are not as they should be.
    pub(crate) fn damaged(&mut self, fields: &[(&str, Value<'_>)], damage: &str) -> io::Result<()> {
        self.line(fields, Some(damage))
    }

    fn line(&mut self, fields: &[(&str, Value<'_>)], damage: Option<&str>) -> io::Result<()> {
        match self.form {
            Form::Json => {
                let mut object = Object::begin(self.out)?;
                object.field("file", self.file)?;
                for (name, value) in fields {
                    object.field(name, *value)?;
                }
                if let Some(damage) = damage {
                    object.field("valid", false)?.field("damage", damage)?;
                }
                object.end()?;
                writeln!(self.out)
            }
            Form::Text { .. } => {
                for (name, value) in fields {
                    write!(self.out, "  {}", name.replace('_', " "))?;
                    match value {
                        Value::Number(number) => write!(self.out, " {number}")?,
                        Value::Text(words) => {
                            write!(self.out, " ")?;
                            text(self.out, words.as_bytes())?;
                        }
                        Value::None => write!(self.out, " -")?,
                    }
                }
                match damage {
                    Some(damage) => writeln!(self.out, "  DAMAGED: {damage}"),
                    None => writeln!(self.out),
                }
            }
        }
    }
}

/// Writes bytes as text for a terminal: what a terminal would obey, and what is no text, is escaped.
pub(crate) fn text(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                '\\' => out.write_all(b"\\\\")?,
                letter if letter.is_control() || is_invisible(letter) => write!(out, "{}", letter.escape_default())?,
                letter => write!(out, "{letter}")?,
            }
        }
        for byte in part.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Marks that change the direction of text, with which bytes could pass for other ones.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_no_escape_sequence_and_no_broken_text() {
        let mut out = Vec::new();
        text(&mut out, b"a\\b\x1b[31m\xff\xd0\xba\n\xe2\x80\xae").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\\\\b\\u{1b}[31m\\xffк\\n\\u{202e}");
    }

    #[test]
    fn a_row_is_a_line_in_either_form() {
        let fields = [("start_offset", Value::Number(7)), ("topic", Value::Text("a")), ("id", Value::None)];
        let mut out = Vec::new();
        Printer { out: &mut out, form: Form::Json, file: "x" }.damaged(&fields, "bad").unwrap();
        Printer { out: &mut out, form: Form::Text { records: Records::Hidden }, file: "x" }.row(&fields).unwrap();
        let expected = "{\"file\":\"x\",\"start_offset\":7,\"topic\":\"a\",\"id\":null,\"valid\":false,\"damage\":\"bad\"}\n  \
                        start offset 7  topic a  id -\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
