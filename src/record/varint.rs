//! Zigzag numbers of a variable length, as they stand in a record (format.md, section 1).
//!
//! - May use: nothing.
//! - Must not know: records; a caller says which one was cut short.
//! - Always true: every number has one encoding. Too many bytes, bits that do not fit, and zeros in front are refused,
//!   so what has been read is written back in the same bytes.

/// Why bytes are no number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum VarintError {
    /// They end while the last byte still says that more follow.
    CutShort,
    /// Too many bytes, too large a value, or a last byte that adds nothing.
    Invalid,
}

/// Takes a signed 32-bit number of at most 5 bytes off the front.
#[inline]
pub(crate) fn take_i32(bytes: &mut &[u8]) -> Result<i32, VarintError> {
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        *bytes = rest;
        return Ok(unzigzag_i32(u32::from(first)));
    }
    let raw = take_long(bytes, 5, 0x0f)?;
    Ok(unzigzag_i32(raw as u32))
}

/// Takes a signed 64-bit number of at most 10 bytes off the front.
#[inline]
pub(crate) fn take_i64(bytes: &mut &[u8]) -> Result<i64, VarintError> {
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        *bytes = rest;
        return Ok(unzigzag_i64(u64::from(first)));
    }
    take_long(bytes, 10, 0x01).map(unzigzag_i64)
}

/// The groups of a number of at most `most` bytes, the last possible of which is at most `last_max`.
fn take_long(bytes: &mut &[u8], most: usize, last_max: u8) -> Result<u64, VarintError> {
    let mut raw = 0;
    for (index, &byte) in bytes.iter().take(most).enumerate() {
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let overflows = index + 1 == most && byte > last_max;
            let adds_nothing = byte == 0 && index > 0;
            if overflows || adds_nothing {
                return Err(VarintError::Invalid);
            }
            *bytes = &bytes[index + 1..];
            return Ok(raw);
        }
    }
    Err(if bytes.len() < most { VarintError::CutShort } else { VarintError::Invalid })
}

/// Appends a signed 32-bit number.
#[inline]
pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    put(out, u64::from(zigzag_i32(value)));
}

/// Appends a signed 64-bit number.
#[inline]
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag_i64(value));
}

fn put(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// How many bytes [`put_i32`] would append.
pub(crate) const fn size_i32(value: i32) -> usize {
    size(zigzag_i32(value) as u64)
}

/// How many bytes [`put_i64`] would append.
pub(crate) const fn size_i64(value: i64) -> usize {
    size(zigzag_i64(value))
}

const fn size(raw: u64) -> usize {
    let bits = 64 - (raw | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

const fn zigzag_i32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

const fn zigzag_i64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag_i32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

const fn unzigzag_i64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: i32) -> Vec<u8> {
        let mut out = Vec::new();
        put_i32(&mut out, value);
        out
    }

    #[test]
    fn fmt_01_the_listed_numbers_have_the_listed_bytes() {
        let listed: [(i32, &[u8]); 9] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (150, &[0xac, 0x02]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in listed {
            assert_eq!(encoded(value), bytes);
            assert_eq!(size_i32(value), bytes.len());
            assert_eq!(take_i32(&mut &bytes[..]), Ok(value));
        }
    }

    #[test]
    fn a_long_number_reads_back_and_leaves_what_follows() {
        for value in [0, -1, 64, i64::from(i32::MAX) + 1, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_i64(&mut out, value);
            assert_eq!(size_i64(value), out.len());
            out.push(7);
            let mut rest = &out[..];
            assert_eq!(take_i64(&mut rest), Ok(value));
            assert_eq!(rest, [7]);
        }
    }

    #[test]
    fn fmt_02_a_number_of_more_than_five_bytes_is_invalid() {
        assert_eq!(take_i32(&mut &[0x80; 6][..]), Err(VarintError::Invalid));
        assert_eq!(take_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), Err(VarintError::Invalid), "bit 32");
    }

    #[test]
    fn fmt_03_a_long_number_of_more_than_ten_bytes_is_invalid() {
        assert_eq!(take_i64(&mut &[0x80; 11][..]), Err(VarintError::Invalid));
        let mut bit_64 = [0xff; 10];
        bit_64[9] = 0x02;
        assert_eq!(take_i64(&mut &bit_64[..]), Err(VarintError::Invalid));
    }

    #[test]
    fn an_overlong_encoding_is_invalid_and_a_cut_one_says_so() {
        assert_eq!(take_i32(&mut &[0x80, 0x00][..]), Err(VarintError::Invalid));
        assert_eq!(take_i64(&mut &[0x82, 0x80, 0x00][..]), Err(VarintError::Invalid));
        assert_eq!(take_i32(&mut &[0x80][..]), Err(VarintError::CutShort));
        assert_eq!(take_i64(&mut &[][..]), Err(VarintError::CutShort));
    }
}
