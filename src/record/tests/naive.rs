//! A second decoder, written for plainness, that shares no code with the first: what they say must agree.

use super::*;

/// Decodes a batch v2 and its records, or says nothing about why it cannot.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Shown>> {
    if bytes.len() < 61 || bytes[16] != 2 {
        return None;
    }
    let number = |at: usize, size: usize| {
        let unsigned = bytes[at..at + size].iter().fold(0_i128, |number, byte| number * 256 + i128::from(*byte));
        if bytes[at] >= 0x80 { unsigned - (1 << (8 * size)) } else { unsigned }
    };
    let (base_offset, length, last_delta, count) = (number(0, 8), number(8, 4), number(23, 4), number(57, 4));
    let end = usize::try_from(length).ok()? + 12;
    if end < 61 || bytes.len() < end || bytes[22] & 7 != 0 || !(0..=last_delta + 1).contains(&count) {
        return None;
    }
    if base_offset < 0 || last_delta < 0 || base_offset + last_delta >= i128::from(i64::MAX) {
        return None;
    }
    if crc32c(&bytes[21..end]) != number(17, 4) as u32 {
        return None;
    }
    let mut rest: Vec<u8> = bytes[61..end].iter().rev().copied().collect();
    let mut shown = Vec::new();
    let mut delta_min = 0;
    for _ in 0..count {
        let size = usize::try_from(varint(&mut rest, 32)?).ok()?;
        let after = rest.len().checked_sub(size)?;
        rest.pop().filter(|_| size > 0)?;
        let timestamp = varint(&mut rest, 64)?;
        let delta = varint(&mut rest, 32)?;
        let key = slice(&mut rest)?;
        let value = slice(&mut rest)?;
        for _ in 0..varint(&mut rest, 32).filter(|headers| *headers >= 0)? {
            String::from_utf8(slice(&mut rest)??).ok()?;
            slice(&mut rest)?;
        }
        if rest.len() != after || delta < delta_min || delta > last_delta {
            return None;
        }
        delta_min = delta + 1;
        let own = (number(27, 8) + timestamp) as i64;
        let effective = if bytes[22] & 8 == 0 { own } else { number(35, 8) as i64 };
        shown.push(((base_offset + delta) as u64, effective, key, value));
    }
    rest.is_empty().then_some(shown)
}

/// Takes a zigzag number of at most `bits` bits off the end of reversed bytes.
fn varint(rest: &mut Vec<u8>, bits: u32) -> Option<i128> {
    let mut raw: u128 = 0;
    for shift in (0..bits).step_by(7) {
        let byte = rest.pop()?;
        raw += u128::from(byte % 128) << shift;
        if byte < 128 {
            let is_shortest = byte != 0 || shift == 0;
            let number = (raw / 2) as i128;
            let number = if raw.is_multiple_of(2) { number } else { -number - 1 };
            return (is_shortest && raw >> bits == 0).then_some(number);
        }
    }
    None
}

fn slice(rest: &mut Vec<u8>) -> Option<Option<Vec<u8>>> {
    match varint(rest, 32)? {
        -1 => Some(None),
        length => {
            let mut taken = rest.split_off(rest.len().checked_sub(usize::try_from(length).ok()?)?);
            taken.reverse();
            Some(Some(taken))
        }
    }
}

/// The table-free definition of CRC-32C.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
