//! Codecs: what turns the records of a batch into fewer bytes, and back within a limit.
//!
//! - May use: `attributes`, and the codecs' libraries, each behind its feature.
//! - Must not know: batches and records; it sees bytes.
//! - Always true: a decoder streams, and stops at its limit; what it has allocated by then is bounded by that limit,
//!   never by what the input claims.

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

impl Codec {
    /// Decompresses `bytes` into at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError`]; nothing of what had been decompressed is returned.
    pub fn decompress(self, bytes: &[u8], limit: DecompressLimit) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::None if bytes.len() > limit.0 => Err(CodecError::TooLarge { limit: limit.0 }),
            Self::None => Ok(bytes.to_vec()),
            codec => Err(CodecError::Unsupported { codec }),
        }
    }
}

/// Appends `bytes`, compressed, to `out`.
pub(crate) fn compress(codec: Codec, _level: Option<i32>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    match codec {
        Codec::None => {
            out.extend_from_slice(bytes);
            Ok(())
        }
        codec => Err(CodecError::Unsupported { codec }),
    }
}
