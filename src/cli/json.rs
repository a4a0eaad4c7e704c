//! JSON, written as it comes: a line per batch may be large, so nothing is gathered first.
//!
//! The escapes are those of the golden directories: `"`, `\` and control characters below a space, the latter always as
//! `\u00xx`. Bytes that are not UTF-8 become `{"base64": ".."}`.

use std::io::{self, Write};

/// An object under way. [`Object::end`] closes it.
pub(crate) struct Object<'a, W> {
    out: &'a mut W,
    is_empty: bool,
}

impl<'a, W: Write> Object<'a, W> {
    /// Opens an object.
    pub(crate) fn begin(out: &'a mut W) -> io::Result<Self> {
        out.write_all(b"{")?;
        Ok(Self { out, is_empty: true })
    }

    /// Adds a field.
    pub(crate) fn field(&mut self, name: &str, value: impl Json) -> io::Result<&mut Self> {
        value.write(self.name(name)?)?;
        Ok(self)
    }

    /// Writes the name of a field whose value the caller writes to what comes back.
    pub(crate) fn name(&mut self, name: &str) -> io::Result<&mut W> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.write_all(b",")?;
        }
        string(self.out, name)?;
        self.out.write_all(b":")?;
        Ok(self.out)
    }

    /// Closes the object.
    pub(crate) fn end(self) -> io::Result<()> {
        self.out.write_all(b"}")
    }
}

/// A value that can be written as JSON.
pub(crate) trait Json {
    /// Writes the value.
    fn write(&self, out: &mut impl Write) -> io::Result<()>;
}

macro_rules! number {
    ($($kind:ty),*) => {
        $(impl Json for $kind {
            fn write(&self, out: &mut impl Write) -> io::Result<()> {
                write!(out, "{self}")
            }
        })*
    };
}
number!(i8, i16, u32, i32, u64, i64, bool, usize);

impl Json for str {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        string(out, self)
    }
}

impl Json for [u8] {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if let Ok(text) = std::str::from_utf8(self) {
            return string(out, text);
        }
        out.write_all(b"{\"base64\":\"")?;
        base64(out, self)?;
        out.write_all(b"\"}")
    }
}

impl<T: Json> Json for Option<T> {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Some(value) => value.write(out),
            None => out.write_all(b"null"),
        }
    }
}

impl<T: Json + ?Sized> Json for &T {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        (**self).write(out)
    }
}

/// Writes a string: runs that need no escape as they are.
fn string(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        out.write_all(&rest[..at])?;
        match rest[at] {
            special @ (b'"' | b'\\') => out.write_all(&[b'\\', special])?,
            control => write!(out, "\\u{control:04x}")?,
        }
        rest = &rest[at + 1..];
    }
    out.write_all(rest)?;
    out.write_all(b"\"")
}

/// Writes base64 with padding (RFC 4648, section 4).
fn base64(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let mut four = [b'='; 4];
        for (index, letter) in four.iter_mut().take(three.len() + 1).enumerate() {
            *letter = LETTERS[(bits >> (18 - 6 * index) & 0x3f) as usize];
        }
        out.write_all(&four)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: impl Json) -> String {
        let mut out = Vec::new();
        value.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped_as_in_the_golden_lines() {
        assert_eq!(json("a\"b\\c\n\u{1f}\u{7f}ключ"), "\"a\\\"b\\\\c\\u000a\\u001f\u{7f}ключ\"");
        assert_eq!(json(""), "\"\"");
    }

    #[test]
    fn bytes_that_are_no_text_become_base64_with_padding() {
        assert_eq!(json(b"\xff".as_slice()), r#"{"base64":"/w=="}"#);
        assert_eq!(json(b"\xff\xfe".as_slice()), r#"{"base64":"//4="}"#);
        assert_eq!(json(b"\xe1E4".as_slice()), r#"{"base64":"4UU0"}"#);
        assert_eq!(json(Some(b"plain".as_slice())), "\"plain\"");
        assert_eq!(json(None::<&[u8]>), "null");
    }

    #[test]
    fn an_object_keeps_the_order_of_its_fields() {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out).unwrap();
        object.field("b", 1_i64).unwrap().field("a", true).unwrap().field("n", None::<u32>).unwrap();
        object.end().unwrap();
        assert_eq!(out, br#"{"b":1,"a":true,"n":null}"#);
    }
}
