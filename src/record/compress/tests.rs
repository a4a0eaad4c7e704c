//! Codecs: what they write they read, what they read is bounded, and what Kafka's own readers refuse they refuse.

use super::*;
use crate::record::tests::writable;

const LIMIT: DecompressLimit = DecompressLimit(1 << 20);

/// Bytes that no codec makes smaller.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(next).collect()
}

fn compressed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut out = b"in front".to_vec();
    codec.compress(None, bytes, &mut out).unwrap();
    out.split_off(8)
}

fn is_corrupt(result: &Result<Vec<u8>, CodecError>) -> bool {
    matches!(result, Err(CodecError::Corrupt { .. }))
}

#[test]
fn every_codec_reads_back_what_it_wrote() {
    for codec in writable() {
        for size in [0, 1, 100, 32 << 10, (32 << 10) + 1, 64 << 10, (64 << 10) + 1, 300_000] {
            for bytes in [noise(size), vec![7; size], b"kafka kafka ".repeat(size / 12)] {
                let packed = compressed(codec, &bytes);
                assert_eq!(codec.decompress(&packed, LIMIT).as_ref(), Ok(&bytes), "{codec:?} {size}");
            }
        }
    }
}

#[test]
fn the_limit_is_reached_but_not_passed() {
    for codec in writable() {
        for bytes in [noise(200_000), vec![0; 200_000]] {
            let packed = compressed(codec, &bytes);
            assert!(codec.decompress(&packed, DecompressLimit(200_000)).is_ok(), "{codec:?}");
            for limit in [199_999, 65_536, 1, 0] {
                let refused = codec.decompress(&packed, DecompressLimit(limit));
                assert_eq!(refused, Err(CodecError::TooLarge { limit }), "{codec:?} {limit}");
            }
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    for codec in writable() {
        let packed = compressed(codec, &vec![0; 8 << 20]);
        assert_eq!(codec.decompress(&packed, LIMIT), Err(CodecError::TooLarge { limit: 1 << 20 }), "{codec:?}");
    }
}

#[test]
fn a_cut_stream_is_corrupt_at_every_length() {
    for codec in writable().into_iter().filter(|codec| *codec != Codec::None) {
        let bytes = [noise(3000), vec![0; 40_000]].concat();
        let packed = compressed(codec, &bytes);
        for length in (0..packed.len()).step_by(7) {
            let found = codec.decompress(&packed[..length], LIMIT);
            // A xerial stream has no end mark: cut between two blocks, it is a shorter stream.
            assert!(is_corrupt(&found) || codec == Codec::Snappy, "{codec:?} {length}");
            assert_ne!(found, Ok(bytes.clone()));
        }
    }
}

#[test]
fn damage_is_never_a_panic_and_never_more_than_the_limit() {
    for codec in writable() {
        let packed = compressed(codec, &[noise(300), vec![0; 3000], b"kafka ".repeat(200)].concat());
        for at in 0..packed.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut bad = packed.clone();
                bad[at] ^= mask;
                if let Ok(bytes) = codec.decompress(&bad, DecompressLimit(5000)) {
                    assert!(bytes.len() <= 5000);
                }
            }
        }
    }
}

#[test]
fn a_codec_that_is_built_out_says_so() {
    for (codec, feature) in [
        (Codec::Gzip, cfg!(feature = "gzip")),
        (Codec::Snappy, cfg!(feature = "snappy")),
        (Codec::Lz4, cfg!(feature = "lz4")),
        (Codec::Zstd, cfg!(feature = "zstd")),
    ] {
        let found = codec.decompress(&[1, 2, 3], LIMIT);
        assert_eq!(found == Err(CodecError::Unsupported { codec }), !feature, "{codec:?}");
    }
    let written = Codec::Zstd.compress(None, b"x", &mut Vec::new());
    assert_eq!(written.is_ok(), cfg!(feature = "zstd-encoder"));
}

#[test]
fn a_level_that_a_codec_does_not_have_is_refused() {
    let mut out = Vec::new();
    if cfg!(feature = "gzip") {
        assert_eq!(
            Codec::Gzip.compress(Some(0), b"x", &mut out),
            Err(CodecError::Level { codec: Codec::Gzip, level: 0 })
        );
        assert_eq!(Codec::Gzip.compress(Some(-1), b"x", &mut out), Ok(()));
        assert_eq!(Codec::Gzip.compress(Some(9), b"x", &mut out), Ok(()));
    }
    if cfg!(feature = "zstd-encoder") {
        let codec = Codec::Zstd;
        assert_eq!(codec.compress(Some(23), b"x", &mut out), Err(CodecError::Level { codec, level: 23 }));
        assert_eq!(codec.compress(Some(-7), b"x", &mut out), Ok(()));
        assert_eq!(codec.compress(Some(22), b"x", &mut out), Ok(()));
    }
}

