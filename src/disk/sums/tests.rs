//! What the sums promise.

use proptest::prelude::*;

use super::*;

const FACTS: SegmentFacts = SegmentFacts {
    next_offset: Offset::new(7),
    max: MaxTimestamp { timestamp: Timestamp::from_millis(-3), offset: Offset::new(5) },
    first_timestamp: Timestamp::from_millis(1 << 40),
};
const INDEXES: IndexSums = IndexSums {
    offset_index: FileSum { len: 8, crc: 1 },
    time_index: FileSum { len: 12, crc: 2 },
    txn_index: FileSum { len: 0, crc: 0 },
};

fn log(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 % 251) as u8).collect()
}

fn sums_of(log: &[u8]) -> Sums {
    let mut builder = SumsBuilder::new();
    builder.push(log).unwrap();
    builder.finish(FACTS, INDEXES).unwrap()
}

fn block(log: &[u8], range: Range<u32>) -> &[u8] {
    &log[range.start as usize..range.end as usize]
}

#[test]
fn the_bytes_of_the_file_are_as_written_down() {
    let sums = sums_of(b"123456789");
    let due = [
        &b"OtSU\x00\x01\x00\x10\x00\x00\x00\x09"[..],
        b"\x00\x00\x00\x00\x00\x00\x00\x07\xff\xff\xff\xff\xff\xff\xff\xfd",
        b"\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x0c\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\xcb\xf4\x39\x26",
    ]
    .concat();
    let bytes = sums.encode();
    assert_eq!(bytes[..bytes.len() - 4], due);
    assert_eq!(bytes[bytes.len() - 4..], crc32fast::hash(&due).to_be_bytes());
    assert_eq!(FileSum::of(b"123456789"), FileSum { len: 9, crc: 0xcbf4_3926 });
}

