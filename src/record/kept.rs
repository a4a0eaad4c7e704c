//! Bytes that get another owner.

use bytes::Bytes;

/// The same bytes, as `keep` gives them back.
pub(super) fn kept(bytes: Bytes, keep: impl FnOnce(Bytes) -> Bytes) -> Bytes {
    let (at, len) = (bytes.as_ptr(), bytes.len());
    let kept = keep(bytes);
    debug_assert_eq!((kept.as_ptr(), kept.len()), (at, len), "these are other bytes");
    kept
}
