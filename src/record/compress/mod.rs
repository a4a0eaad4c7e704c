//! Codecs: what turns the records of a batch into fewer bytes, and back within a limit.
//!
//! - May use: `attributes`, and the codecs' libraries, each behind its feature.
//! - Must not know: batches and records; it sees bytes.
//! - Always true: a decoder streams, and stops at its limit; what it has allocated by then is bounded by that limit,
//!   never by what the input claims.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(any(feature = "gzip", feature = "zstd"))]
mod output;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use crate::record::attributes::Codec;

/// The most bytes that the records of one batch may decompress to.
///
/// The default, 64 MiB, is far above what Kafka's producers send, whose request size of 1 MiB counts records before
/// compression. A smaller limit protects a small machine; a batch above it stays in the log, unread.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DecompressLimit(pub usize);

impl Default for DecompressLimit {
    fn default() -> Self {
        Self(64 << 20)
    }
}

/// Why bytes cannot be compressed or decompressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// This build cannot: the codec's feature is off, or the codec is not legal in the batch's format.
    #[error("codec {} is not supported here", codec.name())]
    Unsupported {
        /// The codec.
        codec: Codec,
    },
    /// The level is not one that the codec knows.
    #[error("{} has no level {level}", codec.name())]
    Level {
        /// The codec.
        codec: Codec,
        /// The level that was asked for.
        level: i32,
    },
    /// The compressed bytes are not what the codec writes.
    #[error("the {} data is broken: {reason}", codec.name())]
    Corrupt {
        /// The codec.
        codec: Codec,
        /// What is wrong.
        reason: &'static str,
    },
    /// The records are larger than the limit, decompressed.
    #[error("the batch is larger than {limit} bytes, decompressed")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// How an lz4 frame's header is checked: Kafka once counted its checksum over the wrong bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lz4Header {
    /// As the frame format says.
    Standard,
    /// As messages of magic 0 have it: over the frame's magic too when written, and not looked at when read.
    Magic0,
}

impl Codec {
    /// Decompresses `bytes` into at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError`]; nothing of what had been decompressed is returned.
    pub fn decompress(self, bytes: &[u8], limit: DecompressLimit) -> Result<Vec<u8>, CodecError> {
        decompress(self, bytes, limit, Lz4Header::Standard)
    }

    /// Appends `bytes` to `out`, compressed at `level`, or at the codec's own default.
    ///
    /// # Errors
    ///
    /// [`CodecError::Unsupported`] if the codec's feature is off (for zstd, `zstd-encoder`), [`CodecError::Level`] if
    /// the codec has no such level. Snappy and lz4 have only one and take any.
    pub fn compress(self, level: Option<i32>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        compress(self, level, bytes, out, Lz4Header::Standard)
    }
}

/// Decompresses `bytes`, reading an lz4 header as `lz4_header` says.
pub(crate) fn decompress(
    codec: Codec,
    bytes: &[u8],
    limit: DecompressLimit,
    lz4_header: Lz4Header,
) -> Result<Vec<u8>, CodecError> {
    let DecompressLimit(limit) = limit;
    let _ = lz4_header;
    match codec {
        Codec::None if bytes.len() > limit => Err(CodecError::TooLarge { limit }),
        Codec::None => Ok(bytes.to_vec()),
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::decompress(bytes, limit),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::decompress(bytes, limit),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::decompress(bytes, limit, lz4_header),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decompress(bytes, limit),
        #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
        codec => Err(CodecError::Unsupported { codec }),
    }
}

/// Appends `bytes`, compressed, to `out`, writing an lz4 header as `lz4_header` says.
pub(crate) fn compress(
    codec: Codec,
    level: Option<i32>,
    bytes: &[u8],
    out: &mut Vec<u8>,
    lz4_header: Lz4Header,
) -> Result<(), CodecError> {
    let _ = (level, lz4_header);
    match codec {
        Codec::None => {
            out.extend_from_slice(bytes);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::compress(level, bytes, out),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::compress(bytes, out),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => {
            lz4::compress(bytes, out, lz4_header);
            Ok(())
        }
        #[cfg(feature = "zstd-encoder")]
        Codec::Zstd => zstd::compress(level, bytes, out),
        #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd-encoder")))]
        codec => Err(CodecError::Unsupported { codec }),
    }
}

#[cfg(test)]
mod tests;