#[cfg(feature = "gzip")]
mod gzip {
    use super::*;

    #[test]
    fn members_behind_each_other_are_one_stream() {
        let joined = [compressed(Codec::Gzip, b"ab"), compressed(Codec::Gzip, b"cd")].concat();
        assert_eq!(Codec::Gzip.decompress(&joined, LIMIT).unwrap(), b"abcd");
    }

    #[test]
    fn a_wrong_checksum_at_the_end_is_corrupt() {
        let mut packed = compressed(Codec::Gzip, b"abcd");
        let at = packed.len() - 8;
        packed[at] ^= 1;
        assert!(is_corrupt(&Codec::Gzip.decompress(&packed, LIMIT)));
    }
}

#[cfg(feature = "snappy")]
mod snappy {
    use super::*;
    use crate::record::tests::bytes_of;

    fn raw(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    #[test]
    fn the_stream_begins_with_the_listed_header_and_blocks_of_32_kib() {
        let packed = compressed(Codec::Snappy, &noise(70_000));
        assert_eq!(packed[..16], bytes_of("82534e41505059000000000100000001"));
        let mut sizes = Vec::new();
        let mut rest = &packed[16..];
        while let Some((field, behind)) = rest.split_first_chunk::<4>() {
            let (block, behind) = behind.split_at(u32::from_be_bytes(*field) as usize);
            sizes.push(snap::raw::decompress_len(block).unwrap());
            rest = behind;
        }
        assert_eq!(sizes, [32 << 10, 32 << 10, 70_000 - (64 << 10)]);
    }

    #[test]
    fn fmt_28_a_bare_block_is_read_as_one() {
        assert_eq!(Codec::Snappy.decompress(&raw(b"abcabcabc"), LIMIT).unwrap(), b"abcabcabc");
        assert_eq!(Codec::Snappy.decompress(&raw(b""), LIMIT).unwrap(), b"");
    }

    #[test]
    fn streams_behind_each_other_are_one() {
        let joined = [compressed(Codec::Snappy, b"ab"), compressed(Codec::Snappy, b"cd")].concat();
        assert_eq!(Codec::Snappy.decompress(&joined, LIMIT).unwrap(), b"abcd");
    }

    #[test]
    fn a_block_that_claims_more_than_it_can_hold_is_corrupt_before_it_is_given_room() {
        // A megabyte, in a block of five bytes.
        let claim = [0x80, 0x80, 0x40, 0x00, 0x61];
        assert!(is_corrupt(&Codec::Snappy.decompress(&claim, DecompressLimit(usize::MAX))));
        let four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x61];
        assert_eq!(Codec::Snappy.decompress(&four_gib, LIMIT), Err(CodecError::TooLarge { limit: 1 << 20 }));
    }

    #[test]
    fn a_block_length_that_is_negative_or_too_long_is_corrupt() {
        let header = compressed(Codec::Snappy, b"");
        for length in [-1_i32, i32::MIN, 1000, 0] {
            let stream = [&header[..], &length.to_be_bytes(), &raw(b"abc")].concat();
            assert!(is_corrupt(&Codec::Snappy.decompress(&stream, LIMIT)), "{length}");
        }
    }
}

#[cfg(feature = "lz4")]
mod lz4 {
    use super::*;
    use crate::record::tests::bytes_of;
    use twox_hash::XxHash32;

    /// A frame of these flags and this block descriptor around `body`.
    fn frame(flags: u8, descriptor: u8, content_size: &[u8], body: &[u8]) -> Vec<u8> {
        let described = [&[flags, descriptor], content_size].concat();
        let checksum = (XxHash32::oneshot(0, &described) >> 8) as u8;
        [&bytes_of("04224d18")[..], &described, &[checksum], body].concat()
    }

    /// A block that is stored as it is, and the end mark.
    const BODY: [u8; 10] = [2, 0, 0, 0x80, b'h', b'i', 0, 0, 0, 0];

    #[test]
    fn the_frame_begins_with_the_listed_header() {
        assert_eq!(compressed(Codec::Lz4, b"hi")[..7], bytes_of("04224d18604082"));
        assert_eq!(compressed(Codec::Lz4, b"hi")[7..], BODY);
    }

    #[test]
    fn a_message_of_magic_0_has_the_wrong_header_checksum_and_is_read_with_any() {
        let mut out = Vec::new();
        compress(Codec::Lz4, None, b"hi", &mut out, Lz4Header::Magic0).unwrap();
        assert_eq!(out[..7], bytes_of("04224d1860401a"));
        assert!(is_corrupt(&Codec::Lz4.decompress(&out, LIMIT)), "no other message has it");
        for checksum in [0x1a, 0x82, 0x00] {
            out[6] = checksum;
            assert_eq!(decompress(Codec::Lz4, &out, LIMIT, Lz4Header::Magic0).unwrap(), b"hi");
        }
    }

