//! One copy of a flushed mark, in bytes.
//!
//! ```text
//! crc u32 | magic u32 | version u16 | flags u16 | generation u64 | slot u32
//! | segment u64 | position u32 | offset u64 | next offset u64 | log start offset u64 | high watermark u64
//! | max timestamp i64 | its offset u64 | length u32, crc u32 of .index, of .timeindex, of .txnindex
//! | snapshot offset i64 | crc u32 of the leader epochs | name length u16 | name | zeros
//! ```
//!
//! All numbers are big-endian, and the CRC-32 covers all behind it. A copy of zeros was never written; one with zeros
//! behind the slot says that the slot is free.

use crate::id::TopicPartition;
use crate::log::FlushedMark;
use crate::offset::Offset;
use crate::time::Timestamp;

/// The format that this version writes, and the last that it reads.
const VERSION: u16 = 1;
const MAGIC: u32 = u32::from_be_bytes(*b"OtFM");
/// How long a copy is: a sector of most disks.
pub(super) const COPY_BYTES: usize = 512;
/// Where the name of the partition begins within a copy.
const NAME_AT: usize = 122;
/// The longest name of a partition, in bytes: a topic, a dash and a number.
const NAME_BYTES_MAX: usize = 260;

const _: () = assert!(NAME_AT + NAME_BYTES_MAX <= COPY_BYTES, "every partition fits its slot");

/// One copy of a slot, as it stands in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MarkCopy {
    /// The slot it belongs to.
    pub slot: u32,
    /// Rises with every write to the file.
    pub generation: u64,
    /// The mark and whose it is; `None` if the slot is free.
    pub mark: Option<(TopicPartition, FlushedMark)>,
}

/// Why a copy of a slot cannot be read. The other copy may be fine: then a write to this one was torn.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadMark {
    /// It has fewer bytes than a copy.
    #[error("the file ends within it")]
    Short,
    /// Its bytes do not match their checksum.
    #[error("checksum is {computed:#010x}, the copy says {stored:#010x}")]
    Checksum {
        /// What the copy says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// It says that it belongs to another slot: the write went astray.
    #[error("it belongs to slot {slot}")]
    Misplaced {
        /// The slot it says.
        slot: u32,
    },
    /// Its checksum is right, but what it says makes no sense.
    #[error("the {field} makes no sense")]
    Nonsense {
        /// Which field.
        field: &'static str,
    },
    /// A later version of this library wrote it.
    #[error("format {found}, at most {max} is known here")]
    UnsupportedFormat {
        /// The format it is in.
        found: u16,
        /// The last that is known.
        max: u16,
    },
}

impl MarkCopy {
    /// Reads one copy of the slot `slot`; `None` if it was never written.
    ///
    /// # Errors
    ///
    /// [`BadMark`], with what is wrong.
    pub fn parse(bytes: &[u8], slot: u32) -> Result<Option<Self>, BadMark> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let (stored, rest) = bytes.split_first_chunk().ok_or(BadMark::Short)?;
        if bytes.len() != COPY_BYTES {
            return Err(BadMark::Short);
        }
        let (stored, computed) = (u32::from_be_bytes(*stored), crc32fast::hash(rest));
        if stored != computed {
            return Err(BadMark::Checksum { stored, computed });
        }
        let copy = Fields(rest).copy()?;
        if copy.slot != slot {
            return Err(BadMark::Misplaced { slot: copy.slot });
        }
        Ok(Some(copy))
    }

    /// The bytes of this copy.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(COPY_BYTES);
        out.extend([0; 4]);
        out.extend(MAGIC.to_be_bytes());
        out.extend(VERSION.to_be_bytes());
        let clean = self.mark.as_ref().is_some_and(|(_, mark)| mark.clean);
        out.extend(u16::from(clean).to_be_bytes());
        out.extend(self.generation.to_be_bytes());
        out.extend(self.slot.to_be_bytes());
        if let Some((partition, mark)) = &self.mark {
            encode_mark(mark, &mut out);
            let name = partition.to_string();
            out.extend((name.len() as u16).to_be_bytes());
            out.extend(name.as_bytes());
        }
        out.resize(COPY_BYTES, 0);
        let crc = crc32fast::hash(&out[4..]);
        out[..4].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

