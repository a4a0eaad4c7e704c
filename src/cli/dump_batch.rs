//! Batches and their records, for people and as the golden directories' lines.

use std::io::{self, Write};

use crate::cli::finding::Finding;
use crate::cli::json::{Json, Object};
use crate::cli::printer::{Form, Printer, Records, Value, text};
use crate::cli::source::Source;
use crate::cli::walk::{Damage, Found, Walk};
use crate::offset::Offset;
use crate::record::{DecompressLimit, Entry, Header, Headers, Record, RecordError, TimestampType};

/// How much of a key or value people see.
const SHOWN_BYTES: usize = 120;

/// What a line says about a batch before its records.
struct Facts {
    position: u64,
    size: u64,
    magic: i8,
    base_offset: Option<i64>,
    last_offset: i64,
    leader_epoch: i32,
    crc: u32,
    compression: &'static str,
    timestamp_type: &'static str,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    control: bool,
    delete_horizon: Option<i64>,
}

/// Prints every batch of a file, and every stretch that is none.
pub(crate) fn dump_batches<S: Source, W: Write>(
    base: Option<Offset>,
    source: &S,
    printer: &mut Printer<'_, W>,
    mut on_progress: impl FnMut(u64, u64),
) -> io::Result<Finding> {
    printer.heading("batches")?;
    let mut walk = Walk::new(source, base)?;
    let mut finding = Finding::Clean;
    while let Some(found) = walk.next()? {
        let here = match found {
            Found::Batch { position, bytes, entry } => print_batch(printer, position, &bytes, &entry)?,
            Found::Damaged { position, size, header, damage } => {
                print_damaged(printer, position, size, header.as_ref(), &damage)?;
                Finding::Damage
            }
        };
        finding = finding.max(here);
        let (position, end) = walk.progress();
        on_progress(position, end);
    }
    Ok(finding)
}

fn print_batch<W: Write>(
    printer: &mut Printer<'_, W>,
    position: u64,
    bytes: &[u8],
    entry: &Entry,
) -> io::Result<Finding> {
    let base_offset = entry.base_offset(DecompressLimit::default());
    let facts = Facts::of_entry(position, bytes, entry, base_offset.as_ref().ok().copied());
    let records = base_offset.and_then(|_| entry.records(DecompressLimit::default()));
    match printer.form {
        Form::Json => {
            let mut object = Object::begin(printer.out)?;
            facts.write(printer.file, true, &mut object)?;
            let damage = write_records(&records, object.name("records")?)?;
            if let Some(damage) = &damage {
                object.field("damage", damage.to_string().as_str())?;
            }
            object.end()?;
            writeln!(printer.out)?;
            Ok(found(damage))
        }
        Form::Text { records: Records::Hidden } => {
            facts.print(printer.out)?;
            let damage = print_records(&records, &mut io::sink())?;
            end_text(printer.out, damage.as_ref())?;
            Ok(found(damage))
        }
        Form::Text { records: Records::Shown } => {
            facts.print(printer.out)?;
            writeln!(printer.out)?;
            let damage = print_records(&records, printer.out)?;
            if damage.is_some() {
                end_text(printer.out, damage.as_ref())?;
            }
            Ok(found(damage))
        }
    }
}

fn found(damage: Option<RecordError>) -> Finding {
    if damage.is_some() { Finding::Damage } else { Finding::Clean }
}

fn end_text(out: &mut impl Write, damage: Option<&RecordError>) -> io::Result<()> {
    match damage {
        Some(damage) => writeln!(out, "  DAMAGED: {damage}"),
        None => writeln!(out),
    }
}

