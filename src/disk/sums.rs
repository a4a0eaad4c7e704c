//! `<base>.sums`: the checksums of a sealed segment, a file of our own that Kafka ignores.
//!
//! The checksum of a batch leaves the first 17 bytes of its header open. Here every byte of the `.log` is covered, by a
//! CRC-32 for each block of 64 KiB, and so are the index files. A builder sums up while the segment grows; once the
//! segment is sealed, the file is written and never changes. Whoever replaces a segment removes its `.sums` first.
//!
//! ```text
//! magic u32 | version u16 | log2 of the block size u16 | length of the log u32
//! | next offset i64 | largest timestamp i64, its offset i64 | timestamp of the first batch i64
//! | length u32, crc u32 of .index | the same of .timeindex | the same of .txnindex
//! | crc u32 of each block of the log | crc u32 of all before
//! ```
//!
//! - May use: CRC-32, and the facts of a segment, as `log` tells them.
//! - Must not know: files, batches.
//! - Always true: there are as many sums as the log has blocks, the last of which may be short.

mod builder;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use builder::{SumsBuilder, SumsBuilderError};

use crate::log::{MaxTimestamp, SegmentFacts};
use crate::offset::Offset;
use crate::time::Timestamp;

/// How many bytes of the log one sum covers.
pub const BLOCK_BYTES: u32 = 1 << BLOCK_SHIFT;
const BLOCK_SHIFT: u16 = 16;
/// The format that this version writes, and the last that it reads.
const VERSION: u16 = 1;
const MAGIC: u32 = u32::from_be_bytes(*b"OtSU");
/// The longest log file, as Kafka has it.
const LOG_BYTES_MAX: u32 = i32::MAX as u32;
/// All in front of the sums of blocks.
const HEAD_BYTES: usize = 68;

/// The checksums of a sealed segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sums {
    log_len: u32,
    facts: SegmentFacts,
    blocks: Vec<u32>,
    indexes: IndexSums,
}

/// The checksums of a segment's index files. A file that is not there counts as an empty one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct IndexSums {
    /// Of the `.index`.
    pub offset_index: FileSum,
    /// Of the `.timeindex`.
    pub time_index: FileSum,
    /// Of the `.txnindex`.
    pub txn_index: FileSum,
}

/// The checksum of a whole file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FileSum {
    /// Its length in bytes.
    pub len: u32,
    /// The CRC-32 of its bytes.
    pub crc: u32,
}

impl FileSum {
    /// The sum of these bytes, which must be fewer than 4 GiB.
    pub fn of(bytes: &[u8]) -> Self {
        Self { len: bytes.len() as u32, crc: crc32fast::hash(bytes) }
    }
}

