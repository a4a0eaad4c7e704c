//! zstd: frames, read by ruzstd and written by the C library.
//!
//! A decoder keeps a window of what it has given out, of a size that the frame chooses. A frame that must not give more
//! than the limit never looks further back than that, so a larger window is cut down before the decoder sees it.

use std::io::Read;

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::record::attributes::Codec;
use crate::record::compress::{CodecError, output};

const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// Magics from this one on, sixteen of them, begin frames that hold no data.
const SKIPPABLE: u32 = 0x184d_2a50;
/// Blocks are at most this large, and no larger than the window.
const BLOCK_BYTES_MAX: u64 = 128 << 10;
/// The longest frame header, magic included.
const HEADER_BYTES_MAX: usize = 18;

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let mut rest = bytes;
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(window_for(limit).1);
    loop {
        rest = match rest.first_chunk() {
            Some(magic) if *magic == MAGIC => append_frame(&mut decoder, rest, &mut out, limit)?,
            Some(magic) if u32::from_le_bytes(*magic) & !0x0f == SKIPPABLE => skip_frame(rest)?,
            Some(_) => return Err(corrupt("a frame has another magic")),
            None => return Err(corrupt("it ends inside a frame")),
        };
        if rest.is_empty() {
            return Ok(out);
        }
    }
}

/// Decodes the frame in front and returns what follows it.
fn append_frame<'a>(
    decoder: &mut FrameDecoder,
    bytes: &'a [u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<&'a [u8], CodecError> {
    let front = Front::of(bytes, limit)?;
    if front.content_size.is_some_and(|told| told > (limit - out.len()) as u64) {
        return Err(CodecError::TooLarge { limit });
    }
    let (header, blocks) = (&front.header[..front.size], &bytes[front.size..]);
    let stream = StreamingDecoder::new_with_decoder(header.chain(blocks), decoder);
    let mut stream = stream.map_err(|_| corrupt("a frame's header does not decode"))?;
    let start = out.len();
    output::drain(Codec::Zstd, &mut stream, out, limit)?;
    let size = (out.len() - start) as u64;
    let (source, decoder) = stream.into_parts();
    if !decoder.is_finished() {
        return Err(corrupt("it ends inside a frame"));
    }
    if front.content_size.is_some_and(|told| told != size) {
        return Err(corrupt("a frame is not as large as it says"));
    }
    if decoder.get_checksum_from_data().is_some_and(|stored| Some(stored) != decoder.get_calculated_checksum()) {
        return Err(corrupt("a frame does not match its checksum"));
    }
    Ok(source.into_inner().1)
}

/// The first bytes of a frame, with a window that the limit allows.
struct Front {
    header: [u8; HEADER_BYTES_MAX],
    size: usize,
    /// What the frame gives, if it says so.
    content_size: Option<u64>,
}

impl Front {
    fn of(bytes: &[u8], limit: usize) -> Result<Self, CodecError> {
        let cut_short = corrupt("it ends inside a frame");
        let descriptor = *bytes.get(4).ok_or(cut_short)?;
        let is_single_segment = descriptor & 0x20 != 0;
        let window_at = 5;
        let dictionary_at = window_at + usize::from(!is_single_segment);
        let content_size_at = dictionary_at + [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content_size_bytes = match descriptor >> 6 {
            0 => usize::from(is_single_segment),
            flag => 1 << flag,
        };
        let size = content_size_at + content_size_bytes;
        let mut header = [0; HEADER_BYTES_MAX];
        header[..size].copy_from_slice(bytes.get(..size).ok_or(cut_short)?);
        let content_size = content_size(&header[content_size_at..size]);
        if !is_single_segment {
            let (largest, bytes) = window_for(limit);
            if window_bytes(header[window_at]) > bytes {
                header[window_at] = largest;
            }
        }
        Ok(Self { header, size, content_size })
    }
}

/// The content size in a field of 1, 2, 4 or 8 bytes; `None` without a field.
fn content_size(field: &[u8]) -> Option<u64> {
    let size = field.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
    match field.len() {
        0 => None,
        2 => Some(size + 256),
        _ => Some(size),
    }
}

/// The smallest window that a frame of at most `limit` bytes can need, as its descriptor and in bytes.
fn window_for(limit: usize) -> (u8, u64) {
    let needed = (limit as u64).max(BLOCK_BYTES_MAX);
    let descriptor = (0..=u8::MAX).find(|descriptor| window_bytes(*descriptor) >= needed).unwrap_or(u8::MAX);
    (descriptor, window_bytes(descriptor))
}

fn window_bytes(descriptor: u8) -> u64 {
    let base = 1_u64 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 7)
}

/// What follows a frame that holds no data.
fn skip_frame(bytes: &[u8]) -> Result<&[u8], CodecError> {
    let cut_short = corrupt("it ends inside a frame that is to be skipped");
    let field = bytes.get(4..8).and_then(|field| field.first_chunk()).ok_or(cut_short)?;
    bytes[8..].get(u32::from_le_bytes(*field) as usize..).ok_or(cut_short)
}

const fn corrupt(reason: &'static str) -> CodecError {
    CodecError::Corrupt { codec: Codec::Zstd, reason }
}

/// Levels are −131072 to 22; the default is 3.
#[cfg(feature = "zstd-encoder")]
pub(super) fn compress(level: Option<i32>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let level = level.unwrap_or(3);
    if !(-131_072..=22).contains(&level) {
        return Err(CodecError::Level { codec: Codec::Zstd, level });
    }
    let written = ::zstd::bulk::compress(bytes, level).map_err(|_| corrupt("the encoder gave up"))?;
    out.extend_from_slice(&written);
    Ok(())
}
