//! The vectors of format.md, and what the tests of this room share.

use bytes::Bytes;

use super::Batch;

/// The bytes of a line of hexadecimal digits.
pub(super) fn bytes_of(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    assert!(digits.len().is_multiple_of(2));
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The batch that a line of hexadecimal digits holds.
pub(super) fn parse_hex(hex: &str) -> Batch {
    Batch::parse(&bytes_of(hex)).unwrap()
}