fn encode_mark(mark: &FlushedMark, out: &mut Vec<u8>) {
    out.extend(mark.segment.as_i64().to_be_bytes());
    out.extend(mark.position.to_be_bytes());
    for offset in [mark.offset, mark.next_offset, mark.log_start_offset, mark.high_watermark] {
        out.extend(offset.as_i64().to_be_bytes());
    }
    out.extend(mark.max_timestamp.as_millis().to_be_bytes());
    out.extend(mark.offset_of_max_timestamp.as_i64().to_be_bytes());
    for number in [
        mark.index_len,
        mark.index_crc,
        mark.time_index_len,
        mark.time_index_crc,
        mark.txn_index_len,
        mark.txn_index_crc,
    ] {
        out.extend(number.to_be_bytes());
    }
    out.extend(mark.snapshot_offset.map_or(-1, Offset::as_i64).to_be_bytes());
    out.extend(mark.epochs_crc.to_be_bytes());
}

/// The bytes behind the checksum, read from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], BadMark> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(BadMark::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadMark> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(BadMark::Short)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u16(&mut self) -> Result<u16, BadMark> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, BadMark> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadMark> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, BadMark> {
        self.array().map(i64::from_be_bytes)
    }

    fn offset(&mut self, field: &'static str) -> Result<Offset, BadMark> {
        Offset::from_i64(self.i64()?).ok_or(BadMark::Nonsense { field })
    }

    fn copy(mut self) -> Result<MarkCopy, BadMark> {
        if self.u32()? != MAGIC {
            return Err(BadMark::Nonsense { field: "magic" });
        }
        match self.u16()? {
            VERSION => {}
            0 => return Err(BadMark::Nonsense { field: "version" }),
            found => return Err(BadMark::UnsupportedFormat { found, max: VERSION }),
        }
        let clean = match self.u16()? {
            0 => false,
            1 => true,
            _ => return Err(BadMark::Nonsense { field: "flags" }),
        };
        let (generation, slot) = (self.u64()?, self.u32()?);
        let is_free = !clean && self.0.iter().all(|byte| *byte == 0);
        let mark = if is_free { None } else { Some(self.mark(clean)?) };
        Ok(MarkCopy { slot, generation, mark })
    }

    fn mark(&mut self, clean: bool) -> Result<(TopicPartition, FlushedMark), BadMark> {
        let mark = FlushedMark {
            segment: self.offset("segment")?,
            position: self.u32()?,
            offset: self.offset("offset")?,
            next_offset: self.offset("next offset")?,
            log_start_offset: self.offset("log start offset")?,
            high_watermark: self.offset("high watermark")?,
            max_timestamp: Timestamp::from_millis(self.i64()?),
            offset_of_max_timestamp: self.offset("offset of the largest timestamp")?,
            index_len: self.u32()?,
            index_crc: self.u32()?,
            time_index_len: self.u32()?,
            time_index_crc: self.u32()?,
            txn_index_len: self.u32()?,
            txn_index_crc: self.u32()?,
            snapshot_offset: match self.i64()? {
                -1 => None,
                offset => Some(Offset::from_i64(offset).ok_or(BadMark::Nonsense { field: "snapshot offset" })?),
            },
            epochs_crc: self.u32()?,
            clean,
        };
        let reaches = mark.segment <= mark.next_offset && mark.next_offset <= mark.offset;
        if !reaches {
            return Err(BadMark::Nonsense { field: "next offset" });
        }
        if mark.offset_of_max_timestamp.relative_to(mark.segment).is_none() {
            return Err(BadMark::Nonsense { field: "offset of the largest timestamp" });
        }
        Ok((self.name()?, mark))
    }

    fn name(&mut self) -> Result<TopicPartition, BadMark> {
        let nonsense = BadMark::Nonsense { field: "name" };
        let len = self.u16()?;
        let name = std::str::from_utf8(self.bytes(usize::from(len))?).map_err(|_| nonsense)?;
        let partition = TopicPartition::parse(name).map_err(|_| nonsense)?;
        if self.0.iter().any(|byte| *byte != 0) {
            return Err(BadMark::Nonsense { field: "padding" });
        }
        Ok(partition)
    }
}
