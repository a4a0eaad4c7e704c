//! Messages of Kafka 0.7, whose bytes do not say that they are.

use std::io::{self, Write};

use crate::cli::dump_batch::shortened;
use crate::cli::finding::Finding;
use crate::cli::json::{Json, Object};
use crate::cli::printer::{Form, Printer, Records, Value};
use crate::cli::source::{Source, Windowed};
use crate::cli::walk::BATCH_BYTES_MAX;
use crate::record::legacy::MessageV07;
use crate::record::{BatchError, DecompressLimit};

/// The bytes of the length field.
const LENGTH_BYTES: usize = 4;

/// Prints every message of a file whose first byte stands at `base_position` of its partition.
///
/// A message that is damaged is passed by its length. Where that is wrong too nothing says where the next one begins:
/// all up to the end is one damaged stretch.
pub(crate) fn dump_messages<S: Source, W: Write>(
    base_position: u64,
    source: &S,
    printer: &mut Printer<'_, W>,
    mut on_progress: impl FnMut(u64, u64),
) -> io::Result<Finding> {
    printer.heading("messages of Kafka 0.7")?;
    let mut bytes = Windowed::new(source);
    let end = bytes.len()?;
    let mut finding = Finding::Clean;
    let mut position = 0;
    while position < end {
        let found = end - position;
        let length = bytes.bytes(position, LENGTH_BYTES)?;
        let needed = length.first_chunk().map_or(0, |length| i64::from(i32::from_be_bytes(*length)));
        let needed = u64::try_from(needed).unwrap_or(0).saturating_add(LENGTH_BYTES as u64);
        let parsed = if needed > found.min(BATCH_BYTES_MAX) {
            Err(BatchError::Incomplete { needed, found })
        } else {
            MessageV07::parse(&bytes.bytes(position, needed as usize)?)
        };
        let size = match parsed {
            Ok(message) => {
                finding = finding.max(print(printer, base_position, position, &message)?);
                u64::from(message.size())
            }
            Err(damage) => {
                finding = Finding::Damage;
                let is_passed = needed <= found && !matches!(damage, BatchError::InvalidLength { .. });
                let size = if is_passed { needed } else { found };
                printer.damaged(&[("position", number(position)), ("size", number(size))], &damage.to_string())?;
                size
            }
        };
        position += size;
        on_progress(position, end);
    }
    Ok(finding)
}

fn print<W: Write>(
    printer: &mut Printer<'_, W>,
    base_position: u64,
    position: u64,
    message: &MessageV07,
) -> io::Result<Finding> {
    // Its place in the partition, which is what such logs call an offset.
    let offset = base_position.saturating_add(position);
    let codec = message.codec().name();
    let mut damage = None;
    let payloads = match message.payloads(DecompressLimit::default()) {
        Ok(payloads) => Some(payloads),
        Err(error) => {
            damage = Some(error);
            None
        }
    };
    let mut payloads = payloads.into_iter().flatten().map_while(|payload| match payload {
        Ok(payload) => Some(payload),
        Err(error) => {
            damage = Some(error);
            None
        }
    });
    match printer.form {
        Form::Json => {
            let mut object = Object::begin(printer.out)?;
            object.field("file", printer.file)?.field("position", position)?.field("size", message.size())?;
            object.field("offset", offset)?.field("valid", true)?.field("compression", codec)?;
            let out = object.name("records")?;
            out.write_all(b"[")?;
            for (index, payload) in payloads.enumerate() {
                out.write_all(if index == 0 { b"{\"value\":" } else { b",{\"value\":" })?;
                payload[..].write(out)?;
                out.write_all(b"}")?;
            }
            out.write_all(b"]")?;
            if let Some(damage) = &damage {
                object.field("damage", damage.to_string().as_str())?;
            }
            object.end()?;
            writeln!(printer.out)?;
        }
        Form::Text { records } => {
            write!(printer.out, "  @{position} {} bytes  offset {offset}  {codec}", message.size())?;
            if records == Records::Shown {
                for payload in payloads {
                    write!(printer.out, "\n    ")?;
                    shortened(Some(&payload), printer.out)?;
                }
            } else {
                payloads.by_ref().for_each(drop);
            }
            match &damage {
                Some(damage) => writeln!(printer.out, "  DAMAGED: {damage}")?,
                None => writeln!(printer.out)?,
            }
        }
    }
    Ok(if damage.is_some() { Finding::Damage } else { Finding::Clean })
}

fn number(value: u64) -> Value<'static> {
    Value::Number(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumped(bytes: &[u8]) -> (Finding, String) {
        let mut out = Vec::new();
        let mut printer = Printer { out: &mut out, form: Form::Json, file: "f" };
        let finding = dump_messages(1000, &bytes, &mut printer, |_, _| {}).unwrap();
        (finding, String::from_utf8(out).unwrap())
    }

    #[test]
    fn messages_are_addressed_by_their_position_in_the_partition() {
        let mut bytes = Vec::new();
        MessageV07::write(b"one", &mut bytes).unwrap();
        MessageV07::write_magic_0(b"\xff", &mut bytes).unwrap();
        let (finding, text) = dumped(&bytes);
        assert_eq!(finding, Finding::Clean);
        let expected = concat!(
            r#"{"file":"f","position":0,"size":13,"offset":1000,"valid":true,"compression":"none","#,
            r#""records":[{"value":"one"}]}"#,
            "\n",
            r#"{"file":"f","position":13,"size":10,"offset":1013,"valid":true,"compression":"none","#,
            r#""records":[{"value":{"base64":"/w=="}}]}"#,
            "\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_damaged_message_is_passed_by_its_length_and_a_damaged_length_ends_the_file() {
        let mut bytes = Vec::new();
        for payload in [b"one", b"two", b"six"] {
            MessageV07::write(payload, &mut bytes).unwrap();
        }
        bytes[12] ^= 1;
        let (finding, text) = dumped(&bytes);
        assert_eq!((finding, text.matches("\"valid\":true").count()), (Finding::Damage, 2));
        assert!(text.starts_with("{\"file\":\"f\",\"position\":0,\"size\":13,\"valid\":false,"), "{text}");
        bytes[13] = 0x7f;
        let (_, text) = dumped(&bytes);
        assert!(text.contains("{\"file\":\"f\",\"position\":13,\"size\":26,\"valid\":false,"), "{text}");
    }
}
