//! lz4: the frame format as Kafka writes and reads it, around blocks by lz4_flex (format.md, section 4).
//!
//! The frame is ours, since messages of magic 0 have a header checksum that no library accepts or writes.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use crate::record::attributes::Codec;
use crate::record::compress::{CodecError, Lz4Header};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// Version 1, independent blocks, no checksums, no content size.
const FLAGS: u8 = 0x60;
const FLAG_BLOCK_CHECKSUM: u8 = 0x10;
const FLAG_CONTENT_SIZE: u8 = 0x08;
const FLAG_CONTENT_CHECKSUM: u8 = 0x04;
/// Blocks of 64 KiB.
const BLOCK_DESCRIPTOR: u8 = 0x40;
const BLOCK_BYTES: usize = 64 << 10;
/// Set in a block's size if the block is not compressed.
const STORED: u32 = 0x8000_0000;
/// No lz4 block is more than this many times its own size, decompressed.
const EXPANSION_MAX: usize = 255;

pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>, header: Lz4Header) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FLAGS, BLOCK_DESCRIPTOR]);
    let checked = match header {
        Lz4Header::Standard => start + MAGIC.len(),
        Lz4Header::Magic0 => start,
    };
    out.push(header_checksum(&out[checked..]));
    for block in bytes.chunks(BLOCK_BYTES) {
        append_block(block, out);
    }
    out.extend_from_slice(&0_u32.to_le_bytes());
}

fn append_block(block: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let body = start + 4;
    out.resize(body + get_maximum_output_size(block.len()), 0);
    let field = match compress_into(block, &mut out[body..]) {
        Ok(size) if size < block.len() => {
            out.truncate(body + size);
            size as u32
        }
        // It would not become smaller: the block is stored as it is.
        Ok(_) | Err(_) => {
            out.truncate(body);
            out.extend_from_slice(block);
            block.len() as u32 | STORED
        }
    };
    out[start..body].copy_from_slice(&field.to_le_bytes());
}

pub(super) fn decompress(bytes: &[u8], limit: usize, header: Lz4Header) -> Result<Vec<u8>, CodecError> {
    let mut rest = bytes;
    let frame = Frame::take(&mut rest, header)?;
    let mut out = Vec::new();
    while let Some(block) = frame.take_block(&mut rest)? {
        match block {
            Block::Stored(block) if block.len() > limit - out.len() => return Err(CodecError::TooLarge { limit }),
            Block::Stored(block) => out.extend_from_slice(block),
            Block::Compressed(block) => frame.append(block, &mut out, limit)?,
        }
    }
    if frame.has_content_checksum {
        take::<4>(&mut rest)?;
    }
    if !rest.is_empty() {
        return Err(corrupt("bytes follow the frame"));
    }
    Ok(out)
}

/// What the frame's header says about its blocks.
struct Frame {
    block_bytes_max: usize,
    has_block_checksums: bool,
    has_content_checksum: bool,
}

enum Block<'a> {
    Stored(&'a [u8]),
    Compressed(&'a [u8]),
}

impl Frame {
    fn take(bytes: &mut &[u8], header: Lz4Header) -> Result<Self, CodecError> {
        if take::<4>(bytes)? != MAGIC {
            return Err(corrupt("the frame has another magic"));
        }
        let checked = *bytes;
        let [flags, descriptor] = take::<2>(bytes)?;
        check_flags(flags)?;
        let block_bytes_max = block_bytes_max(descriptor)?;
        if flags & FLAG_CONTENT_SIZE != 0 {
            take::<8>(bytes)?;
        }
        let computed = header_checksum(&checked[..checked.len() - bytes.len()]);
        let [stored] = take::<1>(bytes)?;
        if stored != computed && header == Lz4Header::Standard {
            return Err(corrupt("the header does not match its checksum"));
        }
        Ok(Self {
            block_bytes_max,
            has_block_checksums: flags & FLAG_BLOCK_CHECKSUM != 0,
            has_content_checksum: flags & FLAG_CONTENT_CHECKSUM != 0,
        })
    }

    /// The next block, `None` at the end mark.
    fn take_block<'a>(&self, bytes: &mut &'a [u8]) -> Result<Option<Block<'a>>, CodecError> {
        let field = u32::from_le_bytes(take(bytes)?);
        if field == 0 {
            return Ok(None);
        }
        let size = (field & !STORED) as usize;
        if size > self.block_bytes_max {
            return Err(corrupt("a block is larger than the frame allows"));
        }
        let (block, rest) = bytes.split_at_checked(size).ok_or(CUT_SHORT)?;
        *bytes = rest;
        if self.has_block_checksums && u32::from_le_bytes(take(bytes)?) != XxHash32::oneshot(0, block) {
            return Err(corrupt("a block does not match its checksum"));
        }
        Ok(Some(if field & STORED == 0 { Block::Compressed(block) } else { Block::Stored(block) }))
    }

    fn append(&self, block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), CodecError> {
        let start = out.len();
        let possible = self.block_bytes_max.min(block.len().saturating_mul(EXPANSION_MAX));
        let room = possible.min(limit - start);
        out.resize(start + room, 0);
        match decompress_into(block, &mut out[start..]) {
            Ok(size) => {
                out.truncate(start + size);
                Ok(())
            }
            Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room < possible => {
                Err(CodecError::TooLarge { limit })
            }
            Err(_) => Err(corrupt("a block does not decode")),
        }
    }
}

fn check_flags(flags: u8) -> Result<(), CodecError> {
    if flags >> 6 != 1 {
        return Err(corrupt("the frame's version is not 1"));
    }
    if flags & 0x03 != 0 {
        return Err(corrupt("reserved bits of the frame are set"));
    }
    if flags & 0x20 == 0 {
        return Err(corrupt("its blocks depend on each other"));
    }
    Ok(())
}

/// 64 KiB, 256 KiB, 1 MiB or 4 MiB.
fn block_bytes_max(descriptor: u8) -> Result<usize, CodecError> {
    match (descriptor & 0x8f, descriptor >> 4) {
        (0, code @ 4..=7) => Ok(1 << (2 * code + 8)),
        (0, _) => Err(corrupt("the frame has no such block size")),
        _ => Err(corrupt("reserved bits of the frame are set")),
    }
}

fn header_checksum(bytes: &[u8]) -> u8 {
    (XxHash32::oneshot(0, bytes) >> 8) as u8
}

const CUT_SHORT: CodecError = corrupt("it ends inside the frame");

const fn corrupt(reason: &'static str) -> CodecError {
    CodecError::Corrupt { codec: Codec::Lz4, reason }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], CodecError> {
    let (field, rest) = bytes.split_first_chunk().ok_or(CUT_SHORT)?;
    *bytes = rest;
    Ok(*field)
}