#[test]
fn each_byte_of_the_log_is_covered() {
    let block_bytes = BLOCK_BYTES as usize;
    for len in [0, 1, block_bytes - 1, block_bytes, block_bytes + 1, 3 * block_bytes + 5] {
        let log = log(len);
        let sums = sums_of(&log);
        assert_eq!(sums.block_count() as usize, len.div_ceil(block_bytes));
        for number in 0..sums.block_count() {
            let range = sums.range(number);
            let mut bytes = block(&log, range.clone()).to_vec();
            assert_eq!(sums.check(number, &bytes), Ok(()));
            assert!(sums.check(number, &bytes[1..]).is_err());
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            let bad = sums.check(number, &bytes).unwrap_err();
            assert_eq!((bad.from, bad.to), (range.start, range.end));
        }
        assert!(sums.check(sums.block_count(), &[]).is_err());
        assert_eq!(sums.block_at(len as u32), None);
        assert_eq!(sums.range(u32::MAX), len as u32..len as u32);
        assert_eq!(Sums::parse(&sums.encode()), Ok(sums));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let bytes = sums_of(&log(BLOCK_BYTES as usize + 1)).encode();
    for bit in 0..bytes.len() * 8 {
        let mut rotten = bytes.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        assert!(Sums::parse(&rotten).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Sums::parse(&bytes[..len]).is_err(), "{len} bytes");
    }
    let longer = [bytes.clone(), vec![0]].concat();
    let (found, expected) = (longer.len() as u64, bytes.len() as u64);
    assert_eq!(Sums::parse(&longer), Err(SumsError::Length { found, expected }));
}

#[test]
fn a_later_format_is_refused_by_its_number_whatever_its_length() {
    let mut bytes = sums_of(b"x").encode();
    bytes[5] = 2;
    assert_eq!(Sums::parse(&bytes[..30]), Err(SumsError::UnsupportedFormat { found: 2, max: 1 }));
    assert_eq!(Sums::parse(b"\0\0\0\0"), Err(SumsError::Magic { found: 0 }));
    assert!(matches!(Sums::parse(b"OtS"), Err(SumsError::Length { found: 3, .. })));
}

#[test]
fn a_length_that_no_log_has_takes_no_memory() {
    let mut bytes = sums_of(b"x").encode();
    bytes[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(Sums::parse(&bytes), Err(SumsError::Nonsense { field: "length of the log", found: u32::MAX }));
    bytes[8..12].copy_from_slice(&(i32::MAX as u32).to_be_bytes());
    assert!(matches!(Sums::parse(&bytes), Err(SumsError::Length { expected: 131_144, .. })));
}

#[test]
fn a_truncated_builder_goes_on_as_if_the_rest_had_never_been() {
    let log = log(3 * BLOCK_BYTES as usize);
    for to in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES] {
        let mut builder = SumsBuilder::new();
        builder.push(&log).unwrap();
        let tail = block(&log, to / BLOCK_BYTES * BLOCK_BYTES..to);
        builder.truncate_to(to, tail).unwrap();
        builder.push(b"other").unwrap();
        let due = [&log[..to as usize], b"other"].concat();
        assert_eq!(builder.finish(FACTS, INDEXES).unwrap(), sums_of(&due), "{to}");
    }
}

#[test]
fn a_refused_builder_is_as_it_was() {
    let mut builder = SumsBuilder::new();
    builder.push(b"abc").unwrap();
    assert_eq!(builder.truncate_to(4, b"abcd"), Err(SumsBuilderError::BehindTheEnd { len: 3, to: 4 }));
    assert_eq!(builder.truncate_to(2, b"a"), Err(SumsBuilderError::BlockBytes { block: 0, found: 1, expected: 2 }));
    assert_eq!(builder.fill(0, b"a"), Err(SumsBuilderError::BlockBytes { block: 0, found: 1, expected: 3 }));
    assert_eq!(builder.finish(FACTS, INDEXES).unwrap(), sums_of(b"abc"));
    let mut longest = SumsBuilder::resumed(i32::MAX as u32).unwrap();
    assert_eq!(longest.push(b"x"), Err(SumsBuilderError::TooLong { len: i32::MAX as u32, more: 1 }));
    assert!(SumsBuilder::resumed(i32::MAX as u32 + 1).is_err());
}

#[test]
fn a_resumed_builder_names_what_it_has_not_seen() {
    for len in [BLOCK_BYTES, BLOCK_BYTES + 9] {
        let log = log(4 * BLOCK_BYTES as usize);
        let mut builder = SumsBuilder::resumed(len).unwrap();
        builder.push(&log[len as usize..3 * BLOCK_BYTES as usize + 3]).unwrap();
        assert_eq!(builder.log_len(), 3 * BLOCK_BYTES + 3);
        let missing: Vec<u32> = builder.missing().collect();
        assert_eq!(missing, if len == BLOCK_BYTES { vec![0] } else { vec![0, 1] });
        assert_eq!(builder.finish(FACTS, INDEXES), Err(SumsBuilderError::Missing { block: 0 }));
        for number in missing {
            builder.fill(number, block(&log, builder.range(number))).unwrap();
        }
        assert_eq!(builder.finish(FACTS, INDEXES).unwrap(), sums_of(&log[..3 * BLOCK_BYTES as usize + 3]));
    }
    let mut builder = SumsBuilder::resumed(5).unwrap();
    assert_eq!(builder.missing().collect::<Vec<_>>(), [0]);
    builder.fill(0, b"abcde").unwrap();
    builder.push(b"f").unwrap();
    assert_eq!(builder.finish(FACTS, INDEXES).unwrap(), sums_of(b"abcdef"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_sum_up_as_the_whole(cuts in prop::collection::vec(0..200_000usize, 0..20)) {
        let log = log(200_000);
        let mut cuts = cuts;
        cuts.extend([0, log.len()]);
        cuts.sort_unstable();
        let mut builder = SumsBuilder::default();
        for piece in cuts.windows(2) {
            builder.push(&log[piece[0]..piece[1]]).unwrap();
        }
        prop_assert_eq!(builder.finish(FACTS, INDEXES).unwrap(), sums_of(&log));
    }

    #[test]
    fn any_bytes_are_refused_or_read_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(sums) = Sums::parse(&bytes) {
            prop_assert_eq!(sums.encode(), bytes);
        }
    }
}

#[test]
fn a_builder_goes_on_where_a_file_of_sums_ends() {
    let log: Vec<u8> = (0..3 * BLOCK_BYTES + 77).map(|n| (n % 251) as u8).collect();
    for cut in [0, 1, 77, BLOCK_BYTES, BLOCK_BYTES + 5, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 77] {
        let seen = sums_of(&log[..cut as usize]);
        let mut builder = SumsBuilder::resumed_from(&seen, cut).unwrap();
        assert_eq!(builder.missing().count(), 0);
        builder.push(&log[cut as usize..]).unwrap();
        assert_eq!(builder.finish(FACTS, INDEXES).unwrap(), sums_of(&log), "{cut}");

        let mut builder = SumsBuilder::resumed_from(&seen, log.len() as u32).unwrap();
        for block in builder.missing().collect::<Vec<_>>() {
            let range = builder.range(block);
            builder.fill(block, &log[range.start as usize..range.end as usize]).unwrap();
        }
        assert_eq!(builder.finish(FACTS, INDEXES).unwrap(), sums_of(&log), "{cut}");
    }
}

#[test]
fn the_bit_that_makes_a_block_differ_is_found_and_two_are_not_taken_for_one() {
    let log: Vec<u8> = (0..BLOCK_BYTES + 300).map(|at| (at * 7 + at / 251) as u8).collect();
    let sums = sums_of(&log);
    for at in [0, 1, 17, 40_000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 299] {
        let block = sums.block_at(at).unwrap();
        let range = sums.range(block);
        for bit in 0..8 {
            let mut bytes = log[range.start as usize..range.end as usize].to_vec();
            bytes[(at - range.start) as usize] ^= 1 << bit;
            assert_eq!(sums.check(block, &bytes).unwrap_err().flipped_bit(), Some((at, bit)));
            bytes[200] ^= 0x80;
            bytes[201] ^= 1;
            assert_eq!(sums.check(block, &bytes).unwrap_err().flipped_bit(), None);
        }
    }
}