/// Why a `.sums` file was refused. The segment can be read without it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SumsError {
    /// It is too short, or too long, for what it says.
    #[error("it has {found} bytes, {expected} are due")]
    Length {
        /// How many it has.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
    /// It does not begin like one.
    #[error("it begins with {found:#010x}, which is no file of sums")]
    Magic {
        /// What it begins with.
        found: u32,
    },
    /// A later version of this library wrote it.
    #[error("format {found}, at most {max} is known here")]
    UnsupportedFormat {
        /// The format it is in.
        found: u16,
        /// The last that is known.
        max: u16,
    },
    /// Its bytes do not match their checksum.
    #[error("checksum is {computed:#010x}, the file says {stored:#010x}")]
    Checksum {
        /// What the file says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The block size, or the length of the log, is none that this version writes.
    #[error("the {field} is {found}")]
    Nonsense {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u32,
    },
}

/// A block of a log that is not what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("bytes {from}..{to} of the log: checksum is {computed:#010x}, it should be {stored:#010x}")]
pub struct BadBlock {
    /// Where the block begins.
    pub from: u32,
    /// Where it ends.
    pub to: u32,
    /// What it should be.
    pub stored: u32,
    /// What the bytes give.
    pub computed: u32,
}

impl BadBlock {
    /// The one bit that accounts for it, if one does: which byte of the log it is in, and which it is. No two bits of a
    /// block give the same checksum.
    pub fn flipped_bit(&self) -> Option<(u32, u8)> {
        // What a wrong bit in the last byte does to the checksum, and then, byte by byte, in one further in front.
        let mut effects: [u32; 8] = std::array::from_fn(|bit| behind_a_byte(1 << bit));
        for position in (self.from..self.to).rev() {
            if let Some(bit) = effects.iter().position(|effect| *effect == self.stored ^ self.computed) {
                return Some((position, bit as u8));
            }
            effects = effects.map(|effect| effect >> 8 ^ behind_a_byte(effect as u8));
        }
        None
    }
}

/// What becomes of a CRC-32 by a byte.
const fn behind_a_byte(byte: u8) -> u32 {
    let mut crc = byte as u32;
    let mut bit = 0;
    while bit < 8 {
        crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        bit += 1;
    }
    crc
}

impl Sums {
    /// How long the log is, in bytes.
    pub fn log_len(&self) -> u32 {
        self.log_len
    }

    /// What is true of the segment's batches.
    pub fn facts(&self) -> &SegmentFacts {
        &self.facts
    }

    /// How many blocks it has.
    pub fn block_count(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// The sums of the index files.
    pub fn indexes(&self) -> &IndexSums {
        &self.indexes
    }

    /// The block that holds this position, `None` past the end.
    pub fn block_at(&self, position: u32) -> Option<u32> {
        (position < self.log_len).then_some(position >> BLOCK_SHIFT)
    }

    /// The bytes of a block; empty past the last.
    pub fn range(&self, block: u32) -> Range<u32> {
        block_range(self.log_len, block)
    }

    /// Compares the bytes of a block with its sum.
    ///
    /// # Errors
    ///
    /// [`BadBlock`] if they differ, if there are too many or too few of them, or if there is no such block.
    pub fn check(&self, block: u32, bytes: &[u8]) -> Result<(), BadBlock> {
        let Range { start, end } = self.range(block);
        let computed = crc32fast::hash(bytes);
        let outcome = self.check_crc(block, computed);
        if bytes.len() == (end - start) as usize { outcome } else { outcome.and(Err(self.bad(block, computed))) }
    }

    /// Compares the checksum of all the bytes of a block with what it should be.
    ///
    /// # Errors
    ///
    /// [`BadBlock`] if they differ, or if there is no such block.
    pub(crate) fn check_crc(&self, block: u32, computed: u32) -> Result<(), BadBlock> {
        let is_good = self.blocks.get(block as usize) == Some(&computed);
        if is_good { Ok(()) } else { Err(self.bad(block, computed)) }
    }

    fn bad(&self, block: u32, computed: u32) -> BadBlock {
        let Range { start: from, end: to } = self.range(block);
        let stored = self.blocks.get(block as usize).copied().unwrap_or(0);
        BadBlock { from, to, stored, computed }
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + 4 * self.blocks.len() + 4);
        out.extend(MAGIC.to_be_bytes());
        out.extend(VERSION.to_be_bytes());
        out.extend(BLOCK_SHIFT.to_be_bytes());
        out.extend(self.log_len.to_be_bytes());
        out.extend(self.facts.next_offset.as_i64().to_be_bytes());
        out.extend(self.facts.max.timestamp.as_millis().to_be_bytes());
        out.extend(self.facts.max.offset.as_i64().to_be_bytes());
        out.extend(self.facts.first_timestamp.as_millis().to_be_bytes());
        for file in [self.indexes.offset_index, self.indexes.time_index, self.indexes.txn_index] {
            out.extend(file.len.to_be_bytes());
            out.extend(file.crc.to_be_bytes());
        }
        out.extend(self.blocks.iter().flat_map(|crc| crc.to_be_bytes()));
        let crc = crc32fast::hash(&out);
        out.extend(crc.to_be_bytes());
        out
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    ///
    /// [`SumsError`], with what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, SumsError> {
        let short = SumsError::Length { found: bytes.len() as u64, expected: file_bytes(0) };
        let mut fields = bytes;
        let mut field = || -> Option<u32> {
            let (front, rest) = fields.split_first_chunk()?;
            fields = rest;
            Some(u32::from_be_bytes(*front))
        };
        let magic = field().ok_or_else(|| short.clone())?;
        if magic != MAGIC {
            return Err(SumsError::Magic { found: magic });
        }
        let (format, log_len) = (field().ok_or_else(|| short.clone())?, field().ok_or_else(|| short.clone())?);
        check_format(format, log_len, bytes)?;
        let facts = {
            let mut wide = || Some(i64::from(field()?) << 32 | i64::from(field()?));
            let offset = |found: i64| {
                Offset::from_i64(found).ok_or(SumsError::Nonsense { field: "offset", found: (found >> 32) as u32 })
            };
            let (Some(next), Some(max), Some(of_max), Some(first)) = (wide(), wide(), wide(), wide()) else {
                return Err(short);
            };
            SegmentFacts {
                next_offset: offset(next)?,
                max: MaxTimestamp { timestamp: Timestamp::from_millis(max), offset: offset(of_max)? },
                first_timestamp: Timestamp::from_millis(first),
            }
        };
        let mut file = || Some(FileSum { len: field()?, crc: field()? });
        let (Some(offset_index), Some(time_index), Some(txn_index)) = (file(), file(), file()) else {
            return Err(short);
        };
        let blocks = (0..block_count(log_len)).map_while(|_| field()).collect();
        Ok(Self { log_len, facts, blocks, indexes: IndexSums { offset_index, time_index, txn_index } })
    }
}

/// Checks version, block size, lengths and checksum, in this order: a later version may have other lengths.
fn check_format(format: u32, log_len: u32, bytes: &[u8]) -> Result<(), SumsError> {
    let (version, shift) = ((format >> 16) as u16, format as u16);
    if version > VERSION {
        return Err(SumsError::UnsupportedFormat { found: version, max: VERSION });
    }
    if version != VERSION {
        return Err(SumsError::Nonsense { field: "version", found: u32::from(version) });
    }
    if shift != BLOCK_SHIFT {
        return Err(SumsError::Nonsense { field: "log2 of the block size", found: u32::from(shift) });
    }
    if log_len > LOG_BYTES_MAX {
        return Err(SumsError::Nonsense { field: "length of the log", found: log_len });
    }
    let (found, expected) = (bytes.len() as u64, file_bytes(log_len));
    let Some((body, stored)) = bytes.split_last_chunk().filter(|_| found == expected) else {
        return Err(SumsError::Length { found, expected });
    };
    let (stored, computed) = (u32::from_be_bytes(*stored), crc32fast::hash(body));
    if stored == computed { Ok(()) } else { Err(SumsError::Checksum { stored, computed }) }
}

/// The bytes of a block of a log of this length; empty past the last.
fn block_range(log_len: u32, block: u32) -> Range<u32> {
    let from = block.saturating_mul(BLOCK_BYTES).min(log_len);
    from..from.saturating_add(BLOCK_BYTES).min(log_len)
}

fn block_count(log_len: u32) -> u32 {
    log_len.div_ceil(BLOCK_BYTES)
}

/// How long the file of a log of this length is.
fn file_bytes(log_len: u32) -> u64 {
    HEAD_BYTES as u64 + 4 * u64::from(block_count(log_len)) + 4
}