    #[test]
    fn fmt_26_a_content_size_and_blocks_of_a_mebibyte_are_read() {
        let stored = noise(1 << 20);
        let body = [&(0x8010_0000_u32).to_le_bytes()[..], &stored, &[0; 4]].concat();
        let packed = frame(0x68, 0x60, &[0xff; 8], &body);
        assert_eq!(Codec::Lz4.decompress(&packed, LIMIT), Ok(stored), "and the size is not looked at");
    }

    #[test]
    fn fmt_27_dependent_blocks_are_refused() {
        let refused = Codec::Lz4.decompress(&frame(0x40, 0x40, &[], &BODY), LIMIT);
        assert_eq!(refused, Err(CodecError::Corrupt { codec: Codec::Lz4, reason: "its blocks depend on each other" }));
    }

    #[test]
    fn reserved_bits_versions_and_block_sizes_that_are_none_are_refused() {
        for (flags, descriptor) in [(0x61, 0x40), (0x62, 0x40), (0xa0, 0x40), (0x20, 0x40)] {
            assert!(is_corrupt(&Codec::Lz4.decompress(&frame(flags, descriptor, &[], &BODY), LIMIT)), "{flags:#x}");
        }
        for descriptor in [0x30, 0x00, 0xc0, 0x41, 0x48, 0x80] {
            assert!(is_corrupt(&Codec::Lz4.decompress(&frame(0x60, descriptor, &[], &BODY), LIMIT)), "{descriptor:#x}");
        }
        for descriptor in [0x40, 0x50, 0x60, 0x70] {
            assert_eq!(Codec::Lz4.decompress(&frame(0x60, descriptor, &[], &BODY), LIMIT).unwrap(), b"hi");
        }
    }

    #[test]
    fn a_block_larger_than_its_frame_says_is_refused() {
        let size = (64 << 10) + 1;
        let block = noise(size);
        let body = [&(size as u32 | 0x8000_0000).to_le_bytes()[..], &block, &[0; 4]].concat();
        assert!(is_corrupt(&Codec::Lz4.decompress(&frame(0x60, 0x40, &[], &body), LIMIT)));
        assert_eq!(Codec::Lz4.decompress(&frame(0x60, 0x50, &[], &body), LIMIT), Ok(block));
        let large = lz4_flex::block::compress(&vec![0; size]);
        let body = [&(large.len() as u32).to_le_bytes()[..], &large, &[0; 4]].concat();
        assert!(is_corrupt(&Codec::Lz4.decompress(&frame(0x60, 0x40, &[], &body), LIMIT)), "once decompressed");
    }

    #[test]
    fn checksums_of_blocks_are_verified_and_those_of_contents_skipped() {
        let mut body = BODY[..6].to_vec();
        body.extend_from_slice(&XxHash32::oneshot(0, b"hi").to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        assert_eq!(Codec::Lz4.decompress(&frame(0x70, 0x40, &[], &body), LIMIT).unwrap(), b"hi");
        body[6] ^= 1;
        assert!(is_corrupt(&Codec::Lz4.decompress(&frame(0x70, 0x40, &[], &body), LIMIT)));
        let with_content_checksum = [&BODY[..], &[1, 2, 3, 4]].concat();
        assert_eq!(Codec::Lz4.decompress(&frame(0x64, 0x40, &[], &with_content_checksum), LIMIT).unwrap(), b"hi");
        assert!(is_corrupt(&Codec::Lz4.decompress(&frame(0x64, 0x40, &[], &BODY), LIMIT)), "it is missing");
    }

    #[test]
    fn bytes_behind_the_frame_are_refused() {
        assert!(is_corrupt(&Codec::Lz4.decompress(&frame(0x60, 0x40, &[], &[&BODY[..], &[0]].concat()), LIMIT)));
    }
}

#[cfg(feature = "zstd")]
mod zstd {
    use super::*;
    use crate::record::tests::bytes_of;

    /// A block of `size` equal bytes.
    fn repeated(byte: u8, size: u32, is_last: bool) -> Vec<u8> {
        let header = size << 3 | 1 << 1 | u32::from(is_last);
        [&header.to_le_bytes()[..3], &[byte]].concat()
    }

    /// A frame of this window around blocks.
    fn frame(window: u8, blocks: &[Vec<u8>]) -> Vec<u8> {
        [&bytes_of("28b52ffd00")[..], &[window], &blocks.concat()].concat()
    }

    fn three() -> Vec<u8> {
        frame(0x58, &[repeated(b'a', 3, true)])
    }

