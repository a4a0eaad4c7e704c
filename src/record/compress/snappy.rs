//! snappy: blocks by snap, in the framing of xerial that Kafka's Java client writes (format.md, section 4).

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use crate::record::attributes::Codec;
use crate::record::compress::CodecError;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The magic, then version 1, readable since version 1.
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// What one block holds, uncompressed.
const BLOCK_BYTES: usize = 32 << 10;
/// A snappy element copies at most this many bytes, and takes at least one byte itself.
const EXPANSION_MAX: usize = 64;

/// Reads framed blocks; bytes that do not begin with the frame's magic are one bare block.
pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    if !bytes.starts_with(&MAGIC) {
        append_block(bytes, &mut out, limit)?;
        return Ok(out);
    }
    let mut rest = take(bytes, HEADER.len())?.1;
    while !rest.is_empty() {
        // Streams may be joined: a block length that reads like the magic begins another header.
        if rest.starts_with(&MAGIC[..4]) {
            rest = take(rest, HEADER.len())?.1;
            continue;
        }
        let (field, behind) = rest.split_first_chunk().ok_or(CUT_SHORT)?;
        let (block, behind) = take(behind, u32::from_be_bytes(*field) as usize)?;
        append_block(block, &mut out, limit)?;
        rest = behind;
    }
    Ok(out)
}

pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.extend_from_slice(&HEADER);
    let mut encoder = Encoder::new();
    for block in bytes.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.resize(start + 4 + max_compress_len(block.len()), 0);
        let size = encoder.compress(block, &mut out[start + 4..]).map_err(|_| corrupt("the encoder gave up"))?;
        out[start..start + 4].copy_from_slice(&(size as u32).to_be_bytes());
        out.truncate(start + 4 + size);
    }
    Ok(())
}

fn append_block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), CodecError> {
    let size = decompress_len(block).map_err(|_| corrupt("a block does not say its size"))?;
    if size > limit - out.len() {
        return Err(CodecError::TooLarge { limit });
    }
    if size > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(corrupt("a block says it is larger than it can be"));
    }
    let start = out.len();
    out.resize(start + size, 0);
    Decoder::new().decompress(block, &mut out[start..]).map_err(|_| corrupt("a block does not decode"))?;
    Ok(())
}

const CUT_SHORT: CodecError = corrupt("it ends inside a block");

const fn corrupt(reason: &'static str) -> CodecError {
    CodecError::Corrupt { codec: Codec::Snappy, reason }
}

fn take(bytes: &[u8], size: usize) -> Result<(&[u8], &[u8]), CodecError> {
    bytes.split_at_checked(size).ok_or(CUT_SHORT)
}