fn print_damaged<W: Write>(
    printer: &mut Printer<'_, W>,
    position: u64,
    size: u64,
    header: Option<&Header>,
    damage: &Damage,
) -> io::Result<()> {
    let damage = damage.to_string();
    let Some(header) = header else {
        let number = |value: u64| Value::Number(i64::try_from(value).unwrap_or(i64::MAX));
        return printer.damaged(&[("position", number(position)), ("size", number(size))], &damage);
    };
    let facts = Facts::of_header(position, size, header);
    match printer.form {
        Form::Json => {
            let mut object = Object::begin(printer.out)?;
            facts.write(printer.file, false, &mut object)?;
            object.name("records")?.write_all(b"[]")?;
            object.field("damage", damage.as_str())?;
            object.end()?;
            writeln!(printer.out)
        }
        Form::Text { .. } => {
            facts.print(printer.out)?;
            writeln!(printer.out, "  DAMAGED: {damage}")
        }
    }
}

impl Facts {
    fn of_entry(position: u64, bytes: &[u8], entry: &Entry, base_offset: Option<Offset>) -> Self {
        let size = bytes.len() as u64;
        match entry {
            Entry::Batch(batch) => Self::of_header(position, size, batch.header()),
            Entry::Legacy(legacy) => Self {
                position,
                size,
                magic: legacy.magic(),
                base_offset: base_offset.map(Offset::as_i64),
                last_offset: legacy.last_offset().as_i64(),
                leader_epoch: -1,
                crc: legacy.crc(),
                compression: legacy.codec().name(),
                timestamp_type: legacy.timestamp_type().map_or("NoTimestampType", timestamp_type),
                max_timestamp: legacy.max_timestamp().as_millis(),
                producer_id: -1,
                producer_epoch: -1,
                base_sequence: -1,
                transactional: false,
                control: false,
                delete_horizon: None,
            },
        }
    }

    fn of_header(position: u64, size: u64, header: &Header) -> Self {
        let attributes = header.attributes;
        Self {
            position,
            size,
            magic: header.magic,
            base_offset: Some(header.base_offset),
            last_offset: header.base_offset.saturating_add(header.last_offset_delta.into()),
            leader_epoch: header.leader_epoch,
            crc: header.crc,
            compression: attributes.codec().map_or("unknown", |codec| codec.name()),
            timestamp_type: timestamp_type(attributes.timestamp_type()),
            max_timestamp: header.max_timestamp,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: attributes.is_transactional(),
            control: attributes.is_control(),
            delete_horizon: attributes.has_delete_horizon().then_some(header.base_timestamp),
        }
    }

    /// The fields of the golden lines, in their order, up to the records.
    fn write<W: Write>(&self, file: &str, is_valid: bool, object: &mut Object<'_, W>) -> io::Result<()> {
        object.field("file", file)?;
        object.field("position", self.position)?.field("size", self.size)?.field("magic", self.magic)?;
        object.field("base_offset", self.base_offset)?.field("last_offset", self.last_offset)?;
        object.field("leader_epoch", self.leader_epoch)?.field("crc", self.crc)?.field("valid", is_valid)?;
        object.field("compression", self.compression)?.field("timestamp_type", self.timestamp_type)?;
        object.field("max_timestamp", self.max_timestamp)?;
        object.field("producer_id", self.producer_id)?.field("producer_epoch", self.producer_epoch)?;
        object.field("base_sequence", self.base_sequence)?;
        object.field("transactional", self.transactional)?.field("control", self.control)?;
        object.field("delete_horizon", self.delete_horizon)?;
        Ok(())
    }

    /// The same for people, without what is not there.
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "  @{} {} bytes  offsets ", self.position, self.size)?;
        match self.base_offset {
            Some(base) if base == self.last_offset => write!(out, "{base}")?,
            Some(base) => write!(out, "{base} to {}", self.last_offset)?,
            None => write!(out, "? to {}", self.last_offset)?,
        }
        write!(out, "  format {}  {}", self.magic, self.compression)?;
        if self.max_timestamp >= 0 {
            write!(out, "  {} {}", self.timestamp_type, self.max_timestamp)?;
        }
        if self.leader_epoch >= 0 {
            write!(out, "  epoch {}", self.leader_epoch)?;
        }
        if self.producer_id >= 0 {
            write!(out, "  producer {}/{}", self.producer_id, self.producer_epoch)?;
        }
        if self.base_sequence >= 0 {
            write!(out, "  sequence {}", self.base_sequence)?;
        }
        if self.transactional {
            write!(out, "  transactional")?;
        }
        if self.control {
            write!(out, "  control")?;
        }
        if let Some(horizon) = self.delete_horizon {
            write!(out, "  deletes at {horizon}")?;
        }
        Ok(())
    }
}

