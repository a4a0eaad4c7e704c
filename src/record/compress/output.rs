//! Reading a decoder to its end, or to the limit.

use std::io::{ErrorKind, Read};

use crate::record::attributes::Codec;
use crate::record::compress::CodecError;

/// How much is asked of a decoder at a time.
const STEP_BYTES: usize = 64 << 10;

/// Appends all that `from` gives to `out`, which never grows past `limit` bytes.
pub(super) fn drain(codec: Codec, mut from: impl Read, out: &mut Vec<u8>, limit: usize) -> Result<(), CodecError> {
    loop {
        let filled = out.len();
        // One byte past the limit is asked for, to tell "just fits" from "more to come".
        let most = (limit - filled).saturating_add(1);
        grow(out, most.min(STEP_BYTES), limit.saturating_add(1));
        let read = match from.read(&mut out[filled..]) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(_) => return Err(CodecError::Corrupt { codec, reason: "the stream does not decode" }),
        };
        out.truncate(filled + read);
        if out.len() > limit {
            return Err(CodecError::TooLarge { limit });
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// Makes `out` longer by `more` bytes. Its capacity doubles, but stays within `most`.
fn grow(out: &mut Vec<u8>, more: usize, most: usize) {
    let needed = out.len() + more;
    if needed > out.capacity() {
        let doubled = out.capacity().saturating_mul(2).min(most).max(needed);
        out.reserve_exact(doubled - out.len());
    }
    out.resize(needed, 0);
}