    #[test]
    fn frames_behind_each_other_are_one_stream_and_empty_ones_are_skipped() {
        let skipped = bytes_of("502a4d1803000000ffffff");
        let joined = [&three()[..], &skipped, &three()].concat();
        assert_eq!(Codec::Zstd.decompress(&joined, LIMIT).unwrap(), b"aaaaaa");
        for length in 0..joined.len() {
            let found = Codec::Zstd.decompress(&joined[..length], LIMIT);
            let is_whole = length == three().len() || length == three().len() + skipped.len();
            assert_eq!(found, if is_whole { Ok(b"aaa".to_vec()) } else { found.clone() });
            assert!(is_whole || is_corrupt(&found), "{length}");
        }
    }

    #[test]
    fn a_window_that_is_larger_than_the_limit_is_read_within_it() {
        for window in [0x58, 0x88, 0x90, 0xff] {
            let packed = frame(window, &[repeated(b'a', 100_000, false), repeated(b'b', 100_000, true)]);
            let bytes = [vec![b'a'; 100_000], vec![b'b'; 100_000]].concat();
            assert_eq!(Codec::Zstd.decompress(&packed, DecompressLimit(200_000)), Ok(bytes), "{window:#x}");
            let refused = Codec::Zstd.decompress(&packed, DecompressLimit(199_999));
            assert_eq!(refused, Err(CodecError::TooLarge { limit: 199_999 }), "{window:#x}");
        }
    }

    #[test]
    fn a_bomb_of_blocks_stops_at_the_limit() {
        let blocks = vec![repeated(0, 128 << 10, false); 50_000];
        let packed = frame(0xff, &blocks);
        assert_eq!(Codec::Zstd.decompress(&packed, LIMIT), Err(CodecError::TooLarge { limit: 1 << 20 }));
    }

    #[test]
    fn a_content_size_above_the_limit_is_refused_before_the_first_block() {
        let claim = |descriptor: u8, size: &[u8]| [&bytes_of("28b52ffd")[..], &[descriptor], size].concat();
        for claimed in [claim(0xe0, &[0xff; 8]), claim(0xa0, &[0xff; 4]), claim(0x60, &[0xff; 2])] {
            let refused = Codec::Zstd.decompress(&claimed, DecompressLimit(1000));
            assert_eq!(refused, Err(CodecError::TooLarge { limit: 1000 }));
        }
    }

    #[test]
    fn a_frame_that_is_not_as_large_as_it_says_is_corrupt() {
        for (told, is_right) in [(2, false), (3, true), (4, false)] {
            let packed = [&bytes_of("28b52ffd20")[..], &[told], &repeated(b'a', 3, true)].concat();
            assert_eq!(Codec::Zstd.decompress(&packed, LIMIT).is_ok(), is_right, "{told}");
        }
    }

    #[test]
    fn a_frame_that_wants_a_dictionary_is_corrupt() {
        let packed = [&bytes_of("28b52ffd0158")[..], &[7], &repeated(b'a', 3, true)].concat();
        assert!(is_corrupt(&Codec::Zstd.decompress(&packed, LIMIT)));
    }

    #[cfg(feature = "zstd-encoder")]
    #[test]
    fn what_the_c_library_writes_is_read() {
        let words = noise(12_000).iter().map(|byte| format!("word{} ", byte % 97)).collect::<String>();
        let bytes = [noise(30_000), words.into_bytes(), noise(30_000), vec![0; 60_000]].concat();
        for level in [-131_072, 1, 3, 9] {
            let mut whole = Vec::new();
            Codec::Zstd.compress(Some(level), &bytes, &mut whole).unwrap();
            // As Kafka writes it: without knowing the size, and so with the window of the level.
            let streamed = ::zstd::stream::encode_all(&bytes[..], level).unwrap();
            for packed in [whole, streamed] {
                assert!(Codec::Zstd.decompress(&packed, LIMIT).as_ref() == Ok(&bytes), "level {level}");
                let limit = bytes.len() - 1;
                let refused = Codec::Zstd.decompress(&packed, DecompressLimit(limit));
                assert!(refused == Err(CodecError::TooLarge { limit }), "level {level}");
            }
        }
    }

    #[test]
    fn what_ruzstd_writes_is_read_and_damage_is_never_a_panic() {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        let bytes = [noise(300), vec![0; 3000], b"kafka kafka stream ".repeat(100)].concat();
        let packed = compress_to_vec(&bytes[..], CompressionLevel::Fastest);
        assert_eq!(Codec::Zstd.decompress(&packed, LIMIT).as_ref(), Ok(&bytes));
        for bit in 0..packed.len() * 8 {
            let mut bad = packed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok(bytes) = Codec::Zstd.decompress(&bad, DecompressLimit(10_000)) {
                assert!(bytes.len() <= 10_000);
            }
        }
    }
}