fn timestamp_type(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

type MaybeRecords = Result<crate::record::Records, RecordError>;

/// Writes the records that can be read, and says why no more can.
fn write_records(records: &MaybeRecords, out: &mut impl Write) -> io::Result<Option<RecordError>> {
    out.write_all(b"[")?;
    let mut damage = records.as_ref().err().cloned();
    let mut is_first = true;
    for record in records.iter().flat_map(|records| records.iter()) {
        match record {
            Ok(record) => {
                if !std::mem::take(&mut is_first) {
                    out.write_all(b",")?;
                }
                write_record(&record, out)?;
            }
            Err(error) => damage = Some(error),
        }
    }
    out.write_all(b"]")?;
    Ok(damage)
}

/// Writes one record as the golden lines have it.
pub(crate) fn write_record(record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut object = Object::begin(out)?;
    object.field("offset", record.offset.as_i64())?.field("timestamp", record.timestamp.as_millis())?;
    object.field("sequence", record.sequence.map_or(-1, |sequence| sequence.get()))?;
    object.field("key", record.key)?.field("value", record.value)?;
    write_headers(record.headers, object.name("headers")?)?;
    object.end()
}

fn write_headers(headers: Headers<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"[")?;
    for (index, (key, value)) in headers.iter().enumerate() {
        out.write_all(if index == 0 { b"[" } else { b",[" })?;
        key.write(out)?;
        out.write_all(b",")?;
        value.write(out)?;
        out.write_all(b"]")?;
    }
    out.write_all(b"]")
}

fn print_records(records: &MaybeRecords, out: &mut impl Write) -> io::Result<Option<RecordError>> {
    let mut damage = records.as_ref().err().cloned();
    for record in records.iter().flat_map(|records| records.iter()) {
        match record {
            Ok(record) => print_record(&record, out)?,
            Err(error) => damage = Some(error),
        }
    }
    Ok(damage)
}

fn print_record(record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "    {} ", record.offset.as_i64())?;
    if record.timestamp.is_some() {
        write!(out, " {} ", record.timestamp.as_millis())?;
    }
    shortened(record.key, out)?;
    write!(out, ": ")?;
    shortened(record.value, out)?;
    for (key, value) in record.headers.iter() {
        write!(out, "  ")?;
        shortened(Some(key.as_bytes()), out)?;
        write!(out, "=")?;
        shortened(value, out)?;
    }
    writeln!(out)
}

/// Writes a key or value for people: quoted, and no more of it than fits a line.
pub(crate) fn shortened(bytes: Option<&[u8]>, out: &mut impl Write) -> io::Result<()> {
    match bytes {
        None => write!(out, "null"),
        Some(bytes) if bytes.len() <= SHOWN_BYTES => quoted(bytes, out),
        Some(bytes) => {
            // Not in the middle of a letter, if these are letters.
            let is_inside = |at: &usize| bytes[*at] & 0xc0 == 0x80;
            let end = (SHOWN_BYTES - 3..=SHOWN_BYTES).rev().find(|at| !is_inside(at)).unwrap_or(SHOWN_BYTES);
            quoted(&bytes[..end], out)?;
            write!(out, "... ({} bytes)", bytes.len())
        }
    }
}

fn quoted(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    write!(out, "\"")?;
    text(out, bytes)?;
    write!(out, "\"")
}
