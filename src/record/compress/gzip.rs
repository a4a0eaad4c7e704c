//! gzip: RFC 1952, by flate2.

use std::io::Write;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::record::attributes::Codec;
use crate::record::compress::{CodecError, output};

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    if bytes.is_empty() {
        return Err(CodecError::Corrupt { codec: Codec::Gzip, reason: "there is no member" });
    }
    let mut out = Vec::new();
    output::drain(Codec::Gzip, MultiGzDecoder::new(bytes), &mut out, limit)?;
    Ok(out)
}

/// Levels are 1 to 9; −1 is the default.
pub(super) fn compress(level: Option<i32>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let compression = match level {
        None | Some(-1) => Compression::default(),
        Some(level @ 1..=9) => Compression::new(level as u32),
        Some(level) => return Err(CodecError::Level { codec: Codec::Gzip, level }),
    };
    let mut encoder = GzEncoder::new(out, compression);
    // A `Vec` takes all that is written to it.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish().map(|_| ()));
    written.map_err(|_| CodecError::Corrupt { codec: Codec::Gzip, reason: "the encoder gave up" })
}
