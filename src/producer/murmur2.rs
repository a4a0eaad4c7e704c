//! Kafka's hash of keys: murmur2 (format.md, section 12).

use std::num::NonZeroU32;

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;
const R: u32 = 24;

/// The hash of `bytes`, as Kafka's clients count it.
///
/// The length is part of the hash, and counted modulo 2^32.
pub fn murmur2(bytes: &[u8]) -> u32 {
    let (chunks, tail) = bytes.as_chunks::<4>();
    let mut hash = SEED ^ bytes.len() as u32;
    for chunk in chunks {
        let mut k = u32::from_le_bytes(*chunk).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        hash ^= tail.iter().rev().fold(0, |rest, byte| rest << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Which of `partitions` a record with this key goes to, whoever produces it: Kafka's clients answer the same.
pub fn partition_of_key(key: &[u8], partitions: NonZeroU32) -> u32 {
    (murmur2(key) & i32::MAX as u32) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prd_01_a_key_has_the_hash_that_kafka_gives_it() {
        let known: [(&str, i32); 7] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("abc", 479_470_107),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("", 275_646_681),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key.as_bytes()), hash as u32, "{key:?}");
        }
    }

    #[test]
    fn prd_01_a_key_goes_to_the_partition_that_kafka_picks() {
        let six = NonZeroU32::new(6).unwrap();
        assert_eq!(partition_of_key(b"foobar", six), 0);
        assert_eq!(partition_of_key(b"abc", six), 3);
    }
}
